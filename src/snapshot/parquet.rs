//! One table as a Parquet file: zstd, checksums on every page, statistics and a page
//! index, row groups of about 125,000 rows.
//!
//! The columns of a row group are encoded side by side, so a column is the unit of work
//! ([`ColumnTask`]); only putting the finished chunks into the file is one thread's. How a
//! column is encoded is decided by the first rows: integers that hardly repeat as
//! differences, texts and blobs that hardly repeat by [`ByteArrayColumn`], other values that
//! hardly repeat plainly, the rest through a dictionary.

mod bounds;
mod byte_array;
mod checksum;
mod delta;

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

pub(super) use byte_array::Scratch;
use byte_array::{ByteArrayColumn, Values};
use checksum::{Pages, Store};

/// A row group is closed once it has this many rows.
const GROUP_ROWS: usize = 125_000;

/// .. or this many bytes of Arrow data.
const GROUP_BYTES: usize = 64 << 20;

/// Rows that are looked at to choose the encodings.
const SAMPLE: usize = 4096;

/// zstd's level: at 1 a file is a few percent larger than at 3, and written in two thirds of the time.
const LEVEL: i32 = 1;

/// A Parquet file under construction.
pub(super) struct ParquetFile<W: Write + Send> {
    schema: SchemaRef,
    writer: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    store: Arc<Store>,
    /// The columns that hardly repeat.
    plain: Vec<bool>,
    columns: Vec<Column>,
    /// The chunks of a full row group, which are not yet in the file.
    full: Vec<(Bytes, Box<ColumnCloseResult>)>,
    rows: usize,
    bytes: usize,
}

enum Column {
    /// Values of any type.
    Any { writer: Box<ArrowColumnWriter>, pages: Arc<Mutex<Pages>> },
    /// Texts or blobs that hardly repeat.
    ByteArray(Box<ByteArrayColumn>),
}

/// The encoding of one column's arrays, for any thread.
pub(super) struct ColumnTask {
    index: usize,
    column: Column,
    arrays: Vec<ArrayRef>,
    schema: SchemaRef,
    close: bool,
}

/// A column whose arrays are encoded.
pub(super) enum ColumnDone {
    /// The row group goes on.
    Open(usize, OpenColumn),
    /// The row group is full: the chunk's bytes and metadata.
    Closed(usize, Bytes, Box<ColumnCloseResult>),
}

/// A column whose row group goes on.
pub(super) struct OpenColumn(Column);

impl<W: Write + Send> ParquetFile<W> {
    /// Begins a file of this schema. `sample` is the first batch, by which the encodings
    /// are chosen; `sorted` are the indices of the columns that the rows are sorted by.
    pub(super) fn begin(
        out: W,
        schema: SchemaRef,
        sample: Option<&RecordBatch>,
        sorted: &[usize],
        created_by: &str,
    ) -> Result<Self> {
        let mut properties = WriterProperties::builder()
            .set_created_by(created_by.to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Page);
        if !sorted.is_empty() {
            let columns = sorted.iter().map(|i| SortingColumn {
                column_idx: *i as i32,
                descending: false,
                nulls_first: true,
            });
            properties = properties.set_sorting_columns(Some(columns.collect()));
        }
        let hardly = |index| sample.is_some_and(|batch| !repeats(batch.column(index)));
        let plain: Vec<bool> = (0..schema.fields().len()).map(hardly).collect();
        for (field, _) in schema.fields().iter().zip(&plain).filter(|(_, plain)| **plain) {
            let path = ColumnPath::new(vec![field.name().clone()]);
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            if *field.data_type() == DataType::Int64 {
                properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
        }
        let properties = Arc::new(properties.build());
        let root = ArrowSchemaConverter::new().convert(&schema)?.root_schema_ptr();
        let writer = SerializedFileWriter::new(out, root, properties)?;
        let store = Arc::new(Store::default());
        let factory = ArrowRowGroupWriterFactory::new(&writer, schema.clone())
            .with_page_store_factory(store.clone());
        let (columns, full) = (Vec::new(), Vec::new());
        Ok(Self { schema, writer, factory, store, plain, columns, full, rows: 0, bytes: 0 })
    }

    /// The work of encoding these batches, a task a column. Their results go back to
    /// [`Self::put`] before the next call.
    pub(super) fn tasks(&mut self, batches: &[RecordBatch]) -> Result<Vec<ColumnTask>> {
        if self.columns.is_empty() {
            let written = self.writer.flushed_row_groups().len();
            let group = written + usize::from(!self.full.is_empty());
            let writers = self.factory.create_column_writers(group)?;
            let pages = self.store.created();
            if writers.len() != pages.len() || writers.len() != self.schema.fields().len() {
                return Err(ParquetError::General("a column is not a leaf".into()));
            }
            let parquet = self.writer.schema_descr().columns();
            let columns = writers.into_iter().zip(pages).zip(parquet).enumerate();
            self.columns = columns
                .map(|(index, ((writer, pages), column))| {
                    match self.schema.field(index).data_type() {
                        DataType::Utf8 | DataType::Binary if self.plain[index] => {
                            Column::ByteArray(Box::new(ByteArrayColumn::new(column.clone())))
                        }
                        _ => Column::Any { writer: Box::new(writer), pages },
                    }
                })
                .collect();
        }
        for batch in batches {
            self.rows += batch.num_rows();
            self.bytes += batch.get_array_memory_size();
        }
        let close = self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES;
        Ok(self.hand_out(batches, close))
    }

    fn hand_out(&mut self, batches: &[RecordBatch], close: bool) -> Vec<ColumnTask> {
        std::mem::take(&mut self.columns)
            .into_iter()
            .enumerate()
            .map(|(index, column)| ColumnTask {
                index,
                column,
                arrays: batches.iter().map(|b| b.column(index).clone()).collect(),
                schema: self.schema.clone(),
                close,
            })
            .collect()
    }

    /// Takes the encoded columns back. When that fills the row group, it is to be written before
    /// the next one is full.
    pub(super) fn put(&mut self, mut done: Vec<ColumnDone>) {
        done.sort_by_key(|d| match d {
            ColumnDone::Open(index, _) | ColumnDone::Closed(index, ..) => *index,
        });
        for column in done {
            match column {
                ColumnDone::Open(_, OpenColumn(column)) => self.columns.push(column),
                ColumnDone::Closed(_, bytes, close) => self.full.push((bytes, close)),
            }
        }
        if !self.full.is_empty() {
            (self.rows, self.bytes) = (0, 0);
        }
    }

    /// The bytes of the full row group, which [`Self::write`] has to do with.
    pub(super) fn waiting(&self) -> usize {
        self.full.iter().map(|(bytes, _)| bytes.len()).sum()
    }

    /// Writes the full row group, where there is one.
    pub(super) fn write(&mut self) -> Result<()> {
        if self.full.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (bytes, close) in self.full.drain(..) {
            group.append_column(&bytes, *close)?;
        }
        group.close()?;
        Ok(())
    }

    /// The work of closing the last row group; its results go to [`Self::put`], then
    /// come [`Self::write`] and [`Self::finish`].
    pub(super) fn last_tasks(&mut self) -> Vec<ColumnTask> {
        self.hand_out(&[], true)
    }

    /// Writes the footer and gives the output back.
    pub(super) fn finish(self) -> Result<W> {
        self.writer.into_inner()
    }
}

impl ColumnTask {
    /// How much there is to do, roughly: the bytes of the arrays.
    pub(super) fn weight(&self) -> usize {
        self.arrays.iter().map(|a| a.get_buffer_memory_size()).sum()
    }

