//! The source against a real server; what it gives is judged by psql.

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::engine::postgres::open::source;
use crate::engine::postgres::session::Parameter;
use crate::engine::tests::reading::{key_of, scanned, schema, whole, words};
use crate::fit::carry::carry_rows;
use crate::model::filter::{Comparison, Filter};
use crate::model::side::Which;
use crate::model::table::{Automatic, Carrier, Collation};
use crate::model::value::Value;
use crate::source::{KeyRange, Scan, Source};

mod edges;

#[path = "../../../../tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
pub(in crate::engine::postgres) mod postgres;

use postgres::{Database, Server};

pub(in crate::engine::postgres) mod types;

async fn open(database: &Database) -> std::sync::Arc<dyn Source> {
    source(&database.url(), Which::Live, 3).await.unwrap()
}

#[tokio::test]
async fn a_table_is_described_as_the_catalogue_has_it() {
    let database = Database::with(
        "create schema hr; create type hr.mood as enum ('sad', 'glad');
         create domain hr.code as varchar(8) check (value <> '');
         create table parent(a int, b int, primary key(a, b));
         create table t(
            id bigint generated always as identity primary key,
            serial serial, email text not null unique, code hr.code not null,
            x int, y int, total numeric(10,2) generated always as (x * 2) stored,
            mood hr.mood default 'sad', at timestamptz(3), tags text[],
            foreign key (x, y) references parent(a, b) on delete cascade on update set null);
         create unique index by_code on t(code); create unique index some_of on t(x) where y > 0;
         create unique index low on t(lower(email));
         create function f() returns trigger language plpgsql as 'begin return new; end';
         create trigger tr before insert or update on t for each row execute function f();
         create view v as select 1 as a;
         create table parts(id int primary key, v int) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table hr.staff(id int primary key); create table hr.\"a.b\"(id int);",
    );
    let source = open(&database).await;
    let names: Vec<String> =
        source.tables().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["hr.a.b", "hr.staff", "parent", "parts", "t"]);
    assert_eq!(schema(source.as_ref(), "public.t").await.name.to_string(), "t");
    let t = schema(source.as_ref(), "t").await;
    let keys: Vec<String> = t.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["id", "code", "email"]);
    let declared: Vec<&str> = t.columns.iter().map(|c| c.declared.as_str()).collect();
    assert_eq!(
        declared,
        [
            "bigint",
            "integer",
            "text",
            "character varying(8)",
            "integer",
            "integer",
            "numeric(10,2)",
            "hr.mood",
            "timestamp(3) with time zone",
            "text[]",
        ]
    );
    assert_eq!(t.columns[0].automatic, Some(Automatic::CounterAlways));
    assert_eq!(t.columns[1].automatic, Some(Automatic::Counter));
    assert!(t.autoincrement && t.columns[6].generated && !t.columns[5].generated);
    assert_eq!(t.columns[6].carrier, Carrier::Decimal { precision: 10, scale: 2 });
    assert_eq!(t.columns[8].carrier, Carrier::Instant);
    assert_eq!(t.columns[7].default.as_deref(), Some("'sad'::hr.mood"));
    let partial: Vec<bool> = t.uniques.iter().map(|u| u.partial).collect();
    assert_eq!(partial, [false, false, false, true, false]);
    assert_eq!(t.uniques[2].columns, [None]);
    let reference = &t.foreign_keys[0];
    assert_eq!((reference.parent.to_string(), reference.columns.len()), ("parent".into(), 2));
    let events: Vec<&str> = t.triggers.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(events, ["tr", "tr"]);
    assert!(t.ddl.contains("CREATE TABLE \"public\".\"t\"") && t.unwritable.is_none(), "{}", t.ddl);
    source.release().await.unwrap();
}

#[tokio::test]
async fn pages_give_every_row_once_in_key_order() {
    let database = Database::with(
        "create table t(a int, b text collate \"C\", v varchar(20), primary key(a, b));
         insert into t select i / 700, i::text || chr(1 + i % 5), 'v' || i
         from generate_series(1, 80000) i;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let survey = source.survey(&t.name, &key_of(&t), 4).await.unwrap();
    assert!(survey.ordered && survey.rows == Some(80_000));
    assert!(!survey.splits.is_empty());
    let mut all = Vec::new();
    for range in KeyRange::between(&survey.splits) {
        all.extend(words(&scanned(source.as_ref(), Scan { range, ..whole(&t) }).await, &t.columns));
    }
    assert_eq!(all.len(), 80_000);
    let text = |cell: &str| serde_json::from_str::<String>(cell).unwrap();
    let key = |row: &Vec<String>| (row[0].parse::<i64>().unwrap(), text(&row[1]));
    assert!(all.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])));
}

