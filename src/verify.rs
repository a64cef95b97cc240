//! Live against an operation's images, and a backup against its digests.
//!
//! An operation is verified by reading each row that it wrote: it stands as written, was
//! changed since, or is gone. That the application changed a row is no error.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::model::conflict::{Conflict, Reason};
use crate::model::plan::{Batch, Op, TablePlan};
use crate::model::receipt::Receipt;
use crate::model::table::Column;
use crate::model::value::{Cells, push_exact};
use crate::plan::file::image;
use crate::plan::file::{Ahead, BatchRecord, BatchState, PlanFile};
use crate::plan::group::Group;
use crate::plan::judge::{Judge, Standing, columns, conflict, expected, keys, take};
use crate::plan::lookup::ascending;
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
    let records = plan.records().await?;
    progress.start("verify", Some(rows(&records)));
    let looked = look(plan, &records, &mut FromSource(live), None, progress).await;
    progress.finish();
    Ok(report(plan, looked?))
}

/// The same through a target, in reading transactions; `records` say what was written.
pub(crate) async fn verify_target(
    plan: &PlanFile,
    records: &[BatchRecord],
    target: &mut dyn Target,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    progress.start("verify", Some(rows(records)));
    let helper = match rows(records) > FEW {
        true => target.beside().await?.map(Helper::begin),
        false => None,
    };
    let units = helper.as_ref().map(|helper| &helper.units);
    let looked = look(plan, records, &mut FromTarget(target), units, progress).await;
    let theirs = match helper {
        Some(helper) => helper.end().await,
        None => Ok(Vec::new()),
    };
    progress.finish();
    let mut looked = looked?;
    looked.extend(theirs?);
    looked.sort_by_key(|one| one.batch);
    Ok(report(plan, looked))
}

/// So many rows are looked at over one connection.
const FEW: u64 = 8192;

/// The numbers of the batches of which something was written.
fn wrote(records: &[BatchRecord]) -> impl Iterator<Item = u64> {
    let wrote = |r: &BatchRecord| r.state == BatchState::Committed && !r.written.is_empty();
    (0..).zip(records).filter(move |(_, r)| wrote(r)).map(|(id, _)| id)
}

/// How many rows were written.
fn rows(records: &[BatchRecord]) -> u64 {
    records.iter().map(|r| r.written.len() as u64).sum()
}

/// Looks at all batches, but for those that somebody else takes over `others`.
async fn look(
    plan: &PlanFile,
    records: &[BatchRecord],
    reader: &mut dyn Reader,
    others: Option<&mpsc::Sender<Unit>>,
    progress: &dyn Progress,
) -> Result<Vec<Looked>> {
    let tables: Vec<Arc<TablePlan>> = plan.header().tables.iter().cloned().map(Arc::new).collect();
    let wrote: Vec<u64> = wrote(records).collect();
    let (mut ahead, mut due, mut looked) = (Ahead::new(plan), &wrote[..], Vec::new());
    while !due.is_empty() {
        let group = Group::next(plan, &mut ahead, due, None).await?;
        due = &due[group.parts.len()..];
        let own = group.parts.iter().flat_map(|(id, own)| {
            let written = records[*id as usize].written.rows();
            written.into_iter().map(|row| own.start + row)
        });
        let (table, rows) = (Arc::clone(&tables[group.batch.table]), own.collect());
        let unit = Unit { table, batch: group.batch, rows };
        progress.advance(unit.rows.len() as u64);
        let unit = match others {
            None => unit,
            Some(others) => match others.try_send(unit) {
                Ok(()) => continue,
                Err(TrySendError::Full(unit)) => unit,
                // It has failed, and says how in the end.
                Err(TrySendError::Closed(_)) => break,
            },
        };
        looked.push(unit.look(reader).await?);
    }
    Ok(looked)
}

