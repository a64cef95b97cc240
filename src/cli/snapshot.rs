//! `restorekit snapshot`: take a snapshot of a database, or of every one in a folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::backup::manifest::FileFormat;
use crate::cli::args::Format;
use crate::cli::config::Config;
use crate::cli::failure::worst;
use crate::cli::resolve::absolute;
use crate::cli::snapshots::{Keep, prune_taken};
use crate::cli::{Context, block_on, connect, secret};
use crate::error::{Error, Result};
use crate::registry::Location;
use crate::report::snapshots as screen;
use crate::snapshot::find::databases;
use crate::snapshot::schedule::{Interval, schedule};
use crate::snapshot::take::{TakeOptions, Taken, take};

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit snapshot --live prod.db --out /backups
  restorekit snapshot --live /srv/databases --out /backups --keep-last 3 --keep-daily 7
  restorekit snapshot --live prod.db --out /backups --schedule 8h")]
pub struct SnapshotArgs {
    /// Take this database, or every SQLite database below this folder
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Put the snapshot into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Take this table only (repeatable)
    #[arg(long, short, value_name = "TABLE")]
    pub table: Vec<String>,
    /// Write these kinds of files
    #[arg(long, value_name = "KINDS", value_delimiter = ',', default_value = "parquet")]
    pub format: Vec<Files>,
    /// Print a cron line and a systemd timer that do this every so often; take nothing
    #[arg(long, value_name = "INTERVAL")]
    pub schedule: Option<Interval>,
    /// Which older snapshots stay; without a rule, all of them
    #[command(flatten)]
    pub keep: Keep,
    /// Write the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// The kinds of files in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Files {
    /// Parquet with checksums
    Parquet,
    /// JSON lines
    Jsonl,
}

/// Takes the snapshots, then prunes when a rule says so.
pub fn run(context: &Context, args: &SnapshotArgs) -> Result<u8> {
    let config = context.config()?;
    let settings = config.as_ref().map(|c| &c.settings);
    let named = args.live.clone().or_else(|| context.variable("RESTOREKIT_LIVE"));
    let configured = settings.and_then(|s| s.live.clone());
    let by_config = config.as_ref().filter(|_| named.is_none());
    let live = named.or(configured).ok_or_else(|| {
        Error::usage("no live database is named").hint("add --live prod.db, or run restorekit init")
    })?;
    let out = args
        .out
        .clone()
        .or_else(|| settings.and_then(|s| s.snapshots.clone()).map(PathBuf::from))
        .ok_or_else(|| {
            Error::usage("no folder for the snapshot is named")
                .hint("add --out DIR, or write snapshots = \"DIR\" in restorekit.toml")
        })?;
    if let Some(interval) = args.schedule {
        return print_schedule(context, args, by_config, &live, &out, interval);
    }
    let (taken, failed) = block_on(take_all(context, args, &live, &out))?;
    for (_, error) in &failed {
        context.tell(error);
    }
    let mut to = context.terminal.report(!args.json, None)?;
    if args.json {
        screen::taken_json(&mut to, &taken, &failed)?;
    } else {
        for (i, taken) in taken.iter().enumerate() {
            if i > 0 {
                writeln!(to)?;
            }
            screen::taken(&mut to, context.terminal.out, taken)?;
        }
    }
    to.flush()?;
    let mut code = worst(failed.iter().map(|(_, error)| error));
    if !args.keep.is_empty() && !taken.is_empty() {
        let format = if args.json { Format::Json } else { Format::Table };
        code = code.max(prune_taken(context, &out, &taken, &args.keep, format)?);
    }
    Ok(code)
}

