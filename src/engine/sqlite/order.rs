//! Whether SQLite can give a table in the order that both sides are merged in, and where a
//! cell of the key's first column stands in a range.
//!
//! The order is that of the carried values: NULL first, which a misfit is too, then numbers
//! by value and text and blobs by bytes, text after [`Collation::normalise`]. SQLite's own
//! order is the same unless a key holds a misfit, text is stored as UTF-16, or a NOCASE text
//! holds a NUL character, at which SQLite stops comparing. Keys are looked through for
//! that, mostly in an index; an INTEGER PRIMARY KEY need not be.

use std::cmp::Ordering;

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::raw::{Connection, SqliteError, quote};
use crate::model::table::{Carrier, Collation, Column};
use crate::model::value::{Value, ValueRef, fits};
use crate::source::KeyRange;

/// True when `ORDER BY` the key gives the merge's order. The key's columns exist here.
pub(crate) fn is_native(
    connection: &Connection,
    table: &Table,
    key: &[Column],
) -> Result<bool, SqliteError> {
    let alias = table.rowid_alias().map(|c| c.name.as_str());
    let surely_int = |column: &Column| {
        let here = table.column(&column.name);
        let kept = here.is_some_and(|c| {
            Some(c.name.as_str()) == alias || (table.strict && c.declared.contains("INT"))
        });
        column.carrier == Carrier::Int && kept
    };
    let doubtful: Vec<&Column> = key.iter().filter(|c| !surely_int(c)).collect();
    if doubtful.is_empty() {
        return Ok(true);
    }
    if doubtful.iter().any(|c| c.carrier == Carrier::Text) && !is_utf8(connection)? {
        return Ok(false);
    }
    let names: Vec<String> =
        doubtful.iter().filter_map(|c| table.column(&c.name)).map(|c| quote(&c.name)).collect();
    let sql = format!("select {} from {}", names.join(", "), quote(&table.name));
    let mut native = true;
    connection.prepare(&sql)?.query(&[], |row| {
        native = doubtful.iter().enumerate().all(|(index, column)| {
            let value = row.get(index);
            fits(value, column.carrier)
                && !matches!(value, ValueRef::Text(b)
                    if column.collation == Collation::NoCase && b.contains(&0))
        });
        Ok::<bool, SqliteError>(native)
    })?;
    Ok(native)
}

/// True when the database stores text as UTF-8.
pub(crate) fn is_utf8(connection: &Connection) -> Result<bool, SqliteError> {
    let mut utf8 = true;
    connection.prepare("pragma encoding")?.query(&[], |row| {
        utf8 = row.text(0).as_deref() == Some("UTF-8");
        Ok::<bool, SqliteError>(true)
    })?;
    Ok(utf8)
}

/// True when a cell of the key's first column lies in the range.
pub(crate) fn contains(range: &KeyRange, column: &Column, cell: ValueRef<'_>) -> bool {
    if cell.is_null() || !fits(cell, column.carrier) {
        return range.lower.is_none();
    }
    let at_least = |bound: &Value| compare(cell, bound.as_ref(), column) != Ordering::Less;
    range.lower.as_ref().is_none_or(at_least) && !range.upper.as_ref().is_some_and(at_least)
}

fn compare(a: ValueRef<'_>, b: ValueRef<'_>, column: &Column) -> Ordering {
    match (a, b) {
        (ValueRef::Int(a), ValueRef::Int(b)) => a.cmp(&b),
        (ValueRef::Real(a), ValueRef::Real(b)) => a.total_cmp(&b),
        (ValueRef::Int(a), ValueRef::Real(b)) => (a as f64).total_cmp(&b),
        (ValueRef::Real(a), ValueRef::Int(b)) => a.total_cmp(&(b as f64)),
        (ValueRef::Text(a), ValueRef::Text(b)) => {
            column.collation.normalise(a).cmp(&column.collation.normalise(b))
        }
        (ValueRef::Blob(a), ValueRef::Blob(b)) => a.cmp(b),
        // A bound of another class than the column's carrier: in the order of classes.
        (a, b) => class(a).cmp(&class(b)),
    }
}

fn class(value: ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Int(_) | ValueRef::Real(_) => 1,
        ValueRef::Text(_) => 2,
        ValueRef::Blob(_) => 3,
        // Not a class of SQLite's: after all of them.
        _ => 4,
    }
}
