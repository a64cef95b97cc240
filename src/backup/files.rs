//! A backup of tables in files, a file a table, as a [`Source`].
//!
//! Nothing is read until a table is asked for. What a table needs first (its digest
//! checked, its text staged) is done then, once, on a reading thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::backup::dress::Dress;
use crate::backup::dump::Dump;
use crate::backup::file::{BackupFile, regular};
use crate::backup::guard::{blocking, caught, stream};
use crate::backup::manifest::FileFormat;
use crate::backup::parts::{Part, Parts};
use crate::backup::table::FileTable;
use crate::backup::text::{Limits, TextFile, TextFormat, stage};
use crate::error::{Error, Result};
use crate::fit::notes::{FitNotes, Habit, Tally};
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Column, TableName, TableSchema, scan_schema};
use crate::model::value::hex;
use crate::source::{KeyRange, Scan, Source, Survey};

/// What a table's file is.
#[derive(Clone, Debug)]
pub enum Content {
    /// Parquet of any writer, in one file or several.
    Parquet(Vec<Part>),
    /// CSV or JSON of any writer.
    Text(TextFormat),
    /// A file of a snapshot of ours.
    Own(Box<OwnFile>),
    /// A table among those of an SQL dump.
    Dump(Arc<Dump>),
}

/// A file of a snapshot of ours, by the manifest.
#[derive(Clone, Debug)]
pub struct OwnFile {
    /// What it is.
    pub format: FileFormat,
    /// The table when the snapshot was taken.
    pub schema: TableSchema,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
    /// The file's size.
    pub bytes: u64,
}

/// A table and its file.
#[derive(Clone, Debug)]
pub struct TableFile {
    /// The table.
    pub name: TableName,
    /// The file; the folder, where it is in several.
    pub path: PathBuf,
    /// The folder that no link may lead out of; `None` for a file named by the user.
    pub folder: Option<PathBuf>,
    /// What the file is.
    pub content: Content,
}

impl TableFile {
    /// Opens one of its files, or the object that it stands for.
    fn open(&self, part: &Part) -> Result<BackupFile> {
        match &part.remote {
            Some(object) => Ok(BackupFile::remote(&part.path, Arc::clone(object))),
            None => BackupFile::open(&part.path, self.folder.as_deref()),
        }
    }

    /// The files that it is in, one a table of a dump too.
    fn parts(&self) -> Vec<Part> {
        match &self.content {
            Content::Parquet(parts) => parts.clone(),
            _ => vec![Part::whole(self.path.clone())],
        }
    }

    /// The size of all its files, in bytes.
    pub(crate) fn size(&self) -> Result<u64> {
        let size = |part: Part| regular(&part.path, self.folder.as_deref()).map(|m| m.len());
        self.parts().into_iter().map(size).sum()
    }
}

#[derive(Debug)]
struct Table {
    file: TableFile,
    limits: Limits,
    open: Mutex<Option<Arc<Parts>>>,
}

impl Table {
    /// Opens the table, once: blocks.
    fn open(&self, notes: &FitNotes) -> Result<Arc<Parts>> {
        // Held while it is opened, so that ranges that start together open it once.
        let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(table) = &*open {
            return Ok(table.clone());
        }
        let table = Arc::new(open_table(&self.file, self.limits)?);
        if let Some(staged) = table.staged() {
            let mut tally = Tally::default();
            for column in &staged.columns {
                tally.add(&column.name, Habit::MemberMissing, column.absent as usize);
            }
            notes.record(table.name(), "", &tally);
            notes.say(table.name(), &staged.notes);
        }
        *open = Some(table.clone());
        Ok(table)
    }
}

