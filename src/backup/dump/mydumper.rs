//! What mydumper writes: a folder of many files.
//!
//! ```text
//! metadata                     "Started dump at", "Finished dump at"; newer ones also say the rows:
//!                              [`db`.`t`] .. rows = 4. While it is written: metadata.partial
//! db-schema-create.sql         CREATE DATABASE
//! db.t-schema.sql              CREATE TABLE; db.t-schema-view.sql, -schema-triggers.sql, ..
//! db.t.sql, db.t.00000.sql     INSERTs, or one LOAD DATA that names the file of the rows:
//! db.t.00000.dat, .csv         rows as of SELECT .. INTO OUTFILE
//! ```
//!
//! Each may be `.gz` or `.zst`. Of a table without rows there is no file of rows. A file of rows has
//! no end mark; where the metadata tells the number of rows it must be met. Source: mydumper's
//! documentation, "Files", and files of mydumper 0.10.

use std::collections::BTreeMap;
use std::path::Path;

use crate::backup::dump::folder::{Folder, names};
use crate::backup::dump::mysql::Mysql;
use crate::backup::dump::outfile::{NO_MARK, rows_of};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::Limits;
use crate::error::Result;

/// The file that says that the dump is whole.
pub(super) const METADATA: &str = "metadata";

/// Its name while the dump is written.
pub(super) const PARTIAL: &str = "metadata.partial";

/// The ends of names of compressed files.
const PACKED: [&str; 3] = ["", ".gz", ".zst"];

/// The metadata are a list of tables, not rows.
const MAX_METADATA: u64 = 64 << 20;

/// A table and its files of rows.
#[derive(Debug, Default)]
struct Table {
    name: Name,
    rows: Vec<String>,
}

/// True when the folder has the metadata, done or not, and a definition.
pub(super) fn is_one(folder: &Path) -> bool {
    let Ok(names) = names(folder) else { return false };
    let has = |name: &str| names.iter().any(|known| known == name);
    let schema = |name: &String| {
        let plain = unpacked(name);
        plain.ends_with("-schema.sql") || plain.ends_with("-schema-create.sql")
    };
    (has(METADATA) || has(PARTIAL)) && names.iter().any(schema)
}

/// Reads the definitions, and the rows of wanted tables; when the dump was begun.
pub(super) fn read(
    path: &Path,
    limits: Limits,
    tables: &mut Tables<'_>,
) -> Result<(Session, Option<String>)> {
    let folder = Folder::open(path, limits)?;
    let metadata = metadata(&folder)?;
    let told = rows_told(&metadata);
    let session = Mysql::default().session();
    let found = definitions(&folder, tables)?;
    let any = found.values().any(|table| !table.rows.is_empty());
    for (prefix, table) in &found {
        let known = told.get(prefix).copied();
        if table.rows.is_empty() {
            if known.is_some_and(|rows| rows > 0) {
                return Err(folder.damaged(&format!("lacks the files of the rows of {prefix}")));
            }
            if any {
                tables.data_of(&table.name);
                if known.is_none() && tables.wants(&table.name) {
                    tables.note(format!(
                        "{}: there is no file of its rows, so it is taken to have none",
                        table.name.table
                    ));
                }
            }
            continue;
        }
        tables.data_of(&table.name);
        if !tables.wants(&table.name) {
            continue;
        }
        for file in &table.rows {
            rows(&folder, file, &table.name, tables)?;
        }
        match known {
            Some(rows) if rows == tables.count_of(&table.name) => {}
            Some(rows) => {
                let there = tables.count_of(&table.name);
                return Err(folder
                    .damaged(&format!("holds {there} rows of {prefix}, its metadata say {rows}")));
            }
            None => tables.note(NO_MARK.into()),
        }
    }
    Ok((session, started(&metadata)))
}

/// The metadata of a dump that was finished.
fn metadata(folder: &Folder<'_>) -> Result<String> {
    if folder.has(PARTIAL) || !folder.has(METADATA) {
        return Err(folder.damaged(&format!(
            "was not finished ({PARTIAL} is there, or {METADATA} is not): it is incomplete"
        )));
    }
    let text = String::from_utf8(folder.head(METADATA, MAX_METADATA)?)
        .map_err(|e| folder.damaged("has metadata that are no text").because(e))?;
    if !text.contains("Finished dump at:") {
        return Err(folder.damaged("lacks \"Finished dump at\" in its metadata: it is incomplete"));
    }
    Ok(text)
}

