//! What was read of dumps before: the list of their tables, and the staged rows of those that were
//! wanted, so that the next command need not read the dump again.
//!
//! ```text
//! <folder>/KEY-WANTED/entry    what the pass over the dump gave: a SHA-256 and, from the second line on, JSON
//! <folder>/KEY-WANTED/N        the staged cells of its Nth table
//! ```
//!
//! KEY is a digest of what tells the dump's files from any others: their paths, devices, inodes,
//! sizes, and the moments at which content and inode last changed, the latter of which no program can set; and
//! of restorekit's version and the format in which cells are staged. A file that changed in the two seconds before
//! it was read, or since, is not kept ("racy git", in git's technical notes, tells why). The cells have their own
//! checksums. Rows are private: folders are 0700 and files 0600, and of a backup that is encrypted
//! nothing is kept.
//!
//! A cache only helps: what can't be kept or found is read from the dump, and nothing fails for it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::backup::dump::tables::{Found, Name, Wanted};
use crate::backup::dump::{DumpSpec, Pass};
use crate::backup::text::Staged;
use crate::backup::text::stage::sink::{private_file, private_folder};
use crate::backup::text::stage::{StagedColumn, store::Store};
use crate::error::{Error, Result};
use crate::fit::cell::FileHabits;
use crate::model::table::Column;
use crate::model::value::hex;

/// To be raised with each change of how entries or staged cells are written.
const FORMAT: u32 = 2;

/// The name of an entry's list.
const ENTRY: &str = "entry";

/// What a run that was killed left behind goes after so long.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);

/// How fresh a file may not be when it is read.
const RACY: Duration = Duration::from_secs(2);

/// The cache of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    most: u64,
    racy: Duration,
}

/// A dump of which something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedDump {
    /// The dump.
    pub path: PathBuf,
    /// The tables whose rows are kept.
    pub tables: Vec<String>,
    /// Their rows.
    pub rows: u64,
    /// The bytes that are kept.
    pub bytes: u64,
    /// When it was last read or used.
    pub used: SystemTime,
    folder: PathBuf,
}

