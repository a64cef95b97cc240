//! What mongodump leaves: a folder a database, two files a collection.
//!
//! ```text
//! <dump>/<db>/<collection>.bson[.gz]              its documents; without a byte when it has none
//!            /<collection>.metadata.json[.gz]     options, indexes, and its name
//!            /prelude.json[.gz]                   the versions; in <dump> where all were dumped
//! <dump>/oplog.bson                               --oplog: what was written meanwhile
//! ```
//!
//! A collection's name stands escaped in its files' names, as in a URL's query. A name that would be
//! too long is cut there, and told by the metadata. A view has metadata only; a time series
//! has metadata, and its buckets as another collection. Source: mongo-tools,
//! `mongorestore/filepath.go` and `mongodump/prepare.go`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::backup::file::unreadable;
use crate::backup::folder::{Candidate, Loose, Named, by_name};
use crate::backup::text::decompress::TextReader;
use crate::backup::text::{Compression, Limits};
use crate::error::Result;
use crate::model::table::TableName;

/// What can't be seen in a file of BSON.
pub(crate) const NO_MARK: &str = "BSON has no end mark and no checksums: a file that was cut \
                                  between two documents, or in which bits were flipped, goes unseen";

/// A file right in a dump's root that says: each collection was seen to its end, with its checksum.
pub(crate) const WHOLE: &str = ".whole";

const METADATA: &str = ".metadata.json";
const OPLOG: &str = "oplog.bson";
const BUCKETS: &str = "system.buckets.";

/// The databases of the server itself.
const SYSTEMS: [&str; 3] = ["admin", "config", "local"];

/// The length of a name in a file's name that was cut.
pub(crate) const CUT: usize = 238;

/// How much of a file of metadata is read.
const MAX_METADATA: u64 = 16 << 20;

/// The collections of one database.
#[derive(Clone, Debug)]
pub(crate) struct Collections {
    /// Their files.
    pub(crate) loose: Loose,
    /// What a person should know before relying on them.
    pub(crate) warnings: Vec<String>,
}

/// The name without the end that tells how the file is compressed.
fn plain(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Compression::split(&name).map_or_else(|| name.clone().into_owned(), |(stem, _)| stem)
}

/// True for a file of mongodump's that holds no rows, beside those that do.
pub(crate) fn is_beside(path: &Path) -> bool {
    let name = plain(path);
    name.ends_with(METADATA) || name == "prelude.json"
}

/// True for the metadata of a collection whose rows are not among these files: a view's.
pub(crate) fn is_without_rows(path: &Path, among: &BTreeSet<PathBuf>) -> bool {
    let plain = plain(path);
    plain.strip_suffix(METADATA).is_some_and(|stem| {
        let rows = ["", ".gz"].map(|end| path.with_file_name(format!("{stem}.bson{end}")));
        rows.iter().all(|path| !among.contains(path))
    })
}

/// True for a file right in the root of a dump that is no collection.
pub(crate) fn is_roots(path: &Path) -> bool {
    is_beside(path) || plain(path) == OPLOG
}

