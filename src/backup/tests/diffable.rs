//! Folders of sqlite-diffable: what its rows tell, what they can't, and what damage does.

use super::dumps::{Engine, awkward, columns, fixture, read};
use super::*;
use crate::backup::inspect::inspect;
use crate::error::Kind;

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn untyped(name: &str) -> Column {
    Column { declared: String::new(), affinity: Affinity::Blob, ..column(name, Carrier::Int) }
}

/// A copy of a folder in `folder`.
fn copied(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join("dump");
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(fixture("diffable").join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    to
}

async fn rows(path: &Path) -> Result<Vec<Vec<Value>>> {
    read(&*open_backup(&spec(path)).await?, "awkward", &columns()).await
}

#[tokio::test]
async fn t2_storage_classes_come_back_from_json() {
    let source = open(fixture("diffable/plain")).await;
    let rows = read(&*source, "awkward", &[column("id", Carrier::Int), untyped("x")]).await;
    let values: Vec<Value> = rows.unwrap().into_iter().map(|row| row[1].clone()).collect();
    let expected = [
        Value::Null,
        Value::Int(1),
        Value::Real(1.0),
        text("1"),
        Value::Null,
        Value::Real(f64::INFINITY),
        Value::Int(i64::MIN),
        Value::Null,
        Value::Real(123_456_789_012_345.67),
        text("\\n\n"),
    ];
    assert_eq!(values, expected);
}

#[tokio::test]
async fn t2_what_may_be_text_or_bytes_is_not_guessed() {
    let source = open(fixture("diffable/unclear")).await;
    let id = column("id", Carrier::Int);
    let columns = [id.clone(), column("b", Carrier::Blob), column("n", Carrier::Int)];
    let found = read(&*source, "unclear", &columns).await.unwrap();
    let blob = |bytes: &[u8]| Value::Blob(bytes.to_vec());
    let expected = [
        [Value::Int(1), blob(b"\0\xff'\\\"\n"), Value::Int(1)],
        [Value::Int(2), text("a text"), Value::Int(2)],
        [Value::Int(3), blob(b""), Value::Int(3)],
    ];
    assert_eq!(found, expected);
    let notes = source.notes().join("\n");
    assert!(notes.contains("2 values of the form b'..' are taken for the BLOBs"), "{notes}");
    assert!(notes.contains("2 values of the form b'..' stand in columns"), "{notes}");
    assert!(format!("{:?}", source.origin().warnings).contains("no end mark"));
    for unclear in [column("t", Carrier::Text), untyped("x")] {
        let error = read(&*source, "unclear", &[id.clone(), unclear]).await.unwrap_err();
        assert!(error.is_unfit(), "{error}");
        assert!(error.to_string().contains("it is lost whether it was bytes"), "{error}");
    }
}

#[tokio::test]
async fn tables_have_the_names_that_their_metadata_tell() {
    let inspection = inspect(&spec(fixture("diffable/unclear"))).await.unwrap();
    let tables: Vec<String> = inspection.tables.iter().map(|t| t.name.to_string()).collect();
    assert_eq!(tables[..2], ["sl/ash", "unclear"]);
    // A virtual table has the columns of the list; SQLite's own tables are not read.
    let words = inspection.tables.iter().find(|table| table.name.name == "words").unwrap();
    assert_eq!(words.columns, ["body"]);
    assert!(!tables.iter().any(|name| name.starts_with("sqlite_")));
    let source = open(fixture("diffable/unclear")).await;
    let columns = [column("k", Carrier::Text), untyped("v")];
    let found = scan(&*source, "sl/ash", &columns, &[], KeyRange::default()).await.unwrap();
    assert_eq!(found, [[text("a\0"), Value::Int(0)]]);
}

#[tokio::test]
async fn a_folder_that_was_not_finished_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    for lost in ["awkward.metadata.json", "awkward.ndjson"] {
        let dump = copied("plain", folder.path());
        fs::remove_file(dump.join(lost)).unwrap();
        let error = open_backup(&spec(&dump)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{error}");
        assert!(error.to_string().contains(lost), "{error}");
    }
    let changes = [
        ("awkward.ndjson", "[3, \"\", ", "[3, "),
        ("awkward.ndjson", "[3, \"\", ", "[3, true, "),
        ("awkward.ndjson", "[3, \"\", ", "[3, [], "),
        ("awkward.ndjson", "[3, \"\", ", "[3] [\"\", "),
        ("awkward.ndjson", ", 2]\n", "]\n"),
        ("awkward.metadata.json", "\"n\",", "\"m\","),
        ("awkward.metadata.json", "\"n\",", ""),
        ("empty.metadata.json", "\"empty\"", "\"awkward\""),
    ];
    for (file, from, to) in changes {
        let dump = copied("plain", folder.path());
        let whole = fs::read_to_string(dump.join(file)).unwrap();
        assert!(whole.contains(from), "{from}");
        fs::write(dump.join(file), whole.replacen(from, to, 1)).unwrap();
        let error = rows(&dump).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{file}, {to}: {error}");
    }
}

#[tokio::test]
async fn w8_rows_cut_anywhere_are_damaged_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let expected = awkward(Engine::Sqlite);
    for file in ["awkward.metadata.json", "awkward.ndjson"] {
        let dump = copied("plain", folder.path());
        let whole = fs::read(dump.join(file)).unwrap();
        let step = if file == "awkward.ndjson" { 1 } else { 3 };
        for cut in (0..whole.len()).step_by(step) {
            fs::write(dump.join(file), &whole[..cut]).unwrap();
            match rows(&dump).await {
                Ok(rows) => {
                    let ends = cut == 0 || whole[cut - 1] == b'\n' || whole[cut] == b'\n';
                    assert!(file.ends_with(".ndjson") && ends, "{file} cut at {cut}");
                    assert!(expected.starts_with(&rows), "{file} cut at {cut}");
                }
                Err(error) => assert_eq!(error.kind(), Kind::Damaged, "{file} at {cut}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn w8_flipped_bits_of_rows_end_in_an_error_or_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for file in ["awkward.metadata.json", "awkward.ndjson"] {
        let dump = copied("plain", folder.path());
        let whole = fs::read(dump.join(file)).unwrap();
        for _ in 0..200 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bit = (state >> 24) as usize % (whole.len() * 8);
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(dump.join(file), &bytes).unwrap();
            // Text carries no checksum: another value may come of it, and never a panic.
            let read = match open_backup(&spec(&dump)).await {
                Ok(source) => scan(&*source, "awkward", &columns, &[], KeyRange::default()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                assert!(!format!("{error:?}").contains("decoder stopped"), "bit {bit}: {error:?}");
            }
        }
    }
}
