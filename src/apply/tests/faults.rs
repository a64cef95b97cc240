//! Every call of the target fails in turn; a resumed run reaches the same end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;

use super::harness::{Lab, Step, int, raw, run, text};
use crate::apply::apply;
use crate::engine::sqlite::raw::Connection;
use crate::engine::sqlite::write::SqliteTarget;
use crate::error::{Error, Kind, Result};
use crate::model::conflict::Reason;
use crate::model::origin::Identity;
use crate::model::plan::TablePlan;
use crate::model::table::{Column, TableName, TableSchema};
use crate::plan::file::{BatchState, PlanFile};
use crate::progress::Silent;
use crate::target::{Target, Written, Wrote};

/// When a call fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    /// The call, from 1.
    at: usize,
    /// It is carried out, and its answer is lost.
    late: bool,
    /// All calls after it fail too.
    lasting: bool,
}

/// A target whose calls fail as told.
struct Faulty {
    inner: Box<SqliteTarget>,
    calls: usize,
    /// Many rows of the open transaction were refused, and whether it then wrote others.
    refusing: bool,
    went_on: bool,
    fault: Fault,
    /// A plan to look into when a commit is about to be sent, and what its batches were.
    watched: Option<PathBuf>,
    seen: Vec<Vec<BatchState>>,
    /// Commits arrive; without it the connection is lost with the first.
    commits: bool,
    /// A connection to the plan that locks it once a commit is there.
    locks: Option<Mutex<Connection>>,
}

impl Faulty {
    async fn new(lab: &Lab, fault: Fault) -> Box<Self> {
        let inner = lab.target().await;
        Box::new(Self {
            inner,
            calls: 0,
            refusing: false,
            went_on: false,
            fault,
            watched: None,
            seen: Vec::new(),
            commits: true,
            locks: None,
        })
    }

    /// Counts a call: whether it is carried out, and whether its answer arrives.
    fn call(&mut self) -> (bool, bool) {
        self.calls += 1;
        let fails = self.calls == self.fault.at || self.fault.lasting && self.calls > self.fault.at;
        (!fails || self.fault.late, !fails)
    }

    fn failed() -> Error {
        Error::failed("planted")
    }
}

/// Runs a call of the inner target as the fault says.
macro_rules! through {
    ($self:ident, $call:expr) => {{
        let (runs, answers) = $self.call();
        if !runs {
            return Err(Self::failed());
        }
        let answer = $call;
        if answers { answer } else { Err(Self::failed()) }
    }};
}

#[async_trait]
impl Target for Faulty {
    async fn identity(&mut self) -> Result<Identity> {
        through!(self, self.inner.identity().await)
    }

    async fn schema(&mut self, table: &TableName) -> Result<TableSchema> {
        through!(self, self.inner.schema(table).await)
    }

    async fn begin(&mut self) -> Result<()> {
        self.refusing = false;
        through!(self, self.inner.begin().await)
    }

    async fn begin_reading(&mut self) -> Result<()> {
        through!(self, self.inner.begin_reading().await)
    }

    async fn be_alone(&mut self) -> Result<()> {
        self.inner.be_alone().await
    }

    async fn read(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        through!(self, self.inner.read(plan, columns, keys).await)
    }

    async fn read_expected(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        keys: &RecordBatch,
        expected: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<bool>)> {
        through!(self, self.inner.read_expected(plan, columns, keys, expected).await)
    }

    async fn beside(&mut self) -> Result<Option<Box<dyn Target>>> {
        through!(self, self.inner.beside().await)
    }

