//! A backup's file as a stream of bytes: plain, gzip (RFC 1952), Zstandard (RFC 8878), xz ("The .xz
//! File Format", 1.2.1) or bzip2.
//!
//! A stream ends well only when its source does: every gzip member with its CRC and
//! length, every Zstandard frame whole and with its checksum where it carries one, every stream of xz
//! with its index and check, every block of bzip2 with its CRC. A stream that is
//! cut short or that expands beyond the [`Limits`] is an error of the last read, so a
//! reader that stops before the end has proved nothing.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use crate::error::{Error, Result};

/// How far a compressed file may expand (a few KiB of gzip can hold gigabytes of zeros).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes that a compressed file may expand to.
    pub max_expanded_bytes: u64,
    /// The most bytes per compressed byte, once more than [`RATIO_FROM`] came out.
    pub max_ratio: u64,
}

/// What a file may expand to whatever its ratio: 100 MiB.
pub const RATIO_FROM: u64 = 100 << 20;

impl Default for Limits {
    /// 64 GiB, and 1,000 to 1.
    fn default() -> Self {
        Self { max_expanded_bytes: 64 << 30, max_ratio: 1_000 }
    }
}

impl Limits {
    /// Limits that a person set by naming a size: the ratio then is not looked at.
    pub fn expanded(max_expanded_bytes: u64) -> Self {
        Self { max_expanded_bytes, max_ratio: u64::MAX }
    }

    /// The cap on the size, in words.
    pub(crate) fn expanded_words(&self) -> String {
        format!("{} bytes", self.max_expanded_bytes)
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, any number of members.
    Gzip,
    /// Zstandard, any number of frames.
    Zstd,
    /// xz, any number of streams.
    Xz,
    /// bzip2, any number of streams.
    Bzip2,
}

/// The ends of names that tell how a file is compressed, and what is left of the name without.
const ENDS: [(&str, &str, Compression); 9] = [
    (".gz", "", Compression::Gzip),
    (".tgz", ".tar", Compression::Gzip),
    (".zst", "", Compression::Zstd),
    (".zstd", "", Compression::Zstd),
    (".tzst", ".tar", Compression::Zstd),
    (".xz", "", Compression::Xz),
    (".txz", ".tar", Compression::Xz),
    (".bz2", "", Compression::Bzip2),
    (".tbz2", ".tar", Compression::Bzip2),
];

/// The most memory that an xz stream may ask for: its largest preset takes 65 MiB.
const XZ_MEMORY: u64 = 256 << 20;

impl Compression {
    /// What a file's name says by its end (`.gz`, `.zst`, `.xz`, `.bz2`, `.tgz`, ..), else plain.
    pub fn of_name(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::split(&name).map_or(Compression::None, |(_, compression)| compression)
    }

    /// A name without the end that tells its compression, and that; `None` without such an end.
    pub fn split(name: &str) -> Option<(String, Self)> {
        let lower = name.to_ascii_lowercase();
        let (end, left, compression) =
            ENDS.into_iter().find(|(end, ..)| lower.len() > end.len() && lower.ends_with(end))?;
        let stem = name.get(..name.len() - end.len())?;
        Some((format!("{stem}{left}"), compression))
    }

    /// What a file's first bytes say. No text begins with one of the signs: each has a byte that UTF-8
    /// never has, or a control character. Of BSON, which begins with a length, the third byte of
    /// gzip's, its only method, leaves one length that could be meant.
    pub fn of_bytes(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b] | [0x1f, 0x8b, 8, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
            // A level, and the magic of a block or that of an empty stream's end.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => {
                Compression::Bzip2
            }
            _ => Compression::None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Compression::None => "plain text",
            Compression::Gzip => "gzip",
            Compression::Zstd => "Zstandard",
            Compression::Xz => "xz",
            Compression::Bzip2 => "bzip2",
        }
    }
}

/// Opens a regular file for reading, and nothing else (no FIFO, device or folder).
///
/// A symbolic link is followed when `root` is `None`, since then a person named it. In a
/// folder that a person named, `root`, a link must lead to a file below that folder.
pub fn open_regular(path: &Path, root: Option<&Path>) -> Result<File> {
    let unread = |e: io::Error| {
        Error::failed(format!("the backup file {} can't be read", path.display())).because(e)
    };
    if let Some(root) = root {
        let inside = path.canonicalize().map_err(unread)?;
        if !inside.starts_with(root.canonicalize().map_err(unread)?) {
            return Err(Error::refused(format!(
                "the backup file {} is a link that leads out of its folder, to {}",
                path.display(),
                inside.display()
            ))
            .hint("name the file itself as the backup, if it is the right one"));
        }
    }
    // Looked at before it is opened: to open a FIFO would wait for its writer.
    if !fs::metadata(path).map_err(unread)?.is_file() {
        return Err(not_regular(path));
    }
    let file = File::open(path).map_err(unread)?;
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(not_regular(path));
    }
    Ok(file)
}

/// The error for a file that expands past a cap: `excess` is the cap, in words.
pub(crate) fn too_large(path: &Path, excess: String) -> Error {
    Error::refused(format!("backup file {} expands to more than {excess}", path.display()))
        .hint("raise the cap with --max-expanded-bytes N if the file is trusted")
}

