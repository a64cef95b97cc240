//! `restorekit inspect`: what a path is taken for as a backup, and why.

use std::io::Write;

use clap::Args;

use crate::backup::detect::{find, open};
use crate::cli::args::Format;
use crate::cli::sides::backup_spec;
use crate::cli::{Context, block_on};
use crate::error::Result;
use crate::report::inspect::{self as screen, Table};

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit inspect snap/
  restorekit inspect /backups@latest~1 --format json")]
pub struct InspectArgs {
    /// Look at this backup
    #[arg(value_name = "PATH")]
    pub path: String,
    /// Look at the backup of this live database where there are several
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Write the answer like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Says what was detected.
pub fn run(context: &Context, args: &InspectArgs) -> Result<u8> {
    block_on(look(context, args))
}

async fn look(context: &Context, args: &InspectArgs) -> Result<u8> {
    let spec = backup_spec(&args.path, args.live.as_deref())?;
    let found = find(&spec).await?;
    let source = open(found.clone(), &spec).await?;
    let mut tables = Vec::new();
    for name in source.tables().await? {
        let schema = source.schema(&name).await?;
        let rows = source.survey(&name, &[], 1).await?.rows;
        tables.push(Table { schema, rows });
    }
    source.release().await?;
    let mut out = context.terminal.output(None)?;
    match args.format {
        Format::Table => screen::screen(&mut out, context.screen(), &found, &tables)?,
        Format::Json => screen::json(&mut out, &found, &tables)?,
    }
    out.flush()?;
    Ok(0)
}
