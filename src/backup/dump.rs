//! SQL dumps as backups, read where they lie.
//!
//! A dump is a program for its server's client. Here it is text: statements are cut out, tables
//! and their columns are read from `CREATE TABLE`, rows from `COPY` and `INSERT`, and nothing
//! is run. What would change rows in another way than by adding them is refused. The rows of wanted
//! tables are staged like those of other text formats ([`crate::backup::text`]), in one
//! pass over the dump, their cells tagged by what the columns' types say.
//!
//! Each reader demands its format's end mark: a dump that was cut off must not look like
//! one whose rows were deleted.

mod archive;
pub mod cache;
mod charset;
mod copy;
mod ddl;
mod diffable;
pub mod duckdb;
mod folder;
mod kind;
mod lex;
mod literal;
mod load;
mod mydumper;
mod mysql;
mod mysqlshell;
mod name;
mod outfile;
mod postgres;
mod script;
pub mod signs;
mod sqlite;
mod tab;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, FixedOffset, Local, NaiveDateTime, TimeZone};

use crate::backup::dump::cache::{Cache, Key};
use crate::backup::dump::tables::{Found, Name, Tables};
use crate::backup::file::unreadable;
use crate::backup::text::decompress::TextReader;
use crate::backup::text::{Limits, Staged};
use crate::error::{Error, Result};
use crate::model::table::{Column, TableName};

pub use crate::backup::dump::signs::DumpKind;
pub use crate::backup::dump::tables::Wanted;

/// A dump as it is named.
#[derive(Clone, Debug)]
pub struct DumpSpec {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub kind: DumpKind,
    /// How far it may expand.
    pub limits: Limits,
    /// The live database's name, which picks one of several databases.
    pub database: Option<String>,
    /// Where what is read of it is kept for the next time.
    pub cache: Option<Cache>,
}

/// An open dump: the list of its tables, and the rows of those that were wanted.
#[derive(Debug)]
pub struct Dump {
    spec: DumpSpec,
    /// The tables, sorted by name.
    tables: Vec<DumpTable>,
    /// When it was taken, where it says so.
    taken_at: Option<DateTime<FixedOffset>>,
    notes: Vec<String>,
    staged: Mutex<BTreeMap<TableName, Staged>>,
}

/// A table of a dump.
#[derive(Clone, Debug)]
pub struct DumpTable {
    /// Its name as a side has it: without the server's default schema, and without the
    /// database that is mounted.
    pub name: TableName,
    /// Its name without any qualifier.
    own: String,
    /// The columns whose values are in the dump.
    pub columns: Vec<Column>,
    /// The number of its rows, where it is known.
    pub rows: Option<u64>,
    /// The dump holds its rows, be it none of them.
    pub has_data: bool,
    /// What of its rows the dump was made without.
    pub left_out: Vec<String>,
}

/// What one pass over a dump gave.
struct Pass {
    found: Vec<Found>,
    notes: Vec<String>,
    taken_at: Option<DateTime<FixedOffset>>,
}

