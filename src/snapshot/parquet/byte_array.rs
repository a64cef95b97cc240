//! A column chunk of texts or blobs that hardly repeat.
//!
//! parquet's own writer looks at every value several times over; here the bytes of a whole batch
//! go into the page at once, as DELTA_LENGTH_BYTE_ARRAY keeps lengths and bytes apart (Parquet
//! format, "Encodings", "Delta-length byte array"). A page, version 1 and with a checksum:
//!
//! ```text
//! page header  Thrift, compact protocol: struct PageHeader of parquet.thrift
//! zstd         levels   4 bytes: their length; validity as RLE or bit-packed, of width 1
//!              lengths  of the values that are not NULL, DELTA_BINARY_PACKED
//!              bytes    of the values, one behind the other
//! ```

use std::mem::take;

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;
use bytes::Bytes;
use flate2::Crc;
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::LEVEL;
use super::bounds::{Extremes, above, below};
use super::delta::{self, varint, zigzag};

/// A page is closed once it has this many rows,
const PAGE_ROWS: usize = 20_000;

/// .. or this many bytes of values.
const PAGE_BYTES: usize = 1 << 20;

/// Room in front of a page's values for its levels and lengths, which are known last: at most
/// 4.2 bytes a row.
const FRONT: usize = 5 * PAGE_ROWS;

/// What a thread keeps for compressing.
pub(in crate::snapshot) struct Scratch {
    zstd: zstd::bulk::Compressor<'static>,
    page: Vec<u8>,
}

impl Scratch {
    /// An empty one.
    pub(in crate::snapshot) fn new() -> Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(LEVEL)?, page: Vec::new() })
    }
}

/// The values of some rows, as Arrow has them.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// Where each row's value begins, and the last one ends.
    pub(super) offsets: &'a [i32],
    /// The bytes.
    pub(super) bytes: &'a [u8],
    /// Which rows are NULL.
    pub(super) nulls: Option<&'a NullBuffer>,
}

/// A column chunk under construction.
pub(super) struct ByteArrayColumn {
    column: ColumnDescPtr,
    page: Page,
    chunk: Vec<u8>,
    uncompressed: usize,
    rows: usize,
    nulls: usize,
    bytes: usize,
    extremes: Option<(Vec<u8>, Vec<u8>)>,
    pages: Vec<Done>,
}

/// The page under construction.
struct Page {
    valid: BooleanBufferBuilder,
    lengths: Vec<i32>,
    /// [`FRONT`], then the values.
    bytes: Vec<u8>,
    extremes: Extremes,
}

/// A page in the chunk.
struct Done {
    at: usize,
    size: usize,
    rows: usize,
    nulls: usize,
    bytes: usize,
    /// The least and the greatest value, or bounds of them.
    extremes: Option<(Vec<u8>, Vec<u8>)>,
}

impl ByteArrayColumn {
    /// An empty chunk of this column, which is no list and in none.
    pub(super) fn new(column: ColumnDescPtr) -> Self {
        let page = Page {
            valid: BooleanBufferBuilder::new(0),
            lengths: Vec::new(),
            bytes: vec![0; FRONT],
            extremes: Extremes::default(),
        };
        Self {
            column,
            page,
            chunk: Vec::new(),
            uncompressed: 0,
            rows: 0,
            nulls: 0,
            bytes: 0,
            extremes: None,
            pages: Vec::new(),
        }
    }

    /// Appends rows.
    pub(super) fn write(&mut self, values: Values<'_>, scratch: &mut Scratch) -> Result<()> {
        let rows = values.offsets.len() - 1;
        let mut first = 0;
        while first < rows {
            let room = PAGE_BYTES.saturating_sub(self.page.bytes.len() - FRONT);
            let most = rows.min(first + PAGE_ROWS - self.page.valid.len());
            let start = values.offsets[first];
            let fit = values.offsets[first + 1..=most]
                .partition_point(|end| (end - start) as usize <= room);
            let after = first + fit.max(1);
            self.page.push(values, first, after);
            first = after;
            if self.page.valid.len() >= PAGE_ROWS || self.page.bytes.len() - FRONT >= PAGE_BYTES {
                self.close_page(scratch)?;
            }
        }
        Ok(())
    }

