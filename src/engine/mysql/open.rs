//! Opening a database of a server for reading.

use std::sync::Arc;

use crate::engine::mysql::address::Address;
use crate::engine::mysql::pool::Pool;
use crate::engine::mysql::session::Server;
use crate::engine::mysql::source::MysqlSource;
use crate::error::Result;
use crate::model::origin::{Identity, Origin};
use crate::model::side::Which;
use crate::source::Source;

/// Opens a database in one snapshot that up to `parallelism` connections share; as a backup
/// it is read in the same way.
///
/// # Errors
/// `Usage` for a URL that can't be read or a database that is not there; `Failed` when the
/// server can't be reached or does not let the user in.
pub(crate) async fn source(url: &str, side: Which, parallelism: usize) -> Result<Arc<dyn Source>> {
    let pool = Pool::open(Address::parse(url, side)?, parallelism).await?;
    let origin = Origin {
        location: pool.address().shown().to_owned(),
        kind: format!("{} database", pool.server().kind()),
        taken_at: None,
        warnings: Vec::new(),
        ..Origin::default()
    };
    let identity = identity(pool.address(), pool.server());
    Ok(Arc::new(MysqlSource::new(origin, identity, pool)))
}

/// A URL without its password.
pub(crate) fn shown(url: &str) -> Result<String> {
    Ok(Address::parse(url, Which::Live)?.shown().to_owned())
}

/// Host, port and database of a URL, and whether that host is this one.
pub(crate) fn place(url: &str) -> Result<(String, bool)> {
    Ok(Address::parse(url, Which::Live)?.place().to_owned())
}

/// The identity of the database behind a connection.
pub(crate) fn identity(address: &Address, server: &Server) -> Identity {
    Identity::Mysql {
        server: server.id.clone(),
        name: address.database().to_owned(),
        location: address.shown().to_owned(),
    }
}
