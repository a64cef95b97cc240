//! `restorekit.json`: what a snapshot of ours holds, and how to know that it is whole.
//!
//! A snapshot is a folder named `{hostname}.{timestamp}.{database}.{format}` with the
//! manifest, a folder `parquet/` and/or a folder `json/`, and a file a table in each. The
//! manifest is written last, and the folder is renamed into place after it, so a folder
//! without one is no snapshot.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::table::{TableName, TableSchema};

/// The manifest's file name.
pub const MANIFEST: &str = "restorekit.json";

/// The version of the manifest's format that this program writes and reads.
pub const FORMAT_VERSION: &str = "1";

/// The manifest of one snapshot of one database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`].
    pub format_version: String,
    /// restorekit's version.
    pub tool: String,
    /// When the reading snapshot was taken, RFC 3339 with offset.
    pub taken_at: String,
    /// The host it was taken on.
    pub host: String,
    /// The database's name (a SQLite file's name).
    pub database: String,
    /// The engine: `sqlite`.
    pub engine: String,
    /// The database's location, without secrets: the canonical path of a file, the URL of a
    /// server. Snapshots of earlier versions have a file's path as it was typed.
    pub location: String,
    /// The tables that were asked for, sorted; none, and no member, for every table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<TableName>,
    /// Its tables, sorted by name.
    pub tables: Vec<ManifestTable>,
}

/// What a snapshot is one of: the snapshots of one database that replace each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Series {
    /// The host.
    pub host: String,
    /// The database's name.
    pub database: String,
    /// The database's location on that host.
    pub location: String,
    /// The tables that were asked for; none for every table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<TableName>,
}

impl Series {
    /// True when the location tells the database from every other one of its host. A path
    /// that is not given in full does not: `app.db` is another file in every folder.
    pub fn is_told(&self) -> bool {
        self.location.contains("://") || Path::new(&self.location).is_absolute()
    }

    /// Which tables it is of, where not of all.
    pub fn in_part(&self) -> Option<String> {
        let only: Vec<String> = self.only.iter().map(TableName::to_string).collect();
        (!only.is_empty()).then(|| format!("of some tables only: {}", only.join(", ")))
    }
}

/// The database, by its location and host.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.location, self.host)
    }
}

impl Manifest {
    /// The series that the snapshot belongs to.
    pub fn series(&self) -> Series {
        Series {
            host: self.host.clone(),
            database: self.database.clone(),
            location: self.location.clone(),
            only: self.only.clone(),
        }
    }
}

/// One table of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestTable {
    /// The table's name.
    pub name: TableName,
    /// The table as live described it, with its DDL.
    pub schema: TableSchema,
    /// The number of rows.
    pub rows: u64,
    /// The columns by which the rows are in ascending order; empty: in no order.
    pub ordered_by: Vec<String>,
    /// The files, each of which holds the whole table.
    pub files: Vec<ManifestFile>,
}

/// One file of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// The path below the snapshot's folder, with `/`.
    pub path: String,
    /// What it is.
    pub format: FileFormat,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// The formats of a snapshot's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Parquet, zstd, with page checksums. A column
    /// [`EXACT`](crate::model::value::EXACT) is there only where some value needs it.
    Parquet,
    /// JSON lines, zstd: an object a row. What JSON can't say exactly is an object with
    /// one of the members `$text` or `$blob` (hexadecimal) or `$real` (`"-0.0"`, `"inf"`, ..).
    Jsonl,
}
