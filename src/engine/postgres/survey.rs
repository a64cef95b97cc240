//! A look over a table before it is scanned: its size, and where to divide it.

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::query::{ALIAS, Paging, literal, name};
use crate::engine::postgres::session::{Session, Stop};
use crate::engine::postgres::types::Form;
use crate::model::table::Column;
use crate::model::value::{Value, ValueRef};
use crate::source::Survey;

/// Rows are counted where the statistics say up to this many.
const COUNTED: u64 = 200_000;

/// Fewer rows than this are not worth dividing.
const DIVIDED: u64 = 16_384;

/// Surveys a table; nothing here reads all of a large one.
pub(crate) async fn survey(
    session: &mut Session,
    table: &Table,
    key: &[Column],
    parts: usize,
) -> Result<Survey, Stop> {
    let paging = Paging::of(table, key);
    let rows = match table.rows.filter(|rows| *rows > COUNTED) {
        Some(rows) => rows,
        None => count(session, table).await?,
    };
    let mut splits = Vec::new();
    let leading = paging.index.as_ref().and_then(|columns| columns.first());
    if let Some(column) = leading.filter(|_| paging.ordered && parts > 1 && rows >= DIVIDED)
        && matches!(column.form, Form::Int(_) | Form::Oid)
    {
        splits = divide(session, table, column, parts).await?;
    }
    Ok(Survey { rows: Some(rows), ordered: paging.ordered, splits })
}

async fn count(session: &mut Session, table: &Table) -> Result<u64, Stop> {
    let counted = session.word(&format!("select count(*)::text from {}", table.from())).await?;
    Ok(counted.parse().unwrap_or(0))
}

/// Keys near to equal steps between the least and the greatest.
async fn divide(
    session: &mut Session,
    table: &Table,
    column: &TableColumn,
    parts: usize,
) -> Result<Vec<Value>, Stop> {
    let (cell, from) = (name(column), table.from());
    let select = format!("select {cell}::text from {from} as {ALIAS}");
    let mut ends = [0_i128; 2];
    for (end, direction) in ends.iter_mut().zip(["", " desc"]) {
        let found = session.word(&format!("{select} order by {cell}{direction} limit 1")).await?;
        *end = found.parse().unwrap_or(0);
    }
    let [least, most] = ends;
    let mut splits: Vec<i64> = Vec::with_capacity(parts);
    for part in 1..parts {
        let step = least + (most - least) * part as i128 / parts as i128;
        let Some(step) = i64::try_from(step).ok().and_then(|i| literal(column, ValueRef::Int(i)))
        else {
            continue;
        };
        let next = format!("{select} where {cell} >= {step} order by {cell} limit 1");
        let Ok(split) = session.word(&next).await?.parse::<i64>() else { continue };
        if i128::from(split) > splits.last().map_or(least, |last| i128::from(*last)) {
            splits.push(split);
        }
    }
    Ok(splits.into_iter().map(Value::Int).collect())
}
