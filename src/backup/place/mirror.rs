//! What is needed of a backup in a store, brought into a private folder.
//!
//! A folder of objects is laid out as files first: of their sizes, with their first bytes where those
//! tell a format, without the rest. Which backup that is, and which of several, is then found out
//! as for any folder. Of that one the wanted tables are brought; Parquet of other writers
//! stays where it is, and is read by ranges.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};

use crate::backup::detect::{self, BackupSpec, Layout};
use crate::backup::dump::{DumpKind, duckdb};
use crate::backup::folder::{Named, by_name};
use crate::backup::guard::blocking;
use crate::backup::manifest::MANIFEST;
use crate::backup::mongodump;
use crate::backup::place::remote::{Object, Remote};
use crate::backup::place::{Purpose, unwritable};
use crate::backup::rds;
use crate::backup::text::decompress::too_large;
use crate::backup::text::stage::sink::private_file;
use crate::error::{Error, Result};

/// The most objects of a folder.
const MOST: usize = 10_000;

/// What is brought of a file that may tell a format.
const HEAD: u64 = 4096;

/// Up to this size an object is brought at once.
const SMALL: u64 = 64 << 10;

/// How many requests run at once.
const AT_ONCE: usize = 8;

/// The objects that were not brought, by the file that stands for each.
#[derive(Debug, Default)]
pub struct Mirror {
    pub(in crate::backup) objects: BTreeMap<PathBuf, Arc<Object>>,
}

/// Brings what is needed into `layer`; the backup as it is there.
pub(super) async fn bring(
    remote: Remote,
    spec: &BackupSpec,
    layer: &Path,
    purpose: Purpose,
) -> Result<BackupSpec> {
    let name = match remote.shown.trim_end_matches('/').rsplit_once('/') {
        Some((_, name)) if !name.is_empty() && name != "." && name != ".." => name.to_owned(),
        _ => return Err(Error::usage(format!("{} names no object", remote.shown))),
    };
    let path = layer.join(name);
    let object = match remote.key.as_ref() {
        "" => Ok(None),
        _ => remote.object().await,
    };
    if let Ok(Some(object)) = object {
        return one(Arc::new(object), spec, path).await;
    }
    if !remote.lists {
        object?;
        return Err(Error::failed(format!("{} does not exist", remote.shown)).hint(
            "a web server is asked for one file; a folder is listed in s3://, gs:// and az://",
        ));
    }
    // Some stores answer a question for a folder with a failure, not with that it is no object.
    let objects = match (remote.below(MOST).await, object) {
        (Ok(objects), Err(e)) if objects.is_empty() => return Err(e),
        (Ok(objects), _) => objects,
        (Err(_), Err(e)) | (Err(e), Ok(_)) => return Err(e),
    };
    if objects.is_empty() {
        return Err(Error::failed(format!("{} does not exist, or holds nothing", remote.shown))
            .hint("check the bucket and the name"));
    }
    let objects = objects.into_iter().map(Arc::new).collect();
    folder(objects, spec, path, purpose).await
}

async fn one(object: Arc<Object>, spec: &BackupSpec, path: PathBuf) -> Result<BackupSpec> {
    let there = BackupSpec { path: path.clone(), ..spec.clone() };
    let Some(head) = object.asked(0..HEAD.min(object.size())).await? else {
        bounded(&object, spec)?;
        object.stream(Arc::new(new_file(&path)?)).await?;
        return Ok(there);
    };
    if head.starts_with(b"PAR1") {
        lay(&object, &path, &head)?;
        let objects = BTreeMap::from([(path, object)]);
        return Ok(BackupSpec { mirror: Some(Arc::new(Mirror { objects })), ..there });
    }
    fill(&object, spec, &path).await?;
    Ok(there)
}

