//! Where a server is, and as whom it is entered: `mysql://user@host:port/database`.
//!
//! ```text
//! mysql://root@db1/prod                                TCP, TLS verified
//! mariadb://root@localhost/prod?socket=/run/m.sock     a unix socket
//! mysql://root@db1/prod?ssl-ca=/etc/ca.pem             an authority of one's own
//! ```
//!
//! The password never leaves this module but to the driver: what is shown is built anew
//! from the other parts.

use std::fmt;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::error::{Error, Result};
use crate::model::side::Which;

/// The parameters of a URL that mean something.
const KNOWN: [&str; 8] =
    ["socket", "ssl-mode", "sslmode", "ssl-ca", "sslca", "ssl-cert", "ssl-key", "sslcert"];

/// A database of a server, and how to enter it.
#[derive(Clone)]
pub(crate) struct Address {
    options: MySqlConnectOptions,
    database: String,
    shown: String,
    /// The side it is read as, or written to.
    pub(crate) side: Which,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Usage`; no message holds the URL, which may hold a password.
    pub(crate) fn parse(url: &str, side: Which) -> Result<Self> {
        let wrong = |why: &str| {
            Error::usage(format!("{side}: the server's URL can't be read: {why}"))
                .hint("mysql://user@host:3306/database, or ?socket=/path behind it")
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let rest = match rest.strip_prefix('/') {
            Some(path) => format!("localhost/{path}"),
            None => rest.to_owned(),
        };
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let names = query.split('&').filter(|part| !part.is_empty());
        let mut names = names.map(|part| part.split_once('=').map_or(part, |(name, _)| name));
        if let Some(unknown) = names.clone().find(|name| !KNOWN.contains(name)) {
            return Err(wrong(&format!("there is no parameter {unknown}")));
        }
        let mode_named = names.any(|name| matches!(name, "ssl-mode" | "sslmode"));
        let mut options: MySqlConnectOptions =
            format!("mysql://{rest}").parse().map_err(|_| wrong("a part of it is malformed"))?;
        let database = options.get_database().unwrap_or_default().to_owned();
        if database.is_empty() {
            return Err(wrong("it names no database"));
        }
        let local = options.get_socket().is_some()
            || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
        if !mode_named {
            options = options.ssl_mode(match local {
                true => MySqlSslMode::Disabled,
                false => MySqlSslMode::VerifyIdentity,
            });
        } else if !local
            && matches!(
                options.get_ssl_mode(),
                MySqlSslMode::Disabled | MySqlSslMode::Preferred | MySqlSslMode::Required
            )
        {
            return Err(wrong("off this host the server is verified").hint(
                "ssl-mode=verify_identity, with ssl-ca=FILE where the authority is your own",
            ));
        }
        let place = match options.get_socket() {
            Some(socket) => format!("localhost/{database}?socket={}", socket.display()),
            None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
        };
        let shown = format!("{scheme}://{}@{place}", options.get_username());
        let options = options
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .statement_cache_capacity(64);
        Ok(Self { options, database, shown, side })
    }

    /// The URL without a password.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// For the driver.
    pub(super) fn options(&self) -> &MySqlConnectOptions {
        &self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w2_a_password_is_in_no_message() {
        let address =
            Address::parse("mysql://u:hun%40ter2@localhost:3307/app", Which::Live).unwrap();
        assert_eq!(address.shown(), "mysql://u@localhost:3307/app");
        assert!(!format!("{address:?}").contains("ter2"));
        for wrong in [
            "mysql://u:hunter2@h:port/app",
            "mysql://u:hunter2@localhost",
            "mysql://u:hunter2@localhost/app?allowLocalInfile=true",
            "mysql://u:hunter2@db1/app?ssl-mode=disabled",
        ] {
            let e = Address::parse(wrong, Which::Live).unwrap_err();
            assert!(!format!("{e:?} {:?}", e.hints()).contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn w13_off_this_host_tls_is_verified() {
        let mode = |url| {
            let address = Address::parse(url, Which::Live).unwrap();
            format!("{:?}", address.options.get_ssl_mode())
        };
        assert_eq!(mode("mysql://u@db1/app"), "VerifyIdentity");
        assert_eq!(mode("mysql://u@localhost/app"), "Disabled");
        assert_eq!(mode("mariadb://u@localhost/app?socket=/run/m.sock"), "Disabled");
        assert_eq!(mode("mysql://u@localhost/app?ssl-mode=verify_ca"), "VerifyCa");
        assert_eq!(mode("mysql://u@db1/app?ssl-mode=verify_ca&ssl-ca=/ca.pem"), "VerifyCa");
    }
}
