//! Rows of running statements, gathered into a batch of a plan's columns and EXACT.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};

use crate::engine::sqlite::raw::Row;
use crate::error::Result;
use crate::model::table::{Carrier, Column, scan_schema};
use crate::model::value::{ValueRef, fits, push_exact};

/// Builds one column in its carrier.
enum Values {
    Int(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
}

impl Values {
    fn new(carrier: Carrier, rows: usize) -> Self {
        match carrier {
            Carrier::Int => Values::Int(Int64Builder::with_capacity(rows)),
            Carrier::Real | Carrier::Number => Values::Real(Float64Builder::with_capacity(rows)),
            Carrier::Text => Values::Text(StringBuilder::with_capacity(rows, rows * 16)),
            Carrier::Blob => Values::Blob(BinaryBuilder::with_capacity(rows, rows * 16)),
        }
    }

    fn null(&mut self) {
        match self {
            Values::Int(b) => b.append_null(),
            Values::Real(b) => b.append_null(),
            Values::Text(b) => b.append_null(),
            Values::Blob(b) => b.append_null(),
        }
    }

    /// Appends the value, or NULL and `false` when the carrier can't hold it.
    fn push(&mut self, value: ValueRef<'_>, carrier: Carrier) -> bool {
        match (&mut *self, value) {
            (Values::Int(b), ValueRef::Int(i)) => b.append_value(i),
            (Values::Real(b), ValueRef::Real(r)) if fits(value, carrier) => b.append_value(r),
            (Values::Real(b), ValueRef::Int(i)) if fits(value, carrier) => b.append_value(i as f64),
            (Values::Blob(b), ValueRef::Blob(bytes)) => b.append_value(bytes),
            (Values::Text(b), ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => b.append_value(text),
                Err(_) => {
                    b.append_null();
                    return false;
                }
            },
            (_, value) => {
                self.null();
                return value.is_null();
            }
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Int(b) => Arc::new(b.finish()),
            Values::Real(b) => Arc::new(b.finish()),
            Values::Text(b) => Arc::new(b.finish()),
            Values::Blob(b) => Arc::new(b.finish()),
        }
    }
}

/// Builds a batch row by row.
pub(super) struct Rows<'a> {
    columns: &'a [Column],
    values: Vec<Values>,
    exact: BinaryBuilder,
    /// The columns in the order of their names, as EXACT cells stand.
    by_name: Vec<usize>,
    misfits: Vec<bool>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(columns: &'a [Column], rows: usize) -> Self {
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by(|a, b| columns[*a].name.cmp(&columns[*b].name));
        Self {
            columns,
            values: columns.iter().map(|c| Values::new(c.carrier, rows)).collect(),
            exact: BinaryBuilder::with_capacity(rows, 0),
            by_name,
            misfits: vec![false; columns.len()],
        }
    }

    /// Appends the statement's row, whose columns from `first` are this batch's.
    pub(super) fn push(&mut self, row: &Row<'_>, first: usize) {
        let mut fit = true;
        for (i, values) in self.values.iter_mut().enumerate() {
            let ok = values.push(row.get(first + i), self.columns[i].carrier);
            self.misfits[i] = !ok;
            fit &= ok;
        }
        if fit {
            self.exact.append_null();
            return;
        }
        let mut cells = Vec::new();
        for &i in self.by_name.iter().filter(|i| self.misfits[**i]) {
            push_exact(&mut cells, &self.columns[i].name, row.get(first + i));
        }
        self.exact.append_value(cells);
    }

    /// Appends a row that is not there.
    pub(super) fn push_absent(&mut self) {
        self.values.iter_mut().for_each(Values::null);
        self.exact.append_null();
    }

    pub(super) fn finish(mut self) -> Result<RecordBatch> {
        let mut arrays: Vec<ArrayRef> = self.values.iter_mut().map(Values::finish).collect();
        arrays.push(Arc::new(self.exact.finish()));
        Ok(RecordBatch::try_new(scan_schema(self.columns), arrays)?)
    }
}
