//! Snapshots of our own: exact, checked, carried anew when live has changed.

use arrow::array::{BinaryArray, Int64Array, StringArray};
use sha2::{Digest, Sha256};

use super::*;
use crate::backup::manifest::{
    FORMAT_VERSION, FileFormat, MANIFEST, Manifest, ManifestFile, ManifestTable,
};
use crate::error::Kind;
use crate::model::table::{TableKind, TableSchema};
use crate::model::value::hex;
use crate::model::value::{ValueRef, push_exact};

fn schema(name: &str, columns: Vec<Column>) -> TableSchema {
    TableSchema {
        name: TableName::bare(name),
        kind: TableKind::Base,
        columns,
        keys: Vec::new(),
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        triggers: Vec::new(),
        rowid_alias: None,
        without_rowid: false,
        autoincrement: false,
        unwritable: None,
        left_out: Vec::new(),
        ddl: String::new(),
    }
}

/// A snapshot of a table `t` (id, a): in row 2, `a` is the INTEGER 7 and in row 3 a BLOB.
pub(super) fn snapshot(folder: &Path, database: &str, taken_at: &str) {
    let mut cells = [Vec::new(), Vec::new()];
    push_exact(&mut cells[0], "a", ValueRef::Int(7));
    push_exact(&mut cells[1], "a", ValueRef::Blob(b"\xff"));
    let exact = BinaryArray::from_opt_vec(vec![None, Some(&cells[0]), Some(&cells[1])]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("a", Arc::new(StringArray::from(vec![Some("x"), None, None]))),
        (EXACT, Arc::new(exact)),
    ];
    let file = folder.join("parquet/t.parquet");
    write_parquet(&file, columns, 100);
    let bytes = fs::read(&file).unwrap();
    let manifest = Manifest {
        format_version: FORMAT_VERSION.into(),
        tool: "test".into(),
        taken_at: taken_at.into(),
        host: "h".into(),
        database: database.into(),
        engine: "sqlite".into(),
        location: format!("/srv/{database}"),
        only: Vec::new(),
        tables: vec![ManifestTable {
            name: TableName::bare("t"),
            schema: schema("t", vec![column("id", Carrier::Int), column("a", Carrier::Text)]),
            rows: 3,
            ordered_by: vec!["id".into()],
            files: vec![ManifestFile {
                path: "parquet/t.parquet".into(),
                format: FileFormat::Parquet,
                bytes: bytes.len() as u64,
                sha256: hex(&Sha256::digest(&bytes)),
            }],
        }],
    };
    fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// Changes the manifest of a snapshot.
pub(super) fn change(folder: &Path, edit: impl FnOnce(&mut Manifest)) {
    let path = folder.join(MANIFEST);
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

async fn read(folder: &Path, columns: &[Column]) -> Result<Vec<Vec<Value>>> {
    let source = open_backup(&spec(folder)).await?;
    scan(&*source, "t", columns, &[], KeyRange::default()).await
}

fn int(i: i64) -> Value {
    Value::Int(i)
}

fn text(t: &str) -> Value {
    Value::Text(t.into())
}

#[tokio::test]
async fn t2_a_snapshot_gives_every_class_back() {
    let root = tempfile::tempdir().unwrap();
    snapshot(root.path(), "prod.db", "2024-03-14T02:00:00Z");
    let before = listing(root.path());
    let (id, a) = (column("id", Carrier::Int), column("a", Carrier::Text));
    let kept = Column { affinity: Affinity::Text, ..a.clone() };
    let rows = read(root.path(), &[id.clone(), kept]).await.unwrap();
    let blob = Value::Blob(b"\xff".into());
    assert_eq!(rows, [vec![int(1), text("x")], vec![int(2), int(7)], vec![int(3), blob.clone()]]);
    assert_eq!(read(root.path(), &[id]).await.unwrap(), [[int(1)], [int(2)], [int(3)]]);
    let loose = Column { affinity: Affinity::Blob, ..column("a", Carrier::Int) };
    let rows = read(root.path(), &[loose]).await.unwrap();
    assert_eq!(rows, [[text("x")], [int(7)], [blob.clone()]]);
    let number = column("a", Carrier::Real);
    let rows = read(root.path(), &[number]).await.unwrap();
    assert_eq!(rows, [[text("x")], [Value::Real(7.0)], [blob]]);
    assert_eq!(listing(root.path()), before);
}

#[tokio::test]
async fn w9_a_flipped_bit_anywhere_in_a_snapshots_file_is_found() {
    let root = tempfile::tempdir().unwrap();
    snapshot(root.path(), "prod.db", "2024-03-14T02:00:00Z");
    let file = root.path().join("parquet/t.parquet");
    let whole = fs::read(&file).unwrap();
    let columns = [column("id", Carrier::Int)];
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        let error = read(root.path(), &columns).await.unwrap_err();
        assert_eq!((error.kind(), error.kind().exit_code()), (Kind::Damaged, 7), "byte {at}");
    }
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        let error = read(root.path(), &columns).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "cut at {len}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(read(root.path(), &columns).await.unwrap().len(), 3);
}

#[tokio::test]
async fn w10_a_manifest_that_leads_out_of_its_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("s");
    snapshot(&folder, "prod.db", "2024-03-14T02:00:00Z");
    let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap();
    for path in ["../t.parquet", "/etc/passwd", "parquet/../../t.parquet", ""] {
        let bad = manifest.replace("parquet/t.parquet", path);
        fs::write(folder.join(MANIFEST), bad).unwrap();
        let error = open_backup(&spec(&folder)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{path}: {error}");
    }
    fs::write(folder.join(MANIFEST), &manifest).unwrap();
    let file = folder.join("parquet/t.parquet");
    fs::rename(&file, root.path().join("out.parquet")).unwrap();
    std::os::unix::fs::symlink(root.path().join("out.parquet"), &file).unwrap();
    let error = read(&folder, &[column("id", Carrier::Int)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

#[tokio::test]
async fn a_damaged_manifest_is_damage_and_a_newer_one_says_so() {
    let root = tempfile::tempdir().unwrap();
    snapshot(root.path(), "prod.db", "2024-03-14T02:00:00Z");
    let path = root.path().join(MANIFEST);
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    assert_eq!(open_backup(&spec(root.path())).await.unwrap_err().kind(), Kind::Damaged);
    let newer = manifest.replace(r#""format_version":"1""#, r#""format_version":"9""#);
    fs::write(&path, newer).unwrap();
    let error = open_backup(&spec(root.path())).await.unwrap_err();
    assert!(error.to_string().contains("has format 9"), "{error}");
}

/// The table of [`snapshot`] as JSON lines, `lines` of them.
fn json_snapshot(folder: &Path, lines: &str) {
    snapshot(folder, "prod.db", "2024-03-14T02:00:00Z");
    fs::remove_dir_all(folder.join("parquet")).unwrap();
    let bytes = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    fs::create_dir(folder.join("json")).unwrap();
    fs::write(folder.join("json/t.jsonl.zst"), &bytes).unwrap();
    let manifest = fs::read(folder.join(MANIFEST)).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&manifest).unwrap();
    manifest.tables[0].files = vec![ManifestFile {
        path: "json/t.jsonl.zst".into(),
        format: FileFormat::Jsonl,
        bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(&bytes)),
    }];
    fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[tokio::test]
async fn t2_a_snapshot_of_json_lines_gives_every_class_back() {
    let root = tempfile::tempdir().unwrap();
    let lines = r#"{"id":1,"a":"007"}
{"id":2,"a":7}
{"id":3,"a":{"$blob":"ff"}}
{"id":4,"a":{"$text":"ff"}}
{"id":5,"a":null}
"#;
    json_snapshot(root.path(), lines);
    let a = Column { affinity: Affinity::Blob, ..column("a", Carrier::Text) };
    let rows = read(root.path(), &[column("id", Carrier::Int), a]).await.unwrap();
    let cells: Vec<Value> = rows.into_iter().map(|mut row| row.remove(1)).collect();
    let (blob, bytes) = (Value::Blob(b"\xff".into()), Value::Text(b"\xff".into()));
    assert_eq!(cells, [text("007"), int(7), blob, bytes, Value::Null]);
    let file = root.path().join("json/t.jsonl.zst");
    let mut bad = fs::read(&file).unwrap();
    bad[9] ^= 1;
    fs::write(&file, bad).unwrap();
    let error = read(root.path(), &[column("id", Carrier::Int)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
}

#[tokio::test]
async fn an_empty_table_of_json_lines_has_its_columns_and_no_rows() {
    let root = tempfile::tempdir().unwrap();
    json_snapshot(root.path(), "");
    let source = open(root.path()).await;
    let table = TableName::bare("t");
    assert_eq!(source.schema(&table).await.unwrap().columns.len(), 2);
    let id = [column("id", Carrier::Int)];
    let survey = source.survey(&table, &id, 4).await.unwrap();
    assert_eq!((survey.rows, survey.ordered), (Some(0), true));
    assert!(scan(&*source, "t", &id, &id, KeyRange::default()).await.unwrap().is_empty());
}
