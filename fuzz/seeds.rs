//! Makes the seeds of the fuzz targets of the fixtures: `seeds FIXTURES CORPUS`.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

// Its runtime is what the instrumentation in restorekit calls.
use libfuzzer_sys as _;
use restorekit::backup::detect::{BackupSpec, open_backup};
use restorekit::backup::manifest::FileFormat;
use restorekit::progress::Silent;
use restorekit::snapshot::take::{TakeOptions, take};
use restorekit_fuzz::{FILE, IDENTITY};

/// A target, and the fixtures that it starts from.
const SEEDS: &[(&str, &[&str])] = &[
    ("dump_sqlite", &["dumps/sqlite.dump.sql"]),
    (
        "dump_mysql",
        &[
            "dumps/mysql/extended.sql",
            "dumps/mysql/single.sql",
            "dumps/mysql/hex.sql",
            "dumps/mysql/databases.sql",
            "dumps/mysql/latin1.sql",
            "dumps/mysql/no-data.sql",
            "dumps/mysql/zone.sql",
        ],
    ),
    (
        "dump_postgres",
        &[
            "dumps/postgres/plain.sql",
            "dumps/postgres/root.sql",
            "dumps/postgres/inserts.sql",
            "dumps/postgres/column-inserts.sql",
            "dumps/postgres/latin1.sql",
        ],
    ),
    (
        "dump_postgres_archive",
        &[
            "dumps/postgres/none.dump",
            "dumps/postgres/gzip.dump",
            "dumps/postgres/lz4.dump",
            "dumps/postgres/zstd.dump",
            "dumps/postgres/piped.dump",
            "dumps/postgres/inserts.dump",
            "dumps/postgres/dump.tar",
            "dumps/postgres/directory-plain",
            "dumps/postgres/directory",
        ],
    ),
    ("dump_mysql_tab", &["dumps/mysql/tab"]),
    (
        "dump_mydumper",
        &["dumps/mysql/mydumper", "dumps/mysql/mydumper-chunks", "dumps/mysql/mydumper-load"],
    ),
    ("dump_mysql_shell", &["dumps/mysql/shell", "dumps/mysql/shell-csv"]),
    ("dump_duckdb", &["dumps/duckdb/plain", "dumps/duckdb/options", "dumps/duckdb/old"]),
    ("dump_diffable", &["dumps/diffable/plain", "dumps/diffable/unclear"]),
    (
        "table_parquet",
        &[
            "checksums.parquet",
            "pandas/loose",
            "pandas/20240529091442",
            "dumps/duckdb/parquet",
            "dumps/duckdb/parquet/awkward.parquet",
            "dumps/duckdb/parquet/kinds.parquet",
        ],
    ),
    (
        "table_bson",
        &[
            "mongo/dump",
            "mongo/dump/shop",
            "mongo/dump/shop/awkward.bson",
            "mongo/real/all_types.bson",
            "mongo/real/sample.bson",
        ],
    ),
    (
        "table_json_lines",
        &[
            "mongo/array.json",
            "mongo/canonical.json",
            "mongo/relaxed.json",
            "mongo/real/sample.json",
            "dumps/diffable/plain/awkward.ndjson",
        ],
    ),
    ("table_csv", &["dumps/duckdb/plain/awkward.csv", "dumps/duckdb/options/awkward.csv"]),
    ("layer_archive", &["mongo/dump.archive", "mongo/real/oplog.archive"]),
    ("database", &["pandas/live.sqlite"]),
];

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(fixtures), Some(corpus)) = (arguments.next(), arguments.next()) else {
        panic!("seeds FIXTURES CORPUS");
    };
    let put = |target: &str, name: &str, bytes: Vec<u8>| {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).expect("a folder of seeds");
        fs::write(folder.join(format!("seed-{name}")), bytes).expect("a seed");
    };
    for (target, names) in SEEDS {
        for name in *names {
            let path = fixtures.join(name);
            let name = name.replace('/', "-");
            if path.is_dir() {
                put(target, &format!("{name}-plain"), folder(&path, true));
                put(target, &name, folder(&path, false));
            } else {
                put(target, &name, fs::read(&path).expect("a fixture"));
            }
        }
    }

    let csv = fs::read(fixtures.join("dumps/duckdb/plain/awkward.csv")).expect("a fixture");
    let parquet = fs::read(fixtures.join("checksums.parquet")).expect("a fixture");
    for (name, bytes) in [("csv", &csv), ("parquet", &parquet)] {
        let packed = [gz(bytes), zst(bytes), xz(bytes), bz2(bytes), gz(&zst(bytes))];
        for (end, packed) in ["gz", "zst", "xz", "bz2", "zst-gz"].into_iter().zip(packed) {
            put("layer_compressed", &format!("{name}-{end}"), packed);
        }
        put("layer_age", name, age(bytes, false));
        put("layer_age", &format!("{name}-armored"), age(bytes, true));
    }
    let sql = fs::read(fixtures.join("dumps/sqlite.dump.sql")).expect("a fixture");
    put("layer_tar", "files", tar(&[("t.csv", &csv), ("deep/u.parquet", &parquet)]));
    put("layer_tar", "dump", tar(&[("nightly/dump.sql", &sql)]));

    let info = br#"{"status":"COMPLETE","snapshotTime":"Mar 10, 2026, 6:00:00 AM"}"#;
    let tables = br#"{"perTableStatus":[{"target":"app.public.t","status":"COMPLETE",
        "schemaMetadata":{"originalTypeMappings":[
        {"columnName":"id","originalType":"bigint","expectedExportedType":"int64"}]}}]}"#;
    let mut export = Vec::new();
    for (name, bytes) in [
        ("export_info_export.json", &info[..]),
        ("export_tables_info_export_from_1_to_1.json", &tables[..]),
        ("app/public.t/1/part-00000-0c6d.gz.parquet", &parquet),
        ("app/public.t/1/_SUCCESS", b""),
    ] {
        push(&mut export, name, bytes);
    }
    put("rds", "export", export);
    put("snapshot", "both", snapshot(&fixtures.join("dumps/sqlite.dump.sql")));
}

