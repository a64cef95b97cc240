//! One batch, or several as one, within a transaction: decide, write, read again, compare.
//! Beginning and ending the transaction is the caller's.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::{Error, Result};
use crate::model::conflict::Reason;
use crate::model::plan::{Batch, Op, TablePlan};
use crate::model::table::{Column, KeyOrigin};
use crate::plan::file::{BatchRecord, BatchState, Bits, RowConflict, image};
use crate::plan::judge::{Judge, Standing, columns, conflict, expected, filled, keys, take};
use crate::target::{Target, Written};

/// Rows that are left alone: why, and the details.
pub(crate) type Left = BTreeMap<usize, (Reason, String)>;

/// How many rows of a batch may end its transaction before the rest is given up.
const ENDINGS: usize = 32;

/// How many rows of an insert are looked up to guess whether the batch is there already.
const PROBES: usize = 8;

/// What came of a batch in an open transaction.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// All rows that can be written are, and the transaction may be committed.
    Ready(Outcome),
    /// The transaction must be rolled back, and tried again without these rows.
    Again(Left),
}

/// A batch's rows, sorted by what became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Rows written.
    pub(crate) written: Vec<usize>,
    /// Rows that were as planned.
    pub(crate) already: Vec<usize>,
    /// Rows left alone.
    pub(crate) left: Left,
    /// What live filled in by itself: for each row of the batch the columns of [`filled`], NULL where
    /// it was not written.
    pub(crate) filled: Option<RecordBatch>,
}

impl Outcome {
    /// The record of the batch in this state.
    pub(crate) fn record(&self, state: BatchState) -> BatchRecord {
        BatchRecord {
            state,
            written: Bits::of(&self.written),
            already: self.already.len() as u64,
            conflicts: self.left.len() as u64,
        }
    }

    /// What became of these rows, which are a batch of their own.
    pub(crate) fn part(&self, rows: &Range<usize>) -> Self {
        let own = |all: &[usize]| -> Vec<usize> {
            let inside = all.iter().filter(|row| rows.contains(row));
            inside.map(|row| row - rows.start).collect()
        };
        let left = self.left.range(rows.clone());
        Self {
            written: own(&self.written),
            already: own(&self.already),
            left: left.map(|(row, why)| (row - rows.start, why.clone())).collect(),
            filled: self.filled.as_ref().map(|all| all.slice(rows.start, rows.len())),
        }
    }

    /// How many rows live refused when they were written.
    pub(crate) fn refused(&self) -> usize {
        let refused = |reason: &Reason| matches!(reason, Reason::Constraint | Reason::ForeignKey);
        self.left.values().filter(|(reason, _)| refused(reason)).count()
    }

    /// Its conflicts.
    pub(crate) fn conflicts(&self, plan: &TablePlan, batch: &Batch) -> Result<Vec<RowConflict>> {
        self.left
            .iter()
            .map(|(row, (reason, detail))| {
                let conflict = conflict(plan, batch, *row, *reason, detail.clone())?;
                Ok(RowConflict { row: *row, conflict })
            })
            .collect()
    }
}

