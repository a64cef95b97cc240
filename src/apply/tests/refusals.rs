//! Plans and targets that are refused, with nothing written.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;

use super::harness::{Lab, Step, describe, identity, int, raw, run};
use crate::apply::{ApplyOptions, apply};
use crate::engine::sqlite::write::SqliteTarget;
use crate::error::Kind;
use crate::model::value::Value;
use crate::plan::file::PlanFile;
use crate::progress::{Progress, Silent};
use crate::target::Target as _;

const TABLE: &str =
    "create table t(id integer primary key, v integer);; insert into t values (1, 1)";

fn rows(range: std::ops::Range<i64>) -> Vec<Vec<Value>> {
    range.map(|i| vec![int(i), int(i)]).collect()
}

fn insert() -> Vec<Step> {
    vec![Step::insert("t", &["id", "v"], rows(10..30))]
}

async fn refused(lab: &Lab, plan: &PlanFile, says: &str) {
    let dump = lab.dump().await;
    let e = lab.apply(plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains(says), "{e}");
    assert!(!e.hints().is_empty(), "{e}");
    assert_eq!(lab.dump().await, dump);
}

#[tokio::test]
async fn x1_a_plan_that_can_not_be_made_durable_writes_nothing() {
    let lab = Lab::new(TABLE).await;
    lab.plan("aaaaaa", 5, insert()).await.close().await.unwrap();
    let plan = PlanFile::open(&lab.plan_path("aaaaaa")).await.unwrap();
    let dump = lab.dump().await;
    // It has no name any more that could be made durable.
    let away = lab.plan_path("bbbbbb");
    std::fs::rename(plan.path(), &away).unwrap();
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Failed, "{e}");
    assert!(e.to_string().contains("could not be made durable"), "{e}");
    assert_eq!(lab.dump().await, dump);
    std::fs::rename(&away, plan.path()).unwrap();
    plan.durable().await.unwrap();
    assert!(lab.apply(&plan).await.unwrap().verified);
}

#[tokio::test]
async fn w1_a_plan_for_another_database_is_refused() {
    let (lab, other) = (Lab::new(TABLE).await, Lab::new(TABLE).await);
    let live = identity(&other.live());
    let plan = lab.plan_with("aaaaaa", 5, insert(), |h| h.binding.target = live).await;
    refused(&lab, &plan, "another database").await;
}

#[tokio::test]
async fn w1_a_stopped_plan_goes_on_where_only_the_device_got_another_number() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let options = lab.options();
    options.cancel.store(true, Ordering::Relaxed);
    assert!(lab.apply_with(&plan, &options).await.unwrap().stopped);
    plan.close().await.unwrap();
    let begun_with = async |member: &str, value: u64| {
        let connection = raw(&lab.plan_path("aaaaaa"), false).await;
        run(
            &connection,
            &format!("update operation set target = json_set(target, '$.{member}', {value})"),
        );
        connection.close().await.unwrap();
        PlanFile::open(&lab.plan_path("aaaaaa")).await.unwrap()
    };
    let elsewhere = ApplyOptions { elsewhere: true, ..lab.resuming() };
    let plan = begun_with("dev", 99).await;
    let e = lab.apply_with(&plan, &lab.resuming()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    plan.close().await.unwrap();
    let plan = begun_with("ino", 99).await;
    let e = lab.apply_with(&plan, &elsewhere).await.unwrap_err();
    assert!(e.to_string().contains("begun already"), "{e}");
    plan.close().await.unwrap();
    let plan = begun_with("ino", std::fs::metadata(lab.live()).unwrap().ino()).await;
    assert_eq!(lab.apply_with(&plan, &elsewhere).await.unwrap().tables[0].written, 20);
}

#[tokio::test]
async fn an_expired_plan_is_refused() {
    let lab = Lab::new(TABLE).await;
    let soon = "2024-01-02T00:00:00+00:00";
    let plan = lab.plan_with("aaaaaa", 5, insert(), |h| h.expires_at = soon.into()).await;
    refused(&lab, &plan, "expired").await;
}

#[tokio::test]
async fn c12_a_moved_schema_is_refused() {
    for (sql, says) in [
        ("alter table t add column w integer", "columns"),
        ("create unique index u on t(v)", "unique indexes"),
        ("create trigger x after insert on t begin select 1; end", "triggers"),
        ("alter table t rename column v to w", "columns"),
    ] {
        let lab = Lab::new(TABLE).await;
        let plan = lab.plan("aaaaaa", 5, insert()).await;
        lab.sql(sql).await;
        refused(&lab, &plan, says).await;
    }
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    lab.sql("create index i on t(v)").await;
    assert_eq!(lab.apply(&plan).await.unwrap().tables[0].written, 20);
}

