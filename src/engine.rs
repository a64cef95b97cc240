//! The live systems: one folder each, with the same file names in each.

pub mod mysql;
pub mod postgres;
pub mod sqlite;

mod passes;
mod refused;
mod rights;
mod spool;
mod stop;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod url;
mod wire;
