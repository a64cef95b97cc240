//! The one place that names the engines: a location in, a source or a target out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::engine::sqlite;
use crate::engine::sqlite::write::SqliteTarget;
use crate::error::{Error, Result};
use crate::source::Source;
use crate::target::Target;

/// The number of connections that read a database at once when nobody says: as many as
/// there are cores, at most 4.
pub fn default_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(4))
}

/// Opens a live database for reading, in one snapshot that `parallelism` connections share.
/// `location` is a path, or `sqlite:path` or `sqlite://path`.
pub async fn open_live(location: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    sqlite::open::live(sqlite_path(location)?, parallelism).await
}

/// Opens a SQLite file as a backup; its bytes and its folder stay as they are.
pub async fn open_sqlite_backup(path: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    sqlite::open::backup(sqlite_path(path)?, parallelism).await
}

/// Opens a live database to be written to.
pub async fn open_target(location: &str) -> Result<Box<dyn Target>> {
    let path = sqlite_path(location)?;
    Ok(Box::new(SqliteTarget::open(path, sqlite::schema::describe).await?))
}

/// Runs SQL on a database of restorekit's own making, in one transaction; the file is
/// created where it is missing. Not for a user's database.
pub async fn run_script(path: &Path, sql: &str) -> Result<()> {
    sqlite::script::run(path, sql).await
}

/// The first bytes of a file that may be a database, at most `most`. Opening a SQLite file
/// that this process is connected to would drop its locks, so such a file is not opened,
/// and only SQLite's magic comes back.
pub fn first_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    sqlite::file::first_bytes(path, most)
}

/// The path that a SQLite location means.
pub fn sqlite_path(location: &str) -> Result<&str> {
    if let Some(path) = location.strip_prefix("sqlite:") {
        return Ok(path.strip_prefix("//").unwrap_or(path));
    }
    // A path may hold `://` only after a slash or in no scheme's form.
    match location.split_once("://") {
        Some((scheme, _))
            if !scheme.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') =>
        {
            Err(Error::usage(format!("databases with the scheme {scheme}:// are not supported"))
                .hint("give the path of a SQLite file, or sqlite://path"))
        }
        _ => Ok(location),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_sqlite_url() {
        for (location, path) in [
            ("app.db", "app.db"),
            ("/srv/app.db", "/srv/app.db"),
            ("sqlite:app.db", "app.db"),
            ("sqlite://app.db", "app.db"),
            ("sqlite:///srv/app.db", "/srv/app.db"),
            ("a:b/c.db", "a:b/c.db"),
        ] {
            assert_eq!(sqlite_path(location).unwrap(), path);
        }
        for location in ["postgres://u:secret@h/db", "mysql://h/db"] {
            let e = sqlite_path(location).unwrap_err();
            assert!(!e.to_string().contains("secret"), "{e}");
        }
    }
}
