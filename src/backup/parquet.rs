//! The rows of a Parquet file, in row ranges and some of its columns.
//!
//! Page checksums are verified where the file has them (Apache Parquet format, "Checksumming");
//! whether it has is told by [`ParquetRows::unchecksummed`].

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::LogicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::ChunkReader;

use crate::backup::dress::{Dress, Pair};
use crate::backup::file::BackupFile;
use crate::backup::guard::caught;
use crate::backup::int96::{Int96, Joined};
use crate::backup::parts::Told;
use crate::backup::text::Limits;
use crate::backup::text::decompress::too_large;
use crate::error::{Error, Result};
use crate::fit::foreign::is_plain;
use crate::fit::write_uuid;
use crate::model::table::Carrier;
use crate::model::value::EXACT;

/// Rows of a batch, unless they are so wide that fewer fill it.
const BATCH_ROWS: usize = 2048;

/// The size that a batch of wide rows aims at.
const BATCH_BYTES: u64 = 32 << 20;

/// An open Parquet file.
#[derive(Debug)]
pub(crate) struct ParquetRows {
    metadata: ArrowReaderMetadata,
    dress: Dress,
    batch_rows: usize,
    /// The columns that the file's folders tell, a row each.
    told: Vec<(String, ArrayRef)>,
    /// The columns of UUIDs, which are 16 bytes each.
    uuids: Vec<String>,
    int96: Option<Int96>,
}

impl ParquetRows {
    /// Reads a file's footer. Errors: damage, an unsupported feature, or more data than `limits`
    /// allows.
    pub(crate) fn open(file: &BackupFile, dress: Dress, limits: &Limits) -> Result<Self> {
        let (metadata, int96) = caught(file.path(), || {
            let options = ArrowReaderOptions::new()
                .with_offset_index_policy(PageIndexPolicy::Optional)
                .with_column_index_policy(PageIndexPolicy::Skip);
            let metadata = ArrowReaderMetadata::load(file, options).map_err(|e| damage(file, e))?;
            let int96 = Int96::of(&metadata).map_err(|e| damage(file, e))?;
            Ok((metadata, int96))
        })?;
        let groups = metadata.metadata().row_groups();
        let bytes: u64 = groups.iter().map(|g| g.total_byte_size().max(0) as u64).sum();
        if bytes > limits.max_expanded_bytes {
            return Err(too_large(file.path(), limits.expanded_words()));
        }
        let rows: u64 = groups.iter().map(|g| g.num_rows().max(0) as u64).sum();
        let told = metadata.metadata().file_metadata().num_rows();
        if u64::try_from(told).ok() != Some(rows) {
            return Err(torn(file));
        }
        let width = bytes / rows.max(1) + 1;
        let batch_rows = (BATCH_BYTES / width).clamp(16, BATCH_ROWS as u64) as usize;
        let fields = metadata.parquet_schema().root_schema().get_fields().iter();
        let uuids = fields
            .map(|field| field.get_basic_info())
            .filter(|field| field.logical_type_ref() == Some(&LogicalType::Uuid))
            .map(|field| field.name().to_owned())
            .collect();
        Ok(Self { metadata, dress, batch_rows, told: Vec::new(), uuids, int96 })
    }

    /// The same with the columns that its folders' names tell. A column that the file holds
    /// itself is read from the file.
    pub(crate) fn with(self, told: &[Told]) -> Self {
        let own: Vec<&str> =
            self.metadata.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let told = told.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        let told = told.map(|(name, value)| {
            let array: ArrayRef = Arc::new(StringArray::from(vec![value.as_deref()]));
            (name.clone(), array)
        });
        Self { told: told.collect(), ..self }
    }

    /// In what dress its columns are.
    pub(crate) fn dress(&self) -> &Dress {
        &self.dress
    }