impl Dump {
    /// Opens a dump; blocks. A script is read to its end, and its `wanted` tables are staged
    /// on the way; of an archive only the contents are read.
    ///
    /// # Errors
    /// `Damaged` for a dump that is torn or unfinished; `Refused` for one that holds
    /// commands, or expands too far; `Failed` for what is not supported.
    pub fn open(spec: DumpSpec, wanted: &Wanted) -> Result<Self> {
        let indexed = spec.kind.is_indexed();
        let pass = spec.pass(if indexed { &Wanted::None } else { wanted })?;
        let database = mounted(&pass.found, spec.database.as_deref());
        let mut notes = pass.notes;
        let others: Vec<&str> = databases(&pass.found)
            .into_iter()
            .filter(|name| Some(*name) != database.as_deref())
            .collect();
        if let (Some(own), false) = (&database, others.is_empty()) {
            notes.push(format!(
                "the dump is of several databases: {own} is mounted, {} beside it with qualified names",
                others.join(", ")
            ));
        }
        let mut tables = Vec::new();
        let mut staged = BTreeMap::new();
        let names = spec.names(&pass.found, database.as_deref())?;
        for (name, found) in names.into_iter().zip(pass.found) {
            if found.has_data {
                let of = |rows: &String| format!("{name}: {rows} are not in the dump");
                notes.extend(found.left_out.iter().map(of));
            }
            if let Some(rows) = found.staged {
                staged.insert(name.clone(), rows);
            }
            tables.push(DumpTable {
                name,
                own: found.name.table,
                columns: found.columns,
                rows: (!indexed).then_some(found.rows),
                has_data: found.has_data,
                left_out: found.left_out,
            });
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { spec, tables, taken_at: pass.taken_at, notes, staged: Mutex::new(staged) })
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.spec.path
    }

    /// The tables, sorted by name.
    pub fn tables(&self) -> &[DumpTable] {
        &self.tables
    }

    /// True when a server of MySQL's or MariaDB's printed its values.
    pub fn is_mysql(&self) -> bool {
        use DumpKind::{Mydumper, Mysql, MysqlShell, MysqlTab};
        matches!(self.spec.kind, Mysql | MysqlTab | Mydumper | MysqlShell)
    }

    /// When it was taken, where it says so.
    pub fn taken_at(&self) -> Option<DateTime<FixedOffset>> {
        self.taken_at
    }

    /// What a person should know before relying on it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files whose bytes it is made of, in a fixed order.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        files(&self.spec.path)
    }

    /// The rows of a table, staged; those that were wanted at first without another pass.
    /// Blocks.
    pub(crate) fn staged(&self, name: &TableName) -> Result<Staged> {
        let Some(table) = self.tables.iter().find(|table| table.name == *name) else {
            return Err(Error::failed(format!(
                "the dump {} has no table {name}",
                self.spec.path.display()
            )));
        };
        if !table.has_data {
            return Err(Error::failed(format!(
                "the dump {} holds the definition of {name} and no rows of it: it was made \
                 without its data",
                self.spec.path.display()
            ))
            .hint("take a dump that has them; --table names the others"));
        }
        // Held during the pass, so that a table is staged once.
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = staged.remove(name) {
            return Ok(rows);
        }
        let pass = self.spec.pass(&Wanted::Named(vec![table.own.clone()]))?;
        let database = mounted(&pass.found, self.spec.database.as_deref());
        let names = self.spec.names(&pass.found, database.as_deref())?;
        for (name, found) in names.into_iter().zip(pass.found) {
            if let Some(mut rows) = found.staged {
                let new = pass.notes.iter().filter(|note| !self.notes.contains(note));
                rows.notes.extend(new.cloned());
                staged.entry(name).or_insert(rows);
            }
        }
        staged.remove(name).ok_or_else(|| {
            Error::damaged(format!("{} changed while it was read", self.spec.path.display()))
        })
    }
}

