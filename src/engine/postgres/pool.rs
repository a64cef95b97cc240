//! The connections that read a database, all in one snapshot.
//!
//! One connection, the keeper, begins a snapshot, exports it (`pg_export_snapshot`) and is asked
//! for everything but rows. The readers join its snapshot when they are first needed, so that
//! a reader whose copy was left half way can be given up and another join in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};

use crate::engine::postgres::address::Address;
use crate::engine::postgres::session::{Server, Session, Stop};
use crate::error::{Error, Result};

/// Connections in one snapshot.
#[derive(Debug)]
pub(crate) struct Pool {
    address: Arc<Address>,
    server: Server,
    snapshot: String,
    keeper: Mutex<Option<Session>>,
    readers: Vec<Arc<Mutex<Option<Session>>>>,
    next: AtomicUsize,
}

/// A connection that is one's own for the time of a copy.
#[derive(Debug)]
pub(crate) struct Reader {
    place: OwnedMutexGuard<Option<Session>>,
}

impl Pool {
    /// Opens one connection, and makes room for `size` readers in its snapshot.
    pub(crate) async fn open(address: Address, size: usize) -> Result<Self> {
        let address = Arc::new(address);
        let (mut keeper, server) = Session::open(&address).await?;
        let snapshot = async {
            keeper.begin_reading(None).await?;
            keeper.word("select pg_catalog.pg_export_snapshot()").await
        };
        let snapshot =
            snapshot.await.map_err(|stop| stop.explain(&*address, "begin a snapshot"))?;
        let readers = (0..size.max(1)).map(|_| Arc::default()).collect();
        let keeper = Mutex::new(Some(keeper));
        Ok(Self { address, server, snapshot, keeper, readers, next: AtomicUsize::new(0) })
    }

    /// Where it reads.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// What the server said of itself.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// How many readers there may be.
    pub(crate) fn size(&self) -> usize {
        self.readers.len()
    }

    /// The connection for everything but a table's rows.
    pub(crate) async fn keeper(&self) -> Keeper<'_> {
        Keeper(self.keeper.lock().await)
    }

    /// A reader that nobody uses, or the next to be free.
    pub(crate) async fn reader(&self) -> Reader {
        for reader in &self.readers {
            if let Ok(place) = Arc::clone(reader).try_lock_owned() {
                return Reader { place };
            }
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        Reader { place: Arc::clone(&self.readers[next]).lock_owned().await }
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
        if let Some(session) = self.keeper.lock().await.take() {
            closed = closed.and(session.close().await);
        }
        closed.map_err(|e| self.failed("be closed", e.into()))
    }
}

/// The keeper, for the time of a question.
#[derive(Debug)]
pub(crate) struct Keeper<'p>(MutexGuard<'p, Option<Session>>);

impl Keeper<'_> {
    /// The session.
    pub(crate) fn session(&mut self) -> Result<&mut Session> {
        self.0.as_mut().ok_or_else(closed)
    }
}

impl Reader {
    /// Takes the session out, which joins the snapshot if it is new. Whoever does not give it
    /// back gives it up: the next one to read connects anew.
    pub(crate) async fn take(&mut self, pool: &Pool) -> Result<Session> {
        if let Some(session) = self.place.take() {
            return Ok(session);
        }
        if pool.keeper.lock().await.is_none() {
            return Err(closed());
        }
        // Another server than before has no such snapshot.
        let mut session = Session::connect(&pool.address).await?;
        let begun = session.begin_reading(Some(&pool.snapshot)).await;
        begun.map_err(|stop| pool.failed("join a snapshot", stop))?;
        Ok(session)
    }

    /// Gives a session back that is in step with its server.
    pub(crate) fn give_back(mut self, session: Session) {
        *self.place = Some(session);
    }
}

fn closed() -> Error {
    Error::failed("a database was closed while it was read")
}
