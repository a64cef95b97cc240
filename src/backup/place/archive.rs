//! What `mongodump --archive` writes, unpacked into the folder that `mongodump --out` would have
//! written.
//!
//! ```text
//! archive := 6d e2 99 81 | prelude | block*
//! prelude := head | collection* | ff ff ff ff       BSON: {version, ..}, {db, collection, metadata, ..}
//! block   := head | document*   | ff ff ff ff       BSON: {db, collection, EOF, CRC}
//! ```
//!
//! Blocks of several collections come mixed. Each collection of the prelude ends in a block that says
//! so (`EOF`) and has the checksum of its documents: CRC-64 of ECMA-182, reflected. Both are
//! required, so an archive is whole or damaged. Source: mongo-tools, `common/archive`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bson::raw::{RawBsonRef, RawDocument};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::backup::mongodump::{CUT, WHOLE};
use crate::backup::place::unwritable;
use crate::backup::text::Limits;
use crate::backup::text::decompress::too_large;
use crate::backup::text::mongo::bson::{Frame, Frames};
use crate::backup::text::stage::sink::private_file;
use crate::error::{Error, Result};
use crate::model::value::hex;

/// How an archive begins.
pub(super) const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];

/// The most collections that are unpacked.
const MOST: usize = 100_000;

/// What is escaped in a name: a point too, so that no file is hidden.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A database and a collection in it; no database for what stands in the root of a dump.
type Namespace = (String, String);

/// Unpacks everything into the folder.
pub(super) fn extract(reader: impl Read, path: &Path, into: &Path, limits: Limits) -> Result<()> {
    let mut archive = Archive {
        blocks: Blocks { frames: Frames::new(reader), path, limits },
        into,
        told: BTreeMap::new(),
        outs: BTreeMap::new(),
    };
    archive.prelude()?;
    while archive.block()? {}
    archive.finish()
}

struct Archive<'a, R> {
    blocks: Blocks<'a, R>,
    into: &'a Path,
    /// The collections of the prelude, and what they are.
    told: BTreeMap<Namespace, Kind>,
    outs: BTreeMap<Namespace, Out>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rows,
    View,
    TimeSeries,
}

/// The documents of a collection.
struct Out {
    to: PathBuf,
    /// `None` of a view, and behind the end.
    file: Option<BufWriter<File>>,
    crc: u64,
    ended: bool,
}

impl<R: Read> Archive<'_, R> {
    fn prelude(&mut self) -> Result<()> {
        self.blocks.frames.skip(MAGIC.len())?;
        if !self.blocks.next()? {
            return Err(self.blocks.damaged("a prelude without a head"));
        }
        while self.blocks.next()? {
            let head = self.blocks.head()?;
            if self.told.len() == MOST {
                let path = self.blocks.path.display();
                return Err(Error::refused(format!("{path} holds more than {MOST} collections")));
            }
            if !head.metadata.is_empty() {
                let to = self.place(&head.namespace, ".metadata.json")?;
                let mut file = create(&to)?;
                file.write_all(head.metadata.as_bytes()).map_err(|e| unwritable(&to, e))?;
                file.flush().map_err(|e| unwritable(&to, e))?;
            }
            if self.told.insert(head.namespace, head.kind).is_some() {
                return Err(self.blocks.damaged("a collection that is told twice"));
            }
        }
        Ok(())
    }

    /// Reads a block; false at the end.
    fn block(&mut self) -> Result<bool> {
        match self.blocks.frame()? {
            Frame::End => return Ok(false),
            Frame::Document => {}
            _ => return Err(self.blocks.damaged("no head of a block")),
        }
        let head = self.blocks.head()?;
        let to = self.place(&head.namespace, ".bson")?;
        let kind = self.told.get(&head.namespace).copied();
        let out = match self.outs.entry(head.namespace) {
            Entry::Occupied(out) => out.into_mut(),
            Entry::Vacant(none) => {
                let file = if kind == Some(Kind::View) { None } else { Some(create(&to)?) };
                none.insert(Out { to, file, crc: 0, ended: false })
            }
        };
        while self.blocks.next()? {
            let Some(file) = out.file.as_mut().filter(|_| !head.end) else {
                return Err(self.blocks.damaged("a document behind its collection's end"));
            };
            let document = self.blocks.frames.bytes();
            out.crc = crc(out.crc, document);
            file.write_all(document).map_err(|e| unwritable(&out.to, e))?;
        }
        if head.end {
            if out.ended {
                return Err(self.blocks.damaged("the second end of a collection"));
            }
            if head.crc != out.crc {
                return Err(self.blocks.damaged("the end of a collection with another checksum"));
            }
            out.ended = true;
            if let Some(mut file) = out.file.take() {
                file.flush().map_err(|e| unwritable(&out.to, e))?;
            }
        }
        Ok(true)
    }

    /// Every collection must have come to its end.
    fn finish(self) -> Result<()> {
        let ended = |name: &Namespace| self.outs.get(name).is_some_and(|out| out.ended);
        let open = self.outs.iter().find(|(_, out)| !out.ended).map(|(name, _)| name);
        let missing = self.told.iter().find(|(name, kind)| match kind {
            Kind::Rows => !ended(name),
            Kind::View => false,
            Kind::TimeSeries => {
                let buckets = (name.0.clone(), format!("system.buckets.{}", name.1));
                !ended(name) && !ended(&buckets)
            }
        });
        if let Some((database, name)) = open.or(missing.map(|(name, _)| name)) {
            return Err(Error::damaged(format!(
                "{} ends before {database}.{name} does: the backup is incomplete, so nothing of \
                 it is used",
                self.blocks.path.display()
            ))
            .hint("fetch the file again, or take an older backup"));
        }
        create(&self.into.join(WHOLE)).map(|_| ())
    }

    /// The file of a collection, as mongodump would name it.
    fn place(&self, (database, name): &Namespace, end: &str) -> Result<PathBuf> {
        let hidden = database.starts_with('.') || database.contains(['/', '\\', '\0']);
        if hidden || database.len() > CUT || name.is_empty() {
            return Err(Error::refused(format!(
                "{} names a collection {database:?}.{name:?}, which is no name",
                self.blocks.path.display()
            ))
            .hint("take a backup from another place"));
        }
        let mut stem = utf8_percent_encode(name, ESCAPED).to_string();
        if stem.len() > CUT {
            let digest = hex(&Sha256::digest(name));
            stem.truncate(CUT - 30);
            stem = format!("{stem}%24{}", &digest[..27]);
        }
        Ok(self.into.join(database).join(stem + end))
    }
}

