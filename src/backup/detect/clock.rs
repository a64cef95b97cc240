//! The time that a folder's name says, beside the times of the files in it.
//!
//! Files that are newer than the name are nothing strange: they were copied, or written by what began at
//! that time. Files that are older say that the folder is called newer than its rows are. A copy
//! that links what had not changed looks so too: a warning, never a refusal.

use std::fs;
use std::path::Path;

use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};

use crate::backup::folder::{Loose, Take};

/// So much older than the name a file must be: no two zones are further apart, and a name without one
/// may be of another zone than this host's.
const APART: TimeDelta = TimeDelta::hours(26);

/// A warning where files of a dated take were last written long before the time of its name.
pub(super) fn older(take: &Take, loose: &Loose) -> Option<String> {
    let tables = loose.tables.iter();
    let files: Vec<&Path> = tables
        .flat_map(|table| match table.parts.as_slice() {
            [] => vec![table.path.as_path()],
            parts => parts.iter().map(|part| part.path.as_path()).collect(),
        })
        .collect();
    let limit = take.taken_at.to_utc() - APART;
    let older = files.iter().filter_map(|path| {
        let written = DateTime::<Utc>::from(fs::metadata(path).ok()?.modified().ok()?);
        (written < limit).then_some((written, *path))
    });
    let older: Vec<(DateTime<Utc>, &Path)> = older.collect();
    let (written, oldest) = older.iter().min()?;
    let shown = |at: DateTime<FixedOffset>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    Some(format!(
        "the folder is named as taken {}, but {} was last written {} ({} of its {} files are older \
         than the name by more than a day): rows of the time between may be missing in it",
        shown(take.taken_at),
        oldest.strip_prefix(&take.folder).unwrap_or(oldest).display(),
        shown(written.with_timezone(take.taken_at.offset())),
        older.len(),
        files.len(),
    ))
}
