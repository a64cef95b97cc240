//! The literals of a row in `INSERT .. VALUES (..)`: cut out of the text, then put into
//! cells.
//!
//! ```text
//! NULL  TRUE  FALSE  DEFAULT  -12.5e3  'it''s'  "text"            (MySQL)
//! X'00ff'  x'00ff'  0x00ff  b'101'  _binary 'bytes'  _utf8mb4'text'  N'text'
//! E'a\nb'                                                        (PostgreSQL)
//! unistr('a\u0007')  replace('a\nb','\n',char(10))               (SQLite's shell)
//! ```
//!
//! Sources: MySQL "Literal Values" and table "Special Character Escape Sequences";
//! PostgreSQL "Lexical Structure", section 4.1.2; SQLite "Literal Values" and `unistr` of
//! "Built-In Scalar SQL Functions".

use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::backup::dump::lex::{Dialect, blank, is_word, quote_end, quoted};
use crate::backup::text::window::Stop;
use crate::model::value::push_unhex;

/// How deep calls may nest. The shell nests two.
const DEPTH: usize = 8;

/// A literal, as a range of its row's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// What stands in the quotes, or the word itself.
    pub(super) range: Range<usize>,
    /// What it is.
    pub(super) shape: Shape,
}

/// What a literal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// NULL
    Null,
    /// TRUE or FALSE
    Truth(bool),
    /// DEFAULT: the value is not told.
    Default,
    /// A number in digits.
    Number,
    /// A string.
    Text {
        /// It holds escapes or doubled quotes.
        marked: Marked,
        /// `_binary`: it is bytes, whatever its column.
        binary: bool,
    },
    /// Bytes in hexadecimal digits.
    Hex,
    /// Bits as 0 and 1.
    Bits,
    /// A call of SQLite's shell that makes a text.
    Call,
}

/// What must be undone in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// Nothing.
    No,
    /// Doubled quotes.
    Doubled,
    /// Backslashes, MySQL's, and doubled quotes.
    Mysql,
    /// Backslashes, PostgreSQL's, and doubled quotes.
    Postgres,
}

/// Cuts the row `(literal, ..)` at the start of `bytes` and appends its literals; its length.
pub(super) fn row(
    bytes: &[u8],
    whole: bool,
    dialect: Dialect,
    out: &mut Vec<Literal>,
) -> Result<usize, Stop> {
    let mut at = blank(bytes, 0, whole, dialect)?;
    if bytes.get(at) != Some(&b'(') {
        return missing(bytes, at, whole, "no row where one belongs");
    }
    at += 1;
    loop {
        at = after_blank(bytes, at, whole, dialect)?;
        let (literal, end) = literal(bytes, at, whole, dialect)?;
        out.push(literal);
        at = after_blank(bytes, end, whole, dialect)?;
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b')') => return Ok(at + 1),
            _ => return missing(bytes, at, whole, "a value that goes on where it should end"),
        }
    }
}

fn after_blank(bytes: &[u8], at: usize, whole: bool, dialect: Dialect) -> Result<usize, Stop> {
    match bytes.get(at) {
        Some(byte) if !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'-' | b'#') => Ok(at),
        _ => blank(bytes, at, whole, dialect),
    }
}

fn missing<T>(bytes: &[u8], at: usize, whole: bool, what: &str) -> Result<T, Stop> {
    if at >= bytes.len() && !whole { Err(Stop::More) } else { Stop::bad(at, what) }
}

