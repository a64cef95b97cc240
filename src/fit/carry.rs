//! Building a carrier column value by value, with the misfits aside, and the EXACT column
//! out of the misfits of all columns of a batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
    UInt64Builder, new_null_array,
};

use crate::error::Result;
use crate::model::table::{Carrier, Column, scan_schema};
use crate::model::value::{Value, ValueRef, fits, push_exact, push_unfit};

/// A column in its carrier, and the values that did not fit it, by row.
#[derive(Debug)]
pub struct Carried {
    /// The carrier's array; NULL where a misfit stands.
    pub array: ArrayRef,
    /// The misfits in ascending row order.
    pub misfits: Vec<(usize, Value)>,
    /// The rows whose value live's column can't hold, ascending; NULL in the array.
    pub unfit: Vec<usize>,
}

impl From<ArrayRef> for Carried {
    /// A column all of whose values fit.
    fn from(array: ArrayRef) -> Self {
        Self { array, misfits: Vec::new(), unfit: Vec::new() }
    }
}

/// Builds one column of one carrier.
#[derive(Debug)]
pub struct CarrierBuilder {
    carrier: Carrier,
    array: Builder,
    rows: usize,
    misfits: Vec<(usize, Value)>,
}

#[derive(Debug)]
enum Builder {
    Int(Int64Builder),
    Unsigned(UInt64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
    Bool(BooleanBuilder),
    Date(Date32Builder),
    Moment(TimestampMicrosecondBuilder),
    Decimal(Decimal128Builder),
}

impl CarrierBuilder {
    /// A builder with room for `rows`.
    pub fn new(carrier: Carrier, rows: usize) -> Self {
        let array = match carrier {
            Carrier::Int => Builder::Int(Int64Builder::with_capacity(rows)),
            Carrier::Unsigned => Builder::Unsigned(UInt64Builder::with_capacity(rows)),
            Carrier::Real | Carrier::Number => Builder::Real(Float64Builder::with_capacity(rows)),
            Carrier::Text => Builder::Text(StringBuilder::with_capacity(rows, rows * 16)),
            Carrier::Blob => Builder::Blob(BinaryBuilder::with_capacity(rows, rows * 16)),
            Carrier::Bool => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            Carrier::Date => Builder::Date(Date32Builder::with_capacity(rows)),
            Carrier::Stamp | Carrier::Instant => Builder::Moment(
                TimestampMicrosecondBuilder::with_capacity(rows)
                    .with_data_type(carrier.data_type()),
            ),
            Carrier::Decimal { .. } => Builder::Decimal(
                Decimal128Builder::with_capacity(rows).with_data_type(carrier.data_type()),
            ),
        };
        Self { carrier, array, rows: 0, misfits: Vec::new() }
    }

    /// A column of NULLs.
    pub fn nulls(carrier: Carrier, rows: usize) -> Carried {
        new_null_array(&carrier.data_type(), rows).into()
    }

    /// Appends a value, to the array or to the misfits.
    pub fn push(&mut self, value: ValueRef<'_>) {
        let row = self.rows;
        self.rows += 1;
        if let (Builder::Text(b), ValueRef::Text(t)) = (&mut self.array, value) {
            // UTF-8 is all that a text's carrier asks for, and is looked at once.
            if let Ok(text) = std::str::from_utf8(t) {
                return b.append_value(text);
            }
        } else if fits(value, self.carrier) {
            match (&mut self.array, value) {
                (Builder::Int(b), ValueRef::Int(i)) => return b.append_value(i),
                (Builder::Unsigned(b), ValueRef::Int(i)) => {
                    return b.append_value(i.unsigned_abs());
                }
                (Builder::Unsigned(b), ValueRef::Unsigned(u)) => return b.append_value(u),
                (Builder::Real(b), ValueRef::Int(i)) => return b.append_value(i as f64),
                (Builder::Real(b), ValueRef::Real(r)) => return b.append_value(r),
                (Builder::Blob(b), ValueRef::Blob(bytes)) => return b.append_value(bytes),
                (Builder::Bool(b), ValueRef::Bool(truth)) => return b.append_value(truth),
                (Builder::Date(b), ValueRef::Date(day)) => return b.append_value(day),
                (Builder::Moment(b), ValueRef::Stamp(micros) | ValueRef::Instant(micros)) => {
                    return b.append_value(micros);
                }
                (Builder::Decimal(b), ValueRef::Decimal(digits, _)) => {
                    return b.append_value(digits);
                }
                _ => {}
            }
        }
        match &mut self.array {
            Builder::Int(b) => b.append_null(),
            Builder::Unsigned(b) => b.append_null(),
            Builder::Real(b) => b.append_null(),
            Builder::Text(b) => b.append_null(),
            Builder::Blob(b) => b.append_null(),
            Builder::Bool(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Moment(b) => b.append_null(),
            Builder::Decimal(b) => b.append_null(),
        }
        if !value.is_null() {
            self.misfits.push((row, value.to_owned()));
        }
    }

    /// The finished column.
    pub fn finish(mut self) -> Carried {
        let array: ArrayRef = match &mut self.array {
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Unsigned(b) => Arc::new(b.finish()),
            Builder::Real(b) => Arc::new(b.finish()),
            Builder::Text(b) => Arc::new(b.finish()),
            Builder::Blob(b) => Arc::new(b.finish()),
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Moment(b) => Arc::new(b.finish()),
            Builder::Decimal(b) => Arc::new(b.finish()),
        };
        Carried { misfits: self.misfits, ..array.into() }
    }
}

/// The EXACT column of a batch of `rows` rows: the misfits and the marks of its columns, the cells of a
/// row in the order of the column names.
pub fn exact_column<'a, 'b>(
    columns: impl IntoIterator<Item = (&'a Column, &'b Carried)>,
    rows: usize,
) -> BinaryArray {
    let columns: Vec<(&Column, &Carried)> = columns.into_iter().collect();
    let mut cells: Vec<(usize, &str, Option<&Value>)> = columns
        .into_iter()
        .flat_map(|(column, carried)| {
            let name = column.name.as_str();
            let misfits = carried.misfits.iter().map(move |(row, v)| (*row, name, Some(v)));
            misfits.chain(carried.unfit.iter().map(move |row| (*row, name, None)))
        })
        .collect();
    if cells.is_empty() {
        return BinaryArray::new_null(rows);
    }
    cells.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let mut exact = BinaryBuilder::with_capacity(rows, cells.len() * 24);
    let mut cells = cells.into_iter().peekable();
    let mut payload = Vec::new();
    for row in 0..rows {
        payload.clear();
        while let Some((_, name, value)) = cells.next_if(|cell| cell.0 == row) {
            match value {
                Some(value) => push_exact(&mut payload, name, value.as_ref()),
                None => push_unfit(&mut payload, name),
            }
        }
        if payload.is_empty() {
            exact.append_null();
        } else {
            exact.append_value(&payload);
        }
    }
    exact.finish()
}

/// A scan's batch of these rows: their cells in the order of the columns.
pub fn carry_rows(columns: &[Column], rows: &[Vec<Value>]) -> Result<RecordBatch> {
    let carried: Vec<Carried> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let mut builder = CarrierBuilder::new(column.carrier, rows.len());
            rows.iter().for_each(|row| builder.push(row[index].as_ref()));
            builder.finish()
        })
        .collect();
    let exact = exact_column(columns.iter().zip(&carried), rows.len());
    let mut arrays: Vec<ArrayRef> = carried.into_iter().map(|carried| carried.array).collect();
    arrays.push(Arc::new(exact));
    Ok(RecordBatch::try_new(scan_schema(columns), arrays)?)
}
