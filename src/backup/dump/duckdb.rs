//! What DuckDB's `EXPORT DATABASE` writes: a folder, the two scripts last.
//!
//! ```text
//! schema.sql      CREATE SCHEMA, TYPE, SEQUENCE, TABLE, VIEW, INDEX, MACRO
//! load.sql        COPY hr.staff FROM 'out/hr_staff.csv' (FORMAT 'csv', quote '"', delimiter ',', header 1);
//! hr_staff.csv    the rows: CSV, Parquet or JSON lines, compressed or not, whatever its name ends in
//! ```
//!
//! Every table of `schema.sql` has its COPY and the other way round, so neither script can be cut
//! unseen; nor can a file of rows within a row. One that was cut at a row's end looks whole, which is
//! said. A file's path is that of the exporting host: only its last part counts. Source: DuckDB
//! "EXPORT DATABASE", `physical_export.cpp` and `csv_writer.cpp`; exports of 0.10 to 2.0.

mod copy;
mod rows;
pub(super) mod value;

use std::path::{Path, PathBuf};

use crate::backup::dump::charset::Charset;
use crate::backup::dump::ddl::{Declared, DeclaredColumn, create_table};
use crate::backup::dump::folder::Folder;
use crate::backup::dump::kind::Kind;
use crate::backup::dump::lex::{Dialect, Tokens};
use crate::backup::dump::outfile::NO_MARK;
use crate::backup::dump::script::{Next, Script};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::Limits;
use crate::backup::text::decompress::TextReader;
use crate::backup::text::window::Stop;
use crate::error::{Error, Result};
use crate::model::table::TableName;

use copy::Copy;

/// The script of the definitions.
const SCHEMA: &str = "schema.sql";

/// The script that says where the rows are.
const LOAD: &str = "load.sql";

/// The scripts.
pub const SCRIPTS: [&str; 2] = [SCHEMA, LOAD];

const DIALECT: Dialect = Dialect::Duckdb;
const TOOL: &str = "EXPORT DATABASE";
const SESSION: Session = Session { dialect: DIALECT, charset: Some(Charset::Bytes), zone: None };

/// What the rows of an export are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CSV, by the options of its COPY.
    Csv,
    /// Parquet.
    Parquet,
    /// JSON lines, or a list.
    Json,
}

/// An export: its tables and their files.
#[derive(Clone, Debug)]
pub struct Export {
    /// What all its rows are written as.
    pub format: Format,
    /// The tables in the order of the script, with the files of their rows.
    pub tables: Vec<(TableName, PathBuf)>,
}

/// A table: its declaration, and the statement that would load it.
struct Table {
    name: Name,
    declared: Declared,
    copy: Copy,
}

/// The export in a folder; `None` when it is none.
///
/// # Errors
/// `Damaged` for an export that lacks a file or a part of a script; `Failed` for rows that are
/// written in a way that is not understood.
pub fn find(path: &Path, limits: Limits) -> Result<Option<Export>> {
    if !SCRIPTS.iter().all(|name| path.join(name).is_file()) {
        return Ok(None);
    }
    let folder = Folder::open(path, limits)?;
    let head = folder.head(LOAD, 4096)?;
    // A script that was cut within its first word is still one.
    let start = head.trim_ascii_start();
    if !start[..start.len().min(4)].eq_ignore_ascii_case(&b"COPY"[..start.len().min(4)]) {
        return Ok(None);
    }
    let tables = tables(&folder)?;
    let Some(first) = tables.first() else { return Ok(None) };
    let format = first.copy.format;
    if tables.iter().any(|table| table.copy.format != format) {
        return Err(folder.strange("has tables in several formats, which no export has"));
    }
    let tables = tables
        .into_iter()
        .map(|table| (table.name.table_name(None, None), path.join(&table.copy.file)));
    Ok(Some(Export { format, tables: tables.collect() }))
}

/// Reads the definitions, and the rows of wanted tables, which are CSV.
pub(super) fn read(path: &Path, limits: Limits, into: &mut Tables<'_>) -> Result<Session> {
    let folder = Folder::open(path, limits)?;
    for Table { name, declared, copy } in tables(&folder)? {
        into.declare(declared.clone(), |_| name.clone());
        into.data_of(&name);
        into.note(NO_MARK.into());
        if !into.wants(&name) {
            continue;
        }
        understood(&folder, &name, &declared)?;
        let kept = declared.columns.iter().filter(|column| !column.generated);
        let columns = match &copy.columns {
            Some(columns) => columns.clone(),
            None => kept.map(|column| column.name.clone()).collect(),
        };
        let (reader, file) = folder.packed(&copy.file, copy.packed)?;
        rows::read(reader, file, &copy, &name, &columns, into)?;
    }
    Ok(SESSION)
}

/// A type that is not known could be any, bytes too.
fn understood(folder: &Folder<'_>, name: &Name, declared: &Declared) -> Result<()> {
    let strange = |column: &&DeclaredColumn| Kind::of(&column.declared, DIALECT) == Kind::Unknown;
    match declared.columns.iter().find(strange) {
        None => Ok(()),
        Some(column) => Err(folder
            .strange(&format!(
                "has the column {} of {} with the type {}, whose values as text are not known",
                String::from_utf8_lossy(&column.name),
                name.table_name(None, None),
                column.declared
            ))
            .hint("export again as Parquet: EXPORT DATABASE '..' (FORMAT parquet)")),
    }
}

