//! A SQLite file as a [`Source`].

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::fetch::{Fetch, fetch};
use crate::engine::sqlite::known::{Known, no_table};
use crate::engine::sqlite::open::Parts;
use crate::engine::sqlite::pool::{Pool, off_thread};
use crate::engine::sqlite::scan::scan;
use crate::engine::sqlite::survey::survey;
use crate::error::Result;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::source::{Scan, Source, Survey};

/// A SQLite database in one snapshot.
#[derive(Debug)]
pub(crate) struct SqliteSource {
    origin: Origin,
    identity: Identity,
    pool: Pool,
    known: Arc<Known>,
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
        let known = Arc::default();
        Self { origin, identity, pool, known, parts: parts.map(Arc::new) }
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
        let names = self.pool.ask(Table::base_tables).await?;
        Ok(names.into_iter().map(TableName::bare).collect())
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        let (known, name) = (Arc::clone(&self.known), table.name.clone());
        let schema = self.pool.ask(move |connection| known.schema(connection, &name)).await?;
        schema.ok_or_else(|| no_table(self.pool.side(), table))
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let (known, name, key) = (Arc::clone(&self.known), table.clone(), key.to_vec());
        let (side, reader) = (self.pool.side(), self.pool.reader());
        off_thread(move || {
            let found = reader.ask(|c| known.facts(c, &name, &key))?.found(side, &name)?;
            reader.ask(|connection| survey(connection, &found, &key, parts))
        })
        .await
    }

    fn scan(&self, request: Scan) -> Result<SendableRecordBatchStream> {
        Ok(scan(self.pool.seat(), Arc::clone(&self.known), self.pool.side(), request))
    }

    fn has_random_access(&self) -> bool {
        true
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        let wanted = Fetch {
            table: table.clone(),
            columns: columns.to_vec(),
            key: key.to_vec(),
            keys: keys.clone(),
        };
        let (known, reader, side) = (Arc::clone(&self.known), self.pool.reader(), self.pool.side());
        off_thread(move || fetch(&reader, &known, side, &wanted)).await
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

#[cfg(test)]
mod tests;
