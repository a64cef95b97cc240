//! SQLite: a live database, or a backup that is a SQLite file.
//!
//! ```text
//! file (is it one?) -> open (hardened connections) -> pool (one snapshot) -> source
//!                                                      schema  scan  fetch ────┘
//! ```

pub(crate) mod file;
pub mod open;
pub(crate) mod pool;
pub(crate) mod raw;
pub(crate) mod source;
pub mod write;
