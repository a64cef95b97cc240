//! The file of staged cells: batches of columns as they stand in memory, written once and read a few
//! times, on this machine and by this process only.
//!
//! ```text
//! file   := batch*                         where each begins and its first row are kept in memory
//! batch  := head* column*                  one of each a column
//! head   := values u32 | tag u8 | nulls u8 | 0 u16
//!                                          tag 0: each cell has its own; nulls 1: some cell is NULL
//! column := offsets i32 (rows + 1) | bits ((rows + 7) / 8), if some are NULL; 0 is NULL
//!           | tag u8 (rows), if each has its own | values | 0 up to a multiple of 8 bytes
//! ```
//!
//! Numbers are in the machine's own order, so that nothing is done to them but to copy them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use arrow::array::BinaryArray;
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use crate::backup::file::BackupFile;
use crate::backup::text::stage::sink::private_file;
use crate::error::Result;
use crate::fit::cell::Tag;
use crate::fit::cell::staged::{StagedCells, Tags};

/// The bytes of a column's head.
const HEAD: usize = 8;

/// Zeros to pad with.
const PAD: [u8; 8] = [0; 8];

/// Where a batch stands.
#[derive(Clone, Copy, Debug)]
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
            let mut head = [0; HEAD];
            head[..4].copy_from_slice(&values.to_ne_bytes());
            head[4] = column.tag.map_or(0, |tag| tag as u8);
            head[5] = column.nulls.is_some().into();
            self.file.write_all(&head)?;
        }
        self.at += (HEAD * columns.len()) as u64;
        for column in columns {
            let (nulls, each) = (column.nulls.as_ref(), column.tag.is_none());
            let parts = Parts::of(rows, column.values.len(), nulls.is_some(), each);
            self.file.write_all(column.offsets)?;
            if let Some(nulls) = nulls {
                self.file.write_all(&nulls.inner().sliced()[..parts.tags - parts.nulls])?;
            }
            if each {
                self.file.write_all(column.each)?;
            }
            self.file.write_all(column.values)?;
            self.file.write_all(&PAD[..parts.end - parts.values - column.values.len()])?;
            self.at += parts.end as u64;
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
        Ok(Store { rows: self.rows, columns: self.columns, marks: self.marks })
    }
}

/// What is kept of the file in memory.
#[derive(Debug)]
pub(crate) struct Store {
    rows: u64,
    columns: usize,
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
        wanted.into_iter().map(move |(batch, parts)| {
            let all = (self.end(batch) - self.marks[batch].first) as usize;
            let cells = self.columns(file, batch, all, &columns)?;
            let rows: usize = parts.iter().map(ExactSizeIterator::len).sum();
            let columns = match &parts[..] {
                [one] if rows == all || rows > all / 2 => {
                    cells.into_iter().map(|cells| cells.slice(one.start, one.len())).collect()
                }
                _ => {
                    let rows: Vec<u32> = parts.into_iter().flatten().map(|r| r as u32).collect();
                    cells.iter().map(|cells| cells.take(&rows)).collect::<Result<_>>()?
                }
            };
            Ok(CellBatch { rows, columns })
        })
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
        let mut heads = vec![0; HEAD * self.columns];
        file.read_exact_at(&mut heads, at)?;
        at += heads.len() as u64;
        let columns = heads.as_chunks::<HEAD>().0.iter().map(|head| {
            let [a, b, c, d, tag, nulls, ..] = *head;
            let values = u32::from_ne_bytes([a, b, c, d]) as usize;
            let (begin, parts) = (at, Parts::of(rows, values, nulls != 0, tag == 0));
            at += parts.end as u64;
            (begin, parts, values, Tag::of(tag))
        });
        let columns: Vec<_> = columns.collect();
        let cells = wanted.iter().map(|column| {
            let (at, parts, values, tag) = &columns[*column];
            let mut bytes = MutableBuffer::from_len_zeroed(parts.values + values);
            file.read_exact_at(&mut bytes, *at)?;
            let bytes: Buffer = bytes.into();
            let offsets = OffsetBuffer::new(ScalarBuffer::new(bytes.clone(), 0, rows + 1));
            let nulls = (parts.nulls < parts.tags)
                .then(|| NullBuffer::new(BooleanBuffer::new(bytes.clone(), 8 * parts.nulls, rows)));
            let tags = match tag {
                Some(tag) => Tags::All(*tag),
                None => Tags::Each(bytes.slice_with_length(parts.tags, rows)),
            };
            let values = bytes.slice_with_length(parts.values, *values);
            Ok(StagedCells::new(BinaryArray::try_new(offsets, values, nulls)?, tags))
        });
        cells.collect()
    }
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
                    sink.begin_cell(column);
                    let cells = &mut sink.columns[column];
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
