//! Snapshots of real SQLite files, held against live itself.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::backup::detect::{BackupSpec, open_backup};
use crate::backup::manifest::Series;
use crate::engine::sqlite::raw::{Connection, quote};
use crate::model::value::ValueRef;
use crate::registry::open_live;
use crate::source::Unfit;

async fn connect(path: &Path) -> Connection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    Connection::open(&options).await.unwrap()
}

async fn database(path: &Path, statements: &[&str]) -> Connection {
    let connection = connect(path).await;
    for sql in statements {
        connection.execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    connection
}

async fn live(path: &Path) -> Arc<dyn Source> {
    open_live(path.to_str().unwrap(), 1).await.unwrap()
}

pub(super) async fn rows(
    source: &dyn Source,
    schema: &TableSchema,
    key: &[Column],
) -> Vec<Vec<Value>> {
    let stream = source
        .scan(Scan {
            table: schema.name.clone(),
            columns: schema.columns.clone(),
            key: key.to_vec(),
            range: KeyRange::default(),
            filter: None,
            unfit: Unfit::Refuse,
        })
        .unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        let named = schema.columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        let cells = Cells::new(batch, named, EXACT).unwrap();
        for row in 0..batch.num_rows() {
            let row = (0..schema.columns.len()).map(|c| cells.get(row, c).unwrap().to_owned());
            rows.push(row.collect());
        }
    }
    rows
}

/// Tables of every kind of key and column, filled with every awkward value.
async fn zoo(path: &Path) {
    let connection = database(
        path,
        &[
            "create table plain(id integer primary key, t text, i integer, r real, n numeric, b blob, x)",
            "create table pair(a text, b int, v decimal(10,2), primary key(a, b)) without rowid",
            "create table clean(a text, b int, v decimal(10,2), primary key(a, b)) without rowid",
            "create table folded(name text collate nocase primary key, v) without rowid",
            "create table loose(v, w text)",
            "create table \"od.d/na\"\"me\"(\"sel ect\" int primary key, \"ü\" datetime)",
            "create table made(id integer primary key, v int, twice int as (v * 2) stored, more as (v + 1))",
            "create table real_key(k real primary key, v)",
            "create table blobs(k blob primary key not null, v)",
            "create view seen as select * from plain",
            "create table none(a integer primary key)",
        ],
    )
    .await;
    let insert = |sql: &str, values: &[Value]| {
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        connection.prepare(sql).unwrap().run(&values).unwrap();
    };
    // some of the awkward values are the same key
    let offer = |sql: &str, values: &[Value]| {
        let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        if let Err(e) = connection.prepare(sql).unwrap().run(&values) {
            assert!(e.is_unique(), "{sql}: {e}");
        }
    };
    for (id, value) in awkward().into_iter().enumerate() {
        let v = || value.clone();
        let id = id as i64 * 3 - 20;
        insert("insert into plain values(?1, ?2, ?2, ?2, ?2, ?2, ?2)", &[Value::Int(id), v()]);
        insert("insert into loose values(?, ?)", &[v(), v()]);
        insert("insert into \"od.d/na\"\"me\" values(?, ?)", &[Value::Int(-id), v()]);
        if !matches!(value, Value::Null) {
            offer("insert into pair values(?1, ?2, ?1)", &[v(), Value::Int(id)]);
            let clean = Value::Text(format!("{:?}", value.as_ref()).into_bytes());
            offer("insert into clean values(?1, ?2, ?3)", &[clean, Value::Int(id), v()]);
            offer("insert into blobs values(?1, ?1)", &[v()]);
        }
        offer("insert into real_key values(?1, ?1)", &[v()]);
        insert("insert into made(id, v) values(?, ?)", &[Value::Int(id), Value::Int(id)]);
    }
    for name in ["b", "A", "a ", "B2", "_", "Z"] {
        offer("insert into folded values(?1, 1)", &[Value::Text(name.into())]);
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn t1_t2_t3_t4_a_snapshot_is_live_bit_by_bit() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("zoo.db");
    zoo(&path).await;
    let before = fs::read(&path).unwrap();
    let source = live(&path).await;
    let out = root.path().join("out");
    let taken = take(source.clone(), &options(&out, &BOTH), silent()).await.unwrap();
    assert_eq!(taken.manifest.engine, "sqlite");
    assert_eq!(taken.warnings.len(), 1, "it lies beside live: {:?}", taken.warnings);
    let names: Vec<&str> = taken.manifest.tables.iter().map(|t| t.name.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "blobs",
            "clean",
            "folded",
            "loose",
            "made",
            "none",
            "od.d/na\"me",
            "pair",
            "plain",
            "real_key"
        ],
        "no views"
    );
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());

    let spec = BackupSpec { path: taken.path.clone(), parallelism: 1, ..BackupSpec::default() };
    let backup = open_backup(&spec).await.unwrap();
    let mut seen = 0;
    for table in &taken.manifest.tables {
        let schema = source.schema(&table.name).await.unwrap();
        assert_eq!(schema, table.schema);
        assert!(schema.ddl.to_lowercase().contains("create table"), "{}", schema.ddl);
        let key: Vec<Column> =
            table.ordered_by.iter().map(|c| schema.require(c).unwrap().clone()).collect();
        let of_live = rows(source.as_ref(), &schema, &key).await;
        assert_eq!(of_live.len() as u64, table.rows);
        seen += of_live.len();

        let files: Vec<_> = table.files.iter().map(|f| taken.path.join(&f.path)).collect();
        let (parquet, _) = read_parquet(&files[0], &schema.columns);
        assert_eq!(parquet, of_live, "{}: Parquet", table.name);
        let jsonl = read_jsonl(&files[1], &schema.columns);
        assert_eq!(jsonl, of_live, "{}: JSON lines", table.name);
        // the backup's reader puts rows without a place in the order where it likes
        let mut of_backup = rows(backup.as_ref(), &schema, &key).await;
        let mut of_live = of_live;
        of_backup.sort_by_cached_key(|row| format!("{row:?}"));
        of_live.sort_by_cached_key(|row| format!("{row:?}"));
        assert_eq!(of_backup, of_live, "{}: as a backup", table.name);
    }
    assert!(seen > 150, "{seen}");
    let ordered = |name: &str| {
        let table = taken.manifest.tables.iter().find(|t| t.name.name == name).unwrap();
        table.ordered_by.join(",")
    };
    assert_eq!(ordered("plain"), "id");
    assert_eq!(ordered("clean"), "a,b");
    assert_eq!(ordered("pair"), "", "its keys hold misfits");
    assert_eq!(ordered("folded"), "name");
    assert_eq!((ordered("loose"), ordered("real_key")), (String::new(), String::new()));
    source.release().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), before, "taking it wrote nothing");
}

