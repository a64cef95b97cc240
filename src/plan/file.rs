//! The plan file: one SQLite file with the row images, the batches and their states.
//!
//! It is the undo journal too: the images before and after are durable before the first
//! write to live, and applying only adds states. The tables:
//!
//! | table | rows |
//! |---|---|
//! | `header` | one: the [`PlanHeader`] as JSON, the number of batches, the seal |
//! | `batch` | one a batch: table, rows, digest, both images (see [`image`]) |
//! | `origin` | one a batch of a plan from several backups: a byte a row, which backup it comes from |
//! | `excluded` | rows found unfit while planning, as JSON |
//! | `operation` | none or one: the operation that applies the plan, its receipt |
//! | `state` | one a batch that was begun: state, bits of the written rows, counts |
//! | `conflict` | one a row that was left alone while applying |
//! | `filled` | one a batch of inserted rows that live has more columns of: what it filled in by itself |
//!
//! Each batch's digest is SHA-256 over the digest before it and its own bytes; the seal is
//! that of the last digest and the header. A plan that was torn, or altered in header or
//! images, is refused; a plan whose writing was cut short has no header and is refused too.

pub mod image;
mod inverse;
mod states;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::durable::{Syncing, WriteBehind};
use crate::error::{Error, Result};
use crate::model::conflict::Conflict;
use crate::model::plan::{Batch, PlanHeader};
use crate::model::table::Column;

pub use inverse::Renewal;
pub use states::{BatchRecord, BatchState, Begun, Bits, Details, Operation, Record, RowConflict};
pub use writer::PlanWriter;

/// The extension of plan files.
pub const EXTENSION: &str = "rkplan";

/// `rkpl`: marks a SQLite file as a plan (`PRAGMA application_id`).
const APPLICATION_ID: i32 = 0x726b_706c;

/// The version of the plan file's format (`PRAGMA user_version`).
const FORMAT: i32 = 2;

/// A complete plan on disk.
pub struct PlanFile {
    path: PathBuf,
    header: PlanHeader,
    batches: Vec<Slot>,
    connection: Mutex<SqliteConnection>,
    /// This process has just written it.
    fresh: bool,
    durable: Mutex<Durable>,
}

/// How far a plan is on its way to the disk.
#[derive(Debug)]
enum Durable {
    /// Somebody wrote it some time, and may have copied it here.
    Open,
    /// It and its name in its folder are on their way. The file stays open until a moment when
    /// SQLite has no lock on it, since closing it drops them.
    Begun([Syncing; 2], Arc<File>),
    /// It was waited for.
    Done,
}

impl Durable {
    fn begin(file: WriteBehind, path: &Path) -> Self {
        let held = file.held();
        let folder = Syncing::folder(path.parent().unwrap_or(Path::new("")));
        Self::Begun([file.finish(), folder], held)
    }
}

/// A plan's batches for who wants one after another: while one is worked on, the next is
/// read, checked and decoded.
#[derive(Debug)]
pub struct Ahead<'p> {
    plan: &'p PlanFile,
    next: Option<(u64, JoinHandle<Result<Batch>>)>,
}

impl<'p> Ahead<'p> {
    /// Over this plan.
    pub fn new(plan: &'p PlanFile) -> Self {
        Self { plan, next: None }
    }

    /// A batch; `next` is the one that will be wanted after it.
    pub async fn batch(&mut self, id: u64, next: Option<u64>) -> Result<Batch> {
        let loading = match self.next.take() {
            Some((ready, loading)) if ready == id => loading,
            _ => self.plan.decoding(id).await?,
        };
        if let Some(next) = next.filter(|next| *next < self.plan.batch_count()) {
            self.next = Some((next, self.plan.decoding(next).await?));
        }
        joined(loading).await
    }
}

async fn joined(loading: JoinHandle<Result<Batch>>) -> Result<Batch> {
    loading.await.map_err(|e| Error::failed("a batch of the plan could not be read").because(e))?
}

/// Refuses a batch's bytes whose digest is not the one that the plan holds.
fn unaltered(path: &Path, previous: &Hash, id: u64, slot: &Slot, stored: &Kept) -> Result<()> {
    let digest = chain(previous, id, (slot.table, slot.rows), stored);
    if digest == slot.digest { Ok(()) } else { Err(altered(path)) }
}

