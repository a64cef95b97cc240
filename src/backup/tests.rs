//! Backups in files, read as a source: real files in temporary folders.

mod blocks;
mod cache;
mod databases;
mod detect;
mod diffable;
mod duckdb;
mod dumps;
mod fixtures;
mod folders;
mod hostile;
mod inspect;
mod int96;
mod mongo;
mod ours;
mod packed;
mod parquet;
mod parts;
mod scripts;
mod series;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::file::properties::WriterProperties;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, Int64Type, Schema};
use futures::TryStreamExt;

use crate::backup::detect::{BackupSpec, open_backup};
use crate::error::Result;
use crate::model::table::{Affinity, Carrier, Collation, Column, TableName};
use crate::model::value::{Cells, EXACT, Value};
use crate::source::{KeyRange, Scan, Source, Unfit};

fn column(name: &str, carrier: Carrier) -> Column {
    let (declared, affinity) = match carrier {
        Carrier::Int => ("INTEGER", Affinity::Integer),
        Carrier::Real => ("REAL", Affinity::Real),
        Carrier::Number => ("NUMERIC", Affinity::Numeric),
        Carrier::Text => ("TEXT", Affinity::Text),
        Carrier::Blob => ("BLOB", Affinity::Blob),
        other => panic!("SQLite carries no column as {other:?}"),
    };
    Column { declared: declared.into(), affinity, ..Column::new(name, carrier) }
}

/// Writes a Parquet file with row groups of `group` rows, without page checksums.
fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, group: usize) {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_data_page_row_count_limit(group / 3 + 1)
        .set_write_batch_size(64)
        .build();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties))
            .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn spec(path: impl Into<PathBuf>) -> BackupSpec {
    BackupSpec { path: path.into(), parallelism: 1, ..BackupSpec::default() }
}

async fn open(path: impl Into<PathBuf>) -> Arc<dyn Source> {
    open_backup(&spec(path)).await.unwrap()
}

async fn scan(
    source: &dyn Source,
    table: &str,
    columns: &[Column],
    key: &[Column],
    range: KeyRange,
) -> Result<Vec<Vec<Value>>> {
    let stream = source.scan(Scan {
        table: TableName::bare(table),
        columns: columns.to_vec(),
        key: key.to_vec(),
        range,
        filter: None,
        unfit: Unfit::Refuse,
    })?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(batches.iter().flat_map(|batch| rows(batch, columns)).collect())
}

/// The rows of a batch of live's columns, misfits in their places.
fn rows(batch: &RecordBatch, columns: &[Column]) -> Vec<Vec<Value>> {
    let names = columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
    let cells = Cells::new(batch, names, EXACT).unwrap();
    (0..batch.num_rows())
        .map(|row| (0..columns.len()).map(|c| cells.get(row, c).unwrap().to_owned()).collect())
        .collect()
}

fn ints(batch: &RecordBatch, column: usize) -> Vec<i64> {
    batch.column(column).as_primitive::<Int64Type>().values().to_vec()
}

/// Every file below a folder with its bytes, for "nothing was changed".
fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.insert(path.clone(), Vec::new());
            all.extend(listing(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}
