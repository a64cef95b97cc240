//! Tables as applications have them: generated columns, unique chains, trees, rights, drift.

use super::lab::{Lab, Server, counts, on, reasons};
use crate::engine::mysql::write::MysqlTarget;
use crate::model::conflict::Reason;
use crate::plan::file::PlanFile;

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

#[tokio::test]
async fn c1_undo_cascades_to_nobody_whom_the_user_may_not_see() {
    let lab = Lab::new(
        "create table `parent-ä`(id int primary key, v int, w int, key (w));
         insert into `parent-ä` values (1, 1, 1), (2, 2, 2);",
        "delete from `parent-ä`;",
    );
    let (live, hidden) = (&lab.live.name, &lab.backup.name);
    let table = "parent-ä";
    let restore = lab.restore("aaaaaa", &[table]).await.unwrap();
    lab.live.server.sql(&format!(
        "create user {live}@'%'; grant select, insert, update, delete, trigger on {live}.* to {live}@'%'"
    ));
    let by_user = async |plan: &PlanFile| {
        let mut target = MysqlTarget::open(&lab.live.url_as(live)).await.unwrap();
        crate::apply::apply(plan, &mut target, &lab.options(), &crate::progress::Silent).await
    };
    // Rows come, and what nobody refers to is written, without any more right.
    assert_eq!(counts(&by_user(&restore).await.unwrap()), [2, 2, 0, 0]);
    lab.live.sql("update `parent-ä` set v = 0, w = 0");
    let patch = lab.patch("bbbbbb", table, &[("v", "v")], None).await.unwrap();
    assert_eq!(counts(&by_user(&patch).await.unwrap()), [2, 2, 0, 0]);
    lab.live.sql(&format!(
        "create table {hidden}.`child$Ö`(p int, w int, \
            foreign key (p) references {live}.`parent-ä`(id) on delete cascade, \
            foreign key (w) references {live}.`parent-ä`(w) on update cascade);
         insert into {hidden}.`child$Ö` values (2, null)"
    ));
    let moving = lab.patch("cccccc", table, &[("w", "w")], None).await.unwrap();
    let path = tempfile::tempdir().unwrap();
    let undone = path.path().join("dddddd.rkplan");
    let e = by_user(&moving).await.unwrap_err();
    assert!(e.to_string().contains("is not told which tables refer to parent-ä"), "{e}");
    assert!(e.hints().iter().any(|hint| hint.contains("grant process on *.*")), "{:?}", e.hints());
    lab.live.sql("update `parent-ä` set w = id");
    let hour = chrono::Duration::hours(1);
    let undo = crate::undo::undo(&restore, &undone, "dddddd", hour).await.unwrap();
    let e = by_user(&undo).await.unwrap_err();
    assert!(e.to_string().contains("is not told which tables refer to parent-ä"), "{e}");
    lab.live.server.sql(&format!("grant process on *.* to {live}@'%'"));
    let e = by_user(&undo).await.unwrap_err();
    assert!(e.to_string().contains("has no right to"), "{e}");
    assert_eq!(lab.live.sql(&format!("select p from {hidden}.`child$Ö`")), "2\n");
    lab.live.server.sql(&format!("grant select on {hidden}.* to {live}@'%'"));
    let receipt = by_user(&undo).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::ForeignKey)]);
    assert_eq!(lab.live.sql(&format!("select p from {hidden}.`child$Ö`")), "2\n");
}
