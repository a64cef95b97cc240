//! The SQL of reading and writing rows by key. Every statement that the target emits over
//! rows is made here, from names of the catalogue; values are bound.
//!
//! Writes are plain: a row's address is a direct predicate, never a sub-query, and what a
//! unique index refuses is refused.

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::query::any_of;
use crate::engine::mysql::session::quote;
use crate::engine::mysql::write::children::Child;
use crate::error::Result;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::Column;

/// Selects `columns` and the key's columns of the rows with one of `count` keys. The key's
/// own index is used, so that no other row is locked.
pub(super) fn select(
    table: &Table,
    columns: &[Column],
    key: &[&TableColumn],
    count: usize,
    lock: &str,
) -> String {
    let names = columns.iter().map(|c| &c.name).chain(key.iter().map(|c| &c.name));
    let names: Vec<String> = names.map(|name| quote(name)).collect();
    let index = table.uniques.iter().find(|index| {
        index.columns.len() == key.len()
            && key.iter().all(|k| index.columns.iter().flatten().any(|name| *name == k.name))
    });
    let hint = index.map(|index| format!(" force index ({})", quote(&index.name)));
    format!(
        "select {} from {}{} where {}{lock}",
        names.join(", "),
        quote(&table.name),
        hint.unwrap_or_default(),
        any_of(key, count)
    )
}