    /// The exact number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// The columns that can be read, in the file's order, with their Arrow types; then those
    /// that its folders tell.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        let fields = self.metadata.schema().fields().iter();
        fields
            .filter(|f| is_plain(f.data_type()) && f.name() != EXACT)
            .map(|f| (f.name().as_str(), f.data_type()))
            .chain(self.told.iter().map(|(name, value)| (name.as_str(), value.data_type())))
    }

    /// The names of nested columns, which are not read.
    pub(crate) fn nested(&self) -> Vec<&str> {
        let fields = self.metadata.schema().fields().iter();
        fields.filter(|f| !is_plain(f.data_type())).map(|f| f.name().as_str()).collect()
    }

    /// True when some first page carries no checksum, so that flipped bits may go unseen.
    pub(crate) fn unchecksummed(&self, file: &BackupFile) -> Result<bool> {
        for column in self.metadata.metadata().row_groups().iter().flat_map(|g| g.columns()) {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let start = u64::try_from(start).map_err(|_| torn(file))?;
            let reader = file.get_read(start).map_err(|e| damage(file, e))?;
            let mut header = Vec::with_capacity(32);
            reader.take(32).read_to_end(&mut header)?;
            if !has_crc(&header) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first row of each row group.
    pub(crate) fn group_starts(&self) -> Vec<u64> {
        let mut start = 0;
        let groups = self.metadata.metadata().row_groups().iter();
        groups
            .map(|group| {
                let first = start;
                start += group.num_rows().max(0) as u64;
                first
            })
            .collect()
    }

    /// The rows of these ascending ranges, batch by batch: the columns of `pairs`.
    pub(crate) fn read<'a>(
        &'a self,
        file: &'a BackupFile,
        pairs: &'a [Pair],
        ranges: &[Range<u64>],
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch>> + 'a>> {
        let fields = self.metadata.schema().fields();
        let wanted = fields.iter().enumerate().filter(|(_, field)| {
            pairs.iter().any(|pair| pair.file == *field.name())
                || (field.name() == EXACT && matches!(self.dress, Dress::Own(_)))
        });
        let roots: Vec<usize> = wanted.map(|(root, _)| root).collect();
        let batches = |metadata, roots| {
            let reader = self.reader(file, metadata, roots, ranges)?;
            Ok::<_, Error>(reader.map(move |batch| batch.map_err(|e| damage(file, e.into()))))
        };
        let twice = |int96: &Int96| -> Vec<usize> {
            roots.iter().copied().filter(|root| int96.roots.contains(root)).collect()
        };
        match self.int96.as_ref().map(|int96| (int96, twice(int96))) {
            Some((int96, again)) if !again.is_empty() => Ok(Box::new(Joined::new(
                batches(&int96.seconds, roots)?,
                batches(&int96.wrapped, again)?,
            ))),
            _ => Ok(Box::new(batches(&self.metadata, roots)?)),
        }
    }

    /// A batch with those of the columns that the folders tell that are wanted, and UUIDs in their
    /// usual form where live has text.
    pub(crate) fn whole(&self, batch: RecordBatch, pairs: &[Pair]) -> Result<RecordBatch> {
        let is_text = |name: &String| {
            pairs.iter().any(|p| p.file == *name && p.live.carrier == Carrier::Text)
        };
        let batch = match self.uuids.iter().filter(|name| is_text(name)).collect::<Vec<_>>() {
            none if none.is_empty() => batch,
            texts => with_texts(&batch, &texts)?,
        };
        let wanted = |name: &String| pairs.iter().any(|pair| pair.file == *name);
        let told: Vec<_> = self.told.iter().filter(|(name, _)| wanted(name)).collect();
        if told.is_empty() {
            return Ok(batch);
        }
        let rows = UInt32Array::from(vec![0; batch.num_rows()]);
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for (name, value) in told {
            fields.push(Arc::new(Field::new(name, value.data_type().clone(), true)));
            columns.push(take(value, &rows, None)?);
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// A reader of these ascending row ranges, and of the columns of these places: row groups
    /// without any of the rows are not touched, pages without any are skipped.
    fn reader(
        &self,
        file: &BackupFile,
        metadata: &ArrowReaderMetadata,
        roots: Vec<usize>,
        ranges: &[Range<u64>],
    ) -> Result<ParquetRecordBatchReader> {
        let mut groups = Vec::new();
        let mut chosen: Vec<Range<usize>> = Vec::new();
        let (mut first, mut packed) = (0_u64, 0_usize);
        let mut ranges = ranges.iter().filter(|range| range.start < range.end).peekable();
        for (index, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = first + group.num_rows().max(0) as u64;
            let mut used = false;
            while let Some(range) = ranges.peek().filter(|range| range.start < end) {
                let (from, to) = (range.start.max(first), range.end.min(end));
                if from < to {
                    used = true;
                    chosen.push(packed + (from - first) as usize..packed + (to - first) as usize);
                }
                if range.end > end {
                    break;
                }
                ranges.next();
            }
            if used {
                groups.push(index);
                packed += (end - first) as usize;
            }
            first = end;
        }
        let whole = matches!(&chosen[..], [one] if *one == (0..packed));
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots);
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
                .with_batch_size(self.batch_rows)
                .with_projection(mask)
                .with_row_groups(groups);
        if !whole {
            let selection = RowSelection::from_consecutive_ranges(chosen.into_iter(), packed);
            builder = builder.with_row_selection(selection);
        }
        builder.build().map_err(|e| damage(file, e))
    }
}

/// A batch with the UUIDs of these columns as text.
fn with_texts(batch: &RecordBatch, names: &[&String]) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (field, column) in fields.iter_mut().zip(&mut columns) {
        let Some(uuids) = column.as_fixed_size_binary_opt() else { continue };
        if names.contains(&field.name()) && uuids.value_length() == 16 {
            let mut text = Vec::new();
            let texts = uuids.iter().map(|uuid| {
                text.clear();
                write_uuid(uuid?, &mut text);
                Some(String::from_utf8_lossy(&text).into_owned())
            });
            *column = Arc::new(StringArray::from_iter(texts));
            *field = Arc::new(Field::new(field.name(), DataType::Utf8, true));
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// True when a page header has a checksum.
///
/// ```text
/// PageHeader in Thrift's compact protocol:
/// 0x15 zigzag varint   1: type           (i32: delta 1, type 5)
/// 0x15 varint          2: uncompressed_page_size
/// 0x15 varint          3: compressed_page_size
/// 0x15 varint          4: crc, optional
/// ```
fn has_crc(header: &[u8]) -> bool {
    let mut rest = header;
    for _ in 0..3 {
        let [0x15, after @ ..] = rest else { return false };
        let Some(last) = after.iter().take(5).position(|byte| byte & 0x80 == 0) else {
            return false;
        };
        rest = &after[last + 1..];
    }
    rest.first() == Some(&0x15)
}

pub(crate) fn torn(file: &BackupFile) -> Error {
    Error::damaged(format!("backup file {} is cut short or torn", file.path().display()))
}

/// A Parquet error in the user's words.
pub(crate) fn damage(file: &BackupFile, e: ParquetError) -> Error {
    let path = file.path().display();
    match e {
        ParquetError::NYI(what) => Error::failed(format!(
            "backup file {path} uses a feature that is not supported: {what}"
        )),
        ParquetError::General(what) if what.contains("Disabled feature at compile time") => {
            Error::failed(format!(
                "backup file {path} is compressed in a way that is not supported"
            ))
            .because(what)
        }
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => {
                Error::failed(format!("backup file {path} can't be read")).because(*io)
            }
            Ok(io) => Error::damaged(format!("backup file {path} is cut short")).because(*io),
            Err(other) => Error::damaged(format!("backup file {path} is damaged")).because(other),
        },
        other => Error::damaged(format!("backup file {path} is damaged")).because(other),
    }
}