/// The tables by both scripts, whose files are all there.
fn tables(folder: &Folder<'_>) -> Result<Vec<Table>> {
    let mut declared = declared(folder)?;
    let mut tables = Vec::new();
    for copy in copies(folder)? {
        let name = name(&copy.path);
        let shown = name.table_name(None, None);
        let Some(at) = declared.iter().position(|(known, _)| *known == name) else {
            return Err(folder.damaged(&format!(
                "has rows of {shown} in {LOAD}, and no definition \
                of it in {SCHEMA}: it is incomplete"
            )));
        };
        if !folder.has(&copy.file) {
            return Err(
                folder.damaged(&format!("lacks the file {:?} that {LOAD} names", copy.file))
            );
        }
        if copy.format != Format::Parquet && folder.is_folder(&copy.file) {
            let what = format!("has the rows of {shown} in a folder of files, which is not read");
            let hint = "export again as Parquet, or without PER_THREAD_OUTPUT and FILE_SIZE_BYTES";
            return Err(folder.strange(&what).hint(hint));
        }
        let (name, declared) = declared.remove(at);
        tables.push(Table { name, declared, copy });
    }
    if let Some((lost, _)) = declared.first() {
        return Err(folder.damaged(&format!(
            "has no rows of {} in {LOAD}: it is incomplete",
            lost.table_name(None, None)
        )));
    }
    Ok(tables)
}

/// The name that a path of names means.
fn name(path: &[Vec<u8>]) -> Name {
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let table = path.last().map_or_else(String::new, |name| text(name));
    let schema = path.iter().rev().nth(1).map(|name| text(name));
    Name { database: None, schema: schema.filter(|name| name != "main"), table }
}

/// The tables that are declared, in order.
fn declared(folder: &Folder<'_>) -> Result<Vec<(Name, Declared)>> {
    let mut found: Vec<(Name, Declared)> = Vec::new();
    statements(folder, SCHEMA, |script, bytes| {
        if let Some(table) = create_table(bytes, DIALECT).map_err(|stop| torn(script, stop))? {
            let name = name(&table.path);
            if found.iter().any(|(known, _)| *known == name) {
                return Err(
                    script.damaged(format!("a second table {}", name.table_name(None, None)))
                );
            }
            found.push((name, table));
            return Ok(bytes.len());
        }
        let mut tokens = Tokens::new(bytes, true, DIALECT);
        let torn = |stop| torn(script, stop);
        if tokens.take("CREATE").map_err(torn)? {
            // Versions up to 1.1 leave out what ends a type.
            let is_type = tokens.take("TYPE").map_err(torn)?;
            let mut end = tokens.at();
            while let (true, Some(token)) = (is_type, tokens.next().map_err(torn)?) {
                if token.is("CREATE") {
                    return Ok(end);
                }
                end = tokens.at();
            }
            return Ok(bytes.len());
        }
        // Some versions end a statement twice.
        if bytes.trim_ascii() == b";" || tokens.take("COMMENT").map_err(torn)? {
            return Ok(bytes.len());
        }
        Err(script.strange("a statement that is no definition", TOOL))
    })?;
    Ok(found)
}

/// The statements that load the rows.
fn copies(folder: &Folder<'_>) -> Result<Vec<Copy>> {
    let mut found = Vec::new();
    statements(folder, LOAD, |script, bytes| {
        let mut tokens = Tokens::new(bytes, true, DIALECT);
        let torn = |stop| torn(script, stop);
        if tokens.take("COPY").map_err(torn)? {
            let statement = copy::statement(tokens).map_err(torn)?;
            let line = format!("{} line {}", script.file, script.window.line(0));
            found.push(Copy::of(statement, &line)?);
        } else if bytes.trim_ascii() != b";" {
            return Err(script.strange("a statement other than COPY", TOOL));
        }
        Ok(bytes.len())
    })?;
    Ok(found)
}

/// Hands on the statements of a script; `take` tells how much of one it took.
fn statements(
    folder: &Folder<'_>,
    file: &str,
    mut take: impl FnMut(&Script<TextReader>, &[u8]) -> Result<usize>,
) -> Result<()> {
    let (reader, shown) = folder.file(file)?;
    let mut script = Script::new(reader, shown)?;
    loop {
        let taken = match script.next(DIALECT)? {
            Next::End => return Ok(()),
            Next::Comment => script.line()?.len(),
            Next::Statement => {
                let length = script.statement(DIALECT)?;
                take(&script, script.bytes(length))?
            }
            Next::Insert | Next::Backslash => {
                return Err(script.strange("a statement that is no definition", TOOL));
            }
        };
        script.window.consume(taken);
    }
}

fn torn(script: &Script<TextReader>, stop: Stop) -> Error {
    match stop {
        Stop::Bad(at, what) => script.window.damaged(at, what),
        Stop::More => script.damaged("a torn statement"),
    }
}
