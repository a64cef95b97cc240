//! Both sides travel together, so that they can't be swapped by position.

use serde::{Deserialize, Serialize};

/// A pair of things, one of the backup and one of the live database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Side<T> {
    /// The source of old rows.
    pub backup: T,
    /// The database in use.
    pub live: T,
}

impl<T> Side<T> {
    /// Applies `f` to both sides.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Side<U> {
        Side { backup: f(self.backup), live: f(self.live) }
    }

    /// Borrows both sides.
    pub fn as_ref(&self) -> Side<&T> {
        Side { backup: &self.backup, live: &self.live }
    }

    /// Applies a fallible `f` to both sides, the backup first.
    pub fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Side<U>, E> {
        Ok(Side { backup: f(self.backup)?, live: f(self.live)? })
    }

    /// The thing of the named side.
    pub fn get(&self, which: Which) -> &T {
        match which {
            Which::Backup => &self.backup,
            Which::Live => &self.live,
        }
    }
}

/// The name of a side, for messages and column prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The backup.
    Backup,
    /// The live database.
    Live,
}

impl Which {
    /// `backup` or `live`.
    pub fn as_str(self) -> &'static str {
        match self {
            Which::Backup => "backup",
            Which::Live => "live",
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
