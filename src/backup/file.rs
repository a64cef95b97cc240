//! One file of a backup: a regular file, opened once for reading, read by position.
//!
//! The bytes come from one descriptor at given offsets, so that several threads can read
//! at once and a file renamed over it meanwhile is not mixed in; a file that is written
//! while it is read is noticed. An object in a store is read in the same way, by ranges.

use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest, Sha256};

use crate::backup::place::Object;
use crate::error::{Error, Result};

/// An open file of a backup.
#[derive(Clone, Debug)]
pub struct BackupFile {
    path: PathBuf,
    place: At,
    len: u64,
    modified: Option<SystemTime>,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
enum At {
    /// Here.
    File(Arc<File>),
    /// In a store.
    Object(Arc<Object>),
}

impl At {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            At::File(file) => file.read_at(buffer, at),
            At::Object(object) => object.read_at(buffer, at),
        }
    }
}

impl BackupFile {
    /// Opens a regular file. Inside `folder`, where one is given: a symbolic link that
    /// leads out of it is refused. A FIFO, socket or device is refused unopened.
    pub fn open(path: &Path, folder: Option<&Path>) -> Result<Self> {
        let metadata = regular(path, folder)?;
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let opened = file.metadata().map_err(|e| unreadable(path, e))?;
        if !opened.is_file() || opened.len() != metadata.len() {
            return Err(changed(path));
        }
        Ok(Self {
            path: path.to_owned(),
            place: At::File(Arc::new(file)),
            len: opened.len(),
            modified: opened.modified().ok(),
        })
    }

    /// An object in a store, called by the path that stands for it.
    pub(crate) fn remote(path: &Path, object: Arc<Object>) -> Self {
        let len = object.size();
        Self { path: path.to_owned(), place: At::Object(object), len, modified: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same file, called by another path in messages.
    pub(crate) fn called(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// An error when the file has been written since it was opened.
    pub fn unchanged(&self) -> Result<()> {
        // Each range of an object is of the one that was found at first.
        let At::File(file) = &self.place else { return Ok(()) };
        let now = file.metadata().map_err(|e| unreadable(&self.path, e))?;
        if now.len() != self.len || now.modified().ok() != self.modified {
            return Err(changed(&self.path));
        }
        Ok(())
    }

    /// Reads from byte `at` on into the buffer, as far as one call goes.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.place.read_at(buffer, at)
    }

    /// Fills the buffer with what stands from byte `at` on.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        Cursor { place: self.place.clone(), at }.read_exact(buffer)
    }

    /// What tells its content from another: its SHA-256; of an object the store's own tag, which is
    /// had without reading all of it.
    pub(crate) fn content_digest(&self) -> Result<String> {
        match &self.place {
            At::Object(object) if object.tag().is_some() => {
                Ok(format!("{}:{}", object.tag().unwrap_or_default(), self.len))
            }
            _ => self.sha256(),
        }
    }

    /// SHA-256 of its bytes, hexadecimal.
    pub fn sha256(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            match self.place.read_at(&mut buffer, at) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    at += read as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(&self.path, e)),
            }
        }
        if at != self.len {
            return Err(changed(&self.path));
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The metadata of a regular file; an error for anything else, and for a symbolic link that leads
/// out of `folder`.
pub fn regular(path: &Path, folder: Option<&Path>) -> Result<Metadata> {
    let metadata = fs::metadata(path).map_err(|e| unreadable(path, e))?;
    if !metadata.is_file() {
        return Err(Error::usage(format!("{} is not a regular file", path.display())));
    }
    if let Some(folder) = folder {
        let real = path.canonicalize().map_err(|e| unreadable(path, e))?;
        let home = folder.canonicalize().map_err(|e| unreadable(folder, e))?;
        if !real.starts_with(&home) {
            return Err(Error::refused(format!(
                "{} is a link that leads out of the backup's folder",
                path.display()
            ))
            .hint("copy the file into the folder, or give the path it leads to"));
        }
    }
    Ok(metadata)
}

/// The last part of a path, for comparing and showing.
pub(in crate::backup) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The error for a path of the backup that can't be read.
pub fn unreadable(path: &Path, e: io::Error) -> Error {
    let what = match e.kind() {
        io::ErrorKind::NotFound => "does not exist",
        io::ErrorKind::PermissionDenied => "may not be read by this user",
        _ => "can't be read",
    };
    Error::failed(format!("backup path {} {what}", path.display())).because(e)
}

fn changed(path: &Path) -> Error {
    Error::damaged(format!("backup file {} changed while it was read", path.display()))
        .hint("run again once whatever writes it has ended")
}

impl Length for BackupFile {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for BackupFile {
    type T = BufReader<Cursor>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(Cursor { place: self.place.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} of a file of {} bytes",
                self.len
            )));
        }
        let mut bytes = vec![0; length];
        Cursor { place: self.place.clone(), at: start }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a file from a position on, without moving anyone else's.
#[derive(Debug)]
pub struct Cursor {
    place: At,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.place.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl BackupFile {
    /// Reads from the start.
    pub fn reader(&self) -> Cursor {
        Cursor { place: self.place.clone(), at: 0 }
    }
}
