//! One connection to a server, with every setting that changes what values look like or
//! what a statement does pinned to our own.
//!
//! Statements that carry values are prepared, which also keeps them single: the server
//! refuses several in one (`COM_STMT_PREPARE`). LOCAL INFILE is never announced to it.

use std::time::Duration;

use futures::TryStreamExt;
use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Decode, Executor, MySql, Row};

use crate::engine::mysql::address::Address;
use crate::engine::mysql::failure::number;
use crate::engine::stop::CONNECT;
pub(crate) use crate::engine::stop::{Explain, Stop};
use crate::error::Result;
use crate::model::calendar::{date_text, moment_text};
use crate::model::value::ValueRef;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(10);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading in one snapshot, which may take hours.
    Read,
    /// Writing in short transactions, which must not outlive a client that hangs (G7).
    Write,
}

/// What a server said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `10.11.6-MariaDB`
    pub(crate) version: String,
    /// MariaDB, not MySQL.
    pub(crate) mariadb: bool,
    /// What no other server has: `@@server_uuid`, MariaDB's `@@server_uid`, or host, port
    /// and data folder where there is neither.
    pub(crate) id: String,
    /// The most bytes of one packet.
    pub(crate) packet: usize,
}

impl Server {
    /// The kind in words: `MariaDB 10.11.6`.
    pub(crate) fn kind(&self) -> String {
        let number = self.version.split('-').next().unwrap_or_default();
        format!("{} {number}", if self.mariadb { "MariaDB" } else { "MySQL" })
    }
}

/// What keeps a server from being written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// `read_only` is on.
    pub(crate) read_only: bool,
    /// It replicates another server.
    pub(crate) replica: bool,
}

/// A note, warning or error of the server's diagnostics.
#[derive(Clone, Debug)]
pub(crate) struct Warning {
    /// Its number.
    pub(crate) number: String,
    /// What it says.
    pub(crate) message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.number, self.message)
    }
}

/// A pinned connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: MySqlConnection,
    /// What a query ends with that is to see what is committed now: nothing, but in a transaction
    /// whose plain reads all show what was there at the first of them (G3).
    pub(crate) newest: &'static str,
}

impl Session {
    /// Connects and pins the session.
    pub(crate) async fn open(address: &Address, purpose: Purpose) -> Result<(Self, Server)> {
        address.trust().prove()?;
        let connecting = tokio::time::timeout(CONNECTING, address.options().connect());
        let connection = connecting
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
            .map_err(|e| address.explain(CONNECT, e))?;
        let mut session = Self { connection, newest: "" };
        match session.pin(purpose).await {
            Ok(server) => Ok((session, server)),
            Err(stop) => Err(stop.explain(address, "be set up")),
        }
    }

    async fn pin(&mut self, purpose: Purpose) -> Result<Server, Stop> {
        self.run("set names utf8mb4").await?;
        // STRICT_ALL_TABLES: a value that does not fit is an error in every table (T9).
        // NO_AUTO_VALUE_ON_ZERO: 0 into a counter is 0 (T14). Zero and partial dates that a
        // table holds can be written again (T20). No ANSI_QUOTES, PIPES_AS_CONCAT,
        // PAD_CHAR_TO_FULL_LENGTH, whatever the server's default is.
        self.run(
            "set session sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,\
             NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES', time_zone = '+00:00', \
             autocommit = 1, completion_type = 0, sql_select_limit = default, \
             sql_safe_updates = 0, sql_auto_is_null = 0, foreign_key_checks = 1, \
             unique_checks = 1, sql_warnings = 0, sql_notes = 1, max_error_count = 64, \
             innodb_lock_wait_timeout = 2, lock_wait_timeout = 2, max_sort_length = 8192",
        )
        .await?;
        let facts = self
            .strings(
                "select version(), @@version_comment, @@max_allowed_packet, \
                 concat_ws(':', @@hostname, @@port, @@datadir)",
                &[],
            )
            .await?;
        let facts = facts.into_iter().next().unwrap_or_default();
        let fact = |at: usize| facts.get(at).cloned().flatten().unwrap_or_default();
        let version = fact(0);
        let mariadb = (version.clone() + &fact(1)).to_ascii_lowercase().contains("mariadb");
        let id = if mariadb { "server_uid" } else { "server_uuid" };
        let id = self.variable(id).await?.filter(|id| !id.is_empty()).unwrap_or_else(|| fact(3));
        self.limits(purpose, mariadb).await?;
        Ok(Server { version, mariadb, id, packet: fact(2).parse().unwrap_or(1 << 20) })
    }

