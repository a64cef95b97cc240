//! Writes a new plan file while its rows are still being found: one thread encodes and
//! hashes the images, sqlx's own thread stores them.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::durable::WriteBehind;
use crate::error::{Error, Result};
use crate::model::conflict::Conflict;
use crate::model::plan::{Batch, PlanHeader};
use crate::plan::file::image;
use crate::plan::file::{
    APPLICATION_ID, Durable, FORMAT, GENESIS, Hash, Kept, PlanFile, chain, json, options, seal,
    trouble, unsynced,
};

const SCHEMA: &str = "
    create table header (
        one integer primary key check (one = 1),
        json text not null, batches integer not null, seal blob not null);
    create table batch (
        id integer primary key, tbl integer not null, rows integer not null,
        digest blob not null, before blob, after blob);
    create table origin (batch integer primary key, rows blob not null);
    create table excluded (id integer primary key, json text not null);
    create table operation (
        one integer primary key check (one = 1),
        id text not null, started_at text not null, receipt text, target text not null);
    create table state (
        batch integer primary key, state text not null, written blob not null,
        wrote integer not null, already integer not null, conflicts integer not null);
    create table conflict (
        batch integer not null, row integer not null, json text not null,
        primary key (batch, row)) without rowid;
    create table filled (batch integer primary key, image blob not null);
";

/// Batches that may wait for the encoder and for SQLite each: memory stays bounded.
const QUEUE: usize = 1;

/// A plan file under construction. Dropped before [`PlanWriter::finish`], it removes its
/// file; killed, it leaves one that [`PlanFile::open`] refuses.
#[derive(Debug)]
pub struct PlanWriter {
    path: PathBuf,
    entries: Option<mpsc::Sender<Entry>>,
    task: Option<JoinHandle<Result<Stored>>>,
    next: u64,
    finished: bool,
}

#[derive(Debug)]
enum Entry {
    Batch(Batch),
    Excluded(Conflict),
}

enum Encoded {
    Batch { id: u64, table: usize, rows: usize, digest: Hash, stored: Kept },
    Excluded(String),
}

impl Encoded {
    /// How many bytes it is, nearly.
    fn size(&self) -> usize {
        match self {
            Encoded::Excluded(text) => text.len(),
            Encoded::Batch { stored, .. } => {
                [&stored.before, &stored.after].into_iter().flatten().map(Vec::len).sum()
            }
        }
    }
}

#[derive(Debug)]
struct Stored {
    connection: SqliteConnection,
    last: Hash,
    /// Closed after the connection, whose locks on the file would go with it.
    file: WriteBehind,
}

