//! DuckDB's own texts of values, where they are none of PostgreSQL's.
//!
//! Source: DuckDB `cast_helpers.cpp`, `blob.cpp`, `date.cpp`.

use memchr::{memchr, memmem};

use crate::backup::dump::kind::Kind;
use crate::model::value::push_unhex;

/// Appends a value's text as PostgreSQL would write it: what is no number, and years before 1.
pub(super) fn plain(kind: Kind, text: &[u8], out: &mut Vec<u8>) {
    const BEFORE: &[u8] = b" (BC)";
    match (kind, text) {
        (Kind::Number, b"inf") => out.extend_from_slice(b"Infinity"),
        (Kind::Number, b"-inf") => out.extend_from_slice(b"-Infinity"),
        (Kind::Number, b"nan") => out.extend_from_slice(b"NaN"),
        (Kind::Moment, text) if memmem::find(text, BEFORE).is_some() => {
            let at = memmem::find(text, BEFORE).unwrap_or(text.len());
            out.extend_from_slice(&text[..at]);
            out.extend_from_slice(&text[at + BEFORE.len()..]);
            out.extend_from_slice(b" BC");
        }
        _ => out.extend_from_slice(text),
    }
}

/// Appends the bytes that a BLOB's text stands for: `A` is itself, `\xAA` the byte 0xAA.
pub(in crate::backup::dump) fn blob(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let Some([b'x', digits @ ..]) = rest.get(at + 1..at + 4) else {
            return Err("bytes with an escape that is none".into());
        };
        push_unhex(digits, out).ok_or("bytes with an escape that is none")?;
        rest = &rest[at + 4..];
    }
    if !text.is_ascii() {
        return Err("bytes that are not escaped".into());
    }
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_undone() {
        let undone = |text: &str| {
            let mut out = b"kept".to_vec();
            blob(text.as_bytes(), &mut out).map(|()| out.split_off(4))
        };
        assert_eq!(undone("\\xAA\\x00A\\x5Cn,\\x22").unwrap(), b"\xaa\0A\\n,\"");
        assert_eq!(undone("").unwrap(), b"");
        for wrong in ["\\", "\\x", "\\xA", "\\xZZ", "\\n", "a\\", "é"] {
            assert!(undone(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_words_are_postgresqls() {
        let undone = |kind, text: &str| {
            let mut out = Vec::new();
            plain(kind, text.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(undone(Kind::Number, "-inf"), "-Infinity");
        assert_eq!(undone(Kind::Text, "inf"), "inf");
        let before = undone(Kind::Moment, "0044-03-15 (BC) 01:02:03+00");
        assert_eq!(before, "0044-03-15 01:02:03+00 BC");
        assert_eq!(undone(Kind::Moment, "0044-03-15 (BC)"), "0044-03-15 BC");
    }
}
