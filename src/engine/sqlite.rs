//! SQLite: a live database, or a backup that is a SQLite file.

pub(crate) mod raw;
