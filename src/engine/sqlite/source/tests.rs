//! Scans, look-ups and surveys of real files, against what SQLite itself says.

mod random;

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::engine::sqlite::open::tests::application;
use crate::engine::sqlite::open::{backup, live};
use crate::engine::sqlite::raw::Connection;
use crate::model::filter::{Comparison, Filter};
use crate::model::table::{Carrier, Collation};
use crate::model::value::{Cells, EXACT, Value, ValueRef, fits};
use crate::source::{KeyRange, Unfit};

type Cell = Value;

struct Fixture {
    _dir: TempDir,
    path: PathBuf,
}

impl Fixture {
    async fn new(statements: &[&str]) -> (Self, Connection) {
        let dir = tempdir().unwrap();
        let path = dir.path().join("app.db");
        let connection = application(&path).await;
        connection.execute("pragma synchronous = off").unwrap();
        for sql in statements {
            connection.execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        (Self { _dir: dir, path }, connection)
    }

    async fn source(statements: &[&str]) -> (Self, Arc<dyn Source>) {
        let (fixture, connection) = Self::new(statements).await;
        connection.close().await.unwrap();
        let source = fixture.open(2).await;
        (fixture, source)
    }

    async fn open(&self, parallelism: usize) -> Arc<dyn Source> {
        live(self.path.to_str().unwrap(), parallelism).await.unwrap()
    }
}

fn t() -> TableName {
    TableName::bare("t")
}

fn insert(connection: &Connection, sql: &str, values: &[Cell]) {
    let values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
    connection.prepare(sql).unwrap().run(&values).unwrap();
}

async fn request(source: &dyn Source, columns: &[&str], key: &[&str]) -> Scan {
    let schema = source.schema(&t()).await.unwrap();
    let pick = |names: &[&str]| names.iter().map(|n| schema.column(n).unwrap().clone()).collect();
    Scan {
        table: t(),
        columns: pick(columns),
        key: pick(key),
        range: KeyRange::default(),
        filter: None,
        unfit: Unfit::Refuse,
    }
}

fn cells(batch: &RecordBatch, columns: &[Column]) -> Vec<Vec<Cell>> {
    let names = columns.iter().map(|c| (&*c.name, &*c.name, c.carrier));
    let cells = Cells::new(batch, names, EXACT).unwrap();
    let row = |row| (0..columns.len()).map(|c| cells.get(row, c).unwrap().to_owned()).collect();
    (0..batch.num_rows()).map(row).collect()
}

async fn rows(source: &dyn Source, scan: Scan) -> Vec<Vec<Cell>> {
    let columns = scan.columns.clone();
    let mut stream = source.scan(scan).unwrap();
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        rows.extend(cells(&batch.unwrap(), &columns));
    }
    rows
}

async fn all(source: &dyn Source, columns: &[&str], key: &[&str]) -> Vec<Vec<Cell>> {
    rows(source, request(source, columns, key).await).await
}

fn text(s: &str) -> Cell {
    Value::Text(s.as_bytes().to_vec())
}

fn column(name: &str, carrier: Carrier, collation: Collation) -> Column {
    Column { collation, ..Column::new(name, carrier) }
}

#[tokio::test]
async fn t1_affinity_changes_nothing_that_is_stored() {
    let (_f, source) = Fixture::source(&[
        "create table t(id integer primary key, n numeric, i integer, r real, x text)",
        "insert into t values(1, '0123', 9223372036854775808, 1e400, 5), (2, 0.5, 7, -0.0, 1.50)",
        "insert into t values(3, 9007199254740993, 'abc', 3, x'00'), (4, null, null, null, null)",
    ])
    .await;
    let got = all(&*source, &["n", "i", "r", "x"], &["id"]).await;
    let (int, real) = (Value::Int, Value::Real);
    assert_eq!(got[0], [int(123), real(9.223_372_036_854_776e18), real(f64::INFINITY), text("5")]);
    assert_eq!(got[1][..2], [real(0.5), int(7)]);
    assert_eq!(got[1][3], text("1.5"));
    assert_eq!(got[2], [int(9007199254740993), text("abc"), real(3.0), Value::Blob(vec![0])]);
    assert_eq!(got[3], [Value::Null, Value::Null, Value::Null, Value::Null]);
}

