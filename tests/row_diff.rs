//! The row diff over real SQLite files, against what the sqlite3 shell says of them.

use std::sync::Arc;

use restorekit::diff::pair::{PairOptions, pair_tables};
use restorekit::diff::sql::Sql;
use restorekit::diff::{DiffCounts, Emit, diff};
use restorekit::model::side::Side;
use restorekit::mount::Mount;
use restorekit::progress::silent;
use restorekit::registry::{open_backup, open_live};

use crate::common::Sandbox;

/// A table, its key with each column's proper storage class, and its other columns.
struct Shape {
    name: &'static str,
    key: &'static [(&'static str, &'static str)],
    rest: &'static [&'static str],
}

const SHAPES: &[Shape] = &[
    Shape { name: "ints", key: &[("id", "integer")], rest: &["a", "b", "c", "d"] },
    Shape { name: "nocase", key: &[("name", "text")], rest: &["v"] },
    Shape { name: "rtrim", key: &[("name", "text")], rest: &["v"] },
    Shape { name: "plain", key: &[("name", "text")], rest: &["v"] },
    Shape { name: "pairs", key: &[("k2", "integer"), ("k1", "text")], rest: &["v"] },
    Shape { name: "blobs", key: &[("k", "blob")], rest: &["v"] },
];

const SCHEMA: &str = "
create table ints (id integer primary key, a text, b real, c numeric, d);
create table nocase (name text primary key collate nocase, v text);
create table rtrim (name text primary key collate rtrim, v text);
create table plain (name text primary key, v text);
create table pairs (k1 text, k2 integer, v text, primary key (k2, k1)) without rowid;
create table blobs (k blob primary key, v);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into ints select i * 3 - 20000, 'text ' || i, i / 4.0,
  case i % 5 when 0 then 'misfit' when 1 then i / 2.0 else i end,
  case i % 4 when 0 then null when 1 then x'00ff' when 2 then 'a' || char(0) || i else i end from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
insert into nocase select case i % 2 when 0 then 'Key' else 'kEY_' end || (i * 7919 % 1000), i from n;
insert into rtrim select 'k' || (id % 1000) || case id % 3 when 0 then '  ' else '' end, a from ints where id between 0 and 900;
insert into plain select substr(hex(id * 7919), 1, 6) || id, a from ints where id between 0 and 900;
insert into plain values (null, 'one'), (null, 'two'), (x'6162', 'blob');
insert into pairs select 'p' || (id * 31 % 97), abs(id) % 50, max(a) from ints group by 1, 2;
insert into blobs select cast(id * 7919 as blob), a from ints where id between 0 and 900;
insert into blobs values ('text', 1), (5, 2), (x'', 3), (x'00', 4);
";

const DAMAGE: &str = "
delete from ints where id % 11 = 0;
update ints set a = a || '!' where id % 13 = 0;
update ints set c = 7 where id % 17 = 0;
update ints set d = cast(d as text) where id % 19 = 0;
insert into ints values (9000001, 'new', 1, 1, 1), (-9000001, 'new', 1, 1, 1);
delete from nocase where rowid % 5 = 0;
update nocase set name = upper(name) where rowid % 3 = 0;
update nocase set v = 'x' where rowid % 7 = 0;
delete from rtrim where rowid % 4 = 0;
update rtrim set name = name || ' ' where rowid % 3 = 0;
update rtrim set v = 'x' where rowid % 5 = 0;
update plain set v = 'x' where rowid % 9 = 0;
delete from plain where rowid % 8 = 0;
delete from pairs where k2 % 7 = 0;
update pairs set v = 'x' where k2 % 5 = 0;
insert into pairs values ('new', 1, 'x');
delete from blobs where rowid % 6 = 0;
update blobs set v = x'01' where rowid % 5 = 0;
";

