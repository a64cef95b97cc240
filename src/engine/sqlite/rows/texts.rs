//! A column of texts under construction.
//!
//! Bytes are taken as they come, and looked at once for all rows whether they are UTF-8: a look
//! at each text by itself costs three times as much.

use std::str::from_utf8;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{StringArray, StringBuilder};
use arrow::buffer::{Buffer, OffsetBuffer};

/// The texts so far.
#[derive(Debug)]
pub(super) struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    valid: NullBufferBuilder,
}

/// A text that is no UTF-8, by its row.
pub(super) type Malformed = (usize, Vec<u8>);

impl Texts {
    /// None yet, with room for so many rows and bytes.
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(bytes), valid: NullBufferBuilder::new(rows) }
    }

    /// Appends a text. A batch has some MiB when its last row comes, and SQLite's values have at
    /// most 10^9 bytes ("Limits In SQLite"), so that 31 bits are enough.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(self.bytes.len() as i32);
        self.valid.append_non_null();
    }

    /// Appends a NULL.
    #[inline]
    pub(super) fn push_null(&mut self) {
        self.offsets.push(self.bytes.len() as i32);
        self.valid.append_null();
    }

    /// The bytes so far.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The array; texts that are no UTF-8 are NULL in it, and given by themselves in the order of
    /// their rows.
    pub(super) fn finish(mut self) -> (StringArray, Vec<Malformed>) {
        let offsets = OffsetBuffer::new(self.offsets.into());
        let (bytes, nulls) = (Buffer::from_vec(self.bytes), self.valid.finish());
        // Also an error where a text ends within a character that the next one ends.
        if let Ok(array) = StringArray::try_new(offsets.clone(), bytes.clone(), nulls.clone()) {
            return (array, Vec::new());
        }
        let mut array = StringBuilder::with_capacity(offsets.len(), bytes.len());
        let mut malformed = Vec::new();
        for (row, range) in offsets.windows(2).enumerate() {
            let text = &bytes[range[0] as usize..range[1] as usize];
            match from_utf8(text) {
                _ if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) => array.append_null(),
                Ok(text) => array.append_value(text),
                Err(_) => {
                    array.append_null();
                    malformed.push((row, text.to_vec()));
                }
            }
        }
        (array.finish(), malformed)
    }
}
