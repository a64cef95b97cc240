//! The live systems: one folder each, with the same file names in each.

pub mod sqlite;
