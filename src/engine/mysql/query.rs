//! The SQL of scans and look-ups. Identifiers come from the catalogue, values are bound.
//!
//! A table is read in pages along one of its unique indexes, so that a connection is free
//! between two pages: any number of scans can be open on a few connections, and none waits
//! for a consumer. Where that index is the key's, and the server orders its values as the
//! merge does, the pages come in key order; else the rows are sorted after they came (K4).

use std::sync::Arc;

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::filter::Translator;
use crate::engine::mysql::session::quote;
use crate::engine::mysql::types::Form;
use crate::engine::wire::place;
use crate::error::{Error, Result};
use crate::model::table::Column;
use crate::model::value::Value;
use crate::source::Scan;

/// Along which index a table is read.
#[derive(Clone, Debug)]
pub(crate) struct Paging {
    /// The index, and its columns; `None`: the table is read by one statement.
    pub(crate) index: Option<(String, Vec<TableColumn>)>,
    /// Rows come in the order of the key.
    pub(crate) ordered: bool,
}

impl Paging {
    /// How a table is read for a scan in the order of this key.
    pub(crate) fn of(table: &Table, key: &[Column]) -> Self {
        let indexes = || {
            table.uniques.iter().filter(|index| index.in_order).filter_map(|index| {
                let columns: Vec<TableColumn> =
                    table.key_columns(index)?.into_iter().cloned().collect();
                columns
                    .iter()
                    .all(TableColumn::is_seekable)
                    .then_some((index.name.clone(), columns))
            })
        };
        let ordered = |columns: &[TableColumn]| {
            columns.len() == key.len()
                && columns.iter().zip(key).all(|(here, asked)| {
                    here.name.eq_ignore_ascii_case(&asked.name)
                        && here.is_ordered()
                        && here.form.carrier() == asked.carrier
                })
        };
        match indexes().find(|(_, columns)| ordered(columns)) {
            Some(index) => Self { index: Some(index), ordered: true },
            None => Self { index: indexes().next(), ordered: false },
        }
    }
}

/// A statement with its parameters.
#[derive(Debug, Default)]
pub(crate) struct Query {
    /// The SQL.
    pub(crate) sql: String,
    /// The parameters in order.
    pub(crate) parameters: Vec<Value>,
}

/// The pages of one scan.
#[derive(Debug)]
pub(crate) struct Pages {
    /// What is selected: the columns asked for, then those of the index that are not among them.
    cells: Vec<String>,
    /// `from` and the table.
    from: String,
    conditions: Vec<String>,
    parameters: Vec<Value>,
    index: Option<(String, Vec<TableColumn>)>,
    /// The forms of the columns asked for.
    pub(crate) forms: Vec<Form>,
    /// The index's columns: their places among all that are selected, and their forms.
    pub(crate) position: Vec<(usize, Form)>,
}

impl Pages {
    /// The pages of a scan.
    pub(crate) fn of(table: &Arc<Table>, request: &Scan) -> Result<Self> {
        let paging = Paging::of(table, &request.key);
        let mut cells = Vec::new();
        let mut forms = Vec::new();
        for column in &request.columns {
            let here = table.require(&column.name)?;
            cells.push(quote(&here.name));
            forms.push(here.form);
        }
        let mut position = Vec::new();
        let mut hint = String::new();
        if let Some((name, columns)) = &paging.index {
            for column in columns {
                let place = place(&mut cells, quote(&column.name));
                position.push((place, column.form));
            }
            hint = format!(" force index ({})", quote(name));
        }
        if cells.is_empty() {
            cells.push("null".to_owned());
        }
        let from = format!("from {}{hint}", quote(&table.name));
        let (mut conditions, mut parameters) = (Vec::new(), Vec::new());
        let range = &request.range;
        if range.lower.is_some() || range.upper.is_some() {
            let leading = paging.index.as_ref().filter(|_| paging.ordered);
            let Some(column) = leading.and_then(|(_, columns)| columns.first()) else {
                return Err(Error::failed(format!(
                    "a key range of {} was asked for that has no order",
                    table.name
                )));
            };
            for (bound, op) in [(&range.lower, ">="), (&range.upper, "<")] {
                if let Some(bound) = bound {
                    conditions.push(format!("{} {op} {}", quote(&column.name), column.parameter()));
                    parameters.push(bound.clone());
                }
            }
        }
        let translator = Translator { table, columns: &request.columns };
        if let Some(filter) = request.filter.as_ref().and_then(|f| translator.translate(f)) {
            conditions.push(filter.sql);
            parameters.extend(filter.parameters);
        }
        Ok(Self { cells, from, conditions, parameters, index: paging.index, forms, position })
    }

