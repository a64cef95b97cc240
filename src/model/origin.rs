//! Where rows come from: what a screen names, and what a plan is bound to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::table::{Carrier, Column};
use crate::model::value::hex;

/// A source as a person knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Where this is the first of several backups: the others, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Origin>,
}

impl Origin {
    /// This one and the further ones, in their order: what a backup's number means.
    pub fn all(&self) -> impl Iterator<Item = &Origin> {
        std::iter::once(self).chain(&self.further)
    }
}

/// The column that tells of a row of several backups which of them it comes from, from 0.
/// No table of a person's has it: it is asked for by this name only.
pub const FROM: &str = "(backup)";

/// [`FROM`] as a column to ask for.
pub fn from_column() -> Column {
    Column::new(FROM, Carrier::Int)
}

/// The identity of a database, by which a plan finds its target again and by which the
/// same database on both sides is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase")]
pub enum Identity {
    /// A SQLite file, by host, device and inode: the file format itself holds nothing that
    /// tells a database from its copy.
    Sqlite {
        /// The host's name.
        #[serde(default)]
        host: String,
        /// The device.
        dev: u64,
        /// The inode.
        ino: u64,
        /// The canonical path, for screens and the confirmation.
        path: String,
    },
    /// A PostgreSQL database, by its cluster and its number in it.
    Postgres {
        /// `system_identifier` of `pg_control_system()`.
        system: u64,
        /// The database's oid.
        oid: u32,
        /// When the server was started, in microseconds since 1970: what tells a cluster from
        /// its copy that runs beside it. Not kept, since a server may be started anew; 0 is
        /// not known.
        #[serde(skip)]
        started: i64,
        /// The database's name.
        name: String,
        /// Where it was reached: a URL without a password.
        location: String,
    },
    /// A schema of a MySQL or MariaDB server.
    Mysql {
        /// `@@server_uuid`, or MariaDB's `@@server_uid`.
        server: String,
        /// The schema's name.
        name: String,
        /// Where it was reached: a URL without a password.
        location: String,
    },
}

impl Identity {
    /// True when both name the same database, whatever path led there.
    pub fn same(&self, other: &Identity) -> bool {
        match (self, other) {
            (
                Identity::Sqlite { host, dev, ino, .. },
                Identity::Sqlite { host: other_host, dev: other_dev, ino: other_ino, .. },
            ) => (host, dev, ino) == (other_host, other_dev, other_ino),
            (
                Identity::Postgres { system, oid, started, .. },
                Identity::Postgres {
                    system: other_system,
                    oid: other_oid,
                    started: other_started,
                    ..
                },
            ) => {
                let one_start = *started == 0 || *other_started == 0 || started == other_started;
                (system, oid) == (other_system, other_oid) && one_start
            }
            (
                Identity::Mysql { server, name, .. },
                Identity::Mysql { server: other_server, name: other_name, .. },
            ) => (server, name) == (other_server, other_name),
            _ => false,
        }
    }

    /// True when only what a system gives anew moved: the number of a file's device, after
    /// a restart, or the name of its host, as a container's.
    pub fn same_file(&self, other: &Identity) -> bool {
        match (self, other) {
            (
                Identity::Sqlite { ino, path, .. },
                Identity::Sqlite { ino: other_ino, path: other_path, .. },
            ) => (ino, path) == (other_ino, other_path),
            _ => false,
        }
    }

    /// The engine's name in lower case: `sqlite`, `postgres`, `mysql`.
    pub fn engine(&self) -> &'static str {
        match self {
            Identity::Sqlite { .. } => "sqlite",
            Identity::Postgres { .. } => "postgres",
            Identity::Mysql { .. } => "mysql",
        }
    }

    /// The database's name, which the confirmation asks for: the file's name on SQLite.
    pub fn database(&self) -> &str {
        match self {
            Identity::Sqlite { path, .. } => path.rsplit('/').next().unwrap_or(path),
            Identity::Postgres { name, .. } | Identity::Mysql { name, .. } => name,
        }
    }

    /// Where it can be opened again: a path, or a URL without a password.
    pub fn location(&self) -> &str {
        match self {
            Identity::Sqlite { path, .. } => path,
            Identity::Postgres { location, .. } | Identity::Mysql { location, .. } => location,
        }
    }

    /// The path of a database that is a file.
    pub fn path(&self) -> Option<&str> {
        match self {
            Identity::Sqlite { path, .. } => Some(path),
            Identity::Postgres { .. } | Identity::Mysql { .. } => None,
        }
    }

    /// The host of a database that is a file.
    pub fn host(&self) -> Option<&str> {
        match self {
            Identity::Sqlite { host, .. } => Some(host),
            Identity::Postgres { .. } | Identity::Mysql { .. } => None,
        }
    }

    /// A word that no other database has, fit for a file's name.
    pub fn word(&self) -> String {
        match self {
            Identity::Sqlite { dev, ino, .. } => format!("sqlite-{dev:x}-{ino:x}"),
            Identity::Postgres { system, oid, .. } => format!("postgres-{system:x}-{oid}"),
            Identity::Mysql { server, name, .. } => {
                format!("mysql-{}-{}", hex(server.as_bytes()), hex(name.as_bytes()))
            }
        }
    }
}

/// Where it is, for a person: `/srv/prod.db on db1`, or a URL.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.location())?;
        self.host().map_or(Ok(()), |host| write!(f, " on {host}"))
    }
}
