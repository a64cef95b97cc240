//! `restorekit doctor`: is this set up so that a restore would work tonight?

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;

use crate::backup::place::{STREAM, is_remote};
use crate::cli::args::{Format, Opening, Sides};
use crate::cli::sides::{backup_spec, open_spec, resolve_sides};
use crate::cli::{Context, block_on, connect, resolve::Resolved};
use crate::error::{Error, Kind, Result};
use crate::model::check::{Check, Outcome};
use crate::model::table::TableKind;
use crate::registry::{Location, first_bytes, is_server};
use crate::report::doctor as screen;
use crate::report::text::{ago_text, bytes, plural};
use crate::snapshot::place;
use crate::source::Source;

/// A snapshot older than this is worth a warning.
const STALE_HOURS: i64 = 26;
/// Less free space than this is worth a warning.
const LITTLE_SPACE: u64 = 1 << 30;

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit doctor
  restorekit doctor --live prod.db --backup /backups@latest --format json")]
pub struct DoctorArgs {
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Write the checks like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Checks, and gives 1 when something will not work.
pub fn run(context: &Context, args: &DoctorArgs) -> Result<u8> {
    let checks = block_on(check(context, args))?;
    let mut out = context.terminal.report(args.format == Format::Table, None)?;
    match args.format {
        Format::Table => screen::screen(&mut out, context.terminal.out, &checks)?,
        Format::Json => screen::json(&mut out, &checks)?,
    }
    out.flush()?;
    Ok(u8::from(checks.iter().any(|c| c.outcome == Outcome::Bad)))
}

/// The checks so far.
#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, name: &str, outcome: Outcome, found: impl Into<String>) -> &mut Check {
        let place = self.0.len();
        self.0.push(Check::new(name, outcome, found));
        &mut self.0[place]
    }

    fn good(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, Outcome::Good, found);
    }

    fn warn(&mut self, name: &str, found: impl Into<String>, advice: &str) {
        self.add(name, Outcome::Warning, found).advice = Some(advice.to_owned());
    }

    fn fail(&mut self, name: &str, e: &Error) {
        let cause = std::error::Error::source(e).map(|c| format!(": {c}")).unwrap_or_default();
        self.add(name, Outcome::Bad, format!("{e}{cause}")).advice = e.hints().first().cloned();
    }
}

async fn check(context: &Context, args: &DoctorArgs) -> Result<Vec<Check>> {
    let mut checks = Checks::default();
    match context.config() {
        Ok(Some(config)) => checks.good("configuration", config.path.to_string_lossy()),
        Ok(None) => {
            checks.warn("configuration", "there is no restorekit.toml", "restorekit init");
        }
        Err(e) => {
            checks.fail("configuration", &e);
            return Ok(checks.0);
        }
    }
    let resolved = resolve_sides(context, &args.sides, true)?;
    match resolved.live() {
        Ok(live) => look_at_live(context, &mut checks, live).await,
        Err(e) => checks.fail("live", &e),
    }
    match resolved.backup() {
        Ok(backup) => {
            look_at_backup(context, &mut checks, &resolved, &args.sides.opening, backup).await
        }
        Err(e) => checks.fail("backup", &e),
    }
    look_at_state(context, &mut checks);
    Ok(checks.0)
}

async fn look_at_live(context: &Context, checks: &mut Checks, location: &str) {
    let path = match Location::parse(location) {
        Ok(location) => location.path(),
        Err(e) => return checks.fail("live", &e),
    };
    // Before a connection is opened: closing the file would drop its locks.
    let header = path.map(|path| first_bytes(path, 20).unwrap_or_default());
    let source = match connect::live(context, location).await {
        Ok(source) => source,
        Err(e) => return checks.fail("live", &e),
    };
    let origin = source.origin();
    checks.good("live", format!("{}, {}", origin.location, origin.kind));
    for warning in &origin.warnings {
        checks.add("live", Outcome::Warning, warning.clone());
    }
    if let (Some(path), Some(header)) = (path, header) {
        writable(checks, path);
        journal(checks, path, &header);
    }
    match source.checkup().await {
        Ok(found) => checks.0.extend(found),
        Err(e) => checks.fail("live", &e),
    }
    if let Err(e) = look_at_tables(checks, source.as_ref()).await {
        checks.fail("tables", &e);
    }
    if let Err(e) = source.release().await {
        checks.fail("live", &e);
    }
}

fn journal(checks: &mut Checks, path: &Path, header: &[u8]) {
    let wal = fs::metadata(beside(path, "-wal")).map(|m| m.len()).unwrap_or(0);
    match header.get(18) {
        Some(2) => checks.good("journal", format!("WAL, {} in the log", bytes(wal))),
        Some(_) => {
            let add = checks.add("journal", Outcome::Warning, "rollback journal, not WAL");
            add.advice = Some("a long read makes the application's writes wait".to_owned());
        }
        None => {}
    }
}

