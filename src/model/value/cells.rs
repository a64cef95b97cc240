//! Reading the cells of a batch, those that fit their carriers and those that do not.

use arrow::array::{
    Array, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
    UInt64Type,
};

use crate::error::{Error, Result};
use crate::model::table::{Carrier, Column};
use crate::model::value::{EXACT, ValueRef, exact_cells, push_exact, stands_for_integer};

/// Reads cells of a batch whose columns travel in known carriers, misfits included.
#[derive(Debug)]
pub struct Cells<'a> {
    columns: Vec<(&'a str, Typed<'a>)>,
    exact: Option<&'a BinaryArray>,
}

/// A column whose type was looked up once, not for each of its cells.
#[derive(Clone, Copy, Debug)]
enum Typed<'a> {
    Int(&'a Int64Array),
    Real(&'a Float64Array),
    Text(&'a StringArray),
    Blob(&'a BinaryArray),
    Other(Carrier, &'a dyn Array),
}

impl<'a> Typed<'a> {
    fn of(array: &'a dyn Array, carrier: Carrier) -> Self {
        let typed = match carrier {
            Carrier::Int => array.as_primitive_opt().map(Typed::Int),
            Carrier::Real => array.as_primitive_opt().map(Typed::Real),
            Carrier::Text => array.as_string_opt().map(Typed::Text),
            Carrier::Blob => array.as_binary_opt().map(Typed::Blob),
            _ => None,
        };
        typed.unwrap_or(Typed::Other(carrier, array))
    }

    /// The cell where it is not NULL.
    #[inline]
    fn get(self, row: usize) -> Option<ValueRef<'a>> {
        match self {
            Typed::Int(a) => a.is_valid(row).then(|| ValueRef::Int(a.value(row))),
            Typed::Real(a) => a.is_valid(row).then(|| ValueRef::Real(a.value(row))),
            Typed::Text(a) => a.is_valid(row).then(|| ValueRef::Text(a.value(row).as_bytes())),
            Typed::Blob(a) => a.is_valid(row).then(|| ValueRef::Blob(a.value(row))),
            Typed::Other(carrier, a) => a.is_valid(row).then(|| carried(a, carrier, row)),
        }
    }
}

impl<'a> Cells<'a> {
    /// Cells of `columns` (name in the batch, name in EXACT cells, carrier), with the
    /// misfits in the batch's column `exact`.
    pub fn new(
        batch: &'a RecordBatch,
        columns: impl IntoIterator<Item = (&'a str, &'a str, Carrier)>,
        exact: &str,
    ) -> Result<Self> {
        let columns = columns
            .into_iter()
            .map(|(field, name, carrier)| {
                let array = batch.column_by_name(field).ok_or_else(|| missing_field(field))?;
                if *array.data_type() != carrier.data_type() {
                    return Err(Error::failed(format!(
                        "column {field} travels as {}, not as {}",
                        array.data_type(),
                        carrier.data_type()
                    )));
                }
                Ok((name, Typed::of(array.as_ref(), carrier)))
            })
            .collect::<Result<Vec<_>>>()?;
        let exact = batch.column_by_name(exact).and_then(|a| a.as_binary_opt::<i32>());
        Ok(Self { columns, exact: exact.filter(|e| e.null_count() < e.len()) })
    }

    /// Cells of these columns under their own names, with the misfits in [`EXACT`].
    pub fn of(batch: &'a RecordBatch, columns: &'a [Column]) -> Result<Self> {
        let columns = columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        Self::new(batch, columns, EXACT)
    }

    /// How many columns there are.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The cell in `row` of the `column`-th column.
    #[inline]
    pub fn get(&self, row: usize, column: usize) -> Result<ValueRef<'a>> {
        let (name, array) = self.columns[column];
        match array.get(row) {
            Some(value) => Ok(value),
            None => self.misfit(row, name),
        }
    }

    /// What a cell holds that is NULL in its column.
    fn misfit(&self, row: usize, name: &str) -> Result<ValueRef<'a>> {
        let Some(exact) = self.exact.filter(|e| e.is_valid(row)) else {
            return Ok(ValueRef::Null);
        };
        for cell in exact_cells(exact.value(row)) {
            let (cell_name, value) = cell?;
            if cell_name == name {
                return Ok(value);
            }
        }
        Ok(ValueRef::Null)
    }
}

/// A tuple's bytes under the collations of `columns`; `None` when a cell is NULL, since
/// NULL equals nothing in a unique index or a reference.
pub fn collated(cells: &Cells<'_>, row: usize, columns: &[Column]) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(16 * columns.len());
    for (index, column) in columns.iter().enumerate() {
        match cells.get(row, index)? {
            ValueRef::Null => return Ok(None),
            ValueRef::Text(text) => {
                let normal = column.collation.normalise(text);
                push_exact(&mut bytes, "", ValueRef::Text(&normal));
            }
            value => push_exact(&mut bytes, "", value),
        }
    }
    Ok(Some(bytes))
}

fn missing_field(field: &str) -> Error {
    Error::failed(format!("a batch lacks the column {field}"))
}

/// The cell in `row` of an array that travels in `carrier`, where it is not NULL.
pub fn carried(array: &dyn Array, carrier: Carrier, row: usize) -> ValueRef<'_> {
    match (carrier, array.data_type()) {
        (Carrier::Int, _) => ValueRef::Int(array.as_primitive::<Int64Type>().value(row)),
        (Carrier::Real, _) => ValueRef::Real(array.as_primitive::<Float64Type>().value(row)),
        (Carrier::Number, _) => {
            let r = array.as_primitive::<Float64Type>().value(row);
            if stands_for_integer(r) { ValueRef::Int(r as i64) } else { ValueRef::Real(r) }
        }
        (Carrier::Text, DataType::Utf8) => {
            ValueRef::Text(array.as_string::<i32>().value(row).as_bytes())
        }
        (Carrier::Text | Carrier::Blob, _) => ValueRef::Blob(array.as_binary::<i32>().value(row)),
        (Carrier::Unsigned, _) => ValueRef::unsigned(array.as_primitive::<UInt64Type>().value(row)),
        (Carrier::Bool, _) => ValueRef::Bool(array.as_boolean().value(row)),
        (Carrier::Date, _) => ValueRef::Date(array.as_primitive::<Date32Type>().value(row)),
        (Carrier::Stamp, _) => {
            ValueRef::Stamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        (Carrier::Instant, _) => {
            ValueRef::Instant(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        (Carrier::Decimal { scale, .. }, _) => {
            ValueRef::Decimal(array.as_primitive::<Decimal128Type>().value(row), scale)
        }
    }
}