/// Tries the batch, leaving the rows `excluded` alone.
pub(crate) async fn attempt(
    target: &mut dyn Target,
    plan: &TablePlan,
    batch: &Batch,
    excluded: &Left,
) -> Result<Attempt> {
    let wanted: Vec<usize> = (0..batch.rows()).filter(|row| !excluded.contains_key(row)).collect();
    let own = filled(plan);
    let columns = [columns(plan), own.clone()].concat();
    let (before, after) = (batch.before.as_ref(), batch.after.as_ref());
    let mut outcome = Outcome { left: excluded.clone(), ..Outcome::default() };

    // An insert over a proven key is its own compare-and-set, so it may go first.
    let blind = plan.op == Op::Insert
        && plan.key.origin != KeyOrigin::Named
        && !plan.fires()
        && !any_there(target, plan, batch, &wanted).await?;
    let earlier = match blind {
        true => None,
        false => Some(read(target, plan, &columns, (batch, &wanted), false).await?),
    };
    let earlier = match &earlier {
        Some((live, exists)) => Some(Judge::new(plan, (batch, &wanted), &columns, (live, exists))?),
        None => None,
    };
    let mut due = Vec::with_capacity(wanted.len());
    let mut due_at = Vec::with_capacity(wanted.len());
    for (at, &row) in wanted.iter().enumerate() {
        match earlier.as_ref().map_or(Ok(Standing::Before), |judge| judge.standing(at))? {
            Standing::Before => {
                due.push(row);
                due_at.push(at);
            }
            Standing::After => outcome.already.push(row),
            Standing::Neither(reason, detail) => {
                outcome.left.insert(row, (reason, detail));
            }
        }
    }
    if due.is_empty() {
        return Ok(Attempt::Ready(outcome));
    }

    let mut refused = Vec::new();
    let mut written_at = Vec::with_capacity(due.len());
    let wrote = target.write(plan, &columns, before, after, &due).await?;
    let answered = |count: usize, of: usize| match count == of {
        true => Ok(()),
        false => {
            let table = &plan.table;
            Err(Error::failed(format!("live answered for {count} of {of} rows of {table}")))
        }
    };
    answered(wrote.rows.len(), due.len())?;
    for ((&row, &at), written) in due.iter().zip(&due_at).zip(wrote.rows) {
        match written {
            Written::Done => {
                outcome.written.push(row);
                written_at.push(at);
            }
            Written::Refused(reason, detail) => {
                refused.push(row);
                outcome.left.insert(row, (reason, detail));
            }
            Written::Ended(reason, detail) => {
                return Ok(Attempt::Again(ended(excluded, &wanted, row, reason, detail)));
            }
        }
    }
    if blind && !refused.is_empty() {
        let (live, exists) = target.read(plan, &columns, &take(keys(batch)?, &refused)?).await?;
        let judge = Judge::new(plan, (batch, &refused), &columns, (&live, &exists))?;
        for (at, &row) in refused.iter().enumerate() {
            match judge.standing(at)? {
                Standing::Before => {}
                Standing::After => {
                    outcome.left.remove(&row);
                    outcome.already.push(row);
                }
                Standing::Neither(reason, detail) => {
                    outcome.left.insert(row, (reason, detail));
                }
            }
        }
    }
    if outcome.written.is_empty() {
        return Ok(Attempt::Ready(outcome));
    }

    let (live, exists) = match wrote.stored {
        Some(stored) => {
            answered(stored.num_rows(), outcome.written.len())?;
            (stored, vec![true; outcome.written.len()])
        }
        None => read(target, plan, &columns, (batch, &outcome.written), true).await?,
    };
    let judge = Judge::new(plan, (batch, &outcome.written), &columns, (&live, &exists))?;
    let mut again = Left::new();
    for (at, detail) in judge.inexact(earlier.as_ref().map(|e| (e, &written_at[..])))? {
        again.insert(outcome.written[at], (Reason::NotExact, detail));
    }
    for (row, detail) in target.settle(plan, after, &outcome.written).await? {
        again.entry(row).or_insert((Reason::ForeignKey, detail));
    }
    if again.is_empty() {
        if !own.is_empty() {
            let stored = image::project(&live, &own)?;
            outcome.filled = Some(spread(&stored, &outcome.written, batch.rows())?);
        }
        return Ok(Attempt::Ready(outcome));
    }
    again.extend(excluded.clone());
    Ok(Attempt::Again(again))
}

/// The rows of an image at their places among so many; the others are NULL.
fn spread(image: &RecordBatch, places: &[usize], rows: usize) -> Result<RecordBatch> {
    let mut from = vec![None; rows];
    for (at, &place) in places.iter().enumerate() {
        from[place] = Some(at as u32);
    }
    Ok(take_record_batch(image, &UInt32Array::from(from))?)
}

/// Reads rows of a batch that are believed to stand as before, or, once `written`, as after it.
async fn read(
    target: &mut dyn Target,
    plan: &TablePlan,
    columns: &[Column],
    (batch, rows): (&Batch, &[usize]),
    written: bool,
) -> Result<(RecordBatch, Vec<bool>)> {
    let wanted = take(keys(batch)?, rows)?;
    match expected(plan, (batch, rows), columns, written)? {
        Some(expected) => target.read_expected(plan, columns, &wanted, &expected).await,
        None => target.read(plan, columns, &wanted).await,
    }
}

/// The rows to leave alone after `row` ended the transaction.
fn ended(excluded: &Left, wanted: &[usize], row: usize, reason: Reason, detail: String) -> Left {
    let mut left = excluded.clone();
    let endings = left.values().filter(|(_, d)| *d == detail).count();
    if endings >= ENDINGS {
        for &other in wanted {
            left.insert(other, (reason, format!("not tried: {detail}, row after row")));
        }
    }
    left.insert(row, (reason, detail));
    left
}

/// True when some of a few rows of the batch exist.
async fn any_there(
    target: &mut dyn Target,
    plan: &TablePlan,
    batch: &Batch,
    wanted: &[usize],
) -> Result<bool> {
    let step = wanted.len().div_ceil(PROBES).max(1);
    let probes: Vec<usize> = wanted.iter().copied().step_by(step).collect();
    let key = crate::plan::file::image::pick(&plan.after, &plan.key.columns)?;
    let (_, exists) = target.read(plan, &key, &take(keys(batch)?, &probes)?).await?;
    Ok(exists.contains(&true))
}
