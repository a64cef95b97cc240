//! Opening SQLite files, for reading and for writing, hardened as "Defense Against The Dark
//! Arts" (sqlite.org/security.html) advises.
//!
//! Live is opened `mode=ro` in transactions that can't write. A backup is opened
//! `immutable=1` when it is one file; with a `-wal` or a `-journal` beside it SQLite has to
//! recover it, which writes, so that is done to a private copy. Backups may be hostile:
//! their schema is not trusted.

use std::fs;
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use blake3::Hasher;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use tempfile::TempDir;

use crate::engine::sqlite::file::{DatabaseFile, Held};
use crate::engine::sqlite::pool::Pool;
use crate::engine::sqlite::raw::{Config, Connection, SqliteError};
use crate::engine::sqlite::source::SqliteSource;
use crate::error::{Error, Result};
use crate::model::origin::{Identity, Origin};
use crate::model::side::Which;
use crate::source::Source;

/// How long a lock is waited for.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The page cache of the writing connection, as `PRAGMA cache_size` takes it: 16 MiB. A
/// transaction whose pages do not fit spills: it syncs the journal again and again, and keeps
/// readers out before it commits.
const WRITER_CACHE: &str = "-16384";

/// What this engine calls its databases on a screen.
const KIND: &str = "SQLite database";

/// Bytes that are digested at a time.
const DIGESTED: usize = 1 << 18;

/// Opens a live database for reading: one snapshot, seen by `parallelism` connections.
pub async fn live(location: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    let file = DatabaseFile::find(location, Which::Live)?;
    let pool = Pool::open_live(&file, parallelism, |_| {}).await?;
    let origin = Origin {
        location: location.to_owned(),
        kind: KIND.to_owned(),
        taken_at: None,
        warnings: Vec::new(),
        ..Origin::default()
    };
    Ok(Arc::new(SqliteSource::new(origin, file.identity(), pool, None)))
}

/// Opens a SQLite file as a backup. The file and its folder stay as they are.
pub async fn backup(location: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    let file = DatabaseFile::find(location, Which::Backup)?;
    let (held, header) = Held::after(&file, || file.inspect())?;
    let parts = Parts::of(&file)?;
    let mut warnings = vec![
        "a raw SQLite file: a copy made while the database was written to can be torn, which \
         nothing shows; one made by .backup or VACUUM INTO is sound"
            .to_owned(),
    ];
    let pool = if parts.0.len() == 1 {
        if header.is_some_and(|h| h.is_truncated()) {
            held.end();
            return Err(Error::damaged(format!(
                "the backup {location} is cut short: it has fewer pages than its header counts"
            )));
        }
        let options = reading(&file.path).read_only(true).immutable(true);
        Pool::open_frozen(&file, held, options, parallelism, None).await?
    } else {
        warnings.push(format!(
            "{} stood beside it, so a private copy was recovered and read",
            parts.beside()
        ));
        let (folder, copy) = parts.copy(&file)?;
        held.end();
        let copy = DatabaseFile::find(&copy.to_string_lossy(), Which::Backup)?;
        let (held, _) = Held::after(&copy, || Ok(()))?;
        let shown = copy.shown_as(&file.shown);
        Pool::open_frozen(&shown, held, reading(&shown.path), parallelism, Some(folder)).await?
    };
    let origin = Origin {
        location: location.to_owned(),
        kind: KIND.to_owned(),
        taken_at: None,
        warnings,
        ..Origin::default()
    };
    Ok(Arc::new(SqliteSource::new(origin, file.identity(), pool, Some(parts))))
}

/// A connection to live, to write or to read beside the one that writes.
#[derive(Debug)]
pub(crate) struct Opened {
    connection: Connection,
    file: DatabaseFile,
    held: Held,
}

impl std::ops::Deref for Opened {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Opened {
    /// The identity of the file as it was when the connection was opened.
    pub(crate) fn identity(&self) -> Identity {
        self.file.identity()
    }

