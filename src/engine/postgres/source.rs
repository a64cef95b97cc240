//! A database of a server as a [`Source`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;

use crate::engine::postgres::catalogue::Table;
use crate::engine::postgres::checkup::checkup;
use crate::engine::postgres::fetch::fetch;
use crate::engine::postgres::pool::Pool;
use crate::engine::postgres::rewritten::prove_whole;
use crate::engine::postgres::scan::scan;
use crate::engine::postgres::schema::{describe, no_table};
use crate::engine::postgres::survey::survey;
use crate::error::Result;
use crate::model::check::Check;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::source::{Scan, Source, Survey};

/// A database in one snapshot.
#[derive(Debug)]
pub(crate) struct PostgresSource {
    origin: Origin,
    identity: Identity,
    pool: Arc<Pool>,
    known: Arc<Known>,
}

/// The tables looked up so far.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<TableName, Arc<Table>>>);

impl Known {
    /// The table of this name.
    pub(crate) async fn table(&self, pool: &Pool, name: &TableName) -> Result<Arc<Table>> {
        if let Some(known) = self.lock().get(name) {
            return Ok(Arc::clone(known));
        }
        let found = Table::find(pool.keeper().await.session()?, pool.server(), name).await;
        let found = found.map_err(|stop| pool.failed("read its catalogue", stop))?;
        let table = Arc::new(found.ok_or_else(|| no_table(pool.address().side, name))?);
        self.lock().insert(name.clone(), Arc::clone(&table));
        Ok(table)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TableName, Arc<Table>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresSource {
    /// A source over an open pool.
    pub(crate) fn new(origin: Origin, identity: Identity, pool: Pool) -> Self {
        Self { origin, identity, pool: Arc::new(pool), known: Arc::default() }
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        Some(self.identity.clone())
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        let names = Table::base_tables(self.pool.keeper().await.session()?).await;
        names.map_err(|stop| self.pool.failed("list its tables", stop))
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        let table = self.known.table(&self.pool, table).await?;
        let described = describe(self.pool.keeper().await.session()?, &table).await;
        described.map_err(|stop| self.pool.failed("read its catalogue", stop))
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let found = self.known.table(&self.pool, table).await?;
        // One connection gains nothing by ranges.
        let parts = if self.pool.size() > 1 { parts } else { 1 };
        let surveyed = survey(self.pool.keeper().await.session()?, &found, key, parts).await;
        let surveyed = surveyed.map_err(|stop| self.pool.failed(&format!("read {table}"), stop))?;
        prove_whole(&self.pool, &found).await?;
        Ok(surveyed)
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
        let mut reader = self.pool.reader().await;
        let mut session = reader.take(&self.pool).await?;
        let fetched = fetch(&mut session, &found, columns, key, keys).await;
        let fetched = fetched.map_err(|stop| self.pool.failed(&format!("read {table}"), stop))?;
        reader.give_back(session);
        prove_whole(&self.pool, &found).await?;
        Ok(fetched)
    }

    async fn digest(&self) -> Result<Option<String>> {
        Ok(None)
    }

    async fn checkup(&self) -> Result<Vec<Check>> {
        let (address, server) = (self.pool.address(), self.pool.server());
        let looked = checkup(self.pool.keeper().await.session()?, address, server).await;
        looked.map_err(|stop| self.pool.failed("be looked over", stop))
    }

    async fn release(&self) -> Result<()> {
        self.pool.release().await
    }
}

#[cfg(test)]
pub(in crate::engine::postgres) mod tests;
