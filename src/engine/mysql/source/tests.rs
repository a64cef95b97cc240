//! Reading a real server.

use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::engine::mysql::address::Address;
use crate::engine::mysql::catalogue::Table;
use crate::engine::mysql::dense::Dense;
use crate::engine::mysql::open::source;
use crate::engine::mysql::pool::Pool;
use crate::engine::mysql::query::Pages;
use crate::engine::mysql::session::{Purpose, Session};
use crate::engine::tests::reading::{key_of, scanned, schema, whole, words};
use crate::model::filter::{Comparison, Filter};
use crate::model::side::Which;
use crate::model::table::{Carrier, Collation, Column, TableName};
use crate::model::value::{Cells, Value, fits};
use crate::mount::memory::compare;
use crate::source::{KeyRange, Scan, Source};

#[path = "../../../../tests/common/mariadb.rs"]
#[allow(dead_code, unreachable_pub)]
pub(in crate::engine::mysql) mod mariadb;

use mariadb::{Database, Server};

async fn open(database: &Database) -> std::sync::Arc<dyn Source> {
    source(&database.url(), Which::Live, 3).await.unwrap()
}

/// The rows of some batches.
fn cells(batches: &[RecordBatch], columns: &[Column]) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for batch in batches {
        let cells = Cells::of(batch, columns).unwrap();
        for row in 0..batch.num_rows() {
            rows.push(
                (0..columns.len()).map(|at| cells.get(row, at).unwrap().to_owned()).collect(),
            );
        }
    }
    rows
}

#[tokio::test]
async fn a_table_is_described_as_the_catalogue_has_it() {
    let database = Database::with(
        "create table parent(a int, b int, primary key(a, b));
         create table t(
            id bigint unsigned auto_increment primary key,
            email varchar(50) collate utf8mb4_general_ci not null,
            code varbinary(8) not null,
            x int, y int, z int,
            total decimal(10,2) as (z * 2) stored,
            updated_at timestamp not null default current_timestamp on update current_timestamp,
            unique key by_email(email), unique key by_part(email(3)), unique by_code(code),
            unique key nullable(x),
            foreign key (x, y) references parent(a, b) on delete cascade on update set null);
         create trigger tr before insert on t for each row set new.y = new.y;
         create view v as select 1 as a;
         create table plain(a int) engine=MyISAM;",
    );
    let source = open(&database).await;
    let names: Vec<String> =
        source.tables().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["parent", "plain", "t"]);
    let t = schema(source.as_ref(), "t").await;
    let keys: Vec<String> = t.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["id", "code", "email"]);
    assert_eq!(t.columns[0].carrier, Carrier::Unsigned);
    assert!(t.autoincrement && t.columns[0].automatic.is_some());
    assert!(t.columns[6].generated && !t.columns[5].generated);
    assert!(t.columns[7].automatic.is_some() && t.columns[7].carrier == Carrier::Instant);
    assert_eq!(t.columns[1].collation, Collation::Coarse("utf8mb4_general_ci".into()));
    let reference = &t.foreign_keys[0];
    assert_eq!((reference.parent.to_string(), reference.columns.len()), ("parent".into(), 2));
    assert_eq!(t.triggers[0].name, "tr");
    assert!(t.ddl.contains("CREATE TABLE `t`") && t.unwritable.is_none());
    let plain = schema(source.as_ref(), "plain").await;
    assert!(plain.unwritable.is_some_and(|why| why.contains("MyISAM")));
    source.release().await.unwrap();
}

#[tokio::test]
async fn pages_give_every_row_once_in_key_order() {
    let database = Database::with(
        "create table t(a int, b varbinary(9), v varchar(20), primary key(a, b));
         insert into t select seq div 700, concat(seq, x'00'), concat('v', seq) \
         from seq_1_to_40000;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let survey = source.survey(&t.name, &key_of(&t), 4).await.unwrap();
    assert!(survey.ordered && survey.rows == Some(40_000));
    assert!(!survey.splits.is_empty());
    let mut all = Vec::new();
    for range in KeyRange::between(&survey.splits) {
        all.extend(words(&scanned(source.as_ref(), Scan { range, ..whole(&t) }).await, &t.columns));
    }
    assert_eq!(all.len(), 40_000);
    let key = |row: &Vec<String>| (row[0].parse::<i64>().unwrap(), row[1].clone());
    assert!(all.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])));
}

