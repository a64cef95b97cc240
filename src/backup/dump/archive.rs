//! pg_dump's archives: custom (`-Fc`), directory (`-Fd`) and tar (`-Ft`).
//!
//! Each has a table of contents ([`toc`]) with the definitions, which stand for a plain dump's
//! statements, and where each table's rows are. Only what a wanted table needs is read:
//!
//! ```text
//! custom     the contents, then blocks: kind u8 (1 rows, 3 large objects), id int, chunks;
//!            the contents say where each begins, unless the archive was written to a pipe
//! directory  toc.dat, and ID.dat, ID.dat.gz, ID.dat.lz4 or ID.dat.zst a table
//! tar        toc.dat, then ID.dat a table, then restore.sql, two empty records
//! ```
//!
//! Source: PostgreSQL `pg_backup_custom.c`, `pg_backup_directory.c`, `pg_backup_tar.c`.

mod tar;
mod toc;
mod unpack;

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use parquet::file::reader::ChunkReader;

use crate::backup::dump::archive::toc::{Entry, Fields, Format, Packed, Place, Toc, damaged};
use crate::backup::dump::archive::unpack::{Chunks, Unpacked};
use crate::backup::dump::copy;
use crate::backup::dump::postgres::{Known, Postgres};
use crate::backup::dump::tables::{Name, Tables};
use crate::backup::file::BackupFile;
use crate::backup::text::Limits;
use crate::backup::text::decompress::{Compression, TextReader, open_regular};
use crate::backup::text::window::{Stop, Window};
use crate::error::{Error, Result};

pub(super) use crate::backup::dump::archive::toc::MAGIC;

/// The name of the table of contents in a folder or a tar.
pub(super) const TOC: &str = "toc.dat";

/// An archive that is read.
pub(super) struct Archive<'a> {
    path: &'a Path,
    limits: Limits,
    /// What the contents said, as statements would have.
    pub(super) postgres: Postgres,
}

/// A list of columns, where a COPY has one.
type List = Option<Vec<Vec<u8>>>;

/// The rows of a table to be read.
struct Wanted<'t> {
    entry: &'t Entry,
    table: Name,
    /// The columns of its COPY; `None` where it is INSERTs.
    copy: Option<List>,
}

impl<'a> Archive<'a> {
    /// The archive at a path.
    pub(super) fn new(path: &'a Path, limits: Limits) -> Self {
        Self { path, limits, postgres: Postgres::default() }
    }

    fn file(&self) -> String {
        self.path.display().to_string()
    }

    /// Reads the contents, and the rows of the wanted tables; when it was made.
    pub(super) fn read(
        &mut self,
        tables: &mut Tables<'_>,
    ) -> Result<Option<chrono::DateTime<chrono::FixedOffset>>> {
        if self.path.is_dir() {
            let reader = TextReader::open(&self.path.join(TOC), Some(self.path), self.limits)?;
            let (toc, _) = toc::read(BufReader::new(reader), &self.file())?;
            self.expect(&toc, &[Format::Directory, Format::Tar])?;
            self.directory(&toc, tables)?;
            return Ok(toc.created);
        }
        let mut bytes = Bytes::open(self.path, self.limits)?;
        if bytes.head()?.starts_with(MAGIC) {
            let (toc, bytes) = toc::read(bytes, &self.file())?;
            self.expect(&toc, &[Format::Custom])?;
            self.custom(&toc, bytes, tables)?;
            return Ok(toc.created);
        }
        self.tar(bytes, tables)
    }

    fn expect(&self, toc: &Toc, formats: &[Format]) -> Result<()> {
        if formats.contains(&toc.format) {
            return Ok(());
        }
        Err(damaged(&self.file(), "is of another format than its place says"))
    }

    /// Takes the definitions; the rows that are wanted, in the order of the contents.
    fn contents<'t>(&mut self, toc: &'t Toc, tables: &mut Tables<'_>) -> Result<Vec<Wanted<'t>>> {
        let mut rows = Vec::new();
        let mut seen = BTreeSet::new();
        let file = self.file();
        let torn = |entry: &Entry, stop: Stop| {
            let what = match stop {
                Stop::Bad(_, what) => what,
                Stop::More => "a torn statement".into(),
            };
            damaged(&file, &format!("defines {} with {what}", entry.tag))
        };
        for entry in &toc.entries {
            self.postgres.in_schema(entry.schema.as_deref());
            match entry.desc.as_str() {
                "ENCODING" | "STDSTRINGS" | "SEARCHPATH" | "TABLE" | "TABLE ATTACH" => {
                    let known = self.postgres.statement(&entry.defn, tables);
                    known.map_err(|stop| torn(entry, stop))??;
                }
                "TABLE DATA" => {
                    let (table, copy) = if entry.copy.is_empty() {
                        (self.postgres.name(&[entry.tag.clone().into_bytes()]), None)
                    } else {
                        let known = self.postgres.statement(&entry.copy, tables);
                        match known.map_err(|stop| torn(entry, stop))?? {
                            Known::Copy(path, list) => (self.postgres.name(&path), Some(list)),
                            _ => return Err(damaged(&file, "has rows without their COPY")),
                        }
                    };
                    tables.data_of(&table);
                    // Rows of a partition may come by way of its root.
                    let own = self.postgres.name(&[entry.tag.clone().into_bytes()]);
                    if tables.is_partition(&own) {
                        tables.data_of(&own);
                    }
                    if !seen.insert(entry.id) {
                        return Err(damaged(
                            &file,
                            &format!("has the rows of {} twice", entry.tag),
                        ));
                    }
                    rows.push(Wanted { entry, table, copy });
                }
                "BLOB" | "BLOBS" | "BLOB METADATA" => {
                    tables.note("the dump's large objects are not read".into());
                }
                _ => {}
            }
        }
        rows.retain(|rows| tables.wants(&rows.table));
        Ok(rows)
    }

