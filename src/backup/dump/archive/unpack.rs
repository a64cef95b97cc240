//! The rows of one table of an archive as text: cut out of their blocks, decompressed, and
//! proved to be whole.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::backup::dump::archive::toc::{Fields, Packed, damaged};
use crate::backup::text::Limits;
use crate::backup::text::decompress::RATIO_FROM;
use crate::error::Error;

/// The chunks of a block of the custom format as one stream.
///
/// ```text
/// length int, bytes    ..    0 int
/// ```
pub(super) struct Chunks<'f, R> {
    fields: &'f mut Fields<R>,
    left: u64,
    ended: bool,
}

impl<'f, R: Read> Chunks<'f, R> {
    /// The chunks that begin here.
    pub(super) fn new(fields: &'f mut Fields<R>) -> Self {
        Self { fields, left: 0, ended: false }
    }
}

impl<R: Read> Read for Chunks<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let length = self.fields.int().map_err(io::Error::other)?;
            if length == 0 {
                self.ended = true;
                return Ok(0);
            }
            let torn = || io::Error::other(self.fields.damaged("has a block that is none"));
            self.left = u64::try_from(length).map_err(|_| torn())?;
        }
        let read = self.fields.reader.by_ref().take(self.left).read(buffer)?;
        if read == 0 {
            return Err(io::Error::other(self.fields.damaged("ends within a block")));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Decompressed rows, within their limits. Their end is good only when it is that of what
/// they are compressed in.
pub(super) struct Unpacked<R: Read> {
    decoder: Decoder<R>,
    taken: Rc<Cell<Taken>>,
    expanded: u64,
    limits: Limits,
    file: String,
}

enum Decoder<R: Read> {
    None(Counted<R>),
    Zlib(Box<flate2::read::ZlibDecoder<Counted<R>>>),
    Lz4(Box<lz4_flex::frame::FrameDecoder<Counted<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, io::BufReader<Counted<R>>>>),
}

/// What was taken of the compressed bytes.
#[derive(Clone, Copy, Default)]
struct Taken {
    count: u64,
    /// The fifth byte: an LZ4 frame's flags.
    flags: u8,
    last: [u8; 8],
}

impl<R: Read> Unpacked<R> {
    /// The rows that `packed` bytes hold; errors name `file`.
    pub(super) fn new(
        reader: R,
        packed: Packed,
        limits: Limits,
        file: String,
    ) -> Result<Self, Error> {
        let taken = Rc::new(Cell::new(Taken::default()));
        let reader = Counted { reader, taken: Rc::clone(&taken) };
        let decoder = match packed {
            Packed::None => Decoder::None(reader),
            Packed::Zlib => Decoder::Zlib(Box::new(flate2::read::ZlibDecoder::new(reader))),
            Packed::Lz4 => Decoder::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(reader))),
            Packed::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(reader)?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { decoder, taken, expanded: 0, limits, file })
    }

    fn check(&self) -> Result<(), Error> {
        let ratio = self.expanded / self.taken.get().count.max(1);
        let limits = &self.limits;
        if self.expanded > limits.max_expanded_bytes
            || (self.expanded > RATIO_FROM && ratio > limits.max_ratio)
        {
            return Err(Error::refused(format!(
                "the archive {} expands to more than {} bytes, or {} times its size",
                self.file, limits.max_expanded_bytes, limits.max_ratio
            ))
            .hint("if it is no bomb, name the size it may have: --max-expanded-bytes N"));
        }
        Ok(())
    }

    /// An LZ4 decoder takes the end of its bytes for the end of a frame.
    fn frame_ended(&self) -> bool {
        let Taken { count, flags, last } = self.taken.get();
        let has_checksum = flags & 4 != 0;
        count == 0 || if has_checksum { last[..4] == [0; 4] } else { last[4..] == [0; 4] }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::None(reader) => reader.read(buffer),
            Decoder::Zlib(decoder) => decoder.read(buffer),
            Decoder::Lz4(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        };
        match read {
            Ok(0) if !buffer.is_empty() => {
                if matches!(self.decoder, Decoder::Lz4(_)) && !self.frame_ended() {
                    return Err(io::Error::other(damaged(&self.file, "ends within a frame")));
                }
                Ok(0)
            }
            Ok(n) => {
                self.expanded += n as u64;
                self.check().map_err(io::Error::other)?;
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => Err(io::Error::other(match e.downcast::<Error>() {
                Ok(ours) => ours,
                Err(other) => {
                    damaged(&self.file, "holds rows that can't be decompressed").because(other)
                }
            })),
        }
    }
}

/// Bytes that are counted as they are taken.
struct Counted<R> {
    reader: R,
    taken: Rc<Cell<Taken>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let mut taken = self.taken.get();
        let fifth = 4_u64.checked_sub(taken.count).and_then(|at| buffer[..read].get(at as usize));
        if let Some(flags) = fifth {
            taken.flags = *flags;
        }
        for byte in &buffer[read.saturating_sub(8)..read] {
            taken.last.rotate_left(1);
            taken.last[7] = *byte;
        }
        taken.count += read as u64;
        self.taken.set(taken);
        Ok(read)
    }
}
