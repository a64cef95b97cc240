//! MySQL and MariaDB: a live database, or a backup restored aside on a server.
//!
//! ```text
//! address (URL) -> session (pinned, its failures told) -> pool (one snapshot, several sessions)
//!                                                              │
//! types <- catalogue -> schema                survey, scan, fetch ───> source
//!     └──> rows (cells into Arrow)       query, filter, dense ──┘
//! ```

pub(crate) mod address;
pub(crate) mod catalogue;
mod checkup;
pub(crate) mod client;
mod dense;
mod failure;
mod fetch;
mod filter;
mod grants;
pub mod open;
mod pool;
mod query;
pub(crate) mod replica;
mod rows;
mod scan;
mod schema;
mod session;
mod source;
mod survey;
mod types;
mod views;
pub mod write;
