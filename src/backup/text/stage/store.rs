//! The file of staged cells: batches of columns as they stand in memory, written once and read a few
//! times, on this machine only.
//!
//! ```text
//! file   := batch*                         where each begins and its first row are kept in memory
//! batch  := head* column*                  one of each a column
//! head   := values u32 | crc u32 | tag u8 | nulls u8 | 0 u16
//!                                          tag 0: each cell has its own; nulls 1: some cell is NULL
//! column := offsets i32 (rows + 1) | bits ((rows + 7) / 8), if some are NULL; 0 is NULL
//!           | tag u8 (rows), if each has its own | values | 0 up to a multiple of 8 bytes
//! ```
//!
//! Numbers are in the machine's own order, so that nothing is done to them but to copy them. The crc is
//! the CRC-32 of gzip (RFC 1952, section 8) over the rest of the head and the column without its end of zeros.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use arrow::array::BinaryArray;
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use flate2::Crc;
use serde::{Deserialize, Serialize};

use crate::backup::file::BackupFile;
use crate::backup::text::stage::sink::private_file;
use crate::error::{Error, Result};
use crate::fit::cell::Tag;
use crate::fit::cell::staged::{StagedCells, Tags};

/// The bytes of a column's head.
const HEAD: usize = 12;

/// The most rows that are read as one batch.
const READ_ROWS: usize = 4_096;

/// Zeros to pad with.
const PAD: [u8; 8] = [0; 8];

/// Where a batch stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Mark {
    at: u64,
    first: u64,
}

/// The file while it is written.
#[derive(Debug)]
pub(super) struct StoreWriter {
    file: BufWriter<File>,
    at: u64,
    rows: u64,
    columns: usize,
    marks: Vec<Mark>,
}

/// A column of a batch to be written.
pub(super) struct ColumnBytes<'a> {
    pub(super) offsets: &'a Buffer,
    pub(super) nulls: Option<NullBuffer>,
    /// The tag of all cells; `None`: [`ColumnBytes::each`] tells.
    pub(super) tag: Option<Tag>,
    pub(super) each: &'a [u8],
    pub(super) values: &'a [u8],
}

impl ColumnBytes<'_> {
    /// What is written of it, in order.
    fn pieces(&self, rows: usize) -> [&[u8]; 4] {
        let nulls = self.nulls.as_ref().map_or(&[][..], |nulls| nulls.validity());
        let nulls = &nulls[..nulls.len().min(rows.div_ceil(8))];
        let each = if self.tag.is_none() { self.each } else { &[] };
        [self.offsets, nulls, each, self.values]
    }
}

/// The head of a column.
#[derive(Clone, Copy)]
struct Head {
    values: u32,
    tag: u8,
    nulls: u8,
}

impl Head {
    /// The checksum that goes on with the column.
    fn crc(self) -> Crc {
        let mut crc = Crc::new();
        crc.update(&self.values.to_ne_bytes());
        crc.update(&[self.tag, self.nulls]);
        crc
    }

    fn bytes(self, crc: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&self.values.to_ne_bytes());
        bytes[4..8].copy_from_slice(&crc.to_ne_bytes());
        bytes[8..10].copy_from_slice(&[self.tag, self.nulls]);
        bytes
    }

    /// The head in these bytes, and its checksum.
    fn of([a, b, c, d, e, f, g, h, tag, nulls, ..]: [u8; HEAD]) -> (Self, u32) {
        let values = u32::from_ne_bytes([a, b, c, d]);
        (Self { values, tag, nulls }, u32::from_ne_bytes([e, f, g, h]))
    }
}

/// Where the parts of a column stand in it.
struct Parts {
    nulls: usize,
    tags: usize,
    values: usize,
    end: usize,
}

impl Parts {
    fn of(rows: usize, values: usize, nulls: bool, each: bool) -> Self {
        let at = 4 * (rows + 1);
        let tags = at + if nulls { rows.div_ceil(8) } else { 0 };
        let begin = tags + if each { rows } else { 0 };
        Self { nulls: at, tags, values: begin, end: (begin + values).next_multiple_of(8) }
    }
}

impl StoreWriter {
    /// A new file (0600).
    pub(super) fn create(path: &Path, columns: usize) -> io::Result<Self> {
        let file = BufWriter::with_capacity(64 << 10, private_file(path)?);
        Ok(Self { file, at: 0, rows: 0, columns, marks: Vec::new() })
    }

