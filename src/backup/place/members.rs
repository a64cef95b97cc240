//! The members of a tar, unpacked into a private folder: all of them, or one file or folder.
//!
//! Names never become paths as they are: one that climbs out is refused, as are links, devices
//! and sparse files. A tar is read to its end mark (POSIX `pax`, "ustar Interchange Format": two
//! records of zeros), since one that was cut between two members looks whole otherwise. Of two members of
//! one name the later counts, as with tar itself.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use crate::backup::place::{copy, torn, unwritable};
use crate::backup::text::stage::sink::private_file;
use crate::error::{Error, Result};

const RECORD: u64 = 512;

/// The most bytes between two members: their headers, which stand in memory with the names in them.
const MOST_HEADERS: u64 = 1 << 20;

/// The most members that are unpacked.
const MOST: usize = 100_000;

/// The most members that an error lists.
const LISTED: usize = 20;

/// Unpacks `member`, or everything, into the folder; the path of what was meant.
pub(super) fn extract(
    reader: impl Read,
    path: &Path,
    member: Option<&str>,
    into: &Path,
) -> Result<PathBuf> {
    let wanted = member.map(|member| inside(Path::new(member), path)).transpose()?;
    let (bytes, most) = (Cell::new(0), Cell::new(MOST_HEADERS));
    let mut archive = Archive::new(Counted { reader, bytes: &bytes, most: &most });
    let mut end = 0;
    let (mut seen, mut found) = (Vec::new(), 0_usize);
    let unread = |e: io::Error| match e.downcast::<Error>() {
        Ok(ours) => ours,
        Err(other) => torn(path, other),
    };
    for entry in archive.entries().map_err(unread)? {
        most.set(u64::MAX);
        let mut entry = entry.map_err(unread)?;
        let length = entry.size().checked_next_multiple_of(RECORD).unwrap_or(u64::MAX);
        end = entry.raw_file_position().saturating_add(length);
        let name = entry.path().map_err(unread)?.into_owned();
        let kind = entry.header().entry_type();
        let name = inside(&name, path)?;
        if seen.len() < LISTED && kind != EntryType::Directory {
            seen.push(name.display().to_string());
        }
        let passed = matches!(&wanted, Some(wanted) if !name.starts_with(wanted));
        if passed || kind == EntryType::Directory {
            io::copy(&mut entry, &mut io::sink()).map_err(unread)?;
            most.set(bytes.get().saturating_add(MOST_HEADERS));
            continue;
        }
        match kind {
            EntryType::Regular | EntryType::Continuous => {}
            _ => {
                return Err(Error::refused(format!(
                    "{} holds {}, which is no regular file",
                    path.display(),
                    name.display()
                ))
                .hint("name one member: FILE.tar!member"));
            }
        }
        found += 1;
        if found > MOST {
            return Err(Error::refused(format!("{} holds more than {MOST} files", path.display()))
                .hint("name one member or folder of it: FILE.tar!member"));
        }
        let to = into.join(&name);
        let folder = to.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
        if to.is_file() {
            fs::remove_file(&to).map_err(|e| unwritable(&to, e))?;
        }
        let file = private_file(&to).map_err(|e| unwritable(&to, e))?;
        let size = entry.size();
        copy(&mut entry, file, path, &to)?;
        if fs::metadata(&to).map_err(|e| unwritable(&to, e))?.len() != size {
            return Err(torn(path, io::ErrorKind::UnexpectedEof.into()));
        }
        most.set(bytes.get().saturating_add(MOST_HEADERS));
    }
    most.set(u64::MAX);
    whole(archive.into_inner(), &bytes, end).map_err(unread)?;
    match wanted {
        Some(_) if found == 0 => Err(Error::usage(format!(
            "{} has no member {}",
            path.display(),
            member.unwrap_or_default()
        ))
        .hint(match seen.len() {
            0 => "it is empty".to_owned(),
            LISTED => format!("among the members it has: {}", seen.join(", ")),
            _ => format!("it has: {}", seen.join(", ")),
        })),
        Some(wanted) => Ok(into.join(wanted)),
        None => Ok(into.to_owned()),
    }
}

/// Reads on to the end: behind the last member stand two records of zeros, and nothing else.
fn whole(mut reader: impl Read, bytes: &Cell<u64>, end: u64) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) if bytes.get() >= end + 2 * RECORD => return Ok(()),
            Ok(0) => return Err(io::Error::other("the tar lacks the mark of its end")),
            Ok(read) if buffer[..read].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err(io::Error::other("the tar goes on behind its end")),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A member's name as a path below the folder.
fn inside(name: &Path, tar: &Path) -> Result<PathBuf> {
    let mut inside = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            _ => {
                return Err(Error::refused(format!(
                    "{} names the member {}, which leads out of it",
                    tar.display(),
                    name.display()
                ))
                .hint("take a backup from another place"));
            }
        }
    }
    Ok(inside)
}

/// A reader and the bytes that came from it.
struct Counted<'c, R> {
    reader: R,
    bytes: &'c Cell<u64>,
    /// How many may come.
    most: &'c Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.get() >= self.most.get() {
            return Err(io::Error::other("a header that is too long"));
        }
        let read = self.reader.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}
