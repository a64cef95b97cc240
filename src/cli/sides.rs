//! Both sides of a command: found, opened, mounted.

use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;

use crate::backup::detect::{BackupSpec, Pick, open_backup};
use crate::backup::place::{Input, STREAM, Unlock, Variables};
use crate::cli::args::{Opening, Sides};
use crate::cli::resolve::{Remembered, Resolved, Sources, absolute, resolve};
use crate::cli::{Context, connect, secret, variables};
use crate::diff::pair::{PairOptions, Pairs, pair_table, pair_tables};
use crate::error::{Error, Result};
use crate::model::side::{Side, Which};
use crate::model::table::TableName;
use crate::mount::{Mount, find_table};
use crate::registry::{self, Location, default_parallelism};
use crate::report::sides::Provenance;
use crate::report::text::shell_word;
use crate::snapshot::list;
use crate::source::Source;
use crate::state::LastDiff;

/// Both sides, open, and how they were found.
#[derive(Debug)]
pub struct OpenSides {
    /// The mounted sides.
    pub mount: Arc<Mount>,
    /// What was named, and where.
    pub resolved: Resolved,
    /// Who named the sides, for screens.
    pub from: Provenance,
}

/// Finds out what the flags, the environment, the configuration and the last diff say.
/// `may_remember` is false for a command that would write without asking.
pub fn resolve_sides(context: &Context, flags: &Sides, may_remember: bool) -> Result<Resolved> {
    let config = context.config()?;
    let remembered = last_diff(context);
    Ok(resolve(&Sources {
        flags,
        environment: &|name| context.variable(name),
        config: config.as_ref(),
        remembered: remembered.as_ref(),
        may_remember,
        folder: &context.folder,
    }))
}

/// Opens both sides and mounts them.
///
/// # Errors
/// `Usage` when a side is not named; `Refused` when both are the same database; what the
/// sources say.
pub async fn open_sides(context: &Context, flags: &Sides, may_remember: bool) -> Result<OpenSides> {
    open_resolved(context, flags, resolve_sides(context, flags, may_remember)?).await
}

/// Opens both sides as they were resolved.
pub async fn open_resolved(
    context: &Context,
    flags: &Sides,
    resolved: Resolved,
) -> Result<OpenSides> {
    // A live that is not there says so itself, before a backup is looked for by its name.
    if Location::parse(resolved.live()?)?.path().is_some_and(|path| !path.exists()) {
        connect::live(context, resolved.live()?).await?;
    }
    // The backup first: telling what it is opens files, and closing a file drops the locks
    // that SQLite holds on it, should both be the same one.
    let tables = resolved.tables();
    let opening = &flags.opening;
    let backups = open_backups(context, &resolved, tables, opening).await?;
    let live = connect::live(context, resolved.live()?).await?;
    let same = |backup: &Arc<dyn Source>| match (live.identity(), backup.identity()) {
        (Some(a), Some(b)) => a.same(&b),
        _ => false,
    };
    if backups.iter().any(same) {
        return Err(Error::refused("live and the backup are the same database")
            .hint("name the database in use as --live and the older copy as --backup"));
    }
    let mount = Arc::new(Mount::several(backups, live, default_parallelism()).await?);
    let from = resolved.provenance(context.now());
    Ok(OpenSides { mount, resolved, from })
}

