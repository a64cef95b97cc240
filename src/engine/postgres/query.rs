//! The SQL of scans. Identifiers come from the catalogue; values are literals with their type,
//! since COPY takes no parameters.
//!
//! A table is read in pages along one of its unique indexes, so that a connection is free
//! between two pages: any number of scans can be open on a few connections, and none waits
//! for a consumer. Where that index is the key's, and the server orders its values as the
//! merge does, the pages come in key order; else the rows are sorted after they came (K4).

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::filter::Translator;
use crate::engine::postgres::session::{quote, quote_text};
use crate::engine::postgres::types::{Form, words};
use crate::engine::wire::place;
use crate::error::{Error, Result};
use crate::model::table::Column;
use crate::model::value::{Value, ValueRef};
use crate::source::Scan;

/// What a table is called in our statements.
pub(crate) const ALIAS: &str = "t";

/// Along which index a table is read.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    /// The index's columns; `None`: the table is read by one statement.
    pub(crate) index: Option<Vec<TableColumn>>,
    /// Rows come in the order of the key.
    pub(crate) ordered: bool,
}

impl Paging {
    /// How a table is read for a scan in the order of this key.
    pub(crate) fn of(table: &Table, key: &[Column]) -> Self {
        let indexes = || {
            table.uniques.iter().filter_map(|index| {
                let columns: Vec<TableColumn> =
                    index.key_columns(table)?.into_iter().cloned().collect();
                let base = table.is_base() && !columns.is_empty();
                (base && columns.iter().all(TableColumn::is_seekable)).then_some(columns)
            })
        };
        let ordered = |columns: &Vec<TableColumn>| {
            columns.len() == key.len()
                && columns.iter().zip(key).all(|(here, asked)| {
                    here.name.eq_ignore_ascii_case(&asked.name)
                        && here.is_ordered()
                        && here.form.carrier() == asked.carrier
                })
        };
        match indexes().find(ordered) {
            Some(index) => Self { index: Some(index), ordered: true },
            None => Self { index: indexes().next(), ordered: false },
        }
    }
}

/// A value as a literal of a column's type; `None` for one that no text of the server says.
pub(crate) fn literal(column: &TableColumn, value: ValueRef<'_>) -> Option<String> {
    if matches!(value, ValueRef::Text(bytes) if std::str::from_utf8(bytes).is_err()) {
        return None;
    }
    let text = words(value)?;
    (!text.contains('\0')).then(|| format!("{}::{}", quote_text(&text), column.cast))
}

/// The pages of one scan.
#[derive(Debug)]
pub(crate) struct Pages {
    select: String,
    conditions: Vec<String>,
    index: Option<Vec<TableColumn>>,
    /// The forms of the columns asked for.
    pub(crate) forms: Vec<Form>,
    /// The index's columns: their places among all that are selected, and their forms.
    pub(crate) position: Vec<(usize, Form)>,
}

impl Pages {
    /// The pages of a scan.
    pub(crate) fn of(table: &Table, request: &Scan) -> Result<Self> {
        let paging = Paging::of(table, &request.key);
        let mut cells = Vec::new();
        let mut forms = Vec::new();
        for column in &request.columns {
            let here = table.require(&column.name)?;
            cells.push(here.cell(ALIAS));
            forms.push(here.form);
        }
        let mut position = Vec::new();
        if let Some(columns) = &paging.index {
            for column in columns {
                let place = place(&mut cells, column.cell(ALIAS));
                position.push((place, column.form));
            }
        }
        let select = format!("select {} from {} as {ALIAS}", cells.join(", "), table.from());
        let mut conditions = Vec::new();
        let range = &request.range;
        if range.lower.is_some() || range.upper.is_some() {
            let leading = paging.index.as_ref().filter(|_| paging.ordered);
            let Some(column) = leading.and_then(|columns| columns.first()) else {
                return Err(Error::failed(format!(
                    "a key range of {} was asked for that has no order",
                    table.name
                )));
            };
            for (bound, op) in [(&range.lower, ">="), (&range.upper, "<")] {
                let Some(bound) = bound else { continue };
                let bound = literal(column, bound.as_ref()).ok_or_else(|| {
                    Error::failed(format!("a key range of {} ends at no value of it", table.name))
                })?;
                conditions.push(format!("{} {op} {bound}", name(column)));
            }
        }
        let translator = Translator { table, columns: &request.columns };
        conditions.extend(request.filter.as_ref().and_then(|f| translator.translate(f)));
        Ok(Self { select, conditions, index: paging.index, forms, position })
    }

    /// True when the table is read in pages.
    pub(crate) fn are_there(&self) -> bool {
        self.index.is_some()
    }

    /// The page of at most `rows` rows after this position of the index.
    pub(crate) fn page(&self, after: Option<&[Value]>, rows: usize) -> Result<String> {
        let mut conditions = self.conditions.clone();
        let mut sql = self.select.clone();
        if let (Some(columns), Some(after)) = (&self.index, after) {
            let values = columns.iter().zip(after).map(|(c, value)| literal(c, value.as_ref()));
            let values: Option<Vec<String>> = values.collect();
            let values = values.ok_or_else(|| Error::failed("a key can't be said as text"))?;
            let names: Vec<String> = columns.iter().map(name).collect();
            conditions.push(format!("({}) > ({})", names.join(", "), values.join(", ")));
        }
        if !conditions.is_empty() {
            sql.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        if let Some(columns) = &self.index {
            let order: Vec<String> = columns.iter().map(name).collect();
            sql.push_str(&format!(" order by {} limit {rows}", order.join(", ")));
        }
        Ok(sql)
    }
}

/// A column of the table, with the table's alias.
pub(crate) fn name(column: &TableColumn) -> String {
    format!("{ALIAS}.{}", quote(&column.name))
}