    /// Compresses the page and appends it to the chunk.
    fn close_page(&mut self, scratch: &mut Scratch) -> Result<()> {
        let page = &mut self.page;
        let (rows, values) = (page.valid.len(), page.lengths.len());
        let done = Done {
            at: self.chunk.len(),
            size: 0,
            rows,
            nulls: rows - values,
            bytes: page.bytes.len() - FRONT,
            extremes: page.extremes.of(&page.bytes).map(|(least, most)| {
                let text = is_text(&self.column);
                (below(least, text).to_vec(), above(most, text).into_owned())
            }),
        };
        if let Some((least, most)) = page.extremes.of(&page.bytes) {
            let known = self.extremes.get_or_insert_with(|| (least.to_vec(), most.to_vec()));
            if least < &known.0[..] {
                known.0 = least.to_vec();
            }
            if most > &known.1[..] {
                known.1 = most.to_vec();
            }
        }
        let mut front = Vec::with_capacity(FRONT);
        if self.column.max_def_level() > 0 {
            levels(&mut page.valid, values, &mut front);
        }
        delta::encode(&page.lengths, &mut front);
        let start = FRONT.checked_sub(front.len()).ok_or_else(|| broken("lengths take no room"))?;
        page.bytes[start..FRONT].copy_from_slice(&front);
        let raw = &page.bytes[start..];
        scratch.page.clear();
        scratch.page.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        scratch.zstd.compress_to_buffer(raw, &mut scratch.page)?;
        let before = self.chunk.len();
        header(rows, raw.len(), &scratch.page, &mut self.chunk)?;
        self.uncompressed += self.chunk.len() - before + raw.len();
        self.chunk.extend_from_slice(&scratch.page);
        self.rows += done.rows;
        self.nulls += done.nulls;
        self.bytes += done.bytes;
        self.pages.push(Done { size: self.chunk.len() - done.at, ..done });
        page.valid = BooleanBufferBuilder::new(PAGE_ROWS);
        page.lengths.clear();
        page.bytes.truncate(FRONT);
        page.extremes = Extremes::default();
        Ok(())
    }

