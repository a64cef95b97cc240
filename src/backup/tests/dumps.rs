//! One data set with every awkward value, from dumps that the real tools made of it.

use std::process::Command;

use super::*;
use crate::backup::detect::{Layout, find};
use crate::backup::inspect::inspect;
use crate::error::Kind;

pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps").join(name)
}

/// Who made a dump, where that shows in its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
    Mysql,
    Duckdb,
}

/// Every dump of the data set.
pub(super) const DUMPS: &[(&str, Engine)] = &[
    ("sqlite.dump.sql", Engine::Sqlite),
    ("diffable/plain", Engine::Sqlite),
    ("postgres/plain.sql", Engine::Postgres),
    ("postgres/root.sql", Engine::Postgres),
    ("postgres/inserts.sql", Engine::Postgres),
    ("postgres/column-inserts.sql", Engine::Postgres),
    ("postgres/gzip.dump", Engine::Postgres),
    ("postgres/none.dump", Engine::Postgres),
    ("postgres/piped.dump", Engine::Postgres),
    ("postgres/inserts.dump", Engine::Postgres),
    ("postgres/lz4.dump", Engine::Postgres),
    ("postgres/zstd.dump", Engine::Postgres),
    ("postgres/dump.tar", Engine::Postgres),
    ("postgres/directory", Engine::Postgres),
    ("postgres/directory-plain", Engine::Postgres),
    ("postgres/inserts-directory", Engine::Postgres),
    ("postgres/directory-lz4", Engine::Postgres),
    ("postgres/directory-zstd", Engine::Postgres),
    ("mysql/extended.sql", Engine::Mysql),
    ("mysql/single.sql", Engine::Mysql),
    ("mysql/hex.sql", Engine::Mysql),
    ("mysql/databases.sql", Engine::Mysql),
    ("mysql/tab", Engine::Mysql),
    ("mysql/mydumper", Engine::Mysql),
    ("mysql/mydumper-chunks", Engine::Mysql),
    ("mysql/mydumper-load", Engine::Mysql),
    ("mysql/shell", Engine::Mysql),
    ("mysql/shell-csv", Engine::Mysql),
    ("duckdb/plain", Engine::Duckdb),
    ("duckdb/options", Engine::Duckdb),
    ("duckdb/forced", Engine::Duckdb),
    ("duckdb/old", Engine::Duckdb),
];

/// The columns of `awkward` as a live SQLite database would have them.
pub(super) fn columns() -> Vec<Column> {
    let text = |name| column(name, Carrier::Text);
    vec![
        column("id", Carrier::Int),
        text("t"),
        text("n"),
        column("b", Carrier::Blob),
        text("at"),
        column("ok", Carrier::Int),
        column("r", Carrier::Real),
    ]
}

