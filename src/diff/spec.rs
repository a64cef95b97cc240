//! What one row diff compares and carries: a small, serialisable description, from which
//! the logical node and the operator are made anew wherever they run.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::diff::loss::Loss;
use crate::error::{Error, Result};
use crate::model::change::{Change, change_schema};
use crate::model::side::{Side, Which};
use crate::model::table::{Collation, Column, TableName};
use crate::source::Unfit;

/// Which changes the diff emits. All are counted, emitted or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Emit {
    /// Rows only in the backup.
    pub missing: bool,
    /// Rows in both that differ.
    pub changed: bool,
    /// Rows only live.
    pub extra: bool,
    /// Rows whose key is not unique, one row for each side's row.
    pub ambiguous: bool,
}

impl Emit {
    /// Everything.
    pub const ALL: Emit = Emit { missing: true, changed: true, extra: true, ambiguous: true };
    /// Nothing: only the counts are wanted.
    pub const NONE: Emit = Emit { missing: false, changed: false, extra: false, ambiguous: false };

    /// True when changes of this kind are emitted.
    pub fn wants(self, change: Change) -> bool {
        match change {
            Change::Missing => self.missing,
            Change::Changed => self.changed,
            Change::Extra => self.extra,
            Change::Ambiguous => self.ambiguous,
        }
    }
}

/// What a backup has lost of one compared pair of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PairLoss {
    /// The pair.
    pub pair: usize,
    /// What is lost.
    pub loss: Loss,
    /// Which of several backups has lost it; `None` where there is one.
    pub backup: Option<u8>,
}

/// The description of one table's row diff.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DiffSpec {
    /// The table on each side, for messages.
    pub table: Side<TableName>,
    /// The key's columns as live has them, at least one.
    pub key: Vec<Column>,
    /// The compared columns; bit `i` of [`DIFFERS`](crate::model::change::DIFFERS) is pair
    /// `i`. A pair may name two different columns.
    pub compare: Vec<Side<Column>>,
    /// The columns whose values a change carries, the key's first.
    pub carry: Side<Vec<Column>>,
    /// Which changes are emitted.
    pub emit: Emit,
    /// At most so many changes of each kind are emitted for each range; all are counted.
    pub limit: Option<u64>,
    /// What the backup has lost of the compared columns: a difference that this explains is none.
    pub loss: Vec<PairLoss>,
    /// What becomes of rows of the backup with values that live's columns can't hold: an error,
    /// or they are counted and left out, and what stands in their place in live with them.
    pub unfit: Unfit,
}

impl DiffSpec {
    /// Puts the key in front of the carried columns, and checks that the key can be merged
    /// by and that no column is asked for in two forms.
    pub fn new(
        table: Side<TableName>,
        key: Vec<Column>,
        compare: Vec<Side<Column>>,
        carry: Side<Vec<Column>>,
    ) -> Result<Self> {
        if key.is_empty() {
            return Err(Error::usage(format!("table {} has no key to match rows by", table.live))
                .hint("name columns that are unique: --key COLUMNS"));
        }
        for column in &key {
            refuse_key(&table.live, column)?;
        }
        let carry = carry.map(|columns| {
            let rest = columns.into_iter().filter(|c| !key.iter().any(|k| k.name == c.name));
            key.iter().cloned().chain(rest).collect()
        });
        let (emit, limit, loss, unfit) = (Emit::ALL, None, Vec::new(), Unfit::Refuse);
        let spec = Self { table, key, compare, carry, emit, limit, loss, unfit };
        spec.read(Which::Backup)?;
        spec.read(Which::Live)?;
        Ok(spec)
    }

    /// The columns that a side's scan must give: the key, the compared and the carried.
    pub fn read(&self, which: Which) -> Result<Vec<Column>> {
        let compared = self.compare.iter().map(|pair| pair.get(which));
        let mut columns: Vec<Column> = Vec::new();
        for column in self.key.iter().chain(compared).chain(self.carry.get(which)) {
            match columns.iter().find(|c| c.name == column.name) {
                None => columns.push(column.clone()),
                Some(known) if form(known) == form(column) => {}
                Some(_) => {
                    return Err(Error::usage(format!(
                        "column {} of {which} table {} is asked for in two types",
                        column.name,
                        self.table.get(which)
                    )));
                }
            }
        }
        Ok(columns)
    }

    /// The schema of the change batches.
    pub fn schema(&self) -> SchemaRef {
        change_schema(self.carry.as_ref().map(Vec::as_slice))
    }

    /// The bytes of a [`DIFFERS`](crate::model::change::DIFFERS) cell.
    pub fn mask_width(&self) -> usize {
        self.compare.len().div_ceil(8)
    }
}

/// What decides how a source reads a column.
fn form(column: &Column) -> impl PartialEq + use<> {
    (column.carrier, column.affinity, column.time_form)
}

/// An error when rows can't be matched by this column (K3, K6).
pub fn refuse_key(table: &TableName, column: &Column) -> Result<()> {
    let why = match (column.carrier, &column.collation) {
        (carrier, _) if carrier.is_floating() => {
            format!("it holds floating-point numbers (declared {})", declared(column))
        }
        (_, Collation::Other(name)) => format!("its collation {name} is not known"),
        _ => return Ok(()),
    };
    Err(Error::refused(format!("rows of {table} can't be matched by {}: {why}", column.name))
        .hint("name integer, text or blob columns that are unique: --key COLUMNS"))
}

fn declared(column: &Column) -> &str {
    if column.declared.is_empty() { "without a type" } else { &column.declared }
}
