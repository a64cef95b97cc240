//! What sqlite-diffable writes: a folder with two files a table, of which the second comes last.
//!
//! ```text
//! T.ndjson           a line a row, a JSON array: [1, "a", 0.5, null, "b'\\x00'"]
//! T.metadata.json    {"name": "T", "columns": ["id", ..], "schema": "CREATE TABLE T (..)"}
//! ```
//!
//! Integers, reals and texts are told apart, and come back as they were stored; an infinite real is
//! `Infinity`. A BLOB is written as the text that Python shows for it, `b'..'`, which a text may be
//! too: in a column that is declared BLOB it is taken for bytes, and that is said; anywhere else the
//! value is not guessed at. Generated columns are in the rows and not in `columns`. A `T.ndjson` has
//! no end mark: one that was cut at a line's end looks whole, which is said. Source: sqlite-diffable
//! 0.6, `cli.py`; Python's `json` and `bytes.__repr__`.

mod row;

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::backup::dump::ddl::{Declared, DeclaredColumn, create_table};
use crate::backup::dump::folder::{Folder, names};
use crate::backup::dump::kind::Reading;
use crate::backup::dump::lex::{Dialect, Tokens};
use crate::backup::dump::outfile::NO_MARK;
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::Limits;
use crate::backup::text::window::{Stop, Window};
use crate::error::Result;
use crate::fit::cell::Tag;

use row::Rows;

const DIALECT: Dialect = Dialect::Sqlite;
const SESSION: Session = Session { dialect: DIALECT, charset: None, zone: None };

/// The ends of the two files' names.
const METADATA: &str = ".metadata.json";
const ROWS: &str = ".ndjson";

/// A description is a list of columns, not rows.
const MAX_METADATA: u64 = 64 << 20;

/// What a `T.metadata.json` says.
#[derive(Debug, Deserialize)]
struct Described {
    name: String,
    columns: Vec<String>,
    schema: String,
}

/// True when the folder has the pair of a table.
pub(super) fn is_one(folder: &Path) -> bool {
    let names = names(folder).unwrap_or_default();
    names.iter().any(|name| {
        name.strip_suffix(METADATA).is_some_and(|stem| names.contains(&format!("{stem}{ROWS}")))
    })
}

/// True for one of the two files.
pub(super) fn owns(name: &str) -> bool {
    name.ends_with(METADATA) || name.ends_with(ROWS)
}

/// Reads the definitions, and the rows of wanted tables.
pub(super) fn read(path: &Path, limits: Limits, tables: &mut Tables<'_>) -> Result<Session> {
    let folder = Folder::open(path, limits)?;
    let mut seen = BTreeSet::new();
    for file in &folder.names {
        if let Some(stem) = file.strip_suffix(ROWS) {
            let metadata = format!("{stem}{METADATA}");
            if !folder.has(&metadata) {
                let what =
                    format!("lacks {metadata:?}, which is written last: it was not finished");
                return Err(folder.damaged(&what));
            }
        }
        let Some(stem) = file.strip_suffix(METADATA) else { continue };
        let rows = format!("{stem}{ROWS}");
        if !folder.has(&rows) {
            return Err(folder.damaged(&format!("lacks {rows:?}, the rows of a table")));
        }
        let described: Described = serde_json::from_slice(&folder.head(file, MAX_METADATA)?)
            .map_err(|e| {
                folder.damaged(&format!("has a file {file} that can't be read")).because(e)
            })?;
        if !seen.insert(described.name.clone()) {
            return Err(folder.damaged(&format!("has a second table {:?}", described.name)));
        }
        table(&folder, file, &rows, described, tables)?;
    }
    Ok(SESSION)
}

