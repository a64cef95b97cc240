//! What every command does with a plan: shows it, asks, applies it, prints the receipt.

use std::io::Write;
use std::sync::Arc;

use chrono::{Duration, Local};

use crate::apply::{ApplyOptions, Pace, Place, apply, place};
use crate::cli::args::{Format, Pacing, Writing};
use crate::cli::confirm::{confirm, expect_target};
use crate::cli::interrupt::Graceful;
use crate::cli::sides::OpenSides;
use crate::cli::{Context, connect};
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::model::plan::{Op, PlanHeader};
use crate::model::side::Which;
use crate::model::table::Carrier;
use crate::model::value::{Cells, EXACT, ValueRef};
use crate::plan::draft::{Draft, DraftOptions};
use crate::plan::file::{PlanFile, PlanWriter};
use crate::registry;
use crate::report::histogram::Days;
use crate::report::plan::{self as screen, ColumnDays};
use crate::report::receipt;
use crate::report::sides::Provenance;
use crate::report::text::{plural, shell_word};
use crate::target::Target;

/// Rows a batch of a file where nobody says: some ten milliseconds of writing. A transaction
/// holds some batches, which is for the sake of syncing less often.
const BATCH: u64 = 8192;

/// The same on a server.
const SERVED: u64 = 1024;

/// How long a plan may be applied.
pub fn lifetime() -> Duration {
    Duration::days(1)
}

/// Some rows were left alone (exit code).
const CONFLICTS: u8 = 3;

/// How a plan is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The flags.
    pub writing: &'a Writing,
    /// Where live is, when it is said.
    pub live: Option<&'a str>,
    /// Go on with what stopped part way.
    pub resume: bool,
    /// How plan and receipt are written.
    pub format: Format,
    /// Who named the sides.
    pub from: &'a Provenance,
}

/// A new plan of the state folder for these sides, to be filled.
pub async fn draft(
    context: &Context,
    sides: &OpenSides,
    command: &str,
    title: String,
    writing: &Writing,
) -> Result<Draft> {
    if let Some(target) = sides.mount.source(Which::Live).identity() {
        expect_target(&target, writing.expect_target.as_deref())?;
    }
    let (id, path) = context.state()?.new_plan();
    let path = writing.output.clone().unwrap_or(path);
    let served = sides.resolved.live().is_ok_and(registry::is_server);
    let size = writing.batch_size.unwrap_or(if served { SERVED } else { BATCH });
    let options = DraftOptions {
        id,
        command: command.into(),
        title,
        batch_size: usize::try_from(size).unwrap_or(usize::MAX),
        max_rows: writing.max_rows,
        atomic: writing.atomic,
        lifetime: lifetime(),
        now: Local::now(),
    };
    let draft = Draft::new(&sides.mount, PlanWriter::create(&path).await?, options);
    Ok(if writing.batch_size.is_none() { draft.adapting() } else { draft })
}

/// Shows a fresh plan; then, unless it is a dry run or there is nothing to do, asks and
/// applies it.
pub async fn settle(context: &Context, plan: PlanFile, order: &Order<'_>) -> Result<u8> {
    context.state()?.note(&plan)?;
    let header = plan.header();
    let rows = plan.rows();
    let stays = order.writing.dry_run || rows == 0;
    if stays {
        plan.durable().await?;
    }
    if order.format == Format::Json && stays {
        let mut out = context.terminal.output(None)?;
        screen::json(&mut out, header, &plan.path().to_string_lossy())?;
        out.flush()?;
    }
    if order.format == Format::Table {
        show(context, &plan, order.from).await?;
        if stays {
            let mut out = context.terminal.report(true, None)?;
            let file = order.writing.output.as_ref().map(|p| p.to_string_lossy());
            screen::next(&mut out, header, file.as_deref().unwrap_or(&header.id))?;
            out.flush()?;
        }
    }
    if stays {
        return excluded(&plan, rows).await;
    }
    carry_out(context, plan, order).await
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
    let refused = rows == 0 && (unfit(plan) || !plan.excluded().await?.is_empty());
    Ok(if refused { CONFLICTS } else { 0 })
}

/// True where rows were left out because live's columns can't hold a value of theirs.
fn unfit(plan: &PlanFile) -> bool {
    let mut skipped = plan.header().tables.iter().flat_map(|table| &table.skipped);
    skipped.any(|skipped| skipped.reason == "unfit" && skipped.rows > 0)
}

