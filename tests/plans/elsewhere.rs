//! A plan carried to another file: what it is known by, and who has to name it.

use restorekit::apply::{ApplyOptions, Place, apply, place};
use restorekit::error::{Kind, Result};
use restorekit::model::receipt::Receipt;
use restorekit::plan::patch::{Assignment, PatchOptions};

use super::*;

const SHOP: &str = "create table kinds(id integer primary key, name text);
    create table orders(id integer primary key, kind integer references kinds, note text, at text);
    insert into kinds values (1, 'book'), (2, 'pen');
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)
    insert into orders select i, 1 + i % 2, 'order ' || i, '2024-03-' || (10 + i % 20) from n;";

impl Case {
    /// Live as it is now, in another file.
    fn copy(&self, to: &str) {
        std::fs::copy(self.sandbox.path("live.db"), self.sandbox.path(to)).unwrap();
    }

    async fn apply_to(&self, to: &str, plan: &PlanFile, named: bool) -> Result<Receipt> {
        let mut target = open_target(&self.place(to)).await.unwrap();
        let options =
            ApplyOptions { elsewhere: named, ..ApplyOptions::new(self.sandbox.path("locks")) };
        let receipt = apply(plan, target.as_mut(), &options, silent().as_ref()).await;
        target.close().await.unwrap();
        receipt
    }

    async fn place_of(&self, to: &str, plan: &PlanFile) -> Result<Place> {
        let mut target = open_target(&self.place(to)).await.unwrap();
        let place = place(plan, target.as_mut()).await;
        target.close().await.unwrap();
        place
    }

    async fn refuses(&self, to: &str, plan: &PlanFile, named: bool, says: &str) {
        let before = self.sandbox.dump(to);
        let e = self.apply_to(to, plan, named).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Refused, "{e}");
        assert!(e.to_string().contains(says), "{e}");
        assert!(!e.hints().is_empty(), "{e}");
        assert_eq!(self.sandbox.dump(to), before);
    }
}

/// What a target's remembered rows gave: table, rows, those that stand the same.
fn sightings(place: Place) -> Vec<(String, usize, usize)> {
    let Place::Elsewhere(sightings) = place else { panic!("{place:?}") };
    sightings.into_iter().map(|s| (s.table, s.rows, s.same)).collect()
}

#[tokio::test]
async fn w1_a_copy_is_written_only_when_named_and_then_undone_there() {
    let case = Case::new(SHOP, "delete from orders where id % 5 = 0");
    let plan = case.restore(&Ask::of(&["orders"]), &RestoreOptions::default()).await.unwrap();
    assert_eq!(case.place_of("live.db", &plan).await.unwrap(), Place::Planned);
    case.copy("copy.db");
    case.sandbox.sqlite("copy.db", "update orders set note = 'edited' where id < 20");
    let seen = sightings(case.place_of("copy.db", &plan).await.unwrap());
    assert_eq!(seen.len(), 1, "{seen:?}");
    let (table, rows, same) = &seen[0];
    assert!(table == "orders" && *rows == 32 && *same > 16 && same < rows, "{seen:?}");
    case.refuses("copy.db", &plan, false, "another database").await;
    let before = case.sandbox.dump("copy.db");
    let receipt = case.apply_to("copy.db", &plan, true).await.unwrap();
    assert_eq!((written(&receipt), receipt.verified), (20, true));
    assert_eq!(case.live("select count(*) from orders"), "80");
    // Used up there, it is not applied here; and its undo belongs there.
    case.refuses("live.db", &plan, true, "applied already").await;
    let path = case.sandbox.path("inverse");
    let inverse = undo(&plan, &path, "bbbbbb", Duration::days(1)).await.unwrap();
    case.refuses("live.db", &inverse, false, "another database").await;
    case.apply_to("copy.db", &inverse, false).await.unwrap();
    assert_eq!(case.sandbox.dump("copy.db"), before);
}

#[tokio::test]
async fn w1_the_same_tables_with_other_rows_are_another_database() {
    let case = Case::new(SHOP, "delete from orders where id % 5 = 0");
    case.copy("other.db");
    case.sandbox.sqlite("other.db", "update orders set note = 'theirs ' || id");
    let plan = case.restore(&Ask::of(&["orders"]), &RestoreOptions::default()).await.unwrap();
    case.refuses("other.db", &plan, true, "of 32 rows of orders that it remembers, 0").await;
    let dropped = "alter table orders drop column at";
    case.copy("narrow.db");
    case.sandbox.sqlite("narrow.db", dropped);
    case.refuses("narrow.db", &plan, true, "columns").await;
}

#[tokio::test]
async fn w1_an_emptied_table_is_known_by_the_others() {
    let case = Case::new(SHOP, "delete from orders");
    let plan = case.restore(&Ask::of(&["orders"]), &RestoreOptions::default()).await.unwrap();
    case.copy("copy.db");
    let seen = sightings(case.place_of("copy.db", &plan).await.unwrap());
    assert_eq!(seen, [("kinds".to_owned(), 2, 2)]);
    case.sandbox.sqlite("copy.db", "update kinds set name = 'hat ' || id");
    case.refuses("copy.db", &plan, true, "of 2 rows of kinds").await;
    let case = Case::new(SHOP, "delete from orders; delete from kinds");
    let ask = Ask::of(&["orders", "kinds"]);
    let plan = case.restore(&ask, &RestoreOptions::default()).await.unwrap();
    case.copy("copy.db");
    assert_eq!(sightings(case.place_of("copy.db", &plan).await.unwrap()), []);
    case.refuses("copy.db", &plan, false, "another database").await;
    assert_eq!(written(&case.apply_to("copy.db", &plan, true).await.unwrap()), 102);
}

#[tokio::test]
async fn w1_what_a_plan_writes_is_not_what_a_database_is_known_by() {
    let case = Case::new(SHOP, "update orders set note = 'stamped'");
    let options = PatchOptions {
        assignments: vec![Assignment { column: "note".into(), from: "note".into() }],
        ..PatchOptions::default()
    };
    let plan = case.patch(&Ask::of(&["orders"]), &options).await.unwrap();
    case.apply(&plan).await;
    let path = case.sandbox.path("inverse");
    let inverse = undo(&plan, &path, "bbbbbb", Duration::days(1)).await.unwrap();
    case.copy("moved.db");
    let seen = sightings(case.place_of("moved.db", &inverse).await.unwrap());
    assert_eq!(seen, [("orders".to_owned(), 32, 32)]);
    assert_eq!(written(&case.apply_to("moved.db", &inverse, true).await.unwrap()), 100);
}
