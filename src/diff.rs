//! The row diff: two key-ordered streams become missing, changed and extra rows.
//!
//! [`diff`] reads both sides of one table in the same key ranges and merges them with
//! [`RowDiffExec`](exec::RowDiffExec). What it finds comes as change batches
//! ([`model::change`](crate::model::change)); what it counted as [`DiffCounts`].

mod changes;
mod compare;
pub mod counts;
mod emit;
pub mod exec;
pub mod loss;
mod merge;
pub mod node;
mod ordered;
pub mod pair;
pub mod planner;
pub mod probe;
pub mod rows;
pub mod spec;
pub mod sql;
mod step;
pub mod summary;
#[cfg(test)]
mod tests;

pub use changes::{Changes, DiffRequest, diff, diff_over};
pub use counts::DiffCounts;
pub use spec::{DiffSpec, Emit};
