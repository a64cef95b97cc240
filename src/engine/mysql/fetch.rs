//! Rows by their keys.

use std::collections::HashMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::query::any_of;
use crate::engine::mysql::rows::{Rows, tuple};
use crate::engine::mysql::session::{Session, Stop, quote, raw};
use crate::engine::mysql::types::Form;
use crate::model::table::{Column, scan_schema};
use crate::model::value::{Cells, Value, ValueRef, fits, push_exact};

/// Keys that one statement asks for.
const ASKED: usize = 512;

/// Reads the rows of these keys, in the order of the keys. Rows whose key the engine only
/// takes for equal come after those whose key is just the one asked for.
pub(crate) async fn fetch(
    session: &mut Session,
    table: &Table,
    columns: &[Column],
    key: &[Column],
    keys: &RecordBatch,
) -> Result<RecordBatch, Stop> {
    let mut names = Vec::with_capacity(columns.len() + key.len());
    let mut forms = Vec::with_capacity(columns.len());
    for column in columns {
        let here = table.require(&column.name)?;
        names.push(quote(&here.name));
        forms.push(here.form);
    }
    let key_columns: Vec<&TableColumn> =
        key.iter().map(|column| table.require(&column.name)).collect::<Result<_, _>>()?;
    let key_forms: Vec<Form> = key_columns.iter().map(|c| c.form).collect();
    names.extend(key_columns.iter().map(|c| quote(&c.name)));
    let select = format!("select {} from {} where ", names.join(", "), quote(&table.name));

    let cells = Cells::of(keys, key)?;
    let mut wanted = Vec::with_capacity(keys.num_rows());
    for row in 0..keys.num_rows() {
        let one: Vec<ValueRef<'_>> =
            (0..key.len()).map(|at| cells.get(row, at)).collect::<Result<_, _>>()?;
        // A key with a NULL or a misfit matches nothing.
        if one
            .iter()
            .zip(key)
            .all(|(value, column)| !value.is_null() && fits(*value, column.carrier))
        {
            wanted.push(one);
        }
    }
    let places: HashMap<Vec<u8>, usize> =
        wanted.iter().enumerate().map(|(place, key)| (word(key), place)).collect();
    let mut rows = Rows::new(columns, forms, wanted.len());
    let mut batches = Vec::new();
    let mut order = Vec::new();
    for asked in wanted.chunks(ASKED) {
        let sql = format!("{select}{}", any_of(&key_columns, asked.len()));
        let parameters: Vec<ValueRef<'_>> = asked.concat();
        session
            .query(&sql, &parameters, |row| {
                rows.push(|at| raw(row, at))?;
                let key = tuple(row, columns.len(), &key_forms)?;
                let key: Vec<ValueRef<'_>> = key.iter().map(Value::as_ref).collect();
                order.push(places.get(&word(&key)).copied().unwrap_or(usize::MAX));
                if rows.is_full() {
                    batches.push(rows.take()?);
                }
                Ok(true)
            })
            .await?;
    }
    batches.push(rows.take()?);
    let all = concat_batches(&scan_schema(columns), &batches).map_err(crate::error::Error::from)?;
    let mut sorted: Vec<u32> = (0..order.len() as u32).collect();
    sorted.sort_by_key(|row| order[*row as usize]);
    Ok(take_record_batch(&all, &UInt32Array::from(sorted)).map_err(crate::error::Error::from)?)
}

/// A key as bytes that no other key has.
pub(crate) fn word(key: &[ValueRef<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.iter().for_each(|value| push_exact(&mut bytes, "", *value));
    bytes
}
