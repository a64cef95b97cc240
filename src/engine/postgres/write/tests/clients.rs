//! Other clients: lost connections, deadlocks, held locks, replicas, and an application that
//! writes all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::lab::{Database, Lab, Server, counts, on};
use crate::engine::postgres::address::Address;
use crate::engine::postgres::failure::is_lost;
use crate::engine::postgres::session::Session;
use crate::engine::tests::contract::damaged;
use crate::engine::tests::meddled::Call;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::side::Which;

/// A server of one's own, which lives as long as the process.
fn own_server(settings: &[&str]) -> &'static Server {
    Box::leak(Box::new(Server::start(settings)))
}

const ROWS: &str = "create table t(id int primary key, v int);
     insert into t select g, g from generate_series(1, 400) g;";

/// Another client of live.
async fn session(lab: &Lab) -> Session {
    let address = Address::parse(&lab.live.url(), Which::Live).unwrap();
    Session::open(&address).await.unwrap().0
}

#[tokio::test]
async fn g8_a_row_that_the_application_holds_ends_the_run_after_2_s() {
    let lab = damaged::<Database>();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let mut application = session(&lab).await;
    application.run("begin; update t set v = 7 where id = 150").await.unwrap();
    let began = std::time::Instant::now();
    let e = lab.apply(&plan).await.unwrap_err();
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert!(e.to_string().contains("locked by another client"), "{e}");
    application.run("commit").await.unwrap();
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 399, 0, 1]);
    assert_eq!(receipt.conflicts[0].reason, Reason::Data);
    assert_eq!(lab.live.sql("select v from t where id = 150"), "7\n");
}

#[tokio::test]
async fn g8_a_deadlock_is_tried_again_with_a_fresh_read() {
    let lab = Lab::new(
        "create table a(id int primary key, v int); create table t(id int primary key, v int);
         insert into a values (1, 1); insert into t select g, g from generate_series(1, 50) g;",
        "update t set v = -1;
         create function f() returns trigger language plpgsql as
            $$begin update a set v = v + 1 where id = 1; return new; end$$;
         create trigger tr before update on t for each row execute function f();",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    // Ours holds t and wants a; theirs holds a and wants t, and does not look for a deadlock.
    let (live, once) = (lab.live.clone(), AtomicBool::new(false));
    let theirs = Arc::new(std::sync::Mutex::new(None));
    let (kept, watcher) = (Arc::clone(&theirs), lab.live.clone());
    let receipt = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::BeforeWrite && !once.swap(true, Ordering::Relaxed) {
            let live = live.clone();
            let thread = std::thread::spawn(move || {
                live.sql(
                    "set deadlock_timeout = '60s'; begin; update a set v = v where id = 1; \
                     set local session_replication_role = replica; \
                     update t set v = 9 where id = 50; commit",
                );
            });
            *kept.lock().unwrap() = Some(thread);
            // Until they wait for t, ours does not ask for a.
            let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' \
                           and datname = current_database()";
            let began = std::time::Instant::now();
            while watcher.sql(waiting) == "0\n" && began.elapsed().as_secs() < 20 {
                std::thread::yield_now();
            }
        }
    });
    let receipt = receipt.await.unwrap();
    theirs.lock().unwrap().take().unwrap().join().unwrap();
    // Theirs came first: its row is a conflict, the others are written.
    assert_eq!(counts(&receipt), [50, 49, 0, 1], "{receipt:?}");
    assert_eq!(lab.live.sql("select v from t where id = 50"), "9\n");
}

/// Writes of ours whose predecessor was not the planned image before, by the order in which
/// the database itself saw them.
fn overwritten(database: &Database) -> u64 {
    let counted = database.sql("select count(*) from audit where who = 'restorekit' and was <> -1");
    counted.trim().parse().unwrap()
}

