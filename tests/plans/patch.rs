//! Columns set from the backup, and the rows that a patch leaves alone.

use std::collections::BTreeMap;

use restorekit::error::Kind;
use restorekit::plan::patch::{Assignment, PatchOptions};

use super::restore::AWKWARD;
use super::{Ask, Case, skipped};

fn set(pairs: &[(&str, &str)]) -> PatchOptions {
    let one = |(c, f): &(&str, &str)| Assignment { column: c.to_string(), from: f.to_string() };
    PatchOptions { assignments: pairs.iter().map(one).collect(), ..PatchOptions::default() }
}

/// 1 is stale, 2 is NULL live, 3 is NULL in the backup, 4 is untouched, 5 is as it shall
/// be, 6 and 7 are on one side only, 8 is NULL on both sides of the assignment.
fn cancelled() -> Case {
    let schema = "create table t(id integer primary key, cancelled text, updated text);";
    Case::of(
        &format!(
            "{schema} insert into t values (1, null, 'old1'), (2, null, 'old2'), (3, null, null),
             (4, null, 'old4'), (5, null, 'old5'), (6, null, 'old6'), (8, null, null);"
        ),
        schema,
        "insert into t values (1, 'stale', 'new'), (2, null, 'new'), (3, 'stale', 'new'),
         (4, 'stale', 'old4'), (5, 'old5', 'new'), (7, 'stale', 'new'), (8, null, 'new');",
    )
}

