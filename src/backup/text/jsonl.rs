//! JSON lines (RFC 8259 objects, one after another) and a JSON array of objects.
//!
//! The first byte tells which of them a file is. pandas writes both, as does
//! `sqlite3 -json` (the array). Numbers stay the text that they are, since a 64-bit integer
//! is no double; strings are decoded exactly; a nested value is its own text without
//! spaces. The grammar is checked to the last byte: a file that is not well-formed to its end
//! is damaged.
//!
//! Our own snapshots mark what JSON can't say: `{"$text":".."}` and `{"$blob":".."}` hold
//! hexadecimal bytes, `{"$real":".."}` a REAL such as `-0.0` or `inf`. The marks mean something
//! in a snapshot of ours only. Those of MongoDB (`mongo::marks`) mean something
//! in a file whose first row has an `_id`.

pub(in crate::backup) mod grammar;

use std::borrow::Cow;
use std::io::Read;

use crate::backup::text::jsonl::grammar::{Member, Token, is_space, object, shown, string};
use crate::backup::text::mongo::marks;
use crate::backup::text::stage::documents;
use crate::backup::text::window::{Stop, Window};
use crate::error::{Error, Result};
use crate::fit::cell::Tag;
use crate::fit::json_string::{decode, hex_digit};

/// Reads objects one by one.
pub struct JsonRows<R> {
    window: Window<R>,
    marks: Marks,
    shape: Shape,
    /// The length of the row last given.
    taken: usize,
    members: Vec<Member>,
    nesting: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Unknown,
    Lines,
    Array { first: bool },
    Ended,
}

/// Which marks mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marks {
    /// It depends on the first row.
    Unknown,
    None,
    /// Those of our snapshots.
    Own,
    Mongo,
}

/// One object of a file.
#[derive(Debug)]
pub struct JsonRow<'a> {
    bytes: &'a [u8],
    members: &'a [Member],
    marks: Marks,
}

impl<R: Read> JsonRows<R> {
    /// Reads `reader`; errors name `file`. `own`: it is a snapshot of ours.
    pub fn new(reader: R, file: String, own: bool) -> Self {
        Self {
            window: Window::new(reader, file),
            marks: if own { Marks::Own } else { Marks::Unknown },
            shape: Shape::Unknown,
            taken: 0,
            members: Vec::new(),
            nesting: Vec::new(),
        }
    }

    /// Goes to the next row; false at the file's end, which is proved well-formed then.
    pub fn advance(&mut self) -> Result<bool> {
        self.window.consume(std::mem::take(&mut self.taken));
        let new_line = self.between()?;
        match self.shape {
            Shape::Unknown | Shape::Ended => return Ok(false),
            Shape::Lines if self.window.bytes().is_empty() => return Ok(false),
            Shape::Lines if !new_line => {
                return Err(self.window.damaged(0, "a second value on the line of another"));
            }
            _ => {}
        }
        loop {
            self.members.clear();
            match object(self.window.bytes(), &mut self.members, &mut self.nesting) {
                Ok(len) => {
                    if let Err(e) = std::str::from_utf8(&self.window.bytes()[..len]) {
                        return Err(self
                            .window
                            .damaged(e.valid_up_to(), "a byte that is no UTF-8"));
                    }
                    self.taken = len;
                    if self.marks == Marks::Unknown {
                        let row = &self.window.bytes()[..len];
                        let keyed = self.members.iter().any(|m| &row[m.name.clone()] == b"_id");
                        self.marks = if keyed { Marks::Mongo } else { Marks::None };
                    }
                    return Ok(true);
                }
                Err(Stop::Bad(at, what)) => return Err(self.window.damaged(at, what)),
                Err(Stop::More) => {
                    if !self.window.grow()? {
                        return Err(self.window.cut("an object"));
                    }
                }
            }
        }
    }

    /// The row that [`JsonRows::advance`] went to.
    pub fn row(&self) -> JsonRow<'_> {
        let bytes = &self.window.bytes()[..self.taken];
        JsonRow { bytes, members: &self.members, marks: self.marks }
    }

    /// The error for the row at hand.
    pub fn damaged(&self, what: impl AsRef<str>) -> Error {
        self.window.damaged(0, what)
    }

    /// Takes what stands between two rows; true when a line ended there.
    fn between(&mut self) -> Result<bool> {
        if self.shape == Shape::Unknown {
            self.window.begin()?;
        }
        let mut new_line = false;
        loop {
            let spaces = self.window.bytes().iter().take_while(|b| is_space(**b)).count();
            new_line |= self.window.bytes()[..spaces].contains(&b'\n');
            self.window.consume(spaces);
            let Some(&byte) = self.window.bytes().first() else {
                if self.window.grow()? {
                    continue;
                }
                return match self.shape {
                    Shape::Array { .. } => Err(self.window.cut("a list of rows, before an end")),
                    _ => Ok(new_line),
                };
            };
            match (self.shape, byte) {
                (Shape::Unknown, b'[') => {
                    self.window.consume(1);
                    self.shape = Shape::Array { first: true };
                }
                (Shape::Unknown, b'{') => {
                    self.shape = Shape::Lines;
                    return Ok(true);
                }
                (Shape::Lines, b'{') => return Ok(new_line),
                (Shape::Array { first: true }, b'{') => {
                    self.shape = Shape::Array { first: false };
                    return Ok(true);
                }
                (Shape::Array { .. }, b']') => {
                    self.window.consume(1);
                    self.shape = Shape::Ended;
                }
                (Shape::Array { first: false }, b',') => {
                    self.window.consume(1);
                    return self.element();
                }
                _ => {
                    return Err(self
                        .window
                        .damaged(0, format!("{} where a row should begin", shown(byte))));
                }
            }
        }
    }

    /// Goes to the object behind a comma.
    fn element(&mut self) -> Result<bool> {
        loop {
            let spaces = self.window.bytes().iter().take_while(|b| is_space(**b)).count();
            self.window.consume(spaces);
            match self.window.bytes().first() {
                Some(b'{') => return Ok(true),
                Some(&byte) => {
                    let what = format!("{} where a row should begin", shown(byte));
                    return Err(self.window.damaged(0, what));
                }
                None => {
                    if !self.window.grow()? {
                        return Err(self.window.cut("a list of rows, before an end"));
                    }
                }
            }
        }
    }
}

