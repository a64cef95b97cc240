//! Why a planned row was not written. The words are those of SQLite's session extension
//! (`sqlite3changeset_apply`: DATA, NOTFOUND, CONFLICT, CONSTRAINT, FOREIGN_KEY), with
//! the conflict on a key called `Exists`.

use serde::{Deserialize, Serialize};

/// A planned row that was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The table's name.
    pub table: String,
    /// The key as JSON: `{"id":412}`.
    pub key: serde_json::Value,
    /// Why.
    pub reason: Reason,
    /// The details in words: which column changed, which row stands in the way.
    pub detail: String,
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Live is no longer what the diff saw.
    Data,
    /// The row to change or delete is gone.
    NotFound,
    /// Another row has the key that would be inserted.
    Exists,
    /// A unique column is taken by another row, a re-created twin.
    Recreated,
    /// A constraint or a trigger of the table refused the row.
    Constraint,
    /// A parent is missing, or children hang from the row to delete.
    ForeignKey,
    /// The engine stored something else than planned.
    NotExact,
    /// The backup's row holds a value that live's column can't hold.
    Unfit,
    /// Live holds the row as before its write, other rows of the same transaction as after it:
    /// whether it was ever written can't be told.
    Unproven,
}

impl Reason {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Data => "changed since the plan",
            Reason::NotFound => "no longer there",
            Reason::Exists => "the key is taken",
            Reason::Recreated => "re-created under another key",
            Reason::Constraint => "refused by a constraint or trigger",
            Reason::ForeignKey => "foreign key",
            Reason::NotExact => "live would store another value",
            Reason::Unfit => "live's type can't hold it",
            Reason::Unproven => "not known to be written",
        }
    }
}
