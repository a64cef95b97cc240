//! Reading connections that see one snapshot, and the cursors on them.
//!
//! Any number of cursors share the connections by turns of a batch. A cursor holds its
//! connection only while it steps, so scans that wait for one another can't stand still.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use crate::engine::sqlite::file::{DatabaseFile, Held};
use crate::engine::sqlite::open::{LOCK_WAIT, connect, explain, reading};
use crate::engine::sqlite::raw::{Connection, Cursors, Row, SqliteError};
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::value::ValueRef;

/// How often the snapshot is tried for, when live is written to in between.
const ATTEMPTS: usize = 20;

/// How long the second and later connections wait for a lock: the first one's shared lock
/// may be what the writer that they wait for waits for.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// Reading connections to one database, all in the same snapshot.
#[derive(Debug)]
pub(crate) struct Pool {
    readers: Vec<Arc<Reader>>,
    held: Mutex<Option<(Held, Option<TempDir>)>>,
    file: DatabaseFile,
}

/// One connection of a pool; `None` once the pool is released.
#[derive(Debug)]
pub(crate) struct Reader {
    cursors: Mutex<Option<Cursors>>,
    seats: AtomicUsize,
    file: DatabaseFile,
}

/// A scan's claim to a connection, by which scans spread over the pool.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Reader>);

impl Seat {
    /// The connection.
    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    /// Opens `size` connections to live that see one snapshot. `opened` is called after
    /// each one's snapshot began, with its number.
    pub(crate) async fn open_live(
        file: &DatabaseFile,
        size: usize,
        opened: impl FnMut(usize) + Send + 'static,
    ) -> Result<Self> {
        let (held, _) = Held::after(file, || file.inspect())?;
        let options = reading(&file.path).read_only(true);
        match one_snapshot(file, &options, size.max(1), opened).await {
            Ok(connections) => Ok(Self::of(file, connections, held, None)),
            Err(e) => {
                held.end();
                Err(e)
            }
        }
    }

    /// Opens `size` connections to a file that nobody writes to.
    pub(crate) async fn open_frozen(
        file: &DatabaseFile,
        held: Held,
        options: SqliteConnectOptions,
        size: usize,
        folder: Option<TempDir>,
    ) -> Result<Self> {
        let mut connections = Vec::with_capacity(size.max(1));
        for _ in 0..size.max(1) {
            let begun = async {
                let connection = connect(&options, file.side).await?;
                begin(&connection)?;
                Ok(connection)
            };
            match begun.await {
                Ok(connection) => connections.push(connection),
                Err(e) => {
                    let closed = close(connections).await;
                    if closed.is_ok() {
                        held.end();
                    }
                    return Err(explain(file, "opened", e));
                }
            }
        }
        Ok(Self::of(file, connections, held, folder))
    }

    fn of(
        file: &DatabaseFile,
        connections: Vec<Connection>,
        held: Held,
        folder: Option<TempDir>,
    ) -> Self {
        let readers = connections.into_iter().map(|connection| {
            Arc::new(Reader {
                cursors: Mutex::new(Some(Cursors::new(connection))),
                seats: AtomicUsize::new(0),
                file: file.clone(),
            })
        });
        Self {
            readers: readers.collect(),
            held: Mutex::new(Some((held, folder))),
            file: file.clone(),
        }
    }

    /// A seat on the connection with the fewest.
    pub(crate) fn seat(&self) -> Seat {
        let reader = self.reader();
        reader.seats.fetch_add(1, Ordering::Relaxed);
        Seat(reader)
    }

    /// The connection on which the fewest scans have a seat.
    pub(crate) fn reader(&self) -> Arc<Reader> {
        let least = self.readers.iter().min_by_key(|r| r.seats.load(Ordering::Relaxed));
        Arc::clone(least.unwrap_or(&self.readers[0]))
    }

    /// Which side the file is read as.
    pub(crate) fn side(&self) -> Which {
        self.file.side
    }

    /// Runs `work` on a connection, off the asynchronous threads.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T> {
        let reader = self.reader();
        off_thread(move || reader.ask(work)).await
    }

    /// Closes every cursor, ends the snapshot and closes the connections.
    pub(crate) async fn release(&self) -> Result<()> {
        let mut connections = Vec::with_capacity(self.readers.len());
        for reader in &self.readers {
            let reader = Arc::clone(reader);
            let taken = off_thread(move || Ok(reader.lock().take())).await?;
            connections.extend(taken.map(Cursors::into_connection));
        }
        let closed = close(connections).await;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        closed.map_err(|e| explain(&self.file, "closed", e))?;
        if let Some((held, folder)) = held {
            held.end();
            drop(folder);
        }
        Ok(())
    }
}

impl Reader {
    /// A panic while a row was read leaves a cursor that is closed when its scan ends, and
    /// nothing half done on the connection.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Cursors>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on the connection; waits for its turn, so not on an asynchronous thread.
    pub(crate) fn ask<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, SqliteError>,
    ) -> Result<T> {
        match self.lock().as_ref() {
            Some(cursors) => work(cursors.connection()).map_err(|e| self.explain(e)),
            None => Err(self.released()),
        }
    }

    fn explain(&self, e: SqliteError) -> Error {
        explain(&self.file, "read", e)
    }

    fn released(&self) -> Error {
        Error::failed(format!(
            "{}: {} was closed while it was read",
            self.file.side, self.file.shown
        ))
    }
}