/// Numbers that stand close, apart, at the ends of their type, and on both sides of zero.
const NUMBERS: [(&str, &str); 3] = [
    (
        "bigint",
        "select cast(seq as signed) - 30000 from seq_1_to_400000 where seq % 7 > 0 and seq not between 90000 and 91000
         union select seq * 3000000007 from seq_1_to_2000
         union select 9223372036854775807 - seq from seq_0_to_3000
         union select -9223372036854775808 + cast(seq as signed) * 5 from seq_0_to_3000",
    ),
    (
        "bigint unsigned",
        "select seq from seq_0_to_2000 union select 9223372036854775807 + seq from seq_0_to_9000
         union select 18446744073709551615 - seq * 3 from seq_0_to_9000",
    ),
    ("smallint", "select cast(seq as signed) - 32768 from seq_0_to_65535 where seq % 3 > 0"),
];

#[tokio::test]
async fn keys_alone_come_whole_whether_they_stand_close_or_apart() {
    for (kind, numbers) in NUMBERS {
        let database = Database::with(&format!(
            "create table t(id {kind} primary key, v int); insert into t(id) {numbers};"
        ));
        let source = open(&database).await;
        let t = schema(source.as_ref(), "t").await;
        let keys = Scan { columns: t.columns[..1].to_vec(), ..whole(&t) };
        let told = async |request: Scan| {
            let columns = request.columns.clone();
            let rows = words(&scanned(source.as_ref(), request).await, &columns);
            rows.into_iter().map(|mut row| row.remove(0)).collect::<Vec<String>>()
        };
        let expected = database.sql("select id from t order by id");
        let expected: Vec<&str> = expected.lines().collect();
        assert!(told(keys.clone()).await == expected, "{kind}");
        // A range, and rows that a condition leaves out.
        let (lower, upper) = (expected[700], expected[expected.len() - 20]);
        let value = |text: &str| match text.parse() {
            Ok(i) => Value::Int(i),
            Err(_) => Value::Unsigned(text.parse().unwrap()),
        };
        let range = KeyRange { lower: Some(value(lower)), upper: Some(value(upper)) };
        let column = "id".to_owned();
        let filter = Filter::Compare { column, op: Comparison::Lt, value: value(expected[9000]) };
        let some = told(Scan { range, filter: Some(filter), ..keys }).await;
        assert!(some == expected[700..9000.min(expected.len() - 20)], "{kind}");
        source.release().await.unwrap();
    }
}

#[tokio::test]
async fn keys_that_stand_close_are_packed() {
    let database = Database::with(
        "create table t(id int primary key, v int);
         insert into t(id) select cast(seq as signed) - 200 from seq_1_to_600 where seq % 3 > 0;",
    );
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let mut session = Session::open(&address, Purpose::Read).await.unwrap().0;
    let table = Arc::new(Table::find(&mut session, "t").await.unwrap().unwrap());
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let keys = Scan { columns: t.columns[..1].to_vec(), ..whole(&t) };
    let pages = Pages::of(&table, &keys).unwrap();
    let dense = Dense::of(&pages, &keys.columns).unwrap();
    assert!(dense.suits(512, &Value::Int(1), &Value::Int(4000)));
    assert!(!dense.suits(512, &Value::Int(1), &Value::Int(5000)));
    let window = dense.window(&mut session, &Value::Int(-10)).await.unwrap();
    let numbers: Vec<i64> = window.numbers.iter().map(|n| n.cast_signed()).collect();
    let expected: Vec<i64> = (-9..=400).filter(|n| (n + 200) % 3 > 0).collect();
    assert_eq!(numbers, expected);
    assert!(window.sparse, "of the 262,144 numbers that it spans");
    // More than the key is read row by row.
    let pages = Pages::of(&table, &whole(&t)).unwrap();
    assert!(Dense::of(&pages, &t.columns).is_none());
}

#[tokio::test]
async fn wide_rows_make_short_pages() {
    let database = Database::with(
        "create table t(id int primary key, v longblob);
         insert into t select seq, repeat(char(seq), 3000000) from seq_1_to_9;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let batches = scanned(source.as_ref(), whole(&t)).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 9);
    assert!(batches.len() >= 4);
}

