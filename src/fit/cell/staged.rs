//! Cells of a text format as they were staged.

use arrow::array::{Array, AsArray, BinaryArray, UInt32Array};
use arrow::buffer::Buffer;
use arrow::compute::take;

use crate::error::Result;
use crate::fit::cell::Tag;

/// Some cells of one column: each one's own bytes, NULL where there is no value, and its tag.
#[derive(Clone, Debug)]
pub struct StagedCells {
    bytes: BinaryArray,
    tags: Tags,
}

/// The tags of cells.
#[derive(Clone, Debug)]
pub enum Tags {
    /// All cells that are not NULL have this one.
    All(Tag),
    /// A byte each.
    Each(Buffer),
}

impl StagedCells {
    /// The cells with these bytes and tags.
    pub fn new(bytes: BinaryArray, tags: Tags) -> Self {
        Self { bytes, tags }
    }

    /// The cells' bytes.
    pub fn bytes(&self) -> &BinaryArray {
        &self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True for no cells.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The tag of a cell that is not NULL; `None` where it has none.
    pub fn tag(&self, row: usize) -> Option<Tag> {
        match &self.tags {
            Tags::All(tag) => Some(*tag),
            Tags::Each(tags) => Tag::of(tags[row]),
        }
    }

    /// The tag that all cells have in common; `None` also where that is not known.
    pub fn common_tag(&self) -> Option<Tag> {
        match &self.tags {
            Tags::All(tag) => Some(*tag),
            Tags::Each(_) => None,
        }
    }

    /// Some of the cells, without copying them.
    pub fn slice(&self, first: usize, count: usize) -> Self {
        let tags = match &self.tags {
            Tags::All(tag) => Tags::All(*tag),
            Tags::Each(tags) => Tags::Each(tags.slice_with_length(first, count)),
        };
        Self { bytes: self.bytes.slice(first, count), tags }
    }

    /// A copy of the cells of these rows.
    pub fn take(&self, rows: &[u32]) -> Result<Self> {
        let tags = match &self.tags {
            Tags::All(tag) => Tags::All(*tag),
            Tags::Each(tags) => {
                let tags: Vec<u8> = rows.iter().map(|row| tags[*row as usize]).collect();
                Tags::Each(tags.into())
            }
        };
        let rows = UInt32Array::from(rows.to_vec());
        Ok(Self { bytes: take(&self.bytes, &rows, None)?.as_binary().clone(), tags })
    }
}

impl<'a> FromIterator<Option<(Tag, &'a [u8])>> for StagedCells {
    fn from_iter<I: IntoIterator<Item = Option<(Tag, &'a [u8])>>>(cells: I) -> Self {
        let mut tags = Vec::new();
        let bytes = cells.into_iter().map(|cell| {
            tags.push(cell.map_or(0, |(tag, _)| tag as u8));
            cell.map(|(_, bytes)| bytes)
        });
        let bytes = bytes.collect();
        let mut known = tags.iter().filter_map(|tag| Tag::of(*tag));
        let first = known.next();
        let tags = match first {
            Some(first) if known.all(|tag| tag == first) => Tags::All(first),
            _ => Tags::Each(tags.into()),
        };
        Self { bytes, tags }
    }
}