    /// Reads the rows of one table to their end.
    fn rows(&self, rows: &Wanted<'_>, reader: impl Read, tables: &mut Tables<'_>) -> Result<()> {
        let file = format!("{} ({})", self.path.display(), rows.table.table);
        let Some(list) = &rows.copy else {
            return self.postgres.inserts(reader, file, tables);
        };
        let mut window = Window::new(reader, file);
        copy::rows(&mut window, tables, &self.postgres.session, &rows.table, list, false)?;
        // The end of what the rows are compressed in comes behind the mark of theirs.
        loop {
            let blank = window.bytes().iter().take_while(|b| **b == b'\n').count();
            if blank < window.bytes().len() {
                return Err(window.damaged(blank, "something behind the end of the rows"));
            }
            window.consume(blank);
            if !window.grow()? {
                return Ok(());
            }
        }
    }

    fn directory(&mut self, toc: &Toc, tables: &mut Tables<'_>) -> Result<()> {
        for rows in self.contents(toc, tables)? {
            let Place::File(name) = &rows.entry.place else {
                return Err(damaged(&self.file(), "has rows in no file"));
            };
            let (path, packed) = self.member(name)?;
            let file = path.display().to_string();
            if packed == Packed::Lz4 {
                let reader = BufReader::new(open_regular(&path, Some(self.path))?);
                let reader = Unpacked::new(reader, packed, self.limits, file)?;
                self.rows(&rows, reader, tables)?;
            } else {
                let reader = TextReader::open(&path, Some(self.path), self.limits)?;
                self.rows(&rows, reader, tables)?;
            }
        }
        Ok(())
    }

    /// The file of a folder that the contents call by this name.
    fn member(&self, name: &str) -> Result<(PathBuf, Packed)> {
        plain_name(name, &self.file())?;
        let ends = [
            ("", Packed::None),
            (".gz", Packed::Zlib),
            (".lz4", Packed::Lz4),
            (".zst", Packed::Zstd),
        ];
        let mut there = ends
            .into_iter()
            .map(|(end, packed)| (self.path.join(format!("{name}{end}")), packed))
            .filter(|(path, _)| path.symlink_metadata().is_ok());
        match (there.next(), there.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(damaged(&self.file(), &format!("lacks its file {name}"))),
            (Some(_), Some(_)) => Err(damaged(&self.file(), &format!("has the file {name} twice"))),
        }
    }

    fn custom(&mut self, toc: &Toc, bytes: Bytes, tables: &mut Tables<'_>) -> Result<()> {
        let file = self.file();
        let wanted = self.contents(toc, tables)?;
        if let Some(size) = bytes.size() {
            let beyond = |entry: &Entry| matches!(entry.place, Place::Offset(at) if at >= size);
            if toc.entries.iter().any(beyond) {
                return Err(damaged(&file, "ends before the last of its blocks"));
            }
        }
        let known = wanted.iter().all(|rows| matches!(rows.entry.place, Place::Offset(_)));
        if let (true, Bytes::File { file: seekable, .. }) = (known, &bytes) {
            for rows in &wanted {
                let Place::Offset(at) = rows.entry.place else { continue };
                let reader = seekable.get_read(at).map_err(io::Error::other)?;
                let mut fields = Fields::new(reader, toc.int_size, file.clone());
                if fields.byte()? != ROWS || fields.int()? != rows.entry.id {
                    return Err(damaged(&file, "has another block than its contents say"));
                }
                self.block(rows, toc, &mut fields, tables)?;
            }
            return seekable.unchanged();
        }
        // The blocks one after another.
        let mut left: Vec<&Wanted<'_>> = wanted.iter().collect();
        let mut fields = Fields::new(bytes, toc.int_size, file.clone());
        while let Some(kind) = fields.byte_or_end()? {
            let id = fields.int()?;
            match kind {
                ROWS => match left.iter().position(|rows| rows.entry.id == id) {
                    Some(at) => self.block(left.remove(at), toc, &mut fields, tables)?,
                    None => pass(&mut fields)?,
                },
                LARGE_OBJECTS => {
                    while fields.int()? != 0 {
                        pass(&mut fields)?;
                    }
                }
                _ => return Err(damaged(&file, "has a block of no known kind")),
            }
        }
        match left.first() {
            None => Ok(()),
            Some(rows) => {
                Err(damaged(&file, &format!("ends before the rows of {}", rows.table.table)))
            }
        }
    }

