//! Writing to a live database of a server.
//!
//! Each batch is one READ COMMITTED transaction (REPEATABLE READ where the binary log holds
//! statements, which asks for it): rows are locked by their key (`FOR
//! UPDATE` gives the newest row), compared by the caller, and written by statements over many
//! rows whose direct predicates repeat key and guard. A statement that fails, finds fewer
//! rows than it names, or makes the server warn is taken back to a savepoint and tried in
//! halves, so that one refused row is one conflict.
//!
//! Constraints, triggers and foreign keys stay on. No statement is DDL.

mod children;
mod refusal;
mod sql;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::engine::mysql::address::Address;
use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::failure::{DEADLOCK, LOCK_WAIT_TIMEOUT, RECORD_CHANGED, is_lost, number};
use crate::engine::mysql::fetch::word;
use crate::engine::mysql::grants::Grants;
use crate::engine::mysql::open::identity;
use crate::engine::mysql::rows::{Rows, tuple};
use crate::engine::mysql::schema::{blind, describe, no_table};
use crate::engine::mysql::session::{Explain, Purpose, Server, Session, Stop, raw};
use crate::engine::wire::words;
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::model::plan::TablePlan;
use crate::model::side::Which;
use crate::model::table::{Column, TableName, TableSchema};
use crate::model::value::{Cells, Value, ValueRef, hex};
use crate::target::{Target, Wrote};

/// Keys that one statement reads.
const ASKED: usize = 512;

/// The isolation that a binary log of statements asks for.
const REPEATABLE: &str = "repeatable read";

/// How the open transaction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// There is no transaction.
    No,
    /// It locks what it reads, to write it.
    Locking,
    /// It only looks.
    Plain,
    /// It waits for whoever still writes: a connection of ours was lost, and the server may
    /// not be done with it.
    Waiting,
}

/// A live database that rows are written to.
#[derive(Debug)]
pub struct MysqlTarget {
    address: Arc<Address>,
    server: Server,
    /// `None` once the connection is lost.
    session: Option<Session>,
    tables: HashMap<TableName, Arc<Table>>,
    reading: Reading,
    /// A connection was lost since the last commit that is known of.
    lost: bool,
}