/// What is known of a batch without its images.
#[derive(Clone, Copy, Debug)]
struct Slot {
    table: usize,
    rows: usize,
    digest: Hash,
}

/// A batch's bytes as they are kept.
#[derive(Debug)]
struct Kept {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    /// The number of each row's backup; empty where there is one.
    from: Vec<u8>,
}

type Hash = [u8; 32];

impl fmt::Debug for PlanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanFile")
            .field("path", &self.path)
            .field("batches", &self.batches.len())
            .finish_non_exhaustive()
    }
}

impl PlanFile {
    /// Opens a complete plan.
    ///
    /// # Errors
    /// `Usage` when there is no such file; `Refused` when it is no plan, incomplete, of
    /// another format, or its seal is broken.
    pub async fn open(path: &Path) -> Result<Self> {
        let about = std::fs::metadata(path).map_err(|e| {
            Error::usage(format!("there is no plan file {}", path.display()))
                .hint("restorekit log")
                .because(e)
        })?;
        if !about.is_file() {
            return Err(Error::usage(format!("{} is no plan file", path.display())));
        }
        let options = options(path).read_only(about.permissions().readonly());
        let mut connection =
            options.connect().await.map_err(|e| trouble(path, "could not be opened", e))?;
        let (header, batches) = match load(path, &mut connection).await {
            Ok(loaded) => loaded,
            Err(e) => {
                // The file is refused; how its connection closes changes nothing.
                let _ = connection.close().await;
                return Err(e);
            }
        };
        let connection = Mutex::new(connection);
        let (path, durable) = (path.to_owned(), Mutex::new(Durable::Open));
        Ok(Self { path, header, batches, connection, fresh: false, durable })
    }

