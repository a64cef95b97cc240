//! Taking a snapshot: every base table of one database, as it was at one moment.
//!
//! The source keeps one reading snapshot from its opening on, so tables read one after the
//! other are consistent with each other. Rows are written in key order, so that a diff can
//! merge them as they come; a table without a usable key comes in the source's own order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::backup::manifest::{FORMAT_VERSION, FileFormat, Manifest, ManifestFile, ManifestTable};
use crate::error::{Error, Result};
use crate::model::origin::Identity;
use crate::model::side::Which;
use crate::model::table::{Collation, Column, TableKind, TableName, TableSchema};
use crate::model::value::EXACT;
use crate::mount::{find_table, no_table};
use crate::progress::Progress;
use crate::snapshot::encode::{Job, Outcome, write};
use crate::snapshot::files::FileNames;
use crate::snapshot::folder::{Draft, Faults, clean_leftovers};
use crate::snapshot::name::SnapshotName;
use crate::snapshot::place;
use crate::source::{KeyRange, Scan, Source, Unfit};

/// Batches that are read ahead of the encoding.
const READ_AHEAD: usize = 16;

/// What to take, and where to.
#[derive(Clone, Debug)]
pub struct TakeOptions {
    /// The folder in which the snapshot's folder is created; created itself where missing.
    pub out: PathBuf,
    /// The formats of the files, at least one.
    pub formats: Vec<FileFormat>,
    /// The tables by their names, with the schema or without where one schema has it; none:
    /// every base table.
    pub tables: Vec<String>,
    /// The host's name.
    pub host: String,
    /// The database's name, for the folder's name and the manifest.
    pub database: String,
    /// restorekit's version.
    pub tool: String,
    /// The moment at which the source began its reading snapshot.
    pub now: DateTime<FixedOffset>,
}

/// A snapshot that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// The size of its files, manifest excluded.
    pub bytes: u64,
    /// What is wrong with its place.
    pub warnings: Vec<String>,
}

/// Takes a snapshot. It is whole in its place when this returns, or not there at all; what
/// earlier stopped runs left in the folder is removed first.
pub async fn take(
    source: Arc<dyn Source>,
    options: &TakeOptions,
    progress: Arc<dyn Progress>,
) -> Result<Taken> {
    take_with(source, options, progress, Faults::default()).await
}

pub(super) async fn take_with(
    source: Arc<dyn Source>,
    options: &TakeOptions,
    progress: Arc<dyn Progress>,
    faults: Faults,
) -> Result<Taken> {
    let taken_at = options.now.to_utc();
    let name = SnapshotName::new(&options.host, taken_at, &options.database, &options.formats)?;
    let tables = wanted(source.as_ref(), &options.tables).await?;
    let draft = Draft::create(&options.out, name.clone(), faults)?;
    clean_leftovers(&options.out);

    let live = source.identity();
    let live = live.as_ref().and_then(Identity::path);
    let location = live.unwrap_or(&source.origin().location).to_owned();
    let mut manifest = Manifest {
        format_version: FORMAT_VERSION.into(),
        tool: options.tool.clone(),
        taken_at: options.now.to_rfc3339(),
        host: options.host.clone(),
        database: options.database.clone(),
        engine: source.identity().map_or("file", |identity| identity.engine()).into(),
        location,
        only: match options.tables.is_empty() {
            true => Vec::new(),
            false => tables.iter().map(|table| table.name.clone()).collect(),
        },
        tables: Vec::with_capacity(tables.len()),
    };
    let mut names = FileNames::default();
    for schema in tables {
        let file = names.of(&schema.name.to_string());
        let table = Table::new(source.as_ref(), schema, file, &name.formats).await?;
        manifest.tables.push(table.take(&source, options, &draft, &progress).await?);
    }
    let bytes = manifest.tables.iter().flat_map(|t| &t.files).map(|f| f.bytes).sum();
    let path = draft.publish(&manifest)?;
    let warnings = place::warnings(&options.out, live.map(Path::new));
    Ok(Taken { path, manifest, bytes, warnings })
}

/// The schemas of the base tables asked for, sorted by name.
async fn wanted(source: &dyn Source, asked: &[String]) -> Result<Vec<TableSchema>> {
    let mut there = source.tables().await?;
    there.sort();
    let find =
        |name: &String| find_table(&there, name).ok_or_else(|| no_table(Which::Live, &there, name));
    let found: BTreeSet<&TableName> = asked.iter().map(find).collect::<Result<_>>()?;
    let mut schemas = Vec::new();
    for table in there.iter().filter(|t| asked.is_empty() || found.contains(t)) {
        let schema = source.schema(table).await?;
        if schema.kind == TableKind::Base {
            schemas.push(schema);
        } else if !asked.is_empty() {
            return Err(Error::usage(format!("{table} is no base table")));
        }
    }
    Ok(schemas)
}

