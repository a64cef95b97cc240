//! Tables of many Parquet files: Hive's partitions, a job's parts, exports of RDS.

use arrow::array::{Int64Array, StringArray};

use super::*;
use crate::backup::inspect::inspect;
use crate::error::Kind;
use crate::source::Survey;

/// Writes rows with these ids and names.
fn write(path: &Path, ids: &[i64]) {
    let names = ids.iter().map(|id| format!("name {id}"));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(names));
    let ids: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
    write_parquet(path, vec![("id", ids), ("name", names)], 3);
}

fn id() -> Column {
    column("id", Carrier::Int)
}

fn name() -> Column {
    column("name", Carrier::Text)
}

async fn surveyed(source: &dyn Source, table: &str, parts: usize) -> Survey {
    source.survey(&TableName::bare(table), &[id()], parts).await.unwrap()
}

async fn ids(source: &dyn Source, table: &str) -> Vec<i64> {
    let rows = scan(source, table, &[id()], &[id()], KeyRange::default()).await.unwrap();
    let int = |row: Vec<Value>| match row[0] {
        Value::Int(id) => id,
        _ => panic!("{row:?}"),
    };
    rows.into_iter().map(int).collect()
}

async fn fetched(source: &dyn Source, columns: &[Column], keys: &[i64]) -> Vec<Vec<Value>> {
    let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    let schema = Arc::new(Schema::new(vec![Field::new("id", keys.data_type().clone(), true)]));
    let keys = RecordBatch::try_new(schema, vec![keys]).unwrap();
    let table = source.tables().await.unwrap().remove(0);
    let batch = source.fetch(&table, columns, &[id()], &keys).await.unwrap();
    rows(&batch, columns)
}

#[tokio::test]
async fn partitions_tell_their_columns() {
    let root = tempfile::tempdir().unwrap();
    let events = root.path().join("events");
    for (folder, here) in [
        ("day=2024-03-14/shop=1", vec![1, 4]),
        ("day=2024-03-14/shop=__HIVE_DEFAULT_PARTITION__", vec![2]),
        ("day=2024-03-15/shop=a%2Fb", vec![3, 5, 6]),
    ] {
        write(&events.join(folder).join("data_0.parquet"), &here);
    }
    fs::write(events.join("_SUCCESS"), "").unwrap();
    let (day, shop) = (column("day", Carrier::Text), column("shop", Carrier::Text));
    // The root of tables, and the table itself.
    for path in [root.path(), &events] {
        let source = open(path).await;
        assert_eq!(source.tables().await.unwrap(), [TableName::bare("events")]);
        let names: Vec<String> = source
            .schema(&TableName::bare("events"))
            .await
            .unwrap()
            .columns
            .into_iter()
            .map(|column| column.name)
            .collect();
        assert_eq!(names, ["id", "name", "day", "shop"]);
        let survey = surveyed(&*source, "events", 2).await;
        assert_eq!((survey.rows, survey.ordered), (Some(6), false));
        let columns = [id(), day.clone(), shop.clone()];
        let read = fetched(&*source, &columns, &[1, 2, 3, 4, 6, 7]).await;
        let text = |text: &str| Value::Text(text.into());
        let row = |id, day, shop| vec![Value::Int(id), text(day), shop];
        let wanted = [
            row(1, "2024-03-14", text("1")),
            row(2, "2024-03-14", Value::Null),
            row(3, "2024-03-15", text("a/b")),
            row(4, "2024-03-14", text("1")),
            row(6, "2024-03-15", text("a/b")),
        ];
        assert_eq!(read, wanted);
        // None of the file's own columns is needed.
        let whole = KeyRange::default();
        let days =
            scan(&*source, "events", std::slice::from_ref(&day), &[id()], whole).await.unwrap();
        assert_eq!(days.len(), 6);
        assert_eq!(days.iter().filter(|row| row[0] == text("2024-03-15")).count(), 3);
    }
}

