//! The SQL of reading and writing rows by key. Every statement that the target emits over
//! rows is made here, from names of the catalogue; values are bound, a column an array.
//!
//! Writes are plain: a row's address is a direct predicate beside the arrays, never a
//! sub-query, and what a unique index refuses is refused. Everything of ours is named with
//! its schema, since the session keeps the role's own search path. No cast is to a type with a
//! length, which would cut values off: the assignment checks it (T7).

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::session::quote;
use crate::engine::postgres::types::Form;
use crate::engine::postgres::write::array::Element;
use crate::engine::postgres::write::children::Child;
use crate::error::{Error, Result};
use crate::model::plan::{Op, TablePlan};
use crate::model::table::Column;

/// Back to before the last statement, which a savepoint was set for.
pub(super) const TAKE_BACK: &str = "rollback to savepoint restorekit; release savepoint restorekit";

/// The columns of arrays side by side, as the relation `x`: `x.v1` is the first array's
/// element, `x.n` its place from 1. What an inner SELECT gives is not known to the planner, which
/// sees some thousand keys and would rather read a table of a million rows than look them up.
fn arrays(elements: &[Element]) -> String {
    let unnested = elements.iter().zip(1..).map(|(element, at)| {
        format!("pg_catalog.unnest((select ${at}::pg_catalog.{}[]))", element.name())
    });
    let names = (1..=elements.len()).map(|at| format!("v{at}"));
    format!(
        "rows from ({}) with ordinality as x({}, n)",
        unnested.collect::<Vec<_>>().join(", "),
        names.collect::<Vec<_>>().join(", ")
    )
}

/// The value of the array `at` (from 0) as one of the column's base type.
fn value(column: &TableColumn, at: usize) -> String {
    format!("x.v{}::{}", at + 1, column.cast)
}

/// Rows of `x` and rows of the table have the same key, whose arrays begin at `first`.
fn matched(key: &[&TableColumn], elements: &[Element], first: usize) -> String {
    let terms = key.iter().zip(first..).map(|(column, at)| match (column.form, elements[at]) {
        // Integers of all sizes are compared with one another, and beyond a column's size
        // there is no row.
        (Form::Int(_), Element::Int) => column.is_equal("t", &format!("x.v{}", at + 1)),
        _ => column.is_equal("t", &value(column, at)),
    });
    terms.collect::<Vec<_>>().join(" and ")
}

/// Selects `columns`, the key and the place of the rows with the keys in the arrays, in the
/// order of the keys, which is that of the locks.
pub(super) fn select(
    table: &Table,
    columns: &[&TableColumn],
    key: &[&TableColumn],
    elements: &[Element],
    lock: bool,
) -> String {
    let cells = columns.iter().chain(key).map(|column| column.cell("t"));
    format!(
        "select {}, x.n from {} join {} as t on {} order by x.n{}",
        cells.collect::<Vec<_>>().join(", "),
        arrays(elements),
        table.from(),
        matched(key, elements, 0),
        if lock { " for update of t" } else { "" }
    )
}

/// Selects the places of those keys whose rows other rows refer to. A row that refers to
/// itself alone does not count where it goes itself.
pub(super) fn referenced(
    table: &Table,
    key: &[&TableColumn],
    elements: &[Element],
    child: &Child,
    goes: bool,
) -> String {
    let mut join: Vec<String> = child
        .pairs
        .iter()
        .map(|pair| {
            let (parent, own) = (quote(&pair.parent), quote(&pair.column));
            format!("t.{parent} operator({}) c.{own}", pair.equals)
        })
        .collect();
    if goes && child.table == table.quoted {
        join.push("not (c.tableoid = t.tableoid and c.ctid = t.ctid)".replace(" = ", EQUALS));
    }
    format!(
        "select x.n from {} join {} as t on {} where exists (select from {} as c where {})",
        arrays(elements),
        table.from(),
        matched(key, elements, 0),
        child.table,
        join.join(" and ")
    )
}

const EQUALS: &str = " operator(pg_catalog.=) ";

/// Finds the keys of rows with the values in the arrays in these columns, as the server compares.
pub(super) fn holder(
    table: &Table,
    key: &[&TableColumn],
    columns: &[&TableColumn],
    elements: &[Element],
) -> String {
    let cells: Vec<String> = key.iter().map(|c| c.cell("t")).collect();
    format!(
        "select {} from {} join {} as t on {} limit 2",
        cells.join(", "),
        arrays(elements),
        table.from(),
        matched(columns, elements, 0)
    )
}

