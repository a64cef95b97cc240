//! The plan that sets columns of live from the backup, row by row, and says of each row
//! it leaves alone why.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, UInt8Type};

use crate::diff::loss::Lost;
use crate::diff::pair::TablePair;
use crate::diff::probe::losses;
use crate::diff::summary::unfit_values;
use crate::diff::{Emit, diff};
use crate::error::{Error, Result};
use crate::fit::place::takes;
use crate::model::change::{CHANGE, Change, DIFFERS, differs, side_field};
use crate::model::origin::FROM;
use crate::model::plan::{Op, Skipped, TablePlan};
use crate::model::side::{Side, Which};
use crate::model::table::{Carrier, Column, KeyOrigin};
use crate::model::value::{Cells, EXACT};
use crate::mount::Mount;
use crate::plan::draft::Draft;
use crate::plan::images::{Batches, Picked, image, origins};
use crate::plan::notes;
use crate::plan::proof::{prove_key, uncounted, unkeyed};
use crate::progress::Progress;
use crate::select::Predicate;
use crate::source::Unfit;

/// Columns that are set once when a row is made: where they differ, the key was issued
/// again to another row (K8).
const CREATED: [&str; 7] = [
    "created_at",
    "created_on",
    "created",
    "createdat",
    "date_created",
    "inserted_at",
    "creation_date",
];

/// So many columns are set by one patch at most: what a row gets of them is told by bits.
const MOST: usize = 64;

/// One column to set, and the backup's column it is set from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Live's column.
    pub column: String,
    /// The backup's column, often the same.
    pub from: String,
}

/// What a patch sets, and which rows it does not leave alone.
#[derive(Clone, Debug, Default)]
pub struct PatchOptions {
    /// What is set.
    pub assignments: Vec<Assignment>,
    /// Set also where live holds NULL (only asked when the columns are two).
    pub include_null: bool,
    /// Let a NULL of the backup overwrite a value.
    pub allow_null: bool,
    /// Set also where live's `from` column still equals the backup's.
    pub include_untouched: bool,
    /// Set also where the row's creation time differs between the sides.
    pub include_reissued: bool,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// Columns of the backup that are written though it has lost something of them.
    pub lossy: Vec<String>,
}

/// An assignment with its columns resolved.
struct Target {
    live: Column,
    backup: Column,
    /// The compared pair that says whether it differs.
    differs: usize,
    /// The compared pair that says whether live's `from` was touched, for two columns.
    touched: Option<usize>,
}

