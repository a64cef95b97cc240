//! `restorekit gaps`: which integers a key lacks, and which of them the backup has.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{Format, Sides};
use crate::cli::sides::open_sides;
use crate::cli::{Context, block_on};
use crate::error::{Error, Result};
use crate::gaps::gaps;
use crate::model::side::Which;
use crate::model::summary::GapReport;
use crate::model::table::Carrier;
use crate::report::{gaps as screen, json};

/// Arguments of `gaps`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit gaps --live prod.db --backup snap/ --table events
  restorekit gaps --table events --format json")]
pub struct GapsArgs {
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Write the report like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Write to this new file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Reports the gaps, and gives 1 when there are some.
pub fn run(context: &Context, args: &GapsArgs) -> Result<u8> {
    block_on(report(context, args))
}

async fn report(context: &Context, args: &GapsArgs) -> Result<u8> {
    let sides = open_sides(context, &args.sides, true).await?;
    let pairs = sides.pairs(&[]).await?;
    let named = !sides.resolved.tables().is_empty();
    let progress = context.terminal.progress();
    let mut reports: Vec<GapReport> = Vec::new();
    for pair in &pairs.pairs {
        let key = pair.key_columns();
        // Without --table only the tables that can have gaps are meant.
        if !named && (key.len() != 1 || !matches!(key[0].carrier, Carrier::Int | Carrier::Unsigned))
        {
            continue;
        }
        if key.len() != 1 {
            let table = &pair.table.live;
            return Err(Error::usage(format!("the key of {table} has {} columns", key.len()))
                .hint("name one integer column: --key COLUMN"));
        }
        reports.push(gaps(&sides.mount, &pair.table, &key[0], progress.as_ref()).await?);
    }
    if reports.is_empty() {
        return Err(Error::usage("no table has an integer key")
            .hint("name a table and a column: --table TABLE --key COLUMN"));
    }
    let mut out = context.terminal.report(args.format == Format::Table, args.output.as_deref())?;
    let origin = |which| sides.mount.source(which).origin();
    if args.format == Format::Table {
        let (live, backup) =
            (context.seen(origin(Which::Live)), context.seen(origin(Which::Backup)));
        let head = context.screen();
        crate::report::sides::sides(
            &mut out,
            head,
            &live,
            "read-only",
            Some(&backup),
            &sides.from,
        )?;
    }
    let repeat = sides.repeat(false);
    for report in &reports {
        match args.format {
            Format::Json => json::gaps(&mut out, report)?,
            Format::Table => {
                writeln!(out)?;
                screen::screen(&mut out, context.terminal.out, report, true, &repeat)?;
            }
        }
    }
    out.flush()?;
    sides.release().await?;
    Ok(u8::from(reports.iter().any(|r| r.missing > 0)))
}
