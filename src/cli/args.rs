//! What may be typed. Parsed dumbly: where a value is not given, [`resolve`](crate::cli::resolve)
//! finds it, and every check of meaning happens later.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli;

/// Bring back the missing rows and stale columns of a live database from a backup
#[derive(Debug, Parser)]
#[command(
    name = "restorekit",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:
  restorekit demo                                             see it work on a small story
  restorekit diff --live prod.db --backup snap/ --table events
  restorekit patch --column cancelled_at --from updated_at --dry-run
  restorekit gaps --live prod.db --backup snap/ --table events",
    after_long_help = "Examples:
  restorekit demo                                             see it work on a small story
  restorekit diff --live prod.db --backup snap/ --table events
  restorekit patch --column cancelled_at --from updated_at --dry-run
  restorekit gaps --live prod.db --backup snap/ --table events

Where a value comes from: its flag, then RESTOREKIT_LIVE, RESTOREKIT_BACKUP and
RESTOREKIT_TABLE, then restorekit.toml, then the last diff run in this folder.

Exit codes: diff, gaps and verify give 0 for no difference, 1 for differences, 2 for
trouble. Commands that write give 0 done, 2 wrong usage or failed with nothing written,
3 done but some rows were conflicts, 4 stopped part way (apply --resume goes on),
5 refused by a safety check, 6 the outcome of a commit is unknown, 7 the backup is
damaged or incomplete, 130 interrupted after the current batch."
)]
pub struct Cli {
    /// What holds for every command
    #[command(flatten)]
    pub global: Global,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Read this file instead of looking for restorekit.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use a profile of the configuration
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Say more on stderr; twice for debugging
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what failed
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Draw no progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The commands, each in its own file.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is missing, changed and extra between a backup and live
    Diff(cli::diff::DiffArgs),
    /// Show the gaps in an integer key, and which of them the backup can fill
    Gaps(cli::gaps::GapsArgs),
    /// Ask with SQL: live.TABLE, backup.TABLE and diff('TABLE'), read-only
    Sql(cli::sql::SqlArgs),
    /// Plan the return of missing rows, show it, and write it when confirmed
    Restore(cli::restore::RestoreArgs),
    /// Plan column values from the backup, show them, and write them when confirmed
    Patch(cli::patch::PatchArgs),
    /// Apply exactly a saved plan, or go on with one that stopped
    Apply(cli::apply::ApplyArgs),
    /// Take back an operation, row by row, where nothing changed since
    Undo(cli::undo::UndoArgs),
    /// List plans and operations
    Log(cli::log::LogArgs),
    /// Show a plan and what became of it
    Show(cli::show::ShowArgs),
    /// Re-read live against an operation, or a backup against its digests
    Verify(cli::verify::VerifyArgs),
    /// Take a snapshot of a database, or of every one in a folder
    Snapshot(cli::snapshot::SnapshotArgs),
    /// List snapshots, and remove old ones by rules
    Snapshots(cli::snapshots::SnapshotsArgs),
    /// Say what a path is taken for as a backup, and why
    Inspect(cli::inspect::InspectArgs),
    /// Say what is kept of dumps that were read, or forget it
    Cache(cli::cache::CacheArgs),
    /// Print shell completions or the man page
    Completions(cli::completions::CompletionsArgs),
    /// Check that a restore would work tonight
    Doctor(cli::doctor::DoctorArgs),
    /// Play the two stories that restorekit was made for, on a database of its own
    Demo(cli::demo::DemoArgs),
    /// Write a commented restorekit.toml
    Init(cli::init::InitArgs),
}

/// The two sides and the tables.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sides")]
pub struct Sides {
    /// Read this live database: a path or URL
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Take rows from this backup: a path or URL, with @latest~N for one of several snapshots
    /// (repeatable, first wins)
    #[arg(long, value_name = "PATH")]
    pub backup: Vec<String>,
    /// Look at this table only (repeatable; default: every table that both sides have)
    #[arg(long, short, value_name = "TABLE")]
    pub table: Vec<String>,
    /// Match rows by these columns instead of the primary key
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub key: Vec<String>,
    /// Don't compare these columns
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// How the backup is opened.
    #[command(flatten)]
    pub opening: Opening,
}

