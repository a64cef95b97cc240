//! Where a server is, and as whom it is entered: `postgres://user@host:port/database`.
//!
//! ```text
//! postgres://app@db1/prod                              TCP, TLS verified
//! postgres:///prod?host=/run/postgresql                a unix socket
//! postgres://app@db1/prod?sslrootcert=/etc/ca.pem      an authority of one's own
//! ```
//!
//! What the URL leaves out comes, as libpq has it, from PGHOST, PGPORT, PGUSER, PGPASSWORD,
//! PGDATABASE, PGSSLMODE, PGSSLROOTCERT, the file of authorities and the password file (PostgreSQL
//! documentation, 34.15, 34.16 and 34.19). The password never leaves this module but to the
//! driver: what is shown is built anew.

use std::fmt;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::engine::tls::{Names, Trust};
use crate::engine::url::{Parameters, is_here};
use crate::error::{Error, Result};
use crate::model::side::Which;

/// The parameters of a URL that mean something.
const KNOWN: [&str; 10] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
];

/// Those of them that are files.
const FILES: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

/// Where it is said whom to trust.
const NAMES: Names = Names {
    authority: "sslrootcert",
    besides: "PGSSLROOTCERT=FILE, ~/.postgresql/root.crt",
    offer: "let the server offer TLS: ssl = on, ssl_cert_file and ssl_key_file in postgresql.conf",
};

/// A database of a server, and how to enter it.
#[derive(Clone)]
pub(crate) struct Address {
    options: PgConnectOptions,
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
                .hint("postgres://user@host:5432/database, or ?host=/run/postgresql behind it")
        };
        let (_, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let parameters = Parameters::of(rest, &KNOWN).map_err(|why| wrong(&why))?;
        let mode_named = parameters.get(&["sslmode"]).is_some();
        // `postgres:///prod` has no host, which the URL standard allows to no such scheme.
        let hostless = rest.starts_with(['/', '?']) || rest.is_empty();
        let url = match hostless {
            true => format!("postgres://{}{rest}", default_host()),
            false => format!("postgres://{rest}"),
        };
        let mut options: PgConnectOptions =
            url.parse().map_err(|_| wrong("a part of it is malformed"))?;
        let database = options.get_database().unwrap_or_default().to_owned();
        if database.is_empty() {
            return Err(wrong("it names no database"));
        }
        let host = options.get_host().to_owned();
        let local = options.get_socket().is_some() || host.starts_with('/') || is_here(&host);
        let verified =
            matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
        if !local && mode_named && !verified {
            return Err(wrong("off this host the server is verified").hint(
                "sslmode=verify-full, with sslrootcert=FILE where the authority is your own",
            ));
        }
        let mode = match (local, mode_named) {
            (true, true) => options.get_ssl_mode(),
            (true, false) => PgSslMode::Disable,
            (false, _) => PgSslMode::VerifyFull,
        };
        options = options.ssl_mode(mode);
        let (user, port) = (options.get_username().to_owned(), options.get_port());
        let place = match options.get_socket() {
            Some(socket) => format!("/{database}?host={}&port={port}", socket.display()),
            None if host.starts_with('/') => format!("/{database}?host={host}&port={port}"),
            None => format!("{host}:{port}/{database}"),
        };
        let mut shown = match place.strip_prefix('/') {
            Some(rest) => format!("postgres:///{rest}&user={user}"),
            None => format!("postgres://{user}@{place}"),
        };
        parameters.add_to(&mut shown, &["sslmode"], &FILES);
        let trust = Trust {
            side,
            host,
            names: NAMES,
            authority: parameters.file("sslrootcert"),
            own: ["sslcert", "sslkey"].iter().filter_map(|name| parameters.file(name)).collect(),
        };
        let options = options
            .application_name("restorekit")
            .extra_float_digits(3)
            .statement_cache_capacity(64)
            .disable_statement_logging();
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
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }
}

