//! What every server's target keeps. Each engine's tests sign it: `signed!(Database)`.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::lab::{Database, Lab, counts, reasons};
use super::meddled::Call;
use crate::error::Kind;
use crate::model::conflict::Reason;

/// Tests of one engine, a name each for the bodies of this module.
macro_rules! signed {
    ($database:ty: $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::engine::tests::contract::$name::<$database>().await
        })*
    };
    ($database:ty) => {
        $crate::engine::tests::contract::signed!($database:
            g6_a_connection_lost_before_the_commit_leaves_nothing_and_resumes
            g6_an_answer_lost_after_the_commit_is_found_out
            g5_a_connection_lost_while_writing_leaves_nothing
            g9_a_second_restorekit_is_refused
            one_refused_row_is_a_conflict_and_the_others_go_on
            c2_a_duplicate_of_another_row_is_never_overwritten
            c1_undo_of_an_insert_cascades_to_nobody
            c8_a_chain_of_moves_is_followed_and_a_swap_is_refused
            c6_a_tree_comes_back_parents_first
            c12_a_table_that_changed_since_the_plan_is_refused
            w1_a_database_is_not_its_own_backup
            x4_undo_leaves_alone_what_changed_since
        );
    };
}

pub(in crate::engine) use signed;

/// 400 rows, all of them damaged, in batches of 100.
pub(in crate::engine) fn damaged<D: Database>() -> Lab<D> {
    let rows = format!(
        "create table t(id int primary key, v int);
         insert into t select n, n from {};",
        D::numbers(400)
    );
    Lab::new(&rows, "update t set v = -1").in_batches_of(100)
}

/// How many rows of `t` are as in the backup.
fn mended<D: Database>(lab: &Lab<D>) -> String {
    lab.live.sql("select count(*) from t where v = id").trim().to_owned()
}

pub(in crate::engine) async fn g6_a_connection_lost_before_the_commit_leaves_nothing_and_resumes<
    D: Database,
>() {
    let lab = damaged::<D>();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let (live, commits) = (lab.live.clone(), AtomicUsize::new(0));
    let lost = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::BeforeCommit && commits.fetch_add(1, Ordering::Relaxed) == 1 {
            live.kill_all();
        }
    });
    let e = lost.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Stopped, "{e}");
    assert_eq!(mended(&lab), "100");
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
}

pub(in crate::engine) async fn g6_an_answer_lost_after_the_commit_is_found_out<D: Database>() {
    let lab = damaged::<D>();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let live = lab.live.clone();
    let receipt = lab.meddled(&plan, lab.options(), true, move |call| {
        if call == Call::AfterCommit {
            live.kill_all();
        }
    });
    // A new connection reads the rows, which tell that each batch was committed.
    let receipt = receipt.await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let again = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&again), [400, 0, 400, 0]);
}

pub(in crate::engine) async fn g5_a_connection_lost_while_writing_leaves_nothing<D: Database>() {
    let lab = damaged::<D>();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let live = lab.live.clone();
    let lost = lab.meddled(&plan, lab.options(), false, move |call| {
        if call == Call::AfterWrite {
            live.kill_all();
        }
    });
    let e = lost.await.unwrap_err();
    assert_eq!(e.kind(), Kind::Failed, "{e}");
    assert_eq!(mended(&lab), "0");
    lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
}

