use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;

use super::*;
use crate::error::Kind;
use crate::model::table::Carrier;
use crate::model::value::Value;
use crate::mount::memory::{MemTable, column, mount, table};

fn events(rows: &[(i64, &str, Value)]) -> MemTable {
    let columns = vec![
        column("Id", Carrier::Int),
        column("title", Carrier::Text),
        column("Price", Carrier::Number),
    ];
    let rows = rows
        .iter()
        .map(|(id, title, price)| {
            vec![Value::Int(*id), Value::Text(title.as_bytes().to_vec()), price.clone()]
        })
        .collect();
    table("Events", columns, &["Id"], rows)
}

async fn session() -> Sql {
    let backup = events(&[
        (1, "a", Value::Int(1)),
        (2, "b", Value::Int(2)),
        (3, "c", Value::Int(3)),
        (5, "e", Value::Int(5)),
    ]);
    let live = MemTable {
        splits: vec![Value::Int(3)],
        ..events(&[
            (1, "a", Value::Int(1)),
            (2, "B", Value::Int(3)),
            (3, "C", Value::Int(3)),
            (9, "z", Value::Text(b"cheap".to_vec())),
        ])
    };
    Sql::open(Arc::new(mount(vec![backup], vec![live], 2).await)).await.unwrap()
}

/// The rows of a query, cells joined by `|`.
async fn rows(sql: &Sql, text: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for statement in sql.parse(text)? {
        let batches: Vec<_> = sql.run(statement).await?.try_collect().await?;
        let options = FormatOptions::default().with_null("NULL");
        for batch in batches {
            for row in 0..batch.num_rows() {
                let cell = |c| ArrayFormatter::try_new(c, &options).unwrap().value(row).to_string();
                let cells: Vec<String> = batch.columns().iter().map(|c| cell(c.as_ref())).collect();
                out.push(cells.join("|"));
            }
        }
    }
    Ok(out)
}

#[tokio::test]
async fn both_sides_are_tables_and_names_need_no_quotes() {
    let sql = session().await;
    let found = rows(
        &sql,
        "select b.ID, b.title, l.title from backup.events b join live.Events l on b.id = l.id
         where b.title <> l.title order by b.Id",
    );
    assert_eq!(found.await.unwrap(), ["2|b|B", "3|c|C"]);
    assert_eq!(rows(&sql, "select count(*) from live.events").await.unwrap(), ["4"]);
    assert_eq!(rows(&sql, "select Price from backup.events where id = 2").await.unwrap(), ["2.0"]);
    assert!(!rows(&sql, "describe live.events; show tables").await.unwrap().is_empty());
    let explained = rows(&sql, "explain select title from live.events where id > 2").await.unwrap();
    assert!(explained.concat().contains("SourceScanExec: live.Events"), "{explained:?}");
    assert!(explained.concat().contains("filter=Compare"), "{explained:?}");
}

#[tokio::test]
async fn the_change_stream_is_a_table() {
    let sql = session().await;
    let counts = "select change, count(*) from diff('events') group by 1 order by 1";
    assert_eq!(rows(&sql, counts).await.unwrap(), ["changed|2", "extra|1", "missing|1"]);
    let titles = "select id, columns, backup['title'], live['title']
         from diff('events', 'title') where change = 'changed' order by id";
    assert_eq!(rows(&sql, titles).await.unwrap(), ["2|title|b|B", "3|title|c|C"]);
    let nested = "select d.id, d.backup.title from diff('events') d where change = 'missing'";
    assert_eq!(rows(&sql, nested).await.unwrap(), ["5|e"]);
    let either = "select id from diff('events') where change in ('extra', 'missing') order by 1";
    assert_eq!(rows(&sql, either).await.unwrap(), ["5", "9"]);
    let whole = "select live is null from diff('events') where change = 'missing'";
    assert_eq!(rows(&sql, whole).await.unwrap(), ["true"]);
    // Missing rows are found by keys alone.
    let plan = "explain select id from diff('events') where change = 'missing'";
    let plan = rows(&sql, plan).await.unwrap().concat();
    for side in ["backup", "live"] {
        let scan = format!("SourceScanExec: {side}.Events, columns=[Id]");
        assert!(plan.contains(&scan), "{plan}");
    }
    let error = rows(&sql, "select * from diff('nope')").await.unwrap_err();
    assert!(error.to_string().contains("no table nope"), "{error}");
    assert!(rows(&sql, "select * from diff('events', 'nope')").await.is_err());
}

#[tokio::test]
async fn t2_a_misfit_is_never_shown_as_null() {
    let sql = session().await;
    for query in [
        "select * from live.events",
        "select max(price) from live.events",
        "select live from diff('events') where change = 'extra'",
    ] {
        let error = rows(&sql, query).await.unwrap_err();
        assert!(error.to_string().contains("column Price of live.Events"), "{query}: {error}");
        assert!(!error.hints().is_empty());
    }
    assert_eq!(
        rows(&sql, "select id, title from live.events where id = 9").await.unwrap(),
        ["9|z"]
    );
    let plain = "select live['title'] from diff('events', 'title') where change = 'extra'";
    assert_eq!(rows(&sql, plain).await.unwrap(), ["z"]);
}

#[tokio::test]
async fn sql_only_reads() {
    let sql = session().await;
    for statement in [
        "insert into live.events values (1, 'a', 2)",
        "update live.events set title = 'x'",
        "delete from live.events",
        "drop table live.events",
        "create table t as select 1",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "copy live.events to '/tmp/x.csv'",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "truncate table live.events",
        "begin",
        "explain insert into live.events values (1, 'a', 2)",
        "explain analyze delete from live.events",
        "select 1; drop table live.events",
    ] {
        let error = rows(&sql, statement).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{statement}: {error}");
    }
    assert!(rows(&sql, "select * from '/etc/passwd'").await.is_err());
    assert_eq!(rows(&sql, "selec 1").await.unwrap_err().kind(), Kind::Usage);
    assert_eq!(rows(&sql, "select nope from live.events").await.unwrap_err().kind(), Kind::Usage);
}
