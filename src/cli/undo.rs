//! `restorekit undo`: the guarded inverse of an operation, itself an operation.

use clap::Args;

use crate::cli::args::{Format, Pacing, Writing};
use crate::cli::plans::{self, Order};
use crate::cli::{Context, block_on};
use crate::error::Result;
use crate::report::sides::Provenance;
use crate::undo;

/// Arguments of `undo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit undo
  restorekit undo 01J9ZK3M --dry-run")]
pub struct UndoArgs {
    /// Take back this operation: its id, the beginning of it, or its plan (default: the last)
    #[arg(value_name = "OPERATION")]
    pub operation: Option<String>,
    /// Look for the operation's database here (default: where it was); one that was moved or
    /// copied has to be named, typed when asked or with --expect-target
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Stop after the plan; write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
    /// Don't ask before writing
    #[arg(long)]
    pub yes: bool,
    /// Refuse any database but the one of this name
    #[arg(long, value_name = "NAME")]
    pub expect_target: Option<String>,
    /// Replicas.
    #[command(flatten)]
    pub pacing: Pacing,
    /// Write the plan or the receipt like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Makes the inverse plan, shows it, asks, applies it.
pub fn run(context: &Context, args: &UndoArgs) -> Result<u8> {
    block_on(async {
        let state = context.state()?;
        let done = match &args.operation {
            Some(name) => state.find(name).await?,
            None => state.undoable().await?,
        };
        let (id, path) = state.new_plan();
        let plan = undo::undo(&done, &path, &id, plans::lifetime()).await?;
        done.close().await?;
        let writing = Writing {
            dry_run: args.dry_run,
            yes: args.yes,
            expect_target: args.expect_target.clone(),
            pacing: args.pacing.clone(),
            ..Writing::default()
        };
        let order = Order {
            writing: &writing,
            live: args.live.as_deref(),
            resume: false,
            format: args.format,
            from: &Provenance::default(),
        };
        plans::settle(context, plan, &order).await
    })
}
