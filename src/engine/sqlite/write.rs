//! Writing to a live SQLite file, row by row through prepared statements.
//!
//! Each batch is one `BEGIN IMMEDIATE` transaction. A row is read under that lock and
//! compared by the caller; the statement that writes it repeats key and guard with storage
//! classes, must change just one row, and must change nothing elsewhere that the plan did
//! not show. Constraints, triggers and foreign keys stay on.

mod children;
mod reading;
mod refusal;
mod sql;
mod writing;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::engine::sqlite::open::{Opened, open_beside, open_for_writing};
use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::{Column, TableName, TableSchema};
use crate::target::{Target, Wrote};

/// A live SQLite file that rows are written to.
#[derive(Debug)]
pub struct SqliteTarget {
    connection: Opened,
    path: String,
    describe: Describe,
    /// `PRAGMA schema_version` when a schema was first asked for.
    schema_version: Option<i64>,
}

/// Reads the schema of a table.
pub(crate) type Describe = fn(&Connection, &TableName) -> Result<TableSchema>;

impl SqliteTarget {
    /// Opens a live database to be written to. `describe` reads the schema of a table.
    pub(crate) async fn open(location: &str, describe: Describe) -> Result<Self> {
        let connection = open_for_writing(location).await?;
        Ok(Self { connection, path: location.to_owned(), describe, schema_version: None })
    }

    /// The connection, for tests that look or meddle.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn schema_version(&self) -> Result<i64> {
        let mut version = 0;
        self.connection
            .prepare("pragma main.schema_version")
            .and_then(|mut s| {
                s.query(&[], |row| {
                    version = row.int(0);
                    Ok::<bool, SqliteError>(false)
                })
            })
            .map_err(|e| self.failed("read its schema's version", e))?;
        Ok(version)
    }

    /// What must hold once the lock is ours: nobody swapped the file meanwhile, or changed
    /// the schema that was compared with the plan's.
    fn unmoved(&self) -> Result<()> {
        self.same_file()?;
        if self.schema_version.is_none_or(|v| Ok(v) == self.schema_version().map_err(drop)) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Stopped,
            format!("live: the schema of {} changed while the plan was applied", self.path),
        )
        .hint("restorekit apply --resume checks it against the plan, and goes on if it fits"))
    }

    /// Stops when the path leads to another file than the connection does: SQLite would
    /// go on writing to the file that was renamed away.
    fn same_file(&self) -> Result<()> {
        let now = self.connection.identity_now().map_err(|e| {
            Error::refused(format!("live: {} is no longer there", self.path)).because(e)
        })?;
        let opened = self.connection.identity();
        if now.same(&opened) {
            return Ok(());
        }
        let (was, is) = (opened.location(), now.location());
        let moved = if was == is { String::new() } else { format!(": it was {was}, and is {is}") };
        Err(Error::refused(format!(
            "live: {} is another file now than when it was opened{moved}",
            self.path
        ))
        .hint("find out who replaced it, then plan again"))
    }

    fn failed(&self, what: &str, e: SqliteError) -> Error {
        let path = &self.path;
        if e.is_full() {
            Error::new(
                Kind::Stopped,
                format!("live: {path} could not {what}: disk full or failing"),
            )
            .hint("free some space, then restorekit apply --resume")
        } else if e.is_busy() {
            Error::failed(format!("live: {path} is locked by another writer"))
                .hint("its transaction held the lock for 2 s; try again when it has ended")
        } else if e.is_read_only() {
            Error::refused(format!("live: {path} can't be written: it is read-only"))
        } else {
            Error::failed(format!("live: {path} could not {what}"))
        }
        .because(e)
    }
}

