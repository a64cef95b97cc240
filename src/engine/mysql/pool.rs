//! The connections that read a database, all in one snapshot.
//!
//! MariaDB (and Percona Server) tell the binary log's position at which a snapshot began,
//! exactly, since the snapshot is taken under the lock that orders commits ("START
//! TRANSACTION", WITH CONSISTENT SNAPSHOT). So several connections begin, and when all began
//! at one position they see one state; else they begin anew. Nobody is locked out: FLUSH
//! TABLES WITH READ LOCK would make the application wait. Where the position is not told
//! (MySQL, no binary log, a log that leaves databases out), InnoDB may tell that their
//! [`views`] are the same; else one connection reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::engine::mysql::address::Address;
use crate::engine::mysql::failure::number;
use crate::engine::mysql::session::{Purpose, Server, Session, Stop};
use crate::engine::mysql::views;
use crate::error::{Error, Result};

/// What tells that connections began within one state.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// The position in the binary log.
    Position,
    /// InnoDB's views.
    Views,
}

impl Proof {
    /// How often it is tried. Who writes all the time leaves no two views the same.
    fn attempts(self) -> usize {
        match self {
            Proof::Position => 20,
            Proof::Views => 5,
        }
    }
}

/// Connections in one snapshot.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Arc<Address>,
    server: Server,
    readers: Vec<Arc<Mutex<Option<Session>>>>,
    next: AtomicUsize,
}

/// A connection that is one's own for the time of a statement.
#[derive(Debug)]
pub(crate) struct Reader(OwnedMutexGuard<Option<Session>>);

impl Pool {
    /// Opens up to `size` connections in one snapshot.
    pub(crate) async fn open(address: Address, size: usize) -> Result<Self> {
        let address = Arc::new(address);
        let (first, server) = Session::open(&address, Purpose::Read).await?;
        let mut sessions = vec![first];
        let proof = begin(&mut sessions[0], size).await.map_err(|e| starting(&address, e))?;
        if let Some(proof) = proof {
            for _ in 1..size {
                sessions.push(Session::open(&address, Purpose::Read).await?.0);
            }
            if !together(&mut sessions, proof).await.map_err(|e| starting(&address, e))? {
                // Too busy: one connection sees one state for sure.
                for session in sessions.drain(1..) {
                    session.close().await.map_err(|e| starting(&address, e.into()))?;
                }
            }
        }
        let readers = sessions.into_iter().map(|s| Arc::new(Mutex::new(Some(s)))).collect();
        Ok(Self { address, server, readers, next: AtomicUsize::new(0) })
    }

    /// Where it reads.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What the server said of itself.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// How many connections there are.
    pub(crate) fn size(&self) -> usize {
        self.readers.len()
    }

    /// A connection that nobody uses, or the next to be free.
    pub(crate) async fn reader(&self) -> Result<Reader> {
        for reader in &self.readers {
            if let Ok(free) = Arc::clone(reader).try_lock_owned() {
                return Ok(Reader(free));
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        Ok(Reader(Arc::clone(&self.readers[next]).lock_owned().await))
    }

    /// Asks a connection that is to `what`. It is done in a task of its own, which goes on to the
    /// end of the answer although nobody may wait for it any more: left in the middle of one, the
    /// connection would be out of step, and no other could join its snapshot.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl Into<String>,
        question: impl for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<T, Stop>>
        + Send
        + 'static,
    ) -> Result<T> {
        let (pool, what) = (Arc::clone(self), what.into());
        let asking = async move {
            let mut reader = pool.reader().await?;
            question(reader.session()?).await.map_err(|stop| pool.failed(&what, stop))
        };
        tokio::spawn(asking).await.map_err(lost)?
    }

    /// The user-facing error of something that failed while it was to `what`.
    pub(crate) fn failed(&self, what: &str, stop: Stop) -> Error {
        stop.explain(&*self.address, what)
    }

    /// Ends the snapshot and closes the connections.
    pub(crate) async fn release(&self) -> Result<()> {
        let mut closed = Ok(());
        for reader in &self.readers {
            if let Some(session) = reader.lock().await.take() {
                closed = closed.and(session.close().await);
            }
        }
        closed.map_err(|e| self.failed("be closed", e.into()))
    }
}

impl Reader {
    /// The session.
    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        self.0.as_mut().ok_or_else(|| Error::failed("a database was closed while it was read"))
    }
}

