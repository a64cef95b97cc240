//! BSON documents, one behind the other: what mongodump writes of a collection.
//!
//! ```text
//! file      := document*
//! document  := int32 (its length, these four bytes and the last one too) | element* | 0
//! element   := type u8 | name cstring | value
//! ```
//!
//! Nothing stands between two documents nor behind the last one. A file that ends in a document is
//! damaged; one that was cut between two looks whole, which is told where it is recognised.
//! Specification: "BSON", version 1.1.

use std::borrow::Cow;
use std::fs;
use std::io::{self, BufReader, ErrorKind, Read};

use ::bson::raw::{RawBsonRef, RawDocument, RawElement};

use crate::backup::text::decompress::TextReader;
use crate::backup::text::mongo::{binary, date, decimal, double, extended, integer};
use crate::backup::text::stage::TextFile;
use crate::backup::text::stage::documents::{Documents, Member};
use crate::error::{Error, Result};
use crate::fit::cell::Tag;

/// The longest document: MongoDB's 16 MiB, and what it grants its own ones (`BSONObjMaxInternalSize`).
const MAX_DOCUMENT: usize = (16 << 20) + (16 << 10);

/// The shortest document: its length and its end.
const MIN_DOCUMENT: usize = 5;

/// Opens a file of BSON. One that is not there, though its folder tells of it, was lost or
/// never written.
pub(in crate::backup::text) fn open(file: &TextFile<'_>) -> Result<TextReader> {
    let gone = |e: &io::Error| e.kind() == ErrorKind::NotFound;
    if file.root.is_some() && fs::symlink_metadata(file.path).as_ref().is_err_and(gone) {
        return Err(Error::damaged(format!(
            "{} is not there, though its metadata is: the dump is unfinished, or has lost a file",
            file.path.display()
        ))
        .hint("fetch the folder again, or take an older backup"));
    }
    TextReader::open(file.path, file.root, file.limits)
}

/// What stands next in a stream of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backup) enum Frame {
    /// A document.
    Document,
    /// A length that no document has; [`Frames::MARK`] where a format marks an end so.
    Length(i32),
    /// Nothing more.
    End,
    /// The stream ends within what begins here.
    Cut,
}

/// Cuts a stream into documents.
#[derive(Debug)]
pub(in crate::backup) struct Frames<R> {
    reader: BufReader<R>,
    bytes: Vec<u8>,
    at: u64,
}

impl<R: Read> Frames<R> {
    /// The length that stands for four bytes of ones.
    pub(in crate::backup) const MARK: Frame = Frame::Length(-1);

    /// Over a reader.
    pub(in crate::backup) fn new(reader: R) -> Self {
        let reader = BufReader::with_capacity(256 << 10, reader);
        Self { reader, bytes: Vec::new(), at: 0 }
    }

    /// The document at hand, or what there is of it.
    pub(in crate::backup) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where it begins.
    pub(in crate::backup) fn at(&self) -> u64 {
        self.at
    }

    /// Goes to the next document, whose length and last byte are checked.
    pub(in crate::backup) fn next(&mut self) -> Result<Frame> {
        self.skip(4)?;
        let length = match self.bytes[..] {
            [] => return Ok(Frame::End),
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
            _ => return Ok(Frame::Cut),
        };
        let Ok(whole @ MIN_DOCUMENT..=MAX_DOCUMENT) = usize::try_from(length) else {
            return Ok(Frame::Length(length));
        };
        self.fill(whole)?;
        Ok(if self.bytes.len() < whole { Frame::Cut } else { Frame::Document })
    }

    /// Goes on by so many bytes, or as many as there are.
    pub(in crate::backup) fn skip(&mut self, length: usize) -> Result<()> {
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        self.fill(length)
    }

    /// Reads until there are so many bytes, or the stream ends.
    fn fill(&mut self, length: usize) -> Result<()> {
        let mut filled = self.bytes.len();
        self.bytes.resize(length, 0);
        while filled < length {
            match self.reader.read(&mut self.bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(TextReader::error(e)),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

/// Reads documents one by one.
#[derive(Debug)]
pub(in crate::backup::text) struct BsonRows<R> {
    frames: Frames<R>,
    file: String,
    /// The number of the document at hand, from 1.
    number: u64,
}

impl<R: Read> BsonRows<R> {
    /// Reads `reader`; errors name `file`.
    pub(in crate::backup::text) fn new(reader: R, file: String) -> Self {
        Self { frames: Frames::new(reader), file, number: 0 }
    }
}

impl<R: Read> Documents for BsonRows<R> {
    type Member<'a>
        = RawElement<'a>
    where
        Self: 'a;

    fn advance(&mut self) -> Result<bool> {
        self.number += 1;
        match self.frames.next()? {
            Frame::Document => match RawDocument::from_bytes(self.frames.bytes()) {
                Ok(_) => Ok(true),
                Err(e) => Err(self.damaged(&words(&e))),
            },
            Frame::End => Ok(false),
            Frame::Length(length) => Err(self
                .damaged(&format!("a length of {length} bytes, which no document of MongoDB has"))),
            Frame::Cut => Err(Error::damaged(format!(
                "{} ends within document {} that begins at byte {}: the backup is incomplete, so \
                 nothing of it is used",
                self.file,
                self.number,
                self.frames.at()
            ))
            .hint("fetch the file again, or take an older backup")),
        }
    }

    fn members(&self) -> impl Iterator<Item = Result<RawElement<'_>, String>> {
        let document = RawDocument::from_bytes(self.frames.bytes());
        document.into_iter().flat_map(RawDocument::iter_elements).map(|e| e.map_err(|e| words(&e)))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!(
            "{} document {}, at byte {}: {what}",
            self.file,
            self.number,
            self.frames.at()
        ))
    }
}

impl Member for RawElement<'_> {
    fn name(&self) -> Result<Cow<'_, [u8]>, String> {
        Ok(Cow::Borrowed(self.key().as_str().as_bytes()))
    }

    fn cell(&self, out: &mut Vec<u8>) -> Result<Option<Tag>, String> {
        Ok(Some(match self.value().map_err(|e| words(&e))? {
            RawBsonRef::Null => return Ok(None),
            RawBsonRef::Boolean(true) => Tag::True,
            RawBsonRef::Boolean(false) => Tag::False,
            RawBsonRef::Int32(value) => integer(value.into(), out),
            RawBsonRef::Int64(value) => integer(value, out),
            RawBsonRef::Double(value) => double(value, out),
            RawBsonRef::Decimal128(value) => decimal(value, out),
            RawBsonRef::DateTime(value) => date(value.timestamp_millis(), out),
            RawBsonRef::Binary(value) => binary(value.subtype.into(), value.bytes, out),
            RawBsonRef::String(value) => {
                out.extend_from_slice(value.as_bytes());
                Tag::Str
            }
            RawBsonRef::ObjectId(value) => {
                out.extend_from_slice(value.to_hex().as_bytes());
                Tag::Id
            }
            other => {
                extended::write(other, out)?;
                Tag::Nested
            }
        }))
    }
}

/// What bytes are that are no value, behind "is".
fn words(e: &::bson::error::Error) -> String {
    format!("no value of BSON ({e})")
}
