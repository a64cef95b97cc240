//! The SQL of reading and writing single rows. Every statement that the target emits is
//! made here, from names of the catalogue; values are bound.
//!
//! Writes are plain: where a clash would not abort by itself, `OR ABORT` overrides the schema's
//! ON CONFLICT clause, so that a refused row says so; and a row's address is a direct predicate,
//! never a sub-query.

use std::fmt::Write as _;

use crate::engine::sqlite::catalogue::words;
use crate::engine::sqlite::raw::quote;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::{Collation, Column, Key, TableName};

/// Selects `columns` and the key's columns of the rows whose key equals the parameters in
/// SQLite's eyes, which see affinities and collations: the caller compares exactly.
pub(super) fn select(table: &TableName, key: &Key, columns: &[Column]) -> String {
    let mut sql = with_key(table, key, columns);
    let terms = key.columns.iter().zip(1..).map(|(name, n)| format!("{} = ?{n}", quote(name)));
    list(&mut sql, terms, " and ");
    sql
}

/// Selects the same of the rows whose rowid, which the key is, lies between the parameters, in
/// its order.
pub(super) fn run(table: &TableName, key: &Key, columns: &[Column]) -> String {
    let rowid = key.columns.iter().map(|name| quote(name)).collect::<String>();
    with_key(table, key, columns) + &format!("{rowid} between ?1 and ?2 order by {rowid}")
}

fn with_key(table: &TableName, key: &Key, columns: &[Column]) -> String {
    let mut sql = String::from("select ");
    let names = columns.iter().map(|c| &c.name).chain(&key.columns);
    list(&mut sql, names.map(|n| quote(n)), ", ");
    let _ = write!(sql, " from main.{} where ", quote(&table.name));
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

/// True when the table's definition has an ON CONFLICT clause, which a write overrides.
fn has_clause(plan: &TablePlan) -> bool {
    words(&plan.schema.ddl).any(|word| word == "CONFLICT")
}

/// True when the write overrides the clauses of the statements in its triggers too: SQLite takes
/// the outer statement's for theirs ("CREATE TRIGGER", 2.1).
pub(super) fn overrides_triggers(plan: &TablePlan) -> bool {
    plan.op != Op::Delete && plan.fires() && has_clause(plan)
}

/// What makes a clash refuse a row whatever the table's definition says of it. Without a clause
/// there a plain statement does the same, and leaves its triggers' statements theirs.
fn or_abort(plan: &TablePlan) -> &'static str {
    if plan.fires() && !has_clause(plan) { "" } else { " or abort" }
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
            let mut sql = format!("insert{} into main.{table} (", or_abort(plan));
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
            let mut sql = format!("update{} main.{table} set ", or_abort(plan));
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
/// With `goes` the addressed row itself does not count: a row that refers to nothing but
/// itself leaves nobody behind when it is deleted.
pub(super) fn child(
    child: &str,
    columns: &[String],
    parent: &TableName,
    parent_columns: &[String],
    key: &Key,
    goes: bool,
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
    if goes && child.eq_ignore_ascii_case(&parent.name) {
        sql.push_str(" and not (");
        list(&mut sql, key.columns.iter().map(|k| format!("c.{0} is p.{0}", quote(k))), " and ");
        sql.push(')');
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Carrier, KeyOrigin, TableKind, TableSchema, Trigger, TriggerEvent};

    fn plan(op: Op) -> TablePlan {
        let column = |name: &str, generated, collation| Column {
            generated,
            collation,
            ..Column::new(name, Carrier::Text)
        };
        let columns = vec![
            column("k \"1\"", false, Collation::NoCase),
            column("v", false, Collation::Binary),
            column("g", true, Collation::Binary),
        ];
        let key = Key { columns: vec!["k \"1\"".into()], origin: KeyOrigin::PrimaryKey };
        TablePlan {
            table: TableName::bare("t; drop"),
            op,
            key: key.clone(),
            before: if op == Op::Insert { vec![] } else { columns.clone() },
            after: if op == Op::Delete { vec![] } else { columns.clone() },
            schema: TableSchema {
                name: TableName::bare("t; drop"),
                kind: TableKind::Base,
                columns,
                keys: vec![key],
                uniques: vec![],
                foreign_keys: vec![],
                triggers: vec![Trigger {
                    name: "x".into(),
                    event: TriggerEvent::Insert,
                    sql: String::new(),
                }],
                rowid_alias: None,
                without_rowid: false,
                autoincrement: false,
                unwritable: None,
                left_out: Vec::new(),
                ddl: String::new(),
            },
            rows: 0,
            skipped: vec![],
            notes: vec![],
            from: Vec::new(),
        }
    }

    #[test]
    fn the_writes_are_plain() {
        assert_eq!(
            write(&plan(Op::Insert)).sql,
            r#"insert into main."t; drop" ("k ""1""", "v") values (?1, ?2)"#
        );
        let key = |n| {
            format!(
                r#""k ""1""" = ?{n} and typeof("k ""1""") = typeof(?{n}) and "k ""1""" collate binary = ?{n}"#
            )
        };
        let guard = |c, n| format!(r#"{c} collate binary is ?{n} and typeof({c}) = typeof(?{n})"#);
        assert_eq!(
            write(&plan(Op::Update)).sql,
            format!(
                r#"update or abort main."t; drop" set "v" = ?1 where {} and {}"#,
                key(2),
                guard(r#""v""#, 3)
            )
        );
        assert_eq!(
            write(&plan(Op::Delete)).sql,
            format!(
                r#"delete from main."t; drop" where {} and {} and {}"#,
                key(1),
                guard(r#""v""#, 2),
                guard(r#""g""#, 3)
            )
        );
    }

    #[test]
    fn c3_a_clause_of_the_definition_is_always_overridden() {
        for (fires, ddl, aborts) in [
            (false, "create table t(k text)", true),
            (true, "create table t(k text, \"on conflict\" text) -- on conflict ignore", false),
            (false, "create table t(k text unique on conflict ignore)", true),
            (true, "create table t(k text unique on /* */ Conflict ignore)", true),
        ] {
            let mut plan = plan(Op::Insert);
            plan.schema.ddl = ddl.into();
            if !fires {
                plan.schema.triggers.clear();
            }
            let sql = write(&plan).sql;
            assert_eq!(sql.starts_with("insert or abort into "), aborts, "{fires} {ddl}: {sql}");
        }
    }

    #[test]
    fn c1_c2_g2_no_write_replaces_ignores_or_hides_its_target() {
        for op in [Op::Insert, Op::Update, Op::Delete] {
            let sql = write(&plan(op)).sql.to_lowercase();
            for word in ["replace", "ignore", "conflict", "with ", "select", "returning"] {
                assert!(!sql.contains(word), "{word} in {sql}");
            }
        }
        // Nor does any other text of the engine that could be sent.
        for file in [
            include_str!("../write.rs"),
            include_str!("children.rs"),
            include_str!("reading.rs"),
            include_str!("refusal.rs"),
            include_str!("writing.rs"),
        ] {
            let code: String = file.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
            let code = code.to_lowercase();
            for words in ["or replace", "or ignore", "replace into", "disable trigger"] {
                assert!(!code.contains(words), "{words}");
            }
        }
    }
}
