//! Reads the rows of change batches, for every format that lists them.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt8Type;

use crate::error::{Error, Result};
use crate::model::change::{CHANGE, Change, DIFFERS, differs, side_field};
use crate::model::side::{Side, Which};
use crate::model::table::Column;
use crate::model::value::{Cells, EXACT, ValueRef};

/// What the change batches of one table hold.
#[derive(Clone, Debug)]
pub struct ChangeShape {
    /// The table's name.
    pub table: String,
    /// The key's columns; both sides carry them.
    pub key: Vec<String>,
    /// The columns each side carries.
    pub carried: Side<Vec<Column>>,
    /// The columns that a bit of [`DIFFERS`] stands for, in the order of the bits.
    pub compared: Vec<String>,
}

/// The rows of one change batch.
#[derive(Debug)]
pub struct ChangeRows<'a> {
    shape: &'a ChangeShape,
    change: &'a arrow::array::UInt8Array,
    mask: &'a arrow::array::BinaryArray,
    cells: Side<Cells<'a>>,
    key: Side<Vec<usize>>,
}

/// One row of a change batch.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRow<'a> {
    rows: &'a ChangeRows<'a>,
    row: usize,
    /// What became of it.
    pub change: Change,
}

impl<'a> ChangeRows<'a> {
    /// The rows of `batch`, which has the columns that `shape` says. `fields` keeps the
    /// batch's field names, from [`field_names`].
    pub fn new(
        shape: &'a ChangeShape,
        fields: &'a Side<Vec<String>>,
        batch: &'a RecordBatch,
    ) -> Result<Self> {
        let missing = || Error::failed("a batch of changes lacks its columns");
        let column = |name| batch.column_by_name(name).ok_or_else(missing);
        let change = column(CHANGE)?.as_primitive_opt::<UInt8Type>().ok_or_else(missing)?;
        let mask = column(DIFFERS)?.as_binary_opt::<i32>().ok_or_else(missing)?;
        let cells = |which| {
            let columns = shape.carried.get(which).iter().zip(fields.get(which));
            Cells::new(
                batch,
                columns.map(|(c, field)| (field.as_str(), c.name.as_str(), c.carrier)),
                &side_field(which, EXACT),
            )
        };
        let key = |which| {
            shape
                .key
                .iter()
                .map(|name| {
                    let carried: &Vec<Column> = shape.carried.get(which);
                    carried.iter().position(|c| c.name == *name).ok_or_else(missing)
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            shape,
            change,
            mask,
            cells: Side { backup: cells(Which::Backup)?, live: cells(Which::Live)? },
            key: Side { backup: key(Which::Backup)?, live: key(Which::Live)? },
        })
    }

    /// The rows, in the batch's order.
    pub fn iter(&'a self) -> impl Iterator<Item = Result<ChangeRow<'a>>> {
        (0..self.change.len()).map(|row| {
            let change = Change::from_code(self.change.value(row))
                .ok_or_else(|| Error::failed("a batch of changes holds an unknown change"))?;
            Ok(ChangeRow { rows: self, row, change })
        })
    }
}

/// The field names in a change batch, for [`ChangeRows::new`].
pub fn field_names(shape: &ChangeShape) -> Side<Vec<String>> {
    let names = |which| {
        let carried: &Vec<Column> = shape.carried.get(which);
        carried.iter().map(|c| side_field(which, &c.name)).collect()
    };
    Side { backup: names(Which::Backup), live: names(Which::Live) }
}

impl<'a> ChangeRow<'a> {
    /// The side that the row's key is read from.
    fn keyed_by(&self) -> Which {
        match self.change {
            Change::Extra => Which::Live,
            Change::Missing | Change::Changed => Which::Backup,
            Change::Ambiguous => {
                let backup = self.key_of(Which::Backup);
                let absent =
                    backup.is_ok_and(|cells| cells.iter().all(|(_, value)| value.is_null()));
                if absent { Which::Live } else { Which::Backup }
            }
        }
    }

    /// The key's columns and cells.
    pub fn key(&self) -> Result<Vec<(&'a str, ValueRef<'a>)>> {
        self.key_of(self.keyed_by())
    }

    /// The key as live writes it; NULLs when live does not have the row.
    pub fn key_live(&self) -> Result<Vec<(&'a str, ValueRef<'a>)>> {
        self.key_of(Which::Live)
    }

    fn key_of(&self, which: Which) -> Result<Vec<(&'a str, ValueRef<'a>)>> {
        let columns = self.rows.shape.key.iter().zip(self.rows.key.get(which));
        columns
            .map(|(name, &at)| Ok((name.as_str(), self.rows.cells.get(which).get(self.row, at)?)))
            .collect()
    }

    /// True when this side has the row.
    pub fn has(&self, which: Which) -> bool {
        match (self.change, which) {
            (Change::Missing, Which::Live) | (Change::Extra, Which::Backup) => false,
            (Change::Ambiguous, which) => {
                self.key_of(which).is_ok_and(|cells| cells.iter().any(|(_, v)| !v.is_null()))
            }
            _ => true,
        }
    }

    /// The names of the columns that differ; empty but for a changed row.
    pub fn differing(&self) -> Vec<&'a str> {
        if self.change != Change::Changed
            || !arrow::array::Array::is_valid(self.rows.mask, self.row)
        {
            return Vec::new();
        }
        let mask = self.rows.mask.value(self.row);
        let compared = self.rows.shape.compared.iter().enumerate();
        compared.filter(|(bit, _)| differs(mask, *bit)).map(|(_, name)| name.as_str()).collect()
    }

    /// All the cells that a side carries.
    pub fn cells(&self, which: Which) -> Result<Vec<(&'a str, ValueRef<'a>)>> {
        let columns = self.rows.shape.carried.get(which).iter().enumerate();
        columns
            .map(|(at, c)| Ok((c.name.as_str(), self.rows.cells.get(which).get(self.row, at)?)))
            .collect()
    }

    /// The cells worth showing of a side: all for a row only one side has, for a changed
    /// row those that differ. `None` when the side does not have the row.
    pub fn shown(&self, which: Which) -> Result<Option<Vec<(&'a str, ValueRef<'a>)>>> {
        if !self.has(which) {
            return Ok(None);
        }
        let mut cells = self.cells(which)?;
        if self.change == Change::Changed {
            let differing = self.differing();
            cells.retain(|(name, _)| differing.contains(name));
        }
        Ok(Some(cells))
    }

    /// The table's name.
    pub fn table(&self) -> &'a str {
        &self.rows.shape.table
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, UInt8Array};

