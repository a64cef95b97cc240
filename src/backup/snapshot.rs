//! A snapshot of our own as a backup: the manifest, and the Parquet files it names.
//!
//! Each file's digest is checked before its first row is read, so a flipped bit is never
//! a difference. JSON lines serve when a table has no Parquet file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use sha2::{Digest, Sha256};

use crate::backup::file::{regular, unreadable};
use crate::backup::files::{Content, Files, OwnFile, TableFile, shown};
use crate::backup::manifest::{
    FORMAT_VERSION, FileFormat, MANIFEST, Manifest, ManifestFile, ManifestTable,
};
use crate::backup::text::Limits;
use crate::error::{Error, Result};
use crate::model::origin::Origin;
use crate::model::value::hex;

/// A manifest larger than this is damaged or hostile.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// How deep below a root snapshots are looked for.
const DEPTH: usize = 3;

/// A snapshot's folder and its manifest.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The folder.
    pub folder: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's bytes, hexadecimal.
    pub digest: String,
    /// When it was taken.
    pub taken_at: DateTime<FixedOffset>,
}

/// Reads the manifest in `folder`.
pub fn read(folder: &Path) -> Result<Snapshot> {
    let path = folder.join(MANIFEST);
    if regular(&path, Some(folder))?.len() > LARGEST_MANIFEST {
        return Err(damaged(&path, "it is too large"));
    }
    let bytes = fs::read(&path).map_err(|e| unreadable(&path, e))?;
    let version = serde_json::from_slice::<serde_json::Value>(&bytes)
        .map_err(|e| damaged(&path, &e.to_string()))?;
    match version.get("format_version").and_then(|v| v.as_str()) {
        Some(FORMAT_VERSION) => {}
        Some(other) => {
            return Err(Error::failed(format!(
                "snapshot {} has format {other}, this program reads {FORMAT_VERSION}",
                folder.display()
            ))
            .hint("use a newer restorekit"));
        }
        None => return Err(damaged(&path, "it has no format_version")),
    }
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|e| damaged(&path, &e.to_string()))?;
    let taken_at = DateTime::parse_from_rfc3339(&manifest.taken_at)
        .map_err(|e| damaged(&path, &format!("its taken_at is no time: {e}")))?;
    let digest = hex(&Sha256::digest(&bytes));
    Ok(Snapshot { folder: folder.to_owned(), manifest, digest, taken_at })
}

/// The folders below `root` that hold a manifest, in no order. Links and hidden folders
/// are passed over.
pub fn folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, DEPTH, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if depth == 0 {
        return Ok(());
    }
    let entries = match fs::read_dir(folder) {
        // it went after its parent was read, as a snapshot that is pruned
        Err(e) if depth < DEPTH && e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| unreadable(folder, e))?,
    };
    for entry in entries {
        let entry = entry.map_err(|e| unreadable(folder, e))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden || !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        let path = entry.path();
        if is_snapshot(&path) {
            found.push(path);
        } else {
            walk(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

/// True when the folder holds a manifest.
pub fn is_snapshot(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join(MANIFEST)).is_ok()
}

impl Snapshot {
    /// The tables with the files that will be read, Parquet first.
    pub fn tables(&self) -> Result<Vec<TableFile>> {
        let tables = self.manifest.tables.iter();
        let files = tables.map(|table| {
            let (path, file) = self.file(table)?;
            Ok(TableFile {
                name: table.name.clone(),
                path,
                folder: Some(self.folder.clone()),
                content: Content::Own(Box::new(OwnFile {
                    format: file.format,
                    schema: table.schema.clone(),
                    sha256: file.sha256.to_ascii_lowercase(),
                    bytes: file.bytes,
                })),
            })
        });
        files.collect()
    }

    /// The file of a table that will be read, Parquet first.
    pub fn file<'m>(&self, table: &'m ManifestTable) -> Result<(PathBuf, &'m ManifestFile)> {
        let of = |format| table.files.iter().find(|f| f.format == format);
        let file = of(FileFormat::Parquet).or_else(|| of(FileFormat::Jsonl)).ok_or_else(|| {
            Error::failed(format!(
                "snapshot {} has no file of table {}",
                self.folder.display(),
                table.name
            ))
        })?;
        Ok((self.folder.join(inside(&file.path)?), file))
    }

    /// The snapshot as a backup.
    pub fn source(self, limits: Limits, warnings: Vec<String>) -> Result<Files> {
        let tables = self.tables()?;
        let origin = Origin {
            location: shown(&self.folder),
            kind: "restorekit snapshot".into(),
            taken_at: Some(self.taken_at.to_rfc3339()),
            warnings,
            ..Origin::default()
        };
        Ok(Files::new(origin, tables, Some(self.digest), limits))
    }
}

/// A path of a manifest, which must stay below the snapshot's folder.
fn inside(path: &str) -> Result<&Path> {
    let path = Path::new(path);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if plain && path.components().next().is_some() {
        Ok(path)
    } else {
        Err(Error::refused(format!(
            "the manifest names the path {}, which leads out of the snapshot",
            path.display()
        )))
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::damaged(format!("manifest {} is damaged", path.display())).because(why.to_owned())
}
