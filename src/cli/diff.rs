//! `restorekit diff`: what is missing, changed and extra. Reads only.

use std::io::Write;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use clap::{Args, ValueEnum};

use crate::cli::args::{Selection, Sides};
use crate::cli::sides::{OpenSides, open_sides, remember};
use crate::cli::{Context, block_on};
use crate::diff::counts::DiffCounts;
use crate::diff::diff;
use crate::diff::pair::TablePair;
use crate::diff::probe::losses;
use crate::diff::spec::Emit;
use crate::diff::summary::{Summary, lossy, summarise, unfit_values};
use crate::error::{Error, Result};
use crate::model::change::Change;
use crate::model::origin::Origin;
use crate::model::side::{Side, Which};
use crate::model::summary::{DiffSummary, TableDiff};
use crate::model::table::{Column, TableName};
use crate::report::csv::{Csv, HEADER};
use crate::report::rows::each;
use crate::report::sql::{self, Dialect};
use crate::report::text::{count, plural, shell_word};
use crate::report::{diff as screen, json};
use crate::select::Predicate;
use crate::source::Unfit;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit diff --live prod.db --backup snap/
  restorekit diff --live prod.db --backup snap/ --table events --where \"starts_at >= '2024-01-01'\"
  restorekit diff --table events --format ndjson --output changes.ndjson
  restorekit diff --table events --format sql | less")]
pub struct DiffArgs {
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Compare these columns only
    #[arg(long, value_name = "COLS", value_delimiter = ',', help_heading = "Selection")]
    pub columns: Vec<String>,
    /// The rows
    #[command(flatten)]
    pub selection: Selection,
    /// Write the differences like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: DiffFormat,
    /// Write to this new file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How differences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// A screen with counts
    Table,
    /// The counts as one JSON document
    Json,
    /// A JSON object a row
    Ndjson,
    /// A record a cell, exact; a spreadsheet may take a cell for a formula
    Csv,
    /// A script that takes live back to the backup, to review
    Sql,
}

/// Compares, and gives 1 when something differs.
pub fn run(context: &Context, args: &DiffArgs) -> Result<u8> {
    block_on(compare(context, args))
}

async fn compare(context: &Context, args: &DiffArgs) -> Result<u8> {
    let sides = open_sides(context, &args.sides, true).await?;
    let pairs = sides.pairs(&args.columns).await?;
    let mut out =
        context.terminal.report(args.format == DiffFormat::Table, args.output.as_deref())?;
    let mut differs = !pairs.only_live.is_empty() || !pairs.only_backup.is_empty();
    differs |= !pairs.skipped.is_empty();
    if matches!(args.format, DiffFormat::Table | DiffFormat::Json) {
        if args.selection.limit.is_some() {
            let why =
                "--limit cuts the rows of --format ndjson, csv and sql; counts are of all rows";
            context.terminal.warn(why);
        }
        let mut tables = Vec::new();
        for pair in &pairs.pairs {
            tables.push(summary(context, &sides, pair, &args.selection).await?);
        }
        for (table, why) in &pairs.skipped {
            let (table, skipped) = (table.to_string(), Some(why.clone()));
            tables.push(TableDiff { table, skipped, ..TableDiff::default() });
        }
        let names = |tables: &[_]| tables.iter().map(ToString::to_string).collect();
        let mut all = DiffSummary {
            live: sides.mount.source(Which::Live).origin().clone(),
            backup: sides.mount.source(Which::Backup).origin().clone(),
            tables,
            only_live: names(&pairs.only_live),
            only_backup: names(&pairs.only_backup),
        };
        differs |= all.tables.iter().any(|t| t.has_differences() || t.unjudged() > 0);
        let remembered = remember(context, &sides.resolved);
        if args.format == DiffFormat::Json {
            json::diff(&mut out, &all)?;
        } else {
            (all.live, all.backup) = (context.seen(&all.live), context.seen(&all.backup));
            let mut repeat = sides.repeat(remembered);
            if let Some(predicate) = &args.selection.predicate {
                repeat = format!("{repeat} --where {}", shell_word(predicate)).trim().to_owned();
            }
            screen::screen(&mut out, context.screen(), &all, &sides.from, &repeat)?;
        }
    } else {
        let backups = locations(sides.mount.origins());
        let mut rows = Rows { format: args.format, out: &mut out, csv: None, backups, last: None };
        rows.begin(context, &sides, args)?;
        for pair in &pairs.pairs {
            differs |= rows.table(context, &sides, pair, &args.selection).await?;
        }
        rows.end(context)?;
        for (table, why) in &pairs.skipped {
            context.terminal.warn(&format!("{table} was not compared: {why}"));
        }
        remember(context, &sides.resolved);
    }
    out.flush()?;
    sides.tell(context);
    sides.release().await?;
    match (pairs.pairs.as_slice(), pairs.skipped.as_slice()) {
        ([], [(table, why), ..]) => Err(Error::usage(format!("{table} was not compared: {why}"))
            .hint(
                "name columns both sides have; a table without a key needs restorekit diff --key COLS",
            )),
        _ => Ok(u8::from(differs)),
    }
}