impl MysqlTarget {
    /// Connects to a live database to write to it.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = Arc::new(Address::parse(url, Which::Live)?);
        let (session, server) = Session::open(&address, Purpose::Write).await?;
        Ok(Self {
            address,
            server,
            session: Some(session),
            tables: HashMap::new(),
            reading: Reading::No,
            lost: false,
        })
    }

    /// The session; a new one where the last was lost.
    async fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            let (session, server) = Session::open(&self.address, Purpose::Write).await?;
            if server.id != self.server.id {
                return Err(Error::refused(format!(
                    "live: another server answers at {} than before",
                    self.address.shown()
                )));
            }
            self.session = Some(session);
        }
        match &mut self.session {
            Some(session) => Ok(session),
            None => Err(Error::failed("live: there is no connection")),
        }
    }

    /// The user-facing error; a lost connection is given up.
    fn failed(&mut self, what: &str, stop: Stop) -> Error {
        let stop = match stop {
            Stop::Ours(e) => return e,
            Stop::Server(e) => e,
        };
        if is_lost(&stop) {
            self.session = None;
            self.lost = true;
            self.reading = Reading::No;
        }
        let passing = matches!(number(&stop), Some(DEADLOCK | RECORD_CHANGED));
        let waited = number(&stop) == Some(LOCK_WAIT_TIMEOUT);
        let e = self.address.explain(what, stop);
        match (passing, waited) {
            (true, _) => e.passing(),
            // The application holds a row for longer than 2 s: later is another day.
            (_, true) => e.as_kind(Kind::Failed),
            _ => e,
        }
    }

    async fn run(&mut self, what: &str, sql: &str) -> Result<()> {
        let run = self.session().await?.run(sql).await;
        run.map_err(|e| self.failed(what, e.into()))
    }

    /// Refuses a server that is read-only or replicates another (G10), and another operator
    /// at work on the same database (G9). Gives the isolation to write in.
    async fn may_write(&mut self) -> Result<&'static str> {
        let shown = self.address.shown().to_owned();
        let primary = |why: &str| {
            Error::refused(format!("live: {shown} {why} and is not written to"))
                .hint("name the primary server as --live")
        };
        let server = self.server.clone();
        let session = self.session().await?;
        let looked = async {
            let standing = session.standing(&server).await?;
            Ok::<_, Stop>((standing, session.variable("binlog_format").await?))
        };
        let (standing, log) = match looked.await {
            Ok(looked) => looked,
            Err(e) => return Err(self.failed("be looked at", e)),
        };
        if standing.read_only {
            return Err(primary("is read-only"));
        }
        if standing.replica {
            return Err(primary("is a replica"));
        }
        self.fence().await?;
        Ok(match log.as_deref() {
            Some("STATEMENT") => REPEATABLE,
            _ => "read committed",
        })
    }

    /// Takes the advisory lock, waiting at most 2 s for another session that has it.
    async fn fence(&mut self) -> Result<()> {
        let lock = lock_name(self.address.database());
        let sql = "select cast(coalesce(is_used_lock(?) = connection_id(), 0) as char), \
                   cast(get_lock(?, 2) as char)";
        let taken = self.session().await?.strings(sql, &[&lock, &lock]).await;
        let taken = taken.map_err(|e| self.failed("be locked against other operators", e))?;
        let [ours, taken] = words(taken.into_iter().next().unwrap_or_default());
        if taken != "1" {
            let shown = self.address.shown();
            return Err(Error::refused(format!("another restorekit is writing to {shown}"))
                .hint("wait until it has ended: restorekit log")
                .hint(
                    "a killed one's session goes on until its commit is answered: show processlist",
                ));
        }
        if ours == "1" {
            // It was ours already: a lock counts how often it was taken.
            self.run("release a lock", &format!("do release_lock('{lock}')")).await?;
        }
        Ok(())
    }

    async fn begin_once(&mut self) -> Result<()> {
        let isolation = self.may_write().await?;
        let sql = format!("set transaction isolation level {isolation}");
        self.run("begin a transaction", &sql).await?;
        self.run("begin a transaction", "start transaction").await?;
        self.session().await?.newest = match isolation {
            REPEATABLE => " lock in share mode",
            _ => "",
        };
        self.reading = Reading::Locking;
        Ok(())
    }

    async fn begin_reading_once(&mut self) -> Result<()> {
        let (sql, reading) = match self.lost {
            true => ("start transaction", Reading::Waiting),
            false => ("start transaction with consistent snapshot, read only", Reading::Plain),
        };
        self.run("begin to read", "set transaction isolation level repeatable read").await?;
        self.run("begin to read", sql).await?;
        self.reading = reading;
        Ok(())
    }

    async fn table(&mut self, name: &TableName) -> Result<Arc<Table>> {
        if let Some(known) = self.tables.get(name) {
            return Ok(Arc::clone(known));
        }
        if name.schema.is_some() {
            return Err(no_table(Which::Live, name));
        }
        let found = Table::find(self.session().await?, &name.name).await;
        let found = found.map_err(|stop| self.failed("read its catalogue", stop))?;
        let table = Arc::new(found.ok_or_else(|| no_table(Which::Live, name))?);
        self.tables.insert(name.clone(), Arc::clone(&table));
        Ok(table)
    }
}

/// The name of the advisory lock of a database; a lock's name has 64 characters at most.
fn lock_name(database: &str) -> String {
    let digest = hex(&Sha256::digest(database.as_bytes()));
    format!("restorekit:{}", &digest[..40])
}