fn odd_cells() -> Vec<Cell> {
    vec![
        Value::Null,
        Value::Int(0),
        Value::Int(i64::MIN),
        Value::Int((1 << 53) + 1),
        Value::Real(0.5),
        Value::Real(-0.0),
        Value::Real(3.0),
        Value::Real(f64::MAX),
        text(""),
        text("abc"),
        text("a\0b"),
        text("2026-03-10"),
        Value::Text(vec![0xff, 0xfe]),
        Value::Blob(vec![]),
        Value::Blob(b"abc".to_vec()),
    ]
}

/// A table whose every column holds every kind of value, whatever carrier it gets.
async fn odd() -> (Fixture, Arc<dyn Source>) {
    let (fixture, connection) =
        Fixture::new(&["create table t(id integer primary key, zz, b, a)"]).await;
    for a in odd_cells() {
        for b in odd_cells() {
            insert(
                &connection,
                "insert into t(zz, b, a) values(?, ?, ?)",
                &[a.clone(), b.clone(), a.clone()],
            );
        }
    }
    connection.close().await.unwrap();
    let source = fixture.open(1).await;
    (fixture, source)
}

#[tokio::test]
async fn t2_t3_t4_every_cell_travels_in_every_carrier() {
    let (_f, source) = odd().await;
    let wanted: Vec<Vec<Cell>> = odd_cells()
        .into_iter()
        .flat_map(|a| odd_cells().into_iter().map(move |b| vec![a.clone(), b, a.clone()]))
        .collect();
    let carriers = [Carrier::Int, Carrier::Real, Carrier::Number, Carrier::Text, Carrier::Blob];
    for first in carriers {
        for second in carriers {
            let mut scan = request(&*source, &["zz", "b", "a"], &["id"]).await;
            scan.columns[0].carrier = first;
            scan.columns[1].carrier = second;
            scan.columns[2].carrier = first;
            assert_eq!(rows(&*source, scan).await, wanted, "{first:?} {second:?}");
        }
    }
}

#[tokio::test]
async fn t2_equal_rows_have_equal_exact_bytes() {
    let (_f, source) = odd().await;
    let mut scan = request(&*source, &["zz", "b", "a"], &["id"]).await;
    for column in &mut scan.columns {
        column.carrier = Carrier::Int;
    }
    let mut turned = scan.clone();
    turned.columns.reverse();
    let mut streams = [source.scan(scan).unwrap(), source.scan(turned).unwrap()];
    let mut exact = Vec::new();
    for stream in &mut streams {
        let batch = stream.next().await.unwrap().unwrap();
        exact.push(batch.column_by_name(EXACT).unwrap().clone());
    }
    assert!(exact[0].null_count() > 0 && exact[0].null_count() < exact[0].len());
    assert_eq!(&exact[0], &exact[1]);
}

#[tokio::test]
async fn t4_utf16_databases_give_utf8() {
    let (_f, source) = Fixture::source(&[
        "pragma encoding = 'UTF-16le'",
        "create table t(k text primary key, v)",
        "insert into t values('\u{e9}', 'x'), ('a', '\u{1f600}'), ('\u{ffff}', 1), ('\u{10000}', 2)",
    ])
    .await;
    let scan = request(&*source, &["k", "v"], &["k"]).await;
    let survey = source.survey(&t(), &scan.key, 4).await.unwrap();
    assert!(!survey.ordered, "UTF-16 has another order");
    let mut got = rows(&*source, scan).await;
    got.sort_by(|a, b| match (&a[0], &b[0]) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    });
    assert_eq!(got[0], [text("a"), text("\u{1f600}")]);
    assert_eq!(got[3][0], text("\u{10000}"));
}

#[tokio::test]
async fn t16_generated_columns_are_read_and_marked() {
    let (_f, source) = Fixture::source(&[
        "create table t(id integer primary key, a, v as (a * 2) virtual, s as (a * 3) stored)",
        "insert into t(a) values(1), (2)",
    ])
    .await;
    let schema = source.schema(&t()).await.unwrap();
    let generated: Vec<bool> = schema.columns.iter().map(|c| c.generated).collect();
    assert_eq!(generated, [false, false, true, true]);
    let got = all(&*source, &["s", "v"], &["id"]).await;
    assert_eq!(got[1], [Value::Int(6), Value::Int(4)]);
}

