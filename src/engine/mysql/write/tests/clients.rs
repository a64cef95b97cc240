//! Other clients: lost connections, deadlocks, held locks, replicas, another restorekit, and
//! an application that writes all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::lab::{Database, Lab, Server, counts, on};
use crate::engine::mysql::address::Address;
use crate::engine::mysql::failure::{is_lost, number};
use crate::engine::mysql::session::{Purpose, Session};
use crate::engine::mysql::write::MysqlTarget;
use crate::engine::tests::meddled::Call;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::side::Which;
use crate::model::value::ValueRef;
use crate::target::Target;

/// Another client of live.
async fn session(lab: &Lab) -> Session {
    let address = Address::parse(&lab.live.url(), Which::Live).unwrap();
    Session::open(&address, Purpose::Write).await.unwrap().0
}

const ROWS: &str = "create table t(id int primary key, v int, at timestamp(6) not null \
        default current_timestamp(6) on update current_timestamp(6));
     insert into t select seq, seq, '2020-01-01' from seq_1_to_400;";

const DAMAGE: &str = "update t set v = -1, at = at;";

fn damaged() -> Lab {
    Lab::new(ROWS, DAMAGE).in_batches_of(100)
}

/// The same on a server of its own, which lives as long as the process.
fn damaged_on(server: Server) -> Lab {
    let server = Box::leak(Box::new(server));
    on(server, ROWS, DAMAGE).in_batches_of(100)
}

#[tokio::test]
async fn g8_a_row_that_the_application_holds_ends_the_run_after_2_s() {
    let lab = damaged();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let mut application = session(&lab).await;
    application.run("start transaction").await.unwrap();
    application.run("update t set v = 7 where id = 150").await.unwrap();
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
         insert into a values (1, 1); insert into t select seq, seq from seq_1_to_50;",
        "update t set v = -1;
         create trigger tr before update on t for each row update a set v = v + 1 where id = 1;",
    );
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    // Ours holds t and wants a; theirs holds a and wants t, and has written more.
    let (live, once) = (lab.live.clone(), AtomicBool::new(false));
    let theirs = Arc::new(std::sync::Mutex::new(None));
    let (kept, watcher) = (Arc::clone(&theirs), lab.live.clone());
    let receipt = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::BeforeWrite && !once.swap(true, Ordering::Relaxed) {
            let live = live.clone();
            let thread = std::thread::spawn(move || {
                live.sql(
                    "begin; insert into a select seq, 0 from seq_2_to_5000; \
                     update a set v = v where id = 1; update t set v = 9 where id = 50; commit",
                );
            });
            *kept.lock().unwrap() = Some(thread);
            // Until they wait for t, ours does not ask for a.
            let waiting = "select count(*) from information_schema.innodb_trx \
                           where trx_state = 'LOCK WAIT' and trx_query like 'update t set v = 9%'";
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

#[tokio::test]
async fn g7_the_server_ends_what_a_hung_client_left_open() {
    let lab = damaged();
    let address = Address::parse(&lab.live.url(), Which::Live).unwrap();
    let limits = "select cast(@@idle_transaction_timeout as char), \
                  cast(@@innodb_lock_wait_timeout as char)";
    for (purpose, seconds) in [(Purpose::Write, "60"), (Purpose::Read, "0")] {
        let (mut session, _) = Session::open(&address, purpose).await.unwrap();
        let row = session.strings(limits, &[]).await.unwrap().remove(0);
        assert_eq!(row, [Some(seconds.to_owned()), Some("2".to_owned())]);
    }
    // The application waits for a row of one who hangs, until the server has ended it.
    let mut ours = session(&lab).await;
    ours.run("set session idle_transaction_timeout = 1").await.unwrap();
    ours.run("start transaction").await.unwrap();
    ours.run("update t set v = -2 where id = 1").await.unwrap();
    lab.live.sql("update t set v = v + 9, at = at where id = 1");
    assert_eq!(lab.live.sql("select v from t where id = 1"), "8\n");
    assert!(is_lost(&ours.run("commit").await.unwrap_err()));
}

/// Where the binary log holds statements, rows are written in REPEATABLE READ, whose plain reads
/// show what was there at the first of them.
fn statements(more: &[&str]) -> &'static Server {
    let usual = ["--binlog-format=STATEMENT", "--innodb-buffer-pool-size=32M"];
    Box::leak(Box::new(Server::start(&[&usual[..], more].concat())))
}

