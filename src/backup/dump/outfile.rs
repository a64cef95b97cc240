//! Files of rows as MySQL's `SELECT .. INTO OUTFILE` writes them, in any of its formats, and the
//! `LOAD DATA` statement that says which.
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

use memchr::{memchr, memchr2, memchr3};

use crate::backup::dump::copy::outfile_cell;
use crate::backup::dump::kind::Reading;
use crate::backup::dump::lex::{Token, Tokens};
use crate::backup::dump::literal::{Marked, bytes, unescape};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::window::{Stop, Window};
use crate::error::Result;
use crate::fit::cell::Tag;

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
    let wrong = || "digits that are no base64".to_owned();
    let (mut bits, mut count, mut padding) = (0_u32, 0_u32, 0_u32);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if count >= 2 => {
                padding += 1;
                0
            }
            _ => return Err(wrong()),
        };
        if padding > 0 && *byte != b'=' {
            return Err(wrong());
        }
        bits = bits << 6 | u32::from(digit);
        count += 1;
        if count == 4 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            let kept = 3_usize.checked_sub(padding as usize).ok_or_else(wrong)?;
            out.extend_from_slice(&bytes[..kept]);
            (bits, count) = (0, 0);
        }
    }
    if count == 0 && padding <= 2 { Ok(()) } else { Err(wrong()) }
}

/// A `LOAD DATA` statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// The file as it is named.
    pub(super) file: Vec<u8>,
    /// The table.
    pub(super) path: Vec<Vec<u8>>,
    /// The character set that it names.
    pub(super) charset: Option<String>,
    /// What its rows are.
    pub(super) layout: Layout,
}

/// Reads what stands behind the word LOAD.
///
/// ```text
/// DATA [LOCAL] INFILE 'f' [REPLACE|IGNORE] INTO TABLE t [CHARACTER SET c]
///   [FIELDS [TERMINATED BY s] [[OPTIONALLY] ENCLOSED BY s] [ESCAPED BY s]]
///   [LINES [STARTING BY ''] [TERMINATED BY s]] [(a,@b,..)] [SET b = UNHEX(@b), ..]
/// ```
pub(super) fn load(mut tokens: Tokens<'_>) -> Result<Load, Stop> {
    let mut load = Load::default();
    let strange =
        |tokens: &Tokens<'_>| Stop::Bad(tokens.at(), "a LOAD DATA of another kind".into());
    let need = |tokens: &mut Tokens<'_>, word: &str| match tokens.take(word) {
        Ok(true) => Ok(()),
        Ok(false) => Err(strange(tokens)),
        Err(stop) => Err(stop),
    };
    need(&mut tokens, "DATA")?;
    tokens.take("LOCAL")?;
    need(&mut tokens, "INFILE")?;
    load.file = string(&mut tokens)?;
    if !tokens.take("REPLACE")? {
        tokens.take("IGNORE")?;
    }
    need(&mut tokens, "INTO")?;
    need(&mut tokens, "TABLE")?;
    load.path = tokens.path()?;
    if tokens.take("CHARACTER")? {
        need(&mut tokens, "SET")?;
        let name = tokens.next()?.and_then(Token::name).ok_or_else(|| strange(&tokens))?;
        load.charset = Some(String::from_utf8_lossy(&name).into_owned());
    }
    let format = &mut load.layout.format;
    let one = |text: &[u8], tokens: &Tokens<'_>| match text {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(strange(tokens)),
    };
    if tokens.take("FIELDS")? || tokens.take("COLUMNS")? {
        loop {
            if tokens.take("TERMINATED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.field = one(&text, &tokens)?.ok_or_else(|| strange(&tokens))?;
            } else if tokens.take("ENCLOSED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.quote = one(&text, &tokens)?;
            } else if tokens.take("ESCAPED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.escape = one(&text, &tokens)?;
            } else if !tokens.take("OPTIONALLY")? {
                break;
            }
        }
    }
    if tokens.take("LINES")? {
        loop {
            if tokens.take("STARTING")? {
                need(&mut tokens, "BY")?;
                if !string(&mut tokens)?.is_empty() {
                    return Err(strange(&tokens));
                }
            } else if tokens.take("TERMINATED")? {
                need(&mut tokens, "BY")?;
                format.line = string(&mut tokens)?;
            } else {
                break;
            }
        }
    }
    if !format.is_known() {
        return Err(strange(&tokens));
    }
    if tokens.mark(b'(')? {
        let mut columns = Vec::new();
        loop {
            columns.push(variable(&mut tokens)?);
            if !tokens.mark(b',')? {
                break;
            }
        }
        if !tokens.mark(b')')? {
            return Err(strange(&tokens));
        }
        load.layout.packed = vec![Packed::No; columns.len()];
        load.layout.columns = Some(columns);
    }
    if tokens.take("SET")? {
        loop {
            let (column, packed) = assignment(&mut tokens)?;
            let columns = load.layout.columns.as_deref().unwrap_or_default();
            let place = columns.iter().position(|name| *name == column);
            load.layout.packed[place.ok_or_else(|| strange(&tokens))?] = packed;
            if !tokens.mark(b',')? {
                break;
            }
        }
    }
    if tokens.next()?.is_some() { Err(strange(&tokens)) } else { Ok(load) }
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