fn literal(
    bytes: &[u8],
    at: usize,
    whole: bool,
    dialect: Dialect,
) -> Result<(Literal, usize), Stop> {
    match bytes.get(at) {
        Some(b'\'') => return string(bytes, at, whole, dialect.escapes(), dialect, false),
        Some(b'"') if matches!(dialect, Dialect::Mysql { ansi_quotes: false, .. }) => {
            return string(bytes, at, whole, dialect.escapes(), dialect, false);
        }
        Some(b'0'..=b'9' | b'-' | b'+' | b'.') => return number(bytes, at, whole),
        _ => {}
    }
    let end = word_end(bytes, at, whole)?;
    let word = &bytes[at..end];
    if bytes.get(end) == Some(&b'\'') {
        return prefixed(bytes, word, end, whole, dialect);
    }
    let plain = |shape| Ok((Literal { range: at..end, shape }, end));
    if word.eq_ignore_ascii_case(b"NULL") {
        return plain(Shape::Null);
    }
    if word.eq_ignore_ascii_case(b"TRUE") {
        return plain(Shape::Truth(true));
    }
    if word.eq_ignore_ascii_case(b"FALSE") {
        return plain(Shape::Truth(false));
    }
    if word.eq_ignore_ascii_case(b"DEFAULT") {
        return plain(Shape::Default);
    }
    if matches!(dialect, Dialect::Mysql { .. }) && word.first() == Some(&b'_') {
        // An introducer may stand apart from its string or its hexadecimal digits.
        let quote = blank(bytes, end, whole, dialect)?;
        let (mut inner, end) = match bytes.get(quote) {
            Some(b'\'' | b'"') => string(bytes, quote, whole, dialect.escapes(), dialect, false)?,
            Some(b'0' | b'x' | b'X') => literal(bytes, quote, whole, dialect)?,
            _ => return missing(bytes, quote, whole, "a character set without a string"),
        };
        if let Shape::Text { binary, .. } = &mut inner.shape {
            *binary = word.eq_ignore_ascii_case(b"_binary");
        }
        return Ok((inner, end));
    }
    if dialect == Dialect::Sqlite && bytes.get(end) == Some(&b'(') {
        let end = call_end(bytes, at, whole, DEPTH)?;
        return Ok((Literal { range: at..end, shape: Shape::Call }, end));
    }
    missing(bytes, end, whole, "a value that is no literal")
}

fn word_end(bytes: &[u8], at: usize, whole: bool) -> Result<usize, Stop> {
    match bytes.get(at..).unwrap_or_default().iter().position(|b| !is_word(*b)) {
        Some(len) => Ok(at + len),
        None if whole => Ok(bytes.len()),
        None => Err(Stop::More),
    }
}

/// A string with a prefix; its quote stands at `quote`.
fn prefixed(
    bytes: &[u8],
    prefix: &[u8],
    quote: usize,
    whole: bool,
    dialect: Dialect,
) -> Result<(Literal, usize), Stop> {
    let shape = match prefix {
        [b'x' | b'X'] => Shape::Hex,
        [b'b' | b'B'] => Shape::Bits,
        [b'n' | b'N'] => return string(bytes, quote, whole, dialect.escapes(), dialect, false),
        [b'e' | b'E'] if matches!(dialect, Dialect::Postgres { .. }) => {
            return string(bytes, quote, whole, true, dialect, false);
        }
        [b'_', ..] if matches!(dialect, Dialect::Mysql { .. }) => {
            let binary = prefix.eq_ignore_ascii_case(b"_binary");
            return string(bytes, quote, whole, dialect.escapes(), dialect, binary);
        }
        _ => return Stop::bad(quote, "a string with a prefix that is not known"),
    };
    let end = quote_end(bytes, quote + 1, b'\'', false, whole)?;
    Ok((Literal { range: quote + 1..end - 1, shape }, end))
}

fn string(
    bytes: &[u8],
    quote: usize,
    whole: bool,
    escapes: bool,
    dialect: Dialect,
    binary: bool,
) -> Result<(Literal, usize), Stop> {
    let close = bytes[quote];
    let (end, marks) = quoted(bytes, quote + 1, close, escapes, whole)?;
    let range = quote + 1..end - 1;
    let marked = match dialect {
        _ if !marks => Marked::No,
        _ if !escapes => Marked::Doubled,
        Dialect::Mysql { .. } => Marked::Mysql,
        _ => Marked::Postgres,
    };
    Ok((Literal { range, shape: Shape::Text { marked, binary } }, end))
}

