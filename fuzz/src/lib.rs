//! What the fuzz targets share: an input becomes a file or a folder in a temporary folder, which is
//! read to its end as a backup, in live's types too.
//!
//! What must hold of any input: an error or rows; never a panic in restorekit's own code, nor one that
//! nobody catches (a decoder's that is caught is told as damage); memory and time within bounds
//! (libFuzzer watches the time); the same rows however they are read.

mod memory;

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use restorekit::backup::detect::{BackupSpec, open_backup};
use restorekit::backup::guard::is_guarded;
use restorekit::backup::inspect::inspect;
use restorekit::backup::place::Unlock;
use restorekit::error::Result;
use restorekit::model::table::{Affinity, Carrier, Column, TableName};
use restorekit::source::{KeyRange, Scan, Source, Unfit};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// What the encrypted seeds are made for.
pub const IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// What stands before the name of each file of a folder, and an end of line behind it.
pub const FILE: &[u8] = b"\n=== ";

/// What a backup may expand to here.
const MOST_EXPANDED: u64 = 32 << 20;

/// How many tables of a backup are read.
const MOST_TABLES: usize = 8;

/// How many files a folder gets.
const MOST_FILES: usize = 64;

struct Fuzzer {
    runtime: Runtime,
    folder: TempDir,
}

static FUZZER: LazyLock<Fuzzer> = LazyLock::new(|| {
    let abort = std::panic::take_hook();
    // libFuzzer's own hook ends the process, whoever would have caught the panic.
    std::panic::set_hook(Box::new(move |panic| {
        let foreign = panic.location().is_some_and(|at| at.file().contains("/registry/src/"));
        if !(foreign && is_guarded()) {
            abort(panic);
        }
    }));
    Fuzzer {
        runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
        folder: tempfile::tempdir().expect("a temporary folder"),
    }
});

/// Reads the input: as a folder where it begins with [`FILE`], which begins each of its files; else
/// as a file of this name.
pub fn backup(name: &str, data: &[u8]) {
    if data.starts_with(FILE) {
        let root = laid(data);
        read(&root);
        let _ = fs::remove_dir_all(&root);
        return;
    }
    let path = FUZZER.folder.path().join(name);
    fs::write(&path, data).expect("the input can be written");
    read(&path);
    let _ = fs::remove_file(&path);
}

/// Reads the input as a folder that is a snapshot whose digests are those of its files, since
/// who changes a file can change its digest.
pub fn snapshot(data: &[u8]) {
    let root = laid(data);
    let manifest = root.join("restorekit.json");
    if let Some(text) = fs::read(&manifest).ok().and_then(|text| sealed(&root, &text)) {
        fs::write(&manifest, text).expect("the manifest can be written");
    }
    read(&root);
    let _ = fs::remove_dir_all(&root);
}

fn laid(data: &[u8]) -> PathBuf {
    let root = FUZZER.folder.path().join("backup");
    fs::create_dir(&root).expect("a folder");
    for (name, content) in files(data).into_iter().take(MOST_FILES) {
        // A name that can't be one here is none that a folder could have.
        let path = root.join(&name);
        if path.parent().is_some_and(|folder| fs::create_dir_all(folder).is_ok()) {
            let _ = fs::write(&path, content);
        }
    }
    root
}

/// The files of a folder, in the order in which they stand in the input.
fn files(data: &[u8]) -> Vec<(PathBuf, &[u8])> {
    let begins = |at: usize| data[at..].starts_with(FILE);
    let starts: Vec<usize> = (0..data.len()).filter(|at| begins(*at)).collect();
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    let mut files = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let file = &data[start + FILE.len()..end];
        let Some(line) = file.iter().position(|byte| *byte == b'\n') else { continue };
        let Ok(name) = std::str::from_utf8(&file[..line]) else { continue };
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if !name.is_empty() && !name.contains('\0') && Path::new(name).components().all(plain) {
            files.push((name.into(), &file[line + 1..]));
        }
    }
    files
}

/// A manifest that tells of each file what it has.
fn sealed(root: &Path, manifest: &[u8]) -> Option<Vec<u8>> {
    let mut manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    for table in manifest.get_mut("tables")?.as_array_mut()? {
        for file in table.get_mut("files")?.as_array_mut()? {
            let path = Path::new(file.get("path")?.as_str()?);
            if !path.components().all(|part| matches!(part, Component::Normal(_))) {
                continue;
            }
            let Ok(bytes) = fs::read(root.join(path)) else { continue };
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            file["bytes"] = bytes.len().into();
            file["sha256"] = digest.into();
        }
    }
    serde_json::to_vec(&manifest).ok()
}

