//! What an operation did.

use serde::{Deserialize, Serialize};

use crate::model::conflict::Conflict;

/// The receipt of an operation: one applied plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The operation's id (a ULID).
    pub operation: String,
    /// The plan's id.
    pub plan: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long this run took, in seconds.
    pub seconds: f64,
    /// A line a table.
    pub tables: Vec<TableReceipt>,
    /// The rows left alone, at most [`Receipt::CONFLICTS_LISTED`]; all are in the plan file.
    pub conflicts: Vec<Conflict>,
    /// Written rows that read back otherwise after their commit, because the application
    /// changed them meanwhile; at most [`Receipt::CONFLICTS_LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_since: Vec<Conflict>,
    /// Every written row was read back after its commit and equals its image.
    pub verified: bool,
    /// The run was interrupted; some batches are not applied.
    pub stopped: bool,
}

impl Receipt {
    /// How many conflicts a receipt lists.
    pub const CONFLICTS_LISTED: usize = 100;

    /// The number of conflicts over all tables.
    pub fn conflict_count(&self) -> u64 {
        self.tables.iter().map(|t| t.conflicts).sum()
    }
}

/// A table's line in a receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReceipt {
    /// The table's name.
    pub table: String,
    /// Rows in the plan.
    pub planned: u64,
    /// Rows written, by this run or an earlier one of the same operation.
    pub written: u64,
    /// Rows that already were as planned.
    pub already: u64,
    /// Rows left alone because they are no longer what the diff saw.
    pub conflicts: u64,
}
