//! Rows as DuckDB writes them as CSV.
//!
//! ```text
//! 1,,"","a ""quoted"", text",\xAA\x00b    NULL without quotes, an empty text with them
//!                                         an empty line: the NULL of a table of one column
//! ```
//!
//! Quotes stand around every text that holds a delimiter, a quote or a line's end, and around one that
//! is written like NULL; only in quotes is anything escaped. Every row has its line's end.

use std::io::Read;
use std::ops::Range;

use memchr::{memchr, memchr2, memchr3};

use crate::backup::dump::duckdb::SESSION;
use crate::backup::dump::duckdb::copy::{Copy, Csv};
use crate::backup::dump::duckdb::value::plain;
use crate::backup::dump::kind::Reading;
use crate::backup::dump::tables::{Name, Tables};
use crate::backup::text::window::{Stop, Window};
use crate::error::Result;

/// A field of a row, without its quotes.
#[derive(Clone, Debug, Default)]
struct Field {
    range: Range<usize>,
    quoted: bool,
}

/// Reads the rows of a table, whose fields are `columns`, to their end.
pub(super) fn read(
    reader: impl Read,
    file: String,
    copy: &Copy,
    table: &Name,
    columns: &[Vec<u8>],
    tables: &mut Tables<'_>,
) -> Result<()> {
    let csv = &copy.csv;
    let mut window = Window::new(reader, file);
    let mut fields = Vec::new();
    let mut text = Vec::new();
    if csv.header {
        let length = window.find("a header", |bytes, whole| row(bytes, whole, csv, &mut fields))?;
        let names =
            fields.iter().map(|field| csv.text(&window.bytes()[field.range.clone()], field.quoted));
        if length == 0 || names.ne(columns.iter().map(Vec::clone)) {
            return Err(window.damaged(0, "a header of other columns than schema.sql has"));
        }
        window.consume(length);
    }
    let plan = tables
        .plan(table, Some(columns), columns.len(), &SESSION)
        .map_err(|what| window.damaged(0, what))?;
    let never_null: Vec<bool> = columns.iter().map(|name| csv.not_null.contains(name)).collect();
    loop {
        let length = window.find("a row", |bytes, whole| row(bytes, whole, csv, &mut fields))?;
        if length == 0 {
            return Ok(());
        }
        let damaged = |what| window.damaged(0, what);
        let bytes = &window.bytes()[..length];
        if std::str::from_utf8(bytes).is_err() {
            return Err(damaged("a row that is no UTF-8".into()));
        }
        let cut = fields.iter().map(|field| &bytes[field.range.clone()]);
        let cell = |place: usize, field: &[u8], reading: &Reading, out: &mut Vec<u8>| {
            let quoted = fields[place].quoted;
            if !quoted && field == csv.null && !never_null[place] {
                return Ok(None);
            }
            text.clear();
            csv.push_text(field, quoted, &mut text);
            let begin = out.len();
            plain(reading.kind, &text, out);
            reading.text(begin, out).map(Some)
        };
        tables.rows(&plan)?.fields(cut, cell, damaged)?;
        window.consume(length);
    }
}

impl Csv {
    fn text(&self, field: &[u8], quoted: bool) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_text(field, quoted, &mut out);
        out
    }

    /// Appends the text of a field.
    fn push_text(&self, field: &[u8], quoted: bool, out: &mut Vec<u8>) {
        let mut rest = field;
        while let (true, Some(at)) = (quoted, memchr(self.escape, rest)) {
            // The byte behind an escape stands for itself.
            let Some(escaped) = rest.get(at + 1) else { break };
            out.extend_from_slice(&rest[..at]);
            out.push(*escaped);
            rest = &rest[at + 2..];
        }
        out.extend_from_slice(rest);
    }
}

/// Cuts the row at the start of `bytes` into fields; its length, 0 at the end.
fn row(bytes: &[u8], whole: bool, csv: &Csv, fields: &mut Vec<Field>) -> Result<usize, Stop> {
    fields.clear();
    if bytes.is_empty() && whole {
        return Ok(0);
    }
    let mut at = 0;
    loop {
        let quoted = match bytes.get(at) {
            Some(first) => *first == csv.quote,
            None => return Err(Stop::More),
        };
        let begin = at + usize::from(quoted);
        let end =
            if quoted { quoted_end(bytes, begin, whole, csv)? } else { bare_end(bytes, at, csv)? };
        fields.push(Field { range: begin..end, quoted });
        at = end + usize::from(quoted);
        let rest = &bytes[at..];
        if rest.starts_with(&csv.line) {
            return Ok(at + csv.line.len());
        }
        if rest.starts_with(&csv.delimiter) {
            at += csv.delimiter.len();
            continue;
        }
        let torn = |mark: &[u8]| rest.len() < mark.len() && mark.starts_with(rest);
        if torn(&csv.line) || torn(&csv.delimiter) {
            return Err(Stop::More);
        }
        let what = match rest.first() {
            Some(b'\n' | b'\r') => "a line's end of another kind",
            Some(_) if quoted => "a field that goes on behind its quotes",
            _ => "a quote within a field that has none",
        };
        return Stop::bad(at, what);
    }
}

