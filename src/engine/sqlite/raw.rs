//! The module with `unsafe`: SQLite's C interface on the handle of a sqlx connection.
//!
//! sqlx opens and closes the file; rows go through `sqlite3_step` straight into Arrow
//! builders, which takes a seventh of the time that sqlx's row stream takes, and values
//! are bound as storage class and bytes, which sqlx's types can't express.
//!
//! Why it is sound: a [`Connection`] owns its `SqliteConnection` and never lends it out.
//! sqlx's worker thread touches the handle only while it carries out a command, and after
//! opening nobody sends one until the close. `Connection` is `Send` but not `Sync`, as
//! SQLite's multi-thread mode asks ("Using SQLite In Multi-Threaded Applications"), and a
//! [`Statement`] borrows it, so it is finalised before the handle is closed.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use libsqlite3_sys as ffi;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection as _};

use crate::model::value::ValueRef;

/// A failed call, by SQLite's extended result code ("Result and Error Codes").
#[derive(Clone, Debug, thiserror::Error)]
#[error("SQLite says: {message} (code {code})")]
pub(crate) struct SqliteError {
    /// The extended result code.
    pub(crate) code: i32,
    /// SQLite's own words.
    pub(crate) message: String,
}

impl SqliteError {
    /// The primary result code.
    pub(crate) fn primary(&self) -> i32 {
        self.code & 0xff
    }

    /// Another connection holds a lock.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.primary(), ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED)
    }

    /// A foreign key refused.
    pub(crate) fn is_foreign_key(&self) -> bool {
        self.code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY
    }

    /// A unique index or a primary key refused.
    pub(crate) fn is_unique(&self) -> bool {
        matches!(
            self.code,
            ffi::SQLITE_CONSTRAINT_UNIQUE
                | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                | ffi::SQLITE_CONSTRAINT_ROWID
        )
    }

    /// One row was refused: by a constraint or a trigger, for its type, or for its size.
    pub(crate) fn refuses_a_row(&self) -> bool {
        matches!(self.primary(), ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG)
    }

    /// The file, its folder or the connection can't be written.
    pub(crate) fn is_read_only(&self) -> bool {
        self.primary() == ffi::SQLITE_READONLY
    }

    /// The file system failed.
    pub(crate) fn is_io(&self) -> bool {
        self.primary() == ffi::SQLITE_IOERR
    }

    /// The file is no database or its content contradicts itself.
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self.primary(), ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB)
    }

    /// A crashed writer's transaction must be rolled back first, which needs to write.
    pub(crate) fn needs_recovery(&self) -> bool {
        matches!(self.code, ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY)
    }

    /// A file that is needed could not be opened or made: the database, or in WAL mode the
    /// log and its index.
    pub(crate) fn cannot_open(&self) -> bool {
        self.primary() == ffi::SQLITE_CANTOPEN
            || matches!(self.code, ffi::SQLITE_READONLY_CANTINIT | ffi::SQLITE_READONLY_DIRECTORY)
    }

    /// The disk is full or failed.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.primary(), ffi::SQLITE_FULL | ffi::SQLITE_IOERR)
    }
}

impl From<sqlx::Error> for SqliteError {
    fn from(e: sqlx::Error) -> Self {
        let code = e
            .as_database_error()
            .and_then(|d| d.code())
            .and_then(|c| c.parse().ok())
            .unwrap_or(ffi::SQLITE_ERROR);
        Self { code, message: e.to_string() }
    }
}

/// A boolean setting of `sqlite3_db_config` that is turned on or off for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// `SQLITE_DBCONFIG_DEFENSIVE`.
    Defensive,
    /// `SQLITE_DBCONFIG_TRUSTED_SCHEMA`.
    TrustedSchema,
    /// `SQLITE_DBCONFIG_DQS_DML`: double-quoted strings in statements.
    DoubleQuotedStrings,
    /// `SQLITE_DBCONFIG_ENABLE_VIEW`.
    Views,
    /// `SQLITE_DBCONFIG_ENABLE_TRIGGER`.
    Triggers,
}