/// Plans the assignments on one table into `draft`.
pub async fn plan_patch(
    mount: &Mount,
    pair: &TablePair,
    predicate: Option<&Predicate>,
    options: &PatchOptions,
    draft: &mut Draft,
    progress: Arc<dyn Progress>,
) -> Result<()> {
    pair.schema.live.require_writable()?;
    if options.assignments.len() > MOST {
        return Err(Error::usage(format!(
            "{} columns of {} are to be set, and one patch sets at most {MOST}",
            options.assignments.len(),
            pair.table.live
        ))
        .hint("make two patches: some of the columns first, then the others"));
    }
    let mut compare: Vec<Side<Column>> = Vec::new();
    let targets = options
        .assignments
        .iter()
        .map(|a| target(pair, a, &mut compare))
        .collect::<Result<Vec<_>>>()?;
    let created = created_pair(pair, &targets, &mut compare);
    let key = pair.key_columns();
    let needs = predicate.map(|p| p.needs(Change::Changed)).transpose()?.unwrap_or_default();
    let own = targets.iter().filter_map(|t| pair.schema.live.column(&t.backup.name));
    let seen = targets.iter().map(|t| &t.live).chain(own).chain(&needs.live);
    let seen = distinct(seen, &key);
    let from = distinct(targets.iter().map(|t| &t.backup).chain(&needs.backup), &key);
    let mut request = pair.key_request();
    request.compare = compare;
    let from = from.into_iter().chain(mount.from_column()).collect();
    request.carry = Side { backup: from, live: seen.clone() };
    request.unfit = Unfit::Mark;
    let losses = losses(mount, pair).await?;
    let given = |lost: &&Lost| targets.iter().any(|t| t.backup.name == lost.column.name);
    let lost: Vec<Lost> = losses.iter().filter(given).cloned().collect();
    // Of what is set itself each row is judged.
    let set = |lost: &Lost| targets.iter().any(|t| t.live.name == lost.column.name);
    request.loss = losses.into_iter().filter(|lost| !set(lost)).collect();
    request.emit = Emit { changed: true, extra: true, ..Emit::NONE };
    let named = pair.key.origin == KeyOrigin::Named;
    if !named {
        // A key that the user named is proved over all rows.
        request.filter.live = predicate.and_then(|p| p.pushdown(Which::Live, Change::Changed));
    }
    let mut changes = diff(mount, &request, progress).await?;

    let before: Vec<Column> = key.iter().chain(&seen).cloned().collect();
    let after: Vec<Column> =
        key.iter().cloned().chain(targets.iter().map(|t| t.live.clone())).collect();
    let judge = Judge { targets: &targets, options, created, lost: &lost };
    let mut batches = Batches::new(draft.next_table(), draft.batch_size(), draft.next_batch());
    let mut skipped: BTreeMap<&'static str, u64> = BTreeMap::new();
    let (mut rows, mut unevaluated, mut told) = (0u64, 0u64, Vec::new());
    let most = options.limit.unwrap_or(u64::MAX);
    while (rows < most || named)
        && let Some(batch) = changes.next().await?
    {
        let mask = match predicate {
            Some(predicate) => {
                let selection = predicate.evaluate(&batch)?;
                unevaluated += selection.unevaluated;
                Some(selection.mask)
            }
            None => None,
        };
        let mut chosen = Vec::new();
        for (row, verdict) in judge.rows(&batch)?.into_iter().enumerate() {
            if mask.as_ref().is_some_and(|m| !m.value(row)) {
                continue;
            }
            match verdict {
                Verdict::Write(columns) => chosen.push((row as u32, columns)),
                Verdict::Skip(reason) => *skipped.entry(reason).or_default() += 1,
            }
        }
        chosen.truncate(usize::try_from(most - rows).unwrap_or(usize::MAX));
        if chosen.is_empty() {
            continue;
        }
        rows += chosen.len() as u64;
        let indices = UInt32Array::from_iter_values(chosen.iter().map(|(row, _)| *row));
        let seen_before: Vec<Picked> = before.iter().map(|c| Picked::own(Which::Live, c)).collect();
        let before = image(&batch, &indices, &seen_before)?;
        let after = after_image(&batch, &chosen, &key, &targets)?;
        let from =
            origins(&take_record_batch(&batch, &indices)?, &side_field(Which::Backup, FROM))?;
        for note in notes::refuse_lost(&pair.table.live, &lost, &options.lossy, &from)? {
            if !told.contains(&note) {
                told.push(note);
            }
        }
        draft.add(batches.push(Some(before), Some(after), &from)?).await?;
    }
    let (last, _) = batches.finish()?;
    draft.add(last).await?;
    let mut counts: Vec<Skipped> =
        skipped.into_iter().map(|(reason, rows)| Skipped { reason: reason.into(), rows }).collect();
    if rows < most || named {
        prove_key(pair, &changes.counts())?;
        counts.extend(uncounted(&changes.counts(), unevaluated));
    }
    let schema = pair.schema.live.as_ref().clone();
    let counted = changes.counts();
    let unfit = unfit_values(&counted);
    told.extend(unfit.map(|(column, why)| format!("{column}: {why}")));
    told.extend(unkeyed(&counted));
    told.extend(notes::elsewhere(pair));
    let written: Vec<String> = targets.iter().map(|t| t.live.name.clone()).collect();
    draft.end_table(TablePlan {
        table: schema.name.clone(),
        op: Op::Update,
        key: pair.key.clone(),
        before,
        after,
        notes: notes::notes(&schema, Op::Update, &written).into_iter().chain(told).collect(),
        schema,
        rows,
        from: batches.counts().to_vec(),
        skipped: counts,
    });
    Ok(())
}

/// The columns by name, each once, without the key's.
fn distinct<'a>(columns: impl Iterator<Item = &'a Column>, key: &[Column]) -> Vec<Column> {
    let mut out: Vec<Column> = Vec::new();
    for column in columns {
        if !key.iter().chain(&out).any(|c| c.name == column.name) {
            out.push(column.clone());
        }
    }
    out
}

