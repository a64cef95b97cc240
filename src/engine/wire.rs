//! Rows off a server's wire into Arrow arrays, each column in the carrier that was asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use crate::error::{Error, Result};
use crate::fit::carry::{Carried, CarrierBuilder, exact_column};
use crate::model::table::{Column, scan_schema};
use crate::model::value::{Value, ValueRef};

/// Rows in a full batch.
pub(crate) const BATCH_ROWS: usize = 8192;

/// A batch with this many bytes is full too.
const BATCH_BYTES: usize = 4 << 20;

/// How the values of a column come over the wire.
pub(crate) trait Form: Copy {
    /// The value of a cell's bytes; text may be put together in `scratch`. `None` for bytes
    /// that are none of this form.
    fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> Option<ValueRef<'a>>;
}

/// A batch under construction.
#[derive(Debug)]
pub(crate) struct Rows<F> {
    columns: Vec<Column>,
    forms: Vec<F>,
    builders: Vec<CarrierBuilder>,
    rows: usize,
    bytes: usize,
    scratch: String,
}

impl<F: Form> Rows<F> {
    /// An empty batch of these columns, whose values come in these forms.
    pub(crate) fn new(columns: &[Column], forms: Vec<F>, rows: usize) -> Self {
        Self {
            builders: builders(columns, rows),
            columns: columns.to_vec(),
            forms,
            rows: 0,
            bytes: 0,
            scratch: String::new(),
        }
    }

    /// True when the batch should be handed on.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Appends a row, whose cell for a column's place `cell` gives; `None` is NULL. Returns
    /// its bytes.
    pub(crate) fn push<'r>(
        &mut self,
        mut cell: impl FnMut(usize) -> Option<&'r [u8]>,
    ) -> Result<usize> {
        let mut bytes = 0;
        for (at, (builder, form)) in self.builders.iter_mut().zip(&self.forms).enumerate() {
            match cell(at) {
                None => builder.push(ValueRef::Null),
                Some(cell) => {
                    bytes += cell.len();
                    let value = form.decode(cell, &mut self.scratch);
                    builder.push(value.ok_or_else(|| torn(&self.columns[at].name))?);
                }
            }
        }
        self.rows += 1;
        self.bytes += bytes;
        Ok(bytes)
    }

    /// Appends a row of NULLs.
    pub(crate) fn push_absent(&mut self) {
        self.builders.iter_mut().for_each(|builder| builder.push(ValueRef::Null));
        self.rows += 1;
    }

    /// The batch, and an empty one in its place.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let full = std::mem::replace(&mut self.builders, builders(&self.columns, rows));
        let carried: Vec<Carried> = full.into_iter().map(CarrierBuilder::finish).collect();
        let exact = exact_column(self.columns.iter().zip(&carried), rows);
        let mut arrays: Vec<ArrayRef> = carried.into_iter().map(|c| c.array).collect();
        arrays.push(Arc::new(exact));
        Ok(RecordBatch::try_new(scan_schema(&self.columns), arrays)?)
    }
}

fn builders(columns: &[Column], rows: usize) -> Vec<CarrierBuilder> {
    columns.iter().map(|column| CarrierBuilder::new(column.carrier, rows)).collect()
}

/// The values of cells in these forms, by their places.
pub(crate) fn tuple<'r, F: Form>(
    forms: &[F],
    mut cell: impl FnMut(usize) -> Option<&'r [u8]>,
) -> Result<Vec<Value>> {
    let mut scratch = String::new();
    forms
        .iter()
        .enumerate()
        .map(|(at, form)| match cell(at) {
            None => Ok(Value::Null),
            Some(cell) => {
                let value = form.decode(cell, &mut scratch).map(ValueRef::to_owned);
                value.ok_or_else(|| torn("of the key"))
            }
        })
        .collect()
}

fn torn(column: &str) -> Error {
    Error::failed(format!("the server sent a cell of column {column} that is not of its type"))
}

/// The place of a cell among those that are selected, at the end where it is not there yet.
pub(crate) fn place(cells: &mut Vec<String>, cell: String) -> usize {
    let known = cells.iter().position(|known| *known == cell);
    known.unwrap_or_else(|| {
        cells.push(cell);
        cells.len() - 1
    })
}

/// The cells of a catalogue's row; NULL and what is not there are empty.
pub(crate) fn words<const N: usize>(row: Vec<Option<String>>) -> [String; N] {
    let mut cells = row.into_iter();
    std::array::from_fn(|_| cells.next().flatten().unwrap_or_default())
}
