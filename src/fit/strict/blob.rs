//! Bytes into columns of bytes.

use crate::fit::given::{Found, Given};
use crate::fit::strict::Door;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::number::words;
use crate::model::table::Affinity;
use crate::model::value::ValueRef;

/// A type of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blobs {
    /// The most bytes.
    pub(super) most: usize,
    /// MySQL's `binary(n)`: filled with zeros.
    pub(super) filled: bool,
    /// PostgreSQL's `bytea`, which is printed as `\x00ff`.
    hex: bool,
}

impl Blobs {
    pub(super) fn of(declared: &Declared<'_>, engine: Affinity) -> Self {
        let base = declared.base();
        let most = match (engine, base) {
            (Affinity::Mysql, "binary") => declared.number(0).unwrap_or(1),
            (Affinity::Mysql, "varbinary") => declared.number(0).unwrap_or(usize::MAX),
            (Affinity::Mysql, "tinyblob") => 255,
            (Affinity::Mysql, "blob") => 65_535,
            (Affinity::Mysql, "mediumblob") => 16_777_215,
            _ => usize::MAX,
        };
        let filled = engine == Affinity::Mysql && base == "binary";
        Self { most, filled, hex: engine == Affinity::Postgres && base == "bytea" }
    }

    pub(super) fn value<'a>(
        &self,
        given: Given<'a>,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match given {
            Given::Null => Ok((ValueRef::Null, None)),
            Given::Bytes(bytes) if bytes.len() > self.most => Err(format!("{} bytes", bytes.len())),
            Given::Bytes(bytes) if self.filled && bytes.len() < self.most => {
                scratch.extend_from_slice(bytes);
                scratch.resize(self.most, 0);
                Ok((ValueRef::Blob(scratch), None))
            }
            Given::Bytes(bytes) => Ok((ValueRef::Blob(bytes), None)),
            Given::Text(text) if self.hex && door == Door::File => {
                match text.strip_prefix(b"\\x").map(<[u8]>::as_chunks::<2>) {
                    Some((pairs, [])) if unhex(pairs, scratch) => {
                        Ok((ValueRef::Blob(scratch), None))
                    }
                    _ => Err(words(text)),
                }
            }
            Given::Text(text) | Given::Numeral(text) => Err(words(text)),
            _ => Err("no bytes".into()),
        }
    }
}

fn unhex(pairs: &[[u8; 2]], out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().all(|[high, low]| match (digit(*high), digit(*low)) {
        (Some(high), Some(low)) => {
            out.push((high << 4 | low) as u8);
            true
        }
        _ => false,
    })
}
