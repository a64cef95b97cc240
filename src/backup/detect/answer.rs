//! What a folder is as a backup: the layouts whose signs it bears, and which of several
//! backups in it is meant.

use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};

use crate::backup::detect::spec::{BackupSpec, Pick};
use crate::backup::detect::{Found, Layout, clock, export, mongo, ours, sqlite_files, stem};
use crate::backup::dump::duckdb::{self, Export};
use crate::backup::dump::signs::{self, DumpKind};
use crate::backup::file::file_name;
use crate::backup::folder::{self, Candidate, Loose, Take};
use crate::backup::manifest::MANIFEST;
use crate::backup::mongodump::Collections;
use crate::backup::snapshot;
use crate::backup::text::Limits;
use crate::backup::{hive, rds};
use crate::error::{Error, Result};

/// A layout that a folder has the signs of.
pub(super) enum Answer {
    Ours,
    Snapshots(Vec<PathBuf>),
    Sqlite(Vec<PathBuf>),
    Take(Take),
    Formats(Vec<PathBuf>),
    Database(Vec<Take>),
    Databases(Vec<(PathBuf, Vec<Take>)>),
    Loose(Loose),
    Dump(DumpKind, &'static str),
    Parts(Candidate),
    Rds,
    Export(Export),
    Mongodump(Vec<(String, PathBuf)>),
    Collections(Collections),
}

pub(super) fn answers(path: &Path, limits: Limits) -> Result<Vec<Answer>> {
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
    if !ours && rds::is_one(path)? {
        // Its notes are JSON, and no tables.
        return Ok(vec![Answer::Rds]);
    }
    let export = duckdb::find(path, limits)?;
    if !ours
        && export.is_none()
        && let Some(table) = hive::table(path)?
    {
        answers.push(Answer::Parts(table));
        return Ok(answers);
    }
    let dump = signs::of_folder(path, limits);
    let mut loose = folder::loose(&[path])?;
    if let Some((kind, sign)) = dump {
        loose.tables.retain(|table| !kind.owns(&file_name(&table.path)));
        answers.push(Answer::Dump(kind, sign));
    }
    if let Some(export) = export {
        loose.tables.retain(|table| export.tables.iter().all(|(_, file)| *file != table.path));
        answers.push(Answer::Export(export));
    }
    answers.extend(mongo::answer(path, &mut loose, limits)?);
    if !loose.tables.is_empty() {
        answers.push(Answer::Loose(loose));
    }
    Ok(answers)
}

impl Answer {
    /// The sign that was seen, after "it is".
    pub(super) fn sign(&self, path: &Path) -> String {
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
            Answer::Parts(table) => format!(
                "a table of Parquet files ({} is one of {})",
                table.parts.first().map(|part| within(&part.path)).unwrap_or_default(),
                table.parts.len()
            ),
            Answer::Mongodump(databases) => {
                format!("a dump of mongodump's ({}/ holds BSON)", databases[0].0)
            }
            Answer::Collections(found) => {
                let table = found.loose.tables.first().map(|table| within(&table.path));
                format!("a {} ({} is there)", mongo::KIND, table.unwrap_or_default())
            }
            Answer::Rds => "an export of RDS (export_info_*.json is there)".to_owned(),
            Answer::Export(_) => {
                let [schema, load] = duckdb::SCRIPTS;
                format!("a {} ({schema} and {load} are there)", DumpKind::Duckdb.words())
            }
            Answer::Loose(loose) => {
                format!("a folder of table files ({} is there)", within(&loose.tables[0].path))
            }
        }
    }