/// The rows of `awkward`, in the order of its key.
pub(super) fn awkward(engine: Engine) -> Vec<Vec<Value>> {
    let text = |text: &str| Value::Text(text.into());
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let null = || Value::Null;
    // MySQL's column has 30 digits behind the point.
    let number = |digits: &str| match engine {
        Engine::Mysql => {
            let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
            text(&format!("{whole}.{part:0<30}"))
        }
        _ => text(digits),
    };
    // The 26 characters of MySQL's column; PostgreSQL leaves zeros out.
    let moment = |at: &str| match engine {
        Engine::Mysql if at.len() == 19 => text(&format!("{at}.000000")),
        _ => text(at),
    };
    let truth = |ok: bool| Value::Int(ok.into());
    let id = Value::Int;
    let (huge, zero) = match engine {
        Engine::Mysql => (number("-7"), moment("0000-00-00 00:00:00")),
        _ => (text("99999999999999999999999999999999999999"), null()),
    };
    let mut rows = vec![
        vec![id(1), null(), null(), null(), null(), null(), null()],
        vec![
            id(2),
            text("NULL"),
            number("0"),
            blob(b""),
            moment("2024-02-29 23:59:59.123456"),
            truth(true),
            Value::Real(0.1),
        ],
        vec![
            id(3),
            text(""),
            number("-1"),
            blob(b"\0"),
            moment("0001-01-01 00:00:00"),
            truth(false),
            Value::Real(-2.5),
        ],
        vec![
            id(4),
            text("line\nfeed\ttab\rreturn\u{8}back\\slash"),
            number("1.50"),
            blob(b"\\n\n\t'"),
            moment("2024-03-14 02:00:00"),
            truth(true),
            Value::Real(1e300),
        ],
        vec![
            id(5),
            text("it's \"quoted\" `ticked` $$dollars$$; -- no comment /* none */"),
            number("12345678901234567890.123456789"),
            blob(b"'\"`\\"),
            null(),
            null(),
            Value::Real(5e-324),
        ],
        vec![
            id(6),
            text("😀 é 東京 ümlaut"),
            number("0.000000000000000000000000000001"),
            blob("😀".as_bytes()),
            moment("9999-12-31 23:59:59.999999"),
            truth(false),
            null(),
        ],
        vec![
            id(7),
            text("\\N"),
            huge,
            blob(b"\0\xff\x80\xc3("),
            zero,
            truth(true),
            Value::Real(3.0),
        ],
        vec![id(8), text("\\.\n\\."), null(), blob(b"\xc0\xaf"), null(), null(), null()],
        vec![
            id(9),
            text("INSERT INTO awkward VALUES (1);\n\\! echo no\nCOPY awkward FROM stdin;"),
            number("7"),
            null(),
            null(),
            truth(false),
            null(),
        ],
    ];
    if matches!(engine, Engine::Mysql | Engine::Duckdb) {
        // PostgreSQL and SQLite's shell have no text with a NUL.
        rows.push(vec![
            id(10),
            text("nul\0 and \u{1a}"),
            number("1"),
            blob(b"\x1a\0"),
            null(),
            null(),
            null(),
        ]);
    }
    rows.push(vec![
        id(i64::MAX),
        text(" trailing "),
        number("-0.5"),
        blob(b" "),
        null(),
        null(),
        null(),
    ]);
    rows
}

pub(super) async fn read(
    source: &dyn Source,
    table: &str,
    columns: &[Column],
) -> Result<Vec<Vec<Value>>> {
    let mut rows = scan(source, table, columns, &columns[..1], KeyRange::default()).await?;
    rows.sort_by_key(|row| match row[0] {
        Value::Int(id) => id,
        _ => panic!("a key that is no integer"),
    });
    Ok(rows)
}

