//! Rows by their keys.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::query::ALIAS;
use crate::engine::postgres::session::{Parameter, Session, Stop, raw};
use crate::engine::postgres::types::words;
use crate::engine::wire::{BATCH_ROWS, Rows};
use crate::error::{Error, Result};
use crate::model::table::{Column, scan_schema};
use crate::model::value::{Cells, ValueRef, fits};

/// Reads the rows of these keys, in the order of the keys.
pub(crate) async fn fetch(
    session: &mut Session,
    table: &Table,
    columns: &[Column],
    key: &[Column],
    keys: &RecordBatch,
) -> Result<RecordBatch, Stop> {
    let mut cells = Vec::with_capacity(columns.len());
    let mut forms = Vec::with_capacity(columns.len());
    for column in columns {
        let here = table.require(&column.name)?;
        cells.push(here.cell(ALIAS));
        forms.push(here.form);
    }
    cells.push("k.place".to_owned());
    let key_columns: Vec<&TableColumn> =
        key.iter().map(|column| table.require(&column.name)).collect::<Result<_, _>>()?;
    let sql = format!(
        "select {} from {} join {} as {ALIAS} on {} order by k.place",
        cells.join(", "),
        asked(&key_columns),
        table.from(),
        matched(&key_columns)
    );
    let mut rows = Rows::new(columns, forms, keys.num_rows().min(BATCH_ROWS));
    let mut batches = Vec::new();
    let read = session.query(&sql, parameters(key, keys)?, |row| {
        rows.push(|at| raw(row, at))?;
        if rows.is_full() {
            batches.push(rows.take()?);
        }
        Ok(())
    });
    read.await?;
    batches.push(rows.take()?);
    Ok(concat_batches(&scan_schema(columns), &batches).map_err(Error::from)?)
}

/// The keys that are asked for, as a relation `k` of columns `k1`, `k2`, .. and `place`, from 1
/// on, out of one array of texts for each. The planner does not see how many an inner SELECT gives:
/// for some thousands it would rather read a table of a million rows than look them up.
pub(crate) fn asked(key: &[&TableColumn]) -> String {
    let arrays: Vec<String> = (1..)
        .zip(key)
        .map(|(at, column)| format!("pg_catalog.unnest((select ${at}::text[]::{}[]))", column.cast))
        .collect();
    let names: Vec<String> = (1..=key.len()).map(|at| format!("k{at}")).collect();
    format!("rows from ({}) with ordinality as k({}, place)", arrays.join(", "), names.join(", "))
}

/// The condition that a row of the table has a key of `k`.
pub(crate) fn matched(key: &[&TableColumn]) -> String {
    let equal = (1..).zip(key).map(|(at, column)| column.is_equal(ALIAS, &format!("k.k{at}")));
    equal.collect::<Vec<_>>().join(" and ")
}

/// One array of texts for each column of the keys. A key with a NULL or a misfit matches
/// nothing: all of it is NULL.
pub(crate) fn parameters(key: &[Column], keys: &RecordBatch) -> Result<Vec<Parameter>> {
    let cells = Cells::of(keys, key)?;
    let mut arrays: Vec<Parameter> =
        key.iter().map(|_| Vec::with_capacity(keys.num_rows())).collect();
    for row in 0..keys.num_rows() {
        let one: Vec<ValueRef<'_>> =
            (0..key.len()).map(|at| cells.get(row, at)).collect::<Result<_, _>>()?;
        let good = one.iter().zip(key).all(|(value, column)| {
            let nul = matches!(value, ValueRef::Text(text) if text.contains(&0));
            !value.is_null() && !nul && fits(*value, column.carrier)
        });
        for (array, value) in arrays.iter_mut().zip(one) {
            array.push(words(value).filter(|_| good));
        }
    }
    Ok(arrays)
}