/// Reads one table.
fn table(
    folder: &Folder<'_>,
    file: &str,
    rows: &str,
    described: Described,
    tables: &mut Tables<'_>,
) -> Result<()> {
    let own = described.name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"));
    let torn = |_: Stop| folder.damaged(&format!("has a schema in {file} that can't be read"));
    let statement = described.schema.as_bytes();
    let is_view = |mut tokens: Tokens<'_>| Ok(tokens.take("CREATE")? && tokens.take("VIEW")?);
    if own || is_view(Tokens::new(statement, true, DIALECT)).map_err(torn)? {
        return Ok(());
    }
    let columns: Vec<Vec<u8>> = described.columns.into_iter().map(String::into_bytes).collect();
    let declared = match create_table(statement, DIALECT).map_err(torn)? {
        Some(declared) => declared,
        // A virtual table: its columns have no types.
        None => Declared {
            columns: columns.iter().map(|name| untyped(name)).collect(),
            ..Declared::default()
        },
    };
    let kept = declared.columns.iter().filter(|column| !column.generated);
    if !kept.map(|column| &column.name).eq(&columns) {
        return Err(
            folder.damaged(&format!("has other columns in the list of {file} than in its schema"))
        );
    }
    let name = Name { table: described.name, ..Name::default() };
    tables.declare(declared.clone(), |_| name.clone());
    tables.data_of(&name);
    tables.note(NO_MARK.into());
    if !tables.wants(&name) {
        return Ok(());
    }
    let (reader, shown) = folder.file(rows)?;
    let mut window = Window::new(reader, shown);
    window.begin()?;
    let mut rows = Rows::default();
    let mut plan = None;
    let (mut taken, mut unclear) = (0_u64, 0_u64);
    loop {
        let length = window.find("a row", |bytes, whole| rows.cut(bytes, whole))?;
        if rows.is_end() {
            break;
        }
        let damaged = |what| window.damaged(0, what);
        let plan = match &mut plan {
            Some(plan) => plan,
            none => none.insert(tables.plan(&name, None, rows.width(), &SESSION).map_err(damaged)?),
        };
        let bytes = &window.bytes()[..length];
        if std::str::from_utf8(bytes).is_err() {
            return Err(damaged("a row that is no UTF-8".into()));
        }
        // With the generated columns, or without them.
        let typed: Vec<&DeclaredColumn> = match rows.width() == declared.columns.len() {
            true => declared.columns.iter().collect(),
            false => declared.columns.iter().filter(|column| !column.generated).collect(),
        };
        let cell = |place: usize, _: &[u8], _: &Reading, out: &mut Vec<u8>| {
            let begin = out.len();
            let tag = rows.cell(place, bytes, out)?;
            if tag != Some(Tag::OwnText) {
                return Ok(tag);
            }
            let Some(blob) = row::shown_bytes(&out[begin..]) else { return Ok(tag) };
            if is_blob(typed.get(place)) {
                taken += 1;
                out.truncate(begin);
                out.extend_from_slice(&blob);
                return Ok(Some(Tag::OwnBlob));
            }
            unclear += 1;
            Ok(Some(Tag::Unclear))
        };
        tables.rows(plan)?.fields(rows.fields(bytes), cell, damaged)?;
        window.consume(length);
    }
    let name = &name.table;
    if taken > 0 {
        tables.note(format!(
            "{name}: {taken} values of the form b'..' are taken for the BLOBs that sqlite-diffable writes \
             so; it would write a text of that form alike"
        ));
    }
    if unclear > 0 {
        tables.note(format!(
            "{name}: {unclear} values of the form b'..' stand in columns that are not declared BLOB: whether \
             they were texts or BLOBs is lost, so they are not read"
        ));
    }
    Ok(())
}

fn untyped(name: &[u8]) -> DeclaredColumn {
    DeclaredColumn {
        name: name.to_owned(),
        declared: String::new(),
        generated: false,
        charset: None,
    }
}

fn is_blob(column: Option<&&DeclaredColumn>) -> bool {
    column.is_some_and(|column| column.declared.to_ascii_uppercase().contains("BLOB"))
}