/// Where the field without quotes that begins at `at` ends, or what may not stand in it is.
fn bare_end(bytes: &[u8], mut at: usize, csv: &Csv) -> Result<usize, Stop> {
    loop {
        let rest = &bytes[at..];
        let line = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let mark = memchr2(csv.delimiter[0], csv.quote, &rest[..line]).unwrap_or(line);
        at += mark;
        let rest = &bytes[at..];
        let shared = csv.delimiter.len().min(rest.len());
        match rest.first() {
            None => return Err(Stop::More),
            Some(first)
                if *first == csv.delimiter[0] && rest[..shared] != csv.delimiter[..shared] =>
            {
                at += 1
            }
            Some(_) => return Ok(at),
        }
    }
}

/// Where the quote that closes a field stands.
fn quoted_end(bytes: &[u8], mut at: usize, whole: bool, csv: &Csv) -> Result<usize, Stop> {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at += memchr3(csv.escape, csv.quote, csv.quote, rest).ok_or(Stop::More)?;
        let next = bytes.get(at + 1);
        if bytes[at] == csv.quote {
            match next {
                Some(byte) if *byte == csv.quote && csv.escape == csv.quote => at += 2,
                None if !whole => return Err(Stop::More),
                _ => return Ok(at),
            }
            continue;
        }
        match next {
            None => return Err(Stop::More),
            Some(byte) if *byte == csv.quote || *byte == csv.escape => at += 2,
            Some(_) => return Stop::bad(at, "an escape before what needs none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of one row, quoted ones in brackets.
    fn cut(text: &[u8], csv: &Csv) -> Vec<String> {
        let mut fields = Vec::new();
        assert_eq!(row(text, true, csv, &mut fields).unwrap(), text.len());
        for cut in 0..text.len() {
            let torn = row(&text[..cut], false, csv, &mut Vec::new());
            assert!(matches!(torn, Err(Stop::More)), "cut at {cut}: {torn:?}");
        }
        let shown = |field: &Field| {
            let text = csv.text(&text[field.range.clone()], field.quoted);
            let text = String::from_utf8(text).unwrap();
            if field.quoted { format!("[{text}]") } else { text }
        };
        fields.iter().map(shown).collect()
    }

    #[test]
    fn rows_are_cut_at_their_own_marks() {
        let csv = Csv::default();
        assert_eq!(
            cut(b"1,,\"\",\"a,\"\"b\"\"\r\n\",\\xAA\n", &csv),
            ["1", "", "[]", "[a,\"b\"\r\n]", "\\xAA"]
        );
        assert_eq!(cut(b"\n", &csv), [""]);
        let wide = Csv { delimiter: b"||".to_vec(), line: b"\r\n".to_vec(), ..csv.clone() };
        assert_eq!(cut(b"a|b||c||\"||\"\r\n", &wide), ["a|b", "c", "[||]"]);
        let escaped = Csv { quote: b'\'', escape: b'\\', ..csv.clone() };
        assert_eq!(cut(b"\\xAA,'a\\'\\\\b','',\"\n", &escaped), ["\\xAA", "[a'\\b]", "[]", "\""]);
        for (text, csv) in [
            (&b"a\"b\n"[..], &csv),
            (b"\"a\"b\n", &csv),
            (b"a\r\n", &csv),
            (b"a\rb\n", &csv),
            (b"a\n", &wide),
            (b"'a\\b'\n", &escaped),
        ] {
            let error = row(text, true, csv, &mut Vec::new());
            assert!(matches!(error, Err(Stop::Bad(..))), "{text:?}");
        }
        for text in [&b"a,b"[..], b"\"a\n", b"\"a\"", b"a,"] {
            let error = row(text, true, &csv, &mut Vec::new());
            assert!(matches!(error, Err(Stop::More)), "{text:?}");
        }
    }
}
