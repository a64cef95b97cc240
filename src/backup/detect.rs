//! What a path is as a backup, and by which signs; opening it.
//!
//! ```text
//! restorekit.json                                 a snapshot of ours
//! folders with restorekit.json below              snapshots of ours: the newest, or picked
//! "SQLite format 3\0" at the start                a SQLite file
//! a dump's head, PGDMP, toc.dat, @.json, metadata  an SQL dump (`dump::signs`)
//! schema.sql and load.sql                         an export of DuckDB
//! <timestamp>/{parquet,json}/ (below a database)  dated takes: the newest, or picked
//! <collection>.bson (below a database)            what mongodump leaves
//! <table>.parquet, .jsonl, .json, .csv            loose files
//! <table>/<column>=<value>/, <table>/part-*        a table in many Parquet files ([`hive`](super::hive))
//! export_info_*.json                              an export of RDS or Aurora
//! ```
//!
//! Two answers are an error that names both: a guess here would restore the wrong rows.

mod answer;
mod clock;
mod export;
mod mongo;
mod one;
mod ours;
mod spec;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use crate::backup::database::Database;
use crate::backup::dump::signs::DumpKind;
use crate::backup::dump::{Dump, DumpSpec, Wanted};
use crate::backup::file::{file_name, regular, unreadable};
use crate::backup::files::{self, Content, Files, TableFile, shown};
use crate::backup::folder::{Candidate, Named};
use crate::backup::guard::blocking;
use crate::backup::manifest::MANIFEST;
use crate::backup::parts::Part;
use crate::backup::place::{self, Kept, Mirror, Place, Purpose};
use crate::backup::snapshot::Snapshot;
use crate::backup::sqlite;
use crate::backup::text::TextFormat;
use crate::error::{Error, Result};
use crate::model::origin::Origin;
use crate::registry;
use crate::source::Source;

pub use crate::backup::detect::spec::{BackupSpec, Live, Pick};

/// What a path turned out to be.
#[derive(Clone, Debug)]
pub struct Found {
    /// The layout.
    pub layout: Layout,
    /// The signs that were seen.
    pub why: Vec<String>,
    /// What a person should know before relying on it.
    pub warnings: Vec<String>,
    /// The older backups beside the chosen one, newest first.
    pub older: Vec<PathBuf>,
}

/// The layouts that are read.
#[derive(Clone, Debug)]
pub enum Layout {
    /// A snapshot of ours.
    Snapshot(Box<Snapshot>),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// An SQL dump.
    Dump(PathBuf, DumpKind),
    /// Tables as files.
    Tables {
        /// The kind in words.
        kind: &'static str,
        /// The file or folder.
        location: PathBuf,
        /// When it was taken.
        taken_at: Option<DateTime<FixedOffset>>,
        /// The tables.
        tables: Vec<Candidate>,
    },
}

impl Layout {
    /// The kind in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Layout::Snapshot(_) => "restorekit snapshot",
            Layout::Sqlite(_) => "SQLite file",
            Layout::Dump(_, kind) => kind.words(),
            Layout::Tables { kind, .. } => kind,
        }
    }

    /// The file or folder that is read.
    pub fn location(&self) -> &Path {
        match self {
            Layout::Snapshot(snapshot) => &snapshot.folder,
            Layout::Sqlite(path) | Layout::Dump(path, _) => path,
            Layout::Tables { location, .. } => location,
        }
    }

    /// When it was taken, where that is known.
    pub fn taken_at(&self) -> Option<DateTime<FixedOffset>> {
        match self {
            Layout::Snapshot(snapshot) => Some(snapshot.taken_at),
            Layout::Sqlite(_) | Layout::Dump(..) => None,
            Layout::Tables { taken_at, .. } => *taken_at,
        }
    }
}

/// Opens a backup.
pub async fn open_backup(spec: &BackupSpec) -> Result<Arc<dyn Source>> {
    if let Some(url) = spec.server() {
        let server = registry::open_backup(url, spec.parallelism.max(1)).await?;
        return Ok(Arc::new(Database::new(server)));
    }
    let Place { spec, private } = place::arrive(spec, Purpose::Read).await?;
    let opened = async { open(find(&spec).await?, &spec).await }.await;
    match private {
        None => opened,
        Some(private) => {
            let source = opened.map_err(|e| private.error(e))?;
            Ok(Arc::new(Kept::new(source, private)))
        }
    }
}

/// Says what a backup that is not packed is, without opening it; see [`recognise`].
pub async fn find(spec: &BackupSpec) -> Result<Found> {
    let own = spec.clone();
    let found = blocking(&spec.path, move || recognise(&own)).await?;
    for why in &found.why {
        tracing::info!(path = %shown(&spec.path), %why, "the backup is recognised");
    }
    Ok(found)
}