/// What a packed backup needs.
#[derive(Clone, Debug, Default, Args)]
pub struct Opening {
    /// Let a table of a compressed backup expand to so many bytes
    #[arg(long, value_name = "N")]
    pub max_expanded_bytes: Option<u64>,
    /// Of several snapshots take the newest that is not newer than this: RFC 3339, or a date or
    /// date and time of this machine's zone
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub as_of: Option<DateTime<FixedOffset>>,
    /// Open an age-encrypted backup with the identities in this file
    #[arg(long, value_name = "FILE")]
    pub age_identity: Option<PathBuf>,
    /// Read a dump anew, and keep nothing of it for the next command
    #[arg(long)]
    pub no_cache: bool,
}

/// Which rows.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Only rows for which this SQL holds; live.x and backup.x name a side
    #[arg(long = "where", value_name = "SQL")]
    pub predicate: Option<String>,
    /// At most so many rows a table
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
}

/// How a command that writes goes about it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Writing")]
pub struct Writing {
    /// Stop after the plan; write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Don't ask before writing
    #[arg(long)]
    pub yes: bool,
    /// Write so many rows in a transaction (default: on a server what half a second holds)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub batch_size: Option<u64>,
    /// Write everything in one transaction
    #[arg(long)]
    pub atomic: bool,
    /// Write these columns though the backup has lost something of them: digits of moments, the
    /// ends of texts, NULLs
    #[arg(long, value_name = "COLS", value_delimiter = ',')]
    pub lossy: Vec<String>,
    /// Refuse a plan of more rows
    #[arg(long, value_name = "N")]
    pub max_rows: Option<u64>,
    /// Refuse any database but the one of this name
    #[arg(long, value_name = "NAME")]
    pub expect_target: Option<String>,
    /// Save the plan in this new file, to carry it to another host
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replicas.
    #[command(flatten)]
    pub pacing: Pacing,
}

/// What a command that writes waits for.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Writing")]
pub struct Pacing {
    /// Wait between two transactions while a replica is further behind than this
    #[arg(long, value_name = "SECONDS", requires = "replica")]
    pub max_lag: Option<u64>,
    /// Ask this replica of live how far it is behind (repeatable)
    #[arg(long, value_name = "URL", requires = "max_lag")]
    pub replica: Vec<String>,
}

/// A moment as a person writes it. One without a zone is this machine's; a date is its first
/// moment; of an hour that comes twice, when clocks are put back, the first is meant.
fn moment(text: &str) -> Result<DateTime<FixedOffset>, String> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment);
    }
    let local =
        ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))
            .ok_or("write it as 2026-03-01, '2026-03-01 12:00' or 2026-03-01T12:00:00Z")?;
    let moment = local.and_local_timezone(Local).earliest();
    Ok(moment.ok_or("this zone's clocks were put forward over that time")?.fixed_offset())
}

/// A screen or a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A screen to read
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// How rows of a query are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowsFormat {
    /// A screen to read, its middle rows left out
    #[default]
    Table,
    /// One JSON array
    Json,
    /// A JSON object a row
    Ndjson,
    /// Comma-separated values, exact
    Csv,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn every(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        visit(command);
        for sub in command.get_subcommands() {
            every(sub, visit);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        every(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let name = command.get_name();
            assert!(help.contains("Examples:\n  restorekit "), "{name} has no example");
            if name != "restorekit" {
                assert!(help.contains(&format!("restorekit {name}")), "{name}: {help}");
            }
        });
    }

    #[test]
    fn help_is_imperative_without_a_full_stop() {
        every(&Cli::command(), &mut |command| {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{} says nothing", command.get_name());
            let texts = command
                .get_arguments()
                .filter(|a| !matches!(a.get_id().as_str(), "help" | "version"))
                .map(|a| (a.get_id().to_string(), a.get_help().map(ToString::to_string)));
            for (id, help) in texts {
                let help = help.unwrap_or_default();
                assert!(!help.is_empty(), "{}: {id} says nothing", command.get_name());
                assert!(!help.ends_with('.'), "{}: {id}: {help}", command.get_name());
            }
            assert!(!about.ends_with('.'), "{about}");
        });
    }

    /// The examples are command lines that parse.
    #[test]
    fn every_example_parses() {
        every(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter_map(|l| l.strip_prefix("  restorekit ")) {
                let line = line.split("   ").next().unwrap_or_default();
                let words = words(line);
                let full = std::iter::once("restorekit".to_owned()).chain(words.clone());
                if let Err(e) = Cli::try_parse_from(full) {
                    panic!("restorekit {line}\n{e}");
                }
            }
        });
    }

    /// The words of a line as a shell sees them, pipes and redirections cut off.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (quote, c) {
                (None, '\'' | '"') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (Some(q), c) if q == c => quote = None,
                (None, ' ') => words.extend(word.take()),
                (None, '|' | '>') => return words,
                (_, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }
}
