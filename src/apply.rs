//! A plan is carried out: guarded batches, a receipt; resume.
//!
//! Per batch: begin, lock and read the rows by key, compare them with their images before,
//! write, read again and compare with their images after, note in the plan file which rows
//! are about to be committed, commit. A row that is not as it was is a conflict and stays
//! as it is; the others go on. The protocol is the same for every engine: how rows are
//! locked, read and written is the [`Target`]'s.
//!
//! The plan file is durable before the first write. A batch's record says `intended`, with
//! the rows chosen under the lock, before its commit is sent, and `committed` together
//! with the `intended` of the next transaction. So after a crash anywhere at most two
//! transactions are open, and their rows tell what happened: rows that stand as after the
//! write prove the commit, rows that stand as before it are written again.
//!
//! A transaction holds one batch, or, where the plan says so, as many as half a second does.

pub(crate) mod batch;
mod binding;
mod lock;
mod pace;
mod resume;
mod size;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use ulid::Ulid;

pub use crate::apply::binding::Place;
pub use crate::apply::pace::Pace;

use crate::apply::batch::{Attempt, Left, Outcome, attempt};
use crate::apply::size::Size;
use crate::error::{Error, Kind, Result};
use crate::model::plan::{Batch, TablePlan};
use crate::model::receipt::{Receipt, TableReceipt};
use crate::plan::file::{Ahead, BatchRecord, BatchState, Begun, Details, PlanFile, RowConflict};
use crate::plan::group::Group;
use crate::progress::Progress;
use crate::target::Target;
use crate::verify::{self, VerifyReport};

/// How often a batch is tried that deadlocks with other clients.
const TRIES: usize = 10;

/// So many rows are looked at in about the time that it takes to note something durably.
const SOON: u64 = 65_536;

/// How a plan is applied.
#[derive(Clone, Debug)]
pub struct ApplyOptions {
    /// Go on with an operation that stopped part way.
    pub resume: bool,
    /// A person named the database: it may be [elsewhere](Place::Elsewhere).
    pub elsewhere: bool,
    /// The folder of the advisory locks: one restorekit at a time writes to a database.
    pub locks: PathBuf,
    /// Set it to stop after the current batch.
    pub cancel: Arc<AtomicBool>,
    /// What is waited for between two transactions.
    pub pace: Option<Arc<Pace>>,
}

impl ApplyOptions {
    /// The defaults, with the locks in this folder.
    pub fn new(locks: impl Into<PathBuf>) -> Self {
        Self {
            resume: false,
            elsewhere: false,
            locks: locks.into(),
            cancel: Arc::default(),
            pace: None,
        }
    }
}

/// Tells where a plan would be applied: on the database that it was made for, or on one
/// that a person has to name.
///
/// # Errors
/// `Refused` when the target is neither that database nor a copy of it.
pub async fn place(plan: &PlanFile, target: &mut dyn Target) -> Result<Place> {
    let here = target.identity().await?;
    binding::place(plan.header(), plan.operation().await?.as_ref(), &here, target).await
}

