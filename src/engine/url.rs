//! What the URLs of all servers have alike: parameters behind a `?`, files among them, and a host
//! that is this one or another.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What need not be escaped in a parameter's value.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The parameters of a URL, by name.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a URL, all of which must be `known`.
    ///
    /// # Errors
    /// What is wrong, without a value, which may be a password.
    pub(crate) fn of(url: &str, known: &[&str]) -> Result<Self, String> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let mut all = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                return Err(format!("there is no parameter {name}"));
            }
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
            all.push((name.to_owned(), value));
        }
        Ok(Self(all))
    }

    /// The value of the last one of these names.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&str> {
        let mut named = self.0.iter().rev().filter(|(name, _)| names.contains(&name.as_str()));
        named.next().map(|(_, value)| value.as_str())
    }

    /// The file that a parameter is.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        self.get(&[name]).map(PathBuf::from)
    }

    /// Adds these parameters to a URL as they were given, the files so that it may be read from any
    /// folder.
    pub(crate) fn add_to(&self, url: &mut String, words: &[&str], files: &[&str]) {
        for (name, value) in &self.0 {
            let value = match (words.contains(&name.as_str()), files.contains(&name.as_str())) {
                (true, _) => value.clone(),
                (_, true) => absolute(Path::new(value)).display().to_string(),
                _ => continue,
            };
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{joint}{name}={}", utf8_percent_encode(&value, PLAIN)));
        }
    }
}

fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned())
}

/// True for a name of this host: what is said to it goes over no wire.
pub(crate) fn is_here(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}