/// The report of batches in their order.
fn report(plan: &PlanFile, looked: Vec<Looked>) -> VerifyReport {
    let tables = plan.header().tables.iter();
    let tables = tables.map(|t| TableCheck { table: t.table.to_string(), ..TableCheck::default() });
    let mut report = VerifyReport { tables: tables.collect(), examples: Vec::new() };
    for one in looked {
        let line = &mut report.tables[one.table];
        line.written += one.check.written;
        line.same += one.check.same;
        line.changed += one.check.changed;
        line.gone += one.check.gone;
        let room = Receipt::CONFLICTS_LISTED.saturating_sub(report.examples.len());
        report.examples.extend(one.examples.into_iter().take(room));
    }
    report
}

/// A second connection on which batches are looked at.
struct Helper {
    units: mpsc::Sender<Unit>,
    looking: JoinHandle<Result<Vec<Looked>>>,
}

impl Helper {
    fn begin(mut target: Box<dyn Target>) -> Self {
        // One waits while another is looked at.
        let (units, mut inbox) = mpsc::channel::<Unit>(1);
        let looking = tokio::spawn(async move {
            let mut looked = Vec::new();
            let mut failed = None;
            while let Some(unit) = inbox.recv().await {
                match unit.look(&mut FromTarget(target.as_mut())).await {
                    Ok(one) => looked.push(one),
                    Err(e) => {
                        failed = Some(e);
                        break;
                    }
                }
            }
            drop(inbox);
            let closed = target.close().await;
            match failed {
                Some(e) => Err(e),
                None => closed.map(|()| looked),
            }
        });
        Self { units, looking }
    }

    /// What it found.
    async fn end(self) -> Result<Vec<Looked>> {
        drop(self.units);
        let ended = |e| Error::failed("live could not be read a second time").because(e);
        self.looking.await.map_err(ended)?
    }
}

/// Rows of one batch that are to be looked at.
#[derive(Debug)]
struct Unit {
    table: Arc<TablePlan>,
    batch: Batch,
    rows: Vec<usize>,
}

/// How the rows of a batch stand; the name of `check` is left empty.
#[derive(Debug)]
struct Looked {
    batch: u64,
    table: usize,
    check: TableCheck,
    examples: Vec<Conflict>,
}

impl Unit {
    async fn look(&self, reader: &mut dyn Reader) -> Result<Looked> {
        let Unit { table, batch, rows } = self;
        let columns = columns(table);
        let wanted = take(keys(batch)?, rows)?;
        let expected = expected(table, (batch, rows), &columns, true)?;
        let (live, exists) = reader.rows(table, &columns, &wanted, expected.as_ref()).await?;
        let judge = Judge::new(table, (batch, rows), &columns, (&live, &exists))?;
        let mut check = TableCheck { written: rows.len() as u64, ..TableCheck::default() };
        let mut examples = Vec::new();
        for (at, &row) in rows.iter().enumerate() {
            let detail = match judge.standing(at)? {
                Standing::After => {
                    check.same += 1;
                    continue;
                }
                _ if table.op != Op::Delete && !exists[at] => {
                    check.gone += 1;
                    "gone since it was written"
                }
                _ => {
                    check.changed += 1;
                    "changed since it was written"
                }
            };
            if examples.len() < Receipt::CONFLICTS_LISTED {
                let reason = if exists[at] { Reason::Data } else { Reason::NotFound };
                examples.push(conflict(table, batch, row, reason, detail.to_owned())?);
            }
        }
        Ok(Looked { batch: batch.id, table: batch.table, check, examples })
    }
}

/// Reads rows by key: one row for each key, and whether it exists; `expected` as in
/// [`Target::read_expected`].
#[async_trait]
trait Reader: Send {
    async fn rows(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
        expected: Option<&RecordBatch>,
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
        expected: Option<&RecordBatch>,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        self.0.begin_reading().await?;
        let read = match expected {
            Some(expected) => self.0.read_expected(plan, columns, keys, expected).await,
            None => self.0.read(plan, columns, keys).await,
        };
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
        _expected: Option<&RecordBatch>,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let key = image::pick(columns, &plan.key.columns)?;
        let wanted = image::project(keys, &key)?;
        // A plan's rows stand in the order in which they are written.
        let asked = ascending(&wanted)?;
        let found = self.0.fetch(&plan.table, columns, &key, &asked).await?;
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
    let cells = Cells::of(batch, key)?;
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