fn not_regular(path: &Path) -> Error {
    Error::refused(format!("{} is no regular file, so it is no backup", path.display()))
}

/// A file's text as a stream. Errors of [`Read`] carry an [`Error`] within;
/// [`TextReader::error`] takes it out.
pub struct TextReader {
    path: PathBuf,
    inner: Inner,
    consumed: Arc<AtomicU64>,
    expanded: u64,
    limits: Limits,
    ended: bool,
}

enum Inner {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<Counted>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Counted>>),
    Xz(Box<XzDecoder<Counted>>),
    Bzip2(Box<MultiBzDecoder<Counted>>),
}

impl std::fmt::Debug for TextReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TextReader {
    /// Opens a file by [`open_regular`]. Its name and its first bytes must agree on how
    /// it is compressed.
    pub fn open(path: &Path, root: Option<&Path>, limits: Limits) -> Result<Self> {
        Self::open_packed(path, root, limits, Compression::of_name(path))
    }

    /// Opens a file that was told to be compressed in this way.
    pub(in crate::backup) fn open_packed(
        path: &Path,
        root: Option<&Path>,
        limits: Limits,
        named: Compression,
    ) -> Result<Self> {
        let mut file = BufReader::with_capacity(64 << 10, open_regular(path, root)?);
        let unread = |e: io::Error| {
            Error::failed(format!("the backup file {} can't be read", path.display())).because(e)
        };
        let start = file.fill_buf().map_err(unread)?;
        let found = Compression::of_bytes(start);
        if named != found {
            let cut = start.len() < 4 && found == Compression::None;
            let by_name = named == Compression::of_name(path);
            return Err(Error::damaged(format!(
                "{} is {} {} but holds {}",
                path.display(),
                if by_name { "named as" } else { "told to be" },
                named.words(),
                if cut { "next to nothing" } else { found.words() }
            ))
            .hint("a whole file under its right name can be read: check it, or rename it"));
        }
        let consumed = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, consumed: Arc::clone(&consumed) };
        let inner = match found {
            Compression::None => Inner::Plain(counted),
            Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(counted))),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(counted).map_err(unread)?;
                Inner::Zstd(Box::new(decoder))
            }
            Compression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)
                    .map_err(|e| unread(e.into()))?;
                Inner::Xz(Box::new(XzDecoder::new_stream(counted, stream)))
            }
            Compression::Bzip2 => Inner::Bzip2(Box::new(MultiBzDecoder::new(counted))),
        };
        Ok(Self { path: path.to_owned(), inner, consumed, expanded: 0, limits, ended: false })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error that a failed read stands for.
    pub fn error(e: io::Error) -> Error {
        match e.downcast::<Error>() {
            Ok(ours) => ours,
            Err(other) => other.into(),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!(
            "{} {what} at byte {}: the backup is incomplete, so nothing of it is used",
            self.path.display(),
            self.consumed.load(Relaxed)
        ))
        .hint("fetch the file again, or take an older backup")
    }

    fn check_limits(&self) -> Result<()> {
        let ratio = self.expanded / self.consumed.load(Relaxed).max(1);
        let excess = if self.expanded > self.limits.max_expanded_bytes {
            self.limits.expanded_words()
        } else if self.expanded > RATIO_FROM && ratio > self.limits.max_ratio {
            format!("{} times its size", self.limits.max_ratio)
        } else {
            return Ok(());
        };
        Err(too_large(&self.path, excess))
    }
}

impl Read for TextReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Not every decoder may be asked again behind its end.
        if self.ended {
            return Ok(0);
        }
        let read = match &mut self.inner {
            Inner::Plain(file) => {
                return file.read(buf).map_err(|e| {
                    let what = format!("the backup file {} can't be read", self.path.display());
                    io::Error::other(Error::failed(what).because(e))
                });
            }
            Inner::Gzip(decoder) => decoder.read(buf),
            Inner::Zstd(decoder) => decoder.read(buf),
            Inner::Xz(decoder) => decoder.read(buf),
            Inner::Bzip2(decoder) => decoder.read(buf),
        };
        match read {
            Ok(n) => {
                self.ended = n == 0 && !buf.is_empty();
                self.expanded += n as u64;
                self.check_limits().map_err(io::Error::other)?;
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                if is_memory_limit(&e) {
                    let what =
                        format!("{} needs more than 256 MiB to decompress", self.path.display());
                    let hint = "compress it again with a smaller dictionary: xz -d, then xz -9";
                    return Err(io::Error::other(Error::refused(what).hint(hint)));
                }
                let cut = e.kind() == io::ErrorKind::UnexpectedEof;
                let what = if cut { "is cut short" } else { "is damaged" };
                Err(io::Error::other(self.damaged(what).because(e)))
            }
        }
    }
}

/// True for an xz stream that asks for more than [`XZ_MEMORY`].
fn is_memory_limit(e: &io::Error) -> bool {
    let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    matches!(inner, Some(liblzma::stream::Error::MemLimit))
}

/// A file's bytes, and how many were taken.
struct Counted {
    file: BufReader<File>,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.consumed.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.consumed.fetch_add(n as u64, Relaxed);
        self.file.consume(n);
    }
}
