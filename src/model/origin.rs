//! Where rows come from: what a screen names, and what a plan is bound to.

use serde::{Deserialize, Serialize};

/// A source as a person knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The location, without secrets: a path or a redacted URL.
    pub location: String,
    /// The kind in words: `SQLite database`, `restorekit snapshot`, `Parquet folder`.
    pub kind: String,
    /// When the backup was taken, RFC 3339 with offset, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<String>,
    /// What a person should know before relying on it (`unchecksummed Parquet pages`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The identity of a database, by which a plan finds its target again and by which the
/// same database on both sides is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum Identity {
    /// A SQLite file, by device and inode.
    Sqlite {
        /// The device.
        dev: u64,
        /// The inode.
        ino: u64,
        /// The canonical path, for screens and the confirmation.
        path: String,
    },
}

impl Identity {
    /// True when both name the same database, whatever path led there.
    pub fn same(&self, other: &Identity) -> bool {
        match (self, other) {
            (
                Identity::Sqlite { dev, ino, .. },
                Identity::Sqlite { dev: other_dev, ino: other_ino, .. },
            ) => (dev, ino) == (other_dev, other_ino),
        }
    }

    /// The database's name, which the confirmation asks for: the file's name on SQLite.
    pub fn database(&self) -> &str {
        match self {
            Identity::Sqlite { path, .. } => path.rsplit('/').next().unwrap_or(path),
        }
    }
}
