//! What every command does with a plan: shows it, asks, applies it, prints the receipt.

use std::io::Write;

use chrono::{Duration, Local};

use crate::apply::{ApplyOptions, apply};
use crate::cli::Context;
use crate::cli::args::{Format, Writing};
use crate::cli::confirm::{confirm, expect_target};
use crate::cli::interrupt::Graceful;
use crate::error::{Error, Kind, Result};
use crate::model::plan::{Op, PlanHeader};
use crate::model::table::Carrier;
use crate::model::value::{Cells, EXACT, ValueRef};
use crate::plan::draft::{Draft, DraftOptions};
use crate::plan::file::{PlanFile, PlanWriter};
use crate::registry::open_target;
use crate::report::histogram::Days;
use crate::report::plan::{self as screen, ColumnDays};
use crate::report::receipt;
use crate::report::sides::Provenance;
use crate::report::text::plural;

/// Rows a transaction where nobody says: some ten milliseconds of writing.
const BATCH: u64 = 8192;

/// How long a plan may be applied.
pub fn lifetime() -> Duration {
    Duration::days(1)
}

/// Some rows were left alone (exit code).
const CONFLICTS: u8 = 3;

/// A new plan of the state folder, to be filled.
pub async fn draft(
    context: &Context,
    command: &str,
    title: String,
    writing: &Writing,
) -> Result<Draft> {
    let (id, path) = context.state()?.new_plan();
    let path = writing.output.clone().unwrap_or(path);
    let options = DraftOptions {
        id,
        command: command.into(),
        title,
        batch_size: usize::try_from(writing.batch_size.unwrap_or(BATCH)).unwrap_or(usize::MAX),
        max_rows: writing.max_rows,
        atomic: writing.atomic,
        lifetime: lifetime(),
        now: Local::now(),
    };
    Ok(Draft::new(PlanWriter::create(&path).await?, options))
}

/// Shows a fresh plan; then, unless it is a dry run or there is nothing to do, asks and
/// applies it.
pub async fn settle(
    context: &Context,
    plan: PlanFile,
    writing: &Writing,
    format: Format,
    from: &Provenance,
) -> Result<u8> {
    context.state()?.note(&plan)?;
    let header = plan.header().clone();
    expect_target(&header.binding.target, writing.expect_target.as_deref())?;
    let rows = plan.rows();
    if format == Format::Json && (writing.dry_run || rows == 0) {
        let mut out = context.terminal.output(None)?;
        screen::json(&mut out, &header, &plan.path().to_string_lossy())?;
        out.flush()?;
        return excluded(&plan, rows).await;
    }
    if format == Format::Table {
        show(context, &plan, from).await?;
        if writing.dry_run || rows == 0 {
            let mut out = context.terminal.report(true, None)?;
            screen::next(&mut out, &header, &header.id)?;
            out.flush()?;
        }
    }
    if writing.dry_run || rows == 0 {
        return excluded(&plan, rows).await;
    }
    let what = format!("{} to write to {}", plural(rows, "row"), header.binding.target.location());
    let otherwise = format!("restorekit apply {}", header.id);
    confirm(&context.terminal, writing, &header.binding.target, &what, &otherwise)?;
    carry_out(context, plan, None, false, format).await
}

/// Shows a plan on stdout.
pub async fn show(context: &Context, plan: &PlanFile, from: &Provenance) -> Result<()> {
    let days = days(plan).await?;
    let mut out = context.terminal.report(true, None)?;
    screen::screen(&mut out, context.screen(), plan.header(), from, &days)?;
    Ok(out.flush()?)
}

/// Whether the last diff may name the sides: not where nobody would see it before a write.
pub fn may_remember(context: &Context, writing: &Writing) -> bool {
    context.terminal.interactive || !writing.yes
}

/// A dry run succeeds; with nothing to do, refused rows are still worth an exit code.
async fn excluded(plan: &PlanFile, rows: u64) -> Result<u8> {
    let refused = rows == 0 && !plan.excluded().await?.is_empty();
    Ok(if refused { CONFLICTS } else { 0 })
}

