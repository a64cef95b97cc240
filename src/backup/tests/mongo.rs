//! MongoDB's dumps and exports as backups, from the path to live's rows.

use super::*;
use crate::backup::detect::find;
use crate::backup::inspect::inspect;
use crate::error::{Error, Kind};
use crate::model::table::{Fraction, TimeForm, Zone};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mongo").join(name)
}

fn of_database(path: impl Into<PathBuf>, database: &str) -> BackupSpec {
    BackupSpec { database: Some(database.into()), ..spec(path) }
}

async fn read(source: &dyn Source, table: &str, columns: &[Column]) -> Vec<Vec<Value>> {
    let rows = scan(source, table, columns, &columns[..1], KeyRange::default()).await;
    let mut rows = rows.unwrap_or_else(|e| panic!("{table}: {e} {:?}", e.hints()));
    rows.sort_by_key(|row| match &row[0] {
        Value::Text(id) => id.clone(),
        _ => panic!("a key that is no text"),
    });
    rows
}

async fn fails(spec: &BackupSpec) -> Error {
    open_backup(spec).await.map(|_| ()).unwrap_err()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// `awkward` as a live SQLite database would have it.
fn columns() -> Vec<Column> {
    let form = TimeForm { separator: Some(' '), fraction: Fraction::Fixed(3), zone: Zone::None };
    vec![
        column("_id", Carrier::Text),
        column("i", Carrier::Int),
        column("t", Carrier::Text),
        Column { time_form: Some(form), ..column("at", Carrier::Text) },
        column("b", Carrier::Blob),
        column("u", Carrier::Blob),
        column("o", Carrier::Text),
        Column { declared: "BOOLEAN".into(), ..column("ok", Carrier::Int) },
        column("x", Carrier::Text),
    ]
}

#[tokio::test]
async fn every_awkward_value_comes_into_lives_columns() {
    let mut all = Vec::new();
    for path in [
        "dump",
        "dump-gzip",
        "dump/shop",
        "dump/shop/awkward.bson",
        "dump.archive",
        "canonical.json",
    ] {
        let before = listing(&fixture("dump"));
        let source = open_backup(&of_database(fixture(path), "shop")).await.unwrap();
        let table = if path == "canonical.json" { "canonical" } else { "awkward" };
        let rows = read(&*source, table, &columns()).await;
        assert_eq!(rows.len(), 13, "{path}");
        let id = |end: &str| text(&format!("65f1c0de00000000000000{end}"));
        let null = || Value::Null;
        assert_eq!(
            rows[4],
            [
                id("05"),
                Value::Int(9_007_199_254_740_993),
                text("😀 é 東京"),
                text("0001-01-01 00:00:00.000"),
                Value::Blob((0..16).collect()),
                null(),
                null(),
                null(),
                text(concat!(
                    r#"{"a":[{"$numberInt":"1"},{"b":{"$numberLong":"2"}},"#,
                    r#"{"$numberDouble":"2.5"},null,true],"":"é\n\"\\\u0000","<&>":[[]]}"#
                )),
            ],
            "{path}"
        );
        assert_eq!(
            rows[3][2..5],
            [
                text("nul\0 and \x1a"),
                text("1969-12-31 23:59:59.999"),
                Value::Blob(b"\0\xff".into()),
            ]
        );
        assert_eq!((&rows[2][7], &rows[3][7]), (&Value::Int(0), &Value::Int(1)));
        // The bytes of a UUID where live has bytes, and digits that are no number.
        let uuid = b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
        assert_eq!(rows[10][5], Value::Blob(uuid.to_vec()));
        assert_eq!(rows[10][6], text("123456789012345678901234"));
        // Null and absent are NULL both.
        assert!(rows[0][1..].iter().chain(&rows[1][1..]).all(|value| *value == Value::Null));
        let notes = source.notes().join("\n");
        assert!(notes.contains(".t: 3 values are a row without this member"), "{notes}");
        assert_eq!(listing(&fixture("dump")), before);
        all.push(rows.into_iter().map(|row| row[..8].to_vec()).collect::<Vec<_>>());
    }
    assert!(all.iter().all(|rows| *rows == all[0]));
}

#[tokio::test]
async fn numbers_keep_their_values_or_are_refused() {
    let source = open(fixture("dump/shop/awkward.bson")).await;
    let id = column("_id", Carrier::Text);
    let real = column("d", Carrier::Real);
    let wanted = |unfit| Scan {
        table: TableName::bare("awkward"),
        columns: vec![id.clone(), real.clone()],
        key: vec![id.clone()],
        range: KeyRange::default(),
        filter: None,
        unfit,
    };
    // SQLite has no NaN.
    let refused = source.scan(wanted(Unfit::Refuse)).unwrap().try_collect::<Vec<_>>().await;
    let error = Error::from(refused.unwrap_err());
    assert!(error.is_unfit() && error.to_string().contains("NaN"), "{error}");
    // An ObjectId may have none but decimal digits.
    let wrong = [id.clone(), column("o", Carrier::Number)];
    let error = scan(&*source, "awkward", &wrong, &wrong[..1], KeyRange::default()).await;
    let error = error.unwrap_err();
    assert!(error.is_unfit() && error.to_string().contains("the id 1234"), "{error}");
    let digits = column("q", Carrier::Text);
    let rows = read(&*source, "awkward", &[id.clone(), digits]).await;
    let digits: Vec<&Value> = rows.iter().map(|row| &row[1]).collect();
    assert_eq!(digits[4], &text("1234567890123456789012345678901234"));
    assert_eq!((digits[5], digits[6]), (&text("1E+6111"), &text("NaN")));
    assert_eq!((digits[8], digits[9]), (&text("-Infinity"), &text("1.50")));

    let postgres = |name: &str, declared: &str, carrier| Column {
        declared: declared.into(),
        affinity: Affinity::Postgres,
        ..Column::new(name, carrier)
    };
    let columns = [
        postgres("_id", "text", Carrier::Text),
        postgres("d", "double precision", Carrier::Real),
        postgres("u", "uuid", Carrier::Text),
        postgres("x", "text", Carrier::Text),
    ];
    let rows = read(&*source, "awkward", &columns).await;
    let double = |row: usize| match rows[row][1] {
        Value::Real(r) => r,
        ref other => panic!("{other:?}"),
    };
    assert!(double(6).is_nan() && double(7) == f64::INFINITY && double(8) == f64::NEG_INFINITY);
    assert_eq!(double(3).to_bits(), (-0.0_f64).to_bits());
    assert_eq!((double(4), double(5)), (5e-324, f64::MAX));
    assert_eq!(rows[10][2], text("00112233-4455-6677-8899-aabbccddeeff"));
    assert_eq!(rows[7][3], text(r#"{"$timestamp":{"t":4294967295,"i":7}}"#));
    // What the types hold of the moments, and a year that they have no text of.
    let at = postgres("at", "timestamp with time zone", Carrier::Instant);
    let moments = [columns[0].clone(), at];
    let error = scan(&*source, "awkward", &moments, &moments[..1], KeyRange::default()).await;
    let error = error.unwrap_err();
    assert!(error.is_unfit() && error.to_string().contains("-292275055-05-16"), "{error}");
}

#[tokio::test]
async fn a_dump_of_several_databases_is_that_of_lives_name() {
    for dump in ["dump", "dump-gzip", "dump.archive"] {
        let path = fixture(dump);
        let source = open_backup(&of_database(&path, "shop")).await.unwrap();
        assert_eq!(source.origin().kind, "folder of mongodump's");
        let names: Vec<String> =
            source.tables().await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["awkward", "café s/2", "empty"], "{dump}");
        assert!(read(&*source, "empty", &columns()[..1]).await.is_empty());
        let warnings = source.origin().warnings.join("\n");
        assert!(warnings.contains("seen is a view"), "{warnings}");
        assert_eq!(warnings.contains("no end mark"), dump == "dump", "{warnings}");
        // What belongs to the server is no second choice, unless it is what is asked for.
        let source = open_backup(&of_database(&path, "other")).await.unwrap();
        let warnings = source.origin().warnings.join("\n");
        assert!(warnings.contains("the backup is of shop, live is called other"), "{warnings}");
        let source = open_backup(&of_database(&path, "admin")).await.unwrap();
        assert_eq!(source.tables().await.unwrap(), [TableName::bare("system.version")]);
    }
    let root = tempfile::tempdir().unwrap();
    for name in ["shop", "blog"] {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::copy(fixture("dump/shop/awkward.bson"), root.path().join(name).join("awkward.bson"))
            .unwrap();
    }
    fs::write(root.path().join("prelude.json"), "{}").unwrap();
    let error = fails(&of_database(root.path(), "prod")).await;
    assert_eq!(error.kind(), Kind::Usage);
    let told = error.to_string();
    assert!(told.contains("2 databases, none of them called prod: blog, shop"), "{told}");
    assert!(error.hints()[0].ends_with("/blog"), "{:?}", error.hints());
    fs::write(root.path().join("t.csv"), "id\n1\n").unwrap();
    let error = fails(&spec(root.path())).await.to_string();
    assert!(error.contains("mongodump") && error.contains("t.csv"), "{error}");
}

#[tokio::test]
async fn a_collection_whose_rows_are_gone_is_no_empty_table() {
    let root = tempfile::tempdir().unwrap();
    let shop = root.path().join("shop");
    fs::create_dir(&shop).unwrap();
    for name in ["awkward.bson", "empty.metadata.json", "seen.metadata.json"] {
        fs::copy(fixture("dump/shop").join(name), shop.join(name)).unwrap();
    }
    let source = open(&shop).await;
    let warnings = source.origin().warnings.join("\n");
    assert!(warnings.contains("empty has metadata and no rows"), "{warnings}");
    let error = source.schema(&TableName::bare("empty")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert!(error.to_string().contains("empty.bson is not there"), "{error}");
    let told = inspect(&spec(&shop)).await.unwrap();
    assert_eq!(told.tables.len(), 2);
    assert!(told.tables[0].problem.is_none() && told.tables[1].problem.is_some(), "{told:?}");
    // An empty file by itself may be one that was cut at its beginning.
    fs::write(shop.join("empty.bson"), "").unwrap();
    let error = fails(&spec(shop.join("empty.bson"))).await;
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    assert_eq!(open(&shop).await.schema(&TableName::bare("empty")).await.unwrap().columns, []);
}

#[tokio::test]
async fn what_else_stands_in_a_folder_of_a_dump_is_told() {
    let root = tempfile::tempdir().unwrap();
    let shop = root.path().join("shop");
    fs::create_dir_all(shop.join("stray")).unwrap();
    fs::copy(fixture("dump/shop/awkward.bson"), shop.join("awkward.bson")).unwrap();
    fs::copy(fixture("canonical.json"), shop.join("awkward.json")).unwrap();
    fs::write(shop.join("prelude.json"), "{}").unwrap();
    fs::write(shop.join("stray/out.bson"), "").unwrap();
    let found = find(&spec(&shop)).await.unwrap();
    let warnings = found.warnings.join("\n");
    assert!(warnings.contains("awkward.json is not read: another file"), "{warnings}");
    assert!(warnings.contains("stray/ holds BSON too, and is not read"), "{warnings}");
    // A file of the root is none of a database.
    fs::write(root.path().join("oplog.bson"), "").unwrap();
    let found = find(&spec(root.path())).await.unwrap();
    assert!(found.warnings.join("\n").contains("oplog.bson is not applied"), "{found:?}");
    // Beside other tables it is a guess which are meant.
    fs::write(shop.join("t.csv"), "id\n1\n").unwrap();
    let error = fails(&spec(&shop)).await.to_string();
    assert!(error.contains("mongodump") && error.contains("t.csv"), "{error}");
}

#[tokio::test]
async fn what_mongodump_itself_wrote_is_read() {
    let key = [column("_id", Carrier::Text)];
    let count = |source: Arc<dyn Source>, table: &'static str| {
        let key = key.clone();
        async move { read(&*source, table, &key).await.len() }
    };
    let source = open_backup(&of_database(fixture("real/dump"), "db1")).await.unwrap();
    assert!(source.origin().warnings.join("\n").contains("oplog.bson is not applied"));
    assert_eq!(count(source, "c1").await, 5);
    assert_eq!(count(open(fixture("real/gzip")).await, "foo").await, 1);
    let tables = open(fixture("real/names")).await.tables().await.unwrap();
    assert_eq!(tables[1], TableName::bare("cafés"));
    assert!(tables[0].name.ends_with("ExactlyTwoHundredAndFortySevenCharacters"), "{tables:?}");
    assert_eq!(tables[0].name.len(), 247);
    let series = open(fixture("real/series")).await;
    let warnings = series.origin().warnings.join("\n");
    assert!(warnings.contains("foo_ts is a time series"), "{warnings}");
    assert!(
        warnings.contains("system.buckets.foo_ts holds a time series in buckets"),
        "{warnings}"
    );
    assert_eq!(series.tables().await.unwrap(), [TableName::bare("system.buckets.foo_ts")]);
    // Archives have ends and checksums, so that there is nothing to warn of.
    let source = open(fixture("real/oplog.archive")).await;
    let warnings = &source.origin().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("oplog.bson is not"), "{warnings:?}");
    assert_eq!(count(source, "foo").await, 25);
    let source = open(fixture("real/series.archive")).await;
    let warnings = source.origin().warnings.join("\n");
    assert!(warnings.contains("foo_ts is a time series"), "{warnings}");
    assert!(!warnings.contains("unfinished"), "{warnings}");
    assert_eq!(count(source, "system.buckets.foo_ts").await, 10);
}

#[tokio::test]
async fn a_document_as_long_as_gzips_sign_is_no_gzip() {
    let mut document = bson::raw::RawDocumentBuf::new();
    // The first bytes of the length 0x8b1f are those of gzip.
    document.append(bson::raw::cstr!("_id"), "x".repeat(0x8b1f - 15));
    assert_eq!(document.as_bytes()[..4], [0x1f, 0x8b, 0, 0]);
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.bson");
    fs::write(&path, document.as_bytes()).unwrap();
    let source = open(&path).await;
    assert_eq!(source.origin().kind, "BSON file");
    assert_eq!(read(&*source, "t", &[column("_id", Carrier::Text)]).await.len(), 1);
}

#[tokio::test]
async fn w8_an_archive_cut_anywhere_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dump.archive");
    for (name, step) in [("dump.archive", 11), ("real/oplog.archive", 37)] {
        let whole = fs::read(fixture(name)).unwrap();
        for cut in (4..whole.len()).step_by(step).chain(whole.len() - 4..whole.len()) {
            fs::write(&path, &whole[..cut]).unwrap();
            let error = fails(&of_database(&path, "shop")).await;
            assert_eq!(error.kind(), Kind::Damaged, "{name} cut at {cut}: {error}");
            assert!(error.to_string().contains("dump.archive"), "{error}");
        }
    }
}