    /// True when the table is read in pages.
    pub(crate) fn are_there(&self) -> bool {
        self.index.is_some()
    }

    /// True when nothing but the index's only column is asked for.
    pub(crate) fn position_is_all(&self) -> bool {
        self.position.len() == 1 && self.cells.len() == 1
    }

    /// The numbers of an index's only column between these two, without the first, packed
    /// ([`dense`](crate::engine::mysql::dense)).
    pub(crate) fn packed(&self, after: &Value, last: &Value) -> Query {
        let number = &self.cells[0];
        let mut conditions = self.conditions.clone();
        conditions.push(format!("{number} > ? and {number} <= ?"));
        let sql = format!(
            "select {number} >> 6, bit_or(1 << ({number} & 63)) {} where {} group by {number} >> 6",
            self.from,
            conditions.join(" and ")
        );
        let bounds = [after.clone(), last.clone()];
        Query { sql, parameters: self.parameters.iter().cloned().chain(bounds).collect() }
    }

    /// The page of at most `rows` rows after this position of the index.
    pub(crate) fn page(&self, after: Option<&[Value]>, rows: usize) -> Query {
        let mut conditions = self.conditions.clone();
        let mut parameters = self.parameters.clone();
        if let (Some((_, columns)), Some(after)) = (&self.index, after) {
            let mut condition = String::new();
            beyond(columns, after, &mut condition, &mut parameters);
            conditions.push(condition);
        }
        let mut sql = format!("select {} {}", self.cells.join(", "), self.from);
        if !conditions.is_empty() {
            sql.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        if let Some((_, columns)) = &self.index {
            let order: Vec<String> = columns.iter().map(|c| quote(&c.name)).collect();
            sql.push_str(&format!(" order by {} limit ?", order.join(", ")));
            parameters.push(Value::Int(rows as i64));
        }
        Query { sql, parameters }
    }
}

/// `a >= ? and (a > ? or (b > ?))`, as the optimiser makes one range of an index of it.
fn beyond(columns: &[TableColumn], after: &[Value], sql: &mut String, values: &mut Vec<Value>) {
    let ([column, rest @ ..], [value, more @ ..]) = (columns, after) else { return };
    let (name, parameter) = (quote(&column.name), column.parameter());
    if rest.is_empty() {
        sql.push_str(&format!("{name} > {parameter}"));
        values.push(value.clone());
        return;
    }
    sql.push_str(&format!("{name} >= {parameter} and ({name} > {parameter} or ("));
    values.extend([value.clone(), value.clone()]);
    beyond(rest, more, sql, values);
    sql.push_str("))");
}

/// A condition that holds for the rows of `count` keys, as the engine compares: a list for
/// one column, else alternatives, which the optimiser makes ranges of an index of.
pub(crate) fn any_of(key: &[&TableColumn], count: usize) -> String {
    if let [only] = key {
        let parameters = vec![only.parameter(); count].join(", ");
        return format!("{} in ({parameters})", quote(&only.name));
    }
    let one: Vec<String> =
        key.iter().map(|c| format!("{} = {}", quote(&c.name), c.parameter())).collect();
    let one = format!("({})", one.join(" and "));
    format!("({})", vec![one; count].join(" or "))
}
