//! Reading a snapshot of ours back from end to end: is it what its manifest says?
//!
//! Each file's size and SHA-256, then its content: it decodes to the end, has the columns
//! and the number of rows of the manifest, and the rows are in the order it promises.
//! Nothing is compared with live here.

mod content;
mod order;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::backup::guard::caught;
use crate::backup::manifest::{FileFormat, ManifestFile, ManifestTable};
use crate::error::{Error, Result};
use crate::model::value::hex;
use crate::progress::Progress;
use crate::snapshot::list::{file_path, read_manifest};

/// What reading a snapshot back gave.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The snapshot's folder.
    pub path: PathBuf,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// Its files, in the manifest's order.
    pub files: Vec<FileCheck>,
}

/// What reading one file back gave.
#[derive(Clone, Debug, Serialize)]
pub struct FileCheck {
    /// The path below the folder.
    pub path: String,
    /// The table.
    pub table: String,
    /// The format.
    pub format: FileFormat,
    /// The rows by the manifest.
    pub rows: u64,
    /// The bytes by the manifest.
    pub bytes: u64,
    /// What is wrong; `None` when nothing is.
    pub damage: Option<String>,
}

impl CheckReport {
    /// True when every file is what the manifest says.
    pub fn is_whole(&self) -> bool {
        self.files.iter().all(|f| f.damage.is_none())
    }

    /// The damaged files.
    pub fn damaged(&self) -> impl Iterator<Item = &FileCheck> {
        self.files.iter().filter(|f| f.damage.is_some())
    }
}

/// Reads the snapshot in `folder` back. Damage of files stands in the report; the error is
/// for a folder whose manifest can't be read.
pub async fn check(folder: &Path, progress: Arc<dyn Progress>) -> Result<CheckReport> {
    let (manifest, _) = read_manifest(folder).map_err(|e| {
        let message = format!("{} is no readable snapshot: {e}", folder.display());
        Error::damaged(message).because(e).hint("restorekit inspect says what a folder holds")
    })?;
    let total = manifest.tables.iter().map(|t| t.rows * t.files.len() as u64).sum();
    progress.start("check", Some(total));
    let tables: Vec<Arc<ManifestTable>> = manifest.tables.into_iter().map(Arc::new).collect();
    let work = tables.iter().flat_map(|t| (0..t.files.len()).map(|file| (t.clone(), file)));
    let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let files = futures::stream::iter(work.collect::<Vec<_>>())
        .map(|(table, file)| {
            let (folder, progress) = (folder.to_owned(), progress.clone());
            async move {
                tokio::task::spawn_blocking(move || {
                    file_check(&folder, &table, &table.files[file], progress.as_ref())
                })
                .await
                .map_err(|e| Error::failed("checking a file failed unexpectedly").because(e))
            }
        })
        .buffered(parallel)
        .try_collect()
        .await?;
    progress.finish();
    Ok(CheckReport { path: folder.to_owned(), taken_at: manifest.taken_at, files })
}

fn file_check(
    folder: &Path,
    table: &ManifestTable,
    file: &ManifestFile,
    progress: &dyn Progress,
) -> FileCheck {
    let read = caught(Path::new(&file.path), || read_back(folder, table, file, progress));
    let damage = read.err().map(|e| e.to_string());
    FileCheck {
        path: file.path.clone(),
        table: table.name.to_string(),
        format: file.format,
        rows: table.rows,
        bytes: file.bytes,
        damage,
    }
}

fn read_back(
    folder: &Path,
    table: &ManifestTable,
    file: &ManifestFile,
    progress: &dyn Progress,
) -> Result<()> {
    let path = file_path(folder, &file.path)?;
    let unreadable = |e: io::Error| Error::damaged(format!("it is unreadable: {e}")).because(e);
    let metadata = std::fs::symlink_metadata(&path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::damaged("it is no regular file"));
    }
    if metadata.len() != file.bytes {
        let (is, was) = (metadata.len(), file.bytes);
        return Err(Error::damaged(format!("it has {is} bytes, the manifest says {was}")));
    }
    let digest = sha256(&mut File::open(&path).map_err(unreadable)?).map_err(unreadable)?;
    if digest != file.sha256.to_ascii_lowercase() {
        return Err(Error::damaged(format!(
            "its SHA-256 is {digest}, the manifest says {}",
            file.sha256
        )));
    }
    let opened = File::open(&path).map_err(unreadable)?;
    let rows = match file.format {
        FileFormat::Parquet => content::parquet(opened, table, progress)?,
        FileFormat::Jsonl => content::jsonl(opened, table, progress)?,
    };
    if rows != table.rows {
        let said = table.rows;
        return Err(Error::damaged(format!("it has {rows} rows, the manifest says {said}")));
    }
    Ok(())
}

fn sha256(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