/// A dump's files as they are at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    digest: String,
    changed: SystemTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    dump: PathBuf,
    taken_at: Option<String>,
    notes: Vec<String>,
    tables: Vec<EntryTable>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryTable {
    name: Name,
    columns: Vec<Column>,
    rows: u64,
    has_data: bool,
    left_out: Vec<String>,
    staged: Option<EntryRows>,
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryRows {
    store: Store,
    columns: Vec<StagedColumn>,
    rows: u64,
    habits: FileHabits,
    notes: Vec<String>,
}

impl Key {
    /// The key of a dump as it is now; `None` where its files can't be told apart from others.
    pub(super) fn of(dump: &DumpSpec, files: &[PathBuf]) -> Option<Self> {
        let mut digest = Sha256::new();
        digest.update(format!("{}\0{FORMAT}\0{:?}\0", env!("CARGO_PKG_VERSION"), dump.kind));
        let mut changed = SystemTime::UNIX_EPOCH;
        for file in files {
            let seen = Seen::at(file).ok()?;
            digest.update(&seen.words);
            changed = changed.max(seen.changed);
        }
        let digest = hex(&digest.finalize()[..12]);
        Some(Self { digest, changed })
    }

    /// Nothing of it can have changed unseen since `began`, when it was read.
    fn is_settled(&self, began: SystemTime, racy: Duration) -> bool {
        began.duration_since(self.changed).is_ok_and(|age| age >= racy)
    }
}

/// What tells a file from any other, and when it last changed.
struct Seen {
    words: Vec<u8>,
    changed: SystemTime,
}

impl Seen {
    #[cfg(unix)]
    fn at(path: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let path = fs::canonicalize(path)?;
        let m = fs::metadata(&path)?;
        let mut words = path.as_os_str().as_bytes().to_vec();
        words.push(0);
        for number in [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()] {
            words.extend(number.to_le_bytes());
        }
        for number in [m.dev(), m.ino(), m.len()] {
            words.extend(number.to_le_bytes());
        }
        let inode = Duration::new(
            u64::try_from(m.ctime()).unwrap_or(u64::MAX >> 1),
            u32::try_from(m.ctime_nsec()).unwrap_or(0),
        );
        let inode = SystemTime::UNIX_EPOCH.checked_add(inode).unwrap_or_else(SystemTime::now);
        Ok(Self { words, changed: m.modified()?.max(inode) })
    }

    #[cfg(not(unix))]
    fn at(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Cache {
    /// A cache in this folder, which need not be there yet, of so many bytes at most.
    pub fn at(folder: impl Into<PathBuf>, most: u64) -> Self {
        Self { folder: folder.into(), most, racy: RACY }
    }

    /// The same, which takes two changes of a file to have two times.
    #[cfg(test)]
    pub(in crate::backup) fn trusting_clocks(&self) -> Self {
        Self { racy: Duration::ZERO, ..self.clone() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most bytes that it keeps.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// What is kept, the last used first.
    ///
    /// # Errors
    /// The folder is there and can't be read.
    pub fn list(&self) -> Result<Vec<CachedDump>> {
        let unreadable = |e| {
            Error::failed(format!("the cache {} could not be read", self.folder.display()))
                .because(e)
        };
        let mut list = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(list),
            Err(e) => return Err(unreadable(e)),
        };
        for entry in entries {
            let folder = entry.map_err(unreadable)?.path();
            // What is being written or removed by others has no list, or none any more.
            if let Ok(cached) = CachedDump::at(folder) {
                list.push(cached);
            }
        }
        list.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.folder.cmp(&b.folder)));
        Ok(list)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::failed(format!(
                "the cache {} could not be cleared",
                self.folder.display()
            ))
            .because(e)),
            _ => Ok(()),
        }
    }

    /// What was read of this dump, where all that is `wanted` is kept.
    pub(super) fn find(&self, key: &Key, wanted: &Wanted) -> Option<Pass> {
        let entries = fs::read_dir(&self.folder).ok()?.flatten();
        let ours = entries.map(|e| e.path()).filter(|p| digest_of(p) == Some(&key.digest));
        ours.into_iter().find_map(|folder| match self.open(&folder, wanted) {
            Ok(pass) => pass,
            Err(e) => {
                tracing::debug!(folder = %folder.display(), error = %e, "not used of the cache");
                None
            }
        })
    }

    fn open(&self, folder: &Path, wanted: &Wanted) -> io::Result<Option<Pass>> {
        let list = folder.join(ENTRY);
        let entry = Entry::read(&list)?;
        let lacks = |t: &EntryTable| wanted.holds(&t.name) && t.staged.is_none();
        if entry.tables.iter().any(lacks) {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(entry.tables.len());
        for (number, table) in entry.tables.into_iter().enumerate() {
            let staged = match table.staged {
                Some(rows) if wanted.holds(&table.name) => {
                    Some(rows.open(&folder.join(number.to_string()), &self.folder)?)
                }
                _ => None,
            };
            let EntryTable { name, columns, rows, has_data, left_out, .. } = table;
            found.push(Found { name, columns, rows, staged, has_data, left_out });
        }
        let taken_at = entry.taken_at.as_deref().map(chrono::DateTime::parse_from_rfc3339);
        let taken_at = taken_at.transpose().map_err(io::Error::other)?;
        File::open(&list)?.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        tracing::info!(dump = %entry.dump.display(), "read of the cache");
        Ok(Some(Pass { found, notes: entry.notes, taken_at }))
    }

    /// Keeps what a pass gave that began at `began`, where it has room; else nothing happens.
    pub(super) fn keep(&self, key: &Key, began: SystemTime, dump: &Path, pass: &Pass) {
        if !key.is_settled(began, self.racy) {
            return;
        }
        if let Err(e) = self.try_keep(key, dump, pass) {
            tracing::warn!(folder = %self.folder.display(), error = %e, "nothing is kept of the dump");
        }
    }

    fn try_keep(&self, key: &Key, dump: &Path, pass: &Pass) -> io::Result<()> {
        let staged = pass.found.iter().filter_map(|table| table.staged.as_ref());
        let bytes =
            staged.map(|s| fs::metadata(&s.path).map(|m| m.len())).sum::<io::Result<u64>>()?;
        if bytes > self.most {
            return Ok(());
        }
        let mut folder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.recursive(true).create(&self.folder)?;
        let new = private_folder(&self.folder)?;
        let mut wanted = Sha256::new();
        let mut tables = Vec::with_capacity(pass.found.len());
        for (number, table) in pass.found.iter().enumerate() {
            let staged = match &table.staged {
                None => None,
                Some(staged) => {
                    link(&staged.path, &new.path().join(number.to_string()))?;
                    wanted.update(number.to_le_bytes());
                    Some(EntryRows::of(staged))
                }
            };
            tables.push(EntryTable {
                name: table.name.clone(),
                columns: table.columns.clone(),
                rows: table.rows,
                has_data: table.has_data,
                left_out: table.left_out.clone(),
                staged,
            });
        }
        let entry = Entry {
            dump: fs::canonicalize(dump)?,
            taken_at: pass.taken_at.map(|t| t.to_rfc3339()),
            notes: pass.notes.clone(),
            tables,
        };
        entry.write(&new.path().join(ENTRY))?;
        let wanted = hex(&wanted.finalize()[..4]);
        let place = self.folder.join(format!("{}-{wanted}", key.digest));
        match fs::rename(new.path(), &place) {
            // Another run was faster.
            Err(_) if place.join(ENTRY).is_file() => return Ok(()),
            renamed => renamed?,
        }
        // It is its place's now.
        let _ = new.keep();
        self.shrink(&place, &entry)
    }

    /// Forgets what `newest` holds too, what was read of earlier states of its dump, and what was used
    /// longest ago, until the rest fits.
    fn shrink(&self, newest: &Path, entry: &Entry) -> io::Result<()> {
        for other in fs::read_dir(&self.folder)?.flatten() {
            let age = other.metadata().and_then(|m| m.modified()).map(|at| at.elapsed());
            let old = age.is_ok_and(|age| age.is_ok_and(|age| age > ABANDONED));
            if old && Entry::read(&other.path().join(ENTRY)).is_err() {
                fs::remove_dir_all(other.path())?;
            }
        }
        let names: BTreeSet<String> = entry.kept().map(|(_, table)| table.words()).collect();
        let mut left = self.most;
        for cached in self.list().map_err(io::Error::other)? {
            let own = cached.folder == newest;
            let replaced = cached.path == entry.dump
                && (digest_of(&cached.folder) != digest_of(newest)
                    || cached.tables.iter().all(|table| names.contains(table)));
            if !own && (replaced || cached.bytes > left) {
                // First its list, so that nobody finds half of it.
                fs::remove_file(cached.folder.join(ENTRY))?;
                fs::remove_dir_all(&cached.folder)?;
            } else {
                left = left.saturating_sub(cached.bytes);
            }
        }
        Ok(())
    }
}

impl CachedDump {
    /// Where it is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn at(folder: PathBuf) -> io::Result<Self> {
        let list = folder.join(ENTRY);
        let entry = Entry::read(&list)?;
        let mut cached = Self {
            path: entry.dump.clone(),
            tables: Vec::new(),
            rows: 0,
            bytes: 0,
            used: fs::metadata(&list)?.modified()?,
            folder,
        };
        for (number, table) in entry.kept() {
            cached.tables.push(table.words());
            cached.rows += table.rows;
            cached.bytes += fs::metadata(cached.folder.join(number.to_string()))?.len();
        }
        Ok(cached)
    }
}

