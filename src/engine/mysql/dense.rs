//! The integers of a key that stand close together, up to 64 in a row.
//!
//! Each row costs both ends more than the number in it. Where nothing but the key is asked for,
//! the server packs the numbers of a window of them:
//!
//! ```text
//! k >> 6                    the group of a number, its upper 58 bits as an unsigned number
//! bit_or(1 << (k & 63))     a bit for each number of the group that is there
//! ```
//!
//! Numbers are taken for their 64 bits ("Bit Functions and Operators" of the MySQL manual:
//! results are unsigned), so negative ones come back as they were; they are put in order here.
//! A window is as wide as a batch of groups, so that the server's temporary table stays small
//! whatever the table's size, and numbers that stand far apart are read row by row.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt64Array};

use crate::engine::mysql::query::{Pages, Query};
use crate::engine::mysql::session::{Session, Stop, raw};
use crate::engine::mysql::types::Form;
use crate::engine::wire::BATCH_ROWS;
use crate::error::{Error, Result};
use crate::model::table::{Carrier, Column, scan_schema};
use crate::model::value::{Value, ValueRef};

/// Numbers of one group.
const GROUP: i128 = 64;

/// Numbers that a window spans.
const SPAN: i128 = 4096 * GROUP;

/// One of so many numbers is there: fewer are read row by row.
const SPARSE: i128 = 8;

/// How the numbers of one scan are packed.
#[derive(Debug)]
pub(crate) struct Dense<'p> {
    pages: &'p Pages,
    carrier: Carrier,
}

/// The numbers of a window.
pub(crate) struct Window {
    /// All that there are, ascending, as the carrier's 64 bits.
    pub(crate) numbers: Vec<u64>,
    /// The last number that it spans.
    pub(crate) last: Value,
    /// The next one should be read row by row.
    pub(crate) sparse: bool,
}

impl<'p> Dense<'p> {
    /// `None` where more is asked for than one integer, the key by which the pages go.
    pub(crate) fn of(pages: &'p Pages, columns: &[Column]) -> Option<Self> {
        let ([form], [column]) = (&pages.forms[..], columns) else { return None };
        let integer = matches!(form, Form::Int { .. }) && form.carrier() == column.carrier;
        let carrier = column.carrier;
        (integer && pages.position_is_all()).then_some(Self { pages, carrier })
    }

    /// So many rows in a row, from `first` to `last`, are worth to be packed.
    pub(crate) fn suits(&self, rows: usize, first: &Value, last: &Value) -> bool {
        match (number(first), number(last)) {
            (Some(first), Some(last)) => rows as i128 * SPARSE > last - first,
            _ => false,
        }
    }

    /// Reads the numbers behind `after`, as far as a window goes.
    pub(crate) async fn window(
        &self,
        session: &mut Session,
        after: &Value,
    ) -> Result<Window, Stop> {
        let start = number(after).ok_or_else(|| Error::failed("a key is no integer"))?;
        let most: i128 = match self.carrier {
            Carrier::Unsigned => u64::MAX.into(),
            _ => i64::MAX.into(),
        };
        let end = most.min(start + SPAN);
        let last = match i64::try_from(end) {
            Ok(end) => Value::Int(end),
            Err(_) => Value::Unsigned(end as u64),
        };
        let Query { sql, parameters } = self.pages.packed(after, &last);
        let parameters: Vec<ValueRef<'_>> = parameters.iter().map(Value::as_ref).collect();
        let mut groups = Vec::new();
        let reading = session.query(&sql, &parameters, |row| {
            let word =
                |at| raw(row, at).and_then(|cell| cell.try_into().ok()).map(u64::from_le_bytes);
            match (word(0), word(1)) {
                (Some(group), Some(bits)) => groups.push((group << 6, bits)),
                _ => return Err(Error::failed("the server packed a key into no integer")),
            }
            Ok(true)
        });
        reading.await?;
        match self.carrier {
            Carrier::Unsigned => groups.sort_unstable(),
            _ => groups.sort_unstable_by_key(|(first, _)| first.cast_signed()),
        }
        let mut numbers = Vec::with_capacity(groups.len() * 64);
        for (first, mut bits) in groups {
            while bits != 0 {
                numbers.push(first | u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
        let sparse = (numbers.len() as i128) * SPARSE < end - start;
        Ok(Window { numbers, last, sparse })
    }

    /// The numbers as batches of a scan of `columns`.
    pub(crate) fn batches(&self, columns: &[Column], numbers: &[u64]) -> Result<Vec<RecordBatch>> {
        let batch = |numbers: &[u64]| {
            let array: ArrayRef = match self.carrier {
                Carrier::Unsigned => Arc::new(UInt64Array::from(numbers.to_vec())),
                _ => {
                    Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| n.cast_signed())))
                }
            };
            let exact = Arc::new(BinaryArray::new_null(numbers.len()));
            Ok(RecordBatch::try_new(scan_schema(columns), vec![array, exact])?)
        };
        numbers.chunks(BATCH_ROWS).map(batch).collect()
    }
}

fn number(value: &Value) -> Option<i128> {
    match *value {
        Value::Int(i) => Some(i.into()),
        Value::Unsigned(u) => Some(u.into()),
        _ => None,
    }
}
