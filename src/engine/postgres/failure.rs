//! What a server's error means, by its SQLSTATE, never by its text (PostgreSQL documentation,
//! appendix A).

use crate::engine::postgres::address::Address;
use crate::engine::rights;
use crate::engine::stop::{Explain, because, lost};
use crate::error::{Error, Kind};

/// A lock was waited for too long; the transaction has failed.
pub(crate) const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The user lacks a right.
pub(crate) const NO_RIGHT: &str = "42501";
/// The server chose this transaction to end a deadlock.
pub(crate) const DEADLOCK: &str = "40P01";
/// Others wrote what this transaction read.
pub(crate) const SERIALIZATION: &str = "40001";

/// The SQLSTATE of an error; `None` when it is not the server's.
pub(crate) fn state(e: &sqlx::Error) -> Option<String> {
    match e {
        sqlx::Error::Database(e) => e.code().map(|code| code.into_owned()),
        _ => None,
    }
}

/// True when the connection is gone, so that nobody knows what became of the last statement.
pub(crate) fn is_lost(e: &sqlx::Error) -> bool {
    match state(e).as_deref() {
        // Shut down by the administrator, crashed, connection failures, idle for too long.
        Some(state) => state.starts_with("57P") || state.starts_with("08") || state == "25P03",
        None => matches!(e, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

/// True when a text is no value of the type that it was to be one of.
pub(crate) fn is_no_value(e: &sqlx::Error) -> bool {
    state(e).is_some_and(|state| state.starts_with("22"))
}

impl Explain for Address {
    /// A failure with the server and what was being done in words.
    fn explain(&self, what: &str, e: sqlx::Error) -> Error {
        let (side, shown) = (self.side, self.shown());
        let error = self.trust().refused(shown, &e);
        let error = error.unwrap_or_else(|| match state(&e).as_deref() {
            Some("28000" | "28P01") => {
                Error::failed(format!("{side}: {shown} does not let this user in")).denied().hint(
                    "check user and password, best in ~/.pgpass: host:port:database:user:password",
                )
            }
            Some("3D000") => Error::usage(format!("{side}: {shown}: there is no such database"))
                .hint("the URL's path names the database: postgres://user@host/database"),
            Some(NO_RIGHT) => Error::failed(format!(
                "{side}: this user has no right to {what} at {shown}, or row-level security \
                 would hide rows from it"
            ))
            .hint(rights::wanted(side)),
            Some("25006") => {
                Error::refused(format!("{side}: {shown} is read-only and can't be written"))
                    .hint("name the primary server as --live")
            }
            Some(LOCK_NOT_AVAILABLE) => {
                Error::failed(format!("{side}: {shown}: a row is locked by another client"))
                    .hint("its transaction held the lock for 2 s; try again when it has ended")
            }
            Some(DEADLOCK | SERIALIZATION) => {
                Error::failed(format!("{side}: {shown}: deadlocked with other clients"))
                    .hint("try again when the tables are less busy")
            }
            Some("22021") => Error::refused(format!(
                "{side}: {shown} could not {what}: a text there is not valid in UTF-8"
            ))
            .hint("a database of encoding SQL_ASCII may hold such bytes; correct them there first"),
            Some("53300") => {
                Error::failed(format!("{side}: {shown} has no connection left for this user"))
                    .hint("try again later, or with fewer connections")
            }
            Some("53100") => Error::new(
                Kind::Stopped,
                format!("{side}: {shown} could not {what}: its disk is full"),
            )
            .hint("free some space, then restorekit apply --resume"),
            _ if is_lost(&e) => lost(side, shown, what),
            _ => Error::failed(format!("{side}: {shown} could not {what}")),
        });
        because(error, e)
    }
}
