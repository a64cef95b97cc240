//! The missing rows of one table, as the backup has them.
//!
//! Where the backup has random access the diff reads nothing but keys, and the rows are
//! fetched by their keys; else, or when a predicate needs more, the diff carries them.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::UInt8Type;

use crate::diff::pair::TablePair;
use crate::diff::{Changes, DiffCounts, Emit, diff};
use crate::error::Result;
use crate::model::change::{CHANGE, Change};
use crate::model::side::Which;
use crate::model::table::Column;
use crate::mount::Mount;
use crate::plan::images::{Picked, image};
use crate::plan::proof::declares_key;
use crate::progress::Progress;
use crate::select::Predicate;

/// How many keys are fetched from the backup at a time.
const FETCH: usize = 65_536;

/// Missing rows on their way, a batch at a time, in key order.
pub struct Missing<'a> {
    mount: &'a Mount,
    pair: &'a TablePair,
    predicate: Option<&'a Predicate>,
    key: Vec<Column>,
    columns: &'a [Column],
    changes: Changes,
    fetching: bool,
    unevaluated: u64,
}

impl<'a> Missing<'a> {
    /// Starts the diff for the missing rows of a table; `columns` are what is wanted of
    /// them, the key's among them.
    pub async fn start(
        mount: &'a Mount,
        pair: &'a TablePair,
        predicate: Option<&'a Predicate>,
        columns: &'a [Column],
        progress: Arc<dyn Progress>,
    ) -> Result<Self> {
        let key = pair.key_columns();
        let backup = mount.source(Which::Backup);
        let wide = columns.len() > key.len();
        let fetching = wide && predicate.is_none() && backup.has_random_access();
        let mut carry = if fetching { Vec::new() } else { columns.to_vec() };
        let mut request = pair.key_request();
        if let Some(predicate) = predicate {
            for column in predicate.needs(Change::Missing)?.backup {
                if carry.iter().all(|c| c.name != column.name) {
                    carry.push(column);
                }
            }
            if declares_key(pair) {
                request.filter.backup = predicate.pushdown(Which::Backup, Change::Missing);
            }
        }
        request.carry.backup = carry;
        request.emit = Emit { missing: true, ..Emit::NONE };
        let changes = diff(mount, &request, progress).await?;
        Ok(Self { mount, pair, predicate, key, columns, changes, fetching, unevaluated: 0 })
    }

    /// The next rows, in the form of a scan of the wanted columns.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.fetching {
            return self.carried(self.columns).await;
        }
        let key = self.key.clone();
        let mut keys = Vec::new();
        let mut count = 0;
        while count < FETCH {
            let Some(batch) = self.carried(&key).await? else { break };
            count += batch.num_rows();
            keys.push(batch.project(&(0..key.len()).collect::<Vec<_>>())?);
        }
        let Some(first) = keys.first() else { return Ok(None) };
        let keys = concat_batches(&first.schema(), &keys)?;
        let backup = self.mount.source(Which::Backup);
        let rows = backup.fetch(&self.pair.table.backup, self.columns, &key, &keys).await?;
        Ok(Some(rows))
    }

    /// The next change batch's selected rows with these columns.
    async fn carried(&mut self, columns: &[Column]) -> Result<Option<RecordBatch>> {
        while let Some(changes) = self.changes.next().await? {
            let kinds =
                changes.column_by_name(CHANGE).map(|c| c.as_primitive::<UInt8Type>().clone());
            let mask = match self.predicate {
                Some(predicate) => {
                    let selection = predicate.evaluate(&changes)?;
                    self.unevaluated += selection.unevaluated;
                    Some(selection.mask)
                }
                None => None,
            };
            let rows: Vec<u32> = (0..changes.num_rows())
                .filter(|row| {
                    let missing =
                        kinds.as_ref().is_some_and(|k| k.value(*row) == Change::Missing as u8);
                    missing && mask.as_ref().is_none_or(|m| m.value(*row))
                })
                .map(|row| row as u32)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let picked: Vec<Picked> =
                columns.iter().map(|c| Picked::own(Which::Backup, c)).collect();
            return Ok(Some(image(&changes, &UInt32Array::from(rows), &picked)?));
        }
        Ok(None)
    }

    /// What the diff counted; complete once [`Missing::next`] gave `None`.
    pub fn counts(&self) -> DiffCounts {
        self.changes.counts()
    }

    /// Rows on which the predicate could not be evaluated.
    pub fn unevaluated(&self) -> u64 {
        self.unevaluated
    }
}
