//! Live against an operation's images, and a backup against its digests.
//!
//! An operation is verified by reading each row that it wrote: it stands as written, was
//! changed since, or is gone. That the application changed a row is no error.

use std::collections::HashMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::conflict::{Conflict, Reason};
use crate::model::plan::{Op, TablePlan};
use crate::model::receipt::Receipt;
use crate::model::table::Column;
use crate::model::value::push_exact;
use crate::plan::file::image;
use crate::plan::file::{Ahead, BatchRecord, BatchState, PlanFile};
use crate::plan::group::Group;
use crate::plan::judge::{Judge, Standing, columns, conflict, keys, take};
use crate::progress::Progress;
use crate::source::Source;
use crate::target::Target;

/// How the rows that an operation wrote stand now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// A line for each table of the plan, in its order.
    pub tables: Vec<TableCheck>,
    /// Rows that do not stand as written, at most [`Receipt::CONFLICTS_LISTED`].
    pub examples: Vec<Conflict>,
}

impl VerifyReport {
    /// True when every row stands as written.
    pub fn is_same(&self) -> bool {
        self.tables.iter().all(|t| t.same == t.written)
    }
}

/// A table's line in a [`VerifyReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCheck {
    /// The table's name.
    pub table: String,
    /// Rows that the operation wrote.
    pub written: u64,
    /// Rows that stand as written (deleted rows: that are absent).
    pub same: u64,
    /// Rows that were changed since (deleted rows: that are there again).
    pub changed: u64,
    /// Rows that are gone.
    pub gone: u64,
}

/// Reads live against what the plan's operation wrote; `elsewhere` lets live be another
/// database than the one that it wrote to, such as a copy.
pub async fn verify_operation(
    plan: &PlanFile,
    live: &dyn Source,
    elsewhere: bool,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    let operation = plan.operation().await?;
    let wrote = operation.as_ref().map_or(&plan.header().binding.target, |o| &o.target);
    if !elsewhere && live.identity().is_none_or(|i| !i.same(wrote)) {
        return Err(Error::refused(format!(
            "operation {} wrote to another database than {}: {wrote}",
            operation.as_ref().map_or(&plan.header().id, |o| &o.id),
            live.origin().location,
        ))
        .hint(format!(
            "if it was moved, say where to: restorekit verify {} --live {}",
            plan.header().id,
            live.origin().location
        )));
    }
    verify(plan, &plan.records().await?, &mut FromSource(live), progress).await
}

/// The same through a target, in reading transactions; `records` say what was written.
pub(crate) async fn verify_target(
    plan: &PlanFile,
    records: &[BatchRecord],
    target: &mut dyn Target,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    verify(plan, records, &mut FromTarget(target), progress).await
}

async fn verify(
    plan: &PlanFile,
    records: &[BatchRecord],
    reader: &mut dyn Reader,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    let written = records.iter().map(|r| r.written.len() as u64).sum();
    progress.start("verify", Some(written));
    let tables = &plan.header().tables;
    let mut report = VerifyReport {
        tables: tables
            .iter()
            .map(|t| TableCheck { table: t.table.to_string(), ..TableCheck::default() })
            .collect(),
        examples: Vec::new(),
    };
    let wrote = (0..).zip(records);
    let wrote = wrote.filter(|(_, r)| r.state == BatchState::Committed && !r.written.is_empty());
    let wrote: Vec<u64> = wrote.map(|(id, _)| id).collect();
    let (mut ahead, mut due) = (Ahead::new(plan), &wrote[..]);
    while !due.is_empty() {
        let group = Group::next(plan, &mut ahead, due, None).await?;
        due = &due[group.parts.len()..];
        let batch = &group.batch;
        let table = &tables[batch.table];
        let columns = columns(table);
        let own = group.parts.iter().flat_map(|(id, own)| {
            let written = records[*id as usize].written.rows();
            written.into_iter().map(|row| own.start + row)
        });
        let rows: Vec<usize> = own.collect();
        let wanted = take(keys(batch)?, &rows)?;
        let (live, exists) = reader.rows(table, &columns, &wanted).await?;
        let judge = Judge::new(table, (batch, &rows), &columns, (&live, &exists))?;
        let line = &mut report.tables[batch.table];
        line.written += rows.len() as u64;
        for (at, &row) in rows.iter().enumerate() {
            let detail = match judge.standing(at)? {
                Standing::After => {
                    line.same += 1;
                    continue;
                }
                _ if table.op != Op::Delete && !exists[at] => {
                    line.gone += 1;
                    "gone since it was written"
                }
                _ => {
                    line.changed += 1;
                    "changed since it was written"
                }
            };
            if report.examples.len() < Receipt::CONFLICTS_LISTED {
                let reason = if exists[at] { Reason::Data } else { Reason::NotFound };
                report.examples.push(conflict(table, batch, row, reason, detail.to_owned())?);
            }
        }
        progress.advance(rows.len() as u64);
    }
    progress.finish();
    Ok(report)
}

/// Reads rows by key: one row for each key, and whether it exists.
#[async_trait]
trait Reader: Send {
    async fn rows(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)>;
}

struct FromTarget<'a>(&'a mut dyn Target);

#[async_trait]
impl Reader for FromTarget<'_> {
    async fn rows(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        self.0.begin_reading().await?;
        let read = self.0.read(plan, columns, keys).await;
        self.0.rollback().await?;
        read
    }
}

struct FromSource<'a>(&'a dyn Source);

#[async_trait]
impl Reader for FromSource<'_> {
    async fn rows(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let key = image::pick(columns, &plan.key.columns)?;
        let wanted = image::project(keys, &key)?;
        let found = self.0.fetch(&plan.table, columns, &key, &wanted).await?;
        // A row whose key only means the same to live's collation is not the one asked for.
        let mut places = HashMap::with_capacity(found.num_rows());
        for (row, tuple) in (0..).zip(tuples(&found, &key)?) {
            places.insert(tuple, row);
        }
        let places: Vec<Option<u32>> =
            tuples(&wanted, &key)?.iter().map(|tuple| places.get(tuple).copied()).collect();
        let exists = places.iter().map(Option::is_some).collect();
        Ok((take_record_batch(&found, &UInt32Array::from(places))?, exists))
    }
}

/// The key of each row, as comparable bytes.
fn tuples(batch: &RecordBatch, key: &[Column]) -> Result<Vec<Vec<u8>>> {
    let cells = image::cells(batch, key)?;
    (0..batch.num_rows())
        .map(|row| {
            let mut tuple = Vec::new();
            for (column, place) in key.iter().zip(0..) {
                push_exact(&mut tuple, &column.name, cells.get(row, place)?);
            }
            Ok(tuple)
        })
        .collect()
}
