//! A row as a JSON array, and the texts that Python shows for bytes.

use std::ops::Range;

use crate::backup::text::jsonl::grammar::{Token, is_space, nested, scalar, shown};
use crate::backup::text::window::Stop;
use crate::fit::cell::Tag;
use crate::fit::json_string::decode;

/// A value of a row, as a range of its bytes; a string is without its quotes.
#[derive(Clone, Debug)]
struct Value {
    range: Range<usize>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json(Token),
    /// `Infinity` or `-Infinity`, which JSON lacks and Python writes.
    Infinite,
}

/// Cuts out rows, the values of one at a time.
#[derive(Debug, Default)]
pub(super) struct Rows {
    values: Vec<Value>,
    end: bool,
    nesting: Vec<u8>,
}

impl Rows {
    /// Cuts the row at the start of `bytes`, empty lines passed over; its length, its line's end
    /// included.
    pub(super) fn cut(&mut self, bytes: &[u8], whole: bool) -> Result<usize, Stop> {
        self.values.clear();
        let begin = bytes.iter().take_while(|byte| is_space(**byte)).count();
        match bytes.get(begin) {
            Some(b'[') => {}
            Some(byte) => {
                return Stop::bad(begin, format!("{} where a row should begin", shown(*byte)));
            }
            None if whole => {
                self.end = true;
                return Ok(begin);
            }
            None => return Err(Stop::More),
        }
        let (mut at, byte) = behind_spaces(bytes, begin + 1)?;
        let mut last = byte == b']';
        while !last {
            let (value, end) = self.value(bytes, at)?;
            self.values.push(value);
            let (next, byte) = behind_spaces(bytes, end)?;
            match byte {
                b',' => at = behind_spaces(bytes, next + 1)?.0,
                b']' => (at, last) = (next, true),
                _ => return Stop::bad(next, format!("{} behind a value", shown(byte))),
            }
        }
        // The rest of the line must be empty.
        at += 1;
        loop {
            match bytes.get(at) {
                Some(b'\n') => return Ok(at + 1),
                Some(byte) if is_space(*byte) => at += 1,
                Some(_) => return Stop::bad(at, "a second value on the line of another"),
                None if whole => return Ok(at),
                None => return Err(Stop::More),
            }
        }
    }

    fn value(&mut self, bytes: &[u8], at: usize) -> Result<(Value, usize), Stop> {
        let digits = at + usize::from(bytes[at] == b'-');
        if bytes.get(digits) == Some(&b'I') {
            let word = b"Infinity";
            let there = &bytes[digits..bytes.len().min(digits + word.len())];
            if there == word {
                let end = digits + word.len();
                return Ok((Value { range: at..end, form: Form::Infinite }, end));
            }
            return if word.starts_with(there) {
                Err(Stop::More)
            } else {
                Stop::bad(digits, "a word that is no value")
            };
        }
        let (end, token) = match bytes[at] {
            b'[' | b'{' => (nested(bytes, at, &mut self.nesting)?, Token::Nested),
            _ => scalar(bytes, at)?,
        };
        let range = match token {
            Token::String { .. } => at + 1..end - 1,
            _ => at..end,
        };
        Ok((Value { range, form: Form::Json(token) }, end))
    }

    /// True when there was no row any more.
    pub(super) fn is_end(&self) -> bool {
        self.end
    }

    /// The number of values in the row.
    pub(super) fn width(&self) -> usize {
        self.values.len()
    }

    /// The values of the row of these bytes.
    pub(super) fn fields<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        self.values.iter().map(|value| &bytes[value.range.clone()])
    }

    /// Appends the cell of a value; its tag, `None` for NULL.
    pub(super) fn cell(
        &self,
        place: usize,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Tag>, String> {
        let Some(value) = self.values.get(place) else { return Err("no value".into()) };
        let raw = &bytes[value.range.clone()];
        match value.form {
            Form::Infinite => {
                out.extend_from_slice(if raw.starts_with(b"-") { b"-inf" } else { b"inf" });
                Ok(Some(Tag::OwnReal))
            }
            Form::Json(Token::Null) => Ok(None),
            Form::Json(Token::Number) => {
                out.extend_from_slice(raw);
                Ok(Some(Tag::OwnNumber))
            }
            Form::Json(Token::String { escaped }) => {
                if escaped {
                    decode(raw, out)?;
                } else {
                    out.extend_from_slice(raw);
                }
                Ok(Some(Tag::OwnText))
            }
            Form::Json(Token::True | Token::False | Token::Nested) => {
                Err("a value that SQLite has none of".into())
            }
        }
    }
}