/// A task that reads has panicked, or its runtime has ended.
pub(crate) fn lost(e: tokio::task::JoinError) -> Error {
    Error::failed("a reading task was lost").because(e)
}

fn starting(address: &Address, stop: Stop) -> Error {
    stop.explain(address, "begin a snapshot")
}

/// Begins a snapshot that the server keeps read-only; gives what may tell that as many
/// connections as `size` see the same one.
async fn begin(session: &mut Session, size: usize) -> Result<Option<Proof>, Stop> {
    start(session).await?;
    Ok(match size {
        0 | 1 => None,
        _ if position(session).await?.is_some() && logs_all(session).await? => {
            Some(Proof::Position)
        }
        _ if views::are_all(session).await? && session.innodb_status().await?.is_some() => {
            Some(Proof::Views)
        }
        _ => None,
    })
}

/// Begins a snapshot, whatever isolation the server would give: in READ COMMITTED it would take
/// none, with a warning.
async fn start(session: &mut Session) -> Result<(), sqlx::Error> {
    session.run("set session transaction isolation level repeatable read").await?;
    session.run("start transaction with consistent snapshot, read only").await
}

/// The position in the binary log at which the snapshot began, where the server tells it.
async fn position(session: &mut Session) -> Result<Option<String>, Stop> {
    let told = session.strings("show status like 'binlog_snapshot_%'", &[]).await?;
    let cells: Vec<String> =
        told.into_iter().filter_map(|row| row.into_iter().nth(1).flatten()).collect();
    if cells.len() < 2 || cells.iter().any(String::is_empty) {
        return Ok(None);
    }
    // Commits to databases that the log leaves out would not move its position. Who may not
    // see whether there are such reads with one connection.
    let mut status = session.strings("show master status", &[]).await;
    if matches!(status, Err(Stop::Server(_))) {
        status = session.strings("show binary log status", &[]).await;
    }
    let Ok(status) = status else { return Ok(None) };
    let complete = status.first().is_some_and(|row| {
        row.iter().skip(2).take(2).all(|filter| filter.as_ref().is_none_or(String::is_empty))
    });
    Ok(complete.then(|| cells.join(":")))
}

/// True where the log has what others' logs brought, too: its position stands still otherwise while
/// a replica applies them.
async fn logs_all(session: &mut Session) -> Result<bool, Stop> {
    if session.variable("log_slave_updates").await?.as_deref() == Some("ON") {
        return Ok(true);
    }
    if session.variable("wsrep_on").await?.is_some_and(|on| on == "ON") {
        return Ok(false);
    }
    // One of the two is the server's; who may not ask is not told that there is none.
    for status in ["show all slaves status", "show replica status"] {
        match session.strings(status, &[]).await {
            Ok(channels) => return Ok(channels.is_empty()),
            Err(Stop::Server(e)) if number(&e).is_some() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}

/// Begins all anew until they see one state; false when others wrote in between each time.
async fn together(sessions: &mut [Session], proof: Proof) -> Result<bool, Stop> {
    for _ in 0..proof.attempts() {
        for session in sessions.iter_mut() {
            session.run("rollback").await?;
            start(session).await?;
        }
        let one = match proof {
            Proof::Position => at_one_position(sessions).await?,
            Proof::Views => views::are_one(sessions).await?,
        };
        if one {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn at_one_position(sessions: &mut [Session]) -> Result<bool, Stop> {
    let mut positions = Vec::with_capacity(sessions.len());
    for session in sessions.iter_mut() {
        positions.push(position(session).await?);
    }
    Ok(positions[0].is_some() && positions.windows(2).all(|pair| pair[0] == pair[1]))
}
