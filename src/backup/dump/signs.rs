//! The signs by which a dump is known.

use std::io::Read;
use std::path::Path;

use crate::backup::dump::archive::{MAGIC, TOC};
use crate::backup::dump::{diffable, mydumper, mysqlshell, tab};
use crate::backup::text::Limits;
use crate::backup::text::decompress::TextReader;
use crate::error::{Error, Result};
use crate::registry::first_bytes;

/// The kinds of dumps that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpKind {
    /// sqlite3's `.dump`.
    Sqlite,
    /// mysqldump, mariadb-dump.
    Mysql,
    /// pg_dump, pg_dumpall: a plain script.
    Postgres,
    /// pg_dump: custom, directory or tar.
    PostgresArchive,
    /// mysqldump --tab.
    MysqlTab,
    /// mydumper's folder.
    Mydumper,
    /// MySQL Shell's folder.
    MysqlShell,
    /// DuckDB's EXPORT DATABASE, with CSV files.
    Duckdb,
    /// sqlite-diffable's folder.
    Diffable,
}

impl DumpKind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            DumpKind::Sqlite => "SQLite dump",
            DumpKind::Mysql => "MySQL dump",
            DumpKind::Postgres => "PostgreSQL dump",
            DumpKind::PostgresArchive => "PostgreSQL archive",
            DumpKind::MysqlTab => "MySQL dump in tab-separated files",
            DumpKind::Mydumper => "MySQL dump in mydumper's files",
            DumpKind::MysqlShell => "MySQL dump in MySQL Shell's files",
            DumpKind::Duckdb => "DuckDB export",
            DumpKind::Diffable => "SQLite dump in sqlite-diffable's files",
        }
    }

    /// True when its tables are known, and read one by one, without reading all of it.
    pub fn is_indexed(self) -> bool {
        matches!(
            self,
            DumpKind::PostgresArchive
                | DumpKind::Mydumper
                | DumpKind::MysqlShell
                | DumpKind::Duckdb
                | DumpKind::Diffable
        )
    }

    /// True for a file right in its folder that is part of the dump, and no table by itself.
    pub fn owns(self, name: &str) -> bool {
        match self {
            DumpKind::MysqlShell => name.contains('@') || name.ends_with(".json"),
            DumpKind::Diffable => diffable::owns(name),
            DumpKind::Mydumper => name.matches('.').count() > 1,
            _ => false,
        }
    }
}

/// What a folder is, with the sign that was seen; `None` when it is no dump.
pub fn of_folder(folder: &Path, limits: Limits) -> Option<(DumpKind, &'static str)> {
    let toc = folder.join(TOC);
    let begins = |start: Vec<u8>| start.starts_with(MAGIC);
    if toc.is_file() && first_bytes(&toc, 5).is_ok_and(begins) {
        return Some((DumpKind::PostgresArchive, "the table of contents of pg_dump (toc.dat)"));
    }
    if folder.join(mysqlshell::HEAD).is_file() {
        return Some((DumpKind::MysqlShell, "the head of MySQL Shell's dumps (@.json)"));
    }
    if mydumper::is_one(folder) {
        return Some((DumpKind::Mydumper, "mydumper's metadata and definitions (*-schema.sql)"));
    }
    if diffable::is_one(folder) {
        return Some((DumpKind::Diffable, "pairs of T.metadata.json and T.ndjson"));
    }
    tab::is_one(folder, limits)
        .then_some((DumpKind::MysqlTab, "pairs of T.sql with \"MySQL dump\" and T.txt"))
}

/// True when a script of MySQL's begins so.
pub(super) fn is_mysql(head: &[u8]) -> bool {
    line(head, "-- MySQL dump") || line(head, "-- MariaDB dump")
}

/// True when a line begins so.
fn line(head: &[u8], text: &str) -> bool {
    let line = [b"\n", text.as_bytes()].concat();
    head.starts_with(text.as_bytes()) || memchr::memmem::find(head, &line).is_some()
}

/// How much of a file is looked at.
const HEAD: u64 = 4096;

/// What a file is, with the sign that was seen; `None` when it is no dump. Looks into what
/// is compressed.
pub fn of_file(path: &Path, limits: Limits) -> Result<Option<(DumpKind, &'static str)>> {
    let mut head = Vec::new();
    let reader = TextReader::open(path, None, limits)?;
    reader.take(HEAD).read_to_end(&mut head).map_err(TextReader::error)?;
    let mut signs = signs(&head);
    match (signs.pop(), signs.pop()) {
        (Some((_, a)), Some((_, b))) => {
            Err(Error::usage(format!("{} is a file with {b}, and with {a}", path.display()))
                .hint("give the path of one dump"))
        }
        (one, _) => Ok(one),
    }
}

/// The signs that stand in a file's first bytes.
fn signs(head: &[u8]) -> Vec<(DumpKind, &'static str)> {
    let mut found = Vec::new();
    if line(head, "-- PostgreSQL database dump")
        || line(head, "-- PostgreSQL database cluster dump")
    {
        found.push((DumpKind::Postgres, "the words \"PostgreSQL database dump\" at its head"));
    }
    if is_mysql(head) {
        found.push((DumpKind::Mysql, "the words \"MySQL dump\" at its head"));
    }
    if head.starts_with(MAGIC) {
        found.push((DumpKind::PostgresArchive, "\"PGDMP\" at its head"));
    }
    if head.starts_with(b"toc.dat\0") && head.get(257..262) == Some(b"ustar") {
        found.push((DumpKind::PostgresArchive, "the tar that pg_dump makes (toc.dat first)"));
    }
    if head.starts_with(b"PRAGMA foreign_keys=OFF;") {
        found.push((DumpKind::Sqlite, "the first line of a .dump of sqlite3's shell"));
    }
    found
}
