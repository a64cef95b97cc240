//! [`Filter`]s as SQL that keeps at least the rows that match.
//!
//! The filter is checked again on the carried values, so a term that the server might mean
//! otherwise is left out, and a text's equality is asked for by its own collation, for which
//! equal bytes are equal.

use std::ops::Range;

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::query::Query;
use crate::engine::mysql::session::quote;
use crate::engine::mysql::types::Form;
use crate::model::calendar::DAY_MICROS;
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
                let condition = format!("{} {}", op.sql(value), parameter(column));
                out.sql.push_str(&with_misfits(column, &condition));
                out.parameters.push(value.clone());
                Some(())
            }
            Filter::In { column, values } => {
                let mut here = None;
                for value in values {
                    here = Some(self.comparable(column, Comparison::Eq, value)?);
                }
                let column = here?;
                let parameters = vec![parameter(column); values.len()].join(", ");
                out.sql.push_str(&with_misfits(column, &format!("in ({parameters})")));
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
            | (Form::Int { .. } | Form::Bit(2..), Value::Unsigned(_))
            | (Form::Bit(2..), Value::Int(_))
            | (Form::Bytes, Value::Blob(_))
            | (Form::Bit(1), Value::Bool(_))
            | (Form::Decimal { precision: ..=38, .. }, Value::Decimal(..)) => true,
            (Form::Date, Value::Date(day)) => YEARS.contains(&(i64::from(*day) * DAY_MICROS)),
            (Form::Stamp, Value::Stamp(micros)) | (Form::Instant, Value::Instant(micros)) => {
                YEARS.contains(micros)
            }
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

/// Microseconds of the years 1 to 9999, which the server's dates have.
const YEARS: Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// A moment is compared as one of six digits, whatever the column's digits are.
fn parameter(column: &TableColumn) -> String {
    match column.form {
        Form::Date => "cast(? as date)".to_owned(),
        Form::Stamp | Form::Instant => "cast(? as datetime(6))".to_owned(),
        _ => column.parameter(),
    }
}

/// A condition on a column, or on what stands beside its carrier: a date that the calendar
/// does not have fits no predicate, and is counted as such, so its row is kept.
fn with_misfits(column: &TableColumn, condition: &str) -> String {
    let name = quote(&column.name);
    match column.form {
        Form::Date | Form::Stamp | Form::Instant => format!(
            "({name} {condition} or year({name}) = 0 or month({name}) = 0 \
             or dayofmonth({name}) not between 1 and 28)"
        ),
        _ => format!("{name} {condition}"),
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
