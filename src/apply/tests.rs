//! The protocol over real SQLite files.

mod conflicts;
mod faults;
mod harness;
mod refusals;
mod undoing;