/// Applies a plan. Running it again after it is done writes nothing.
///
/// # Errors
/// `Refused` when the plan does not fit the target (another database, another schema,
/// expired, damaged, stopped part way without `resume`) or, for an atomic plan, when some
/// row is a conflict; `Failed` when nothing was written; `Stopped` when some batches were
/// committed and `resume` goes on; `Unknown` when the outcome of a commit could not be
/// found out.
pub async fn apply(
    plan: &PlanFile,
    target: &mut dyn Target,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<Receipt> {
    let began = Instant::now();
    let header = plan.header();
    let operation = plan.operation().await?;
    let here = target.identity().await?;
    let place = binding::place(header, operation.as_ref(), &here, target).await?;
    if place != Place::Planned && !options.elsewhere {
        return Err(binding::another(header, &here));
    }
    let _lock = lock::Lock::take(&options.locks, &here)?;
    let records = plan.records().await?;
    if let Some(operation) = operation.as_ref().filter(|o| o.receipt.is_some()) {
        let mut receipt = receipt(plan, &operation.id, &operation.started_at, &records);
        again(plan, target, progress, &mut receipt).await?;
        receipt.seconds = began.elapsed().as_secs_f64();
        return Ok(receipt);
    }
    let begun = records.iter().any(|r| r.state != BatchState::Pending);
    if begun && !options.resume {
        return Err(Error::refused(format!("plan {} was applied and stopped part way", header.id))
            .hint(format!("restorekit apply --resume {}", header.id)));
    }
    if !begun {
        binding::not_expired(header, Utc::now())?;
    }
    binding::same_schemas(header, target).await?;
    plan.check().await?;
    let (id, started_at, fresh) = match operation {
        Some(operation) => (operation.id, operation.started_at, None),
        None => {
            let id = Ulid::new().to_string();
            let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
            let fresh = Begun { id: id.clone(), started_at: now.clone(), target: here };
            (id, now, Some(fresh))
        }
    };
    plan.durable().await?;
    let pace = options.pace.as_deref();
    let (unsaved, ahead) = (Vec::new(), Ahead::new(plan));
    let mut run = Run { plan, ahead, target, begun: fresh, records, unsaved, pace, progress };
    let done = run.batches(&options.cancel).await;
    progress.finish();
    // Where the rows are soon looked at, the receipt takes the last proof along.
    let flushed = match &done {
        Ok(true) if plan.rows() <= SOON && run.begun.is_none() => Ok(()),
        _ => run.flush().await,
    };
    let any = run.records.iter().any(|r| r.state == BatchState::Committed);
    let ended =
        done.and_then(|done| flushed.map(|()| done)).map_err(|e| midway(e, any, &header.id));
    let stopped = !ended?;
    let mut receipt = receipt(plan, &id, &started_at, &run.records);
    receipt.conflicts = plan.conflicts(Receipt::CONFLICTS_LISTED).await?;
    receipt.stopped = stopped;
    receipt.seconds = began.elapsed().as_secs_f64();
    if stopped {
        return Ok(receipt);
    }
    let ended = match verify::verify_target(plan, &run.records, run.target, progress).await {
        Ok(report) => {
            take_report(&mut receipt, report);
            receipt.seconds = began.elapsed().as_secs_f64();
            run.save(&[], Some(&receipt)).await
        }
        Err(e) => {
            // If it can't be saved, a resumed run finds it out.
            let _ = run.flush().await;
            Err(e)
        }
    };
    ended.map_err(|e| midway(e, any, &header.id))?;
    Ok(receipt)
}

/// An error's kind says whether something was written before it: what a check refuses once
/// batches are committed has stopped the run part way, and says so.
fn midway(e: Error, any: bool, plan: &str) -> Error {
    match (e.kind(), any) {
        (Kind::Failed | Kind::Refused, true) => {
            e.as_kind(Kind::Stopped).hint(format!("restorekit apply --resume {plan}"))
        }
        (Kind::Stopped, false) => e.as_kind(Kind::Failed),
        _ => e,
    }
}

/// The receipt's lines, from the records.
fn receipt(plan: &PlanFile, id: &str, started_at: &str, records: &[BatchRecord]) -> Receipt {
    let header = plan.header();
    let mut tables: Vec<TableReceipt> = header
        .tables
        .iter()
        .map(|t| TableReceipt { table: t.table.to_string(), ..TableReceipt::default() })
        .collect();
    for (id, record) in (0..).zip(records) {
        let Ok((table, rows)) = plan.shape(id) else { continue };
        let line = &mut tables[table];
        line.planned += rows as u64;
        line.already += record.already;
        line.conflicts += record.conflicts;
        if record.state == BatchState::Committed {
            line.written += record.written.len() as u64;
        }
    }
    Receipt {
        operation: id.to_owned(),
        plan: header.id.clone(),
        started_at: started_at.to_owned(),
        seconds: 0.0,
        tables,
        conflicts: Vec::new(),
        changed_since: Vec::new(),
        verified: false,
        stopped: false,
    }
}

fn take_report(receipt: &mut Receipt, report: VerifyReport) {
    receipt.verified = report.is_same();
    receipt.changed_since = report.examples;
}

/// A plan that is done is applied again: its rows are read, none is written.
async fn again(
    plan: &PlanFile,
    target: &mut dyn Target,
    progress: &dyn Progress,
    receipt: &mut Receipt,
) -> Result<()> {
    receipt.conflicts = plan.conflicts(Receipt::CONFLICTS_LISTED).await?;
    let records = plan.records().await?;
    let report = verify::verify_target(plan, &records, target, progress).await?;
    for (line, check) in receipt.tables.iter_mut().zip(&report.tables) {
        line.written = 0;
        line.already += check.same;
        line.conflicts += check.changed + check.gone;
    }
    let room = Receipt::CONFLICTS_LISTED.saturating_sub(receipt.conflicts.len());
    receipt.conflicts.extend(report.examples.iter().take(room).cloned());
    take_report(receipt, report);
    Ok(())
}

/// A batch by its number, its record, and the details.
type Chosen = (u64, BatchRecord, Details);

/// What became of each batch of a group.
fn chosen_of(
    plan: &TablePlan,
    group: &Group,
    outcome: &Outcome,
    state: impl Fn(&Outcome) -> BatchState,
) -> Result<Vec<Chosen>> {
    let conflicts = outcome.conflicts(plan, &group.batch)?;
    let chosen = group.parts.iter().map(|(id, rows)| {
        let part = outcome.part(rows);
        let own = conflicts.iter().filter(|found| rows.contains(&found.row));
        let own = own.map(|found| RowConflict { row: found.row - rows.start, ..found.clone() });
        let record = part.record(state(&part));
        (*id, record, Details { conflicts: own.collect(), filled: part.filled })
    });
    Ok(chosen.collect())
}

/// One run over the batches of a plan.
struct Run<'a> {
    plan: &'a PlanFile,
    ahead: Ahead<'a>,
    target: &'a mut dyn Target,
    /// The operation, until the plan says that it began.
    begun: Option<Begun>,
    records: Vec<BatchRecord>,
    /// Batches whose commit is proven, and whose records do not say so yet.
    unsaved: Vec<u64>,
    pace: Option<&'a Pace>,
    progress: &'a dyn Progress,
}

