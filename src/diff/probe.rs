//! Looking for losses before anything is compared or planned: some of live's rows beside the
//! backup's rows with their keys.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;

use crate::diff::loss::{Evidence, Loss};
use crate::diff::pair::TablePair;
use crate::error::Result;
use crate::model::side::Which;
use crate::model::table::{Carrier, Column, scan_schema};
use crate::model::value::{Cells, collated};
use crate::mount::Mount;
use crate::source::{KeyRange, Scan, Unfit};

/// How many of live's rows are looked at.
const ROWS: usize = 2048;

/// The columns of a table of which the backup has lost something, among those that both sides have.
/// Nothing is read of a backup that keeps values as they were.
pub async fn losses(mount: &Mount, pair: &TablePair) -> Result<Vec<(Column, Loss)>> {
    let key = pair.key_columns();
    let (live, backup) = (mount.source(Which::Live), mount.source(Which::Backup));
    let may_lose = |c: &&Column| {
        let carrier = matches!(c.carrier, Carrier::Text | Carrier::Stamp | Carrier::Instant);
        carrier && !c.generated && key.iter().all(|k| k.name != c.name)
    };
    let columns: Vec<Column> = pair.common().filter(may_lose).cloned().collect();
    if backup.keeps_values() || columns.is_empty() {
        return Ok(Vec::new());
    }
    let survey = live.survey(&pair.table.live, &key, 1).await?;
    if !survey.ordered {
        return Ok(Vec::new());
    }
    let read: Vec<Column> = key.iter().chain(&columns).cloned().collect();
    let mut rows = live.scan(Scan {
        table: pair.table.live.clone(),
        columns: read.clone(),
        key: key.clone(),
        range: KeyRange::default(),
        filter: None,
        unfit: Unfit::Refuse,
    })?;
    let (mut batches, mut count) = (Vec::new(), 0);
    while count < ROWS
        && let Some(batch) = rows.try_next().await?
    {
        let batch = batch.slice(0, batch.num_rows().min(ROWS - count));
        count += batch.num_rows();
        batches.push(batch);
    }
    drop(rows);
    let ours = concat_batches(&scan_schema(&read), &batches)?;
    let keys = ours.project(&(0..key.len()).collect::<Vec<_>>())?;
    let theirs = match backup.fetch(&pair.table.backup, &read, &key, &keys).await {
        Ok(rows) => rows,
        // What live can't hold is told elsewhere.
        Err(e) if e.is_unfit() => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    told(&key, &columns, &ours, &theirs)
}

/// The losses that these rows of both sides show.
fn told(
    key: &[Column],
    columns: &[Column],
    live: &RecordBatch,
    backup: &RecordBatch,
) -> Result<Vec<(Column, Loss)>> {
    let keys = Cells::of(backup, key)?;
    let mut places = HashMap::new();
    for row in 0..backup.num_rows() {
        if let Some(tuple) = collated(&keys, row, key)? {
            places.insert(tuple, row);
        }
    }
    let keys = Cells::of(live, key)?;
    let read: Vec<Column> = key.iter().chain(columns).cloned().collect();
    let (live_cells, backup_cells) = (Cells::of(live, &read)?, Cells::of(backup, &read)?);
    let mut evidence = vec![Evidence::default(); columns.len()];
    for row in 0..live.num_rows() {
        let Some(tuple) = collated(&keys, row, key)? else { continue };
        let Some(there) = places.get(&tuple) else { continue };
        for (index, evidence) in evidence.iter_mut().enumerate() {
            let column = key.len() + index;
            let (b, l) = (backup_cells.get(*there, column)?, live_cells.get(row, column)?);
            if b != l {
                evidence.add(b, l);
            }
        }
    }
    let told = columns.iter().zip(&evidence);
    Ok(told.filter_map(|(column, seen)| Some((column.clone(), seen.verdict()?))).collect())
}
