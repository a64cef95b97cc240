//! `restorekit restore`: plan the return of missing rows, show it, ask, apply.

use clap::Args;

use crate::cli::args::{Format, Selection, Sides, Writing};
use crate::cli::plans::{self, Order};
use crate::cli::sides::open_sides;
use crate::cli::{Context, block_on};
use crate::diff::pair::{PairOptions, TablePair, pair_tables};
use crate::error::{Error, Result};
use crate::model::side::Side;
use crate::plan::restore::{RestoreOptions, Wanted, plan_restore};
use crate::report::text::plural;
use crate::select::Predicate;

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit restore --live prod.db --backup snap/ --table events --dry-run
  restorekit restore --table invoices --with-parents --with-children --yes")]
pub struct RestoreArgs {
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Which rows
    #[command(flatten)]
    pub selection: Selection,
    /// Bring back missing parents of the restored rows too
    #[arg(long, help_heading = "Selection")]
    pub with_parents: bool,
    /// Bring back missing rows of other tables that refer to the restored ones too
    #[arg(long, help_heading = "Selection")]
    pub with_children: bool,
    /// How to write
    #[command(flatten)]
    pub writing: Writing,
    /// Write the plan or the receipt like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Plans, shows, asks, applies.
pub fn run(context: &Context, args: &RestoreArgs) -> Result<u8> {
    block_on(restore(context, args))
}

async fn restore(context: &Context, args: &RestoreArgs) -> Result<u8> {
    let sides =
        open_sides(context, &args.sides, plans::may_remember(context, &args.writing)).await?;
    let pairs = sides.pairs(&[]).await?;
    for (table, why) in &pairs.skipped {
        context.terminal.warn(&format!("{table} is left out: {why}"));
    }
    let mut wanted = Vec::with_capacity(pairs.pairs.len());
    for pair in &pairs.pairs {
        let schema = Side { backup: &*pair.schema.backup, live: &*pair.schema.live };
        let sql = args.selection.predicate.as_deref();
        let predicate = sql.map(|sql| Predicate::parse(sql, schema)).transpose()?;
        wanted.push(Wanted { pair: pair.clone(), predicate });
    }
    if wanted.is_empty() {
        return Err(Error::usage("no table can be restored: no table of both sides has a key")
            .hint("restorekit diff says what each side has"));
    }
    // Parents and children are found among all tables; the named ones keep their keys.
    let mut all = pairs.pairs.clone();
    for pair in pair_tables(&sides.mount, &PairOptions::default()).await?.pairs {
        if all.iter().all(|p| p.table.live != pair.table.live) {
            all.push(pair);
        }
    }
    let options = RestoreOptions {
        with_parents: args.with_parents,
        with_children: args.with_children,
        limit: args.selection.limit,
        lossy: args.writing.lossy.clone(),
    };
    let title = title(&pairs.pairs, args);
    let mut draft = plans::draft(context, &sides, "restore", title, &args.writing).await?;
    let progress = context.terminal.progress();
    plan_restore(&sides.mount, wanted, &all, &options, &mut draft, progress).await?;
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

/// The selection in words.
fn title(pairs: &[TablePair], args: &RestoreArgs) -> String {
    let tables = match pairs {
        [one] => format!("missing rows of {}", one.table.live),
        several => format!("missing rows of {}", plural(several.len() as u64, "table")),
    };
    let predicate = args.selection.predicate.iter().map(|sql| format!(" where {sql}"));
    let limit = args.selection.limit.iter().map(|n| format!(", at most {n} a table"));
    let mut title = std::iter::once(tables).chain(predicate).chain(limit).collect::<String>();
    if args.with_parents {
        title.push_str(", with parents");
    }
    if args.with_children {
        title.push_str(", with children");
    }
    title
}
