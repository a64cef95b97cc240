//! A source that reads from a private folder: it keeps that, and calls it what it was made of.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::backup::place::Private;
use crate::error::{Error, Result};
use crate::model::check::Check;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::source::{Scan, Source, Survey};

/// A source and the private folder that it reads from.
#[derive(Debug)]
pub(in crate::backup) struct Kept {
    source: Arc<dyn Source>,
    origin: Origin,
    private: Arc<Private>,
}

impl Kept {
    /// The source, in the words of the location that was named.
    pub(in crate::backup) fn new(source: Arc<dyn Source>, private: Arc<Private>) -> Self {
        let of = source.origin();
        let origin = Origin {
            location: private.told(&of.location),
            kind: of.kind.clone(),
            taken_at: of.taken_at.clone(),
            warnings: of.warnings.iter().map(|line| private.told(line)).collect(),
            ..Origin::default()
        };
        Self { source, origin, private }
    }

    fn told<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|e| self.private.error(e))
    }
}

#[async_trait]
impl Source for Kept {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        self.source.identity()
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.told(self.source.tables().await)
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        self.told(self.source.schema(table).await)
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        self.told(self.source.survey(table, key, parts).await)
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let batches = self.told(self.source.scan(scan))?;
        let private = Arc::clone(&self.private);
        let told = move |e| private.error(Error::from(e)).into();
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            batches.schema(),
            batches.map(move |batch| batch.map_err(&told)),
        )))
    }

    fn has_random_access(&self) -> bool {
        self.source.has_random_access()
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        self.told(self.source.fetch(table, columns, key, keys).await)
    }

    async fn digest(&self) -> Result<Option<String>> {
        self.told(self.source.digest().await)
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes().iter().map(|line| self.private.told(line)).collect()
    }

    async fn checkup(&self) -> Result<Vec<Check>> {
        self.told(self.source.checkup().await)
    }

    fn keeps_values(&self) -> bool {
        self.source.keeps_values()
    }

    fn rounds_singles(&self) -> bool {
        self.source.rounds_singles()
    }

    async fn release(&self) -> Result<()> {
        self.told(self.source.release().await)
    }
}