/// Applies a plan and prints the receipt. `live` overrides where the plan says that live is.
pub async fn carry_out(
    context: &Context,
    plan: PlanFile,
    live: Option<&str>,
    resume: bool,
    format: Format,
) -> Result<u8> {
    let state = context.state()?;
    state.note(&plan)?;
    let location = live.unwrap_or_else(|| plan.header().binding.target.location()).to_owned();
    let again = |e: Error| match e.kind() {
        Kind::Failed => e.hint(format!("restorekit apply {}", plan.header().id)),
        _ => e,
    };
    let mut target = open_target(&location).await.map_err(again)?;
    let graceful = Graceful::begin();
    let options =
        ApplyOptions { resume, cancel: graceful.flag(), ..ApplyOptions::new(state.locks()) };
    let progress = context.terminal.progress();
    let receipt = apply(&plan, target.as_mut(), &options, progress.as_ref()).await;
    // What was done is told first, whatever closing the connection says.
    if let Err(e) = target.close().await {
        context.terminal.warn(&e.to_string());
    }
    drop(graceful);
    let receipt = receipt.map_err(again)?;
    let mut out = context.terminal.report(format == Format::Table, None)?;
    match format {
        Format::Table => receipt::screen(&mut out, context.terminal.out, &receipt)?,
        Format::Json => receipt::json(&mut out, &receipt)?,
    }
    let excluded = plan.excluded().await?;
    if format == Format::Table && !excluded.is_empty() {
        writeln!(
            out,
            "{} found unfit when planned: restorekit show {}",
            plural(excluded.len() as u64, "row"),
            plan.header().id
        )?;
    }
    out.flush()?;
    if receipt.stopped {
        return Ok(Kind::Interrupted.exit_code());
    }
    let conflicts = receipt.conflict_count() > 0 || !excluded.is_empty();
    Ok(if conflicts { CONFLICTS } else { 0 })
}

/// The days of each written text column, before and after, over a plan's batches.
pub async fn days(plan: &PlanFile) -> Result<Vec<ColumnDays>> {
    let header = plan.header();
    let mut all = columns(header);
    if all.is_empty() {
        return Ok(all);
    }
    for id in 0..plan.batch_count() {
        let batch = plan.batch(id).await?;
        let table = header.tables.get(batch.table).ok_or_else(|| Error::refused("torn plan"))?;
        for days in all.iter_mut().filter(|d| d.table == batch.table) {
            for (image, columns, into) in [
                (&batch.before, &table.before, &mut days.before),
                (&batch.after, &table.after, &mut days.after),
            ] {
                let Some(image) = image else { continue };
                let column = columns.iter().filter(|c| c.name == days.column);
                let column = column.map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
                let cells = Cells::new(image, column, EXACT)?;
                for row in 0..image.num_rows() {
                    let value = cells.get(row, 0)?;
                    let typed = value.plain_text().unwrap_or_default();
                    into.add(match value {
                        ValueRef::Text(text) | ValueRef::Blob(text) => Some(text),
                        ValueRef::Null => None,
                        _ => Some(typed.as_bytes()),
                    });
                }
            }
        }
    }
    Ok(all)
}

/// The columns that a plan updates and that may hold moments.
fn columns(header: &PlanHeader) -> Vec<ColumnDays> {
    let updates = header.tables.iter().enumerate().filter(|(_, t)| t.op == Op::Update);
    updates
        .flat_map(|(table, plan)| {
            let set = plan.after.iter().filter(|c| !plan.key.columns.contains(&c.name));
            let moments = set.filter(|c| {
                matches!(
                    c.carrier,
                    Carrier::Text | Carrier::Date | Carrier::Stamp | Carrier::Instant
                )
            });
            moments.map(move |column| ColumnDays {
                table,
                column: column.name.clone(),
                before: Days::default(),
                after: Days::default(),
            })
        })
        .collect()
}
