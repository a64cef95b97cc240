//! Change batches from the merge's segments: which rows go out, and gathering them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch, UInt8Array, UInt32Array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;

use crate::diff::spec::DiffSpec;
use crate::error::{Error, Result};
use crate::model::change::Change;
use crate::model::side::{Side, Which};
use crate::model::value::{EXACT, exact_cells, push_exact};

/// Batches go out at this many bytes, however few rows they have.
const BATCH_BYTES: usize = 512 << 10;

/// The rows of one merge step that go out.
#[derive(Debug, Default)]
pub(crate) struct Picks {
    change: Vec<u8>,
    backup: Vec<u32>,
    has_backup: Vec<bool>,
    live: Vec<u32>,
    has_live: Vec<bool>,
    masks: BinaryBuilder,
}

impl Picks {
    /// Picks a row of either side or of both; `mask` is for changed rows.
    pub(crate) fn push(&mut self, change: Change, rows: Side<Option<usize>>, mask: Option<&[u8]>) {
        self.change.push(change as u8);
        self.backup.push(rows.backup.unwrap_or(0) as u32);
        self.has_backup.push(rows.backup.is_some());
        self.live.push(rows.live.unwrap_or(0) as u32);
        self.has_live.push(rows.live.is_some());
        self.masks.append_option(mask);
    }
}

/// Gathers picked rows into change batches of about `batch_rows` rows.
#[derive(Debug)]
pub(crate) struct Assembler {
    schema: SchemaRef,
    /// For each side the scan's columns that are carried.
    carried: Side<Vec<usize>>,
    batch_rows: usize,
    parts: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Assembler {
    pub(crate) fn new(spec: &DiffSpec, batch_rows: usize) -> Result<Self> {
        let carried = |which: Which| -> Result<Vec<usize>> {
            let read = spec.read(which)?;
            let index = |name: &str| read.iter().position(|c| c.name == name);
            let carry = spec.carry.get(which).iter().map(|c| index(&c.name));
            carry
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| Error::failed("a carried column is not read"))
        };
        let carried = Side { backup: carried(Which::Backup)?, live: carried(Which::Live)? };
        let (parts, rows, bytes) = (Vec::new(), 0, 0);
        Ok(Self { schema: spec.schema(), carried, batch_rows, parts, rows, bytes })
    }

    /// Takes the picked rows out of the sides' batches.
    pub(crate) fn add(
        &mut self,
        mut picks: Picks,
        batches: Side<Option<&RecordBatch>>,
    ) -> Result<()> {
        let rows = picks.change.len();
        if rows == 0 {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        columns.push(Arc::new(UInt8Array::from(picks.change)));
        columns.push(Arc::new(picks.masks.finish()));
        let indices = |rows: Vec<u32>, has: Vec<bool>| {
            let nulls = has.contains(&false).then(|| NullBuffer::from(has));
            UInt32Array::new(rows.into(), nulls)
        };
        let backup = indices(picks.backup, picks.has_backup);
        gather(&self.carried.backup, batches.backup, &backup, &self.schema, &mut columns)?;
        let live = indices(picks.live, picks.has_live);
        gather(&self.carried.live, batches.live, &live, &self.schema, &mut columns)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.rows += rows;
        self.bytes += batch.get_array_memory_size();
        self.parts.push(batch);
        Ok(())
    }

    /// A batch, when there is enough for one.
    pub(crate) fn ready(&mut self) -> Result<Option<RecordBatch>> {
        match self.rows >= self.batch_rows || self.bytes >= BATCH_BYTES {
            true => self.finish(),
            false => Ok(None),
        }
    }

    /// What is left.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let parts = std::mem::take(&mut self.parts);
        (self.rows, self.bytes) = (0, 0);
        match parts.len() {
            0 => Ok(None),
            1 => Ok(parts.into_iter().next()),
            _ => Ok(Some(concat_batches(&self.schema, &parts)?)),
        }
    }
}

/// Appends a side's carried columns and their misfits.
fn gather(
    carried: &[usize],
    batch: Option<&RecordBatch>,
    rows: &UInt32Array,
    schema: &SchemaRef,
    columns: &mut Vec<ArrayRef>,
) -> Result<()> {
    let Some(batch) = batch else {
        for _ in 0..=carried.len() {
            let kind = schema.field(columns.len()).data_type();
            columns.push(new_null_array(kind, rows.len()));
        }
        return Ok(());
    };
    for index in carried {
        columns.push(take(batch.column(*index), rows, None)?);
    }
    columns.push(match batch.column_by_name(EXACT) {
        Some(exact) if exact.null_count() < batch.num_rows() => {
            let exact = take(exact, rows, None)?;
            let all = carried.len() + 1 == batch.num_columns();
            if all { exact } else { only(exact.as_binary(), carried, batch)? }
        }
        _ => Arc::new(BinaryArray::new_null(rows.len())),
    });
    Ok(())
}

/// The misfit cells of the carried columns only.
fn only(exact: &BinaryArray, carried: &[usize], batch: &RecordBatch) -> Result<ArrayRef> {
    let schema = batch.schema();
    let mut builder = BinaryBuilder::with_capacity(exact.len(), exact.value_data().len());
    let mut kept = Vec::new();
    for cells in exact {
        kept.clear();
        for cell in exact_cells(cells.unwrap_or_default()) {
            let (name, value) = cell?;
            if carried.iter().any(|index| schema.field(*index).name() == name) {
                push_exact(&mut kept, name, value);
            }
        }
        builder.append_option((!kept.is_empty()).then_some(&kept));
    }
    Ok(Arc::new(builder.finish()))
}
