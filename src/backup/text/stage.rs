//! A text file staged: one private file of its cells, each with its own bytes and a tag
//! ([`Tag`]).
//!
//! Absent members and JSON's null are NULL. A file is read once; only a JSON or BSON file in which a
//! member first turns up behind the first rows is read twice, since all batches have the same columns.
//! Memory holds one batch, whatever the file's size.

pub(in crate::backup) mod cells;
pub(in crate::backup::text) mod documents;
pub(in crate::backup) mod sink;
pub(in crate::backup) mod store;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::backup::text::csv::CsvRows;
use crate::backup::text::decompress::{Compression, Limits, TextReader};
use crate::backup::text::jsonl::JsonRows;
use crate::backup::text::mongo::bson::{self, BsonRows};
use crate::backup::text::stage::sink::Sink;
use crate::backup::text::stage::store::Store;
use crate::error::{Error, Result};
use crate::fit::cell::{FileHabits, Tag};

/// The most columns that a text file may have. Databases end at a few thousand.
pub const MAX_COLUMNS: usize = 4_096;

/// What a text file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// CSV with a header. Without a delimiter, the name's end (`.tsv`) or the header tells it.
    Csv {
        /// The byte between two fields.
        delimiter: Option<u8>,
    },
    /// JSON lines, or a JSON array of objects.
    Json {
        /// It is a file of a snapshot of ours, whose marks mean something.
        own: bool,
    },
    /// MongoDB's BSON, a document behind the other.
    Bson,
}

/// A text file to be staged.
#[derive(Clone, Debug)]
pub struct TextFile<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// The folder that a person named, when the file was found in one: links must not
    /// lead out of it.
    pub root: Option<&'a Path>,
    /// What it is.
    pub format: TextFormat,
    /// How far it may expand.
    pub limits: Limits,
}

/// A staged file; its folder is removed when this is dropped.
#[derive(Debug)]
pub struct Staged {
    /// The file of the cells, in the order of [`Staged::columns`], and the rows in the file's order.
    pub path: PathBuf,
    /// Where they are in it.
    pub(in crate::backup) store: Store,
    /// The columns, in the order in which they turned up.
    pub columns: Vec<StagedColumn>,
    /// The number of rows.
    pub rows: u64,
    /// What the fitting needs to know of the whole file.
    pub habits: FileHabits,
    /// What a person should know, a line each.
    pub notes: Vec<String>,
    /// The file's own folder.
    pub(in crate::backup) _folder: TempDir,
}

/// A column of a staged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedColumn {
    /// Its name in the file.
    pub name: String,
    /// The tag of all its cells, when they have one in common. `None` also when all are NULL.
    pub kind: Option<Tag>,
    /// JSON and BSON: the rows that lack the member.
    pub absent: u64,
    /// CSV: the fields that are empty and not quoted.
    pub unquoted_empties: u64,
}

/// Stages a file in a new folder (0700) in `into`.
///
/// # Errors
///
/// A damaged, torn or malformed file, one beyond its limits, one that is no regular
/// file; a full disk. Nothing remains then.
pub fn stage(file: &TextFile<'_>, into: &Path) -> Result<Staged> {
    match file.format {
        TextFormat::Csv { delimiter } => {
            stage_csv(file, delimiter.or_else(|| named_delimiter(file.path)), into)
        }
        TextFormat::Json { own } => documents::stage(file.path, into, || {
            let reader = TextReader::open(file.path, file.root, file.limits)?;
            Ok(JsonRows::new(reader, file.path.display().to_string(), own))
        }),
        TextFormat::Bson => documents::stage(file.path, into, || {
            Ok(BsonRows::new(bson::open(file)?, file.path.display().to_string()))
        }),
    }
}

fn stage_csv(file: &TextFile<'_>, delimiter: Option<u8>, into: &Path) -> Result<Staged> {
    let reader = TextReader::open(file.path, file.root, file.limits)?;
    let mut rows = CsvRows::new(reader, file.path.display().to_string(), delimiter)?;
    if rows.names().len() > MAX_COLUMNS {
        return Err(rows.damaged(too_many()));
    }
    let mut sink = Sink::new(into, rows.names().to_vec())?;
    let mut strange = vec![0u64; sink.batch.columns.len()];
    // Rows apart by tabs without any quote may be of another form, in which a backslash escapes.
    let (mut escaped, mut any_quoted) = (None, rows.delimiter() != b'\t');
    while rows.advance()? {
        let ascii = rows.is_ascii();
        for (index, cells) in sink.batch.columns.iter_mut().enumerate() {
            let begin = cells.values.len();
            let quoted = rows.field(index, &mut cells.values);
            let text = &cells.values[begin..];
            if !ascii && std::str::from_utf8(text).is_err() {
                strange[index] += 1;
            }
            any_quoted |= quoted;
            if !any_quoted && escaped.is_none() && is_escaped(text) {
                escaped = Some((rows.line(), cells.name.clone()));
            }
            if text.is_empty() {
                cells.unquoted_empties += u64::from(!quoted);
                sink.quotes_empty |= quoted;
            }
            cells.end_cell(Some(if quoted { Tag::Quoted } else { Tag::Bare }));
        }
        sink.batch.present = sink.batch.columns.len();
        sink.end_row()?;
    }
    if let (Some((line, column)), false) = (escaped, any_quoted) {
        return Err(Error::refused(format!(
            "{} line {line}: column {column:?} holds a backslash that may be an escape, as COPY and the \
             mysql client write tabs, line feeds and NULL (\\N), or be itself: no field is quoted, so it \
             is not clear which",
            file.path.display()
        ))
        .hint("export as CSV with quotes: COPY .. TO .. (FORMAT csv, HEADER)")
        .hint("take a dump instead: pg_dump, mysqldump"));
    }
    let mut staged = sink.finish()?;
    for (column, count) in staged.columns.iter().zip(strange).filter(|(_, count)| *count > 0) {
        staged.notes.push(format!(
            "column {:?} of {}: {count} fields are no UTF-8, their bytes are kept",
            column.name,
            file.path.display()
        ));
    }
    Ok(staged)
}

/// True for the NULL of COPY's text form, and for a text with an escape of it.
fn is_escaped(field: &[u8]) -> bool {
    field == b"\\N" || field.windows(2).any(|two| matches!(two, [b'\\', b't' | b'n' | b'\\']))
}

/// The delimiter that a file's name tells.
fn named_delimiter(path: &Path) -> Option<u8> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = Compression::split(&name).map_or(name, |(stem, _)| stem);
    name.ends_with(".tsv").then_some(b'\t')
}

fn changed(path: &Path) -> Error {
    Error::failed(format!("{} changed while it was read", path.display()))
        .hint("wait until it is written, then run the same command again")
}

fn too_many() -> String {
    format!("there are more than {MAX_COLUMNS} columns")
}
