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

/// Reads documents one by one.
#[derive(Debug)]
pub(in crate::backup::text) struct BsonRows<R> {
    reader: BufReader<R>,
    file: String,
    /// The document at hand.
    document: Vec<u8>,
    /// Where it begins.
    at: u64,
    /// Its number, from 1.
    number: u64,
}

impl<R: Read> BsonRows<R> {
    /// Reads `reader`; errors name `file`.
    pub(in crate::backup::text) fn new(reader: R, file: String) -> Self {
        let reader = BufReader::with_capacity(256 << 10, reader);
        Self { reader, file, document: Vec::new(), at: 0, number: 0 }
    }

    /// Reads until the document has `length` bytes, or the file ends.
    fn fill(&mut self, length: usize) -> Result<()> {
        let mut filled = self.document.len();
        self.document.resize(length, 0);
        while filled < length {
            match self.reader.read(&mut self.document[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(TextReader::error(e)),
            }
        }
        self.document.truncate(filled);
        Ok(())
    }

    fn cut(&self) -> Error {
        Error::damaged(format!(
            "{} ends within document {} that begins at byte {}: the backup is incomplete, so \
             nothing of it is used",
            self.file, self.number, self.at
        ))
        .hint("fetch the file again, or take an older backup")
    }
}

impl<R: Read> Documents for BsonRows<R> {
    type Member<'a>
        = RawElement<'a>
    where
        Self: 'a;

    fn advance(&mut self) -> Result<bool> {
        self.at += self.document.len() as u64;
        self.number += 1;
        self.document.clear();
        self.fill(4)?;
        let length = match self.document[..] {
            [] => return Ok(false),
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
            _ => return Err(self.cut()),
        };
        let length = match usize::try_from(length) {
            Ok(length @ MIN_DOCUMENT..=MAX_DOCUMENT) => length,
            _ => {
                return Err(self.damaged(&format!(
                    "a length of {length} bytes, which no document of MongoDB has"
                )));
            }
        };
        self.fill(length)?;
        if self.document.len() < length {
            return Err(self.cut());
        }
        match RawDocument::from_bytes(&self.document) {
            Ok(_) => Ok(true),
            Err(e) => Err(self.damaged(&words(&e))),
        }
    }

    fn members(&self) -> impl Iterator<Item = Result<RawElement<'_>, String>> {
        let document = RawDocument::from_bytes(&self.document);
        document.into_iter().flat_map(RawDocument::iter_elements).map(|e| e.map_err(|e| words(&e)))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!(
            "{} document {}, at byte {}: {what}",
            self.file, self.number, self.at
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
