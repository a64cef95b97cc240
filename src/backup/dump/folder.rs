//! A dump of many files: a folder, its files by name, and what is said when one is missing.

use std::io::Read;
use std::path::Path;

use crate::backup::file::unreadable;
use crate::backup::text::decompress::TextReader;
use crate::backup::text::{Compression, Limits};
use crate::error::{Error, Result};

/// A dump in a folder.
pub(super) struct Folder<'f> {
    path: &'f Path,
    limits: Limits,
    /// The names of the files right in it, sorted.
    pub(super) names: Vec<String>,
}

impl<'f> Folder<'f> {
    /// Lists a folder.
    pub(super) fn open(path: &'f Path, limits: Limits) -> Result<Self> {
        Ok(Self { path, limits, names: names(path)? })
    }

    /// True when it has a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Opens a file, and says how it is called in errors.
    pub(super) fn file(&self, name: &str) -> Result<(TextReader, String)> {
        let path = self.path.join(name);
        let reader = TextReader::open(&path, Some(self.path), self.limits)?;
        Ok((reader, path.display().to_string()))
    }

    /// True for a folder in it.
    pub(super) fn is_folder(&self, name: &str) -> bool {
        self.path.join(name).is_dir()
    }

    /// Opens a file that is compressed in this way, whatever its name says; `None`: as it says.
    pub(super) fn packed(
        &self,
        name: &str,
        packed: Option<Compression>,
    ) -> Result<(TextReader, String)> {
        let path = self.path.join(name);
        let packed = packed.unwrap_or_else(|| Compression::of_name(&path));
        let reader = TextReader::open_packed(&path, Some(self.path), self.limits, packed)?;
        Ok((reader, path.display().to_string()))
    }

    /// The first `most` bytes of a file of descriptions.
    pub(super) fn head(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let (reader, _) = self.file(name)?;
        reader.take(most).read_to_end(&mut bytes).map_err(TextReader::error)?;
        Ok(bytes)
    }

    /// The error of a dump that something is wrong with.
    pub(super) fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!("{} {what}: nothing of it is used", self.path.display()))
            .hint("fetch the dump again, or take an older one")
    }

    /// The error of a dump that is whole, and not understood.
    pub(super) fn strange(&self, what: &str) -> Error {
        Error::failed(format!("{} {what}", self.path.display()))
    }
}

/// The names of the files right in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let entry = entry.map_err(|e| unreadable(folder, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