fn number(bytes: &[u8], at: usize, whole: bool) -> Result<(Literal, usize), Stop> {
    let rest = &bytes[at..];
    if let [b'0', b'x' | b'X', digits @ ..] = rest {
        let len = match digits.iter().position(|b| !b.is_ascii_hexdigit()) {
            Some(len) => len,
            None if whole => digits.len(),
            None => return Err(Stop::More),
        };
        let range = at + 2..at + 2 + len;
        return Ok((Literal { range, shape: Shape::Hex }, at + 2 + len));
    }
    let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
    let len = match rest.iter().position(|b| !part(b)) {
        Some(len) => len,
        None if whole => rest.len(),
        None => return Err(Stop::More),
    };
    Ok((Literal { range: at..at + len, shape: Shape::Number }, at + len))
}

/// The byte behind the call whose name begins at `at`: strings, numbers and calls in its
/// brackets.
fn call_end(bytes: &[u8], at: usize, whole: bool, depth: usize) -> Result<usize, Stop> {
    if depth == 0 {
        return Stop::bad(at, "calls that are nested too deep");
    }
    let mut place = word_end(bytes, at, whole)? + 1;
    loop {
        place = blank(bytes, place, whole, Dialect::Sqlite)?;
        place = match bytes.get(place) {
            Some(b'\'') => quote_end(bytes, place + 1, b'\'', false, whole)?,
            Some(b'0'..=b'9') => word_end(bytes, place, whole)?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => {
                let end = word_end(bytes, place, whole)?;
                if bytes.get(end) != Some(&b'(') {
                    return missing(bytes, end, whole, "a value that is no literal");
                }
                call_end(bytes, place, whole, depth - 1)?
            }
            _ => return missing(bytes, place, whole, "a value that is no literal"),
        };
        place = blank(bytes, place, whole, Dialect::Sqlite)?;
        match bytes.get(place) {
            Some(b',') => place += 1,
            Some(b')') => return Ok(place + 1),
            _ => return missing(bytes, place, whole, "a call without an end"),
        }
    }
}

/// Appends what a string in these quotes stands for.
pub(super) fn unescape(
    text: &[u8],
    quote: u8,
    marked: Marked,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut rest = text;
    match marked {
        Marked::No => out.extend_from_slice(text),
        Marked::Doubled => {
            while let Some(at) = memchr(quote, rest) {
                out.extend_from_slice(&rest[..=at]);
                rest = rest.get(at + 2..).unwrap_or_default();
            }
            out.extend_from_slice(rest);
        }
        Marked::Mysql | Marked::Postgres => loop {
            let Some(at) = memchr2(b'\\', quote, rest) else {
                out.extend_from_slice(rest);
                return Ok(());
            };
            out.extend_from_slice(&rest[..at]);
            if rest[at] != b'\\' {
                out.push(quote);
                rest = rest.get(at + 2..).unwrap_or_default();
                continue;
            }
            let Some(&escaped) = rest.get(at + 1) else { return Err("a torn escape".into()) };
            rest = &rest[at + 2..];
            match marked {
                Marked::Mysql => mysql_escape(escaped, out),
                _ => rest = postgres_escape(escaped, rest, out)?,
            }
        },
    }
    Ok(())
}

/// Undoes an escape of MySQL's.
pub(super) fn mysql_escape(escaped: u8, out: &mut Vec<u8>) {
    // `\%` and `\_` keep their backslash outside of LIKE patterns.
    if matches!(escaped, b'%' | b'_') {
        out.push(b'\\');
    }
    out.push(match escaped {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 0x1a,
        other => other,
    });
}