/// A predicate of one table, and the kinds of changes that it can judge.
struct Judge {
    predicate: Option<Predicate>,
    emit: Emit,
    needs: Side<Vec<Column>>,
    unjudged: u64,
}

impl Judge {
    fn new(context: &Context, pair: &TablePair, selection: &Selection) -> Result<Self> {
        let mut judge =
            Self { predicate: None, emit: Emit::ALL, needs: Side::default(), unjudged: 0 };
        let Some(sql) = &selection.predicate else { return Ok(judge) };
        let schema = Side { backup: &*pair.schema.backup, live: &*pair.schema.live };
        let predicate = Predicate::parse(sql, schema)?;
        judge.emit = Emit::NONE;
        let mut last = None;
        for change in [Change::Missing, Change::Changed, Change::Extra] {
            match predicate.needs(change) {
                Ok(needs) => {
                    match change {
                        Change::Missing => judge.emit.missing = true,
                        Change::Changed => judge.emit.changed = true,
                        _ => judge.emit.extra = true,
                    }
                    judge.needs.backup.extend(needs.backup);
                    judge.needs.live.extend(needs.live);
                }
                Err(e) => {
                    let what = change.as_str();
                    context.terminal.warn(&format!("{what} rows are left out: {e}"));
                    last = Some(e);
                }
            }
        }
        match last {
            Some(e) if judge.emit == Emit::NONE => return Err(e),
            _ => {}
        }
        judge.predicate = Some(predicate);
        Ok(judge)
    }

    fn select(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let Some(predicate) = &self.predicate else { return Ok(batch) };
        let selection = predicate.evaluate(&batch)?;
        self.unjudged += selection.unevaluated;
        Ok(filter_record_batch(&batch, &selection.mask)?)
    }

    /// Rows of which the predicate said nothing, and those of the kinds that it can't judge.
    fn left_out(&self, counts: &DiffCounts) -> u64 {
        let kinds = [
            (self.emit.missing, counts.missing),
            (self.emit.changed, counts.changed),
            (self.emit.extra, counts.extra),
        ];
        let kinds = kinds.iter().filter(|(judged, _)| !judged && self.predicate.is_some());
        self.unjudged + kinds.map(|(_, rows)| rows).sum::<u64>()
    }

    /// Tells of rows that were left out unjudged.
    fn tell(&self, context: &Context, table: &TableName) {
        if self.unjudged > 0 {
            let rows = plural(self.unjudged, "row");
            context.terminal.warn(&format!("{table}: --where could not judge {rows}: left out"));
        }
    }
}

/// `more`, without what is in `known` already.
fn join(known: &mut Vec<Column>, more: &[Column]) {
    for column in more {
        if known.iter().all(|c| c.name != column.name) {
            known.push(column.clone());
        }
    }
}

