//! SQLite: a live database, or a backup that is a SQLite file.
//!
//! ```text
//! file (is it one?) -> open (hardened connections) -> pool (one snapshot, cursors)
//!                                                           │
//! catalogue -> schema, sample        survey, scan, fetch ───┴──> source
//!         └──> order, filter, query ────────┘  (rows: cells into Arrow)
//! ```

pub(crate) mod catalogue;
mod fetch;
pub(crate) mod file;
mod filter;
mod known;
pub mod open;
mod order;
pub(crate) mod pool;
mod query;
pub(crate) mod raw;
mod rows;
mod sample;
mod scan;
pub(crate) mod schema;
pub(crate) mod script;
pub(crate) mod source;
mod survey;
pub mod write;