    pub(super) fn choose(self, spec: &BackupSpec) -> Result<Found> {
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
            Answer::Ours => Ok(ours::one(spec, snapshot::read(&spec.path)?, why)),
            Answer::Snapshots(folders) => ours::snapshots(spec, folders, why),
            Answer::Sqlite(files) => {
                let names: Vec<(String, PathBuf)> =
                    files.into_iter().map(|path| (file_name(&path), path)).collect();
                let mut warnings = Vec::new();
                let path = pick(spec, names, "SQLite files", &mut warnings)?;
                Ok(Found { layout: Layout::Sqlite(path), why, warnings, older: Vec::new() })
            }
            Answer::Take(take) => taken(take, why),
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
            Answer::Mongodump(databases) => mongo::database(spec, databases, why),
            Answer::Collections(found) => {
                mongo::collections(found, spec.path.clone(), why, Vec::new())
            }
            Answer::Parts(table) => {
                let loose = Loose { tables: vec![table], ..Loose::default() };
                tables(loose, PARTS, spec.path.clone(), None, why)
            }
            Answer::Rds => {
                let export = rds::export(&spec.path)?;
                let mut warnings = Vec::new();
                let database = pick(spec, export.databases, "databases", &mut warnings)?;
                warnings.extend(database.warnings);
                let loose = Loose { tables: database.tables, ..Loose::default() };
                let found = tables(loose, RDS, spec.path.clone(), export.taken_at, why)?;
                Ok(Found { warnings, ..found })
            }
            Answer::Export(export) => export::found(export, &spec.path, why),
            Answer::Loose(loose) => tables(loose, LOOSE, spec.path.clone(), None, why),
        }
    }
}

const TAKE: &str = "dated folder of tables";
const LOOSE: &str = "folder of tables";
const PARTS: &str = "table of Parquet files";
const RDS: &str = "RDS export";

/// The newest take of a database, or the one that is picked.
fn dated(
    spec: &BackupSpec,
    takes: Vec<Take>,
    why: Vec<String>,
    warnings: Vec<String>,
) -> Result<Found> {
    let (take, older) = picked(spec, takes, |t| (t.taken_at, &t.folder))?;
    let mut found = taken(take, why)?;
    found.warnings.splice(0..0, warnings);
    found.older = older;
    Ok(found)
}

/// A dated take of a database.
fn taken(take: Take, why: Vec<String>) -> Result<Found> {
    let loose = take.tables()?;
    let doubt = clock::older(&take, &loose);
    let mut found = tables(loose, TAKE, take.folder, Some(take.taken_at), why)?;
    found.warnings.extend(doubt);
    Ok(found)
}

/// The one that is picked of several, the newest first, and the folders of the older ones.
pub(super) fn picked<T>(
    spec: &BackupSpec,
    mut all: Vec<T>,
    of: impl Fn(&T) -> (DateTime<FixedOffset>, &PathBuf),
) -> Result<(T, Vec<PathBuf>)> {
    let path = spec.path.display();
    let taken = |one: &T| of(one).0;
    let index = index(spec.pick, all.iter().map(taken)).ok_or_else(|| match spec.pick {
        Some(Pick::AsOf(moment)) => {
            let oldest = all.last().map_or_else(String::new, |one| taken(one).to_rfc3339());
            let moment = moment.to_rfc3339();
            Error::usage(format!("{path} holds no backup as old as {moment}"))
                .hint(format!("the oldest was taken at {oldest}"))
        }
        pick => {
            let (n, pick) = (all.len(), pick.unwrap_or(Pick::Back(0)));
            Error::usage(format!("{path} holds {n} backups; {pick} is too far back"))
        }
    })?;
    let older = all[index + 1..].iter().map(|one| of(one).1.clone()).collect();
    Ok((all.swap_remove(index), older))
}

/// Which of backups that were taken at these moments, the newest first, is picked.
pub(super) fn index(
    pick: Option<Pick>,
    mut taken: impl ExactSizeIterator<Item = DateTime<FixedOffset>>,
) -> Option<usize> {
    match pick.unwrap_or(Pick::Back(0)) {
        Pick::Back(back) => (back < taken.len()).then_some(back),
        Pick::AsOf(moment) => taken.position(|taken| taken <= moment),
    }
}

pub(super) fn tables(
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
    let shown = |(path, why): &(PathBuf, String)| {
        format!("{} is not read: {why}", path.strip_prefix(&location).unwrap_or(path).display())
    };
    let warnings = loose.passed_over.iter().map(shown).collect();
    let layout = Layout::Tables { kind, location, taken_at, tables: loose.tables };
    Ok(Found { layout, why, warnings, older: Vec::new() })
}

/// Picks the one called like the live database, or the only one.
pub(super) fn pick<T>(
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
    let Some(first) = names.first() else {
        return Err(Error::damaged(format!("{path} holds none of its {what}"))
            .hint("copy the whole folder again"));
    };
    let none = wanted.map(|wanted| format!(", none of them called {wanted}")).unwrap_or_default();
    let error =
        Error::usage(format!("{path} holds {} {what}{none}: {}", names.len(), names.join(", ")));
    Err(error.hint(format!("give the path of one, such as {path}/{first}")))
}
