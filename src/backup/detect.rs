//! What a path is as a backup, and by which signs; opening it.
//!
//! ```text
//! restorekit.json                                 a snapshot of ours
//! folders with restorekit.json below              snapshots of ours: the newest, or picked
//! "SQLite format 3\0" at the start                a SQLite file
//! a dump's head, PGDMP, toc.dat, @.json, metadata  an SQL dump (`dump::signs`)
//! <timestamp>/{parquet,json}/ (below a database)  dated takes: the newest, or picked
//! <table>.parquet, .jsonl, .json, .csv            loose files
//! ```
//!
//! Two answers are an error that names both: a guess here would restore the wrong rows.

mod one;
mod spec;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use crate::backup::database::Database;
use crate::backup::dump::signs::{self, DumpKind};
use crate::backup::dump::{Dump, DumpSpec, Wanted};
use crate::backup::file::{regular, unreadable};
use crate::backup::files::{self, Content, Files, TableFile, shown};
use crate::backup::folder::{self, Candidate, Loose, Named, Take};
use crate::backup::guard::blocking;
use crate::backup::manifest::MANIFEST;
use crate::backup::place::{self, Kept, Mirror, Place, Purpose};
use crate::backup::snapshot::{self, Snapshot};
use crate::backup::sqlite;
use crate::backup::text::{Limits, TextFormat};
use crate::error::{Error, Result};
use crate::model::origin::Origin;
use crate::model::table::TableName;
use crate::registry;
use crate::source::Source;

