//! Batches of a staged file, filled cell by cell, and written to a private folder.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::Path;

use arrow::array::NullBufferBuilder;
use arrow::buffer::Buffer;
use tempfile::TempDir;

use crate::backup::text::stage::store::{ColumnBytes, StoreWriter};
use crate::backup::text::stage::{MAX_COLUMNS, Staged, StagedColumn, too_many};
use crate::error::{Error, Result};
use crate::fit::cell::{FileHabits, MILLIS_FROM, Tag};

const BATCH_ROWS: usize = 4_096;
const BATCH_BYTES: usize = 1 << 20;

/// The file being written, and the batch being filled.
#[derive(Debug)]
pub(in crate::backup) struct Sink {
    folder: TempDir,
    writer: Option<StoreWriter>,
    pub(in crate::backup) columns: Vec<Cells>,
    index: HashMap<Vec<u8>, usize>,
    /// Rows in the batch.
    filled: usize,
    /// Cells of the row being filled.
    pub(super) present: usize,
    rows: u64,
    pub(super) quotes_empty: bool,
}

/// A column of the batch, and what its cells were so far.
#[derive(Debug)]
pub(in crate::backup) struct Cells {
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
    millis: bool,
    absent: u64,
    pub(super) unquoted_empties: u64,
}

impl Sink {
    pub(in crate::backup) fn new(into: &Path, names: Vec<String>) -> Result<Self> {
        let folder = private_folder(into).map_err(|e| unwritable(into).because(e))?;
        let index =
            names.iter().enumerate().map(|(i, name)| (name.clone().into_bytes(), i)).collect();
        let columns = names.into_iter().map(|name| Cells::new(name, 0)).collect();
        Ok(Self {
            folder,
            writer: None,
            columns,
            index,
            filled: 0,
            present: 0,
            rows: 0,
            quotes_empty: false,
        })
    }

    /// True once the columns are fixed.
    pub(in crate::backup) fn begun(&self) -> bool {
        self.writer.is_some()
    }

    pub(in crate::backup) fn find(&self, name: &[u8]) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// A new column, NULL in the rows so far.
    pub(in crate::backup) fn add(&mut self, name: &[u8]) -> Result<usize, String> {
        if self.columns.len() == MAX_COLUMNS {
            return Err(too_many());
        }
        let text = String::from_utf8(name.to_vec()).map_err(|_| "a name that is no UTF-8")?;
        self.index.insert(name.to_vec(), self.columns.len());
        self.columns.push(Cells::new(text, self.filled));
        Ok(self.columns.len() - 1)
    }

    /// Begins the cell of the row at hand; false when it has one already.
    pub(in crate::backup) fn begin_cell(&mut self, column: usize) -> bool {
        let cells = &mut self.columns[column];
        self.present += 1;
        cells.offsets.len() == self.filled + 1
    }

    pub(in crate::backup) fn end_row(&mut self) -> Result<()> {
        self.filled += 1;
        self.rows += 1;
        if self.present < self.columns.len() {
            for cells in &mut self.columns {
                if cells.offsets.len() == self.filled {
                    cells.absent += 1;
                    cells.null();
                }
            }
        }
        self.present = 0;
        let full = self.filled == BATCH_ROWS
            || self.columns.iter().map(|c| c.values.len()).sum::<usize>() >= BATCH_BYTES;
        if full { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let path = self.folder.path().join(FILE);
        let failed = |e| unwritable(&path).because(e);
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(StoreWriter::create(&path, self.columns.len()).map_err(failed)?),
        };
        let rows = std::mem::take(&mut self.filled);
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
        writer.push(rows, &columns).map_err(failed)?;
        for (cells, offsets) in self.columns.iter_mut().zip(offsets) {
            cells.clear(offsets);
        }
        Ok(())
    }

    /// Writes out the rows so far, so that the sink takes next to no memory until it goes on.
    pub(in crate::backup) fn park(&mut self) -> Result<()> {
        if self.filled > 0 {
            self.write()?;
        }
        for cells in &mut self.columns {
            cells.park();
        }
        if let Some(writer) = &mut self.writer {
            writer.flush().map_err(|e| unwritable(self.folder.path()).because(e))?;
        }
        Ok(())
    }

    pub(in crate::backup) fn finish(mut self) -> Result<Staged> {
        if self.filled > 0 {
            self.write()?;
        }
        let path = self.folder.path().join(FILE);
        let failed = |e| unwritable(&path).because(e);
        let writer = match self.writer {
            Some(writer) => writer,
            None => StoreWriter::create(&path, self.columns.len()).map_err(failed)?,
        };
        let store = writer.finish().map_err(failed)?;
        let millis = self.columns.iter().filter(|c| c.millis).map(|c| c.name.clone()).collect();
        Ok(Staged {
            path,
            store,
            columns: self.columns.into_iter().map(Cells::finish).collect(),
            rows: self.rows,
            habits: FileHabits { quotes_empty: self.quotes_empty, millis },
            notes: Vec::new(),
            _folder: self.folder,
        })
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

    /// Ends the cell that [`Sink::begin_cell`] began, with its tag.
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

    /// Gives the room of an empty batch back.
    fn park(&mut self) {
        self.values = Vec::new();
        self.offsets = vec![0];
        self.each = Vec::new();
    }

    fn finish(self) -> StagedColumn {
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

const FILE: &str = "staged";

fn unwritable(place: &Path) -> Error {
    Error::failed(format!("the backup could not be staged in {}", place.display())).hint(
        "it needs about as much room as the backup's text: free some, or name a roomier \
               place with TMPDIR",
    )
}

/// A new folder (0700) in `into`, which goes when it is dropped.
#[cfg(unix)]
pub(in crate::backup) fn private_folder(into: &Path) -> std::io::Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let owner_only = std::fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("restorekit-").permissions(owner_only).tempdir_in(into)
}

/// A new folder in `into`, which goes when it is dropped.
#[cfg(not(unix))]
pub(in crate::backup) fn private_folder(into: &Path) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("restorekit-").tempdir_in(into)
}

/// A new file (0600).
pub(in crate::backup) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