    /// The chunk's bytes, and what the file's footer says of it.
    pub(super) fn close(mut self, scratch: &mut Scratch) -> Result<(Bytes, ColumnCloseResult)> {
        if !self.page.valid.is_empty() {
            self.close_page(scratch)?;
        }
        let text = is_text(&self.column);
        let exact = |whole: &[u8], kept: &[u8]| whole == kept;
        let mut statistics =
            ValueStatistics::<ByteArray>::new(None, None, None, Some(self.nulls as u64), false);
        if let Some((least, most)) = take(&mut self.extremes) {
            let (low, high) = (below(&least, text).to_vec(), above(&most, text).into_owned());
            let (same_low, same_high) = (exact(&least, &low), exact(&most, &high));
            let (low, high) = (Some(low.into()), Some(high.into()));
            statistics = ValueStatistics::new(low, high, None, Some(self.nulls as u64), false)
                .with_min_is_exact(same_low)
                .with_max_is_exact(same_high);
        }
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_encodings(vec![Encoding::RLE, Encoding::DELTA_LENGTH_BYTE_ARRAY])
            .set_total_compressed_size(self.chunk.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(0)
            .set_statistics(Statistics::ByteArray(statistics))
            .set_unencoded_byte_array_data_bytes(Some(self.bytes as i64))
            .build()?;
        let mut column_index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        let mut offset_index = OffsetIndexBuilder::new();
        column_index.set_boundary_order(order(&self.pages));
        for page in self.pages {
            let (least, most) = page.extremes.unwrap_or_default();
            column_index.append(page.rows == page.nulls, least, most, page.nulls as i64);
            offset_index.append_row_count(page.rows as i64);
            let size = i32::try_from(page.size).map_err(|_| broken("it is too large"))?;
            offset_index.append_offset_and_size(page.at as i64, size);
            offset_index.append_unencoded_byte_array_data_bytes(Some(page.bytes as i64));
        }
        let close = ColumnCloseResult {
            bytes_written: self.chunk.len() as u64,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: Some(column_index.build()?),
            offset_index: Some(offset_index.build()),
        };
        Ok((Bytes::from(self.chunk), close))
    }
}

impl Page {
    /// Appends the rows `first..after`.
    fn push(&mut self, values: Values<'_>, first: usize, after: usize) {
        let nulls = values.nulls.filter(|nulls| nulls.null_count() > 0);
        let offsets = &values.offsets[first..=after];
        let whole = offsets[0] as usize..offsets[after - first] as usize;
        let (new, at) = (self.lengths.len(), self.bytes.len());
        let lengths = offsets.windows(2).map(|pair| pair[1] - pair[0]);
        match nulls {
            None => {
                self.valid.append_n(after - first, true);
                self.lengths.extend(lengths);
                self.bytes.extend_from_slice(&values.bytes[whole]);
            }
            Some(nulls) => {
                let here = nulls.inner().slice(first, after - first);
                self.valid.append_buffer(&here);
                self.lengths.extend(
                    lengths.zip(&here).filter(|(_, valid)| *valid).map(|(length, _)| length),
                );
                let kept: usize = self.lengths[new..].iter().map(|length| *length as usize).sum();
                if kept == whole.len() {
                    self.bytes.extend_from_slice(&values.bytes[whole]);
                } else {
                    // Bytes under a NULL are of no value.
                    for row in here.set_indices() {
                        let cell = offsets[row] as usize..offsets[row + 1] as usize;
                        self.bytes.extend_from_slice(&values.bytes[cell]);
                    }
                }
            }
        }
        self.extremes.add(&self.bytes, at, &self.lengths[new..]);
    }
}

/// Appends the definition levels of rows of which `values` are not NULL (Parquet format,
/// "Encodings", "Run Length Encoding / Bit-Packing Hybrid").
fn levels(valid: &mut BooleanBufferBuilder, values: usize, out: &mut Vec<u8>) {
    let rows = valid.len();
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if values == rows || values == 0 {
        varint((rows as u64) << 1, out);
        out.push(u8::from(values > 0));
    } else {
        // From the lowest bit on, as Arrow has them; what lies behind the last row is zero.
        let bits = valid.finish();
        let groups = rows.div_ceil(8);
        varint((groups as u64) << 1 | 1, out);
        out.extend_from_slice(&bits.values()[..groups]);
        if !rows.is_multiple_of(8)
            && let Some(last) = out.last_mut()
        {
            *last &= (1 << (rows % 8)) - 1;
        }
    }
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Appends the header of a data page whose body is `body` once it is compressed.
fn header(rows: usize, uncompressed: usize, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
    const DATA_PAGE: i32 = 0;
    const RLE: i32 = 3;
    const DELTA_LENGTH_BYTE_ARRAY: i32 = 6;
    let number = |size| i32::try_from(size).map_err(|_| broken("it is too large"));
    let mut crc = Crc::new();
    crc.update(body);
    let mut fields = |numbers: &[i32]| {
        for value in numbers {
            // One field past the last one, a 32-bit integer.
            out.push(0x15);
            varint(zigzag(*value), out);
        }
    };
    fields(&[DATA_PAGE, number(uncompressed)?, number(body.len())?, crc.sum().cast_signed()]);
    // The struct DataPageHeader as field 5, and the ends of both.
    out.push(0x1c);
    let mut fields = |numbers: &[i32]| {
        for value in numbers {
            out.push(0x15);
            varint(zigzag(*value), out);
        }
    };
    fields(&[number(rows)?, DELTA_LENGTH_BYTE_ARRAY, RLE, RLE]);
    out.extend_from_slice(&[0, 0]);
    Ok(())
}

/// How the pages' extremes follow one another.
fn order(pages: &[Done]) -> BoundaryOrder {
    let known: Vec<_> = pages.iter().filter_map(|page| page.extremes.as_ref()).collect();
    if known.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1) {
        BoundaryOrder::ASCENDING
    } else if known.windows(2).all(|pair| pair[0].0 >= pair[1].0 && pair[0].1 >= pair[1].1) {
        BoundaryOrder::DESCENDING
    } else {
        BoundaryOrder::UNORDERED
    }
}

fn is_text(column: &ColumnDescPtr) -> bool {
    column.logical_type_ref() == Some(&parquet::basic::LogicalType::String)
}

fn broken(why: &str) -> ParquetError {
    ParquetError::General(format!("a page can't be written: {why}"))
}