/// Reads all definitions; the tables by the beginning of their files' names.
fn definitions(folder: &Folder<'_>, tables: &mut Tables<'_>) -> Result<BTreeMap<String, Table>> {
    let mut databases: Vec<&str> = folder
        .names
        .iter()
        .filter_map(|name| unpacked(name).strip_suffix("-schema-create.sql"))
        .collect();
    // The longest first: a name may hold a point.
    databases.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let database = |prefix: &str| {
        let known = databases
            .iter()
            .find(|name| prefix.strip_prefix(**name).is_some_and(|rest| rest.starts_with('.')));
        known
            .map(|name| (*name).to_owned())
            .or_else(|| prefix.split_once('.').map(|(database, _)| database.to_owned()))
    };
    let mut found: BTreeMap<String, Table> = BTreeMap::new();
    let mut views = Vec::new();
    for file in &folder.names {
        let plain = unpacked(file);
        if let Some(prefix) = plain.strip_suffix("-schema.sql") {
            let mut mysql = Mysql::of(&database(prefix).unwrap_or_default());
            let (reader, path) = folder.file(file)?;
            mysql.statements(reader, path, tables)?;
            let Some(name) = mysql.declared().cloned() else {
                return Err(folder.damaged(&format!("has no CREATE TABLE in {file}")));
            };
            found.insert(prefix.to_owned(), Table { name, rows: Vec::new() });
        } else if let Some(prefix) = plain.strip_suffix("-schema-view.sql") {
            views.push((prefix.to_owned(), file));
        }
    }
    for (prefix, file) in views {
        let mut mysql = Mysql::of(&database(&prefix).unwrap_or_default());
        let (reader, path) = folder.file(file)?;
        mysql.statements(reader, path, tables)?;
        // What stands under a view's name is there for those that lean on it only.
        if let Some(table) = found.remove(&prefix) {
            tables.view(&table.name);
        }
    }
    for file in &folder.names {
        let Some(stem) = unpacked(file).strip_suffix(".sql") else { continue };
        if of_definitions(stem) {
            continue;
        }
        let prefix = if found.contains_key(stem) { stem } else { without_numbers(stem) };
        let table = found.entry(prefix.to_owned()).or_default();
        if table.name.table.is_empty() {
            let database = database(prefix);
            let own = database.as_deref().map_or(0, |name| name.len() + 1);
            let name = prefix.get(own..).unwrap_or(prefix).to_owned();
            table.name = Name { database, schema: None, table: name };
        }
        table.rows.push(file.clone());
    }
    Ok(found)
}

/// Reads a file of rows.
fn rows(folder: &Folder<'_>, file: &str, table: &Name, tables: &mut Tables<'_>) -> Result<()> {
    let mut mysql = Mysql::of(table.database.as_deref().unwrap_or_default());
    let (reader, path) = folder.file(file)?;
    let before = tables.count_of(table);
    mysql.statements(reader, path, tables)?;
    let loads = mysql.loads();
    if loads.is_empty() && tables.count_of(table) == before {
        tables.note(format!("{file} holds no rows of {}", table.table));
    }
    for load in loads {
        let name = mysql.name(&load.path);
        if name != *table {
            return Err(folder.damaged(&format!("has rows of another table in {file}")));
        }
        let named = String::from_utf8_lossy(&load.file).into_owned();
        let there = PACKED.iter().map(|end| format!("{named}{end}"));
        let Some(rows) = there.into_iter().find(|name| folder.names.contains(name)) else {
            return Err(folder.damaged(&format!("lacks the file {named:?} that {file} names")));
        };
        let (reader, file) = folder.file(&rows)?;
        let session = mysql.session_in(load.charset.as_deref())?;
        rows_of(reader, file, table, &load.layout, &session, tables)?;
    }
    Ok(())
}

/// A file's name without the end that says how it is compressed.
fn unpacked(name: &str) -> &str {
    PACKED[1..].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// True for the files beside those of rows.
fn of_definitions(stem: &str) -> bool {
    [
        "-schema",
        "-schema-create",
        "-schema-view",
        "-schema-triggers",
        "-schema-post",
        "-schema-sequence",
    ]
    .iter()
    .any(|end| stem.ends_with(end))
}

/// A file's name without the numbers of its chunk.
fn without_numbers(stem: &str) -> &str {
    let mut rest = stem;
    while let Some((before, number)) = rest.rsplit_once('.') {
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !is_number || !before.contains('.') {
            break;
        }
        rest = before;
    }
    rest
}

/// The rows that newer metadata tell, by the beginning of the files' names.
fn rows_told(metadata: &str) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    let mut section = None;
    for line in metadata.lines() {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            // [`db`.`t`], or with double quotes
            let quote = head.chars().next().filter(|c| matches!(c, '`' | '"'));
            section = quote.and_then(|quote| {
                let inner = head.strip_prefix(quote)?.strip_suffix(quote)?;
                let (database, table) = inner.split_once(&format!("{quote}.{quote}"))?;
                Some(format!("{database}.{table}"))
            });
        } else if let (Some(section), Some((key, value))) = (&section, line.split_once('='))
            && key.trim().eq_ignore_ascii_case("rows")
            && let Ok(rows) = value.trim().parse()
        {
            told.insert(section.clone(), rows);
        }
    }
    told
}

/// When the dump was begun, in its host's local time.
fn started(metadata: &str) -> Option<String> {
    let line = metadata.lines().find_map(|line| line.split_once("Started dump at:"))?;
    Some(line.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_tell_rows() {
        let text = "# Started dump at: 2024-03-14 02:00:00\n[config]\nquote-character = BACKTICK\n\
                    [`a.b`.`t`]\nreal_table_name=t\nrows = 12\n[`a`]\nrows = 3\n# Finished dump at: x";
        let told = rows_told(text);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [("a.b.t".to_owned(), 12)]);
        assert_eq!(started(text).unwrap(), "2024-03-14 02:00:00");
    }

    #[test]
    fn chunks_have_numbers() {
        for (stem, prefix) in [
            ("db.t.00000", "db.t"),
            ("db.t.00000.00001", "db.t"),
            ("db.t", "db.t"),
            ("db.2024", "db.2024"),
            ("db.t.x", "db.t.x"),
        ] {
            assert_eq!(without_numbers(stem), prefix, "{stem}");
        }
    }
}
