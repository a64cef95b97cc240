//! What `mysqldump --tab` writes: a folder with two files a table.
//!
//! ```text
//! T.sql    CREATE TABLE, ended by "-- Dump completed"
//! T.txt    a line a row: fields apart by a tab, \N for NULL; \ before a tab, a line feed, a
//!          backslash, and 0 for NUL. Text is in the character set of its column.
//! ```
//!
//! A `T.txt` has no end mark: one that was cut at a line's end looks whole, which is said. Source:
//! MySQL "SELECT .. INTO", "LOAD DATA", section "Field and Line Handling".

use std::io::Read;
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr3};

use crate::backup::dump::copy::outfile_cell;
use crate::backup::dump::mysql::Mysql;
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::file::unreadable;
use crate::backup::text::Limits;
use crate::backup::text::decompress::TextReader;
use crate::backup::text::window::{Stop, Window};
use crate::error::Result;

/// The endings of a table's rows.
const ENDS: [&str; 3] = ["txt", "txt.gz", "txt.zst"];

/// The pairs of files in a folder: definition and rows, sorted.
pub(super) fn pairs(folder: &Path) -> Result<Vec<(PathBuf, Option<PathBuf>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        if path.extension().is_some_and(|end| end == "sql") {
            let rows = ENDS.map(|end| path.with_extension(end));
            found.push((path, rows.into_iter().find(|rows| rows.is_file())));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads all tables of a folder.
pub(super) fn read(folder: &Path, limits: Limits, tables: &mut Tables<'_>) -> Result<Session> {
    let mut session = Mysql::default().session();
    for (definition, rows) in pairs(folder)? {
        let mut mysql = Mysql::default();
        let reader = TextReader::open(&definition, Some(folder), limits)?;
        mysql.read(reader, definition.display().to_string(), tables)?;
        session = Session { charset: None, ..mysql.session() };
        let (Some(path), Some(table)) = (rows, mysql.declared()) else { continue };
        tables.data_of(table);
        let reader = TextReader::open(&path, Some(folder), limits)?;
        rows_of(reader, path.display().to_string(), table, &session, tables)?;
        let note =
            "the files of rows carry no end mark: one that was cut at a line's end goes unseen";
        tables.note(note.into());
    }
    Ok(session)
}

/// Reads rows in the format of `SELECT .. INTO OUTFILE` to their end.
pub(super) fn rows_of(
    reader: impl Read,
    file: String,
    table: &Name,
    session: &Session,
    tables: &mut Tables<'_>,
) -> Result<()> {
    let mut window = Window::new(reader, file);
    let mut plan = None;
    let mut fields = Vec::new();
    loop {
        let length = window.find("a row", |bytes, whole| row(bytes, whole, &mut fields))?;
        if length == 0 {
            return Ok(());
        }
        let damaged = |what| window.damaged(0, what);
        let plan = match &mut plan {
            Some(plan) => plan,
            none => none.insert(tables.plan(table, None, fields.len(), session).map_err(damaged)?),
        };
        let bytes = window.bytes();
        let cut = fields.iter().map(|(from, to)| &bytes[*from..*to]);
        tables.rows(plan)?.fields(cut, outfile_cell, damaged)?;
        window.consume(length);
    }
}

/// Cuts the row at the start of `bytes` into fields; its length, 0 at the end.
fn row(bytes: &[u8], whole: bool, fields: &mut Vec<(usize, usize)>) -> Result<usize, Stop> {
    fields.clear();
    if bytes.is_empty() && whole {
        return Ok(0);
    }
    let (mut begin, mut at) = (0, 0);
    loop {
        let Some(len) = memchr3(b'\\', b'\t', b'\n', &bytes[at..]) else { return Err(Stop::More) };
        at += len;
        match bytes[at] {
            b'\\' => {
                at += 2;
                if at > bytes.len() {
                    return Err(Stop::More);
                }
                continue;
            }
            b'\t' => fields.push((begin, at)),
            _ => {
                fields.push((begin, at));
                return Ok(at + 1);
            }
        }
        at += 1;
        begin = at;
    }
}

/// True when the folder has a table's definition and its rows.
pub(super) fn is_one(folder: &Path, limits: Limits) -> bool {
    let Ok(pairs) = pairs(folder) else { return false };
    let Some((definition, _)) = pairs.into_iter().find(|(_, rows)| rows.is_some()) else {
        return false;
    };
    let mut head = Vec::new();
    let Ok(reader) = TextReader::open(&definition, Some(folder), limits) else { return false };
    let read = reader.take(1024).read_to_end(&mut head);
    read.is_ok() && memchr(b'\n', &head).is_some() && super::signs::is_mysql(&head)
}