#[tokio::test]
async fn every_dump_holds_every_awkward_value() {
    for (name, engine) in DUMPS {
        let path = fixture(name);
        let before = fs::read(&path).ok();
        let backup = BackupSpec { database: Some("awkward".into()), ..spec(&path) };
        let source = open_backup(&backup).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        let rows = read(&*source, "awkward", &columns()).await;
        let rows = rows.unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = awkward(*engine);
        for (row, wanted) in rows.iter().zip(&expected) {
            assert_eq!(row, wanted, "{name}");
        }
        assert_eq!(rows.len(), expected.len(), "{name}");
        let empty = [column("id", Carrier::Int), column("t", Carrier::Text)];
        assert!(read(&*source, "empty", &empty).await.unwrap().is_empty(), "{name}");
        assert_eq!(fs::read(&path).ok(), before, "{name} was changed");
        // The second time, and through compression.
        assert_eq!(read(&*source, "awkward", &columns()).await.unwrap(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_dump_says_what_is_in_it() {
    for (name, engine) in DUMPS {
        let backup = BackupSpec { database: Some("awkward".into()), ..spec(fixture(name)) };
        let inspection = inspect(&backup).await.unwrap();
        let tables: Vec<String> = inspection.tables.iter().map(|t| t.name.to_string()).collect();
        match engine {
            Engine::Sqlite => {
                assert!(inspection.kind.starts_with("SQLite dump"), "{name}");
                assert_eq!(tables, ["Odd name;", "awkward", "empty"]);
            }
            Engine::Postgres => {
                assert!(inspection.kind.starts_with("PostgreSQL"), "{name}");
                let known = [
                    "awkward",
                    "empty",
                    "measured",
                    "other.Odd name;",
                    "other.child",
                    "other.parent",
                ];
                assert_eq!(tables, known, "{name}");
                let measured =
                    inspection.tables.iter().find(|t| t.name.name == "measured").unwrap();
                assert!(matches!(measured.rows, None | Some(8)), "{name}");
            }
            Engine::Duckdb => {
                assert_eq!(inspection.kind, "DuckDB export");
                let known = ["awkward", "empty", "kinds", "one", "other.Odd \"name\";"];
                assert_eq!(tables, known, "{name}");
            }
            Engine::Mysql => {
                assert!(inspection.kind.starts_with("MySQL dump"), "{name}");
                let known = ["Odd name;", "awkward", "empty"];
                assert_eq!(
                    tables.iter().filter(|t| !t.starts_with("second.")).count(),
                    3,
                    "{name}"
                );
                assert!(known.iter().all(|known| tables.contains(&(*known).to_owned())), "{name}");
            }
        }
        let awkward =
            inspection.tables.iter().find(|t| t.name == TableName::bare("awkward")).unwrap();
        assert!(!awkward.columns.contains(&"twice".to_owned()), "{name}: a generated column");
        assert!(inspection.tables.iter().all(|t| t.problem.is_none()), "{name}");
    }
}

#[tokio::test]
async fn rows_of_partitions_are_their_roots() {
    let columns =
        [column("id", Carrier::Int), column("day", Carrier::Text), column("v", Carrier::Int)];
    for (name, _) in DUMPS.iter().filter(|(_, engine)| *engine == Engine::Postgres) {
        let source = open(fixture(name)).await;
        let mut rows = read(&*source, "measured", &columns).await.unwrap();
        rows.sort_by_key(|row| format!("{row:?}"));
        let mut expected = Vec::new();
        for id in 1..=4 {
            for day in ["2023-05-01", "2024-05-01"] {
                let day = Value::Text(day.into());
                expected.push(vec![Value::Int(id), day, Value::Int(10 * id)]);
            }
        }
        assert_eq!(rows, expected, "{name}");
        let tables = source.tables().await.unwrap();
        assert!(tables.iter().all(|t| !t.name.starts_with("measured_")), "{name}: {tables:?}");
    }
}

#[tokio::test]
async fn t12_moments_with_a_zone_come_in_utc() {
    use crate::model::table::{Fraction, TimeForm, Zone};
    let form = TimeForm { separator: Some(' '), fraction: Fraction::Fixed(6), zone: Zone::Offset };
    let tz = Column { time_form: Some(form), ..column("tz", Carrier::Text) };
    let columns = [column("id", Carrier::Int), tz];
    for (name, engine) in DUMPS.iter().filter(|(_, engine)| *engine != Engine::Sqlite) {
        let backup = BackupSpec { database: Some("awkward".into()), ..spec(fixture(name)) };
        let source = open_backup(&backup).await.unwrap();
        let rows = read(&*source, "awkward", &columns).await.unwrap();
        assert_eq!(rows[1][1], Value::Text("2024-02-29 18:29:59.500000+00:00".into()), "{name}");
        assert_eq!(rows[3][1], Value::Text("2024-03-31 00:30:00.000000+00:00".into()), "{name}");
        if *engine == Engine::Mysql {
            let zero = Value::Text("0000-00-00 00:00:00.000000".into());
            assert_eq!(rows[6][1], zero, "t20: a zero date is not NULL, {name}");
        }
    }
    let source = open(fixture("mysql/zone.sql")).await;
    let notes = format!("{:?}", source.origin().warnings);
    assert!(notes.contains("zone") && notes.contains("TIMESTAMP"), "{notes}");
}

#[tokio::test]
async fn t19_text_in_another_character_set_becomes_utf8() {
    let columns = |name| [column("id", Carrier::Int), column(name, Carrier::Text)];
    let source = open(fixture("postgres/latin1.sql")).await;
    let rows = read(&*source, "awkward", &columns("t")).await.unwrap();
    assert_eq!(rows[0][1], Value::Text("é\u{80}ß".into()));
    for (name, _) in DUMPS.iter().filter(|(_, engine)| *engine == Engine::Mysql) {
        let backup = BackupSpec { database: Some("awkward".into()), ..spec(fixture(name)) };
        let source = open_backup(&backup).await.unwrap();
        let rows = read(&*source, "awkward", &columns("l")).await.unwrap();
        assert_eq!(rows[1][1], Value::Text("é".into()), "{name}");
        assert_eq!(rows[3][1], Value::Text("ß€".into()), "{name}");
    }
}

#[tokio::test]
async fn sqlites_storage_classes_come_back() {
    let source = open(fixture("sqlite.dump.sql")).await;
    let x =
        Column { declared: String::new(), affinity: Affinity::Blob, ..column("x", Carrier::Int) };
    let rows = read(&*source, "awkward", &[column("id", Carrier::Int), x]).await.unwrap();
    let values: Vec<&Value> = rows.iter().map(|row| &row[1]).collect();
    let text = |bytes: &[u8]| Value::Text(bytes.to_vec());
    let expected = [
        Value::Null,
        Value::Int(1),
        Value::Real(1.0),
        text(b"1"),
        Value::Blob(b"1".to_vec()),
        Value::Real(f64::INFINITY),
        Value::Int(i64::MIN),
        text(b"\xc3("),
        Value::Real(123_456_789_012_345.67),
        text(b"\\n\n"),
    ];
    assert_eq!(values, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_dump_with_a_full_text_table_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.sql");
    let script = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'a');
        CREATE VIRTUAL TABLE words USING fts5(x); INSERT INTO words VALUES ('hello');";
    let dump = Command::new("sqlite3").args([":memory:", script, ".dump"]).output().unwrap();
    assert!(String::from_utf8_lossy(&dump.stdout).contains("'words_data'"), "{dump:?}");
    fs::write(&path, dump.stdout).unwrap();
    let columns = [column("id", Carrier::Int), column("x", Carrier::Text)];
    let rows = read(&*open(&path).await, "t", &columns).await.unwrap();
    assert_eq!(rows, [[Value::Int(1), Value::Text(b"a".to_vec())]]);
}

#[tokio::test]
async fn a_compressed_dump_is_the_same_dump() {
    let folder = tempfile::tempdir().unwrap();
    let plain = fs::read(fixture("mysql/extended.sql")).unwrap();
    let path = folder.path().join("dump.sql.gz");
    let mut gzip =
        flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    gzip.finish().unwrap();
    let source = open(&path).await;
    assert_eq!(read(&*source, "awkward", &columns()).await.unwrap(), awkward(Engine::Mysql));
    let found = find(&spec(&path)).await.unwrap();
    assert!(matches!(found.layout, Layout::Dump(..)), "{found:?}");
}

#[tokio::test]
async fn a_table_without_its_data_is_no_empty_table() {
    let backup = spec(fixture("mysql/no-data.sql"));
    let source = open_backup(&backup).await.unwrap();
    let error = read(&*source, "awkward", &columns()).await.unwrap_err();
    assert!(error.to_string().contains("no rows of it"), "{error}");
    let inspection = inspect(&backup).await.unwrap();
    assert!(inspection.tables.iter().all(|t| t.problem.is_some()));
}

#[tokio::test]
async fn w8_a_script_cut_anywhere_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in DUMPS.iter().filter(|(name, _)| name.ends_with(".sql")) {
        let whole = fs::read(fixture(name)).unwrap();
        let path = folder.path().join("cut.sql");
        let text = String::from_utf8_lossy(&whole);
        // From the end mark's own line on, nothing of the rows is lost.
        let mark = ["-- PostgreSQL database dump complete", "-- Dump completed", "COMMIT;"];
        let end = mark.iter().filter_map(|mark| text.rfind(mark)).max().unwrap();
        let end = end.min(whole.len());
        // Every byte of the smallest; of the others enough to meet every state.
        let step = if whole.len() < 2_500 { 1 } else { 29 };
        for cut in (0..end).step_by(step).chain(end - 20..end) {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = match inspect(&spec(&path)).await {
                Err(error) => error,
                Ok(_) => panic!("{name} cut at byte {cut} was read"),
            };
            // Before its sign a dump is no dump.
            assert!(cut < 400 || error.kind() == Kind::Damaged, "{name} cut at {cut}: {error}");
        }
    }
}

#[tokio::test]
async fn w8_an_archive_cut_anywhere_is_damaged_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let expected = awkward(Engine::Postgres);
    for name in [
        "gzip.dump",
        "none.dump",
        "piped.dump",
        "inserts.dump",
        "lz4.dump",
        "zstd.dump",
        "dump.tar",
    ] {
        let whole = fs::read(fixture("postgres").join(name)).unwrap();
        let path = folder.path().join("cut.dump");
        for cut in (0..whole.len()).step_by(whole.len() / 50 + 1) {
            fs::write(&path, &whole[..cut]).unwrap();
            let rows = match open_backup(&spec(&path)).await {
                Ok(source) => read(&*source, "awkward", &columns()).await,
                Err(error) => Err(error),
            };
            match rows {
                // The table's own block may stand before the cut.
                Ok(rows) => assert!(rows == expected, "{name} cut at {cut} lost rows"),
                Err(error) => {
                    assert!(cut < 300 || error.kind() == Kind::Damaged, "{name} at {cut}: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn w8_flipped_bits_of_an_archive_end_in_an_error_or_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.dump");
    let expected = awkward(Engine::Postgres);
    for name in ["gzip.dump", "zstd.dump", "none.dump"] {
        let whole = fs::read(fixture("postgres").join(name)).unwrap();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bit = (state >> 24) as usize % (whole.len() * 8);
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            let Ok(source) = open_backup(&spec(&path)).await else { continue };
            let Ok(rows) = read(&*source, "awkward", &columns()).await else { continue };
            // Plain rows and the contents carry no checksum.
            if name == "gzip.dump" {
                assert!(rows.len() == expected.len(), "bit {bit} of {name} lost rows");
            }
        }
    }
}

#[tokio::test]
async fn an_archive_of_a_version_to_come_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.dump");
    let mut bytes = fs::read(fixture("postgres/gzip.dump")).unwrap();
    bytes[6] = 99;
    fs::write(&path, &bytes).unwrap();
    let error = open_backup(&spec(&path)).await.unwrap_err();
    assert!(error.to_string().contains("version 1.99"), "{error}");
}

#[tokio::test]
async fn w10_an_archives_names_never_lead_out_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("directory");
    fs::create_dir(&directory).unwrap();
    let toc = fs::read(fixture("postgres/directory/toc.dat")).unwrap();
    let mut hostile = toc.clone();
    let files: Vec<usize> = memchr::memmem::find_iter(&toc, b".dat").map(|at| at - 4).collect();
    for at in &files {
        hostile[*at..at + 8].copy_from_slice(b"../../xx");
    }
    assert!(files.len() > 5);
    fs::write(directory.join("toc.dat"), &hostile).unwrap();
    let source = open(&directory).await;
    let error = read(&*source, "awkward", &columns()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

#[tokio::test]
async fn w5_commands_in_a_dump_are_refused_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.sql");
    let witness = folder.path().join("witness");
    let touch = format!("touch {}", witness.display());
    let postgres = fs::read(fixture("postgres/plain.sql")).unwrap();
    let mysql = fs::read(fixture("mysql/extended.sql")).unwrap();
    for (dump, line) in [
        (&postgres, format!("\\! {touch}")),
        (&postgres, format!("\\copy awkward from program '{touch}'")),
        (&postgres, "\\i other.sql".to_owned()),
        (&postgres, format!("COPY public.awkward FROM PROGRAM '{touch}';")),
        (&postgres, "DELETE FROM public.awkward;".to_owned()),
        (&mysql, format!("\\! {touch}")),
        (&mysql, format!("system {touch};")),
        (&mysql, "source other.sql;".to_owned()),
        (&mysql, "TRUNCATE TABLE awkward;".to_owned()),
        (&mysql, "LOAD DATA INFILE '/etc/passwd' INTO TABLE awkward;".to_owned()),
    ] {
        let at = memchr::memmem::rfind(dump, b"\n-- ").unwrap();
        let hostile = [&dump[..at], b"\n", line.as_bytes(), b"\n", &dump[at..]].concat();
        fs::write(&path, hostile).unwrap();
        let error = open_backup(&spec(&path)).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Refused | Kind::Damaged), "{line}: {error}");
        assert!(!witness.exists());
    }
}
