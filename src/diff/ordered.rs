//! One side's rows as the merge wants them: without unkeyable rows, with their keys, proved
//! to ascend (K4), and with every row of a duplicated key flagged, across batches too.
//!
//! One batch is read ahead, since only the next batch tells whether the last row's key
//! comes again.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::Count;
use futures::StreamExt;

use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{Column, TableName};
use crate::model::value::{Cells, EXACT, unfit_columns};
use crate::mount::keys::{KeyMaker, Keys, Order};

/// Some rows in key order.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The rows, keyable all.
    pub(crate) batch: RecordBatch,
    /// Their keys.
    pub(crate) keys: Keys,
    /// Rows whose key stands more than once on this side; `None`: no such row.
    pub(crate) duplicates: Option<Vec<bool>>,
    /// Rows with values that live's columns can't hold; `None`: no such row.
    pub(crate) unfit: Option<Vec<bool>>,
}

/// A side's stream.
pub(crate) struct Ordered {
    which: Which,
    table: TableName,
    stream: SendableRecordBatchStream,
    maker: Arc<KeyMaker>,
    key: Vec<Column>,
    rows: Count,
    unkeyable: Count,
    /// Of each column of the key: NULLs and misfits.
    unkeyed: Vec<[Count; 2]>,
    loaded: VecDeque<Loaded>,
    position: usize,
    ended: bool,
}

impl Ordered {
    /// Reads `stream`, whose first columns are the key's.
    pub(crate) fn new(
        (which, table): (Which, TableName),
        stream: SendableRecordBatchStream,
        (maker, key): (Arc<KeyMaker>, Vec<Column>),
        rows: Count,
        (unkeyable, unkeyed): (Count, Vec<[Count; 2]>),
    ) -> Self {
        let loaded = VecDeque::with_capacity(2);
        let (position, ended) = (0, false);
        Self { which, table, stream, maker, key, rows, unkeyable, unkeyed, loaded, position, ended }
    }

    /// Reads until there are two batches, or the stream has ended.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        while self.loaded.len() < 2 && !self.ended {
            match self.stream.next().await {
                None => self.ended = true,
                Some(batch) => self.load(batch?)?,
            }
        }
        Ok(())
    }

    /// The rows at hand and the first of them that is not yet merged.
    pub(crate) fn front(&self) -> Option<(&Loaded, usize)> {
        self.loaded.front().map(|loaded| (loaded, self.position))
    }

    /// The rows before `position` are merged.
    pub(crate) fn advance_to(&mut self, position: usize) {
        self.position = position;
        if self.loaded.front().is_some_and(|front| position >= front.keys.len()) {
            self.loaded.pop_front();
            self.position = 0;
        }
    }

    fn load(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows.add(batch.num_rows());
        let batch = self.keyable(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys = self.maker.keys(&batch.columns()[..self.key.len()])?;
        let mut duplicates = match keys.order() {
            Order::Strict => None,
            Order::Disorder(row) => return Err(self.disorder(&batch, row)),
            Order::Duplicates => {
                let equal = |row| keys.compare(row, &keys, row + 1) == Ordering::Equal;
                let last = keys.len() - 1;
                let flag = |row| row < last && equal(row) || row > 0 && equal(row - 1);
                Some((0..keys.len()).map(flag).collect::<Vec<bool>>())
            }
        };
        if let Some(before) = self.loaded.back_mut() {
            let last = before.keys.len() - 1;
            match before.keys.compare(last, &keys, 0) {
                Ordering::Less => {}
                Ordering::Greater => return Err(self.disorder(&batch, 0)),
                Ordering::Equal => {
                    flag(&mut before.duplicates, last, last + 1);
                    flag(&mut duplicates, 0, keys.len());
                }
            }
        }
        let unfit = unfit(&batch);
        self.loaded.push_back(Loaded { batch, keys, duplicates, unfit });
        Ok(())
    }

    /// Leaves out the rows whose key has a NULL or a misfit, which is NULL in its carrier.
    fn keyable(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let key = &batch.columns()[..self.key.len()];
        let nulls =
            key.iter().fold(None, |all, array| NullBuffer::union(all.as_ref(), array.nulls()));
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok(batch) };
        self.unkeyable.add(nulls.null_count());
        let cells = Cells::of(&batch, &self.key)?;
        for row in (0..batch.num_rows()).filter(|row| nulls.is_null(*row)) {
            for (column, [null, misfit]) in self.unkeyed.iter().enumerate() {
                if !batch.column(column).is_null(row) {
                    continue;
                }
                let value = cells.get(row, column)?;
                if value.is_null() { null } else { misfit }.add(1);
            }
        }
        let keep = BooleanArray::new(nulls.into_inner(), None);
        Ok(filter_record_batch(&batch, &keep)?)
    }

    fn disorder(&self, batch: &RecordBatch, row: usize) -> Error {
        let options = FormatOptions::default();
        let cells: Vec<String> = batch.columns()[..self.key.len()]
            .iter()
            .zip(batch.schema().fields())
            .map(|(array, field)| {
                let text = ArrayFormatter::try_new(array.as_ref(), &options)
                    .map_or_else(|_| "?".to_owned(), |f| f.value(row).to_string());
                format!("{} {}", field.name(), text.escape_debug())
            })
            .collect();
        let message = format!(
            "{} table {} does not come in key order: the row with {} comes too late",
            self.which,
            self.table,
            cells.join(", ")
        );
        match self.which {
            Which::Backup => Error::damaged(message)
                .hint("see what the backup is and how it is read: restorekit inspect BACKUP"),
            Which::Live => Error::failed(message)
                .hint("check the database's indexes (SQLite: PRAGMA integrity_check)"),
        }
    }
}

/// The rows of a scan's batch that are marked as unfit.
fn unfit(batch: &RecordBatch) -> Option<Vec<bool>> {
    let exact = batch.column_by_name(EXACT)?.as_binary_opt::<i32>()?;
    if exact.null_count() == exact.len() {
        return None;
    }
    let marked = |cells: Option<&[u8]>| unfit_columns(cells.unwrap_or_default()).next().is_some();
    let rows: Vec<bool> = exact.iter().map(marked).collect();
    rows.contains(&true).then_some(rows)
}

fn flag(flags: &mut Option<Vec<bool>>, row: usize, len: usize) {
    flags.get_or_insert_with(|| vec![false; len])[row] = true;
}