#[tokio::test]
async fn k4_texts_are_sorted_by_bytes_whatever_their_collation() {
    let database = Database::with(
        "create table ci(k varchar(9) collate utf8mb4_general_ci primary key);
         create table bin(k varchar(9) collate utf8mb4_nopad_bin primary key);
         insert into bin values ('a'), ('A'), ('a '), ('b'), ('\t'), ('ä'), ('\u{1f600}');
         insert into ci values ('a'), ('B'), ('c'), ('ä1');",
    );
    let source = open(&database).await;
    let bin = schema(source.as_ref(), "bin").await;
    assert!(source.survey(&bin.name, &key_of(&bin), 1).await.unwrap().ordered);
    let rows = words(&scanned(source.as_ref(), whole(&bin)).await, &bin.columns);
    let texts: Vec<String> =
        rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect();
    assert!(texts.len() == 7 && texts.is_sorted(), "{texts:?}");
    let ci = schema(source.as_ref(), "ci").await;
    assert!(!source.survey(&ci.name, &key_of(&ci), 1).await.unwrap().ordered);
    assert_eq!(scanned(source.as_ref(), whole(&ci)).await[0].num_rows(), 4);
}

#[tokio::test]
async fn a_table_without_a_key_is_read_whole() {
    let database = Database::with(
        "create table t(a int, v varchar(9)); insert into t select seq % 7, seq from seq_1_to_20000;
         create table empty(a int);",
    );
    let source = open(&database).await;
    for (table, rows) in [("t", 20_000), ("empty", 0)] {
        let t = schema(source.as_ref(), table).await;
        let batches = scanned(source.as_ref(), whole(&t)).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
    }
}