#[tokio::test]
async fn k4_parts_are_in_order_where_each_begins_behind_the_one_before() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("t.parquet");
    // The tenth comes behind the ninth, and an empty one between them.
    let parts = (0..12_i64).map(|n| (n, (n * 10..n * 10 + 10).collect::<Vec<_>>()));
    for (n, ids) in parts {
        write(&folder.join(format!("part-{n}-x.snappy.parquet")), &ids);
    }
    write(&folder.join("part-9-y.parquet"), &[]);
    let source = open(&folder).await;
    let all: Vec<i64> = (0..120).collect();
    assert_eq!(ids(&*source, "t").await, all);
    for wished in [1, 2, 3, 12, 40] {
        let survey = surveyed(&*source, "t", wished).await;
        assert_eq!((survey.rows, survey.ordered), (Some(120), true));
        assert!(survey.splits.len() < wished.max(1), "{wished} {survey:?}");
        assert!(wished == 1 || !survey.splits.is_empty(), "{wished} {survey:?}");
        let mut joined = Vec::new();
        for range in KeyRange::between(&survey.splits) {
            joined.extend(scan(&*source, "t", &[id(), name()], &[id()], range).await.unwrap());
        }
        assert_eq!(joined.len(), 120);
        assert!(joined.iter().zip(&all).all(|(row, id)| row[0] == Value::Int(*id)));
    }
    let keys = [5, 15, 99, 119, 120];
    let read = fetched(&*source, &[id()], &keys).await;
    assert_eq!(read.len(), 4);
    // A file that begins before the end of the one before it.
    write(&folder.join("part-12-z.parquet"), &[118, 130]);
    let source = open(&folder).await;
    assert!(!surveyed(&*source, "t", 4).await.ordered);
    assert_eq!(ids(&*source, "t").await.len(), 122);
}

#[tokio::test]
async fn w8_unfinished_and_strange_tables_of_parts_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let table = |name: &str| {
        let folder = root.path().join(name);
        write(&folder.join("part-0.parquet"), &[1]);
        folder
    };
    let error = async |folder: &Path| open_backup(&spec(folder)).await.unwrap_err();
    let unfinished = table("unfinished");
    fs::create_dir(unfinished.join("_temporary")).unwrap();
    let e = error(&unfinished).await;
    assert_eq!(e.kind(), Kind::Damaged, "{e}");
    assert!(e.to_string().contains("has not ended"), "{e}");
    let hudi = table("hudi");
    fs::create_dir(hudi.join(".hoodie")).unwrap();
    let e = error(&hudi).await;
    assert!(e.to_string().contains("log tells which of its files count"), "{e}");
    let delta = table("delta");
    fs::create_dir(delta.join("_delta_log")).unwrap();
    let e = error(&delta).await;
    assert!(e.to_string().contains("log tells which of its files count"), "{e}");
    let mixed = table("mixed");
    write(&mixed.join("day=1/a.parquet"), &[2]);
    let e = error(&mixed).await;
    assert!(e.to_string().contains("partitions of different columns"), "{e}");
    let text = root.path().join("text");
    write(&text.join("day=1/a.parquet"), &[2]);
    fs::write(text.join("day=1/b.csv"), "id\n3\n").unwrap();
    let e = error(&text).await;
    assert!(e.to_string().contains("b.csv is no Parquet file"), "{e}");
    // Beside other tables they are passed over, and that is said.
    let fine = table("fine");
    let source = open(root.path()).await;
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("fine")]);
    let warnings = &source.origin().warnings;
    for name in ["unfinished", "delta", "hudi", "mixed", "text"] {
        let start = format!("{name} is not read: ");
        assert!(warnings.iter().any(|line| line.starts_with(&start)), "{name} {warnings:?}");
    }
    // A part without one of the columns.
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![9]));
    write_parquet(&fine.join("part-1.parquet"), vec![("id", ids)], 3);
    let source = open(&fine).await;
    let e = scan(&*source, "fine", &[name()], &[id()], KeyRange::default()).await.unwrap_err();
    assert!(e.to_string().contains("differ in the columns name"), "{e}");
}

