//! Rows of a statement into Arrow arrays, each column in the carrier that was asked for.

mod texts;

use std::mem::replace;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch,
    new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef};

use crate::engine::sqlite::raw::Row;
use crate::engine::sqlite::rows::texts::{Malformed, Texts};
use crate::error::Result;
use crate::model::table::{Carrier, Column, scan_schema};
use crate::model::value::{ValueRef, exact_cells, fits, push_exact};

/// Rows in a full batch.
pub(crate) const BATCH_ROWS: usize = 2048;

/// A batch with this many bytes of text and blobs is full too.
const BATCH_BYTES: usize = 8 << 20;

/// A batch under construction.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    names: Vec<String>,
    /// The place of each column in the order of names.
    ranks: Vec<usize>,
    builders: Vec<Builder>,
    exact: Option<BinaryBuilder>,
    misfits: Vec<usize>,
    payload: Vec<u8>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Builder {
    Int(Int64Builder),
    Real(Float64Builder),
    Number(Float64Builder),
    Text(Texts),
    Blob(BinaryBuilder),
    /// A carrier that SQLite has no value for: so many NULLs.
    Foreign(DataType, usize),
}

impl Builder {
    fn new(carrier: Carrier, rows: usize) -> Self {
        match carrier {
            Carrier::Int => Builder::Int(Int64Builder::with_capacity(rows)),
            Carrier::Real => Builder::Real(Float64Builder::with_capacity(rows)),
            Carrier::Number => Builder::Number(Float64Builder::with_capacity(rows)),
            Carrier::Text => Builder::Text(Texts::with_capacity(rows, rows * 16)),
            Carrier::Blob => Builder::Blob(BinaryBuilder::with_capacity(rows, rows * 16)),
            other => Builder::Foreign(other.data_type(), 0),
        }
    }

    fn append_null(&mut self) {
        match self {
            Builder::Int(b) => b.append_null(),
            Builder::Real(b) | Builder::Number(b) => b.append_null(),
            Builder::Text(b) => b.push_null(),
            Builder::Blob(b) => b.append_null(),
            Builder::Foreign(_, rows) => *rows += 1,
        }
    }

    /// The array so far, with the texts that are no UTF-8, and the builder ready for `next` rows
    /// like them.
    fn finish(&mut self, next: usize) -> (ArrayRef, Vec<Malformed>) {
        // A little more than they had: what is too small is doubled, and copied for it.
        let room = |used: usize| if next == 0 { 0 } else { used + used / 8 };
        let array: ArrayRef = match self {
            Builder::Int(b) => {
                let array = Arc::new(b.finish());
                *b = Int64Builder::with_capacity(next);
                array
            }
            Builder::Real(b) | Builder::Number(b) => {
                let array = Arc::new(b.finish());
                *b = Float64Builder::with_capacity(next);
                array
            }
            Builder::Text(b) => {
                let empty = Texts::with_capacity(next, room(b.size()));
                let (array, malformed) = replace(b, empty).finish();
                return (Arc::new(array), malformed);
            }
            Builder::Blob(b) => {
                let array = b.finish();
                *b = BinaryBuilder::with_capacity(next, room(array.value_data().len()));
                Arc::new(array)
            }
            Builder::Foreign(data_type, rows) => new_null_array(data_type, std::mem::take(rows)),
        };
        (array, Vec::new())
    }
}

