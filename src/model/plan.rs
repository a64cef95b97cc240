//! A plan: the exact writes, with the image of each row before and after.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, Key, TableName, TableSchema, TriggerEvent};

/// What a batch does to its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Rows that are absent are inserted as their after image.
    Insert,
    /// Rows that equal their before image get the after image's columns.
    Update,
    /// Rows that equal their before image are deleted (undo of an insert only).
    Delete,
}

impl Op {
    /// What triggers it fires.
    pub fn event(self) -> TriggerEvent {
        match self {
            Op::Insert => TriggerEvent::Insert,
            Op::Update => TriggerEvent::Update,
            Op::Delete => TriggerEvent::Delete,
        }
    }
}

/// What a plan does to one table. All batches of a table have these columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// The table.
    pub table: TableName,
    /// The operation.
    pub op: Op,
    /// The key by which rows are found; it was proved unique on live.
    pub key: Key,
    /// The columns of the before image: the key, then all that the guard compares.
    /// Empty for `Insert`.
    pub before: Vec<Column>,
    /// The columns of the after image: the key, then those written. Empty for `Delete`.
    pub after: Vec<Column>,
    /// Live's schema when planned; `apply` refuses when its fingerprint moved.
    pub schema: TableSchema,
    /// Planned rows.
    pub rows: u64,
    /// Planned rows by the backup they come from, in the order of
    /// [`Origin::all`](crate::model::origin::Origin::all); empty where there is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<u64>,
    /// Rows that were found but are not planned, with why.
    pub skipped: Vec<Skipped>,
    /// What the engine does besides, and what was assumed: triggers, cascades, warnings.
    pub notes: Vec<String>,
}

impl TablePlan {
    /// True when the table has a trigger on what the plan does to it.
    pub fn fires(&self) -> bool {
        self.schema.triggers.iter().any(|t| t.event == self.op.event())
    }

    /// The key's columns as the images carry them.
    pub fn key_columns(&self) -> Result<Vec<Column>> {
        let columns = if self.before.is_empty() { &self.after } else { &self.before };
        let named = self.key.columns.iter().map(|name| {
            columns.iter().find(|c| c.name == *name).cloned().ok_or_else(|| {
                Error::failed(format!("the plan's images of {} lack the key {name}", self.table))
            })
        });
        named.collect()
    }
}

/// A count of rows that a plan leaves alone, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// A stable word: `untouched`, `not_in_backup`, `backup_null`, `live_null`,
    /// `ambiguous_key`, `unkeyable`, `already_equal`, `recreated`, `reissued_key`, `lossy`.
    pub reason: String,
    /// How many rows.
    pub rows: u64,
}

/// One transaction's worth of rows of one table, in key order.
///
/// Each image is a batch of the table plan's columns followed by
/// [`EXACT`](crate::model::value::EXACT); row `i` of both is the same row.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its number in the plan, from 0, in the order of writing.
    pub id: u64,
    /// The index of its table in [`PlanHeader::tables`].
    pub table: usize,
    /// The rows as the diff saw them; `None` for `Insert`.
    pub before: Option<RecordBatch>,
    /// The rows as they shall be; `None` for `Delete`.
    pub after: Option<RecordBatch>,
    /// The number of each row's backup among those of the plan; empty where there is one.
    pub from: Vec<u8>,
}

impl Batch {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.after.as_ref().or(self.before.as_ref()).map_or(0, RecordBatch::num_rows)
    }
}

/// What a plan is bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The database it may be applied to.
    pub target: Identity,
    /// Live, as the screen named it.
    pub live: Origin,
    /// The backup the rows come from; `None` for an undo.
    pub backup: Option<Origin>,
    /// A digest of what identifies the backup's content, hexadecimal: SHA-256, or what stands
    /// before a colon.
    pub backup_digest: Option<String>,
    /// Rows of live by which the database is known again in another place.
    #[serde(default)]
    pub witnesses: Vec<Witness>,
    /// restorekit's version.
    pub tool: String,
}

/// Some rows of one table of live as the plan saw them, without what the plan writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The table.
    pub table: TableName,
    /// The key by which they are found.
    pub key: Key,
    /// The columns that were looked at, the key's first.
    pub columns: Vec<Column>,
    /// The rows' keys as an image of the plan file's form, hexadecimal.
    pub keys: String,
    /// The digest of each row's columns, hexadecimal.
    pub digests: Vec<String>,
}

/// The head of a plan file, its batches aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanHeader {
    /// The plan's id: six or more hexadecimal digits.
    pub id: String,
    /// `restore`, `patch` or `undo <operation>`.
    pub command: String,
    /// The selection in words, for screens: `subscription_variants.cancelled_at ←
    /// backup.updated_at where ..`.
    pub title: String,
    /// The operation this plan undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it expires, RFC 3339.
    pub expires_at: String,
    /// What it is bound to.
    pub binding: Binding,
    /// All batches in one transaction.
    pub atomic: bool,
    /// As many batches in a transaction as half a second holds; else one.
    #[serde(default)]
    pub adapts: bool,
    /// The tables in the order of writing: parents first.
    pub tables: Vec<TablePlan>,
}