impl Entry {
    fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (digest, text) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
        if digest != hex(&Sha256::digest(text)).as_bytes() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another checksum"));
        }
        Ok(serde_json::from_slice(text)?)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let mut file = private_file(path)?;
        writeln!(file, "{}", hex(&Sha256::digest(&text)))?;
        file.write_all(&text)
    }

    /// The tables whose rows are kept, with their numbers.
    fn kept(&self) -> impl Iterator<Item = (usize, &EntryTable)> {
        self.tables.iter().enumerate().filter(|(_, table)| table.staged.is_some())
    }
}

impl EntryTable {
    fn words(&self) -> String {
        self.name.table_name(None, None).to_string()
    }
}

impl EntryRows {
    fn of(staged: &Staged) -> Self {
        Self {
            store: staged.store.clone(),
            columns: staged.columns.clone(),
            rows: staged.rows,
            habits: staged.habits.clone(),
            notes: staged.notes.clone(),
        }
    }

    /// The rows in a folder of their own, so that they stay when the cache forgets them.
    fn open(self, kept: &Path, cache: &Path) -> io::Result<Staged> {
        let folder: TempDir = private_folder(cache)?;
        let path = folder.path().join("staged");
        link(kept, &path)?;
        let Self { store, columns, rows, habits, notes } = self;
        Ok(Staged { path, store, columns, rows, habits, notes, _folder: folder })
    }
}

/// The same file under a second name, or a copy of it where that can't be.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    io::copy(&mut File::open(from)?, &mut private_file(to)?).map(drop)
}

/// The digest of the key of an entry.
fn digest_of(folder: &Path) -> Option<&str> {
    let name = folder.file_name()?.to_str()?;
    Some(name.split_once('-')?.0)
}
