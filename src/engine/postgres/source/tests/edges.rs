//! What a server may hold or be set to that would make rows go unseen, or come out of order.

use super::*;
use crate::engine::postgres::address::Address;
use crate::engine::postgres::catalogue::Table;
use crate::engine::postgres::pool::Pool;
use crate::engine::postgres::session::Session;
use crate::error::Error;
use crate::model::table::TableName;

#[tokio::test]
async fn g1_a_table_rewritten_behind_the_snapshot_is_not_taken_for_emptied() {
    let database = Database::with(
        "create table emptied(id int primary key); create table altered(id int primary key, v int);
         create table bare(v int); create table left_alone(id int primary key);
         create table parts(id int primary key) partition by range (id);
         create table parts_1 partition of parts for values from (0) to (10);
         create table parts_2 partition of parts for values from (10) to (20);
         create table kept(id int primary key) partition by range (id);
         create table kept_1 partition of kept for values from (0) to (10);
         insert into emptied values (1); insert into altered values (1, 1);
         insert into bare values (1); insert into left_alone values (1);
         insert into parts values (1), (11); insert into kept values (1);",
    );
    let source = open(&database).await;
    let mut described = Vec::new();
    for table in ["emptied", "altered", "bare"] {
        described.push(schema(source.as_ref(), table).await);
    }
    database.sql(
        "truncate emptied; alter table altered alter v type bigint;
         alter table bare alter v type text; alter table parts detach partition parts_1;
         alter table left_alone add more text default 'x'; insert into left_alone values (2);
         create table kept_2 partition of kept for values from (10) to (20);",
    );
    for table in ["parts", "left_alone", "kept"] {
        described.push(schema(source.as_ref(), table).await);
    }
    for t in &described[..4] {
        let e = source.scan(whole(t)).unwrap().try_collect::<Vec<_>>().await.unwrap_err();
        let e = Error::from(e);
        assert!(e.to_string().contains("rewritten or emptied"), "{}: {e}", t.name);
        assert!(source.survey(&t.name, &key_of(t), 1).await.is_err(), "{}", t.name);
    }
    for t in &described[4..] {
        let batches = scanned(source.as_ref(), whole(t)).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1, "{}", t.name);
    }
    let t = &described[0];
    let keys = carry_rows(&key_of(t), &[vec![Value::Int(1)]]).unwrap();
    assert!(source.fetch(&t.name, &t.columns, &key_of(t), &keys).await.is_err());
}

/// Somebody else may hold a partition locked for long: a look at the catalogue does not wait, and
/// counts all the same what hangs from a partition of a partition.
#[tokio::test]
async fn g8_a_look_at_a_partitioned_table_waits_for_no_partition() {
    let database = Database::with(
        "create table parts(id int primary key) partition by range (id);
         create table low partition of parts for values from (0) to (10);
         create table high partition of parts for values from (10) to (30) partition by range (id);
         create table high_1 partition of high for values from (10) to (20);
         create table high_2 partition of high for values from (20) to (30);
         insert into parts select generate_series(5, 24); analyze low; analyze high_1; analyze high_2;",
    );
    let address = Address::parse(&database.url(), Which::Live).unwrap();
    let (mut other, _) = Session::open(&address).await.unwrap();
    other.run("begin; lock table low, high_2 in access exclusive mode").await.unwrap();
    let (mut session, server) = Session::open(&address).await.unwrap();
    session.run("begin; set local lock_timeout = '10s'").await.unwrap();
    session.run("set local search_path = pg_catalog").await.unwrap();
    let table = Table::find(&mut session, &server, &TableName::bare("parts")).await;
    assert_eq!(table.unwrap().unwrap().rows, Some(20));
    session.run("rollback").await.unwrap();
    other.run("rollback").await.unwrap();
}

