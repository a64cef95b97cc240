//! What MySQL Shell's `util.dumpInstance()`, `dumpSchemas()` and `dumpTables()` write.
//!
//! ```text
//! @.json                       "defaultCharacterSet", "tzUtc", "begin"
//! @.done.json                  written last: "chunkFileBytes", the uncompressed size of each file of rows
//! s@t.json                     "options": schema, table, columns, decodeColumns, the rows' format;
//!                              "extension", "chunking", "partitions" and their "basenames"
//! s@t.sql                      CREATE TABLE
//! s@t@0.tsv.zst .. s@t@@9.tsv.zst    the rows; the last with two @. Not in chunks: s@t.tsv.zst
//! ```
//!
//! Sources: MySQL Shell "Dump Utilities", section "Dump Files"; its `dumper.cc`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::backup::dump::folder::Folder;
use crate::backup::dump::kind::Zone;
use crate::backup::dump::mysql::{Mysql, client_charset};
use crate::backup::dump::outfile::{Format, Layout, NO_MARK, Packed, rows_of};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::Limits;
use crate::error::Result;

/// The file that says what the dump is.
pub(super) const HEAD: &str = "@.json";

/// The file that says that it is whole.
const DONE: &str = "@.done.json";

const UTC: Zone = *b"+00:00";

/// A description is a list of columns or files, not rows.
const MAX_JSON: u64 = 256 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    tz_utc: bool,
    #[serde(default)]
    begin: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    #[serde(default)]
    chunk_file_bytes: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    options: Options,
    #[serde(default = "yes")]
    includes_data: bool,
    extension: String,
    #[serde(default)]
    chunking: bool,
    #[serde(default)]
    basenames: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    schema: String,
    table: String,
    columns: Vec<String>,
    #[serde(default)]
    decode_columns: BTreeMap<String, String>,
    #[serde(default = "utf8")]
    default_character_set: String,
    fields_terminated_by: String,
    #[serde(default)]
    fields_enclosed_by: String,
    #[serde(default)]
    fields_escaped_by: String,
    lines_terminated_by: String,
}

fn yes() -> bool {
    true
}

fn utf8() -> String {
    "utf8mb4".into()
}

/// A dump whose end was seen.
struct Dump<'f> {
    folder: Folder<'f>,
    done: Done,
}

/// Reads the definitions, and the rows of wanted tables; when the dump was begun.
pub(super) fn read(
    path: &Path,
    limits: Limits,
    tables: &mut Tables<'_>,
) -> Result<(Session, Option<String>)> {
    let folder = Folder::open(path, limits)?;
    if !folder.has(DONE) {
        return Err(folder.damaged(&format!("lacks {DONE}: the dump was not finished")));
    }
    let head: Head = json(&folder, HEAD)?;
    let done: Done = json(&folder, DONE)?;
    if let Some(lost) = done.chunk_file_bytes.keys().find(|name| !folder.has(name)) {
        return Err(folder.damaged(&format!("lacks its file {lost:?}")));
    }
    let zone = head.tz_utc.then_some(UTC);
    let session = Session { zone, ..Mysql::default().session() };
    let dump = Dump { folder, done };
    let described =
        |name: &&String| !name.starts_with("@.") && name.contains('@') && name.ends_with(".json");
    for file in dump.folder.names.iter().filter(described) {
        let table: Described = match json(&dump.folder, file) {
            Ok(table) => table,
            // Rows in the form of JSON documents end alike.
            Err(_) if dump.done.chunk_file_bytes.contains_key(file) => continue,
            Err(e) => return Err(e),
        };
        let stem = file.trim_end_matches(".json");
        dump.table(stem, &table, session, tables)?;
    }
    Ok((session, Some(head.begin)))
}

/// A file of descriptions.
fn json<T: serde::de::DeserializeOwned>(folder: &Folder<'_>, name: &str) -> Result<T> {
    serde_json::from_slice(&folder.head(name, MAX_JSON)?)
        .map_err(|e| folder.damaged(&format!("has a file {name} that can't be read")).because(e))
}

