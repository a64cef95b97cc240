//! What is looked at before a missing row is planned: a twin that the application
//! re-created under another key, and parents that are not there.

use std::collections::{HashMap, HashSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use crate::error::Result;
use crate::model::conflict::{Conflict, Reason};
use crate::model::table::{Column, ForeignKey, TableName, TableSchema};
use crate::model::value::{Value, ValueRef, collated};
use crate::plan::lookup::{Rows, find};
use crate::source::Source;

/// Which rows of a table a plan will have written: their tuples by the columns that a
/// child refers to.
#[derive(Debug, Default)]
pub struct Planned {
    tuples: HashMap<(TableName, Vec<String>), HashSet<Vec<u8>>>,
}

impl Planned {
    /// Remembers from now on which tuples of these columns are planned.
    pub fn watch(&mut self, table: &TableName, columns: &[String]) {
        self.tuples.entry((table.clone(), columns.to_vec())).or_default();
    }

    /// Adds planned rows to every watched set of columns of their table.
    pub fn add(&mut self, table: &TableName, rows: Rows<'_>) -> Result<()> {
        for ((watched, names), tuples) in &mut self.tuples {
            if watched != table || !rows.have(names) {
                continue;
            }
            let columns = columns_of(rows.columns, names);
            let cells = rows.cells(names)?;
            for row in 0..rows.batch.num_rows() {
                tuples.extend(collated(&cells, row, &columns)?);
            }
        }
        Ok(())
    }

    /// The planned tuples of these columns, where they are watched.
    pub fn get(&self, table: &TableName, columns: &[String]) -> Option<&HashSet<Vec<u8>>> {
        self.tuples.get(&(table.clone(), columns.to_vec()))
    }
}

/// The columns of these names, in the order of the names.
pub(crate) fn columns_of(columns: &[Column], names: &[String]) -> Vec<Column> {
    names.iter().filter_map(|n| columns.iter().find(|c| c.name == *n).cloned()).collect()
}

/// The rows of `rows` that can be inserted; the others are conflicts, with why.
#[derive(Debug)]
pub struct Checked {
    /// The rows to plan.
    pub rows: RecordBatch,
    /// The rows that are left alone.
    pub refused: Vec<Conflict>,
}

/// Checks missing rows of `schema`'s table against live: unique columns and parents.
pub async fn check(
    live: &dyn Source,
    schema: &TableSchema,
    parents: &HashMap<TableName, TableSchema>,
    key: &[Column],
    columns: &[Column],
    batch: RecordBatch,
    planned: &Planned,
) -> Result<Checked> {
    let rows = Rows { columns, batch: &batch };
    let key_names: Vec<String> = key.iter().map(|c| c.name.clone()).collect();
    let mut keep = vec![true; batch.num_rows()];
    let mut refused = Vec::new();
    let mut refuse = |row: usize, reason: Reason, detail: String| -> Result<()> {
        if std::mem::replace(&mut keep[row], false) {
            let key = key_json(&key_names, &rows.tuple(&key_names, row)?);
            refused.push(Conflict { table: schema.name.to_string(), key, reason, detail });
        }
        Ok(())
    };
    for (row, detail) in twins(live, schema, key, rows).await? {
        refuse(row, Reason::Recreated, detail)?;
    }
    // A table's references to itself are settled by the order of its rows (`waves`).
    for reference in schema.foreign_keys.iter().filter(|f| f.parent != schema.name) {
        let Some(parent) = parents.get(&reference.parent) else { continue };
        for row in orphans(live, parent, reference, rows, planned).await? {
            let value = rows.tuple(&reference.columns, row)?;
            let detail = format!(
                "its parent in {} ({}) is missing; restore it too with --with-parents",
                reference.parent,
                key_json(&reference.parent_columns, &value),
            );
            refuse(row, Reason::ForeignKey, detail)?;
        }
    }
    if refused.is_empty() {
        return Ok(Checked { rows: batch, refused });
    }
    let rows = filter_record_batch(&batch, &BooleanArray::from(keep))?;
    Ok(Checked { rows, refused })
}

/// Rows whose unique columns another row of live has, with the words that name it.
async fn twins(
    live: &dyn Source,
    schema: &TableSchema,
    key: &[Column],
    rows: Rows<'_>,
) -> Result<Vec<(usize, String)>> {
    let mut twins = Vec::new();
    for index in schema.uniques.iter().filter(|u| !u.partial) {
        let Some(names) = index.columns.iter().cloned().collect::<Option<Vec<String>>>() else {
            continue;
        };
        let is_key = names.len() == key.len() && key.iter().all(|k| names.contains(&k.name));
        if is_key || !rows.have(&names) {
            continue;
        }
        let theirs = columns_of(&schema.columns, &names);
        let taken = find(live, &schema.name, &theirs, key, rows, &names).await?;
        if taken.is_empty() {
            continue;
        }
        let cells = rows.cells(&names)?;
        for row in 0..rows.batch.num_rows() {
            let Some(tuple) = collated(&cells, row, &theirs)? else { continue };
            if let Some(other) = taken.get(&tuple) {
                let key_names: Vec<String> = key.iter().map(|c| c.name.clone()).collect();
                let detail = format!(
                    "recreated as {}: live has this {} already",
                    key_words(&key_names, other),
                    names.join(", ")
                );
                twins.push((row, detail));
            }
        }
    }
    Ok(twins)
}

/// Rows that refer to a parent that is neither live nor planned.
pub async fn orphans(
    live: &dyn Source,
    parent: &TableSchema,
    reference: &ForeignKey,
    rows: Rows<'_>,
    planned: &Planned,
) -> Result<Vec<usize>> {
    if !rows.have(&reference.columns) {
        return Ok(Vec::new());
    }
    let theirs = columns_of(&parent.columns, &reference.parent_columns);
    if theirs.len() != reference.columns.len() {
        return Ok(Vec::new());
    }
    let known = find(live, &reference.parent, &theirs, &[], rows, &reference.columns).await?;
    let planned = planned.get(&reference.parent, &reference.parent_columns);
    let cells = rows.cells(&reference.columns)?;
    let mut orphans = Vec::new();
    for row in 0..rows.batch.num_rows() {
        let Some(tuple) = collated(&cells, row, &theirs)? else { continue };
        if !known.contains_key(&tuple) && !planned.is_some_and(|p| p.contains(&tuple)) {
            orphans.push(row);
        }
    }
    Ok(orphans)
}

/// A key as JSON: `{"id":412}`. Bytes that JSON can't say are hexadecimal, marked as in
/// snapshots.
pub fn key_json(names: &[String], values: &[Value]) -> serde_json::Value {
    let members = names.iter().zip(values).map(|(n, v)| (n.clone(), v.as_ref().to_json()));
    serde_json::Value::Object(members.collect())
}

/// A key in words: `id 412`.
fn key_words(names: &[String], values: &[Value]) -> String {
    let pairs = names.iter().zip(values).map(|(n, v)| match v.as_ref() {
        ValueRef::Text(b) => format!("{n} {}", String::from_utf8_lossy(b)),
        other => format!("{n} {}", other.to_json()),
    });
    pairs.collect::<Vec<_>>().join(", ")
}