/// An open database.
pub(crate) struct Connection {
    handle: NonNull<ffi::sqlite3>,
    owner: SqliteConnection,
}

// SAFETY: see the module's documentation; one thread at a time uses the handle.
unsafe impl Send for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens a database as the options say.
    pub(crate) async fn open(options: &SqliteConnectOptions) -> Result<Self, SqliteError> {
        let mut owner = options.clone().disable_statement_logging().connect().await?;
        let handle = owner.lock_handle().await?.as_raw_handle();
        Ok(Self { handle, owner })
    }

    /// Closes the database and waits for it. Statements are finalised by then, since they
    /// borrow the connection.
    pub(crate) async fn close(self) -> Result<(), SqliteError> {
        Ok(self.owner.close().await?)
    }

    fn error(&self, code: c_int) -> SqliteError {
        // SAFETY: the handle is open; the message is a NUL-terminated string that SQLite
        // owns, and it is copied before any other call.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.handle.as_ptr())) };
        SqliteError { code, message: message.to_string_lossy().into_owned() }
    }

    fn check(&self, code: c_int) -> Result<(), SqliteError> {
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(self.error(code)) }
    }

    /// Prepares the first statement of `sql`, to be run often.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>, SqliteError> {
        let mut statement = ptr::null_mut();
        let length = c_int::try_from(sql.len()).map_err(|_| SqliteError {
            code: ffi::SQLITE_TOOBIG,
            message: "the statement is too long".into(),
        })?;
        // SAFETY: `sql` is valid for `length` bytes; SQLite reads no further.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.handle.as_ptr(),
                sql.as_ptr().cast(),
                length,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        self.check(code)?;
        let statement = NonNull::new(statement).ok_or_else(|| SqliteError {
            code: ffi::SQLITE_MISUSE,
            message: "the statement is empty".into(),
        })?;
        Ok(Statement { statement, connection: self, bound: PhantomData })
    }

    /// Runs one statement without parameters to its end.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), SqliteError> {
        self.prepare(sql)?.run(&[])
    }

    /// Rows that the last statement changed itself, not by triggers or cascades.
    pub(crate) fn changes(&self) -> i64 {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_changes64(self.handle.as_ptr()) }
    }

    /// Rows changed since the connection was opened, triggers and cascades included.
    pub(crate) fn total_changes(&self) -> i64 {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_total_changes64(self.handle.as_ptr()) }
    }

    /// True outside of a transaction. An error may have ended one (`sqlite3_get_autocommit`).
    pub(crate) fn is_autocommit(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_get_autocommit(self.handle.as_ptr()) != 0 }
    }

    /// True when a foreign key, deferred or not, would fail if the transaction were
    /// committed now (`SQLITE_DBSTATUS_DEFERRED_FKS`).
    pub(crate) fn has_open_foreign_keys(&self) -> Result<bool, SqliteError> {
        let (mut now, mut high): (c_int, c_int) = (0, 0);
        // SAFETY: both out parameters are alive; nothing is reset.
        let code = unsafe {
            ffi::sqlite3_db_status(
                self.handle.as_ptr(),
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut now,
                &raw mut high,
                0,
            )
        };
        self.check(code)?;
        Ok(now != 0)
    }

    /// Turns a setting on or off, and reads back that it took effect.
    pub(crate) fn configure(&self, config: Config, on: bool) -> Result<(), SqliteError> {
        let op = match config {
            Config::Defensive => ffi::SQLITE_DBCONFIG_DEFENSIVE,
            Config::TrustedSchema => ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
            Config::DoubleQuotedStrings => ffi::SQLITE_DBCONFIG_DQS_DML,
            Config::Views => ffi::SQLITE_DBCONFIG_ENABLE_VIEW,
            Config::Triggers => ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        };
        let mut now: c_int = -1;
        // SAFETY: these settings take an int and a pointer to an int (sqlite3_db_config).
        let code = unsafe {
            ffi::sqlite3_db_config(self.handle.as_ptr(), op, c_int::from(on), &raw mut now)
        };
        self.check(code)?;
        if now == c_int::from(on) {
            return Ok(());
        }
        let message = format!("the setting {config:?} could not be changed");
        Err(SqliteError { code: ffi::SQLITE_ERROR, message })
    }

    /// The declared type, collation and AUTOINCREMENT of a column of `main`
    /// (`sqlite3_table_column_metadata`).
    pub(crate) fn column_collation(
        &self,
        table: &str,
        column: &str,
    ) -> Result<String, SqliteError> {
        let (Ok(table), Ok(column)) = (CString::new(table), CString::new(column)) else {
            let message = "a name holds a NUL character".into();
            return Err(SqliteError { code: ffi::SQLITE_ERROR, message });
        };
        let mut collation = ptr::null();
        // SAFETY: the strings are NUL-terminated and outlive the call; out parameters that
        // are not asked for may be null.
        let code = unsafe {
            ffi::sqlite3_table_column_metadata(
                self.handle.as_ptr(),
                c"main".as_ptr(),
                table.as_ptr(),
                column.as_ptr(),
                ptr::null_mut(),
                &raw mut collation,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.check(code)?;
        if collation.is_null() {
            return Ok("BINARY".into());
        }
        // SAFETY: SQLite gives a NUL-terminated string; it is copied at once.
        Ok(unsafe { CStr::from_ptr(collation) }.to_string_lossy().into_owned())
    }
}

/// A prepared statement of a [`Connection`].
pub(crate) struct Statement<'c> {
    statement: NonNull<ffi::sqlite3_stmt>,
    connection: &'c Connection,
    bound: PhantomData<&'c [u8]>,
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").finish_non_exhaustive()
    }
}

