//! Whole columns of cells that are plainly values of live's column, taken at once: what is most of a
//! file. What is not so plain is looked at cell by cell.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StringArray};
use arrow::buffer::ScalarBuffer;

use crate::fit::cell::Tag;
use crate::fit::cell::staged::StagedCells;
use crate::fit::foreign::is_null_word;
use crate::model::table::{Affinity, Carrier, Column};

/// The column of a SQLite table; `None` where each cell has to be looked at.
pub(in crate::fit) fn cells(cells: &StagedCells, column: &Column) -> Option<ArrayRef> {
    let tag = cells.common_tag()?;
    match (column.carrier, column.affinity) {
        (Carrier::Text, Affinity::Text | Affinity::Blob) if column.time_form.is_none() => {
            let plain = match tag {
                Tag::OwnText => true,
                Tag::Str | Tag::Quoted => !any(cells, is_null_word),
                Tag::Bare => !any(cells, |text| text.is_empty() || is_null_word(text)),
                _ => false,
            };
            if plain { texts(cells) } else { None }
        }
        (Carrier::Int, Affinity::Integer | Affinity::Numeric) => {
            let number = [Tag::OwnNumber, Tag::Number, Tag::Digits];
            let text = [Tag::Str, Tag::Quoted, Tag::Bare];
            if number.contains(&tag) || text.contains(&tag) {
                let array = values(cells, integer)?;
                Some(Arc::new(Int64Array::new(array, cells.bytes().nulls().cloned())))
            } else {
                None
            }
        }
        _ => None,
    }
}

fn any(cells: &StagedCells, is: impl Fn(&[u8]) -> bool) -> bool {
    cells.bytes().iter().flatten().any(is)
}

/// The cells as texts; `None` where they are no UTF-8.
pub(in crate::fit) fn texts(cells: &StagedCells) -> Option<ArrayRef> {
    let (offsets, values, nulls) = cells.bytes().clone().into_parts();
    Some(Arc::new(StringArray::try_new(offsets, values, nulls).ok()?))
}

/// Each cell's value, and for NULL the type's own 0; `None` when `read` gives none for a cell.
pub(in crate::fit) fn values<T: Default + arrow::datatypes::ArrowNativeType>(
    cells: &StagedCells,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Option<ScalarBuffer<T>> {
    let bytes = cells.bytes();
    let (data, nulls) = (bytes.value_data(), bytes.nulls());
    let mut out = Vec::with_capacity(bytes.len());
    for (row, ends) in bytes.offsets().windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.push(T::default());
        } else {
            out.push(read(&data[ends[0] as usize..ends[1] as usize])?);
        }
    }
    Some(out.into())
}

/// Digits, at most 18 and so within 64 bits, behind a minus sign or none.
pub(in crate::fit) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let value = unsigned(digits)?;
    Some(if negative { -value } else { value })
}

/// One to 18 digits.
pub(in crate::fit) fn unsigned(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let (mut value, mut strange) = (0_i64, false);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        strange |= digit > 9;
        value = value.wrapping_mul(10).wrapping_add(digit.into());
    }
    (!strange).then_some(value)
}