impl Dump<'_> {
    fn table(
        &self,
        stem: &str,
        table: &Described,
        session: Session,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let options = &table.options;
        let name = Name {
            database: Some(options.schema.clone()),
            schema: None,
            table: options.table.clone(),
        };
        let mut mysql = Mysql::of(&options.schema);
        let definition = format!("{stem}.sql");
        if self.folder.has(&definition) {
            let (reader, file) = self.folder.file(&definition)?;
            mysql.statements(reader, file, tables)?;
        }
        if !table.includes_data {
            return Ok(());
        }
        let chunks = self.chunks(stem, table)?;
        tables.data_of(&name);
        if !tables.wants(&name) {
            return Ok(());
        }
        let layout = self.layout(stem, options)?;
        let charset = client_charset(&options.default_character_set)?;
        let session = Session { charset, ..session };
        for chunk in chunks {
            let (reader, file) = self.folder.file(&chunk)?;
            let mut counted = Counted { reader, bytes: 0 };
            rows_of(&mut counted, file, &name, &layout, &session, tables)?;
            match self.done.chunk_file_bytes.get(&chunk) {
                Some(bytes) if *bytes == counted.bytes => {}
                Some(bytes) => {
                    return Err(self.folder.damaged(&format!(
                        "has {} bytes of rows in {chunk}, {DONE} says {bytes}",
                        counted.bytes
                    )));
                }
                None => tables.note(NO_MARK.into()),
            }
        }
        Ok(())
    }

    /// The files of a table's rows, all of them, in their order.
    fn chunks(&self, stem: &str, table: &Described) -> Result<Vec<String>> {
        let extension = &table.extension;
        let bases: Vec<&str> = match table.basenames.is_empty() {
            true => vec![stem],
            false => table.basenames.values().map(String::as_str).collect(),
        };
        let mut chunks = Vec::new();
        for base in bases {
            let single = format!("{base}.{extension}");
            if !table.chunking && self.folder.has(&single) {
                chunks.push(single);
                continue;
            }
            let mut number = 0_usize;
            loop {
                let last = format!("{base}@@{number}.{extension}");
                if self.folder.has(&last) {
                    chunks.push(last);
                    break;
                }
                let next = format!("{base}@{number}.{extension}");
                if !self.folder.has(&next) {
                    return Err(self
                        .folder
                        .damaged(&format!("lacks its file {next:?} or {last:?}")));
                }
                chunks.push(next);
                number += 1;
            }
        }
        Ok(chunks)
    }

    fn layout(&self, stem: &str, options: &Options) -> Result<Layout> {
        let strange = || {
            let what = format!("has the rows of {stem} in a format that is not read");
            self.folder.strange(&what).hint("dump again in MySQL Shell's default format")
        };
        let one = |text: &str| match text.as_bytes() {
            [] => Ok(None),
            [byte] => Ok(Some(*byte)),
            _ => Err(strange()),
        };
        let format = Format {
            field: one(&options.fields_terminated_by)?.ok_or_else(strange)?,
            quote: one(&options.fields_enclosed_by)?,
            escape: one(&options.fields_escaped_by)?,
            line: options.lines_terminated_by.as_bytes().to_vec(),
        };
        if !format.is_known() {
            return Err(strange());
        }
        let packed = options.columns.iter().map(|column| {
            Ok(match options.decode_columns.get(column).map(String::as_str) {
                None => Packed::No,
                Some("FROM_BASE64") => Packed::Base64,
                Some("UNHEX") => Packed::Hex,
                Some(_) => return Err(strange()),
            })
        });
        Ok(Layout {
            format,
            packed: packed.collect::<Result<_>>()?,
            columns: Some(options.columns.iter().map(|c| c.clone().into_bytes()).collect()),
        })
    }
}

/// A reader and the bytes that came from it.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }
}