/// A document that tells of a collection.
struct Head {
    namespace: Namespace,
    /// Of the prelude: what stands in its file of metadata, and what it is.
    metadata: String,
    kind: Kind,
    /// Of a block: the collection has no document more, and the checksum of those it has.
    end: bool,
    crc: u64,
}

struct Blocks<'a, R> {
    frames: Frames<R>,
    path: &'a Path,
    limits: Limits,
}

impl<R: Read> Blocks<'_, R> {
    fn frame(&mut self) -> Result<Frame> {
        if self.frames.at() > self.limits.max_expanded_bytes {
            return Err(too_large(self.path, self.limits.expanded_words()));
        }
        self.frames.next()
    }

    /// Goes to the next document; false at the end of a block.
    fn next(&mut self) -> Result<bool> {
        match self.frame()? {
            Frame::Document => Ok(true),
            frame if frame == Frames::<R>::MARK => Ok(false),
            Frame::Length(length) => Err(self.damaged(&format!("a length of {length} bytes"))),
            Frame::End | Frame::Cut => Err(self.damaged("its end, within a block")),
        }
    }

    /// What the document at hand tells of a collection.
    fn head(&self) -> Result<Head> {
        let document = RawDocument::from_bytes(self.frames.bytes());
        let document = document.map_err(|e| self.damaged(&e.to_string()))?;
        let mut head = Head {
            namespace: Namespace::default(),
            metadata: String::new(),
            kind: Kind::Rows,
            end: false,
            crc: 0,
        };
        for member in document {
            let (name, value) = member.map_err(|e| self.damaged(&e.to_string()))?;
            match (name.as_str(), value) {
                ("db", RawBsonRef::String(text)) => head.namespace.0 = text.to_owned(),
                ("collection", RawBsonRef::String(text)) => head.namespace.1 = text.to_owned(),
                ("metadata", RawBsonRef::String(text)) => head.metadata = text.to_owned(),
                ("type", RawBsonRef::String("view")) => head.kind = Kind::View,
                ("type", RawBsonRef::String("timeseries")) => head.kind = Kind::TimeSeries,
                ("EOF", RawBsonRef::Boolean(end)) => head.end = end,
                // The bits of a number without a sign.
                ("CRC", RawBsonRef::Int64(crc)) => head.crc = crc as u64,
                _ => {}
            }
        }
        // Older tools tell no type.
        let metadata: Option<Value> = serde_json::from_str(&head.metadata).ok();
        let option = |name: &str| metadata.as_ref().is_some_and(|m| !m["options"][name].is_null());
        if option("viewOn") {
            head.kind = Kind::View;
        } else if option("timeseries") {
            head.kind = Kind::TimeSeries;
        }
        Ok(head)
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!(
            "{} has {what} at byte {}: nothing of it is used",
            self.path.display(),
            self.frames.at()
        ))
        .hint("fetch the file again, or take an older backup")
    }
}

fn create(to: &Path) -> Result<BufWriter<File>> {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
    private_file(to).map(BufWriter::new).map_err(|e| unwritable(to, e))
}

/// Goes on with a checksum.
fn crc(crc: u64, bytes: &[u8]) -> u64 {
    !bytes.iter().fold(!crc, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut value, mut bit) = (index as u64, 0);
        while bit < 8 {
            let odd = value & 1 == 1;
            value = (value >> 1) ^ if odd { 0xc96c_5795_d787_0f42 } else { 0 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};
