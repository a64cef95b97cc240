//! `restorekit inspect`: what a path is taken for as a backup, and why.

use std::io::Write;

use clap::Args;

use crate::backup::detect::BackupSpec;
use crate::backup::inspect::inspect;
use crate::cli::args::{Format, Opening};
use crate::cli::sides::backup_spec;
use crate::cli::{Context, block_on, connect};
use crate::error::{Kind, Result};
use crate::report::inspect as screen;

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
    /// How it is opened.
    #[command(flatten)]
    pub opening: Opening,
    /// Write the answer like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Says what was detected; 7 when some table can't be read.
pub fn run(context: &Context, args: &InspectArgs) -> Result<u8> {
    block_on(look(context, args))
}

async fn look(context: &Context, args: &InspectArgs) -> Result<u8> {
    let spec = backup_spec(context, &args.path, args.live.as_deref(), &args.opening)?;
    let found = match spec.server() {
        None => inspect(&spec).await?,
        Some(_) => {
            let look =
                async |url: &str| inspect(&BackupSpec { path: url.into(), ..spec.clone() }).await;
            connect::enter(context, &args.path, look).await?
        }
    };
    let mut out = context.terminal.output(None)?;
    match args.format {
        Format::Table => screen::screen(&mut out, context.screen(), &found)?,
        Format::Json => screen::json(&mut out, &found)?,
    }
    out.flush()?;
    let damaged = found.tables.iter().any(|t| t.problem.is_some());
    Ok(if damaged { Kind::Damaged.exit_code() } else { 0 })
}
