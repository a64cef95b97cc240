//! In what dress a backup holds a table's values, and taking it off: a batch of the file or
//! database becomes a batch of live's columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::compute::concat;

use crate::backup::text::stage::store::CellBatch;
use crate::error::{Error, Result};
use crate::fit::carry::{Carried, CarrierBuilder, exact_column};
use crate::fit::cell::staged::StagedCells;
use crate::fit::cell::{self, FileHabits};
use crate::fit::notes::Tally;
use crate::fit::place::{Place, Rows};
use crate::fit::{foreign, refit};
use crate::model::table::{Column, TableName, TableSchema, scan_schema};
use crate::model::value::{EXACT, Value, exact_cells};
use crate::source::Unfit;

/// How the columns of a Parquet file or of a database hold the table's values.
#[derive(Clone, Debug)]
pub enum Dress {
    /// Any Arrow types, as some other program wrote them.
    Foreign,
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
    /// What becomes of a value that live's column can't hold.
    pub(crate) unfit: Unfit,
}

impl Pair {
    /// Sets what becomes of unfit values, but for the key's, which are always refused.
    pub(crate) fn all(pairs: &mut [Pair], unfit: Unfit, key: &[Column]) {
        for pair in pairs.iter_mut().filter(|pair| key.iter().all(|k| k.name != pair.live.name)) {
            pair.unfit = unfit;
        }
    }

    /// Fits the column's values. Where unfit ones are marked they are found by halves, so that
    /// a batch without any costs nothing.
    fn fitted<G: Given>(
        &self,
        given: G,
        (table, rows): (&TableName, Rows<'_>),
        tally: &mut Tally,
        fit: impl Fn(G, &mut Place<'_>) -> Result<Carried>,
    ) -> Result<Carried> {
        let column = &self.live;
        if self.unfit == Unfit::Refuse {
            return fit(given, &mut Place { table, column, rows, tally });
        }
        let (mut arrays, mut misfits, mut unfit) = (Vec::new(), Vec::new(), Vec::new());
        let mut parts = vec![(0, given.rows())];
        while let Some((first, count)) = parts.pop() {
            let mut own = Tally::default();
            // The row's name is wrong in a part, and shows in no error but those dropped here.
            let place = &mut Place { table, column, rows, tally: &mut own };
            match fit(given.part(first, count), place) {
                Ok(fitted) => {
                    tally.join(&own);
                    misfits.extend(fitted.misfits.into_iter().map(|(row, v)| (first + row, v)));
                    arrays.push(fitted.array);
                }
                Err(e) if e.is_unfit() && count > 1 => {
                    parts.push((first + count / 2, count - count / 2));
                    parts.push((first, count / 2));
                }
                Err(e) if e.is_unfit() => {
                    unfit.push(first);
                    arrays.push(CarrierBuilder::nulls(column.carrier, count).array);
                }
                Err(e) => return Err(e),
            }
        }
        let array = match &arrays[..] {
            [whole] => Arc::clone(whole),
            _ => concat(&arrays.iter().map(|array| &**array).collect::<Vec<_>>())?,
        };
        Ok(Carried { array, misfits, unfit })
    }
}

/// Values of a column as a backup gives them.
trait Given {
    /// How many there are.
    fn rows(&self) -> usize;

    /// Some of them.
    fn part(&self, first: usize, count: usize) -> Self;
}

impl Given for Carried {
    fn rows(&self) -> usize {
        self.array.len()
    }

    fn part(&self, first: usize, count: usize) -> Self {
        let here = self.misfits.iter().filter(|(row, _)| (first..first + count).contains(row));
        let misfits = here.map(|(row, value)| (row - first, value.clone())).collect();
        Carried { misfits, ..self.array.slice(first, count).into() }
    }
}

impl Given for StagedCells {
    fn rows(&self) -> usize {
        self.len()
    }

    fn part(&self, first: usize, count: usize) -> Self {
        self.slice(first, count)
    }
}

/// Makes live's columns of staged cells, which are in the order of `pairs`.
pub(in crate::backup) fn undress_cells(
    cells: CellBatch,
    habits: &FileHabits,
    pairs: &[Pair],
    (table, rows): (&TableName, Rows<'_>),
    tally: &mut Tally,
) -> Result<RecordBatch> {
    let columns = pairs.iter().zip(cells.columns).map(|(pair, given)| {
        pair.fitted(given, (table, rows), tally, |given, place| {
            cell::fit(&given, &pair.file, habits, place)
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    assemble(pairs, columns, cells.rows)
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
            Dress::Foreign => pairs
                .iter()
                .map(|pair| {
                    let array = column(batch, &pair.file)?.clone();
                    pair.fitted(Carried::from(array), (table, rows), tally, |given, place| {
                        foreign::fit(&given.array, place)
                    })
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
        let given = Carried { misfits, ..array.clone().into() };
        let fit = |given, place: &mut Place<'_>| refit::fit(then, given, place);
        out.push(pair.fitted(given, (table, rows), tally, fit)?);
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
