//! The live systems: one folder each, with the same file names in each.

pub mod mysql;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;
