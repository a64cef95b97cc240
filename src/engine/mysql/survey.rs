//! A look over a table before it is scanned: its size, and where to divide it.

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::query::Paging;
use crate::engine::mysql::rows::tuple;
use crate::engine::mysql::session::{Session, Stop, quote};
use crate::model::table::{Carrier, Column};
use crate::model::value::{Value, ValueRef};
use crate::source::Survey;

/// Rows are counted where the engine guesses up to this many.
const COUNTED: u64 = 200_000;

/// Fewer rows than this are not worth dividing.
const DIVIDED: u64 = 16_384;

/// Surveys a table; nothing here reads all of a large one. Splits are only worth something
/// to a side that `several` connections read.
pub(crate) async fn survey(
    session: &mut Session,
    table: &Table,
    key: &[Column],
    parts: usize,
) -> Result<Survey, Stop> {
    let paging = Paging::of(table, key);
    let rows = match table.rows <= COUNTED {
        true => count(session, table).await?,
        false => table.rows,
    };
    let mut splits = Vec::new();
    let leading = paging.index.as_ref().and_then(|(_, columns)| columns.first());
    if let Some(column) = leading.filter(|_| paging.ordered && parts > 1 && rows >= DIVIDED)
        && matches!(column.form.carrier(), Carrier::Int | Carrier::Unsigned)
    {
        splits = divide(session, table, column, parts).await?;
    }
    Ok(Survey { rows: Some(rows), ordered: paging.ordered, splits })
}

async fn count(session: &mut Session, table: &Table) -> Result<u64, Stop> {
    let sql = format!("select cast(count(*) as char) from {}", quote(&table.name));
    let counted = session.strings(&sql, &[]).await?;
    let cell = counted.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(cell.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// Keys near to equal steps between the least and the greatest.
async fn divide(
    session: &mut Session,
    table: &Table,
    column: &TableColumn,
    parts: usize,
) -> Result<Vec<Value>, Stop> {
    let (cell, name) = (quote(&column.name), quote(&table.name));
    let mut ends = [0i128; 2];
    for (end, direction) in ends.iter_mut().zip(["", " desc"]) {
        let sql = format!("select {cell} from {name} order by {cell}{direction} limit 1");
        *end = one(session, &sql, &[], column).await?.unwrap_or(0);
    }
    let [least, most] = ends;
    let next = format!("select {cell} from {name} where {cell} >= ? order by {cell} limit 1");
    let mut splits: Vec<i128> = Vec::with_capacity(parts);
    for part in 1..parts {
        let step = least + (most - least) * part as i128 / parts as i128;
        let from = match (i64::try_from(step), u64::try_from(step)) {
            (Ok(step), _) => ValueRef::Int(step),
            (_, Ok(step)) => ValueRef::Unsigned(step),
            _ => continue,
        };
        let split = one(session, &next, &[from], column).await?.unwrap_or(least);
        if split > splits.last().copied().unwrap_or(least) {
            splits.push(split);
        }
    }
    let values = splits.into_iter().filter_map(|split| match i64::try_from(split) {
        Ok(split) => Some(Value::Int(split)),
        Err(_) => u64::try_from(split).ok().map(Value::Unsigned),
    });
    Ok(values.collect())
}

/// The integer that a statement gives.
async fn one(
    session: &mut Session,
    sql: &str,
    parameters: &[ValueRef<'_>],
    column: &TableColumn,
) -> Result<Option<i128>, Stop> {
    let mut found = None;
    session
        .query(sql, parameters, |row| {
            found = match tuple(row, 0, &[column.form])?[..] {
                [Value::Int(i)] => Some(i.into()),
                [Value::Unsigned(u)] => Some(u.into()),
                _ => None,
            };
            Ok(true)
        })
        .await?;
    Ok(found)
}
