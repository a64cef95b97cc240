//! The plan that brings missing rows back: with their parents, with their children, in an
//! order that never leaves a reference dangling.
//!
//! A table's missing keys come from a diff that reads nothing but keys; the rows
//! themselves are then fetched from the backup, or carried along by the diff where the
//! backup has no random access or a predicate needs them.

mod table;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;

use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{Column, ForeignKey, TableName, TableSchema, scan_schema};
use crate::model::value::collated;
use crate::mount::Mount;
use crate::plan::checks::{Planned, orphans};
use crate::plan::draft::Draft;
use crate::plan::lookup::{Rows, ascending};
use crate::plan::missing::{Fitting, Missing};
use crate::plan::order::parents_first;
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
    /// Columns that are written back though the backup has lost something of them.
    pub lossy: Vec<String>,
}

/// Which rows of a table are meant: those that are chosen, and besides them parents that are
/// needed, which no predicate, rule or limit leaves out.
#[derive(Default)]
struct Scope {
    chosen: Option<Chosen>,
    /// The parents that rows to be restored need: their tuples, by the columns referred to.
    needed: BTreeMap<Vec<String>, Vec<RecordBatch>>,
}

/// Which of a table's missing rows are chosen.
enum Chosen {
    /// Those that the predicate, if any, selects.
    Wanted(Option<Predicate>),
    /// Those that refer to a planned row.
    Children,
}

impl From<Chosen> for Scope {
    fn from(chosen: Chosen) -> Self {
        Self { chosen: Some(chosen), ..Self::default() }
    }
}

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
    let mut scopes: BTreeMap<TableName, Scope> = wanted
        .into_iter()
        .map(|w| (w.pair.table.live.clone(), Chosen::Wanted(w.predicate).into()))
        .collect();
    if options.with_children {
        add_children(&mut scopes, &schemas);
    }
    if options.with_parents {
        add_parents(mount, &mut scopes, &schemas, &pairs, options.limit, &progress).await?;
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
        refuse_narrowed(mount, pair).await?;
        let mut job = table::TableJob::new(mount, pair, &schemas, &mut planned, draft)?;
        if cyclic.contains(&table) {
            job.notes.push(
                "stands on a cycle of references: rows whose parents come later are refused".into(),
            );
        }
        job.lossy.clone_from(&options.lossy);
        job.run(scope, options.limit, Arc::clone(&progress)).await?;
    }
    Ok(())
}

/// Refuses a table of several backups of which some lack a column that another has, and live:
/// what has it would come back without it.
async fn refuse_narrowed(mount: &Mount, pair: &TablePair) -> Result<()> {
    let backups = mount.backups();
    for backup in backups.iter().filter(|_| backups.len() > 1) {
        let table = mount.table_in(backup.as_ref(), &pair.table.backup).await?;
        let Some(table) = table else { continue };
        let theirs = backup.schema(&table).await?;
        let live = pair.schema.live.columns.iter().filter(|c| !c.generated);
        let dropped = live.filter(|c| {
            theirs.column(&c.name).is_some() && pair.schema.backup.column(&c.name).is_none()
        });
        let dropped: Vec<&str> = dropped.map(|c| c.name.as_str()).collect();
        if !dropped.is_empty() {
            return Err(Error::refused(format!(
                "{} has {} of {}, and another backup lacks it: rows would come back without it",
                backup.origin().location,
                dropped.join(", "),
                pair.table.live
            ))
            .hint("restore from each backup in turn, the best first: one --backup at a time"));
        }
    }
    Ok(())
}

/// Adds every table that refers to a chosen one, over any number of steps.
fn add_children(
    scopes: &mut BTreeMap<TableName, Scope>,
    schemas: &HashMap<TableName, TableSchema>,
) {
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
        scopes.extend(more.into_iter().map(|t| (t, Chosen::Children.into())));
    }
}

/// Adds the parents that the wanted rows need and live lacks, over any number of steps.
async fn add_parents(
    mount: &Mount,
    scopes: &mut BTreeMap<TableName, Scope>,
    schemas: &HashMap<TableName, TableSchema>,
    pairs: &HashMap<&TableName, &TablePair>,
    limit: Option<u64>,
    progress: &Arc<dyn Progress>,
) -> Result<()> {
    let nothing = Planned::default();
    let mut todo: Vec<(TableName, RecordBatch, Vec<Column>)> = Vec::new();
    for (table, scope) in scopes.iter() {
        let (Some(pair), Some(Chosen::Wanted(predicate))) = (pairs.get(table), &scope.chosen)
        else {
            continue;
        };
        // References often are the key itself, or a part of it, so their columns say nothing.
        if pair.schema.live.foreign_keys.is_empty() {
            continue;
        }
        let mut columns = reference_columns(pair);
        if limit.is_some() {
            // The same rows come first where they are planned: those that live can hold.
            for column in written_columns(pair) {
                if columns.iter().all(|c| c.name != column.name) {
                    columns.push(column);
                }
            }
        }
        let mut left = limit.unwrap_or(u64::MAX);
        let mut missing =
            Missing::start(mount, pair, predicate.as_ref(), &columns, Arc::clone(progress)).await?;
        while left > 0
            && let Some(batch) = missing.next().await?
        {
            let rows = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= rows as u64;
            todo.push((table.clone(), batch.slice(0, rows), columns.clone()));
        }
    }
    let mut asked = HashSet::new();
    while let Some((table, batch, columns)) = todo.pop() {
        let rows = Rows { columns: &columns, batch: &batch };
        for reference in schemas.get(&table).into_iter().flat_map(|s| &s.foreign_keys) {
            let parent = &reference.parent;
            let (Some(schema), Some(pair)) = (schemas.get(parent), pairs.get(parent)) else {
                continue;
            };
            let chosen = scopes.get(parent).and_then(|scope| scope.chosen.as_ref());
            if limit.is_none() && matches!(chosen, Some(Chosen::Wanted(None))) {
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
            // What live can't hold is told where the rows are fetched whole.
            let found = Fitting::new(mount, pair, &columns).fetch(&theirs, &keys).await?;
            todo.push((parent.clone(), found, columns));
            let needed = &mut scopes.entry(parent.clone()).or_default().needed;
            needed.entry(reference.parent_columns.clone()).or_default().push(keys);
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
    asked: &mut HashSet<(TableName, Vec<String>, Vec<u8>)>,
) -> Result<Vec<u32>> {
    let theirs = named(parent, &reference.parent_columns);
    let cells = rows.cells(&reference.columns)?;
    let mut fresh = Vec::new();
    for row in lacking {
        if let Some(tuple) = collated(&cells, row, &theirs)?
            && asked.insert((parent.name.clone(), reference.parent_columns.clone(), tuple))
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
    ascending(&keys)
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

/// What is written of a missing row: the key, then all else that both sides have.
fn written_columns(pair: &TablePair) -> Vec<Column> {
    let key = pair.key_columns();
    let rest = pair.common().filter(|c| !key.iter().any(|k| k.name == c.name));
    key.iter().chain(rest).filter(|c| !c.generated).cloned().collect()
}