/// An export of the databases `app` and `shop`.
fn export(root: &Path, status: &str) {
    let info = serde_json::json!({
        "exportTaskIdentifier": "nightly", "status": status, "percentProgress": 100,
        "snapshotTime": "2024-03-14T02:00:00.000Z",
    });
    fs::write(root.join("export_info_nightly.json"), info.to_string()).unwrap();
    let told = |target: &str, status: &str| {
        let mapping = serde_json::json!({
            "columnName": "id", "originalType": "bigint", "expectedExportedType": "int64",
        });
        serde_json::json!({
            "target": target, "status": status,
            "schemaMetadata": {"originalTypeMappings": [mapping]},
        })
    };
    for (file, told) in [
        ("1_to_2", [told("app.public.events", "COMPLETE"), told("app.hr.staff", "COMPLETE")]),
        ("3_to_4", [told("app.public.huge", "SKIPPED"), told("shop.shop.orders", "COMPLETE")]),
    ] {
        let tables = serde_json::json!({ "perTableStatus": told }).to_string();
        fs::write(root.join(format!("export_tables_info_nightly_from_{file}.json")), tables)
            .unwrap();
    }
    let part = |table: &str, part: &str, ids: &[i64]| {
        write(&root.join(table).join(format!("{part}-0c6d.gz.parquet")), ids);
    };
    part("app/public.events/1", "part-00000", &[1, 2]);
    part("app/public.events/1", "part-00004", &[5]);
    part("app/public.events/10", "part-00000", &[11, 12]);
    part("app/public.events/2", "part-00000", &[7]);
    part("app/hr.staff", "part-00000", &[1]);
    part("app/public.huge/1", "part-00000", &[1]);
    part("shop/shop.orders/1", "part-00000", &[1]);
}

#[tokio::test]
async fn an_export_of_rds_is_read_where_it_is_complete() {
    let root = tempfile::tempdir().unwrap();
    export(root.path(), "COMPLETE");
    let named = BackupSpec { database: Some("app".into()), ..spec(root.path()) };
    let source = open_backup(&named).await.unwrap();
    let tables: Vec<String> =
        source.tables().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(tables, ["events", "hr.staff"]);
    assert_eq!(ids(&*source, "events").await, [1, 2, 5, 7, 11, 12]);
    assert!(surveyed(&*source, "events", 2).await.ordered);
    let origin = source.origin();
    assert_eq!(origin.kind, "RDS export");
    assert_eq!(origin.taken_at.as_deref(), Some("2024-03-14T02:00:00+00:00"));
    let said = |line: &str| origin.warnings.iter().any(|warning| warning.contains(line));
    assert!(said("public.huge is not read: the export tells that it is SKIPPED"), "{origin:?}");
    let told = inspect(&named).await.unwrap();
    assert_eq!(told.tables[0].rows, Some(6));
    let other = BackupSpec { database: Some("shop".into()), ..spec(root.path()) };
    let source = open_backup(&other).await.unwrap();
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("orders")]);
    let e = open_backup(&spec(root.path())).await.unwrap_err();
    assert!(e.to_string().contains("2 databases: app, shop"), "{e}");
    // A table that is told and has no files is none, and that is said.
    fs::remove_dir_all(root.path().join("app/hr.staff")).unwrap();
    let warnings = open_backup(&named).await.unwrap().origin().warnings.clone();
    assert!(warnings.iter().any(|w| w.starts_with("app.hr.staff has no files")), "{warnings:?}");
}

#[tokio::test]
async fn w8_an_export_of_rds_that_is_not_complete_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let error = async || {
        let e = open_backup(&spec(root.path())).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Damaged, "{e}");
        e.to_string()
    };
    export(root.path(), "IN_PROGRESS");
    assert!(error().await.contains("is IN_PROGRESS, not COMPLETE"));
    export(root.path(), "COMPLETE");
    let info = root.path().join("export_info_nightly.json");
    let whole = fs::read(&info).unwrap();
    for cut in 0..whole.len() {
        fs::write(&info, &whole[..cut]).unwrap();
        assert!(error().await.contains("does not tell of an export"));
    }
    fs::write(&info, whole).unwrap();
    for database in ["app", "shop"] {
        fs::remove_dir_all(root.path().join(database)).unwrap();
    }
    assert!(error().await.contains("holds none of its databases"));
    for file in ["1_to_2", "3_to_4"] {
        let name = format!("export_tables_info_nightly_from_{file}.json");
        fs::remove_file(root.path().join(name)).unwrap();
    }
    assert!(error().await.contains("no export_tables_info file"));
}
