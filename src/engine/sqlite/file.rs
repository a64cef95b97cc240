//! SQLite files before SQLite sees them: is it one, is its write-ahead log its own, and who
//! in this process has it open.
//!
//! ```text
//! database header ("Database File Format", 1.3)      WAL header (4.1)
//!   0  "SQLite format 3\0"                             0  0x377f0682 or 0x377f0683
//!  16  page size, u16 BE, 1 = 65536                    8  page size, u32 BE
//!  18  write version, 19 read version: 2 = WAL        16  salt-1, 20 salt-2
//!  24  file change counter                            24  checksum of the bytes before
//!  28  size in pages, valid when 92 equals 24        WAL frame header: 0 page, 4 size after
//!  92  version-valid-for                               commit, 8 salts, 16 checksum
//! ```
//!
//! Nothing here opens a file that this process has a connection to: closing any descriptor
//! of the inode drops the POSIX locks that SQLite holds on it ("How To Corrupt An SQLite
//! Database File", 2.2). Hence the count of open files, which is the process's own state as
//! the locks are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::model::origin::Identity;
use crate::model::side::Which;

/// A regular file found on disk, by its canonical path.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseFile {
    /// The canonical path.
    pub(crate) path: PathBuf,
    /// The path as it was given, for messages.
    pub(crate) shown: String,
    /// Which side it is read as.
    pub(crate) side: Which,
    metadata: Metadata,
}

impl DatabaseFile {
    /// Finds a file; nothing is opened and nothing created.
    pub(crate) fn find(location: &str, side: Which) -> Result<Self> {
        let given = Path::new(location);
        let metadata = std::fs::metadata(given).map_err(|e| missing(given, side, e))?;
        if !metadata.is_file() {
            return Err(Error::usage(format!("{side}: {location} is not a regular file")));
        }
        let path = given.canonicalize().map_err(|e| {
            Error::failed(format!("{side}: {location} could not be resolved")).because(e)
        })?;
        if path.to_str().is_none() {
            return Err(Error::usage(format!(
                "{side}: the path of {location} is not valid UTF-8, which SQLite needs"
            )));
        }
        if metadata.len() == 0 {
            return Err(Error::failed(format!(
                "{side}: {location} is an empty file, not a SQLite database"
            ))
            .hint("an empty file is what a program leaves that opened a mistyped path"));
        }
        Ok(Self { path, shown: location.to_owned(), side, metadata })
    }

    /// The same file under another name in messages.
    pub(crate) fn shown_as(self, shown: &str) -> Self {
        Self { shown: shown.to_owned(), ..self }
    }

    /// Host, device, inode and canonical path.
    pub(crate) fn identity(&self) -> Identity {
        Identity::Sqlite {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            dev: self.metadata.dev(),
            ino: self.metadata.ino(),
            path: self.path.to_string_lossy().into_owned(),
        }
    }

    fn inode(&self) -> Inode {
        Inode::of(&self.metadata)
    }