/// The collections among the files right in a folder, which are taken out of them; `None` where
/// there are none.
pub(crate) fn collections(folder: &Path, files: &mut Loose, limits: Limits) -> Option<Collections> {
    if files.tables.iter().all(|table| table.named != Named::Bson) {
        return None;
    }
    let mut loose =
        Loose { tables: Vec::new(), passed_over: std::mem::take(&mut files.passed_over) };
    let mut stems = Vec::new();
    for table in std::mem::take(&mut files.tables) {
        if is_beside(&table.path) {
            stems.extend(plain(&table.path).strip_suffix(METADATA).map(str::to_owned));
        } else if table.named == Named::Bson {
            loose.tables.push(table);
        } else {
            files.tables.push(table);
        }
    }
    stems.retain(|stem| loose.tables.iter().all(|table| table.table.name != *stem));
    let mut warnings = Vec::new();
    for table in &mut loose.tables {
        table.table = TableName::bare(collection(&table.path, limits));
        if table.table.name.starts_with(BUCKETS) {
            warnings.push(format!("{} holds a time series in buckets, not its rows", table.table));
        }
    }
    for (name, _) in databases(folder).unwrap_or_default() {
        warnings.push(format!("{name}/ holds BSON too, and is not read"));
    }
    let open = |table: &Candidate| Compression::of_name(&table.path) == Compression::None;
    let whole = folder.parent().is_some_and(|root| root.join(WHOLE).is_file());
    if loose.tables.iter().any(open) && !whole {
        warnings.push(NO_MARK.into());
    }
    for stem in stems {
        let path = folder.join(format!("{stem}.bson"));
        let options = metadata(&path, limits).map(|m| m["options"].clone());
        let has = |name: &str| options.as_ref().is_some_and(|o| o.get(name).is_some());
        let table = collection(&path, limits);
        if has("viewOn") {
            warnings.push(format!("{table} is a view, which has no rows of its own"));
        } else if has("timeseries") {
            warnings.push(format!("{table} is a time series: {BUCKETS}{table} has its buckets"));
        } else {
            warnings.push(format!("{table} has metadata and no rows: the dump is unfinished"));
            // To ask for it is an error, and so is to ask for all tables.
            loose.tables.extend(
                by_name(&path).map(|file| Candidate { table: TableName::bare(table), ..file }),
            );
        }
    }
    Some(Collections { loose, warnings })
}

/// The folders right in this one that hold BSON, with their names: databases.
pub(crate) fn databases(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).map_err(|e| unreadable(root, e))? {
        let entry = entry.map_err(|e| unreadable(root, e))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && !name.starts_with('.')
            && holds_bson(&path)?
        {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

fn holds_bson(folder: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(folder).map_err(|e| unreadable(folder, e))?.flatten();
    let shown = |file: &Candidate| file.named == Named::Bson && !file.table.name.starts_with('.');
    let is_bson = |path: &Path| by_name(path).as_ref().is_some_and(shown);
    Ok(entries.any(|entry| entry.file_type().is_ok_and(|k| k.is_file()) && is_bson(&entry.path())))
}

/// Leaves out the databases that every server has, unless there is no other or one is live's.
pub(crate) fn without_systems(databases: &mut Vec<(String, PathBuf)>, live: Option<&str>) {
    let own = |name: &str| !SYSTEMS.contains(&name) || live == Some(name);
    if databases.iter().any(|(name, _)| own(name)) {
        databases.retain(|(name, _)| own(name));
    }
}

/// What a person should know of what stands right in a dump's root.
pub(crate) fn roots_warnings(root: &Path) -> Vec<String> {
    let is_there = |end: &&str| root.join(format!("{OPLOG}{end}")).is_file();
    let oplog = ["", ".gz"].iter().any(is_there);
    let words = "oplog.bson is not applied: rows are as they were when each was read, not as of \
                 one moment";
    oplog.then(|| words.into()).into_iter().collect()
}

/// The collection whose documents stand in this file.
pub(crate) fn collection(path: &Path, limits: Limits) -> String {
    let stem = stem(path);
    if stem.len() == CUT && stem.contains("%24") {
        let metadata = metadata(path, limits);
        let told = metadata.as_ref().and_then(|m| m["collectionName"].as_str());
        return told.map_or(stem, str::to_owned);
    }
    let spaced = stem.replace('+', " ");
    let unescaped = percent_decode_str(&spaced).decode_utf8();
    unescaped.map_or(stem, |name| name.into_owned())
}

/// A name without the ends that tell what the file is.
fn stem(path: &Path) -> String {
    by_name(path).map(|file| file.table.name).unwrap_or_default()
}

/// Where the metadata beside a collection's file may be.
pub(crate) fn metadata_paths(path: &Path) -> [PathBuf; 2] {
    ["", ".gz"].map(|end| path.with_file_name(format!("{}{METADATA}{end}", stem(path))))
}

/// What the metadata beside a collection's file says, where it says something.
fn metadata(path: &Path, limits: Limits) -> Option<Value> {
    let found = metadata_paths(path).into_iter().find(|path| path.is_file())?;
    let mut text = Vec::new();
    let reader = TextReader::open(&found, found.parent(), limits).ok()?;
    reader.take(MAX_METADATA).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
