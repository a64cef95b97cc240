//! The head and the table of contents of pg_dump's archives.
//!
//! ```text
//! "PGDMP" major u8 minor u8 revision u8 int_size u8 offset_size u8 format u8
//! compression: level int up to 1.14, algorithm u8 from 1.15 on
//! created: sec min hour mday mon year isdst, ints      database str  server str  pg_dump str
//! count int, then for each entry:
//!   id int  has_data int  tableoid str  oid str  tag str  desc str  section int
//!   defn str  drop str  copy str  namespace str  tablespace str
//!   [table access method str, from 1.14]  [relkind int, from 1.16]
//!   owner str  with_oids str  dependency str .. NULL
//!   custom: state u8, offset of offset_size bytes; directory and tar: file name str
//! int: sign u8, then int_size bytes, the lowest first        str: length int, -1 for NULL, bytes
//! ```
//!
//! Read: versions 1.12 (PostgreSQL 9.0) to 1.16 (PostgreSQL 17 and 18). Source: PostgreSQL
//! `pg_backup_archiver.c` (`ReadHead`, `ReadToc`), `pg_backup_custom.c`,
//! `pg_backup_directory.c` and `pg_backup_tar.c` (`_ReadExtraToc`).

use std::io::{self, Read};

use chrono::{DateTime, FixedOffset, Local, NaiveDate, TimeZone};

use crate::backup::text::decompress::TextReader;
use crate::error::{Error, Result};

/// The first bytes of every archive.
pub(in crate::backup::dump) const MAGIC: &[u8] = b"PGDMP";

/// The versions that are read, each a major and a minor number.
const VERSIONS: std::ops::RangeInclusive<(u8, u8)> = (1, 12)..=(1, 16);

/// The longest string: definitions are short, and a torn length must not fill the memory.
const LONGEST: usize = 64 << 20;

/// The layout of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One file: the contents, then blocks.
    Custom,
    /// A tar of the contents and a file a table.
    Tar,
    /// A folder of the same.
    Directory,
}

/// How the rows in it are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    None,
    Zlib,
    Lz4,
    Zstd,
}

/// A table of contents.
#[derive(Debug)]
pub(super) struct Toc {
    /// The layout.
    pub(super) format: Format,
    /// How rows are compressed.
    pub(super) packed: Packed,
    /// The size of an int in bytes.
    pub(super) int_size: usize,
    /// When it was made, by the clock of its host.
    pub(super) created: Option<DateTime<FixedOffset>>,
    /// The entries, in their order.
    pub(super) entries: Vec<Entry>,
}

/// An entry of a table of contents.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number, by which a block names it.
    pub(super) id: i32,
    /// The object's name.
    pub(super) tag: String,
    /// What it is: `TABLE`, `TABLE DATA`, ..
    pub(super) desc: String,
    /// Its definition.
    pub(super) defn: Vec<u8>,
    /// The COPY statement of its rows; empty where they are INSERTs.
    pub(super) copy: Vec<u8>,
    /// Its schema.
    pub(super) schema: Option<String>,
    /// Where its rows are.
    pub(super) place: Place,
}

/// Where an entry's rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has none.
    None,
    /// In a block that must be looked for.
    Somewhere,
    /// In the block at this byte.
    Offset(u64),
    /// In the file of this name.
    File(String),
}

/// Reads the parts of an archive.
pub(super) struct Fields<R> {
    /// The bytes.
    pub(super) reader: R,
    int_size: usize,
    file: String,
}

impl<R: Read> Fields<R> {
    /// A reader whose errors name `file`.
    pub(super) fn new(reader: R, int_size: usize, file: String) -> Self {
        Self { reader, int_size, file }
    }

    fn bytes(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.reader.read_exact(buffer) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("ends early")),
            Err(e) => Err(TextReader::error(e)),
        }
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.bytes(&mut byte)?;
        Ok(byte[0])
    }

    /// The next byte; `None` at the end.
    pub(super) fn byte_or_end(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        loop {
            match self.reader.read(&mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TextReader::error(e)),
            }
        }
    }

    /// The next int.
    pub(super) fn int(&mut self) -> Result<i32> {
        let negative = self.byte()? != 0;
        let mut bytes = [0; 8];
        let size = self.int_size;
        self.bytes(&mut bytes[..size])?;
        match i32::try_from(u64::from_le_bytes(bytes)) {
            Ok(int) if negative => Ok(-int),
            Ok(int) => Ok(int),
            Err(_) => Err(self.damaged("holds a number that is too large")),
        }
    }

    /// The next string; `None` for NULL.
    fn text(&mut self) -> Result<Option<Vec<u8>>> {
        let Ok(length) = usize::try_from(self.int()?) else { return Ok(None) };
        if length > LONGEST {
            return Err(self.damaged("holds a string that is too long"));
        }
        let mut text = Vec::new();
        let read = self.reader.by_ref().take(length as u64).read_to_end(&mut text);
        if read.map_err(TextReader::error)? < length {
            return Err(self.damaged("ends early"));
        }
        Ok(Some(text))
    }

    fn name(&mut self) -> Result<Option<String>> {
        Ok(self.text()?.map(|text| String::from_utf8_lossy(&text).into_owned()))
    }

    /// The error for an archive that is not whole.
    pub(super) fn damaged(&self, what: &str) -> Error {
        damaged(&self.file, what)
    }
}

