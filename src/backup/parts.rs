//! One table in one Parquet file or in many: what a person calls a table is more than a file to the
//! programs that write partitions or work in parallel.
//!
//! Rows keep the order of the files, and of the rows in each. They are in key order where
//! every file is, and each begins behind the end of the one before.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::DataType;

use crate::backup::dress::Pair;
use crate::backup::keys::Found;
use crate::backup::place::Object;
use crate::backup::table::FileTable;
use crate::backup::text::Staged;
use crate::error::Result;
use crate::fit::notes::Tally;
use crate::model::table::{Column, TableName, TableSchema, scan_schema};
use crate::source::{Scan, Survey};

/// One file of a table.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// The columns that its folders' names tell, with their value for all of its rows.
    pub told: Vec<Told>,
    /// The object that is read in its place.
    pub remote: Option<Arc<Object>>,
}

/// A column that a folder's name tells, and the text of its value; `None` is NULL.
pub type Told = (String, Option<String>);

impl Part {
    /// A file that holds all of its columns.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, told: Vec::new(), remote: None }
    }
}

/// An open table: at least one file.
#[derive(Debug)]
pub(crate) struct Parts(Vec<FileTable>);

impl From<FileTable> for Parts {
    fn from(table: FileTable) -> Self {
        Self(vec![table])
    }
}

impl Parts {
    /// A table of these files; `None` without any.
    pub(crate) fn of(parts: Vec<FileTable>) -> Option<Self> {
        (!parts.is_empty()).then_some(Self(parts))
    }

    fn first(&self) -> &FileTable {
        &self.0[0]
    }

    /// The table's name.
    pub(crate) fn name(&self) -> &TableName {
        self.first().name()
    }

    /// The staged text that this is, where it is one.
    pub(crate) fn staged(&self) -> Option<&Staged> {
        self.first().staged()
    }

    /// The exact number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.0.iter().map(FileTable::rows).sum()
    }

    /// The columns of the first file, with their Arrow types.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        self.first().columns()
    }

    /// The names of nested columns, which are not read.
    pub(crate) fn nested(&self) -> Vec<&str> {
        self.first().nested()
    }

    /// True when some page carries no checksum, so that flipped bits may go unseen.
    pub(crate) fn unchecksummed(&self) -> Result<bool> {
        for part in &self.0 {
            if part.unchecksummed()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The table as its first file describes it.
    pub(crate) fn schema(&self) -> TableSchema {
        self.first().schema()
    }

    /// Looks the table over: one pass over the key's columns, once for each key.
    pub(crate) fn survey(&self, key: &[Column], parts: usize) -> Result<Survey> {
        if let [only] = &self.0[..] {
            return only.survey(key, parts);
        }
        let rows = Some(self.rows());
        if !self.is_ordered(key)? {
            return Ok(Survey { rows, ordered: false, splits: Vec::new() });
        }
        let filled: Vec<&FileTable> = self.0.iter().filter(|part| part.rows() > 0).collect();
        let share = parts.div_ceil(filled.len().max(1));
        let mut splits = Vec::new();
        for (number, part) in filled.iter().enumerate() {
            let starts = (number > 0).then(|| part.first_key(key)).transpose()?.flatten();
            splits.extend(starts);
            splits.extend(part.survey(key, share)?.splits);
        }
        // Two files may share a key at their border.
        splits.dedup();
        let every = splits.len().div_ceil(parts.max(1)).max(1);
        let splits = splits.into_iter().skip(every - 1).step_by(every);
        Ok(Survey { rows, ordered: true, splits: splits.take(parts.saturating_sub(1)).collect() })
    }

    /// True when the files, one after another, are in key order.
    fn is_ordered(&self, key: &[Column]) -> Result<bool> {
        for (index, part) in self.0.iter().enumerate() {
            let before = self.0[..index].iter().rev().find(|before| before.rows() > 0);
            if !part.is_ordered_behind(before, key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a scan's rows, batch by batch, as live's columns; `each` says whether to go on.
    pub(crate) fn scan(
        &self,
        scan: &Scan,
        tally: &mut Tally,
        mut each: impl FnMut(RecordBatch) -> bool,
    ) -> Result<()> {
        let mut wanted = true;
        for part in self.0.iter().filter(|part| part.rows() > 0) {
            let range = part.range(&scan.key, &scan.range)?;
            let mut pairs = part.pairs(&scan.columns)?;
            Pair::all(&mut pairs, scan.unfit, &scan.key);
            part.read(&pairs, range, tally, |batch, _| {
                wanted = each(batch);
                Ok(wanted)
            })?;
            if !wanted {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The rows of these keys, in the order of `keys`; keys that are not there are left
    /// out. NULLs match nothing.
    pub(crate) fn fetch(
        &self,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
        tally: &mut Tally,
    ) -> Result<RecordBatch> {
        let mut places = Vec::new();
        let mut batches = Vec::new();
        for part in self.0.iter().filter(|part| part.rows() > 0) {
            let Found { places: here, rows } = part.find(columns, key, keys, tally)?;
            places.extend(here);
            batches.extend(rows);
        }
        let batch = concat_batches(&scan_schema(columns), &batches)?;
        if places.is_sorted() {
            return Ok(batch);
        }
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_by_key(|row| places[*row as usize]);
        Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
    }
}