impl<R: Read> documents::Documents for JsonRows<R> {
    type Member<'a>
        = RowMember<'a>
    where
        Self: 'a;

    fn advance(&mut self) -> Result<bool> {
        JsonRows::advance(self)
    }

    fn members(&self) -> impl Iterator<Item = Result<RowMember<'_>, String>> {
        (0..self.members.len()).map(|index| Ok(RowMember { row: self.row(), index }))
    }

    fn damaged(&self, what: &str) -> Error {
        JsonRows::damaged(self, what)
    }
}

/// A member of a row.
pub(super) struct RowMember<'a> {
    row: JsonRow<'a>,
    index: usize,
}

impl documents::Member for RowMember<'_> {
    fn name(&self) -> Result<Cow<'_, [u8]>, String> {
        self.row.name(self.index)
    }

    fn cell(&self, out: &mut Vec<u8>) -> Result<Option<Tag>, String> {
        self.row.cell(self.index, out)
    }
}

impl<'a> JsonRow<'a> {
    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True for `{}`.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The name of member `index`, decoded; an error's words when it can't be.
    pub fn name(&self, index: usize) -> Result<Cow<'a, [u8]>, String> {
        let member = &self.members[index];
        let raw = &self.bytes[member.name.clone()];
        if !member.name_escaped {
            return Ok(Cow::Borrowed(raw));
        }
        let mut name = Vec::with_capacity(raw.len());
        decode(raw, &mut name)?;
        Ok(Cow::Owned(name))
    }

    /// Appends the cell of member `index` without its tag to `out`, and tells the tag;
    /// `None` is NULL. An error's words when the cell can't be decoded.
    pub fn cell(&self, index: usize, out: &mut Vec<u8>) -> Result<Option<Tag>, String> {
        let member = &self.members[index];
        let raw = &self.bytes[member.value.clone()];
        let own = self.marks == Marks::Own;
        Ok(Some(match (member.token, own) {
            (Token::Null, _) => return Ok(None),
            (Token::True, _) => Tag::True,
            (Token::False, _) => Tag::False,
            (Token::Number, own) => {
                out.extend_from_slice(raw);
                if own { Tag::OwnNumber } else { Tag::Number }
            }
            (Token::String { escaped }, own) => {
                if escaped {
                    decode(raw, out)?;
                } else {
                    out.extend_from_slice(raw);
                }
                if own { Tag::OwnText } else { Tag::Str }
            }
            (Token::Nested, false) => {
                let begin = out.len();
                compact(raw, out);
                if self.marks == Marks::Mongo && out[begin..].starts_with(b"{\"$") {
                    let nested = out.split_off(begin);
                    if let Some(tag) = marks::read(&nested, out)? {
                        return Ok(Some(tag));
                    }
                    out.extend_from_slice(&nested);
                }
                Tag::Nested
            }
            (Token::Nested, true) => {
                marked(raw, out).ok_or("a nested value that is no mark of ours")?
            }
        }))
    }
}

/// Reads one of our marks, `{"$blob":"00ff"}`, spaces allowed.
fn marked(raw: &[u8], out: &mut Vec<u8>) -> Option<Tag> {
    let mut text = Vec::with_capacity(raw.len());
    compact(raw, &mut text);
    let inner = text.strip_prefix(b"{\"$")?.strip_suffix(b"\"}")?;
    let split = inner.windows(3).position(|w| w == b"\":\"")?;
    let (mark, payload) = (&inner[..split], &inner[split + 3..]);
    let tag = match mark {
        b"text" => Tag::OwnText,
        b"blob" => Tag::OwnBlob,
        b"real" => {
            let number = std::str::from_utf8(payload).ok()?;
            number.parse::<f64>().ok()?;
            out.extend_from_slice(payload);
            return Some(Tag::OwnReal);
        }
        _ => return None,
    };
    let (pairs, []) = payload.as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        out.push((hex_digit(*high)? << 4 | hex_digit(*low)?) as u8);
    }
    Some(tag)
}

/// Copies JSON text without the spaces between its tokens.
fn compact(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(&byte) = rest.first() {
        if byte == b'"' {
            // The text was checked, so its strings end.
            let end = string(rest, 0).map_or(rest.len(), |(end, _)| end);
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        } else {
            if !is_space(byte) {
                out.push(byte);
            }
            rest = &rest[1..];
        }
    }
}