    async fn write(
        &mut self,
        plan: &TablePlan,
        columns: &[Column],
        before: Option<&RecordBatch>,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Wrote> {
        let wrote = through!(self, self.inner.write(plan, columns, before, after, rows).await)?;
        self.went_on |= self.refusing;
        let refused = wrote.rows.iter().filter(|row| matches!(row, Written::Refused(..)));
        self.refusing |= refused.count() > 64;
        Ok(wrote)
    }

    async fn settle(
        &mut self,
        plan: &TablePlan,
        after: Option<&RecordBatch>,
        rows: &[usize],
    ) -> Result<Vec<(usize, String)>> {
        through!(self, self.inner.settle(plan, after, rows).await)
    }

    async fn commit(&mut self) -> Result<()> {
        let (runs, answers) = self.call();
        let (runs, answers) = (runs && self.commits, answers && self.commits);
        if !self.commits {
            self.fault = Fault { at: self.calls, late: false, lasting: true };
        }
        if let Some(path) = &self.watched {
            self.seen.push(states(path).await);
        }
        if runs {
            self.inner.commit().await?;
            if let Some(plan) = &self.locks {
                run(&plan.lock().unwrap(), "begin immediate");
            }
        } else {
            self.inner.rollback().await?;
        }
        if answers { Ok(()) } else { Err(Error::new(Kind::Unknown, "planted")) }
    }

    async fn rollback(&mut self) -> Result<()> {
        // A connection that is gone rolls back by itself.
        self.inner.rollback().await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.inner.close().await
    }
}

/// The states of a plan's batches as another process would read them.
async fn states(plan: &Path) -> Vec<BatchState> {
    let plan = PlanFile::open(plan).await.unwrap();
    let states = plan.records().await.unwrap().into_iter().map(|r| r.state).collect();
    plan.close().await.unwrap();
    states
}

fn steps() -> Vec<Step> {
    let rows = |title: &str| (1..=5).map(|i| vec![int(i), text(title)]).collect();
    vec![
        Step::insert("t", &["id", "v"], (10..15).map(|i| vec![int(i), text("in")]).collect()),
        Step::update("t", &["id", "v"], rows("old"), rows("new")),
    ]
}

/// Whole batches only: 2 rows each, the last of a step 1.
async fn whole(lab: &Lab, atomic: bool, about: &str) {
    let marks = lab
        .one("select coalesce(group_concat(id), '') from (select id from t where v in ('in', 'new') order by id)")
        .await;
    let there: Vec<i64> =
        marks.trim_matches('"').split(',').filter_map(|id| id.parse().ok()).collect();
    let batches: [&[i64]; 6] = [&[10, 11], &[12, 13], &[14], &[1, 2], &[3, 4], &[5]];
    let mut whole = 0;
    for batch in batches {
        let some = batch.iter().filter(|id| there.contains(id)).count();
        assert!(some == 0 || some == batch.len(), "a torn batch: {there:?}, {about}");
        whole += usize::from(some > 0);
    }
    assert!(!atomic || whole == 0 || whole == batches.len(), "torn: {there:?}, {about}");
}

async fn at_every_call(atomic: bool, adapts: bool) {
    let lab = Lab::new(
        "create table t(id integer primary key, v text);;
         insert into t values (1,'old'),(2,'old'),(3,'old'),(4,'old'),(5,'old')",
    )
    .await;
    let plan =
        lab.plan_with("aaaaaa", 2, steps(), |h| (h.atomic, h.adapts) = (atomic, adapts)).await;
    plan.close().await.unwrap();
    let path = lab.plan_path("aaaaaa");
    let (live, fresh) = (std::fs::read(lab.live()).unwrap(), std::fs::read(&path).unwrap());
    let start = lab.dump().await;
    for (late, lasting) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut at = 0;
        loop {
            at += 1;
            // The same inodes again, as they were.
            std::fs::write(lab.live(), &live).unwrap();
            std::fs::write(&path, &fresh).unwrap();
            let fault = Fault { at, late, lasting };
            let about = format!("{fault:?}");
            let plan = PlanFile::open(&path).await.unwrap();
            let mut faulty = Faulty::new(&lab, fault).await;
            let first = apply(&plan, &mut *faulty, &lab.options(), &Silent).await;
            let calls = faulty.calls;
            faulty.close().await.unwrap();
            whole(&lab, atomic, &about).await;
            let clean = calls < at;
            match &first {
                Ok(receipt) => assert!(receipt.verified && !receipt.stopped, "{about}"),
                Err(e) => {
                    assert!(!clean, "{e} without a fault: {about}");
                    let any = lab.dump().await != start;
                    let right = match e.kind() {
                        Kind::Failed => !any,
                        Kind::Stopped => any,
                        Kind::Unknown => true,
                        _ => false,
                    };
                    assert!(right, "{:?} with something written: {any}; {about}", e.kind());
                }
            }
            let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
            assert_eq!(receipt.conflict_count(), 0, "{:?} {about}", receipt.conflicts);
            assert!(receipt.verified, "{about}");
            let done: u64 = receipt.tables.iter().map(|t| t.written + t.already).sum();
            assert_eq!(done, 10, "{about}");
            assert_eq!(lab.one("select count(*) from t where v in ('in', 'new')").await, "10");
            let back = lab.folder.path().join("back.rkplan");
            let undo =
                crate::undo::undo(&plan, &back, "back", chrono::Duration::hours(1)).await.unwrap();
            assert_eq!(undo.rows(), 10, "{about}");
            lab.apply(&undo).await.unwrap();
            assert_eq!(lab.dump().await, start, "{about}");
            undo.close().await.unwrap();
            plan.close().await.unwrap();
            std::fs::remove_file(&back).unwrap();
            if clean {
                // Batches of one transaction are asked for as one.
                assert!(at > if adapts { 25 } else { 30 }, "only {at} calls");
                break;
            }
        }
    }
}