fn read(path: &Path) {
    let unlock = Unlock { identity: Some(IDENTITY.into()), passphrase: None };
    let spec = BackupSpec {
        path: path.to_owned(),
        unlock,
        parallelism: 1,
        max_expanded_bytes: Some(MOST_EXPANDED),
        ..BackupSpec::default()
    };
    FUZZER.runtime.block_on(async {
        let inspected = inspect(&spec).await;
        let Ok(source) = open_backup(&spec).await else { return };
        assert!(inspected.is_ok(), "it is opened, and can't be inspected: {inspected:?}");
        let Ok(tables) = source.tables().await else { return };
        for table in tables.iter().take(MOST_TABLES) {
            let Ok(schema) = source.schema(table).await else { continue };
            whole(&*source, table, &schema.columns).await;
        }
        let _ = source.release().await;
    });
}

/// Reads a table in its own types, in live's, and by ranges of a key.
async fn whole(source: &dyn Source, table: &TableName, own: &[Column]) {
    let Ok(all) = scan(source, table, own, &[], KeyRange::default()).await else { return };
    let first = own.len() + all;
    let live: Vec<Column> =
        own.iter().enumerate().map(|(at, column)| as_live(column, first + at)).collect();
    if let Ok(fitted) = scan(source, table, &live, &[], KeyRange::default()).await {
        assert_eq!(all, fitted, "{table} has other rows in live's types");
    }
    for columns in [own, live.as_slice()] {
        // Floating keys are refused before it comes to this.
        let key = match columns {
            [first, ..] if !first.carrier.is_floating() => std::slice::from_ref(first),
            _ => continue,
        };
        let Ok(survey) = source.survey(table, key, 3).await else { continue };
        let ranges = match survey.ordered {
            true => KeyRange::between(&survey.splits),
            false => vec![KeyRange::default()],
        };
        let mut by_ranges = 0;
        for range in ranges {
            let Ok(rows) = scan(source, table, columns, key, range).await else { return };
            by_ranges += rows;
        }
        assert_eq!(all, by_ranges, "{table} has other rows by ranges of its key");
    }
}

/// The number of rows that a scan gives.
async fn scan(
    source: &dyn Source,
    table: &TableName,
    columns: &[Column],
    key: &[Column],
    range: KeyRange,
) -> Result<usize> {
    let stream = source.scan(Scan {
        table: table.clone(),
        columns: columns.to_vec(),
        key: key.to_vec(),
        range,
        filter: None,
        unfit: Unfit::Mark,
    })?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// The column as one of many kinds of live databases could have it.
fn as_live(column: &Column, number: usize) -> Column {
    use Affinity::{Mysql, Postgres};
    const KINDS: [(Carrier, Affinity, &str); 20] = [
        (Carrier::Int, Affinity::Integer, "INTEGER"),
        (Carrier::Text, Affinity::Text, "TEXT"),
        (Carrier::Blob, Affinity::Blob, "BLOB"),
        (Carrier::Number, Affinity::Numeric, "NUMERIC"),
        (Carrier::Real, Affinity::Real, "REAL"),
        (Carrier::Int, Postgres, "bigint"),
        (Carrier::Bool, Postgres, "boolean"),
        (Carrier::Stamp, Postgres, "timestamp without time zone"),
        (Carrier::Instant, Postgres, "timestamp with time zone"),
        (Carrier::Date, Postgres, "date"),
        (Carrier::Text, Postgres, "numeric"),
        (Carrier::Text, Postgres, "uuid"),
        (Carrier::Text, Postgres, "jsonb"),
        (Carrier::Blob, Postgres, "bytea"),
        (Carrier::Real, Postgres, "double precision"),
        (Carrier::Unsigned, Mysql, "bigint unsigned"),
        (Carrier::Decimal { precision: 20, scale: 4 }, Mysql, "decimal(20,4)"),
        (Carrier::Stamp, Mysql, "datetime(6)"),
        (Carrier::Date, Mysql, "date"),
        (Carrier::Text, Mysql, "varchar(20)"),
    ];
    let (carrier, affinity, declared) = KINDS[number % KINDS.len()];
    Column { declared: declared.into(), affinity, ..Column::new(&column.name, carrier) }
}
