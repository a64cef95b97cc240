//! Missing rows: their parents and children, and those that can't come back.

use restorekit::error::Kind;
use restorekit::model::conflict::Reason;
use restorekit::plan::restore::RestoreOptions;

use super::{Ask, Case, notes, skipped, tables};

pub(super) const FAMILY: &str = "
create table a(id integer primary key, v text);
create table b(id integer primary key, a_id integer not null references a(id), v text);
create table c(id integer primary key, b_id integer references b(id), v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 9)
insert into a select i, 'a' || i from n;
insert into b select id, id, 'b' || id from a;
insert into c select id, id, 'c' || id from a;
insert into c values (10, null, 'c10');";

pub(super) const PARENTS: RestoreOptions =
    RestoreOptions { with_parents: true, with_children: false, limit: None, lossy: Vec::new() };
const CHILDREN: RestoreOptions =
    RestoreOptions { with_parents: false, with_children: true, limit: None, lossy: Vec::new() };

fn plain() -> RestoreOptions {
    RestoreOptions::default()
}

pub(super) fn named(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(t, n)| (t.to_string(), *n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_parents_come_first_over_two_levels_and_only_those_needed() {
    let case = Case::new(
        FAMILY,
        "delete from c where id in (2, 3, 10); delete from b where id in (2, 3, 7);
         delete from a where id in (2, 7, 9);",
    );
    let plan = case.restore(&Ask::of(&["c"]), &PARENTS).await.unwrap();
    assert_eq!(tables(&plan), named(&[("a", 1), ("b", 2), ("c", 3)]));
    assert!(plan.excluded().await.unwrap().is_empty());
    case.there_and_back(&plan).await;
    case.apply(&case.restore(&Ask::of(&["c"]), &PARENTS).await.unwrap()).await;
    assert_eq!(case.live("select group_concat(id) from a"), "1,2,3,4,5,6,8");
    assert_eq!(case.live("select group_concat(id) from b"), "1,2,3,4,5,6,8,9");
    assert_eq!(
        case.live("select count(*), group_concat(v) from c where id in (2, 3, 10)"),
        "3|c2,c3,c10"
    );
    assert_eq!(case.live("select count(*) from pragma_foreign_key_check where parent = 'b'"), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_all_tables_at_once_come_back_whole() {
    let case = Case::new(FAMILY, "delete from c; delete from b; delete from a;");
    let plan = case.restore(&Ask::of(&[]), &plain()).await.unwrap();
    assert_eq!(tables(&plan), named(&[("a", 9), ("b", 9), ("c", 10)]));
    assert_eq!(case.there_and_back(&plan).await, case.sandbox.dump("backup.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_row_whose_parent_is_missing_is_left_out_and_says_so() {
    let case = Case::new(FAMILY, "delete from c where id in (2, 3); delete from b where id = 2;");
    let plan = case.restore(&Ask::of(&["c"]), &plain()).await.unwrap();
    assert_eq!(tables(&plan), named(&[("c", 1)]));
    assert_eq!(skipped(&plan)["parent_missing"], 1);
    let excluded = plan.excluded().await.unwrap();
    assert_eq!(excluded.len(), 1);
    assert_eq!(excluded[0].reason, Reason::ForeignKey);
    assert_eq!(excluded[0].key, serde_json::json!({"id": 2}));
    assert!(excluded[0].detail.contains("--with-parents"), "{}", excluded[0].detail);
    case.there_and_back(&plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_come_with_their_parents_and_no_others() {
    let case = Case::new(
        FAMILY,
        "delete from c where id in (2, 5, 10); delete from b where id in (2, 3);
         delete from a where id = 2;",
    );
    let plan = case.restore(&Ask::of(&["a"]), &CHILDREN).await.unwrap();
    assert_eq!(tables(&plan), named(&[("a", 1), ("b", 1), ("c", 1)]));
    case.there_and_back(&plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_table_that_refers_to_itself_comes_in_waves() {
    // Each boss has the larger id; 20 refers to nobody, 21 to 20.
    let case = Case::new(
        "create table p(id integer primary key, boss integer references p(id));
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 9)
         insert into p select i, nullif(i + 1, 10) from n;
         insert into p values (10, 10), (20, 99), (21, 20);",
        "update p set boss = null where id = 5; delete from p where id <> 5;",
    );
    let plan = case.restore(&Ask { batch_size: 1, ..Ask::of(&["p"]) }, &plain()).await.unwrap();
    assert_eq!(tables(&plan), named(&[("p", 9)]));
    assert_eq!(skipped(&plan)["parent_missing"], 2);
    let mut keys: Vec<String> =
        plan.excluded().await.unwrap().iter().map(|c| c.key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, [r#"{"id":20}"#, r#"{"id":21}"#]);
    case.there_and_back(&plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k11_a_twin_under_another_key_is_named_and_never_forced() {
    let case = Case::new(
        "create table u(id integer primary key, mail text collate nocase unique);
         insert into u values (1, 'a@x'), (2, 'b@x'), (3, null), (4, null);",
        "delete from u; insert into u values (9, 'B@X'), (10, null);",
    );
    let plan = case.restore(&Ask::of(&["u"]), &plain()).await.unwrap();
    assert_eq!(tables(&plan), named(&[("u", 3)]));
    assert_eq!(skipped(&plan)["recreated"], 1);
    let excluded = plan.excluded().await.unwrap();
    assert_eq!((excluded.len(), excluded[0].reason), (1, Reason::Recreated));
    assert!(excluded[0].detail.contains("recreated as id 9"), "{}", excluded[0].detail);
    case.there_and_back(&plan).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_a_column_that_live_demands_and_the_backup_lacks_is_refused() {
    let backup = "create table t(id integer primary key, v text); insert into t values (1, 'x');";
    let demands = "create table t(id integer primary key, v text, tenant text not null);";
    let case = Case::of(backup, demands, "select 1;");
    let e = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused);
    assert!(e.to_string().contains("tenant"), "{e}");

    let gives = "create table t(id integer primary key, v text, tenant text not null default 'z');";
    let case = Case::of(backup, gives, "select 1;");
    let plan = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap();
    assert!(notes(&plan).contains("left to their defaults: tenant"), "{}", notes(&plan));
    case.apply(&plan).await;
    assert_eq!(case.live("select * from t"), "1|x|z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t16_generated_columns_are_left_to_the_engine() {
    let case = Case::new(
        "create table t(id integer primary key, a integer, s integer as (a * 2) stored,
           v integer as (a + 1) virtual, z text);
         insert into t(id, a, z) values (1, 5, 'x'), (2, 6, 'y');",
        "delete from t where id = 2;",
    );
    let plan = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap();
    let written: Vec<&str> =
        plan.header().tables[0].after.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(written, ["id", "a", "z"]);
    assert_eq!(case.there_and_back(&plan).await, case.sandbox.dump("backup.db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_a_huge_id_is_said() {
    for (id, said) in [("9223372036854775807", true), ("412", false)] {
        let case = Case::new(
            &format!(
                "create table t(id integer primary key autoincrement, v);
                 insert into t values ({id}, 'x');"
            ),
            "delete from t;",
        );
        let plan = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap();
        assert_eq!(notes(&plan).contains("AUTOINCREMENT"), said, "{}", notes(&plan));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_soft_deletes_and_triggers_are_said() {
    let case = Case::new(
        "create table log(what text);
         create table t(id integer primary key, deleted_at text);
         insert into t values (1, null);
         create trigger audit after insert on t begin insert into log values ('in'); end;
         create trigger gone after delete on t begin insert into log values ('out'); end;",
        "delete from t;",
    );
    let plan = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap();
    let notes = notes(&plan);
    assert!(notes.contains("trigger audit fires on each insert"), "{notes}");
    assert!(!notes.contains("trigger gone"), "{notes}");
    assert!(notes.contains("deleted_at"), "{notes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_a_named_key_is_proved_on_both_sides() {
    let ask = Ask { key: &["code"], ..Ask::of(&["t"]) };
    let schema = "create table t(code text, v text);";
    let good = "insert into t values ('a', 'x'), ('b', 'y'), ('c', 'z');";
    for (side, more) in [
        ("backup", "insert into t values ('c', 'again')"),
        ("live", "insert into t values ('a', 'again')"),
        ("backup", "insert into t values (null, 'none')"),
        ("live", "insert into t values (null, 'none')"),
    ] {
        let case = Case::new(&format!("{schema}{good}"), "delete from t where code = 'b';");
        case.sandbox.sqlite(&format!("{side}.db"), more);
        for limit in [None, Some(1)] {
            let options = RestoreOptions { limit, ..plain() };
            let e = case.restore(&ask, &options).await.unwrap_err();
            assert_eq!(e.kind(), Kind::Refused, "{side} {more}");
            assert!(e.to_string().contains("not proved"), "{e}");
        }
    }
    let case = Case::new(&format!("{schema}{good}"), "delete from t where code = 'b';");
    let plan = case.restore(&ask, &plain()).await.unwrap();
    assert_eq!(plan.rows(), 1);
    case.there_and_back(&plan).await;
}

/// A predicate that leaves out the twin of a row, or the same key in another case, does not
/// make it certain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k7_k3_a_predicate_hides_no_twin() {
    for (live, backup, twins) in [
        ("code text primary key", "code text", "('a', 1), ('a', 2)"),
        ("code text collate nocase primary key", "code text primary key", "('a', 1), ('A', 2)"),
        ("code text", "code text", "('a', 1), ('a', 2)"),
    ] {
        let case = Case::of(
            &format!(
                "create table t({backup}, w integer); insert into t values {twins}, ('b', 1);"
            ),
            &format!("create table t({live}, w integer);"),
            "insert into t values ('z', 1);",
        );
        let key: &[&str] = if live.contains("key") { &[] } else { &["code"] };
        let ask = Ask { key, ..Ask::of(&["t"]) };
        let plan = case.restore_where("w = 1", &ask).await;
        if !key.is_empty() {
            assert_eq!(plan.unwrap_err().kind(), Kind::Refused, "{live}");
            continue;
        }
        let plan = plan.unwrap();
        assert_eq!((plan.rows(), skipped(&plan)["ambiguous_key"]), (1, 1), "{live}");
        case.there_and_back(&plan).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w1_the_same_database_on_both_sides_is_refused() {
    let case = Case::new(FAMILY, "delete from c;");
    std::os::unix::fs::symlink(case.sandbox.path("live.db"), case.sandbox.path("link.db")).unwrap();
    for backup in ["live.db", "link.db"] {
        let e = case.restore_from(backup, &Ask::of(&["c"]), &plain()).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Refused, "{e}");
        assert!(e.to_string().contains("same database"), "{e}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_and_too_many_rows_are_refused() {
    let case = Case::new(FAMILY, "delete from c;");
    let limited = RestoreOptions { limit: Some(3), ..plain() };
    let most = Ask { max_rows: Some(3), ..Ask::of(&["c"]) };
    let plan = case.restore(&most, &limited).await.unwrap();
    assert_eq!(plan.rows(), 3);
    let e = case.restore(&most, &RestoreOptions { limit: Some(4), ..plain() }).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused);
    assert!(e.hints().iter().any(|h| h.contains("--max-rows")), "{:?}", e.hints());
    case.there_and_back(&plan).await;
}

/// Values that stand in columns of another kind, and those at the ends of their own.
pub(super) const AWKWARD: &str = "
create table t(id integer primary key, i integer, x text, r real, n numeric, b blob, d);
insert into t values
 (-9223372036854775808, 'text', x'00ff', 'text', 'text', 'text', null),
 (9223372036854775807, 9223372036854775807, 'a' || char(0) || 'b', -0.0, 9007199254740993, 5, -0.0),
 (1, x'01', cast(x'fffe41' as text), 9e999, x'', cast(x'80' as text), 9223372036854775807),
 (2, 1.5, '', -9e999, -9223372036854775808, 1.25, cast(x'c328' as text)),
 (3, '', char(0), 0.1, 0.1, x'', ''),
 (4, null, null, null, null, null, x''),
 (5, 9e18, '1', 1e300, 1e300, null, 1.0),
 (6, -1, '1e5', 5e-324, '1' || char(0), '1', 1);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_misfits_come_back_exactly() {
    let case = Case::new(AWKWARD, "delete from t;");
    let plan = case.restore(&Ask::of(&["t"]), &plain()).await.unwrap();
    assert_eq!(plan.rows(), 8);
    assert_eq!(case.there_and_back(&plan).await, case.sandbox.dump("backup.db"));
}