/// Opens what was found.
pub async fn open(found: Found, spec: &BackupSpec) -> Result<Arc<dyn Source>> {
    let limits = spec.limits();
    match found.layout {
        Layout::Sqlite(path) => sqlite::open(&path, spec.parallelism.max(1)).await,
        Layout::Snapshot(snapshot) => Ok(Arc::new(snapshot.source(limits, found.warnings)?)),
        Layout::Dump(path, kind) => {
            let wanted = match spec.tables.as_slice() {
                [] => Wanted::All,
                named => Wanted::Named(named.to_vec()),
            };
            let dump = open_dump(path, kind, spec, wanted).await?;
            let origin = Origin {
                location: shown(dump.path()),
                kind: kind.words().into(),
                taken_at: dump.taken_at().map(|t| t.to_rfc3339()),
                warnings: found.warnings.into_iter().chain(dump.notes().iter().cloned()).collect(),
                ..Origin::default()
            };
            let dump = Arc::new(dump);
            let tables = dump.tables().iter().map(|table| TableFile {
                name: table.name.clone(),
                path: dump.path().to_owned(),
                folder: None,
                content: Content::Dump(Arc::clone(&dump)),
            });
            Ok(Arc::new(Files::new(origin, tables.collect(), None, limits)))
        }
        Layout::Tables { kind, location, taken_at, tables } => {
            let path = location.clone();
            let files = table_files(&location, tables, spec.mirror.as_deref());
            let mut warnings = found.warnings;
            let (files, more) = blocking(&path, move || {
                let more = files.iter().flat_map(|f| files::warnings(f, limits)).collect();
                Ok::<(Vec<TableFile>, Vec<String>), Error>((files, more))
            })
            .await?;
            warnings.extend(more);
            let origin = Origin {
                location: shown(&location),
                kind: kind.into(),
                taken_at: taken_at.map(|t| t.to_rfc3339()),
                warnings,
                ..Origin::default()
            };
            Ok(Arc::new(Files::new(origin, files, None, limits)))
        }
    }
}

/// Opens a dump on a reading thread.
pub(crate) async fn open_dump(
    path: PathBuf,
    kind: DumpKind,
    spec: &BackupSpec,
    wanted: Wanted,
) -> Result<Dump> {
    let (shown, database, cache) = (path.clone(), spec.database.clone(), spec.cache.clone());
    let dump = DumpSpec { path, kind, limits: spec.limits(), database, cache };
    blocking(&shown, move || Dump::open(dump, &wanted)).await
}

/// The tables' files. No link may lead out of `location` when that is a folder.
pub(crate) fn table_files(
    location: &Path,
    tables: Vec<Candidate>,
    mirror: Option<&Mirror>,
) -> Vec<TableFile> {
    let folder = location.is_dir().then(|| location.to_owned());
    let object = |path: &PathBuf| mirror.and_then(|mirror| mirror.objects.get(path).cloned());
    tables
        .into_iter()
        .map(|table| TableFile {
            name: table.table,
            path: table.path,
            folder: folder.clone(),
            content: match table.named {
                Named::Parquet => {
                    let part = |part: Part| Part { remote: object(&part.path), ..part };
                    Content::Parquet(table.parts.into_iter().map(part).collect())
                }
                Named::Bson => Content::Text(TextFormat::Bson),
                Named::JsonLines => Content::Text(TextFormat::Json { own: false }),
                Named::Csv => Content::Text(TextFormat::Csv { delimiter: None }),
            },
        })
        .collect()
}

/// Says what a path is: the one layout whose signs it bears. Blocks.
pub fn recognise(spec: &BackupSpec) -> Result<Found> {
    let path = &spec.path;
    let metadata = fs::metadata(path).map_err(|e| {
        unreadable(path, e).hint("give --backup the path of a file or folder that exists")
    })?;
    if !metadata.is_dir() {
        regular(path, None)?;
        if path.ends_with(MANIFEST) {
            let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
            return recognise(&BackupSpec { path: folder, ..spec.clone() });
        }
        if let Some(pick) = spec.pick {
            return Err(Error::usage(format!(
                "{} is one file; {pick} picks from a folder of backups",
                path.display()
            )));
        }
        return one::file(path, metadata.len(), spec.limits());
    }
    let mut answers = answer::answers(path, spec.limits())?;
    match answers.len() {
        0 => Err(unknown(path)),
        1 => answers.remove(0).choose(spec),
        _ => {
            let (a, b) = (answers[0].sign(path), answers[1].sign(path));
            Err(Error::usage(format!("the folder {} is {a}, and it is {b}", path.display()))
                .hint("give the path of the one that is meant"))
        }
    }
}

/// The error for a folder of no kind.
fn unknown(path: &Path) -> Error {
    let shown = path.display();
    let error = Error::failed(format!("the folder {shown} holds no backup that restorekit knows"));
    let within = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let here = within(path);
    let below = here.iter().filter(|entry| entry.is_dir()).flat_map(|folder| within(folder));
    if here.iter().cloned().chain(below).any(|file| file_name(&file).ends_with(".age")) {
        return error
            .hint("files that are encrypted one by one are no folder of a backup; decrypt them into one, in memory or on an encrypted disk:")
            .hint(format!("mkdir plain; for f in {shown}/*.age; do age -d -i KEY -o plain/\"$(basename \"$f\" .age)\" \"$f\"; done"))
            .hint("next time encrypt the folder as one, which is read as it is: tar -c FOLDER | age -r RECIPIENT > FOLDER.tar.age");
    }
    error.hint("it reads its own snapshots, SQLite files, SQL dumps, <table>.parquet, .bson, .jsonl, .json and .csv")
}

/// A database's name without the usual extensions of its file.
fn stem(name: &str) -> &str {
    [".sqlite3", ".sqlite", ".db3", ".db"]
        .into_iter()
        .find_map(|extension| name.strip_suffix(extension))
        .unwrap_or(name)
}

/// The SQLite files right in a folder. The companions of a database (`-wal`, `-shm`) are
/// not opened: closing the second would drop SQLite's locks on it.
fn sqlite_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let entry = entry.map_err(|e| unreadable(folder, e))?;
        let path = entry.path();
        let name = file_name(&path);
        let companion = ["-wal", "-shm", "-journal"].into_iter().any(|end| name.ends_with(end));
        if !companion
            && entry.file_type().is_ok_and(|t| t.is_file())
            && head(&path).is_ok_and(|head| head.starts_with(sqlite::MAGIC))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn head(path: &Path) -> Result<Vec<u8>> {
    registry::first_bytes(path, 512).map_err(|e| unreadable(path, e))
}