impl<'a> Run<'a> {
    /// Applies all batches that are not yet; `false` when it was told to stop.
    async fn batches(&mut self, cancel: &AtomicBool) -> Result<bool> {
        self.resolve().await?;
        self.progress.start("apply", Some(self.plan.rows()));
        if self.plan.header().atomic {
            self.all_at_once(cancel).await
        } else {
            self.one_by_one(cancel).await
        }
    }

    async fn one_by_one(&mut self, cancel: &AtomicBool) -> Result<bool> {
        let largest = (0..self.plan.batch_count()).filter_map(|id| self.plan.shape(id).ok());
        let largest = largest.map(|(_, rows)| rows).max().unwrap_or(1);
        let mut size = Size::new(self.plan.header().adapts, largest);
        let mut next = 0;
        while next < self.plan.batch_count() {
            let pending = |id: &u64| self.records[*id as usize].state == BatchState::Pending;
            let here: Vec<u64> =
                (next..self.plan.batch_count()).take_while(pending).take(size.batches()).collect();
            if here.is_empty() {
                self.progress.advance(self.plan.shape(next)?.1 as u64);
                next += 1;
                continue;
            }
            self.wait(cancel).await?;
            if cancel.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let began = Instant::now();
            if here.len() == 1 || !self.together(&here).await? {
                for id in &here {
                    let batch = self.ahead.batch(*id, Some(*id + 1)).await?;
                    self.one(&batch).await?;
                }
            }
            size.took(here.len(), began.elapsed());
            tracing::info!(first = next, batches = here.len(), took = ?began.elapsed(), "applied");
            for id in &here {
                self.progress.advance(self.plan.shape(*id)?.1 as u64);
            }
            next += here.len() as u64;
        }
        Ok(true)
    }

