//! Page checksums, which parquet 59 checks but does not write.
//!
//! A page's header is a Thrift struct in the compact protocol (Parquet format,
//! `parquet.thrift`, "struct PageHeader"; Thrift, "Compact protocol encoding"). Its first
//! fields are 32-bit integers with a field header of `0x15` (one past the field before,
//! type 5), then comes one struct:
//!
//! ```text
//! 15 type  15 uncompressed size  15 compressed size  [15 crc]  dC ..  00
//!                                                    ^ field 4  └ field 3+d, 4+d with the crc
//! ```
//!
//! The crc is the CRC-32 of gzip over the page's bytes as they stand in the file, without
//! the header (Parquet format, "Checksumming"). Pages reach the writer's [`PageStore`] as
//! header and body, so the field is slipped in there; the sizes and offsets that the
//! column's metadata counted without it are put right by [`Pages::finish`].

use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Crc;
use parquet::column::page_store::{PageKey, PageStore, PageStoreArgs, PageStoreFactory};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};

/// The pages of one column chunk, with checksums.
#[derive(Default)]
pub(super) struct Pages {
    dictionary: Option<Page>,
    data: Vec<Page>,
    header: Option<Bytes>,
}

struct Page {
    header: Vec<u8>,
    body: Bytes,
    grown: usize,
}

impl Page {
    fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

/// Gives each column of a row group its pages, and keeps a handle to them.
#[derive(Default)]
pub(super) struct Store(Mutex<Vec<Arc<Mutex<Pages>>>>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// The pages of the columns that were created since the last call, in their order.
    pub(super) fn created(&self) -> Vec<Arc<Mutex<Pages>>> {
        self.0.lock().map(|mut pages| std::mem::take(&mut *pages)).unwrap_or_default()
    }
}

impl PageStoreFactory for Store {
    fn create(&self, _args: &PageStoreArgs<'_>) -> Result<Box<dyn PageStore>> {
        let pages = Arc::new(Mutex::new(Pages::default()));
        self.0.lock().map_err(|_| poisoned())?.push(pages.clone());
        Ok(Box::new(Column { pages, blobs: 0 }))
    }
}

struct Column {
    pages: Arc<Mutex<Pages>>,
    blobs: u64,
}

impl PageStore for Column {
    fn put(&mut self, value: Bytes) -> Result<PageKey> {
        let mut pages = self.pages.lock().map_err(|_| poisoned())?;
        match pages.header.take() {
            None => pages.header = Some(value),
            Some(header) => pages.push(&header, value)?,
        }
        self.blobs += 1;
        Ok(PageKey::new(self.blobs))
    }

    fn take(&mut self, _key: PageKey) -> Result<Bytes> {
        Err(ParquetError::General("the pages are taken by their handle".into()))
    }

    fn memory_size(&self) -> usize {
        self.pages.lock().map(|p| p.data.iter().map(Page::len).sum()).unwrap_or(0)
    }
}

impl Pages {
    fn push(&mut self, header: &[u8], body: Bytes) -> Result<()> {
        let mut crc = Crc::new();
        crc.update(&body);
        let (with_crc, is_dictionary) = insert_crc(header, crc.sum())
            .ok_or_else(|| ParquetError::General("a page header of an unknown form".into()))?;
        let page = Page { grown: with_crc.len() - header.len(), header: with_crc, body };
        if is_dictionary {
            self.dictionary = Some(page);
        } else {
            self.data.push(page);
        }
        Ok(())
    }

