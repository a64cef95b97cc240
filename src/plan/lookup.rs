//! Looking up tuples of a batch's rows on a side: who has this e-mail already, does this
//! parent exist. Tuples are compared as the columns' live collations do.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, filter_record_batch, lexsort_to_indices, take_record_batch};

use crate::error::Result;
use crate::model::table::{Column, TableName, scan_schema};
use crate::model::value::{Cells, EXACT, Value, collated};
use crate::source::Source;

/// A batch of rows whose columns and EXACT follow [`scan_schema`].
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The columns.
    pub columns: &'a [Column],
    /// The rows.
    pub batch: &'a RecordBatch,
}

impl<'a> Rows<'a> {
    /// Cells of the named columns, in this order.
    pub fn cells(&self, names: &'a [String]) -> Result<Cells<'a>> {
        let picked = names.iter().filter_map(|n| self.columns.iter().find(|c| c.name == *n));
        let picked = picked.map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        Cells::new(self.batch, picked, EXACT)
    }

    /// True when every one of these names is among the columns.
    pub fn have(&self, names: &[String]) -> bool {
        names.iter().all(|n| self.columns.iter().any(|c| c.name == *n))
    }

    /// A row's cells of the named columns, owned.
    pub fn tuple(&self, names: &'a [String], row: usize) -> Result<Vec<Value>> {
        let cells = self.cells(names)?;
        (0..cells.width()).map(|c| Ok(cells.get(row, c)?.to_owned())).collect()
    }
}

/// Finds on `source` the rows of `table` whose columns `theirs` hold the tuples that
/// `rows` holds in the columns `ours`, and gives for each such tuple (as [`collated`]
/// bytes) the wanted cells of the row found.
///
/// `theirs` are the looked-up columns as live has them; `wanted` are further columns.
pub async fn find(
    source: &dyn Source,
    table: &TableName,
    theirs: &[Column],
    wanted: &[Column],
    rows: Rows<'_>,
    ours: &[String],
) -> Result<HashMap<Vec<u8>, Vec<Value>>> {
    let mut found = HashMap::new();
    let Some(keys) = keys(rows, ours, theirs)? else { return Ok(found) };
    let mut columns = theirs.to_vec();
    columns.extend(wanted.iter().filter(|w| !theirs.iter().any(|t| t.name == w.name)).cloned());
    let batch = source.fetch(table, &columns, theirs, &keys).await?;
    let rows = Rows { columns: &columns, batch: &batch };
    let their_names: Vec<String> = theirs.iter().map(|c| c.name.clone()).collect();
    let wanted_names: Vec<String> = wanted.iter().map(|c| c.name.clone()).collect();
    let (their_cells, wanted_cells) = (rows.cells(&their_names)?, rows.cells(&wanted_names)?);
    for row in 0..batch.num_rows() {
        if let Some(tuple) = collated(&their_cells, row, theirs)? {
            let values = (0..wanted_cells.width())
                .map(|c| Ok(wanted_cells.get(row, c)?.to_owned()))
                .collect::<Result<Vec<_>>>()?;
            found.insert(tuple, values);
        }
    }
    Ok(found)
}

/// Keys in ascending order, as [`Source::fetch`] wants them.
pub(crate) fn ascending(keys: &RecordBatch) -> Result<RecordBatch> {
    let schema = keys.schema();
    let columns = schema.fields().iter().zip(keys.columns()).filter(|(f, _)| f.name() != EXACT);
    let sort: Vec<SortColumn> =
        columns.map(|(_, a)| SortColumn { values: a.clone(), options: None }).collect();
    Ok(take_record_batch(keys, &lexsort_to_indices(&sort, None)?)?)
}

/// The distinct tuples without NULL or misfit, ascending, as the fetch wants them; `None`
/// when there is none. A tuple with a misfit cell can't be looked up, and is left to the
/// constraint itself when the row is written.
fn keys(rows: Rows<'_>, ours: &[String], theirs: &[Column]) -> Result<Option<RecordBatch>> {
    let arrays: Vec<_> = ours
        .iter()
        .zip(theirs)
        .filter_map(|(name, column)| {
            let array = rows.batch.column_by_name(name)?;
            (*array.data_type() == column.carrier.data_type()).then(|| array.clone())
        })
        .collect();
    if arrays.len() != ours.len() || arrays.is_empty() {
        return Ok(None);
    }
    let schema = scan_schema(theirs);
    let fields: Vec<_> = schema.fields().iter().take(arrays.len()).cloned().collect();
    let batch =
        RecordBatch::try_new(std::sync::Arc::new(arrow::datatypes::Schema::new(fields)), arrays)?;
    let kept: Vec<bool> =
        (0..batch.num_rows()).map(|row| batch.columns().iter().all(|a| a.is_valid(row))).collect();
    if !kept.contains(&true) {
        return Ok(None);
    }
    let sorted = ascending(&filter_record_batch(&batch, &BooleanArray::from(kept))?)?;
    let distinct = arrow::compute::partition(sorted.columns())?;
    let firsts: Vec<u32> = distinct.ranges().iter().map(|r| r.start as u32).collect();
    Ok(Some(take_record_batch(&sorted, &UInt32Array::from(firsts))?))
}
