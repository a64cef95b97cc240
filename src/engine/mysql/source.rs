//! A database of a server as a [`Source`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::FutureExt;

use crate::engine::mysql::catalogue::Table;
use crate::engine::mysql::checkup::checkup;
use crate::engine::mysql::fetch::fetch;
use crate::engine::mysql::pool::Pool;
use crate::engine::mysql::scan::scan;
use crate::engine::mysql::schema::{describe, no_table};
use crate::engine::mysql::survey::survey;
use crate::error::Result;
use crate::model::check::Check;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::source::{Scan, Source, Survey};

/// What a server is to do that is asked for a table's definition.
const CATALOGUE: &str = "read its catalogue";

/// A database in one snapshot.
#[derive(Debug)]
pub(crate) struct MysqlSource {
    origin: Origin,
    identity: Identity,
    pool: Arc<Pool>,
    known: Arc<Known>,
}

/// The tables looked up so far.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<String, Arc<Table>>>);

impl Known {
    /// The table of this name.
    pub(crate) async fn table(&self, pool: &Arc<Pool>, name: &TableName) -> Result<Arc<Table>> {
        if let Some(known) = self.lock().get(&name.name) {
            return Ok(Arc::clone(known));
        }
        let found = match name.schema {
            // Tables of other databases have other identities, and are not looked at.
            Some(_) => None,
            None => {
                let name = name.name.clone();
                pool.ask(CATALOGUE, move |session| {
                    async move { Table::find(session, &name).await }.boxed()
                })
                .await?
            }
        };
        let table = Arc::new(found.ok_or_else(|| no_table(pool.address().side, name))?);
        self.lock().insert(name.name.clone(), Arc::clone(&table));
        Ok(table)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Table>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MysqlSource {
    /// A source over an open pool.
    pub(crate) fn new(origin: Origin, identity: Identity, pool: Pool) -> Self {
        Self { origin, identity, pool: Arc::new(pool), known: Arc::default() }
    }
}

#[async_trait]
impl Source for MysqlSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        Some(self.identity.clone())
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        let names =
            self.pool.ask("list its tables", |session| Table::base_tables(session).boxed()).await?;
        Ok(names.into_iter().map(TableName::bare).collect())
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        let table = self.known.table(&self.pool, table).await?;
        self.pool
            .ask(CATALOGUE, move |session| async move { describe(session, &table).await }.boxed())
            .await
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let found = self.known.table(&self.pool, table).await?;
        // One connection gains nothing by ranges.
        let parts = if self.pool.size() > 1 { parts } else { 1 };
        let key = key.to_vec();
        self.pool
            .ask(format!("read {table}"), move |session| {
                async move { survey(session, &found, &key, parts).await }.boxed()
            })
            .await
    }

    fn scan(&self, request: Scan) -> Result<SendableRecordBatchStream> {
        Ok(scan(Arc::clone(&self.pool), Arc::clone(&self.known), request))
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
        let found = self.known.table(&self.pool, table).await?;
        let (columns, key, keys) = (columns.to_vec(), key.to_vec(), keys.clone());
        self.pool
            .ask(format!("read {table}"), move |session| {
                async move { fetch(session, &found, &columns, &key, &keys).await }.boxed()
            })
            .await
    }

    async fn digest(&self) -> Result<Option<String>> {
        Ok(None)
    }

    async fn checkup(&self) -> Result<Vec<Check>> {
        let pool = Arc::clone(&self.pool);
        self.pool
            .ask("be looked over", move |session| {
                async move { checkup(session, pool.address(), pool.server()).await }.boxed()
            })
            .await
    }

    async fn release(&self) -> Result<()> {
        self.pool.release().await
    }
}

#[cfg(test)]
pub(in crate::engine::mysql) mod tests;
