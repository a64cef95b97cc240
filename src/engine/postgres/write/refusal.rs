//! Why the server refused a row, in words, by its SQLSTATE (PostgreSQL documentation, appendix A).

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::failure::{is_lost, state};
use crate::engine::postgres::session::{Session, Stop, raw};
use crate::engine::postgres::write::array::Array;
use crate::engine::postgres::write::sql;
use crate::engine::wire::tuple;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::value::{Cells, Value, ValueRef};

/// What the server's error says of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A unique index has its values already.
    Duplicate,
    /// A parent is missing, or children hang from it.
    Reference,
    /// A constraint, a trigger or the type of a column.
    Constraint,
}

/// What an error says of the rows of its statement; `None` when it is not about rows.
pub(super) fn refused(e: &sqlx::Error) -> Option<Refused> {
    let state = state(e)?;
    if is_lost(e) {
        return None;
    }
    Some(match (state.as_str(), state.get(..2)?) {
        ("23505", _) => Refused::Duplicate,
        ("23503" | "23001", _) => Refused::Reference,
        // Connection, transaction, rights, catalogue, resources, intervention, system: the
        // statement's matter, not a row's. 54000 is an index entry that is too long.
        ("54000", _) => Refused::Constraint,
        (
            _,
            "00" | "01" | "02" | "03" | "08" | "0A" | "0B" | "25" | "26" | "28" | "2D" | "34"
            | "3B" | "3D" | "3F" | "40" | "42" | "53" | "54" | "55" | "57" | "58" | "72" | "F0"
            | "HV" | "XX",
        ) => return None,
        // Data, constraints, what triggers raise, with a state of their own too.
        _ => Refused::Constraint,
    })
}

/// The server's own words, without the values that it adds to them.
pub(super) fn message(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::Database(e) => e.message().to_owned(),
        e => e.to_string(),
    }
}

/// Explains the refusals of one table's rows.
pub(super) struct Refusals<'a> {
    pub(super) plan: &'a TablePlan,
    pub(super) table: &'a Table,
    pub(super) key: Vec<&'a TableColumn>,
}

impl Refusals<'_> {
    /// The reason and the details of a refused row.
    pub(super) async fn explain(
        &self,
        session: &mut Session,
        kind: Refused,
        e: &sqlx::Error,
        after: Option<(&Cells<'_>, usize)>,
        key: &[ValueRef<'_>],
    ) -> Result<(Reason, String), Stop> {
        let message = message(e);
        match (kind, after) {
            (Refused::Duplicate, Some((cells, row))) => {
                self.duplicate(session, message, cells, row, key).await
            }
            (Refused::Duplicate | Refused::Constraint, _) => Ok((Reason::Constraint, message)),
            (Refused::Reference, _) => {
                // Rows that others refer to were looked for before.
                let detail = match self.plan.op {
                    Op::Insert | Op::Update => {
                        format!("a parent is missing: {}", self.references())
                    }
                    Op::Delete => "rows of another table reference it".to_owned(),
                };
                Ok((Reason::ForeignKey, detail))
            }
        }
    }

    async fn duplicate(
        &self,
        session: &mut Session,
        message: String,
        cells: &Cells<'_>,
        row: usize,
        key: &[ValueRef<'_>],
    ) -> Result<(Reason, String), Stop> {
        if self.plan.op == Op::Insert
            && let Some(other) = self.holder(session, &self.key, key, None).await?
        {
            let own = words(&self.key, key);
            let detail = match other == own {
                true => "another row has this key".to_owned(),
                false => format!("live has it as {other}, which is the same key to the engine"),
            };
            return Ok((Reason::Exists, detail));
        }
        for unique in &self.plan.schema.uniques {
            let Some(names) = unique.columns.iter().cloned().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let mut columns = Vec::with_capacity(names.len());
            let mut values = Vec::with_capacity(names.len());
            for name in &names {
                let Some(at) = self.plan.after.iter().position(|c| c.name == *name) else { break };
                columns.push(self.table.require(name)?);
                values.push(cells.get(row, at)?);
            }
            if values.len() < names.len() || values.iter().any(|v| v.is_null()) {
                continue;
            }
            if let Some(other) = self.holder(session, &columns, &values, Some(key)).await? {
                let columns = names.join(", ");
                let detail = match self.plan.op {
                    Op::Insert => format!("recreated as {other}, which has the same {columns}"),
                    _ => format!("{other} has the same {columns}"),
                };
                return Ok((Reason::Recreated, detail));
            }
        }
        Ok((Reason::Constraint, message))
    }

    fn references(&self) -> String {
        let named =
            self.plan.schema.foreign_keys.iter().map(|reference| {
                format!("{} ({})", reference.parent, reference.columns.join(", "))
            });
        named.collect::<Vec<_>>().join(" or ")
    }

    /// The key, in words, of a row with these values; `own` is left out of the search.
    async fn holder(
        &self,
        session: &mut Session,
        columns: &[&TableColumn],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> Result<Option<String>, Stop> {
        let arrays = columns
            .iter()
            .zip(values)
            .map(|(column, value)| Array::of(column.form.carrier(), 1, |_| Ok(*value)));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let elements: Vec<_> = arrays.iter().map(|array| array.element).collect();
        let forms: Vec<_> = self.key.iter().map(|c| c.form).collect();
        let mut found = None;
        session
            .query(&sql::holder(self.table, &self.key, columns, &elements), arrays, |row| {
                let this = tuple(&forms, |at| raw(row, at))?;
                let this: Vec<ValueRef<'_>> = this.iter().map(Value::as_ref).collect();
                if own != Some(&this[..]) {
                    found = Some(words(&self.key, &this));
                }
                Ok(())
            })
            .await?;
        Ok(found)
    }
}

/// `id 412`, or `year 2024, code "a"`.
fn words(key: &[&TableColumn], values: &[ValueRef<'_>]) -> String {
    let pairs = key.iter().zip(values).map(|(c, v)| format!("{} {}", c.name, v.to_json()));
    pairs.collect::<Vec<_>>().join(", ")
}