    /// The file beside it with this suffix: `-wal`, `-journal`.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(suffix);
        PathBuf::from(name)
    }

    /// Reads the header and checks that a write-ahead log beside it is its own. Only for
    /// a file that this process has no connection to.
    pub(crate) fn inspect(&self) -> Result<Header> {
        let header = self.header()?;
        if let Some(stray) = self.stray_log(&header)? {
            // An application that turned WAL mode on in between wrote the header first.
            let again = self.header()?;
            if again.bytes[18..20] == header.bytes[18..20] || self.stray_log(&again)?.is_some() {
                return Err(Error::refused(format!(
                    "{}: the write-ahead log {} does not belong to {}: {stray}",
                    self.side,
                    self.beside("-wal").display(),
                    self.shown
                ))
                .hint(
                    "SQLite would mix its pages into the database: find out which file was \
                       swapped, and move the log away or put its own database back",
                ));
            }
        }
        Ok(header)
    }

    fn header(&self) -> Result<Header> {
        let mut bytes = [0; 100];
        let filled = File::open(&self.path)
            .and_then(|mut file| fill(&mut file, &mut bytes))
            .map_err(|e| {
                Error::failed(format!("{}: {} could not be read", self.side, self.shown)).because(e)
            })?;
        if bytes[..16] != *b"SQLite format 3\0" {
            return Err(Error::failed(format!(
                "{}: {} is not a SQLite database (or it is encrypted)",
                self.side, self.shown
            ))
            .hint(format!("it begins with {:?}", first_words(&bytes[..filled]))));
        }
        Ok(Header { bytes, length: self.metadata.len() })
    }

    /// Why the write-ahead log is another database's, as far as it can be known: SQLite
    /// itself would read it.
    fn stray_log(&self, header: &Header) -> Result<Option<String>> {
        let log = self.beside("-wal");
        let found = match File::open(&log) {
            Ok(file) => file.metadata().and_then(|m| {
                let frames = m.len() <= LONGEST_LOG;
                Log::read(BufReader::with_capacity(1 << 16, file), frames)
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => Err(e),
        };
        let Some(log) = found.map_err(|e| {
            Error::failed(format!("{}: {} could not be read", self.side, log.display())).because(e)
        })?
        else {
            return Ok(None);
        };
        if header.bytes[19] != 2 {
            return Ok(Some("the database is not in WAL mode".into()));
        }
        if log.page_size != header.page_size() {
            return Ok(Some(format!(
                "its pages have {} bytes, the database's {}",
                log.page_size,
                header.page_size()
            )));
        }
        // A checkpoint copies the log's newest first page into the database, so a log that
        // has one is never behind the database.
        match log.change_counter {
            Some(counter) if (counter.wrapping_sub(header.change_counter()) as i32) < 0 => {
                Ok(Some("it is older than the database".into()))
            }
            _ => Ok(None),
        }
    }
}

/// The first bytes of a database file.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    bytes: [u8; 100],
    length: u64,
}

impl Header {
    fn be32(&self, at: usize) -> u32 {
        be32(&self.bytes, at)
    }

    fn page_size(&self) -> u32 {
        match u32::from(u16::from_be_bytes([self.bytes[16], self.bytes[17]])) {
            1 => 65_536,
            size => size,
        }
    }

    fn change_counter(&self) -> u32 {
        self.be32(24)
    }

    /// True when the file has fewer bytes than its header counts pages.
    pub(crate) fn is_truncated(&self) -> bool {
        self.be32(92) == self.change_counter()
            && self.length < u64::from(self.be32(28)) * u64::from(self.page_size())
    }
}

/// A longer write-ahead log is judged by its header alone, since its frames would take too
/// long to read: an application that checkpoints keeps it near 4 MiB.
const LONGEST_LOG: u64 = 64 << 20;

/// A write-ahead log whose header is sound; SQLite ignores any other.
struct Log {
    page_size: u32,
    /// The change counter on the newest committed copy of page 1.
    change_counter: Option<u32>,
}

impl Log {
    fn read(mut file: impl Read, frames: bool) -> io::Result<Option<Self>> {
        let mut header = [0; 32];
        if fill(&mut file, &mut header)? < header.len() {
            return Ok(None);
        }
        let big_endian = match be32(&header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Ok(None),
        };
        let page_size = be32(&header, 8);
        let mut sum = checksum(big_endian, (0, 0), &header[..24]);
        let sound = sum == (be32(&header, 24), be32(&header, 28))
            && page_size.is_power_of_two()
            && (512..=65_536).contains(&page_size);
        if !sound {
            return Ok(None);
        }
        let mut frame = vec![0; 24 + page_size as usize];
        let (mut pending, mut committed) = (None, None);
        while frames
            && fill(&mut file, &mut frame)? == frame.len()
            && frame[8..16] == header[16..24]
        {
            sum = checksum(big_endian, sum, &frame[..8]);
            sum = checksum(big_endian, sum, &frame[24..]);
            if sum != (be32(&frame, 16), be32(&frame, 20)) {
                break;
            }
            if be32(&frame, 0) == 1 {
                pending = Some(be32(&frame, 24 + 24));
            }
            if be32(&frame, 4) != 0 {
                committed = pending;
            }
        }
        Ok(Some(Self { page_size, change_counter: committed }))
    }
}