#[async_trait]
impl Target for MysqlTarget {
    async fn identity(&mut self) -> Result<Identity> {
        self.session().await?;
        Ok(identity(&self.address, &self.server))
    }

    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        self.tables.remove(table);
        let found = self.table(table).await?;
        let described = describe(self.session().await?, &found).await;
        let mut schema = described.map_err(|stop| self.failed("read its catalogue", stop))?;
        // MySQL tells who lacks the right of no trigger at all.
        if schema.unwritable.is_none() && !self.server.mariadb {
            let grants = Grants::of(self.session().await?).await;
            let grants = grants.map_err(|stop| self.failed("say what this user may do", stop))?;
            let seen = grants.give("TRIGGER", self.address.database(), &found.name);
            schema.unwritable = (!seen).then(|| blind(&found));
        }
        if schema.unwritable.is_none() && !schema.triggers.is_empty() {
            let bodies: Vec<&str> = schema.triggers.iter().map(|t| t.sql.as_str()).collect();
            let named = refusal::untransactional(self.session().await?, &bodies).await;
            schema.unwritable = named.map_err(|stop| self.failed("read its catalogue", stop))?;
        }
        Ok(schema)
    }

    /// A connection that was lost between two transactions took nothing with it, so one more
    /// is tried.
    async fn begin(&mut self) -> Result<()> {
        match self.begin_once().await {
            Err(_) if self.session.is_none() => self.begin_once().await,
            begun => begun,
        }
    }

    async fn begin_reading(&mut self) -> Result<()> {
        match self.begin_reading_once().await {
            Err(_) if self.session.is_none() => self.begin_reading_once().await,
            begun => begun,
        }
    }

    async fn be_alone(&mut self) -> Result<()> {
        self.fence().await
    }

    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let table = self.table(&plan.table).await?;
        let key = plan.key_columns()?;
        let here: Vec<&TableColumn> =
            key.iter().map(|column| table.require(&column.name)).collect::<Result<_>>()?;
        let forms = columns
            .iter()
            .map(|column| table.require(&column.name).map(|c| c.form))
            .collect::<Result<Vec<_>>>()?;
        let key_forms: Vec<_> = here.iter().map(|c| c.form).collect();
        let cells = Cells::of(keys, &key)?;
        let wanted = (0..keys.num_rows())
            .map(|row| (0..key.len()).map(|at| cells.get(row, at)).collect())
            .collect::<Result<Vec<Vec<ValueRef<'_>>>>>()?;
        let places: HashMap<Vec<u8>, usize> =
            wanted.iter().enumerate().map(|(place, key)| (word(key), place)).collect();
        let lock = match self.reading {
            Reading::Locking => " for update",
            Reading::Waiting => " lock in share mode",
            Reading::Plain | Reading::No => "",
        };
        let mut rows = Rows::new(columns, forms, wanted.len());
        let mut found: Vec<Option<u32>> = vec![None; wanted.len()];
        let what = format!("read rows of {}", plan.table);
        for asked in wanted.chunks(ASKED) {
            let sql = sql::select(&table, columns, &here, asked.len(), lock);
            let parameters: Vec<ValueRef<'_>> = asked.concat();
            let read = self.session().await?.query(&sql, &parameters, |row| {
                let key = tuple(row, columns.len(), &key_forms)?;
                let key: Vec<ValueRef<'_>> = key.iter().map(Value::as_ref).collect();
                // What the engine only takes for equal is another row.
                let Some(place) = places.get(&word(&key)) else { return Ok(true) };
                let at = rows.len() as u32;
                rows.push(|at| raw(row, at))?;
                match found[*place].replace(at) {
                    None => Ok(true),
                    Some(_) => Err(Error::refused(format!(
                        "live: more than one row of {} has the key ({})",
                        plan.table, plan.key
                    ))),
                }
            });
            read.await.map_err(|stop| self.failed(&what, stop))?;
        }
        let exists = found.iter().map(Option::is_some).collect();
        rows.push_absent();
        let batch = take_record_batch(&rows.take()?, &UInt32Array::from(found))?;
        Ok((batch, exists))
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        _: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote> {
        if self.reading != Reading::Locking {
            return Err(Error::failed("live: a write was asked for outside of a transaction"));
        }
        let table = self.table(&plan.table).await?;
        let packet = self.server.packet;
        let session = self.session().await?;
        let written = async {
            let mut writing =
                writing::Writing::new(session, plan, &table, before, after, packet).await?;
            writing.rows(rows).await
        };
        let written = written.await.map(Wrote::from);
        written.map_err(|stop| self.failed(&format!("write rows of {}", plan.table), stop))
    }

    /// InnoDB checks every constraint in the statement itself.
    async fn settle(
        &mut self,
        _: &TablePlan,
        _: Option<&RecordBatch>,
        _: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        Ok(Vec::new())
    }

    async fn commit(&mut self) -> Result<()> {
        let committed = self.session().await?.run("commit").await;
        self.reading = Reading::No;
        let Err(e) = committed else {
            self.lost = false;
            return Ok(());
        };
        let lost = is_lost(&e);
        let error = self.failed("commit", e.into());
        if lost {
            return Err(error
                .as_kind(Kind::Unknown)
                .hint("restorekit apply --resume reads the rows again and finds out"));
        }
        // The server says no and has rolled back, or does so now.
        self.rollback().await?;
        Err(error)
    }

    async fn rollback(&mut self) -> Result<()> {
        self.reading = Reading::No;
        // A lost connection's transaction is rolled back by the server.
        if self.session.is_none() {
            return Ok(());
        }
        self.run("roll back", "rollback").await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        let Some(session) = self.session else { return Ok(()) };
        session.close().await.map_err(|e| self.address.explain("be closed", e))
    }
}

#[cfg(test)]
mod tests;