/// Opens a table's files; blocks. A snapshot of ours is checked against its manifest; a
/// text file is staged.
pub(crate) fn open_table(table: &TableFile, limits: Limits) -> Result<Parts> {
    let name = table.name.clone();
    let folder = table.folder.as_deref();
    let format = match &table.content {
        Content::Parquet(parts) => {
            let open = |part: &Part| {
                let file = table.open(part)?;
                let open = FileTable::open(name.clone(), file, Dress::Foreign, limits)?;
                Ok(open.with(&part.told))
            };
            let parts = parts.iter().map(open).collect::<Result<Vec<_>>>()?;
            same_columns(&parts)?;
            return Parts::of(parts).ok_or_else(|| {
                Error::damaged(format!("{} holds no file of {name}", table.path.display()))
            });
        }
        Content::Text(format) => *format,
        Content::Dump(dump) => {
            let staged = dump.staged(&name)?;
            return Ok(FileTable::open_staged(name, &table.path, staged, limits)?.into());
        }
        Content::Own(own) => {
            let file = BackupFile::open(&table.path, folder)?;
            if file.size() != own.bytes || file.sha256()? != own.sha256 {
                return Err(Error::damaged(format!(
                    "backup file {} is not what its manifest says: its digest differs",
                    table.path.display()
                ))
                .hint("take another snapshot as the backup: this one was changed or is torn"));
            }
            match own.format {
                FileFormat::Parquet => {
                    let dress = Dress::Own(Box::new(own.schema.clone()));
                    return Ok(FileTable::open(name, file, dress, limits)?.into());
                }
                FileFormat::Jsonl => TextFormat::Json { own: true },
            }
        }
    };
    let text = TextFile { path: &table.path, root: folder, format, limits };
    let staged = stage(&text, &tempfile::env::temp_dir())?;
    Ok(FileTable::open_staged(name, &table.path, staged, limits)?.into())
}

/// Refuses a table whose files differ in their columns: which of them rows lack would hang on
/// the order of the files.
fn same_columns(parts: &[FileTable]) -> Result<()> {
    let columns = |part: &FileTable| {
        let plain = part.columns().map(|(name, _)| name.to_owned());
        let mut names: Vec<String> =
            plain.chain(part.nested().into_iter().map(str::to_owned)).collect();
        names.sort();
        names
    };
    let mut parts = parts.iter().filter(|part| part.rows() > 0);
    let Some(first) = parts.next() else { return Ok(()) };
    let wanted = columns(first);
    let Some(other) = parts.find(|part| columns(part) != wanted) else { return Ok(()) };
    let here = columns(other);
    let differ = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|name| !b.contains(name)).cloned().collect()
    };
    let names = [differ(&wanted, &here), differ(&here, &wanted)].concat();
    Err(Error::failed(format!(
        "{} and {} are files of one table, and differ in the columns {}",
        first.file().path().display(),
        other.file().path().display(),
        names.join(", ")
    ))
    .hint("give the files of one kind by their own path"))
}

/// A backup of tables in files.
#[derive(Debug)]
pub struct Files {
    origin: Origin,
    tables: BTreeMap<TableName, Arc<Table>>,
    notes: Arc<FitNotes>,
    /// SHA-256 of the manifest, where there is one.
    manifest: Option<String>,
    digest: OnceCell<String>,
}

impl Files {
    /// A backup of these tables. `manifest` is the SHA-256 of a manifest that names the
    /// digests of all files.
    pub fn new(
        origin: Origin,
        tables: Vec<TableFile>,
        manifest: Option<String>,
        limits: Limits,
    ) -> Self {
        let tables = tables
            .into_iter()
            .map(|file| {
                let table = Table { file, limits, open: Mutex::default() };
                (table.file.name.clone(), Arc::new(table))
            })
            .collect();
        Self { origin, tables, notes: Arc::default(), manifest, digest: OnceCell::new() }
    }

    fn table(&self, name: &TableName) -> Result<Arc<Table>> {
        if let Some(table) = self.tables.get(name) {
            return Ok(table.clone());
        }
        let mut alike = self.tables.iter().filter(|(n, _)| n.name.eq_ignore_ascii_case(&name.name));
        match (alike.next(), alike.next()) {
            (Some((_, table)), None) => Ok(table.clone()),
            _ => Err(Error::usage(format!(
                "the backup {} has no table {name}",
                self.origin.location
            ))
            .hint(format!("restorekit inspect {}", self.origin.location))),
        }
    }

    async fn on_table<T: Send + 'static>(
        &self,
        name: &TableName,
        work: impl FnOnce(&Parts) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let table = self.table(name)?;
        let (path, notes) = (table.file.path.clone(), self.notes.clone());
        blocking(&path, move || work(&*table.open(&notes)?)).await
    }
}