/// A query that stands between two batches; it is closed when dropped.
#[derive(Debug)]
pub(crate) struct Cursor {
    reader: Arc<Reader>,
    number: u64,
}

impl Cursor {
    /// Opens a query on a connection; waits for its turn.
    pub(crate) fn open(
        reader: Arc<Reader>,
        sql: &str,
        parameters: &[ValueRef<'_>],
    ) -> Result<Self> {
        let opened = match reader.lock().as_mut() {
            Some(cursors) => cursors.open(sql, parameters).map_err(|e| reader.explain(e))?,
            None => return Err(reader.released()),
        };
        Ok(Self { reader, number: opened })
    }

    /// Hands on rows until `each` says `false`, and says whether there may be more; waits
    /// for its turn.
    pub(crate) fn advance(&self, mut each: impl FnMut(&Row<'_>) -> Result<bool>) -> Result<bool> {
        let mut cursors = self.reader.lock();
        let Some(cursors) = cursors.as_mut() else {
            return Err(self.reader.released());
        };
        let advanced = cursors.advance(self.number, |row| each(row).map_err(Interrupted::ByReader));
        advanced.map_err(|e| match e {
            Interrupted::BySqlite(e) => self.reader.explain(e),
            Interrupted::ByReader(e) => e,
        })
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(cursors) = self.reader.lock().as_mut() {
            cursors.finish(self.number);
        }
    }
}

enum Interrupted {
    BySqlite(SqliteError),
    ByReader(Error),
}

impl From<SqliteError> for Interrupted {
    fn from(e: SqliteError) -> Self {
        Interrupted::BySqlite(e)
    }
}

/// Runs blocking work on a thread for it; a panic there becomes an error.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::failed("reading a SQLite database stopped short").because(e)),
    }
}

/// Begins a transaction and reads, since a deferred one sees nothing before.
fn begin(connection: &Connection) -> Result<(), SqliteError> {
    connection.execute("begin deferred")?;
    connection.execute("select count(*) from sqlite_schema")
}

async fn close(connections: Vec<Connection>) -> Result<(), SqliteError> {
    let mut closed = Ok(());
    for connection in connections {
        if !connection.is_autocommit() {
            closed = closed.and(connection.execute("rollback"));
        }
        closed = closed.and(connection.close().await);
    }
    closed
}

/// Connections whose snapshots began while a monitoring connection saw no commit.
///
/// `PRAGMA data_version` changes when another connection has committed between two looks
/// at it, so what began between two equal looks sees the same state.
async fn one_snapshot(
    file: &DatabaseFile,
    options: &SqliteConnectOptions,
    size: usize,
    mut opened: impl FnMut(usize) + Send + 'static,
) -> Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(size + 1);
    for _ in 0..=size {
        match connect(options, file.side).await {
            Ok(connection) => connections.push(connection),
            Err(e) => {
                // Why it can't be opened matters more than a failure to close after it.
                let _ = close(connections).await;
                return Err(explain(file, "opened", e));
            }
        }
    }
    let (mut connections, begun) = off_thread(move || {
        let begun = (0..ATTEMPTS)
            .map(|_| attempt(&connections, &mut opened))
            .find(|begun| !matches!(begun, Ok(false)))
            .unwrap_or(Ok(false));
        Ok((connections, begun))
    })
    .await?;
    let failed = match begun {
        Ok(true) => match connections.remove(0).close().await {
            Ok(()) => return Ok(connections),
            Err(e) => explain(file, "opened", e),
        },
        Ok(false) => Error::failed(format!(
            "{}: {} was written to each of {ATTEMPTS} times that {size} connections tried to \
             see the same state",
            file.side, file.shown
        ))
        .hint("try again when it is less busy"),
        Err(e) => explain(file, "opened", e),
    };
    let _ = close(connections).await;
    Err(failed)
}

/// One attempt to begin every snapshot within one state; false when live was written to.
/// The first connection is the monitor, and none of its transactions lasts.
fn attempt(
    connections: &[Connection],
    opened: &mut impl FnMut(usize),
) -> Result<bool, SqliteError> {
    let Some((monitor, readers)) = connections.split_first() else {
        return Ok(false);
    };
    let same = begin_all(monitor, readers, opened)?;
    for connection in connections {
        if !same && !connection.is_autocommit() {
            connection.execute("rollback")?;
        }
        wait_for_locks(connection, LOCK_WAIT)?;
    }
    Ok(same)
}

fn begin_all(
    monitor: &Connection,
    readers: &[Connection],
    opened: &mut impl FnMut(usize),
) -> Result<bool, SqliteError> {
    let before = data_version(monitor)?;
    for (number, reader) in readers.iter().enumerate() {
        if number > 0 {
            wait_for_locks(reader, SHORT_WAIT)?;
        }
        match begin(reader) {
            Err(e) if number > 0 && e.is_busy() => return Ok(false),
            begun => begun?,
        }
        opened(number);
    }
    wait_for_locks(monitor, SHORT_WAIT)?;
    match data_version(monitor) {
        Err(e) if e.is_busy() => Ok(false),
        after => Ok(after? == before),
    }
}

fn wait_for_locks(connection: &Connection, wait: Duration) -> Result<(), SqliteError> {
    connection.execute(&format!("pragma busy_timeout = {}", wait.as_millis()))
}

fn data_version(connection: &Connection) -> Result<i64, SqliteError> {
    let mut version = 0;
    connection.prepare("pragma data_version")?.query(&[], |row| {
        version = row.int(0);
        Ok::<bool, SqliteError>(true)
    })?;
    Ok(version)
}
