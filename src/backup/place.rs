//! Where a backup is, and what it is packed in: the one place through which a location becomes a
//! path that the formats read.
//!
//! ```text
//! dump.sql.gz                    text, compressed: its readers decompress it on the way
//! app.db.xz  t.parquet.gz        what must be read by position: unpacked
//! dump.sql.gz.age                encrypted: decrypted, still compressed
//! all.tar.gz   all.tar.gz!a/b    a tar: all of it, or one member or folder of it
//! -                              a stream, kept first ([`input`])
//! s3://..  gs://..  az://..  https://..      in a store ([`remote`]): what is needed of it ([`mirror`])
//! ```
//!
//! Layers are taken off from the outside in, told by their first bytes. What can't be read on the
//! way is unpacked into a private folder (0700, below `TMPDIR`) that goes with the source; in
//! errors and on screens its files are called `outer!inner`. Every layer is read to its end,
//! since that is where its checksum is.

mod archive;
mod crypt;
mod input;
mod kept;
mod members;
mod mirror;
mod remote;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use tempfile::TempDir;

use crate::backup::detect::{self, BackupSpec};
use crate::backup::file::file_name;
use crate::backup::guard::blocking;
use crate::backup::place::remote::Remote;
use crate::backup::sqlite;
use crate::backup::text::decompress::TextReader;
use crate::backup::text::stage::sink::{private_file, private_folder};
use crate::backup::text::{Compression, Limits};
use crate::error::{Error, Result};
use crate::registry::first_bytes;

pub use input::{Input, STREAM};
pub(in crate::backup) use kept::Kept;
pub use mirror::Mirror;
pub use remote::{Object, Variables, is_remote};

/// What opens an encrypted backup.
#[derive(Clone, Debug, Default)]
pub struct Unlock {
    /// age identities: the path of a file of them, or one itself (`AGE-SECRET-KEY-1..`).
    pub identity: Option<SecretString>,
    /// The passphrase of a backup that was encrypted with one.
    pub passphrase: Option<SecretString>,
}

/// What a backup is reached for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backup) enum Purpose {
    /// Its rows.
    Read,
    /// What it is.
    Look,
}

/// The most layers that are taken off.
const LAYERS: usize = 8;

/// How much of a layer is looked at: a tar's first record.
const HEAD: u64 = 512;

/// The private folder of a backup that was unpacked; it goes when this is dropped.
#[derive(Debug)]
pub(in crate::backup) struct Private {
    folder: TempDir,
    /// The location that was named, without the member.
    outer: String,
}

impl Private {
    fn new(outer: String) -> Result<Self> {
        let place = tempfile::env::temp_dir();
        let folder = private_folder(&place).map_err(|e| unwritable(&place, e))?;
        Ok(Self { folder, outer })
    }

    /// The new folder of one layer.
    fn layer(&self, number: usize) -> Result<PathBuf> {
        let path = self.folder.path().join(number.to_string());
        fs::create_dir(&path).map_err(|e| unwritable(&path, e))?;
        Ok(path)
    }

    /// A text in which the private folder is called what it was made of.
    pub(in crate::backup) fn told(&self, text: &str) -> String {
        let private = self.folder.path().display().to_string();
        let mut told = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(&private) {
            told.push_str(&rest[..at]);
            told.push_str(&self.outer);
            rest = &rest[at + private.len()..];
            // The number of the layer.
            let layer = rest.strip_prefix('/').unwrap_or(rest);
            rest = layer.trim_start_matches(|c: char| c.is_ascii_digit());
            if let Some(below) = layer.strip_prefix("0/") {
                // What was brought from a store lies there under the last part of its name.
                let parent = self.outer.trim_end_matches('/').rfind('/').unwrap_or_default();
                told.truncate(told.len() - self.outer.len() + parent);
                told.push('/');
                rest = below;
                continue;
            }
            if let Some(inner) = rest.strip_prefix('/') {
                told.push('!');
                rest = inner;
            }
        }
        told.push_str(rest);
        told
    }

    /// An error in those words.
    pub(in crate::backup) fn error(&self, e: Error) -> Error {
        e.reworded(|text| self.told(text))
    }
}