    fn block<R: Read>(
        &self,
        rows: &Wanted<'_>,
        toc: &Toc,
        fields: &mut Fields<R>,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let mut chunks = Chunks::new(fields);
        let reader = Unpacked::new(&mut chunks, toc.packed, self.limits, self.file())?;
        self.rows(rows, reader, tables)?;
        // What is compressed may end before its block does.
        io::copy(&mut chunks, &mut io::sink()).map_err(TextReader::error)?;
        Ok(())
    }

    fn tar(
        &mut self,
        mut bytes: Bytes,
        tables: &mut Tables<'_>,
    ) -> Result<Option<chrono::DateTime<chrono::FixedOffset>>> {
        let file = self.file();
        let first = tar::next(&mut bytes, &file)?;
        let Some(first) = first.filter(|member| member.name == TOC) else {
            return Err(damaged(&file, &format!("does not begin with {TOC}")));
        };
        let (toc, rest) = toc::read((&mut bytes).take(first.size), &file)?;
        let unread = rest.limit();
        bytes.skip(unread + first.padding(), &file)?;
        self.expect(&toc, &[Format::Tar])?;
        let wanted = self.contents(&toc, tables)?;
        let mut left: Vec<&Wanted<'_>> = wanted.iter().collect();
        while let Some(member) = tar::next(&mut bytes, &file)? {
            let here = Place::File(member.name.clone());
            let Some(at) = left.iter().position(|rows| rows.entry.place == here) else {
                bytes.skip(member.size + member.padding(), &file)?;
                continue;
            };
            let mut rest = (&mut bytes).take(member.size);
            let reader = Unpacked::new(&mut rest, Packed::None, self.limits, file.clone())?;
            self.rows(left.remove(at), reader, tables)?;
            let unread = rest.limit();
            if unread > 0 {
                return Err(damaged(&file, &format!("ends within {}", member.name)));
            }
            bytes.skip(member.padding(), &file)?;
        }
        match left.first() {
            None => Ok(toc.created),
            Some(rows) => Err(damaged(&file, &format!("lacks the rows of {}", rows.table.table))),
        }
    }
}

/// A block of rows.
const ROWS: u8 = 1;
/// A block of large objects: an oid and chunks each, until an oid of 0.
const LARGE_OBJECTS: u8 = 3;

/// Leaves the chunks at hand behind.
fn pass<R: Read>(fields: &mut Fields<R>) -> Result<()> {
    io::copy(&mut Chunks::new(fields), &mut io::sink()).map_err(TextReader::error)?;
    Ok(())
}

/// An error for a name that is more than a file's: names never become paths.
fn plain_name(name: &str, file: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the archive {file} names the file {name:?}, which pg_dump would not"
    ))
    .hint("take a dump from another place"))
}

/// The bytes of an archive that is one file.
pub(super) enum Bytes {
    /// As they lie: parts can be skipped.
    File {
        /// The file.
        file: BackupFile,
        /// The next byte.
        at: u64,
    },
    /// Decompressed on the way.
    Stream(Box<BufReader<TextReader>>),
}

impl Bytes {
    fn open(path: &Path, limits: Limits) -> Result<Self> {
        if Compression::of_name(path) == Compression::None {
            return Ok(Bytes::File { file: BackupFile::open(path, None)?, at: 0 });
        }
        let reader = TextReader::open(path, None, limits)?;
        Ok(Bytes::Stream(Box::new(BufReader::with_capacity(64 << 10, reader))))
    }

    fn size(&self) -> Option<u64> {
        match self {
            Bytes::File { file, .. } => Some(file.size()),
            Bytes::Stream(_) => None,
        }
    }

    /// The first bytes, which stay where they are.
    fn head(&mut self) -> Result<Vec<u8>> {
        match self {
            Bytes::File { file, .. } => {
                let mut head = Vec::new();
                file.reader().take(5).read_to_end(&mut head)?;
                Ok(head)
            }
            Bytes::Stream(reader) => {
                io::BufRead::fill_buf(reader).map(<[u8]>::to_vec).map_err(TextReader::error)
            }
        }
    }

    /// Leaves so many bytes behind.
    fn skip(&mut self, count: u64, name: &str) -> Result<()> {
        let there = match self {
            Bytes::File { file, at } => {
                let there = file.size().saturating_sub(*at).min(count);
                *at += there;
                there
            }
            Bytes::Stream(reader) => {
                io::copy(&mut reader.take(count), &mut io::sink()).map_err(TextReader::error)?
            }
        };
        if there < count { Err(damaged(name, "ends early")) } else { Ok(()) }
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Bytes::File { file, at } => {
                let read = file.read_at(buffer, *at)?;
                *at += read as u64;
                Ok(read)
            }
            Bytes::Stream(reader) => reader.read(buffer),
        }
    }
}
