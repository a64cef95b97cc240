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

use memchr::memchr;

use crate::backup::dump::mysql::Mysql;
use crate::backup::dump::outfile::{Layout, NO_MARK, rows_of};
use crate::backup::dump::tables::{Session, Tables};
use crate::backup::file::unreadable;
use crate::backup::text::Limits;
use crate::backup::text::decompress::TextReader;
use crate::error::Result;

/// The endings of a table's rows.
const ENDS: [&str; 5] = ["txt", "txt.gz", "txt.zst", "txt.xz", "txt.bz2"];

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
        let layout = Layout::default();
        rows_of(reader, path.display().to_string(), table, &layout, &session, tables)?;
        tables.note(NO_MARK.into());
    }
    Ok(session)
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
