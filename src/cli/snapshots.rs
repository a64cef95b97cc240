//! `restorekit snapshots`: list them, and remove old ones by rules.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use inquire::InquireError;

use crate::backup::manifest::Series;
use crate::cli::Context;
use crate::cli::args::Format;
use crate::cli::failure::worst;
use crate::error::{Error, Kind, Result};
use crate::report::snapshots as screen;
use crate::report::text::plural;
use crate::snapshot::list::list;
use crate::snapshot::prune::{Policy, PrunePlan, Stays, Within, carry_out, plan};
use crate::snapshot::take::Taken;

/// Arguments of `snapshots`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit snapshots /backups
  restorekit snapshots /backups --keep-last 3 --keep-daily 14 --dry-run
  restorekit snapshots /backups --keep-last 3 --keep-daily 14 --prune")]
pub struct SnapshotsArgs {
    /// Look in this folder (default: snapshots of restorekit.toml, else here)
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Remove those that no rule keeps; without it they are only named
    #[arg(long)]
    pub prune: bool,
    /// Which snapshots stay
    #[command(flatten)]
    pub keep: Keep,
    /// Say what would be removed; remove nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Don't ask before removing
    #[arg(long, requires = "prune")]
    pub yes: bool,
    /// Write the list like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Rules that keep snapshots; one that any rule keeps stays.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Keeping")]
pub struct Keep {
    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_hourly: u32,
    /// Keep the newest of each of the last N days
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_daily: u32,
    /// Keep the newest of each of the last N weeks
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_weekly: u32,
    /// Keep the newest of each of the last N months
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_monthly: u32,
    /// Keep the newest of each of the last N years
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub keep_yearly: u32,
    /// Keep all within this span before the newest, as 1y6m or 30d
    #[arg(long, value_name = "SPAN")]
    pub keep_within: Option<Within>,
}

impl Keep {
    /// True without any rule.
    pub fn is_empty(&self) -> bool {
        self.policy().is_empty()
    }

    fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within: self.keep_within,
        }
    }

    /// The rules as words of a command line.
    pub fn words(&self) -> Vec<String> {
        let counts = [
            ("--keep-last", self.keep_last),
            ("--keep-hourly", self.keep_hourly),
            ("--keep-daily", self.keep_daily),
            ("--keep-weekly", self.keep_weekly),
            ("--keep-monthly", self.keep_monthly),
            ("--keep-yearly", self.keep_yearly),
        ];
        let mut words: Vec<String> = counts
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .flat_map(|(flag, n)| [flag.to_owned(), n.to_string()])
            .collect();
        if let Some(within) = self.keep_within {
            let mut span = String::new();
            for (n, unit) in [(within.months, 'm'), (within.days, 'd'), (within.hours, 'h')] {
                if n > 0 {
                    span.push_str(&format!("{n}{unit}"));
                }
            }
            words.extend(["--keep-within".to_owned(), span]);
        }
        words
    }
}

/// Lists, or prunes.
pub fn run(context: &Context, args: &SnapshotsArgs) -> Result<u8> {
    let config = context.config()?;
    let configured = config.and_then(|c| c.settings.snapshots).map(PathBuf::from);
    let folder = args.folder.clone().or(configured).unwrap_or_else(|| PathBuf::from("."));
    if !args.prune && args.keep.is_empty() {
        let snapshots = list(&folder)?;
        let mut to = context.terminal.output(None)?;
        match args.format {
            Format::Table => screen::list(&mut to, context.screen(), &folder, &snapshots)?,
            Format::Json => screen::list_json(&mut to, &snapshots)?,
        }
        to.flush()?;
        return Ok(0);
    }
    let planned = plan(&list(&folder)?, &args.keep.policy(), context.now(), &[])?;
    if !args.prune || args.dry_run || (planned.remove.is_empty() && !args.yes) {
        show(context, &planned, args.format, None)?;
        if !args.prune && !args.dry_run {
            context.terminal.say("nothing was removed: add --prune");
        }
        return Ok(0);
    }
    if args.yes {
        return carry_out_and_tell(context, planned, args.format);
    }
    if !context.terminal.interactive {
        return Err(Error::usage(
            "removing wants a confirmation, and there is no terminal to ask on",
        )
        .hint("add --yes, or --dry-run to see what would go"));
    }
    show(context, &planned, Format::Table, None)?;
    let question = format!("Remove {}?", plural(planned.remove.len() as u64, "snapshot"));
    match inquire::Confirm::new(&question).with_default(false).prompt() {
        Ok(true) => carry_out_and_tell(context, planned, args.format),
        Ok(false) => Err(Error::failed("nothing was removed")
            .hint("restorekit snapshots lists them; --keep-.. says which stay")),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => {
            Err(Error::new(Kind::Interrupted, "interrupted: nothing was removed"))
        }
        Err(e) => Err(Error::failed("the question could not be asked").because(e)),
    }
}

/// Removes what no rule keeps of the series of snapshots that were just taken, and of no other:
/// those have rules of their own.
pub fn prune_taken(
    context: &Context,
    out: &Path,
    taken: &[Taken],
    keep: &Keep,
    format: Format,
) -> Result<u8> {
    let series: BTreeSet<Series> = taken.iter().map(|t| t.manifest.series()).collect();
    let paths: Vec<PathBuf> = taken.iter().map(|t| t.path.clone()).collect();
    // as the paths of those that were taken
    let mut snapshots = list(&out.canonicalize()?)?;
    snapshots.retain(|snapshot| series.contains(&snapshot.series));
    let planned = plan(&snapshots, &keep.policy(), context.now(), &paths)?;
    carry_out_and_tell(context, planned, format)
}

/// Carries a plan out; the exit code of the worst that could not be done.
fn carry_out_and_tell(context: &Context, mut planned: PrunePlan, format: Format) -> Result<u8> {
    let stay = carry_out(&mut planned);
    for one in &stay {
        context.tell(&one.error);
    }
    show(context, &planned, format, Some(&stay))?;
    Ok(worst(stay.iter().map(|one| &one.error)))
}

/// Writes a plan, or what became of it.
fn show(
    context: &Context,
    planned: &PrunePlan,
    format: Format,
    done: Option<&[Stays]>,
) -> Result<()> {
    let mut to = context.terminal.report(format == Format::Table, None)?;
    match format {
        Format::Table => screen::prune(&mut to, context.terminal.out, planned, done)?,
        Format::Json => screen::prune_json(&mut to, planned, done)?,
    }
    to.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_the_words_they_came_from() {
        let keep = Keep {
            keep_last: 3,
            keep_daily: 7,
            keep_within: Some("1y30d".parse().unwrap()),
            ..Keep::default()
        };
        let words = keep.words();
        assert_eq!(words, ["--keep-last", "3", "--keep-daily", "7", "--keep-within", "12m30d"]);
        assert!(Keep::default().is_empty());
    }
}