impl PlanWriter {
    /// Creates a new plan file, readable by its owner only; its folder too when that does
    /// not exist. It never replaces a file.
    pub async fn create(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| {
                Error::failed(format!("the folder {} could not be made", folder.display()))
                    .because(e)
            })?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|e| {
            Error::failed(format!("the plan file {} could not be made", path.display())).because(e)
        })?;
        let mut writer =
            Self { path: path.to_owned(), entries: None, task: None, next: 0, finished: false };
        // Nothing relies on a file without a header, so it need not be durable yet.
        let mut connection = options(path)
            .synchronous(SqliteSynchronous::Off)
            .page_size(16384)
            .connect()
            .await
            .map_err(|e| trouble(path, "could not be made", e))?;
        let begin = format!(
            "pragma application_id = {APPLICATION_ID}; pragma user_version = {FORMAT};
             begin immediate; {SCHEMA}"
        );
        sqlx::raw_sql(AssertSqlSafe(begin))
            .execute(&mut connection)
            .await
            .map_err(|e| trouble(path, "could not be made", e))?;
        let (entries, inbox) = mpsc::channel(QUEUE);
        let (encoded, outbox) = mpsc::channel(QUEUE);
        let encoder = tokio::task::spawn_blocking(move || encode_all(inbox, &encoded));
        let owned = writer.path.clone();
        writer.task = Some(tokio::spawn(async move {
            let mut file = WriteBehind::new(file);
            store_all(&owned, &mut connection, outbox, &mut file).await?;
            let last = encoder
                .await
                .map_err(|e| Error::failed("the plan's encoder failed").because(e))??;
            Ok(Stored { connection, last, file })
        }));
        writer.entries = Some(entries);
        Ok(writer)
    }

    /// Adds the next batch; ids count from 0. It waits only while earlier ones queue up.
    pub async fn add(&mut self, batch: &Batch) -> Result<()> {
        if batch.id != self.next {
            return Err(Error::failed(format!(
                "batch {} was given where {} was due",
                batch.id, self.next
            )));
        }
        self.next += 1;
        self.send(Entry::Batch(batch.clone())).await
    }

    /// Notes a row that was found unfit while planning.
    pub async fn add_excluded(&mut self, conflict: &Conflict) -> Result<()> {
        self.send(Entry::Excluded(conflict.clone())).await
    }

    /// The number of batches given so far: the next batch's id.
    pub fn batches(&self) -> u64 {
        self.next
    }

    async fn send(&mut self, entry: Entry) -> Result<()> {
        if let Some(entries) = &self.entries
            && entries.send(entry).await.is_ok()
        {
            return Ok(());
        }
        match self.stored().await {
            Ok(_) => Err(Error::failed("the plan file was closed early")),
            Err(e) => Err(e),
        }
    }

    async fn stored(&mut self) -> Result<Stored> {
        self.entries = None;
        let closed = || Error::failed("the plan file was closed early");
        let task = self.task.take().ok_or_else(closed)?;
        task.await.map_err(|e| closed().because(e))?
    }

    /// Seals the plan, opens it, and begins to make file and folder durable: who needs them to be
    /// waits with [`PlanFile::durable`].
    pub async fn finish(mut self, header: PlanHeader) -> Result<PlanFile> {
        let Stored { mut connection, last, file } = self.stored().await?;
        let failed = |e| trouble(&self.path, "could not be written", e);
        let text = json(&header)?;
        sqlx::query("insert into header values (1, ?, ?, ?)")
            .bind(&text)
            .bind(self.next as i64)
            .bind(&seal(&last, self.next, &text)[..])
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        sqlx::raw_sql("commit").execute(&mut connection).await.map_err(failed)?;
        connection.close().await.map_err(failed)?;
        let begun = Durable::begin(file, &self.path);
        let file = PlanFile::open(&self.path).await?;
        self.finished = true;
        Ok(PlanFile { fresh: true, durable: Mutex::new(begun), ..file })
    }
}

impl Drop for PlanWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What is left is refused by `open`, so a failure to remove it is harmless.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn encode_all(mut inbox: mpsc::Receiver<Entry>, encoded: &mpsc::Sender<Encoded>) -> Result<Hash> {
    let mut last = GENESIS;
    while let Some(entry) = inbox.blocking_recv() {
        let next = match entry {
            Entry::Excluded(conflict) => Encoded::Excluded(json(&conflict)?),
            Entry::Batch(batch) => {
                let before = batch.before.as_ref().map(image::encode).transpose()?;
                let after = batch.after.as_ref().map(image::encode).transpose()?;
                let (id, table, rows) = (batch.id, batch.table, batch.rows());
                let stored = Kept { before, after, from: batch.from };
                last = chain(&last, id, (table, rows), &stored);
                Encoded::Batch { id, table, rows, digest: last, stored }
            }
        };
        if encoded.blocking_send(next).is_err() {
            break;
        }
    }
    Ok(last)
}

async fn store_all(
    path: &Path,
    connection: &mut SqliteConnection,
    mut outbox: mpsc::Receiver<Encoded>,
    file: &mut WriteBehind,
) -> Result<()> {
    while let Some(entry) = outbox.recv().await {
        let bytes = entry.size();
        let query = match entry {
            Encoded::Excluded(text) => {
                sqlx::query("insert into excluded (json) values (?)").bind(text)
            }
            Encoded::Batch { id, table, rows, digest, stored } => {
                let Kept { before, after, from } = stored;
                if !from.is_empty() {
                    sqlx::query("insert into origin values (?, ?)")
                        .bind(id as i64)
                        .bind(from)
                        .execute(&mut *connection)
                        .await
                        .map_err(|e| trouble(path, "could not be written", e))?;
                }
                sqlx::query("insert into batch values (?, ?, ?, ?, ?, ?)")
                    .bind(id as i64)
                    .bind(table as i64)
                    .bind(rows as i64)
                    .bind(digest.to_vec())
                    .bind(before)
                    .bind(after)
            }
        };
        query
            .execute(&mut *connection)
            .await
            .map_err(|e| trouble(path, "could not be written", e))?;
        file.stored(bytes).map_err(|e| unsynced(path, e))?;
    }
    Ok(())
}