#[tokio::test]
async fn x2_an_altered_plan_writes_nothing() {
    let lab = Lab::new(TABLE).await;
    lab.plan("aaaaaa", 5, insert()).await.close().await.unwrap();
    let path = lab.plan_path("aaaaaa");
    let connection = raw(&path, false).await;
    // The last batch is altered: nothing of the first ones may be written either.
    run(
        &connection,
        "update batch set after = (select after from batch where id = 0) where id = 3",
    );
    connection.close().await.unwrap();
    let plan = PlanFile::open(&path).await.unwrap();
    refused(&lab, &plan, "altered").await;
}

#[tokio::test]
async fn x2_a_batch_that_the_plan_file_cannot_note_is_rolled_back() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let path = lab.plan_path("aaaaaa");
    let holder = raw(&path, false).await;
    let holder = std::sync::Mutex::new(holder);
    let hold = After(10, 0.into(), || run(&holder.lock().unwrap(), "begin immediate"));
    let mut target = lab.target().await;
    let e = apply(&plan, &mut *target, &lab.options(), &hold).await.unwrap_err();
    target.close().await.unwrap();
    assert!(e.to_string().contains("in use"), "{e}");
    assert_eq!(lab.one("select count(*) from t").await, "11", "two batches, and not the third");
    run(&holder.lock().unwrap(), "rollback");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.verified), (20, true));
    holder.into_inner().unwrap().close().await.unwrap();
}

#[tokio::test]
async fn g9_two_operators_at_once_are_refused() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let held =
        crate::apply::lock::Lock::take(&lab.options().locks, &identity(&lab.live())).unwrap();
    refused(&lab, &plan, "another restorekit").await;
    drop(held);
    lab.apply(&plan).await.unwrap();
}

#[tokio::test]
async fn s4_a_file_that_was_swapped_is_not_written() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let mut target = lab.target().await;
    let away = lab.folder.path().join("away.db");
    std::fs::rename(lab.live(), &away).unwrap();
    std::fs::copy(&away, lab.live()).unwrap();
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    std::fs::remove_file(lab.live()).unwrap();
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    target.close().await.unwrap();
    assert!(!lab.live().exists());
    std::fs::rename(&away, lab.live()).unwrap();
    assert_eq!(lab.one("select count(*) from t").await, "1");
}

/// Does something after so many rows.
struct After<F: Fn() + Send + Sync>(u64, std::sync::atomic::AtomicU64, F);

impl<F: Fn() + Send + Sync> Progress for After<F> {
    fn start(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, rows: u64) {
        let before = self.1.fetch_add(rows, Ordering::Relaxed);
        if before < self.0 && before + rows >= self.0 {
            self.2();
        }
    }
    fn finish(&self) {}
}

#[tokio::test]
async fn s4_a_file_that_is_swapped_between_batches_stops_the_run() {
    let lab = Lab::new(&format!("pragma journal_mode = wal;; {TABLE}")).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let mut target = lab.target().await;
    let (live, away) = (lab.live(), lab.folder.path().join("away.db"));
    let swap = After(10, 0.into(), || {
        std::fs::rename(&live, &away).unwrap();
        std::fs::write(&live, std::fs::read(&away).unwrap()).unwrap();
    });
    let e = apply(&plan, &mut *target, &lab.options(), &swap).await.unwrap_err();
    // Batches stand already: not refused with nothing written, but stopped part way.
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert!(e.to_string().contains("another file"), "{e}");
    assert!(e.hints().iter().any(|hint| hint.contains("apply --resume")), "{:?}", e.hints());
    target.close().await.unwrap();
}

#[tokio::test]
async fn s4_a_link_that_leads_elsewhere_between_batches_stops_the_run() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let (link, other) = (lab.folder.path().join("current.db"), lab.folder.path().join("v2.db"));
    std::fs::copy(lab.live(), &other).unwrap();
    std::os::unix::fs::symlink(lab.live(), &link).unwrap();
    let opened = SqliteTarget::open(link.to_str().unwrap(), describe).await;
    let mut target = Box::new(opened.unwrap());
    let switch = After(10, 0.into(), || {
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
    });
    let e = apply(&plan, &mut *target, &lab.options(), &switch).await.unwrap_err();
    target.close().await.unwrap();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert!(e.to_string().contains("live.db, and is"), "{e}");
    assert_eq!(lab.one("select count(*) from t").await, "11");
}

