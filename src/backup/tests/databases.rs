//! A database whose types are not live's, read as live has them. The database is a SQLite
//! file, live's columns are MySQL's: what stands here is true of any two engines.

use std::cmp::Ordering;

use super::*;
use crate::error::Error;
use crate::model::filter::{Comparison, Filter};
use crate::mount::memory::compare;
use crate::mount::order::usable_splits;
use crate::registry;
use crate::source::{Survey, Unfit};

fn my(name: &str, declared: &str, carrier: Carrier) -> Column {
    let affinity = Affinity::Mysql;
    Column { declared: declared.into(), affinity, ..Column::new(name, carrier) }
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

struct Opened {
    _folder: tempfile::TempDir,
    source: Arc<dyn Source>,
}

async fn database(sql: &str) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    registry::run_script(&path, sql).await.unwrap();
    let source = open_backup(&BackupSpec { parallelism: 3, ..spec(path) }).await.unwrap();
    Opened { _folder: folder, source }
}

impl Opened {
    /// Lets go of the file: what is merely dropped is held on to.
    async fn close(self) {
        self.source.release().await.unwrap();
    }

    async fn survey(&self, key: &[Column]) -> Survey {
        self.source.survey(&TableName::bare("t"), key, 4).await.unwrap()
    }

    async fn all(&self, columns: &[Column], key: &[Column]) -> Result<Vec<Vec<Value>>> {
        scan(&*self.source, "t", columns, key, KeyRange::default()).await
    }

    async fn refused(&self, columns: &[Column], key: &[Column]) -> Error {
        self.all(columns, key).await.unwrap_err()
    }

    /// What every source keeps: ranges between the splits hold each row once, in order where
    /// it says so, and each row is found by its key, those asked for alone, in their order.
    async fn keeps_the_contract(&self, columns: &[Column], key: &[Column]) {
        let whole = self.all(columns, key).await.unwrap();
        let survey = self.survey(key).await;
        let mut parts = Vec::new();
        for range in KeyRange::between(&usable_splits(&key[0], survey.splits)) {
            parts.extend(scan(&*self.source, "t", columns, key, range).await.unwrap());
        }
        assert_eq!(parts, whole);
        let mut sorted = whole.clone();
        sorted.sort_by(|a, b| {
            let orders = key.iter().enumerate().map(|(at, c)| compare(c, &a[at], &b[at]));
            orders.fold(Ordering::Equal, Ordering::then)
        });
        if survey.ordered {
            assert_eq!(sorted, whole);
        }
        let wanted: Vec<Vec<Value>> = sorted.iter().step_by(3).cloned().collect();
        let keys: Vec<Vec<Value>> = wanted.iter().map(|row| row[..key.len()].to_vec()).collect();
        let keys = crate::fit::carry::carry_rows(key, &keys).unwrap();
        let keys = keys.project(&(0..key.len()).collect::<Vec<_>>()).unwrap();
        let found = self.source.fetch(&TableName::bare("t"), columns, key, &keys).await.unwrap();
        assert_eq!(rows(&found, columns), wanted);
        // Without the key among the columns too.
        let rest = &columns[key.len()..];
        let found = self.source.fetch(&TableName::bare("t"), rest, key, &keys).await.unwrap();
        let wanted: Vec<Vec<Value>> =
            wanted.into_iter().map(|row| row[key.len()..].to_vec()).collect();
        assert_eq!(rows(&found, rest), wanted);
    }
}

const WIDE: &str = "create table t(id integer primary key, yes boolean, price numeric, big text,
        r real, note text, at text, day text, raw blob);
    insert into t values
        (1, 1, 0.99, '18446744073709551615', 0.1, 'a', '2024-02-29 10:00:00', '2024-02-29', x'00ff'),
        (2, 0, 5, '0', 1e300, '', '2024-02-29T10:00:00.25', '0000-00-00', x''),
        (3, null, null, null, null, null, null, null, null),
        (4, 1, -12.5, '9223372036854775808', 3, 'ümläut', '0000-00-00 00:00:00', '1000-01-01', 'text');
    with recursive n(i) as (select 5 union all select i + 1 from n where i < 300)
    insert into t(id, price, note) select i, i / 4.0, 'n' || i from n;";

