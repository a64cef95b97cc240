//! A SQLite file as a [`Source`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;

use crate::engine::sqlite::open::Parts;
use crate::engine::sqlite::pool::{Pool, off_thread};
use crate::error::{Error, Result};
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::source::{Scan, Source, Survey};

/// A SQLite database in one snapshot.
#[derive(Debug)]
pub(crate) struct SqliteSource {
    origin: Origin,
    identity: Identity,
    pool: Pool,
    parts: Option<Arc<Parts>>,
}

impl SqliteSource {
    /// A source over an open pool; `parts` are the files of a backup.
    pub(crate) fn new(
        origin: Origin,
        identity: Identity,
        pool: Pool,
        parts: Option<Parts>,
    ) -> Self {
        Self { origin, identity, pool, parts: parts.map(Arc::new) }
    }
}

#[async_trait]
impl Source for SqliteSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        Some(self.identity.clone())
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Err(Error::failed("unfinished"))
    }

    async fn schema(&self, _table: &TableName) -> Result<TableSchema> {
        Err(Error::failed("unfinished"))
    }

    async fn survey(&self, _table: &TableName, _key: &[Column], _parts: usize) -> Result<Survey> {
        Err(Error::failed("unfinished"))
    }

    fn scan(&self, _scan: Scan) -> Result<SendableRecordBatchStream> {
        Err(Error::failed("unfinished"))
    }

    fn has_random_access(&self) -> bool {
        true
    }

    async fn fetch(
        &self,
        _table: &TableName,
        _columns: &[Column],
        _key: &[Column],
        _keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        Err(Error::failed("unfinished"))
    }

    async fn digest(&self) -> Result<Option<String>> {
        match self.parts.clone() {
            Some(parts) => off_thread(move || parts.digest()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn release(&self) -> Result<()> {
        self.pool.release().await
    }
}
