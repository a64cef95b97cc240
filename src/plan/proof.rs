//! What a diff's counts say about the rows that a plan may not touch.

use crate::diff::DiffCounts;
use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::plan::Skipped;
use crate::model::table::KeyOrigin;

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

/// Rows that a diff could not match or a predicate could not judge, as counts of a plan.
pub fn uncounted(counts: &DiffCounts, unevaluated: u64) -> Vec<Skipped> {
    [
        ("ambiguous_key", counts.ambiguous),
        ("unkeyable", counts.unkeyable.backup),
        ("unevaluated", unevaluated),
    ]
    .into_iter()
    .filter(|(_, rows)| *rows > 0)
    .map(|(reason, rows)| Skipped { reason: reason.into(), rows })
    .collect()
}