#[tokio::test]
async fn w9_flipped_bits_of_an_archives_documents_are_seen() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dump.archive");
    let whole = fs::read(fixture("dump.archive")).unwrap();
    let source = open_backup(&of_database(fixture("dump.archive"), "shop")).await.unwrap();
    let expected = read(&*source, "awkward", &columns()).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut found = 0;
    for turn in 0..200 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let bit = (state >> 24) as usize % (whole.len() * 8);
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        match open_backup(&of_database(&path, "shop")).await {
            Err(_) => found += 1,
            // What the prelude tells is not under the checksum: names, and what a view is.
            Ok(source) => match source.tables().await.unwrap() {
                tables if tables.iter().all(|table| table.name != "awkward") => found += 1,
                _ => assert!(
                    read(&*source, "awkward", &columns()).await == expected,
                    "turn {turn}, bit {bit} went unseen"
                ),
            },
        }
    }
    assert!(found > 100, "only {found} of 200 were noticed");
}

#[tokio::test]
async fn w10_names_of_an_archive_never_lead_out_of_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("dump.archive");
    let archive = |database: &str, name: &str| {
        let mut head = bson::raw::RawDocumentBuf::new();
        head.append(bson::raw::cstr!("db"), database);
        head.append(bson::raw::cstr!("collection"), name);
        let version = bson::raw::RawDocumentBuf::new();
        let mut end = head.clone();
        end.append(bson::raw::cstr!("EOF"), true);
        let mark = &[0xff; 4][..];
        let magic = &[0x6d, 0xe2, 0x99, 0x81][..];
        [magic, version.as_bytes(), head.as_bytes(), mark, end.as_bytes(), mark].concat()
    };
    for (database, name) in [("..", "t"), ("a/b", "t"), (".hidden", "t"), ("a\0", "t"), ("a", "")] {
        fs::write(&path, archive(database, name)).unwrap();
        let error = fails(&spec(&path)).await;
        assert_eq!(error.kind(), Kind::Refused, "{database} {name}: {error}");
    }
    for name in ["../../t", "/etc/passwd", ".", "..", "a\0b", &"é".repeat(100)] {
        fs::write(&path, archive("db", name)).unwrap();
        let tables = open(&path).await.tables().await.unwrap();
        assert_eq!(tables.len(), 1, "{tables:?}");
        // One that is too long for a file is told by metadata, of which there are none here.
        assert!(name.len() > 100 || tables[0].name == *name, "{tables:?}");
    }
}

#[tokio::test]
async fn a_dump_on_a_stream_is_known_by_its_bytes() {
    use crate::backup::place::Input;
    for (name, table) in [("dump.archive", "awkward"), ("dump/shop/awkward.bson", "awkward")] {
        let bytes = fs::read(fixture(name)).unwrap();
        let backup = BackupSpec {
            input: Some(Input::new(std::io::Cursor::new(bytes))),
            tables: vec![table.into()],
            ..of_database("-", "shop")
        };
        let source = open_backup(&backup).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read(&*source, table, &columns()).await.len(), 13, "{name}");
    }
}
