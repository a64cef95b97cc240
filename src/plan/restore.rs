//! The plan that brings missing rows back: with their parents, with their children, in an
//! order that never leaves a reference dangling.
//!
//! A table's missing keys come from a diff that reads nothing but keys; the rows
//! themselves are then fetched from the backup, or carried along by the diff where the
//! backup has no random access or a predicate needs them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::Schema;

use crate::diff::DiffCounts;
use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::conflict::{Conflict, Reason};
use crate::model::plan::{Op, Skipped, TablePlan};
use crate::model::side::Which;
use crate::model::table::{Column, ForeignKey, KeyOrigin, TableName, TableSchema, scan_schema};
use crate::mount::Mount;
use crate::plan::checks::{Planned, check, key_json, orphans};
use crate::plan::draft::Draft;
use crate::plan::images::Batches;
use crate::plan::lookup::{Rows, collated};
use crate::plan::missing::Missing;
use crate::plan::notes;
use crate::plan::order::parents_first;
use crate::plan::waves::in_waves;
use crate::progress::Progress;
use crate::select::Predicate;

/// A table whose missing rows are wanted.
#[derive(Debug)]
pub struct Wanted {
    /// The table on both sides.
    pub pair: TablePair,
    /// Which of its missing rows; all of them where there is none.
    pub predicate: Option<Predicate>,
}

/// What a restore takes along, and how much.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Missing parents of restored rows, and theirs.
    pub with_parents: bool,
    /// Missing rows of other tables that refer to restored rows, and theirs.
    pub with_children: bool,
    /// At most so many rows a table.
    pub limit: Option<u64>,
}

/// Which rows of a table are meant.
enum Scope {
    /// The missing rows that the predicate, if any, selects.
    Wanted(Option<Predicate>),
    /// The missing rows that refer to a planned row.
    Children,
    /// The rows with these tuples in these columns: parents that are needed.
    Parents(Needed),
}

/// Parents that rows to be restored need, by the columns they refer to.
#[derive(Default)]
struct Needed(HashMap<Vec<String>, Vec<RecordBatch>>);

/// Plans the return of missing rows into `draft`. `all` are the pairs of every table that
/// both sides have, among which parents and children are found.
pub async fn plan_restore(
    mount: &Mount,
    wanted: Vec<Wanted>,
    all: &[TablePair],
    options: &RestoreOptions,
    draft: &mut Draft,
    progress: Arc<dyn Progress>,
) -> Result<()> {
    let pairs: HashMap<&TableName, &TablePair> = all.iter().map(|p| (&p.table.live, p)).collect();
    let schemas: HashMap<TableName, TableSchema> =
        all.iter().map(|p| (p.table.live.clone(), p.schema.live.as_ref().clone())).collect();
    let mut scopes: HashMap<TableName, Scope> = wanted
        .into_iter()
        .map(|w| (w.pair.table.live.clone(), Scope::Wanted(w.predicate)))
        .collect();
    if options.with_children {
        add_children(&mut scopes, &schemas);
    }
    if options.with_parents {
        add_parents(mount, &mut scopes, &schemas, &pairs, &progress).await?;
    }
    let mut chosen: Vec<&TableSchema> = scopes.keys().filter_map(|t| schemas.get(t)).collect();
    chosen.sort_by(|a, b| a.name.cmp(&b.name));
    let (order, cyclic) = parents_first(&chosen);
    let mut planned = Planned::default();
    for schema in &chosen {
        for reference in &schema.foreign_keys {
            planned.watch(&reference.parent, &reference.parent_columns);
        }
    }
    for table in order {
        let (Some(scope), Some(pair)) = (scopes.remove(&table), pairs.get(&table)) else {
            continue;
        };
        let mut job = TableJob::new(mount, pair, &schemas, &mut planned, draft)?;
        if cyclic.contains(&table) {
            job.notes.push(
                "stands on a cycle of references: rows whose parents come later are refused".into(),
            );
        }
        job.run(scope, options.limit, Arc::clone(&progress)).await?;
    }
    Ok(())
}

