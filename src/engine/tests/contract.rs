//! What every server's target keeps. Each engine's tests sign it: `signed!(Database)`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::Schema;

use super::lab::{Database, Lab, counts, reasons};
use super::meddled::Call;
use super::proxy::{Cut, Proxy};
use crate::apply::apply;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::table::TableName;
use crate::plan::file::BatchState;
use crate::progress::Silent;
use crate::registry;

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
            a_question_that_is_dropped_half_way_leaves_its_connection_in_step
            g6_a_connection_lost_before_the_commit_leaves_nothing_and_resumes
            g6_an_answer_lost_after_the_commit_is_found_out
            g6_a_commit_that_is_lost_on_its_way_is_told_from_one_whose_answer_is_lost
            g6_an_outcome_that_can_t_be_asked_for_is_unknown_until_it_is_resumed
            x3_a_resume_waits_for_the_session_of_the_run_before
            g5_a_connection_lost_while_writing_leaves_nothing
            g9_a_second_restorekit_is_refused
            c2_c6_k11_one_refused_row_is_a_conflict_and_the_others_go_on
            c2_a_duplicate_of_another_row_is_never_overwritten
            c1_undo_of_an_insert_cascades_to_nobody
            c8_a_chain_of_moves_is_followed_and_a_swap_is_refused
            c6_a_tree_comes_back_parents_first
            c12_a_table_that_changed_since_the_plan_is_refused
            c12_a_column_that_one_side_has_is_said_and_live_s_own_needs_are_kept
            c14_views_are_no_tables
            c15_soft_deletes_and_what_triggers_do_besides_are_said
            w1_a_database_is_not_its_own_backup
            t16_generated_columns_follow_what_is_patched
            x4_undo_leaves_alone_what_changed_since
            x4_undo_leaves_alone_a_row_whose_own_columns_were_changed
        );
    };
}

pub(in crate::engine) use signed;

pub(in crate::engine) async fn a_question_that_is_dropped_half_way_leaves_its_connection_in_step<
    D: Database,
>() {
    let rows = format!(
        "create table t(id int primary key, v text); insert into t select n, repeat('x', 3000) from {};",
        D::numbers(600)
    );
    let lab = Lab::<D>::new(&rows, "");
    // All goes over one connection, or two.
    let source = registry::open_live(&lab.live.url(), 1).await.unwrap();
    let schema = source.schema(&TableName::bare("t")).await.unwrap();
    let (t, columns, key) = (&schema.name, &schema.columns[..], &schema.columns[..1]);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(1..=600));
    let field = key[0].field();
    let keys = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![ids]).unwrap();
    let fetched = async || source.fetch(t, columns, key, &keys).await;
    for polls in 1.. {
        let whole = dropped_after(polls, fetched()).await.is_some();
        let survey = dropped_after(polls, source.survey(t, key, 4)).await;
        let schema = dropped_after(polls, source.schema(t)).await;
        let tables = dropped_after(polls, source.tables()).await;
        let rows = fetched().await.unwrap_or_else(|e| panic!("dropped after {polls} polls: {e:?}"));
        assert_eq!(rows.num_rows(), 600, "dropped after {polls} polls");
        assert_eq!(source.survey(t, key, 4).await.unwrap().rows, Some(600));
        assert_eq!(source.tables().await.unwrap(), std::slice::from_ref(t));
        if whole && survey.is_some() && schema.is_some() && tables.is_some() {
            break;
        }
    }
    source.release().await.unwrap();
}

/// What a future gives, or `None` where it is not done when it was polled so often.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        let Some(less) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = less;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

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

pub(in crate::engine) async fn g6_a_commit_that_is_lost_on_its_way_is_told_from_one_whose_answer_is_lost<
    D: Database,
>() {
    for (cut, id) in [(Cut::Before, "aaaaaa"), (Cut::After, "bbbbbb")] {
        let lab = damaged::<D>();
        let plan = lab.patch(id, "t", &[("v", "v")], None).await.unwrap();
        let proxy = Proxy::start(&lab.live, cut, 2, true);
        let mut target = registry::open_target(&lab.live.url_by(proxy.port())).await.unwrap();
        let done = apply(&plan, &mut *target, &lab.options(), &Silent).await;
        target.close().await.unwrap();
        match cut {
            Cut::Before => {
                let e = done.unwrap_err();
                assert_eq!(e.kind(), Kind::Stopped, "{e}");
                assert_eq!(mended(&lab), "100");
            }
            Cut::After => {
                assert_eq!(counts(&done.unwrap()), [400, 400, 0, 0]);
                assert_eq!(mended(&lab), "400");
            }
        }
        lab.apply_with(&plan, &lab.resuming()).await.unwrap();
        assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    }
}