/// One table on its way into the snapshot.
struct Table {
    schema: TableSchema,
    key: Vec<Column>,
    rows: Option<u64>,
    parquet: Option<String>,
    jsonl: Option<String>,
}

impl Table {
    async fn new(
        source: &dyn Source,
        schema: TableSchema,
        file: String,
        formats: &[FileFormat],
    ) -> Result<Self> {
        if schema.columns.iter().any(|c| c.name == EXACT) {
            return Err(Error::failed(format!(
                "table {} has a column {EXACT}, a name that restorekit keeps for itself",
                schema.name
            ))
            .hint("leave the table out with --table"));
        }
        let mut key = order(&schema);
        let survey = source.survey(&schema.name, &key, 1).await?;
        if !survey.ordered {
            key.clear();
        }
        let path = |format, path| formats.contains(&format).then_some(path);
        Ok(Self {
            schema,
            key,
            rows: survey.rows,
            parquet: path(FileFormat::Parquet, format!("parquet/{file}.parquet")),
            jsonl: path(FileFormat::Jsonl, format!("json/{file}.jsonl.zst")),
        })
    }

    async fn take(
        self,
        source: &Arc<dyn Source>,
        options: &TakeOptions,
        draft: &Draft,
        progress: &Arc<dyn Progress>,
    ) -> Result<ManifestTable> {
        // nearly no table has a value that fits no carrier; the first one found makes the
        // table begin anew, with a column for them
        let mut with_exact = false;
        loop {
            progress.start(&self.schema.name.to_string(), self.rows);
            let outcome = self.attempt(source, options, draft, progress, with_exact).await?;
            let (rows, parquet, jsonl) = match outcome {
                Outcome::Written { rows, parquet, jsonl } => (rows, parquet, jsonl),
                Outcome::NeedsExact => {
                    for path in self.parquet.iter().chain(&self.jsonl) {
                        draft.discard(path)?;
                    }
                    with_exact = true;
                    continue;
                }
            };
            progress.finish();
            let parquet = self.parquet.zip(parquet).map(|f| (FileFormat::Parquet, f));
            let jsonl = self.jsonl.zip(jsonl).map(|f| (FileFormat::Jsonl, f));
            let files = parquet.into_iter().chain(jsonl);
            return Ok(ManifestTable {
                name: self.schema.name.clone(),
                schema: self.schema,
                rows,
                ordered_by: self.key.into_iter().map(|c| c.name).collect(),
                files: files
                    .map(|(format, (path, (bytes, sha256)))| ManifestFile {
                        path,
                        format,
                        bytes,
                        sha256,
                    })
                    .collect(),
            });
        }
    }

    async fn attempt(
        &self,
        source: &Arc<dyn Source>,
        options: &TakeOptions,
        draft: &Draft,
        progress: &Arc<dyn Progress>,
        with_exact: bool,
    ) -> Result<Outcome> {
        let file = |path: &Option<String>| path.as_deref().map(|p| draft.file(p)).transpose();
        let job = Job {
            columns: self.schema.columns.clone(),
            sorted: self.sorted(),
            with_exact,
            created_by: format!("restorekit version {}", options.tool),
            parquet: file(&self.parquet)?,
            jsonl: file(&self.jsonl)?,
            progress: progress.clone(),
        };
        let mut stream = source.scan(Scan {
            table: self.schema.name.clone(),
            columns: self.schema.columns.clone(),
            key: self.key.clone(),
            range: KeyRange::default(),
            filter: None,
            unfit: Unfit::Refuse,
        })?;
        let (to, from) = mpsc::channel(READ_AHEAD);
        let writer = tokio::task::spawn_blocking(move || write(job, from));
        while let Some(batch) = stream.next().await {
            if to.send(batch.map_err(Error::from)).await.is_err() {
                break;
            }
        }
        drop((stream, to));
        writer.await.map_err(|e| {
            Error::failed(format!("table {} could not be encoded", self.schema.name)).because(e)
        })?
    }

    /// The columns by whose bytes a Parquet reader may rely on the order: none where the
    /// order is that of a collation.
    fn sorted(&self) -> Vec<usize> {
        if self.key.iter().any(|c| c.collation != Collation::Binary) {
            return Vec::new();
        }
        let position = |c: &Column| self.schema.columns.iter().position(|o| o.name == c.name);
        self.key.iter().filter_map(position).collect()
    }
}

/// The key to order by: the first one whose order is the same everywhere.
fn order(schema: &TableSchema) -> Vec<Column> {
    let columns = |key: &crate::model::table::Key| -> Option<Vec<Column>> {
        key.columns.iter().map(|name| schema.column(name).cloned()).collect()
    };
    let usable =
        |c: &Column| !c.carrier.is_floating() && !matches!(c.collation, Collation::Other(_));
    schema
        .keys
        .iter()
        .filter_map(columns)
        .find(|columns| !columns.is_empty() && columns.iter().all(usable))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "take/tests.rs"]
mod tests;