#[tokio::test]
async fn x3_a_fault_at_every_call_is_resumed_to_the_right_end() {
    at_every_call(false, false).await;
}

#[tokio::test]
async fn x3_a_fault_at_every_call_of_an_atomic_plan() {
    at_every_call(true, false).await;
}

#[tokio::test]
async fn x3_a_fault_at_every_call_of_transactions_of_several_batches() {
    at_every_call(false, true).await;
}

#[tokio::test]
async fn batches_of_one_transaction_are_asked_for_as_one_and_recorded_each_by_itself() {
    let lab = Lab::new("create table t(id integer primary key, v text)").await;
    let old: String = (1..=10).map(|i| format!("insert into t values ({i}, 'old');;")).collect();
    lab.sql(&old).await;
    let rows = |v: &str| (1..=10).map(|i| vec![int(i), text(v)]).collect();
    let step = Step::update("t", &["id", "v"], rows("old"), rows("new"));
    let plan = lab.plan_with("aaaaaa", 2, vec![step], |h| h.adapts = true).await;
    lab.sql(
        "update t set v = 'x' where id in (4, 9, 10);; delete from t where id = 5;;
         update t set v = 'new' where id = 8",
    )
    .await;
    let fault = Fault { at: usize::MAX, late: false, lasting: false };
    let mut counted = Faulty::new(&lab, fault).await;
    let receipt = apply(&plan, &mut *counted, &lab.options(), &Silent).await.unwrap();
    // identity, schema; of one batch, then of four: begin, read, write, read, settle, commit; and
    // a look at all of them.
    assert_eq!(counted.calls, 2 + 2 * 6 + 2);
    counted.close().await.unwrap();
    let records = plan.records().await.unwrap();
    let told: Vec<_> = records.iter().map(|r| (r.written.rows(), r.already, r.conflicts)).collect();
    let expected =
        [(vec![0, 1], 0, 0), (vec![0], 0, 1), (vec![1], 0, 1), (vec![0], 1, 0), (vec![], 0, 2)];
    assert_eq!(told, expected);
    let keys: Vec<_> = receipt.conflicts.iter().map(|c| c.key["id"].as_i64().unwrap()).collect();
    assert_eq!(keys, [4, 5, 9, 10]);
    assert!(receipt.verified);
    assert!(plan.records().await.unwrap().iter().all(|r| r.state == BatchState::Committed));
    assert_eq!(lab.one("select group_concat(id) from t where v = 'new'").await, "\"1,2,3,6,7,8\"");
}

#[tokio::test]
async fn g8_many_refused_rows_keep_the_others_of_their_transaction_locked_for_no_longer() {
    let lab = Lab::new(
        "create table t(id integer primary key, v int check (v < 100));;
         create table u(id integer primary key, v int)",
    )
    .await;
    let rows = |range: std::ops::Range<i64>| range.map(|i| vec![int(i), int(i)]).collect();
    let steps = vec![
        Step::insert("t", &["id", "v"], rows(0..300)),
        Step::insert("u", &["id", "v"], rows(0..200)),
    ];
    let plan = lab.plan_with("aaaaaa", 100, steps, |h| h.adapts = true).await;
    let fault = Fault { at: usize::MAX, late: false, lasting: false };
    let mut counted = Faulty::new(&lab, fault).await;
    let receipt = apply(&plan, &mut *counted, &lab.options(), &Silent).await.unwrap();
    assert!(!counted.went_on, "the rows of u waited for the refused ones of t");
    counted.close().await.unwrap();
    assert_eq!((receipt.conflict_count(), receipt.verified), (200, true));
    assert_eq!(
        lab.one("select (select count(*) from t) || ' ' || count(*) from u").await,
        "\"100 200\""
    );
}

#[tokio::test]
async fn g6_a_lost_commit_reply_is_answered_by_the_rows() {
    let lab = Lab::new("create table t(id integer primary key, v text)").await;
    let rows = (1..=3).map(|i| vec![int(i), text("in")]).collect();
    let plan = Arc::new(lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "v"], rows)]).await);
    // identity, schema, begin, probe, write, read, settle, commit
    let fault = Fault { at: 8, late: true, lasting: true };
    let mut faulty = Faulty::new(&lab, fault).await;
    let e = apply(&plan, &mut *faulty, &lab.options(), &Silent).await.unwrap_err();
    faulty.close().await.unwrap();
    assert_eq!(e.kind(), Kind::Unknown);
    assert_eq!(plan.records().await.unwrap()[0].state.as_str(), "unknown");
    // The application deletes a row that was committed: it must not come back.
    lab.sql("delete from t where id = 2").await;
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (2, 1));
    let left = &receipt.conflicts[0];
    assert_eq!((&left.key["id"], left.reason), (&2.into(), Reason::Unproven));
    assert_eq!(lab.one("select count(*) from t").await, "2");
}

