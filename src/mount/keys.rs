//! A batch's keys in a form that compares fast: `Int64` values, bytes, or rows of the row
//! format for all else. Text under a collation is normalised, so that bytes decide.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow::row::{RowConverter, Rows, SortField};

use crate::error::{Error, Result};
use crate::model::table::{Carrier, Collation, Column};
use crate::mount::order::normalise;

/// The keys of some rows, none of them NULL.
#[derive(Debug)]
pub(crate) enum Keys {
    /// One column of integers or moments.
    Int(ScalarBuffer<i64>),
    /// One `Text` or `Blob` column.
    Bytes(OffsetBuffer<i32>, Buffer),
    /// Several columns.
    Rows(Rows),
}

/// Borrowed access to keys of one form; the merge is compiled for each.
pub(crate) trait KeySlice {
    /// One key.
    type Key<'k>: Ord + Copy
    where
        Self: 'k;
    /// The `row`-th key.
    fn key(&self, row: usize) -> Self::Key<'_>;
}

impl KeySlice for ScalarBuffer<i64> {
    type Key<'k> = i64;
    fn key(&self, row: usize) -> i64 {
        self[row]
    }
}

impl KeySlice for (&OffsetBuffer<i32>, &Buffer) {
    type Key<'k>
        = &'k [u8]
    where
        Self: 'k;
    fn key(&self, row: usize) -> &[u8] {
        &self.1[self.0[row] as usize..self.0[row + 1] as usize]
    }
}

impl KeySlice for Rows {
    type Key<'k> = arrow::row::Row<'k>;
    fn key(&self, row: usize) -> arrow::row::Row<'_> {
        self.row(row)
    }
}

/// How the ranks of neighbouring keys go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Strictly ascending: no duplicates.
    Strict,
    /// Ascending with duplicates.
    Duplicates,
    /// The key of this row is smaller than the one before.
    Disorder(usize),
}

/// True for carriers whose single keys compare as they lie.
fn has_own_form(carrier: Carrier) -> bool {
    match carrier {
        Carrier::Int | Carrier::Unsigned | Carrier::Stamp | Carrier::Instant => true,
        Carrier::Text | Carrier::Blob => true,
        Carrier::Real | Carrier::Number => false,
        Carrier::Bool | Carrier::Date | Carrier::Decimal { .. } => false,
    }
}

/// Makes [`Keys`] of the key's arrays.
#[derive(Debug)]
pub(crate) struct KeyMaker {
    collations: Vec<Collation>,
    converter: Option<RowConverter>,
}

impl KeyMaker {
    /// For a key of these columns.
    pub(crate) fn new(key: &[Column]) -> Result<Self> {
        let converter = match key {
            [one] if has_own_form(one.carrier) => None,
            _ => {
                let fields = key.iter().map(|c| SortField::new(c.carrier.data_type())).collect();
                Some(RowConverter::new(fields)?)
            }
        };
        let collations = key.iter().map(|c| c.collation.clone()).collect();
        Ok(Self { collations, converter })
    }

    /// The keys of rows without a NULL in them.
    pub(crate) fn keys(&self, arrays: &[ArrayRef]) -> Result<Keys> {
        let mut arrays: Vec<ArrayRef> = arrays.to_vec();
        for (array, collation) in arrays.iter_mut().zip(&self.collations) {
            if *collation != Collation::Binary && *array.data_type() == DataType::Utf8 {
                *array = Arc::new(normalise(array.as_string(), collation)?);
            }
        }
        if let Some(converter) = &self.converter {
            return Ok(Keys::Rows(converter.convert_columns(&arrays)?));
        }
        match arrays[0].data_type() {
            DataType::Int64 => {
                Ok(Keys::Int(arrays[0].as_primitive::<Int64Type>().values().clone()))
            }
            DataType::UInt64 => {
                // The order of unsigned numbers is that of signed ones from i64::MIN on.
                let shifted = |u: &u64| (u ^ (1 << 63)).cast_signed();
                let numbers = arrays[0].as_primitive::<UInt64Type>().values();
                Ok(Keys::Int(numbers.iter().map(shifted).collect()))
            }
            DataType::Timestamp(..) => {
                let moments = arrays[0].as_primitive::<TimestampMicrosecondType>();
                Ok(Keys::Int(moments.values().clone()))
            }
            DataType::Utf8 => {
                let text = arrays[0].as_string::<i32>();
                Ok(Keys::Bytes(text.offsets().clone(), text.values().clone()))
            }
            DataType::Binary => {
                let blobs: &BinaryArray = arrays[0].as_binary();
                Ok(Keys::Bytes(blobs.offsets().clone(), blobs.values().clone()))
            }
            other => Err(Error::failed(format!("a key can't travel as {other}"))),
        }
    }
}

impl Keys {
    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        match self {
            Keys::Int(keys) => keys.len(),
            Keys::Bytes(offsets, _) => offsets.len() - 1,
            Keys::Rows(rows) => rows.num_rows(),
        }
    }

    /// How the keys follow one another.
    pub(crate) fn order(&self) -> Order {
        match self {
            Keys::Int(keys) => {
                if keys.is_sorted_by(|a, b| a < b) {
                    return Order::Strict;
                }
                order(keys, keys.len())
            }
            Keys::Bytes(offsets, bytes) => order(&(offsets, bytes), offsets.len() - 1),
            Keys::Rows(rows) => order(rows, rows.num_rows()),
        }
    }

    /// A copy of one key that can be told from others.
    pub(crate) fn owned(&self, row: usize) -> Vec<u8> {
        match self {
            Keys::Int(keys) => keys[row].to_be_bytes().to_vec(),
            Keys::Bytes(offsets, bytes) => (offsets, bytes).key(row).to_vec(),
            Keys::Rows(rows) => rows.row(row).as_ref().to_vec(),
        }
    }

    /// Compares a key of these with one of others of the same form.
    pub(crate) fn compare(&self, row: usize, other: &Keys, other_row: usize) -> std::cmp::Ordering {
        match (self, other) {
            (Keys::Int(a), Keys::Int(b)) => a[row].cmp(&b[other_row]),
            (Keys::Bytes(a, x), Keys::Bytes(b, y)) => (a, x).key(row).cmp((b, y).key(other_row)),
            (Keys::Rows(a), Keys::Rows(b)) => a.row(row).cmp(&b.row(other_row)),
            _ => unreachable!("one key maker makes keys of one form"),
        }
    }
}

fn order<K: KeySlice>(keys: &K, len: usize) -> Order {
    let mut found = Order::Strict;
    for row in 1..len {
        match keys.key(row - 1).cmp(&keys.key(row)) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => found = Order::Duplicates,
            std::cmp::Ordering::Greater => return Order::Disorder(row),
        }
    }
    found
}