/// Applies a plan, a batch a transaction or several, while the application writes all the time.
async fn history(adapts: bool) {
    let lab = Lab::new(
        "create table t(id int primary key, v int);
         create table audit(n bigint generated always as identity, id int, was int, v int, who text);
         insert into t select g, g from generate_series(1, 4000) g;",
        "update t set v = -1;
         create function f() returns trigger language plpgsql as $$begin
            insert into audit(id, was, v, who)
            values (new.id, old.v, new.v, current_setting('application_name'));
            return null; end$$;
         create trigger tr after update on t for each row execute function f();",
    )
    .in_batches_of(100);
    let lab = if adapts { lab.adapting() } else { lab };
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let (stop, stamp) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(1_000_000)));
    let writers: Vec<_> = (0..2u64)
        .map(|seed| {
            let (live, stop, stamp) = (lab.live.clone(), Arc::clone(&stop), Arc::clone(&stamp));
            std::thread::spawn(move || {
                let mut state = seed + 1;
                while !stop.load(Ordering::Relaxed) {
                    let mut script = String::new();
                    for _ in 0..100 {
                        state = state
                            .wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                        let (id, v) =
                            (1 + (state >> 33) % 4000, stamp.fetch_add(1, Ordering::Relaxed));
                        script.push_str(&format!("update t set v = {v} where id = {id};"));
                    }
                    live.sql(&script);
                }
            })
        })
        .collect();
    while lab.live.sql("select count(*) from audit") == "0\n" {
        std::thread::yield_now();
    }
    let receipt = lab.apply(&plan).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let [planned, written, _, conflicts] = counts(&receipt);
    assert!(conflicts > 0 && written > 0 && written + conflicts == planned, "{receipt:?}");
    let ours = lab.live.sql("select count(*) from audit where who = 'restorekit'");
    assert_eq!(ours.trim(), written.to_string());
    assert_eq!(overwritten(&lab.live), 0);
    // The bad SQL that this check is there for: the guard in a sub-query, not at the row.
    let held = session(&lab).await;
    lab.live.sql(
        "set application_name = 'restorekit'; update t set v = id where id in \
                  (select id from t where v > 1000000 limit 1)",
    );
    held.close().await.unwrap();
    assert_eq!(overwritten(&lab.live), 1);
}

#[tokio::test]
async fn no_write_of_the_application_is_overwritten() {
    history(false).await;
}

#[tokio::test]
async fn no_write_of_the_application_is_overwritten_by_batches_that_go_as_one() {
    history(true).await;
}

#[tokio::test]
async fn g10_a_read_only_database_and_a_replica_are_refused() {
    let server = own_server(&[]);
    let lab = on(server, ROWS, "update t set v = -1").in_batches_of(100);
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let name = &lab.live.name;
    server.sql(&format!("alter database {name} set default_transaction_read_only = on"));
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("is read-only"), "{e}");
    server.sql(&format!("alter database {name} reset default_transaction_read_only"));
    // It turns into a replica between two batches.
    let commits = AtomicUsize::new(0);
    let stopped = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::AfterCommit && commits.fetch_add(1, Ordering::Relaxed) == 1 {
            std::fs::write(server.socket().join("data/standby.signal"), "").unwrap();
            server.crash();
        }
    });
    let e = stopped.await.unwrap_err();
    assert!(e.to_string().contains("is a replica"), "{e}");
    server.sql("select pg_promote()");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
}

