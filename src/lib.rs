//! Row-level restore and merge: the missing rows and stale columns of a live database,
//! brought back from a backup while the application keeps writing.
//!
//! ```text
//!    live ── source ─┐                                         ┌─ report
//!                    ├─ mount ── diff ── select ── plan ─ apply ┤
//!  backup ── source ─┘                              │    │    └─ receipt
//!                                                   │    └── target: guarded batches
//!                                              one plan file
//! ```
//!
//! One direction: no step calls the next, the command hands each value on. The library
//! never prints, exits or reads the environment.

pub mod apply;
pub mod backup;
pub mod cli;
pub mod diff;
mod durable;
pub mod engine;
pub mod error;
pub mod fit;
pub mod gaps;
pub mod model;
pub mod mount;
pub mod plan;
pub mod progress;
pub mod registry;
pub mod report;
pub mod select;
pub mod snapshot;
pub mod source;
pub mod state;
pub mod target;
pub mod undo;
pub mod verify;