/// What a backup's location means; `live` picks one of several databases in it.
pub fn backup_spec(
    context: &Context,
    location: &str,
    live: Option<&str>,
    opening: &Opening,
) -> Result<BackupSpec> {
    let named = live.map(Location::parse).transpose()?;
    let database = named.and_then(Location::database).map(str::to_owned);
    let parallelism = default_parallelism();
    let spec = match registry::is_server(location) {
        true => BackupSpec {
            path: connect::completed(location)?.expose_secret().into(),
            ..BackupSpec::default()
        },
        false => BackupSpec::parse(location)?,
    };
    let pick = match (spec.pick, opening.as_of) {
        (Some(pick), Some(_)) => {
            return Err(Error::usage(format!("{location} says {pick}, and --as-of another"))
                .hint("leave one of them out"));
        }
        (pick, as_of) => pick.or(as_of.map(Pick::AsOf)),
    };
    let max_expanded_bytes = opening.max_expanded_bytes;
    Ok(BackupSpec {
        input: (location == STREAM).then(|| Input::new(std::io::stdin())),
        pick,
        database,
        live: live.and_then(connect::told),
        parallelism,
        max_expanded_bytes,
        cache: if opening.no_cache { None } else { context.cache()? },
        unlock: unlock(context, opening),
        stores: stores(),
        ..spec
    })
}

/// The variables that object stores are reached by.
fn stores() -> Variables {
    let ours = |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|p| name.starts_with(p));
    variables().filter(|(name, _)| ours(name)).map(|(name, value)| (name, value.into())).collect()
}

/// What opens an encrypted backup: the flag's file, else what the environment names.
fn unlock(context: &Context, opening: &Opening) -> Unlock {
    let file = opening.age_identity.as_ref().map(|path| path.to_string_lossy().into_owned());
    Unlock {
        identity: file.or_else(|| context.variable("RESTOREKIT_AGE_IDENTITY")).map(Into::into),
        passphrase: context.variable("RESTOREKIT_AGE_PASSPHRASE").map(Into::into),
    }
}

/// Opens the backups, in the order in which they were named.
async fn open_backups(
    context: &Context,
    resolved: &Resolved,
    tables: &[String],
    opening: &Opening,
) -> Result<Vec<Arc<dyn Source>>> {
    let mut backups = Vec::new();
    let named = resolved.backup()?;
    if named.iter().filter(|one| *one == STREAM).count() > 1 {
        return Err(Error::usage("one stream can't be two backups")
            .hint("write one to a file first, and name that"));
    }
    for one in named {
        let spec = backup_spec(context, one, Some(resolved.live()?), opening)?;
        let spec = BackupSpec { tables: tables.to_vec(), ..spec };
        backups.push(open_spec(context, one, spec).await?);
    }
    Ok(backups)
}

/// Opens a backup; a server may want a password.
pub async fn open_spec(
    context: &Context,
    location: &str,
    spec: BackupSpec,
) -> Result<Arc<dyn Source>> {
    if !registry::is_server(location) {
        let source = open_backup(&spec).await?;
        let snapshot = list::look(Path::new(&source.origin().location));
        for doubt in snapshot.iter().flat_map(|snapshot| &snapshot.warnings) {
            context.terminal.warn(&format!("backup: {doubt}"));
        }
        return Ok(source);
    }
    let open = async |location: &str| {
        open_backup(&BackupSpec { path: location.into(), ..spec.clone() }).await
    };
    connect::enter(context, location, open).await
}

