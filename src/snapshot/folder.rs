//! The folder of a snapshot in the making: hidden, locked by its maker, and renamed into
//! place when it is whole.
//!
//! ```text
//! create   .<name>.partial-<ulid>/   0700, exclusively, then locked
//! fill     parquet/.., json/..       0600, exclusively; they go to the disk meanwhile
//! publish  restorekit.json -> all files and folders synced -> rename to <name> -> parent synced
//! ```
//!
//! Whatever stops it leaves a hidden folder without a lock, which no listing shows and the
//! next run removes. A running snapshot's folder is locked (`flock`), so it stays.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::backup::manifest::{MANIFEST, Manifest};
use crate::durable::{Syncing, WriteBehind, sync_folder};
use crate::error::{Error, Result};
use crate::model::value::hex;
use crate::snapshot::name::SnapshotName;

/// How many snapshots of one name may be taken within a second.
const MOST_OF_A_SECOND: u32 = 1000;

/// So many finished files may be on their way to the disk.
const ON_THEIR_WAY: usize = 8;

/// A snapshot's folder before it is one. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Draft {
    out: PathBuf,
    hidden: PathBuf,
    name: SnapshotName,
    faults: Faults,
    syncs: Syncs,
    published: bool,
    _lock: File,
}

impl Draft {
    /// Creates the hidden folder below `out`, which is created too where it is missing.
    pub(super) fn create(out: &Path, name: SnapshotName, faults: Faults) -> Result<Self> {
        let failed = |e| at(out, "the folder for the snapshot could not be created", e);
        faults.step().and_then(|()| private_folders().create(out)).map_err(failed)?;
        let out = out.canonicalize().map_err(failed)?;
        loop {
            let hidden = out.join(format!(".{name}.partial-{}", Ulid::new()));
            faults.step().and_then(|()| private_folder().create(&hidden)).map_err(failed)?;
            let lock = File::open(&hidden).map_err(failed)?;
            // between the creation and the lock another run may take the folder for a
            // leftover and remove it; a file system without locks gives no such other run
            let held = match lock.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => hidden.exists(),
                Err(TryLockError::WouldBlock) => false,
            };
            if held {
                let (syncs, published) = (Syncs::default(), false);
                return Ok(Self { out, hidden, name, faults, syncs, published, _lock: lock });
            }
        }
    }

    /// Creates a file at this path below the folder, and the one folder it names.
    pub(super) fn file(&self, path: &str) -> Result<DigestFile> {
        let full = self.hidden.join(path);
        let failed = |e| at(&full, "a file of the snapshot could not be created", e);
        if let Some(folder) = full.parent()
            && folder != self.hidden
            && !folder.exists()
        {
            self.faults.step().and_then(|()| private_folder().create(folder)).map_err(failed)?;
        }
        self.faults.step().map_err(failed)?;
        let file = private_file(&full).map_err(failed)?;
        let sink = Sink { file: WriteBehind::new(file), faults: self.faults.clone() };
        Ok(DigestFile {
            sink: BufWriter::with_capacity(1 << 18, sink),
            digest: Sha256::new(),
            bytes: 0,
            syncs: self.syncs.clone(),
        })
    }

    /// Removes a file that has to be begun anew.
    pub(super) fn discard(&self, path: &str) -> Result<()> {
        let full = self.hidden.join(path);
        self.faults
            .step()
            .and_then(|()| fs::remove_file(&full))
            .map_err(|e| at(&full, "a file of the snapshot could not be begun anew", e))
    }

    /// Writes the manifest and makes the folder a snapshot; its path.
    pub(super) fn publish(mut self, manifest: &Manifest) -> Result<PathBuf> {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| Error::failed("the manifest could not be written").because(e))?;
        let mut file = self.file(MANIFEST)?;
        let failed = |e| at(&self.out, "the snapshot could not be completed", e);
        file.write_all(&text).and_then(|()| file.finish().map(drop)).map_err(failed)?;
        for entry in fs::read_dir(&self.hidden).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                self.faults.step().map_err(failed)?;
                self.syncs.add(Syncing::folder(&entry.path())).map_err(failed)?;
            }
        }
        self.faults.step().map_err(failed)?;
        self.syncs.add(Syncing::folder(&self.hidden)).map_err(failed)?;
        self.syncs.wait().map_err(failed)?;
        for number in 1..=MOST_OF_A_SECOND {
            let path = self.out.join(self.name.clone().numbered(number).to_string());
            if fs::symlink_metadata(&path).is_ok() {
                continue;
            }
            self.faults.step().map_err(failed)?;
            // a folder that appears at this moment has a manifest, so it is not empty and
            // the rename fails (rename(2), ENOTEMPTY)
            match fs::rename(&self.hidden, &path) {
                Ok(()) => {
                    self.published = true;
                    self.faults.step().and_then(|()| sync_folder(&self.out)).map_err(failed)?;
                    return Ok(path);
                }
                Err(_) if fs::symlink_metadata(&path).is_ok() => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Err(Error::failed(format!("there are {MOST_OF_A_SECOND} snapshots named {}", self.name)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published && !self.faults.abandons() {
            // what can't be removed now, the next run removes
            let _ = fs::remove_dir_all(&self.hidden);
        }
    }
}

/// Removes what stopped runs left in this folder: drafts whose maker is gone, and
/// snapshots whose removal was begun. Best effort; the number removed.
pub fn clean_leftovers(out: &Path) -> usize {
    let Ok(entries) = fs::read_dir(out) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        let name = entry.file_name();
        let Some(kind) = name.to_str().and_then(leftover).filter(|_| is_folder) else { continue };
        let path = entry.path();
        let lock = File::open(&path);
        let abandoned = match (&lock, kind) {
            (_, Leftover::Removing) => true,
            (Ok(lock), Leftover::Partial) => lock.try_lock().is_ok(),
            (Err(_), Leftover::Partial) => false,
        };
        if abandoned && clear(&path).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// Removes a hidden folder, which another run may be removing too.
pub(super) fn clear(hidden: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir_all(hidden) {
            Err(_) if is_gone(hidden) => return Ok(()),
            // what was in it went meanwhile, and nothing comes
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
}

/// True where there is nothing of this name.
pub(super) fn is_gone(path: &Path) -> bool {
    matches!(fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound)
}

enum Leftover {
    Partial,
    Removing,
}

fn leftover(name: &str) -> Option<Leftover> {
    let (snapshot, last) = name.strip_prefix('.')?.rsplit_once('.')?;
    let (word, id) = last.split_once('-')?;
    Ulid::from_string(id).ok()?;
    snapshot.parse::<SnapshotName>().ok()?;
    match word {
        "partial" => Some(Leftover::Partial),
        "removing" => Some(Leftover::Removing),
        _ => None,
    }
}

/// What is on its way to the disk.
#[derive(Clone, Debug, Default)]
struct Syncs(Arc<Mutex<VecDeque<Syncing>>>);

impl Syncs {
    fn add(&self, syncing: Syncing) -> io::Result<()> {
        let first = {
            let mut all = self.all()?;
            all.push_back(syncing);
            if all.len() > ON_THEIR_WAY { all.pop_front() } else { None }
        };
        first.map_or(Ok(()), Syncing::wait)
    }

    /// Waits until all of it is durable.
    fn wait(&self) -> io::Result<()> {
        let all = std::mem::take(&mut *self.all()?);
        all.into_iter().try_for_each(Syncing::wait)
    }

    fn all(&self) -> io::Result<MutexGuard<'_, VecDeque<Syncing>>> {
        self.0.lock().map_err(|_| io::Error::other("another file failed"))
    }
}

/// A new file whose SHA-256 is computed while it is written.
#[derive(Debug)]
pub(super) struct DigestFile {
    sink: BufWriter<Sink>,
    digest: Sha256,
    bytes: u64,
    syncs: Syncs,
}

impl DigestFile {
    /// Writes all of it, to be durable when the snapshot is published; its size and digest in
    /// hexadecimal.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        let sink = self.sink.into_inner().map_err(io::IntoInnerError::into_error)?;
        sink.faults.step()?;
        self.syncs.add(sink.file.finish())?;
        Ok((self.bytes, hex(&self.digest.finalize())))
    }
}

impl Write for DigestFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[derive(Debug)]
struct Sink {
    file: WriteBehind,
    faults: Faults,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.faults.step()?;
        let written = self.file.file().write(bytes)?;
        self.file.stored(written)?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.file().flush()
    }
}

fn at(path: &Path, what: &str, e: io::Error) -> Error {
    let full = e.kind() == io::ErrorKind::StorageFull;
    let error = Error::failed(format!("{what}: {}: {e}", path.display())).because(e);
    if full { error.hint("the disk is full; nothing was left behind") } else { error }
}

fn private_folders() -> DirBuilder {
    let mut builder = private_folder();
    builder.recursive(true);
    builder
}

fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Where a test lets file operations fail; outside of tests nothing ever does.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    #[cfg(test)]
    pub(super) left: Option<std::sync::Arc<std::sync::atomic::AtomicI64>>,
    /// After a fault nothing is cleaned up, as after a kill.
    #[cfg(test)]
    pub(super) killed: bool,
}

