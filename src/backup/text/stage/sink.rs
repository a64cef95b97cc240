//! The Parquet file of a staged file: batches filled cell by cell, in a private folder.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, NullBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

use crate::backup::text::stage::{MAX_COLUMNS, Staged, StagedColumn, too_many};
use crate::error::{Error, Result};
use crate::fit::cell::{FileHabits, MILLIS_FROM, Tag};

const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 1 << 20;
const ROW_GROUP_BYTES: usize = 8 << 20;

/// The Parquet file being written, and the batch being filled.
#[derive(Debug)]
pub(in crate::backup) struct Sink {
    folder: TempDir,
    writer: Option<(SchemaRef, ArrowWriter<File>)>,
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
        cells.values.push(0);
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
        let folder = self.folder.path().to_owned();
        let (schema, writer) = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let new = open_writer(&self.columns, self.folder.path())?;
                none.insert(new)
            }
        };
        let arrays = self.columns.iter_mut().map(Cells::take).collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.filled));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?;
        self.filled = 0;
        writer.write(&batch).map_err(|e| unwritable(&folder).because(e))?;
        if writer.in_progress_size() >= ROW_GROUP_BYTES {
            writer.flush().map_err(|e| unwritable(&folder).because(e))?;
        }
        Ok(())
    }

    /// Writes out the rows so far, so that the sink takes next to no memory until it goes on.
    pub(in crate::backup) fn park(&mut self) -> Result<()> {
        if self.filled > 0 {
            self.write()?;
        }
        if let Some((_, writer)) = &mut self.writer {
            writer.flush().map_err(|e| unwritable(self.folder.path()).because(e))?;
        }
        Ok(())
    }

    pub(in crate::backup) fn finish(mut self) -> Result<Staged> {
        if self.filled > 0 || self.writer.is_none() {
            self.write()?;
        }
        let path = self.folder.path().join(FILE);
        if let Some((_, writer)) = self.writer {
            writer.close().map_err(|e| unwritable(&path).because(e))?;
        }
        let millis = self.columns.iter().filter(|c| c.millis).map(|c| c.name.clone()).collect();
        Ok(Staged {
            path,
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
    }

    /// Ends the cell that [`Sink::begin_cell`] began, with its tag.
    pub(in crate::backup) fn end_cell(&mut self, tag: Option<Tag>) {
        let begin = self.offsets.last().map_or(0, |offset| *offset as usize);
        let Some(tag) = tag else {
            self.values.truncate(begin);
            return self.null();
        };
        self.values[begin] = tag as u8;
        self.tags |= 1 << tag as u8;
        if tag == Tag::Number && !self.millis {
            self.millis = is_millis(&self.values[begin + 1..]);
        }
        self.offsets.push(self.values.len() as i32);
        self.nulls.append_non_null();
    }

    /// The column's array; the column is empty afterwards.
    fn take(&mut self) -> Result<ArrayRef> {
        let room = self.values.len() + self.values.len() / 8;
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(room));
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(BATCH_ROWS + 1));
        self.offsets.push(0);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = BinaryArray::try_new(offsets, Buffer::from_vec(values), self.nulls.finish())?;
        Ok(Arc::new(array))
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

const FILE: &str = "staged.parquet";

fn open_writer(columns: &[Cells], folder: &Path) -> Result<(SchemaRef, ArrowWriter<File>)> {
    let field = |cells: &Cells| Field::new(&cells.name, DataType::Binary, true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    // Written once and read a few times, on this machine: quickly, without what prunes.
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(256 << 10)
        .build();
    let path = folder.join(FILE);
    let file = private_file(&path).map_err(|e| unwritable(&path).because(e))?;
    let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))
        .map_err(|e| unwritable(&path).because(e))?;
    Ok((schema, writer))
}

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
