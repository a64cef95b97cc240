//! What diff and gaps found, before anyone renders it. The JSON of these types is the
//! stable one of the documentation (`format_version` 1).

use serde::{Deserialize, Serialize};

use crate::model::origin::Origin;

/// The summary of a diff over some tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffSummary {
    /// Live.
    pub live: Origin,
    /// The backup.
    pub backup: Origin,
    /// A summary a table.
    pub tables: Vec<TableDiff>,
    /// Tables that only one side has: never compared.
    pub only_live: Vec<String>,
    /// Tables that only the backup has.
    pub only_backup: Vec<String>,
}

/// The summary of one table's diff.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableDiff {
    /// The table's name.
    pub table: String,
    /// The key's columns.
    pub key: Vec<String>,
    /// Rows live.
    pub live_rows: u64,
    /// Rows in the backup.
    pub backup_rows: u64,
    /// Rows only in the backup.
    pub missing: u64,
    /// Rows in both that differ.
    pub changed: u64,
    /// Rows only live.
    pub extra: u64,
    /// Rows in both, equal in every compared column.
    pub same: u64,
    /// Keys that stand more than once on a side, or are several under live's collation.
    pub ambiguous: u64,
    /// Rows whose key is NULL or of a storage class that can't be matched.
    pub unkeyable: u64,
    /// Rows of the backup with a value that live's column can't hold: neither missing nor changed nor
    /// the same, and the rows of live with their keys neither.
    #[serde(default)]
    pub unfit: u64,
    /// Differing rows that a predicate could not judge, and so are in no count above.
    #[serde(default)]
    pub left_out: u64,
    /// Differing rows a column, in the order of live's columns, without zeros.
    pub columns: Vec<ColumnDiff>,
    /// What was not compared, with why.
    pub not_compared: Vec<NotCompared>,
    /// The backup's table, where it is called otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_table: Option<String>,
    /// What the backup has lost, a column each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lossy: Vec<Lossy>,
    /// Of several backups, what each of them gives: a row is taken from the first that has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<FromBackup>,
    /// Set when nothing of the table was compared (no key, say), with why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl TableDiff {
    /// True when something differs or could not be compared by key.
    pub fn has_differences(&self) -> bool {
        self.missing + self.changed + self.extra + self.ambiguous > 0
    }

    /// Rows that were not matched, not compared or not judged by a predicate.
    pub fn unjudged(&self) -> u64 {
        self.unkeyable + self.unfit + self.left_out
    }
}

/// A column of which the backup has lost something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lossy {
    /// The column.
    pub column: String,
    /// What is lost, in words: `moments cut to milliseconds`.
    pub how: String,
    /// Which of several backups has lost it, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<u8>,
    /// Rows whose difference in this column is nothing else: in it they count as the same.
    pub rows: u64,
}

/// What one of several backups gives to a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromBackup {
    /// The backup's location.
    pub backup: String,
    /// Missing rows.
    pub missing: u64,
    /// Rows in both that differ.
    pub changed: u64,
}

/// How often one column differs, and the most common change of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnDiff {
    /// The column's name.
    pub column: String,
    /// Rows in which it differs.
    pub rows: u64,
    /// The most common (backup, live) pairs of display texts with their counts, most
    /// common first; counted over a sample.
    pub common: Vec<(String, String, u64)>,
}

/// A column, or some rows, that were not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCompared {
    /// The column's name, or what rows in words.
    pub column: String,
    /// Why: `only in live`, `only in the backup`, `ignored`, ..
    pub why: String,
}

/// The gaps in an integer key of live, and who can fill them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapReport {
    /// The table's name.
    pub table: String,
    /// The key column.
    pub column: String,
    /// The smallest key live, `None` for an empty table.
    pub first: Option<i64>,
    /// The largest key live.
    pub last: Option<i64>,
    /// Rows live.
    pub present: u64,
    /// Integers in `first..=last` that no row has, and those past the ends of live
    /// that the backup has.
    pub missing: u64,
    /// The gaps as inclusive runs, ascending.
    pub runs: Vec<(i64, i64)>,
    /// Missing integers that the backup has.
    pub recoverable: u64,
    /// Missing integers that no backup has.
    pub unrecoverable: u64,
    /// The unrecoverable ones as inclusive runs.
    pub unrecoverable_runs: Vec<(i64, i64)>,
    /// What each of several backups can fill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backups: Vec<GapBackup>,
}

/// What one of several backups can fill of the gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapBackup {
    /// The backup's location.
    pub backup: String,
    /// Missing integers that it has.
    pub recoverable: u64,
    /// Those of them that no backup before it has.
    pub first: u64,
}
