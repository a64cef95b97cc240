//! Backups as files: one file a format; `detect` knows the signs.
//!
//! A location is reached, and its packings taken off, in [`place`].
//! Every format ends as tables of files in [`files`]: Parquet is read as it lies,
//! text formats are staged as cells once. A SQLite file is read by its engine, as a server is;
//! [`database`] makes live's columns of either.

pub mod database;
pub mod detect;
pub mod dress;
pub mod dump;
pub mod file;
pub mod files;
pub mod folder;
pub mod guard;
pub mod hive;
pub mod inspect;
mod int96;
pub mod keys;
pub mod manifest;
mod mongodump;
mod parquet;
pub mod parts;
pub mod place;
pub mod rds;
pub mod snapshot;
pub mod sqlite;
pub mod table;
pub mod text;

#[cfg(test)]
mod tests;
