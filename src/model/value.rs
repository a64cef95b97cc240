//! One cell, exactly: a storage class and its bytes, and how misfits travel in Arrow.
//!
//! A scan's batch holds each column in its [`Carrier`].
//! SQLite lets any value stand in any column, so a batch ends with the column
//! [`EXACT`]: NULL for rows whose values all fit (nearly all), else the misfit cells:
//!
//! ```text
//! cell := name length u16 LE | name | class u8 | payload length u32 LE | payload
//! class: 1 INTEGER (i64 LE)   2 REAL (f64 bits LE)   3 TEXT (bytes)   4 BLOB (bytes)
//! ```
//!
//! Cells are sorted by column name, so that equal rows have equal [`EXACT`] bytes when
//! the same columns were read with the same carriers.

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::table::Carrier;

/// The name of the column that holds a row's misfit cells.
pub const EXACT: &str = "__exact";

/// The largest magnitude up to which every integer is a distinct `f64`.
pub const F64_INTEGERS: i64 = 1 << 53;

/// A borrowed cell: the storage class and its bytes. TEXT need not be UTF-8.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Int(i64),
    /// REAL; equality is by bits.
    Real(f64),
    /// TEXT, as bytes.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

/// An owned cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER.
    Int(i64),
    /// REAL; equality is by bits.
    Real(f64),
    /// TEXT, as bytes.
    Text(Vec<u8>),
    /// BLOB.
    Blob(Vec<u8>),
}

impl ValueRef<'_> {
    /// An owned copy.
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Int(i) => Value::Int(i),
            ValueRef::Real(r) => Value::Real(r),
            ValueRef::Text(b) => Value::Text(b.to_vec()),
            ValueRef::Blob(b) => Value::Blob(b.to_vec()),
        }
    }

    /// True for NULL.
    pub fn is_null(self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The cell as JSON, exactly: what JSON can't say is an object with one of the members
    /// `$text` or `$blob` (hexadecimal) or `$real` (`"-0.0"`, `"inf"`, `"-inf"`).
    pub fn to_json(self) -> serde_json::Value {
        let marked = |mark: &str, text: String| serde_json::json!({ mark: text });
        match self {
            ValueRef::Null => serde_json::Value::Null,
            ValueRef::Int(i) => i.into(),
            ValueRef::Real(r) if r.is_finite() && r.to_bits() != MINUS_ZERO => r.into(),
            ValueRef::Real(r) => marked("$real", format!("{r:?}")),
            ValueRef::Text(b) => match std::str::from_utf8(b) {
                Ok(text) => text.into(),
                Err(_) => marked("$text", hex(b)),
            },
            ValueRef::Blob(b) => marked("$blob", hex(b)),
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ValueRef::Null, ValueRef::Null) => true,
            (ValueRef::Int(a), ValueRef::Int(b)) => a == b,
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => {
                a == b
            }
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

impl Value {
    /// Borrows the cell.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Int(i) => ValueRef::Int(*i),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(b) => ValueRef::Text(b),
            Value::Blob(b) => ValueRef::Blob(b),
        }
    }
}

/// True when `value` travels in `carrier` itself, without an [`EXACT`] cell.
pub fn fits(value: ValueRef<'_>, carrier: Carrier) -> bool {
    match (value, carrier) {
        (ValueRef::Null, _)
        | (ValueRef::Int(_), Carrier::Int)
        | (ValueRef::Real(_), Carrier::Real)
        | (ValueRef::Blob(_), Carrier::Blob) => true,
        (ValueRef::Int(i), Carrier::Number) => (-F64_INTEGERS..=F64_INTEGERS).contains(&i),
        (ValueRef::Real(r), Carrier::Number) => !stands_for_integer(r) && r.to_bits() != MINUS_ZERO,
        (ValueRef::Text(b), Carrier::Text) => std::str::from_utf8(b).is_ok(),
        _ => false,
    }
}

const MINUS_ZERO: u64 = 1 << 63;

/// True when a `Number` carrier's `f64` stands for an INTEGER.
pub fn stands_for_integer(r: f64) -> bool {
    r.trunc() == r && r.abs() <= F64_INTEGERS as f64 && r.to_bits() != MINUS_ZERO
}

