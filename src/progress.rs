//! How long work says where it is; the library never prints.

use std::sync::Arc;

/// Receives the progress of long work. A task has a name, a number of rows (when it is
/// known) and is advanced by rows.
pub trait Progress: Send + Sync {
    /// A new task begins, and replaces the one before.
    fn start(&self, task: &str, total: Option<u64>);
    /// So many more rows are done.
    fn advance(&self, rows: u64);
    /// Nothing goes on for now, for the reason that `why` says.
    fn wait(&self, _why: &str) {}
    /// The task is done.
    fn finish(&self);
}

/// Says nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _task: &str, _total: Option<u64>) {}
    fn advance(&self, _rows: u64) {}
    fn finish(&self) {}
}

/// A shared progress that says nothing.
pub fn silent() -> Arc<dyn Progress> {
    Arc::new(Silent)
}
