//! The one place that names the engines: a location in, a source or a target out.

use std::io;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use crate::engine::mysql::replica::MysqlReplica;
use crate::engine::mysql::write::MysqlTarget;
use crate::engine::postgres::replica::PostgresReplica;
pub(crate) use crate::engine::postgres::types::words as postgres_words;
use crate::engine::postgres::write::PostgresTarget;
use crate::engine::sqlite::write::SqliteTarget;
use crate::engine::{mysql, postgres, sqlite};
use crate::error::{Error, Result};
use crate::model::origin::Identity;
use crate::model::side::Which;
use crate::source::Source;
use crate::target::{Replica, Target};

/// The number of connections that read a database at once when nobody says: as many as
/// there are cores, at most 4.
pub fn default_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(4))
}

/// Where a database is: the engine that a location names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'a> {
    /// The path of a SQLite file: a bare path, `sqlite:path` or `sqlite://path`.
    Sqlite(&'a str),
    /// The URL of a MySQL or MariaDB database: `mysql://`, `mariadb://`.
    Mysql(&'a str),
    /// The URL of a PostgreSQL database: `postgres://`, `postgresql://`.
    Postgres(&'a str),
}

impl<'a> Location<'a> {
    /// Tells the engine by the scheme. A text without one is a path.
    ///
    /// # Errors
    /// `Usage` for a scheme that no engine has.
    pub fn parse(location: &'a str) -> Result<Self> {
        if let Some(path) = location.strip_prefix("sqlite:") {
            return Ok(Location::Sqlite(path.strip_prefix("//").unwrap_or(path)));
        }
        // A path may hold `://` only after a slash or in no scheme's form.
        match location.split_once("://") {
            Some(("mysql" | "mariadb", _)) => Ok(Location::Mysql(location)),
            Some(("postgres" | "postgresql", _)) => Ok(Location::Postgres(location)),
            Some((scheme, _)) if is_scheme(scheme) => Err(Error::usage(format!(
                "databases with the scheme {scheme}:// are not supported"
            ))
            .hint(
                "give the path of a SQLite file, postgres://user@host/database or \
                 mysql://user@host/database",
            )),
            _ => Ok(Location::Sqlite(location)),
        }
    }

    /// The database's name: a file's, or the one that a server's URL names, as it stands there.
    pub fn database(self) -> Option<&'a str> {
        match self {
            Location::Sqlite(path) => Path::new(path).file_name()?.to_str(),
            Location::Mysql(url) | Location::Postgres(url) => {
                let (_, rest) = url.split_once("://")?;
                let path = rest.split('?').next()?.split_once('/')?.1;
                Some(path).filter(|name| !name.is_empty())
            }
        }
    }

    /// The path of a database that is a file.
    pub fn path(self) -> Option<&'a Path> {
        match self {
            Location::Sqlite(path) => Some(Path::new(path)),
            Location::Mysql(_) | Location::Postgres(_) => None,
        }
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}

/// True for a text that names a database server rather than a path.
pub fn is_server(location: &str) -> bool {
    Location::parse(location).is_ok_and(|location| location.path().is_none())
}

/// A location with what its engine's own clients would add to it: user, password, host and
/// socket from their option files and environment variables, which `environment` looks up.
///
/// # Errors
/// `Usage` for an option file that can't be understood.
pub fn complete(
    location: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<SecretString> {
    match Location::parse(location)? {
        Location::Sqlite(_) => Ok(location.into()),
        Location::Postgres(url) => Ok(postgres::address::complete(url, environment)),
        Location::Mysql(url) => mysql::client::complete(url, environment),
    }
}

/// A completed location with a password that it does not have yet.
pub fn with_password(location: &str, password: &SecretString) -> Result<SecretString> {
    match Location::parse(location)? {
        Location::Sqlite(_) => Ok(location.into()),
        Location::Mysql(url) => Ok(mysql::client::with_password(url, password)),
        Location::Postgres(url) => Ok(postgres::address::with_password(url, password)),
    }
}

/// How a location is shown and stored: without a password, as
/// [`Identity::location`](crate::model::origin::Identity::location) has it.
pub fn shown(location: &str) -> Result<String> {
    match Location::parse(location)? {
        Location::Sqlite(path) => Ok(path.to_owned()),
        Location::Mysql(url) => mysql::open::shown(url),
        Location::Postgres(url) => postgres::open::shown(url),
    }
}

/// True when two locations name one database, each with the host that it was named on: one
/// file of a host, by its full path; one database of a server, whoever enters it. What
/// `localhost` is, depends on the host.
pub fn same_place(one: (&str, &str), other: (&str, &str)) -> bool {
    let one_host = one.0 == other.0;
    let server = |one: Result<(String, bool)>, other: Result<(String, bool)>| matches!((one, other), (Ok(one), Ok(other)) if one == other && (one_host || !one.1));
    match (Location::parse(one.1), Location::parse(other.1)) {
        (Ok(Location::Sqlite(a)), Ok(Location::Sqlite(b))) => {
            one_host && a == b && Path::new(a).is_absolute()
        }
        (Ok(Location::Mysql(a)), Ok(Location::Mysql(b))) => {
            server(mysql::open::place(a), mysql::open::place(b))
        }
        (Ok(Location::Postgres(a)), Ok(Location::Postgres(b))) => {
            server(postgres::open::place(a), postgres::open::place(b))
        }
        _ => false,
    }
}

/// Opens a live database for reading, in one snapshot that `parallelism` connections share.
pub async fn open_live(location: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    match Location::parse(location)? {
        Location::Sqlite(path) => sqlite::open::live(path, parallelism).await,
        Location::Mysql(url) => mysql::open::source(url, Which::Live, parallelism).await,
        Location::Postgres(url) => postgres::open::source(url, Which::Live, parallelism).await,
    }
}

/// Opens a database as a backup; a SQLite file's bytes and its folder stay as they are.
pub async fn open_backup(location: &str, parallelism: usize) -> Result<Arc<dyn Source>> {
    match Location::parse(location)? {
        Location::Sqlite(path) => sqlite::open::backup(path, parallelism).await,
        Location::Mysql(url) => mysql::open::source(url, Which::Backup, parallelism).await,
        Location::Postgres(url) => postgres::open::source(url, Which::Backup, parallelism).await,
    }
}

/// Opens a live database to be written to.
pub async fn open_target(location: &str) -> Result<Box<dyn Target>> {
    match Location::parse(location)? {
        Location::Sqlite(path) => {
            Ok(Box::new(SqliteTarget::open(path, sqlite::schema::describe).await?))
        }
        Location::Mysql(url) => Ok(Box::new(MysqlTarget::open(url).await?)),
        Location::Postgres(url) => Ok(Box::new(PostgresTarget::open(url).await?)),
    }
}

/// Opens a replica of live, to ask how far it is behind.
pub async fn open_replica(location: &str) -> Result<Box<dyn Replica>> {
    match Location::parse(location)? {
        Location::Sqlite(path) => Err(Error::usage(format!("{path} is a file: it is no replica"))
            .hint("name a server's URL with --replica")),
        Location::Mysql(url) => Ok(Box::new(MysqlReplica::open(url).await?)),
        Location::Postgres(url) => Ok(Box::new(PostgresReplica::open(url).await?)),
    }
}

/// The identity of the file that a location leads to; `None` for a server, and where there is no
/// such file. Nothing is opened.
pub fn file_at(location: &str) -> Option<Identity> {
    let path = Location::parse(location).ok()?.path()?.to_str()?;
    Some(sqlite::file::DatabaseFile::find(path, Which::Live).ok()?.identity())
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
            assert_eq!(Location::parse(location).unwrap(), Location::Sqlite(path));
            assert!(!is_server(location));
        }
        for url in ["mysql://h/db", "mariadb://h/db", "postgres://h/db", "postgresql:///db"] {
            assert!(is_server(url), "{url}");
        }
        let e = Location::parse("oracle://u:secret@h/db").unwrap_err();
        assert!(!e.to_string().contains("secret"), "{e}");
    }
}
