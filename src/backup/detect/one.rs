//! What a single file is as a backup.

use std::path::Path;

use crate::backup::detect::{Found, Layout, head, stem};
use crate::backup::dump::signs;
use crate::backup::file::file_name;
use crate::backup::folder::{self, Candidate, Named};
use crate::backup::mongodump;
use crate::backup::sqlite;
use crate::backup::text::{Compression, Limits};
use crate::error::{Error, Result};
use crate::model::table::TableName;

/// What a single file is: by its first bytes, then by its name.
pub(super) fn file(path: &Path, len: u64, limits: Limits) -> Result<Found> {
    let shown = path.display();
    if len == 0 {
        return Err(Error::damaged(format!("backup file {shown} is empty")));
    }
    let head = head(path)?;
    let found = |layout, why: &str| {
        Ok(Found { layout, why: vec![why.into()], warnings: Vec::new(), older: Vec::new() })
    };
    let named = folder::by_name(path);
    let one = |table: Candidate, kind| Layout::Tables {
        kind,
        location: path.to_owned(),
        taken_at: None,
        tables: vec![table],
    };
    if head.starts_with(sqlite::MAGIC) {
        return found(Layout::Sqlite(path.to_owned()), "it begins with \"SQLite format 3\"");
    }
    if head.starts_with(b"PAR1") {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = named.as_ref().map_or(&*stem, |table| &table.table.name);
        let table = Candidate::parquet(name, path);
        return found(one(table, "Parquet file"), "it begins with \"PAR1\"");
    }
    if let Some(file) = named.as_ref().filter(|table| table.named == Named::Bson) {
        let table = TableName::bare(mongodump::collection(path, limits));
        let layout = one(Candidate { table, ..file.clone() }, "BSON file");
        let open = Compression::of_name(path) == Compression::None;
        let warnings = open.then(|| mongodump::NO_MARK.into()).into_iter().collect();
        return Ok(Found { warnings, ..found(layout, "its name ends like BSON")? });
    }
    if named.as_ref().is_none_or(|table| table.named != Named::Parquet)
        && let Some((kind, sign)) = signs::of_file(path, limits)?
    {
        let why = format!("it has {sign}");
        return found(Layout::Dump(path.to_owned(), kind), &why);
    }
    if let Some(what) = other_tools(&head) {
        return Err(Error::failed(format!("backup file {shown} is {what}, which is not read"))
            .hint(
                "load it into a SQLite file, or export the tables as Parquet, CSV or JSON lines",
            ));
    }
    match named {
        Some(table) if table.named == Named::Parquet => Err(Error::damaged(format!(
            "backup file {shown} is named like Parquet but does not begin with \"PAR1\""
        ))),
        Some(table) if table.named == Named::Csv => {
            found(one(table, "CSV file"), "its name ends like CSV")
        }
        Some(table) => found(one(table, "JSON lines file"), "its name ends like JSON lines"),
        None if stem(&file_name(path)) != file_name(path) => Err(Error::damaged(format!(
            "backup file {shown} is named like a SQLite database, but it begins with {}",
            beginning(&head)
        ))),
        None => Err(Error::failed(format!(
            "backup file {shown} is of no kind that restorekit knows"
        ))
        .hint("it reads its own snapshots, SQLite files, SQL dumps, <table>.parquet, .bson, .jsonl, .json and .csv")),
    }
}

/// What the first bytes say of files that are known and not read.
fn other_tools(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PK\x03\x04") { Some("a zip archive") } else { None }
}

fn beginning(head: &[u8]) -> String {
    let start = &head[..head.len().min(16)];
    if start.iter().all(|b| b.is_ascii_graphic() || *b == b' ' || *b == b'\n') {
        format!("the text {:?}", String::from_utf8_lossy(start))
    } else {
        "other bytes than SQLite's".into()
    }
}
