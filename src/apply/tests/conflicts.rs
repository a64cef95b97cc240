//! Rows that are not as planned are left alone; the others go on.

use super::harness::{Lab, Step, int, text};
use crate::model::conflict::Reason;
use crate::model::value::Value;
use crate::target::Target as _;

const EVENTS: &str = "create table events(id integer primary key, title text, n integer);;
    insert into events values (1,'a',1),(2,'b',2),(3,'c',3),(4,'d',4)";

const COLUMNS: [&str; 3] = ["id", "title", "n"];

fn event(id: i64, title: &str, n: i64) -> Vec<Value> {
    vec![int(id), text(title), int(n)]
}

#[tokio::test]
async fn missing_rows_come_back_and_a_second_run_writes_nothing() {
    let lab = Lab::new(EVENTS).await;
    let rows = (10..25).map(|i| event(i, "back", i)).collect();
    let plan = lab.plan("aaaaaa", 4, vec![Step::insert("events", &COLUMNS, rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    let line = &receipt.tables[0];
    assert_eq!((line.planned, line.written, line.already, line.conflicts), (15, 15, 0, 0));
    assert!(receipt.verified && !receipt.stopped);
    assert_eq!(lab.one("select count(*) from events where title = 'back'").await, "15");
    let dump = lab.dump().await;
    let receipt = lab.apply(&plan).await.unwrap();
    let line = &receipt.tables[0];
    assert_eq!((line.written, line.already, line.conflicts), (0, 15, 0));
    assert!(receipt.verified);
    assert_eq!(lab.dump().await, dump);
    lab.sql("update events set n = 0 where id = 12;; delete from events where id = 13").await;
    let receipt = lab.apply(&plan).await.unwrap();
    let line = &receipt.tables[0];
    assert_eq!((line.written, line.already, line.conflicts), (0, 13, 2));
    assert!(!receipt.verified);
    assert_eq!(lab.one("select n from events where id = 12").await, "0");
}

/// Many rows are looked at again over two connections; the report is as if it were one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_is_found_over_two_connections() {
    let lab = Lab::new(EVENTS).await;
    let rows = (100..9_100).map(|i| event(i, "back", i)).collect();
    let plan = lab.plan("aaaaaa", 500, vec![Step::insert("events", &COLUMNS, rows)]).await;
    assert!(lab.apply(&plan).await.unwrap().verified);
    lab.sql(
        "update events set n = 0 where id % 1000 = 0;; delete from events where id % 4000 = 99;;
         update events set title = x'6261636b' where id = 1234",
    )
    .await;
    for _ in 0..5 {
        let receipt = lab.apply(&plan).await.unwrap();
        let line = &receipt.tables[0];
        assert_eq!((line.written, line.already, line.conflicts), (0, 8_988, 12));
        let ids: Vec<i64> = receipt.conflicts.iter().filter_map(|c| c.key["id"].as_i64()).collect();
        assert_eq!(ids, [1000, 1234, 2000, 3000, 4000, 4099, 5000, 6000, 7000, 8000, 8099, 9000]);
        let gone = receipt.conflicts.iter().filter(|c| c.reason == Reason::NotFound);
        assert_eq!(gone.count(), 2);
        assert!(!receipt.verified);
    }
}

#[tokio::test]
async fn conflicts_stay_and_the_other_rows_go_on() {
    let lab = Lab::new(EVENTS).await;
    let plan = lab
        .plan(
            "aaaaaa",
            10,
            vec![
                Step::update(
                    "events",
                    &COLUMNS,
                    (1..=4).map(|i| event(i, ["a", "b", "c", "d"][i as usize - 1], i)).collect(),
                    (1..=4).map(|i| event(i, "new", i)).collect(),
                ),
                Step::insert(
                    "events",
                    &COLUMNS,
                    vec![event(5, "five", 5), event(6, "six", 6), event(7, "seven", 7)],
                ),
            ],
        )
        .await;
    lab.sql(
        "update events set n = 99 where id = 1;; delete from events where id = 2;;
         update events set title = 'new' where id = 3;;
         insert into events values (5, 'five', 5), (6, 'other', 6)",
    )
    .await;
    let receipt = lab.apply(&plan).await.unwrap();
    let [update, insert] = &receipt.tables[..] else { panic!() };
    assert_eq!((update.written, update.already, update.conflicts), (1, 1, 2));
    assert_eq!((insert.written, insert.already, insert.conflicts), (1, 1, 1));
    let said: Vec<_> =
        receipt.conflicts.iter().map(|c| (c.key["id"].as_i64().unwrap(), c.reason)).collect();
    assert_eq!(said, [(1, Reason::Data), (2, Reason::NotFound), (6, Reason::Exists)]);
    assert_eq!(receipt.conflicts[0].detail, "n changed");
    assert!(receipt.verified);
    assert_eq!(lab.one("select title from events where id = 1").await, "\"a\"");
    assert_eq!(lab.one("select title from events where id = 4").await, "\"new\"");
    assert_eq!(lab.one("select title from events where id = 6").await, "\"other\"");
}

#[tokio::test]
async fn t1_a_value_that_live_would_coerce_is_not_written() {
    let lab = Lab::new("create table t(id integer primary key, v numeric, w text)").await;
    let rows = vec![
        vec![int(1), text("0123"), text("x")],
        vec![int(2), Value::Real(1.5), text("y")],
        vec![int(3), Value::Real(2.0), text("z")],
        vec![int(4), text("abc"), text("q")],
        vec![int(5), int(7), int(8)],
    ];
    let plan = lab.plan("aaaaaa", 10, vec![Step::insert("t", &["id", "v", "w"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (2, 3));
    assert!(receipt.conflicts.iter().all(|c| c.reason == Reason::NotExact));
    assert_eq!(receipt.conflicts[0].detail, "v: planned as TEXT, live stores INTEGER");
    assert_eq!(lab.one("select group_concat(id) from t").await, "\"2,4\"");
}

#[tokio::test]
async fn t1_the_guard_sees_storage_classes() {
    let lab = Lab::new(
        "create table t(id integer primary key, v);; insert into t values (1, '7'), (2, 7)",
    )
    .await;
    let before = vec![vec![int(1), int(7)], vec![int(2), int(7)]];
    let after = vec![vec![int(1), int(8)], vec![int(2), int(8)]];
    let plan = lab.plan("aaaaaa", 9, vec![Step::update("t", &["id", "v"], before, after)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 1));
    assert_eq!(lab.one("select typeof(v) from t where id = 1").await, "\"text\"");
}

#[tokio::test]
async fn k5_a_key_of_another_class_or_case_hits_no_row() {
    let lab = Lab::new(
        "create table t(k text collate nocase primary key, v integer);;
         insert into t values ('abc', 1), ('0', 2), (x'6162', 3)",
    )
    .await;
    let rows = |v: i64| -> Vec<Vec<Value>> {
        [text("ABC"), int(0), text("ab"), text("abc")]
            .into_iter()
            .map(|k| vec![k, int(v)])
            .collect()
    };
    let plan = lab.plan("aaaaaa", 9, vec![Step::update("t", &["k", "v"], rows(1), rows(9))]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 3));
    assert!(receipt.conflicts.iter().all(|c| c.reason == Reason::NotFound));
    assert_eq!(
        lab.one("select group_concat(v) from (select v from t order by v)").await,
        "\"2,3,9\""
    );
}

#[tokio::test]
async fn k9_keys_with_nul_and_odd_bytes_find_their_own_row() {
    let lab = Lab::new(
        "create table t(k blob primary key, v integer) without rowid;;
         insert into t values (x'61', 1), (x'6100', 1), (x'', 1), ('a', 1)",
    )
    .await;
    let keys =
        [Value::Blob(b"a".to_vec()), Value::Blob(b"a\0".to_vec()), Value::Blob(vec![]), text("a")];
    let rows = |first: i64| -> Vec<Vec<Value>> {
        keys.iter()
            .enumerate()
            .map(|(i, k)| vec![k.clone(), int(if first == 1 { 1 } else { first + i as i64 })])
            .collect()
    };
    let plan = lab.plan("aaaaaa", 9, vec![Step::update("t", &["k", "v"], rows(1), rows(10))]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(receipt.tables[0].written, 4);
    for (key, v) in [("x'61'", "10"), ("x'6100'", "11"), ("x''", "12"), ("'a'", "13")] {
        assert_eq!(lab.one(&format!("select v from t where k = {key}")).await, v);
    }
}

#[tokio::test]
async fn k7_two_rows_under_one_key_are_never_written() {
    let lab =
        Lab::new("create table t(k integer, v integer);; insert into t values (1,1),(1,1)").await;
    let plan = lab
        .plan(
            "aaaaaa",
            9,
            vec![Step::update(
                "t",
                &["k", "v"],
                vec![vec![int(1), int(1)]],
                vec![vec![int(1), int(2)]],
            )],
        )
        .await;
    let e = lab.apply(&plan).await.unwrap_err();
    assert!(e.to_string().contains("more than one row"), "{e}");
    assert_eq!(lab.one("select sum(v) from t").await, "2");
}

#[tokio::test]
async fn k8_an_id_that_was_given_to_another_row_is_not_overwritten() {
    let lab = Lab::new(EVENTS).await;
    let plan = lab
        .plan("aaaaaa", 9, vec![Step::insert("events", &COLUMNS, vec![event(5, "old", 5)])])
        .await;
    lab.sql("insert into events values (5, 'someone else', 50)").await;
    let dump = lab.dump().await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(receipt.conflicts[0].reason, Reason::Exists);
    assert_eq!(receipt.conflicts[0].detail, "a row with this key differs in title, n");
    assert_eq!(lab.dump().await, dump);
}

#[tokio::test]
async fn k11_a_twin_under_another_id_is_named() {
    let lab = Lab::new(
        "create table users(id integer primary key, email text unique collate nocase);;
         insert into users values (412, 'A@x')",
    )
    .await;
    let rows = vec![vec![int(7), text("a@x")], vec![int(8), text("b@x")]];
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("users", &["id", "email"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 1));
    assert_eq!(receipt.conflicts[0].reason, Reason::Recreated);
    assert_eq!(receipt.conflicts[0].detail, "recreated as id 412, which has the same email");
    assert_eq!(lab.one("select count(*) from users").await, "2");
}

#[tokio::test]
async fn c1_c2_a_clash_replaces_nothing_and_cascades_nothing() {
    let lab = Lab::new(
        "create table p(id integer primary key on conflict replace, u text unique on conflict replace);;
         create table c(id integer primary key, p integer references p on delete cascade);;
         insert into p values (1, 'x');; insert into c values (1, 1), (2, 1)",
    )
    .await;
    let dump = lab.dump().await;
    let rows = vec![vec![int(1), text("y")], vec![int(2), text("x")]];
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("p", &["id", "u"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (0, 2));
    let reasons: Vec<_> = receipt.conflicts.iter().map(|c| c.reason).collect();
    assert_eq!(reasons, [Reason::Exists, Reason::Recreated]);
    assert_eq!(lab.dump().await, dump);
}

#[tokio::test]
async fn c3_rows_that_are_swallowed_are_conflicts() {
    let lab = Lab::new(
        "create table a(id integer primary key, u integer unique on conflict ignore);;
         insert into a values (1, 1);;
         create table b(id integer primary key, u integer);;
         create table log(x);;
         create trigger b1 before insert on b when new.u = 1 begin
             insert into log values ('side');
             select raise(ignore); end;;
         create table n(id integer primary key, u integer not null on conflict ignore)",
    )
    .await;
    let rows = vec![vec![int(5), int(1)], vec![int(6), int(2)]];
    let plan = lab
        .plan(
            "aaaaaa",
            9,
            vec![
                Step::insert("a", &["id", "u"], rows.clone()),
                Step::insert("b", &["id", "u"], rows),
                Step::insert("n", &["id", "u"], vec![vec![int(5), Value::Null]]),
            ],
        )
        .await;
    let receipt = lab.apply(&plan).await.unwrap();
    let lines: Vec<_> = receipt.tables.iter().map(|t| (t.written, t.conflicts)).collect();
    assert_eq!(lines, [(1, 1), (1, 1), (0, 1)]);
    let reasons: Vec<_> = receipt.conflicts.iter().map(|c| c.reason).collect();
    assert_eq!(reasons, [Reason::Recreated, Reason::Constraint, Reason::Constraint]);
    assert_eq!(lab.one("select count(*) from log").await, "0");
}

#[tokio::test]
async fn c3_a_trigger_s_own_conflict_clause_is_obeyed() {
    // With a clause in the table's definition, which has to be overridden, so are the triggers'.
    for (clause, written) in [("", 4), (" on conflict ignore", 0)] {
        let lab = Lab::new(&format!(
            "create table t(id integer primary key, v integer unique{clause});;
             insert into t values (1, 1), (2, 2);;
             create table cnt(k text primary key, n integer default 0);;
             create trigger seen after insert on t begin
                 insert or ignore into cnt(k) values ('t');
                 update cnt set n = n + 1 where k = 't'; end;;
             create trigger moved after update on t begin
                 insert or ignore into cnt(k) values ('t');
                 update or replace cnt set n = n + 10 where k = 't'; end;;
             insert into cnt values ('t', 0)"
        ))
        .await;
        let new = vec![vec![int(3), int(3)], vec![int(4), int(4)]];
        let rows = |n: i64| vec![vec![int(1), int(n + 1)], vec![int(2), int(n + 2)]];
        let steps = vec![
            Step::insert("t", &["id", "v"], new),
            Step::update("t", &["id", "v"], rows(0), rows(10)),
        ];
        let plan = lab.plan("aaaaaa", 9, steps).await;
        let receipt = lab.apply(&plan).await.unwrap();
        let done: u64 = receipt.tables.iter().map(|t| t.written).sum();
        assert_eq!((done, receipt.conflict_count()), (written, 4 - written), "{receipt:?}");
        let n = if clause.is_empty() { "22" } else { "0" };
        assert_eq!(lab.one("select n from cnt").await, n);
        for conflict in &receipt.conflicts {
            let said = "cnt.k (OR ABORT, which overrides the ON CONFLICT clause of t";
            assert!(conflict.detail.contains(said), "{}", conflict.detail);
        }
    }
}

#[tokio::test]
async fn c4_a_trigger_that_rewrites_the_row_stops_it() {
    let lab = Lab::new(
        "create table t(id integer primary key, v integer, at text);;
         insert into t values (1, 1, 'then'), (2, 1, 'then');;
         create trigger touch after update on t when new.id = 1 begin
             update t set at = 'now' where id = new.id; end;;
         create table log(x);;
         create trigger note after update on t when new.id = 2 begin
             insert into log values (new.v); end",
    )
    .await;
    let rows = |v| vec![vec![int(1), int(v)], vec![int(2), int(v)]];
    let plan = lab.plan("aaaaaa", 9, vec![Step::update("t", &["id", "v"], rows(1), rows(2))]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 1));
    assert_eq!(receipt.conflicts[0].reason, Reason::NotExact);
    assert!(receipt.conflicts[0].detail.starts_with("at: a trigger"), "{:?}", receipt.conflicts);
    assert_eq!(lab.one("select group_concat(v || at) from t").await, "\"1then,2then\"");
    assert_eq!(lab.one("select count(*) from log").await, "1");
}

#[tokio::test]
async fn c6_missing_parents_are_found_in_every_mode() {
    for deferred in ["", " deferrable initially deferred"] {
        let lab = Lab::new(&format!(
            "create table p(id integer primary key);; insert into p values (1);;
             create table c(id integer primary key, p integer references p(id){deferred})"
        ))
        .await;
        let rows = vec![
            vec![int(1), int(1)],
            vec![int(2), int(77)],
            vec![int(3), Value::Null],
            vec![int(4), int(78)],
        ];
        let plan = lab.plan("aaaaaa", 9, vec![Step::insert("c", &["id", "p"], rows)]).await;
        let receipt = lab.apply(&plan).await.unwrap();
        assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (2, 2), "{deferred}");
        assert!(receipt.conflicts.iter().all(|c| c.reason == Reason::ForeignKey));
        assert_eq!(receipt.conflicts[0].detail, "p: no such row of p");
        assert_eq!(lab.one("select group_concat(id) from c").await, "\"1,3\"");
    }
}

#[tokio::test]
async fn c6_a_table_that_references_itself_needs_no_order() {
    let lab =
        Lab::new("create table t(id integer primary key, boss integer references t(id))").await;
    let rows = vec![
        vec![int(1), int(3)],
        vec![int(2), int(1)],
        vec![int(3), int(5)],
        vec![int(4), int(9)],
        vec![int(5), Value::Null],
    ];
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "boss"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (4, 1));
    assert_eq!(receipt.conflicts[0].key["id"], 4);
}

#[tokio::test]
async fn c7_foreign_keys_are_enforced_though_sqlite_has_them_off() {
    let lab = Lab::new("create table t(id integer primary key)").await;
    let target = lab.target().await;
    assert_eq!(super::harness::strings(target.connection(), "pragma foreign_keys")[0][0], "1");
    assert_eq!(super::harness::strings(target.connection(), "pragma synchronous")[0][0], "2");
    target.close().await.unwrap();
}

#[tokio::test]
async fn c8_a_unique_swap_is_left_alone_and_a_chain_goes_through() {
    let lab = Lab::new(
        "create table t(id integer primary key, u integer unique);;
         insert into t values (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
    )
    .await;
    let before = (1..=5).map(|i| vec![int(i), int(i)]).collect();
    // 1 and 2 swap; 3 -> 4 -> 5 -> 6 move up.
    let after = [2, 1, 4, 5, 6].iter().zip(1..).map(|(u, i)| vec![int(i), int(*u)]).collect();
    let plan = lab.plan("aaaaaa", 9, vec![Step::update("t", &["id", "u"], before, after)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (3, 2));
    assert_eq!(receipt.conflicts[0].reason, Reason::Recreated);
    assert_eq!(receipt.conflicts[0].detail, "id 2 has the same u");
    assert_eq!(lab.one("select group_concat(u) from t").await, "\"1,2,4,5,6\"");
}

#[tokio::test]
async fn g5_a_trigger_that_ends_the_transaction_costs_its_row_only() {
    let lab = Lab::new(
        "create table t(id integer primary key, v integer);;
         create trigger no before insert on t when new.v = 3 begin
             select raise(rollback, 'not three'); end",
    )
    .await;
    let rows = (1..=5).map(|i| vec![int(i), int(i)]).collect();
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "v"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (4, 1));
    assert_eq!(receipt.conflicts[0].reason, Reason::Constraint);
    assert_eq!(lab.one("select group_concat(id) from t").await, "\"1,2,4,5\"");
}

#[tokio::test]
async fn g5_a_trigger_that_ends_every_transaction_is_given_up_on() {
    let lab = Lab::new(
        "create table t(id integer primary key);;
         create trigger no before insert on t begin select raise(rollback, 'never'); end",
    )
    .await;
    let rows = (1..=200).map(|i| vec![int(i)]).collect();
    let plan = lab.plan("aaaaaa", 500, vec![Step::insert("t", &["id"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (0, 200));
}

#[tokio::test]
async fn g5_what_a_constraint_refuses_is_named() {
    let lab = Lab::new(
        "create table t(id integer primary key, v integer not null check (v < 10));;
         create trigger no before insert on t when new.v = 3 begin
             insert into log values (1); select raise(fail, 'not three'); end;;
         create table log(x)",
    )
    .await;
    let rows = vec![
        vec![int(1), Value::Null],
        vec![int(2), int(11)],
        vec![int(3), int(3)],
        vec![int(4), int(4)],
    ];
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "v"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 3));
    assert!(receipt.conflicts.iter().all(|c| c.reason == Reason::Constraint));
    assert_eq!(receipt.conflicts[2].detail, "not three");
    // RAISE(FAIL) keeps what the trigger did; it is taken back with the row.
    assert_eq!(lab.one("select count(*) from log").await, "0");
}

#[tokio::test]
async fn t16_generated_columns_are_left_out_of_writes_and_checked() {
    let lab = Lab::new(
        "create table t(id integer primary key, v integer, twice integer generated always as (v * 2))",
    )
    .await;
    let rows = vec![vec![int(1), int(2), int(4)], vec![int(2), int(2), int(5)]];
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "v", "twice"], rows)]).await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 1));
    assert_eq!(receipt.conflicts[0].reason, Reason::NotExact);
}
