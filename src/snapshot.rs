//! Snapshots of our own: taken from a live database, listed, checked and pruned.
//!
//! A snapshot is a folder of files with a manifest
//! ([`backup::manifest`](crate::backup::manifest)); reading one as a backup is the
//! business of `backup`, not of this module. The library knows neither the time nor the
//! host: callers give both.

pub mod check;
mod encode;
mod files;
pub mod find;
pub mod folder;
mod jsonl;
pub mod list;
#[cfg(test)]
mod memory;
pub mod name;
mod parquet;
pub mod place;
pub mod prune;
pub mod schedule;
pub mod take;
