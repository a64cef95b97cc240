//! What a backup is, for a person to read before relying on it: its kind and by which
//! signs, its tables with what is cheap to know of them, and what is doubtful.

use serde::Serialize;

use crate::backup::detect::{self, BackupSpec, Found, Layout, open_dump, table_files};
use crate::backup::dump::{DumpTable, Wanted};
use crate::backup::file::regular;
use crate::backup::files::{self, TableFile, open_table, shown};
use crate::backup::guard::{blocking, caught};
use crate::backup::place::{self, Place, Purpose};
use crate::backup::snapshot::Snapshot;
use crate::backup::text::Limits;
use crate::error::Result;
use crate::model::table::TableName;
use crate::registry;

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The file or folder that would be read.
    pub location: String,
    /// The kind in words.
    pub kind: String,
    /// The signs by which it was known, each after "because".
    pub why: Vec<String>,
    /// When it was taken, RFC 3339, where that is known.
    pub taken_at: Option<String>,
    /// Its tables, sorted by name.
    pub tables: Vec<InspectedTable>,
    /// What a person should know before relying on it.
    pub warnings: Vec<String>,
    /// The older backups beside it, newest first: `@latest~1`, `@latest~2`, ..
    pub older: Vec<String>,
}

/// A table of a backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InspectedTable {
    /// Its name.
    pub name: TableName,
    /// The number of rows, where it is known without reading them.
    pub rows: Option<u64>,
    /// Its columns, where they are known without reading rows.
    pub columns: Vec<String>,
    /// The size of the files that would be read, in bytes.
    pub bytes: Option<u64>,
    /// Why it can't be read.
    pub problem: Option<String>,
}

