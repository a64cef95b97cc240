//! The seam through which rows are read: what every engine and backup format gives.
//!
//! A source is asked for columns *as live has them* ([`Column`], with its carrier): a
//! backup is parsed to live's types and never inferred. What fits no carrier exactly
//! travels in the [`EXACT`](crate::model::value::EXACT) column.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::check::Check;
use crate::model::filter::Filter;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema};
use crate::model::value::Value;

/// A database or a backup that rows are read from. Reading never writes to it.
///
/// A source keeps one consistent snapshot from its opening until [`Source::release`].
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// What a screen names.
    fn origin(&self) -> &Origin;

    /// The database's identity; `None` for files that can't be a target.
    fn identity(&self) -> Option<Identity>;

    /// The base tables it has, sorted by name.
    async fn tables(&self) -> Result<Vec<TableName>>;

    /// One table as this side describes it. A format without types gives every column
    /// the carrier `Text`; only the names count then.
    async fn schema(&self, table: &TableName) -> Result<TableSchema>;

    /// Looks a table over before it is scanned in key order. `key` holds the key's columns
    /// as live has them; `parts` is how many ranges are wished for.
    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey>;

    /// Streams one key range of a table: the schema is
    /// [`scan_schema`](crate::model::table::scan_schema) of the request's columns. Rows
    /// come in ascending key order, NULL keys first, when the survey said `ordered`.
    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream>;

    /// True when [`Source::fetch`] is much cheaper than a scan.
    fn has_random_access(&self) -> bool;

    /// Reads the rows of these keys: a batch of `columns` and the EXACT column, in key
    /// order, without the keys that are not there. `keys` has the key's columns, in
    /// ascending key order.
    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch>;

    /// A digest of what identifies this content, hexadecimal: SHA-256, or what stands before a
    /// colon; `None` for live.
    async fn digest(&self) -> Result<Option<String>>;

    /// What was read in another dress than live's (floats where live has integers, ..),
    /// a line each, for summaries. Complete once the scans have ended.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a person who will write to this database should know of it: as whom it was
    /// reached, with which rights, and what would stop a patch.
    async fn checkup(&self) -> Result<Vec<Check>> {
        Ok(Vec::new())
    }

    /// True when values come as they were when the backup was made. Files that other programs
    /// wrote may have lost digits, the ends of texts, or NULLs.
    fn keeps_values(&self) -> bool {
        true
    }

    /// True when numbers of single precision may have lost all digits behind the sixth, as where MySQL
    /// printed them.
    fn rounds_singles(&self) -> bool {
        false
    }

    /// Ends the reading snapshot; nothing may be read after it.
    async fn release(&self) -> Result<()>;
}

/// What a source says of a table before it is scanned.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The number of rows, exact or estimated; `None` when it would have to be counted.
    pub rows: Option<u64>,
    /// Scans come in key order. Where false, DataFusion sorts, and there is one range.
    pub ordered: bool,
    /// Values of the key's first column that divide the table into ranges of similar
    /// size, ascending and distinct; fewer than asked for, or none.
    pub splits: Vec<Value>,
}

/// A half-open range of the key's first column: `lower <= k < upper`. The range without
/// a lower bound also holds the rows whose key is NULL.
#[derive(Clone, Debug, Default)]
pub struct KeyRange {
    /// The inclusive lower bound.
    pub lower: Option<Value>,
    /// The exclusive upper bound.
    pub upper: Option<Value>,
}

impl KeyRange {
    /// The ranges between ascending split points: one more than there are splits.
    pub fn between(splits: &[Value]) -> Vec<KeyRange> {
        let mut lower = None;
        let mut ranges = Vec::with_capacity(splits.len() + 1);
        for split in splits {
            ranges.push(KeyRange { lower: lower.take(), upper: Some(split.clone()) });
            lower = Some(split.clone());
        }
        ranges.push(KeyRange { lower, upper: None });
        ranges
    }
}

/// A request for one key range of a table.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The table.
    pub table: TableName,
    /// The columns, as live has them.
    pub columns: Vec<Column>,
    /// The key to order by, as live has it. Its columns need not be among `columns`.
    pub key: Vec<Column>,
    /// The range.
    pub range: KeyRange,
    /// Rows that do not match may be left out.
    pub filter: Option<Filter>,
    /// What becomes of a backup's values that live's columns can't hold.
    pub unfit: Unfit,
}

/// What becomes of a value of a backup that live's column can't hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unfit {
    /// It ends the scan with an error that names table, column and row.
    #[default]
    Refuse,
    /// It is NULL, and a mark in the column [`EXACT`](crate::model::value::EXACT) says so
    /// ([`unfit_columns`](crate::model::value::unfit_columns)). In the key it is refused all the same.
    Mark,
}
