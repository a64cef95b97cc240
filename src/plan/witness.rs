//! By what a database is known again that lies in another place than when it was planned
//! for: carried to another host, moved, or on a device that got another number.
//!
//! A SQLite file holds nothing that tells it from another of the same schema. So a plan
//! keeps some of live's rows as it saw them: their keys, and a digest of the columns that
//! the plan itself does not write. Where most of them stand the same, the database is the
//! planned one or a copy of it; which of the two it is, only a person can say. A database
//! of another customer has the same schema and other rows.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::model::plan::{Op, TablePlan, Witness};
use crate::model::side::Which;
use crate::model::table::{Column, Key, TableKind, TableSchema};
use crate::model::value::{Cells, ValueRef, hex, push_exact, unhex};
use crate::mount::Mount;
use crate::plan::file::image;
use crate::source::{KeyRange, Scan, Source, Unfit};
use crate::target::Target;

/// Rows remembered of a table.
const ROWS: usize = 32;

/// Tables looked at when none of the planned ones has a row.
const OTHERS: usize = 16;

/// How many of a table's remembered rows stand as they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The table's name.
    pub table: String,
    /// Remembered rows.
    pub rows: usize,
    /// Those that stand the same.
    pub same: usize,
}

impl Sighting {
    /// True when most rows stand the same.
    pub fn holds(&self) -> bool {
        2 * self.same > self.rows
    }
}

/// Remembers rows of the planned tables; where live has none in any of them, of others.
pub(crate) async fn witnesses(mount: &Mount, planned: &[TablePlan]) -> Result<Vec<Witness>> {
    let live = mount.source(Which::Live).as_ref();
    let mut all: Vec<Witness> = Vec::new();
    for plan in planned.iter().filter(|p| p.rows > 0) {
        if all.iter().any(|w| w.table == plan.table) {
            continue;
        }
        let written: Vec<&str> = planned
            .iter()
            .filter(|p| p.table == plan.table && p.op == Op::Update)
            .flat_map(|p| p.after.iter().map(|c| c.name.as_str()))
            .collect();
        all.extend(remember(live, &plan.schema, &plan.key, &written).await?);
    }
    if !all.is_empty() || planned.iter().all(|p| p.rows == 0) {
        return Ok(all);
    }
    for table in mount.tables(Which::Live) {
        let schema = mount.schema(Which::Live, table).await?;
        let Some(key) = schema.keys.first().filter(|_| schema.kind == TableKind::Base) else {
            continue;
        };
        all.extend(remember(live, &schema, key, &[]).await?);
        if all.len() == OTHERS {
            break;
        }
    }
    Ok(all)
}

async fn remember(
    live: &dyn Source,
    schema: &TableSchema,
    key: &Key,
    written: &[&str],
) -> Result<Option<Witness>> {
    let found_by = image::pick(&schema.columns, &key.columns)?;
    let mut columns = found_by.clone();
    columns.extend(
        schema
            .columns
            .iter()
            .filter(|c| !c.generated && !key.columns.contains(&c.name))
            .filter(|c| !written.contains(&c.name.as_str()))
            .cloned(),
    );
    let keys = some_keys(live, schema, &found_by).await?;
    let rows = live.fetch(&schema.name, &columns, &found_by, &keys).await?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    Ok(Some(Witness {
        table: schema.name.clone(),
        key: key.clone(),
        keys: hex(&image::encode(&image::project(&rows, &found_by)?)?),
        digests: digests(&rows, &columns)?,
        columns,
    }))
}

/// Keys that live has, spread over the first ones of the table.
async fn some_keys(live: &dyn Source, schema: &TableSchema, key: &[Column]) -> Result<RecordBatch> {
    let mut scan = live.scan(Scan {
        table: schema.name.clone(),
        columns: key.to_vec(),
        key: key.to_vec(),
        range: KeyRange::default(),
        filter: None,
        unfit: Unfit::Refuse,
    })?;
    let Some(first) = scan.try_next().await? else {
        return Ok(RecordBatch::new_empty(scan.schema()));
    };
    let rows = first.num_rows();
    let chosen = (0..rows.min(ROWS)).map(|i| (i * rows / rows.min(ROWS)) as u32);
    Ok(take_record_batch(&first, &UInt32Array::from_iter_values(chosen))?)
}

/// Looks for the remembered rows in a target.
pub(crate) async fn sight(target: &mut dyn Target, witness: &Witness) -> Result<Sighting> {
    let rows = witness.digests.len();
    let keys = unhex(&witness.keys)
        .ok_or_else(|| Error::refused("the plan's remembered rows are no hexadecimal digits"))?;
    let keys = image::decode(&keys, &witness.columns[..witness.key.columns.len()], rows)?;
    let reading = TablePlan {
        table: witness.table.clone(),
        op: Op::Update,
        key: witness.key.clone(),
        before: witness.columns.clone(),
        after: Vec::new(),
        schema: target.schema(&witness.table).await?,
        rows: 0,
        skipped: Vec::new(),
        notes: Vec::new(),
        from: Vec::new(),
    };
    target.begin_reading().await?;
    let read = target.read(&reading, &witness.columns, &keys).await;
    target.rollback().await?;
    let (live, exists) = read?;
    let now = digests(&live, &witness.columns)?;
    let same = (0..rows).filter(|&row| exists[row] && now[row] == witness.digests[row]).count();
    Ok(Sighting { table: witness.table.to_string(), rows, same })
}

/// The first half of SHA-256 over a row's cells, which is plenty to tell rows apart.
fn digests(rows: &RecordBatch, columns: &[Column]) -> Result<Vec<String>> {
    let cells = Cells::of(rows, columns)?;
    let mut bytes = Vec::new();
    (0..rows.num_rows())
        .map(|row| {
            bytes.clear();
            for (place, column) in columns.iter().enumerate() {
                match cells.get(row, place)? {
                    ValueRef::Null => {}
                    value => push_exact(&mut bytes, &column.name, value),
                }
            }
            Ok(hex(&Sha256::digest(&bytes)[..16]))
        })
        .collect()
}