#[tokio::test]
async fn c11_a_name_that_is_not_there_is_an_error() {
    let (_f, source) = Fixture::source(&[
        "create table t(id integer primary key, a)",
        "insert into t values(1, 2)",
    ])
    .await;
    let mut scan = request(&*source, &["a"], &["id"]).await;
    scan.columns[0].name = "gone".into();
    let e = source.scan(scan.clone()).unwrap().next().await.unwrap().unwrap_err();
    assert!(crate::error::Error::from(e).to_string().contains("no column gone"));
    scan.columns.clear();
    scan.key[0].name = "gone".into();
    assert!(source.scan(scan.clone()).unwrap().next().await.unwrap().is_err());
    scan.table = TableName::bare("sqlite_schema");
    let e = source.scan(scan).unwrap().next().await.unwrap().unwrap_err();
    assert!(crate::error::Error::from(e).to_string().contains("has no table"));
    assert!(source.schema(&TableName::bare("missing")).await.is_err());
}

#[tokio::test]
async fn k2_null_keys_come_first_and_in_the_first_range() {
    let (_f, source) = Fixture::source(&[
        "create table t(k text primary key, v)",
        "insert into t values('b', 1), (null, 2), ('a', 3), (null, 4)",
    ])
    .await;
    let scan = request(&*source, &["k"], &["k"]).await;
    assert!(source.survey(&t(), &scan.key, 2).await.unwrap().ordered);
    let got = rows(&*source, scan.clone()).await;
    assert_eq!(got, [[Value::Null], [Value::Null], [text("a")], [text("b")]]);
    let ranges = KeyRange::between(&[text("b")]);
    let first = rows(&*source, Scan { range: ranges[0].clone(), ..scan.clone() }).await;
    assert_eq!(first, [[Value::Null], [Value::Null], [text("a")]]);
    let second = rows(&*source, Scan { range: ranges[1].clone(), ..scan }).await;
    assert_eq!(second, [[text("b")]]);
}

#[tokio::test]
async fn k3_a_backup_is_ordered_by_lives_collation() {
    let (fixture, source) = Fixture::source(&[
        "create table t(k text primary key, v)",
        "insert into t values('b', 1), ('A', 2), ('a', 3), ('C', 4)",
    ])
    .await;
    source.release().await.unwrap();
    let source = backup(fixture.path.to_str().unwrap(), 1).await.unwrap();
    let mut scan = request(&*source, &["k"], &["k"]).await;
    let bytes: Vec<_> = rows(&*source, scan.clone()).await.into_iter().flatten().collect();
    assert_eq!(bytes, [text("A"), text("C"), text("a"), text("b")]);
    scan.key[0].collation = Collation::NoCase;
    let folded: Vec<_> = rows(&*source, scan.clone()).await.into_iter().flatten().collect();
    assert_eq!(folded[2..], [text("b"), text("C")]);
    scan.range.lower = Some(text("B"));
    assert_eq!(rows(&*source, scan.clone()).await, [[text("b")], [text("C")]]);
    let keys = batch_of(&scan.key, &[vec![text("A")], vec![text("zz")]]);
    let found = source.fetch(&t(), &scan.columns, &scan.key, &keys).await.unwrap();
    assert_eq!(found.num_rows(), 2, "a and A are one key to live");
}

#[tokio::test]
async fn k5_a_look_up_never_matches_another_class() {
    let (_f, source) = Fixture::source(&[
        "create table t(k text primary key, v)",
        "insert into t values('0', 1), ('5', 2), ('abc', 3)",
    ])
    .await;
    let scan = request(&*source, &["v"], &[]).await;
    let key = [column("k", Carrier::Int, Collation::Binary)];
    let keys = batch_of(&key, &[vec![Value::Int(0)], vec![Value::Int(5)]]);
    let found = source.fetch(&t(), &scan.columns, &key, &keys).await.unwrap();
    assert_eq!(found.num_rows(), 0);
}

#[tokio::test]
async fn damage_found_while_reading_names_the_backup() {
    let (fixture, connection) = Fixture::new(&[
        "create table t(id integer primary key, v)",
        "with recursive c(n) as (select 1 union all select n + 1 from c limit 2000) \
         insert into t select n, hex(randomblob(50)) from c",
    ])
    .await;
    connection.close().await.unwrap();
    let mut bytes = std::fs::read(&fixture.path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&fixture.path, bytes).unwrap();
    for (source, kind) in [
        (backup(fixture.path.to_str().unwrap(), 1).await.unwrap(), crate::error::Kind::Damaged),
        (fixture.open(1).await, crate::error::Kind::Failed),
    ] {
        let scan = Scan {
            table: t(),
            columns: vec![column("v", Carrier::Text, Collation::Binary)],
            key: vec![column("id", Carrier::Int, Collation::Binary)],
            range: KeyRange::default(),
            filter: None,
            unfit: Unfit::Refuse,
        };
        let mut stream = source.scan(scan).unwrap();
        let failed = loop {
            match stream.next().await.expect("it does not end well") {
                Ok(_) => {}
                Err(e) => break crate::error::Error::from(e),
            }
        };
        assert_eq!(failed.kind(), kind, "{failed}");
        assert!(failed.to_string().contains("app.db"), "{failed}");
        drop(stream);
        source.release().await.unwrap();
    }
}

