//! Why something did not go on a server.

use crate::error::Error;

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
