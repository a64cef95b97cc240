//! One connection to a server, with every setting that changes what values look like or
//! what a statement does pinned to our own.
//!
//! Reading finds names in `pg_catalog` only: that is the search path, so that none of the database
//! stands in for one of the server's (CVE-2018-1058). Writing keeps the role's own path, which the
//! database's triggers may need, and names everything with its schema.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Encode, Executor, Postgres, Row, Type};

use crate::engine::postgres::address::Address;
use crate::engine::postgres::copy::Tuples;
use crate::engine::stop::CONNECT;
pub(crate) use crate::engine::stop::{Explain, Stop};
use crate::error::Result;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(10);

/// The settings that values' texts depend on, for the transaction that has begun: a pooler may
/// hand each transaction to another server process.
const PINS: &str = "set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'; \
    set local timezone = 'UTC'; set local extra_float_digits = 3; set local bytea_output = 'hex'; \
    set local lc_monetary = 'C'; set local xmloption = 'content'; \
    set local standard_conforming_strings = on; set local row_security = off; \
    set local quote_all_identifiers = off; set local client_min_messages = 'warning'; set local statement_timeout = 0";

/// A commit is on the server's disk before it is answered, whatever the database or the role says:
/// what is told as written outlives a crash of the server. Who waits for standbys still does.
const DURABLE: &str = "select pg_catalog.set_config('synchronous_commit', 'on', true) \
    where pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off'";

/// What a server said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `server_version_num`: 150004.
    pub(crate) version: u32,
    /// What no other cluster has but its copies: `system_identifier`.
    pub(crate) system: u64,
    /// The database's oid.
    pub(crate) oid: u32,
    /// When the server was started, in microseconds since 1970.
    pub(crate) started: i64,
    /// The database holds its texts in UTF-8.
    pub(crate) utf8: bool,
    /// Texts of the database's own collation are compared as bytes.
    pub(crate) by_bytes: bool,
}

impl Server {
    /// The kind in words: `PostgreSQL 15.4`.
    pub(crate) fn kind(&self) -> String {
        format!("PostgreSQL {}.{}", self.version / 10_000, self.version % 10_000)
    }
}

/// What keeps a server from being written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// Transactions are read-only unless they say otherwise.
    pub(crate) read_only: bool,
    /// It replays another server's log.
    pub(crate) replica: bool,
    /// Neither references nor triggers hold in its sessions (`session_replication_role`).
    pub(crate) unchecked: bool,
}

/// A pinned connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: PgConnection,
}

/// A parameter of a prepared statement, an array of text.
pub(crate) type Parameter = Vec<Option<String>>;

/// What can be bound to a prepared statement.
pub(crate) trait Bound:
    for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + 'static
{
}

impl<T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Send + 'static> Bound for T {}

impl Session {
    /// Connects, and asks who answers.
    pub(crate) async fn open(address: &Address) -> Result<(Self, Server)> {
        let mut session = Self::connect(address).await?;
        match session.introduced().await {
            Ok(server) => Ok((session, server)),
            Err(stop) => Err(stop.explain(address, "be set up")),
        }
    }

    /// Connects to a server that was asked before.
    pub(crate) async fn connect(address: &Address) -> Result<Self> {
        address.trust().prove()?;
        let connecting = tokio::time::timeout(CONNECTING, address.options().connect());
        let connection = connecting
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
            .map_err(|e| address.explain(CONNECT, e))?;
        Ok(Self { connection })
    }

    /// Asks with `pg_catalog` as the search path, which goes with the transaction.
    async fn introduced(&mut self) -> Result<Server, Stop> {
        self.run("begin read only; set local search_path = pg_catalog").await?;
        // Where both fail, the first says why.
        let server = self.introduce().await;
        let ended = self.run("rollback").await;
        let server = server?;
        ended?;
        Ok(server)
    }

    async fn introduce(&mut self) -> Result<Server, Stop> {
        let version = self.word("select current_setting('server_version_num')").await?;
        let version: u32 = version.parse().unwrap_or(0);
        if version < 120_000 {
            return Err(crate::error::Error::refused(format!(
                "the server is PostgreSQL {}; 12 and newer are supported",
                version / 10_000
            ))
            .into());
        }
        let facts = self
            .strings(
                "select d.oid::text, d.datcollate, pg_catalog.to_jsonb(d)->>'datlocprovider', \
                 (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::int8::text, \
                 pg_catalog.pg_encoding_to_char(d.encoding)::text \
                 from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()",
                &[],
            )
            .await?;
        let facts = facts.into_iter().next().unwrap_or_default();
        let fact = |at: usize| facts.get(at).cloned().flatten().unwrap_or_default();
        let started: i64 = fact(3).parse().unwrap_or(0);
        // Not every hosted server lets its control file be asked for; then it is one only
        // until it is started again.
        let system =
            self.word("select system_identifier::text from pg_catalog.pg_control_system()");
        let system = system.await.ok().and_then(|id| id.parse().ok());
        let collation = fact(1);
        let by_bytes = match fact(2).as_str() {
            "" | "c" => matches!(collation.as_str(), "C" | "POSIX"),
            "b" => true,
            _ => false,
        };
        Ok(Server {
            version,
            system: system.unwrap_or(started.unsigned_abs()),
            oid: fact(0).parse().unwrap_or(0),
            started,
            utf8: fact(4) == "UTF8",
            by_bytes,
        })
    }