async fn folder(
    objects: Vec<Arc<Object>>,
    spec: &BackupSpec,
    root: PathBuf,
    purpose: Purpose,
) -> Result<BackupSpec> {
    let mut laid = BTreeMap::new();
    for object in objects {
        let parts = object.below();
        let plain = |part: &String| !part.is_empty() && part != "." && part != "..";
        if parts.is_empty() || !parts.iter().all(plain) {
            continue;
        }
        laid.insert(parts.iter().fold(root.clone(), |path, part| path.join(part)), object);
    }
    let heads = laid.iter().map(|(path, object)| async move {
        let manifest = path.ends_with(MANIFEST);
        let told = manifest || rds::is_info(path) || is_script(path) || mongodump::is_beside(path);
        let length = match by_name(path) {
            Some(_) if !told => 0,
            _ if told || object.size() <= SMALL => object.size().min(64 << 20),
            _ => HEAD,
        };
        lay(object, path, &object.range(0..length).await?)
    });
    futures::stream::iter(heads).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let there = BackupSpec { path: root.clone(), ..spec.clone() };
    let looked = there.clone();
    let found = blocking(&root, move || detect::recognise(&looked)).await?;
    let mut mirror = Mirror::default();
    let mut wanted: Vec<PathBuf> = Vec::new();
    match &found.layout {
        Layout::Snapshot(snapshot) => {
            for table in &snapshot.manifest.tables {
                if is_wanted(spec, &table.name.name) {
                    wanted.push(snapshot.file(table)?.0);
                }
            }
        }
        Layout::Tables { tables, location, kind, .. } => {
            // The scripts of an export tell what is there, so all of it must be.
            let export = *kind == DumpKind::Duckdb.words();
            let scripts = duckdb::SCRIPTS.map(|name| location.join(name));
            wanted.extend(scripts.into_iter().filter(|_| export));
            for table in tables.iter().filter(|t| export || is_wanted(spec, &t.table.name)) {
                for part in &table.parts {
                    if let Some(object) = laid.get(&part.path) {
                        mirror.objects.insert(part.path.clone(), Arc::clone(object));
                    }
                }
                if table.named == Named::Bson {
                    wanted.extend(mongodump::metadata_paths(&table.path));
                }
                if table.parts.is_empty() {
                    wanted.push(table.path.clone());
                }
            }
        }
        Layout::Sqlite(path) => {
            let base = path.as_os_str().to_owned();
            let ends = ["", "-wal", "-shm", "-journal"];
            wanted.extend(ends.map(|end| {
                let mut file = base.clone();
                file.push(end);
                PathBuf::from(file)
            }));
        }
        Layout::Dump(path, _) => {
            wanted.extend(laid.keys().filter(|file| file.starts_with(path)).cloned());
        }
    }
    // Of a snapshot that is only looked at, the manifest and the sizes are enough.
    if purpose == Purpose::Look && matches!(found.layout, Layout::Snapshot(_)) {
        return Ok(there);
    }
    for path in wanted {
        if let Some(object) = laid.remove(&path) {
            fs::remove_file(&path).map_err(|e| unwritable(&path, e))?;
            fill(&object, spec, &path).await?;
        }
    }
    // What has no bytes here must not be read as if it had.
    let left: BTreeSet<PathBuf> =
        laid.into_keys().filter(|path| !mirror.objects.contains_key(path)).collect();
    for path in &left {
        let whole = path.ends_with(MANIFEST) || rds::is_info(path);
        if !whole && !mongodump::is_without_rows(path, &left) {
            fs::remove_file(path).map_err(|e| unwritable(path, e))?;
        }
    }
    let path = found.layout.location().to_owned();
    Ok(BackupSpec { path, pick: None, mirror: Some(Arc::new(mirror)), ..spec.clone() })
}

/// True for a script of an export.
fn is_script(path: &Path) -> bool {
    duckdb::SCRIPTS.iter().any(|name| path.ends_with(name))
}

fn is_wanted(spec: &BackupSpec, table: &str) -> bool {
    let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    spec.tables.is_empty()
        || spec.tables.iter().any(|named| bare(named).eq_ignore_ascii_case(&bare(table)))
}

/// A file of the object's size that begins as it does.
fn lay(object: &Object, path: &Path, head: &[u8]) -> Result<()> {
    let file = new_file(path)?;
    file.set_len(object.size()).map_err(|e| unwritable(path, e))?;
    file.write_all_at(head, 0).map_err(|e| unwritable(path, e))
}

/// Brings all of an object.
async fn fill(object: &Arc<Object>, spec: &BackupSpec, path: &Path) -> Result<()> {
    bounded(object, spec)?;
    object.write(Arc::new(new_file(path)?)).await
}

/// An error for an object that is larger than what may be brought.
fn bounded(object: &Object, spec: &BackupSpec) -> Result<()> {
    let limits = spec.limits();
    if object.size() > limits.max_expanded_bytes {
        return Err(too_large(Path::new(object.shown()), limits.expanded_words()));
    }
    Ok(())
}

fn new_file(path: &Path) -> Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, e))?;
    private_file(path).map_err(|e| unwritable(path, e))
}
