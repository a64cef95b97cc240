use super::*;
use crate::model::value::Value;

fn row(connection: &Connection, sql: &str, parameters: &[ValueRef<'_>]) -> Value {
    let mut got = Value::Null;
    let mut statement = connection.prepare(sql).unwrap();
    statement
        .query(parameters, |r| {
            got = r.get(0).to_owned();
            Ok::<bool, SqliteError>(false)
        })
        .unwrap();
    got
}

#[tokio::test]
async fn t3_values_travel_as_class_and_bytes() {
    let connection = Connection::open(&SqliteConnectOptions::new().in_memory(true)).await.unwrap();
    for value in [
        ValueRef::Null,
        ValueRef::Int(i64::MIN),
        ValueRef::Real(-0.0),
        ValueRef::Real(f64::INFINITY),
        ValueRef::Text(b""),
        ValueRef::Text(b"a\0b"),
        ValueRef::Text(b"\xff\xfe"),
        ValueRef::Blob(b""),
        ValueRef::Blob(b"a\0b"),
    ] {
        assert_eq!(row(&connection, "select ?", &[value]).as_ref(), value);
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn cursors_of_one_connection_take_turns() {
    let connection = Connection::open(&SqliteConnectOptions::new().in_memory(true)).await.unwrap();
    let mut cursors = Cursors::new(connection);
    let count = "with recursive c(n) as (values(?) union all select n + 1 from c limit 3) \
                 select n from c";
    let a = cursors.open(count, &[ValueRef::Int(1)]).unwrap();
    let b = cursors.open(count, &[ValueRef::Int(10)]).unwrap();
    let mut seen = Vec::new();
    for cursor in [a, b, a, b, a, b] {
        let more = cursors.advance(cursor, |row| {
            seen.push(row.int(0));
            Ok::<bool, SqliteError>(false)
        });
        assert!(more.unwrap());
    }
    assert_eq!(seen, [1, 10, 2, 11, 3, 12]);
    let end = |_: &Row<'_>| Ok::<bool, SqliteError>(true);
    assert!(!cursors.advance(a, end).unwrap());
    assert!(cursors.advance(a, end).is_err(), "a finished cursor is closed");
    cursors.into_connection().close().await.unwrap();
}

#[tokio::test]
async fn an_error_names_its_code() {
    let connection = Connection::open(&SqliteConnectOptions::new().in_memory(true)).await.unwrap();
    connection.execute("create table t(a unique)").unwrap();
    connection.execute("insert into t values(1)").unwrap();
    let e = connection.execute("insert into t values(1)").unwrap_err();
    assert!(e.is_unique() && !e.is_foreign_key(), "{e}");
    assert!(connection.is_autocommit());
}
