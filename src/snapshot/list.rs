//! The snapshots below a folder, newest first.
//!
//! Listing is cheap: it reads the manifests and looks at the files' sizes, not at their
//! content, which [`check`](crate::snapshot::check) does. Symbolic links and hidden
//! folders (a snapshot in the making is one) are passed over.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, FixedOffset, Utc};
use serde::{Serialize, Serializer};

use crate::backup::manifest::{FORMAT_VERSION, FileFormat, MANIFEST, Manifest, Series};
use crate::error::{Error, Result};
use crate::snapshot::folder::is_gone;
use crate::snapshot::name::SnapshotName;

/// How deep below the root snapshots are looked for: `root/<database>/<snapshot>` and one
/// more level.
const DEPTH: usize = 3;

/// Why a folder below the root is passed over.
const PASSED_OVER: [io::ErrorKind; 2] = [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied];

/// A manifest larger than this is damaged or hostile.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// A snapshot as far as its manifest and the sizes of its files tell.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotInfo {
    /// Its folder.
    pub path: PathBuf,
    /// When it was taken, with its zone; by the folder's name when the manifest is damaged.
    #[serde(serialize_with = "rfc3339")]
    pub taken_at: DateTime<FixedOffset>,
    /// What it is one of; its location is empty when the manifest is damaged.
    #[serde(flatten)]
    pub series: Series,
    /// The formats of its files.
    pub formats: Vec<FileFormat>,
    /// The number of tables.
    pub tables: usize,
    /// The rows of all tables.
    pub rows: u64,
    /// The size of its files, manifest excluded.
    pub bytes: u64,
    /// Why it can't be relied on; `None` when manifest and sizes are whole.
    pub damage: Option<String>,
    /// What makes its time doubtful.
    pub warnings: Vec<String>,
}

impl SnapshotInfo {
    /// True when the manifest and every file's size are as they should be.
    pub fn is_whole(&self) -> bool {
        self.damage.is_none()
    }

    /// How long ago it was taken.
    pub fn age(&self, now: DateTime<Utc>) -> chrono::TimeDelta {
        now.signed_duration_since(self.taken_at)
    }
}

fn rfc3339<S: Serializer>(moment: &DateTime<FixedOffset>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&moment.to_rfc3339())
}

/// The snapshots below `root` (or `root` itself, when it is one), newest first.
pub fn list(root: &Path) -> Result<Vec<SnapshotInfo>> {
    let metadata = fs::metadata(root).map_err(|e| unreadable(root, e))?;
    if !metadata.is_dir() {
        return Err(Error::usage(format!("{} is not a folder of snapshots", root.display()))
            .hint(format!("restorekit inspect {}", root.display())));
    }
    let mut found = Vec::new();
    match look(root) {
        Some(info) => found.push(info),
        None => walk(root, DEPTH, &mut found).map_err(|e| unreadable(root, e))?,
    }
    found.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.path.cmp(&a.path)));
    Ok(found)
}

/// The snapshot in this folder; `None` when the folder is none of ours, or goes while it is
/// looked at.
pub fn look(folder: &Path) -> Option<SnapshotInfo> {
    read(folder).filter(|info| info.is_whole() || !is_gone(folder))
}

fn read(folder: &Path) -> Option<SnapshotInfo> {
    let name = folder.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
    let manifest = folder.join(MANIFEST);
    match fs::symlink_metadata(&manifest) {
        Ok(metadata) if metadata.is_file() => match read_manifest(folder) {
            Ok((manifest, taken_at)) => {
                let modified = metadata.modified().ok().map(DateTime::<Utc>::from);
                Some(whole(folder, name.as_ref(), manifest, taken_at, modified))
            }
            Err(e) => damaged(folder, &name?, e.to_string()),
        },
        _ => damaged(folder, &name?, format!("there is no {MANIFEST}")),
    }
}

