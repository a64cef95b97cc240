//! The missing rows of one table, as the backup has them.
//!
//! Where the backup has random access the diff reads nothing but keys, and the rows are
//! fetched by their keys; else, or when a predicate needs more, or where most of the backup's rows
//! are missing, the diff carries them.
//!
//! A row with a value that live's column can't hold is left out by itself and told: where the
//! diff carries rows, it is begun again over the keys, and such rows are found by halves.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::UInt8Type;

use crate::diff::pair::TablePair;
use crate::diff::{Changes, DiffCounts, Emit, diff_over};
use crate::error::{Error, Result};
use crate::model::change::{CHANGE, Change};
use crate::model::conflict::{Conflict, Reason};
use crate::model::side::Which;
use crate::model::table::{Column, scan_schema};
use crate::model::value::Cells;
use crate::mount::{Layout, Mount};
use crate::plan::checks::key_json;
use crate::plan::images::{Picked, image};
use crate::plan::proof::declares_key;
use crate::progress::Progress;
use crate::select::Predicate;

/// How many keys are fetched from the backup at a time: their rows are in memory at once, in a few forms.
pub(crate) const FETCH: usize = 8192;

/// More rows than these that live can't hold, and it is the column that can't be restored.
const UNFIT: u64 = 1_000;

/// Missing rows on their way, a batch at a time, in key order.
pub struct Missing<'a> {
    mount: &'a Mount,
    pair: &'a TablePair,
    predicate: Option<&'a Predicate>,
    key: Vec<Column>,
    layout: Layout,
    columns: &'a [Column],
    progress: Arc<dyn Progress>,
    changes: Changes,
    fetching: bool,
    /// Rows handed on, and rows to pass over after the diff was begun again.
    given: usize,
    skip: usize,
    fitting: Fitting<'a>,
    unevaluated: u64,
}

/// The backup's rows of given keys, but for those with a value that live's columns can't hold.
pub struct Fitting<'a> {
    mount: &'a Mount,
    pair: &'a TablePair,
    columns: &'a [Column],
    left_out: Vec<Conflict>,
    rows: u64,
}

impl<'a> Fitting<'a> {
    /// Rows of a table with these columns.
    pub fn new(mount: &'a Mount, pair: &'a TablePair, columns: &'a [Column]) -> Self {
        Self { mount, pair, columns, left_out: Vec::new(), rows: 0 }
    }

    /// The rows of these keys, which ascend, of the columns `key`.
    pub async fn fetch(&mut self, key: &[Column], keys: &RecordBatch) -> Result<RecordBatch> {
        let backup = self.mount.source(Which::Backup);
        let table = &self.pair.table.backup;
        let mut found = Vec::new();
        let mut parts = vec![(0, keys.num_rows())];
        while let Some((first, count)) = parts.pop() {
            let part = keys.slice(first, count);
            match backup.fetch(table, self.columns, key, &part).await {
                Ok(rows) => found.push(rows),
                Err(e) if e.is_unfit() && count > 1 => {
                    parts.push((first + count / 2, count - count / 2));
                    parts.push((first, count / 2));
                }
                Err(e) if e.is_unfit() && self.rows < UNFIT => self.leave_out(key, &part, &e)?,
                Err(e) => return Err(e),
            }
        }
        Ok(concat_batches(&scan_schema(self.columns), &found)?)
    }

    fn leave_out(&mut self, columns: &[Column], key: &RecordBatch, e: &Error) -> Result<()> {
        let cells = Cells::of(key, columns)?;
        let values = (0..cells.width())
            .map(|column| Ok(cells.get(0, column)?.to_owned()))
            .collect::<Result<Vec<_>>>()?;
        let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        self.rows += 1;
        self.left_out.push(Conflict {
            table: self.pair.table.live.to_string(),
            key: key_json(&names, &values),
            reason: Reason::Unfit,
            detail: e.to_string(),
        });
        Ok(())
    }

    /// The rows that were left out since this was last asked.
    pub fn left_out(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.left_out)
    }
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
        let layout = mount.layout(&pair.table, &key).await?;
        let backup = mount.source(Which::Backup);
        let wide = columns.len() > key.len();
        let fetching =
            wide && predicate.is_none() && backup.has_random_access() && !mostly_missing(&layout);
        let carried = if fetching { &[][..] } else { columns };
        let changes =
            begin((mount, &layout), pair, predicate, carried, Arc::clone(&progress)).await?;
        Ok(Self {
            mount,
            pair,
            predicate,
            key,
            layout,
            columns,
            progress,
            changes,
            fetching,
            given: 0,
            skip: 0,
            fitting: Fitting::new(mount, pair, columns),
            unevaluated: 0,
        })
    }

    /// The next rows, in the form of a scan of the wanted columns.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.fetching {
            match self.carried(self.columns).await {
                Err(e) if e.is_unfit() && self.columns.len() > self.key.len() => {
                    self.by_keys().await?;
                }
                done => {
                    self.given += done.as_ref().ok().and_then(Option::as_ref).map_or(0, rows);
                    return done;
                }
            }
        }
        let key = self.key.clone();
        let mut keys = Vec::new();
        let mut count = 0;
        while count < FETCH {
            let Some(batch) = self.carried(&key).await? else { break };
            let passed = self.skip.min(batch.num_rows());
            self.skip -= passed;
            let batch = batch.slice(passed, batch.num_rows() - passed);
            count += batch.num_rows();
            keys.push(batch.project(&(0..key.len()).collect::<Vec<_>>())?);
        }
        let Some(first) = keys.first() else { return Ok(None) };
        let keys = concat_batches(&first.schema(), &keys)?;
        Ok(Some(self.fitting.fetch(&self.key, &keys).await?))
    }

    /// Begins the diff again, over the keys alone.
    async fn by_keys(&mut self) -> Result<()> {
        let progress = Arc::clone(&self.progress);
        self.changes =
            begin((self.mount, &self.layout), self.pair, self.predicate, &[], progress).await?;
        self.fetching = true;
        self.skip = self.given;
        self.unevaluated = 0;
        Ok(())
    }

    /// The rows that were left out since this was last asked: live's columns can't hold them.
    pub fn left_out(&mut self) -> Vec<Conflict> {
        self.fitting.left_out()
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

/// True where live has so few rows that it must lack more than half of the backup's.
fn mostly_missing(layout: &Layout) -> bool {
    let rows = layout.rows.backup.zip(layout.rows.live);
    rows.is_some_and(|(backup, live)| live < backup / 2)
}

fn rows(batch: &RecordBatch) -> usize {
    batch.num_rows()
}

/// Starts the diff; its missing rows carry these columns and what the predicate needs.
async fn begin(
    (mount, layout): (&Mount, &Layout),
    pair: &TablePair,
    predicate: Option<&Predicate>,
    carried: &[Column],
    progress: Arc<dyn Progress>,
) -> Result<Changes> {
    let mut carry = carried.to_vec();
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
    diff_over(mount, layout, &request, progress).await
}
