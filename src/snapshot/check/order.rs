//! The order of rows by a table's key, as the row diff will merge them: ascending, text
//! and blobs by bytes, text of a collation by its normal form.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::backup::manifest::ManifestTable;
use crate::error::{Error, Result};
use crate::model::table::{Carrier, Collation, Column};

/// One key column's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<'a> {
    Int(i64),
    /// An integer of more than 64 bits, or the digits of a decimal.
    Wide(i128),
    Bytes(Cow<'a, [u8]>),
}

/// Compares each row's key with the one before.
#[derive(Debug)]
pub(super) struct OrderCheck {
    pub(super) key: Vec<Column>,
    last: Vec<Part<'static>>,
}

impl OrderCheck {
    /// The check for a table; its key is empty when no order is promised.
    pub(super) fn new(table: &ManifestTable) -> Result<Self> {
        let key = table.ordered_by.iter().map(|name| {
            let column = table.schema.columns.iter().find(|c| c.name == *name).cloned();
            column.ok_or_else(|| Error::damaged(format!("it is ordered by {name}, no column")))
        });
        Ok(Self { key: key.collect::<Result<_>>()?, last: Vec::new() })
    }

    /// Notes the key of a row; an error when it is below the one before. A row with a NULL
    /// or a misfit in its key (`None`) has no place in the order.
    pub(super) fn next(&mut self, row: u64, key: Option<Vec<Part<'_>>>) -> Result<()> {
        let Some(mut key) = key.filter(|k| !k.is_empty()) else { return Ok(()) };
        for (part, column) in key.iter_mut().zip(&self.key) {
            if column.carrier == Carrier::Text
                && column.collation != Collation::Binary
                && let Part::Bytes(bytes) = part
            {
                *part = Part::Bytes(Cow::Owned(column.collation.normalise(bytes).into_owned()));
            }
        }
        if self.last.as_slice().cmp(key.as_slice()) == Ordering::Greater {
            return Err(Error::damaged(format!("row {row} is out of the key's order")));
        }
        self.last = key
            .into_iter()
            .map(|part| match part {
                Part::Int(i) => Part::Int(i),
                Part::Wide(i) => Part::Wide(i),
                Part::Bytes(b) => Part::Bytes(Cow::Owned(b.into_owned())),
            })
            .collect();
        Ok(())
    }
}