#[tokio::test]
async fn x5_an_interrupted_run_ends_between_batches_and_resumes() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let options = lab.options();
    let cancel = options.cancel.clone();
    let stop = After(10, 0.into(), move || cancel.store(true, Ordering::Relaxed));
    let mut target = lab.target().await;
    let receipt = apply(&plan, &mut *target, &options, &stop).await.unwrap();
    target.close().await.unwrap();
    assert!(receipt.stopped && !receipt.verified);
    assert_eq!(receipt.tables[0].written, 10);
    assert_eq!(lab.one("select count(*) from t").await, "11");
    refused(&lab, &plan, "stopped part way").await;
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert!(!receipt.stopped && receipt.verified);
    assert_eq!((receipt.tables[0].written, receipt.tables[0].already), (20, 0));
    assert_eq!(lab.one("select count(*) from t").await, "21");
}

#[tokio::test]
async fn a_writer_that_holds_the_lock_is_waited_for_2_s_at_most() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let application = raw(&lab.live(), false).await;
    run(&application, "begin immediate");
    let mut target = lab.target().await;
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Failed, "{e}");
    assert!(e.to_string().contains("locked by another writer"), "{e}");
    run(&application, "rollback");
    application.close().await.unwrap();
    // Nothing was written, so it is no resumption.
    let receipt = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap();
    assert_eq!(receipt.tables[0].written, 20);
    target.close().await.unwrap();
}

#[tokio::test]
async fn g10_a_read_only_live_is_refused() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let mut target = lab.target().await;
    target.connection().execute("pragma query_only = on").unwrap();
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    assert!(matches!(e.kind(), Kind::Refused), "{e}");
    target.close().await.unwrap();
    assert_eq!(lab.one("select count(*) from t").await, "1");
}

#[tokio::test]
async fn a_full_disk_stops_and_resume_goes_on() {
    let lab = Lab::new(&format!(
        "create table big(x);; insert into big values (zeroblob(9000));; {TABLE}"
    ))
    .await;
    let wide: Vec<Vec<Value>> =
        (10..210).map(|i| vec![int(i), Value::Blob(vec![7; 300])]).collect();
    lab.sql("create table w(id integer primary key, b blob)").await;
    let plan = lab.plan("aaaaaa", 20, vec![Step::insert("w", &["id", "b"], wide)]).await;
    let mut target = lab.target().await;
    let pages = super::harness::strings(target.connection(), "pragma page_count")[0][0].clone();
    let limit = pages.parse::<u64>().unwrap() + 6;
    target.connection().execute(&format!("pragma max_page_count = {limit}")).unwrap();
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert!(e.hints().iter().any(|h| h.contains("--resume")), "{:?}", e.hints());
    target.close().await.unwrap();
    let part: u64 = lab.one("select count(*) from w").await.parse().unwrap();
    assert!(part > 0 && part < 200 && part.is_multiple_of(20), "{part}");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.verified), (200, true));
}

#[tokio::test]
async fn an_atomic_plan_is_all_or_nothing() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan_with("aaaaaa", 5, insert(), |h| h.atomic = true).await;
    lab.sql("insert into t values (27, 0)").await;
    refused(&lab, &plan, "1 rows are not as planned").await;
    assert_eq!(plan.conflicts(9).await.unwrap().len(), 1);
    lab.sql("delete from t where id = 27").await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (20, 0));
    assert!(receipt.verified);
    assert_eq!(plan.conflicts(9).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_atomic_plan_whose_transaction_ends_writes_nothing_more() {
    let lab = Lab::new(&format!(
        "{TABLE};; create trigger no before insert on t when new.v = 12 begin
             select raise(rollback, 'no'); end"
    ))
    .await;
    let plan = lab.plan_with("aaaaaa", 5, insert(), |h| h.atomic = true).await;
    refused(&lab, &plan, "atomic").await;
    assert_eq!(lab.one("select count(*) from t").await, "1");
}

#[tokio::test]
async fn a_schema_that_moves_under_way_stops_the_run() {
    let lab = Lab::new(TABLE).await;
    let plan = lab.plan("aaaaaa", 5, insert()).await;
    let live = lab.live();
    let alter = After(10, 0.into(), || {
        std::thread::scope(|s| {
            s.spawn(|| {
                tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
                    let c = raw(&live, false).await;
                    run(&c, "alter table t add column w integer not null default 7");
                    c.close().await.unwrap();
                });
            });
        });
    });
    let mut target = lab.target().await;
    let e = apply(&plan, &mut *target, &lab.options(), &alter).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    target.close().await.unwrap();
    let e = lab.apply_with(&plan, &lab.resuming()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
}