    /// Encodes and compresses.
    pub(super) fn run(mut self, scratch: &mut Scratch) -> Result<ColumnDone> {
        let field = self.schema.field(self.index);
        for array in &self.arrays {
            match &mut self.column {
                Column::Any { writer, .. } => {
                    for leaf in compute_leaves(field, array)? {
                        writer.write(&leaf)?;
                    }
                }
                Column::ByteArray(column) => column.write(values(array)?, scratch)?,
            }
        }
        if !self.close {
            return Ok(ColumnDone::Open(self.index, OpenColumn(self.column)));
        }
        let (bytes, close) = match self.column {
            Column::Any { writer, pages } => {
                let chunk = writer.close()?;
                let mut pages = pages
                    .lock()
                    .map_err(|_| ParquetError::General("another column failed".into()))?;
                pages.finish(chunk.close().clone())?
            }
            Column::ByteArray(column) => column.close(scratch)?,
        };
        Ok(ColumnDone::Closed(self.index, bytes, Box::new(close)))
    }
}

/// The values of an array of texts or blobs.
fn values(array: &ArrayRef) -> Result<Values<'_>> {
    let nulls = array.nulls();
    if let Some(texts) = array.as_string_opt::<i32>() {
        Ok(Values { offsets: texts.value_offsets(), bytes: texts.value_data(), nulls })
    } else if let Some(blobs) = array.as_binary_opt::<i32>() {
        Ok(Values { offsets: blobs.value_offsets(), bytes: blobs.value_data(), nulls })
    } else {
        Err(ParquetError::General(format!("{} is no byte array", array.data_type())))
    }
}

/// True when a dictionary is worth its while: at most half of the sampled values are new.
fn repeats(array: &ArrayRef) -> bool {
    let sample = array.slice(0, array.len().min(SAMPLE));
    let (values, distinct) = match sample.data_type() {
        DataType::Int64 => {
            let values = sample.as_primitive::<Int64Type>();
            count(values.iter().flatten())
        }
        DataType::Float64 => {
            let values = sample.as_primitive::<Float64Type>();
            count(values.iter().flatten().map(f64::to_bits))
        }
        DataType::Utf8 => count(sample.as_string::<i32>().iter().flatten()),
        DataType::Binary => count(sample.as_binary::<i32>().iter().flatten()),
        _ => return true,
    };
    distinct * 2 <= values || values == 0
}

fn count<T: std::hash::Hash + Eq>(values: impl Iterator<Item = T>) -> (usize, usize) {
    let mut all = 0;
    let distinct: HashSet<T> = values.inspect(|_| all += 1).collect();
    (all, distinct.len())
}

#[cfg(test)]
mod tests;