/// The error for an archive that is not whole.
pub(super) fn damaged(file: &str, what: &str) -> Error {
    Error::damaged(format!("the archive {file} {what}: nothing of it is used"))
        .hint("fetch the file again, or take an older dump")
}

/// Reads the head and the table of contents.
pub(super) fn read<R: Read>(reader: R, file: &str) -> Result<(Toc, R)> {
    let mut fields = Fields::new(reader, 4, file.to_owned());
    let mut head = [0; 8];
    fields.bytes(&mut head)?;
    if !head.starts_with(MAGIC) {
        return Err(fields.damaged("does not begin with PGDMP"));
    }
    let version = (head[5], head[6]);
    if !VERSIONS.contains(&version) {
        return Err(Error::failed(format!(
            "the archive {file} has version {}.{}; {}.{} to {}.{} are read",
            version.0,
            version.1,
            VERSIONS.start().0,
            VERSIONS.start().1,
            VERSIONS.end().0,
            VERSIONS.end().1
        ))
        .hint("turn it into a plain script, which is read: pg_restore -f dump.sql"));
    }
    let (int_size, offset_size) = (fields.byte()?, fields.byte()?);
    if !(1..=8).contains(&int_size) || !(1..=8).contains(&offset_size) {
        return Err(fields.damaged("has a head that is none"));
    }
    fields.int_size = int_size.into();
    let format = match fields.byte()? {
        1 => Format::Custom,
        3 => Format::Tar,
        5 => Format::Directory,
        _ => return Err(fields.damaged("has a format that is not known")),
    };
    let packed = if version >= (1, 15) {
        match fields.byte()? {
            0 => Packed::None,
            1 => Packed::Zlib,
            2 => Packed::Lz4,
            3 => Packed::Zstd,
            _ => return Err(fields.damaged("is compressed in a way that is not known")),
        }
    } else if fields.int()? == 0 {
        Packed::None
    } else {
        Packed::Zlib
    };
    let mut clock = [0; 7];
    for part in &mut clock {
        *part = fields.int()?;
    }
    for _ in ["database", "server", "pg_dump"] {
        fields.text()?;
    }
    let count = fields.int()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(entry(&mut fields, version, format, offset_size.into())?);
    }
    let int_size = fields.int_size;
    let toc = Toc { format, packed, int_size, created: created(clock), entries };
    Ok((toc, fields.reader))
}

fn entry<R: Read>(
    fields: &mut Fields<R>,
    version: (u8, u8),
    format: Format,
    offset_size: usize,
) -> Result<Entry> {
    let id = fields.int()?;
    fields.int()?;
    fields.text()?;
    fields.text()?;
    let tag = fields.name()?.unwrap_or_default();
    let desc = fields.name()?.unwrap_or_default();
    fields.int()?;
    let defn = fields.text()?.unwrap_or_default();
    fields.text()?;
    let copy = fields.text()?.unwrap_or_default();
    let schema = fields.name()?;
    fields.text()?;
    if version >= (1, 14) {
        fields.text()?;
    }
    if version >= (1, 16) {
        fields.int()?;
    }
    fields.text()?;
    fields.text()?;
    while fields.text()?.is_some() {}
    let place = match format {
        Format::Custom => {
            let state = fields.byte()?;
            let mut bytes = [0; 8];
            fields.bytes(&mut bytes[..offset_size])?;
            match state {
                1 => Place::Somewhere,
                2 => Place::Offset(u64::from_le_bytes(bytes)),
                3 => Place::None,
                _ => return Err(fields.damaged("has an entry at a place that is none")),
            }
        }
        Format::Tar | Format::Directory => match fields.name()? {
            Some(name) if !name.is_empty() => Place::File(name),
            _ => Place::None,
        },
    };
    Ok(Entry { id, tag, desc, defn, copy, schema, place })
}

/// The time of a `struct tm`: second, minute, hour, day, month from 0, year from 1900.
fn created(clock: [i32; 7]) -> Option<DateTime<FixedOffset>> {
    let [second, minute, hour, day, month, year, _] =
        clock.map(|part| u32::try_from(part).unwrap_or(u32::MAX));
    let year = i32::try_from(year).ok()?.checked_add(1900)?;
    let naive = NaiveDate::from_ymd_opt(year, month.checked_add(1)?, day)?
        .and_hms_opt(hour, minute, second)?;
    Some(Local.from_local_datetime(&naive).earliest()?.fixed_offset())
}