fn wide() -> Vec<Column> {
    vec![
        my("id", "bigint(20) unsigned", Carrier::Unsigned),
        my("yes", "tinyint(1)", Carrier::Int),
        my("price", "decimal(10,2)", Carrier::Decimal { precision: 10, scale: 2 }),
        my("big", "bigint(20) unsigned", Carrier::Unsigned),
        my("r", "double", Carrier::Real),
        my("note", "varchar(20)", Carrier::Text),
        my("at", "datetime(3)", Carrier::Stamp),
        my("day", "date", Carrier::Date),
    ]
}

#[tokio::test]
async fn values_become_those_of_lives_types() {
    let opened = database(WIDE).await;
    let columns = wide();
    let rows = opened.all(&columns, &columns[..1]).await.unwrap();
    let int = Value::Int;
    let stamp = |micros: i64| Value::Stamp(1_709_200_800_000_000 + micros);
    assert_eq!(
        rows[0],
        [
            int(1),
            int(1),
            Value::Decimal(99, 2),
            Value::Unsigned(u64::MAX),
            Value::Real(0.1),
            text("a"),
            stamp(0),
            Value::Date(19_782)
        ]
    );
    assert_eq!(rows[1][2..4], [Value::Decimal(500, 2), int(0)]);
    assert_eq!(rows[1][6..], [stamp(250_000), text("0000-00-00")]);
    assert_eq!(rows[2][1..], vec![Value::Null; 7]);
    assert_eq!(rows[3][2..4], [Value::Decimal(-1250, 2), Value::Unsigned(1 << 63)]);
    assert_eq!(rows[3][4..7], [Value::Real(3.0), text("ümläut"), text("0000-00-00 00:00:00")]);
    let notes = opened.source.notes().join("\n");
    assert!(notes.contains("t.price: 224 values are a float where live has decimals"), "{notes}");
    opened.keeps_the_contract(&columns, &columns[..1]).await;
    opened.close().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_table_column_and_key() {
    let opened = database(WIDE).await;
    let id = wide().remove(0);
    for (column, found) in [
        (my("raw", "varbinary(9)", Carrier::Blob), "id 4 holds the text \"text\""),
        (my("big", "bigint(20)", Carrier::Int), "id 1 holds the integer 18446744073709551615"),
        (my("price", "int(11)", Carrier::Int), "id 1 holds the float 0.99"),
        (my("note", "varchar(3)", Carrier::Text), "id 4 holds the text \"ümläut\""),
        (my("at", "datetime", Carrier::Stamp), "id 2 holds"),
        (my("r", "float", Carrier::Real), "id 2 holds the float 1e300, which is no single"),
    ] {
        let name = format!("backup column t.{} in the row with {found}", column.name);
        let error = opened.refused(&[id.clone(), column], std::slice::from_ref(&id)).await;
        assert!(error.to_string().contains(&name), "{error}, not {name}");
        assert!(error.hints().iter().any(|h| h.contains("--ignore")), "{error:?}");
    }
    opened.close().await;
}

#[tokio::test]
async fn k4_a_key_of_another_type_comes_unordered_and_is_found_by_its_value() {
    let opened = database(
        "create table t(k text primary key, v text);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 40)
         insert into t select i, 'v' || i from n;",
    )
    .await;
    let columns = [my("k", "int(11)", Carrier::Int), my("v", "text", Carrier::Text)];
    let survey = opened.survey(&columns[..1]).await;
    assert!(!survey.ordered && survey.splits.is_empty() && survey.rows == Some(40));
    opened.keeps_the_contract(&columns, &columns[..1]).await;
    let lower = KeyRange { lower: Some(Value::Int(5)), upper: None };
    let error = scan(&*opened.source, "t", &columns, &columns[..1], lower).await.unwrap_err();
    assert!(error.to_string().contains("no order"), "{error}");
    opened.close().await;
}

#[tokio::test]
async fn k4_keys_keep_the_databases_order_only_where_it_is_lives() {
    let opened = database(
        "create table t(i integer, s text, b blob unique, c text collate nocase, primary key(i, s));
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
         insert into t select i / 10, 's' || i || ' ', cast(i as blob), 'C' || i from n;",
    )
    .await;
    let int = my("i", "int(11)", Carrier::Int);
    let free = my("s", "varchar(20)", Carrier::Text);
    let coarse =
        Column { collation: Collation::Coarse("utf8mb4_general_ci".into()), ..free.clone() };
    let cut = my("s", "char(20)", Carrier::Text);
    let raw = my("b", "varbinary(20)", Carrier::Blob);
    let filled = my("b", "binary(20)", Carrier::Blob);
    let none = my("c", "varchar(20)", Carrier::Text);
    for (key, ordered) in [
        (vec![int.clone(), free.clone()], true),
        (vec![int.clone(), coarse], true),
        (vec![int.clone(), cut], false),
        (vec![raw], true),
        (vec![filled], false),
    ] {
        let survey = opened.survey(&key).await;
        assert_eq!(survey.ordered, ordered, "{key:?}");
        assert_eq!(survey.splits.is_empty(), key[0].carrier != Carrier::Int || !ordered);
        let columns: Vec<Column> = key.iter().chain([&none]).cloned().collect();
        if key.len() > 1 || ordered {
            opened.keeps_the_contract(&columns, &key).await;
        }
    }
    // Bounds that only live's type can say.
    let wide = my("i", "bigint(20) unsigned", Carrier::Unsigned);
    let count = |lower: Option<Value>, upper: Option<Value>| {
        let (columns, key) = ([wide.clone()], [wide.clone(), free.clone()]);
        let source = Arc::clone(&opened.source);
        async move {
            scan(&*source, "t", &columns, &key, KeyRange { lower, upper }).await.unwrap().len()
        }
    };
    let far = || Some(Value::Unsigned(1 << 63));
    assert_eq!(count(far(), None).await, 0);
    assert_eq!(count(None, far()).await, 20_000);
    assert_eq!(count(Some(Value::Int(2000)), far()).await, 1);
    opened.close().await;
}

#[tokio::test]
async fn only_filters_that_mean_the_same_are_left_to_the_database() {
    let opened = database(
        "create table t(id integer primary key, n integer, s text, p numeric);
         insert into t values (1, 1, '1', 1), (2, 2, '2', 2), (3, null, null, null), (4, 4, '4', 4);",
    )
    .await;
    let columns = [
        my("ID", "int(11)", Carrier::Int),
        my("N", "int(11)", Carrier::Int),
        my("s", "int(11)", Carrier::Int),
        my("p", "decimal(4,1)", Carrier::Decimal { precision: 4, scale: 1 }),
    ];
    let from = |column: &str, value| Filter::Compare {
        column: column.into(),
        op: Comparison::GtEq,
        value,
    };
    let is_null = |name: &str| Filter::IsNull(name.into());
    let two = || Value::Int(2);
    let cases = [
        (from("N", two()), 2),
        (is_null("N"), 1),
        (Filter::In { column: "ID".into(), values: vec![Value::Int(1), Value::Int(9)] }, 1),
        (from("s", two()), 4),
        (is_null("p"), 4),
        (Filter::And(vec![from("s", two()), from("N", two())]), 2),
        (Filter::Or(vec![from("s", two()), from("N", two())]), 4),
        (Filter::Or(vec![is_null("N"), from("N", Value::Int(4))]), 2),
    ];
    for (filter, kept) in cases {
        let stream = opened.source.scan(Scan {
            table: TableName::bare("t"),
            columns: columns.to_vec(),
            key: columns[..1].to_vec(),
            range: KeyRange::default(),
            filter: Some(filter.clone()),
            unfit: Unfit::Refuse,
        });
        let batches: Vec<RecordBatch> = stream.unwrap().try_collect().await.unwrap();
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(count, kept, "{filter:?}");
    }
    opened.close().await;
}

#[tokio::test]
async fn c12_a_column_that_was_altered_since_is_read_as_it_is_now() {
    let opened = database(
        "create table t(id integer primary key, n text, s integer);
         insert into t values (1, '007', 7), (2, 'x', null), (3, x'00', 'y');",
    )
    .await;
    let columns =
        [column("id", Carrier::Int), column("n", Carrier::Int), column("s", Carrier::Text)];
    let rows = opened.all(&columns, &columns[..1]).await.unwrap();
    let row = |id, n, s| vec![Value::Int(id), n, s];
    let wanted = [
        row(1, Value::Int(7), text("7")),
        row(2, text("x"), Value::Null),
        row(3, Value::Blob(vec![0]), text("y")),
    ];
    assert_eq!(rows, wanted, "as SQLite would store them");
    opened.keeps_the_contract(&columns, &columns[..1]).await;
    // Of the same types all passes through, misfits and all.
    let own = opened.source.schema(&TableName::bare("t")).await.unwrap().columns;
    let rows = opened.all(&own, &own[..1]).await.unwrap();
    assert_eq!(rows[0], row(1, text("007"), Value::Int(7)));
    assert_eq!(rows[2], row(3, Value::Blob(vec![0]), text("y")));
    opened.close().await;
}
