//! A target around whose calls others do something.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use super::lab::{Database, Lab};
use crate::apply::{ApplyOptions, apply};
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::model::plan::TablePlan;
use crate::model::receipt::Receipt;
use crate::model::table::{Column, TableName, TableSchema};
use crate::plan::file::PlanFile;
use crate::progress::Silent;
use crate::target::{Target, Wrote};

/// What happens around a call of the target.
type Meddle = dyn Fn(Call) + Send + Sync;

/// A call of the target, before or after it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Call {
    Read,
    BeforeWrite,
    AfterWrite,
    BeforeCommit,
    AfterCommit,
}

/// A target around whose calls others do something; after its commit the answer may be lost.
struct Meddled {
    inner: Box<dyn Target>,
    meddle: Arc<Meddle>,
    /// The answer of the commit is lost.
    deaf: bool,
}

#[async_trait]
impl Target for Meddled {
    async fn identity(&mut self) -> Result<Identity> {
        self.inner.identity().await
    }
    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        self.inner.schema(table).await
    }
    async fn begin(&mut self) -> Result<()> {
        self.inner.begin().await
    }
    async fn begin_reading(&mut self) -> Result<()> {
        self.inner.begin_reading().await
    }
    async fn be_alone(&mut self) -> Result<()> {
        self.inner.be_alone().await
    }
    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        (self.meddle)(Call::Read);
        self.inner.read(plan, columns, keys).await
    }
    async fn write(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote> {
        (self.meddle)(Call::BeforeWrite);
        let written = self.inner.write(plan, columns, before, after, rows).await;
        (self.meddle)(Call::AfterWrite);
        written
    }
    async fn settle(
        &mut self,
        plan: &TablePlan,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        self.inner.settle(plan, after, rows).await
    }
    async fn commit(&mut self) -> Result<()> {
        (self.meddle)(Call::BeforeCommit);
        let committed = self.inner.commit().await;
        (self.meddle)(Call::AfterCommit);
        match self.deaf && committed.is_ok() {
            true => Err(Error::new(Kind::Unknown, "the answer was lost")),
            false => committed,
        }
    }
    async fn rollback(&mut self) -> Result<()> {
        self.inner.rollback().await
    }
    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}

impl<D: Database> Lab<D> {
    /// Applies a plan while `meddle` is called around the target's calls; `deaf` loses the
    /// answers of commits.
    pub(in crate::engine) async fn meddled(
        &self,
        plan: &PlanFile,
        options: ApplyOptions,
        deaf: bool,
        meddle: impl Fn(Call) + Send + Sync + 'static,
    ) -> Result<Receipt> {
        let mut target = Meddled { inner: self.target().await, meddle: Arc::new(meddle), deaf };
        let receipt = apply(plan, &mut target, &options, &Silent).await;
        target.inner.close().await.unwrap();
        receipt
    }
}
