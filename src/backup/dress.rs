//! In what dress a backup holds a table's values, and taking it off: a batch of the file or
//! database becomes a batch of live's columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};

use crate::error::{Error, Result};
use crate::fit::carry::{Carried, exact_column};
use crate::fit::cell::{self, FileHabits};
use crate::fit::notes::Tally;
use crate::fit::place::{Place, Rows};
use crate::fit::{foreign, refit};
use crate::model::table::{Column, TableName, TableSchema, scan_schema};
use crate::model::value::{EXACT, Value, exact_cells};

/// How a Parquet file's columns hold the table's values.
#[derive(Clone, Debug)]
pub enum Dress {
    /// Any Arrow types, as some other program wrote them.
    Foreign,
    /// Tagged cells of a text format ([`crate::fit::cell`]).
    Staged(FileHabits),
    /// Carriers of a snapshot of ours or of a database, with misfits in the EXACT column.
    Own(Box<TableSchema>),
}

/// A column of live and the column of the file that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// As live has it.
    pub(crate) live: Column,
    /// Its name in the file.
    pub(crate) file: String,
}

impl Dress {
    /// Makes live's columns of a batch of the file. `rows` are the numbers of its rows in
    /// the file.
    pub(crate) fn undress(
        &self,
        batch: &RecordBatch,
        pairs: &[Pair],
        table: &TableName,
        rows: Rows<'_>,
        tally: &mut Tally,
    ) -> Result<RecordBatch> {
        let columns = match self {
            Dress::Own(schema) => own(batch, pairs, schema, table, rows, tally)?,
            _ => pairs
                .iter()
                .map(|pair| {
                    let array = column(batch, &pair.file)?;
                    let mut place = Place { table, column: &pair.live, rows, tally: &mut *tally };
                    match self {
                        Dress::Staged(habits) => {
                            let cells = array.as_binary_opt::<i32>().ok_or_else(|| {
                                Error::failed(format!(
                                    "the staged column {} has no cells",
                                    pair.file
                                ))
                            })?;
                            cell::fit(cells, &pair.file, habits, &mut place)
                        }
                        _ => foreign::fit(array, &mut place),
                    }
                })
                .collect::<Result<Vec<_>>>()?,
        };
        assemble(pairs, columns, batch.num_rows())
    }
}

fn assemble(pairs: &[Pair], columns: Vec<Carried>, rows: usize) -> Result<RecordBatch> {
    let live = || pairs.iter().map(|pair| &pair.live);
    let exact = exact_column(live().zip(&columns), rows);
    let mut arrays: Vec<ArrayRef> = columns.into_iter().map(|carried| carried.array).collect();
    arrays.push(Arc::new(exact));
    Ok(RecordBatch::try_new(scan_schema(live()), arrays)?)
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| Error::failed(format!("a batch of the backup lacks the column {name}")))
}

/// Columns of our own snapshot. A column that live has in the same type passes as it is;
/// another is carried anew, value by value.
fn own(
    batch: &RecordBatch,
    pairs: &[Pair],
    schema: &TableSchema,
    table: &TableName,
    rows: Rows<'_>,
    tally: &mut Tally,
) -> Result<Vec<Carried>> {
    let exact = batch.column_by_name(EXACT).and_then(|array| array.as_binary_opt::<i32>());
    let mut misfits = misfits_by_column(exact, pairs)?;
    let mut out = Vec::with_capacity(pairs.len());
    for (index, pair) in pairs.iter().enumerate() {
        let then =
            schema.columns.iter().find(|c| c.name == pair.file).ok_or_else(|| {
                Error::failed(format!("the manifest lacks the column {}", pair.file))
            })?;
        let array = column(batch, &pair.file)?;
        if *array.data_type() != then.carrier.data_type() {
            return Err(Error::damaged(format!(
                "column {table}.{} is stored as {}, its manifest says {}",
                pair.file,
                array.data_type(),
                then.carrier.data_type()
            )));
        }
        let misfits = std::mem::take(&mut misfits[index]);
        let mut place = Place { table, column: &pair.live, rows, tally: &mut *tally };
        out.push(refit::fit(then, Carried { array: array.clone(), misfits }, &mut place)?);
    }
    Ok(out)
}

/// The misfits of the wanted columns, by column and row. Cells of columns that are not
/// wanted are left out.
fn misfits_by_column(
    exact: Option<&BinaryArray>,
    pairs: &[Pair],
) -> Result<Vec<Vec<(usize, Value)>>> {
    let mut misfits = vec![Vec::new(); pairs.len()];
    let Some(exact) = exact.filter(|exact| exact.null_count() < exact.len()) else {
        return Ok(misfits);
    };
    for (row, cells) in exact.iter().enumerate() {
        for cell in exact_cells(cells.unwrap_or_default()) {
            let (name, value) = cell?;
            for (misfits, _) in misfits.iter_mut().zip(pairs).filter(|(_, p)| p.file == name) {
                misfits.push((row, value.to_owned()));
            }
        }
    }
    Ok(misfits)
}
