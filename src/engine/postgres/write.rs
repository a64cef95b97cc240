//! Writing to a live database of a server.
//!
//! Each batch is one READ COMMITTED transaction: rows are locked by their key (`FOR UPDATE`
//! gives the newest row, and keeps children from coming), compared by the caller, and written
//! by one statement over arrays whose direct predicates repeat key and guard. A statement that
//! fails is taken back to a savepoint and tried in halves, so that one refused row is one
//! conflict.
//!
//! A session-level advisory lock keeps a second restorekit out, and tells when a session that
//! was lost is over: only then is it asked what became of its commit (`txid_status`).
//!
//! Constraints, triggers and foreign keys stay on, and deferrable ones are checked at once. No
//! statement is DDL; none needs the right to make temporary tables.

mod array;
mod children;
mod refusal;
mod sequence;
mod sql;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;

use crate::engine::postgres::address::Address;
use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::failure::{
    DEADLOCK, LOCK_NOT_AVAILABLE, SERIALIZATION, is_lost, is_no_value, state,
};
use crate::engine::postgres::open::identity;
use crate::engine::postgres::schema::{describe, no_table};
use crate::engine::postgres::session::{Explain, Server, Session, Stop, raw};
use crate::engine::postgres::write::array::{Array, Element};
use crate::engine::postgres::write::sequence::{Sequence, sequences};
use crate::engine::postgres::write::writing::{Writing, elements, place};
use crate::engine::wire::{Rows, tuple};
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::model::plan::{Op, TablePlan};
use crate::model::side::Which;
use crate::model::table::{Column, TableName, TableSchema};
use crate::model::value::{Cells, Value, ValueRef};
use crate::target::{Target, Written, Wrote};

/// Keys that one statement reads.
const ASKED: usize = 8192;

/// The advisory lock of whoever writes to a database: "restorek" as a number.
const FENCE: i64 = i64::from_be_bytes(*b"restorek");

/// How the open transaction reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// There is no transaction.
    No,
    /// It locks what it reads, to write it.
    Locking,
    /// It only looks.
    Plain,
}

/// A table, and what matters of it to writing only.
#[derive(Debug)]
struct Known {
    table: Table,
    sequences: Vec<Sequence>,
    /// The columns that say in which partition a row is.
    partitioned_by: Vec<String>,
}

impl Known {
    /// Looks a table up. It is asked with `pg_catalog` as the search path.
    async fn find(session: &mut Session, server: &Server, name: &TableName) -> Result<Self, Stop> {
        let table = Table::find(session, server, name).await?;
        let table = table.ok_or_else(|| no_table(Which::Live, name))?;
        let sequences = sequences(session, &table).await?;
        let partitioned_by = session
            .strings(
                "select a.attname::text from pg_catalog.pg_partitioned_table p \
                 join pg_catalog.pg_attribute a on a.attrelid = p.partrelid \
                 and a.attnum = any (p.partattrs::int2[]) where p.partrelid = $1::oid",
                &[&table.oid],
            )
            .await?;
        let partitioned_by = partitioned_by.into_iter().flatten().flatten().collect();
        Ok(Self { table, sequences, partitioned_by })
    }
}

/// A live database that rows are written to.
#[derive(Debug)]
pub struct PostgresTarget {
    address: Arc<Address>,
    server: Server,
    /// `None` once the connection is lost.
    session: Option<Session>,
    /// The session holds the advisory lock.
    fenced: bool,
    tables: HashMap<TableName, Arc<Known>>,
    reading: Reading,
    /// A connection was lost since the last commit that is known of.
    lost: bool,
}