    /// Appends a batch.
    pub(super) fn push(&mut self, rows: usize, columns: &[ColumnBytes<'_>]) -> io::Result<()> {
        self.marks.push(Mark { at: self.at, first: self.rows });
        for column in columns {
            let values = u32::try_from(column.values.len()).map_err(io::Error::other)?;
            let head = Head {
                values,
                tag: column.tag.map_or(0, |tag| tag as u8),
                nulls: column.nulls.is_some().into(),
            };
            let mut crc = head.crc();
            column.pieces(rows).iter().for_each(|piece| crc.update(piece));
            self.file.write_all(&head.bytes(crc.sum()))?;
        }
        self.at += (HEAD * columns.len()) as u64;
        for column in columns {
            let mut written = 0;
            for piece in column.pieces(rows) {
                self.file.write_all(piece)?;
                written += piece.len();
            }
            self.file.write_all(&PAD[..written.next_multiple_of(8) - written])?;
            self.at += written.next_multiple_of(8) as u64;
        }
        self.rows += rows as u64;
        Ok(())
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// The file as it can be read.
    pub(super) fn finish(mut self) -> io::Result<Store> {
        self.file.flush()?;
        let (rows, columns, bytes) = (self.rows, self.columns, self.at);
        Ok(Store { rows, columns, bytes, marks: self.marks })
    }
}

/// What is kept of the file in memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    rows: u64,
    columns: usize,
    bytes: u64,
    marks: Vec<Mark>,
}

/// Some rows of some columns.
pub(in crate::backup) struct CellBatch {
    /// The number of rows.
    pub(in crate::backup) rows: usize,
    /// The columns, in the order in which they were asked for.
    pub(in crate::backup) columns: Vec<StagedCells>,
}

impl Store {
    /// The rows of these ascending ranges in the columns of these places, batch by batch. Where
    /// few of a batch's rows are wanted they are copied, so that they do not hold the others in memory.
    pub(in crate::backup) fn read<'a>(
        &'a self,
        file: &'a BackupFile,
        columns: Vec<usize>,
        ranges: &[Range<u64>],
    ) -> impl Iterator<Item = Result<CellBatch>> + 'a {
        let mut wanted: Vec<(usize, Vec<Range<usize>>)> = Vec::new();
        for range in ranges.iter().filter(|range| range.start < range.end) {
            let first = self.marks.partition_point(|mark| mark.first <= range.start);
            for batch in first.saturating_sub(1)..self.marks.len() {
                let (begin, end) = (self.marks[batch].first, self.end(batch));
                if range.end <= begin {
                    break;
                }
                let part = range.start.max(begin) - begin..range.end.min(end) - begin;
                let part = part.start as usize..part.end as usize;
                match wanted.last_mut() {
                    Some((last, parts)) if *last == batch => parts.push(part),
                    _ => wanted.push((batch, vec![part])),
                }
            }
        }
        wanted.into_iter().flat_map(move |(batch, parts)| {
            match self.batches(file, batch, parts, &columns) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(e) => vec![Err(e)],
            }
        })
    }

    /// These rows of one batch.
    fn batches(
        &self,
        file: &BackupFile,
        batch: usize,
        parts: Vec<Range<usize>>,
        columns: &[usize],
    ) -> Result<Vec<CellBatch>> {
        let all = (self.end(batch) - self.marks[batch].first) as usize;
        let mut cells = self.columns(file, batch, all, columns)?;
        let rows: usize = parts.iter().map(ExactSizeIterator::len).sum();
        let first = match &parts[..] {
            [one] if rows == all || rows > all / 2 => one.start,
            _ => {
                let rows: Vec<u32> = parts.into_iter().flatten().map(|r| r as u32).collect();
                cells = cells.iter().map(|cells| cells.take(&rows)).collect::<Result<_>>()?;
                0
            }
        };
        let slices = (0..rows).step_by(READ_ROWS).map(|from| {
            let rows = READ_ROWS.min(rows - from);
            let slice = |cells: &StagedCells| cells.slice(first + from, rows);
            CellBatch { rows, columns: cells.iter().map(slice).collect() }
        });
        Ok(slices.collect())
    }

    /// The row behind a batch's last one.
    fn end(&self, batch: usize) -> u64 {
        self.marks.get(batch + 1).map_or(self.rows, |next| next.first)
    }

    fn columns(
        &self,
        file: &BackupFile,
        batch: usize,
        rows: usize,
        wanted: &[usize],
    ) -> Result<Vec<StagedCells>> {
        let mut at = self.marks[batch].at;
        let read = |bytes: &mut [u8], at| {
            file.read_exact_at(bytes, at).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => damaged(),
                _ => e.into(),
            })
        };
        let mut heads = vec![0; HEAD * self.columns];
        read(&mut heads, at)?;
        at += heads.len() as u64;
        let columns = heads.as_chunks::<HEAD>().0.iter().map(|head| {
            let (head, crc) = Head::of(*head);
            let parts = Parts::of(rows, head.values as usize, head.nulls != 0, head.tag == 0);
            let begin = at;
            at += parts.end as u64;
            (begin, parts, head, crc)
        });
        let columns: Vec<_> = columns.collect();
        if at != self.marks.get(batch + 1).map_or(self.bytes, |next| next.at) {
            return Err(damaged());
        }
        let cells = wanted.iter().map(|column| {
            let (at, parts, head, crc) = &columns[*column];
            let (values, tag) = (head.values as usize, Tag::of(head.tag));
            let mut bytes = MutableBuffer::from_len_zeroed(parts.values + values);
            read(&mut bytes, *at)?;
            let mut found = head.crc();
            found.update(&bytes);
            if found.sum() != *crc {
                return Err(damaged());
            }
            let bytes: Buffer = bytes.into();
            let offsets = OffsetBuffer::new(ScalarBuffer::new(bytes.clone(), 0, rows + 1));
            let nulls = (parts.nulls < parts.tags)
                .then(|| NullBuffer::new(BooleanBuffer::new(bytes.clone(), 8 * parts.nulls, rows)));
            let tags = match tag {
                Some(tag) => Tags::All(tag),
                None => Tags::Each(bytes.slice_with_length(parts.tags, rows)),
            };
            let values = bytes.slice_with_length(parts.values, values);
            Ok(StagedCells::new(BinaryArray::try_new(offsets, values, nulls)?, tags))
        });
        cells.collect()
    }
}