/// Appends one misfit cell to an [`EXACT`] payload under construction. Callers append in
/// the order of column names.
pub fn push_exact(out: &mut Vec<u8>, column: &str, value: ValueRef<'_>) {
    let number;
    let (class, payload): (u8, &[u8]) = match value {
        ValueRef::Null => return,
        ValueRef::Int(i) => {
            number = i.to_le_bytes();
            (1, &number)
        }
        ValueRef::Real(r) => {
            number = r.to_bits().to_le_bytes();
            (2, &number)
        }
        ValueRef::Text(b) => (3, b),
        ValueRef::Blob(b) => (4, b),
    };
    out.extend_from_slice(&(column.len() as u16).to_le_bytes());
    out.extend_from_slice(column.as_bytes());
    out.push(class);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The misfit cells of one row, as `(column, value)`; an error for torn bytes.
pub fn exact_cells(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&str, ValueRef<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        match split_cell(bytes) {
            Some((name, value, rest)) => {
                bytes = rest;
                Some(Ok((name, value)))
            }
            None => {
                bytes = &[];
                Some(Err(Error::damaged(format!("the column {EXACT} holds torn bytes"))))
            }
        }
    })
}

fn split_cell(bytes: &[u8]) -> Option<(&str, ValueRef<'_>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
    let (class, rest) = rest.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let value = match class {
        1 => ValueRef::Int(i64::from_le_bytes(payload.try_into().ok()?)),
        2 => ValueRef::Real(f64::from_bits(u64::from_le_bytes(payload.try_into().ok()?))),
        3 => ValueRef::Text(payload),
        4 => ValueRef::Blob(payload),
        _ => return None,
    };
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

/// Reads cells of a batch whose columns travel in known carriers, misfits included.
#[derive(Debug)]
pub struct Cells<'a> {
    columns: Vec<(&'a str, Carrier, &'a dyn Array)>,
    exact: Option<&'a BinaryArray>,
}

impl<'a> Cells<'a> {
    /// Cells of `columns` (name in the batch, name in EXACT cells, carrier), with the
    /// misfits in the batch's column `exact`.
    pub fn new(
        batch: &'a RecordBatch,
        columns: impl IntoIterator<Item = (&'a str, &'a str, Carrier)>,
        exact: &str,
    ) -> Result<Self> {
        let columns = columns
            .into_iter()
            .map(|(field, name, carrier)| {
                let array = batch.column_by_name(field).ok_or_else(|| missing_field(field))?;
                if *array.data_type() != carrier.data_type() {
                    return Err(Error::failed(format!(
                        "column {field} travels as {}, not as {}",
                        array.data_type(),
                        carrier.data_type()
                    )));
                }
                Ok((name, carrier, array.as_ref()))
            })
            .collect::<Result<Vec<_>>>()?;
        let exact = batch.column_by_name(exact).and_then(|a| a.as_binary_opt::<i32>());
        Ok(Self { columns, exact: exact.filter(|e| e.null_count() < e.len()) })
    }

    /// How many columns there are.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The cell in `row` of the `column`-th column.
    pub fn get(&self, row: usize, column: usize) -> Result<ValueRef<'a>> {
        let (name, carrier, array) = self.columns[column];
        if array.is_valid(row) {
            return Ok(carried(array, carrier, row));
        }
        let Some(exact) = self.exact.filter(|e| e.is_valid(row)) else {
            return Ok(ValueRef::Null);
        };
        for cell in exact_cells(exact.value(row)) {
            let (cell_name, value) = cell?;
            if cell_name == name {
                return Ok(value);
            }
        }
        Ok(ValueRef::Null)
    }
}

fn missing_field(field: &str) -> Error {
    Error::failed(format!("a batch lacks the column {field}"))
}

fn carried(array: &dyn Array, carrier: Carrier, row: usize) -> ValueRef<'_> {
    match (carrier, array.data_type()) {
        (Carrier::Int, _) => ValueRef::Int(array.as_primitive::<Int64Type>().value(row)),
        (Carrier::Real, _) => ValueRef::Real(array.as_primitive::<Float64Type>().value(row)),
        (Carrier::Number, _) => {
            let r = array.as_primitive::<Float64Type>().value(row);
            if stands_for_integer(r) { ValueRef::Int(r as i64) } else { ValueRef::Real(r) }
        }
        (Carrier::Text, DataType::Utf8) => {
            ValueRef::Text(array.as_string::<i32>().value(row).as_bytes())
        }
        (Carrier::Text | Carrier::Blob, _) => ValueRef::Blob(array.as_binary::<i32>().value(row)),
    }
}