/// Sums up one table. Under a predicate the changes that it selects are counted, and the
/// rows that are the same are all there are.
async fn summary(
    context: &Context,
    sides: &OpenSides,
    pair: &TablePair,
    selection: &Selection,
) -> Result<TableDiff> {
    if selection.predicate.is_none() {
        return summarise(&sides.mount, pair, context.terminal.progress()).await;
    }
    let mut judge = Judge::new(context, pair, selection)?;
    let mut request = pair.request();
    join(&mut request.carry.backup, &judge.needs.backup);
    join(&mut request.carry.live, &judge.needs.live);
    request.carry.backup.extend(sides.mount.from_column());
    request.emit = judge.emit;
    request.unfit = Unfit::Mark;
    request.ordered = false;
    request.loss = losses(&sides.mount, pair).await?;
    let mut changes = diff(&sides.mount, &request, context.terminal.progress()).await?;
    let mut summary = Summary::new(changes.spec().clone(), sides.mount.origins());
    while let Some(batch) = changes.next().await? {
        summary.add(&judge.select(batch)?)?;
    }
    judge.tell(context, &pair.table.live);
    let mut counts = changes.counts();
    let left_out = judge.left_out(&counts);
    let seen = summary.seen();
    (counts.missing, counts.changed, counts.extra) = (seen.missing, seen.changed, seen.extra);
    counts.columns = seen.columns.clone();
    Ok(TableDiff { left_out, ..summary.finish(pair, &counts) })
}

/// Writes changes row by row.
struct Rows<'a> {
    format: DiffFormat,
    out: &'a mut Box<dyn Write + Send>,
    csv: Option<Csv>,
    /// The locations of several backups.
    backups: Vec<String>,
    /// The backup of the row that was written last.
    last: Option<usize>,
}

/// The SQL that live speaks.
fn dialect(sides: &OpenSides) -> Result<Dialect> {
    let live = sides.mount.source(Which::Live);
    let identity = live.identity().ok_or_else(|| {
        Error::usage("live is no database that a script could be for")
            .hint("restorekit diff --format ndjson")
    })?;
    Ok(Dialect::of(&identity))
}

/// The locations of several backups; none where there is one.
fn locations(origins: &[Origin]) -> Vec<String> {
    let several = if origins.len() > 1 { origins } else { &[] };
    several.iter().map(|origin| origin.location.clone()).collect()
}

