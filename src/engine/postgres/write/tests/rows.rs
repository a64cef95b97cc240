//! Single rows that the server refuses, and what the engine would do besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::lab::{Lab, counts, reasons};
use crate::engine::tests::meddled::Call;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::receipt::Receipt;
use crate::plan::file::PlanFile;

#[tokio::test]
async fn c4_a_trigger_that_rewrites_the_row_stops_it() {
    let lab = Lab::new(
        "create table t(id int primary key, v int, w int); insert into t values (1, 1, 1), (2, 2, 2);",
        "update t set v = 0;
         create function f() returns trigger language plpgsql as
            $$begin if new.id = 2 then new.w = 9; end if; return new; end$$;
         create trigger tr before update on t for each row execute function f();",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    assert!(plan.header().tables[0].notes.iter().any(|n| n.contains("trigger tr")));
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::NotExact)]);
    assert_eq!(lab.live.sql("select * from t order by id"), "1\t1\t1\n2\t0\t2\n");
}

/// How often rows are read while this plan is applied, and what came of it.
async fn readings(lab: &Lab, plan: &PlanFile) -> (usize, Receipt) {
    let reads = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&reads);
    let receipt = lab.meddled(plan, lab.options(), false, move |call| {
        seen.fetch_add(usize::from(call == Call::Read), Ordering::Relaxed);
    });
    let receipt = receipt.await.unwrap();
    (reads.load(Ordering::Relaxed), receipt)
}

#[tokio::test]
async fn c4_rows_are_read_again_unless_the_update_itself_tells_what_it_stored() {
    for (table, fires, id, again) in [
        ("create table t(id int primary key, v int, c char(5), n numeric(9,2));", "", "aaaaaa", 0),
        (
            "create table t(id int primary key, v int, c char(5), n numeric(9,2));",
            "create trigger tr after update on t for each row execute function f();",
            "bbbbbb",
            4,
        ),
        (
            "create table t(id int primary key, v int, c char(5), n numeric(9,2)) partition by range (id);
             create table t_1 partition of t for values from (0) to (500);",
            "create trigger tr after update on t_1 for each row execute function f();",
            "cccccc",
            4,
        ),
    ] {
        let lab = Lab::new(
            &format!("{table} insert into t select g, g, 'c' || g, g / 4.0 from generate_series(1, 400) g;"),
            &format!(
                "update t set v = -1, c = 'x', n = 0;
                 create function f() returns trigger language plpgsql as $$begin return null; end$$; {fires}"
            ),
        )
        .in_batches_of(100);
        let plan =
            lab.patch(id, "t", &[("v", "v"), ("c", "c"), ("n", "n")], None).await.unwrap();
        // Under the lock in each batch, and at the end all at once.
        let (reads, receipt) = readings(&lab, &plan).await;
        assert_eq!((reads, counts(&receipt)), (5 + again, [400, 400, 0, 0]), "{fires}");
        assert!(receipt.verified);
        assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    }
}

#[tokio::test]
async fn c4_a_trigger_that_comes_while_rows_are_written_is_noticed() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); insert into t values (1, 1), (2, 2);",
        "update t set v = 0;
         create function f() returns trigger language plpgsql as
            $$begin update t set v = 9 where id = new.id and id = 2 and v <> 9; return null; end$$;",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let live = lab.live.clone();
    let receipt = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::BeforeWrite
            && live.sql("select count(*) from pg_trigger where tgname = 'tr'") == "0\n"
        {
            live.sql("create trigger tr after update on t for each row execute function f()");
        }
    });
    let receipt = receipt.await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::NotExact)]);
    assert_eq!(lab.live.sql("select * from t order by id"), "1\t1\n2\t0\n");
}

