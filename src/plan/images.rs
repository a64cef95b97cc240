//! From change batches to row images: the columns of one side, under the names that the
//! plan gives them, cut into batches of the size of one transaction.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, RecordBatch, UInt32Array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, Int64Type};

use crate::error::{Error, Result};
use crate::model::change::side_field;
use crate::model::origin::FROM;
use crate::model::plan::Batch;
use crate::model::side::Which;
use crate::model::table::{Column, scan_schema};
use crate::model::value::{EXACT, exact_cells, push_exact};

/// One column of an image: where it comes from, and what it is in the image.
#[derive(Clone, Debug)]
pub struct Picked {
    /// The side it is read on.
    pub side: Which,
    /// Its name on that side.
    pub from: String,
    /// The column of the image; its carrier is that of the change batch's field.
    pub column: Column,
}

impl Picked {
    /// A side's column under its own name.
    pub fn own(side: Which, column: &Column) -> Self {
        Self { side, from: column.name.clone(), column: column.clone() }
    }
}

/// The numbers of the rows' backups, by the column [`FROM`] under this field's name; empty
/// where a batch has none.
pub fn origins(batch: &RecordBatch, field: &str) -> Result<Vec<u8>> {
    let Some(numbers) = batch.column_by_name(field) else { return Ok(Vec::new()) };
    let numbers = numbers.as_primitive::<Int64Type>().iter();
    let number = |n: Option<i64>| n.and_then(|n| u8::try_from(n).ok());
    let strange = || Error::failed("a row comes from no backup that is known");
    numbers.map(|n| number(n).ok_or_else(strange)).collect()
}

/// The rows without the column [`FROM`].
pub fn without_from(batch: &RecordBatch) -> Result<RecordBatch> {
    let named = |(_, field): &(usize, &Arc<Field>)| field.name() != FROM;
    let schema = batch.schema();
    let kept: Vec<usize> =
        schema.fields().iter().enumerate().filter(named).map(|(index, _)| index).collect();
    Ok(batch.project(&kept)?)
}

/// The image of the chosen rows of a change batch: a batch of the picked columns and
/// EXACT, which holds the misfits of these columns alone.
pub fn image(changes: &RecordBatch, rows: &UInt32Array, picked: &[Picked]) -> Result<RecordBatch> {
    let columns = picked.iter().map(|p| (p, side_field(p.side, &p.from)));
    let mut arrays = Vec::with_capacity(picked.len() + 1);
    for (p, field) in columns {
        let array = named(changes, &field)?;
        if *array.data_type() != p.column.carrier.data_type() {
            return Err(Error::failed(format!(
                "column {} travels as {} on the {} side, but {} needs {}",
                p.from,
                array.data_type(),
                p.side,
                p.column.name,
                p.column.carrier.data_type()
            )));
        }
        arrays.push(take(array, rows, None)?);
    }
    arrays.push(exact(changes, rows, picked)?);
    Ok(RecordBatch::try_new(scan_schema(picked.iter().map(|p| &p.column)), arrays)?)
}

fn named<'a>(batch: &'a RecordBatch, field: &str) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(field)
        .ok_or_else(|| Error::failed(format!("a change batch lacks the column {field}")))
}

/// The misfits of the picked columns, under their names in the image, sorted by name.
fn exact(changes: &RecordBatch, rows: &UInt32Array, picked: &[Picked]) -> Result<ArrayRef> {
    let mut sides: Vec<(Which, &BinaryArray)> = Vec::with_capacity(2);
    for which in [Which::Backup, Which::Live] {
        let cells = named(changes, &side_field(which, EXACT))?.as_binary::<i32>();
        if cells.null_count() < cells.len() {
            sides.push((which, cells));
        }
    }
    let mut out = BinaryBuilder::with_capacity(rows.len(), 0);
    for row in rows.values() {
        let row = *row as usize;
        let mut found = Vec::new();
        for (which, cells) in sides.iter().filter(|(_, cells)| cells.is_valid(row)) {
            for cell in exact_cells(cells.value(row)) {
                let (name, value) = cell?;
                let here = picked.iter().filter(|p| p.side == *which && p.from == name);
                found.extend(here.map(|p| (p.column.name.as_str(), value)));
            }
        }
        if found.is_empty() {
            out.append_null();
            continue;
        }
        found.sort_by_key(|(name, _)| *name);
        let mut bytes = Vec::new();
        for (name, value) in found {
            push_exact(&mut bytes, name, value);
        }
        out.append_value(bytes);
    }
    Ok(Arc::new(out.finish()))
}

/// Gathers images until there are enough rows for a batch.
#[derive(Debug)]
pub struct Batches {
    table: usize,
    size: usize,
    next_id: u64,
    before: Vec<RecordBatch>,
    after: Vec<RecordBatch>,
    from: Vec<u8>,
    counts: Vec<u64>,
    rows: usize,
}