impl PostgresTarget {
    /// Connects to a live database to write to it.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let address = Arc::new(Address::parse(url, Which::Live)?);
        let (mut session, server) = Session::open(&address).await?;
        let version = session.word("select pg_catalog.version()::pg_catalog.text").await;
        let version = version.map_err(|stop| stop.explain(&*address, "say what it is"))?;
        if !is_postgres(&version) {
            return Err(Error::refused(format!(
                "live: {} is not PostgreSQL itself ({version}) and is not written to",
                address.shown()
            ))
            .hint("it is read all the same: restorekit diff, restorekit snapshot"));
        }
        Ok(Self {
            address,
            server,
            session: Some(session),
            fenced: false,
            tables: HashMap::new(),
            reading: Reading::No,
            lost: false,
        })
    }

    /// The session; a new one where the last was lost.
    async fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            let (session, server) = Session::open(&self.address).await?;
            if (server.system, server.oid) != (self.server.system, self.server.oid) {
                return Err(Error::refused(format!(
                    "live: another database answers at {} than before",
                    self.address.shown()
                )));
            }
            self.server = server;
            self.session = Some(session);
            self.fenced = false;
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
        let state = state(&stop);
        let e = self.address.explain(what, stop);
        match state.as_deref() {
            Some(DEADLOCK | SERIALIZATION) => e.passing(),
            // The application holds a row for longer than 2 s: later is another day.
            Some(LOCK_NOT_AVAILABLE) => e.as_kind(Kind::Failed),
            _ => e,
        }
    }

    async fn run(&mut self, what: &str, sql: &str) -> Result<()> {
        let run = self.session().await?.run(sql).await;
        run.map_err(|e| self.failed(what, e.into()))
    }

    /// Takes the advisory lock, waiting at most 2 s for another session that has it: another
    /// operator (G9), or one of ours whose connection was lost and whose transaction goes on.
    async fn fence(&mut self) -> Result<()> {
        let session = self.session().await?;
        let taken = async {
            session.run("begin; set local lock_timeout = '2s'").await?;
            session.run(&format!("select pg_catalog.pg_advisory_lock({FENCE})")).await?;
            session.run("commit").await
        };
        match taken.await {
            Ok(()) => {
                self.fenced = true;
                Ok(())
            }
            Err(e) if state(&e).as_deref() == Some(LOCK_NOT_AVAILABLE) => {
                self.run("roll back", "rollback").await?;
                let shown = self.address.shown();
                Err(Error::refused(format!("another restorekit is writing to {shown}"))
                    .hint("wait until it has ended: restorekit log")
                    .hint("a killed one's session goes on until its commit is answered: pg_stat_activity"))
            }
            Err(e) => Err(self.failed("be locked against other operators", e.into())),
        }
    }

    /// Refuses a server that is read-only or a replica (G10), and another operator at work on
    /// the same database (G9).
    async fn may_write(&mut self) -> Result<()> {
        let standing = self.session().await?.standing().await;
        let standing = standing.map_err(|e| self.failed("be looked at", e))?;
        let shown = self.address.shown();
        let primary = |why: &str, hint: &str| {
            Error::refused(format!("live: {shown} {why} and is not written to")).hint(hint)
        };
        if standing.replica {
            return Err(primary("is a replica", "name the primary server as --live"));
        }
        if standing.read_only {
            return Err(primary(
                "is read-only",
                "default_transaction_read_only is on for this server, database or user",
            ));
        }
        if standing.unchecked {
            return Err(primary(
                "checks neither references nor triggers: session_replication_role is replica",
                "it is set for this database or user: alter database .. reset session_replication_role",
            ));
        }
        if !self.fenced {
            self.fence().await?;
        }
        Ok(())
    }

    async fn begin_once(&mut self) -> Result<()> {
        self.may_write().await?;
        let begun = self.session().await?.begin_writing().await;
        begun.map_err(|e| self.failed("begin a transaction", e))?;
        self.reading = Reading::Locking;
        Ok(())
    }

    async fn begin_reading_once(&mut self) -> Result<()> {
        // What a lost session wrote is seen once that session is over.
        if self.lost && !self.fenced {
            self.fence().await?;
        }
        let begun = self.session().await?.begin_reading(None).await;
        begun.map_err(|e| self.failed("begin to read", e))?;
        self.reading = Reading::Plain;
        Ok(())
    }

    async fn known(&mut self, name: &TableName) -> Result<Arc<Known>> {
        if let Some(known) = self.tables.get(name) {
            return Ok(Arc::clone(known));
        }
        Ok(self.look(name, false).await?.0)
    }

    /// What the catalogue says of a table now, looked up with its own search path, which goes
    /// with the transaction or savepoint; described too where that is asked for.
    async fn look(
        &mut self,
        name: &TableName,
        described: bool,
    ) -> Result<(Arc<Known>, Option<TableSchema>)> {
        let server = self.server.clone();
        let inside = self.reading != Reading::No;
        let session = self.session().await?;
        let looked = async {
            match inside {
                true => {
                    session.run("savepoint restorekit; set local search_path = pg_catalog").await?;
                }
                false => session.begin_reading(None).await?,
            }
            let known = Known::find(session, &server, name).await?;
            let schema = match described {
                true => Some(describe(session, &known.table).await?),
                false => None,
            };
            Ok::<_, Stop>((Arc::new(known), schema))
        };
        let looked = looked.await;
        let end = match inside {
            true => sql::TAKE_BACK,
            false => "rollback",
        };
        let looked = looked.map_err(|stop| self.failed("read its catalogue", stop));
        // Where both fail, the first says why.
        let ended = match self.session.is_some() {
            true => self.run("end a look at its catalogue", end).await,
            false => Ok(()),
        };
        let looked = looked?;
        ended?;
        self.tables.insert(name.clone(), Arc::clone(&looked.0));
        Ok(looked)
    }

    /// What became of a commit whose answer was lost: `Some` when the server, the same process
    /// as then, says it, with the session that sent it over.
    async fn fate(&mut self, transaction: &str, started: i64) -> Option<bool> {
        self.session().await.ok()?;
        // After a crash, numbers that were never durable are given again.
        if self.server.started != started {
            return None;
        }
        self.fence().await.ok()?;
        let sql = format!("select pg_catalog.txid_status({transaction})::pg_catalog.text");
        let status = self.session().await.ok()?.word(&sql).await.ok()?;
        match status.as_str() {
            "committed" => Some(true),
            "aborted" => Some(false),
            _ => None,
        }
    }
}