const MANY: &str = "with recursive c(n) as (select 1 union all select n + 1 from c limit 40000) \
                    insert into t select n * 3, 'v' || n from c";

#[tokio::test]
async fn many_scans_share_one_connection_and_one_snapshot() {
    let (fixture, writer) = Fixture::new(&[
        "pragma journal_mode = wal",
        "create table t(id integer primary key, v)",
        MANY,
    ])
    .await;
    let source = fixture.open(1).await;
    writer.execute("delete from t").unwrap();
    let scan = request(&*source, &["id"], &["id"]).await;
    let survey = source.survey(&t(), &scan.key, 8).await.unwrap();
    assert_eq!((survey.rows, survey.ordered, survey.splits.len()), (Some(40_000), true, 7));
    let mut streams: Vec<_> = KeyRange::between(&survey.splits)
        .into_iter()
        .map(|range| source.scan(Scan { range, ..scan.clone() }).unwrap())
        .collect();
    // The last range is waited for first: no earlier one may hold it up.
    let mut ids = Vec::new();
    for stream in streams.iter_mut().rev() {
        while let Some(batch) = stream.next().await {
            ids.extend(cells(&batch.unwrap(), &scan.columns));
        }
    }
    assert_eq!(ids.len(), 40_000);
    writer.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_stream_gives_its_connection_back() {
    let (fixture, source) =
        Fixture::source(&["create table t(id integer primary key, v)", MANY]).await;
    let scan = request(&*source, &["id", "v"], &["id"]).await;
    for _ in 0..20 {
        let mut stream = source.scan(scan.clone()).unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
    }
    assert_eq!(rows(&*source, scan.clone()).await.len(), 40_000);
    source.release().await.unwrap();
    let writer = application(&fixture.path).await;
    writer.execute("delete from t").unwrap();
    writer.close().await.unwrap();
    assert!(source.scan(scan).unwrap().next().await.unwrap().is_err());
}

#[tokio::test]
async fn large_values_end_a_batch_early() {
    let (_f, source) = Fixture::source(&[
        "create table t(id integer primary key, v blob)",
        "with recursive c(n) as (select 1 union all select n + 1 from c limit 20) \
         insert into t select n, zeroblob(1000000) from c",
    ])
    .await;
    let scan = request(&*source, &["v"], &["id"]).await;
    let mut stream = source.scan(scan).unwrap();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.num_rows() < 12, "{}", first.num_rows());
}

#[tokio::test]
async fn splits_follow_the_keys_there_are() {
    let (_f, source) = Fixture::source(&[
        "create table t(id integer primary key, v)",
        "insert into t values(-9223372036854775807, 1)",
        "with recursive c(n) as (select 1 union all select n + 1 from c limit 20000) \
         insert into t select n, n from c",
        "insert into t values(9223372036854775807, 1)",
    ])
    .await;
    let scan = request(&*source, &["id"], &["id"]).await;
    let survey = source.survey(&t(), &scan.key, 4).await.unwrap();
    assert_eq!(survey.rows, Some(20_002));
    assert_eq!(survey.splits, [Value::Int(1), Value::Int(i64::MAX)]);
}

/// A batch of these keys in their carriers; all of them fit.
fn batch_of(key: &[Column], keys: &[Vec<Cell>]) -> RecordBatch {
    use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, StringArray};
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (index, column) in key.iter().enumerate() {
        let cells = keys.iter().map(|k| &k[index]);
        arrays.push(match column.carrier {
            Carrier::Int => Arc::new(
                cells
                    .map(|c| match c {
                        Value::Int(i) => Some(*i),
                        _ => None,
                    })
                    .collect::<Int64Array>(),
            ),
            Carrier::Text => Arc::new(
                cells
                    .map(|c| match c {
                        Value::Text(b) => Some(String::from_utf8(b.clone()).unwrap()),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
            Carrier::Blob => Arc::new(
                cells
                    .map(|c| match c {
                        Value::Blob(b) => Some(b.clone()),
                        _ => None,
                    })
                    .collect::<BinaryArray>(),
            ),
            _ => Arc::new(cells.map(|_| None).collect::<Float64Array>()),
        });
    }
    let fields: Vec<_> = key.iter().map(Column::field).collect();
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), arrays).unwrap()
}

