//! Single rows that the server refuses, and what the engine would do besides.

use super::lab::{Lab, counts, reasons};
use crate::engine::mysql::write::MysqlTarget;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::target::Written;

#[tokio::test]
async fn t13_on_update_is_held_and_the_plan_says_so() {
    let lab = Lab::new(
        "create table t(id int primary key, v int,
            at timestamp default current_timestamp on update current_timestamp);
         insert into t select seq, seq, '2020-01-01' from seq_1_to_100;",
        "update t set v = -1, at = '2021-01-01' where id <= 50;",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let notes = plan.header().tables[0].notes.join("; ");
    assert!(notes.contains("held as it is, against ON UPDATE: at"), "{notes}");
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [50, 50, 0, 0]);
    assert_eq!(lab.live.sql("select count(*) from t where v = id"), "100\n");
    assert_eq!(lab.live.sql("select count(*) from t where at = '2021-01-01'"), "50\n");
    lab.undo(&plan, "bbbbbb").await;
    assert_eq!(lab.live.sql("select count(*) from t where at = '2021-01-01' and v = -1"), "50\n");
}

#[tokio::test]
async fn t14_zero_id_into_auto_increment() {
    let lab = Lab::new(
        "set sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
         create table t(id int auto_increment primary key, v int); insert into t values (0, 7);",
        "delete from t; insert into t(v) values (1);",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
    assert_eq!(lab.live.sql("select * from t where v = 7"), "0\t7\n");
}

#[tokio::test]
async fn t10_enums_are_bound_by_name() {
    let lab = Lab::new(
        "create table t(id int primary key, e enum('2', '1')); insert into t values (1, '1');",
        "update t set e = '2';",
    );
    let plan = lab.patch("aaaaaa", "t", &[("e", "e")], None).await.unwrap();
    lab.apply(&plan).await.unwrap();
    assert_eq!(lab.live.sql("select e from t"), "1\n");
}

#[tokio::test]
async fn c4_a_trigger_that_rewrites_the_row_stops_it() {
    let lab = Lab::new(
        "create table t(id int primary key, v int, w int); insert into t values (1, 1, 1), (2, 2, 2);",
        "update t set v = 0;
         create trigger tr before update on t for each row set new.w = if(new.id = 2, 9, new.w);",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    assert!(plan.header().tables[0].notes.iter().any(|n| n.contains("trigger tr")));
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::NotExact)]);
    assert_eq!(lab.live.sql("select * from t"), "1\t1\t1\n2\t0\t2\n");
}

#[tokio::test]
async fn c1_what_is_referred_to_is_not_moved() {
    // Through an index that is not unique, and by a column that is generated.
    let lab = Lab::new(
        "create table t(id int primary key, v int, w int, key (v));
         create table g(id int primary key, v int, g int as (v * 2) stored, key (g));
         create table c(v int, g int, foreign key (v) references t(v) on update cascade,
            foreign key (g) references g(g));
         insert into t values (1, 1, 1), (2, 2, 2); insert into g(id, v) values (1, 1), (2, 2);",
        "update t set v = v + 10, w = 0; update g set v = v + 10;
         insert into c values (12, null), (null, 24);",
    );
    for (table, id) in [("t", "aaaaaa"), ("g", "bbbbbb")] {
        let plan = lab.patch(id, table, &[("v", "v")], None).await.unwrap();
        let receipt = lab.apply(&plan).await.unwrap();
        assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::ForeignKey)], "{table}");
    }
    let plan = lab.patch("cccccc", "t", &[("w", "w")], None).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [2, 2, 0, 0]);
    assert_eq!(lab.live.sql("select * from c"), "12\tNULL\nNULL\t24\n");
    assert_eq!(lab.live.sql("select * from t"), "1\t1\t1\n2\t12\t2\n");
}