impl Rows {
    /// An empty batch of these columns, with room for `rows` rows.
    pub(crate) fn new(columns: &[Column], rows: usize) -> Self {
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by(|a, b| columns[*a].name.cmp(&columns[*b].name));
        let mut ranks = vec![0; columns.len()];
        for (rank, column) in by_name.into_iter().enumerate() {
            ranks[column] = rank;
        }
        Self {
            schema: scan_schema(columns),
            names: columns.iter().map(|c| c.name.clone()).collect(),
            ranks,
            builders: columns.iter().map(|c| Builder::new(c.carrier, rows)).collect(),
            exact: None,
            misfits: Vec::new(),
            payload: Vec::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// True when the batch should be handed on.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// True when there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends the statement's current row, whose first cells are the columns in order.
    pub(crate) fn push(&mut self, row: &Row<'_>) {
        for (index, builder) in self.builders.iter_mut().enumerate() {
            match (&mut *builder, row.get(index)) {
                (Builder::Int(b), ValueRef::Int(i)) => b.append_value(i),
                (Builder::Text(b), ValueRef::Text(bytes)) => {
                    self.bytes += bytes.len();
                    b.push(bytes);
                }
                (Builder::Real(b), ValueRef::Real(r)) => b.append_value(r),
                (Builder::Number(b), ValueRef::Int(i))
                    if fits(ValueRef::Int(i), Carrier::Number) =>
                {
                    b.append_value(i as f64);
                }
                (Builder::Number(b), ValueRef::Real(r))
                    if fits(ValueRef::Real(r), Carrier::Number) =>
                {
                    b.append_value(r);
                }
                (Builder::Blob(b), ValueRef::Blob(bytes)) => {
                    self.bytes += bytes.len();
                    b.append_value(bytes);
                }
                (builder, ValueRef::Null) => builder.append_null(),
                (builder, _) => {
                    builder.append_null();
                    self.misfits.push(index);
                }
            }
        }
        if !self.misfits.is_empty() {
            self.push_misfits(row);
        } else if let Some(exact) = &mut self.exact {
            exact.append_null();
        }
        self.rows += 1;
    }

    /// Appends a row of NULLs.
    pub(crate) fn push_absent(&mut self) {
        self.builders.iter_mut().for_each(Builder::append_null);
        if let Some(exact) = &mut self.exact {
            exact.append_null();
        }
        self.rows += 1;
    }

    fn push_misfits(&mut self, row: &Row<'_>) {
        self.misfits.sort_unstable_by_key(|column| self.ranks[*column]);
        for column in self.misfits.drain(..) {
            push_exact(&mut self.payload, &self.names[column], row.get(column));
        }
        let rows = self.rows;
        let exact = self.exact.get_or_insert_with(|| {
            let mut exact = BinaryBuilder::new();
            exact.append_nulls(rows);
            exact
        });
        exact.append_value(&self.payload);
        self.bytes += self.payload.len();
        self.payload.clear();
    }

    /// The batch, and an empty one of its size in its place.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        self.batch(self.rows)
    }

    /// The batch, after which no other comes.
    pub(crate) fn finish(mut self) -> Result<RecordBatch> {
        self.batch(0)
    }

    fn batch(&mut self, next: usize) -> Result<RecordBatch> {
        let exact = match self.exact.take() {
            Some(mut exact) => exact.finish(),
            None => BinaryArray::new_null(self.rows),
        };
        self.rows = 0;
        self.bytes = 0;
        let mut arrays = Vec::with_capacity(self.builders.len() + 1);
        let mut malformed = Vec::new();
        for (column, builder) in self.builders.iter_mut().enumerate() {
            let (array, texts) = builder.finish(next);
            arrays.push(array);
            malformed.extend(texts.into_iter().map(|(row, text)| (row, column, text)));
        }
        let exact = if malformed.is_empty() { exact } else { self.joined(&exact, malformed)? };
        arrays.push(Arc::new(exact));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }

    /// The rows' misfit cells with those of texts that are no UTF-8: row, column and bytes.
    fn joined(
        &self,
        exact: &BinaryArray,
        mut malformed: Vec<(usize, usize, Vec<u8>)>,
    ) -> Result<BinaryArray> {
        malformed.sort_unstable_by_key(|(row, column, _)| (*row, self.ranks[*column]));
        let mut malformed = malformed.iter().peekable();
        let mut joined = BinaryBuilder::new();
        let mut payload = Vec::new();
        for row in 0..exact.len() {
            let known = if exact.is_valid(row) { exact.value(row) } else { &[] };
            let mut cells = exact_cells(known).collect::<Result<Vec<_>>>()?;
            while let Some((_, column, text)) = malformed.next_if(|(at, _, _)| *at == row) {
                cells.push((&self.names[*column], ValueRef::Text(text)));
            }
            cells.sort_by_key(|(name, _)| *name);
            payload.clear();
            for (name, value) in cells {
                push_exact(&mut payload, name, value);
            }
            joined.append_option((!payload.is_empty()).then_some(&payload));
        }
        Ok(joined.finish())
    }
}

#[cfg(test)]
mod tests;