impl Statement<'_> {
    /// Runs to the end with these parameters, dropping rows.
    pub(crate) fn run(&mut self, parameters: &[ValueRef<'_>]) -> Result<(), SqliteError> {
        self.query(parameters, |_| Ok::<bool, SqliteError>(true))
    }

    /// Runs with these parameters and hands each row on until it says `false`. The
    /// statement is reset afterwards, so no cursor stays open.
    pub(crate) fn query<E: From<SqliteError>>(
        &mut self,
        parameters: &[ValueRef<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let bound = BoundStatement::bind(self, parameters)?;
        let row = Row { statement: bound.0.statement, lifetime: PhantomData };
        loop {
            // SAFETY: the statement is prepared and its parameters are alive.
            match unsafe { ffi::sqlite3_step(row.statement.as_ptr()) } {
                ffi::SQLITE_ROW => {
                    if !each(&row)? {
                        return Ok(());
                    }
                }
                ffi::SQLITE_DONE => return Ok(()),
                code => return Err(bound.0.connection.error(code).into()),
            }
        }
    }
}

/// A statement whose parameters point at the caller's bytes; dropping it resets the
/// statement and forgets the pointers, also on an early return or a panic.
struct BoundStatement<'s, 'c>(&'s Statement<'c>);

impl<'s, 'c> BoundStatement<'s, 'c> {
    fn bind(
        statement: &'s mut Statement<'c>,
        parameters: &'s [ValueRef<'s>],
    ) -> Result<Self, SqliteError> {
        let bound = Self(statement);
        let raw = bound.0.statement.as_ptr();
        for (index, value) in (1..).zip(parameters) {
            // SAFETY: the bytes outlive `bound`, whose drop clears the bindings, so
            // SQLITE_STATIC (no copy) holds.
            let code = unsafe { bind(raw, index, *value, ffi::SQLITE_STATIC()) };
            bound.0.connection.check(code)?;
        }
        Ok(bound)
    }
}