#[tokio::test]
async fn c3_a_trigger_that_signals_refuses_its_row_alone() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); insert into t select seq, 1 from seq_1_to_200;",
        "delete from t;
         delimiter //
         create trigger tr before insert on t for each row
         if new.id = 77 then signal sqlstate '45000' set message_text = 'not this one'; end if//",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":77}"#.to_owned(), Reason::Constraint)]);
    assert_eq!(receipt.conflicts[0].detail, "not this one");
    assert_eq!(counts(&receipt), [200, 199, 0, 1]);
}

#[tokio::test]
async fn c13_engines_without_transactions_are_refused() {
    let lab = Lab::new(
        "create table m(id int primary key) engine=MyISAM; insert into m values (1);
         create table a(id int primary key) engine=Aria; insert into a values (1);
         create table t(id int primary key); insert into t values (1);",
        "delete from m; delete from a; delete from t;",
    );
    for table in ["m", "a"] {
        let e = lab.restore("aaaaaa", &[table]).await.err().unwrap();
        assert_eq!(e.kind(), Kind::Refused, "{e}");
        assert!(e.to_string().contains("keeps no transactions"), "{e}");
    }
    let plan = lab.restore("bbbbbb", &["t"]).await.unwrap();
    lab.live.sql("create trigger tr after insert on t for each row insert into m values (9)");
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert_eq!(lab.live.sql("select * from m"), "");
}

