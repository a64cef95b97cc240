//! The SQL of reading and writing single rows. Every statement that the target emits is
//! made here, from names of the catalogue; values are bound.
//!
//! Writes are plain: `OR ABORT` overrides an ON CONFLICT clause of the schema, so that a
//! refused row says so, and a row's address is a direct predicate, never a sub-query.

use std::fmt::Write as _;

use crate::engine::sqlite::raw::quote;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::{Collation, Column, Key, TableName};

/// Selects `columns` and the key's columns of the rows whose key equals the parameters in
/// SQLite's eyes, which see affinities and collations: the caller compares exactly.
pub(super) fn select(table: &TableName, key: &Key, columns: &[Column]) -> String {
    let mut sql = String::from("select ");
    let names = columns.iter().map(|c| &c.name).chain(&key.columns);
    list(&mut sql, names.map(|n| quote(n)), ", ");
    let _ = write!(sql, " from main.{} where ", quote(&table.name));
    let terms = key.columns.iter().zip(1..).map(|(name, n)| format!("{} = ?{n}", quote(name)));
    list(&mut sql, terms, " and ");
    sql
}

/// The write of one row, and what its parameters are.
#[derive(Debug)]
pub(super) struct Write {
    /// The statement.
    pub(super) sql: String,
    /// Indices into the after image's columns, bound first.
    pub(super) values: Vec<usize>,
    /// The guarded columns as indices into the before image's columns, bound after the key.
    pub(super) guard: Vec<usize>,
}

/// The statement that writes one row as `plan` says. The parameters are the values, the
/// key, the guard.
pub(super) fn write(plan: &TablePlan) -> Write {
    let table = quote(&plan.table.name);
    let is_key = |c: &Column| plan.key.columns.contains(&c.name);
    let pick = |columns: &[Column], wanted: &dyn Fn(&Column) -> bool| -> Vec<usize> {
        (0..columns.len()).filter(|i| wanted(&columns[*i])).collect()
    };
    let generated = |c: &Column| plan.schema.column(&c.name).is_some_and(|c| c.generated);
    match plan.op {
        Op::Insert => {
            let values = pick(&plan.after, &|c| !generated(c));
            let mut sql = format!("insert or abort into main.{table} (");
            list(&mut sql, values.iter().map(|i| quote(&plan.after[*i].name)), ", ");
            sql.push_str(") values (");
            list(&mut sql, (1..=values.len()).map(|n| format!("?{n}")), ", ");
            sql.push(')');
            Write { sql, values, guard: Vec::new() }
        }
        Op::Update => {
            let values = pick(&plan.after, &|c| !is_key(c) && !generated(c));
            let written = |c: &Column| values.iter().any(|i| plan.after[*i].name == c.name);
            let guard = pick(&plan.before, &|c| written(c));
            let mut sql = format!("update or abort main.{table} set ");
            let sets = values.iter().zip(1..);
            let sets = sets.map(|(i, n)| format!("{} = ?{n}", quote(&plan.after[*i].name)));
            list(&mut sql, sets, ", ");
            address(&mut sql, plan, &guard, values.len() + 1);
            Write { sql, values, guard }
        }
        Op::Delete => {
            let guard = pick(&plan.before, &|c| !is_key(c));
            let mut sql = format!("delete from main.{table}");
            address(&mut sql, plan, &guard, 1);
            Write { sql, values: Vec::new(), guard }
        }
    }
}

/// Appends the WHERE clause of a write: the key, exactly, and the guard.
fn address(sql: &mut String, plan: &TablePlan, guard: &[usize], first: usize) {
    sql.push_str(" where ");
    let mut n = first;
    for (i, name) in plan.key.columns.iter().enumerate() {
        let and = if i == 0 { "" } else { " and " };
        let column = quote(name);
        let _ = write!(sql, "{and}{column} = ?{n}");
        if plan.schema.rowid_alias.as_deref() != Some(name) {
            let _ = write!(sql, " and typeof({column}) = typeof(?{n})");
        }
        if plan.schema.column(name).is_none_or(|c| c.collation != Collation::Binary) {
            let _ = write!(sql, " and {column} collate binary = ?{n}");
        }
        n += 1;
    }
    for i in guard {
        let column = quote(&plan.before[*i].name);
        let _ =
            write!(sql, " and {column} collate binary is ?{n} and typeof({column}) = typeof(?{n})");
        n += 1;
    }
}

/// Finds a row that references the addressed row of `parent` through these columns. The
/// join gives the parent's collation and affinity to the comparison, as the engine does.
pub(super) fn child(
    child: &str,
    columns: &[String],
    parent: &TableName,
    parent_columns: &[String],
    key: &Key,
) -> String {
    let mut sql = format!(
        "select 1 from main.{} as p, main.{} as c where ",
        quote(&parent.name),
        quote(child)
    );
    let address = key.columns.iter().zip(1..).map(|(name, n)| format!("p.{} = ?{n}", quote(name)));
    let join =
        parent_columns.iter().zip(columns).map(|(p, c)| format!("p.{} = c.{}", quote(p), quote(c)));
    list(&mut sql, address.chain(join), " and ");
    sql.push_str(" limit 1");
    sql
}

/// Finds the keys of rows with these values in these columns.
pub(super) fn holder(table: &TableName, key: &Key, columns: &[String]) -> String {
    let mut sql = String::from("select ");
    list(&mut sql, key.columns.iter().map(|n| quote(n)), ", ");
    let _ = write!(sql, " from main.{} where ", quote(&table.name));
    list(&mut sql, columns.iter().zip(1..).map(|(c, n)| format!("{} = ?{n}", quote(c))), " and ");
    sql
}

fn list(sql: &mut String, items: impl Iterator<Item = String>, separator: &str) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            sql.push_str(separator);
        }
        sql.push_str(&item);
    }
}