/// Adds a file to the input that a folder is.
fn push(input: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    input.extend([FILE, name.as_bytes(), b"\n", bytes].concat());
}

/// A folder as an input; what is compressed in it stays so, or is plain under the names
/// and with the words for that.
fn folder(root: &Path, plain: bool) -> Vec<u8> {
    let mut input = Vec::new();
    for path in below(root) {
        let name = path.strip_prefix(root).expect("below the folder");
        let mut name = name.to_str().expect("fixtures are named in UTF-8").to_owned();
        let mut bytes = fs::read(&path).expect("a fixture");
        if plain && name.ends_with(".zst") {
            bytes = zstd::decode_all(&bytes[..]).expect("a whole fixture");
        } else if plain && name.ends_with(".gz") {
            let mut inner = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(&bytes[..]);
            reader.read_to_end(&mut inner).expect("a whole fixture");
            bytes = inner;
        } else if plain && name.ends_with(".json") {
            let text = String::from_utf8(bytes).expect("JSON is UTF-8");
            let text = text.replace("sv.zst", "sv").replace("\"zstd\"", "\"none\"");
            bytes = text.into_bytes();
        }
        if plain {
            name = name.replace(".zst", "").replace(".gz", "");
        }
        push(&mut input, &name, &bytes);
    }
    input
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of fixtures");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| below(folder))).collect()
}

/// A snapshot of ours, in both formats, of what a dump holds.
fn snapshot(dump: &Path) -> Vec<u8> {
    let place = tempfile::tempdir().expect("a temporary folder");
    let now = chrono::DateTime::parse_from_rfc3339("2026-03-10T06:00:00Z").expect("a time");
    let options = TakeOptions {
        out: place.path().to_owned(),
        formats: vec![FileFormat::Parquet, FileFormat::Jsonl],
        tables: Vec::new(),
        host: "h".into(),
        database: "app".into(),
        tool: "0".into(),
        now,
    };
    let spec = BackupSpec { path: dump.to_owned(), parallelism: 1, ..BackupSpec::default() };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let taken = runtime.block_on(async {
        let source = open_backup(&spec).await.expect("the dump is read");
        take(source, &options, Arc::new(Silent)).await.expect("the snapshot is taken")
    });
    folder(&taken.path, false)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(bytes).and_then(|()| to.finish()).expect("memory takes it")
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut to = liblzma::write::XzEncoder::new(Vec::new(), 1);
    to.write_all(bytes).and_then(|()| to.finish()).expect("memory takes it")
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    to.write_all(bytes).and_then(|()| to.finish()).expect("memory takes it")
}

fn age(bytes: &[u8], armored: bool) -> Vec<u8> {
    use age::armor::{ArmoredWriter, Format};
    let identity: age::x25519::Identity = IDENTITY.parse().expect("an identity");
    let recipient = identity.to_public();
    let to = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).expect("one");
    let format = if armored { Format::AsciiArmor } else { Format::Binary };
    let armor = ArmoredWriter::wrap_output(Vec::new(), format).expect("memory takes it");
    let mut writer = to.wrap_output(armor).expect("memory takes it");
    writer.write_all(bytes).expect("memory takes it");
    writer.finish().and_then(ArmoredWriter::finish).expect("memory takes it")
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut to = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        to.append_data(&mut header, name, Cursor::new(bytes)).expect("memory takes it");
    }
    to.into_inner().expect("memory takes it")
}