    /// Time limits, under the names that this server has, and how little is read to write.
    async fn limits(&mut self, purpose: Purpose, mariadb: bool) -> Result<(), Stop> {
        let (idle, transaction) = match purpose {
            Purpose::Read => (28_800, 0),
            Purpose::Write => (300, 60),
        };
        self.run(&format!("set session wait_timeout = {idle}")).await?;
        if purpose == Purpose::Write {
            // Whether rows have children is looked up row by row: what is read is locked.
            let plain = "set session optimizer_switch = 'semijoin=off,materialization=off'";
            self.run(plain).await?;
        }
        if mariadb {
            self.run(&format!("set session idle_transaction_timeout = {transaction}")).await?;
            self.run("set session max_statement_time = 0").await?;
        } else {
            self.run("set session max_execution_time = 0").await?;
        }
        Ok(())
    }

    /// A system variable; `None` where there is none of this name.
    pub(crate) async fn variable(&mut self, name: &'static str) -> Result<Option<String>, Stop> {
        let sql = format!("show global variables where variable_name = '{name}'");
        let rows = self.strings(&sql, &[]).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().nth(1)).flatten())
    }

    /// What the server lets nobody, or only its primary, write.
    pub(crate) async fn standing(&mut self, server: &Server) -> Result<Standing, Stop> {
        let read_only = self.variable("read_only").await?;
        let status = match server.mariadb {
            true => "show all slaves status",
            false => "show replica status",
        };
        // Who may not ask has no replication to look after.
        let replica = match self.strings(status, &[]).await {
            Ok(rows) => !rows.is_empty(),
            Err(Stop::Server(e)) if number(&e).is_some() => false,
            Err(e) => return Err(e),
        };
        let off = |value: String| matches!(value.as_str(), "OFF" | "0" | "NO_LOCK");
        Ok(Standing { read_only: read_only.is_some_and(|value| !off(value)), replica })
    }

    /// How many seconds each channel that this server replicates by is behind; `None` for one
    /// that stands still.
    pub(crate) async fn behind(&mut self, server: &Server) -> Result<Vec<Option<u64>>, Stop> {
        let status = match server.mariadb {
            true => "show all slaves status",
            false => "show replica status",
        };
        let mut channels = Vec::new();
        self.query(status, &[], |row| {
            let named =
                |name: &str| matches!(name, "Seconds_Behind_Master" | "Seconds_Behind_Source");
            let at = row.columns().iter().position(|c| named(sqlx::Column::name(c)));
            channels.push(at.and_then(|at| text(row, at)).and_then(|seconds| seconds.parse().ok()));
            Ok(true)
        })
        .await?;
        Ok(channels)
    }

    /// Runs a statement of our own without values, in text.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        self.connection.execute(AssertSqlSafe(sql)).await?;
        Ok(())
    }

    /// Runs a prepared statement; gives the number of rows that it found (not: changed,
    /// CLIENT_FOUND_ROWS).
    pub(crate) async fn execute(
        &mut self,
        sql: &str,
        parameters: &[ValueRef<'_>],
    ) -> Result<u64, sqlx::Error> {
        let query = bind(sql, parameters);
        Ok(query.execute(&mut self.connection).await?.rows_affected())
    }

    /// Runs a prepared query and hands on its rows, until `each` says `false`.
    pub(crate) async fn query<F>(
        &mut self,
        sql: &str,
        parameters: &[ValueRef<'_>],
        mut each: F,
    ) -> Result<(), Stop>
    where
        F: FnMut(&MySqlRow) -> Result<bool> + Send,
    {
        let mut rows = bind(sql, parameters).fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            if !each(&row)? {
                // The rest is drained before the connection's next statement.
                break;
            }
        }
        Ok(())
    }

    /// The rows of a prepared query whose columns are all text, or NULL.
    pub(crate) async fn strings(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        let parameters: Vec<ValueRef<'_>> =
            parameters.iter().map(|p| ValueRef::Text(p.as_bytes())).collect();
        let mut found = Vec::new();
        self.query(sql, &parameters, |row| {
            found.push((0..row.len()).map(|at| text(row, at)).collect());
            Ok(true)
        })
        .await?;
        Ok(found)
    }

    /// What the server noted about the last statement.
    pub(crate) async fn warnings(&mut self) -> Result<Vec<Warning>, Stop> {
        let mut found = Vec::new();
        let mut rows = self.connection.fetch("show warnings");
        while let Some(row) = rows.try_next().await? {
            let word = |at| String::from_utf8_lossy(raw(&row, at).unwrap_or_default()).into_owned();
            found.push(Warning { number: word(1), message: word(2) });
        }
        Ok(found)
    }

    /// What InnoDB says of itself; `None` for who may not ask (it takes the right PROCESS).
    pub(crate) async fn innodb_status(&mut self) -> Result<Option<String>, Stop> {
        // In text: not every server prepares it.
        match self.connection.fetch_optional("show engine innodb status").await {
            Ok(row) => {
                let status = row.as_ref().and_then(|row| raw(row, 2));
                Ok(status.map(|status| String::from_utf8_lossy(status).into_owned()))
            }
            Err(e) if number(&e).is_some() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Ends the connection; the server rolls back what is open.
    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}

/// The bytes of a cell as the server sent them; `None` for NULL. The driver takes zero
/// dates for NULL, but still gives their bytes (T20).
pub(crate) fn raw(row: &MySqlRow, at: usize) -> Option<&[u8]> {
    row.try_get_raw(at).ok().and_then(|cell| <&[u8] as Decode<MySql>>::decode(cell).ok())
}

/// A cell as text. Numbers of the catalogue are asked for as text.
fn text(row: &MySqlRow, at: usize) -> Option<String> {
    let column = &row.columns()[at];
    let bytes = raw(row, at)?;
    use sqlx::{Column, TypeInfo};
    match (column.type_info().name(), bytes.len()) {
        ("BIGINT" | "BIGINT UNSIGNED", 8) => {
            let bytes: [u8; 8] = bytes.try_into().ok()?;
            Some(u64::from_le_bytes(bytes).to_string())
        }
        ("INT" | "INT UNSIGNED" | "MEDIUMINT", 4) => {
            let bytes: [u8; 4] = bytes.try_into().ok()?;
            Some(u32::from_le_bytes(bytes).to_string())
        }
        _ => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// Binds cells by their kinds. Dates, moments and decimals travel as text, which the
/// server converts exactly; a decimal that is compared is cast in the SQL.
fn bind<'q>(sql: &str, parameters: &[ValueRef<'_>]) -> Query<'q, MySql, MySqlArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for parameter in parameters {
        query = match *parameter {
            ValueRef::Null => query.bind(None::<i64>),
            ValueRef::Int(i) => query.bind(i),
            ValueRef::Unsigned(u) => query.bind(u),
            ValueRef::Real(r) => query.bind(r),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => query.bind(text.to_owned()),
                Err(_) => query.bind(bytes.to_vec()),
            },
            ValueRef::Blob(bytes) => query.bind(bytes.to_vec()),
            ValueRef::Bool(truth) => query.bind(i64::from(truth)),
            ValueRef::Date(day) => query.bind(date_text(day.into())),
            ValueRef::Stamp(micros) | ValueRef::Instant(micros) => {
                query.bind(moment_text(micros).replace('T', " "))
            }
            ValueRef::Decimal(..) => query.bind(parameter.plain_text()),
        };
    }
    query
}

/// An identifier of the catalogue, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