/// Resolves an assignment, and adds what has to be compared for it.
fn target(pair: &TablePair, a: &Assignment, compare: &mut Vec<Side<Column>>) -> Result<Target> {
    let table = &pair.table.live;
    let live = column_of(pair, Which::Live, &a.column)?.clone();
    let theirs = column_of(pair, Which::Backup, &a.from)?;
    if live.generated {
        return Err(Error::refused(format!("{table}.{} is generated and can't be set", live.name)));
    }
    if pair.key.columns.contains(&live.name) {
        return Err(Error::refused(format!(
            "{table}.{} is the key and is never patched",
            live.name
        ))
        .hint("bring missing rows back instead: restorekit restore"));
    }
    let own = pair.schema.live.column(&theirs.name);
    // Found without regard to case, though it is another column of live's.
    if theirs.name != a.from && own.is_some_and(|own| own.name != live.name) {
        return Err(Error::usage(format!(
            "backup: table {} has no column {}",
            pair.table.backup, a.from
        ))
        .hint(format!("its {} is live's {0}: name it so with --from", theirs.name)));
    }
    // The backup's column is read in the form of live's column of that name.
    let form = own.unwrap_or(&live);
    if form.carrier != live.carrier {
        return Err(unlike(pair, &live, form));
    }
    let backup = Column { name: theirs.name.clone(), ..form.clone() };
    compare.push(Side { backup: backup.clone(), live: live.clone() });
    let differs = compare.len() - 1;
    let touched = own.filter(|own| own.name != live.name).map(|own| {
        compare.push(Side { backup: backup.clone(), live: own.clone() });
        compare.len() - 1
    });
    Ok(Target { live, backup, differs, touched })
}

/// The error for a column that is to be set from one of another type.
fn unlike(pair: &TablePair, live: &Column, from: &Column) -> Error {
    let (table, names) = (&pair.table, Side { backup: &from.name, live: &live.name });
    let declared = |column: &Column| match column.declared.is_empty() {
        true => String::new(),
        false => format!(" ({})", column.declared),
    };
    let zones = matches!(
        (live.carrier, from.carrier),
        (Carrier::Stamp, Carrier::Instant) | (Carrier::Instant, Carrier::Stamp)
    );
    let e = Error::usage(format!(
        "{}.{} can't be set from {}: one takes {}{}, the other {}{}{}",
        table.live,
        names.live,
        names.backup,
        takes(live),
        declared(live),
        takes(from),
        declared(from),
        if zones { ", and nothing says in which zone those without one are" } else { "" },
    ))
    .hint("name a column of the same type with --from");
    if !zones {
        return e;
    }
    let key = pair.key.columns.join(", ");
    e.hint(format!(
        "see what both hold: restorekit sql \"select {key}, b.{}, l.{} from backup.{} b join live.{} l \
         using ({key})\"",
        names.backup, names.live, table.backup, table.live
    ))
}

/// A column of one side's table; the error says which side lacks it.
fn column_of<'p>(pair: &'p TablePair, which: Which, name: &str) -> Result<&'p Column> {
    let schema = pair.schema.get(which);
    schema.column(name).ok_or_else(|| {
        let known: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        Error::usage(format!("{which}: table {} has no column {name}", schema.name))
            .hint(format!("its columns: {}", known.join(", ")))
            .hint(format!("restorekit diff --table {} compares both sides", pair.table.live))
    })
}

/// The compared pair of the creation time, where both sides have one that is not set here.
fn created_pair(
    pair: &TablePair,
    targets: &[Target],
    compare: &mut Vec<Side<Column>>,
) -> Option<usize> {
    let column = pair.compare.iter().find(|c| {
        CREATED.contains(&c.name.to_ascii_lowercase().as_str())
            && !targets.iter().any(|t| t.live.name == c.name || t.backup.name == c.name)
    })?;
    compare.push(Side { backup: column.clone(), live: column.clone() });
    Some(compare.len() - 1)
}

/// What becomes of one row.
enum Verdict {
    /// These assignments are carried out, by bit.
    Write(u64),
    /// The row is left alone, with a word of [`Skipped::reason`].
    Skip(&'static str),
}

/// Decides for each row of a change batch.
struct Judge<'a> {
    targets: &'a [Target],
    options: &'a PatchOptions,
    created: Option<usize>,
    /// What the backups have lost of the targets.
    lost: &'a [Lost],
}