/// # Safety
/// The statement is alive, and with `SQLITE_STATIC` the value's bytes stay where they are
/// until the binding is replaced or cleared.
unsafe fn bind(
    raw: *mut ffi::sqlite3_stmt,
    index: c_int,
    value: ValueRef<'_>,
    destructor: ffi::sqlite3_destructor_type,
) -> c_int {
    // SAFETY: as above. An empty slice's pointer is not null, so an empty text or blob does
    // not become NULL.
    unsafe {
        match value {
            ValueRef::Null => ffi::sqlite3_bind_null(raw, index),
            ValueRef::Int(i) => ffi::sqlite3_bind_int64(raw, index, i),
            ValueRef::Real(r) => ffi::sqlite3_bind_double(raw, index, r),
            ValueRef::Text(b) => ffi::sqlite3_bind_text64(
                raw,
                index,
                b.as_ptr().cast(),
                b.len() as u64,
                destructor,
                ffi::SQLITE_UTF8 as u8,
            ),
            ValueRef::Blob(b) => {
                ffi::sqlite3_bind_blob64(raw, index, b.as_ptr().cast(), b.len() as u64, destructor)
            }
            // No kind of SQLite's: no column of a SQLite database is carried so.
            ValueRef::Unsigned(_)
            | ValueRef::Bool(_)
            | ValueRef::Date(_)
            | ValueRef::Stamp(_)
            | ValueRef::Instant(_)
            | ValueRef::Decimal(..) => ffi::SQLITE_MISMATCH,
        }
    }
}

impl Drop for BoundStatement<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the statement is alive. The codes repeat the last step's error.
        unsafe {
            ffi::sqlite3_reset(self.0.statement.as_ptr());
            ffi::sqlite3_clear_bindings(self.0.statement.as_ptr());
        }
    }
}