    /// Several batches in one transaction; `false` when it has to be taken back, so that each
    /// is tried by itself: a deadlock, rows that have to be left out after the fact, or so many that
    /// live refuses one by one that the others would be locked for long.
    async fn together(&mut self, ids: &[u64]) -> Result<bool> {
        self.target.begin().await?;
        let began = Instant::now();
        let mut chosen: Vec<Chosen> = Vec::with_capacity(ids.len());
        let mut due = ids;
        while let Some(last) = due.last() {
            let group = match Group::next(self.plan, &mut self.ahead, due, Some(last + 1)).await {
                Ok(group) => group,
                Err(e) => return self.rolled_back(e).await.map(|()| false),
            };
            due = &due[group.parts.len()..];
            let plan = self.table(&group.batch);
            let outcome = match attempt(self.target, plan, &group.batch, &Left::new()).await {
                Ok(Attempt::Ready(outcome)) => outcome,
                Ok(Attempt::Again(_)) => {
                    self.target.rollback().await?;
                    return Ok(false);
                }
                Err(e) if e.is_passing() => {
                    self.target.rollback().await?;
                    return Ok(false);
                }
                Err(e) => return self.rolled_back(e).await.map(|()| false),
            };
            let more = !due.is_empty();
            if more && (outcome.refused() > size::REFUSED || began.elapsed() > size::LONG) {
                self.target.rollback().await?;
                return Ok(false);
            }
            // Nothing waits for the commit of a batch of which nothing is written.
            let state = |part: &Outcome| match part.written.is_empty() {
                true => BatchState::Committed,
                false => BatchState::Intended,
            };
            match chosen_of(plan, &group, &outcome, state) {
                Ok(parts) => chosen.extend(parts),
                Err(e) => return self.rolled_back(e).await.map(|()| false),
            }
        }
        if let Err(e) = self.save(&chosen, None).await {
            return self.rolled_back(e).await.map(|()| false);
        }
        let open = |record: &BatchRecord| record.state == BatchState::Intended;
        let ids: Vec<u64> =
            chosen.iter().filter(|(_, record, _)| open(record)).map(|(id, ..)| *id).collect();
        if ids.is_empty() {
            self.target.rollback().await?;
            return Ok(true);
        }
        self.commit(ids).await.map(|()| true)
    }

    /// Commits what is written of these batches, whose records say `intended`.
    async fn commit(&mut self, ids: Vec<u64>) -> Result<()> {
        match self.target.commit().await {
            Ok(()) => {
                for id in &ids {
                    self.records[*id as usize].state = BatchState::Committed;
                }
                self.unsaved = ids;
                Ok(())
            }
            Err(e) if e.kind() == Kind::Unknown => self.find_out(&ids, e).await,
            Err(e) => {
                self.forget(&ids).await;
                Err(e)
            }
        }
    }

    /// Waits for replicas that are too far behind.
    async fn wait(&self, cancel: &AtomicBool) -> Result<()> {
        match self.pace {
            Some(pace) => pace.wait(cancel, self.progress).await,
            None => Ok(()),
        }
    }

    /// One batch in a transaction of its own.
    async fn one(&mut self, batch: &Batch) -> Result<()> {
        let plan = self.table(batch);
        let mut left = Left::new();
        let mut tries = 1;
        let outcome = loop {
            self.target.begin().await?;
            match attempt(self.target, plan, batch, &left).await {
                Ok(Attempt::Ready(outcome)) => break outcome,
                Ok(Attempt::Again(more)) => {
                    self.target.rollback().await?;
                    left = more;
                }
                Err(e) if e.is_passing() && tries < TRIES => {
                    self.target.rollback().await?;
                    tries += 1;
                }
                Err(e) => return self.rolled_back(e).await,
            }
        };
        let conflicts = match outcome.conflicts(plan, batch) {
            Ok(conflicts) => conflicts,
            Err(e) => return self.rolled_back(e).await,
        };
        let details = Details { conflicts, filled: outcome.filled.clone() };
        if outcome.written.is_empty() {
            self.target.rollback().await?;
            let record = outcome.record(BatchState::Committed);
            return self.save(&[(batch.id, record, details)], None).await;
        }
        let intended = outcome.record(BatchState::Intended);
        if let Err(e) = self.save(&[(batch.id, intended, details)], None).await {
            return self.rolled_back(e).await;
        }
        self.commit(vec![batch.id]).await
    }

