//! [`Filter`]s as SQL that keeps at least the rows that match.
//!
//! The filter is checked again on the carried values, so a term that the server might mean
//! otherwise is left out, and a text's equality is asked for by its own collation, for which
//! equal bytes are equal.

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::query::Query;
use crate::engine::mysql::session::quote;
use crate::engine::mysql::types::Form;
use crate::model::filter::{Comparison, Filter};
use crate::model::table::Column;
use crate::model::value::Value;

/// More literals, and a statement might take too many parameters.
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
    pub(crate) fn translate(&self, filter: &Filter) -> Option<Query> {
        let mut out = Query::default();
        self.write(filter, &mut out)?;
        (out.parameters.len() <= MOST_LITERALS).then_some(out)
    }

    /// Appends a term; `None` for one that holds for every row, with nothing appended.
    fn write(&self, filter: &Filter, out: &mut Query) -> Option<()> {
        match filter {
            Filter::And(parts) => {
                let kept: Vec<Query> = parts.iter().filter_map(|p| self.translate(p)).collect();
                join(kept, " and ", out)
            }
            Filter::Or(parts) => {
                let kept: Option<Vec<Query>> = parts.iter().map(|p| self.translate(p)).collect();
                join(kept?, " or ", out)
            }
            Filter::Compare { column, op, value } => {
                let column = self.comparable(column, *op, value)?;
                let op = op.sql(value);
                out.sql.push_str(&format!("{} {op} {}", quote(&column.name), column.parameter()));
                out.parameters.push(value.clone());
                Some(())
            }
            Filter::In { column, values } => {
                let mut here = None;
                for value in values {
                    here = Some(self.comparable(column, Comparison::Eq, value)?);
                }
                let column = here?;
                let parameters = vec![column.parameter(); values.len()].join(", ");
                out.sql.push_str(&format!("{} in ({parameters})", quote(&column.name)));
                out.parameters.extend(values.iter().cloned());
                Some(())
            }
            Filter::IsNull(column) => self.null(column, "is null", out),
            Filter::IsNotNull(column) => self.null(column, "is not null", out),
        }
    }

    /// The column, where the server means by this comparison what the carrier does.
    fn comparable(&self, name: &str, op: Comparison, value: &Value) -> Option<&TableColumn> {
        let column = self.own(name)?;
        let alike = match (column.form, value) {
            (Form::Int { .. } | Form::Float | Form::Double, Value::Int(_) | Value::Real(_))
            | (Form::Bit(2..), Value::Int(_))
            | (Form::Bytes, Value::Blob(_)) => true,
            (Form::Text, Value::Text(_)) => op == Comparison::Eq && column.charset.is_some(),
            _ => false,
        };
        alike.then_some(column)
    }

    /// The column, when it was asked for in the carrier that it has here: otherwise what is
    /// compared after the scan is another value.
    fn own(&self, name: &str) -> Option<&TableColumn> {
        let column = self.table.column(name)?;
        let asked = self.columns.iter().find(|c| c.name == name)?;
        (asked.carrier == column.form.carrier()).then_some(column)
    }

    fn null(&self, name: &str, is: &str, out: &mut Query) -> Option<()> {
        let column = self.own(name)?;
        // A date that the calendar does not have is carried as NULL beside itself.
        if matches!(column.form, Form::Date | Form::Stamp | Form::Instant) {
            return None;
        }
        out.sql.push_str(&format!("{} {is}", quote(&column.name)));
        Some(())
    }
}

fn join(parts: Vec<Query>, word: &str, out: &mut Query) -> Option<()> {
    if parts.is_empty() {
        return None;
    }
    let sql: Vec<&str> = parts.iter().map(|p| p.sql.as_str()).collect();
    out.sql.push_str(&format!("({})", sql.join(word)));
    out.parameters.extend(parts.into_iter().flat_map(|p| p.parameters));
    Some(())
}
