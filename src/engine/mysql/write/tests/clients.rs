//! Other clients: lost connections, deadlocks, held locks, replicas, another restorekit, and
//! an application that writes all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use async_trait::async_trait;

use super::lab::{Database, Lab, Server, counts};
use crate::apply::{ApplyOptions, apply};
use crate::engine::mysql::address::Address;
use crate::engine::mysql::session::{Purpose, Session};
use crate::engine::mysql::write::MysqlTarget;
use crate::error::{Error, Kind, Result};
use crate::model::conflict::Reason;
use crate::model::origin::Identity;
use crate::model::plan::TablePlan;
use crate::model::side::Which;
use crate::model::table::{Column, TableName, TableSchema};
use crate::progress::Silent;
use crate::target::{Target, Written};

/// What happens around a call of the target.
type Meddle = dyn Fn(Call) + Send + Sync;

/// A call of the target, before or after it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    BeforeWrite,
    AfterWrite,
    BeforeCommit,
    AfterCommit,
}

/// A target around whose calls others do something; after its commit the answer may be lost.
struct Meddled {
    inner: Box<MysqlTarget>,
    meddle: Arc<Meddle>,
    /// The answer of the commit is lost.
    deaf: bool,
}

#[async_trait]
impl Target for Meddled {
    async fn identity(&mut self) -> Result<Identity> {
        self.inner.identity().await
    }
    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        self.inner.schema(table).await
    }
    async fn begin(&mut self) -> Result<()> {
        self.inner.begin().await
    }
    async fn begin_reading(&mut self) -> Result<()> {
        self.inner.begin_reading().await
    }
    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        (self.meddle)(Call::Read);
        self.inner.read(plan, columns, keys).await
    }
    async fn write(
        &mut self,
        plan: &TablePlan,
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<Written>> {
        (self.meddle)(Call::BeforeWrite);
        let written = self.inner.write(plan, before, after, rows).await;
        (self.meddle)(Call::AfterWrite);
        written
    }
    async fn settle(
        &mut self,
        plan: &TablePlan,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        self.inner.settle(plan, after, rows).await
    }
    async fn commit(&mut self) -> Result<()> {
        (self.meddle)(Call::BeforeCommit);
        let committed = self.inner.commit().await;
        (self.meddle)(Call::AfterCommit);
        match self.deaf && committed.is_ok() {
            true => Err(Error::new(Kind::Unknown, "the answer was lost")),
            false => committed,
        }
    }
    async fn rollback(&mut self) -> Result<()> {
        self.inner.rollback().await
    }
    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}

/// Ends every other connection to a database, as an administrator would.
fn kill_all(database: &Database) {
    let kill = database.sql(
        "select concat('kill ', id, ';') from information_schema.processlist \
         where db = database() and id <> connection_id()",
    );
    database.server.sql(&format!("select 1; {kill}"));
}

impl Lab {
    async fn meddled(
        &self,
        plan: &crate::plan::file::PlanFile,
        options: ApplyOptions,
        deaf: bool,
        meddle: impl Fn(Call) + Send + Sync + 'static,
    ) -> Result<crate::model::receipt::Receipt> {
        let mut target = Meddled { inner: self.target().await, meddle: Arc::new(meddle), deaf };
        apply(plan, &mut target, &options, &Silent).await
    }

    fn resuming(&self) -> ApplyOptions {
        ApplyOptions { resume: true, ..self.options() }
    }
}

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
    Lab::on(server, ROWS, DAMAGE).in_batches_of(100)
}

#[tokio::test]
async fn g6_a_connection_lost_before_the_commit_leaves_nothing_and_resumes() {
    let lab = damaged();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let (live, commits) = (lab.live.clone(), AtomicUsize::new(0));
    let lost = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::BeforeCommit && commits.fetch_add(1, Ordering::Relaxed) == 1 {
            kill_all(&live);
        }
    });
    let e = lost.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert_eq!(lab.live.sql("select count(*) from t where v = id"), "100\n");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
}

#[tokio::test]
async fn g6_an_answer_lost_after_the_commit_is_found_out() {
    let lab = damaged();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let live = lab.live.clone();
    let receipt = lab.meddled(&plan, lab.options(), true, move |call| {
        if call == Call::AfterCommit {
            kill_all(&live);
        }
    });
    // A new connection reads the rows, which tell that each batch was committed.
    let receipt = receipt.await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let again = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&again), [400, 0, 400, 0]);
}

#[tokio::test]
async fn g5_a_connection_lost_while_writing_leaves_nothing() {
    let lab = damaged();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let live = lab.live.clone();
    let lost = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::AfterWrite {
            kill_all(&live);
        }
    });
    let e = lost.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Failed, "{e}");
    assert_eq!(lab.live.sql("select count(*) from t where v = id"), "0\n");
    lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
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
async fn g9_a_second_restorekit_is_refused() {
    let lab = damaged();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let mut first = lab.target().await;
    first.begin().await.unwrap();
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("another restorekit"), "{e}");
    first.rollback().await.unwrap();
    first.close().await.unwrap();
    lab.apply(&plan).await.unwrap();
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

#[tokio::test]
async fn no_write_of_the_application_is_overwritten() {
    let lab = Lab::new(
        "create table t(id int primary key, v int);
         create table audit(n bigint auto_increment primary key, id int, was int, v int, who char(3));
         insert into t select seq, seq from seq_1_to_4000;",
        "update t set v = -1;
         create trigger tr after update on t for each row
            insert into audit(id, was, v, who) values (new.id, old.v, new.v, @who);",
    )
    .in_batches_of(100);
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
async fn t12_w4_the_server_s_own_zone_and_mode_do_not_count() {
    let server = Server::start(&[
        "--default-time-zone=+09:00",
        "--sql-mode=ANSI,PAD_CHAR_TO_FULL_LENGTH",
        "--binlog-format=STATEMENT",
        "--innodb-buffer-pool-size=32M",
    ]);
    let lab = Lab::on(
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
        let lab = Lab::on(server, ROWS, DAMAGE).in_batches_of(100);
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
