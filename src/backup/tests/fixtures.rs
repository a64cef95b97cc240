//! Files that pandas wrote of a SQLite table: read into live's columns they must hold
//! exactly live's rows, or every diff shows differences that are none.

use super::*;
use crate::model::table::TableSchema;
use crate::registry::open_live;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pandas");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// Live's table and its rows in key order.
async fn live(root: &Path) -> (TableSchema, Vec<Vec<Value>>) {
    let path = root.join("live.sqlite");
    copy(&Path::new(FIXTURES).join("live.sqlite"), &path);
    let live = open_live(path.to_str().unwrap(), 1).await.unwrap();
    let schema = live.schema(&TableName::bare("people")).await.unwrap();
    let rows = all(&*live, "people", &schema).await;
    live.release().await.unwrap();
    assert_eq!(rows.len(), 60);
    (schema, rows)
}

/// All rows of a table as live's columns, by key.
async fn all(source: &dyn Source, table: &str, schema: &TableSchema) -> Vec<Vec<Value>> {
    let key = [schema.columns[0].clone()];
    let mut rows = scan(source, table, &schema.columns, &key, KeyRange::default()).await.unwrap();
    rows.sort_by_key(|row| match row[0] {
        Value::Int(id) => id,
        _ => panic!("{row:?}"),
    });
    rows
}

#[tokio::test]
async fn t5_pandas_parquet_has_no_phantom_differences() {
    let root = tempfile::tempdir().unwrap();
    let (schema, right) = live(root.path()).await;
    let take = Path::new(FIXTURES).join("20240529091442");
    let app = root.path().join("root/app/2024-05-29-09:14:42");
    copy(&take.join("parquet/people.parquet"), &app.join("parquet/people.parquet"));
    copy(&take.join("json/people.json.gz"), &app.join("json/people.json.gz"));
    let source = open(root.path().join("root")).await;
    assert_eq!(source.origin().kind, "dated folder of tables");
    assert_eq!(all(&*source, "people", &schema).await, right);
    let notes = source.notes();
    assert!(notes.iter().any(|n| n.starts_with("people.age: 48 values are a float")), "{notes:?}");

    let loose = Path::new(FIXTURES).join("loose");
    for name in ["indexed", "typed"] {
        let source = open(loose.join(format!("{name}.parquet"))).await;
        assert_eq!(all(&*source, name, &schema).await, right, "{name}");
    }
}

#[tokio::test]
async fn t5_pandas_json_and_csv_have_no_phantom_differences() {
    let root = tempfile::tempdir().unwrap();
    let (schema, right) = live(root.path()).await;
    let before = listing(Path::new(FIXTURES));
    let json = open(Path::new(FIXTURES).join("20240529091442/json/people.json.gz")).await;
    assert_eq!(json.origin().kind, "JSON lines file");
    assert_eq!(all(&*json, "people", &schema).await, right);
    let notes = json.notes();
    assert!(notes.iter().any(|n| n.contains("people.seen_at: 56 values are milli")), "{notes:?}");
    let csv = open(Path::new(FIXTURES).join("loose/people.csv")).await;
    assert_eq!(csv.origin().kind, "CSV file");
    assert_eq!(all(&*csv, "people", &schema).await, right);
    let notes = csv.notes();
    assert!(notes.iter().any(|n| n.contains("people.note: 8 values are an unquoted")), "{notes:?}");
    let key = [schema.columns[0].clone()];
    let survey = csv.survey(&TableName::bare("people"), &key, 4).await.unwrap();
    assert_eq!((survey.rows, survey.ordered), (Some(60), true));
    assert_eq!(listing(Path::new(FIXTURES)), before);
}
