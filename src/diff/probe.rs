//! Looking for losses before anything is compared or planned: some of live's rows beside the
//! backup's rows with their keys, each backup by itself.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use futures::{StreamExt, TryStreamExt, stream};

use crate::diff::loss::{Evidence, Loss, Lost};
use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{Affinity, Carrier, Column, KeyOrigin, TableName, scan_schema};
use crate::model::value::{Cells, collated};
use crate::mount::Mount;
use crate::mount::order::usable_splits;
use crate::source::{KeyRange, Scan, Source, Unfit};

/// How many of live's rows are looked at, and in how many places.
const ROWS: usize = 2048;
const PLACES: usize = 4;

/// Fewer keys than these prove nothing.
const FEW: usize = 16;

/// The columns of a table of which a backup has lost something, among those that both sides have.
/// Nothing is read where all backups keep values as they were.
pub async fn losses(mount: &Mount, pair: &TablePair) -> Result<Vec<Lost>> {
    let key = pair.key_columns();
    let may_lose = |c: &&Column| {
        let carrier = matches!(c.carrier, Carrier::Text | Carrier::Stamp | Carrier::Instant);
        carrier && !c.generated && key.iter().all(|k| k.name != c.name)
    };
    let columns: Vec<Column> = pair.common().filter(may_lose).cloned().collect();
    let backups = mount.backups();
    let moments = key.iter().any(is_moment);
    let mut lost = singles(pair, backups);
    if (columns.is_empty() && !moments) || backups.iter().all(|backup| backup.keeps_values()) {
        return Ok(lost);
    }
    let live = mount.source(Which::Live).as_ref();
    let read: Vec<Column> = key.iter().chain(&columns).cloned().collect();
    // A key that a person named may have no index to look rows up by.
    let indexed = pair.key.origin != KeyOrigin::Named;
    let ours = sample(live, &pair.table.live, (&key, indexed), &read).await?;
    for (number, backup) in (0..).zip(backups) {
        if backup.keeps_values() {
            continue;
        }
        let table = mount.table_in(backup.as_ref(), &pair.table.backup).await?;
        let Some(table) = table else { continue };
        let number = (backups.len() > 1).then_some(number);
        let mut seen = vec![Evidence::default(); columns.len()];
        let (mut asked, mut matched) = (0, 0);
        // Place by place, since a file is read around the keys that are wanted.
        let (backup, table, key, read) = (backup.as_ref(), &table, &key[..], &read[..]);
        let places = ours.iter().map(|ours| async move {
            let keys = ours.project(&(0..key.len()).collect::<Vec<_>>())?;
            fetched(backup, table, read, key, &keys).await
        });
        let theirs = stream::iter(places).buffered(mount.parallelism());
        let theirs: Vec<RecordBatch> = theirs.try_collect().await?;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            look(key, read, (ours, theirs), &mut seen)?;
            (asked, matched) = (asked + ours.num_rows(), matched + theirs.num_rows());
        }
        if asked >= FEW && matched * 10 < asked {
            refuse_cut_keys(backup, (table, key), &ours, asked).await?;
        }
        let told = columns.iter().zip(&seen).filter_map(|(column, seen)| {
            Some(Lost { column: column.clone(), loss: seen.verdict()?, backup: number })
        });
        lost.extend(told);
    }
    Ok(lost)
}

/// MySQL's FLOAT columns of which backups hold six digits: that needs no proof, and any row may show it.
fn singles(pair: &TablePair, backups: &[Arc<dyn Source>]) -> Vec<Lost> {
    // FLOAT(M,D) is printed with all the digits that it keeps.
    let single = |c: &&Column| {
        let declared = c.declared.to_ascii_lowercase();
        c.affinity == Affinity::Mysql && declared.starts_with("float") && !declared.contains(',')
    };
    let columns: Vec<&Column> = pair.common().filter(single).collect();
    let rounding = (0..).zip(backups).filter(|(_, backup)| backup.rounds_singles());
    let lost = rounding.flat_map(|(number, _)| {
        let backup = (backups.len() > 1).then_some(number);
        let of =
            move |column: &&Column| Lost { column: (*column).clone(), loss: Loss::Single, backup };
        columns.iter().map(of)
    });
    lost.collect()
}

fn is_moment(column: &Column) -> bool {
    matches!(column.carrier, Carrier::Stamp | Carrier::Instant)
}