    /// The column chunk's bytes, dictionary first, and its metadata with the sizes and
    /// offsets that these bytes have.
    pub(super) fn finish(
        &mut self,
        mut close: ColumnCloseResult,
    ) -> Result<(Bytes, ColumnCloseResult)> {
        let dictionary = self.dictionary.take();
        let data = std::mem::take(&mut self.data);
        let dictionary_len = dictionary.as_ref().map(Page::len);
        let pages = || dictionary.iter().chain(&data);
        let grown: usize = pages().map(|p| p.grown).sum();
        let mut bytes = Vec::with_capacity(pages().map(Page::len).sum());
        for page in pages() {
            bytes.extend_from_slice(&page.header);
            bytes.extend_from_slice(&page.body);
        }
        if let Some(index) = close.offset_index.as_mut() {
            if index.page_locations.len() != data.len() {
                return Err(ParquetError::General("the page index misses a page".into()));
            }
            let mut offset = dictionary_len.unwrap_or(0);
            for (location, page) in index.page_locations.iter_mut().zip(&data) {
                location.offset = offset as i64;
                location.compressed_page_size = i32::try_from(page.len())
                    .map_err(|_| ParquetError::General("a page is too large".into()))?;
                offset += page.len();
            }
        }
        let compressed = close.metadata.compressed_size() + grown as i64;
        let uncompressed = close.metadata.uncompressed_size() + grown as i64;
        if compressed != bytes.len() as i64 {
            return Err(ParquetError::General("a column chunk's size is not its pages'".into()));
        }
        close.bytes_written += grown as u64;
        close.metadata = close
            .metadata
            .into_builder()
            .set_total_compressed_size(compressed)
            .set_total_uncompressed_size(uncompressed)
            .set_dictionary_page_offset(dictionary_len.map(|_| 0))
            .set_data_page_offset(dictionary_len.unwrap_or(0) as i64)
            .build()?;
        Ok((Bytes::from(bytes), close))
    }
}

/// The header with the field `crc`, and whether it is a dictionary's; `None` for a header
/// of another form than the module's documentation draws.
fn insert_crc(header: &[u8], crc: u32) -> Option<(Vec<u8>, bool)> {
    const INT: u8 = 0x15;
    const STRUCT: u8 = 0x0c;
    let mut at = 0;
    let mut page_type = 0;
    for field in 0..3 {
        if *header.get(at)? != INT {
            return None;
        }
        let start = at + 1;
        let length = header.get(start..)?.iter().position(|b| b & 0x80 == 0)? + 1;
        if field == 0 {
            page_type = header[start];
        }
        at = start + length;
    }
    let next = *header.get(at)?;
    let delta = next >> 4;
    if next & 0x0f != STRUCT || delta < 2 {
        return None;
    }
    let mut out = Vec::with_capacity(header.len() + 6);
    out.extend_from_slice(&header[..at]);
    out.push(INT);
    let signed = crc as i32;
    let mut zigzag = ((signed << 1) ^ (signed >> 31)) as u32;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
    out.push((delta - 1) << 4 | STRUCT);
    out.extend_from_slice(&header[at + 1..]);
    // PageType: DATA_PAGE 0, DICTIONARY_PAGE 2, DATA_PAGE_V2 3, in zigzag twice that
    match page_type {
        0 | 6 => Some((out, false)),
        4 => Some((out, true)),
        _ => None,
    }
}

fn poisoned() -> ParquetError {
    ParquetError::General("another column failed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_slipped_in_as_field_4() {
        let header = [0x15, 0x04, 0x15, 0x80, 0x01, 0x15, 0x02, 0x4c, 0x15, 0x02, 0x00, 0x00];
        let (out, is_dictionary) = insert_crc(&header, 1).unwrap();
        assert!(is_dictionary);
        assert_eq!(
            out,
            [0x15, 4, 0x15, 0x80, 1, 0x15, 2, 0x15, 2, 0x3c, 0x15, 2, 0, 0],
            "1 is 2 in zigzag, and the struct is 3 past field 4"
        );
        let (out, _) = insert_crc(&header, u32::MAX).unwrap();
        assert_eq!(out[8], 1, "-1 is 1 in zigzag");
    }

    #[test]
    fn an_unknown_header_is_refused() {
        for header in [
            &[][..],
            &[0x15, 0x04, 0x15],
            &[0x15, 0, 0x15, 0, 0x15, 0, 0x15, 0, 0x1c],
            &[0x15, 2, 0x15, 0, 0x15, 0, 0x2c],
            &[0x16, 0, 0x15, 0, 0x15, 0, 0x2c],
        ] {
            assert!(insert_crc(header, 7).is_none(), "{header:?}");
        }
    }
}
