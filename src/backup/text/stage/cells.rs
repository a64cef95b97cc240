//! Batches of cells while they are filled, cell by cell and row by row.

use arrow::array::NullBufferBuilder;
use arrow::buffer::Buffer;

use crate::backup::text::stage::StagedColumn;
use crate::backup::text::stage::store::{ColumnBytes, StoreWriter};
use crate::fit::cell::{MILLIS_FROM, Tag};

/// A batch is written once it has so many rows, or bytes.
const BATCH_ROWS: usize = 4_096;
const BATCH_BYTES: usize = 1 << 20;

/// A batch of rows.
#[derive(Debug, Default)]
pub(in crate::backup) struct Batch {
    /// The columns.
    pub(in crate::backup) columns: Vec<Cells>,
    /// The rows that are whole.
    rows: usize,
    /// Cells of the row being filled.
    pub(super) present: usize,
}

/// A column of the batch, and what its cells were so far.
#[derive(Debug)]
pub(in crate::backup) struct Cells {
    /// Its name in the file.
    pub(in crate::backup) name: String,
    /// The cells, one behind the other; the one at hand at the end.
    pub(in crate::backup) values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
    /// The tag of the batch's cells so far.
    tag: Option<Tag>,
    /// The tags of the batch's cells, once they differ; 0 for NULL.
    each: Vec<u8>,
    /// A bit for each tag met.
    tags: u128,
    pub(super) millis: bool,
    absent: u64,
    pub(super) unquoted_empties: u64,
}

impl Batch {
    /// An empty batch.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let columns = names.into_iter().map(|name| Cells::new(name, 0)).collect();
        Self { columns, rows: 0, present: 0 }
    }

    /// An empty batch of the same columns.
    pub(super) fn another(&self) -> Self {
        Self::new(self.columns.iter().map(|cells| cells.name.clone()))
    }

    /// The rows that are whole.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// A new column, NULL in the rows so far.
    pub(super) fn add(&mut self, name: String) {
        self.columns.push(Cells::new(name, self.rows));
    }

    /// Begins the cell of the row at hand; false when it has one already.
    pub(in crate::backup) fn begin_cell(&mut self, column: usize) -> bool {
        let cells = &mut self.columns[column];
        self.present += 1;
        cells.offsets.len() == self.rows + 1
    }

    /// Ends the row at hand: what it lacks is NULL.
    pub(in crate::backup) fn end_row(&mut self) {
        self.rows += 1;
        if self.present < self.columns.len() {
            for cells in &mut self.columns {
                if cells.offsets.len() == self.rows {
                    cells.absent += 1;
                    cells.null();
                }
            }
        }
        self.present = 0;
    }

    /// True when it should be written.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS
            || self.columns.iter().map(|c| c.values.len()).sum::<usize>() >= BATCH_BYTES
    }

    /// Writes the rows, and is empty afterwards.
    pub(super) fn write(&mut self, writer: &mut StoreWriter) -> std::io::Result<()> {
        let offsets: Vec<Buffer> = self
            .columns
            .iter_mut()
            .map(|cells| Buffer::from_vec(std::mem::take(&mut cells.offsets)))
            .collect();
        let columns: Vec<ColumnBytes<'_>> = self
            .columns
            .iter_mut()
            .zip(&offsets)
            .map(|(cells, offsets)| ColumnBytes {
                offsets,
                nulls: cells.nulls.finish(),
                // A column of NULLs may have any.
                tag: cells.each.is_empty().then_some(cells.tag.unwrap_or(Tag::OwnText)),
                each: &cells.each,
                values: &cells.values,
            })
            .collect();
        writer.push(self.rows, &columns)?;
        drop(columns);
        for (cells, offsets) in self.columns.iter_mut().zip(offsets) {
            cells.clear(offsets);
        }
        self.rows = 0;
        Ok(())
    }

    /// Takes over what another batch has learnt of the columns.
    pub(super) fn learn(&mut self, other: &mut Batch) {
        for (cells, other) in self.columns.iter_mut().zip(&mut other.columns) {
            cells.tags |= other.tags;
            cells.millis |= other.millis;
            cells.absent += std::mem::take(&mut other.absent);
            cells.unquoted_empties += std::mem::take(&mut other.unquoted_empties);
        }
    }

    /// Gives the room of an empty batch back.
    pub(super) fn park(&mut self) {
        for cells in &mut self.columns {
            cells.values = Vec::new();
            cells.offsets = vec![0];
            cells.each = Vec::new();
        }
    }
}

impl Cells {
    /// An empty column, or one that begins with so many NULLs.
    fn new(name: String, nulls: usize) -> Self {
        let mut cells = Self {
            name,
            values: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(BATCH_ROWS),
            tag: None,
            each: Vec::new(),
            tags: 0,
            millis: false,
            absent: nulls as u64,
            unquoted_empties: 0,
        };
        (0..nulls).for_each(|_| cells.null());
        cells
    }

    fn null(&mut self) {
        self.offsets.push(self.values.len() as i32);
        self.nulls.append_null();
        if !self.each.is_empty() {
            self.each.push(0);
        }
    }

    /// Ends the cell that [`Batch::begin_cell`] began, with its tag.
    pub(in crate::backup) fn end_cell(&mut self, tag: Option<Tag>) {
        let begin = self.offsets.last().map_or(0, |offset| *offset as usize);
        let Some(tag) = tag else {
            self.values.truncate(begin);
            return self.null();
        };
        if self.tag != Some(tag) || !self.each.is_empty() {
            self.differ(tag);
        }
        if tag == Tag::Number && !self.millis {
            self.millis = is_millis(&self.values[begin..]);
        }
        self.offsets.push(self.values.len() as i32);
        self.nulls.append_non_null();
    }

    /// Takes a tag that is not, or not only, that of the cells before.
    fn differ(&mut self, tag: Tag) {
        self.tags |= 1 << tag as u8;
        match self.tag {
            None => self.tag = Some(tag),
            Some(before) => {
                if self.each.is_empty() {
                    self.each.resize(self.offsets.len() - 1, before as u8);
                }
                self.each.push(tag as u8);
            }
        }
    }

    /// Empties the batch; `offsets` are those that were written, whose room is used again.
    fn clear(&mut self, offsets: Buffer) {
        self.values.clear();
        self.offsets = offsets.into_vec().unwrap_or_default();
        self.offsets.clear();
        self.offsets.push(0);
        self.tag = None;
        self.each.clear();
    }

    pub(super) fn finish(self) -> StagedColumn {
        let kind = Tag::ALL.into_iter().find(|tag| self.tags == 1 << *tag as u8);
        StagedColumn {
            name: self.name,
            kind,
            absent: self.absent,
            unquoted_empties: self.unquoted_empties,
        }
    }
}

/// True for an integer from [`MILLIS_FROM`] on, in magnitude.
fn is_millis(token: &[u8]) -> bool {
    // 12 digits at least, and a JSON number has no leading zeros.
    token.len() >= 12
        && std::str::from_utf8(token)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .is_some_and(|value| value.unsigned_abs() >= MILLIS_FROM)
}
