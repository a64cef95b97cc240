//! One restorekit at a time per database: an advisory lock on a file of the state folder.
//! What keeps the application's writes safe is compare-and-set, not this.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::origin::Identity;

/// Held until dropped; the system lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of this database without waiting.
    pub(crate) fn take(folder: &Path, target: &Identity) -> Result<Self> {
        let path = folder.join(format!("{}.lock", target.word()));
        let failed = |e: std::io::Error| {
            Error::failed(format!("the lock {} could not be made", path.display())).because(e)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::refused(format!(
                "another restorekit is writing to {}",
                target.database()
            ))
            .hint("wait until it has ended: restorekit log")),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do while a child process that is just being started still
        // shares the descriptor. If it fails, the end of the process lets go.
        let _ = self.file.unlock();
    }
}
