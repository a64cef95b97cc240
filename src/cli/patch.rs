//! `restorekit patch`: plan column values from the backup, show them, ask, apply.

use clap::Args;

use crate::cli::args::{Format, Selection, Sides, Writing};
use crate::cli::plans::{self, Order};
use crate::cli::sides::{open_resolved, open_sides};
use crate::cli::{Context, block_on};
use crate::diff::pair::{Pairs, TablePair};
use crate::error::{Error, Result};
use crate::model::side::Side;
use crate::plan::patch::{Assignment, PatchOptions, plan_patch};
use crate::select::Predicate;

/// Arguments of `patch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit patch --live prod.db --backup snap/ --table events --column title --dry-run
  restorekit patch --column cancelled_at --from updated_at --where \"active = false\" --dry-run")]
pub struct PatchArgs {
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Set this column of live (repeatable)
    #[arg(long, value_name = "COLUMN", required = true, help_heading = "Selection")]
    pub column: Vec<String>,
    /// Set it from this column of the backup (default: the one of the same name)
    #[arg(long, value_name = "COLUMN", help_heading = "Selection")]
    pub from: Option<String>,
    /// Which rows
    #[command(flatten)]
    pub selection: Selection,
    /// Set rows too whose value is NULL in live
    #[arg(long, requires = "from", help_heading = "Selection")]
    pub include_null: bool,
    /// Let a NULL of the backup overwrite a value
    #[arg(long, help_heading = "Selection")]
    pub allow_null: bool,
    /// Set rows too whose --from column is the same on both sides
    #[arg(long, requires = "from", help_heading = "Selection")]
    pub include_untouched: bool,
    /// Set rows too whose creation time differs: their key was issued again
    #[arg(long, help_heading = "Selection")]
    pub include_reissued: bool,
    /// How to write
    #[command(flatten)]
    pub writing: Writing,
    /// Write the plan or the receipt like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Plans, shows, asks, applies.
pub fn run(context: &Context, args: &PatchArgs) -> Result<u8> {
    block_on(patch(context, args))
}

async fn patch(context: &Context, args: &PatchArgs) -> Result<u8> {
    if args.from.is_some() && args.column.len() > 1 {
        return Err(Error::usage("--from goes with one --column")
            .hint("patch the columns one after the other"));
    }
    let mut sides =
        open_sides(context, &args.sides, plans::may_remember(context, &args.writing)).await?;
    let mut pairs = sides.pairs(&[]).await?;
    if fitting(&pairs, args).is_empty() && sides.resolved.remembers_tables() {
        // The last diff was of other tables than the one that is meant now.
        sides.release().await?;
        sides.resolved.table = None;
        sides = open_resolved(context, &args.sides, sides.resolved).await?;
        pairs = sides.pairs(&[]).await?;
    }
    let pair = the_table(&pairs, args)?;
    let schema = Side { backup: &*pair.schema.backup, live: &*pair.schema.live };
    let sql = args.selection.predicate.as_deref();
    let predicate = sql.map(|sql| Predicate::parse(sql, schema)).transpose()?;
    let assignments = args.column.iter().map(|column| Assignment {
        column: column.clone(),
        from: args.from.clone().unwrap_or_else(|| column.clone()),
    });
    let options = PatchOptions {
        assignments: assignments.collect(),
        include_null: args.include_null,
        allow_null: args.allow_null,
        include_untouched: args.include_untouched,
        include_reissued: args.include_reissued,
        limit: args.selection.limit,
        lossy: args.writing.lossy.clone(),
    };
    let mut draft =
        plans::draft(context, &sides, "patch", title(pair, args), &args.writing).await?;
    let progress = context.terminal.progress();
    plan_patch(&sides.mount, pair, predicate.as_ref(), &options, &mut draft, progress).await?;
    let plan = draft.finish(&sides.mount).await?;
    // The reading snapshot ends before anything is written.
    sides.tell(context);
    sides.release().await?;
    let order = Order {
        writing: &args.writing,
        live: Some(sides.resolved.live()?),
        resume: false,
        format: args.format,
        from: &sides.from,
    };
    plans::settle(context, plan, &order).await
}

/// The one table that has the columns on both sides; several are listed, and nothing is done.
fn the_table<'p>(pairs: &'p Pairs, args: &PatchArgs) -> Result<&'p TablePair> {
    if let [one] = pairs.pairs.as_slice()
        && !args.sides.table.is_empty()
    {
        return Ok(one);
    }
    let found = fitting(pairs, args);
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::usage(format!(
            "no table has {} in live and {} in the backup",
            args.column.join(", "),
            args.from.clone().unwrap_or_else(|| args.column.join(", "))
        ))
        .hint("restorekit diff lists the tables and columns of both sides")),
        several => {
            let names: Vec<String> = several.iter().map(|p| p.table.live.to_string()).collect();
            Err(Error::usage(format!("several tables have {}", args.column.join(", ")))
                .hint(format!("name one: --table {}", names.join(" or --table "))))
        }
    }
}

/// The tables that have the columns on both sides.
fn fitting<'p>(pairs: &'p Pairs, args: &PatchArgs) -> Vec<&'p TablePair> {
    let fits = |pair: &&TablePair| {
        args.column.iter().all(|column| {
            let from = args.from.as_deref().unwrap_or(column);
            pair.schema.live.column(column).is_some() && pair.schema.backup.column(from).is_some()
        })
    };
    pairs.pairs.iter().filter(fits).collect()
}

/// The selection in words: `subscription_variants.cancelled_at ← backup.updated_at`.
fn title(pair: &TablePair, args: &PatchArgs) -> String {
    let columns = args.column.join(", ");
    let from = args.from.as_ref().unwrap_or(&columns);
    let mut title = format!("{}.{columns} ← backup.{from}", pair.table.live);
    if let Some(sql) = &args.selection.predicate {
        title.push_str(&format!(" where {sql}"));
    }
    title
}