/// One table's part of a plan.
struct TableJob<'a> {
    mount: &'a Mount,
    pair: &'a TablePair,
    schemas: &'a HashMap<TableName, TableSchema>,
    planned: &'a mut Planned,
    draft: &'a mut Draft,
    key: Vec<Column>,
    columns: Vec<Column>,
    batches: Batches,
    rows: u64,
    refused: HashMap<Reason, u64>,
    notes: Vec<String>,
    largest: Option<i64>,
}

impl<'a> TableJob<'a> {
    fn new(
        mount: &'a Mount,
        pair: &'a TablePair,
        schemas: &'a HashMap<TableName, TableSchema>,
        planned: &'a mut Planned,
        draft: &'a mut Draft,
    ) -> Result<Self> {
        let schema = &pair.schema.live;
        let key = pair.key_columns();
        let rest = pair.common().filter(|c| !key.iter().any(|k| k.name == c.name));
        let columns: Vec<Column> =
            key.iter().chain(rest).filter(|c| !c.generated).cloned().collect();
        let written: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        let lacking = notes::unfillable(schema, &written);
        if !lacking.is_empty() {
            return Err(Error::refused(format!(
                "missing rows of {} can't be restored: live demands {}, which the backup lacks",
                schema.name,
                lacking.join(", ")
            ))
            .hint(format!("give live a default: alter table {} ..", schema.name))
            .hint("or restore other tables only: --table T"));
        }
        let batches = Batches::new(draft.next_table(), draft.batch_size(), draft.next_batch());
        let notes = notes::notes(schema, Op::Insert, &written);
        let refused = HashMap::new();
        Ok(Self {
            mount,
            pair,
            schemas,
            planned,
            draft,
            key,
            columns,
            batches,
            rows: 0,
            refused,
            notes,
            largest: None,
        })
    }

    /// Plans the rows that `scope` means and ends the table.
    async fn run(
        mut self,
        scope: Scope,
        limit: Option<u64>,
        progress: Arc<dyn Progress>,
    ) -> Result<()> {
        let schema = self.pair.schema.live.clone();
        let itself = schema.foreign_keys.iter().any(|f| f.parent == schema.name);
        let columns = self.columns.clone();
        let mut held = Vec::new();
        let mut left = limit.unwrap_or(u64::MAX);
        // A key that the user named is proved over all rows.
        let named = self.pair.key.origin == KeyOrigin::Named;
        let mut skipped = Vec::new();
        match scope {
            Scope::Parents(needed) => {
                for batch in self.parents(needed).await? {
                    self.take(batch, itself, &mut held).await?;
                }
            }
            Scope::Wanted(_) | Scope::Children => {
                let (predicate, children) = match scope {
                    Scope::Wanted(predicate) => (predicate, false),
                    _ => (None, true),
                };
                let mut missing =
                    Missing::start(self.mount, self.pair, predicate.as_ref(), &columns, progress)
                        .await?;
                while let Some(batch) = missing.next().await? {
                    let batch = if children { self.children_of_planned(batch)? } else { batch };
                    let rows = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= rows as u64;
                    self.take(batch.slice(0, rows), itself, &mut held).await?;
                    if left == 0 && !named {
                        break;
                    }
                }
                if left > 0 || named {
                    prove_key(self.pair, &missing.counts())?;
                    skipped = uncounted(&missing.counts(), missing.unevaluated());
                }
            }
        }
        if !held.is_empty() {
            let all = concat_batches(&scan_schema(&columns), &held)?;
            let live = self.mount.source(Which::Live).clone();
            let (waves, rest) =
                in_waves(live.as_ref(), &schema, &columns, all, self.planned).await?;
            for wave in waves {
                self.write(wave).await?;
            }
            self.refuse_orphans(&rest).await?;
        }
        self.end(skipped).await
    }

