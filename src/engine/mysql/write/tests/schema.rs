//! Tables as applications have them: generated columns, unique chains, trees, rights, drift.

use super::lab::{Lab, Server, counts, on, reasons};
use crate::engine::mysql::write::MysqlTarget;
use crate::model::conflict::Reason;

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
async fn c5_references_hold_whatever_the_server_has_set() {
    let server: &'static Server =
        Box::leak(Box::new(Server::start(&["--innodb-buffer-pool-size=32M"])));
    let lab = on(
        server,
        "create table parent(id int primary key);
         create table child(id int primary key, p int, u int unique, \
            foreign key (p) references parent(id));
         insert into parent values (1), (2); insert into child values (1, 1, 1), (2, 2, 2);",
        "delete from child;",
    );
    server.sql("set global foreign_key_checks = 0; set global unique_checks = 0");
    let plan = lab.restore("aaaaaa", &["child"]).await.unwrap();
    lab.live.sql("delete from parent where id = 2");
    assert_eq!(lab.live.sql("select @@foreign_key_checks, @@unique_checks"), "0\t0\n");
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::ForeignKey)]);
    assert_eq!(lab.live.sql("select id from child"), "1\n");
}
