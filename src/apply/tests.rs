//! The protocol over real SQLite files.

mod conflicts;
mod faults;
mod harness;
mod model;
mod refusals;
mod undoing;