#[tokio::test]
async fn wide_rows_make_short_pages_and_a_page_that_grew_wide_ends() {
    let database = Database::with(
        "create table t(id int primary key, v text);
         insert into t select i, case when i > 400 then repeat(chr(64 + i % 9), 3000000) end
         from generate_series(1, 430) i;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let batches = scanned(source.as_ref(), whole(&t)).await;
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 430);
    assert!(batches.len() >= 3);
    assert!(batches.iter().all(|batch| batch.get_array_memory_size() < 64 << 20));
}

#[tokio::test]
async fn k4_texts_are_in_order_only_where_the_server_compares_bytes() {
    let database = Database::with(
        "create table icu(k text collate \"en-x-icu\" primary key);
         create table bin(k text collate \"C\" primary key);
         create table pad(k char(3) collate \"C\" primary key);
         create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table loose(k text collate loose primary key);
         create table ends(k timestamptz primary key);
         insert into bin values ('a'), ('A'), ('a '), ('b'), (E'\\t'), ('ä'), ('\u{1f600}');
         insert into icu select k from bin; insert into pad values ('a'), ('b');
         insert into loose values ('a'), ('b'), ('C');
         insert into ends values ('infinity'), ('-infinity'), ('2024-01-01');",
    );
    let source = open(&database).await;
    let bin = schema(source.as_ref(), "bin").await;
    assert!(source.survey(&bin.name, &key_of(&bin), 1).await.unwrap().ordered);
    let rows = words(&scanned(source.as_ref(), whole(&bin)).await, &bin.columns);
    let texts: Vec<String> =
        rows.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect();
    assert!(texts.len() == 7 && texts.is_sorted(), "{texts:?}");
    for (table, rows) in [("icu", 7), ("pad", 2), ("loose", 3), ("ends", 3)] {
        let t = schema(source.as_ref(), table).await;
        assert!(!source.survey(&t.name, &key_of(&t), 1).await.unwrap().ordered, "{table}");
        assert_eq!(scanned(source.as_ref(), whole(&t)).await[0].num_rows(), rows);
    }
    let loose = schema(source.as_ref(), "loose").await;
    assert_eq!(loose.columns[0].collation, Collation::Coarse("loose".into()));
}

#[tokio::test]
async fn a_table_without_a_key_is_read_whole() {
    let database = Database::with(
        "create table t(a int, v text); insert into t select i % 7, i from generate_series(1, 20000) i;
         create table child() inherits (t); insert into child values (1, 'not of t');
         create table empty(a int); create table nothing();",
    );
    let source = open(&database).await;
    for (table, rows) in [("t", 20_000), ("child", 1), ("empty", 0), ("nothing", 0)] {
        let t = schema(source.as_ref(), table).await;
        let batches = scanned(source.as_ref(), whole(&t)).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{table}");
    }
}

#[tokio::test]
async fn rows_are_fetched_in_the_order_of_their_keys() {
    let database = Database::with(
        "create table t(k text collate \"en-x-icu\", d numeric(10,2), v int, primary key(k, d));
         insert into t values ('b', 1.50, 1), ('a', 2.00, 2), ('A', 2, 3), ('c', 9, 4);
         create table c(k char(4) primary key, v interval, ip inet, r int4range);
         insert into c values ('ab', '1 mon -3 days', '10.0.0.1/8', '[1,5)'), ('', null, null, 'empty');",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let text = |s: &str| Value::Text(s.as_bytes().to_vec());
    let key = key_of(&t);
    let keys = carry_rows(
        &key,
        &[
            vec![text("a"), Value::Decimal(200, 2)],
            vec![text("b"), Value::Decimal(150, 2)],
            vec![text("z"), Value::Decimal(150, 2)],
            vec![text("n\0"), Value::Decimal(150, 2)],
        ],
    )
    .unwrap();
    let found = source.fetch(&t.name, &t.columns, &key, &keys).await.unwrap();
    let rows: Vec<String> = words(&[found], &t.columns).iter().map(|row| row[2].clone()).collect();
    assert_eq!(rows, ["2", "1"]);
    let c = schema(source.as_ref(), "c").await;
    let keys = carry_rows(&key_of(&c), &[vec![text("    ")], vec![text("ab  ")]]).unwrap();
    let found = source.fetch(&c.name, &c.columns, &key_of(&c), &keys).await.unwrap();
    let rows = words(&[found], &c.columns);
    assert_eq!(rows[0], ["\"    \"", "null", "null", "\"empty\""]);
    assert_eq!(rows[1], ["\"ab  \"", "\"1 mon -3 days\"", "\"10.0.0.1/8\"", "\"[1,5)\""]);
}

#[tokio::test]
async fn w4_literals_of_a_copy_are_values_and_nothing_else() {
    let hostile = ["'", "''; drop table t; --", "\\'; x", "$$", "a\tb\nc", "\u{1f600}", "", "%s"];
    let database = Database::with(
        "create table t(k text primary key, v bytea); set standard_conforming_strings = off;",
    );
    for text in hostile {
        let sql = format!("insert into t values ($rk${text}$rk$, '\\x00ff')");
        database.sql(&sql);
    }
    // Whatever the database says of literals and of names.
    database.sql(&format!(
        "alter database {name} set standard_conforming_strings = off; \
         alter database {name} set search_path = evil, pg_catalog; create schema evil; \
         create function evil.format(text, text) returns text language sql as 'select ''evil''';",
        name = database.name
    ));
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    for text in hostile {
        let value = Value::Text(text.as_bytes().to_vec());
        let filter = Filter::Compare { column: "k".into(), op: Comparison::Eq, value };
        let request = Scan { filter: Some(filter), ..whole(&t) };
        let rows = words(&scanned(source.as_ref(), request).await, &t.columns);
        assert_eq!(rows.len(), 1, "{text}");
        assert_eq!(serde_json::from_str::<String>(&rows[0][0]).unwrap(), text);
    }
    let blob = Filter::Compare {
        column: "v".into(),
        op: Comparison::Eq,
        value: Value::Blob(vec![0, 255]),
    };
    let request = Scan { filter: Some(blob), ..whole(&t) };
    assert_eq!(scanned(source.as_ref(), request).await[0].num_rows(), hostile.len());
    // NUL is in no text of the server's: the filter is checked after the scan.
    let nul = Filter::In { column: "k".into(), values: vec![Value::Text(b"a\0".to_vec())] };
    let request = Scan { filter: Some(nul), ..whole(&t) };
    assert_eq!(scanned(source.as_ref(), request).await[0].num_rows(), hostile.len());
}

#[tokio::test]
async fn a_pushed_filter_loses_no_row() {
    let database = Database::with(
        "create table t(id int primary key, d double precision, n numeric(6,2), b bool, at date,
            s smallint);
         insert into t values (1, -0.0, 1.50, true, '2024-02-29', 1),
            (2, 0, 'NaN', false, 'infinity', -1), (3, 1, 0, null, '0044-03-15 BC', 32767),
            (4, -1, -1, true, null, null), (5, 'NaN', null, false, '2024-03-01', 0);",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let kept = async |filter: Filter| {
        let request = Scan { filter: Some(filter), ..whole(&t) };
        let rows = words(&scanned(source.as_ref(), request).await, &t.columns);
        rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>().concat()
    };
    let compare = |column: &str, op, value| Filter::Compare { column: column.into(), op, value };
    use Comparison::{Eq, Gt, GtEq, Lt};
    assert_eq!(kept(compare("d", Gt, Value::Real(-0.0))).await, "1235");
    assert_eq!(kept(compare("d", Lt, Value::Real(0.0))).await, "12345");
    assert_eq!(kept(compare("d", Eq, Value::Real(0.0))).await, "12");
    assert_eq!(kept(compare("n", GtEq, Value::Decimal(150, 2))).await, "12");
    assert_eq!(kept(compare("b", Eq, Value::Bool(true))).await, "14");
    assert_eq!(kept(compare("at", Lt, Value::Date(19_783))).await, "123");
    assert_eq!(kept(compare("s", Lt, Value::Int(1 << 40))).await, "1235");
    assert_eq!(kept(compare("s", Eq, Value::Int(32_767))).await, "3");
    assert_eq!(kept(Filter::IsNull("at".into())).await, "12345");
    assert_eq!(kept(Filter::IsNull("s".into())).await, "4");
    assert_eq!(kept(Filter::IsNotNull("b".into())).await, "1245");
}

#[tokio::test]
async fn g1_every_connection_sees_one_state() {
    let database = Database::with(
        "create table t(id int primary key, v int);
         insert into t select i, 0 from generate_series(1, 20000) i;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    database.sql("update t set v = 1; delete from t where id > 100; vacuum t;");
    let end = async |id: i64| {
        let filter =
            Filter::Compare { column: "id".into(), op: Comparison::Eq, value: Value::Int(id) };
        let request = Scan { filter: Some(filter), ..whole(&t) };
        words(&scanned(source.as_ref(), request).await, &t.columns)[0][1].clone()
    };
    // Four scans need more readers than the keeper: they join its snapshot only now.
    let (a, b, c, d) = futures::join!(end(1), end(20_000), end(1), end(10_000));
    assert_eq!([a, b, c, d], ["0", "0", "0", "0"]);
    source.release().await.unwrap();
}

#[tokio::test]
async fn a_scan_that_is_dropped_leaves_the_others_whole() {
    let database = Database::with(
        "create table t(id int primary key, v text);
         insert into t select i, repeat('x', 500) from generate_series(1, 60000) i;",
    );
    let source = source(&database.url(), Which::Live, 1).await.unwrap();
    let t = schema(source.as_ref(), "t").await;
    for _ in 0..5 {
        let mut stream = source.scan(whole(&t)).unwrap();
        stream.try_next().await.unwrap().unwrap();
        drop(stream);
        let rows = scanned(source.as_ref(), whole(&t)).await;
        assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 60_000);
    }
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
async fn c10_what_can_t_be_reached_or_read_says_so() {
    let database = Database::with(
        "create table t(a int primary key); create table u(a int primary key, who text);
         grant select on u to guest; alter table u enable row level security;
         create policy p on u using (who = current_user); insert into u values (1, 'boss');",
    );
    let gone = format!("postgres://postgres@127.0.0.1:1/{}", database.name);
    let e = source(&gone, Which::Live, 1).await.unwrap_err();
    assert!(e.to_string().ends_with("can't be reached"), "{e}");
    let nowhere = database.url_as("postgres").replace(&database.name, "nowhere");
    let e = source(&nowhere, Which::Live, 1).await;
    assert!(e.unwrap_err().to_string().contains("no such database"));
    let source = source(&database.url_as("guest"), Which::Live, 2).await.unwrap();
    // Rows that a policy hides are not taken for missing.
    for table in ["t", "u"] {
        let t = schema(source.as_ref(), table).await;
        let e = source.scan(whole(&t)).unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        let e = crate::error::Error::from(e);
        assert!(e.to_string().contains("no right to read"), "{e}");
    }
    let secured = schema(source.as_ref(), "u").await;
    assert!(secured.unwritable.is_some_and(|why| why.contains("row-level security")));
}

#[tokio::test]
async fn w13_reading_is_kept_read_only_by_the_server_and_to_one_statement() {
    let database = Database::with("create table t(a int primary key)");
    let address = crate::engine::postgres::address::Address::parse(&database.url(), Which::Live);
    let pool = crate::engine::postgres::pool::Pool::open(address.unwrap(), 2).await.unwrap();
    let mut reader = pool.reader().await;
    let mut session = reader.take(&pool).await.unwrap();
    let e = session.run("insert into public.t values (1)").await.unwrap_err();
    assert_eq!(crate::engine::postgres::failure::state(&e).as_deref(), Some("25006"));
    // Two statements in one are refused by the server.
    let mut session = reader.take(&pool).await.unwrap();
    let two =
        session.query("select 1; select 2", Vec::<Parameter>::new(), |_| Ok(())).await.unwrap_err();
    let crate::engine::stop::Stop::Server(e) = two else { panic!("{two:?}") };
    assert_eq!(crate::engine::postgres::failure::state(&e).as_deref(), Some("42601"));
}

#[tokio::test]
async fn a_server_that_dies_under_a_scan_ends_it_with_an_error() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[])));
    let database = server.database();
    database.sql(
        "create table t(id int primary key, v text);
         insert into t select i, repeat('x', 900) from generate_series(1, 60000) i;",
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
