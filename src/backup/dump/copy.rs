//! Fields of PostgreSQL's COPY text format, and of MySQL's `SELECT .. INTO OUTFILE`.
//!
//! ```text
//! field TAB field .. LF      \N is NULL; \b \f \n \r \t \v \\ \ooo \xhh are characters
//! \. LF                      the end, of COPY only
//! ```
//!
//! Sources: PostgreSQL "COPY", section "Text Format"; MySQL "LOAD DATA", section "Field and
//! Line Handling".

use memchr::memchr;

use crate::backup::dump::kind::{Kind, Reading};
use crate::backup::dump::literal::{bytes, mysql_escape, postgres_escape};
use crate::fit::cell::Tag;

/// Appends the cell of a field of COPY; its tag, `None` for NULL. `escapes`: there may be
/// backslashes in it.
pub(super) fn cell(
    field: &[u8],
    escapes: bool,
    reading: &Reading,
    out: &mut Vec<u8>,
) -> Result<Option<Tag>, String> {
    let begin = out.len();
    let backslash = if escapes { memchr(b'\\', field) } else { None };
    match backslash {
        None => out.extend_from_slice(field),
        Some(0) if field == b"\\N" => return Ok(None),
        Some(0) if reading.kind == Kind::Bytea && field.starts_with(b"\\\\x") => {
            bytea(&field[1..], out)?;
            return Ok(Some(Tag::OwnBlob));
        }
        Some(first) => unescape(field, first, out, postgres_escape)?,
    }
    reading.text(begin, out).map(Some)
}

/// Appends the cell of a field of `SELECT .. INTO OUTFILE`; its tag, `None` for NULL.
pub(super) fn outfile_cell(
    field: &[u8],
    reading: &Reading,
    out: &mut Vec<u8>,
) -> Result<Option<Tag>, String> {
    let begin = out.len();
    match memchr(b'\\', field) {
        None => out.extend_from_slice(field),
        Some(0) if field == b"\\N" => return Ok(None),
        Some(first) => unescape(field, first, out, |escaped, rest, out| {
            mysql_escape(escaped, out);
            Ok(rest)
        })?,
    }
    reading.text(begin, out).map(Some)
}

/// What undoes one escape: the escaped byte and what stands behind it; what is left.
type Escape = for<'r> fn(u8, &'r [u8], &mut Vec<u8>) -> Result<&'r [u8], String>;

/// Undoes escapes; the first backslash stands at `first`.
fn unescape(field: &[u8], first: usize, out: &mut Vec<u8>, escape: Escape) -> Result<(), String> {
    let (mut rest, mut at) = (field, first);
    loop {
        out.extend_from_slice(&rest[..at]);
        let Some(&escaped) = rest.get(at + 1) else {
            return Err("a backslash without what it escapes".into());
        };
        rest = escape(escaped, &rest[at + 2..], out)?;
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends what a bytea's text stands for: `\x` and hexadecimal digits, or the escape
/// format of `bytea_output = escape` (PostgreSQL "Binary Data Types", section 8.4).
pub(super) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if let [b'\\', b'x', digits @ ..] = text {
        if digits.len() % 2 != 0 {
            return Err("an odd number of hexadecimal digits".into());
        }
        return bytes(digits, out);
    }
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        match &rest[at + 1..] {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return Err("bytes with an escape that is none".into()),
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}