#[tokio::test]
async fn x2_an_atomic_plan_that_is_committed_and_can_t_be_noted_is_resumed() {
    let lab = Lab::new("create table t(id integer primary key, v text)").await;
    let rows = (1..=4).map(|i| vec![int(i), text("in")]).collect();
    let steps = vec![Step::insert("t", &["id", "v"], rows)];
    let plan = lab.plan_with("aaaaaa", 2, steps, |h| h.atomic = true).await;
    let mut target = Faulty::new(&lab, Fault { at: 0, late: false, lasting: false }).await;
    target.locks = Some(Mutex::new(raw(&lab.plan_path("aaaaaa"), false).await));
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    let holder = target.locks.take().unwrap().into_inner().unwrap();
    target.close().await.unwrap();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert_eq!(lab.one("select count(*) from t").await, "4");
    holder.close().await.unwrap();
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.verified), (4, true));
}

#[tokio::test]
async fn g6_a_row_by_another_hand_is_no_proof_for_the_others() {
    for atomic in [false, true] {
        let lab = Lab::new("create table t(id integer primary key, v text, w default 7)").await;
        let rows = (1..=4).map(|i| vec![int(i), text("in")]).collect();
        let steps = vec![Step::insert("t", &["id", "v"], rows)];
        let plan = Arc::new(lab.plan_with("aaaaaa", 2, steps, |h| h.atomic = atomic).await);
        let mut faulty = Faulty::new(&lab, Fault { at: 0, late: false, lasting: false }).await;
        faulty.commits = false;
        let e = apply(&plan, &mut *faulty, &lab.options(), &Silent).await.unwrap_err();
        faulty.close().await.unwrap();
        assert_eq!(e.kind(), Kind::Unknown);
        assert_eq!(lab.one("select count(*) from t").await, "0");
        // Nothing was committed, and somebody brings one row back by hand.
        lab.sql("insert into t values (2, 'in', 7)").await;
        let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
        let line = &receipt.tables[0];
        let left: Vec<_> = receipt.conflicts.iter().map(|c| (&c.key["id"], c.reason)).collect();
        assert_eq!(left[0], (&1.into(), Reason::Unproven));
        assert!(left.iter().all(|(_, reason)| *reason == Reason::Unproven), "{left:?}");
        assert_eq!((line.planned, line.conflicts), (4, left.len() as u64));
        let there: u64 = lab.one("select count(*) from t").await.parse().unwrap();
        assert_eq!(line.written, there, "what is said to be written is there");
        assert_eq!((there, line.conflicts), if atomic { (1, 3) } else { (3, 1) });
    }
}

#[tokio::test]
async fn x1_a_batch_is_done_only_after_its_proven_commit() {
    use BatchState::{Committed, Intended, Pending};
    for journal in ["wal", "delete"] {
        let lab = Lab::new(&format!(
            "pragma journal_mode = {journal};; create table t(id integer primary key, v text)"
        ))
        .await;
        let rows = (1..=3).map(|i| vec![int(i), text("in")]).collect();
        let plan = lab.plan("aaaaaa", 1, vec![Step::insert("t", &["id", "v"], rows)]).await;
        let path = lab.plan_path("aaaaaa");
        // identity, schema, begin, probe, write, read, settle, commit; 6 calls more to the next
        let fault = Fault { at: 14, late: false, lasting: true };
        let mut faulty = Faulty::new(&lab, fault).await;
        faulty.watched = Some(path.clone());
        let synchronous = super::harness::strings(faulty.inner.connection(), "pragma synchronous");
        assert_eq!(synchronous[0][0], "2", "{journal}: commits are synced");
        let e = apply(&plan, &mut *faulty, &lab.options(), &Silent).await.unwrap_err();
        // Before each commit the plan says what is intended; a batch is done when the next
        // one is begun, and the one whose commit was lost is not.
        assert_eq!(
            faulty.seen,
            [[Intended, Pending, Pending], [Committed, Intended, Pending]],
            "{journal}: {e}"
        );
        assert_ne!(states(&path).await[1], Committed, "{journal}");
        assert_eq!(lab.one("select count(*) from t").await, "1", "{journal}");
        faulty.close().await.unwrap();
        lab.apply_with(&plan, &lab.resuming()).await.unwrap();
        assert_eq!(states(&path).await, [Committed; 3], "{journal}");
        assert_eq!(lab.one("select count(*) from t").await, "3", "{journal}");
    }
}