#[tokio::test]
async fn c1_what_is_referred_to_by_a_generated_column_is_not_moved() {
    let lab = Lab::new(
        "create table t(id int primary key, v int, g int generated always as (v * 2) stored unique);
         create table c(g int references t(g) on update cascade);
         insert into t(id, v) values (1, 1), (2, 2);",
        "update t set v = v + 10; insert into c values (22);",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":1}"#.to_owned(), Reason::ForeignKey)]);
    assert_eq!(lab.live.sql("select * from c"), "22\n");
}

/// A trigger before each write of `t` with this body.
fn trigger(event: &str, body: &str) -> String {
    format!(
        "create function f() returns trigger language plpgsql as $$begin {body} end$$;
         create trigger tr before {event} on t for each row execute function f();"
    )
}

#[tokio::test]
async fn c3_a_trigger_that_raises_refuses_its_row_alone() {
    for (raise, id) in [
        ("raise 'not this one'", "aaaaaa"),
        ("raise sqlstate 'MY001' using message = 'not this one'", "bbbbbb"),
    ] {
        let lab = Lab::new(
            "create table t(id int primary key, v int);
             insert into t select g, 1 from generate_series(1, 200) g;",
            &("delete from t;".to_owned()
                + &trigger("insert", &format!("if new.id = 77 then {raise}; end if; return new;"))),
        );
        let plan = lab.restore(id, &["t"]).await.unwrap();
        let receipt = lab.apply(&plan).await.unwrap();
        assert_eq!(reasons(&receipt), [(r#"{"id":77}"#.to_owned(), Reason::Constraint)]);
        assert_eq!(receipt.conflicts[0].detail, "not this one");
        assert_eq!(counts(&receipt), [200, 199, 0, 1]);
    }
}

#[tokio::test]
async fn c3_a_trigger_that_swallows_the_row_is_noticed() {
    let swallow =
        |event| trigger(event, "if new.id in (7, 77) then return null; end if; return new;");
    let lab = Lab::new(
        "create table t(id int primary key, v int);
         insert into t select g, 1 from generate_series(1, 200) g;",
        &("delete from t where id > 50; update t set v = 0;".to_owned()
            + &swallow("insert or update")),
    );
    let expected = |id: u32| (format!(r#"{{"id":{id}}}"#), Reason::Constraint);
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [expected(77)]);
    assert_eq!(counts(&receipt), [150, 149, 0, 1]);
    let plan = lab.patch("bbbbbb", "t", &[("v", "v")], None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [expected(7)]);
    assert_eq!(counts(&receipt), [50, 49, 0, 1]);
}

#[tokio::test]
async fn c3_c14_rules_views_and_foreign_tables_are_no_targets() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); insert into t values (1, 1);
         create table r(id int primary key); insert into r values (1);
         create view w as select * from t;
         create rule keep as on insert to r do instead nothing;",
        "delete from t; delete from r;",
    );
    let e = lab.restore("aaaaaa", &["r"]).await.err().unwrap();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("rules"), "{e}");
    let e = lab.restore("bbbbbb", &["w"]).await.err().unwrap();
    assert!(e.to_string().contains('w'), "{e}");
}

#[tokio::test]
async fn c10_row_level_security_is_refused_by_name() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); insert into t values (1, 1), (2, 2);",
        "delete from t where id = 1;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.live.sql(
        "grant all on t to guest; alter table t enable row level security;
         create policy p on t using (id > 100);",
    );
    let mut target = crate::registry::open_target(&lab.live.url_as("guest")).await.unwrap();
    let e =
        crate::apply::apply(&plan, &mut *target, &lab.options(), &crate::progress::Silent).await;
    target.close().await.unwrap();
    let e = e.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("row-level security"), "{e}");
    // Its owner sees and writes everything.
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
}

