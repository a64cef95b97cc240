//! Why something did not go on a server.

use crate::error::Error;
use crate::model::side::Which;

/// What is being done where there is no connection yet.
pub(crate) const CONNECT: &str = "be connected to";

/// The error of a connection that is gone, or never was.
pub(crate) fn lost(side: Which, shown: &str, what: &str) -> Error {
    match what {
        CONNECT => Error::failed(format!("{side}: {shown} can't be reached"))
            .hint("check host and port, and that the server runs there"),
        _ => Error::failed(format!(
            "{side}: the connection to {shown} was lost while it was to {what}"
        ))
        .hint("check that the server runs and can be reached"),
    }
}

/// The error with its cause, but not where the driver's own words may quote what it was
/// configured with.
pub(crate) fn because(error: Error, e: sqlx::Error) -> Error {
    match e {
        sqlx::Error::Configuration(_) => error,
        e => error.because(e),
    }
}

/// The server, or we ourselves.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The server or the connection.
    Server(sqlx::Error),
    /// Ours.
    Ours(Error),
}

/// A server that tells what its failures mean.
pub(crate) trait Explain {
    /// The user-facing error of a failure while the server was to `what`.
    fn explain(&self, what: &str, e: sqlx::Error) -> Error;
}

impl Stop {
    /// The user-facing error.
    pub(crate) fn explain(self, server: &impl Explain, what: &str) -> Error {
        match self {
            Stop::Server(e) => server.explain(what, e),
            Stop::Ours(e) => e,
        }
    }
}

impl From<sqlx::Error> for Stop {
    fn from(e: sqlx::Error) -> Self {
        Stop::Server(e)
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Stop::Ours(e)
    }
}
