//! PostgreSQL: a live database, or a backup restored aside on a server.
//!
//! ```text
//! address (URL) -> session (pinned, its failures told) -> pool (one snapshot, several sessions)
//!                     └── copy (binary rows)                   │
//! types <- catalogue -> schema                survey, scan, fetch ───> source
//!                                             query, filter, rewritten ──┘
//! ```

pub(crate) mod address;
pub(crate) mod catalogue;
mod checkup;
mod copy;
mod failure;
mod fetch;
mod filter;
pub mod open;
mod pool;
mod query;
pub(crate) mod replica;
mod rewritten;
mod scan;
mod schema;
mod session;
mod source;
mod survey;
pub(crate) mod types;
pub mod write;