/// Inspects a database of a server.
async fn server(url: &str) -> Result<Inspection> {
    let source = registry::open_backup(url, 1).await?;
    let mut tables = Vec::new();
    for name in source.tables().await? {
        let described = source.schema(&name).await;
        let (columns, problem) = match described {
            Ok(schema) => (schema.columns.into_iter().map(|c| c.name).collect(), None),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        tables.push(InspectedTable { name, rows: None, columns, bytes: None, problem });
    }
    let origin = source.origin().clone();
    source.release().await?;
    Ok(Inspection {
        location: origin.location,
        kind: origin.kind,
        why: vec!["it is the URL of a server".into()],
        taken_at: origin.taken_at,
        tables,
        warnings: origin.warnings,
        older: Vec::new(),
    })
}

/// Inspects a backup. A table that can't be read is a table with a problem; the errors
/// are those of a backup that is of no kind, or of two.
pub async fn inspect(spec: &BackupSpec) -> Result<Inspection> {
    if let Some(url) = spec.server() {
        return server(url).await;
    }
    let Place { spec, private } = place::arrive(spec, Purpose::Look).await?;
    let inspected = unpacked(&spec).await;
    let Some(private) = private else { return inspected };
    let inspection = inspected.map_err(|e| private.error(e))?;
    let told = |lines: Vec<String>| lines.iter().map(|line| private.told(line)).collect();
    let tables = inspection.tables.into_iter().map(|table| InspectedTable {
        problem: table.problem.map(|problem| private.told(&problem)),
        ..table
    });
    Ok(Inspection {
        location: private.told(&inspection.location),
        why: told(inspection.why),
        warnings: told(inspection.warnings),
        older: told(inspection.older),
        tables: tables.collect(),
        ..inspection
    })
}

/// Inspects a backup that is not packed.
async fn unpacked(spec: &BackupSpec) -> Result<Inspection> {
    let found = detect::find(spec).await?;
    let mut inspection = Inspection {
        location: shown(found.layout.location()),
        kind: found.layout.kind().into(),
        why: found.why.clone(),
        taken_at: found.layout.taken_at().map(|t| t.to_rfc3339()),
        tables: Vec::new(),
        warnings: found.warnings.clone(),
        older: found.older.iter().map(|path| shown(path)).collect(),
    };
    let limits = spec.limits();
    match &found.layout {
        Layout::Sqlite(_) => sqlite(found, spec, &mut inspection).await?,
        Layout::Snapshot(snapshot) => inspection.tables = ours(snapshot),
        Layout::Dump(path, kind) => {
            let dump = open_dump(path.clone(), *kind, spec, Wanted::None).await?;
            inspection.taken_at = dump.taken_at().map(|t| t.to_rfc3339());
            inspection.warnings.extend(dump.notes().iter().cloned());
            inspection.tables = dump.tables().iter().map(of_dump).collect();
        }
        Layout::Tables { location, tables, .. } => {
            let files = table_files(location, tables.clone(), spec.mirror.as_deref());
            let looked = blocking(location, move || {
                Ok(files.iter().map(|file| look(file, limits)).collect::<Vec<_>>())
            });
            for (table, warnings) in looked.await? {
                inspection.tables.push(table);
                inspection.warnings.extend(warnings);
            }
        }
    }
    inspection.tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(inspection)
}

async fn sqlite(found: Found, spec: &BackupSpec, inspection: &mut Inspection) -> Result<()> {
    let source = detect::open(found, spec).await?;
    inspection.warnings.clone_from(&source.origin().warnings);
    inspection.taken_at.clone_from(&source.origin().taken_at);
    for name in source.tables().await? {
        let schema = source.schema(&name).await;
        inspection.tables.push(InspectedTable {
            rows: None,
            bytes: None,
            problem: schema.as_ref().err().map(ToString::to_string),
            columns: schema
                .map(|schema| schema.columns.into_iter().map(|c| c.name).collect())
                .unwrap_or_default(),
            name,
        });
    }
    source.release().await
}

fn of_dump(table: &DumpTable) -> InspectedTable {
    let problem = "the dump holds its definition and no rows of it: it was made without its data";
    InspectedTable {
        name: table.name.clone(),
        rows: table.rows.filter(|_| table.has_data),
        columns: table.columns.iter().map(|column| column.name.clone()).collect(),
        bytes: None,
        problem: (!table.has_data).then(|| problem.to_owned()),
    }
}

fn ours(snapshot: &Snapshot) -> Vec<InspectedTable> {
    let tables = snapshot.manifest.tables.iter();
    let looked = tables.map(|table| {
        let file = snapshot.file(table);
        let problem = file.as_ref().err().map(ToString::to_string).or_else(|| {
            let (path, file) = file.as_ref().ok()?;
            match regular(path, Some(&snapshot.folder)) {
                Err(e) => Some(e.to_string()),
                Ok(metadata) if metadata.len() != file.bytes => Some(format!(
                    "{} has {} bytes, its manifest says {}",
                    file.path,
                    metadata.len(),
                    file.bytes
                )),
                Ok(_) => None,
            }
        });
        InspectedTable {
            name: table.name.clone(),
            rows: Some(table.rows),
            columns: table.schema.columns.iter().map(|c| c.name.clone()).collect(),
            bytes: file.ok().map(|(_, file)| file.bytes),
            problem,
        }
    });
    looked.collect()
}

/// A table's file, and what is doubtful about it.
fn look(file: &TableFile, limits: Limits) -> (InspectedTable, Vec<String>) {
    let bytes = file.size();
    let mut table = InspectedTable {
        name: file.name.clone(),
        rows: None,
        columns: Vec::new(),
        bytes: bytes.as_ref().ok().copied(),
        problem: bytes.err().map(|e| e.to_string()),
    };
    if table.problem.is_some() || !is_parquet(file) {
        return (table, Vec::new());
    }
    match caught(&file.path, || open_table(file, limits)) {
        Ok(open) => {
            table.rows = Some(open.rows());
            table.columns = open.columns().map(|(name, _)| name.to_owned()).collect();
            (table, files::warnings(file, limits))
        }
        Err(e) => {
            table.problem = Some(e.to_string());
            (table, Vec::new())
        }
    }
}

fn is_parquet(file: &TableFile) -> bool {
    matches!(file.content, files::Content::Parquet(_))
}