impl OpenSides {
    /// Pairs the tables that were named, or all, with the keys of the configuration.
    pub async fn pairs(&self, columns: &[String]) -> Result<Pairs> {
        let resolved = &self.resolved;
        let options = |key: &[String]| PairOptions {
            tables: resolved.tables().to_vec(),
            key: key.to_vec(),
            columns: columns.to_vec(),
            ignore: resolved.ignore.clone(),
        };
        if !resolved.key.is_empty() || resolved.keys.is_empty() {
            return pair_tables(&self.mount, &options(&resolved.key)).await;
        }
        // Tables with a configured key are paired by themselves, the others as they are.
        let live = self.mount.tables(Which::Live);
        let keyed: Vec<&TableName> =
            resolved.keys.keys().filter_map(|name| find_table(live, name)).collect();
        let named = resolved.tables();
        let others: Vec<String> = named
            .iter()
            .filter(|n| find_table(live, n).is_none_or(|t| !keyed.contains(&t)))
            .cloned()
            .collect();
        let mut pairs = if named.is_empty() || !others.is_empty() {
            pair_tables(&self.mount, &PairOptions { tables: others, ..options(&[]) }).await?
        } else {
            Pairs::default()
        };
        for (name, key) in &resolved.keys {
            let Some(table) = find_table(live, name) else { continue };
            let wanted =
                named.is_empty() || named.iter().any(|n| find_table(live, n) == Some(table));
            let Some(backup) = self.mount.partner(table, &table.to_string()) else { continue };
            if !wanted {
                continue;
            }
            let table = Side { backup: backup.clone(), live: table.clone() };
            let pair = pair_table(&self.mount, table.clone(), &options(key)).await?;
            pairs.skipped.retain(|(skipped, _)| *skipped != table.live);
            match pairs.pairs.iter_mut().find(|p| p.table.live == table.live) {
                Some(place) => *place = pair,
                None => pairs.pairs.push(pair),
            }
        }
        Ok(pairs)
    }

    /// What the next command must say again: nothing once the diff is remembered.
    pub fn repeat(&self, remembered: bool) -> String {
        let mut words = Vec::new();
        if !remembered {
            for text in self.resolved.redacted_flags() {
                words.push(text);
            }
        }
        if !self.resolved.key.is_empty() {
            words.push(format!("--key {}", shell_word(&self.resolved.key.join(","))));
        }
        words.join(" ")
    }

    /// Says in what other dress than live's the backup was read, a line a column.
    pub fn tell(&self, context: &Context) {
        for note in self.mount.source(Which::Backup).notes() {
            context.terminal.warn(&format!("backup: {note}"));
        }
    }

    /// Ends the reading of both sides.
    pub async fn release(&self) -> Result<()> {
        self.mount.source(Which::Live).release().await?;
        self.mount.source(Which::Backup).release().await
    }
}

impl Resolved {
    /// The sides that were typed, as flags to type again.
    fn redacted_flags(&self) -> Vec<String> {
        use crate::cli::resolve::Source::Flag;
        let typed =
            |flag: &str, value: &str| format!("{flag} {}", shell_word(&secret::redact(value)));
        let live = self.live.iter().filter(|l| matches!(l.source, Flag(_)));
        let backup = self.backup.iter().filter(|b| matches!(b.source, Flag(_)));
        live.map(|l| typed("--live", &l.value))
            .chain(backup.flat_map(|b| b.value.iter().map(|v| typed("--backup", v))))
            .collect()
    }
}

fn last_diff(context: &Context) -> Option<Remembered> {
    let last = context.state().ok()?.recall(&context.folder.to_string_lossy())?;
    let at = chrono::DateTime::parse_from_rfc3339(&last.at).ok()?;
    Some(Remembered { live: last.live, backup: last.backup, table: last.table, at })
}

/// Remembers this diff for its folder. False when it can't or may not be, which is no
/// reason to fail a diff: a location with a password is never stored.
pub fn remember(context: &Context, resolved: &Resolved) -> bool {
    let (Some(live), Some(backup)) = (&resolved.live, &resolved.backup) else { return false };
    let place = |location: &str| absolute(Path::new(&context.folder), location);
    // What came in on a stream is gone.
    let passes = |location: &String| secret::has_password(location) || location == STREAM;
    if std::iter::once(&live.value).chain(&backup.value).any(passes) {
        return false;
    }
    let last = LastDiff {
        folder: context.folder.to_string_lossy().into_owned(),
        live: place(&live.value),
        backup: backup.value.iter().map(|b| place(b)).collect(),
        table: resolved.tables().to_vec(),
        at: context.now().to_rfc3339(),
    };
    match context.state().and_then(|state| state.remember(&last)) {
        Ok(()) => true,
        Err(e) => {
            context.terminal.warn(&format!("this diff is not remembered: {e}"));
            false
        }
    }
}
