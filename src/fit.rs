//! Foreign values in live's columns: what a file holds becomes what live would hold.
//!
//! A backup's file has types of its own (a Parquet timestamp, a CSV field); live's column
//! has a carrier, an affinity and perhaps a text form of moments. Each value becomes the
//! value that live would hold if the writer of the file had written it to live, or the reading
//! ends with an error that names table, column and row: nothing is guessed silently. For a
//! column of SQLite that is what SQLite stores ("Datatypes In SQLite", section 3); for one of
//! PostgreSQL or MySQL it is a value of the declared type (`strict`). What was read in another
//! dress than live's (a float for an integer, say) is counted in [`notes`].
//!
//! Two doors for files: [`foreign::fit`] takes an Arrow column of any type, [`cell::fit`] takes
//! cells of text formats, which carry a tag of their own ([`cell::Tag`]). A third,
//! [`refit::fit`], takes columns of another database or of a snapshot of ours.

pub mod affinity;
pub mod bytea;
pub mod carry;
pub mod cell;
pub mod decimal;
pub mod foreign;
mod given;
pub mod json_string;
mod loose;
pub mod moment;
pub mod notes;
pub mod number;
pub mod place;
pub mod refit;
mod strict;

pub(crate) use strict::write_uuid;

#[cfg(test)]
mod tests;