    /// Waits until the plan, and its name in its folder, will outlast a crash of the machine. To be
    /// called before the first write to live, and before a command ends that only planned.
    ///
    /// # Errors
    /// `Failed` when the disk did not take it.
    pub async fn durable(&self) -> Result<()> {
        let mut durable = self.durable.lock().await;
        let failed = |e| unsynced(&self.path, e);
        if let Durable::Open = &*durable {
            let file = File::open(&self.path).map_err(failed)?;
            *durable = Durable::begin(WriteBehind::new(file), &self.path);
        }
        if let Durable::Begun(syncs, file) = std::mem::replace(&mut *durable, Durable::Open) {
            let all = move || syncs.into_iter().try_for_each(Syncing::wait);
            let synced = tokio::task::spawn_blocking(all).await;
            synced.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(failed)?;
            // Between two statements, when there is no lock.
            let _idle = self.connection.lock().await;
            drop(file);
        }
        *durable = Durable::Done;
        Ok(())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the plan does and what it is bound to.
    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    /// The number of batches; their ids are `0..batch_count()`.
    pub fn batch_count(&self) -> u64 {
        self.batches.len() as u64
    }

    /// The number of planned rows.
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|b| b.rows as u64).sum()
    }

    /// A batch's table (an index into the header's tables) and its number of rows.
    pub fn shape(&self, id: u64) -> Result<(usize, usize)> {
        let slot = self.slot(id)?;
        Ok((slot.table, slot.rows))
    }

    /// A batch with its images, after its digest was checked.
    pub async fn batch(&self, id: u64) -> Result<Batch> {
        joined(self.decoding(id).await?).await
    }

    /// Reads a batch's bytes; they are checked and decoded on another thread.
    async fn decoding(&self, id: u64) -> Result<JoinHandle<Result<Batch>>> {
        let slot = *self.slot(id)?;
        let stored = self.stored(id, &slot).await?;
        let table = self.header.tables.get(slot.table).ok_or_else(|| altered(&self.path))?;
        let (before, after) = (table.before.clone(), table.after.clone());
        let (path, previous) = (self.path.clone(), self.previous(id)?);
        Ok(tokio::task::spawn_blocking(move || {
            unaltered(&path, &previous, id, &slot, &stored)?;
            let decode = |bytes: Option<Vec<u8>>, columns: &[Column]| {
                bytes.map(|b| image::decode(&b, columns, slot.rows)).transpose()
            };
            Ok(Batch {
                id,
                table: slot.table,
                before: decode(stored.before, &before)?,
                after: decode(stored.after, &after)?,
                from: stored.from,
            })
        }))
    }

    /// Checks the digests of all batches, unless this process has just written them.
    ///
    /// # Errors
    /// `Refused` when some image was torn or altered.
    pub async fn check(&self) -> Result<()> {
        if self.fresh {
            return Ok(());
        }
        for (id, slot) in (0..).zip(&self.batches) {
            let stored = self.stored(id, slot).await?;
            unaltered(&self.path, &self.previous(id)?, id, slot, &stored)?;
        }
        Ok(())
    }

    /// The digest that a batch's own goes on from.
    fn previous(&self, id: u64) -> Result<Hash> {
        Ok(match id.checked_sub(1) {
            None => GENESIS,
            Some(id) => self.slot(id)?.digest,
        })
    }

    /// A batch's bytes, unchecked.
    async fn stored(&self, id: u64, slot: &Slot) -> Result<Kept> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query("select before, after from batch where id = ?")
            .bind(id as i64)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        let several = self.header.tables.get(slot.table).is_some_and(|t| !t.from.is_empty());
        let from: Vec<u8> = match several {
            false => Vec::new(),
            true => sqlx::query_scalar("select rows from origin where batch = ?")
                .bind(id as i64)
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| altered(&self.path).because(e))?,
        };
        drop(connection);
        let image = |i| row.try_get(i).map_err(|e| altered(&self.path).because(e));
        Ok(Kept { before: image(0)?, after: image(1)?, from })
    }

    fn slot(&self, id: u64) -> Result<&Slot> {
        self.batches
            .get(id as usize)
            .ok_or_else(|| Error::failed(format!("the plan has no batch {id}")))
    }

    /// Rows that were found unfit while planning.
    pub async fn excluded(&self) -> Result<Vec<Conflict>> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("select json from excluded order by id")
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        rows.iter().map(|row| parse(&self.path, row)).collect()
    }

    /// Closes the file and waits for it.
    pub async fn close(self) -> Result<()> {
        if self.fresh {
            self.durable().await?;
        }
        let path = self.path;
        let connection = self.connection.into_inner();
        connection.close().await.map_err(|e| trouble(&path, "could not be closed", e))
    }

    fn trouble(&self, what: &str, e: sqlx::Error) -> Error {
        trouble(&self.path, what, e)
    }
}

/// The first link of the digest chain.
const GENESIS: Hash = *b"restorekit plan file, format 2\n\0";

fn chain(previous: &Hash, id: u64, (table, rows): (usize, usize), stored: &Kept) -> Hash {
    let mut hash = Sha256::new();
    hash.update(previous);
    for number in [id, table as u64, rows as u64] {
        hash.update(number.to_le_bytes());
    }
    for image in [&stored.before, &stored.after] {
        let image = image.as_deref();
        hash.update(image.map_or(u64::MAX, |i| i.len() as u64).to_le_bytes());
        hash.update(image.unwrap_or_default());
    }
    hash.update(&stored.from);
    hash.finalize().into()
}

fn seal(last: &Hash, batches: u64, header: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update(last);
    hash.update(batches.to_le_bytes());
    hash.update(header.as_bytes());
    hash.finalize().into()
}

/// How every connection to a plan file is opened. TRUNCATE with synchronous=FULL syncs
/// the journal's truncation, so a commit that was reported is durable; and a plan at rest
/// is one file, as WAL mode would not keep it.
fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(false)
        .synchronous(SqliteSynchronous::Full)
        .journal_mode(SqliteJournalMode::Truncate)
        .busy_timeout(Duration::from_secs(2))
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