/// `name = @name`, `name = UNHEX(@name)`, ..
fn assignment(tokens: &mut Tokens<'_>) -> Result<(Vec<u8>, Packed), Stop> {
    let strange =
        |tokens: &Tokens<'_>| Stop::Bad(tokens.at(), "a LOAD DATA that computes its values".into());
    let column = variable(tokens)?;
    if !tokens.mark(b'=')? {
        return Err(strange(tokens));
    }
    let packed = if tokens.take("UNHEX")? {
        Packed::Hex
    } else if tokens.take("FROM_BASE64")? {
        Packed::Base64
    } else if tokens.take("CONVERT")? {
        Packed::No
    } else {
        return if variable(tokens)? == column {
            Ok((column, Packed::No))
        } else {
            Err(strange(tokens))
        };
    };
    if !tokens.mark(b'(')? || variable(tokens)? != column {
        return Err(strange(tokens));
    }
    if tokens.take("USING")? {
        tokens.next()?;
    }
    if tokens.mark(b')')? { Ok((column, packed)) } else { Err(strange(tokens)) }
}

/// A column's name, or a variable of that name.
fn variable(tokens: &mut Tokens<'_>) -> Result<Vec<u8>, Stop> {
    let at = tokens.at();
    let name = match tokens.next()? {
        Some(Token::Word(b"@")) => tokens.next()?.and_then(Token::name).map(|n| n.into_owned()),
        Some(Token::Word(word)) => Some(word.strip_prefix(b"@").unwrap_or(word).to_vec()),
        Some(token) => token.name().map(|name| name.into_owned()),
        None => None,
    };
    name.ok_or_else(|| Stop::Bad(at, "no column name where one belongs".into()))
}

/// A string, its escapes undone.
fn string(tokens: &mut Tokens<'_>) -> Result<Vec<u8>, Stop> {
    let at = tokens.at();
    match tokens.next()? {
        Some(Token::Text(text)) => {
            let mut out = Vec::new();
            // Doubled quotes are undone already.
            unescape(&text, b'\\', Marked::Mysql, &mut out).map_err(|e| Stop::Bad(at, e))?;
            Ok(out)
        }
        _ => Stop::bad(at, "no string where one belongs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::dump::lex::Dialect;

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

    #[test]
    fn load_data_says_what_the_rows_are() {
        let dialect = Dialect::Mysql { escapes: true, ansi_quotes: false };
        let text = br#"DATA LOCAL INFILE 'a.t.0.dat' REPLACE INTO TABLE `t` CHARACTER SET binary
            FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '\\' LINES STARTING BY ''
            TERMINATED BY '\n' (`a`,@`b`) SET `b` = UNHEX(@`b`)"#;
        let found = load(Tokens::new(text, true, dialect)).unwrap();
        assert_eq!((found.file.as_slice(), found.path), (&b"a.t.0.dat"[..], vec![b"t".to_vec()]));
        assert_eq!(found.charset.as_deref(), Some("binary"));
        let format = Format { field: b',', quote: Some(b'"'), ..Format::default() };
        assert_eq!(found.layout.format, format);
        assert_eq!(found.layout.columns.unwrap(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(found.layout.packed, [Packed::No, Packed::Hex]);
        for computed in ["(a) SET a = now()", "(a) SET b = 1", "PARTITION (p)", "IGNORE 1 LINES"] {
            let text = format!("DATA INFILE 'f' INTO TABLE t {computed}");
            assert!(load(Tokens::new(text.as_bytes(), true, dialect)).is_err(), "{computed}");
        }
    }
}