fn behind_spaces(bytes: &[u8], mut at: usize) -> Result<(usize, u8), Stop> {
    loop {
        match bytes.get(at) {
            Some(byte) if is_space(*byte) => at += 1,
            Some(byte) => return Ok((at, *byte)),
            None => return Err(Stop::More),
        }
    }
}

/// The bytes that Python shows so; `None` for a text that it would show for none.
pub(super) fn shown_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let (inner, quote) = match text {
        [b'b', open @ (b'\'' | b'"'), inner @ .., close] if open == close => (inner, *open),
        _ => return None,
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&first, behind)) = rest.split_first() {
        let (byte, taken) = match (first, behind) {
            (b'\\', [b't', ..]) => (b'\t', 1),
            (b'\\', [b'n', ..]) => (b'\n', 1),
            (b'\\', [b'r', ..]) => (b'\r', 1),
            (b'\\', [mark @ (b'\\' | b'\''), ..]) => (*mark, 1),
            (b'\\', [b'x', digits @ ..]) => {
                let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, 3)
            }
            (b'\\', _) => return None,
            _ => (first, 0),
        };
        bytes.push(byte);
        rest = &behind[taken..];
    }
    // There is one way only to show bytes.
    (show(&bytes, quote)? == text).then_some(bytes)
}

/// What Python shows for bytes; `None` when it would take the other quote.
fn show(bytes: &[u8], quote: u8) -> Option<Vec<u8>> {
    let double = bytes.contains(&b'\'') && !bytes.contains(&b'"');
    if double != (quote == b'"') {
        return None;
    }
    let mut out = vec![b'b', quote];
    for byte in bytes {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            _ if *byte == quote => out.extend_from_slice(&[b'\\', quote]),
            0x20..0x7f => out.push(*byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(quote);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_bytes_are_known_by_what_python_shows() {
        for (text, bytes) in [
            ("b''", &b""[..]),
            (r#"b'\x00\xff\'"\\\n\r\t'"#, b"\0\xff'\"\\\n\r\t"),
            (r#"b"it's""#, b"it's"),
            ("b'\"'", b"\""),
        ] {
            assert_eq!(shown_bytes(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for text in [
            "", "b", "b'", "b'a", "'a'", "b'a\"", "b'a'b'", "b'\\q'", "b'\\x4'", "b'\\x41'",
            "b'\\xFF'", "b'é'", "b'\n'", "b\"a\"", "b'\\'", "B'a'", "b'\\\"'", "b'\\xé'",
        ] {
            assert_eq!(shown_bytes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn rows_are_arrays_in_lines() {
        let text = b"\n[1, -2.5e+3, \"a\\u0000\", null, Infinity, -Infinity] \r\n";
        let mut rows = Rows::default();
        assert_eq!(rows.cut(text, false).unwrap(), text.len());
        let cells: Vec<_> = (0..6)
            .map(|place| {
                let mut out = Vec::new();
                let tag = rows.cell(place, text, &mut out).unwrap();
                (tag, String::from_utf8(out).unwrap())
            })
            .collect();
        let told = |tag, text: &str| (tag, text.to_owned());
        let expected = [
            told(Some(Tag::OwnNumber), "1"),
            told(Some(Tag::OwnNumber), "-2.5e+3"),
            told(Some(Tag::OwnText), "a\0"),
            told(None, ""),
            told(Some(Tag::OwnReal), "inf"),
            told(Some(Tag::OwnReal), "-inf"),
        ];
        assert_eq!(cells, expected);
        for cut in 0..text.len() {
            assert!(matches!(rows.cut(&text[..cut], false), Err(Stop::More)), "{cut}");
        }
        assert_eq!(rows.cut(b"[]", true).unwrap(), 2);
        assert!(!rows.is_end());
        assert_eq!(rows.cut(b" \n", true).unwrap(), 2);
        assert!(rows.is_end());
        for wrong in
            ["[1] [2]\n", "{\"a\":1}\n", "[1 2]\n", "[NaN]\n", "[Infinite]\n", "[+1]\n", "[1,]\n"]
        {
            let error = rows.cut(wrong.as_bytes(), true);
            assert!(matches!(error, Err(Stop::Bad(..))), "{wrong}: {error:?}");
        }
    }
}