    /// Checks rows and plans them; a table that refers to itself holds them back.
    async fn take(
        &mut self,
        batch: RecordBatch,
        itself: bool,
        held: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let live = self.mount.source(Which::Live).clone();
        let schema = self.pair.schema.live.as_ref();
        let checked = check(
            live.as_ref(),
            schema,
            self.schemas,
            &self.key,
            &self.columns,
            batch,
            self.planned,
        )
        .await?;
        for conflict in &checked.refused {
            *self.refused.entry(conflict.reason).or_default() += 1;
        }
        self.draft.refuse(&checked.refused).await?;
        if itself {
            held.push(checked.rows);
            return Ok(());
        }
        self.planned.add(&schema.name, Rows { columns: &self.columns, batch: &checked.rows })?;
        self.write(checked.rows).await
    }

    async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Some(ids) = rows.column(0).as_any().downcast_ref::<arrow::array::Int64Array>() {
            self.largest = self.largest.max(arrow::compute::max(ids));
        }
        let full = self.batches.push(None, Some(rows))?;
        self.draft.add(full).await
    }

    /// The rows that refer to a planned row.
    fn children_of_planned(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = Rows { columns: &self.columns, batch: &batch };
        let mut keep = vec![false; batch.num_rows()];
        for reference in &self.pair.schema.live.foreign_keys {
            let Some(parent) = self.schemas.get(&reference.parent) else { continue };
            let Some(planned) = self.planned.get(&reference.parent, &reference.parent_columns)
            else {
                continue;
            };
            if !rows.have(&reference.columns) {
                continue;
            }
            let theirs = named(parent, &reference.parent_columns);
            let cells = rows.cells(&reference.columns)?;
            for (row, keep) in keep.iter_mut().enumerate() {
                *keep |= collated(&cells, row, &theirs)?.is_some_and(|t| planned.contains(&t));
            }
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// The needed parents, each once.
    async fn parents(&self, needed: Needed) -> Result<Vec<RecordBatch>> {
        let backup = &self.mount.source(Which::Backup);
        let schema = self.pair.schema.live.as_ref();
        let key_names: Vec<String> = self.pair.key.columns.clone();
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for (names, keys) in needed.0 {
            let theirs = named(schema, &names);
            for keys in keys {
                let table = &self.pair.table.backup;
                let batch = backup.fetch(table, &self.columns, &theirs, &keys).await?;
                let cells = Rows { columns: &self.columns, batch: &batch };
                let cells = cells.cells(&key_names)?;
                let keep = (0..batch.num_rows())
                    .map(|row| {
                        let tuple = collated(&cells, row, &self.key)?;
                        Ok(tuple.is_some_and(|t| seen.insert(t)))
                    })
                    .collect::<Result<Vec<bool>>>()?;
                all.push(filter_record_batch(&batch, &BooleanArray::from(keep))?);
            }
        }
        Ok(all)
    }

    /// Records rows of a table that refers to itself whose parent is nowhere.
    async fn refuse_orphans(&mut self, rest: &RecordBatch) -> Result<()> {
        let rows = Rows { columns: &self.columns, batch: rest };
        let names: Vec<String> = self.pair.key.columns.clone();
        let conflicts = (0..rest.num_rows())
            .map(|row| {
                Ok(Conflict {
                    table: self.pair.table.live.to_string(),
                    key: key_json(&names, &rows.tuple(&names, row)?),
                    reason: Reason::ForeignKey,
                    detail: "the row of this table that it refers to is missing".into(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        *self.refused.entry(Reason::ForeignKey).or_default() += conflicts.len() as u64;
        self.draft.refuse(&conflicts).await
    }

    async fn end(mut self, mut skipped: Vec<Skipped>) -> Result<()> {
        let (last, _) = self.batches.finish()?;
        self.draft.add(last).await?;
        for (reason, rows) in self.refused {
            let reason = match reason {
                Reason::Recreated => "recreated",
                Reason::ForeignKey => "parent_missing",
                _ => "refused",
            };
            skipped.push(Skipped { reason: reason.into(), rows });
        }
        skipped.retain(|s| s.rows > 0);
        skipped.sort_by(|a, b| a.reason.cmp(&b.reason));
        let schema = self.pair.schema.live.as_ref().clone();
        self.notes.extend(notes::huge_id(&schema, self.largest));
        self.draft.end_table(TablePlan {
            table: schema.name.clone(),
            op: Op::Insert,
            key: self.pair.key.clone(),
            before: Vec::new(),
            after: self.columns,
            schema,
            rows: self.rows,
            skipped,
            notes: self.notes,
        });
        Ok(())
    }
}

/// A key that the user named must be unique and whole on both sides before it may be
/// written by (K1).
pub(super) fn prove_key(pair: &TablePair, counts: &DiffCounts) -> Result<()> {
    let unkeyable = counts.unkeyable.backup + counts.unkeyable.live;
    if pair.key.origin != KeyOrigin::Named || counts.ambiguous + unkeyable == 0 {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the key {} of {} is not proved: {} rows share one, {} have none",
        pair.key, pair.table.live, counts.ambiguous, unkeyable
    ))
    .hint("name columns that are unique and not NULL on both sides: --key COLUMNS"))
}

/// Rows that a diff could not match or a predicate could not judge, as counts of a plan.
pub(super) fn uncounted(counts: &DiffCounts, unevaluated: u64) -> Vec<Skipped> {
    [
        ("ambiguous_key", counts.ambiguous),
        ("unkeyable", counts.unkeyable.backup),
        ("unevaluated", unevaluated),
    ]
    .into_iter()
    .filter(|(_, rows)| *rows > 0)
    .map(|(reason, rows)| Skipped { reason: reason.into(), rows })
    .collect()
}

/// Adds every table that refers to a chosen one, over any number of steps.
fn add_children(scopes: &mut HashMap<TableName, Scope>, schemas: &HashMap<TableName, TableSchema>) {
    loop {
        let more: Vec<TableName> = schemas
            .values()
            .filter(|s| !scopes.contains_key(&s.name))
            .filter(|s| s.foreign_keys.iter().any(|f| scopes.contains_key(&f.parent)))
            .map(|s| s.name.clone())
            .collect();
        if more.is_empty() {
            return;
        }
        scopes.extend(more.into_iter().map(|t| (t, Scope::Children)));
    }
}

/// Adds the parents that the wanted rows need and live lacks, over any number of steps.
async fn add_parents(
    mount: &Mount,
    scopes: &mut HashMap<TableName, Scope>,
    schemas: &HashMap<TableName, TableSchema>,
    pairs: &HashMap<&TableName, &TablePair>,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    let nothing = Planned::default();
    let mut todo: Vec<(TableName, RecordBatch, Vec<Column>)> = Vec::new();
    let start: Vec<TableName> = scopes
        .iter()
        .filter(|(_, s)| matches!(s, Scope::Wanted(_)))
        .map(|(t, _)| t.clone())
        .collect();
    for table in start {
        let Some(pair) = pairs.get(&table) else { continue };
        let predicate = match scopes.get(&table) {
            Some(Scope::Wanted(predicate)) => predicate.as_ref(),
            _ => None,
        };
        let columns = reference_columns(pair);
        if columns.len() == pair.key.columns.len() {
            continue;
        }
        let mut missing =
            Missing::start(mount, pair, predicate, &columns, Arc::clone(progress)).await?;
        while let Some(batch) = missing.next().await? {
            todo.push((table.clone(), batch, columns.clone()));
        }
    }
    let mut asked: HashSet<(TableName, Vec<u8>)> = HashSet::new();
    while let Some((table, batch, columns)) = todo.pop() {
        let rows = Rows { columns: &columns, batch: &batch };
        for reference in schemas.get(&table).into_iter().flat_map(|s| &s.foreign_keys) {
            let parent = &reference.parent;
            let (Some(schema), Some(pair)) = (schemas.get(parent), pairs.get(parent)) else {
                continue;
            };
            if matches!(scopes.get(parent), Some(Scope::Wanted(None))) {
                continue;
            }
            let lacking =
                orphans(mount.source(Which::Live).as_ref(), schema, reference, rows, &nothing)
                    .await?;
            let fresh = not_asked(schema, reference, rows, lacking, &mut asked)?;
            if fresh.is_empty() {
                continue;
            }
            let keys = parent_keys(schema, reference, &batch, &fresh)?;
            let columns = reference_columns(pair);
            let theirs = named(schema, &reference.parent_columns);
            let found = mount
                .source(Which::Backup)
                .fetch(&pair.table.backup, &columns, &theirs, &keys)
                .await?;
            todo.push((parent.clone(), found, columns));
            match scopes.entry(parent.clone()).or_insert_with(|| Scope::Parents(Needed::default()))
            {
                Scope::Parents(needed) => {
                    needed.0.entry(reference.parent_columns.clone()).or_default().push(keys);
                }
                // A predicate or the children's rule would leave a needed parent out.
                Scope::Wanted(predicate) => *predicate = None,
                other @ Scope::Children => *other = Scope::Wanted(None),
            }
        }
    }
    Ok(())
}

/// The rows among `lacking` whose parent was not asked for yet.
fn not_asked(
    parent: &TableSchema,
    reference: &ForeignKey,
    rows: Rows<'_>,
    lacking: Vec<usize>,
    asked: &mut HashSet<(TableName, Vec<u8>)>,
) -> Result<Vec<u32>> {
    let theirs = named(parent, &reference.parent_columns);
    let cells = rows.cells(&reference.columns)?;
    let mut fresh = Vec::new();
    for row in lacking {
        if let Some(tuple) = collated(&cells, row, &theirs)?
            && asked.insert((parent.name.clone(), tuple))
        {
            fresh.push(row as u32);
        }
    }
    Ok(fresh)
}

/// The referred-to tuples of these rows as sorted keys of the parent.
fn parent_keys(
    parent: &TableSchema,
    reference: &ForeignKey,
    batch: &RecordBatch,
    rows: &[u32],
) -> Result<RecordBatch> {
    let theirs = named(parent, &reference.parent_columns);
    let rows = UInt32Array::from(rows.to_vec());
    let taken = take_record_batch(batch, &rows)?;
    let arrays = reference
        .columns
        .iter()
        .map(|name| taken.column_by_name(name).cloned())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::failed(format!("the reference to {} lacks a column", parent.name)))?;
    let schema = scan_schema(&theirs);
    let fields: Vec<_> = schema.fields().iter().take(arrays.len()).cloned().collect();
    let keys = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
    let sort = keys
        .columns()
        .iter()
        .map(|a| arrow::compute::SortColumn { values: a.clone(), options: None });
    let order = arrow::compute::lexsort_to_indices(&sort.collect::<Vec<_>>(), None)?;
    Ok(take_record_batch(&keys, &order)?)
}

fn named(schema: &TableSchema, names: &[String]) -> Vec<Column> {
    names.iter().filter_map(|n| schema.column(n).cloned()).collect()
}

/// The key and the columns that refer to parents, as far as both sides have them.
fn reference_columns(pair: &TablePair) -> Vec<Column> {
    let mut columns = pair.key_columns();
    for name in pair.schema.live.foreign_keys.iter().flat_map(|f| &f.columns) {
        if columns.iter().all(|c| c.name != *name) {
            columns.extend(pair.common().find(|c| c.name == *name).cloned());
        }
    }
    columns
}
