//! Parents that are needed, of tables of which other rows are selected too.

use restorekit::plan::restore::RestoreOptions;

use super::restore::{FAMILY, PARENTS, named};
use super::{Ask, Case, tables};

/// Employees 1 to 12, each with the boss `boss`, of which live lacks some.
fn staff(boss: &str, lost: &str) -> Case {
    Case::new(
        &format!(
            "create table emp(id integer primary key, boss integer references emp(id));
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 12)
             insert into emp select i, {boss} from n;"
        ),
        &format!("delete from emp where id in ({lost});"),
    )
}

/// What live holds more of emp once the plan is applied.
async fn came_back(case: &Case, plan: &restorekit::plan::file::PlanFile) -> String {
    case.live("create table had as select id from emp");
    case.apply(plan).await;
    let ids = "select group_concat(id) from (select id from emp except select id from had)";
    let ids = case.live(ids);
    assert_eq!(case.live("select count(*) from pragma_foreign_key_check('emp')"), "0");
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_of_a_table_that_refers_to_itself_the_selected_rows_and_their_parents_come_back() {
    for (boss, row, back) in [
        ("iif(i in (3, 4, 5, 6, 10), i - 1, null)", "id = 6", "3,4,5,6"),
        ("iif(i between 3 and 6, i + 1, null)", "id = 3", "3,4,5,6"),
        // A parent that is selected too is one row.
        ("iif(i in (3, 4, 5, 6, 10), i - 1, null)", "id in (4, 6)", "3,4,5,6"),
        ("null", "id = 6", "6"),
        ("i", "id = 6", "6"),
    ] {
        let case = staff(boss, "3, 4, 5, 6, 9, 10");
        let ask = Ask { batch_size: 1, ..Ask::of(&["emp"]) };
        let plan = case.restore_rows("backup.db", &ask, &PARENTS, Some(row)).await.unwrap();
        assert!(plan.excluded().await.unwrap().is_empty());
        case.there_and_back(&plan).await;
        let plan = case.restore_rows("backup.db", &ask, &PARENTS, Some(row)).await.unwrap();
        assert_eq!(came_back(&case, &plan).await, back, "{boss} {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_limit_counts_the_selected_rows_and_not_their_parents() {
    for (row, limit, back) in [
        (None, 1, "2,3"),
        (None, 2, "2,3"),
        (None, 3, "2,3,7,8"),
        (Some("id > 5"), 1, "7,8"),
        (Some("id in (2, 8, 11)"), 2, "2,3,8"),
    ] {
        // Each boss has the larger id.
        let case = staff("iif(i in (2, 3, 7, 8, 11), i + 1, null)", "2, 3, 7, 8, 11");
        let options = RestoreOptions { limit: Some(limit), ..PARENTS };
        let ask = Ask { batch_size: 1, ..Ask::of(&["emp"]) };
        let plan = case.restore_rows("backup.db", &ask, &options, row).await.unwrap();
        assert!(plan.excluded().await.unwrap().is_empty());
        assert_eq!(came_back(&case, &plan).await, back, "{row:?} {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_parents_of_a_table_of_which_rows_are_selected_come_back_besides() {
    let case = Case::new(
        FAMILY,
        "delete from c where id in (2, 3, 5, 8); delete from b where id in (2, 3, 5, 8);
         delete from a where id in (2, 7);",
    );
    let ask = Ask::of(&["b", "c"]);
    let sql = "v in ('b3', 'b5', 'c2', 'c3')";
    let plan = case.restore_rows("backup.db", &ask, &PARENTS, Some(sql)).await.unwrap();
    assert_eq!(tables(&plan), named(&[("a", 1), ("b", 3), ("c", 2)]));
    assert!(plan.excluded().await.unwrap().is_empty());
    case.there_and_back(&plan).await;
    case.apply(&case.restore_rows("backup.db", &ask, &PARENTS, Some(sql)).await.unwrap()).await;
    let back = "select group_concat(v) from (select v from b union select v from c) \
                where v in ('b2', 'b3', 'b5', 'b8', 'c2', 'c3', 'c8')";
    assert_eq!(case.live(back), "b2,b3,b5,c2,c3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_parents_of_a_table_whose_rows_come_as_children_come_back_besides() {
    let case = Case::new(
        FAMILY,
        "delete from c where id in (2, 3); delete from b where id in (2, 3, 8);
         delete from a where id in (2, 7);",
    );
    // b2 comes as a child of a2, b3 as the parent of c3; b8 is neither.
    let options = RestoreOptions { with_children: true, ..PARENTS };
    let (ask, sql) = (Ask::of(&["a", "c"]), Some("v in ('a2', 'c3')"));
    let plan = case.restore_rows("backup.db", &ask, &options, sql).await.unwrap();
    assert_eq!(tables(&plan), named(&[("a", 1), ("b", 2), ("c", 1)]));
    assert!(plan.excluded().await.unwrap().is_empty());
    case.there_and_back(&plan).await;
    case.apply(&case.restore_rows("backup.db", &ask, &options, sql).await.unwrap()).await;
    assert_eq!(case.live("select group_concat(id) from b where id in (2, 3, 8)"), "2,3");
}
