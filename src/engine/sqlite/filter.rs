//! [`Filter`]s as SQL that keeps at least the rows that match.
//!
//! The filter is meant for the carried values, and is checked again on them. SQLite compares
//! by affinity and collation, and sees the misfits; so a text is compared by bytes without
//! conversion, a number only with a number, and rows with a misfit in the column stay.

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::raw::quote;
use crate::engine::sqlite::schema::affinity;
use crate::model::filter::{Comparison, Filter};
use crate::model::table::{Affinity, Carrier, Column};
use crate::model::value::{F64_INTEGERS, Value};

/// More terms, and SQLite's parser might refuse the depth of the expression.
const MOST_TERMS: usize = 200;

/// More literals, and SQLite might refuse their number.
const MOST_LITERALS: usize = 10_000;

/// A condition and its parameters in order.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// The SQL.
    pub(crate) sql: String,
    /// The parameters.
    pub(crate) parameters: Vec<Value>,
}

/// What the translation knows of the table.
pub(crate) struct Translator<'a> {
    /// The table as its own side has it.
    pub(crate) table: &'a Table,
    /// The columns as they were asked for.
    pub(crate) columns: &'a [Column],
    /// Text is stored as UTF-8, so SQLite's byte order is that of UTF-8.
    pub(crate) utf8: bool,
}

impl Translator<'_> {
    /// The condition; `None` when every row has to be kept.
    pub(crate) fn translate(&self, filter: &Filter) -> Option<Condition> {
        let mut condition = Condition::default();
        let terms = terms(filter);
        if terms > MOST_TERMS {
            return None;
        }
        self.write(filter, &mut condition)?;
        (condition.parameters.len() <= MOST_LITERALS).then_some(condition)
    }

    /// Appends a term; `None` for one that holds for every row, with nothing appended.
    fn write(&self, filter: &Filter, out: &mut Condition) -> Option<()> {
        match filter {
            Filter::And(parts) => self.join(parts, " and ", out),
            Filter::Or(parts) => self.join(parts, " or ", out),
            Filter::Compare { column, op, value } => {
                let (column, live) = self.column(column)?;
                let (op, value) = self.comparison(live, *op, value)?;
                let misfit = misfit(&column, live.carrier);
                let left = self.operand(&column, live);
                out.sql.push_str(&format!("({left} {op} ? or {misfit})"));
                out.parameters.push(value);
                Some(())
            }
            Filter::In { column, values } => {
                let (column, live) = self.column(column)?;
                let mut wanted = Vec::with_capacity(values.len());
                for value in values.iter().filter(|v| !v.as_ref().is_null()) {
                    wanted.push(self.comparison(live, Comparison::Eq, value)?.1);
                }
                let misfit = misfit(&column, live.carrier);
                let marks = vec!["?"; wanted.len()].join(", ");
                let left = self.operand(&column, live);
                out.sql.push_str(&format!("({left} in ({marks}) or {misfit})"));
                out.parameters.extend(wanted);
                Some(())
            }
            Filter::IsNull(column) => {
                let (column, live) = self.column(column)?;
                // Text that is no UTF-8 is carried as NULL, and SQL can't tell it.
                if live.carrier == Carrier::Text {
                    return None;
                }
                let misfit = misfit(&column, live.carrier);
                out.sql.push_str(&format!("({column} is null or {misfit})"));
                Some(())
            }
            Filter::IsNotNull(column) => {
                let (column, _) = self.column(column)?;
                out.sql.push_str(&format!("{column} is not null"));
                Some(())
            }
        }
    }

    fn join(&self, parts: &[Filter], with: &str, out: &mut Condition) -> Option<()> {
        let mut joined = Condition::default();
        for part in parts {
            let mut term = Condition::default();
            match self.write(part, &mut term) {
                Some(()) => {
                    if !joined.sql.is_empty() {
                        joined.sql.push_str(with);
                    }
                    joined.sql.push_str(&term.sql);
                    joined.parameters.extend(term.parameters);
                }
                None if with == " or " => return None,
                None => {}
            }
        }
        if joined.sql.is_empty() {
            return None;
        }
        out.sql.push_str(&format!("({})", joined.sql));
        out.parameters.extend(joined.parameters);
        Some(())
    }

    /// The quoted name here, and the column as it was asked for.
    fn column(&self, name: &str) -> Option<(String, &Column)> {
        let live = self.columns.iter().find(|c| c.name == name)?;
        Some((quote(&self.table.column(name)?.name), live))
    }

    /// The left side of a comparison. A unary plus takes a numeric affinity away, by which
    /// a text literal that looks like a number would become one.
    fn operand(&self, quoted: &str, live: &Column) -> String {
        if live.carrier != Carrier::Text {
            return quoted.to_owned();
        }
        let here = self.table.column(&live.name).map_or("", |c| &c.declared);
        match affinity(here, self.table.strict) {
            Affinity::Text | Affinity::Blob => format!("{quoted} collate binary"),
            _ => format!("(+{quoted}) collate binary"),
        }
    }

    /// The operator and the literal, where SQLite and the carrier agree on what they mean.
    fn comparison(
        &self,
        live: &Column,
        op: Comparison,
        value: &Value,
    ) -> Option<(&'static str, Value)> {
        let agreed = match (live.carrier, value) {
            (Carrier::Int, Value::Int(_)) | (Carrier::Blob, Value::Blob(_)) => true,
            (Carrier::Real | Carrier::Number, Value::Int(i)) => {
                i.unsigned_abs() <= F64_INTEGERS.unsigned_abs()
            }
            (Carrier::Real | Carrier::Number, Value::Real(r)) => !r.is_nan(),
            (Carrier::Text, Value::Text(_)) => self.utf8 || op == Comparison::Eq,
            _ => false,
        };
        agreed.then(|| (op.sql(value), value.clone()))
    }
}

/// A condition that holds for every value that does not fit the carrier, except a text
/// that is no UTF-8.
fn misfit(quoted: &str, carrier: Carrier) -> String {
    let class = match carrier {
        Carrier::Int => "integer",
        Carrier::Real => "real",
        Carrier::Text => "text",
        Carrier::Blob => "blob",
        // Live's column is another engine's: any value here may be one that does not fit.
        Carrier::Unsigned
        | Carrier::Bool
        | Carrier::Date
        | Carrier::Stamp
        | Carrier::Instant
        | Carrier::Decimal { .. } => return "1".to_owned(),
        Carrier::Number => {
            return format!(
                "typeof({quoted}) not in ('integer', 'real', 'null') \
                 or (typeof({quoted}) = 'real' and {quoted} = cast({quoted} as integer)) \
                 or {quoted} not between -{F64_INTEGERS} and {F64_INTEGERS}"
            );
        }
    };
    format!("typeof({quoted}) not in ('{class}', 'null')")
}

fn terms(filter: &Filter) -> usize {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => 1 + parts.iter().map(terms).sum::<usize>(),
        _ => 1,
    }
}
