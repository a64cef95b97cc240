//! Exports of DuckDB: every type as text, Parquet under real names, and what damage does.

use super::dumps::{Engine, awkward, columns, fixture, read};
use super::*;
use crate::backup::inspect::inspect;
use crate::error::{Error, Kind};
use crate::model::table::{Fraction, TimeForm, Zone};

const CSV: [&str; 4] = ["plain", "options", "forced", "old"];

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// A copy of an export in `folder`.
fn copied(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join("export");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(fixture("duckdb").join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    to
}

async fn rows(path: &Path, table: &str, columns: &[Column]) -> Result<Vec<Vec<Value>>> {
    let backup = BackupSpec { tables: vec![table.to_owned()], ..spec(path) };
    read(&*open_backup(&backup).await?, table, columns).await
}

#[tokio::test]
async fn every_type_comes_back_from_csv() {
    let expected: [(&str, &str, &str); 27] = [
        ("i1", "-128", "0"),
        ("i2", "-32768", "0"),
        ("i8", "-9223372036854775808", "0"),
        ("u1", "255", "0"),
        ("u2", "65535", "0"),
        ("u4", "4294967295", "0"),
        ("u8", "18446744073709551615", "0"),
        ("h", "-170141183460469231731687303715884105728", "0"),
        ("uh", "340282366920938463463374607431768211455", "0"),
        ("d", "9999999999999999999999999999.9999999999", "0.0000000000"),
        ("f", "0.1", "NaN"),
        ("r", "Infinity", "-Infinity"),
        ("day", "2024-02-29", "infinity"),
        ("ts", "0044-03-15 01:02:03 BC", "infinity"),
        ("s", "2024-02-29 23:59:59", "1970-01-01 00:00:00"),
        ("ms", "2024-02-29 23:59:59.123", "1970-01-01 00:00:00"),
        ("ns", "2024-02-29 23:59:59.123456789", "1970-01-01 00:00:00"),
        ("tz", "2024-02-29 23:59:59.5+05:30", "-infinity"),
        ("ti", "12:34:56.789", "00:00:00"),
        ("span", "1 month 2 days 03:00:00", "00:00:00"),
        ("m", "sad", "ok"),
        ("bits", "10101", "0"),
        ("j", "{\"a\": [1, null]}", "null"),
        ("l", "['a,b', NULL, '\"']", "[]"),
        ("mp", "{k=1}", "{}"),
        ("st", "{'a': 1, 'b c': x}", "-"),
        ("fixed", "[1, 2]", "-"),
    ];
    let mut columns = vec![
        column("id", Carrier::Int),
        column("name", Carrier::Text),
        column("own", Carrier::Blob),
        column("u", Carrier::Text),
    ];
    columns.extend(expected.iter().map(|(name, ..)| column(name, Carrier::Text)));
    for name in CSV {
        let rows = rows(&fixture("duckdb").join(name), "kinds", &columns).await.unwrap();
        let own = Value::Blob(b"A\xff\\\"".to_vec());
        let uuid = text("00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(rows[0][..4], [Value::Int(1), text(""), own, uuid], "{name}");
        let own = Value::Blob(Vec::new());
        assert_eq!(rows[1][..4], [Value::Int(2), text("x"), own, Value::Null], "{name}");
        assert_eq!(rows[2][..2], [Value::Int(3), text("NULL")], "{name}");
        assert!(rows[2][2..].iter().all(|value| *value == Value::Null), "{name}");
        for (place, (column, first, second)) in expected.iter().enumerate() {
            // Versions before 1.3 put no quotes into nested values.
            if name == "old" && matches!(*column, "l" | "st") {
                continue;
            }
            assert_eq!(rows[0][4 + place], text(first), "{name}.{column}");
            let second = if *second == "-" { Value::Null } else { text(second) };
            assert_eq!(rows[1][4 + place], second, "{name}.{column}");
        }
    }
}

#[tokio::test]
async fn t5_an_empty_line_is_the_null_of_one_column() {
    let v = [column("v", Carrier::Text)];
    for name in CSV {
        let source = open(fixture("duckdb").join(name)).await;
        let rows = scan(&*source, "one", &v, &[], KeyRange::default()).await.unwrap();
        let rows: Vec<Value> = rows.into_iter().flatten().collect();
        assert_eq!(rows, [Value::Null, text(""), text("NULL"), text("x"), Value::Null], "{name}");
    }
}

#[tokio::test]
async fn tables_have_their_schemas() {
    for name in CSV.iter().chain(&["parquet"]) {
        let source = open(fixture("duckdb").join(name)).await;
        assert_eq!(source.origin().kind, "DuckDB export");
        let odd = TableName { schema: Some("other".into()), name: "Odd \"name\";".into() };
        assert!(source.tables().await.unwrap().contains(&odd), "{name}");
        let columns = [column("id", Carrier::Int), column("Select", Carrier::Text)];
        let rows = read(&*source, &odd.name, &columns).await.unwrap();
        assert_eq!(rows, [[Value::Int(1), text("x")]], "{name}");
        let told = format!("{:?}", source.origin().warnings);
        assert_eq!(told.contains("no end mark"), *name != "parquet", "{name}: {told}");
    }
}

#[tokio::test]
async fn parquet_is_read_under_real_names() {
    let folder = tempfile::tempdir().unwrap();
    let form =
        TimeForm { separator: Some(' '), fraction: Fraction::SixUnlessZero, zone: Zone::None };
    let mut columns = columns();
    columns[4].time_form = Some(form);
    let export = copied("parquet", folder.path());
    let found = rows(&export, "awkward", &columns).await.unwrap();
    assert_eq!(found, awkward(Engine::Duckdb));
    let inspection = inspect(&spec(&export)).await.unwrap();
    let tables: Vec<String> = inspection.tables.iter().map(|t| t.name.to_string()).collect();
    assert_eq!(tables, ["awkward", "empty", "kinds", "one", "other.Odd \"name\";"]);
    assert_eq!(inspection.tables[0].rows, Some(11));
    // A UUID is 16 bytes there, and text where live has text.
    for carrier in [Carrier::Text, Carrier::Blob] {
        let columns = [column("id", Carrier::Int), column("u", carrier)];
        let found = rows(&export, "kinds", &columns).await.unwrap();
        let uuid = match carrier {
            Carrier::Text => text("00112233-4455-6677-8899-aabbccddeeff"),
            _ => Value::Blob((0..16).map(|i| i * 0x11).collect()),
        };
        assert_eq!(
            found.iter().map(|row| &row[1]).collect::<Vec<_>>(),
            [&uuid, &Value::Null, &Value::Null]
        );
    }
    // As PER_THREAD_OUTPUT leaves it: a folder of files.
    fs::rename(export.join("awkward.parquet"), export.join("part")).unwrap();
    fs::create_dir(export.join("awkward.parquet")).unwrap();
    fs::rename(export.join("part"), export.join("awkward.parquet/data_0.parquet")).unwrap();
    assert_eq!(rows(&export, "awkward", &columns).await.unwrap(), awkward(Engine::Duckdb));
    // A file that is none of its tables' makes it two things.
    fs::copy(export.join("one.parquet"), export.join("two.parquet")).unwrap();
    let error = open_backup(&spec(&export)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    assert!(error.to_string().contains("two.parquet"), "{error}");
}

#[tokio::test]
async fn a_missing_part_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    for (name, lost) in [("plain", "one.csv"), ("parquet", "awkward.parquet")] {
        let export = copied(name, folder.path());
        fs::remove_file(export.join(lost)).unwrap();
        let error = open_backup(&spec(&export)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.to_string().contains(lost), "{error}");
    }
    for script in ["load.sql", "schema.sql"] {
        let export = copied("plain", folder.path());
        let text = fs::read_to_string(export.join(script)).unwrap();
        let lines = text.lines().filter(|line| !line.contains("one"));
        fs::write(export.join(script), lines.collect::<Vec<_>>().join("\n")).unwrap();
        let error = open_backup(&spec(&export)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{script}: {error}");
    }
}

/// Changes a script of a copy of `csv`; the error of reading it.
async fn changed(folder: &Path, script: &str, from: &str, to: &str) -> Error {
    let export = copied("plain", folder);
    let text = fs::read_to_string(export.join(script)).unwrap();
    assert!(text.contains(from));
    fs::write(export.join(script), text.replacen(from, to, 1)).unwrap();
    match open_backup(&spec(&export)).await {
        Err(error) => error,
        Ok(source) => read(&*source, "awkward", &columns()).await.unwrap_err(),
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let error = changed(folder, "load.sql", "quote '\"'", "dateformat '%d'").await;
    assert!(error.to_string().contains("dateformat %d"), "{error}");
    assert!(error.to_string().contains("load.sql line 1"), "{error}");
    let error = changed(folder, "schema.sql", "b BLOB", "b GEOMETRY").await;
    assert!(error.to_string().contains("GEOMETRY"), "{error}");
    let error = changed(folder, "load.sql", "COPY one", "DELETE FROM awkward;\nCOPY one").await;
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let error =
        changed(folder, "schema.sql", "CREATE VIEW", "INSERT INTO one VALUES (1); CREATE VIEW");
    let error = error.await;
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    let error = changed(folder, "schema.sql", "ok BOOLEAN", "okay BOOLEAN").await;
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    let export = copied("plain", folder);
    fs::remove_file(export.join("one.csv")).unwrap();
    fs::create_dir(export.join("one.csv")).unwrap();
    let error = open_backup(&spec(&export)).await.unwrap_err();
    assert!(error.to_string().contains("a folder of files"), "{error}");
    assert!(error.hints()[0].contains("PER_THREAD_OUTPUT"));
}

#[tokio::test]
async fn w10_an_export_is_read_within_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let export = copied("plain", folder.path());
    fs::rename(export.join("one.csv"), folder.path().join("one.csv")).unwrap();
    let load = fs::read_to_string(export.join("load.sql")).unwrap();
    fs::write(export.join("load.sql"), load.replace("/backups/nightly/plain/one", "../one"))
        .unwrap();
    let error = open_backup(&spec(&export)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    std::os::unix::fs::symlink("../one.csv", export.join("one.csv")).unwrap();
    let v = [column("v", Carrier::Text)];
    let source = open(&export).await;
    let error = scan(&*source, "one", &v, &[], KeyRange::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

#[tokio::test]
async fn w8_an_export_cut_anywhere_is_damaged_or_loses_whole_rows_only() {
    let folder = tempfile::tempdir().unwrap();
    let expected = awkward(Engine::Duckdb);
    for file in ["schema.sql", "load.sql", "awkward.csv"] {
        let export = copied("plain", folder.path());
        let whole = fs::read(export.join(file)).unwrap();
        let step = if file == "schema.sql" { 5 } else { 1 };
        for cut in (0..whole.len()).step_by(step) {
            fs::write(export.join(file), &whole[..cut]).unwrap();
            let at_line = whole[..cut].ends_with(b"\n");
            match rows(&export, "awkward", &columns()).await {
                Ok(rows) if file == "awkward.csv" => {
                    assert!(at_line && expected.starts_with(&rows), "{file} cut at {cut}");
                }
                Ok(rows) => assert_eq!(rows, expected, "{file} cut at {cut}"),
                Err(error) => assert_eq!(error.kind(), Kind::Damaged, "{file} at {cut}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn w8_flipped_bits_of_an_export_end_in_an_error_or_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for name in ["plain", "options", "forced", "parquet"] {
        let export = copied(name, folder.path());
        let end = if name == "parquet" { "parquet" } else { "csv" };
        for file in ["schema.sql", "load.sql", &format!("awkward.{end}")] {
            let whole = fs::read(export.join(file)).unwrap();
            for _ in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let bit = (state >> 24) as usize % (whole.len() * 8);
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                fs::write(export.join(file), &bytes).unwrap();
                let read = rows(&export, "awkward", &columns()).await;
                let told = format!("{:?}", read.as_ref().err());
                let panicked = name != "parquet" && told.contains("decoder stopped");
                assert!(!panicked, "bit {bit} of {name}/{file}: {told}");
                // gzip carries a checksum, DuckDB's Zstandard does not.
                if let (Ok(rows), true) = (read, file.ends_with("csv") && name == "options") {
                    assert_eq!(rows, awkward(Engine::Duckdb), "bit {bit} of {name}/{file}");
                }
            }
            fs::write(export.join(file), &whole).unwrap();
        }
    }
}
