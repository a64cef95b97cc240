//! What `COPY .. TO STDOUT (FORMAT binary)` sends, taken apart (PostgreSQL documentation, COPY,
//! "Binary Format"): a signature, flags and an extension, then tuples, each a count of fields and
//! the fields, a length and so many bytes, -1 for NULL; a count of -1 at the end.

use crate::error::{Error, Result};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The fields of one tuple.
#[derive(Debug)]
pub(crate) struct Tuple<'a> {
    bytes: &'a [u8],
    fields: &'a [Option<(usize, usize)>],
}

impl<'a> Tuple<'a> {
    /// The bytes of a field; `None` for NULL.
    pub(crate) fn field(&self, at: usize) -> Option<&'a [u8]> {
        let (start, end) = (*self.fields.get(at)?)?;
        self.bytes.get(start..end)
    }

    /// The bytes of all fields.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Takes a stream apart, wherever its chunks end.
#[derive(Debug, Default)]
pub(crate) struct Tuples {
    /// What came of a tuple that is not whole yet.
    pending: Vec<u8>,
    fields: Vec<Option<(usize, usize)>>,
    begun: bool,
    ended: bool,
}

impl Tuples {
    /// Takes a chunk and hands on the tuples that are whole, until `each` says `false`.
    pub(crate) fn read(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(&Tuple<'_>) -> Result<bool>,
    ) -> Result<bool> {
        // The server sends a tuple a message: nearly always nothing is pending.
        if self.pending.is_empty() {
            let taken = self.take(chunk, each)?;
            let Some(taken) = taken else { return Ok(false) };
            self.pending.extend_from_slice(&chunk[taken..]);
            return Ok(true);
        }
        let mut bytes = std::mem::take(&mut self.pending);
        bytes.extend_from_slice(chunk);
        let Some(taken) = self.take(&bytes, each)? else { return Ok(false) };
        bytes.drain(..taken);
        self.pending = bytes;
        Ok(true)
    }

    /// Nothing is left over, and the end was marked.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.ended && self.pending.is_empty() { Ok(()) } else { Err(torn()) }
    }

    /// The number of bytes that were taken; `None` when `each` wants no more.
    fn take(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&Tuple<'_>) -> Result<bool>,
    ) -> Result<Option<usize>> {
        let mut at = 0;
        if !self.begun {
            let Some(extension) = int(bytes, SIGNATURE.len() + 4) else { return Ok(Some(0)) };
            let end = SIGNATURE.len() + 8 + usize::try_from(extension).map_err(|_| torn())?;
            if !bytes.starts_with(SIGNATURE) {
                return Err(torn());
            }
            if bytes.len() < end {
                return Ok(Some(0));
            }
            (self.begun, at) = (true, end);
        }
        loop {
            let rest = &bytes[at..];
            let Some(count) = rest.first_chunk().map(|two| i16::from_be_bytes(*two)) else {
                return Ok(Some(at));
            };
            if self.ended {
                return Err(torn());
            }
            if count == -1 {
                self.ended = true;
                at += 2;
                continue;
            }
            if count < 0 {
                return Err(torn());
            }
            self.fields.clear();
            let mut end = 2;
            for _ in 0..count {
                let Some(length) = int(rest, end) else { return Ok(Some(at)) };
                end += 4;
                self.fields.push(match usize::try_from(length) {
                    Ok(length) => {
                        end += length;
                        Some((end - length, end))
                    }
                    Err(_) => None,
                });
            }
            let Some(tuple) = rest.get(..end) else { return Ok(Some(at)) };
            at += end;
            if !each(&Tuple { bytes: tuple, fields: &self.fields })? {
                return Ok(None);
            }
        }
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn torn() -> Error {
    Error::failed("the server's copy of rows is not of its binary format")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<u8> {
        let mut bytes = [SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 2, 9, 9]].concat();
        bytes.extend([0, 2, 0, 0, 0, 3, b'a', b'b', b'c', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0, 2, 0, 0, 0, 0, 0, 0, 0, 1, b'd']);
        bytes.extend([0xff, 0xff]);
        bytes
    }

    fn taken(chunks: &[&[u8]]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut tuples = Tuples::default();
        for chunk in chunks {
            tuples.read(chunk, &mut |tuple| {
                let word = |at| tuple.field(at).map(String::from_utf8_lossy);
                found.push(format!("{:?} {:?}", word(0), word(1)));
                Ok(true)
            })?;
        }
        tuples.finish()?;
        Ok(found)
    }

    #[test]
    fn tuples_come_whole_wherever_a_chunk_ends() {
        let bytes = sent();
        let expected = ["Some(\"abc\") None", "Some(\"\") Some(\"d\")"];
        assert_eq!(taken(&[&bytes]).unwrap(), expected);
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(taken(&[a, b]).unwrap(), expected, "{cut}");
            assert!(taken(&[a]).is_err(), "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(taken(&single).unwrap(), expected);
    }

    #[test]
    fn what_follows_the_end_is_an_error() {
        let more = [sent(), vec![0, 0]].concat();
        assert!(taken(&[&more]).is_err());
        let negative = [&sent()[..21], &[0xff, 0xfe], &sent()[21..]].concat();
        assert!(taken(&[&negative]).is_err());
        assert!(taken(&[b"PGCOPY\n\xff\r\n\x01\0\0\0\0\0\0\0\0"]).is_err());
    }
}
