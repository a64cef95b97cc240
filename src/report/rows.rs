//! One row of a change batch, as every format that lists rows wants it.

use arrow::array::RecordBatch;

use crate::diff::rows::ChangeRows;
use crate::diff::spec::DiffSpec;
use crate::error::Result;
use crate::model::change::Change;
use crate::model::side::Which;
use crate::model::table::{Column, TableName};
use crate::model::value::ValueRef;

/// A column and its cell.
pub type Cell<'a> = (&'a Column, ValueRef<'a>);

/// One row of a change batch.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRow<'a> {
    rows: &'a ChangeRows<'a>,
    spec: &'a DiffSpec,
    row: usize,
    /// What became of it.
    pub change: Change,
}

/// Calls `visit` with each row of a batch that a diff by `spec` gave.
pub fn each(
    spec: &DiffSpec,
    batch: &RecordBatch,
    mut visit: impl FnMut(ChangeRow<'_>) -> Result<()>,
) -> Result<()> {
    let rows = ChangeRows::new(spec, batch)?;
    for row in 0..rows.len() {
        visit(ChangeRow { rows: &rows, spec, row, change: rows.change(row)? })?;
    }
    Ok(())
}

impl<'a> ChangeRow<'a> {
    /// The live table's name.
    pub fn table(&self) -> &'a TableName {
        &self.spec.table.live
    }

    /// Which of several backups its old values come from.
    pub fn from(&self) -> Result<Option<usize>> {
        self.rows.from(self.row)
    }

    /// The key's cells.
    pub fn key(&self) -> Result<Vec<Cell<'a>>> {
        self.rows.key(self.row)
    }

    /// All the cells that a side carries.
    pub fn cells(&self, which: Which) -> Result<Vec<Cell<'a>>> {
        self.rows.image(self.row, which)
    }

    /// The cells worth showing of a side: all for a row only one side has, for a changed
    /// row those that differ. `None` when the side does not have the row.
    pub fn shown(&self, which: Which) -> Result<Option<Vec<Cell<'a>>>> {
        if !self.rows.has(self.row, which) {
            return Ok(None);
        }
        let mut cells = self.cells(which)?;
        if self.change == Change::Changed {
            let differing: Vec<&str> = self
                .rows
                .differs(self.row)
                .map(|pair| self.spec.compare[pair].get(which).name.as_str())
                .collect();
            cells.retain(|(column, _)| differing.contains(&column.name.as_str()));
        }
        Ok(Some(cells))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, UInt8Array};

    use super::*;
    use crate::model::change::change_schema;
    use crate::model::side::Side;
    use crate::model::table::{Affinity, Carrier};
    use crate::model::value::{Value, push_exact};

    pub(crate) fn column(name: &str, carrier: Carrier) -> Column {
        let (declared, affinity) = match carrier {
            Carrier::Int => ("INTEGER", Affinity::Integer),
            Carrier::Text => ("TEXT", Affinity::Text),
            Carrier::Real => ("REAL", Affinity::Real),
            Carrier::Number => ("NUMERIC", Affinity::Numeric),
            Carrier::Blob => ("BLOB", Affinity::Blob),
            other => panic!("SQLite carries no column as {other:?}"),
        };
        Column { declared: declared.to_owned(), affinity, ..Column::new(name, carrier) }
    }

    /// A missing row 1, a changed row 2 (title differs: live has a blob), an extra row 3.
    pub(crate) fn sample() -> (DiffSpec, RecordBatch) {
        let columns = vec![column("id", Carrier::Int), column("title", Carrier::Text)];
        let table = TableName::bare("events");
        let title = column("title", Carrier::Text);
        let spec = DiffSpec::new(
            Side { backup: table.clone(), live: table },
            vec![column("id", Carrier::Int)],
            vec![Side { backup: title.clone(), live: title.clone() }],
            Side { backup: vec![title.clone()], live: vec![title] },
        )
        .unwrap();
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
        (spec, RecordBatch::try_new(schema, arrays).unwrap())
    }

    #[test]
    fn changed_rows_show_what_differs() {
        let (spec, batch) = sample();
        let mut seen = Vec::new();
        each(&spec, &batch, |row| {
            let side = |which| -> Result<Option<Vec<(String, Value)>>> {
                let cells = row.shown(which)?;
                let owned = |(c, v): Cell<'_>| (c.name.clone(), v.to_owned());
                Ok(cells.map(|cells| cells.into_iter().map(owned).collect()))
            };
            seen.push((row.change, row.key()?[0].1.to_owned(), side(Which::Live)?));
            Ok(())
        })
        .unwrap();
        let title = |v| vec![("title".to_owned(), v)];
        assert_eq!(seen[0], (Change::Missing, Value::Int(1), None));
        let exact = Value::Blob(vec![0xde, 0xad]);
        assert_eq!(seen[1], (Change::Changed, Value::Int(2), Some(title(exact))));
        let whole = [vec![("id".to_owned(), Value::Int(3))], title(Value::Text(vec![]))].concat();
        assert_eq!(seen[2], (Change::Extra, Value::Int(3), Some(whole)));
    }
}
