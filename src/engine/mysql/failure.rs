//! What a server's error means, by its number, never by its text.
//!
//! Numbers: "Server Error Message Reference" of the MySQL manual, "MariaDB Error Codes".

use sqlx::mysql::MySqlDatabaseError;

use crate::engine::mysql::address::Address;
use crate::engine::rights;
use crate::engine::stop::{Explain, because, lost};
use crate::error::{Error, Kind};

/// The statement waited too long for a lock and was rolled back; its transaction goes on.
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// A deadlock: the whole transaction was rolled back.
pub(crate) const DEADLOCK: u16 = 1213;
/// MariaDB: a row changed since the transaction's snapshot.
pub(crate) const RECORD_CHANGED: u16 = 1020;

/// The server's number for an error; `None` when it is not the server's.
pub(crate) fn number(e: &sqlx::Error) -> Option<u16> {
    match e {
        sqlx::Error::Database(e) => {
            e.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
        }
        _ => None,
    }
}

/// The SQLSTATE of an error.
pub(crate) fn state(e: &sqlx::Error) -> Option<String> {
    match e {
        sqlx::Error::Database(e) => e.code().map(|code| code.into_owned()),
        _ => None,
    }
}

/// True when the connection is gone, so that nobody knows what became of the last statement.
pub(crate) fn is_lost(e: &sqlx::Error) -> bool {
    match number(e) {
        // Shutdown in progress, query or connection killed, idle transaction or connection.
        Some(1053 | 1927 | 4031) => true,
        Some(_) => false,
        None => matches!(e, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

impl Explain for Address {
    fn explain(&self, what: &str, e: sqlx::Error) -> Error {
        explain(self, what, e)
    }
}

fn explain(address: &Address, what: &str, e: sqlx::Error) -> Error {
    let (side, shown) = (address.side, address.shown());
    let error = address.trust().refused(shown, &e);
    let error = error.unwrap_or_else(|| match number(&e) {
        Some(1044) => Error::failed(format!(
            "{side}: this user has no right to the database of {shown}, or there is none"
        ))
        .hint(rights::wanted(side)),
        Some(number @ (1045 | 1698)) => {
            let error = Error::failed(format!("{side}: {shown} does not let this user in"))
                .hint("check user and password, best in ~/.my.cnf: [client] user, password");
            // What a socket's own user is (1698), no password says.
            if number == 1045 { error.denied() } else { error }
        }
        Some(1049) => Error::usage(format!("{side}: {shown}: there is no such database"))
            .hint("the URL's path names the database: mysql://user@host/database"),
        Some(1142 | 1143 | 1227 | 1370 | 1410) => {
            Error::failed(format!("{side}: this user has no right to {what} at {shown}"))
                .hint(rights::wanted(side))
        }
        Some(1290 | 1792 | 1836 | 3989) => {
            Error::refused(format!("{side}: {shown} is read-only and can't be written"))
                .hint("name the primary server as --live")
        }
        Some(LOCK_WAIT_TIMEOUT) => {
            Error::failed(format!("{side}: {shown}: a row is locked by another client"))
                .hint("its transaction held the lock for 2 s; try again when it has ended")
        }
        Some(DEADLOCK | RECORD_CHANGED) => {
            Error::failed(format!("{side}: {shown}: deadlocked with other clients"))
                .hint("try again when the tables are less busy")
        }
        Some(1412) => Error::failed(format!(
            "{side}: {shown}: a table's definition changed while it was read"
        ))
        .hint("run the command again"),
        Some(1114 | 1021 | 3) => {
            Error::new(Kind::Stopped, format!("{side}: {shown} could not {what}: its disk is full"))
                .hint("free some space, then restorekit apply --resume")
        }
        _ if is_lost(&e) => lost(side, shown, what),
        _ => Error::failed(format!("{side}: {shown} could not {what}")),
    });
    because(error, e)
}
