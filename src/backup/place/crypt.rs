//! Files encrypted with age (<https://age-encryption.org/v1>), binary or armored.
//!
//! ```text
//! age-encryption.org/v1      then stanzas for its recipients, a MAC, and chunks of 64 KiB, each
//!                            authenticated, the last one marked
//! ```
//!
//! Identities are X25519 (`AGE-SECRET-KEY-1..`) or a passphrase. No secret is ever in an error.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, Identity, IdentityFile, scrypt};
use secrecy::ExposeSecret;

use crate::backup::place::{Unlock, torn};
use crate::backup::text::decompress::open_regular;
use crate::error::{Error, Result};

/// The most work that a passphrase may ask for: 2^20 is about 4 seconds and 1 GiB.
const MOST_WORK: u8 = 20;

/// True for the first bytes of an encrypted file.
pub(super) fn is_encrypted(head: &[u8]) -> bool {
    head.starts_with(b"age-encryption.org/v1\n")
        || head.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
}

/// The decrypted bytes; a read fails where they are not authentic or cut short.
pub(super) fn open(path: &Path, unlock: &Unlock) -> Result<impl Read + use<>> {
    let file = BufReader::new(open_regular(path, None)?);
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(file)).map_err(|e| match e {
        DecryptError::Io(e) => torn(path, e),
        DecryptError::UnknownFormat => {
            Error::failed(format!("{} is of a newer format of age's", path.display()))
        }
        other => torn(path, io::Error::other(other)),
    })?;
    let identities =
        if decryptor.is_scrypt() { passphrase(path, unlock)? } else { identities(path, unlock)? };
    let opened = decryptor.decrypt(identities.iter().map(|identity| &**identity));
    opened.map_err(|e| refused(path, e))
}

fn passphrase(path: &Path, unlock: &Unlock) -> Result<Vec<Box<dyn Identity>>> {
    let Some(passphrase) = &unlock.passphrase else {
        return Err(Error::failed(format!(
            "{} is encrypted with a passphrase, and none is named",
            path.display()
        ))
        .hint("set RESTOREKIT_AGE_PASSPHRASE"));
    };
    let mut identity = scrypt::Identity::new(passphrase.expose_secret().to_owned().into());
    identity.set_max_work_factor(MOST_WORK);
    Ok(vec![Box::new(identity)])
}

fn identities(path: &Path, unlock: &Unlock) -> Result<Vec<Box<dyn Identity>>> {
    let Some(named) = &unlock.identity else {
        return Err(Error::failed(format!(
            "{} is encrypted for an age identity, and none is named",
            path.display()
        ))
        .hint(
            "add --age-identity FILE, or set RESTOREKIT_AGE_IDENTITY to the file or the identity",
        ));
    };
    let text = named.expose_secret();
    // age's own errors tell the line and not what stands there.
    let (file, what) = if text.trim_start().starts_with("AGE-SECRET-KEY-") {
        (IdentityFile::from_buffer(text.trim().as_bytes()), "the age identity".to_owned())
    } else {
        let file = File::open(text)
            .map_err(|e| Error::failed("the file of the age identity can't be read").because(e))?;
        (IdentityFile::from_buffer(BufReader::new(file)), "the file of the age identity".into())
    };
    let unread = |e: String| {
        Error::failed(format!("{what} can't be used"))
            .because(e)
            .hint("it is what age-keygen wrote: AGE-SECRET-KEY-1.., not protected by a passphrase")
    };
    let found = file.map_err(|e| unread(e.to_string()))?;
    let found = found.into_identities().map_err(|e| unread(e.to_string()))?;
    Ok(found.into_iter().map(|identity| identity as Box<dyn Identity>).collect())
}

fn refused(path: &Path, e: DecryptError) -> Error {
    let shown = path.display();
    match e {
        DecryptError::NoMatchingKeys => {
            Error::failed(format!("{shown} is encrypted for another age identity"))
                .hint("name the one it was made for: --age-identity FILE")
        }
        DecryptError::DecryptionFailed => {
            Error::failed(format!("{shown} is encrypted with another passphrase or identity"))
                .hint("name the one it was made with: RESTOREKIT_AGE_PASSPHRASE, --age-identity")
        }
        DecryptError::ExcessiveWork { required, .. } => Error::refused(format!(
            "{shown} asks for 2^{required} rounds of work for its passphrase, more than 2^{MOST_WORK}"
        ))
        .hint("decrypt it with age, and name what comes out"),
        DecryptError::Io(e) => torn(path, e),
        other => torn(path, io::Error::other(other)),
    }
}