pub(in crate::engine) async fn g6_an_outcome_that_can_t_be_asked_for_is_unknown_until_it_is_resumed<
    D: Database,
>() {
    for (cut, id) in [(Cut::Before, "aaaaaa"), (Cut::After, "bbbbbb")] {
        let lab = damaged::<D>();
        let plan = lab.patch(id, "t", &[("v", "v")], None).await.unwrap();
        let proxy = Proxy::start(&lab.live, cut, 2, false);
        let mut target = registry::open_target(&lab.live.url_by(proxy.port())).await.unwrap();
        let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
        target.close().await.unwrap();
        assert_eq!(e.kind(), Kind::Unknown, "{e}");
        assert!(e.hints().iter().any(|hint| hint.contains("apply --resume")), "{:?}", e.hints());
        let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
        assert_eq!(counts(&receipt), [400, 400, 0, 0], "{cut:?}");
        assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    }
}

pub(in crate::engine) async fn x3_a_resume_waits_for_the_session_of_the_run_before<D: Database>() {
    let lab = damaged::<D>();
    let plan = lab.patch("aaaaaa", "t", &[("v", "v")], None).await.unwrap();
    let proxy = Proxy::start(&lab.live, Cut::Before, 2, false);
    let mut target = registry::open_target(&lab.live.url_by(proxy.port())).await.unwrap();
    let e = apply(&plan, &mut *target, &lab.options(), &Silent).await.unwrap_err();
    target.close().await.unwrap();
    assert_eq!(e.kind(), Kind::Unknown, "{e}");
    let states = async || {
        let records = plan.records().await.unwrap();
        records.iter().map(|record| record.state).collect::<Vec<_>>()
    };
    let before = states().await;
    assert!(before.contains(&BatchState::Unknown), "{before:?}");
    // Who may still commit.
    let mut left = lab.target().await;
    left.begin().await.unwrap();
    let e = lab.apply_with(&plan, &lab.resuming()).await.unwrap_err();
    assert!(e.to_string().contains("another restorekit"), "{e}");
    assert_eq!(states().await, before);
    left.rollback().await.unwrap();
    left.close().await.unwrap();
    let receipt = lab.apply_with(&plan, &lab.resuming()).await.unwrap();
    assert_eq!(counts(&receipt), [400, 400, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
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

pub(in crate::engine) async fn c2_c6_k11_one_refused_row_is_a_conflict_and_the_others_go_on<
    D: Database,
>() {
    let both = format!(
        "create table parent(id int primary key);
         create table t(id int primary key, email varchar(20) unique, p int, n int check (n > 0),
            foreign key (p) references parent(id));
         insert into parent values (1), (2);
         insert into t select n, concat('m', n), case when n % 40 = 0 then 2 else 1 end, n from {};",
        D::numbers(700)
    );
    // Live checks more than the backup.
    let damage = "delete from t where id > 10; \
                  alter table t add constraint stricter check (id <> 650);";
    let lab = Lab::<D>::new(&both, damage);
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    // After the plan: a twin, a taken key, a missing parent.
    lab.live.sql("insert into t values (9000, 'm500', 1, 1), (601, 'other', 1, 1)");
    lab.live.sql("delete from parent where id = 2");
    let receipt = lab.apply(&plan).await.unwrap();
    let mut found = reasons(&receipt);
    found.retain(|(_, reason)| *reason != Reason::ForeignKey);
    assert_eq!(
        found,
        [
            (r#"{"id":500}"#.to_owned(), Reason::Recreated),
            (r#"{"id":601}"#.to_owned(), Reason::Exists),
            (r#"{"id":650}"#.to_owned(), Reason::Constraint)
        ],
        "{receipt:?}"
    );
    let orphans = 17;
    assert_eq!(counts(&receipt), [690, 690 - orphans - 3, 0, orphans + 3]);
    let told = |words: &str| receipt.conflicts.iter().any(|c| c.detail.contains(words));
    for words in ["id 9000", "stricter", "a parent is missing: parent (p)"] {
        assert!(told(words), "{words}: {receipt:?}");
    }
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

pub(in crate::engine) async fn c12_a_column_that_one_side_has_is_said_and_live_s_own_needs_are_kept<
    D: Database,
>() {
    // Renamed, added with a default, widened; nobody guesses that `name` was `title`.
    let lab = Lab::<D>::new(
        "create table t(id int primary key, title varchar(9), n smallint);
         insert into t values (1, 'a', 1), (2, 'b', 2);",
        "delete from t where id = 2; alter table t drop column title;
         alter table t add column name varchar(9) default 'new';
         alter table t add column w bigint; update t set w = n; alter table t drop column n;
         alter table t add column n bigint; update t set n = w; alter table t drop column w;",
    );
    assert_eq!(lab.diff("t").await, ([1, 0, 0, 0], vec![]));
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let notes = plan.header().tables[0].notes.join("; ");
    assert!(notes.contains("title") && notes.contains("name"), "{notes}");
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
    assert_eq!(lab.live.sql("select id, name, n from t where id = 2"), "2\tnew\t2\n");
    // What live demands and the backup has not is not made up.
    lab.live.sql("delete from t where id = 2");
    lab.live.sql("alter table t add column must varchar(9)");
    lab.live.sql("update t set must = 'x'");
    lab.live.sql(D::MUST_BE_THERE);
    let e = lab.restore("bbbbbb", &["t"]).await.err().unwrap();
    assert!(e.to_string().contains("must"), "{e}");
}

pub(in crate::engine) async fn c14_views_are_no_tables<D: Database>() {
    let lab = Lab::<D>::new(
        "create table t(id int primary key); insert into t values (1);
         create view seen as select id from t;",
        "delete from t;",
    );
    let source = registry::open_live(&lab.live.url(), 1).await.unwrap();
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("t")]);
    source.release().await.unwrap();
    let e = lab.restore("aaaaaa", &["seen"]).await.err().unwrap();
    assert!(e.to_string().contains("seen"), "{e}");
    assert_eq!(lab.live.sql("select count(*) from t"), "0\n");
}

pub(in crate::engine) async fn c15_soft_deletes_and_what_triggers_do_besides_are_said<
    D: Database,
>() {
    let lab = Lab::<D>::new(
        "create table log(what varchar(9));
         create table t(id int primary key, v int, deleted_at timestamp null);
         insert into t values (1, 1, null), (2, 2, null);",
        &format!("delete from t where id = 2; {}", D::AUDIT),
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let notes = plan.header().tables[0].notes.join("; ");
    for words in ["trigger audit fires on each insert", "deleted_at"] {
        assert!(notes.contains(words), "no {words:?}: {notes}");
    }
    // It does fire, and an undo leaves what it wrote.
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [1, 1, 0, 0]);
    assert_eq!(lab.live.sql("select what from log"), "in\n");
    assert_eq!(counts(&lab.undo(&plan, "bbbbbb").await), [1, 1, 0, 0]);
    assert_eq!(lab.live.sql("select what from log"), "in\n");
}

pub(in crate::engine) async fn w1_a_database_is_not_its_own_backup<D: Database>() {
    let mut lab = Lab::<D>::new("create table t(id int primary key)", "");
    lab.backup = lab.live.clone();
    let e = lab.restore("aaaaaa", &["t"]).await.err().unwrap();
    assert!(e.to_string().contains("the same database"), "{e}");
}

pub(in crate::engine) async fn t16_generated_columns_follow_what_is_patched<D: Database>() {
    let lab = Lab::<D>::new(
        "create table t(id int primary key, price int, qty int,
           total int generated always as (price * qty) stored);
         insert into t(id, price, qty) values (1, 2, 10), (2, 3, 10), (3, 4, 10);",
        "update t set price = -price where id > 1",
    );
    let stood = lab.live.dump("t");
    let plan = lab.patch("aaaaaa", "t", &[("price", "price")], Some("total < 0")).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [2, 2, 0, 0]);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    assert_eq!(counts(&lab.undo(&plan, "bbbbbb").await), [2, 2, 0, 0]);
    assert_eq!(lab.live.dump("t"), stood);
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

pub(in crate::engine) async fn x4_undo_leaves_alone_a_row_whose_own_columns_were_changed<
    D: Database,
>() {
    let lab = Lab::<D>::new(
        "create table t(id int primary key, v int); insert into t values (1, 1), (2, 2), (3, 3)",
        "delete from t where id > 1; alter table t add column note varchar(9) default 'new';
         alter table t add column seen timestamp null default current_timestamp",
    );
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [2, 2, 0, 0]);
    lab.live.sql("update t set note = 'paid' where id = 2");
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [2, 1, 0, 1]);
    assert_eq!(reasons(&undone), [(r#"{"id":2}"#.to_owned(), Reason::Data)]);
    assert_eq!(lab.live.sql("select id, note from t order by id"), "1\tnew\n2\tpaid\n");
}