    /// The identity of the file to which the given path, which may be a link, and the
    /// connection's own path lead now: another one where either does. An error when there is
    /// none. No look opens the file.
    pub(crate) fn identity_now(&self) -> Result<Identity> {
        let given = DatabaseFile::find(&self.file.shown, Which::Live)?.identity();
        if !given.same(&self.identity()) {
            return Ok(given);
        }
        Ok(DatabaseFile::find(&self.file.path.to_string_lossy(), Which::Live)?.identity())
    }

    /// The file as it was when the connection was opened.
    pub(crate) fn file(&self) -> &DatabaseFile {
        &self.file
    }

    /// Closes the connection and waits for it.
    pub(crate) async fn close(self) -> Result<(), SqliteError> {
        self.connection.close().await?;
        self.held.end();
        Ok(())
    }
}

/// Opens live for writing, never creating it: foreign keys are enforced, commits are synced
/// (`synchronous=FULL`), locks are waited for [`LOCK_WAIT`]. The schema stays trusted, since
/// live's own triggers and generated columns are the application's.
pub(crate) async fn open_for_writing(location: &str) -> Result<Opened> {
    let file = DatabaseFile::find(location, Which::Live)?;
    let (held, _) = Held::after(&file, || file.inspect())?;
    let options = SqliteConnectOptions::new()
        .filename(&file.path)
        .create_if_missing(false)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_WAIT)
        .pragma("cache_size", WRITER_CACHE);
    let opened = async {
        let connection = Connection::open(&options).await?;
        connection.configure(Config::Defensive, true)?;
        connection.configure(Config::DoubleQuotedStrings, false)?;
        connection.execute("select 1 from sqlite_schema limit 1")?;
        Ok(connection)
    };
    match opened.await {
        Ok(connection) => Ok(Opened { connection, file, held }),
        Err(e) => {
            held.end();
            Err(explain(&file, "opened for writing", e))
        }
    }
}

/// Opens a live file that this process has open already a second time, where it can't write.
pub(crate) async fn open_beside(file: DatabaseFile) -> Result<Opened> {
    let (held, _) = Held::after(&file, || Ok(()))?;
    match connect(&reading(&file.path).read_only(true), Which::Live).await {
        Ok(connection) => Ok(Opened { connection, file, held }),
        Err(e) => {
            held.end();
            Err(explain(&file, "opened a second time", e))
        }
    }
}

/// Options for a reading connection; the caller says in which mode.
pub(crate) fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(LOCK_WAIT)
        .pragma("query_only", "ON")
}

/// Opens a connection that reads and trusts nothing in the schema.
pub(crate) async fn connect(
    options: &SqliteConnectOptions,
    side: Which,
) -> Result<Connection, SqliteError> {
    let connection = Connection::open(options).await?;
    connection.configure(Config::Defensive, true)?;
    connection.configure(Config::TrustedSchema, false)?;
    connection.configure(Config::DoubleQuotedStrings, false)?;
    connection.configure(Config::Triggers, false)?;
    if side == Which::Backup {
        connection.configure(Config::Views, false)?;
        connection.execute("pragma cell_size_check = on")?;
    }
    Ok(connection)
}

/// A failed call as a person's error: `what` completes "could not be ..".
pub(crate) fn explain(file: &DatabaseFile, what: &str, e: SqliteError) -> Error {
    let (side, shown) = (file.side, &file.shown);
    let error = if e.is_damaged() && side == Which::Backup {
        Error::damaged(format!("the backup {shown} is damaged: it could not be {what}"))
    } else if e.is_damaged() {
        Error::failed(format!("live: {shown} is damaged: it could not be {what}"))
            .hint(format!("sqlite3 {shown} 'pragma integrity_check'"))
    } else if e.is_busy() {
        Error::failed(format!("{side}: {shown} could not be {what}: another program holds a lock"))
            .hint("try again when its transaction has ended")
    } else if e.needs_recovery() {
        Error::failed(format!(
            "{side}: {shown} could not be {what}: its last writer stopped within a transaction"
        ))
        .hint("open it once with a program that may write to it, which rolls that back")
    } else if e.cannot_open() {
        Error::failed(format!("{side}: {shown} could not be {what}"))
            .hint("SQLite may read a database in WAL mode only where it may write to its folder")
    } else {
        Error::failed(format!("{side}: {shown} could not be {what}"))
    };
    error.because(e)
}