#[tokio::test]
async fn k3_a_key_that_live_has_in_other_letters_is_a_conflict() {
    let lab = Lab::new(
        "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table t(k text collate ci primary key, v int);
         insert into t values ('Bob', 1), ('eve', 2);",
        "update t set k = 'bob', v = 7 where k = 'Bob'; delete from t where k = 'eve';",
    );
    assert_eq!(lab.diff("t").await.0, [2, 0, 1, 0]);
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"k":"Bob"}"#.to_owned(), Reason::Exists)]);
    assert!(receipt.conflicts[0].detail.contains(r#"k "bob""#), "{receipt:?}");
    assert_eq!(lab.live.sql("select * from t order by v"), "eve\t2\nbob\t7\n");
}

#[tokio::test]
async fn k5_k6_keys_are_bound_as_what_they_are() {
    let lab = Lab::new(
        "create extension if not exists citext;
         create type mood as enum ('sad', 'glad');
         create table a(k varchar(20) primary key, v int);
         create table b(k numeric(30,4) primary key, v int);
         create table c(k bigint primary key, v int);
         create table d(k numeric primary key, v int);
         create table e(k mood primary key, v int);
         create table f(k citext primary key, v int);
         create table g(k uuid, at timestamptz, v int, primary key (k, at));
         create table h(k char(4) primary key, v int);
         create table i(k oid primary key, v int);
         create table j(k smallint primary key, v int);
         insert into a values ('0', 1), ('abc', 2), ('00', 3), ('', 4), ('a ', 5), ('a', 6);
         insert into b values (9007199254740993.0001, 1), (9007199254740993.0002, 2);
         insert into c values (9223372036854775807, 1), (9007199254740993, 2), (9007199254740992, 3);
         insert into d values (1.50, 1), (9007199254740993, 2), ('NaN', 3);
         insert into e values ('glad', 1), ('sad', 2);
         insert into f values ('Bob', 1), ('eve', 2);
         insert into g values ('123e4567-e89b-12d3-a456-426655440000', '0044-03-15 12:00:00+00 BC', 2);
         insert into h values ('a', 1), ('abcd', 2);
         insert into i values (4294967295, 1), (0, 2);
         insert into j values (-32768, 1), (7, 2);",
        "update a set v = 0; update b set v = 0; update c set v = 0; update d set v = 0;
         update e set v = 0; update f set v = 0; update g set v = 0; update h set v = 0;
         update i set v = 0; delete from j;",
    );
    for table in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        let plan = lab.patch(&table.repeat(6), table, &[("v", "v")], None).await.unwrap();
        let receipt = lab.apply(&plan).await.unwrap();
        assert_eq!(receipt.tables[0].conflicts, 0, "{table} {receipt:?}");
        assert_eq!(lab.live.dump(table), lab.backup.dump(table), "{table}");
    }
    let plan = lab.restore("abcdef", &["j"]).await.unwrap();
    lab.apply(&plan).await.unwrap();
    assert_eq!(lab.live.dump("j"), lab.backup.dump("j"));
}