/// Undoes an escape of an `E'..'` string or of COPY's text format, which have these in
/// common; what is left of `rest`.
pub(super) fn postgres_escape<'a>(
    escaped: u8,
    rest: &'a [u8],
    out: &mut Vec<u8>,
) -> Result<&'a [u8], String> {
    let digits =
        |most: usize, is: fn(&u8) -> bool| rest.iter().take(most).take_while(|b| is(b)).count();
    match escaped {
        b'b' => out.push(8),
        b'f' => out.push(12),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(11),
        b'0'..=b'7' => {
            let more = digits(2, |b| matches!(b, b'0'..=b'7'));
            let value = rest[..more]
                .iter()
                .fold(u32::from(escaped - b'0'), |n, b| n * 8 + u32::from(b - b'0'));
            out.push(value as u8);
            return Ok(&rest[more..]);
        }
        b'x' => {
            let more = digits(2, u8::is_ascii_hexdigit);
            if more == 0 {
                out.push(b'x');
                return Ok(rest);
            }
            push_unhex(&rest[..more], out);
            return Ok(&rest[more..]);
        }
        other => out.push(other),
    }
    Ok(rest)
}

/// Appends the bytes that hexadecimal digits stand for.
pub(super) fn bytes(digits: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    push_unhex(digits, out).ok_or_else(|| "digits that are not hexadecimal".into())
}

/// Appends the text that a call of SQLite's shell makes.
pub(super) fn call(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut at = 0;
    let value = argument(text, &mut at, DEPTH)?;
    if at != text.len() {
        return Err("a call that goes on".into());
    }
    out.extend_from_slice(&value);
    Ok(())
}

/// The text that the string, number or call at `at` stands for.
fn argument(text: &[u8], at: &mut usize, depth: usize) -> Result<Vec<u8>, String> {
    let torn = |_| "a call that is none".to_owned();
    *at = blank(text, *at, true, Dialect::Sqlite).map_err(torn)?;
    let start = *at;
    match text.get(start) {
        Some(b'\'') => {
            let end = quote_end(text, start + 1, b'\'', false, true).map_err(torn)?;
            *at = end;
            let mut out = Vec::new();
            unescape(&text[start + 1..end - 1], b'\'', Marked::Doubled, &mut out)?;
            return Ok(out);
        }
        Some(b'0'..=b'9') => {
            *at = word_end(text, start, true).map_err(torn)?;
            return Ok(text[start..*at].to_vec());
        }
        _ => {}
    }
    let end = word_end(text, start, true).map_err(torn)?;
    if text.get(end) != Some(&b'(') || depth == 0 {
        return Err("a value that is no literal".into());
    }
    let mut arguments = Vec::new();
    *at = end + 1;
    loop {
        arguments.push(argument(text, at, depth - 1)?);
        *at = blank(text, *at, true, Dialect::Sqlite).map_err(torn)?;
        let mark = text.get(*at).copied();
        *at += 1;
        match mark {
            Some(b',') => {}
            Some(b')') => break,
            _ => return Err("a call without an end".into()),
        }
    }
    let name = text[start..end].to_ascii_lowercase();
    match (name.as_slice(), arguments.as_slice()) {
        (b"char", [code]) => character(std::str::from_utf8(code).ok().and_then(|c| c.parse().ok())),
        (b"unistr", [text]) => unistr(text),
        // The shell puts one character for two or more; what grows could grow without bounds.
        (b"replace", [_, from, to]) if to.len() > from.len() => {
            Err("a replacement that is longer than what it replaces".into())
        }
        (b"replace", [text, from, to]) => Ok(replaced(text, from, to)),
        _ => Err(format!("the call {}", String::from_utf8_lossy(&name))),
    }
}