    use super::*;
    use crate::model::change::change_schema;
    use crate::model::table::{Affinity, Carrier, Collation};
    use crate::model::value::push_exact;

    pub(crate) fn column(name: &str, carrier: Carrier) -> Column {
        let (declared, affinity) = match carrier {
            Carrier::Int => ("INTEGER", Affinity::Integer),
            Carrier::Text => ("TEXT", Affinity::Text),
            Carrier::Real => ("REAL", Affinity::Real),
            Carrier::Number => ("NUMERIC", Affinity::Numeric),
            Carrier::Blob => ("BLOB", Affinity::Blob),
        };
        Column {
            name: name.to_owned(),
            declared: declared.to_owned(),
            carrier,
            affinity,
            time_form: None,
            not_null: false,
            generated: false,
            default: None,
            collation: Collation::Binary,
        }
    }

    /// A missing row 1, a changed row 2 (title differs: live has a blob), an extra row 3.
    pub(crate) fn sample() -> (ChangeShape, RecordBatch) {
        let columns = vec![column("id", Carrier::Int), column("title", Carrier::Text)];
        let shape = ChangeShape {
            table: "events".to_owned(),
            key: vec!["id".to_owned()],
            carried: Side { backup: columns.clone(), live: columns.clone() },
            compared: vec!["title".to_owned()],
        };
        let mut exact = Vec::new();
        push_exact(&mut exact, "title", ValueRef::Blob(&[0xde, 0xad]));
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(vec![1, 2, 3])),
            Arc::new(BinaryArray::from(vec![None, Some(&[1u8][..]), None])),
            Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
            Arc::new(StringArray::from(vec![Some("=1+2\u{202e}\r\n"), Some("old, \"x\""), None])),
            Arc::new(BinaryArray::from(vec![None::<&[u8]>, None, None])),
            Arc::new(Int64Array::from(vec![None, Some(2), Some(3)])),
            Arc::new(StringArray::from(vec![None, None, Some("")])),
            Arc::new(BinaryArray::from(vec![None, Some(&exact[..]), None])),
        ];
        let schema = change_schema(Side { backup: &columns, live: &columns });
        (shape, RecordBatch::try_new(schema, arrays).unwrap())
    }

    #[test]
    fn changed_rows_show_what_differs() {
        let (shape, batch) = sample();
        let fields = field_names(&shape);
        let rows = ChangeRows::new(&shape, &fields, &batch).unwrap();
        let rows: Vec<ChangeRow<'_>> = rows.iter().map(Result::unwrap).collect();
        assert_eq!(rows[1].differing(), ["title"]);
        assert_eq!(
            rows[1].shown(Which::Live).unwrap().unwrap(),
            [("title", ValueRef::Blob(&[0xde, 0xad]))],
            "a misfit comes out of the exact cells"
        );
        assert!(rows[0].shown(Which::Live).unwrap().is_none());
        assert_eq!(rows[2].key().unwrap(), [("id", ValueRef::Int(3))]);
    }
}