fn whole(
    folder: &Path,
    name: Option<&SnapshotName>,
    manifest: Manifest,
    taken_at: DateTime<FixedOffset>,
    modified: Option<DateTime<Utc>>,
) -> SnapshotInfo {
    let mut formats = Vec::new();
    let mut bytes = 0u64;
    let mut damage = None;
    for file in manifest.tables.iter().flat_map(|t| &t.files) {
        if !formats.contains(&file.format) {
            formats.push(file.format);
        }
        bytes = bytes.saturating_add(file.bytes);
        let size = file_path(folder, &file.path).map(|p| (fs::symlink_metadata(&p), p));
        let fault = match size {
            Err(e) => Some(e.to_string()),
            Ok((Ok(m), _)) if m.is_file() && m.len() == file.bytes => None,
            Ok((Ok(m), _)) if m.is_file() => {
                Some(format!("{} has {} bytes, not {}", file.path, m.len(), file.bytes))
            }
            Ok((Ok(_), _)) => Some(format!("{} is no regular file", file.path)),
            Ok((Err(_), _)) => Some(format!("{} is missing", file.path)),
        };
        damage = damage.or(fault);
    }
    SnapshotInfo {
        path: folder.to_owned(),
        taken_at,
        warnings: name.map_or_else(Vec::new, |n| n.cross_check(taken_at.to_utc(), modified)),
        tables: manifest.tables.len(),
        rows: manifest.tables.iter().fold(0, |sum, t| sum.saturating_add(t.rows)),
        series: manifest.series(),
        formats,
        bytes,
        damage,
    }
}

fn damaged(folder: &Path, name: &SnapshotName, why: String) -> Option<SnapshotInfo> {
    Some(SnapshotInfo {
        path: folder.to_owned(),
        taken_at: name.taken_at.fixed_offset(),
        series: Series {
            host: name.host.clone(),
            database: name.database.clone(),
            location: String::new(),
            only: Vec::new(),
        },
        formats: name.formats.clone(),
        tables: 0,
        rows: 0,
        bytes: 0,
        damage: Some(why),
        warnings: Vec::new(),
    })
}

/// The manifest of the snapshot in `folder` and its time, of a version that is known.
pub(crate) fn read_manifest(folder: &Path) -> Result<(Manifest, DateTime<FixedOffset>)> {
    let path = folder.join(MANIFEST);
    let broken = |why: String| Error::damaged(format!("{MANIFEST} {why}"));
    let size = fs::symlink_metadata(&path).map_err(|e| broken(format!("is unreadable: {e}")))?;
    if !size.is_file() || size.len() > LARGEST_MANIFEST {
        return Err(broken(format!("is no file of at most {LARGEST_MANIFEST} bytes")));
    }
    let text = fs::read(&path).map_err(|e| broken(format!("is unreadable: {e}")))?;
    let version: Version =
        serde_json::from_slice(&text).map_err(|e| broken(format!("is no manifest: {e}")))?;
    if version.format_version != FORMAT_VERSION {
        return Err(broken(format!(
            "has the format version {:?}; this restorekit reads {FORMAT_VERSION:?}",
            version.format_version
        )));
    }
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|e| broken(format!("is no manifest: {e}")))?;
    let taken_at = DateTime::parse_from_rfc3339(&manifest.taken_at)
        .map_err(|e| broken(format!("has no readable time ({:?}): {e}", manifest.taken_at)))?;
    Ok((manifest, taken_at))
}

#[derive(serde::Deserialize)]
struct Version {
    format_version: String,
}