impl Judge<'_> {
    fn rows(&self, changes: &RecordBatch) -> Result<Vec<Verdict>> {
        let field = |name: &str| {
            changes
                .column_by_name(name)
                .ok_or_else(|| Error::failed(format!("a change batch lacks the column {name}")))
        };
        let kinds = field(CHANGE)?.as_primitive::<UInt8Type>();
        let masks = field(DIFFERS)?.as_binary::<i32>();
        let names: Vec<(String, String)> = self
            .targets
            .iter()
            .map(|t| {
                (side_field(Which::Backup, &t.backup.name), side_field(Which::Live, &t.live.name))
            })
            .collect();
        let backup = self.targets.iter().zip(&names);
        let backup =
            backup.map(|(t, (b, _))| (b.as_str(), t.backup.name.as_str(), t.backup.carrier));
        let backup = Cells::new(changes, backup, &side_field(Which::Backup, EXACT))?;
        let live = self.targets.iter().zip(&names);
        let live = live.map(|(t, (_, l))| (l.as_str(), t.live.name.as_str(), t.live.carrier));
        let live = Cells::new(changes, live, &side_field(Which::Live, EXACT))?;
        let from = changes.column_by_name(&side_field(Which::Backup, FROM));
        let from = from.map(|from| from.as_primitive::<Int64Type>());
        (0..changes.num_rows())
            .map(|row| {
                if kinds.value(row) != Change::Changed as u8 {
                    return Ok(Verdict::Skip("not_in_backup"));
                }
                let from = from.map(|from| from.value(row));
                self.row(masks.value(row), (row, from), &backup, &live)
            })
            .collect()
    }

    fn row(
        &self,
        mask: &[u8],
        (row, from): (usize, Option<i64>),
        backup: &Cells<'_>,
        live: &Cells<'_>,
    ) -> Result<Verdict> {
        if !self.options.include_reissued && self.created.is_some_and(|c| differs(mask, c)) {
            return Ok(Verdict::Skip("reissued_key"));
        }
        let mut write = 0u64;
        let mut reason = "already_equal";
        for (index, target) in self.targets.iter().enumerate() {
            if !differs(mask, target.differs) {
                continue;
            }
            let (old, new) = (backup.get(row, index)?, live.get(row, index)?);
            let lost = self.lost.iter().any(|lost| {
                lost.column.name == target.live.name
                    && target.backup.name == target.live.name
                    && lost.backup.is_none_or(|number| from == Some(number.into()))
                    && lost.loss.explains(old, new)
            });
            if lost {
                reason = "lossy";
                continue;
            }
            let untouched = target.touched.is_some_and(|t| !differs(mask, t));
            if untouched && !self.options.include_untouched {
                reason = "untouched";
            } else if old.is_null() && !self.options.allow_null {
                reason = "backup_null";
            } else if target.touched.is_some() && new.is_null() && !self.options.include_null {
                reason = "live_null";
            } else {
                write |= 1 << index;
            }
        }
        Ok(if write == 0 { Verdict::Skip(reason) } else { Verdict::Write(write) })
    }
}

/// The after images of the chosen rows, in their order: an assignment that a row does not
/// get leaves live's value.
fn after_image(
    changes: &RecordBatch,
    chosen: &[(u32, u64)],
    key: &[Column],
    targets: &[Target],
) -> Result<RecordBatch> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, (_, columns)) in chosen.iter().enumerate() {
        groups.entry(*columns).or_default().push(place);
    }
    let mut images = Vec::with_capacity(groups.len());
    let mut places = Vec::with_capacity(chosen.len());
    for (columns, group) in groups {
        let own = key.iter().map(|c| Picked::own(Which::Live, c));
        let set = targets.iter().enumerate().map(|(index, t)| {
            if columns >> index & 1 == 1 {
                Picked { side: Which::Backup, from: t.backup.name.clone(), column: t.live.clone() }
            } else {
                Picked::own(Which::Live, &t.live)
            }
        });
        let picked: Vec<Picked> = own.chain(set).collect();
        let rows = UInt32Array::from_iter_values(group.iter().map(|place| chosen[*place].0));
        images.push(image(changes, &rows, &picked)?);
        places.extend(group);
    }
    if images.len() == 1 {
        return Ok(images.remove(0));
    }
    let all = concat_batches(&images[0].schema(), &images)?;
    let mut order = vec![0u32; places.len()];
    for (from, to) in places.into_iter().enumerate() {
        order[to] = from as u32;
    }
    Ok(take_record_batch(&all, &UInt32Array::from(order))?)
}