/// Missing, changed, extra and same, as SQL tells them.
fn oracle(sandbox: &Sandbox, shape: &Shape) -> [u64; 4] {
    let all = |of: &dyn Fn(&str, &str) -> String| -> String {
        shape.key.iter().map(|(k, class)| of(k, class)).collect::<Vec<_>>().join(" and ")
    };
    let keyable = |side: &str| all(&|k, class| format!("typeof({side}.{k}) = '{class}'"));
    let matched = all(&|k, _| format!("l.{k} = b.{k}"));
    let exact = |cell: String| {
        format!(
            "typeof({cell}) || case typeof({cell}) when 'real' then printf('%!.17g', {cell}) \
             when 'integer' then {cell} else hex({cell}) end"
        )
    };
    let differs: Vec<String> = shape
        .rest
        .iter()
        .map(|c| format!("{} <> {}", exact(format!("l.{c}")), exact(format!("b.{c}"))))
        .collect();
    let (differs, name) = (differs.join(" or "), shape.name);
    let (lk, bk) = (keyable("l"), keyable("b"));
    let lone = |of: &str, keyable: &str, other: &str, other_keyable: &str| {
        format!(
            "(select count(*) from {of} where {keyable} and not exists \
             (select 1 from {other} where {other_keyable} and {matched}))"
        )
    };
    let (live, backup) = (format!("main.{name} l"), format!("old.{name} b"));
    let joined = format!("from {live} join {backup} on {matched} where {lk} and {bk}");
    let text = sandbox.sqlite(
        "live.db",
        &format!(
            "attach '{}' as old; select {}, (select count(*) {joined} and ({differs})), {}, \
             (select count(*) {joined} and not ({differs}))",
            sandbox.path("backup.db").display(),
            lone(&backup, &bk, &live, &lk),
            lone(&live, &lk, &backup, &bk),
        ),
    );
    let counts: Vec<u64> = text.trim().split('|').map(|n| n.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

async fn open(sandbox: &Sandbox, parallelism: usize) -> Mount {
    let path = |name: &str| sandbox.path(name).to_string_lossy().into_owned();
    let sources = Side {
        backup: open_backup(&path("backup.db"), parallelism).await.unwrap(),
        live: open_live(&path("live.db"), parallelism).await.unwrap(),
    };
    Mount::new(sources, parallelism).await.unwrap()
}

fn damaged() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sqlite("backup.db", SCHEMA);
    std::fs::copy(sandbox.path("backup.db"), sandbox.path("live.db")).unwrap();
    sandbox.sqlite("live.db", DAMAGE);
    sandbox
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_t2_k2_k3_the_diff_of_sqlite_files_equals_a_full_join() {
    let sandbox = damaged();
    for parallelism in [1, 3] {
        let mount = open(&sandbox, parallelism).await;
        let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
        assert_eq!(pairs.pairs.len(), SHAPES.len(), "{:?}", pairs.skipped);
        for shape in SHAPES {
            let pair = pairs.pairs.iter().find(|p| p.table.live.name == shape.name).unwrap();
            let changes = diff(&mount, &pair.request(), silent()).await.unwrap();
            let plan = changes.explain();
            if shape.name == "ints" {
                // The other keys are read in key order where an index of them is whole.
                assert!(!plan.contains("SortExec"), "{plan}");
                assert_eq!(plan.contains("ranges=1"), parallelism == 1, "{plan}");
            }
            let counts = changes.count().await.unwrap();
            let DiffCounts { missing, changed, extra, same, ambiguous: 0, .. } = counts else {
                panic!("{}: {counts:?}", shape.name);
            };
            assert_eq!([missing, changed, extra, same], oracle(&sandbox, shape), "{}", shape.name);
            assert!(missing > 0 && changed > 0 && same > 0, "{}: {counts:?}", shape.name);
            let keys = Side { backup: missing, live: extra };
            assert_eq!(
                counts.rows.backup,
                keys.backup + changed + same + counts.unkeyable.backup,
                "{}",
                shape.name
            );
            assert_eq!(counts.rows.live, keys.live + changed + same + counts.unkeyable.live);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rows_need_only_the_keys() {
    let sandbox = damaged();
    let mount = open(&sandbox, 2).await;
    let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
    let pair = pairs.pairs.iter().find(|p| p.table.live.name == "ints").unwrap();
    let mut request = pair.key_request();
    request.emit = Emit { missing: true, ..Emit::NONE };
    let mut changes = diff(&mount, &request, silent()).await.unwrap();
    let plan = changes.explain();
    assert_eq!(plan.matches("columns=[id]").count(), 2, "{plan}");
    let mut rows = 0;
    while let Some(batch) = changes.next().await.unwrap() {
        rows += batch.num_rows() as u64;
    }
    assert_eq!(rows, oracle(&sandbox, &SHAPES[0])[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_agrees_with_the_operator() {
    let sandbox = damaged();
    let sql = Sql::open(Arc::new(open(&sandbox, 2).await)).await.unwrap();
    let count = async |text: &str| {
        let statement = sql.parse(text).unwrap().remove(0);
        let mut stream = sql.run(statement).await.unwrap();
        let batch = futures::StreamExt::next(&mut stream).await.unwrap().unwrap();
        arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(0)).value(0)
    };
    let missing = "select count(*) from diff('ints', 'a') where change = 'missing'";
    let joined = "select count(*) from backup.ints b left join live.ints l on l.id = b.id where l.id is null";
    assert_eq!(count(missing).await, count(joined).await);
    let changed = "select count(*) from diff('ints', 'a') where change = 'changed'";
    let joined =
        "select count(*) from backup.ints b join live.ints l on l.id = b.id where l.a <> b.a";
    assert_eq!(count(changed).await, count(joined).await);
    assert!(count(changed).await > 1000);
}
