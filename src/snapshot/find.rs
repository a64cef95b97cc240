//! The databases below a folder, so that each of them gets a snapshot.
//!
//! A SQLite file is known by its first 16 bytes (SQLite file format, section 1.3.1), not
//! by its name. Reading them happens before any connection to the file is opened: closing
//! a descriptor of a file drops the locks that SQLite holds on it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::backup::manifest::MANIFEST;
use crate::backup::sqlite::MAGIC;
use crate::error::{Error, Result};

/// Endings of files that belong to a database or to restorekit.
const NOT_DATABASES: [&str; 4] = ["-wal", "-journal", "-shm", ".rkplan"];

/// A database that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path.
    pub path: PathBuf,
    /// What to call it: its file's name, or its path below the root with `_` for `/`
    /// where two have that name.
    pub database: String,
}

/// The databases below a folder, and what could not be looked at.
#[derive(Clone, Debug, Default)]
pub struct FoundDatabases {
    /// The databases, sorted by path.
    pub databases: Vec<Found>,
    /// Folders and files that could not be read, with why.
    pub unreadable: Vec<String>,
}

/// Finds every SQLite file below `root`. Symbolic links are not followed; snapshots,
/// hidden folders and plan files are passed over.
pub fn databases(root: &Path) -> Result<FoundDatabases> {
    let failed = |e: io::Error| {
        Error::failed(format!("the folder {} could not be read: {e}", root.display())).because(e)
    };
    let mut paths = Vec::new();
    let mut found = FoundDatabases::default();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if folder == root => return Err(failed(e)),
            Err(e) => {
                found.unreadable.push(format!("{}: {e}", folder.display()));
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                let hidden = name.as_encoded_bytes().first() == Some(&b'.');
                let snapshot = fs::symlink_metadata(path.join(MANIFEST)).is_ok();
                if !hidden && !snapshot {
                    folders.push(path);
                }
            } else if kind.is_file() && !of_another(&name.to_string_lossy()) {
                match has_magic(&path) {
                    Ok(true) => paths.push(path),
                    Ok(false) => {}
                    Err(e) => found.unreadable.push(format!("{}: {e}", path.display())),
                }
            }
        }
    }
    paths.sort();
    found.unreadable.sort();
    found.databases = named(root, paths);
    Ok(found)
}

fn of_another(name: &str) -> bool {
    NOT_DATABASES.iter().any(|ending| name.ends_with(ending))
}

fn has_magic(path: &Path) -> io::Result<bool> {
    let mut first = [0; MAGIC.len()];
    match File::open(path)?.read_exact(&mut first) {
        Ok(()) => Ok(first == *MAGIC),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn named(root: &Path, paths: Vec<PathBuf>) -> Vec<Found> {
    let file_name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for path in &paths {
        *count.entry(file_name(path)).or_default() += 1;
    }
    paths
        .into_iter()
        .map(|path| {
            let name = file_name(&path);
            let database = match path.strip_prefix(root) {
                Ok(below) if count[&name] > 1 => below.to_string_lossy().replace('/', "_"),
                _ => name,
            };
            Found { path, database }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_known_by_their_first_bytes() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let database = [&MAGIC[..], &[0; 84]].concat();
        put("app.db", &database);
        put("a/users", &database);
        put("b/app.db", &database);
        put("b/deep/er/x.sqlite", &database);
        put("text.db", b"hello, this is no database");
        put("empty.db", b"");
        put("app.db-wal", &database);
        put("7f.rkplan", &database);
        put(".cache/x.db", &database);
        put("snap/restorekit.json", b"{}");
        put("snap/x.db", &database);
        #[cfg(unix)]
        {
            let link = |to: &str, at: &str| {
                std::os::unix::fs::symlink(to, root.path().join(at)).unwrap();
            };
            link("app.db", "link.db");
            link("/", "out");
        }
        let found = databases(root.path()).unwrap();
        let names: Vec<&str> = found.databases.iter().map(|f| f.database.as_str()).collect();
        assert_eq!(names, ["users", "app.db", "b_app.db", "x.sqlite"]);
        assert!(found.unreadable.is_empty());
        assert!(databases(&root.path().join("none")).is_err());
    }
}
