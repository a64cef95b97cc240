//! Comma-separated values (RFC 4180), with a header, and whether each field was quoted.
//!
//! An unquoted empty field and `""` are two things: most writers mean NULL and an empty text
//! by them. Ready-made readers forget the quotes, hence this one. It is strict
//! where a lenient reader would guess: rows have the header's width, lines end all alike, a quote
//! stands at a field's border only. Bytes that are no UTF-8 stay bytes.

use std::io::Read;
use std::ops::Range;

use crate::backup::text::window::{Stop, Window};
use crate::error::{Error, Result};

/// Reads rows one by one.
pub struct CsvRows<R> {
    window: Window<R>,
    delimiter: u8,
    /// The lines end in CR LF.
    carriage: bool,
    names: Vec<String>,
    /// The length of the row last given.
    taken: usize,
    fields: Vec<Field>,
}

/// A field, as a range of its row's bytes. A quoted one is without its outer quotes.
#[derive(Clone, Debug)]
struct Field {
    range: Range<usize>,
    quoted: bool,
    /// It holds doubled quotes.
    doubled: bool,
}

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    LineFeed,
    CarriageLineFeed,
    File,
}

/// The delimiters that are looked for in a header.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

impl<R: Read> CsvRows<R> {
    /// Reads the header; errors name `file`. Without a `delimiter`, the header tells it: it
    /// must hold one kind only of comma, semicolon and tab.
    pub fn new(reader: R, file: String, delimiter: Option<u8>) -> Result<Self> {
        let mut window = Window::new(reader, file.clone());
        window.begin()?;
        let delimiter = match delimiter {
            Some(delimiter) => delimiter,
            None => guess(&mut window, &file)?,
        };
        let mut rows = Self {
            window,
            delimiter,
            carriage: false,
            names: Vec::new(),
            taken: 0,
            fields: vec![],
        };
        let Some(end) = rows.record(None)? else {
            return Err(Error::damaged(format!("{file} is empty: it lacks even a header"))
                .hint("a CSV file begins with a line of column names"));
        };
        rows.carriage = end == End::CarriageLineFeed;
        for index in 0..rows.fields.len() {
            let mut name = Vec::new();
            rows.field(index, &mut name);
            let name = String::from_utf8(name)
                .map_err(|_| rows.window.damaged(0, "a column name that is no UTF-8"))?;
            if rows.names.contains(&name) {
                let what = format!("the column name {name:?} stands twice in the header");
                return Err(rows.window.damaged(0, what));
            }
            rows.names.push(name);
        }
        Ok(rows)
    }

    /// The column names. One may be empty: pandas writes its index so.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The byte between two fields.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// Goes to the next row; false at the file's end.
    pub fn advance(&mut self) -> Result<bool> {
        self.window.consume(std::mem::take(&mut self.taken));
        let Some(_) = self.record(Some(self.carriage))? else { return Ok(false) };
        let (found, wanted) = (self.fields.len(), self.names.len());
        if found == wanted {
            return Ok(true);
        }
        if self.blank() {
            return self.only_blanks();
        }
        let what = format!("a row of {found} fields under a header of {wanted}");
        Err(self.window.damaged(0, what))
    }

    /// Appends field `index` of the row to `out`; true when it was quoted.
    pub fn field(&self, index: usize, out: &mut Vec<u8>) -> bool {
        let field = &self.fields[index];
        let raw = &self.window.bytes()[field.range.clone()];
        if !field.doubled {
            out.extend_from_slice(raw);
            return field.quoted;
        }
        // Only doubled quotes stand inside, so each quote lets the next one out.
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|b| *b == b'"') {
            out.extend_from_slice(&rest[..=at]);
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        true
    }

    /// True when the row is ASCII throughout.
    pub fn is_ascii(&self) -> bool {
        self.window.bytes()[..self.taken].is_ascii()
    }

    /// The line at which the row begins, from 1.
    pub fn line(&self) -> u64 {
        self.window.line(0)
    }

    /// The error for the row at hand.
    pub fn damaged(&self, what: impl AsRef<str>) -> Error {
        self.window.damaged(0, what)
    }

    fn blank(&self) -> bool {
        matches!(self.fields.as_slice(), [field] if field.range.is_empty() && !field.quoted)
    }

    /// Behind the last row empty lines mean nothing; anywhere else they are a row too narrow.
    fn only_blanks(&mut self) -> Result<bool> {
        let line = self.window.line(0);
        loop {
            self.window.consume(std::mem::take(&mut self.taken));
            if self.record(Some(self.carriage))?.is_none() {
                return Ok(false);
            }
            if !self.blank() {
                let what = format!("rows go on behind the empty line {line}");
                return Err(self.window.damaged(0, what));
            }
        }
    }

