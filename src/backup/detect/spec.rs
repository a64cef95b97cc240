//! A backup as the user names it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};

use crate::backup::dump::cache::Cache;
use crate::backup::place::{Input, Mirror, Unlock, Variables, is_remote};
use crate::backup::text::Limits;
use crate::error::{Error, Result};
use crate::registry;

/// A backup as the user names it.
#[derive(Clone, Debug, Default)]
pub struct BackupSpec {
    /// The file or folder.
    pub path: PathBuf,
    /// The file or folder that is meant in a tar.
    pub member: Option<String>,
    /// What opens it where it is encrypted.
    pub unlock: Unlock,
    /// The variables of the environment that stores are reached by.
    pub stores: Variables,
    /// What was not brought from its store, and is read there.
    pub mirror: Option<Arc<Mirror>>,
    /// The stream that it is read from, where it is no path.
    pub input: Option<Input>,
    /// Which of several; `None` when not said: the newest.
    pub pick: Option<Pick>,
    /// The live database's name, which picks one of several databases.
    pub database: Option<String>,
    /// The live database, which tells its own snapshots from those of others of its name.
    pub live: Option<Live>,
    /// The tables that will be read, where they are known: a dump is then read once for all
    /// of them. Empty: any.
    pub tables: Vec<String>,
    /// How many parts are read at once.
    pub parallelism: usize,
    /// What one table may expand to, where the user raised it.
    pub max_expanded_bytes: Option<u64>,
    /// Where what is read of a dump is kept for the next time.
    pub cache: Option<Cache>,
}

/// The live database, as far as it is known before it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The host that this runs on.
    pub host: String,
    /// The location, as
    /// [`Identity::location`](crate::model::origin::Identity::location) has it.
    pub location: String,
}

/// Which of the backups in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// So many before the newest.
    Back(usize),
    /// The newest of those taken at this moment or before it.
    AsOf(DateTime<FixedOffset>),
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Back(0) => f.write_str("@latest"),
            Self::Back(back) => write!(f, "@latest~{back}"),
            Self::AsOf(moment) => write!(f, "--as-of {}", moment.to_rfc3339()),
        }
    }
}

impl BackupSpec {
    /// Reads `path`, `path@latest` or `path@latest~N`, and `tar!member` for the path.
    pub fn parse(text: &str) -> Result<Self> {
        let whole = Self::of_path(text);
        let Some((path, selector)) = text.rsplit_once("@latest") else { return Ok(whole) };
        if fs::symlink_metadata(text).is_ok() {
            return Ok(whole);
        }
        let back = match selector {
            "" => 0,
            _ => selector.strip_prefix('~').and_then(|n| n.parse().ok()).ok_or_else(|| {
                Error::usage(format!("@latest{selector} names no backup"))
                    .hint("write @latest, or @latest~1 for the one before it")
            })?,
        };
        Ok(Self { pick: Some(Pick::Back(back)), ..Self::of_path(path) })
    }

    /// A path, behind which the member of a tar may stand: `!` and its name.
    fn of_path(text: &str) -> Self {
        let whole = Self { path: text.into(), parallelism: 1, ..Self::default() };
        if fs::symlink_metadata(text).is_ok() {
            return whole;
        }
        let mut splits = text.match_indices('!').map(|(at, _)| (&text[..at], &text[at + 1..]));
        match splits.find(|(tar, _)| is_remote(text) || Path::new(tar).is_file()) {
            Some((tar, member)) => {
                Self { path: tar.into(), member: Some(member.to_owned()), ..whole }
            }
            None => whole,
        }
    }

    /// The URL, where it is a server that is named.
    pub fn server(&self) -> Option<&str> {
        self.path.to_str().filter(|path| registry::is_server(path))
    }

    /// The caps on expanding it.
    pub fn limits(&self) -> Limits {
        match self.max_expanded_bytes {
            Some(bytes) => Limits::expanded(bytes),
            None => Limits::default(),
        }
    }
}
