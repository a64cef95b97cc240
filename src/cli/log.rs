//! `restorekit log`: plans and operations, newest first; forget old ones.

use std::io::Write;

use chrono::{DateTime, Duration};
use clap::Args;

use crate::cli::args::Format;
use crate::cli::{Context, block_on};
use crate::error::{Error, Result};
use crate::report::log::{self, Line, Outcome};
use crate::report::text::plural;
use crate::state::Entry;

/// Arguments of `log`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit log
  restorekit log --prune --older-than 30 --dry-run")]
pub struct LogArgs {
    /// Forget old plans, but none whose operation may still be undone
    #[arg(long)]
    pub prune: bool,
    /// Forget those older than so many days
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "prune")]
    pub older_than: u16,
    /// Forget also those that may still be undone
    #[arg(long, requires = "prune")]
    pub force: bool,
    /// Say what would be forgotten; forget nothing
    #[arg(long, short = 'n', requires = "prune")]
    pub dry_run: bool,
    /// Write the list like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Lists, or prunes.
pub fn run(context: &Context, args: &LogArgs) -> Result<u8> {
    block_on(async {
        let state = context.state()?;
        let (entries, unreadable) = state.list().await?;
        for file in unreadable {
            context.terminal.warn(&format!("{} (an unfinished one may be deleted)", file.why));
        }
        if args.prune {
            return prune(context, args, &state, &entries);
        }
        let lines: Vec<Line> = entries.iter().map(|e| line(e, &entries)).collect();
        let mut out = context.terminal.output(None)?;
        match args.format {
            Format::Table => log::screen(&mut out, context.screen(), &lines)?,
            Format::Json => log::json(&mut out, &lines)?,
        }
        out.flush()?;
        Ok(0)
    })
}

/// The operation that took this entry's operation back, if any wrote all of it.
fn undone_by<'e>(entry: &Entry, entries: &'e [Entry]) -> Option<&'e str> {
    let operation = entry.operation.as_ref()?;
    let undoes = |e: &&Entry| e.header.undoes.as_deref() == Some(operation.id.as_str());
    entries.iter().filter(undoes).find_map(|e| {
        let undo = e.operation.as_ref()?;
        undo.receipt.as_ref().filter(|r| !r.stopped).map(|_| undo.id.as_str())
    })
}

fn line(entry: &Entry, entries: &[Entry]) -> Line {
    let receipt = entry.operation.as_ref().and_then(|o| o.receipt.as_ref());
    let outcome = match (&entry.operation, receipt, undone_by(entry, entries)) {
        (None, _, _) => Outcome::Planned,
        (_, _, Some(by)) => Outcome::Undone(by.to_owned()),
        (_, Some(_), _) => Outcome::Done,
        (_, None, _) => Outcome::Stopped,
    };
    Line {
        plan: entry.header.id.clone(),
        operation: entry.operation.as_ref().map(|o| o.id.clone()),
        at: entry
            .operation
            .as_ref()
            .map_or_else(|| entry.header.created_at.clone(), |o| o.started_at.clone()),
        command: entry.header.command.clone(),
        title: entry.header.title.clone(),
        live: entry.header.binding.live.location.clone(),
        planned: entry.header.tables.iter().map(|t| t.rows).sum(),
        written: receipt.map(|r| r.tables.iter().map(|t| t.written).sum()),
        conflicts: receipt.map(|r| r.conflict_count()),
        outcome,
    }
}

fn prune(
    context: &Context,
    args: &LogArgs,
    state: &crate::state::State,
    entries: &[Entry],
) -> Result<u8> {
    let before = context.now() - Duration::days(i64::from(args.older_than));
    let (mut forgotten, mut kept) = (0, 0);
    let mut out = context.terminal.output(None)?;
    for entry in entries {
        let made = DateTime::parse_from_rfc3339(&entry.header.created_at).map_err(|e| {
            Error::refused(format!("plan {} has no time", entry.header.id)).because(e)
        })?;
        if made > before {
            continue;
        }
        let needed = entry.operation.is_some() && undone_by(entry, entries).is_none();
        if needed && !args.force {
            kept += 1;
            continue;
        }
        if !args.dry_run {
            state.forget(entry)?;
        }
        forgotten += 1;
        writeln!(out, "{}", entry.path.display())?;
    }
    out.flush()?;
    let verb = if args.dry_run { "would be forgotten" } else { "forgotten" };
    context.terminal.say(&format!("{} {verb}", plural(forgotten, "plan")));
    if kept > 0 {
        context.terminal.say(&format!(
            "{} kept, since they may still be undone (--force forgets them)",
            plural(kept, "operation")
        ));
    }
    Ok(0)
}