/// A backup whose packings were taken off.
pub(in crate::backup) struct Place {
    /// The backup as it is to be read.
    pub(in crate::backup) spec: BackupSpec,
    /// What it was unpacked into, if it was.
    pub(in crate::backup) private: Option<Arc<Private>>,
}

/// Takes off what the backup is packed in.
///
/// # Errors
/// `Damaged` for a layer that is torn; `Failed` for a key that does not fit; `Refused` beyond
/// the limits, and for a tar whose names climb out of it.
pub(in crate::backup) async fn arrive(spec: &BackupSpec, purpose: Purpose) -> Result<Place> {
    let named = spec.path.to_str().filter(|path| is_remote(path));
    let (spec, private) = match (named, &spec.input) {
        (None, None) => (spec.clone(), None),
        (None, Some(input)) => {
            let private = Private::new(STREAM.to_owned())?;
            let (layer, input, limits) = (private.layer(LAYERS + 1)?, input.clone(), spec.limits());
            let table = match spec.tables.as_slice() {
                [one] => one.clone(),
                _ => "stdin".to_owned(),
            };
            let kept = blocking(&spec.path, move || input.keep(&layer, &table, limits)).await;
            let path = kept.map_err(|e| private.error(e))?;
            (BackupSpec { path, input: None, ..spec.clone() }, Some(private))
        }
        (Some(url), _) => {
            let remote = Remote::open(url, &spec.stores)?;
            let private = Private::new(remote.shown.clone())?;
            let brought = mirror::bring(remote, spec, &private.layer(0)?, purpose).await;
            (brought.map_err(|e| private.error(e))?, Some(private))
        }
    };
    let path = spec.path.clone();
    blocking(&path, move || unpack(spec, private)).await
}

fn unpack(mut spec: BackupSpec, private: Option<Private>) -> Result<Place> {
    let mut unpacking = Unpacking { spec: &spec, member: spec.member.clone(), private };
    let arrived = unpacking.peel();
    let Unpacking { private, member, .. } = unpacking;
    let path = match (arrived, &private) {
        (Ok(path), _) => path,
        (Err(e), Some(private)) => return Err(private.error(e)),
        (Err(e), None) => return Err(e),
    };
    if let Some(member) = member {
        return Err(Error::usage(format!(
            "{} is no tar, so it has no member {member}",
            spec.path.display()
        )));
    }
    spec.path = path;
    if private.is_some() {
        // What was encrypted must not lie about, and what was unpacked is never met again.
        spec.cache = None;
    }
    Ok(Place { spec, private: private.map(Arc::new) })
}

/// What the first bytes of a layer say.
enum Layer {
    Age,
    Tar,
    /// What mongodump --archive writes.
    Archive,
    /// Compressed, and not to be read as a stream.
    Compressed,
    /// What the formats read.
    None,
}

struct Unpacking<'s> {
    spec: &'s BackupSpec,
    /// The member that is still looked for.
    member: Option<String>,
    private: Option<Private>,
}

