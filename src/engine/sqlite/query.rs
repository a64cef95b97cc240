//! The SQL of scans and look-ups. Identifiers come from the catalogue, values are bound.

use std::collections::VecDeque;

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::filter::Translator;
use crate::engine::sqlite::known::Found;
use crate::engine::sqlite::order::contains;
use crate::engine::sqlite::raw::{Row, quote};
use crate::engine::sqlite::schema::affinity;
use crate::error::Result;
use crate::model::side::Which;
use crate::model::table::{Affinity, Carrier, Collation, Column};
use crate::model::value::Value;
use crate::source::{KeyRange, Scan};

/// A statement with its parameters.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The SQL.
    pub(crate) sql: String,
    /// The parameters in order.
    pub(crate) parameters: Vec<Value>,
}

/// A range that SQL can't express: a row is inside when its key cell is.
#[derive(Debug)]
pub(crate) struct RangeCheck {
    range: KeyRange,
    column: Column,
    /// The result column that holds the key's first cell.
    at: usize,
}

impl RangeCheck {
    /// True when the current row is in the range.
    pub(crate) fn holds(&self, row: &Row<'_>) -> bool {
        contains(&self.range, &self.column, row.get(self.at))
    }
}

/// The statements of a scan, to be run one after the other.
#[derive(Debug)]
pub(crate) struct ScanQueries {
    /// The statements.
    pub(crate) queries: VecDeque<Query>,
    /// What is left to check of each row.
    pub(crate) check: Option<RangeCheck>,
}

/// The statements for a scan of a table.
pub(crate) fn scan_queries(found: &Found, side: Which, request: &Scan) -> Result<ScanQueries> {
    let table = &*found.table;
    let mut cells = selected(table, &request.columns, side)?;
    let key: Vec<String> = request
        .key
        .iter()
        .map(|column| Ok(collated(&table.quoted(&column.name, side)?, column)))
        .collect::<Result<_>>()?;
    let bounds = Bounds::of(found, request, &key, side)?;
    let check = match bounds {
        Bounds::Checked(column) => {
            cells.push(table.quoted(&column.name, side)?);
            let (range, at) = (request.range.clone(), cells.len() - 1);
            Some(RangeCheck { range, column: column.clone(), at })
        }
        _ => None,
    };
    let translator = Translator { table, columns: &request.columns, utf8: found.utf8 };
    let filter = request.filter.as_ref().and_then(|f| translator.translate(f));
    let mut queries = VecDeque::new();
    for (condition, values) in bounds.conditions() {
        let mut sql = format!("select {} from {}", cells.join(", "), quote(&table.name));
        let mut parameters = values;
        let mut conditions = condition;
        if let Some(filter) = &filter {
            conditions.push(filter.sql.clone());
            parameters.extend(filter.parameters.iter().cloned());
        }
        if !conditions.is_empty() {
            sql.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        if found.native && !key.is_empty() {
            sql.push_str(&format!(" order by {}", key.join(", ")));
        }
        queries.push_back(Query { sql, parameters });
    }
    Ok(ScanQueries { queries, check })
}

/// The quoted columns; a NULL when there are none, since a statement needs one.
pub(crate) fn selected(table: &Table, columns: &[Column], side: Which) -> Result<Vec<String>> {
    let mut cells: Vec<String> =
        columns.iter().map(|c| table.quoted(&c.name, side)).collect::<Result<_>>()?;
    if cells.is_empty() {
        cells.push("null".into());
    }
    Ok(cells)
}

/// A key column as it is compared: text by live's collation, whatever is declared here.
pub(crate) fn collated(quoted: &str, column: &Column) -> String {
    match (column.carrier, &column.collation) {
        (Carrier::Text, Collation::NoCase) => format!("{quoted} collate nocase"),
        (Carrier::Text, Collation::Rtrim) => format!("{quoted} collate rtrim"),
        (Carrier::Text, _) => format!("{quoted} collate binary"),
        _ => quoted.to_owned(),
    }
}

/// How a range is kept.
enum Bounds<'a> {
    /// By SQL, in one statement: the conditions and their values.
    One(Vec<String>, Vec<Value>),
    /// By SQL, the rows whose key is NULL first: an OR would cost the index.
    NullsFirst(String, String, Value),
    /// By looking at this column's cell of each row.
    Checked(&'a Column),
}

impl<'a> Bounds<'a> {
    fn of(found: &Found, request: &'a Scan, key: &[String], side: Which) -> Result<Self> {
        let KeyRange { lower, upper } = &request.range;
        let (Some(column), Some(cell)) = (request.key.first(), key.first()) else {
            return Ok(Bounds::One(Vec::new(), Vec::new()));
        };
        if lower.is_none() && upper.is_none() {
            return Ok(Bounds::One(Vec::new(), Vec::new()));
        }
        let table = &found.table;
        let here = table.column(&column.name);
        // A text bound that looks like a number would be made one by a numeric column.
        let converted = column.carrier == Carrier::Text
            && here.is_some_and(|c| {
                !matches!(affinity(&c.declared, table.strict), Affinity::Text | Affinity::Blob)
            });
        if !found.native || converted {
            return Ok(Bounds::Checked(column));
        }
        let never_null = here.is_some_and(|c| {
            c.not_null || table.rowid_alias().is_some_and(|alias| alias.name == c.name)
        });
        Ok(match (lower, upper) {
            (None, Some(upper)) if !never_null => {
                let quoted = table.quoted(&column.name, side)?;
                let null = format!("{quoted} is null");
                Bounds::NullsFirst(null, format!("{cell} < ?"), upper.clone())
            }
            _ => {
                let below = lower.iter().map(|v| (format!("{cell} >= ?"), v.clone()));
                let above = upper.iter().map(|v| (format!("{cell} < ?"), v.clone()));
                let (conditions, values) = below.chain(above).unzip();
                Bounds::One(conditions, values)
            }
        })
    }

    /// The conditions of each statement with their values.
    fn conditions(self) -> Vec<(Vec<String>, Vec<Value>)> {
        match self {
            Bounds::One(conditions, values) => vec![(conditions, values)],
            Bounds::NullsFirst(null, below, upper) => {
                vec![(vec![null], Vec::new()), (vec![below], vec![upper])]
            }
            Bounds::Checked(_) => vec![(Vec::new(), Vec::new())],
        }
    }
}
