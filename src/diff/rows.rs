//! Change batches as typed rows, for whoever renders or plans them one by one.

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, UInt8Array};
use arrow::datatypes::UInt8Type;

use crate::diff::spec::DiffSpec;
use crate::error::{Error, Result};
use crate::model::change::{CHANGE, Change, DIFFERS, differs, side_field};
use crate::model::origin::FROM;
use crate::model::side::{Side, Which};
use crate::model::table::Column;
use crate::model::value::{Cells, EXACT, ValueRef};

/// The rows of one change batch.
#[derive(Debug)]
pub struct ChangeRows<'a> {
    spec: &'a DiffSpec,
    batch: &'a RecordBatch,
    change: &'a UInt8Array,
    differs: &'a BinaryArray,
    cells: Side<Cells<'a>>,
}

impl<'a> ChangeRows<'a> {
    /// The rows of `batch`, which a diff by `spec` gave.
    pub fn new(spec: &'a DiffSpec, batch: &'a RecordBatch) -> Result<Self> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::failed(format!("a change batch lacks {name}")))
        };
        let cells = |which: Which| {
            let first = first_field(spec, which);
            let carried = spec.carry.get(which).iter().enumerate().map(|(i, column)| {
                let field = batch.schema_ref().field(first + i).name().as_str();
                (field, column.name.as_str(), column.carrier)
            });
            Cells::new(batch, carried, &side_field(which, EXACT))
        };
        Ok(Self {
            spec,
            batch,
            change: column(CHANGE)?.as_primitive::<UInt8Type>(),
            differs: column(DIFFERS)?.as_binary(),
            cells: Side { backup: cells(Which::Backup)?, live: cells(Which::Live)? },
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What became of the row.
    pub fn change(&self, row: usize) -> Result<Change> {
        Change::from_code(self.change.value(row))
            .ok_or_else(|| Error::failed("a change batch holds an unknown change"))
    }

    /// True when the row stands on this side. An ambiguous row stands on one side only.
    pub fn has(&self, row: usize, which: Which) -> bool {
        // Every change has a key without NULLs, on the sides where there is a row.
        self.batch.column(first_field(self.spec, which)).is_valid(row)
    }

    /// The key's columns and values: live's where the row is live.
    pub fn key(&self, row: usize) -> Result<Vec<(&'a Column, ValueRef<'a>)>> {
        let which = if self.has(row, Which::Live) { Which::Live } else { Which::Backup };
        let mut image = self.image(row, which)?;
        image.truncate(self.spec.key.len());
        Ok(image)
    }

    /// The pairs of [`DiffSpec::compare`] that differ, by index; none unless changed.
    pub fn differs(&self, row: usize) -> impl Iterator<Item = usize> + use<'a> {
        let mask = if self.differs.is_valid(row) { self.differs.value(row) } else { &[] };
        (0..self.spec.compare.len()).filter(move |index| differs(mask, *index))
    }

    /// Which of several backups the row's old values come from; `None` where there is one, and
    /// for a row that is only live.
    pub fn from(&self, row: usize) -> Result<Option<usize>> {
        let Some(index) = self.position(Which::Backup, FROM) else { return Ok(None) };
        Ok(match self.value(row, Which::Backup, index)? {
            ValueRef::Int(number) => usize::try_from(number).ok(),
            _ => None,
        })
    }

    /// A side's carried columns and values, the key's first.
    pub fn image(&self, row: usize, which: Which) -> Result<Vec<(&'a Column, ValueRef<'a>)>> {
        let carried = self.spec.carry.get(which).iter().enumerate();
        let carried = carried.filter(|(_, column)| column.name != FROM);
        carried.map(|(i, column)| Ok((column, self.value(row, which, i)?))).collect()
    }

    /// The value of a side's `index`-th carried column.
    pub fn value(&self, row: usize, which: Which, index: usize) -> Result<ValueRef<'a>> {
        self.cells.get(which).get(row, index)
    }

    /// The position of a column among a side's carried ones.
    pub fn position(&self, which: Which, name: &str) -> Option<usize> {
        self.spec.carry.get(which).iter().position(|c| c.name == name)
    }
}

/// The field of a side's first carried column.
fn first_field(spec: &DiffSpec, which: Which) -> usize {
    match which {
        Which::Backup => 2,
        Which::Live => 2 + spec.carry.backup.len() + 1,
    }
}
