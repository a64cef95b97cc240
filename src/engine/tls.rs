//! Whom a server is taken for: the one whose certificate an authority signed for its host.
//!
//! The driver verifies, by rustls, and what it refuses is told by its kind, never by its words.
//! It trusts the public authorities (Mozilla's list) besides those of a file of one's own: so a mode
//! that looks at no host's name would take anyone who has a certificate for any host, and is
//! held to the name off this host (`verify-ca`, `verify_ca`).

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, Error as TlsError};

use crate::error::{Error, Result};
use crate::model::side::Which;

/// What a connection is verified by.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// The side, for messages.
    pub(crate) side: Which,
    /// The name that a certificate must have.
    pub(crate) host: String,
    /// How a URL calls the file of one's own authorities.
    pub(crate) names: Names,
    /// That file.
    pub(crate) authority: Option<PathBuf>,
    /// The files by which this client is known.
    pub(crate) own: Vec<PathBuf>,
}

/// Where a person says whom to trust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// The parameter of a URL: `sslrootcert`.
    pub(crate) authority: &'static str,
    /// Where else: `PGSSLROOTCERT=FILE`.
    pub(crate) besides: &'static str,
    /// How a server offers TLS.
    pub(crate) offer: &'static str,
}

impl Trust {
    /// Looks at the files before anything is sent: the driver's words for one that is not there
    /// are those for a lost connection, and it says nothing of one that holds no certificate.
    ///
    /// # Errors
    /// `Usage`, with the file and what it should be.
    pub(crate) fn prove(&self) -> Result<()> {
        let (side, name) = (self.side, self.names.authority);
        for file in self.authority.iter().chain(&self.own) {
            let read = std::fs::read(file).map_err(|e| {
                Error::usage(format!("{side}: the file {} can't be read", file.display()))
                    .hint(format!("the URL names it, or {}", self.names.besides))
                    .because(e)
            })?;
            let ours = self.authority.as_ref() == Some(file);
            let certificates = || CertificateDer::pem_slice_iter(&read);
            if ours && (certificates().next().is_none() || certificates().any(|c| c.is_err())) {
                return Err(Error::usage(format!(
                    "{side}: {name}={} holds no certificate that can be read",
                    file.display()
                ))
                .hint("a file in PEM: -----BEGIN CERTIFICATE----- and so on"));
            }
        }
        Ok(())
    }

    /// The user-facing error where the driver took a server for another, or could not ask it who
    /// it is; `None` for any other failure.
    pub(crate) fn refused(&self, shown: &str, e: &sqlx::Error) -> Option<Error> {
        let (side, host, names) = (self.side, &self.host, self.names);
        let io = match e {
            sqlx::Error::Io(e) => e,
            sqlx::Error::Tls(_) => {
                let error = format!(
                    "{side}: {shown} can't be asked by TLS who it is: nothing was sent to it"
                );
                return Some(Error::failed(error).hint(names.offer).hint(format!(
                    "or enter it as localhost, through a tunnel: ssh -L PORT:localhost:PORT {host}"
                )));
            }
            _ => return None,
        };
        let TlsError::InvalidCertificate(why) = io.get_ref()?.downcast_ref::<TlsError>()? else {
            return None;
        };
        let sent = "no password was sent to it";
        let name = names.authority;
        let (what, hint) = match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let named = match why {
                    CertificateError::NotValidForNameContext { presented, .. } => bare(presented),
                    _ => String::new(),
                };
                let what = match named.is_empty() {
                    true => format!("its certificate names no host, and not {host}"),
                    false => format!("its certificate is for {named}, not for {host}"),
                };
                (what, "name the host as its certificate does (subjectAltName)".to_owned())
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let hint =
                    format!("let whoever runs {host} renew it; see that this clock is right: date");
                ("its certificate has expired".to_owned(), hint)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
                "its certificate is not valid yet".to_owned(),
                "see that this clock is right: date".to_owned(),
            ),
            CertificateError::UnknownIssuer => {
                let known = match &self.authority {
                    Some(file) => format!("no authority of {} and no public one", file.display()),
                    None => "no public authority".to_owned(),
                };
                let hint = format!(
                    "where an authority of your own did: ?{name}=FILE behind the URL, or {}",
                    names.besides
                );
                (format!("{known} signed its certificate"), hint)
            }
            _ => {
                let hint = "a server's certificate has its host's names (subjectAltName) and is signed \
                            by an authority, not by itself";
                ("its certificate is not one that can be trusted".to_owned(), hint.to_owned())
            }
        };
        Some(
            Error::failed(format!("{side}: {shown} is not taken for the server: {what}; {sent}"))
                .hint(hint),
        )
    }
}

/// The names of a certificate in words: rustls has them as `DnsName("db1")`, `IpAddress(10.0.0.1)`.
fn bare(presented: &[String]) -> String {
    let inner = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    presented.iter().map(inner).collect::<Vec<_>>().join(", ")
}