#[async_trait]
impl Source for Files {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        None
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.keys().cloned().collect())
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        let found = self.table(table)?;
        if let Content::Own(own) = &found.file.content {
            return Ok(own.schema.clone());
        }
        if let Content::Dump(dump) = &found.file.content
            && let Some(table) = dump.tables().iter().find(|t| t.name == found.file.name)
        {
            return Ok(TableSchema {
                left_out: table.left_out.clone(),
                ..TableSchema::of_columns(table.name.clone(), table.columns.clone())
            });
        }
        self.on_table(table, |table| Ok(table.schema())).await
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let key = key.to_vec();
        self.on_table(table, move |table| table.survey(&key, parts)).await
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let table = self.table(&scan.table)?;
        let notes = self.notes.clone();
        let path = table.file.path.clone();
        Ok(stream(scan_schema(&scan.columns), &path, move |send| {
            let open = table.open(&notes)?;
            let mut tally = Tally::default();
            let read = open.scan(&scan, &mut tally, send);
            notes.record(open.name(), &part(&scan.range), &tally);
            read
        }))
    }

    fn has_random_access(&self) -> bool {
        false
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        let (columns, key, keys) = (columns.to_vec(), key.to_vec(), keys.clone());
        // What a fetch finds, a scan has counted or will count.
        self.on_table(table, move |t| t.fetch(&columns, &key, &keys, &mut Tally::default())).await
    }

    async fn digest(&self) -> Result<Option<String>> {
        if let Some(manifest) = &self.manifest {
            return Ok(Some(manifest.clone()));
        }
        let digest = self.digest.get_or_try_init(|| {
            let files: Vec<TableFile> = self.tables.values().map(|t| t.file.clone()).collect();
            let path = PathBuf::from(&self.origin.location);
            async move { blocking(&path, move || digest_of(&files)).await }
        });
        Ok(Some(digest.await?.clone()))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lines()
    }

    fn keeps_values(&self) -> bool {
        let kept = |content: &Content| matches!(content, Content::Own(_) | Content::Dump(_));
        self.tables.values().all(|table| kept(&table.file.content))
    }

    fn rounds_singles(&self) -> bool {
        let rounded = |content: &Content| matches!(content, Content::Dump(dump) if dump.is_mysql());
        self.tables.values().any(|table| rounded(&table.file.content))
    }

    async fn release(&self) -> Result<()> {
        Ok(())
    }
}

/// SHA-256 over the tables' names and their files' digests.
fn digest_of(files: &[TableFile]) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut take = |name: &str, file: BackupFile| {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(file.content_digest()?.as_bytes());
        hasher.update([0]);
        Ok::<(), Error>(())
    };
    // A dump's tables stand in the same files.
    let dump = files.iter().find_map(|table| match &table.content {
        Content::Dump(dump) => Some(dump),
        _ => None,
    });
    if let Some(dump) = dump {
        for path in dump.files()? {
            take("", BackupFile::open(&path, None)?)?;
        }
    } else {
        for table in files {
            for part in table.parts() {
                // What the folders tell is content too.
                let told = part.told.iter().map(|told| format!("{told:?}")).collect::<String>();
                take(&format!("{}{told}", table.name), table.open(&part)?)?;
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}

pub(crate) fn part(range: &KeyRange) -> String {
    format!("{:?}..{:?}", range.lower, range.upper)
}

/// What a foreign Parquet file leaves to be wished: a warning or none. A file that can't
/// be opened warns of that; reading its table is the error.
pub(crate) fn warnings(table: &TableFile, limits: Limits) -> Vec<String> {
    let name = &table.name;
    if !matches!(table.content, Content::Parquet(_)) {
        return Vec::new();
    }
    let looked = caught(&table.path, || {
        let open = open_table(table, limits)?;
        let nested = open
            .nested()
            .into_iter()
            .map(|column| format!("{name}.{column} is nested, and is not compared"));
        let mut warnings: Vec<String> = nested.collect();
        if open.unchecksummed()? {
            warnings.push(format!(
                "{name}: unchecksummed Parquet pages, so flipped bits may go unseen"
            ));
        }
        Ok(warnings)
    });
    looked.unwrap_or_else(|e| vec![format!("{name} can't be opened: {e}")])
}

/// The location of a path as screens show it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
