//! The protocol over real SQLite files.

mod conflicts;
mod harness;
mod refusals;
mod undoing;
