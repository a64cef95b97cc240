//! Files that go to the disk while they are still being written, so that little is left to
//! wait for when they are made durable.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// So many bytes are sent to the disk at once.
const AT_ONCE: usize = 16 << 20;

/// A file that is being written, by whomever, and goes to the disk behind the writing.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    file: Arc<File>,
    /// Bytes that were stored since the disk was last told.
    waiting: usize,
    syncing: Option<Syncing>,
}

/// A file on its way to the disk.
#[derive(Debug)]
pub(crate) struct Syncing(JoinHandle<io::Result<()>>);

impl WriteBehind {
    /// A file of which nothing is written yet.
    pub(crate) fn new(file: File) -> Self {
        Self { file: Arc::new(file), waiting: 0, syncing: None }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The file, which stays open while this is held.
    pub(crate) fn held(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// So many bytes were stored in it.
    ///
    /// # Errors
    /// What the disk said of earlier ones: the system tells a failure only once.
    pub(crate) fn stored(&mut self, bytes: usize) -> io::Result<()> {
        self.waiting += bytes;
        if self.waiting < AT_ONCE {
            return Ok(());
        }
        if let Some(done) = self.syncing.take_if(|syncing| syncing.0.is_finished()) {
            done.wait()?;
        }
        if self.syncing.is_none() {
            self.waiting = 0;
            let file = Arc::clone(&self.file);
            self.syncing = Some(Syncing(thread::spawn(move || file.sync_data())));
        }
        Ok(())
    }

    /// Begins to make all of it durable, which it is once the wait is over.
    pub(crate) fn finish(self) -> Syncing {
        Syncing(thread::spawn(move || {
            self.syncing.map_or(Ok(()), Syncing::wait)?;
            self.file.sync_all()
        }))
    }
}

impl Syncing {
    /// Makes a folder's entries durable.
    pub(crate) fn folder(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self(thread::spawn(move || sync_folder(&folder)))
    }

    /// Waits until it is durable.
    pub(crate) fn wait(self) -> io::Result<()> {
        self.0.join().map_err(|_| io::Error::other("waiting for the disk failed"))?
    }
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