fn writable(checks: &mut Checks, path: &Path) {
    let read_only = |path: &Path| fs::metadata(path).is_ok_and(|m| m.permissions().readonly());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if read_only(path) {
        checks.warn("writing", "the file is read-only", "a restore could not write to it");
    } else if read_only(folder) {
        checks.warn(
            "writing",
            "the folder is read-only",
            "SQLite needs its journal beside the file",
        );
    } else {
        checks.good("writing", "file and folder can be written");
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

async fn look_at_tables(checks: &mut Checks, source: &dyn Source) -> Result<()> {
    let (mut tables, mut references) = (0, 0);
    let (mut unkeyed, mut triggered) = (Vec::new(), Vec::new());
    for name in source.tables().await? {
        let schema = match source.schema(&name).await {
            Ok(schema) => schema,
            Err(e) if e.kind() == Kind::Refused => {
                checks.fail("tables", &e);
                continue;
            }
            Err(e) => return Err(e),
        };
        if schema.kind != TableKind::Base {
            continue;
        }
        tables += 1;
        references += schema.foreign_keys.len() as u64;
        if schema.keys.is_empty() {
            unkeyed.push(name.to_string());
        }
        if let Some(why) = &schema.unwritable {
            checks.warn("tables", format!("{name} can't be written: {why}"), "it is compared only");
        }
        if !schema.triggers.is_empty() {
            triggered.push(format!("{name} ({})", schema.triggers.len()));
        }
    }
    checks.good("tables", plural(tables, "table"));
    if unkeyed.is_empty() {
        checks.good("keys", "every table has a key");
    } else {
        let found = format!("no key: {}", unkeyed.join(", "));
        checks.warn("keys", found, "such tables are compared with --key COLUMNS only");
    }
    match references {
        0 => checks.good("foreign keys", "none"),
        n => checks
            .good("foreign keys", format!("{}, enforced while writing", plural(n, "reference"))),
    }
    if triggered.is_empty() {
        checks.good("triggers", "none");
    } else {
        let found = format!("on {}", triggered.join(", "));
        checks.warn("triggers", found, "they fire on restored rows too: every plan lists them");
    }
    Ok(())
}

async fn look_at_backup(
    context: &Context,
    checks: &mut Checks,
    resolved: &Resolved,
    opening: &Opening,
    locations: &[String],
) {
    let live = resolved.live().ok();
    for location in locations {
        let opened: Result<Arc<dyn Source>> = async {
            open_spec(context, location, backup_spec(context, location, live, opening)?).await
        }
        .await;
        let source = match opened {
            Ok(source) => source,
            Err(e) => {
                checks.fail("backup", &e);
                continue;
            }
        };
        let origin = source.origin();
        match source.tables().await {
            Ok(tables) => checks.good(
                "backup",
                format!(
                    "{}, {}, {}",
                    origin.location,
                    origin.kind,
                    plural(tables.len() as u64, "table")
                ),
            ),
            Err(e) => checks.fail("backup", &e),
        }
        age(context, checks, origin.taken_at.as_deref());
        let beside_live = live.and_then(|l| Location::parse(l).ok()?.path());
        // What is in a store, on a server or on a stream lies in no folder of this host.
        let place = match is_server(location) || is_remote(location) || location == STREAM {
            true => Vec::new(),
            false => place::warnings(Path::new(&origin.location), beside_live),
        };
        for warning in origin.warnings.iter().chain(&place) {
            checks.add("backup", Outcome::Warning, warning.clone());
        }
        if let Err(e) = source.release().await {
            checks.fail("backup", &e);
        }
    }
}

fn age(context: &Context, checks: &mut Checks, taken_at: Option<&str>) {
    let now = context.now();
    let moment = taken_at.and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok());
    let (Some(moment), Some(text)) = (moment, taken_at) else {
        checks.warn("backup age", "not known", "take snapshots: they say when they were taken");
        return;
    };
    let age = ago_text(text, now).unwrap_or_default();
    if now.signed_duration_since(moment).num_hours() > STALE_HOURS {
        checks.warn("backup age", age, "restorekit snapshot --schedule 8h");
    } else {
        checks.good("backup age", age);
    }
}

fn look_at_state(context: &Context, checks: &mut Checks) {
    let state = match context.state() {
        Ok(state) => state,
        Err(e) => return checks.fail("state", &e),
    };
    let shown = state.root().display().to_string();
    let existing = state.root().ancestors().find_map(|p| Some((p, fs::metadata(p).ok()?)));
    let Some((folder, about)) = existing else { return };
    let open_to_others = {
        use std::os::unix::fs::PermissionsExt;
        about.permissions().mode() & 0o077 != 0
    };
    if about.permissions().readonly() {
        let e = Error::failed(format!("{shown} can't be written")).hint("set XDG_STATE_HOME");
        checks.fail("state", &e);
    } else if folder == state.root() && open_to_others {
        let advice = format!("plans hold rows: chmod 700 {shown}");
        checks.warn("state", format!("{shown} is open to other users"), &advice);
    } else {
        checks.good("state", shown);
    }
    if let Some(free) = free_space(folder) {
        if free < LITTLE_SPACE {
            checks.warn("space", format!("{} free for plans", bytes(free)), "set XDG_STATE_HOME");
        } else {
            checks.good("space", format!("{} free for plans", bytes(free)));
        }
    }
}

/// The free bytes where `folder` lies, as `df -Pk` tells them (POSIX, `df`, "STDOUT"); none
/// where it can't be asked.
fn free_space(folder: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pk").arg(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().nth(1)?;
    let available: u64 = line.split_whitespace().nth(3)?.parse().ok()?;
    available.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_is_a_number() {
        assert!(free_space(Path::new("/")).is_some_and(|n| n > 0));
    }
}
