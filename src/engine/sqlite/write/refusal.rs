//! Why SQLite refused a row, in words, by its extended result codes.

use arrow::array::RecordBatch;

use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::engine::sqlite::write::{Stop, sql};
use crate::error::Error;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::Key;
use crate::model::value::{Cells, ValueRef};

/// Explains refusals of one table's rows.
pub(super) struct Refusals<'a> {
    connection: &'a Connection,
    plan: &'a TablePlan,
}

impl<'a> Refusals<'a> {
    pub(super) fn new(connection: &'a Connection, plan: &'a TablePlan) -> Self {
        Self { connection, plan }
    }

    /// The reason and the details of a refused row; any other error is handed back.
    pub(super) fn explain(
        &self,
        e: SqliteError,
        after: Option<&Cells<'a>>,
        row: usize,
        key: &[ValueRef<'a>],
    ) -> Result<(Reason, String), Stop> {
        if !e.refuses_a_row() {
            return Err(e.into());
        }
        if e.is_foreign_key() {
            let orphan = match after {
                Some(after) => orphans_of(self.connection, self.plan, after, &[row])?.pop(),
                None => None,
            };
            let hang = || "a parent is missing, or children hang from it".to_owned();
            return Ok((Reason::ForeignKey, orphan.map_or_else(hang, |(_, detail)| detail)));
        }
        if !e.is_unique() {
            return Ok((Reason::Constraint, self.words(e)));
        }
        if self.plan.op == Op::Insert && self.holder(&self.plan.key.columns, key, None)?.is_some() {
            return Ok((Reason::Exists, "another row has this key".into()));
        }
        let Some(after) = after else { return Ok((Reason::Constraint, self.words(e))) };
        for unique in self.plan.schema.uniques.iter().filter(|u| !u.partial) {
            let Some(columns) = unique.columns.iter().cloned().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let mut values = Vec::with_capacity(columns.len());
            for name in &columns {
                let Some(i) = self.plan.after.iter().position(|c| c.name == *name) else { break };
                values.push(after.get(row, i)?);
            }
            if values.len() < columns.len() || values.iter().any(|v| v.is_null()) {
                continue;
            }
            if let Some(other) = self.holder(&columns, &values, Some(key))? {
                let columns = columns.join(", ");
                let detail = match self.plan.op {
                    Op::Insert => format!("recreated as {other}, which has the same {columns}"),
                    _ => format!("{other} has the same {columns}"),
                };
                return Ok((Reason::Recreated, detail));
            }
        }
        Ok((Reason::Constraint, self.words(e)))
    }

    /// What SQLite says; of a trigger's statement also whose clause it follows.
    fn words(&self, e: SqliteError) -> String {
        let table = &self.plan.table.name;
        let own = e.message.contains(&format!("constraint failed: {table}."));
        match e.message.contains("constraint failed") && !own && sql::overrides_triggers(self.plan)
        {
            true => format!(
                "{} (OR ABORT, which overrides the ON CONFLICT clause of {table}, holds for its triggers too)",
                e.message
            ),
            false => e.message,
        }
    }

    /// The key, in words, of a row with these values; `own` is left out of the search.
    fn holder(
        &self,
        columns: &[String],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> Result<Option<String>, SqliteError> {
        let key = &self.plan.key;
        let sql = sql::holder(&self.plan.table, key, columns);
        let mut found = None;
        self.connection.prepare(&sql)?.query(values, |row| {
            let this: Vec<ValueRef<'_>> = (0..key.columns.len()).map(|i| row.get(i)).collect();
            if own == Some(&this[..]) {
                return Ok::<bool, SqliteError>(true);
            }
            found = Some(words(key, &this));
            Ok(false)
        })?;
        Ok(found)
    }
}

/// `id 412`, or `year 2024, code "a"`.
fn words(key: &Key, values: &[ValueRef<'_>]) -> String {
    let pairs = key.columns.iter().zip(values);
    let pairs: Vec<String> = pairs.map(|(c, v)| format!("{c} {}", v.to_json())).collect();
    pairs.join(", ")
}

/// Those of the written rows whose parents are missing, with the details in words.
pub(super) fn orphans(
    connection: &Connection,
    plan: &TablePlan,
    after: Option<&RecordBatch>,
    rows: &[usize],
) -> Result<Vec<(usize, String)>, Stop> {
    let Some(after) = after else { return Ok(Vec::new()) };
    orphans_of(connection, plan, &Cells::of(after, &plan.after)?, rows)
}

fn orphans_of(
    connection: &Connection,
    plan: &TablePlan,
    cells: &Cells<'_>,
    rows: &[usize],
) -> Result<Vec<(usize, String)>, Stop> {
    let mut orphans: Vec<(usize, String)> = Vec::new();
    for foreign in &plan.schema.foreign_keys {
        let at: Option<Vec<usize>> = foreign
            .columns
            .iter()
            .map(|name| plan.after.iter().position(|c| c.name == *name))
            .collect();
        let Some(at) = at else { continue };
        if foreign.parent_columns.len() != at.len() {
            return Err(Error::failed(format!(
                "live: a foreign key of {} names no columns of {}",
                plan.table, foreign.parent
            ))
            .into());
        }
        let any = Key { columns: foreign.parent_columns.clone(), ..plan.key.clone() };
        let sql = sql::holder(&foreign.parent, &any, &foreign.parent_columns);
        let mut statement = connection.prepare(&sql)?;
        for &row in rows {
            let values: Vec<ValueRef<'_>> =
                at.iter().map(|i| cells.get(row, *i)).collect::<Result<_, _>>()?;
            let mut found = values.iter().any(|v| v.is_null());
            if !found {
                statement.query(&values, |_| {
                    found = true;
                    Ok::<bool, SqliteError>(false)
                })?;
            }
            if !found && orphans.iter().all(|(other, _)| *other != row) {
                let columns = foreign.columns.join(", ");
                orphans.push((row, format!("{columns}: no such row of {}", foreign.parent)));
            }
        }
    }
    orphans.sort_unstable();
    Ok(orphans)
}
