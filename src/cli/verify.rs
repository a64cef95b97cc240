//! `restorekit verify`: live against an operation, or a backup against its digests.

use std::io::Write;
use std::path::Path;

use clap::Args;

use crate::backup::manifest::MANIFEST;
use crate::cli::args::Format;
use crate::cli::failure::worst;
use crate::cli::{Context, block_on, connect};
use crate::error::{Kind, Result};
use crate::report::{snapshots, verify as screen};
use crate::snapshot::check::check;
use crate::snapshot::list::list;
use crate::verify::verify_operation;

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit verify
  restorekit verify 01J9ZK3M
  restorekit verify /backups")]
pub struct VerifyArgs {
    /// Verify this operation, or this snapshot or folder of them (default: the last operation)
    #[arg(value_name = "OPERATION|BACKUP")]
    pub what: Option<String>,
    /// Look for the operation's database here (default: where it was)
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Write the report like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Verifies one or the other; 1 when live is no longer as written, 7 for a damaged backup.
pub fn run(context: &Context, args: &VerifyArgs) -> Result<u8> {
    match &args.what {
        Some(what) if Path::new(what).is_dir() => block_on(backup(context, Path::new(what), args)),
        what => block_on(operation(context, what.as_deref(), args)),
    }
}

async fn operation(context: &Context, what: Option<&str>, args: &VerifyArgs) -> Result<u8> {
    let state = context.state()?;
    let plan = match what {
        Some(name) => state.find(name).await?,
        None => state.latest().await?,
    };
    let operation = plan.operation().await?;
    let wrote = operation.as_ref().map_or(&plan.header().binding.target, |o| &o.target);
    let location = args.live.clone().unwrap_or_else(|| connect::again(context, wrote.location()));
    let source = connect::live(context, &location).await?;
    let progress = context.terminal.progress();
    let elsewhere = args.live.is_some();
    let report = verify_operation(&plan, source.as_ref(), elsewhere, progress.as_ref()).await;
    source.release().await?;
    let report = report?;
    let mut out = context.terminal.report(args.format == Format::Table, None)?;
    match args.format {
        Format::Table => screen::screen(&mut out, context.terminal.out, &report)?,
        Format::Json => screen::json(&mut out, &report)?,
    }
    out.flush()?;
    Ok(u8::from(!report.is_same()))
}

/// Re-reads one snapshot, or every snapshot of a folder.
async fn backup(context: &Context, folder: &Path, args: &VerifyArgs) -> Result<u8> {
    let folders = if folder.join(MANIFEST).is_file() {
        vec![folder.to_owned()]
    } else {
        list(folder)?.into_iter().map(|s| s.path).collect()
    };
    if folders.is_empty() {
        return Err(crate::error::Error::usage(format!("{} holds no snapshot", folder.display()))
            .hint(format!("restorekit inspect {}", folder.display())));
    }
    let mut code = 0;
    let mut out = context.terminal.report(args.format == Format::Table, None)?;
    for folder in folders {
        let report = match check(&folder, context.terminal.progress()).await {
            Ok(report) => report,
            Err(e) => {
                context.tell(&e);
                if args.format == Format::Json {
                    snapshots::unread_json(&mut out, &folder, &e)?;
                }
                code = code.max(worst([&e]));
                continue;
            }
        };
        if !report.is_whole() {
            code = code.max(Kind::Damaged.exit_code());
        }
        match args.format {
            Format::Table => snapshots::check(&mut out, context.terminal.out, &report)?,
            Format::Json => snapshots::check_json(&mut out, &report)?,
        }
    }
    out.flush()?;
    Ok(code)
}