const ROWS: &str = "select group_concat(id || coalesce(cancelled, '-')) from t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_from_another_column_leaves_alone_what_is_not_asked_for() {
    let ask = Ask::of(&["t"]);
    let plain = set(&[("cancelled", "updated")]);
    type Change = fn(&mut PatchOptions);
    let cases: [(Change, u64, &str, &str); 5] = [
        (
            |_| (),
            1,
            "backup_null 1, live_null 1, untouched 1",
            "1old1,2-,3stale,4stale,5old5,7stale,8-",
        ),
        (
            |o| o.include_null = true,
            2,
            "backup_null 1, untouched 1",
            "1old1,2old2,3stale,4stale,5old5,7stale,8-",
        ),
        (
            |o| o.allow_null = true,
            2,
            "live_null 1, untouched 1",
            "1old1,2-,3-,4stale,5old5,7stale,8-",
        ),
        (
            |o| o.include_untouched = true,
            2,
            "backup_null 1, live_null 1",
            "1old1,2-,3stale,4old4,5old5,7stale,8-",
        ),
        (
            |o| (o.include_null, o.allow_null, o.include_untouched) = (true, true, true),
            4,
            "",
            "1old1,2old2,3-,4old4,5old5,7stale,8-",
        ),
    ];
    for (change, rows, left, after) in cases {
        let case = cancelled();
        let mut options = plain.clone();
        change(&mut options);
        let plan = case.patch(&ask, &options).await.unwrap();
        assert_eq!(plan.rows(), rows, "{options:?}");
        let mut counts = skipped(&plan);
        assert_eq!(counts.remove("not_in_backup"), Some(1), "{options:?}");
        counts.remove("already_equal");
        let counts: Vec<String> = counts.iter().map(|(why, n)| format!("{why} {n}")).collect();
        assert_eq!(counts.join(", "), left, "{options:?}");
        case.there_and_back(&plan).await;
        case.apply(&case.patch(&ask, &options).await.unwrap()).await;
        assert_eq!(case.live(ROWS), after, "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_columns_go_in_one_patch_each_by_its_own_rule() {
    let schema = "create table t(id integer primary key, a, b, c);";
    let case = Case::of(
        &format!(
            "{schema} insert into t values (1, 'a', 'b', 'c'), (2, null, 'b', 'c'), (3, 'a', 'b', 'c');"
        ),
        schema,
        "insert into t values (1, 'x', 'y', 'z'), (2, 'x', 'y', 'z'), (3, 'a', 'b', 'z');",
    );
    let plan = case.patch(&Ask::of(&["t"]), &set(&[("a", "a"), ("b", "b")])).await.unwrap();
    assert_eq!(plan.rows(), 2);
    case.apply(&plan).await;
    assert_eq!(case.live("select * from t"), "1|a|b|z\n2|x|b|z\n3|a|b|z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k8_a_key_that_was_issued_again_is_not_patched() {
    let schema = "create table t(id integer primary key, v text, created_at text);";
    let case = Case::of(
        &format!("{schema} insert into t values (1, 'old', '2024'), (2, 'old', '2024');"),
        schema,
        "insert into t values (1, 'new', '2024'), (2, 'new', '2025');",
    );
    let ask = Ask::of(&["t"]);
    let plan = case.patch(&ask, &set(&[("v", "v")])).await.unwrap();
    assert_eq!((plan.rows(), skipped(&plan)), (1, BTreeMap::from([("reissued_key", 1)])));
    case.there_and_back(&plan).await;
    let all = PatchOptions { include_reissued: true, ..set(&[("v", "v")]) };
    let plan = case.patch(&ask, &all).await.unwrap();
    assert_eq!((plan.rows(), skipped(&plan)), (2, BTreeMap::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_a_patch_by_an_unproved_key_is_refused() {
    let schema = "create table t(code text, v text);";
    for side in ["backup", "live"] {
        let case = Case::of(
            &format!("{schema} insert into t values ('a', 'old'), ('b', 'old');"),
            schema,
            "insert into t values ('a', 'new'), ('b', 'new');",
        );
        let ask = Ask { key: &["code"], ..Ask::of(&["t"]) };
        assert_eq!(case.patch(&ask, &set(&[("v", "v")])).await.unwrap().rows(), 2);
        case.sandbox.sqlite(&format!("{side}.db"), "insert into t values ('b', 'twice')");
        for limit in [None, Some(1)] {
            let options = PatchOptions { limit, ..set(&[("v", "v")]) };
            let e = case.patch(&ask, &options).await.unwrap_err();
            assert_eq!(e.kind(), Kind::Refused, "{side}: {e}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_misfits_are_patched_and_taken_back_exactly() {
    let case = Case::new(
        AWKWARD,
        "update t set i = x, x = i, r = d, n = b, b = n, d = r where id > 1;
         update t set i = 0, x = 'x', r = 2, n = 3, b = x'04', d = 5 where id <= 1;",
    );
    let columns: Vec<(&str, &str)> = ["i", "x", "r", "n", "b", "d"].map(|c| (c, c)).to_vec();
    let options = PatchOptions { allow_null: true, ..set(&columns) };
    let plan = case.patch(&Ask::of(&["t"]), &options).await.unwrap();
    assert!(plan.rows() >= 7, "{}", plan.rows());
    assert_eq!(case.there_and_back(&plan).await, case.sandbox.dump("backup.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_and_keys_are_never_patched() {
    let case = Case::new(
        "create table t(id integer primary key, a, g as (a) stored); insert into t values (1, 2);",
        "update t set a = 3;",
    );
    for column in ["g", "id"] {
        let e = case.patch(&Ask::of(&["t"]), &set(&[(column, column)])).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Refused, "{e}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_sets_64_columns_and_refuses_more() {
    let names: Vec<String> = (1..=65).map(|n| format!("c{n}")).collect();
    let row = |value: &str| vec![value; 65].join(", ");
    let schema = format!("create table t(id integer primary key, {});", names.join(", "));
    let case = Case::of(
        &format!("{schema} insert into t values (1, {});", row("1")),
        &schema,
        &format!("insert into t values (1, {});", row("2")),
    );
    let columns: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
    let e = case.patch(&Ask::of(&["t"]), &set(&columns)).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Usage, "{e}");
    assert!(e.hints().iter().any(|hint| hint.contains("two patches")), "{:?}", e.hints());
    let plan = case.patch(&Ask::of(&["t"]), &set(&columns[..64])).await.unwrap();
    case.there_and_back(&plan).await;
    case.apply(&case.patch(&Ask::of(&["t"]), &set(&columns[..64])).await.unwrap()).await;
    assert_eq!(case.live("select c1 + c64, c65 from t"), "2|2");
}
