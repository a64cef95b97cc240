//! Tables as files in folders, as other programs leave them.
//!
//! ```text
//! <root>/<database>/<timestamp>/parquet/<table>.parquet      story C: dated takes of databases
//!                              /json/<table>.json.gz
//! <folder>/<table>.parquet | .csv | .jsonl | .json | .bson [.gz|.zst|.xz|.bz2]  loose files
//! <folder>/<table>/..                                        tables of many files ([`hive`])
//! ```
//!
//! A timestamp is 8 or 14 digits with any of `-_:T ` between (`2024-05-29-09:14:42`,
//! `20260310060000`), a `Z` after it or not. Without one it is this host's local time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, TimeZone, Utc};

use crate::backup::file::unreadable;
use crate::backup::hive;
use crate::backup::manifest::MANIFEST;
use crate::backup::parts::Part;
use crate::backup::text::Compression;
use crate::error::Result;
use crate::model::table::TableName;

/// What a file's name says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// `.parquet`, `.pq`, `.parquet.gzip`
    Parquet,
    /// `.bson`
    Bson,
    /// `.jsonl`, `.ndjson`, `.json`
    JsonLines,
    /// `.csv`, `.tsv`
    Csv,
}

/// A table's file by its name.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The table: the file's name without its extensions.
    pub table: TableName,
    /// The file, or the folder of its files.
    pub path: PathBuf,
    /// What its name says it is.
    pub named: Named,
    /// The files of a Parquet table.
    pub parts: Vec<Part>,
}

impl Candidate {
    /// A Parquet table in one file.
    pub fn parquet(table: &str, path: &Path) -> Self {
        let parts = vec![Part::whole(path.to_owned())];
        Self { table: TableName::bare(table), path: path.to_owned(), named: Named::Parquet, parts }
    }
}

/// What a file's name says: the table and the format; `None` for other names.
pub fn by_name(path: &Path) -> Option<Candidate> {
    let name = path.file_name()?.to_str()?;
    let lower = name.to_ascii_lowercase();
    let stem = match (lower.strip_suffix(".gzip"), Compression::split(&lower)) {
        (Some(stem), _) => stem.to_owned(),
        (None, Some((stem, _))) => stem,
        (None, None) => lower,
    };
    let (extension, named) = [
        (".parquet", Named::Parquet),
        (".pq", Named::Parquet),
        (".bson", Named::Bson),
        (".jsonl", Named::JsonLines),
        (".ndjson", Named::JsonLines),
        (".json", Named::JsonLines),
        (".csv", Named::Csv),
        (".tsv", Named::Csv),
    ]
    .into_iter()
    .find(|(extension, _)| stem.ends_with(extension))?;
    let table = name.get(..stem.len() - extension.len()).filter(|table| !table.is_empty())?;
    let parquet = Candidate::parquet(table, path);
    match named {
        Named::Parquet => Some(parquet),
        _ => Some(Candidate { named, parts: Vec::new(), ..parquet }),
    }
}

/// The tables of a folder's files.
#[derive(Clone, Debug, Default)]
pub struct Loose {
    /// A file a table: Parquet before BSON before JSON lines before CSV.
    pub tables: Vec<Candidate>,
    /// What is not read, and why.
    pub passed_over: Vec<(PathBuf, String)>,
}

/// The loose tables right in these folders, the first folder's preferred.
pub fn loose(folders: &[&Path]) -> Result<Loose> {
    let mut found: BTreeMap<TableName, Vec<Candidate>> = BTreeMap::new();
    let mut loose = Loose::default();
    for folder in folders {
        let mut here: Vec<Candidate> = entries(folder)?
            .into_iter()
            .filter(|(path, kind)| !hidden(path) && !kind.is_dir() && !path.ends_with(MANIFEST))
            .filter_map(|(path, _)| by_name(&path))
            .collect();
        for inner in self::folders(folder)? {
            match hive::table(&inner) {
                Ok(table) => here.extend(table),
                Err(e) => loose.passed_over.push((inner, e.to_string())),
            }
        }
        here.sort_by(|a, b| (a.named, &a.path).cmp(&(b.named, &b.path)));
        for candidate in here {
            found.entry(candidate.table.clone()).or_default().push(candidate);
        }
    }
    for candidates in found.into_values() {
        let mut candidates = candidates.into_iter();
        loose.tables.extend(candidates.next());
        let twice = |c: Candidate| (c.path, "another file holds the same table".to_owned());
        loose.passed_over.extend(candidates.map(twice));
    }
    Ok(loose)
}

/// One dated take of a database.
#[derive(Clone, Debug)]
pub struct Take {
    /// Its folder.
    pub folder: PathBuf,
    /// When it was taken, by the folder's name.
    pub taken_at: DateTime<FixedOffset>,
}