    /// Cuts the next record into fields; `None` at the file's end.
    fn record(&mut self, carriage: Option<bool>) -> Result<Option<End>> {
        loop {
            self.fields.clear();
            let (bytes, whole) = (self.window.bytes(), self.window.finished());
            match record(bytes, whole, self.delimiter, &mut self.fields) {
                Ok((0, _)) => return Ok(None),
                Ok((len, end)) => {
                    let unlike = match (carriage, end) {
                        (Some(true), End::LineFeed) => Some("LF, where the header's ends in CR LF"),
                        (Some(false), End::CarriageLineFeed) => {
                            Some("CR LF, where the header's ends in LF")
                        }
                        _ => None,
                    };
                    if let Some(what) = unlike {
                        return Err(self
                            .window
                            .damaged(len - 1, format!("the line ends in {what}")));
                    }
                    self.taken = len;
                    return Ok(Some(end));
                }
                Err(Stop::Bad(at, what)) => return Err(self.window.damaged(at, what)),
                Err(Stop::More) => {
                    if whole {
                        return Err(self.window.cut("a quoted field of a row"));
                    }
                    self.window.grow()?;
                }
            }
        }
    }
}

/// Cuts the record at the start of `bytes`; its length with the line's end. `whole`: no byte
/// comes behind. Length 0: there is no record any more.
fn record(
    bytes: &[u8],
    whole: bool,
    delimiter: u8,
    fields: &mut Vec<Field>,
) -> Result<(usize, End), Stop> {
    if bytes.is_empty() {
        return if whole { Ok((0, End::File)) } else { Err(Stop::More) };
    }
    let mut at = 0;
    loop {
        // A field begins at `at`.
        let quoted = bytes.get(at) == Some(&b'"');
        let end = if quoted {
            let (end, doubled) = quoted_end(bytes, at + 1, whole)?;
            fields.push(Field { range: at + 1..end, quoted, doubled });
            end + 1
        } else {
            let stops = |b: &u8| *b == delimiter || matches!(b, b'\n' | b'\r' | b'"');
            let end = match bytes[at..].iter().position(stops) {
                Some(len) => at + len,
                None if whole => bytes.len(),
                None => return Err(Stop::More),
            };
            fields.push(Field { range: at..end, quoted, doubled: false });
            end
        };
        match bytes.get(end) {
            Some(b) if *b == delimiter => at = end + 1,
            Some(b'\n') => return Ok((end + 1, End::LineFeed)),
            Some(b'\r') => match bytes.get(end + 1) {
                Some(b'\n') => return Ok((end + 2, End::CarriageLineFeed)),
                None if !whole => return Err(Stop::More),
                _ => {
                    return Stop::bad(end, "a carriage return outside quotes, without a line feed");
                }
            },
            Some(b'"') => return Stop::bad(end, "a quote within a field that is not quoted"),
            Some(_) => return Stop::bad(end, "a quoted field that goes on behind its quote"),
            None if whole => return Ok((end, End::File)),
            None => return Err(Stop::More),
        }
    }
}

/// Where the quoted field whose text begins at `at` has its last quote, and whether it
/// holds doubled ones.
fn quoted_end(bytes: &[u8], mut at: usize, whole: bool) -> Result<(usize, bool), Stop> {
    let mut doubled = false;
    loop {
        match bytes[at..].iter().position(|b| *b == b'"') {
            None => return Err(Stop::More),
            Some(len) => at += len,
        }
        match bytes.get(at + 1) {
            Some(b'"') => {
                doubled = true;
                at += 2;
            }
            None if !whole => return Err(Stop::More),
            _ => return Ok((at, doubled)),
        }
    }
}

/// The delimiter that a header tells.
fn guess<R: Read>(window: &mut Window<R>, file: &str) -> Result<u8> {
    let mut length = 0;
    loop {
        let mut quoted = false;
        let header = window.bytes()[length..].iter().position(|b| *b == b'\n');
        // Quoted line feeds are cut as if they ended the header: too little is seen of
        // it then, and more is asked for.
        let upto = header.map_or(window.bytes().len(), |len| length + len);
        let mut counts = [0usize; DELIMITERS.len()];
        for byte in &window.bytes()[..upto] {
            if *byte == b'"' {
                quoted = !quoted;
            } else if !quoted && let Some(kind) = DELIMITERS.iter().position(|d| d == byte) {
                counts[kind] += 1;
            }
        }
        if header.is_some() && quoted {
            length = upto + 1;
            continue;
        }
        if header.is_none() && window.grow()? {
            length = upto;
            continue;
        }
        let found: Vec<u8> =
            DELIMITERS.into_iter().zip(counts).filter(|(_, n)| *n > 0).map(|(d, _)| d).collect();
        return match found.as_slice() {
            [] => Ok(b','),
            [one] => Ok(*one),
            several => {
                let names: Vec<&str> = several.iter().map(|d| named(*d)).collect();
                Err(Error::failed(format!(
                    "the header of {file} holds {}: which of them stands between two columns is not \
                     clear",
                    names.join(" and ")
                ))
                .hint("quote the column names that hold one, as RFC 4180 has it"))
            }
        };
    }
}

fn named(delimiter: u8) -> &'static str {
    match delimiter {
        b',' => "commas",
        b';' => "semicolons",
        _ => "tabs",
    }
}