#[tokio::test]
async fn rows_are_fetched_in_the_order_of_their_keys() {
    let database = Database::with(
        "create table t(k varchar(9) collate utf8mb4_general_ci, d decimal(10,2), v int, \
         primary key(k, d));
         insert into t values ('b', 1.50, 1), ('a', 2.00, 2), ('A ', 3, 3), ('c', 9, 4);",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let text = |s: &str| Value::Text(s.as_bytes().to_vec());
    let key = key_of(&t);
    let keys = crate::fit::carry::carry_rows(
        &key,
        &[
            vec![text("a"), Value::Decimal(200, 2)],
            vec![text("b"), Value::Decimal(150, 2)],
            vec![text("z"), Value::Decimal(150, 2)],
        ],
    )
    .unwrap();
    let found = source.fetch(&t.name, &t.columns, &key, &keys).await.unwrap();
    let rows: Vec<String> = words(&[found], &t.columns).iter().map(|row| row[2].clone()).collect();
    assert_eq!(rows, ["2", "1"]);
}

#[tokio::test]
async fn a_negative_zero_is_not_lost_to_a_pushed_comparison() {
    let database = Database::with(
        "create table t(id int primary key, d double);
         insert into t values (1, -0.0e0), (2, 0.0e0), (3, 1), (4, -1);",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    for (op, zero, kept) in [
        (Comparison::Lt, Value::Real(0.0), vec!["1", "2", "4"]),
        (Comparison::Gt, Value::Real(-0.0), vec!["1", "2", "3"]),
        (Comparison::Lt, Value::Int(0), vec!["1", "2", "4"]),
        (Comparison::Gt, Value::Real(0.5), vec!["3"]),
    ] {
        let filter = Filter::Compare { column: "d".into(), op, value: zero };
        let request = Scan { filter: Some(filter), ..whole(&t) };
        let rows = words(&scanned(source.as_ref(), request).await, &t.columns);
        let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(ids, kept, "{op:?}");
    }
    source.release().await.unwrap();
}

#[tokio::test]
async fn t12_t20_a_pushed_comparison_keeps_every_row_that_matches_or_cannot_be_judged() {
    let database = Database::with(
        "set sql_mode = 'ALLOW_INVALID_DATES';
         create table t(id int primary key auto_increment, flag bit(1), day date, at datetime(3),
            ts timestamp(6) null, price decimal(10,2), big bigint unsigned);
         insert into t(flag, day, at, ts, price, big) values
            (1, '2024-02-29', '2024-02-29 10:00:00.5', '2024-02-29 10:00:00.5', 0.99, 0),
            (0, '1000-01-01', '1000-01-01', '1970-01-01 00:00:01', -0.01, 18446744073709551615),
            (0, '9999-12-31', '9999-12-31 23:59:59.999', '2038-01-19 03:14:07', 99999999.99, 9223372036854775808),
            (1, '2024-03-01', '2024-03-01', '2024-03-31 01:00:00', 0, 9223372036854775807),
            (1, '2024-10-27', '2024-10-27 01:30:00', '2024-10-27 01:30:00', -99999999.99, 5),
            (null, null, null, null, null, null),
            (0, '0000-00-00', '0000-00-00', '0000-00-00', 1, 1),
            (1, '2024-00-10', '2024-00-10 10:00:00', '2024-01-01', 1, 1),
            (1, '2024-02-31', '2024-02-31 10:00:00', '2024-01-02', 1, 1),
            (1, '0000-05-05', '0000-05-05 10:00:00', '2024-01-03', 1, 1);",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let all = cells(&scanned(source.as_ref(), whole(&t)).await, &t.columns);
    let seconds = |text: &str| crate::fit::moment::parse(text.as_bytes()).unwrap().utc();
    let micros = |text: &str| seconds(text).micros().unwrap();
    let moments = [
        "1970-01-01",
        "1900-01-01",
        "2024-02-29 10:00:00.499999",
        "2024-02-29 10:00:00.5",
        "9999-12-31 23:59:59.999999",
        "2024-03-31 01:00:00",
        "0001-01-01",
        "2038-01-19 03:14:08",
    ];
    let days = ["2024-02-29", "1000-01-01", "9999-12-31", "0001-01-01"];
    let literals: [(&str, Vec<Value>); 6] = [
        ("flag", vec![Value::Bool(true), Value::Bool(false)]),
        ("day", days.map(|d| Value::Date((seconds(d).seconds / 86_400) as i32)).to_vec()),
        ("at", moments.map(|m| Value::Stamp(micros(m))).to_vec()),
        ("ts", moments.map(|m| Value::Instant(micros(m))).to_vec()),
        ("price", [0, -1, 99, 9_999_999_999].map(|d| Value::Decimal(d, 2)).to_vec()),
        ("big", vec![Value::Int(1), Value::Int(i64::MAX), Value::Unsigned(u64::MAX)]),
    ];
    use std::cmp::Ordering;
    type Matches = Box<dyn Fn(&Value) -> bool>;
    for (name, values) in literals {
        let at = t.columns.iter().position(|c| c.name == name).unwrap();
        let column = &t.columns[at];
        let mut filters: Vec<(Filter, Matches)> = Vec::new();
        for literal in &values {
            for (op, wanted) in [
                (Comparison::Eq, &[Ordering::Equal][..]),
                (Comparison::Lt, &[Ordering::Less]),
                (Comparison::LtEq, &[Ordering::Less, Ordering::Equal]),
                (Comparison::Gt, &[Ordering::Greater]),
                (Comparison::GtEq, &[Ordering::Greater, Ordering::Equal]),
            ] {
                if name == "flag" && op != Comparison::Eq {
                    continue;
                }
                let (value, column) = (literal.clone(), column.clone());
                let filter = Filter::Compare { column: name.into(), op, value: value.clone() };
                let compared = move |cell: &Value| wanted.contains(&compare(&column, cell, &value));
                filters.push((filter, Box::new(compared)));
            }
        }
        let (column, listed) = (name.to_owned(), values.clone());
        let list = Filter::In { column, values: values.clone() };
        filters.push((list, Box::new(move |cell| listed.contains(cell))));
        for (filter, matches) in filters {
            let request = Scan { filter: Some(filter.clone()), ..whole(&t) };
            let kept = cells(&scanned(source.as_ref(), request).await, &t.columns);
            for row in &all {
                let cell = &row[at];
                let misfit = !fits(cell.as_ref(), t.columns[at].carrier);
                let must = misfit || *cell != Value::Null && matches(cell);
                assert!(!must || kept.contains(row), "{filter:?} lost {row:?}");
                // Days that not every month has are looked at here.
                let late = matches!(cell, Value::Date(_) | Value::Stamp(_) | Value::Instant(_));
                let spared = must || late && kept.contains(row);
                assert!(spared || !kept.contains(row), "{filter:?} kept {row:?}");
            }
        }
        // Something is left to the server.
        let far =
            Filter::Compare { column: name.into(), op: Comparison::Eq, value: values[0].clone() };
        let request = Scan { filter: Some(far), ..whole(&t) };
        assert!(cells(&scanned(source.as_ref(), request).await, &t.columns).len() < all.len());
    }
    source.release().await.unwrap();
}

#[tokio::test]
async fn a_scan_that_is_dropped_at_any_moment_leaves_its_connection_whole() {
    let database = Database::with(
        "create table t(id int primary key, v varchar(99));
         insert into t select seq, repeat('x', seq % 90) from seq_1_to_600;",
    );
    let source = source(&database.url(), Which::Live, 1).await.unwrap();
    let t = schema(source.as_ref(), "t").await;
    for moment in 0..150 {
        let mut stream = source.scan(whole(&t)).unwrap();
        let wait = std::time::Duration::from_micros(20 * moment);
        // Whether a batch came or not is all the same.
        let _ = tokio::time::timeout(wait, stream.try_next()).await;
        drop(stream);
        let survey = source.survey(&t.name, &key_of(&t), 1).await;
        let survey = survey.unwrap_or_else(|e| panic!("dropped after {wait:?}: {e:?}"));
        assert_eq!(survey.rows, Some(600));
    }
    source.release().await.unwrap();
}

/// Reads two rows that always move together over several connections while a client moves them
/// all the time.
async fn one_state(database: Database) {
    database.sql(
        "create table t(id int primary key, v int);
         insert into t select seq, 0 from seq_1_to_20000;",
    );
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (database, stop) = (database.clone(), std::sync::Arc::clone(&stop));
        std::thread::spawn(move || {
            // Two rows far from each other always move together.
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let pair = "update t set v = v + 1 where id in (1, 20000);";
                database.sql(&pair.repeat(50));
            }
        })
    };
    for _ in 0..8 {
        let source = open(&database).await;
        let t = schema(source.as_ref(), "t").await;
        let end = async |id: i64| {
            let filter =
                Filter::Compare { column: "id".into(), op: Comparison::Eq, value: Value::Int(id) };
            let request = Scan { filter: Some(filter), ..whole(&t) };
            words(&scanned(source.as_ref(), request).await, &t.columns)[0][1].clone()
        };
        let (first, last, again) = futures::join!(end(1), end(20_000), end(1));
        assert_eq!(first, last);
        assert_eq!(first, again);
        source.release().await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
}

#[tokio::test]
async fn g1_every_connection_sees_one_state() {
    one_state(Database::with("")).await;
}

/// How many connections read a database at once, of three.
async fn readers(url: &str) -> usize {
    let address = Address::parse(url, Which::Live).unwrap();
    let pool = Pool::open(address, 3).await.unwrap();
    pool.release().await.unwrap();
    pool.size()
}

#[tokio::test]
async fn g1_the_log_of_a_replica_proves_no_state_where_it_has_not_all() {
    let server: &'static Server =
        Box::leak(Box::new(Server::start(&["--innodb-buffer-pool-size=32M"])));
    let database = server.database();
    // Without PROCESS nothing but the log's position tells.
    let name = &database.name;
    server.sql(&format!(
        "create user {name}@'%'; grant binlog monitor, slave monitor on *.* to {name}@'%'; \
         grant select on {name}.* to {name}@'%'"
    ));
    assert_eq!(readers(&database.url_as(name)).await, 3);
    server.sql("change master to master_host = '127.0.0.1', master_user = 'nobody'");
    assert_eq!(readers(&database.url_as(name)).await, 1);
}

#[tokio::test]
async fn g1_every_connection_sees_one_state_without_a_binary_log() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[
        "--innodb-buffer-pool-size=32M",
        "--skip-log-bin",
        "--transaction-isolation=READ-COMMITTED",
    ])));
    let database = server.database();
    let [one, many] = [1, 3];
    assert_eq!(readers(&database.url()).await, many);
    // Who is not told reads with one connection.
    let name = &database.name;
    server.sql(&format!("create user {name}@'%'; grant select on {name}.* to {name}@'%'"));
    assert_eq!(readers(&database.url_as(name)).await, one);
    // Others that ended after an open transaction began may be seen or not: no number tells.
    database.sql("create table w(id int primary key, v int); insert into w values (1, 1), (2, 2)");
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let (mut application, _) = Session::open(&address, Purpose::Write).await.unwrap();
    application.run("start transaction").await.unwrap();
    application.run("update w set v = 2 where id = 1").await.unwrap();
    database.sql("update w set v = 3 where id = 2");
    assert_eq!(readers(&database.url()).await, one);
    application.run("commit").await.unwrap();
    assert_eq!(readers(&database.url()).await, many);
    application.close().await.unwrap();
    one_state(database).await;
}