pub use crate::backup::detect::spec::{BackupSpec, Pick};

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
            };
            let dump = Arc::new(dump);
            let tables = dump.tables().iter().map(|table| TableFile {
                name: table.name.clone(),
                path: dump.path().to_owned(),
                folder: None,
                remote: None,
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
    let (limits, database) = (spec.limits(), spec.database.clone());
    let shown = path.clone();
    blocking(&shown, move || Dump::open(DumpSpec { path, kind, limits, database }, &wanted)).await
}

/// The tables' files. No link may lead out of `location` when that is a folder.
pub(crate) fn table_files(
    location: &Path,
    tables: Vec<Candidate>,
    mirror: Option<&Mirror>,
) -> Vec<TableFile> {
    let folder = location.is_dir().then(|| location.to_owned());
    tables
        .into_iter()
        .map(|table| TableFile {
            name: TableName::bare(table.table),
            remote: mirror.and_then(|mirror| mirror.objects.get(&table.path).cloned()),
            path: table.path,
            folder: folder.clone(),
            content: match table.named {
                Named::Parquet => Content::Parquet,
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
    let mut answers = answers(path, spec.limits())?;
    match answers.len() {
        0 => Err(Error::failed(format!(
            "the folder {} holds no backup that restorekit knows",
            path.display()
        ))
        .hint("it reads its own snapshots, SQLite files, SQL dumps, <table>.parquet, .jsonl, .json and .csv")),
        1 => answers.remove(0).choose(spec),
        _ => {
            let (a, b) = (answers[0].sign(path), answers[1].sign(path));
            Err(Error::usage(format!("the folder {} is {a}, and it is {b}", path.display()))
                .hint("give the path of the one that is meant"))
        }
    }
}

/// A layout that a folder has the signs of.
enum Answer {
    Ours,
    Snapshots(Vec<PathBuf>),
    Sqlite(Vec<PathBuf>),
    Take(Take),
    Formats(Vec<PathBuf>),
    Database(Vec<Take>),
    Databases(Vec<(PathBuf, Vec<Take>)>),
    Loose(Loose),
    Dump(DumpKind, &'static str),
}

fn answers(path: &Path, limits: Limits) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    let ours = snapshot::is_snapshot(path);
    if ours {
        answers.push(Answer::Ours);
    } else {
        let snapshots = snapshot::folders(path)?;
        if !snapshots.is_empty() {
            answers.push(Answer::Snapshots(snapshots));
        }
    }
    let sqlite = sqlite_files(path)?;
    if !sqlite.is_empty() {
        answers.push(Answer::Sqlite(sqlite));
    }
    if !ours {
        let formats = folder::formats(path);
        if let Some(take) = folder::take(path) {
            answers.push(Answer::Take(take));
        } else if !formats.is_empty() {
            let named: Vec<&Path> = formats.iter().map(PathBuf::as_path).collect();
            if !folder::loose(&named)?.tables.is_empty() {
                answers.push(Answer::Formats(formats));
            }
        }
        let takes = folder::takes(path)?;
        if !takes.is_empty() {
            answers.push(Answer::Database(takes));
        }
        let databases = folder::databases(path)?;
        if !databases.is_empty() {
            answers.push(Answer::Databases(databases));
        }
    }
    let dump = signs::of_folder(path, limits);
    let mut loose = folder::loose(&[path])?;
    if let Some((kind, sign)) = dump {
        loose.tables.retain(|table| !kind.owns(&file_name(&table.path)));
        answers.push(Answer::Dump(kind, sign));
    }
    if !loose.tables.is_empty() {
        answers.push(Answer::Loose(loose));
    }
    Ok(answers)
}

impl Answer {
    /// The sign that was seen, after "it is".
    fn sign(&self, path: &Path) -> String {
        let within = |inner: &Path| inner.strip_prefix(path).unwrap_or(inner).display().to_string();
        match self {
            Answer::Ours => format!("a restorekit snapshot ({MANIFEST} is there)"),
            Answer::Snapshots(folders) => {
                format!(
                    "a folder of restorekit snapshots ({} has a {MANIFEST})",
                    within(&folders[0])
                )
            }
            Answer::Sqlite(files) => {
                format!("a folder of SQLite files ({} begins like one)", within(&files[0]))
            }
            Answer::Take(take) => format!(
                "a dated take of a database (its name is a time, {})",
                take.taken_at.format("%F %T")
            ),
            Answer::Formats(formats) => {
                format!("a folder of tables by format ({}/ is there)", within(&formats[0]))
            }
            Answer::Database(takes) => format!(
                "a database's folder of dated takes ({} has a format folder)",
                within(&takes[0].folder)
            ),
            Answer::Databases(databases) => format!(
                "a root of databases with dated takes ({} is one)",
                within(&databases[0].1[0].folder)
            ),
            Answer::Dump(kind, sign) => format!("a {} (it has {sign})", kind.words()),
            Answer::Loose(loose) => {
                format!("a folder of table files ({} is there)", within(&loose.tables[0].path))
            }
        }
    }

    fn choose(self, spec: &BackupSpec) -> Result<Found> {
        let why = vec![format!("it is {}", self.sign(&spec.path))];
        let many =
            matches!(self, Answer::Snapshots(_) | Answer::Database(_) | Answer::Databases(_));
        if let Some(pick) = spec.pick.filter(|_| !many) {
            return Err(Error::usage(format!(
                "{} is one backup; {pick} picks from a folder of backups",
                spec.path.display()
            )));
        }
        match self {
            Answer::Ours => {
                let layout = Layout::Snapshot(Box::new(snapshot::read(&spec.path)?));
                Ok(Found { layout, why, warnings: Vec::new(), older: Vec::new() })
            }
            Answer::Snapshots(folders) => snapshots(spec, folders, why),
            Answer::Sqlite(files) => {
                let names: Vec<(String, PathBuf)> =
                    files.into_iter().map(|path| (file_name(&path), path)).collect();
                let mut warnings = Vec::new();
                let path = pick(spec, names, "SQLite files", &mut warnings)?;
                Ok(Found { layout: Layout::Sqlite(path), why, warnings, older: Vec::new() })
            }
            Answer::Take(take) => {
                tables(take.tables()?, TAKE, take.folder, Some(take.taken_at), why)
            }
            Answer::Formats(formats) => {
                let named: Vec<&Path> = formats.iter().map(PathBuf::as_path).collect();
                tables(folder::loose(&named)?, LOOSE, spec.path.clone(), None, why)
            }
            Answer::Database(takes) => dated(spec, takes, why, Vec::new()),
            Answer::Databases(databases) => {
                let names = databases
                    .into_iter()
                    .map(|(folder, takes)| (file_name(&folder), takes))
                    .collect();
                let mut warnings = Vec::new();
                let takes = pick(spec, names, "databases", &mut warnings)?;
                dated(spec, takes, why, warnings)
            }
            Answer::Dump(kind, _) => {
                let layout = Layout::Dump(spec.path.clone(), kind);
                Ok(Found { layout, why, warnings: Vec::new(), older: Vec::new() })
            }
            Answer::Loose(loose) => tables(loose, LOOSE, spec.path.clone(), None, why),
        }
    }
}

const TAKE: &str = "dated folder of tables";
const LOOSE: &str = "folder of tables";

/// The newest of our snapshots of one database, or the one that is picked.
fn snapshots(spec: &BackupSpec, folders: Vec<PathBuf>, why: Vec<String>) -> Result<Found> {
    let mut warnings = Vec::new();
    let mut databases: Vec<(String, Vec<Snapshot>)> = Vec::new();
    let mut failure = None;
    for folder in folders {
        match snapshot::read(&folder) {
            Ok(read) => {
                let name = &read.manifest.database;
                match databases.iter_mut().find(|(known, _)| known == name) {
                    Some((_, snapshots)) => snapshots.push(read),
                    None => databases.push((name.clone(), vec![read])),
                }
            }
            Err(e) => {
                warnings.push(format!("{} is passed over: {e}", folder.display()));
                failure = Some(e);
            }
        }
    }
    if let (true, Some(e)) = (databases.is_empty(), failure) {
        return Err(e);
    }
    databases.sort_by(|a, b| a.0.cmp(&b.0));
    let mut snapshots = pick(spec, databases, "databases", &mut warnings)?;
    snapshots.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.folder.cmp(&a.folder)));
    let (chosen, older) = picked(spec, snapshots, |s| (s.taken_at, &s.folder))?;
    Ok(Found { layout: Layout::Snapshot(Box::new(chosen)), why, warnings, older })
}

/// The newest take of a database, or the one that is picked.
fn dated(
    spec: &BackupSpec,
    takes: Vec<Take>,
    why: Vec<String>,
    warnings: Vec<String>,
) -> Result<Found> {
    let (take, older) = picked(spec, takes, |t| (t.taken_at, &t.folder))?;
    let mut found = tables(take.tables()?, TAKE, take.folder, Some(take.taken_at), why)?;
    found.warnings.splice(0..0, warnings);
    found.older = older;
    Ok(found)
}

/// The one that is picked of several, the newest first, and the folders of the older ones.
fn picked<T>(
    spec: &BackupSpec,
    mut all: Vec<T>,
    of: impl Fn(&T) -> (DateTime<FixedOffset>, &PathBuf),
) -> Result<(T, Vec<PathBuf>)> {
    let path = spec.path.display();
    let index = match spec.pick {
        None => 0,
        Some(Pick::Back(back)) if back < all.len() => back,
        Some(pick @ Pick::Back(_)) => {
            let n = all.len();
            return Err(Error::usage(format!("{path} holds {n} backups; {pick} is too far back")));
        }
        Some(Pick::AsOf(moment)) => {
            let taken = |one: &T| of(one).0;
            all.iter().position(|one| taken(one) <= moment).ok_or_else(|| {
                let oldest = all.last().map_or_else(String::new, |one| taken(one).to_rfc3339());
                let moment = moment.to_rfc3339();
                Error::usage(format!("{path} holds no backup as old as {moment}"))
                    .hint(format!("the oldest was taken at {oldest}"))
            })?
        }
    };
    let older = all[index + 1..].iter().map(|one| of(one).1.clone()).collect();
    Ok((all.swap_remove(index), older))
}

fn tables(
    loose: Loose,
    kind: &'static str,
    location: PathBuf,
    taken_at: Option<DateTime<FixedOffset>>,
    why: Vec<String>,
) -> Result<Found> {
    if loose.tables.is_empty() {
        return Err(Error::damaged(format!("{} holds no table", location.display()))
            .hint("if it was being written, use the one before it: @latest~1"));
    }
    let warnings = loose
        .passed_over
        .iter()
        .map(|path| {
            let name = path.strip_prefix(&location).unwrap_or(path).display();
            format!("{name} is not read: another file holds the same table")
        })
        .collect();
    let layout = Layout::Tables { kind, location, taken_at, tables: loose.tables };
    Ok(Found { layout, why, warnings, older: Vec::new() })
}

/// Picks the one called like the live database, or the only one.
fn pick<T>(
    spec: &BackupSpec,
    mut named: Vec<(String, T)>,
    what: &str,
    warnings: &mut Vec<String>,
) -> Result<T> {
    let wanted = spec.database.as_deref();
    if let Some(wanted) = wanted
        && let Some(at) = named
            .iter()
            .position(|(name, _)| name == wanted)
            .or_else(|| named.iter().position(|(name, _)| stem(name) == stem(wanted)))
    {
        return Ok(named.swap_remove(at).1);
    }
    if named.len() == 1 {
        let (name, only) = named.swap_remove(0);
        if let Some(wanted) = wanted {
            warnings.push(format!("the backup is of {name}, live is called {wanted}"));
        }
        return Ok(only);
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    let path = spec.path.display();
    let none = wanted.map(|wanted| format!(", none of them called {wanted}")).unwrap_or_default();
    let error =
        Error::usage(format!("{path} holds {} {what}{none}: {}", names.len(), names.join(", ")));
    Err(error.hint(format!("give the path of one, such as {path}/{}", names[0])))
}

/// A database's name without the usual extensions of its file.
fn stem(name: &str) -> &str {
    [".sqlite3", ".sqlite", ".db3", ".db"]
        .into_iter()
        .find_map(|extension| name.strip_suffix(extension))
        .unwrap_or(name)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