impl Rows<'_> {
    fn begin(&mut self, context: &Context, sides: &OpenSides, args: &DiffArgs) -> Result<()> {
        match self.format {
            DiffFormat::Csv => {
                let shown = context.terminal.out_is_terminal && args.output.is_none();
                let from = (!self.backups.is_empty()).then_some("from");
                let names: Vec<&str> = HEADER.iter().copied().chain(from).collect();
                self.csv.insert(Csv::new(shown)).header(self.out, &names)
            }
            DiffFormat::Sql => {
                let live = &sides.mount.source(Which::Live).origin().location;
                let mut lines = vec![
                    format!("restorekit diff, {}", context.now().to_rfc3339()),
                    format!("live {live}"),
                ];
                let backups = sides.mount.origins().iter();
                lines.extend(backups.map(|backup| format!("backup {}", backup.location)));
                dialect(sides)?.begin(self.out, &lines)
            }
            _ => Ok(()),
        }
    }

    /// Writes one table's changes, and says whether anything differs, written or not.
    async fn table(
        &mut self,
        context: &Context,
        sides: &OpenSides,
        pair: &TablePair,
        selection: &Selection,
    ) -> Result<bool> {
        let mut judge = Judge::new(context, pair, selection)?;
        let mut request = pair.request();
        // The whole row, columns that are not compared too.
        let all: Vec<Column> = pair.common().cloned().collect();
        request.carry = Side { backup: all.clone(), live: all };
        join(&mut request.carry.backup, &judge.needs.backup);
        join(&mut request.carry.live, &judge.needs.live);
        request.carry.backup.extend(sides.mount.from_column());
        request.emit = judge.emit;
        request.unfit = Unfit::Mark;
        request.loss = losses(&sides.mount, pair).await?;
        // A script leaves extra rows alone; a predicate has to judge them all the same.
        let script = match self.format {
            DiffFormat::Sql => Some(dialect(sides)?),
            _ => None,
        };
        let unwritable = pair.schema.live.unwritable.as_deref().filter(|_| script.is_some());
        if let Some(why) = unwritable {
            let table = &pair.table.live;
            context.terminal.warn(&format!("{table} is not in the script: {why}"));
        }
        if script.is_some() && judge.predicate.is_none() {
            request.emit.extra = false;
        }
        let mut left = selection.limit.unwrap_or(u64::MAX);
        if judge.predicate.is_none() {
            request.limit = selection.limit;
        }
        let mut changes = diff(&sides.mount, &request, context.terminal.progress()).await?;
        let spec = changes.spec().clone();
        let mut any = false;
        // Past the limit it is still to be found out whether anything differs.
        while (left > 0 || !any)
            && let Some(batch) = changes.next().await?
        {
            let batch = judge.select(batch)?;
            any |= batch.num_rows() > 0;
            let schema = &pair.schema.live;
            let (out, csv, last) = (&mut *self.out, &mut self.csv, &mut self.last);
            let backups = &self.backups;
            each(&spec, &batch, |row| {
                let extra = script.is_some() && row.change == Change::Extra;
                if left == 0 || extra || unwritable.is_some() {
                    return Ok(());
                }
                left -= 1;
                let number = row.from()?;
                let from = number.and_then(|n| backups.get(n)).map(String::as_str);
                match (csv.as_mut(), script) {
                    (Some(csv), _) => csv.change(out, &row, from),
                    (_, Some(dialect)) => {
                        if let Some(from) = from.filter(|_| *last != number) {
                            sql::from(out, from)?;
                            *last = number;
                        }
                        dialect.change(out, schema, &row)
                    }
                    _ => json::change(out, &row, from),
                }
            })?;
        }
        let counts = changes.counts();
        let table = &pair.table.live;
        judge.tell(context, table);
        let odd = counts.unkeyable.backup + counts.unkeyable.live;
        if odd > 0 {
            context.terminal.warn(&format!("{table}: {} without a usable key", plural(odd, "row")));
        }
        for unkeyed in &counts.unkeyed {
            context.terminal.warn(&format!("{table}.{}: {unkeyed}", unkeyed.column.name));
        }
        for lost in lossy(&spec, &counts) {
            let words = screen::lossy_words(&lost);
            context.terminal.warn(&format!("{table}.{}: {words}", lost.column));
        }
        for (column, why) in unfit_values(&counts) {
            context.terminal.warn(&format!("{table}.{column}: {why}: such rows are left out"));
        }
        if !pair.not_compared.is_empty() {
            let columns = pair.not_compared.iter().map(|n| format!("{} ({})", n.column, n.why));
            let columns = columns.collect::<Vec<_>>().join(", ");
            context.terminal.warn(&format!("{table}: not compared: {columns}"));
        }
        let differing = match judge.predicate {
            None => counts.missing + counts.changed + counts.extra,
            Some(_) => judge.left_out(&counts),
        };
        Ok(any || differing + counts.ambiguous + odd + counts.unfit > 0)
    }

    fn end(&mut self, context: &Context) -> Result<()> {
        if self.format == DiffFormat::Sql {
            sql::commit(self.out)?;
        }
        if let Some(csv) = self.csv.as_ref().filter(|csv| csv.formulas() > 0) {
            context.terminal.warn(&format!(
                "{} cells begin like a formula: import the file into a spreadsheet as text",
                count(csv.formulas())
            ));
        }
        Ok(())
    }
}