#[tokio::test]
async fn g1_a_server_s_own_isolation_does_not_count() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[
        "--innodb-buffer-pool-size=32M",
        "--transaction-isolation=READ-COMMITTED",
    ])));
    let database = server.database();
    database.sql("create table t(id int primary key); insert into t values (1)");
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let pool = Pool::open(address, 3).await.unwrap();
    assert_eq!(pool.size(), 3);
    database.sql("insert into t values (2)");
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(pool.reader().await.unwrap());
    }
    for reader in &mut all {
        let sql = "select cast(count(*) as char) from t";
        let counted = reader.session().unwrap().strings(sql, &[]).await.unwrap();
        assert_eq!(counted, [[Some("1".to_owned())]]);
    }
    drop(all);
    pool.release().await.unwrap();
}

#[tokio::test]
async fn w2_a_wrong_password_is_said_and_not_shown() {
    let database = Database::with("");
    let url = database.url_as("secretive:hunter3");
    let e = source(&url, Which::Live, 1).await.unwrap_err();
    let all = format!("{e:?} {} {:?}", e, e.hints());
    assert!(e.to_string().contains("does not let this user in"), "{all}");
    assert!(!all.contains("hunter3"), "{all}");
    source(&database.url_as("secretive:hunter2"), Which::Live, 1).await.unwrap();
}