/// Takes every database that `live` names. One that can't be taken holds up no other: those
/// that were, and those that were not with why. Where only one is named, its failure is the
/// command's.
async fn take_all(
    context: &Context,
    args: &SnapshotArgs,
    live: &str,
    out: &Path,
) -> Result<(Vec<Taken>, Vec<(String, Error)>)> {
    let path = Location::parse(live)?.path();
    let mut wanted = Vec::new();
    if let Some(path) = path.filter(|path| path.is_dir()) {
        let found = databases(path)?;
        for unreadable in &found.unreadable {
            context.terminal.warn(&format!("passed over {unreadable}"));
        }
        if found.databases.is_empty() {
            return Err(Error::usage(format!(
                "there is no SQLite database below {}",
                path.display()
            )));
        }
        wanted.extend(
            found
                .databases
                .into_iter()
                .map(|d| (d.path.to_string_lossy().into_owned(), d.database)),
        );
    } else {
        let name = Location::parse(live)?.database().unwrap_or_default();
        wanted.push((live.to_owned(), name.to_owned()));
    }
    let mut formats: Vec<FileFormat> = Vec::new();
    for kind in &args.format {
        let format = match kind {
            Files::Parquet => FileFormat::Parquet,
            Files::Jsonl => FileFormat::Jsonl,
        };
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    let options = TakeOptions {
        out: out.to_owned(),
        formats,
        tables: args.table.clone(),
        host: connect::host(),
        database: String::new(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        now: context.now(),
    };
    let alone = wanted.len() == 1;
    let (mut taken, mut failed) = (Vec::new(), Vec::new());
    for (location, database) in wanted {
        match take_one(context, &location, TakeOptions { database, ..options.clone() }).await {
            Ok(one) => taken.push(one),
            Err(error) if alone => return Err(error),
            Err(error) => failed.push((location, error)),
        }
    }
    Ok((taken, failed))
}

async fn take_one(context: &Context, location: &str, options: TakeOptions) -> Result<Taken> {
    let source = connect::live(context, location).await?;
    // The state that is read is of its opening, before which a password may be asked for.
    let options = TakeOptions { now: context.now(), ..options };
    let done = take(source.clone(), &options, context.terminal.progress()).await;
    if let Err(e) = source.release().await {
        context.terminal.warn(&e.to_string());
    }
    done
}

/// Prints the schedule. A password stands in no line of it: where the configuration, which
/// `by_config` is, takes it from a variable, it is the configuration that is named.
fn print_schedule(
    context: &Context,
    args: &SnapshotArgs,
    by_config: Option<&Config>,
    live: &str,
    out: &Path,
    interval: Interval,
) -> Result<u8> {
    let secret = secret::has_password(live);
    let program = std::env::current_exe()
        .map_err(|e| Error::failed("the path of this program could not be found").because(e))?;
    let place = |path: &str| absolute(&context.folder, path);
    let mut command =
        vec![program.to_string_lossy().into_owned(), "snapshot".to_owned(), "--quiet".to_owned()];
    let mut note = String::new();
    match by_config {
        Some(config) if secret => {
            let file = place(&config.path.to_string_lossy());
            note = format!("# what {file} takes from variables, cron and systemd must be given\n");
            command.extend(["--config".to_owned(), file]);
            if let Some(profile) = &config.profile {
                command.extend(["--profile".to_owned(), profile.clone()]);
            }
        }
        None if secret => {
            return Err(Error::refused("a schedule would show the password to every user").hint(
                "write live = \"..${NAME}..\" in restorekit.toml, and leave --live and \
                 RESTOREKIT_LIVE out",
            ));
        }
        _ => command.extend(["--live".to_owned(), place(live)]),
    }
    command.extend(["--out".to_owned(), place(&out.to_string_lossy())]);
    for table in &args.table {
        command.extend(["--table".to_owned(), table.clone()]);
    }
    let kinds: Vec<String> = args
        .format
        .iter()
        .filter_map(|f| f.to_possible_value().map(|v| v.get_name().to_owned()))
        .collect();
    command.extend(["--format".to_owned(), kinds.join(",")]);
    command.extend(args.keep.words());
    let plan = schedule(&command, interval)?;
    let mut to = context.terminal.output(None)?;
    write!(
        to,
        "{note}# cron: crontab -e\n{}\n\n\
         # systemd: ~/.config/systemd/user/restorekit-snapshot.service\n{}\n\
         # systemd: ~/.config/systemd/user/restorekit-snapshot.timer\n{}\n\
         # then: systemctl --user enable --now restorekit-snapshot.timer\n",
        plan.cron, plan.service, plan.timer
    )?;
    to.flush()?;
    Ok(0)
}
