//! What a diff's counts say about the rows that a plan may not touch.

use crate::diff::DiffCounts;
use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::plan::Skipped;
use crate::model::table::{KeyOrigin, TableSchema};

/// A key that the user named must be unique and whole on both sides before it may be
/// written by (K1).
pub fn prove_key(pair: &TablePair, counts: &DiffCounts) -> Result<()> {
    let unkeyable = counts.unkeyable.backup + counts.unkeyable.live;
    if pair.key.origin != KeyOrigin::Named || counts.ambiguous + unkeyable == 0 {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the key {} of {} is not proved: {} rows share one, {} have none",
        pair.key, pair.table.live, counts.ambiguous, unkeyable
    ))
    .hint("name columns that are unique and not NULL on both sides: --key COLUMNS"))
}

/// True when the backup itself declares that no two of its rows share a key as live compares
/// it. Else every one of its rows has to be read: a predicate that leaves out the twin of a row
/// would make an ambiguous key look certain (K7).
pub fn declares_key(pair: &TablePair) -> bool {
    let alike = |name: &String| {
        let collation = |schema: &TableSchema| schema.column(name).map(|c| c.collation.clone());
        collation(&pair.schema.backup) == collation(&pair.schema.live)
    };
    let wanted = &pair.key.columns;
    pair.schema.backup.keys.iter().any(|key| {
        key.columns.len() == wanted.len()
            && key.columns.iter().all(|name| wanted.contains(name) && alike(name))
    })
}

/// Why rows have no key to be matched by, a line a column, for a plan's notes.
pub fn unkeyed(counts: &DiffCounts) -> impl Iterator<Item = String> {
    counts.unkeyed.iter().map(|unkeyed| format!("{}: {unkeyed}", unkeyed.column.name))
}

/// Rows that a diff could not match or a predicate could not judge, as counts of a plan.
pub fn uncounted(counts: &DiffCounts, unevaluated: u64) -> Vec<Skipped> {
    [
        ("ambiguous_key", counts.ambiguous),
        ("unkeyable", counts.unkeyable.backup),
        ("unfit", counts.unfit),
        ("unevaluated", unevaluated),
    ]
    .into_iter()
    .filter(|(_, rows)| *rows > 0)
    .map(|(reason, rows)| Skipped { reason: reason.into(), rows })
    .collect()
}