pub(in crate::engine) async fn g9_a_second_restorekit_is_refused<D: Database>() {
    let lab = damaged::<D>();
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

pub(in crate::engine) async fn one_refused_row_is_a_conflict_and_the_others_go_on<D: Database>() {
    let both = format!(
        "create table parent(id int primary key);
         create table t(id int primary key, email varchar(20) unique, p int, n int check (n > 0),
            foreign key (p) references parent(id));
         insert into parent values (1), (2);
         insert into t select n, concat('m', n), case when n % 40 = 0 then 2 else 1 end, n from {};",
        D::numbers(700)
    );
    let lab = Lab::<D>::new(&both, "delete from t where id > 10;");
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    // After the plan: a twin, a taken key, a missing parent, a stricter check.
    lab.live.sql("insert into t values (9000, 'm500', 1, 1), (601, 'other', 1, 1)");
    lab.live.sql("delete from parent where id = 2");
    let receipt = lab.apply(&plan).await.unwrap();
    let mut found = reasons(&receipt);
    found.retain(|(_, reason)| *reason != Reason::ForeignKey);
    assert_eq!(
        found,
        [
            (r#"{"id":500}"#.to_owned(), Reason::Recreated),
            (r#"{"id":601}"#.to_owned(), Reason::Exists)
        ],
        "{receipt:?}"
    );
    let orphans = 17;
    assert_eq!(counts(&receipt), [690, 690 - orphans - 2, 0, orphans + 2]);
    assert!(receipt.conflicts.iter().any(|c| c.detail.contains("id 9000")), "{receipt:?}");
}

pub(in crate::engine) async fn c2_a_duplicate_of_another_row_is_never_overwritten<D: Database>() {
    let lab = Lab::<D>::new(
        "create table t(id int primary key, email varchar(20) unique, v int);
         insert into t values (1, 'a', 1), (2, 'b', 2);",
        "update t set email = 'x' where id = 1; update t set email = 'a' where id = 2;",
    );
    let plan = lab.patch("aaaaaa", "t", &[("email", "email")], Some("id = 1")).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(reasons(&receipt), [(r#"{"id":1}"#.to_owned(), Reason::Recreated)]);
    assert_eq!(lab.live.sql("select * from t order by id"), "1\tx\t1\n2\ta\t2\n");
}

pub(in crate::engine) async fn c1_undo_of_an_insert_cascades_to_nobody<D: Database>() {
    let lab = Lab::<D>::new(
        "create table parent(id int primary key);
         create table child(id int primary key, p int, \
            foreign key (p) references parent(id) on delete cascade);
         insert into parent values (1), (2);",
        "delete from parent;",
    );
    let plan = lab.restore("aaaaaa", &["parent"]).await.unwrap();
    lab.apply(&plan).await.unwrap();
    lab.live.sql("insert into child values (1, 2)");
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(reasons(&undone), [(r#"{"id":2}"#.to_owned(), Reason::ForeignKey)]);
    assert_eq!(lab.live.sql("select * from parent"), "2\n");
    assert_eq!(lab.live.sql("select * from child"), "1\t2\n");
}

pub(in crate::engine) async fn c8_a_chain_of_moves_is_followed_and_a_swap_is_refused<
    D: Database,
>() {
    let lab = Lab::<D>::new(
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

pub(in crate::engine) async fn c6_a_tree_comes_back_parents_first<D: Database>() {
    let below: String = (1..=40).map(|n| format!(", ({}, {})", 50 - n, 51 - n)).collect();
    let pruned: String = (10..50).map(|id| format!("delete from t where id = {id};")).collect();
    let lab = Lab::<D>::new(
        &format!(
            "create table t(id int primary key, boss int, foreign key (boss) references t(id));
             insert into t values (50, null){below};"
        ),
        &pruned,
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [40, 40, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    assert_eq!(counts(&lab.undo(&plan, "bbbbbb").await), [40, 40, 0, 0]);
    assert_eq!(lab.live.sql("select id from t"), "50\n");
}

pub(in crate::engine) async fn c12_a_table_that_changed_since_the_plan_is_refused<D: Database>() {
    let lab = Lab::<D>::new(
        "create table t(id int primary key); insert into t values (1)",
        "delete from t",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    lab.live.sql("alter table t add column v int not null default 1");
    let e = lab.apply(&plan).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
    assert!(e.to_string().contains("the schema of t changed since the plan: columns"), "{e}");
}

pub(in crate::engine) async fn w1_a_database_is_not_its_own_backup<D: Database>() {
    let mut lab = Lab::<D>::new("create table t(id int primary key)", "");
    lab.backup = lab.live.clone();
    let e = lab.restore("aaaaaa", &["t"]).await.err().unwrap();
    assert!(e.to_string().contains("the same database"), "{e}");
}

pub(in crate::engine) async fn x4_undo_leaves_alone_what_changed_since<D: Database>() {
    let lab = Lab::<D>::new(
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
    assert_eq!(lab.live.sql("select * from t order by id"), "1\t9\n3\t9\n");
}