/// A column that a statement needs values of: its place in an image, and itself.
pub(super) type Place<'a> = (usize, &'a TableColumn);

/// How rows of one table are written.
#[derive(Debug)]
pub(super) struct Write<'a> {
    op: Op,
    table: &'a Table,
    /// Written columns, from the image after.
    pub(super) values: Vec<Place<'a>>,
    /// The key, from the image by which rows are found.
    pub(super) key: Vec<Place<'a>>,
    /// Guarded columns, from the image before.
    pub(super) guard: Vec<Place<'a>>,
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
            Ok::<_, Error>(picked)
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
        if plan.op != Op::Delete && values.is_empty() {
            return Err(Error::failed(format!("the plan writes no column of {}", plan.table)));
        }
        let always = values.iter().find(|(_, column)| column.identity == Some('a'));
        if let (Op::Update, Some((_, column))) = (plan.op, always) {
            return Err(Error::refused(format!(
                "live: {}.{} is GENERATED ALWAYS AS IDENTITY, which no update may set",
                plan.table, column.name
            ))
            .hint("patch other columns; a row that is missing is restored with its own number"));
        }
        Ok(Self { op: plan.op, table, values, key, guard })
    }

    /// The statement over rows whose values, then keys, then guards come in arrays of these
    /// elements; an insert has values only. An update and a delete return the places of the
    /// rows that they found, an update these columns of them too, as it has stored them.
    pub(super) fn statement(&self, elements: &[Element], stored: &[&TableColumn]) -> String {
        let (quoted, from) = (&self.table.quoted, arrays(elements));
        if self.op == Op::Insert {
            let names: Vec<String> = self.values.iter().map(|(_, c)| quote(&c.name)).collect();
            let values = self.values.iter().enumerate().map(|(at, (_, c))| value(c, at));
            let always = self.values.iter().any(|(_, c)| c.identity == Some('a'));
            return format!(
                "insert into {quoted} ({}) {}select {} from {from} order by x.n",
                names.join(", "),
                if always { "overriding system value " } else { "" },
                values.collect::<Vec<_>>().join(", ")
            );
        }
        let key: Vec<&TableColumn> = self.key.iter().map(|(_, c)| *c).collect();
        let values = if self.op == Op::Update { self.values.len() } else { 0 };
        let found = matched(&key, elements, values) + &self.guarded(elements, values + key.len());
        let only = self.table.from();
        match self.op {
            Op::Update => {
                let sets = self.values.iter().enumerate();
                let sets =
                    sets.map(|(at, (_, c))| format!("{} = {}", quote(&c.name), value(c, at)));
                let sets: Vec<String> = sets.collect();
                let cells: String = stored.iter().map(|c| format!(", {}", c.cell("t"))).collect();
                format!(
                    "update {only} as t set {} from {from} where {found} returning x.n{cells}",
                    sets.join(", ")
                )
            }
            _ => format!("delete from {only} as t using {from} where {found} returning x.n"),
        }
    }

    /// The guarded columns are what they were, byte by byte (`record_image_eq`). Values that
    /// travel in the text of their type are compared in it.
    fn guarded(&self, elements: &[Element], first: usize) -> String {
        if self.guard.is_empty() {
            return String::new();
        }
        let (mut live, mut planned) = (Vec::new(), Vec::new());
        for ((_, column), at) in self.guard.iter().zip(first..) {
            let name = format!("t.{}", quote(&column.name));
            let (here, there) = match (column.form, elements[at]) {
                (Form::Output, _) => (column.cell("t"), format!("x.v{}", at + 1)),
                (
                    Form::Numeric | Form::Decimal { .. } | Form::Time | Form::Uuid | Form::Jsonb,
                    Element::Text,
                ) => (format!("{name}::pg_catalog.text"), format!("x.v{}", at + 1)),
                _ => (format!("{name}::{}", column.cast), value(column, at)),
            };
            live.push(here);
            planned.push(there);
        }
        format!(
            " and row({})::pg_catalog.record operator(pg_catalog.*=) row({})::pg_catalog.record",
            live.join(", "),
            planned.join(", ")
        )
    }
}
