//! Backups as files: one file a format; `detect` knows the signs.

pub mod manifest;