fn character(code: Option<u32>) -> Result<Vec<u8>, String> {
    let character = code.and_then(char::from_u32).ok_or("a character that is none")?;
    Ok(character.to_string().into_bytes())
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// `\\`, `\XXXX`, `\uXXXX`, `\+XXXXXX` and `\UXXXXXXXX`.
fn unistr(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let (skip, digits) = match after.first() {
            Some(b'\\') => {
                out.push(b'\\');
                rest = &after[1..];
                continue;
            }
            Some(b'u') => (1, 4),
            Some(b'+') => (1, 6),
            Some(b'U') => (1, 8),
            _ => (0, 4),
        };
        let code = after.get(skip..skip + digits).and_then(|d| std::str::from_utf8(d).ok());
        let code = code.and_then(|d| u32::from_str_radix(d, 16).ok());
        out.extend(character(code)?);
        rest = &after[skip + digits..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQLITE: Dialect = Dialect::Sqlite;
    const MYSQL: Dialect = Dialect::Mysql { escapes: true, ansi_quotes: false };
    const POSTGRES: Dialect = Dialect::Postgres { escapes: false };

    /// The values of a row, as text in words.
    fn values(text: &str, dialect: Dialect) -> Vec<String> {
        let mut literals = Vec::new();
        let length = row(text.as_bytes(), true, dialect, &mut literals).unwrap();
        assert_eq!(length, text.len(), "{text}");
        // A row that is cut anywhere asks for more, and never for less.
        for cut in 0..text.len() {
            let cut = row(&text.as_bytes()[..cut], false, dialect, &mut Vec::new());
            assert!(matches!(cut, Err(Stop::More)), "{text} {cut:?}");
        }
        literals
            .iter()
            .map(|literal| {
                let raw = &text.as_bytes()[literal.range.clone()];
                let mut out = Vec::new();
                match literal.shape {
                    Shape::Text { marked, .. } => {
                        let quote = text.as_bytes()[literal.range.start - 1];
                        unescape(raw, quote, marked, &mut out).unwrap();
                    }
                    Shape::Hex => bytes(raw, &mut out).unwrap(),
                    Shape::Call => call(raw, &mut out).unwrap(),
                    shape => return format!("{shape:?} {}", String::from_utf8_lossy(raw)),
                }
                String::from_utf8(out).unwrap()
            })
            .collect()
    }

    #[test]
    fn sqlites_shell_writes_these() {
        assert_eq!(
            values("(1,-2.5e-3,NULL,'it''s',X'4a6b',replace('a\\nb','\\n',char(10)))", SQLITE),
            ["Number 1", "Number -2.5e-3", "Null NULL", "it's", "Jk", "a\nb"]
        );
        assert_eq!(
            values(
                "(replace(replace('a\\r\\n','\\r',char(13)),'\\n',char(10)),unistr('\\u000a\\\\x'))",
                SQLITE
            ),
            ["a\r\n", "\n\\x"]
        );
    }

    #[test]
    fn w4_backslashes_mean_what_the_mode_says() {
        assert_eq!(values(r"('a\'b\\','c\n\0\Z\%')", MYSQL), ["a'b\\", "c\n\0\u{1a}\\%"]);
        let literal = Dialect::Mysql { escapes: false, ansi_quotes: false };
        assert_eq!(values(r"('a\','b''c\')", literal), ["a\\", "b'c\\"]);
        assert_eq!(values(r#"("a""b\"c''",'d""e''f')"#, MYSQL), ["a\"b\"c''", "d\"\"e'f"]);
    }

    #[test]
    fn mysqls_dumps_write_these() {
        assert_eq!(
            values("(_binary 'ab',0x4a,x'4A',b'101',_utf8mb4'x',TRUE)", MYSQL),
            ["ab", "J", "J", "Bits 101", "x", "Truth(true) TRUE"]
        );
    }

    #[test]
    fn pg_dump_writes_these() {
        assert_eq!(
            values("(1, 'NaN', E'a\\'b\\x41\\101\\n', true, B'01', DEFAULT)", POSTGRES),
            ["Number 1", "NaN", "a'bAA\n", "Truth(true) true", "Bits 01", "Default DEFAULT"]
        );
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for text in ["(now())", "(a)", "(1 2)", "('a' 'b')", "()", "((1))", "(system('x'))"] {
            for dialect in [SQLITE, MYSQL, POSTGRES] {
                let mut literals = Vec::new();
                let cut = row(text.as_bytes(), true, dialect, &mut literals);
                let called = cut.is_ok() && literals.iter().any(|l| l.shape == Shape::Call);
                assert!(
                    cut.is_err()
                        || called
                            && call(&text.as_bytes()[1..text.len() - 1], &mut Vec::new()).is_err(),
                    "{text}"
                );
            }
        }
    }
}