/// Refuses a backup that has hardly any of live's keys, and has them once their moments are cut: every
/// row of it would look missing.
async fn refuse_cut_keys(
    backup: &dyn Source,
    (table, key): (&TableName, &[Column]),
    ours: &[RecordBatch],
    asked: usize,
) -> Result<()> {
    let moments = key.iter().enumerate().filter(|(_, column)| is_moment(column));
    let moments: Vec<usize> = moments.map(|(index, _)| index).collect();
    for (digits, unit) in [(3, 1_000), (0, 1_000_000)].into_iter().filter(|_| !moments.is_empty()) {
        let mut found = 0;
        for rows in ours {
            let keys = rows.project(&(0..key.len()).collect::<Vec<_>>())?;
            let mut arrays = keys.columns().to_vec();
            for index in &moments {
                let array = arrays[*index].as_primitive::<TimestampMicrosecondType>();
                let cut: TimestampMicrosecondArray = array.unary(|m| m.div_euclid(unit) * unit);
                arrays[*index] = Arc::new(cut.with_data_type(array.data_type().clone()));
            }
            let keys = RecordBatch::try_new(keys.schema(), arrays)?;
            found += fetched(backup, table, key, key, &keys).await?.num_rows();
        }
        if found * 2 > asked {
            let names = moments.iter().map(|index| key[*index].name.as_str()).collect::<Vec<_>>();
            return Err(Error::refused(format!(
                "rows of {table} can't be matched: the backup's {}, of the key, has {}",
                names.join(", "),
                Loss::Digits(digits)
            ))
            .hint("take a backup that has the keys whole, or name others: --key COLUMNS"));
        }
    }
    Ok(())
}

/// Some of live's rows: from several places of the key where it has an order, a batch a place.
async fn sample(
    live: &dyn Source,
    table: &TableName,
    (key, indexed): (&[Column], bool),
    read: &[Column],
) -> Result<Vec<RecordBatch>> {
    let survey = live.survey(table, key, PLACES).await?;
    let scan = |columns: &[Column], range, key: &[Column]| Scan {
        table: table.clone(),
        columns: columns.to_vec(),
        key: key.to_vec(),
        range,
        filter: None,
        unfit: Unfit::Refuse,
    };
    if !survey.ordered || !indexed {
        return Ok(vec![first(live, scan(read, KeyRange::default(), &[]), ROWS).await?]);
    }
    let ranges = KeyRange::between(&usable_splits(&key[0], survey.splits));
    let share = ROWS.div_ceil(ranges.len());
    let mut found = Vec::new();
    for range in ranges {
        // A scan reads ahead: keys alone cost little.
        let keys = first(live, scan(key, range, key), share).await?;
        let keys = keys.project(&(0..key.len()).collect::<Vec<_>>())?;
        found.push(live.fetch(table, read, key, &keys).await?);
    }
    Ok(found)
}

/// The first rows of a scan.
async fn first(source: &dyn Source, scan: Scan, most: usize) -> Result<RecordBatch> {
    let schema = scan_schema(&scan.columns);
    let mut rows = source.scan(scan)?;
    let (mut batches, mut count) = (Vec::new(), 0);
    while count < most
        && let Some(batch) = rows.try_next().await?
    {
        let batch = batch.slice(0, batch.num_rows().min(most - count));
        count += batch.num_rows();
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches)?)
}

/// The backup's rows of these keys; one that live can't hold is told elsewhere, and left out.
async fn fetched(
    backup: &dyn Source,
    table: &TableName,
    read: &[Column],
    key: &[Column],
    keys: &RecordBatch,
) -> Result<RecordBatch> {
    let mut found = Vec::new();
    let mut parts = vec![(0, keys.num_rows())];
    while let Some((first, count)) = parts.pop() {
        match backup.fetch(table, read, key, &keys.slice(first, count)).await {
            Ok(rows) => found.push(rows),
            // Where every row is unfit, the look ends at some of them.
            Err(e) if e.is_unfit() && count > 64 => {
                parts.push((first + count / 2, count - count / 2));
                parts.push((first, count / 2));
            }
            Err(e) if e.is_unfit() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(concat_batches(&scan_schema(read), &found)?)
}

/// Takes in what the rows of both sides show of each column behind the key.
fn look(
    key: &[Column],
    read: &[Column],
    (live, backup): (&RecordBatch, &RecordBatch),
    seen: &mut [Evidence],
) -> Result<()> {
    let keys = Cells::of(backup, key)?;
    let mut places = HashMap::new();
    for row in 0..backup.num_rows() {
        if let Some(tuple) = collated(&keys, row, key)? {
            places.insert(tuple, row);
        }
    }
    let keys = Cells::of(live, key)?;
    let (live_cells, backup_cells) = (Cells::of(live, read)?, Cells::of(backup, read)?);
    for row in 0..live.num_rows() {
        let Some(tuple) = collated(&keys, row, key)? else { continue };
        let Some(there) = places.get(&tuple) else { continue };
        for (index, seen) in seen.iter_mut().enumerate() {
            let column = key.len() + index;
            seen.add(backup_cells.get(*there, column)?, live_cells.get(row, column)?);
        }
    }
    Ok(())
}
