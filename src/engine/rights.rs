//! What rights a user of a server lacks on its tables, as a check-up says it.

use crate::model::check::{Check, Outcome};
use crate::model::side::Which;

/// What restorekit needs, in the order of [`Table::has`].
const NEEDED: [&str; 4] = ["select", "insert", "update", "delete"];

/// What to grant to one who lacks a right, for a side.
pub(super) fn wanted(side: Which) -> &'static str {
    match side {
        Which::Live => "grant select, and to write insert, update (delete for undo), on it",
        Which::Backup => "grant select on it",
    }
}

/// A table, and which of the four rights the user has on it.
pub(super) struct Table {
    /// The name that a person sees.
    pub(super) name: String,
    /// To select, insert, update and delete.
    pub(super) has: [bool; 4],
}

/// A check for each right that is lacking, or one that none is; nothing of no table. `on` is
/// how the tables are named where a right is granted.
pub(super) fn checks(tables: &[Table], on: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    for (at, right) in NEEDED.into_iter().enumerate() {
        let lacking: Vec<&str> =
            tables.iter().filter(|table| !table.has[at]).map(|table| table.name.as_str()).collect();
        if lacking.is_empty() {
            continue;
        }
        let (outcome, what) = match right {
            "select" => (Outcome::Bad, "can't be read"),
            "insert" => (Outcome::Warning, "missing rows can't be restored there"),
            "update" => (Outcome::Warning, "columns can't be patched there"),
            _ => (Outcome::Warning, "restored rows could not be taken back there"),
        };
        let named = match lacking.len() == tables.len() {
            true => "any table".to_owned(),
            false => lacking.join(", "),
        };
        let found = format!("no right to {right} on {named}: {what}");
        let advice = format!("grant {right} on {on} to this user");
        checks.push(Check::new("rights", outcome, found).advice(advice));
    }
    if checks.is_empty() && !tables.is_empty() {
        let found = "select, insert, update and delete on every table";
        checks.push(Check::new("rights", Outcome::Good, found));
    }
    checks
}