#[tokio::test]
async fn g3_c1_what_others_did_meanwhile_is_seen_behind_an_old_view() {
    let lab = on(
        statements(&[]),
        "create table parent(id int primary key, code varchar(9) not null unique, v int);
         create table child(id int primary key, code varchar(9), \
            foreign key (code) references parent(code) on update cascade);
         insert into parent select seq, concat('c', seq), seq from seq_1_to_6;
         insert into parent values (25, 'x25', 25);
         insert into parent select seq, concat('p', seq), seq from seq_100_to_20000;
         insert into child select seq, 'x25' from seq_1_to_2000;",
        "update parent set code = concat('x', id), v = 0 where id < 25; \
         analyze table parent, child;",
    );
    let lab = lab.in_batches_of(2).at_once();
    let columns = [("code", "code"), ("v", "v")];
    let plan = lab.patch("aaaaaa", "parent", &columns, None).await.unwrap();
    // The first batch has looked for children. Then a child of the second batch's comes, and
    // one who takes a code of it; and a row of the third is written.
    let (live, writes) = (lab.live.clone(), AtomicUsize::new(0));
    let refused = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::AfterWrite && writes.fetch_add(1, Ordering::Relaxed) == 0 {
            live.sql(
                "set innodb_lock_wait_timeout = 5; insert into child values (9000, 'x3');
                 insert into parent values (9, 'c4', 9); update parent set v = 7 where id = 6;",
            );
        }
    });
    let e = refused.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    let conflicts = plan.conflicts(9).await.unwrap();
    let found: Vec<_> = conflicts.iter().map(|c| (c.key.to_string(), c.reason)).collect();
    let told = |id: u32, reason| (format!(r#"{{"id":{id}}}"#), reason);
    let expected = [told(3, Reason::ForeignKey), told(4, Reason::Recreated), told(6, Reason::Data)];
    assert_eq!(found, expected, "{conflicts:?}");
    assert!(conflicts[1].detail.contains("id 9 has the same code"), "{conflicts:?}");
    assert_eq!(lab.live.sql("select code from child where id = 9000"), "x3\n");
    assert_eq!(lab.live.sql("select count(*) from parent where code = concat('c', id)"), "0\n");
}

#[tokio::test]
async fn g3_a_row_that_changed_behind_the_view_is_tried_again_with_a_fresh_read() {
    let server = statements(&["--innodb-snapshot-isolation=ON"]);
    // So many rows that none is locked but those that are written.
    let more = "insert into t select seq, seq, '2020-01-01' from seq_401_to_20000;";
    let damage = "update t set v = -1, at = at where id <= 400; analyze table t;";
    let lab = on(server, &format!("{ROWS} {more}"), damage).in_batches_of(100);
    let address = Address::parse(&lab.live.url(), Which::Live).unwrap();
    let mut target = MysqlTarget::open(&lab.live.url()).await.unwrap();
    let (mut ours, _) = Session::open(&address, Purpose::Write).await.unwrap();
    ours.run("set transaction isolation level repeatable read").await.unwrap();
    ours.run("start transaction with consistent snapshot").await.unwrap();
    lab.live.sql("update t set v = 7, at = at where id = 150");
    let e = ours.run("select v from t where id = 150 for update").await.unwrap_err();
    assert_eq!(number(&e), Some(1020), "{e}");
    let e = target.failed("read rows of t", e.into());
    assert!(e.is_passing(), "{e:?}");
    ours.run("rollback").await.unwrap();
    Box::new(target).close().await.unwrap();
    // Over many batches in one transaction, while the application writes to the last of them.
    let lab = lab.at_once();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let (live, writes) = (lab.live.clone(), AtomicUsize::new(0));
    let refused = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::AfterWrite && writes.fetch_add(1, Ordering::Relaxed) == 0 {
            live.sql("update t set v = 8, at = at where id = 350");
        }
    });
    let e = refused.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    let conflicts = plan.conflicts(9).await.unwrap();
    let found: Vec<_> = conflicts.iter().map(|c| (c.key.to_string(), c.reason)).collect();
    assert_eq!(found, [(r#"{"id":350}"#.to_owned(), Reason::Data)]);
    assert_eq!(lab.live.sql("select count(*) from t where v = id and id <= 400"), "0\n");
}

#[tokio::test]
async fn g4_rows_are_counted_as_found_not_as_changed() {
    let lab = damaged();
    let mut session = session(&lab).await;
    assert_eq!(session.execute("update t set v = v, at = at where id < 3", &[]).await.unwrap(), 2);
}

/// Writes of ours whose predecessor was not the planned image before, by the order in which
/// the database itself saw them.
fn overwritten(database: &Database) -> u64 {
    let counted = database.sql("select count(*) from audit where who is null and was <> -1");
    counted.trim().parse().unwrap()
}

/// Applies a plan, a batch a transaction or several, while the application writes all the time.
async fn history(adapts: bool) {
    let lab = Lab::new(
        "create table t(id int primary key, v int);
         create table audit(n bigint auto_increment primary key, id int, was int, v int, who char(3));
         insert into t select seq, seq from seq_1_to_4000;",
        "update t set v = -1;
         create trigger tr after update on t for each row
            insert into audit(id, was, v, who) values (new.id, old.v, new.v, @who);",
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
                    let mut script = "set @who = 'app';".to_owned();
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
    let ours = lab.live.sql("select count(*) from audit where who is null");
    assert_eq!(ours.trim(), written.to_string());
    assert_eq!(overwritten(&lab.live), 0);
    // The bad SQL that this check is there for: the guard in a sub-query, not at the row.
    lab.live.sql(
        "update t set v = id where id in (select id from (select id from t where v > 1000000 limit 1) x)",
    );
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
async fn g10_a_read_only_server_and_a_replica_are_refused() {
    let lab = damaged_on(Server::start(&["--innodb-buffer-pool-size=32M"]));
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let server = lab.live.server;
    server.sql("set global read_only = 1");
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("is read-only"), "{e}");
    server.sql(
        "set global read_only = 0; change master to master_host = '127.0.0.1', master_port = 1",
    );
    let e = lab.apply(&plan).await.unwrap_err();
    assert!(e.to_string().contains("is a replica"), "{e}");
    server.sql("reset slave all");
    // It turns into one between two batches.
    let (live, commits) = (lab.live.clone(), AtomicUsize::new(0));
    let stopped = lab.meddled(&plan, lab.resuming(), false, move |call| {
        if call == Call::AfterCommit && commits.fetch_add(1, Ordering::Relaxed) == 1 {
            live.server.sql("set global read_only = 1");
        }
    });
    assert!(stopped.await.unwrap_err().to_string().contains("is read-only"));
    server.sql("set global read_only = 0");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
}

#[tokio::test]
async fn t9_t12_w4_the_server_s_own_zone_and_mode_do_not_count() {
    let server = Server::start(&[
        "--default-time-zone=+09:00",
        "--sql-mode=ANSI,PAD_CHAR_TO_FULL_LENGTH",
        "--binlog-format=STATEMENT",
        "--innodb-buffer-pool-size=32M",
    ]);
    let lab = on(
        Box::leak(Box::new(server)),
        r"create table t(id int primary key, at timestamp null, c char(9), v varchar(99));
         insert into t values (1, '2024-03-31 01:30:00', 'a', '\\'' or 1=1 -- '),
            (2, '1970-01-01 00:00:01', 'b', '''; drop table t; -- \\');",
        "delete from t;",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [2, 2, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let raw = "select unix_timestamp(at), v from t where id = 2";
    assert_eq!(lab.live.sql(raw), lab.backup.sql(raw));
    lab.undo(&plan, "bbbbbb").await;
    assert_eq!(lab.live.dump("t"), "");

    // The server itself would cut and clamp: to us it refuses.
    lab.live.sql(
        "create table n(b tinyint, u int unsigned, e enum('a'), v varchar(2), d date);
         insert into n values (999, -1, 'x', 'long', '2024-02-33');",
    );
    assert_eq!(lab.live.sql("select b, u, e, v, d from n"), "127\t0\t\tlo\t0000-00-00\n");
    let mut ours = session(&lab).await;
    for (column, value) in
        [("b", "999"), ("u", "-1"), ("e", "x"), ("v", "long"), ("d", "2024-02-33")]
    {
        let sql = format!("insert into n({column}) values (?)");
        let refused = ours.execute(&sql, &[ValueRef::Text(value.as_bytes())]).await;
        let number = number(&refused.unwrap_err());
        assert!(matches!(number, Some(1264 | 1265 | 1292 | 1406)), "{column}: {number:?}");
    }
    ours.close().await.unwrap();
}

#[tokio::test]
async fn x1_a_server_that_dies_at_any_step_is_found_whole_or_as_before() {
    let server = Server::start(&["--innodb-buffer-pool-size=32M"]);
    let server: &'static Server = Box::leak(Box::new(server));
    for (step, id) in [
        (Call::Read, "aaaaaa"),
        (Call::AfterWrite, "bbbbbb"),
        (Call::BeforeCommit, "cccccc"),
        (Call::AfterCommit, "dddddd"),
    ] {
        let lab = on(server, ROWS, DAMAGE).in_batches_of(100);
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