/// How rows of one table are written.
#[derive(Debug)]
pub(super) struct Write<'a> {
    op: Op,
    table: &'a Table,
    /// Written columns: their places in the image after, and themselves.
    pub(super) values: Vec<(usize, &'a TableColumn)>,
    /// The key: places in the image by which rows are found.
    pub(super) key: Vec<(usize, &'a TableColumn)>,
    /// Guarded columns: places in the image before.
    pub(super) guard: Vec<(usize, &'a TableColumn)>,
    /// Columns that ON UPDATE would move.
    held: Vec<&'a TableColumn>,
}

impl<'a> Write<'a> {
    /// How the rows of `plan` are written.
    pub(super) fn of(plan: &TablePlan, table: &'a Table) -> Result<Self> {
        let is_key = |c: &Column| plan.key.columns.contains(&c.name);
        let pick = |columns: &[Column], wanted: &dyn Fn(&Column, &TableColumn) -> bool| {
            let mut picked = Vec::new();
            for (at, column) in columns.iter().enumerate() {
                let here = table.require(&column.name)?;
                if wanted(column, here) {
                    picked.push((at, here));
                }
            }
            Ok::<_, crate::error::Error>(picked)
        };
        let values =
            pick(&plan.after, &|c, here| !here.generated && (plan.op == Op::Insert || !is_key(c)))?;
        let found_by = if plan.op == Op::Insert { &plan.after } else { &plan.before };
        let mut key = Vec::with_capacity(plan.key.columns.len());
        for name in &plan.key.columns {
            key.extend(pick(found_by, &|c, _| c.name == *name)?);
        }
        let guard = match plan.op {
            Op::Insert => Vec::new(),
            Op::Update => pick(&plan.before, &|_, here| {
                values.iter().any(|(_, written)| written.name == here.name)
            })?,
            Op::Delete => pick(&plan.before, &|c, _| !is_key(c))?,
        };
        let held = table.columns.iter().filter(|column| {
            column.on_update && !values.iter().any(|(_, written)| written.name == column.name)
        });
        let held = held.collect();
        Ok(Self { op: plan.op, table, values, key, guard, held })
    }

    /// The parameters of one row.
    pub(super) fn width(&self) -> usize {
        match self.op {
            Op::Insert => self.values.len(),
            Op::Update => {
                self.values.len() * (self.key.len() + 1) + self.key.len() + self.guard.len()
            }
            Op::Delete => self.key.len() + self.guard.len(),
        }
    }

    /// The statement that writes `count` rows. Its parameters: of an insert the rows' values;
    /// of an update for each written column the rows' keys and values, then what a delete
    /// has: the rows' keys and guards.
    pub(super) fn statement(&self, count: usize) -> String {
        let name = quote(&self.table.name);
        match self.op {
            Op::Insert => {
                let columns: Vec<String> =
                    self.values.iter().map(|(_, c)| quote(&c.name)).collect();
                let values: Vec<&str> = self.values.iter().map(|(_, c)| c.value()).collect();
                let row = format!("({})", values.join(", "));
                let rows = vec![row; count].join(", ");
                format!("insert into {name} ({}) values {rows}", columns.join(", "))
            }
            Op::Update => {
                let is = self.is();
                let sets = self.values.iter().map(|(_, c)| {
                    let one = format!(" when {is} then {}", c.value());
                    format!("{} = case{} end", quote(&c.name), one.repeat(count))
                });
                let held = self.held.iter().map(|c| format!("{0} = {0}", quote(&c.name)));
                let sets: Vec<String> = sets.chain(held).collect();
                format!("update {name} set {} where {}", sets.join(", "), self.rows(count))
            }
            Op::Delete => format!("delete from {name} where {}", self.rows(count)),
        }
    }

    /// One row's key.
    fn is(&self) -> String {
        let terms = self.key.iter().map(|(_, c)| format!("{} = {}", quote(&c.name), c.parameter()));
        terms.collect::<Vec<_>>().join(" and ")
    }

    fn rows(&self, count: usize) -> String {
        let mut one = self.is();
        for (_, column) in &self.guard {
            one.push_str(" and ");
            one.push_str(&column.is_exactly());
        }
        vec![format!("({one})"); count].join(" or ")
    }
}

/// Selects the keys, of `count` of them, that rows of `child` refer to. A row that refers
/// to itself alone does not count where it goes itself. `newest` is
/// [`Session::newest`](crate::engine::mysql::session::Session::newest).
pub(super) fn referenced(
    table: &Table,
    key: &[&TableColumn],
    child: &Child,
    (count, goes): (usize, bool),
    newest: &str,
) -> String {
    let own = quote(&table.name);
    let names: Vec<String> = key.iter().map(|c| quote(&c.name)).collect();
    let mut join: Vec<String> = child
        .parent_columns
        .iter()
        .zip(&child.columns)
        .map(|(parent, column)| format!("c.{} = {own}.{}", quote(column), quote(parent)))
        .collect();
    if goes && child.itself {
        let same: Vec<String> =
            names.iter().map(|name| format!("c.{name} = {own}.{name}")).collect();
        join.push(format!("not ({})", same.join(" and ")));
    }
    format!(
        "select {} from {own} where {} and exists (select 1 from {} as c where {}{newest}){newest}",
        names.join(", "),
        any_of(key, count),
        child.table,
        join.join(" and ")
    )
}

/// Finds the keys of rows with these values in these columns, as the engine compares.
pub(super) fn holder(
    table: &Table,
    key: &[&TableColumn],
    columns: &[&TableColumn],
    newest: &str,
) -> String {
    let names: Vec<String> = key.iter().map(|c| quote(&c.name)).collect();
    format!(
        "select {} from {} where {} limit 2{newest}",
        names.join(", "),
        quote(&table.name),
        any_of(columns, 1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mysql::catalogue::Index;
    use crate::engine::mysql::types::Form;
    use crate::model::table::Carrier;
    use crate::mount::memory;

    fn column(name: &str, on_update: bool) -> TableColumn {
        TableColumn {
            name: name.into(),
            declared: "int".into(),
            form: Form::Int { width: 4, unsigned: false },
            kind: "int".into(),
            charset: None,
            not_null: true,
            default: None,
            generated: name == "g",
            counter: false,
            on_update,
        }
    }

    fn table() -> Table {
        let columns = vec![column("k`1", false), column("v", false), column("g", false)];
        Table {
            name: "t; drop".into(),
            base: true,
            engine: "InnoDB".into(),
            rows: 0,
            columns: columns.into_iter().chain([column("u", true)]).collect(),
            uniques: vec![Index {
                name: "PRIMARY".into(),
                columns: vec![Some("k`1".into())],
                in_order: true,
            }],
        }
    }

    fn plan(op: Op) -> TablePlan {
        let column = |name: &str| Column::new(name, Carrier::Int);
        let columns: Vec<Column> = ["k`1", "v", "g"].into_iter().map(column).collect();
        let schema = memory::table("t; drop", columns.clone(), &["k`1"], vec![]).schema;
        TablePlan {
            table: schema.name.clone(),
            op,
            key: schema.keys[0].clone(),
            before: if op == Op::Insert { vec![] } else { columns.clone() },
            after: if op == Op::Delete { vec![] } else { columns },
            schema,
            rows: 0,
            skipped: vec![],
            notes: vec![],
            from: Vec::new(),
        }
    }

    #[test]
    fn g2_c1_writes_are_plain_and_address_their_rows_directly() {
        let table = table();
        let sql = |op, count| Write::of(&plan(op), &table).unwrap().statement(count);
        assert_eq!(sql(Op::Insert, 2), "insert into `t; drop` (`k``1`, `v`) values (?, ?), (?, ?)");
        assert_eq!(
            sql(Op::Update, 2),
            "update `t; drop` set `v` = case when `k``1` = ? then ? when `k``1` = ? then ? end, \
             `u` = `u` where (`k``1` = ? and `v` <=> ?) or (`k``1` = ? and `v` <=> ?)"
        );
        assert_eq!(
            sql(Op::Delete, 1),
            "delete from `t; drop` where (`k``1` = ? and `v` <=> ? and `g` <=> ?)"
        );
        for op in [Op::Insert, Op::Update, Op::Delete] {
            for word in ["replace", "ignore", "duplicate", "with ", "select", " limit "] {
                assert!(!sql(op, 3).contains(word), "{word}");
            }
        }
    }
}