/// The path of a file that a manifest names, which must stay below the snapshot's folder.
pub(crate) fn file_path(folder: &Path, named: &str) -> Result<PathBuf> {
    let relative = Path::new(named);
    let inside = !named.is_empty()
        && !named.contains('\0')
        && relative.components().all(|c| matches!(c, Component::Normal(_)));
    if inside {
        Ok(folder.join(relative))
    } else {
        Err(Error::damaged(format!("the manifest names a file outside of the snapshot: {named:?}")))
    }
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<SnapshotInfo>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        // it went after its parent was read, or is not ours to read
        Err(e) if depth < DEPTH && PASSED_OVER.contains(&e.kind()) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().first() == Some(&b'.');
        if hidden || !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if let Some(info) = look(&path) {
            found.push(info);
        } else if depth > 1 {
            walk(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn unreadable(root: &Path, e: io::Error) -> Error {
    Error::failed(format!("the folder {} could not be read: {e}", root.display())).because(e)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::backup::manifest::{ManifestFile, ManifestTable};
    use crate::model::table::{TableKind, TableName, TableSchema};

    /// A snapshot whose one file has the right size but no meaning.
    pub(crate) fn plant(root: &Path, database: &str, taken_at: &str) -> PathBuf {
        let taken = DateTime::parse_from_rfc3339(taken_at).unwrap();
        let name =
            SnapshotName::new("h", taken.to_utc(), database, &[FileFormat::Parquet]).unwrap();
        let folder = root.join(name.to_string());
        fs::create_dir_all(folder.join("parquet")).unwrap();
        fs::write(folder.join("parquet/t.parquet"), b"abc").unwrap();
        let table = TableName::bare("t");
        let manifest = Manifest {
            format_version: FORMAT_VERSION.into(),
            tool: "0".into(),
            taken_at: taken_at.into(),
            host: "h".into(),
            database: database.into(),
            engine: "sqlite".into(),
            location: format!("/srv/{database}"),
            only: vec![],
            tables: vec![ManifestTable {
                name: table.clone(),
                schema: TableSchema {
                    name: table,
                    kind: TableKind::Base,
                    columns: vec![],
                    keys: vec![],
                    uniques: vec![],
                    foreign_keys: vec![],
                    triggers: vec![],
                    rowid_alias: None,
                    without_rowid: false,
                    autoincrement: false,
                    unwritable: None,
                    left_out: Vec::new(),
                    ddl: String::new(),
                },
                rows: 7,
                ordered_by: vec![],
                files: vec![ManifestFile {
                    path: "parquet/t.parquet".into(),
                    format: FileFormat::Parquet,
                    bytes: 3,
                    sha256: String::new(),
                }],
            }],
        };
        fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        folder
    }

    #[test]
    fn newest_first_below_folders_of_databases() {
        let root = tempfile::tempdir().unwrap();
        plant(&root.path().join("a"), "a.db", "2024-05-29T09:14:42Z");
        plant(root.path(), "a.db", "2024-05-29T12:14:42+02:00");
        let newest = plant(root.path(), "a.db", "2024-05-29T10:14:43Z");
        plant(&root.path().join(".hidden"), "a.db", "2024-05-29T10:14:44Z");
        let list = list(root.path()).unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].path, newest);
        assert!(list.iter().all(SnapshotInfo::is_whole));
        assert_eq!((list[0].rows, list[0].bytes, list[0].tables), (7, 3, 1));
        assert_eq!(list[1].taken_at.to_rfc3339(), "2024-05-29T12:14:42+02:00");
        assert!(list[0].warnings[0].contains("copied"), "mtime is today: {:?}", list[0].warnings);
    }

    #[test]
    fn damage_is_told_without_reading_the_files() {
        let root = tempfile::tempdir().unwrap();
        let of = |second| plant(root.path(), "a.db", &format!("2024-05-29T09:14:{second}Z"));
        fs::write(of("10").join("parquet/t.parquet"), b"ab").unwrap();
        fs::remove_file(of("11").join("parquet/t.parquet")).unwrap();
        fs::remove_file(of("12").join(MANIFEST)).unwrap();
        fs::write(of("13").join(MANIFEST), b"{}").unwrap();
        let folder = of("14");
        let text = fs::read_to_string(folder.join(MANIFEST)).unwrap();
        fs::write(folder.join(MANIFEST), text.replace("parquet/t.parquet", "../secret")).unwrap();
        let folder = of("15");
        fs::write(folder.join(MANIFEST), text.replace("\"1\"", "\"2\"")).unwrap();
        let list = list(root.path()).unwrap();
        let damage: Vec<&str> = list.iter().map(|s| s.damage.as_deref().unwrap()).collect();
        let expected =
            ["version \"2\"", "outside", "no manifest", "there is no", "missing", "2 bytes"];
        for (damage, expected) in damage.iter().zip(expected) {
            assert!(damage.contains(expected), "{damage} / {expected}");
        }
    }

    #[test]
    fn what_goes_while_it_is_looked_at_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let gone = plant(root.path(), "a.db", "2024-05-29T09:14:42Z");
        fs::remove_dir_all(&gone).unwrap();
        assert!(look(&gone).is_none(), "it is not damaged");
        let mut found = Vec::new();
        walk(&gone, DEPTH - 1, &mut found).unwrap();
        assert!(found.is_empty() && walk(&gone, DEPTH, &mut found).is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(list(&root.path().join("none")).is_err());
        assert!(list(root.path()).unwrap().is_empty());
    }
}
