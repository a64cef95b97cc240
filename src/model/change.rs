//! The change stream: what the row diff gives for each row that is not the same.
//!
//! A change batch has, in this order:
//!
//! | field | type | |
//! |---|---|---|
//! | [`CHANGE`] | `UInt8` | [`Change`] |
//! | [`DIFFERS`] | `Binary` | for `Changed`: a bit per compared column, least significant first |
//! | `backup.<column>` .. | carriers | the carried backup columns, NULL for `Extra` |
//! | `backup.__exact` | `Binary` | their misfits |
//! | `live.<column>` .. | carriers | the carried live columns, NULL for `Missing` |
//! | `live.__exact` | `Binary` | their misfits |
//!
//! The key's columns are always carried on both sides.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::model::side::{Side, Which};
use crate::model::table::Column;
use crate::model::value::EXACT;

/// The field that says what kind of change a row is.
pub const CHANGE: &str = "__change";
/// The field that says which compared columns differ.
pub const DIFFERS: &str = "__differs";

/// What became of a row between backup and live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Change {
    /// Only in the backup.
    Missing = 1,
    /// In both, some compared column differs.
    Changed = 2,
    /// Only live.
    Extra = 3,
    /// The key stands more than once on a side (or means several keys under live's
    /// collation): reported, never written.
    Ambiguous = 4,
}

impl Change {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Missing => "missing",
            Change::Changed => "changed",
            Change::Extra => "extra",
            Change::Ambiguous => "ambiguous",
        }
    }

    /// The change of a [`CHANGE`] cell.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Change::Missing),
            2 => Some(Change::Changed),
            3 => Some(Change::Extra),
            4 => Some(Change::Ambiguous),
            _ => None,
        }
    }
}

/// The field of a side's column in a change batch: `backup.title`.
pub fn side_field(side: Which, column: &str) -> String {
    format!("{side}.{column}")
}

/// The schema of change batches that carry these columns.
pub fn change_schema(carried: Side<&[Column]>) -> SchemaRef {
    let mut fields = vec![
        Field::new(CHANGE, DataType::UInt8, false),
        Field::new(DIFFERS, DataType::Binary, true),
    ];
    for which in [Which::Backup, Which::Live] {
        for column in *carried.get(which) {
            let name = side_field(which, &column.name);
            fields.push(Field::new(name, column.carrier.data_type(), true));
        }
        fields.push(Field::new(side_field(which, EXACT), DataType::Binary, true));
    }
    Arc::new(Schema::new(fields))
}

/// True when bit `column` is set in a [`DIFFERS`] cell.
pub fn differs(mask: &[u8], column: usize) -> bool {
    mask.get(column / 8).is_some_and(|byte| byte >> (column % 8) & 1 == 1)
}