    /// All batches in one transaction, or none.
    async fn all_at_once(&mut self, cancel: &AtomicBool) -> Result<bool> {
        if self.records.iter().all(|r| r.state == BatchState::Committed) {
            return Ok(true);
        }
        self.wait(cancel).await?;
        self.target.begin().await?;
        let ids: Vec<u64> = (0..self.plan.batch_count()).collect();
        // A size that somebody chose is the size of each statement.
        let most = if self.plan.header().adapts { ids.len() } else { 1 };
        let mut chosen: Vec<Chosen> = Vec::new();
        while chosen.len() < ids.len() {
            if cancel.load(Ordering::Relaxed) {
                self.target.rollback().await?;
                return Ok(false);
            }
            let due = &ids[chosen.len()..];
            match self.some(&due[..most.min(due.len())]).await {
                Ok(some) => {
                    // A row may have ended the transaction: nothing more may be written.
                    let stop = some.iter().any(|(_, r, _)| r.state == BatchState::Pending);
                    chosen.extend(some);
                    if stop {
                        break;
                    }
                }
                Err(e) => return self.rolled_back(e).await.map(|()| false),
            }
        }
        let lost: u64 = chosen.iter().map(|(_, record, _)| record.conflicts).sum();
        if lost > 0 {
            self.target.rollback().await?;
            for (_, record, _) in &mut chosen {
                *record = BatchRecord { conflicts: record.conflicts, ..BatchRecord::default() };
            }
            self.save(&chosen, None).await?;
            return Err(Error::refused(format!(
                "{lost} rows are not as planned, so nothing was written: the plan is atomic"
            ))
            .hint(format!("restorekit show {}", self.plan.header().id)));
        }
        if let Err(e) = self.save(&chosen, None).await {
            return self.rolled_back(e).await.map(|()| false);
        }
        self.commit(ids).await.map(|()| true)
    }

    /// The first of these batches within the one transaction of an atomic plan: `Intended`, or
    /// `Pending` when the transaction can't go on. A row that would have to be left out after the
    /// fact is a conflict like any other: all is rolled back anyway.
    async fn some(&mut self, ids: &[u64]) -> Result<Vec<Chosen>> {
        let after = ids.last().map(|last| last + 1);
        let group = Group::next(self.plan, &mut self.ahead, ids, after).await?;
        let plan = self.table(&group.batch);
        let (state, outcome) = match attempt(self.target, plan, &group.batch, &Left::new()).await? {
            Attempt::Ready(outcome) => (BatchState::Intended, outcome),
            Attempt::Again(left) => (BatchState::Pending, Outcome { left, ..Outcome::default() }),
        };
        self.progress.advance(group.batch.rows() as u64);
        chosen_of(plan, &group, &outcome, |_| state)
    }

    fn table(&self, batch: &Batch) -> &'a TablePlan {
        &self.plan.header().tables[batch.table]
    }

    /// Ends the transaction after an error, and hands the error on.
    async fn rolled_back(&mut self, e: Error) -> Result<()> {
        // If even this fails, the connection's end rolls back; the first error says more.
        let _ = self.target.rollback().await;
        Err(e)
    }

    /// Durably saves these batches' records, and with them the proof that came before, and the
    /// receipt where all is done.
    async fn save(&mut self, chosen: &[Chosen], receipt: Option<&Receipt>) -> Result<()> {
        let mut saved = Vec::with_capacity(self.unsaved.len() + chosen.len());
        saved.extend(self.unsaved.iter().map(|id| (*id, &self.records[*id as usize], None)));
        saved.extend(chosen.iter().map(|(id, record, details)| (*id, record, Some(details))));
        self.plan.note(self.begun.as_ref(), &saved, receipt).await?;
        self.begun = None;
        self.unsaved.clear();
        for (id, record, _) in chosen {
            self.records[*id as usize] = record.clone();
        }
        Ok(())
    }

    /// Saves the last proof, and that the operation began.
    async fn flush(&mut self) -> Result<()> {
        let saved = self.unsaved.is_empty() && self.begun.is_none();
        if saved { Ok(()) } else { self.save(&[], None).await }
    }

    /// Takes batches back to pending. When the plan file can't say so, they stay intended
    /// there, which a resumed run finds out about.
    async fn forget(&mut self, ids: &[u64]) {
        let (pending, nothing) = (BatchRecord::default(), Details::default());
        let saved: Vec<_> = ids.iter().map(|id| (*id, &pending, Some(&nothing))).collect();
        let _ = self.plan.record(&saved).await;
        for id in ids {
            self.records[*id as usize] = BatchRecord::default();
        }
    }
}