/// True for what `version()` says of PostgreSQL itself: others speak its protocol, and keep other
/// promises (C14).
fn is_postgres(version: &str) -> bool {
    let number = version.strip_prefix("PostgreSQL ").unwrap_or_default();
    let own = number.starts_with(|c: char| c.is_ascii_digit());
    own && !["-YB-", "Greenplum", "Redshift", "Cockroach"].iter().any(|not| version.contains(not))
}

#[async_trait]
impl Target for PostgresTarget {
    async fn identity(&mut self) -> Result<Identity> {
        self.session().await?;
        Ok(identity(&self.address, &self.server))
    }

    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        let (_, schema) = self.look(table, true).await?;
        schema.ok_or_else(|| no_table(Which::Live, table))
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
        self.session().await?;
        match self.fenced {
            true => Ok(()),
            false => self.fence().await,
        }
    }

    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        let known = self.known(&plan.table).await?;
        let table = &known.table;
        let key = plan.key_columns()?;
        let pick = |columns: &[Column]| {
            let found = columns.iter().map(|column| table.require(&column.name));
            found.collect::<Result<Vec<&TableColumn>>>()
        };
        let (here, key_here) = (pick(columns)?, pick(&key)?);
        let forms = here.iter().map(|c| c.form).collect();
        let key_forms: Vec<_> = key_here.iter().map(|c| c.form).collect();
        let cells = Cells::of(keys, &key)?;
        let wanted = (0..keys.num_rows())
            .map(|row| (0..key.len()).map(|at| cells.get(row, at)).collect())
            .collect::<Result<Vec<Vec<ValueRef<'_>>>>>()?;
        // What is inserted is not there to be locked, and needs no right to update.
        let lock = self.reading == Reading::Locking && plan.op != Op::Insert;
        let mut rows = Rows::new(columns, forms, wanted.len());
        let mut found: Vec<Option<u32>> = vec![None; wanted.len()];
        let what = format!("read rows of {}", plan.table);
        let mut due: Vec<(usize, &[Vec<ValueRef<'_>>])> =
            (0..).step_by(ASKED).zip(wanted.chunks(ASKED)).collect();
        due.reverse();
        while let Some((first, asked)) = due.pop() {
            let arrays = key
                .iter()
                .enumerate()
                .map(|(at, column)| Array::of(column.carrier, asked.len(), |i| Ok(asked[i][at])));
            let arrays = arrays.collect::<Result<Vec<_>>>()?;
            let elements = elements(&arrays);
            // A text may be no value of live's type (a label that its enum lacks): then there
            // is no such row.
            let doubtful = elements.contains(&Element::Text);
            let sql = sql::select(table, &here, &key_here, &elements, lock);
            if doubtful {
                self.run(&what, "savepoint restorekit").await?;
            }
            let read = self.session().await?.query(&sql, arrays, |row| {
                let here = tuple(&key_forms, |at| raw(row, columns.len() + at))?;
                let asked_at = place(raw(row, columns.len() + key.len()))?;
                // What the server only takes for equal is another row.
                let same = asked.get(asked_at).is_some_and(|asked| {
                    asked.iter().zip(&here).all(|(asked, here)| *asked == Value::as_ref(here))
                });
                if !same {
                    return Ok(());
                }
                let at = rows.len() as u32;
                rows.push(|at| raw(row, at))?;
                match found[first + asked_at].replace(at) {
                    None => Ok(()),
                    Some(_) => Err(Error::refused(format!(
                        "live: more than one row of {} has the key ({})",
                        plan.table, plan.key
                    ))),
                }
            });
            match read.await {
                Ok(()) if doubtful => self.run(&what, "release savepoint restorekit").await?,
                Ok(()) => {}
                Err(Stop::Server(e)) if doubtful && is_no_value(&e) => {
                    self.run(&what, sql::TAKE_BACK).await?;
                    if asked.len() > 1 {
                        let (one, other) = asked.split_at(asked.len() / 2);
                        due.extend([(first + one.len(), other), (first, one)]);
                    }
                }
                Err(stop) => return Err(self.failed(&what, stop)),
            }
        }
        let exists = found.iter().map(Option::is_some).collect();
        rows.push_absent();
        let batch = take_record_batch(&rows.take()?, &UInt32Array::from(found))?;
        Ok((batch, exists))
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote> {
        if self.reading != Reading::Locking {
            return Err(Error::failed("live: a write was asked for outside of a transaction"));
        }
        let known = self.known(&plan.table).await?;
        let session = self.session().await?;
        let written = async {
            let mut writing =
                Writing::new(session, plan, &known.table, &known.partitioned_by, before, after)
                    .await?;
            let wrote = writing.told(rows, columns).await?;
            if plan.op == Op::Insert && !known.sequences.is_empty() {
                let through = rows.iter().zip(&wrote.rows);
                let through = through.filter(|(_, w)| **w == Written::Done).map(|(row, _)| *row);
                writing.raise(&known.sequences, &through.collect::<Vec<_>>()).await?;
            }
            Ok(wrote)
        };
        let written = written.await;
        written.map_err(|stop| self.failed(&format!("write rows of {}", plan.table), stop))
    }

    /// Deferrable constraints are checked in the statement itself, unless a trigger has put
    /// them off: then the whole batch fails here.
    async fn settle(
        &mut self,
        plan: &TablePlan,
        _: Option<&RecordBatch>,
        _: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        let what = format!("check the constraints of {}", plan.table);
        self.run(&what, "set constraints all immediate").await?;
        Ok(Vec::new())
    }

    async fn commit(&mut self) -> Result<()> {
        let started = self.server.started;
        // This fails in a transaction that has failed, whose COMMIT would quietly roll back.
        let sql = "select pg_catalog.txid_current_if_assigned()::pg_catalog.text";
        let transaction = self.session().await?.word(sql).await;
        let transaction = transaction.map_err(|e| self.failed("commit", e))?;
        let committed = self.session().await?.run("commit").await;
        self.reading = Reading::No;
        let Err(e) = committed else {
            self.lost = false;
            return Ok(());
        };
        let lost = is_lost(&e);
        let error = self.failed("commit", e.into());
        if !lost {
            // The server says no and has rolled back, or does so now.
            let ended = self.rollback().await;
            tracing::debug!(?ended, "a refused commit is rolled back");
            return Err(error);
        }
        match self.fate(&transaction, started).await {
            Some(true) => {
                self.lost = false;
                Ok(())
            }
            Some(false) => Err(error.as_kind(Kind::Failed)),
            None => Err(error
                .as_kind(Kind::Unknown)
                .hint("restorekit apply --resume reads the rows again and finds out")),
        }
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