/// The files that make up a backup, the database first, and how they were when opened.
#[derive(Debug)]
pub(crate) struct Parts(Vec<Part>);

#[derive(Debug)]
struct Part {
    suffix: &'static str,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl Part {
    fn of(suffix: &'static str, path: PathBuf) -> io::Result<Self> {
        let metadata = fs::metadata(&path)?;
        Ok(Self { suffix, path, length: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl Parts {
    fn of(file: &DatabaseFile) -> Result<Self> {
        let mut parts = Vec::new();
        for suffix in ["", "-wal", "-journal"] {
            match Part::of(suffix, file.beside(suffix)) {
                Ok(part) => parts.push(part),
                Err(e) if e.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                Err(e) => {
                    let path = file.beside(suffix);
                    return Err(Error::failed(format!(
                        "the backup's file {} could not be looked at",
                        path.display()
                    ))
                    .because(e));
                }
            }
        }
        Ok(Self(parts))
    }

    fn beside(&self) -> String {
        let names: Vec<&str> = self.0[1..].iter().map(|p| p.suffix).collect();
        format!("a {} file", names.join(" and a "))
    }

    /// Copies the files into a new private folder (0700) and gives the copy's path.
    fn copy(&self, file: &DatabaseFile) -> Result<(TempDir, PathBuf)> {
        let copied = || -> io::Result<(TempDir, PathBuf)> {
            let folder = tempfile::Builder::new()
                .prefix("restorekit-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir()?;
            let copy = folder.path().join("backup.sqlite");
            for part in &self.0 {
                let mut to = copy.clone().into_os_string();
                to.push(part.suffix);
                let mut from = fs::File::open(&part.path)?;
                let mut to =
                    fs::OpenOptions::new().write(true).create_new(true).open(PathBuf::from(to))?;
                io::copy(&mut from, &mut to)?;
            }
            Ok((folder, copy))
        };
        let copied = copied().map_err(|e| {
            Error::failed(format!("the backup {} could not be copied to be read", file.shown))
                .hint("the folder for temporary files (TMPDIR) needs room for it")
                .because(e)
        })?;
        self.unchanged()?;
        Ok(copied)
    }

    /// Fails when a file is no longer as it was.
    fn unchanged(&self) -> Result<()> {
        for part in &self.0 {
            let now = Part::of(part.suffix, part.path.clone());
            if !now.is_ok_and(|n| (n.length, n.modified) == (part.length, part.modified)) {
                return Err(Error::refused(format!(
                    "the backup's file {} changed while it was read",
                    part.path.display()
                ))
                .hint(
                    "a backup must not be a database in use; make one with restorekit snapshot",
                ));
            }
        }
        Ok(())
    }

    /// `blake3:` and the BLAKE3 digest of the file in hexadecimal, as `b3sum` prints it; of several
    /// files that of a line `digest suffix` for each. It reads all bytes. BLAKE3 takes a fraction
    /// of SHA-256's time for as strong a digest, and a backup is read while rows are looked for.
    pub(crate) fn digest(&self) -> Result<String> {
        let mut digests = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let mut hasher = Hasher::new();
            let read = fs::File::open(&part.path)
                .and_then(|f| io::copy(&mut BufReader::with_capacity(DIGESTED, f), &mut hasher));
            read.map_err(|e| {
                Error::failed(format!(
                    "the backup's file {} could not be read",
                    part.path.display()
                ))
                .because(e)
            })?;
            digests.push((hasher.finalize(), part.suffix));
        }
        self.unchanged()?;
        if let [(only, _)] = &digests[..] {
            return Ok(format!("blake3:{}", only.to_hex()));
        }
        let mut hasher = Hasher::new();
        for (digest, suffix) in digests {
            hasher.update(format!("{} {suffix}\n", digest.to_hex()).as_bytes());
        }
        Ok(format!("blake3:{}", hasher.finalize().to_hex()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
