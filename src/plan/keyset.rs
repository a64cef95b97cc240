//! Sets of keys: which rows a plan will have written when a child asks for its parent.

use std::collections::HashSet;

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::model::table::Column;
use crate::model::value::{Cells, EXACT, ValueRef, push_exact};

/// A set of tuples of cells, each by storage class and bytes.
#[derive(Debug, Default)]
pub struct KeySet(HashSet<Vec<u8>>);

impl KeySet {
    /// Adds the tuples of these columns of a batch; those with a NULL are left out.
    pub fn add(&mut self, batch: &RecordBatch, columns: &[&Column]) -> Result<()> {
        let cells = cells(batch, columns)?;
        for row in 0..batch.num_rows() {
            if let Some(tuple) = tuple(&cells, row)? {
                self.0.insert(tuple);
            }
        }
        Ok(())
    }

    /// For each row, whether its tuple is in the set; `None` when it holds a NULL, which
    /// refers to nothing.
    pub fn holds(&self, batch: &RecordBatch, columns: &[&Column]) -> Result<Vec<Option<bool>>> {
        let cells = cells(batch, columns)?;
        (0..batch.num_rows())
            .map(|row| Ok(tuple(&cells, row)?.map(|tuple| self.0.contains(&tuple))))
            .collect()
    }

    /// The number of tuples.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn cells<'a>(batch: &'a RecordBatch, columns: &[&'a Column]) -> Result<Cells<'a>> {
    Cells::new(batch, columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier)), EXACT)
}

/// A row's cells as bytes; columns go without names, so that a child's tuple equals its
/// parent's.
fn tuple(cells: &Cells<'_>, row: usize) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(16 * cells.width());
    for column in 0..cells.width() {
        match cells.get(row, column)? {
            ValueRef::Null => return Ok(None),
            value => push_exact(&mut bytes, "", value),
        }
    }
    Ok(Some(bytes))
}