#[tokio::test]
async fn k9_bytes_as_keys_and_names_that_need_quotes() {
    let lab = Lab::new(
        r#"create schema "Sch ema";
           create table "Sch ema"."Up""per"("K y" bytea primary key, "V" int, "select" text);
           insert into "Sch ema"."Up""per" values ('\x61', 1, 'a'), ('\x6100', 2, null),
              ('\x610000', 3, ''), ('', 4, 'd');"#,
        r#"delete from "Sch ema"."Up""per";"#,
    );
    let plan = lab.restore("aaaaaa", &["Sch ema.Up\"per"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [4, 4, 0, 0]);
    let name = r#""Sch ema"."Up""per""#;
    assert_eq!(lab.live.dump(name), lab.backup.dump(name));
}

#[tokio::test]
async fn k10_tables_that_inherit_keep_their_rows() {
    let lab = Lab::new(
        "create table t(id int primary key, v int); create table u() inherits (t);
         insert into t values (1, 1), (2, 2); insert into u values (1, 1), (3, 3);",
        "update only t set v = 0; delete from only t where id = 2;",
    );
    assert_eq!(lab.diff("t").await.0, [1, 1, 0, 0]);
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
    let plan = lab.restore("bbbbbb", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
    assert_eq!(counts(&lab.undo(&plan, "cccccc").await), [1, 1, 0, 0]);
    assert_eq!(lab.live.sql("select * from only t order by id"), "1\t1\n");
    assert_eq!(lab.live.sql("select * from u order by id"), "1\t1\n3\t3\n");
}

#[tokio::test]
async fn k11_a_row_that_was_recreated_under_another_key_is_named() {
    let lab = Lab::new(
        "create table t(id int primary key, email text, v int);
         create unique index low on t (lower(email)); create unique index by_email on t(email);
         insert into t values (1, 'a@x', 1), (2, 'b@x', 2), (3, 'C@x', 3);",
        "delete from t;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.live.sql("insert into t values (9, 'b@x', 0), (10, 'c@x', 0)");
    let receipt = lab.apply(&plan).await.unwrap();
    let two = |id: u32, reason| (format!(r#"{{"id":{id}}}"#), reason);
    assert_eq!(reasons(&receipt), [two(2, Reason::Recreated), two(3, Reason::Constraint)]);
    assert!(receipt.conflicts[0].detail.contains("recreated as id 9"), "{receipt:?}");
    // An index over an expression is named by the server.
    assert!(receipt.conflicts[1].detail.contains("\"low\""), "{receipt:?}");
    assert_eq!(lab.live.sql("select id from t order by id"), "1\n9\n10\n");
}

#[tokio::test]
async fn t4_t19_text_that_live_can_t_hold_is_one_conflict() {
    use super::lab::Server;
    let server = Server::shared();
    let live = server.database();
    let name = &live.name;
    server.sql(&format!("drop database {name}"));
    server.sql(&format!(
        "create database {name} encoding 'LATIN1' lc_collate 'C' \
         lc_ctype 'C' template template0"
    ));
    let both = "create table t(id int primary key, v text); \
                insert into t values (1, 'a'), (2, 'b'), (3, 'c')";
    let lab = Lab::of(live, server.database(), both, "update t set v = 'x'");
    lab.backup.sql("update t set v = '日本' where id = 2; update t set v = 'ä' where id = 3");
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [3, 2, 0, 1], "{receipt:?}");
    assert_eq!(reasons(&receipt), [(r#"{"id":2}"#.to_owned(), Reason::Constraint)]);
    assert_eq!(lab.live.sql("select v from t order by id"), "a\nx\nä\n");
}

#[tokio::test]
async fn t7_what_live_would_cut_or_round_is_refused() {
    let lab = Lab::new(
        "create table t(id int primary key, v varchar(10), n numeric(10,4), at timestamp(6));
         insert into t values (1, 'abcdef', 1.2345, '2024-01-01 00:00:00.123456'),
            (2, 'abc', 1.2, '2024-01-01 00:00:00.1');",
        "delete from t;
         alter table t alter v type varchar(3); alter table t alter n type numeric(10,1);
         alter table t alter at type timestamp(1);",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    // What is as exact in the narrower type comes back; the other row is left out by its key.
    assert_eq!(receipt.tables[0].written, 1, "{receipt:?}");
    assert_eq!(lab.live.sql("select * from t"), "2\tabc\t1.2\t2024-01-01 00:00:00.1\n");
}

#[tokio::test]
async fn t12_a_moment_without_a_zone_is_set_from_none_with_one() {
    let lab = Lab::new(
        "create table t(id int primary key, at timestamp, seen timestamptz);
         insert into t values (1, '2024-01-01 10:00:00', '2024-01-01 10:00:00');",
        "",
    );
    for (column, from) in [("at", "seen"), ("seen", "at")] {
        let e = lab.patch("aaaaaa", "t", &[(column, from)], None).await.unwrap_err();
        let (text, hints) = (e.to_string(), e.hints().join("\n"));
        assert!(text.contains(&format!("t.{column} can't be set from {from}")), "{text}");
        assert!(text.contains("moments without a zone (timestamp without time zone)"), "{text}");
        assert!(text.contains("moments with a zone (timestamp with time zone)"), "{text}");
        assert!(text.contains("in which zone"), "{text}");
        assert!(hints.contains("b.") && hints.contains("backup.t b join live.t l"), "{hints}");
    }
}

#[tokio::test]
async fn x1_a_commit_is_durable_whatever_the_database_says() {
    for (own, there) in [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")] {
        let lab = Lab::new(
            "create table t(id int primary key); insert into t values (1);",
            "delete from t; create table seen(setting text);
             create function f() returns trigger language plpgsql as
                $$begin insert into seen select current_setting('synchronous_commit'); return new; end$$;
             create trigger tr after insert on t for each row execute function f();",
        );
        let name = &lab.live.name;
        let set = format!("alter database {name} set synchronous_commit = {own}");
        lab.live.server.sql(&set);
        let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
        assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
        assert_eq!(lab.live.sql("select setting from seen"), format!("{there}\n"));
    }
}
