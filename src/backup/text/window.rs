//! The part of a text stream that a record reader looks at: it grows until a whole record
//! stands in it, and knows the line of each of its bytes.

use std::io::{self, Read};

use crate::backup::text::decompress::TextReader;
use crate::error::{Error, Result};

/// The longest record that is read, in bytes: it stands in memory as a whole.
pub(crate) const MAX_RECORD: usize = 256 << 20;

/// How much is read at once, where records are shorter than that.
const CHUNK: usize = 1 << 20;

/// Why a record could not be cut out of the bytes that are there.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It goes on behind them.
    More,
    /// It is malformed, at this byte.
    Bad(usize, String),
}

impl Stop {
    /// A malformed record.
    pub(crate) fn bad<T>(at: usize, what: impl Into<String>) -> Result<T, Self> {
        Err(Stop::Bad(at, what.into()))
    }
}

/// A growing view of a stream.
pub(crate) struct Window<R> {
    reader: R,
    file: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    finished: bool,
    /// Line feeds before the buffer.
    lines: u64,
}

impl<R: Read> Window<R> {
    /// A view of `reader`, whose errors name `file`.
    pub(crate) fn new(reader: R, file: String) -> Self {
        let buffer = vec![0; CHUNK];
        Self { reader, file, buffer, start: 0, end: 0, finished: false, lines: 0 }
    }

    /// The bytes that are there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The file, as errors name it.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// True when no byte comes behind those that are there.
    pub(crate) fn finished(&self) -> bool {
        self.finished
    }

    /// Leaves the first `n` bytes behind.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
    }

    /// Reads on; false when nothing more came.
    pub(crate) fn grow(&mut self) -> Result<bool> {
        if self.finished {
            return Ok(false);
        }
        if self.start > 0 {
            self.lines += line_feeds(&self.buffer[..self.start]);
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            if self.end >= MAX_RECORD {
                let what = format!("begins a row of more than {} MiB", MAX_RECORD >> 20);
                return Err(Error::refused(format!("{} line {} {what}", self.file, self.line(0))));
            }
            self.buffer.resize(2 * self.end, 0);
        }
        // To the brim, so that a record that needs n bytes is looked at log n times.
        let before = self.end;
        while self.end < self.buffer.len() && !self.finished {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(n) => {
                    self.end += n;
                    self.finished = n == 0;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TextReader::error(e)),
            }
        }
        Ok(self.end > before)
    }

    /// What `look` finds at the start of the bytes, however many it needs. It gets the bytes
    /// that are there and whether none comes behind. Errors call it `what`.
    pub(crate) fn find<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&[u8], bool) -> Result<T, Stop>,
    ) -> Result<T> {
        loop {
            match look(self.bytes(), self.finished) {
                Ok(found) => return Ok(found),
                Err(Stop::Bad(at, found)) => return Err(self.damaged(at, found)),
                Err(Stop::More) if self.finished => return Err(self.cut(what)),
                Err(Stop::More) => {
                    self.grow()?;
                }
            }
        }
    }

    /// The line of byte `at`, counted from 1.
    pub(crate) fn line(&self, at: usize) -> u64 {
        let upto = (self.start + at).min(self.end);
        self.lines + line_feeds(&self.buffer[..upto]) + 1
    }

    /// The error for what stands at byte `at`.
    pub(crate) fn damaged(&self, at: usize, what: impl AsRef<str>) -> Error {
        Error::damaged(format!("{} line {}: {}", self.file, self.line(at), what.as_ref()))
    }

    /// The error for a file that ends within a record.
    pub(crate) fn cut(&self, what: &str) -> Error {
        Error::damaged(format!(
            "{} ends within {what} that begins on line {}: the backup is incomplete, so nothing \
             of it is used",
            self.file,
            self.line(0)
        ))
        .hint("fetch the file again, or take an older backup")
    }

    /// Reads the stream's first bytes and leaves a UTF-8 byte order mark behind. UTF-16 is
    /// refused.
    pub(crate) fn begin(&mut self) -> Result<()> {
        while self.bytes().len() < 4 && self.grow()? {}
        match self.bytes() {
            [0xef, 0xbb, 0xbf, ..] => self.consume(3),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(Error::failed(format!("{} is UTF-16 text, not UTF-8", self.file))
                    .hint("convert it: iconv -f UTF-16 -t UTF-8"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn line_feeds(bytes: &[u8]) -> u64 {
    // Counted in short runs, whose sums of bytes the compiler makes vectors of.
    bytes
        .chunks(255)
        .map(|run| u64::from(run.iter().fold(0u8, |n, byte| n + u8::from(*byte == b'\n'))))
        .sum()
}
