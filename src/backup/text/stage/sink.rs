//! The file of a staged file, in a private folder: batches are filled here, or on other threads, and
//! written in the order of their rows.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use crate::backup::guard::caught;
use crate::backup::text::stage::cells::{Batch, Cells};
use crate::backup::text::stage::store::StoreWriter;
use crate::backup::text::stage::{MAX_COLUMNS, Staged, too_many};
use crate::error::{Error, Result};
use crate::fit::cell::FileHabits;

/// The most threads that fill batches at once.
const MOST_THREADS: usize = 4;

/// The file being written, and the batch being filled.
#[derive(Debug)]
pub(in crate::backup) struct Sink {
    folder: TempDir,
    writer: Option<StoreWriter>,
    /// The batch being filled.
    pub(in crate::backup) batch: Batch,
    index: HashMap<Vec<u8>, usize>,
    rows: u64,
    pub(super) quotes_empty: bool,
    /// Batches that others fill, in the order of their rows.
    pending: VecDeque<JoinHandle<(Batch, Result<()>)>>,
    /// Empty batches, whose room is used again.
    free: Vec<Batch>,
}

impl Sink {
    pub(in crate::backup) fn new(into: &Path, names: Vec<String>) -> Result<Self> {
        let folder = private_folder(into).map_err(|e| unwritable(into).because(e))?;
        let index =
            names.iter().enumerate().map(|(i, name)| (name.clone().into_bytes(), i)).collect();
        Ok(Self {
            folder,
            writer: None,
            batch: Batch::new(names),
            index,
            rows: 0,
            quotes_empty: false,
            pending: VecDeque::new(),
            free: Vec::new(),
        })
    }

    /// True once the columns are fixed.
    pub(in crate::backup) fn begun(&self) -> bool {
        self.writer.is_some()
    }

    pub(in crate::backup) fn find(&self, name: &[u8]) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// A new column, NULL in the rows so far.
    pub(in crate::backup) fn add(&mut self, name: &[u8]) -> Result<usize, String> {
        if self.batch.columns.len() == MAX_COLUMNS {
            return Err(too_many());
        }
        let text = String::from_utf8(name.to_vec()).map_err(|_| "a name that is no UTF-8")?;
        self.index.insert(name.to_vec(), self.batch.columns.len());
        self.batch.add(text);
        Ok(self.batch.columns.len() - 1)
    }

    /// Ends the row at hand.
    pub(in crate::backup) fn end_row(&mut self) -> Result<()> {
        self.batch.end_row();
        self.ended()
    }

    /// Goes on behind rows that the batch got.
    pub(in crate::backup) fn ended(&mut self) -> Result<()> {
        if self.batch.is_full() { self.write() } else { Ok(()) }
    }

    /// Has rows filled into a batch of their own on another thread; they stand behind those that are
    /// there. `path` is the backup's file. An error comes with a later call, that of
    /// [`Sink::finish`] at the latest.
    pub(in crate::backup) fn hand(
        &mut self,
        path: PathBuf,
        fill: impl FnOnce(&mut Batch) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        if self.batch.rows() > 0 {
            self.write()?;
        }
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS));
        while self.pending.len() >= threads {
            self.settle()?;
        }
        let mut batch = self.free.pop().unwrap_or_else(|| self.batch.another());
        let work = move || {
            let done = caught(&path, || fill(&mut batch));
            (batch, done)
        };
        let thread = thread::Builder::new()
            .spawn(work)
            .map_err(|e| Error::failed("no thread could be started").because(e))?;
        self.pending.push_back(thread);
        Ok(())
    }

    /// True while others fill batches.
    pub(in crate::backup) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes the first of the batches that others fill.
    fn settle(&mut self) -> Result<()> {
        let Some(thread) = self.pending.pop_front() else { return Ok(()) };
        let (mut batch, done) =
            thread.join().map_err(|_| Error::failed("a thread that reads the backup was lost"))?;
        done?;
        self.batch.learn(&mut batch);
        self.put(&mut batch)?;
        self.free.push(batch);
        Ok(())
    }

    /// Writes the batches that others fill, then the one that is filled here.
    fn write(&mut self) -> Result<()> {
        while !self.pending.is_empty() {
            self.settle()?;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let done = if batch.rows() > 0 { self.put(&mut batch) } else { Ok(()) };
        self.batch = batch;
        done
    }

    fn put(&mut self, batch: &mut Batch) -> Result<()> {
        self.rows += batch.rows() as u64;
        let path = self.folder.path().join(FILE);
        let failed = |e| unwritable(&path).because(e);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(StoreWriter::create(&path, batch.columns.len()).map_err(failed)?),
        };
        batch.write(writer).map_err(failed)
    }

    /// Writes out the rows so far, so that the sink takes next to no memory until it goes on.
    pub(in crate::backup) fn park(&mut self) -> Result<()> {
        self.write()?;
        self.batch.park();
        self.free.clear();
        if let Some(writer) = &mut self.writer {
            writer.flush().map_err(|e| unwritable(self.folder.path()).because(e))?;
        }
        Ok(())
    }

    pub(in crate::backup) fn finish(mut self) -> Result<Staged> {
        self.write()?;
        let path = self.folder.path().join(FILE);
        let failed = |e| unwritable(&path).because(e);
        let columns = self.batch.columns;
        let writer = match self.writer {
            Some(writer) => writer,
            None => StoreWriter::create(&path, columns.len()).map_err(failed)?,
        };
        let store = writer.finish().map_err(failed)?;
        let millis = columns.iter().filter(|c| c.millis).map(|c| c.name.clone()).collect();
        Ok(Staged {
            path,
            store,
            columns: columns.into_iter().map(Cells::finish).collect(),
            rows: self.rows,
            habits: FileHabits { quotes_empty: self.quotes_empty, millis },
            notes: Vec::new(),
            _folder: self.folder,
        })
    }
}

const FILE: &str = "staged";

fn unwritable(place: &Path) -> Error {
    Error::failed(format!("the backup could not be staged in {}", place.display())).hint(
        "it needs about as much room as the backup's text: free some, or name a roomier \
               place with TMPDIR",
    )
}

/// A new folder (0700) in `into`, which goes when it is dropped.
#[cfg(unix)]
pub(in crate::backup) fn private_folder(into: &Path) -> std::io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let owner_only = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("restorekit-").permissions(owner_only).tempdir_in(into)
}

/// A new folder in `into`, which goes when it is dropped.
#[cfg(not(unix))]
pub(in crate::backup) fn private_folder(into: &Path) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("restorekit-").tempdir_in(into)
}

/// A new file (0600).
pub(in crate::backup) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
