//! Which snapshot of ours is meant, where a folder holds those of several databases and hosts.
//!
//! Live's own come first: those whose manifest names live's file on live's host, or live's
//! server and database. Where there is none, the snapshots are of another host or of a file
//! that was moved: those of a database that is called like live are taken, when they are of
//! one database. Of several none is guessed.

use std::cmp::Reverse;
use std::path::PathBuf;

use crate::backup::detect::answer::{index, picked};
use crate::backup::detect::{BackupSpec, Found, Layout, stem};
use crate::backup::manifest::Series;
use crate::backup::snapshot::{self, Snapshot};
use crate::error::{Error, Result};
use crate::registry::{Location, same_place};

/// So many databases are named in an error.
const NAMED: usize = 8;

/// The snapshots of one database, newest first; at least one.
type Database = Vec<Snapshot>;

/// The newest of our snapshots of one database, or the one that is picked.
pub(super) fn snapshots(
    spec: &BackupSpec,
    folders: Vec<PathBuf>,
    why: Vec<String>,
) -> Result<Found> {
    let mut warnings = Vec::new();
    let mut databases: Vec<Database> = Vec::new();
    let mut failure = None;
    for folder in folders {
        match snapshot::read(&folder) {
            Ok(read) => match databases.iter_mut().find(|known| is_same(&known[0], &read)) {
                Some(snapshots) => snapshots.push(read),
                None => databases.push(vec![read]),
            },
            Err(e) => {
                warnings.push(format!("{} is passed over: {e}", folder.display()));
                failure = Some(e);
            }
        }
    }
    if let (true, Some(e)) = (databases.is_empty(), failure) {
        return Err(e);
    }
    for snapshots in &mut databases {
        snapshots.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.folder.cmp(&a.folder)));
    }
    let mut databases: Vec<Database> = databases.into_iter().map(wholes).collect();
    databases.sort_by_key(|snapshots| Reverse(snapshots[0].taken_at));
    let snapshots = meant(spec, databases)?;
    let (chosen, older) = picked(spec, snapshots, |s| (s.taken_at, &s.folder))?;
    let mut found = one(spec, chosen, why);
    found.warnings.splice(0..0, warnings);
    found.older = older;
    Ok(found)
}

/// One snapshot, with what is doubtful about it as a backup of live.
pub(super) fn one(spec: &BackupSpec, snapshot: Snapshot, why: Vec<String>) -> Found {
    let series = snapshot.manifest.series();
    let in_part = series.in_part().map(|part| format!("the snapshot is {part}"));
    let warnings = of_another(spec, &series).into_iter().chain(in_part).collect();
    Found { layout: Layout::Snapshot(Box::new(snapshot)), why, warnings, older: Vec::new() }
}

/// True for snapshots of one database.
fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    let (a, b) = (a.manifest.series(), b.manifest.series());
    let named = (&a.host, &a.database, &a.location) == (&b.host, &b.database, &b.location);
    named || same_place((&a.host, &a.location), (&b.host, &b.location))
}

fn is_lives(spec: &BackupSpec, series: &Series) -> bool {
    let own = |live: &super::Live| {
        same_place((&live.host, &live.location), (&series.host, &series.location))
    };
    spec.live.as_ref().is_some_and(own)
}

/// The database that is meant: live's own, else the only one that is called like it, else
/// the only one.
fn meant(spec: &BackupSpec, mut databases: Vec<Database>) -> Result<Database> {
    let own = databases.iter().position(|d| is_lives(spec, &d[0].manifest.series()));
    if let Some(own) = own {
        return Ok(databases.swap_remove(own));
    }
    let mut called = String::new();
    if let Some(wanted) = spec.database.as_deref() {
        let whole = |name: &str| name == wanted;
        let same_stem = |name: &str| stem(name) == stem(wanted);
        let has = |d: &Database, same: &dyn Fn(&str) -> bool| d.iter().any(|s| has_name(s, same));
        let ways: [&dyn Fn(&str) -> bool; 2] = [&whole, &same_stem];
        match ways.into_iter().find(|same| databases.iter().any(|d| has(d, same))) {
            Some(same) => {
                databases.retain(|d| has(d, same));
                called = format!(" called {wanted}");
            }
            None => called = format!(", none of them called {wanted}"),
        }
    }
    if databases.len() == 1 {
        return Ok(databases.remove(0));
    }
    Err(several(spec, &databases, &called))
}

/// The snapshots of every table; where there is none, those of some tables.
fn wholes(snapshots: Database) -> Database {
    let (whole, part): (Database, Database) =
        snapshots.into_iter().partition(|s| s.manifest.only.is_empty());
    if whole.is_empty() { part } else { whole }
}

/// True when the database had a name like this: by the manifest, or by its file. Of two files
/// of one name below a folder, the manifest has a longer one.
fn has_name(snapshot: &Snapshot, same: &dyn Fn(&str) -> bool) -> bool {
    let manifest = &snapshot.manifest;
    let file = Location::parse(&manifest.location).ok().and_then(Location::database);
    same(&manifest.database) || file.is_some_and(same)
}

/// The error for several databases of which none is live's: it names them, the one with the
/// newest snapshot first, and of each the snapshot that would be taken.
fn several(spec: &BackupSpec, databases: &[Database], called: &str) -> Error {
    let path = spec.path.display();
    let count = databases.len();
    let mut names: Vec<String> =
        databases.iter().take(NAMED).map(|d| d[0].manifest.series().to_string()).collect();
    if count > NAMED {
        names.push(format!("{} more", count - NAMED));
    }
    let names = names.join("; ");
    let live = match &spec.live {
        Some(live) => format!(" (live is {} on {})", live.location, live.host),
        None => String::new(),
    };
    let mut error = Error::usage(format!(
        "{path} holds snapshots of {count} databases{called}{live}, and which is meant is not \
         guessed: {names}"
    ));
    for database in databases.iter().take(NAMED) {
        if let Some(at) = index(spec.pick, database.iter().map(|s| s.taken_at)) {
            let Snapshot { folder, manifest, .. } = &database[at];
            let (of, taken) = (manifest.series(), &manifest.taken_at);
            let folder = folder.display();
            error = error.hint(format!("--backup {folder} is of {of}, taken {taken}"));
        }
    }
    error
}

/// What a person should know of a snapshot that is not known to be live's own.
fn of_another(spec: &BackupSpec, series: &Series) -> Option<String> {
    let live = spec.live.as_ref().filter(|_| !is_lives(spec, series))?;
    Some(match series.is_told() {
        true => format!("the snapshot is of {series}; live is {} on {}", live.location, live.host),
        false => format!(
            "the snapshot is of {series}, a path that is not given in full: see that it is live's"
        ),
    })
}
