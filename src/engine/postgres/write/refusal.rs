//! Why the server refused a row, in words, by its SQLSTATE (PostgreSQL documentation, appendix A).

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::failure::{is_lost, state};
use crate::engine::postgres::session::{Session, Stop, raw};
use crate::engine::postgres::write::array::Array;
use crate::engine::postgres::write::sql;
use crate::engine::refused::{Holders, duplicate, no_parent, words};
pub(super) use crate::engine::refused::{Refused, message};
use crate::engine::wire::tuple;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::value::{Cells, Value, ValueRef};

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
        match (kind, after) {
            (Refused::Duplicate, Some(after)) => {
                let mut live = Live { refusals: self, session };
                duplicate(self.plan, &mut live, message(e), after, key).await
            }
            (Refused::Duplicate | Refused::Constraint, _) => Ok((Reason::Constraint, message(e))),
            (Refused::Reference, _) => {
                // Rows that others refer to were looked for before.
                let detail = match self.plan.op {
                    Op::Insert | Op::Update => no_parent(self.plan),
                    Op::Delete => "rows of another table reference it".to_owned(),
                };
                Ok((Reason::ForeignKey, detail))
            }
        }
    }
}

/// Live's rows of the table.
struct Live<'s, 'a> {
    refusals: &'s Refusals<'a>,
    session: &'s mut Session,
}

impl Holders for Live<'_, '_> {
    async fn holder(
        &mut self,
        columns: &[String],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> Result<Option<String>, Stop> {
        let Refusals { plan, table, key } = self.refusals;
        let columns =
            columns.iter().map(|name| table.require(name)).collect::<Result<Vec<_>, _>>()?;
        let arrays = columns
            .iter()
            .zip(values)
            .map(|(column, value)| Array::of(column.form.carrier(), 1, |_| Ok(*value)));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let elements: Vec<_> = arrays.iter().map(|array| array.element).collect();
        let forms: Vec<_> = key.iter().map(|c| c.form).collect();
        let mut found = None;
        self.session
            .query(&sql::holder(table, key, &columns, &elements), arrays, |row| {
                let this = tuple(&forms, |at| raw(row, at))?;
                let this: Vec<ValueRef<'_>> = this.iter().map(Value::as_ref).collect();
                if own != Some(&this[..]) {
                    found = Some(words(&plan.key.columns, &this));
                }
                Ok(())
            })
            .await?;
        Ok(found)
    }
}
