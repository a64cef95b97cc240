//! What became of batches whose commit may or may not have happened: their rows tell.

use crate::apply::Run;
use crate::error::{Error, Kind, Result};
use crate::model::conflict::Reason;
use crate::model::plan::Batch;
use crate::plan::file::{BatchRecord, BatchState, Bits, RowConflict};
use crate::plan::judge::{Judge, Standing, columns, conflict, keys, take};

/// What is said of a row that stands as before its write beside others as after it.
const BACK: &str = "it stands as before its write, others of its transaction as after it: taken back \
    since, or never written";

impl Run<'_> {
    /// Settles the batches that an earlier run left open.
    pub(super) async fn resolve(&mut self) -> Result<()> {
        let open: Vec<u64> = (0..)
            .zip(&self.records)
            .filter(|(_, r)| matches!(r.state, BatchState::Intended | BatchState::Unknown))
            .map(|(id, _)| id)
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        // What rows tell holds once nobody commits them any more.
        self.target.be_alone().await?;
        if self.plan.header().atomic {
            return self.settle(&open).await;
        }
        for id in open {
            self.settle(&[id]).await?;
        }
        Ok(())
    }

    /// Finds out about batches whose commit just failed with `e`.
    pub(super) async fn find_out(&mut self, ids: &[u64], e: Error) -> Result<()> {
        if self.settle(ids).await.is_err() {
            let unknown = ids.iter().map(|id| BatchRecord {
                state: BatchState::Unknown,
                ..self.records[*id as usize].clone()
            });
            let unknown: Vec<_> = ids.iter().copied().zip(unknown.collect::<Vec<_>>()).collect();
            let saved: Vec<_> = unknown.iter().map(|(id, r)| (*id, r, None)).collect();
            // If this fails the batch stays intended, which is resolved alike.
            let _ = self.plan.record(&saved).await;
            return Err(e);
        }
        if ids.iter().any(|id| self.records[*id as usize].state == BatchState::Pending) {
            return Err(e.as_kind(Kind::Failed));
        }
        Ok(())
    }

    /// Settles batches of one transaction by their rows.
    ///
    /// None of them stood as after its write when they were chosen under the lock. So where none
    /// does, nothing was committed, and they are pending again; where none stands as before, all were,
    /// and what stands otherwise was changed since. Where some do and some don't, somebody else wrote
    /// to them, after a commit or without one. Those that stand as planned count as written; the others
    /// are left alone and told.
    async fn settle(&mut self, ids: &[u64]) -> Result<()> {
        self.target.begin_reading().await?;
        let settled = self.settled(ids).await;
        self.target.rollback().await?;
        let Some(settled) = settled? else {
            self.forget(ids).await;
            return Ok(());
        };
        let mut details = Vec::with_capacity(ids.len());
        for (id, left) in ids.iter().zip(settled) {
            let record = &mut self.records[*id as usize];
            record.state = BatchState::Committed;
            if left.is_empty() {
                details.push(None);
                continue;
            }
            let mut written = record.written.rows();
            written.retain(|row| left.binary_search_by_key(row, |found| found.row).is_err());
            record.written = Bits::of(&written);
            record.conflicts += left.len() as u64;
            let mut own = self.plan.details(*id).await?;
            own.conflicts.extend(left);
            details.push(Some(own));
        }
        let saved = ids.iter().zip(&details);
        let saved = saved.map(|(id, own)| (*id, &self.records[*id as usize], own.as_ref()));
        self.plan.record(&saved.collect::<Vec<_>>()).await
    }

    /// The rows of each of these batches that are left alone: where another hand shows, those that do
    /// not stand as planned. `None` where nothing was committed.
    async fn settled(&mut self, ids: &[u64]) -> Result<Option<Vec<Vec<RowConflict>>>> {
        let (mut after, mut before) = (false, false);
        for id in ids {
            self.standings(*id, |_, _, standing| {
                after |= standing == Standing::After;
                before |= standing == Standing::Before;
                Ok(())
            })
            .await?;
        }
        if !after {
            return Ok(None);
        }
        let plan = self.plan;
        let mut all = vec![Vec::new(); ids.len()];
        // Where nothing stands as before, all were committed, whoever changed some since.
        for (id, left) in ids.iter().zip(&mut all).filter(|_| before) {
            self.standings(*id, |batch, row, standing| {
                let (reason, detail) = match standing {
                    Standing::After => return Ok(()),
                    Standing::Before => (Reason::Unproven, BACK.to_owned()),
                    Standing::Neither(reason, detail) => (reason, detail),
                };
                let table = &plan.header().tables[batch.table];
                left.push(RowConflict {
                    row,
                    conflict: conflict(table, batch, row, reason, detail)?,
                });
                Ok(())
            })
            .await?;
        }
        Ok(Some(all))
    }

    /// Tells how each row of a batch stands that was about to be committed.
    async fn standings(
        &mut self,
        id: u64,
        mut tell: impl FnMut(&Batch, usize, Standing) -> Result<()>,
    ) -> Result<()> {
        let rows = self.records[id as usize].written.rows();
        let batch = self.plan.batch(id).await?;
        let plan = self.table(&batch);
        let columns = columns(plan);
        let (live, exists) = self.target.read(plan, &columns, &take(keys(&batch)?, &rows)?).await?;
        let judge = Judge::new(plan, (&batch, &rows), &columns, (&live, &exists))?;
        for (at, &row) in rows.iter().enumerate() {
            tell(&batch, row, judge.standing(at)?)?;
        }
        Ok(())
    }
}
