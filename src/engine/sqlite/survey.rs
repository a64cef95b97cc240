//! A look over a table before it is scanned: its size, and where to divide it.

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::known::Found;
use crate::engine::sqlite::raw::{Connection, SqliteError, quote};
use crate::model::table::{Carrier, Column};
use crate::model::value::{Value, ValueRef};
use crate::source::Survey;

/// Rows are counted in a database of up to this many bytes.
const COUNTED: i64 = 16 << 20;

/// Fewer rows than this are not worth dividing.
const DIVIDED: u64 = 16_384;

/// Surveys a table; nothing here reads all of a large one.
pub(crate) fn survey(
    connection: &Connection,
    found: &Found,
    key: &[Column],
    parts: usize,
) -> Result<Survey, SqliteError> {
    let table = &*found.table;
    let rows = rows(connection, table)?;
    let worth_it = parts > 1 && found.native && rows.is_none_or(|n| n >= DIVIDED);
    let splits = match key.first() {
        Some(column) if worth_it && column.carrier == Carrier::Int && is_leading(table, column) => {
            splits(connection, table, column, parts)?
        }
        _ => Vec::new(),
    };
    Ok(Survey { rows, ordered: found.native && !key.is_empty(), splits })
}

/// True when the table can be entered at a value of the column.
fn is_leading(table: &Table, column: &Column) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case(&column.name);
    table.rowid_alias().is_some_and(|alias| is(&alias.name))
        || table.indexes.iter().any(|index| {
            !index.partial && matches!(index.columns.first(), Some(Some((name, _))) if is(name))
        })
}

fn rows(connection: &Connection, table: &Table) -> Result<Option<u64>, SqliteError> {
    let name = quote(&table.name);
    let bytes =
        one(connection, "pragma page_count", &[])? * one(connection, "pragma page_size", &[])?;
    if bytes <= COUNTED {
        let counted = one(connection, &format!("select count(*) from {name}"), &[])?;
        return Ok(u64::try_from(counted).ok());
    }
    if let Some(rows) = analysed(connection, table)? {
        return Ok(Some(rows));
    }
    let Some(rowid) = table.rowid() else { return Ok(None) };
    let least = one(connection, &format!("select min({rowid}) from {name}"), &[])?;
    let most = one(connection, &format!("select max({rowid}) from {name}"), &[])?;
    // A row takes four bytes at least ("Database File Format", 1.6).
    let span = most.saturating_sub(least).saturating_add(1);
    Ok(u64::try_from(span.min(bytes / 4)).ok())
}

/// What ANALYZE last counted.
fn analysed(connection: &Connection, table: &Table) -> Result<Option<u64>, SqliteError> {
    let there = "select count(*) from sqlite_schema where name = 'sqlite_stat1'";
    if one(connection, there, &[])? == 0 {
        return Ok(None);
    }
    let mut rows = None;
    connection.prepare("select stat from sqlite_stat1 where tbl = ? collate nocase")?.query(
        &[ValueRef::Text(table.name.as_bytes())],
        |row| {
            let stat = row.text(0).unwrap_or_default();
            rows = rows.max(stat.split(' ').next().and_then(|n| n.parse().ok()));
            Ok::<bool, SqliteError>(true)
        },
    )?;
    Ok(rows)
}

/// Keys near to equal steps between the least and the greatest.
fn splits(
    connection: &Connection,
    table: &Table,
    column: &Column,
    parts: usize,
) -> Result<Vec<Value>, SqliteError> {
    let Some(here) = table.column(&column.name) else { return Ok(Vec::new()) };
    let (cell, name) = (quote(&here.name), quote(&table.name));
    let least = one(connection, &format!("select min({cell}) from {name}"), &[])?;
    let most = one(connection, &format!("select max({cell}) from {name}"), &[])?;
    let span = i128::from(most) - i128::from(least);
    let next = format!("select {cell} from {name} where {cell} >= ? order by {cell} limit 1");
    let mut splits: Vec<i64> = Vec::with_capacity(parts);
    for part in 1..parts {
        let step = i128::from(least) + span * part as i128 / parts as i128;
        let Ok(step) = i64::try_from(step) else { continue };
        let split = one(connection, &next, &[ValueRef::Int(step)])?;
        if split > splits.last().copied().unwrap_or(least) {
            splits.push(split);
        }
    }
    Ok(splits.into_iter().map(Value::Int).collect())
}

/// The integer that a statement gives; 0 when it gives none.
fn one(
    connection: &Connection,
    sql: &str,
    parameters: &[ValueRef<'_>],
) -> Result<i64, SqliteError> {
    let mut found = 0;
    connection.prepare(sql)?.query(parameters, |row| {
        found = row.int(0);
        Ok::<bool, SqliteError>(false)
    })?;
    Ok(found)
}