#[tokio::test]
async fn t12_t15_w4_the_server_s_own_settings_do_not_count() {
    let server = own_server(&[
        "timezone=Asia/Tokyo",
        "datestyle=german",
        "intervalstyle=iso_8601",
        "bytea_output=escape",
        "extra_float_digits=-5",
        "standard_conforming_strings=off",
        "escape_string_warning=off",
        "xmloption=document",
        "default_transaction_isolation=serializable",
    ]);
    let lab = on(
        server,
        r"create table t(id int primary key, at timestamptz, i interval, b bytea, f float4[], v text,
             r tstzrange);
         insert into t values
            (1, '2024-03-31 01:30:00+00', '1 year 2 days 00:00:03.5', decode('00ff5c27', 'hex'),
             '{0.1,1e-40,3.4028235e38}', E'\\'' or 1=1 -- ', '[2024-01-01 00:00:00+00,)'),
            (2, '0044-03-15 12:00:00+00 BC', '-1 mons', '', '{}', E'''''; drop table t; -- \\\\', 'empty');",
        "delete from t;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [2, 2, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    assert_eq!(counts(&lab.undo(&plan, "bbbbbb").await), [2, 2, 0, 0]);
    assert_eq!(lab.live.dump("t"), "");
}

#[tokio::test]
async fn x1_a_server_that_dies_at_any_step_is_found_whole_or_as_before() {
    let server = own_server(&[]);
    for (step, id) in [
        (Call::Read, "aaaaaa"),
        (Call::AfterWrite, "bbbbbb"),
        (Call::BeforeCommit, "cccccc"),
        (Call::AfterCommit, "dddddd"),
    ] {
        let lab = on(server, ROWS, "update t set v = -1").in_batches_of(100);
        let plan = lab.patch(id, "t", &[("v", "v")], None).await.unwrap();
        let seen = AtomicUsize::new(0);
        let died = lab.meddled(&plan, lab.options(), false, move |call| {
            if call == step && seen.fetch_add(1, Ordering::Relaxed) == 2 {
                server.crash();
            }
        });
        // Between two transactions nothing is lost, and the run goes on by itself.
        match died.await {
            Ok(receipt) => assert_eq!(counts(&receipt), [400, 400, 0, 0], "{step:?}"),
            Err(e) => assert_eq!(e.kind(), Kind::Stopped, "{step:?} {e}"),
        }
        let done = lab.live.sql("select count(*) from t where v = id");
        assert_eq!(done.trim().parse::<u64>().unwrap() % 100, 0, "{step:?}: {done}");
        let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
        assert_eq!(receipt.tables[0].conflicts, 0, "{step:?}");
        assert_eq!(lab.live.dump("t"), lab.backup.dump("t"), "{step:?}");
    }
}

#[tokio::test]
async fn g7_the_server_ends_what_a_hung_client_left_open() {
    let lab =
        Lab::new("create table t(id int primary key, v int); insert into t values (1, 1)", "");
    let mut ours = session(&lab).await;
    ours.begin_writing().await.unwrap();
    for (setting, value) in [
        ("idle_in_transaction_session_timeout", "1min"),
        ("lock_timeout", "2s"),
        ("transaction_isolation", "read committed"),
        ("row_security", "off"),
        ("session_replication_role", "origin"),
        ("search_path", "\"$user\", public"),
    ] {
        assert_eq!(ours.word(&format!("show {setting}")).await.unwrap(), value, "{setting}");
    }
    // The application waits for a row of one who hangs, until the server has ended it.
    let sooner = "set local idle_in_transaction_session_timeout = '100ms'";
    ours.run(sooner).await.unwrap();
    ours.run("update t set v = -1").await.unwrap();
    let mut application = session(&lab).await;
    application.run("update t set v = v + 1").await.unwrap();
    assert_eq!(lab.live.sql("select v from t"), "2\n");
    assert!(is_lost(&ours.run("commit").await.unwrap_err()));
    application.close().await.unwrap();
}

#[test]
fn c14_servers_that_only_speak_like_it_are_not_written() {
    use super::super::is_postgres;
    assert!(is_postgres("PostgreSQL 15.18 (Debian 15.18-1.pgdg12+1) on x86_64-pc-linux-gnu"));
    assert!(is_postgres("PostgreSQL 18beta1 on aarch64"));
    for other in [
        "CockroachDB CCL v23.1.14 (x86_64-pc-linux-gnu)",
        "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu",
        "PostgreSQL 9.4.26 (Greenplum Database 6.20.0)",
        "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.12103",
        "Materialize v0.27",
        "",
    ] {
        assert!(!is_postgres(other), "{other}");
    }
}