#[tokio::test]
async fn what_can_t_be_reached_says_so() {
    let database = Database::with("create table t(a int primary key)");
    let gone = format!("mysql://root@127.0.0.1:1/{}", database.name);
    let e = source(&gone, Which::Live, 1).await.unwrap_err();
    assert!(e.to_string().ends_with("can't be reached"), "{e}");
    let e = source(&database.url().replace(&database.name, "nowhere"), Which::Live, 1).await;
    assert!(e.unwrap_err().to_string().contains("no such database"));
    let name = &database.name;
    Server::shared().sql(&format!(
        "create user {name}@'%'; create table {name}.u(a int primary key, v int); \
         grant select on {name}.u to {name}@'%'"
    ));
    let source = source(&database.url_as(name), Which::Live, 2).await.unwrap();
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("u")]);
}

#[tokio::test]
async fn w13_reading_is_kept_read_only_by_the_server_and_to_one_statement_and_no_file_is_sent() {
    let database = Database::with("create table t(a int primary key)");
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let pool = Pool::open(address, 2).await.unwrap();
    assert_eq!(pool.size(), 2);
    let mut reader = pool.reader().await.unwrap();
    let e = reader.session().unwrap().execute("insert into t values (1)", &[]).await.unwrap_err();
    assert_eq!(crate::engine::mysql::failure::number(&e), Some(1792));
    // Two statements in one are refused by the server, and so is a file of this host, which it
    // was not told that it may ask for.
    let e = reader.session().unwrap().execute("select 1; select 2", &[]).await.unwrap_err();
    assert_eq!(crate::engine::mysql::failure::number(&e), Some(1064));
    assert_eq!(database.sql("select @@local_infile"), "1\n");
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let (mut session, _) = Session::open(&address, Purpose::Write).await.unwrap();
    let e = session.run("load data local infile '/etc/hostname' into table t").await.unwrap_err();
    assert!(matches!(crate::engine::mysql::failure::number(&e), Some(1148 | 4166)), "{e}");
}

#[tokio::test]
async fn a_server_that_dies_under_a_scan_ends_it_with_an_error() {
    let server: &'static Server =
        Box::leak(Box::new(Server::start(&["--innodb-buffer-pool-size=32M"])));
    let database = server.database();
    database.sql(
        "create table t(id int primary key, v varchar(999));
         insert into t select seq, repeat('x', 900) from seq_1_to_60000;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let mut stream = source.scan(whole(&t)).unwrap();
    stream.try_next().await.unwrap().unwrap();
    server.crash();
    let e = loop {
        match stream.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a part of the table passed for all of it"),
            Err(e) => break crate::error::Error::from(e),
        }
    };
    assert!(e.to_string().contains("the connection to"), "{e}");
}

#[tokio::test]
async fn k4_a_table_is_not_paged_along_an_index_by_hash() {
    let database = Database::with(
        "create table t(k int not null, unique key (k) using hash) engine=memory;
         insert into t select seq * 7919 % 30011 from seq_1_to_30000;
         create table long_key(k varchar(9000) not null, unique key (k));
         insert into long_key select concat('k', seq) from seq_1_to_5000;",
    );
    let source = open(&database).await;
    for (table, rows) in [("t", 30_000), ("long_key", 5_000)] {
        let t = schema(source.as_ref(), table).await;
        let batches = scanned(source.as_ref(), whole(&t)).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{table}");
    }
}
