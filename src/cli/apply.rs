//! `restorekit apply`: carry out exactly a saved plan.

use clap::Args;

use crate::cli::args::{Format, Pacing, Writing};
use crate::cli::plans::{self, Order};
use crate::cli::{Context, block_on};
use crate::error::Result;
use crate::report::sides::Provenance;

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit apply 7f3a2c
  restorekit apply --resume --yes
  restorekit apply ./fix.rkplan --live prod.db --expect-target prod.db --yes")]
pub struct ApplyArgs {
    /// Apply this plan: its id, the beginning of it, or its file (default with --resume: the
    /// one that stopped)
    #[arg(value_name = "PLAN", required_unless_present = "resume")]
    pub plan: Option<String>,
    /// Look for the plan's database here (default: where it was when planned); one that was
    /// moved or copied has to be named, typed when asked or with --expect-target
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Go on with a plan that stopped part way
    #[arg(long)]
    pub resume: bool,
    /// Don't ask before writing
    #[arg(long)]
    pub yes: bool,
    /// Refuse any database but the one of this name
    #[arg(long, value_name = "NAME")]
    pub expect_target: Option<String>,
    /// Replicas.
    #[command(flatten)]
    pub pacing: Pacing,
    /// Write the receipt like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Shows the plan, asks, applies it.
pub fn run(context: &Context, args: &ApplyArgs) -> Result<u8> {
    block_on(apply(context, args))
}

async fn apply(context: &Context, args: &ApplyArgs) -> Result<u8> {
    let state = context.state()?;
    let plan = match &args.plan {
        Some(name) => state.find(name).await?,
        None => state.stopped().await?,
    };
    let done = plan.operation().await?.is_some_and(|o| o.receipt.is_some());
    let from = Provenance::default();
    if !done && args.format == Format::Table && !args.yes {
        plans::show(context, &plan, &from).await?;
    }
    let writing = Writing {
        yes: args.yes,
        expect_target: args.expect_target.clone(),
        pacing: args.pacing.clone(),
        ..Writing::default()
    };
    let order = Order {
        writing: &writing,
        live: args.live.as_deref(),
        resume: args.resume,
        format: args.format,
        from: &from,
    };
    plans::carry_out(context, plan, &order).await
}
