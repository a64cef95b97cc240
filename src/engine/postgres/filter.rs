//! [`Filter`]s as SQL that keeps at least the rows that match.
//!
//! The filter is checked again on the carried values, so a term that the server might mean
//! otherwise is left out.

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::query::{literal, name};
use crate::engine::postgres::session::quote_text;
use crate::engine::postgres::types::{Form, words};
use crate::model::filter::{Comparison, Filter};
use crate::model::table::Column;
use crate::model::value::Value;

/// More literals, and a statement might be too long to be planned quickly.
const MOST_LITERALS: usize = 10_000;

/// What the translation knows of the table.
pub(crate) struct Translator<'a> {
    /// The table as its own side has it.
    pub(crate) table: &'a Table,
    /// The columns as they were asked for.
    pub(crate) columns: &'a [Column],
}

impl Translator<'_> {
    /// The condition; `None` when every row has to be kept.
    pub(crate) fn translate(&self, filter: &Filter) -> Option<String> {
        let all = |parts: Vec<String>, word: &str| {
            (!parts.is_empty()).then(|| format!("({})", parts.join(word)))
        };
        match filter {
            Filter::And(parts) => {
                all(parts.iter().filter_map(|p| self.translate(p)).collect(), " and ")
            }
            Filter::Or(parts) => {
                all(parts.iter().map(|p| self.translate(p)).collect::<Option<_>>()?, " or ")
            }
            Filter::Compare { column, op, value } => {
                let column = self.own(column)?;
                let value_sql = comparable(column, *op, value)?;
                Some(or_misfit(column, format!("{} {} {value_sql}", name(column), op.sql(value))))
            }
            Filter::In { column, values } if values.len() <= MOST_LITERALS => {
                let column = self.own(column)?;
                let values: Option<Vec<String>> =
                    values.iter().map(|value| comparable(column, Comparison::Eq, value)).collect();
                let values = values.filter(|values| !values.is_empty())?;
                Some(or_misfit(column, format!("{} in ({})", name(column), values.join(", "))))
            }
            Filter::In { .. } => None,
            Filter::IsNull(column) => {
                let column = self.own(column)?;
                (misfits(column).is_none() && column.native)
                    .then(|| format!("{} is null", name(column)))
            }
            Filter::IsNotNull(column) => {
                let column = self.own(column)?;
                column.native.then(|| format!("{} is not null", name(column)))
            }
        }
    }

    /// The column, when it was asked for in the carrier that it has here: otherwise what is
    /// compared after the scan is another value.
    fn own(&self, name: &str) -> Option<&TableColumn> {
        let asked = self.columns.iter().find(|c| c.name == name)?;
        let column = self.table.columns.iter().find(|c| c.name == name)?;
        (asked.carrier == column.form.carrier()).then_some(column)
    }
}

/// The words of a type that its carrier can't say, which are NULL there and stand beside it: on
/// their rows a condition is not for the server to judge.
fn misfits(column: &TableColumn) -> Option<&'static str> {
    match column.form {
        Form::Date | Form::Stamp | Form::Instant => Some("'infinity', '-infinity'"),
        Form::Decimal { .. } => Some("'NaN'"),
        _ => None,
    }
}

fn or_misfit(column: &TableColumn, condition: String) -> String {
    match misfits(column) {
        Some(words) => format!("({condition} or {} in ({words}))", name(column)),
        None => condition,
    }
}

/// The literal, where the server means by this comparison what the carrier does.
fn comparable(column: &TableColumn, op: Comparison, value: &Value) -> Option<String> {
    let of =
        |kind: &str| Some(format!("{}::pg_catalog.{kind}", quote_text(&words(value.as_ref())?)));
    match (column.form, value) {
        // Any integer can be asked for, also one that the column's type does not reach.
        (Form::Int(_) | Form::Oid, Value::Int(_)) => of("int8"),
        // A NaN with a sign is below all numbers to Arrow and above them here.
        (Form::Float | Form::Double, Value::Int(_) | Value::Real(_)) => match (op, value) {
            (_, Value::Real(r)) if r.is_nan() => None,
            (Comparison::Lt | Comparison::LtEq, _) => None,
            _ => of("float8"),
        },
        (Form::Decimal { .. }, Value::Int(_) | Value::Decimal(..)) => of("numeric"),
        (Form::Bytes, Value::Blob(_)) => of("bytea"),
        (Form::Bool, Value::Bool(_)) if op == Comparison::Eq => of("bool"),
        (Form::Date, Value::Date(_))
        | (Form::Stamp, Value::Stamp(_))
        | (Form::Instant, Value::Instant(_)) => literal(column, value.as_ref()),
        // Equal bytes are equal in every collation.
        (Form::Text, Value::Text(_)) if op == Comparison::Eq && column.collated.is_some() => {
            literal(column, value.as_ref()).filter(|_| column.native)
        }
        _ => None,
    }
}
