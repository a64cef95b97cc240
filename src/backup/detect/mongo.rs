//! What mongodump left, among the layouts of a folder.

use std::path::{Path, PathBuf};

use crate::backup::detect::answer::{Answer, pick, tables};
use crate::backup::detect::{BackupSpec, Found};
use crate::backup::folder::{self, Candidate, Loose, Named};
use crate::backup::mongodump::{self, Collections};
use crate::backup::text::Limits;
use crate::error::{Error, Result};

/// The kind in words.
pub(super) const KIND: &str = "folder of mongodump's";

/// What the folder is, where it has mongodump's signs. Its files are taken out of the loose ones.
pub(super) fn answer(path: &Path, loose: &mut Loose, limits: Limits) -> Result<Option<Answer>> {
    let databases = mongodump::databases(path)?;
    let of_root =
        |table: &Candidate| table.named != Named::Bson || mongodump::is_roots(&table.path);
    if !databases.is_empty() && loose.tables.iter().all(of_root) {
        loose.tables.retain(|table| !mongodump::is_roots(&table.path));
        return Ok(Some(Answer::Mongodump(databases)));
    }
    Ok(mongodump::collections(path, loose, limits).map(Answer::Collections))
}

/// One of the databases of a dump: the one called like live.
pub(super) fn database(
    spec: &BackupSpec,
    mut databases: Vec<(String, PathBuf)>,
    why: Vec<String>,
) -> Result<Found> {
    mongodump::without_systems(&mut databases, spec.database.as_deref());
    let mut warnings = mongodump::roots_warnings(&spec.path);
    let folder = pick(spec, databases, "databases", &mut warnings)?;
    let mut loose = folder::loose(&[&folder])?;
    let found = mongodump::collections(&folder, &mut loose, spec.limits())
        .ok_or_else(|| Error::damaged(format!("{} changed while it was read", folder.display())))?;
    collections(found, folder, why, warnings)
}

/// The collections of a database as tables.
pub(super) fn collections(
    found: Collections,
    folder: PathBuf,
    why: Vec<String>,
    mut warnings: Vec<String>,
) -> Result<Found> {
    let tables = tables(found.loose, KIND, folder, None, why)?;
    warnings.extend(found.warnings);
    warnings.extend(tables.warnings);
    Ok(Found { warnings, ..tables })
}