async fn load(path: &Path, connection: &mut SqliteConnection) -> Result<(PlanHeader, Vec<Slot>)> {
    let unreadable = |e| trouble(path, "could not be read", e);
    let marks = sqlx::query(
        "select application_id, user_version, page_size
         from pragma_application_id, pragma_user_version, pragma_page_size",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(unreadable)?;
    let (application, format): (i32, i32) = (marks.get(0), marks.get(1));
    if application != APPLICATION_ID {
        return Err(Error::refused(format!("{} is no plan file", path.display())));
    }
    if format != FORMAT {
        return Err(Error::refused(format!(
            "the plan file {} has the format {format}, this restorekit reads {FORMAT}",
            path.display()
        ))
        .hint("plan again, or use the restorekit that made it"));
    }
    // SQLite itself notices a file that lacks whole pages, not one whose last page is torn.
    let page: i64 = marks.get(2);
    if std::fs::metadata(path)?.len() % page as u64 != 0 {
        return Err(altered(path));
    }
    let row = sqlx::query("select json, batches, seal from header")
        .fetch_optional(&mut *connection)
        .await
        .map_err(unreadable)?
        .ok_or_else(|| {
            Error::refused(format!(
                "the plan file {} is incomplete: planning was cut short",
                path.display()
            ))
            .hint("delete it and plan again; nothing was written to live")
        })?;
    let damaged = |e: sqlx::Error| altered(path).because(e);
    let json: String = row.try_get(0).map_err(damaged)?;
    let count: i64 = row.try_get(1).map_err(damaged)?;
    let sealed: Vec<u8> = row.try_get(2).map_err(damaged)?;
    let rows = sqlx::query("select id, tbl, rows, digest from batch order by id")
        .fetch_all(&mut *connection)
        .await
        .map_err(unreadable)?;
    let mut batches = Vec::with_capacity(rows.len());
    for (expected, row) in (0i64..).zip(&rows) {
        let id: i64 = row.try_get(0).map_err(damaged)?;
        let table: i64 = row.try_get(1).map_err(damaged)?;
        let rows: i64 = row.try_get(2).map_err(damaged)?;
        let digest: Vec<u8> = row.try_get(3).map_err(damaged)?;
        let digest = Hash::try_from(digest).map_err(|_| altered(path))?;
        if id != expected || table < 0 || rows < 0 {
            return Err(altered(path));
        }
        batches.push(Slot { table: table as usize, rows: rows as usize, digest });
    }
    let last = batches.last().map_or(GENESIS, |b| b.digest);
    if batches.len() as i64 != count || seal(&last, count as u64, &json)[..] != sealed[..] {
        return Err(altered(path));
    }
    let header: PlanHeader = serde_json::from_str(&json).map_err(|e| altered(path).because(e))?;
    if batches.iter().any(|b| b.table >= header.tables.len()) {
        return Err(altered(path));
    }
    Ok((header, batches))
}

fn unsynced(path: &Path, e: std::io::Error) -> Error {
    Error::failed(format!("the plan file {} could not be made durable", path.display())).because(e)
}

fn altered(path: &Path) -> Error {
    Error::refused(format!(
        "the plan file {} was damaged or altered: its digests do not match",
        path.display()
    ))
    .hint("plan again; a damaged plan is never applied")
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, row: &sqlx::sqlite::SqliteRow) -> Result<T> {
    let json: String = row.try_get(0).map_err(|e| altered(path).because(e))?;
    serde_json::from_str(&json).map_err(|e| altered(path).because(e))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::failed("a plan's part could not be written as JSON").because(e))
}

/// An error of SQLite's with the plan file ("Result and Error Codes").
fn trouble(path: &Path, what: &str, e: sqlx::Error) -> Error {
    let code = e
        .as_database_error()
        .and_then(|d| d.code())
        .and_then(|c| c.parse::<i32>().ok())
        .map_or(0, |c| c & 0xff);
    let name = path.display();
    match code {
        5 | 6 => Error::refused(format!("the plan file {name} is in use"))
            .hint("wait for the other restorekit to end"),
        8 => Error::failed(format!("the plan file {name} can't be written: it is read-only")),
        11 | 26 => Error::refused(format!("{name} is no plan file, or a damaged one")),
        13 => Error::failed(format!("the plan file {name} {what}: the disk is full"))
            .hint("free some space, or plan with --output on another disk"),
        _ => Error::failed(format!("the plan file {name} {what}")),
    }
    .because(e)
}
