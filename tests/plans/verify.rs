//! What `verify` says of rows that were not written in the order of their keys.

use chrono::Duration;
use restorekit::plan::file::PlanFile;
use restorekit::plan::restore::RestoreOptions;
use restorekit::progress::silent;
use restorekit::registry::open_live;
use restorekit::undo::undo;
use restorekit::verify::{VerifyReport, verify_operation};

use super::{Ask, Case};

async fn verify(case: &Case, plan: &PlanFile) -> VerifyReport {
    let live = open_live(&case.place("live.db"), 2).await.unwrap();
    let report = verify_operation(plan, live.as_ref(), false, silent().as_ref()).await.unwrap();
    live.release().await.unwrap();
    report
}

/// Rows written, as written, changed and gone.
fn counts(report: &VerifyReport) -> [u64; 4] {
    let [table] = &report.tables[..] else { panic!("{report:?}") };
    [table.written, table.same, table.changed, table.gone]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_tree_that_came_back_in_waves_is_verified_row_by_row() {
    // Each even id's boss is the odd one before it, so all odd ids are written first.
    let case = Case::new(
        "create table emp(id integer primary key, boss integer references emp(id));
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 32)
         insert into emp select i, iif(i % 2, null, i - 1) from n;",
        "delete from emp;",
    );
    let ask = Ask { batch_size: 1000, ..Ask::of(&["emp"]) };
    let plan = case.restore(&ask, &RestoreOptions::default()).await.unwrap();
    case.apply(&plan).await;
    assert_eq!(counts(&verify(&case, &plan).await), [32, 32, 0, 0]);
    case.live("update emp set boss = 5 where id = 8; delete from emp where id in (2, 31, 32)");
    assert_eq!(counts(&verify(&case, &plan).await), [32, 28, 1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x4_rows_that_are_there_again_are_told_of_an_undo_of_many_batches() {
    let case = Case::new(
        "create table t(id integer primary key, v text);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 2001)
         insert into t select i, 'v' || i from n;",
        "delete from t;",
    );
    let ask = Ask { batch_size: 1000, ..Ask::of(&["t"]) };
    let plan = case.restore(&ask, &RestoreOptions::default()).await.unwrap();
    case.apply(&plan).await;
    let path = case.sandbox.path("undo");
    let inverse = undo(&plan, &path, "bbbbbb", Duration::days(1)).await.unwrap();
    case.apply(&inverse).await;
    assert_eq!(counts(&verify(&case, &inverse).await), [2001, 2001, 0, 0]);
    case.live(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2001)
         insert into t select i, 'again' from n;",
    );
    assert_eq!(counts(&verify(&case, &inverse).await), [2001, 0, 2001, 0]);
}