#[tokio::test]
async fn json_lines_alone_read_back_as_a_backup() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("zoo.db");
    zoo(&path).await;
    let source = live(&path).await;
    let out = root.path().join("out");
    let taken = take(source.clone(), &options(&out, &BOTH[1..]), silent()).await.unwrap();
    let spec = BackupSpec { path: taken.path.clone(), parallelism: 1, ..BackupSpec::default() };
    let backup = open_backup(&spec).await.unwrap();
    for table in &taken.manifest.tables {
        let schema = source.schema(&table.name).await.unwrap();
        let mut of_live = rows(source.as_ref(), &schema, &[]).await;
        let mut of_backup = rows(backup.as_ref(), &schema, &[]).await;
        of_backup.sort_by_cached_key(|row| format!("{row:?}"));
        of_live.sort_by_cached_key(|row| format!("{row:?}"));
        assert_eq!(of_backup, of_live, "{}", table.name);
    }
    source.release().await.unwrap();
}

/// Moves amounts between two tables, one transaction a move, as often as is allowed and
/// until it is told to stop. The sum over both tables never changes.
fn move_amounts(
    connection: &Connection,
    stop: &AtomicBool,
    moved: &AtomicI64,
    allowed: &AtomicI64,
) {
    let mut amount = 1;
    while !stop.load(Ordering::SeqCst) {
        if moved.load(Ordering::SeqCst) >= allowed.load(Ordering::SeqCst) {
            std::thread::yield_now();
            continue;
        }
        // a reader may hold the lock in rollback mode: then this move is not made
        if connection.execute("begin immediate").is_err() {
            continue;
        }
        let id = amount % 500;
        let both = [
            format!("update a set v = v - {amount} where id = {id}"),
            format!("update b set v = v + {amount} where id = {id}"),
            format!("insert into a values({}, {amount})", 1000 + amount),
            format!("insert into b values({}, -{amount})", 1000 + amount),
        ];
        let done = both.iter().all(|sql| connection.execute(sql).is_ok())
            && connection.execute("commit").is_ok();
        if done {
            moved.fetch_add(1, Ordering::SeqCst);
            amount += 1;
        } else if !connection.is_autocommit() {
            connection.execute("rollback").unwrap();
        }
    }
}

