//! What became of batches whose commit may or may not have happened: their rows tell.

use crate::apply::Run;
use crate::error::{Error, Kind, Result};
use crate::plan::file::{BatchRecord, BatchState};
use crate::plan::judge::{Judge, Standing, columns, keys, take};

impl Run<'_> {
    /// Settles the batches that an earlier run left open.
    pub(super) async fn resolve(&mut self) -> Result<()> {
        let open: Vec<u64> = (0..)
            .zip(&self.records)
            .filter(|(_, r)| matches!(r.state, BatchState::Intended | BatchState::Unknown))
            .map(|(id, _)| id)
            .collect();
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

    /// Settles batches of one transaction: all committed, or all pending again.
    async fn settle(&mut self, ids: &[u64]) -> Result<()> {
        self.target.begin_reading().await?;
        let committed = self.shows(ids).await;
        self.target.rollback().await?;
        if !committed? {
            self.forget(ids).await;
            return Ok(());
        }
        for id in ids {
            self.records[*id as usize].state = BatchState::Committed;
        }
        let saved: Vec<_> = ids.iter().map(|id| (*id, &self.records[*id as usize], None)).collect();
        self.plan.record(&saved).await
    }

    /// True when some row stands as after its write. It did not when the rows were chosen
    /// under the lock, so the commit happened; rows that stand otherwise were changed since.
    async fn shows(&mut self, ids: &[u64]) -> Result<bool> {
        for id in ids {
            let rows = self.records[*id as usize].written.rows();
            let batch = self.plan.batch(*id).await?;
            let plan = self.table(&batch);
            let columns = columns(plan);
            let (live, exists) =
                self.target.read(plan, &columns, &take(keys(&batch)?, &rows)?).await?;
            let judge = Judge::new(plan, (&batch, &rows), &columns, (&live, &exists))?;
            for at in 0..rows.len() {
                if judge.standing(at)? == Standing::After {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