impl DumpSpec {
    /// The names of the tables on their side, in their order; no two are one.
    fn names(&self, found: &[Found], mounted: Option<&str>) -> Result<Vec<TableName>> {
        let schema = (self.kind == DumpKind::Postgres).then_some("public");
        let mut seen: BTreeMap<String, &Name> = BTreeMap::new();
        let mut names = Vec::new();
        for Found { name: own, .. } in found {
            let name = own.table_name(mounted, schema);
            if let Some(other) = seen.insert(name.to_string(), own) {
                return Err(Error::refused(format!(
                    "{} has two tables that are both called {name}: {} and {}",
                    self.path.display(),
                    other.words(),
                    own.words()
                ))
                .hint("take a dump of one of the databases alone"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// What the dump holds, with the rows of the wanted tables: as it was kept, else from the dump.
    fn pass(&self, wanted: &Wanted) -> Result<Pass> {
        let looks = *wanted == Wanted::None && self.kind.is_indexed();
        let Some(cache) = self.cache.as_ref().filter(|_| !looks) else { return self.read(wanted) };
        let key = || Key::of(self, &files(&self.path).ok()?);
        let Some(before) = key() else { return self.read(wanted) };
        if let Some(pass) = cache.find(&before, wanted) {
            return Ok(pass);
        }
        let began = SystemTime::now();
        let pass = self.read(wanted)?;
        if key().as_ref() == Some(&before) {
            cache.keep(&before, began, &self.path, &pass);
        }
        Ok(pass)
    }

    /// Reads the dump once.
    fn read(&self, wanted: &Wanted) -> Result<Pass> {
        let folder = tempfile::env::temp_dir();
        let mut tables = Tables::new(&folder, wanted);
        let file = self.path.display().to_string();
        let reader = || TextReader::open(&self.path, None, self.limits);
        let mut taken_at = None;
        let (dialect, always_data) = match self.kind {
            DumpKind::Sqlite => {
                sqlite::read(reader()?, file, &mut tables)?;
                (lex::Dialect::Sqlite, true)
            }
            DumpKind::Mysql => {
                let mut mysql = mysql::Mysql::default();
                mysql.read(reader()?, file, &mut tables)?;
                taken_at = mysql.completed().and_then(local_time);
                (mysql.session().dialect, false)
            }
            DumpKind::Postgres => {
                let mut postgres = postgres::Postgres::default();
                postgres.read(reader()?, file, &mut tables)?;
                (postgres.session.dialect, false)
            }
            DumpKind::MysqlTab => (tab::read(&self.path, self.limits, &mut tables)?.dialect, false),
            DumpKind::Mydumper => {
                let (session, begun) = mydumper::read(&self.path, self.limits, &mut tables)?;
                taken_at = begun.as_deref().and_then(local_time);
                (session.dialect, false)
            }
            DumpKind::MysqlShell => {
                let (session, begun) = mysqlshell::read(&self.path, self.limits, &mut tables)?;
                taken_at = begun.as_deref().and_then(local_time);
                (session.dialect, false)
            }
            DumpKind::Diffable => {
                (diffable::read(&self.path, self.limits, &mut tables)?.dialect, false)
            }
            DumpKind::Duckdb => {
                (duckdb::read(&self.path, self.limits, &mut tables)?.dialect, false)
            }
            DumpKind::PostgresArchive => {
                let mut archive = archive::Archive::new(&self.path, self.limits);
                taken_at = archive.read(&mut tables)?;
                (archive.postgres.session.dialect, false)
            }
        };
        let (mut found, notes) = tables.finish(dialect)?;
        found.iter_mut().for_each(|table| table.has_data |= always_data);
        Ok(Pass { found, notes, taken_at })
    }
}

/// The files that a dump is made of, sorted.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| unreadable(path, e))? {
        let entry = entry.map_err(|e| unreadable(path, e))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The databases that a dump names, sorted.
fn databases(found: &[Found]) -> Vec<&str> {
    let mut names: Vec<&str> = found.iter().filter_map(|f| f.name.database.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The database whose tables have bare names: the only one, or live's.
fn mounted(found: &[Found], live: Option<&str>) -> Option<String> {
    let names = databases(found);
    match names[..] {
        [only] => Some(only.to_owned()),
        _ => names.into_iter().find(|name| Some(*name) == live).map(str::to_owned),
    }
}

/// A time as the dumping host's clock had it, which is taken for this host's.
fn local_time(text: &str) -> Option<DateTime<FixedOffset>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let naive = NaiveDateTime::parse_from_str(&words.join(" "), "%Y-%m-%d %H:%M:%S").ok()?;
    Some(Local.from_local_datetime(&naive).earliest()?.fixed_offset())
}
