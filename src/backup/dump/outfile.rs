//! Files of rows as MySQL's `SELECT .. INTO OUTFILE` writes them, in any of its formats.
//!
//! ```text
//! FIELDS TERMINATED BY '\t' ENCLOSED BY '' ESCAPED BY '\\' LINES TERMINATED BY '\n'   the usual
//! FIELDS TERMINATED BY ',' ENCLOSED BY '"' ..                                        CSV
//! ```
//!
//! `\N` is NULL; without an escape, the word NULL outside of quotes is. A field that begins with
//! the quote ends at the quote before a terminator; a doubled quote in it is one. Source: MySQL
//! "SELECT .. INTO", "LOAD DATA", section "Field and Line Handling".

use std::io::Read;
use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use memchr::{memchr, memchr2, memchr3};

use crate::backup::dump::copy::outfile_cell;
use crate::backup::dump::kind::Reading;
use crate::backup::dump::literal::{Marked, bytes, unescape};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::window::{Stop, Window};
use crate::error::Result;
use crate::fit::cell::Tag;

/// What is said of files of rows that end anyhow.
pub(super) const NO_MARK: &str =
    "the files of rows carry no end mark: one that was cut at a row's end goes unseen";

/// How fields and lines are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// What ends a field.
    pub(super) field: u8,
    /// What may enclose a field.
    pub(super) quote: Option<u8>,
    /// What escapes the byte behind it.
    pub(super) escape: Option<u8>,
    /// What ends a line: one byte or two.
    pub(super) line: Vec<u8>,
}

impl Default for Format {
    fn default() -> Self {
        Self { field: b'\t', quote: None, escape: Some(b'\\'), line: b"\n".to_vec() }
    }
}

/// What is done to a field before it is a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Packed {
    /// Nothing.
    #[default]
    No,
    /// `FROM_BASE64(..)`
    Base64,
    /// `UNHEX(..)`
    Hex,
}

/// What the rows of a file are.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// How they are cut.
    pub(super) format: Format,
    /// The columns in the order of the fields; `None`: that of the declaration.
    pub(super) columns: Option<Vec<Vec<u8>>>,
    /// How the fields are packed; none where the list is shorter.
    pub(super) packed: Vec<Packed>,
}

/// A field of a row.
#[derive(Clone, Debug, Default)]
struct Field {
    range: Range<usize>,
    quoted: bool,
}

/// Reads rows to their end.
pub(super) fn rows_of(
    reader: impl Read,
    file: String,
    table: &Name,
    layout: &Layout,
    session: &Session,
    tables: &mut Tables<'_>,
) -> Result<()> {
    let format = &layout.format;
    let mut window = Window::new(reader, file);
    let mut plan = None;
    let mut fields = Vec::new();
    let mut text = Vec::new();
    loop {
        let length = window.find("a row", |bytes, whole| row(bytes, whole, format, &mut fields))?;
        if length == 0 {
            return Ok(());
        }
        let damaged = |what| window.damaged(0, what);
        let plan = match &mut plan {
            Some(plan) => plan,
            none => {
                let list = layout.columns.as_deref();
                none.insert(tables.plan(table, list, fields.len(), session).map_err(damaged)?)
            }
        };
        let bytes = window.bytes();
        let cut = fields.iter().map(|field| &bytes[field.range.clone()]);
        let cell = |place: usize, field: &[u8], reading: &Reading, out: &mut Vec<u8>| {
            let packed = layout.packed.get(place).copied().unwrap_or_default();
            format.cell(field, fields[place].quoted, packed, reading, &mut text, out)
        };
        tables.rows(plan)?.fields(cut, cell, damaged)?;
        window.consume(length);
    }
}