impl Faults {
    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn abandons(&self) -> bool {
        false
    }

    /// Counts down; from the step at which the count is used up, every step fails.
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering;
        match &self.left {
            Some(left) if left.fetch_sub(1, Ordering::SeqCst) <= 0 => {
                Err(io::Error::other("a fault of the test"))
            }
            _ => Ok(()),
        }
    }

    #[cfg(test)]
    fn abandons(&self) -> bool {
        self.killed
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;
    use crate::backup::manifest::FileFormat;

    fn name() -> SnapshotName {
        SnapshotName::new("h", Utc::now(), "d", &[FileFormat::Parquet]).unwrap()
    }

    #[test]
    fn leftovers_go_and_a_running_snapshot_stays() {
        let root = tempfile::tempdir().unwrap();
        let running = Draft::create(root.path(), name(), Faults::default()).unwrap();
        let dead = root.path().join(format!(".{}.partial-{}", name(), Ulid::new()));
        let removing = root.path().join(format!(".{}.removing-{}", name(), Ulid::new()));
        for gone in [&dead, &removing] {
            fs::create_dir_all(gone.join("parquet")).unwrap();
        }
        let others = [".git", ".h.partial-x", ".x.partial-01ARZ3NDEKTSV4RRFFQ69G5FAV", "plain"];
        for other in others {
            fs::create_dir(root.path().join(other)).unwrap();
        }
        assert_eq!(clean_leftovers(root.path()), 2);
        assert!(running.hidden.exists() && !dead.exists() && !removing.exists());
        clear(&removing).unwrap();
        drop(running);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), others.len());
    }

    #[cfg(unix)]
    #[test]
    fn w12_folders_and_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("new/out");
        let draft = Draft::create(&out, name(), Faults::default()).unwrap();
        draft.file("parquet/t").unwrap().finish().unwrap();
        assert_eq!(mode(&out), 0o700);
        assert_eq!(mode(&draft.hidden), 0o700);
        assert_eq!(mode(&draft.hidden.join("parquet")), 0o700);
        assert_eq!(mode(&draft.hidden.join("parquet/t")), 0o600);
        assert!(draft.file("parquet/t").is_err(), "w10: created exclusively");
    }
}