    /// Begins a snapshot that the server keeps read-only; an exported one where it is named.
    pub(crate) async fn begin_reading(&mut self, snapshot: Option<&str>) -> Result<(), Stop> {
        let mut sql = "begin isolation level repeatable read read only; ".to_owned();
        if let Some(snapshot) = snapshot {
            sql.push_str(&format!("set transaction snapshot {}; ", quote_text(snapshot)));
        }
        sql.push_str("set local search_path = pg_catalog; ");
        sql.push_str(PINS);
        // The snapshot is held for as long as it is read, whatever the server grants others.
        sql.push_str(
            "; select pg_catalog.set_config(name, '0', true) from pg_catalog.pg_settings \
             where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')",
        );
        Ok(self.run(&sql).await?)
    }

    /// Begins a transaction that may write. A lock is waited for at most 2 s, and a client that
    /// hangs does not keep one for ever (G7).
    pub(crate) async fn begin_writing(&mut self) -> Result<(), Stop> {
        let sql = format!(
            "begin isolation level read committed read write; set constraints all immediate; \
             set local lock_timeout = '2s'; set local idle_in_transaction_session_timeout = '60s'; \
             {PINS}; {DURABLE}"
        );
        Ok(self.run(&sql).await?)
    }

    /// What the server lets nobody, or only its primary, write.
    pub(crate) async fn standing(&mut self) -> Result<Standing, Stop> {
        // `reset_val` is what the session began with, whatever a transaction set since.
        let sql = "select pg_catalog.pg_is_in_recovery()::pg_catalog.text, (select reset_val \
                   from pg_catalog.pg_settings where name = 'default_transaction_read_only'), \
                   pg_catalog.current_setting('session_replication_role')";
        let rows = self.strings_again(sql, &[]).await?;
        let mut cells = rows.into_iter().flatten().flatten();
        let replica = cells.next().is_some_and(|cell| cell == "true");
        let read_only = cells.next().is_some_and(|cell| cell == "on");
        let unchecked = cells.next().is_none_or(|cell| cell == "replica");
        Ok(Standing { read_only, replica, unchecked })
    }

    /// Runs statements of our own without values.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.connection.execute(AssertSqlSafe(sql)).await?;
        Ok(())
    }

    /// Runs a prepared statement; gives the number of rows that it wrote.
    pub(crate) async fn execute<P: Bound>(
        &mut self,
        sql: &str,
        parameters: Vec<P>,
    ) -> Result<u64, sqlx::Error> {
        Ok(bind(sql, parameters).execute(&mut self.connection).await?.rows_affected())
    }

    /// Runs a prepared query and hands on its rows.
    pub(crate) async fn query<P, F>(
        &mut self,
        sql: &str,
        parameters: Vec<P>,
        mut each: F,
    ) -> Result<(), Stop>
    where
        P: Bound,
        F: FnMut(&PgRow) -> Result<()> + Send,
    {
        let mut rows = bind(sql, parameters).fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            each(&row)?;
        }
        Ok(())
    }

    /// The rows of a query whose parameters and columns are all text.
    pub(crate) async fn strings(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        self.texts(sql, parameters, false).await
    }

    /// The same for a query that is asked again and again: it is prepared once.
    pub(crate) async fn strings_again(
        &mut self,
        sql: &'static str,
        parameters: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        self.texts(sql, parameters, true).await
    }

    async fn texts(
        &mut self,
        sql: &str,
        parameters: &[&str],
        persistent: bool,
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        let mut query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(persistent);
        for parameter in parameters {
            query = query.bind((*parameter).to_owned());
        }
        let rows = query.fetch_all(&mut self.connection).await?;
        let texts = rows.iter().map(|row| (0..row.len()).map(|at| row.try_get(at)).collect());
        Ok(texts.collect::<Result<_, sqlx::Error>>()?)
    }

    /// The first cell of a query's first row; empty for NULL and for no row.
    pub(crate) async fn word(&mut self, sql: &str) -> Result<String, Stop> {
        let rows = self.strings(sql, &[]).await?;
        Ok(rows.into_iter().flatten().next().flatten().unwrap_or_default())
    }

    /// Reads what `COPY (query) TO STDOUT (FORMAT binary)` sends and hands on its tuples, until
    /// `each` says `false`; gives whether it came to the end. A session whose copy did not
    /// come to its end is out of step with its server and must be dropped.
    pub(crate) async fn copy<F>(&mut self, query: &str, mut each: F) -> Result<bool, Stop>
    where
        F: FnMut(&crate::engine::postgres::copy::Tuple<'_>) -> Result<bool> + Send,
    {
        let sql = format!("copy ({query}) to stdout (format binary)");
        let mut sent = self.connection.copy_out_raw(&sql).await?;
        let mut tuples = Tuples::default();
        while let Some(bytes) = sent.next().await {
            if !tuples.read(&bytes?, &mut each)? {
                return Ok(false);
            }
        }
        tuples.finish()?;
        Ok(true)
    }

    /// Ends the connection; the server rolls back what is open.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// The bytes of a cell as the server sent them in binary; `None` for NULL.
pub(crate) fn raw(row: &PgRow, at: usize) -> Option<&[u8]> {
    row.try_get_raw(at).ok().and_then(|cell| cell.as_bytes().ok())
}

fn bind<'q, P: Bound>(sql: &str, parameters: Vec<P>) -> Query<'q, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for parameter in parameters {
        query = query.bind(parameter);
    }
    query
}

/// An identifier, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal; `standard_conforming_strings` is on.
pub(crate) fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