/// A URL with what the environment and psql's file of authorities say of TLS, where it says nothing
/// itself; the driver looks for the rest.
pub(crate) fn complete(url: &str, environment: &dyn Fn(&str) -> Option<String>) -> SecretString {
    let named = |name: &str| {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|part| part.split('=').next() == Some(name))
    };
    let mut complete = url.to_owned();
    let usual = || {
        let file = Path::new(&environment("HOME")?).join(".postgresql/root.crt");
        file.is_file().then(|| file.display().to_string())
    };
    let given = [
        ("sslmode", environment("PGSSLMODE")),
        ("sslrootcert", environment("PGSSLROOTCERT").or_else(usual)),
    ];
    for (name, value) in given {
        if let Some(value) = value.filter(|value| !value.is_empty() && !named(name)) {
            push_parameter(&mut complete, name, &value);
        }
    }
    complete.into()
}

/// A completed URL with this password.
pub(crate) fn with_password(url: &str, password: &SecretString) -> SecretString {
    let mut url = url.to_owned();
    push_parameter(&mut url, "password", password.expose_secret());
    url.into()
}

fn push_parameter(url: &mut String, name: &str, value: &str) {
    let before = if url.contains('?') { '&' } else { '?' };
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    url.push_str(&format!("{before}{name}={value}"));
}

/// The host of a URL without one, as the driver finds it; percent-encoded where it is a folder.
fn default_host() -> String {
    let options = PgConnectOptions::new_without_pgpass();
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    host.replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w2_a_password_is_in_no_message() {
        let address =
            Address::parse("postgres://u:hun%40ter2@localhost:5433/app", Which::Live).unwrap();
        assert_eq!(address.shown(), "postgres://u@localhost:5433/app");
        assert!(!format!("{address:?}").contains("ter2"));
        let address =
            Address::parse("postgres:///app?host=/run/pg&user=u&password=hunter2", Which::Live);
        let address = address.unwrap();
        assert!(address.shown().starts_with("postgres:///app?host=/run/pg&port="), "{address:?}");
        assert!(!address.shown().contains("hunter2"));
        // What is shown is an address again.
        let again = Address::parse(address.shown(), Which::Live).unwrap();
        assert_eq!(again.shown(), address.shown());
        for wrong in [
            "postgres://u:hunter2@h:port/app",
            "postgres://u:hunter2@localhost/app?load_balance=1",
            "postgres://u:hunter2@db1/app?sslmode=disable",
            "postgres://u:hunter2@db1/app?sslmode=prefer",
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
        assert_eq!(mode("postgres://u@db1/app"), "VerifyFull");
        assert_eq!(mode("postgres://u@localhost/app"), "Disable");
        assert_eq!(mode("postgresql:///app?host=/run/pg"), "Disable");
        assert_eq!(mode("postgres://u@localhost/app?sslmode=verify-ca"), "VerifyCa");
        // The driver trusts public authorities besides: whoever has a certificate is not the server.
        let own = "postgres://u@db1/app?sslmode=verify-ca&sslrootcert=/ca.pem";
        assert_eq!(mode(own), "VerifyFull");
        let address = Address::parse(own, Which::Live).unwrap();
        assert_eq!(
            address.shown(),
            "postgres://u@db1:5432/app?sslmode=verify-ca&sslrootcert=/ca.pem"
        );
        let again = Address::parse(address.shown(), Which::Live).unwrap();
        assert_eq!(again.shown(), address.shown());
        // What the environment asks for holds where the URL is silent, and is held to the same.
        let of = |url: &str| {
            let environment = |name: &str| (name == "PGSSLMODE").then(|| "disable".to_owned());
            complete(url, &environment).expose_secret().to_owned()
        };
        assert_eq!(
            of("postgres://u@db1/app?port=1"),
            "postgres://u@db1/app?port=1&sslmode=disable"
        );
        assert_eq!(of("postgres:///app?sslmode=require"), "postgres:///app?sslmode=require");
        assert!(Address::parse(&of("postgres://u@db1/app"), Which::Live).is_err());
    }
}