#[tokio::test]
async fn k3_a_key_that_live_has_in_other_letters_is_a_conflict() {
    let lab = Lab::new(
        "create table t(k varchar(20) collate utf8mb4_general_ci primary key, v int);
         insert into t values ('Bob', 1), ('eve', 2);",
        "update t set k = 'bob', v = 7 where k = 'Bob'; delete from t where k = 'eve';",
    );
    assert_eq!(lab.diff("t").await.0, [2, 0, 1, 0]);
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"k":"Bob"}"#.to_owned(), Reason::Exists)]);
    assert!(receipt.conflicts[0].detail.contains(r#"k "bob""#), "{receipt:?}");
    assert_eq!(lab.live.sql("select * from t"), "bob\t7\neve\t2\n");
}

#[tokio::test]
async fn k5_k6_keys_are_bound_as_what_they_are() {
    let lab = Lab::new(
        "create table t(k varchar(20) primary key, v int);
         create table d(k decimal(30,4) primary key, v int);
         create table b(k bigint unsigned primary key, v int);
         insert into t values ('0', 1), ('abc', 2), ('00', 3);
         insert into d values (9007199254740993.0001, 1), (9007199254740993.0002, 2);
         insert into b values (18446744073709551615, 1), (18446744073709551614, 2);",
        "update t set v = 0; update d set v = 0; update b set v = 0;",
    );
    for (table, id) in [("t", "aaaaaa"), ("d", "bbbbbb"), ("b", "cccccc")] {
        let plan = lab.patch(id, table, &[("v", "v")], None).await.unwrap();
        lab.apply(&plan).await.unwrap();
        assert_eq!(lab.live.dump(table), lab.backup.dump(table));
    }
}

#[tokio::test]
async fn k9_binary_keys_keep_their_last_zeros() {
    let lab = Lab::new(
        "create table `Up``per`(`K y` varbinary(9) primary key, V int);
         insert into `Up``per` values (0x61, 1), (0x6100, 2), (0x610000, 3), ('', 4);",
        "delete from `Up``per`;",
    );
    let plan = lab.restore("aaaaaa", &["Up`per"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [4, 4, 0, 0]);
    let all = "select hex(`K y`), V from `Up``per` order by V";
    assert_eq!(lab.live.sql(all), lab.backup.sql(all));
}

#[tokio::test]
async fn t8_what_the_server_rounds_with_no_more_than_a_note_is_refused() {
    let lab = Lab::new(
        "create table t(id int primary key, d decimal(10,4), v varchar(9));
         insert into t values (1, 1.2345, 'a'), (2, 2, 'abc  '), (3, 3.25, 'abc');",
        "delete from t;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let (table, batch) = (&plan.header().tables[0], plan.batch(0).await.unwrap());
    // An apply would see that the columns became narrower; here the server alone does.
    lab.live.sql("alter table t modify d decimal(10,2), modify v varchar(3)");
    let mut target = lab.target().await;
    target.begin().await.unwrap();
    let wrote = target.write(table, &[], None, batch.after.as_ref(), &[0, 1, 2]).await.unwrap();
    for (went, column) in wrote.rows.iter().zip(["d", "v"]) {
        let said = format!("the server says: 1265: Data truncated for column '{column}' at row 1");
        assert_eq!(*went, Written::Refused(Reason::NotExact, said));
    }
    assert_eq!(wrote.rows[2], Written::Done);
    target.commit().await.unwrap();
    target.close().await.unwrap();
    assert_eq!(lab.live.sql("select * from t"), "3\t3.25\tabc\n");
}

#[tokio::test]
async fn c12_a_trigger_that_came_since_the_plan_is_refused() {
    let lab = Lab::new(
        "create table t(id int primary key, d decimal(10,2)); insert into t values (1, 1.25);",
        "delete from t;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.live.sql("create trigger tr before insert on t for each row set new.d = new.d + 1");
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("triggers"), "{e}");
    assert_eq!(lab.live.sql("select count(*) from t"), "0\n");
}

#[tokio::test]
async fn t12_a_moment_without_a_zone_is_set_from_none_with_one() {
    let lab = Lab::new(
        "create table t(id int primary key, at datetime, seen timestamp null);
         insert into t values (1, '2024-01-01 10:00:00', '2024-01-01 10:00:00');",
        "",
    );
    for (column, from) in [("at", "seen"), ("seen", "at")] {
        let e = lab.patch("aaaaaa", "t", &[(column, from)], None).await.unwrap_err();
        let (text, hints) = (e.to_string(), e.hints().join("\n"));
        assert!(text.contains(&format!("t.{column} can't be set from {from}")), "{text}");
        assert!(text.contains("moments without a zone (datetime)"), "{text}");
        assert!(text.contains("moments with a zone (timestamp)"), "{text}");
        assert!(hints.contains("restorekit sql"), "{hints}");
    }
}

#[tokio::test]
async fn c13_triggers_that_can_t_be_read_are_not_written_over() {
    let lab = Lab::new(
        "create table m(id int primary key) engine=MyISAM;
         create table t(id int primary key); insert into t values (1);
         create table free(id int primary key); insert into free values (1);",
        "delete from t; delete from free;
         create trigger tr after insert on t for each row insert into m values (9);",
    );
    let name = &lab.live.name;
    let rights = "select, insert, update, delete";
    lab.live
        .server
        .sql(&format!("create user {name}@'%'; grant {rights} on {name}.* to {name}@'%'"));
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let free = lab.restore("bbbbbb", &["free"]).await.unwrap();
    let said = async |plan| {
        let mut target = MysqlTarget::open(&lab.live.url_as(name)).await.unwrap();
        crate::apply::apply(plan, &mut target, &lab.options(), &crate::progress::Silent).await
    };
    let e = said(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("grant trigger on"), "{e}");
    assert_eq!(counts(&said(&free).await.unwrap()), [1, 1, 0, 0]);
    // Whatever database the table is of.
    lab.live.sql("drop trigger tr");
    let other = lab.backup.name.clone();
    lab.live.sql(&format!(
        "create trigger tr after insert on t for each row insert into {other}.elsewhere values (9)"
    ));
    lab.backup.sql("create table elsewhere(id int primary key) engine=MyISAM");
    let plan = lab.restore("cccccc", &["t"]).await.unwrap();
    let e = lab.apply(&plan).await.unwrap_err();
    assert!(e.to_string().contains("names elsewhere"), "{e}");
    assert_eq!(lab.backup.sql("select * from elsewhere") + &lab.live.sql("select * from m"), "");
}