impl Drop for Statement<'_> {
    fn drop(&mut self) {
        // SAFETY: finalised once; the connection is still open, since it is borrowed.
        unsafe { ffi::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

/// A connection with the cursors that stand open on it: scans that share one snapshot take
/// turns, a batch of rows each, and none has to finish before another starts.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// Before the connection, since fields are dropped in this order.
    standing: Standing,
    connection: Connection,
}

/// The statements of a [`Cursors`], by number.
#[derive(Debug, Default)]
struct Standing {
    next: u64,
    statements: HashMap<u64, NonNull<ffi::sqlite3_stmt>>,
}

// SAFETY: the statements are used and finalised only through an exclusive borrow of the
// `Cursors` that owns their connection too, or when it is dropped.
unsafe impl Send for Standing {}

impl Standing {
    fn finalise(&mut self, cursor: u64) {
        if let Some(statement) = self.statements.remove(&cursor) {
            // SAFETY: it was in the map, so it is finalised once, before its connection.
            unsafe { ffi::sqlite3_finalize(statement.as_ptr()) };
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        for cursor in self.statements.keys().copied().collect::<Vec<_>>() {
            self.finalise(cursor);
        }
    }
}

impl Cursors {
    /// No cursor on this connection yet.
    pub(crate) fn new(connection: Connection) -> Self {
        Self { standing: Standing::default(), connection }
    }

    /// The connection, for statements that run to their end.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Opens a cursor before its first row. The parameters are copied.
    pub(crate) fn open(
        &mut self,
        sql: &str,
        parameters: &[ValueRef<'_>],
    ) -> Result<u64, SqliteError> {
        let statement = self.connection.prepare(sql)?;
        for (index, value) in (1..).zip(parameters) {
            // SAFETY: the statement is alive; SQLITE_TRANSIENT copies the bytes at once.
            let code = unsafe {
                bind(statement.statement.as_ptr(), index, *value, ffi::SQLITE_TRANSIENT())
            };
            self.connection.check(code)?;
        }
        let raw = ManuallyDrop::new(statement).statement;
        let cursor = self.standing.next;
        self.standing.next += 1;
        self.standing.statements.insert(cursor, raw);
        Ok(cursor)
    }

    /// Goes on with a cursor and hands on rows until `each` says `false`; that row counts
    /// as read. False when there are no more rows or after an error: it is closed then.
    pub(crate) fn advance<E: From<SqliteError>>(
        &mut self,
        cursor: u64,
        mut each: impl FnMut(&Row<'_>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let Some(statement) = self.standing.statements.get(&cursor) else {
            let message = "the cursor is closed".into();
            return Err(SqliteError { code: ffi::SQLITE_MISUSE, message }.into());
        };
        let row = Row { statement: *statement, lifetime: PhantomData };
        let outcome = loop {
            // SAFETY: the statement is alive and the exclusive borrow keeps others away.
            match unsafe { ffi::sqlite3_step(row.statement.as_ptr()) } {
                ffi::SQLITE_ROW => match each(&row) {
                    Ok(true) => {}
                    Ok(false) => return Ok(true),
                    Err(e) => break Err(e),
                },
                ffi::SQLITE_DONE => break Ok(false),
                code => break Err(self.connection.error(code).into()),
            }
        };
        self.standing.finalise(cursor);
        outcome
    }

    /// Closes a cursor; harmless when it is closed already.
    pub(crate) fn finish(&mut self, cursor: u64) {
        self.standing.finalise(cursor);
    }

    /// Closes every cursor, and gives the connection back.
    pub(crate) fn into_connection(self) -> Connection {
        let Self { standing, connection } = self;
        drop(standing);
        connection
    }
}

/// The current row of a running statement.
pub(crate) struct Row<'r> {
    statement: NonNull<ffi::sqlite3_stmt>,
    lifetime: PhantomData<&'r ()>,
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").finish_non_exhaustive()
    }
}

impl Row<'_> {
    /// The cell of the `column`-th result column, from 0. The bytes live until the next row.
    #[inline]
    pub(crate) fn get(&self, column: usize) -> ValueRef<'_> {
        let raw = self.statement.as_ptr();
        // SAFETY: the statement stands on a row; an index past the end gives NULL. The
        // value is read by the one thread that has the connection, which is opened without
        // a mutex, so that it need not be a protected one ("Protected and Unprotected
        // sqlite3_value"). The bytes stay valid until the next step, which needs the
        // statement that `self` is lent from; TEXT is asked for as text before its length,
        // so that it comes as UTF-8 from a UTF-16 database too.
        unsafe {
            let value = ffi::sqlite3_column_value(raw, column as c_int);
            match ffi::sqlite3_value_type(value) {
                ffi::SQLITE_INTEGER => ValueRef::Int(ffi::sqlite3_value_int64(value)),
                ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
                ffi::SQLITE_TEXT => {
                    let text = ffi::sqlite3_value_text(value);
                    if text.is_null() {
                        // There is no memory for it: now the next step fails.
                        ffi::sqlite3_column_text(raw, column as c_int);
                    }
                    ValueRef::Text(bytes(value, text))
                }
                ffi::SQLITE_BLOB => {
                    let blob = ffi::sqlite3_value_blob(value);
                    ValueRef::Blob(bytes(value, blob.cast()))
                }
                _ => ValueRef::Null,
            }
        }
    }

    /// The cell as an integer, 0 when it is none.
    pub(crate) fn int(&self, column: usize) -> i64 {
        match self.get(column) {
            ValueRef::Int(i) => i,
            _ => 0,
        }
    }

    /// The cell as text, lossily; `None` when it is no text.
    pub(crate) fn text(&self, column: usize) -> Option<String> {
        match self.get(column) {
            ValueRef::Text(b) => Some(String::from_utf8_lossy(b).into_owned()),
            _ => None,
        }
    }
}

/// # Safety
/// `start` was given by `sqlite3_value_text` or `sqlite3_value_blob` for this value.
unsafe fn bytes<'r>(value: *mut ffi::sqlite3_value, start: *const u8) -> &'r [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: SQLite keeps `sqlite3_value_bytes` bytes there until the next step.
    unsafe { std::slice::from_raw_parts(start, ffi::sqlite3_value_bytes(value) as usize) }
}

/// An identifier, quoted by doubling. Names come from the catalogue only.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