impl Unpacking<'_> {
    fn limits(&self) -> Limits {
        self.spec.limits()
    }

    fn peel(&mut self) -> Result<PathBuf> {
        let mut path = self.spec.path.clone();
        for number in 1..=LAYERS {
            // A path that is missing, and what is no file, are the formats' to tell of.
            if !fs::metadata(&path).is_ok_and(|m| m.is_file()) {
                return Ok(path);
            }
            path = match self.layer(&path)? {
                Layer::None => return Ok(path),
                Layer::Age => {
                    let into = self.into(number)?.join(without(&path, "age"));
                    let plain = crypt::open(&path, &self.spec.unlock)?;
                    self.fill(&path, plain, &into)?;
                    into
                }
                Layer::Compressed => {
                    let name = file_name(&path);
                    let name = Compression::split(&name).map_or(name, |(stem, _)| stem);
                    let into = self.into(number)?.join(name);
                    self.fill(&path, TextReader::open(&path, None, self.limits())?, &into)?;
                    into
                }
                Layer::Archive => {
                    let into = self.into(number)?;
                    let reader = TextReader::open(&path, None, self.limits())?;
                    archive::extract(reader, &path, &into, self.limits())?;
                    into
                }
                Layer::Tar => {
                    let into = self.into(number)?;
                    let reader = TextReader::open(&path, None, self.limits())?;
                    let member = self.member.take();
                    let there = members::extract(reader, &path, member.as_deref(), &into)?;
                    inner(self.spec, there)
                }
            };
        }
        Err(Error::refused(format!(
            "{} is packed in more than {LAYERS} layers",
            self.spec.path.display()
        ))
        .hint("unpack it yourself, and name what is in it"))
    }

    fn into(&mut self, number: usize) -> Result<PathBuf> {
        if self.private.is_none() {
            self.private = Some(Private::new(self.spec.path.display().to_string())?);
        }
        let private = self.private.as_ref();
        private.map_or_else(|| Err(Error::failed("no private folder")), |p| p.layer(number))
    }

    /// What the file is packed in.
    fn layer(&self, path: &Path) -> Result<Layer> {
        let head = first_bytes(path, HEAD).unwrap_or_default();
        if crypt::is_encrypted(&head) {
            return Ok(Layer::Age);
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("age")) {
            return Err(Error::damaged(format!(
                "{} is named as age-encrypted, and is not",
                path.display()
            ))
            .hint("a whole file under its right name can be read: check it, or rename it"));
        }
        if Compression::of_bytes(&head) == Compression::None {
            return Ok(match is_tar(&head) {
                true => Layer::Tar,
                false if head.starts_with(&archive::MAGIC) => Layer::Archive,
                false => Layer::None,
            });
        }
        let mut inside = Vec::new();
        let reader = TextReader::open(path, None, self.limits())?;
        reader.take(HEAD).read_to_end(&mut inside).map_err(TextReader::error)?;
        let positioned = [&sqlite::MAGIC[..], b"PAR1"].iter().any(|m| inside.starts_with(m));
        Ok(if is_tar(&inside) {
            Layer::Tar
        } else if inside.starts_with(&archive::MAGIC) {
            Layer::Archive
        } else if positioned
            || crypt::is_encrypted(&inside)
            || Compression::of_bytes(&inside) != Compression::None
        {
            Layer::Compressed
        } else {
            Layer::None
        })
    }

    /// Writes a layer's bytes into a new private file.
    fn fill(&self, path: &Path, mut reader: impl Read, into: &Path) -> Result<()> {
        let file = private_file(into).map_err(|e| unwritable(into, e))?;
        copy(&mut reader, file, path, into)
    }
}

/// Copies to the end; what fails in reading is told of `path`, what fails in writing of `into`.
fn copy(reader: &mut impl Read, mut file: fs::File, path: &Path, into: &Path) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return file.flush().map_err(|e| unwritable(into, e)),
            Ok(read) => file.write_all(&buffer[..read]).map_err(|e| unwritable(into, e))?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                return Err(match e.downcast::<Error>() {
                    Ok(ours) => ours,
                    Err(other) => torn(path, other),
                });
            }
        }
    }
}

/// The error for a packing that is not whole.
fn torn(path: &Path, e: io::Error) -> Error {
    Error::damaged(format!("{} is cut short or damaged, so nothing of it is used", path.display()))
        .because(e)
        .hint("fetch the file again, or take an older backup")
}

fn unwritable(place: &Path, e: io::Error) -> Error {
    Error::failed(format!("the backup could not be unpacked in {}", place.display()))
        .because(e)
        .hint("free some room there, or name a roomier place with TMPDIR")
}

/// A tar, and none that pg_dump makes, which is a format of its own.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar") && !head.starts_with(b"toc.dat\0")
}

/// What is meant by the tree that a tar held: itself where it is a backup, else what is alone in it.
fn inner(spec: &BackupSpec, mut path: PathBuf) -> PathBuf {
    while path.is_dir() {
        let here = BackupSpec { path: path.clone(), member: None, pick: None, ..spec.clone() };
        if detect::recognise(&here).is_ok() {
            break;
        }
        let mut entries = fs::read_dir(&path).into_iter().flatten().flatten();
        match (entries.next(), entries.next()) {
            (Some(only), None) => path = only.path(),
            _ => break,
        }
    }
    path
}

fn without(path: &Path, extension: &str) -> String {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    let name = if named { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default().to_string_lossy().into_owned()
}