fn damaged() -> Error {
    Error::damaged("what was kept of the backup is not what was read of it")
        .hint("restorekit cache --clear, then run the same command again")
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use proptest::prelude::*;

    use super::*;
    use crate::backup::text::stage::sink::Sink;

    type Cell = Option<(Tag, Vec<u8>)>;

    fn read(staged: &crate::backup::text::Staged, ranges: &[Range<u64>]) -> Vec<Vec<Cell>> {
        let file = BackupFile::open(&staged.path, None).unwrap();
        let mut found = vec![Vec::new(); 2];
        // The second column first.
        for batch in staged.store.read(&file, vec![1, 0], ranges) {
            let batch = batch.unwrap();
            for (column, cells) in [1, 0].into_iter().zip(batch.columns) {
                assert_eq!(cells.len(), batch.rows);
                let value = |row| cells.bytes().is_valid(row).then(|| cells.bytes().value(row));
                let cell = |row| value(row).map(|v| (cells.tag(row).unwrap(), v.to_vec()));
                found[column].extend((0..cells.len()).map(cell));
            }
        }
        found
    }

    proptest! {
        #[test]
        fn cells_come_back_by_any_ranges(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of((
                prop::sample::select(vec![Tag::OwnText, Tag::Digits]),
                prop::collection::vec(any::<u8>(), 0..9),
            )), 2), 0..40),
            one_tag in any::<bool>(),
            parks in prop::collection::vec(any::<bool>(), 40),
            cuts in prop::collection::btree_set(0_u64..41, 0..6),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sink = Sink::new(folder.path(), vec!["a".into(), "b".into()]).unwrap();
            let mut expected: Vec<Vec<Cell>> = vec![Vec::new(); 2];
            for (row, park) in rows.iter().zip(parks) {
                for (column, cell) in row.iter().enumerate() {
                    let tag = |tag: Tag| if one_tag { Tag::OwnText } else { tag };
                    let cell = cell.clone().map(|(given, bytes)| (tag(given), bytes));
                    sink.batch.begin_cell(column);
                    let cells = &mut sink.batch.columns[column];
                    // What is left of a cell that is NULL after all is dropped.
                    cells.values.extend(cell.as_ref().map_or(&b"left"[..], |(_, bytes)| bytes));
                    cells.end_cell(cell.as_ref().map(|(tag, _)| *tag));
                    expected[column].push(cell);
                }
                sink.end_row().unwrap();
                if park {
                    sink.park().unwrap();
                }
            }
            let staged = sink.finish().unwrap();
            prop_assert_eq!(staged.rows, rows.len() as u64);
            let all = 0..staged.rows;
            prop_assert_eq!(&read(&staged, std::slice::from_ref(&all)), &expected);
            let cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(staged.rows)).collect();
            let ranges: Vec<Range<u64>> = cuts.chunks_exact(2).map(|c| c[0]..c[1]).collect();
            let part = |cells: &Vec<Cell>| -> Vec<Cell> {
                let parts = ranges.iter().map(|r| &cells[r.start as usize..r.end as usize]);
                parts.flatten().cloned().collect()
            };
            prop_assert_eq!(read(&staged, &ranges), expected.iter().map(part).collect::<Vec<_>>());
        }
    }
}