#[tokio::test]
async fn fetch_gives_what_a_scan_gives() {
    for ddl in [
        "create table t(id integer primary key, v)",
        "create table t(id int, v, primary key(id)) without rowid",
        "create table t(id integer, v)",
    ] {
        let (_f, source) = Fixture::source(&[ddl, MANY]).await;
        let scan = request(&*source, &["v", "id"], &["id"]).await;
        let whole = rows(&*source, scan.clone()).await;
        // Dense, sparse, beside what is there, and out of bounds.
        for step in [1, 3, 7, 900] {
            let last = if ddl.ends_with("v)") && !ddl.contains("primary") { 300 } else { 100_000 };
            let wanted: Vec<i64> = (-6..last).step_by(step).collect();
            let keys: Vec<Vec<Cell>> = wanted.iter().map(|k| vec![Value::Int(*k)]).collect();
            let keys = batch_of(&scan.key, &keys);
            let got = source.fetch(&t(), &scan.columns, &scan.key, &keys).await.unwrap();
            let wanted: Vec<_> = whole
                .iter()
                .filter(|row| matches!(row[1], Value::Int(i) if wanted.binary_search(&i).is_ok()))
                .cloned()
                .collect();
            assert!(step == 900 || !wanted.is_empty());
            assert_eq!(cells(&got, &scan.columns), wanted, "{ddl} {step}");
        }
    }
}

#[tokio::test]
async fn fetch_gives_every_row_of_keys_that_do_not_ascend() {
    let (_f, source) = Fixture::source(&["create table t(id integer primary key, v)", MANY]).await;
    let scan = request(&*source, &["v", "id"], &["id"]).await;
    let there = rows(&*source, scan.clone()).await;
    let ids: Vec<i64> = (1..=40).map(|n| n * 3).collect();
    let odd = ids.iter().step_by(2).chain(ids.iter().skip(1).step_by(2)).copied().collect();
    for order in [ids.iter().rev().copied().collect::<Vec<i64>>(), odd] {
        let keys: Vec<Vec<Cell>> = order.iter().map(|k| vec![Value::Int(*k)]).collect();
        let keys = batch_of(&scan.key, &keys);
        let got = source.fetch(&t(), &scan.columns, &scan.key, &keys).await.unwrap();
        let row = |id: &i64| there.iter().find(|row| row[1] == Value::Int(*id)).cloned();
        let wanted: Vec<_> = order.iter().filter_map(row).collect();
        assert_eq!(cells(&got, &scan.columns), wanted, "{order:?}");
    }
}

#[tokio::test]
async fn a_filter_with_a_thousand_terms_is_left_to_the_reader() {
    let (_f, source) = Fixture::source(&["create table t(id integer primary key, v)", MANY]).await;
    let mut scan = request(&*source, &["id"], &["id"]).await;
    let terms = (0..5000).map(|n| Filter::Compare {
        column: "id".into(),
        op: Comparison::Eq,
        value: Value::Int(n),
    });
    scan.filter = Some(Filter::Or(terms.collect()));
    assert_eq!(rows(&*source, scan.clone()).await.len(), 40_000);
    let few = (0..9000).map(Value::Int).collect();
    scan.filter = Some(Filter::In { column: "id".into(), values: few });
    assert_eq!(rows(&*source, scan).await.len(), 2_999);
}

#[tokio::test]
async fn a_table_without_a_key_is_scanned_in_its_own_order() {
    let (_f, source) =
        Fixture::source(&["create table t(a)", "insert into t values('b'), ('a')"]).await;
    assert_eq!(source.tables().await.unwrap(), [t()]);
    let scan = request(&*source, &["a"], &[]).await;
    assert!(!source.survey(&t(), &[], 4).await.unwrap().ordered);
    assert_eq!(rows(&*source, scan.clone()).await, [[text("b")], [text("a")]]);
    let none = Scan { columns: Vec::new(), ..scan };
    let batch = source.scan(none).unwrap().next().await.unwrap().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, 1));
}