impl Take {
    /// Its tables, Parquet preferred.
    pub fn tables(&self) -> Result<Loose> {
        let folders = formats(&self.folder);
        loose(&folders.iter().map(PathBuf::as_path).collect::<Vec<_>>())
    }
}

/// The take in this folder: its name is a timestamp, and it has `parquet/` or `json/`.
pub fn take(folder: &Path) -> Option<Take> {
    let taken_at = timestamp(folder.file_name()?.to_str()?)?;
    (!formats(folder).is_empty()).then(|| Take { folder: folder.to_owned(), taken_at })
}

/// The takes right in this folder, newest first.
pub fn takes(folder: &Path) -> Result<Vec<Take>> {
    let mut takes: Vec<Take> = folders(folder)?.iter().filter_map(|path| take(path)).collect();
    takes.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.folder.cmp(&a.folder)));
    Ok(takes)
}

/// The folders right in this one that are databases: that have takes.
pub fn databases(root: &Path) -> Result<Vec<(PathBuf, Vec<Take>)>> {
    let mut found = Vec::new();
    for folder in folders(root)? {
        let takes = takes(&folder)?;
        if !takes.is_empty() {
            found.push((folder, takes));
        }
    }
    Ok(found)
}

/// The format folders of a take, Parquet first.
pub fn formats(take: &Path) -> Vec<PathBuf> {
    let folders = ["parquet", "json", "jsonl", "csv"].map(|format| take.join(format));
    let is_folder = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    folders.into_iter().filter(is_folder).collect()
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter(|(path, kind)| kind.is_dir() && !hidden(path))
        .map(|(path, _)| path)
        .collect();
    folders.sort();
    Ok(folders)
}

/// What lies right in a folder; links are not followed.
pub(super) fn entries(folder: &Path) -> Result<Vec<(PathBuf, fs::FileType)>> {
    fs::read_dir(folder)
        .map_err(|e| unreadable(folder, e))?
        .map(|entry| {
            let entry = entry.map_err(|e| unreadable(folder, e))?;
            let kind = entry.file_type().map_err(|e| unreadable(&entry.path(), e))?;
            Ok((entry.path(), kind))
        })
        .collect()
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// The moment that a folder's name says.
pub fn timestamp(name: &str) -> Option<DateTime<FixedOffset>> {
    let (name, utc) = match name.strip_suffix(['Z', 'z']) {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    if !name.chars().all(|c| c.is_ascii_digit() || "-_:T ".contains(c)) {
        return None;
    }
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let naive = match digits.len() {
        14 => NaiveDateTime::parse_from_str(&digits, "%Y%m%d%H%M%S").ok()?,
        8 => NaiveDate::parse_from_str(&digits, "%Y%m%d").ok()?.and_hms_opt(0, 0, 0)?,
        _ => return None,
    };
    if utc {
        return Some(Utc.from_utc_datetime(&naive).fixed_offset());
    }
    Some(Local.from_local_datetime(&naive).earliest()?.fixed_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_table_and_format() {
        for (name, table, named) in [
            ("events.parquet", "events", Named::Parquet),
            ("Events.PARQUET.gzip", "Events", Named::Parquet),
            ("a.b.json.gz", "a.b", Named::JsonLines),
            ("t.jsonl.zst", "t", Named::JsonLines),
            ("t.csv.xz", "t", Named::Csv),
            ("t.json.BZ2", "t", Named::JsonLines),
            ("t.csv", "t", Named::Csv),
            ("a%2Fb.bson.gz", "a%2Fb", Named::Bson),
        ] {
            let found = by_name(Path::new(name)).unwrap();
            assert_eq!((found.table.name.as_str(), found.named), (table, named), "{name}");
        }
        for name in ["README.md", ".parquet", "json", "t.sqlite", "t.gz"] {
            assert!(by_name(Path::new(name)).is_none(), "{name}");
        }
    }

    #[test]
    fn folder_names_say_when() {
        let naive = |name| timestamp(name).map(|t| t.naive_local().to_string());
        assert_eq!(naive("2024-05-29-09:14:42").unwrap(), "2024-05-29 09:14:42");
        assert_eq!(naive("20260310060000").unwrap(), "2026-03-10 06:00:00");
        assert_eq!(naive("20260310T060000Z").unwrap(), "2026-03-10 06:00:00");
        assert_eq!(naive("2024-05-29").unwrap(), "2024-05-29 00:00:00");
        for name in ["events", "2024", "2024-13-01", "20240529.bak", "v12345678"] {
            assert_eq!(naive(name), None, "{name}");
        }
    }
}