/// The checksum of "Database File Format", 4.2, over a multiple of eight bytes.
fn checksum(big_endian: bool, (mut a, mut b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let (x, y) = (be32(pair, 0), be32(pair, 4));
        let (x, y) = if big_endian { (x, y) } else { (x.swap_bytes(), y.swap_bytes()) };
        a = a.wrapping_add(x).wrapping_add(b);
        b = b.wrapping_add(y).wrapping_add(a);
    }
    (a, b)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

fn first_words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(32)]).into_owned()
}

fn missing(path: &Path, side: Which, e: io::Error) -> Error {
    if e.kind() != io::ErrorKind::NotFound {
        return Error::failed(format!("{side}: {} could not be looked at", path.display()))
            .because(e);
    }
    let error =
        Error::usage(format!("{side}: {} does not exist; it was not created", path.display()));
    let similar = similar_files(path);
    if similar.is_empty() { error } else { error.hint(format!("there is {}", similar.join(", "))) }
}

/// At most three files of the same folder whose names are close to the missing one's.
fn similar_files(path: &Path) -> Vec<String> {
    let Some(wanted) = path.file_name().map(|n| n.to_string_lossy().to_lowercase()) else {
        return Vec::new();
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut near: Vec<(usize, String)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_file()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .map(|name| (distance(&wanted, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= 2 + wanted.len() / 4)
        .collect();
    near.sort();
    near.into_iter()
        .take(3)
        .map(|(_, name)| path.with_file_name(name).display().to_string())
        .collect()
}

/// The number of insertions, deletions and replacements between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The first bytes of any file, at most `most`. A file that this process is connected to is
/// not opened: it is a SQLite file, and of it there is only the magic.
pub(crate) fn first_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let metadata = std::fs::metadata(path)?;
    let inode = Inode::of(&metadata);
    if open.as_ref().and_then(|open| open.get(&inode)).is_some_and(|count| *count > 0) {
        return Ok(b"SQLite format 3\0".to_vec());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file under any of its names. The number of a file that was deleted is given to another
/// one, which was born later; where a file system does not tell, it is the number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inode {
    dev: u64,
    ino: u64,
    born: Option<SystemTime>,
}

impl Inode {
    fn of(metadata: &Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino(), born: metadata.created().ok() }
    }
}

static OPEN: Mutex<Option<HashMap<Inode, usize>>> = Mutex::new(None);

/// Says that this process is about to connect to a file, or is connected. It ends with
/// [`Held::end`] after the connections are closed; merely dropped it holds on, since a
/// connection may then be closing still.
#[derive(Debug)]
pub(crate) struct Held(Inode);

impl Held {
    /// Runs `check`, which may open the file, unless this process has it open already, and
    /// holds the file from then on.
    pub(crate) fn after<T>(
        file: &DatabaseFile,
        check: impl FnOnce() -> Result<T>,
    ) -> Result<(Self, Option<T>)> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get_or_insert_default().entry(file.inode()).or_default();
        let checked = if *count == 0 { Some(check()?) } else { None };
        *count += 1;
        Ok((Self(file.inode()), checked))
    }

    /// The connections are closed.
    pub(crate) fn end(self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_or_insert_default().get_mut(&self.0) {
            *count = count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w7_a_file_that_takes_the_number_of_a_held_and_deleted_database_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        std::fs::write(&path, "in place of a database").unwrap();
        let file = DatabaseFile::find(path.to_str().unwrap(), Which::Live).unwrap();
        let _held = Held::after(&file, || Ok(())).unwrap();
        assert_eq!(first_bytes(&path, 16).unwrap(), b"SQLite format 3\0");
        std::fs::remove_file(&path).unwrap();
        for n in 0..100 {
            let path = folder.path().join(n.to_string());
            std::fs::write(&path, "{}").unwrap();
            assert_eq!(first_bytes(&path, 16).unwrap(), b"{}", "file {n}");
        }
    }
}