fn sum(path: &Path, schema: &TableSchema) -> (i64, usize) {
    let (rows, _) = read_parquet(path, &schema.columns);
    let amount = |row: &Vec<Value>| match row[1] {
        Value::Int(i) => i,
        _ => panic!("{row:?}"),
    };
    (rows.iter().map(amount).sum(), rows.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn g1_tables_agree_with_each_other_while_live_is_written() {
    for mode in ["wal", "delete"] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("bank.db");
        let connection = database(
            &path,
            &[
                &format!("pragma journal_mode = {mode}"),
                "pragma busy_timeout = 0",
                "create table a(id integer primary key, v integer)",
                "create table b(id integer primary key, v integer)",
                "with recursive n(i) as (select 0 union all select i + 1 from n where i < 499) \
                 insert into a select i, 1000 from n",
                "insert into b select id, 0 from a",
            ],
        )
        .await;
        let stop = Arc::new(AtomicBool::new(false));
        let moved = Arc::new(AtomicI64::new(0));
        let allowed = Arc::new(AtomicI64::new(0));
        let writer = {
            let (stop, moved, allowed) = (stop.clone(), moved.clone(), allowed.clone());
            std::thread::spawn(move || {
                move_amounts(&connection, &stop, &moved, &allowed);
                connection
            })
        };
        let mut sizes = std::collections::BTreeSet::new();
        for round in 0..12 {
            while moved.load(Ordering::SeqCst) < round * 20 {
                tokio::task::yield_now().await;
            }
            // these are made while the snapshot is taken, or wait for its end
            allowed.store((round + 1) * 20, Ordering::SeqCst);
            let out = root.path().join("out");
            let source = live(&path).await;
            let taken = take(source.clone(), &options(&out, &BOTH[..1]), silent()).await.unwrap();
            source.release().await.unwrap();
            let of = |index: usize| {
                let table = &taken.manifest.tables[index];
                sum(&taken.path.join(&table.files[0].path), &table.schema)
            };
            let ((a, rows), (b, other)) = (of(0), of(1));
            assert_eq!((a + b, rows), (500_000, other), "{mode}, round {round}");
            sizes.insert(rows);
        }
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap().close().await.unwrap();
        assert!(sizes.len() > 3, "{mode}: the writer wrote in between: {sizes:?}");
    }
}

#[tokio::test]
async fn k1_a_collated_or_missing_key_promises_no_byte_order() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("k.db");
    let words = ["b", "A", "c", "B2"];
    let inserts: Vec<String> =
        words.iter().map(|w| format!("insert into {} values('{w}')", quote("t"))).collect();
    let mut statements = vec!["create table t(k text collate nocase primary key not null)"];
    statements.extend(inserts.iter().map(String::as_str));
    database(&path, &statements).await.close().await.unwrap();
    let source = live(&path).await;
    let taken = take(source, &options(&root.path().join("o"), &BOTH[..1]), silent()).await.unwrap();
    let path = taken.path.join("parquet/t.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    assert!(reader.metadata().row_group(0).sorting_columns().is_none());
    let rows = read_parquet(&path, &taken.manifest.tables[0].schema.columns).0;
    let text = |row: &Vec<Value>| match &row[0] {
        Value::Text(b) => String::from_utf8(b.clone()).unwrap(),
        _ => panic!("{row:?}"),
    };
    assert_eq!(rows.iter().map(text).collect::<Vec<_>>(), ["A", "b", "B2", "c"]);
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
}

#[tokio::test]
async fn w1_a_file_is_told_by_its_canonical_path_however_it_was_named() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let mut series = Vec::new();
    for folder in ["a", "b"] {
        let folder = root.join(folder);
        fs::create_dir(&folder).unwrap();
        let file = folder.join("prod.db");
        database(&file, &["create table t (a)"]).await.close().await.unwrap();
        // Each is reached by the same link, as by a relative path from another folder.
        let link = root.join("current");
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let source = live(&link.join("prod.db")).await;
        let taken = take(source, &options(&root.join("out"), &BOTH[..1]), silent()).await.unwrap();
        assert_eq!(taken.manifest.location, file.to_str().unwrap());
        series.push(taken.manifest.series());
    }
    assert_ne!(series[0], series[1]);
    assert!(series.iter().all(Series::is_told));
}
