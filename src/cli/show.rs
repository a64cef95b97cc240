//! `restorekit show`: one plan with its operation, as a screen, JSON or a script.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::{Context, block_on, plans};
use crate::error::{Error, Result};
use crate::plan::file::PlanFile;
use crate::report::sides::Provenance;
use crate::report::sql::{self, Dialect};
use crate::report::{plan as screen, receipt};

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit show 7f3a2c
  restorekit show 7f3a2c --format sql --output fix.sql")]
pub struct ShowArgs {
    /// Show this plan or operation: an id, the beginning of it, or a file
    #[arg(value_name = "PLAN")]
    pub plan: String,
    /// Show it like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: ShowFormat,
    /// Write to this new file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// A screen, with the receipt and the rows left alone
    Table,
    /// One JSON document: the receipt when it was applied, else the plan
    Json,
    /// A script with the same writes, to review
    Sql,
}

/// Shows it.
pub fn run(context: &Context, args: &ShowArgs) -> Result<u8> {
    block_on(async {
        let plan = context.state()?.find(&args.plan).await?;
        let mut out = context.terminal.output(args.output.as_deref())?;
        match args.format {
            ShowFormat::Table => table(context, &plan, &mut out).await?,
            ShowFormat::Json => match plan.operation().await?.and_then(|o| o.receipt) {
                Some(done) => receipt::json(&mut out, &done)?,
                None => {
                    screen::json(&mut out, plan.header(), &plan.path().to_string_lossy())?;
                }
            },
            ShowFormat::Sql => script(&plan, &mut out).await?,
        }
        out.flush()?;
        Ok(0)
    })
}

async fn table(context: &Context, plan: &PlanFile, out: &mut dyn Write) -> Result<()> {
    let days = plans::days(plan).await?;
    screen::screen(out, context.screen(), plan.header(), &Provenance::default(), &days)?;
    let excluded = plan.excluded().await?;
    receipt::refused(out, context.terminal.out, "found unfit when planned", &excluded)?;
    match plan.operation().await? {
        None => screen::next(out, plan.header(), &plan.header().id)?,
        Some(operation) => match operation.receipt {
            Some(done) => {
                writeln!(out)?;
                receipt::screen(out, context.terminal.out, &done)?;
                let all = plan.conflicts(usize::MAX).await?;
                receipt::refused(out, context.terminal.out, "left alone", &all)?;
            }
            None => writeln!(
                out,
                "stopped part way.  next: restorekit apply {} --resume",
                plan.header().id
            )?,
        },
    }
    Ok(())
}

async fn script(plan: &PlanFile, out: &mut dyn Write) -> Result<()> {
    let dialect = Dialect::of(&plan.header().binding.target);
    dialect.begin_plan(out, plan.header())?;
    for id in 0..plan.batch_count() {
        let batch = plan.batch(id).await?;
        let table = plan.header().tables.get(batch.table);
        let table = table.ok_or_else(|| Error::refused("the plan names a table it lacks"))?;
        dialect.batch(out, table, &batch, plan.header().binding.backup.as_ref())?;
    }
    sql::commit(out)
}
