use std::fs;

use super::*;
use crate::backup::manifest::MANIFEST;
use crate::model::table::{Carrier, Collation};
use crate::model::value::Value;
use crate::progress::silent;
use crate::snapshot::memory::{Memory, column, table};
use crate::snapshot::take::{TakeOptions, take};

async fn taken(root: &Path, keys: &[&str]) -> PathBuf {
    let mut key = column("k", Carrier::Text);
    key.collation = Collation::NoCase;
    let schema = table("t", vec![key, column("v", Carrier::Int)], 1);
    let rows = keys.iter().map(|k| vec![Value::Text(k.as_bytes().to_vec()), Value::Int(1)]);
    let options = TakeOptions {
        out: root.to_owned(),
        formats: vec![FileFormat::Parquet, FileFormat::Jsonl],
        tables: vec![],
        host: "h".into(),
        database: "d".into(),
        tool: "0".into(),
        now: chrono::DateTime::parse_from_rfc3339("2024-05-29T11:14:42+02:00").unwrap(),
    };
    let source = Arc::new(Memory::new(vec![(schema, rows.collect())]));
    take(source, &options, silent()).await.unwrap().path
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

async fn damage(folder: &Path) -> Vec<String> {
    let report = check(folder, silent()).await.unwrap();
    assert_eq!(report.is_whole(), report.damaged().count() == 0);
    report.files.into_iter().filter_map(|f| f.damage).collect()
}

#[tokio::test]
async fn a_whole_snapshot_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let folder = taken(root.path(), &["a", "B", "c"]).await;
    assert_eq!(damage(&folder).await, [""; 0]);
}

#[tokio::test]
async fn w9_every_flipped_or_missing_byte_is_found() {
    let root = tempfile::tempdir().unwrap();
    let folder = taken(root.path(), &["a", "b", "c"]).await;
    for file in ["parquet/t.parquet", "json/t.jsonl.zst"] {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(damage(&folder).await.len(), 1);
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(damage(&folder).await[0].contains("bytes, the manifest says"));
        fs::remove_file(&path).unwrap();
        assert!(damage(&folder).await[0].contains("unreadable"));
        fs::write(&path, whole).unwrap();
    }
    assert!(damage(&folder).await.is_empty());
}

#[tokio::test]
async fn rows_order_and_columns_are_held_against_the_manifest() {
    let root = tempfile::tempdir().unwrap();
    let folder = taken(root.path(), &["a", "b", "c"]).await;
    edit(&folder, "\"rows\": 3", "\"rows\": 4");
    let found = damage(&folder).await;
    assert!(found.len() == 2 && found[0].contains("3 rows, the manifest says 4"), "{found:?}");

    let folder = taken(root.path(), &["a", "c", "B"]).await;
    let found = damage(&folder).await;
    assert!(found.len() == 2 && found.iter().all(|d| d.contains("row 2 is out")), "{found:?}");

    let folder = taken(root.path(), &["a", "b"]).await;
    edit(&folder, "\"name\": \"v\"", "\"name\": \"w\"");
    let found = damage(&folder).await;
    assert!(found.len() == 2 && found.iter().all(|d| d.contains("columns")), "{found:?}");
}

#[tokio::test]
async fn a_folder_without_a_manifest_is_an_error_of_damage() {
    let root = tempfile::tempdir().unwrap();
    let folder = taken(root.path(), &["a"]).await;
    fs::remove_file(folder.join(MANIFEST)).unwrap();
    let e = check(&folder, silent()).await.unwrap_err();
    assert_eq!(e.kind().exit_code(), 7);
}
