//! A backup that comes in on a stream: kept in a private folder, under a name that its first
//! bytes tell, since the formats read files.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::backup::dump::signs;
use crate::backup::place::{archive, copy, crypt, is_tar, unwritable};
use crate::backup::sqlite;
use crate::backup::text::decompress::{TextReader, too_large};
use crate::backup::text::stage::sink::private_file;
use crate::backup::text::{Compression, Limits};
use crate::error::{Error, Result};
use crate::registry::first_bytes;

/// The location that means a stream.
pub const STREAM: &str = "-";

/// How much of it tells what it is.
const HEAD: u64 = 512;

/// A stream that a backup is read from, once.
#[derive(Clone)]
pub struct Input(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input(..)")
    }
}

impl Input {
    /// Over a reader.
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(reader)))))
    }

    /// Writes all of it into `folder`; the file. A single table is called `table`. Blocks.
    pub(super) fn keep(&self, folder: &Path, table: &str, limits: Limits) -> Result<PathBuf> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut reader) = taken else {
            return Err(Error::usage("one stream can't be two backups")
                .hint("write it to a file first, and name that"));
        };
        let path = folder.join(table);
        let file = private_file(&path).map_err(|e| unwritable(&path, e))?;
        let most = limits.max_expanded_bytes;
        copy(&mut (&mut reader).take(most.saturating_add(1)), file, Path::new(STREAM), &path)?;
        if std::fs::metadata(&path).is_ok_and(|kept| kept.len() > most) {
            return Err(too_large(Path::new(STREAM), limits.expanded_words()));
        }
        let renamed = |from: &Path, name: String| {
            let to = folder.join(name);
            std::fs::rename(from, &to).map_err(|e| unwritable(&to, e))?;
            Ok::<_, Error>(to)
        };
        // Names must agree with what is in the files.
        let packed = match Compression::of_bytes(&first_bytes(&path, 16).unwrap_or_default()) {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Xz => ".xz",
            Compression::Bzip2 => ".bz2",
        };
        let path = renamed(&path, format!("{table}{packed}"))?;
        let end = end(&path, limits)?;
        renamed(&path, format!("{table}{end}{packed}"))
    }
}

/// What the name of the file should end with; nothing where its bytes alone say what it is.
fn end(path: &Path, limits: Limits) -> Result<&'static str> {
    let mut head = Vec::new();
    let reader = TextReader::open(path, None, limits)?;
    reader.take(HEAD).read_to_end(&mut head).map_err(TextReader::error)?;
    let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(if head.starts_with(b"PAR1") {
        ".parquet"
    } else if [sqlite::MAGIC, &archive::MAGIC[..]].iter().any(|magic| head.starts_with(magic))
        || is_tar(&head)
        || crypt::is_encrypted(&head)
    {
        ""
    } else if is_bson(&head) {
        ".bson"
    } else if matches!(first, Some(b'{' | b'[')) {
        ".jsonl"
    } else if signs::of_file(path, limits)?.is_some() {
        ""
    } else {
        ".csv"
    })
}

/// True where a length stands, and an element behind it: a text has no NUL there.
fn is_bson(head: &[u8]) -> bool {
    matches!(head, [a, b, 0 | 1, 0, kind, ..] if *kind != 0 && [*a, *b] != [0xff, 0xfe])
}
