//! Tables as applications have them: generated columns, unique chains, trees, rights, drift.

use super::lab::{Lab, counts};
use crate::engine::mysql::session::{Purpose, Session};
use crate::engine::mysql::write::MysqlTarget;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::target::Target as _;

#[tokio::test]
async fn t16_generated_columns_are_left_to_the_engine() {
    let lab = Lab::new(
        "create table t(id int primary key, a int, b int as (a * 2) stored, \
            c varchar(9) as (concat('v', a)) virtual, d int invisible default 3);
         insert into t(id, a, d) select seq, seq, seq from seq_1_to_20;",
        "delete from t where id > 10; update t set a = 0, d = 0 where id <= 10;",
    );
    let restore = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&restore).await.unwrap()), [10, 10, 0, 0]);
    let patch = lab.patch("bbbbbb", "t", &[("a", "a"), ("d", "d")], None).await.unwrap();
    let notes = patch.header().tables[0].notes.join("; ");
    assert!(notes.contains("generated columns follow on their own: b, c"), "{notes}");
    assert_eq!(counts(&lab.apply(&patch).await.unwrap()), [10, 10, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
}

#[tokio::test]
async fn c8_a_chain_of_moves_is_followed_and_a_swap_is_refused() {
    let lab = Lab::new(
        "create table t(id int primary key, u varchar(9) unique);
         insert into t values (1, 'c'), (2, 'd'), (11, 'x'), (12, 'y');",
        "update t set u = 'b' where id = 1; update t set u = 'c' where id = 2;
         update t set u = 'z' where id = 11; update t set u = 'x' where id = 12;
         update t set u = 'y' where id = 11;",
    );
    let plan = lab.patch("aaaaaa", "t", &[("u", "u")], None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [4, 2, 0, 2], "{receipt:?}");
    assert!(receipt.conflicts.iter().all(|c| c.reason == Reason::Recreated), "{receipt:?}");
    assert_eq!(lab.live.sql("select * from t order by id"), "1\tc\n2\td\n11\ty\n12\tx\n");
}

#[tokio::test]
async fn c6_a_tree_comes_back_parents_first() {
    let lab = Lab::new(
        "create table t(id int primary key, boss int, foreign key (boss) references t(id));
         insert into t values (50, null);
         insert into t select 50 - seq, 51 - seq from seq_1_to_40;",
        "set foreign_key_checks = 0; delete from t where id <> 50;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [40, 40, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    assert_eq!(counts(&lab.undo(&plan, "bbbbbb").await), [40, 40, 0, 0]);
    assert_eq!(lab.live.sql("select * from t"), "50\tNULL\n");
}

#[tokio::test]
async fn c9_the_application_s_next_insert_works() {
    let lab = Lab::new(
        "create table t(id int auto_increment primary key, v int);
         insert into t(v) select seq from seq_1_to_30;",
        "delete from t where id > 10; alter table t auto_increment = 11;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.apply(&plan).await.unwrap();
    assert_eq!(lab.live.sql("insert into t(v) values (0); select last_insert_id()"), "31\n");
}

#[tokio::test]
async fn c12_a_table_that_changed_since_the_plan_is_refused() {
    let lab =
        Lab::new("create table t(id int primary key); insert into t values (1)", "delete from t");
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.live.sql("alter table t add column v int not null default 1");
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("the schema of t changed since the plan: columns"), "{e}");
}

#[tokio::test]
async fn w1_a_database_is_not_its_own_backup() {
    let mut lab = Lab::new("create table t(id int primary key)", "");
    lab.backup = lab.live.clone();
    let e = lab.restore("aaaaaa", &["t"]).await.err().unwrap();
    assert!(e.to_string().contains("the same database"), "{e}");
}

#[tokio::test]
async fn t19_what_live_s_character_set_lacks_is_one_conflict() {
    let lab = Lab::new(
        "create table t(id int primary key, v varchar(20)) character set latin1;
         insert into t values (1, 'a'), (2, 'b'), (3, 'c');",
        "update t set v = 'x'",
    );
    lab.backup.sql(
        "alter table t convert to character set utf8mb4; update t set v = '日本' where id = 2;
                    update t set v = '€' where id = 3",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [3, 2, 0, 1], "{receipt:?}");
    assert_eq!(receipt.conflicts[0].key.to_string(), r#"{"id":2}"#);
    assert_eq!(lab.live.sql("select hex(v) from t"), "61\n78\n80\n");
}

#[tokio::test]
async fn x4_undo_leaves_alone_what_changed_since() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); insert into t values (1, 1), (2, 2), (3, 3)",
        "delete from t where id > 1; update t set v = 0",
    );
    let restore = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.apply(&restore).await.unwrap();
    let patch = lab.patch("bbbbbb", "t", &[("v", "v")], None).await.unwrap();
    lab.apply(&patch).await.unwrap();
    lab.live.sql("update t set v = 9 where id in (1, 3)");
    assert_eq!(counts(&lab.undo(&patch, "cccccc").await), [1, 0, 0, 1]);
    assert_eq!(counts(&lab.undo(&restore, "dddddd").await), [2, 1, 0, 1]);
    assert_eq!(lab.live.sql("select * from t"), "1\t9\n3\t9\n");
}

#[tokio::test]
async fn a_user_without_the_right_is_told_so() {
    let lab =
        Lab::new("create table t(id int primary key); insert into t values (1)", "delete from t");
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let name = &lab.live.name;
    lab.live.server.sql(&format!("create user {name}@'%'; grant select on {name}.* to {name}@'%'"));
    let mut target = MysqlTarget::open(&lab.live.url_as(name)).await.unwrap();
    let options = lab.options();
    let e = crate::apply::apply(&plan, &mut target, &options, &crate::progress::Silent).await;
    let e = e.unwrap_err();
    assert!(e.to_string().contains("has no right to"), "{e}");
    assert!(e.hints().iter().any(|hint| hint.contains("grant")), "{:?}", e.hints());
}

#[tokio::test]
async fn g7_the_server_ends_what_a_hung_client_left_open() {
    let lab = Lab::new("create table t(id int primary key)", "");
    let mut target = lab.target().await;
    target.begin().await.unwrap();
    let address = crate::engine::mysql::address::Address::parse(
        &lab.live.url(),
        crate::model::side::Which::Live,
    )
    .unwrap();
    for (purpose, seconds) in [(Purpose::Write, "60"), (Purpose::Read, "0")] {
        let (mut session, _) = Session::open(&address, purpose).await.unwrap();
        let sql = "select cast(@@idle_transaction_timeout as char), cast(@@innodb_lock_wait_timeout as char)";
        let row = session.strings(sql, &[]).await.unwrap().remove(0);
        assert_eq!(row, [Some(seconds.to_owned()), Some("2".to_owned())]);
    }
    target.rollback().await.unwrap();
    target.close().await.unwrap();
}