#[tokio::test]
async fn k6_character_without_a_length_is_padded_too() {
    let database = Database::with(
        "create table t(k bpchar collate \"C\" primary key); create domain code as bpchar;
         create table d(k code collate \"C\" primary key);
         insert into t values (E'a\\t'), ('a '), ('b'); insert into d values ('x');",
    );
    let source = open(&database).await;
    for (table, rows) in [("t", 3), ("d", 1)] {
        let t = schema(source.as_ref(), table).await;
        assert!(matches!(t.columns[0].collation, Collation::Coarse(_)), "{table}");
        assert!(!source.survey(&t.name, &key_of(&t), 1).await.unwrap().ordered, "{table}");
        let read = scanned(source.as_ref(), whole(&t)).await;
        assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{table}");
    }
}

#[tokio::test]
async fn k4_an_index_that_tells_more_apart_than_the_column_is_no_key() {
    let database = Database::with(
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create type pair as (n numeric);
         create table t(k text collate loose not null, n int not null, p pair not null,
            s text not null);
         create unique index finer on t(k collate \"C\");
         create unique index image on t(p record_image_ops);
         create unique index pattern on t(s text_pattern_ops);
         insert into t select case i % 2 when 0 then 'a' else 'A' end || i / 2, i,
            row(i)::pair, 's' || i from generate_series(1, 3000) i;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    let keys: Vec<String> = t.keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["s"]);
    database.sql("drop index pattern");
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    assert!(t.keys.is_empty());
    let read = words(&scanned(source.as_ref(), whole(&t)).await, &t.columns);
    let mut numbers: Vec<i64> = read.iter().map(|row| row[1].parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=3000));
}

#[tokio::test]
async fn k4_in_another_encoding_the_order_of_bytes_is_not_ours() {
    // In KOI8-R the letters do not stand in the order of the alphabet, as they do in UTF-8.
    let database = in_encoding("KOI8R");
    database.sql(
        "create table t(k text primary key); insert into t select k || lpad(i::text, 4, '0')
         from generate_series(1, 700) i, unnest(array['ю', 'а', 'б', 'ц']) k;",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    assert!(!source.survey(&t.name, &key_of(&t), 1).await.unwrap().ordered);
    let rows = words(&scanned(source.as_ref(), whole(&t)).await, &t.columns);
    let keys: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
    assert!(keys[0].starts_with("\"ю") && !keys.is_sorted(), "{:?}", keys[0]);
    assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), 2800);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_and_not_read_as_others() {
    let database = in_encoding("SQL_ASCII");
    database.sql(
        "create table t(k text primary key); insert into t values ('é');
         create table u(k text primary key);
         insert into u values ('a'), (convert_from('\\xe9', 'SQL_ASCII'));",
    );
    let source = open(&database).await;
    let t = schema(source.as_ref(), "t").await;
    assert_eq!(words(&scanned(source.as_ref(), whole(&t)).await, &t.columns), [["\"é\""]]);
    let u = schema(source.as_ref(), "u").await;
    let e = source.scan(whole(&u)).unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    let e = Error::from(e);
    assert!(e.to_string().contains("read u: a text there is not valid in UTF-8"), "{e}");
}

/// An empty database of this encoding, whose texts are compared as bytes.
fn in_encoding(encoding: &str) -> Database {
    let database = Server::shared().database();
    database.server.sql(&format!("drop database {}", database.name));
    database.server.sql(&format!(
        "create database {} template template0 encoding '{encoding}' \
         lc_collate 'C' lc_ctype 'C'",
        database.name
    ));
    database
}

#[tokio::test]
async fn the_snapshot_outlives_the_timeouts_that_a_database_sets() {
    let database = Database::with("create table \"T\"(id char(3) primary key)");
    database.sql(&format!(
        "alter database {name} set idle_in_transaction_session_timeout = '7s';
         alter database {name} set quote_all_identifiers = on",
        name = database.name
    ));
    let pool = Pool::open(Address::parse(&database.url(), Which::Live).unwrap(), 1).await.unwrap();
    let setting = "select current_setting('idle_in_transaction_session_timeout')";
    let kept = pool.keeper().await.session().unwrap().word(setting).await.unwrap();
    let mut session = pool.reader().await.take(&pool).await.unwrap();
    assert_eq!([kept, session.word(setting).await.unwrap()], ["0", "0"]);
    let source = open(&database).await;
    let t = schema(source.as_ref(), "T").await;
    assert_eq!(t.columns[0].declared, "character(3)");
    assert!(matches!(t.columns[0].collation, Collation::Coarse(_)));
}
