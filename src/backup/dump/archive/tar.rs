//! The members of a tar, as pg_dump writes it.
//!
//! ```text
//! record of 512 bytes: name [0..100] .. size [124..136], octal, or binary behind 0x80
//!                      checksum [148..156], octal, of the record with spaces there
//!                      kind [156], '0' or NUL a file;  "ustar" [257..262]
//! then the bytes, filled up to a multiple of 512; at the end two records of zeros
//! ```
//!
//! Source: POSIX `pax`, "ustar Interchange Format"; PostgreSQL `src/port/tar.c`.

use std::io::Read;

use crate::backup::dump::archive::toc::damaged;
use crate::backup::text::decompress::TextReader;
use crate::error::Result;

const RECORD: usize = 512;

/// A member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name.
    pub(super) name: String,
    /// Its size in bytes.
    pub(super) size: u64,
}

impl Member {
    /// The bytes between its end and the next record.
    pub(super) fn padding(&self) -> u64 {
        self.size.next_multiple_of(RECORD as u64) - self.size
    }
}

/// The member at hand; `None` at the end, which must be marked.
pub(super) fn next(reader: &mut impl Read, file: &str) -> Result<Option<Member>> {
    let mut record = [0; RECORD];
    let mut take = || match reader.read_exact(&mut record) {
        Ok(()) => Ok(record),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(damaged(file, "ends without the mark of its end"))
        }
        Err(e) => Err(TextReader::error(e)),
    };
    let record = take()?;
    if record == [0; RECORD] {
        return match take()? {
            zeros if zeros == [0; RECORD] => Ok(None),
            _ => Err(damaged(file, "goes on behind its end")),
        };
    }
    let sum: u64 = record.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = record[148..156].iter().map(|byte| u64::from(*byte)).sum();
    if &record[257..262] != b"ustar" || octal(&record[148..156]) != Some(sum - own + 8 * 32) {
        return Err(damaged(file, "has a tar record that is none"));
    }
    let name = record[..100].split(|byte| *byte == 0).next().unwrap_or_default();
    let size = match record[124] {
        0x80 => record[125..136]
            .iter()
            .try_fold(0_u64, |n, b| n.checked_mul(256)?.checked_add((*b).into())),
        _ => octal(&record[124..136]),
    };
    // A size whose padding would not fit either is torn.
    let size = size.filter(|size| *size < 1 << 62);
    Ok(Some(Member {
        name: String::from_utf8_lossy(name).into_owned(),
        size: size.ok_or_else(|| damaged(file, "has a member of no size"))?,
    }))
}

/// An octal number, NUL or a space behind it.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.iter().position(|b| !(b'0'..=b'7').contains(b)).unwrap_or(field.len());
    let rest = &field[digits..];
    let ended = rest.iter().all(|b| matches!(b, 0 | b' '));
    (digits > 0 && ended)
        .then(|| field[..digits].iter().fold(0_u64, |n, b| (n << 3) | u64::from(b - b'0')))
}