impl Batches {
    /// Batches of the plan's `table`-th table with `size` rows each, numbered from `first_id`.
    pub fn new(table: usize, size: usize, first_id: u64) -> Self {
        let (before, after, from, counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { table, size: size.max(1), next_id: first_id, before, after, from, counts, rows: 0 }
    }

    /// The number of the next batch.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// How many of the rows so far come from each of several backups.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Adds the images of some rows and returns the batches that are full now. `from` has the number
    /// of each row's backup, where there are several.
    pub fn push(
        &mut self,
        before: Option<RecordBatch>,
        after: Option<RecordBatch>,
        from: &[u8],
    ) -> Result<Vec<Batch>> {
        for number in from {
            let number = usize::from(*number);
            self.counts.resize(self.counts.len().max(number + 1), 0);
            self.counts[number] += 1;
        }
        self.from.extend(from);
        self.rows += after.as_ref().or(before.as_ref()).map_or(0, RecordBatch::num_rows);
        self.before.extend(before);
        self.after.extend(after);
        let mut full = Vec::new();
        if self.rows < self.size {
            return Ok(full);
        }
        let (before, after) = (joined(&self.before)?, joined(&self.after)?);
        let mut start = 0;
        while self.rows - start >= self.size {
            full.push(
                self.batch(slice(&before, start, self.size), slice(&after, start, self.size)),
            );
            start += self.size;
        }
        let rest = self.rows - start;
        self.before =
            slice(&before, start, rest).into_iter().filter(|b| b.num_rows() > 0).collect();
        self.after = slice(&after, start, rest).into_iter().filter(|b| b.num_rows() > 0).collect();
        self.rows = rest;
        Ok(full)
    }

    /// The last, smaller batch, if any.
    pub fn finish(&mut self) -> Result<(Option<Batch>, u64)> {
        if self.rows == 0 {
            return Ok((None, self.next_id));
        }
        let (before, after) = (joined(&self.before)?, joined(&self.after)?);
        let last = self.batch(before, after);
        Ok((Some(last), self.next_id))
    }

    fn batch(&mut self, before: Option<RecordBatch>, after: Option<RecordBatch>) -> Batch {
        let id = self.next_id;
        self.next_id += 1;
        let rows = after.as_ref().or(before.as_ref()).map_or(0, RecordBatch::num_rows);
        let from = self.from.drain(..rows.min(self.from.len())).collect();
        Batch { id, table: self.table, before, after, from }
    }
}

fn joined(images: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    match images {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => Ok(Some(concat_batches(&several[0].schema(), several)?)),
    }
}

fn slice(image: &Option<RecordBatch>, start: usize, length: usize) -> Option<RecordBatch> {
    image.as_ref().map(|b| b.slice(start, length))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringArray, UInt8Array};

    use super::*;
    use crate::model::change::change_schema;
    use crate::model::side::Side;
    use crate::model::table::Carrier;
    use crate::model::value::{Cells, ValueRef};

    fn column(name: &str, carrier: Carrier) -> Column {
        Column::new(name, carrier)
    }

    #[test]
    fn an_image_takes_misfits_along_under_the_new_name() {
        let (id, at) = (column("id", Carrier::Int), column("updated_at", Carrier::Text));
        let carried = [id.clone(), at.clone()];
        let mut misfit = Vec::new();
        push_exact(&mut misfit, "updated_at", ValueRef::Blob(b"\x01"));
        let changes = RecordBatch::try_new(
            change_schema(Side { backup: &carried, live: &carried }),
            vec![
                Arc::new(UInt8Array::from(vec![2, 2])),
                Arc::new(BinaryArray::from_opt_vec(vec![None, None])),
                Arc::new(Int64Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec![Some("x"), None])),
                Arc::new(BinaryArray::from_opt_vec(vec![None, Some(&misfit)])),
                Arc::new(Int64Array::from(vec![1, 2])),
                Arc::new(StringArray::from(vec!["y", "y"])),
                Arc::new(BinaryArray::from_opt_vec(vec![None, None])),
            ],
        )
        .unwrap();
        let cancelled = column("cancelled_at", Carrier::Text);
        let picked = [
            Picked::own(Which::Live, &id),
            Picked { side: Which::Backup, from: "updated_at".into(), column: cancelled },
        ];
        let rows = UInt32Array::from(vec![1, 0]);
        let image = image(&changes, &rows, &picked).unwrap();
        let named = picked.iter().map(|p| {
            let name = p.column.name.as_str();
            (name, name, p.column.carrier)
        });
        let cells = Cells::new(&image, named, EXACT).unwrap();
        assert_eq!(cells.get(0, 0).unwrap(), ValueRef::Int(2));
        assert_eq!(cells.get(0, 1).unwrap(), ValueRef::Blob(b"\x01"));
        assert_eq!(cells.get(1, 1).unwrap(), ValueRef::Text(b"x"));
    }

    #[test]
    fn batches_have_the_size_and_keep_the_order() {
        let id = column("id", Carrier::Int);
        let schema = scan_schema([&id]);
        let image = |from: i64, to: i64| {
            let ids = Int64Array::from_iter_values(from..to);
            let none = BinaryArray::from_opt_vec(vec![None; (to - from) as usize]);
            RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(none)]).unwrap()
        };
        let mut batches = Batches::new(3, 4, 7);
        let mut out = batches.push(None, Some(image(0, 3)), &[0, 1, 1]).unwrap();
        assert!(out.is_empty());
        out.extend(batches.push(None, Some(image(3, 10)), &[0, 0, 2, 2, 2, 0, 1]).unwrap());
        let (last, next) = batches.finish().unwrap();
        out.extend(last);
        assert_eq!(next, 10);
        let sizes: Vec<(u64, usize)> = out.iter().map(|b| (b.id, b.rows())).collect();
        assert_eq!(sizes, [(7, 4), (8, 4), (9, 2)]);
        let from: Vec<&[u8]> = out.iter().map(|b| &b.from[..]).collect();
        assert_eq!(from, [&[0, 1, 1, 0][..], &[0, 2, 2, 2], &[0, 1]]);
        assert_eq!(batches.counts(), [4, 3, 3]);
        let mut ids = Vec::new();
        for batch in &out {
            let after = batch.after.as_ref().unwrap();
            let column = after.column(0).as_primitive::<arrow::datatypes::Int64Type>();
            ids.extend(column.values().iter().copied());
        }
        assert_eq!(ids, (0..10).collect::<Vec<i64>>());
    }
}
