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

use crate::engine::tls::{Names, Trust};
use crate::engine::url::{Parameters, is_here};
use crate::error::{Error, Result};
use crate::model::side::Which;

/// The parameters of a URL that mean something.
const KNOWN: [&str; 9] = [
    "socket", "ssl-mode", "sslmode", "ssl-ca", "sslca", "ssl-cert", "sslcert", "ssl-key", "sslkey",
];

/// Those of them that are files of certificates, after the authorities'.
const OWN: [&str; 4] = ["ssl-cert", "sslcert", "ssl-key", "sslkey"];

/// Where it is said whom to trust.
const NAMES: Names = Names {
    authority: "ssl-ca",
    besides: "ssl-ca=FILE in ~/.my.cnf under [client]",
    offer: "let the server offer TLS: ssl-cert and ssl-key in its option file",
};

/// A database of a server, and how to enter it.
#[derive(Clone)]
pub(crate) struct Address {
    options: MySqlConnectOptions,
    database: String,
    shown: String,
    place: (String, bool),
    trust: Trust,
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
        let parameters = Parameters::of(&rest, &KNOWN).map_err(|why| wrong(&why))?;
        let mode_named = parameters.get(&["ssl-mode", "sslmode"]).is_some();
        let mut options: MySqlConnectOptions =
            format!("mysql://{rest}").parse().map_err(|_| wrong("a part of it is malformed"))?;
        let database = options.get_database().unwrap_or_default().to_owned();
        if database.is_empty() {
            return Err(wrong("it names no database"));
        }
        let local = options.get_socket().is_some() || is_here(options.get_host());
        let verified =
            matches!(options.get_ssl_mode(), MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
        if !local && mode_named && !verified {
            return Err(wrong("off this host the server is verified").hint(
                "ssl-mode=verify_identity, with ssl-ca=FILE where the authority is your own",
            ));
        }
        let mode = match (local, mode_named) {
            (true, true) => options.get_ssl_mode(),
            (true, false) => MySqlSslMode::Disabled,
            (false, _) => MySqlSslMode::VerifyIdentity,
        };
        options = options.ssl_mode(mode);
        let place = match options.get_socket() {
            Some(socket) => format!("localhost/{database}?socket={}", socket.display()),
            None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
        };
        let mut shown = format!("{scheme}://{}@{place}", options.get_username());
        parameters.add_to(
            &mut shown,
            &["ssl-mode", "sslmode"],
            &[&["ssl-ca", "sslca"], &OWN[..]].concat(),
        );
        let trust = Trust {
            side,
            host: options.get_host().to_owned(),
            names: NAMES,
            authority: parameters.file("ssl-ca").or_else(|| parameters.file("sslca")),
            own: OWN.iter().filter_map(|name| parameters.file(name)).collect(),
        };
        let options = options
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .statement_cache_capacity(64);
        Ok(Self { options, database, shown, place: (place, local), trust, side })
    }

    /// The URL without a password.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Host, port and database, and whether that host is this one.
    pub(crate) fn place(&self) -> &(String, bool) {
        &self.place
    }

    /// The database's name.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// What the server is verified by.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
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
        // The driver trusts public authorities besides: whoever has a certificate is not the server.
        let own = "mysql://u@db1/app?ssl-mode=verify_ca&ssl-ca=/ca.pem";
        assert_eq!(mode(own), "VerifyIdentity");
        let address = Address::parse(own, Which::Live).unwrap();
        assert_eq!(address.shown(), "mysql://u@db1:3306/app?ssl-mode=verify_ca&ssl-ca=/ca.pem");
        let again = Address::parse(address.shown(), Which::Live).unwrap();
        assert_eq!(again.shown(), address.shown());
    }
}
