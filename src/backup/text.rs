//! Text formats, CSV and JSON lines, and BSON, plain or compressed.
//!
//! A text file can't be read in key order, nor twice cheaply, nor in parts. So it is
//! staged: one pass writes a private file of cells, each the cell's own text and a tag
//! ([`Tag`](crate::fit::cell::Tag)). What a cell means is decided
//! later, by [`fit`](crate::fit), when live's column is known: nothing is inferred here.
//!
//! Everything in here blocks, and is to be called off the async threads.

pub mod csv;
pub mod decompress;
pub mod jsonl;
pub(in crate::backup) mod mongo;
pub mod stage;
pub(in crate::backup) mod window;

pub use decompress::{Compression, Limits};
pub use stage::{Staged, StagedColumn, TextFile, TextFormat, stage};

#[cfg(test)]
mod tests;