/// Runs blocking work where it may block.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|h| h.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn identity(&mut self) -> Result<Identity> {
        self.same_file()?;
        Ok(self.connection.identity())
    }

    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        if self.schema_version.is_none() {
            self.schema_version = Some(self.schema_version()?);
        }
        (self.describe)(&self.connection, table)
    }

    async fn begin(&mut self) -> Result<()> {
        self.same_file()?;
        blocking(|| self.connection.execute("begin immediate"))
            .map_err(|e| self.failed("begin a transaction", e))?;
        match self.unmoved() {
            Ok(()) => Ok(()),
            Err(e) => {
                self.rollback().await?;
                Err(e)
            }
        }
    }

    async fn begin_reading(&mut self) -> Result<()> {
        self.same_file()?;
        self.connection.execute("begin").map_err(|e| self.failed("begin to read", e))
    }

    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        blocking(|| reading::read(&self.connection, plan, columns, keys))
            .map_err(|stop| self.unread(plan, stop))
    }

    async fn read_expected(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
        expected: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        blocking(|| reading::read_expected(&self.connection, plan, columns, keys, expected))
            .map_err(|stop| self.unread(plan, stop))
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        _: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote> {
        if self.connection.is_autocommit() {
            return Err(Error::failed("live: a write was asked for outside of a transaction"));
        }
        blocking(|| {
            let mut writing = writing::Writing::new(&self.connection, plan, before, after)
                .map_err(|stop| self.stop(plan, stop))?;
            writing.rows(rows).map(Wrote::from).map_err(|stop| self.stop(plan, stop))
        })
    }

    async fn settle(
        &mut self,
        plan: &TablePlan,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        let checking = |e| self.failed("check its foreign keys", e);
        if !self.connection.has_open_foreign_keys().map_err(checking)? {
            return Ok(Vec::new());
        }
        let orphans = blocking(|| refusal::orphans(&self.connection, plan, after, rows))
            .map_err(|stop| self.stop(plan, stop))?;
        if orphans.is_empty() {
            return Err(Error::refused(format!(
                "live: a deferred foreign key of {} or of its children would fail at the commit",
                plan.table
            )));
        }
        Ok(orphans)
    }

    async fn commit(&mut self) -> Result<()> {
        let Err(e) = blocking(|| self.connection.execute("commit")) else { return Ok(()) };
        // With an I/O error nobody but the file itself knows how far the commit came.
        let open = self.connection.is_autocommit() || e.is_io();
        self.rollback().await?;
        if open {
            return Err(Error::new(
                Kind::Unknown,
                format!("live: {} failed while it committed", self.path),
            )
            .hint("restorekit apply --resume reads the rows again and finds out")
            .because(e));
        }
        if e.is_foreign_key() {
            return Err(
                Error::refused("live: a deferred foreign key failed at the commit").because(e)
            );
        }
        Err(self.failed("commit", e))
    }

    async fn rollback(&mut self) -> Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        blocking(|| self.connection.execute("rollback")).map_err(|e| self.failed("roll back", e))
    }

    async fn beside(&mut self) -> Result<Option<Box<dyn Target>>> {
        self.same_file()?;
        let connection = open_beside(self.connection.file().clone()).await?;
        self.same_file()?;
        let (path, describe) = (self.path.clone(), self.describe);
        Ok(Some(Box::new(Self { connection, path, describe, schema_version: None })))
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let path = self.path;
        self.connection
            .close()
            .await
            .map_err(|e| Error::failed(format!("live: {path} could not be closed")).because(e))
    }
}

impl SqliteTarget {
    fn unread(&self, plan: &TablePlan, stop: Stop) -> Error {
        match stop {
            Stop::Ours(e) => e,
            Stop::Sqlite(e) => self.failed(&format!("read a row of {}", plan.table), e),
        }
    }

    fn stop(&self, plan: &TablePlan, stop: Stop) -> Error {
        match stop {
            Stop::Ours(e) => e,
            Stop::Sqlite(e) => {
                let what = match plan.op {
                    Op::Insert => "insert into",
                    Op::Update => "update",
                    Op::Delete => "delete from",
                };
                self.failed(&format!("{what} {}", plan.table), e)
            }
        }
    }
}

/// What ends a batch's writing: an error of SQLite's that is not about one row, or ours.
#[derive(Debug)]
enum Stop {
    Sqlite(SqliteError),
    Ours(Error),
}

impl From<SqliteError> for Stop {
    fn from(e: SqliteError) -> Self {
        Stop::Sqlite(e)
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Ours(e)
    }
}
