//! The seam through which rows are written: a live database, one transaction at a time.
//!
//! The protocol is the same for every engine and stands in `apply`: begin, lock and read,
//! compare in Rust, write, re-read, compare, commit. A target only carries it out.

use std::fmt;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::error::Result;
use crate::model::conflict::Reason;
use crate::model::origin::Identity;
use crate::model::plan::TablePlan;
use crate::model::table::{Column, TableName, TableSchema};

/// A live database that rows are written to.
#[async_trait]
pub trait Target: Send {
    /// The identity of the database behind the connection, looked up anew.
    async fn identity(&mut self) -> Result<Identity>;

    /// One table as live describes it now.
    async fn schema(&mut self, table: &TableName) -> Result<TableSchema>;

    /// Begins a transaction that may write, waiting at most 2 s for a lock. It checks that
    /// the file or server behind the connection is still the same one.
    async fn begin(&mut self) -> Result<()>;

    /// Begins a transaction that only reads: one snapshot, no lock that keeps the
    /// application from writing. It ends with [`Target::rollback`].
    async fn begin_reading(&mut self) -> Result<()>;

    /// Makes sure, waiting at most 2 s, that no other session of restorekit's is at work on the
    /// database: one whose process was killed may still carry out its commit.
    ///
    /// # Errors
    /// `Refused` while there is one.
    async fn be_alone(&mut self) -> Result<()> {
        Ok(())
    }

    /// Locks and reads the rows of `keys` (the key's columns first): a batch of `columns`
    /// and EXACT, one row for each key in the order of `keys`; the flags say which rows
    /// exist. Rows that don't are NULL throughout. More than one row for a key is an error.
    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)>;

    /// [`Target::read`], where live is believed to hold the rows of `expected`: the same batch, none
    /// of whose cells is a misfit. Where every row stands just so, kind and bytes of each cell,
    /// `expected` itself may be given back, so that no other batch has to be made of them.
    async fn read_expected(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
        _expected: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        self.read(plan, columns, keys).await
    }

    /// Writes the rows `rows` (indices into the images) and says for each how it went.
    /// A refused row leaves the transaction usable and the other rows written, unless one
    /// is [`Written::Ended`]: then nothing of the transaction stands. `columns` are those that
    /// [`Wrote::stored`] may tell.
    async fn write(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote>;

    /// Checks what the engine would check at the commit only (deferred foreign keys), and
    /// names those of the written `rows` that fail, with the details in words.
    async fn settle(
        &mut self,
        plan: &TablePlan,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<(usize, String)>>;

    /// Commits. A failure that leaves the outcome open has the kind `Unknown`; any other
    /// failure means rolled back.
    async fn commit(&mut self) -> Result<()>;

    /// Rolls back; harmless when there is no transaction.
    async fn rollback(&mut self) -> Result<()>;

    /// Another connection to the same database, which can't write, for reading beside this one;
    /// `None` where a second one would not read faster.
    async fn beside(&mut self) -> Result<Option<Box<dyn Target>>> {
        Ok(None)
    }

    /// Closes the connection and waits for it; an open transaction is rolled back.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// A copy of live that follows what is written there.
#[async_trait]
pub trait Replica: fmt::Debug + Send {
    /// How it is named on screens.
    fn shown(&self) -> &str;

    /// How far it is behind, in whole seconds; `None` while it does not follow.
    ///
    /// # Errors
    /// `Usage` for a server that follows none.
    async fn lag(&mut self) -> Result<Option<Duration>>;
}

/// What came of a write.
#[derive(Clone, Debug)]
pub struct Wrote {
    /// How each row went, in their order.
    pub rows: Vec<Written>,
    /// The rows that are [`Written::Done`], in their order, as the table holds them now: columns
    /// and EXACT as [`Target::read`] gives them. `None` where only reading them again tells it.
    pub stored: Option<RecordBatch>,
}

impl From<Vec<Written>> for Wrote {
    fn from(rows: Vec<Written>) -> Self {
        Self { rows, stored: None }
    }
}

/// How the write of one row went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// One row was written.
    Done,
    /// The row was refused: why, and the details in words.
    Refused(Reason, String),
    /// The row was refused, and the engine ended the transaction with it.
    Ended(Reason, String),
}