/// Asks, applies a plan, and prints the receipt. A plan that is done is not asked about:
/// it writes nothing.
pub async fn carry_out(context: &Context, plan: PlanFile, order: &Order<'_>) -> Result<u8> {
    let state = context.state()?;
    state.note(&plan)?;
    let header = plan.header();
    let operation = plan.operation().await?;
    let bound = operation.as_ref().map_or(&header.binding.target, |o| &o.target);
    let again = |e: Error| match e.kind() {
        Kind::Failed => e.hint(format!("restorekit apply {}", header.id)),
        _ => e,
    };
    let done = operation.as_ref().is_some_and(|o| o.receipt.is_some());
    if order.live.is_none() && !done {
        leads_there_still(header, bound, order.resume)?;
    }
    let location =
        order.live.map_or_else(|| connect::again(context, bound.location()), str::to_owned);
    let mut target =
        connect::target(context, &location).await.map_err(again).map_err(|e| match order.live {
            None => e.hint(format!("the plan is for {bound}: if it lies elsewhere, add --live")),
            Some(_) => e,
        })?;
    let asked = match done || plan.rows() == 0 {
        true => Ok(false),
        false => ask(context, &plan, target.as_mut(), order).await,
    };
    let asked = match asked {
        Ok(named) => pace(context, &order.writing.pacing).await.map(|pace| (named, pace)),
        Err(e) => Err(e),
    };
    let receipt = match asked {
        Err(e) => Err(e),
        Ok((named, pace)) => {
            let graceful = Graceful::begin();
            let options = ApplyOptions {
                resume: order.resume,
                elsewhere: named,
                cancel: graceful.flag(),
                pace,
                ..ApplyOptions::new(state.locks())
            };
            let progress = context.terminal.progress();
            apply(&plan, target.as_mut(), &options, progress.as_ref()).await.map_err(again)
        }
    };
    // What was done is told first, whatever closing the connection says.
    if let Err(e) = target.close().await {
        context.terminal.warn(&e.to_string());
    }
    let receipt = receipt?;
    let mut out = context.terminal.report(order.format == Format::Table, None)?;
    match order.format {
        Format::Table => receipt::screen(&mut out, context.terminal.out, &receipt)?,
        Format::Json => receipt::json(&mut out, &receipt)?,
    }
    let excluded = plan.excluded().await?;
    if order.format == Format::Table && !excluded.is_empty() {
        writeln!(
            out,
            "{} found unfit when planned: restorekit show {}",
            plural(excluded.len() as u64, "row"),
            header.id
        )?;
    }
    out.flush()?;
    if receipt.stopped {
        return Ok(Kind::Interrupted.exit_code());
    }
    let conflicts = receipt.conflict_count() > 0 || unfit(&plan) || !excluded.is_empty();
    Ok(if conflicts { CONFLICTS } else { 0 })
}

/// Refuses a plan whose live was named by a path, such as a link, that leads to another file now:
/// what the person means may be either.
fn leads_there_still(header: &PlanHeader, bound: &Identity, resume: bool) -> Result<()> {
    let (given, planned) = (&header.binding.live.location, &header.binding.target);
    let moved = |now: &Identity| !now.same(bound) && now.location() != bound.location();
    match registry::file_at(given).filter(|now| bound.same(planned) && moved(now)) {
        None => Ok(()),
        Some(now) => Err(Error::refused(format!(
            "{given} led to {} when plan {} was made, and leads to {} now",
            bound.location(),
            header.id,
            now.location()
        ))
        .hint(format!(
            "to write to the former: restorekit apply {}{} --live {}",
            header.id,
            if resume { " --resume" } else { "" },
            shell_word(bound.location())
        ))
        .hint("to write to the latter: plan again")),
    }
}

/// The replicas that are waited for.
async fn pace(context: &Context, pacing: &Pacing) -> Result<Option<Arc<Pace>>> {
    let Some(most) = pacing.max_lag else { return Ok(None) };
    let mut replicas = Vec::with_capacity(pacing.replica.len());
    for location in &pacing.replica {
        let mut replica = connect::replica(context, location).await?;
        replica.lag().await?;
        replicas.push(replica);
    }
    Ok(Some(Arc::new(Pace::new(replicas, std::time::Duration::from_secs(most)))))
}

/// Asks about a plan on a target; true when the database was named, by the person asked or
/// with `--expect-target`.
async fn ask(
    context: &Context,
    plan: &PlanFile,
    target: &mut dyn Target,
    order: &Order<'_>,
) -> Result<bool> {
    let header = plan.header();
    let mut otherwise = format!("restorekit apply {}", header.id);
    if order.resume {
        otherwise.push_str(" --resume");
    }
    let here = target.identity().await?;
    if let Place::Elsewhere(sightings) = place(plan, target).await? {
        context.terminal.say(&format!("planned for {}", header.binding.target));
        if sightings.is_empty() {
            context.terminal.say("it had no rows by which it could be known again here");
        }
        for seen in sightings {
            context.terminal.say(&format!(
                "here {} of {} of {} that the plan remembers stand as it saw them",
                seen.same,
                plural(seen.rows as u64, "row"),
                seen.table
            ));
        }
        otherwise.push_str(&format!(
            " --live {} --expect-target {}",
            shell_word(here.location()),
            shell_word(here.database())
        ));
    }
    let rows = plural(plan.rows(), "row");
    let what = match header.tables.iter().all(|t| t.op == Op::Delete) {
        true => format!("delete {rows} from"),
        false => format!("write {rows} to"),
    };
    confirm(&context.terminal, order.writing, &here, &what, &otherwise)
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