impl Format {
    /// Appends the cell of a field; its tag, `None` for NULL.
    fn cell(
        &self,
        field: &[u8],
        quoted: bool,
        packed: Packed,
        reading: &Reading,
        text: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Tag>, String> {
        let plain = self.escape == Some(b'\\') && !quoted && packed == Packed::No;
        if plain {
            return outfile_cell(field, reading, out);
        }
        let null = match self.escape {
            Some(escape) => field == [escape, b'N'],
            None => field == b"NULL",
        };
        if null && !quoted {
            return Ok(None);
        }
        text.clear();
        let quote = if quoted { self.quote } else { None };
        match (self.escape, quote) {
            // The quote stands for itself where there is none.
            (Some(b'\\'), quote) => unescape(field, quote.unwrap_or(b'\\'), Marked::Mysql, text)?,
            (None, Some(quote)) => unescape(field, quote, Marked::Doubled, text)?,
            (None, None) => text.extend_from_slice(field),
            (Some(_), _) => return Err("an escape that is no backslash".into()),
        }
        let begin = out.len();
        match packed {
            Packed::No => out.extend_from_slice(text),
            Packed::Hex => bytes(text, out)?,
            Packed::Base64 => base64(text, out)?,
        }
        reading.text(begin, out).map(Some)
    }
}

/// Cuts the row at the start of `bytes` into fields; its length, 0 at the end.
fn row(bytes: &[u8], whole: bool, format: &Format, fields: &mut Vec<Field>) -> Result<usize, Stop> {
    fields.clear();
    if bytes.is_empty() && whole {
        return Ok(0);
    }
    let mut at = 0;
    loop {
        let quoted = match (format.quote, bytes.get(at)) {
            (_, None) if !whole => return Err(Stop::More),
            (Some(quote), Some(first)) => *first == quote,
            _ => false,
        };
        let begin = at + usize::from(quoted);
        let end = if quoted {
            enclosed_end(bytes, begin, whole, format)?
        } else {
            bare_end(bytes, begin, format)?
        };
        fields.push(Field { range: begin..end, quoted });
        at = end + usize::from(quoted);
        match bytes.get(at) {
            Some(byte) if *byte == format.field => at += 1,
            Some(_) if bytes[at..].starts_with(&format.line) => {
                return Ok(at + format.line.len());
            }
            Some(_) if !whole && format.line.starts_with(&bytes[at..]) => return Err(Stop::More),
            Some(_) => return Stop::bad(at, "a quoted field that goes on behind its quote"),
            None => return Err(Stop::More),
        }
    }
}

/// Where a field without quotes ends.
fn bare_end(bytes: &[u8], begin: usize, format: &Format) -> Result<usize, Stop> {
    let mut at = begin;
    let line = format.line[0];
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = match format.escape {
            Some(escape) => memchr3(escape, format.field, line, rest),
            None => memchr2(format.field, line, rest),
        };
        let Some(len) = found else { return Err(Stop::More) };
        at += len;
        if Some(bytes[at]) == format.escape {
            at += 2;
        } else if bytes[at] == format.field || bytes[at..].starts_with(&format.line) {
            return Ok(at);
        } else if bytes.len() - at < format.line.len() {
            return Err(Stop::More);
        } else {
            at += 1;
        }
        if at > bytes.len() {
            return Err(Stop::More);
        }
    }
}

/// Where the closing quote of a field stands.
fn enclosed_end(bytes: &[u8], begin: usize, whole: bool, format: &Format) -> Result<usize, Stop> {
    let quote = format.quote.unwrap_or(b'"');
    let mut at = begin;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let found = match format.escape {
            Some(escape) => memchr2(escape, quote, rest),
            None => memchr(quote, rest),
        };
        let Some(len) = found else { return Err(Stop::More) };
        at += len;
        if bytes[at] != quote {
            at += 2;
            continue;
        }
        match bytes.get(at + 1) {
            Some(next) if *next == quote => at += 2,
            None if !whole => return Err(Stop::More),
            _ => return Ok(at),
        }
    }
}

/// Appends the bytes that base64 digits stand for; MySQL breaks them into lines.
fn base64(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let digits: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode_vec(digits, out).map_err(|_| "digits that are no base64".into())
}

impl Format {
    /// True for a format whose rows can be cut.
    pub(super) fn is_known(&self) -> bool {
        let marks = [Some(self.field), self.quote, self.escape, self.line.first().copied()];
        let marks: Vec<u8> = marks.into_iter().flatten().collect();
        let apart = marks.iter().enumerate().all(|(at, mark)| !marks[..at].contains(mark));
        apart && matches!(self.line.len(), 1 | 2) && matches!(self.escape, None | Some(b'\\'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of one row, quoted ones in brackets.
    fn cut(text: &[u8], format: &Format) -> Vec<String> {
        let mut fields = Vec::new();
        let length = row(text, true, format, &mut fields).unwrap();
        assert_eq!(length, text.len());
        for cut in 0..text.len() {
            let cut = row(&text[..cut], false, format, &mut Vec::new());
            assert!(matches!(cut, Err(Stop::More)), "{cut:?}");
        }
        fields
            .iter()
            .map(|field| {
                let text = String::from_utf8_lossy(&text[field.range.clone()]).into_owned();
                if field.quoted { format!("[{text}]") } else { text }
            })
            .collect()
    }

    #[test]
    fn rows_are_cut_at_their_own_marks() {
        let tab = Format::default();
        assert_eq!(cut(b"1\ta\\\tb\t\\N\t\n", &tab), ["1", "a\\\tb", "\\N", ""]);
        let csv = Format { field: b',', quote: Some(b'"'), line: b"\r\n".to_vec(), ..tab.clone() };
        assert_eq!(
            cut(b"1,\"a,\"\"b\\\"\r\n\",\\N,\"\"\r\n", &csv),
            ["1", "[a,\"\"b\\\"\r\n]", "\\N", "[]"]
        );
        let bare = Format { escape: None, line: b"\n".to_vec(), ..csv };
        assert_eq!(cut(b"NULL,\"NULL\",\"a\\\"\n", &bare), ["NULL", "[NULL]", "[a\\]"]);
    }

    #[test]
    fn base64_is_undone() {
        let decoded = |text: &str| {
            let mut out = Vec::new();
            base64(text.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(decoded("AP+Aww==").unwrap(), b"\0\xff\x80\xc3");
        assert_eq!(decoded("YWJj\nZGU=").unwrap(), b"abcde");
        assert_eq!(decoded("").unwrap(), b"");
        for wrong in ["A", "AB", "AB=", "A===", "AB=C", "A*==", "AAAA=="] {
            assert!(decoded(wrong).is_err(), "{wrong}");
        }
    }
}
