//! Undo is exact, or refuses row by row.

use chrono::Duration;

use super::harness::{Lab, Step, int, text};
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::plan::Op;
use crate::model::value::Value;
use crate::plan::file::PlanFile;
use crate::undo::undo;

const STORY: &str = "create table p(id integer primary key, name text);;
    create table c(id integer primary key, p integer references p on delete cascade, v, w real);;
    create table log(x);;
    insert into p values (1, 'one');;
    insert into c values (1, 1, 'a', 1.5), (2, 1, x'00ff', 2), (3, 1, null, -0.5)";

fn steps() -> Vec<Step> {
    let real = Value::Real;
    vec![
        Step::insert(
            "p",
            &["id", "name"],
            vec![vec![int(2), text("two")], vec![int(3), Value::Blob(b"three".to_vec())]],
        ),
        Step::insert(
            "c",
            &["id", "p", "v", "w"],
            vec![
                vec![int(7), int(2), Value::Text(b"\xff\0".to_vec()), real(f64::INFINITY)],
                vec![int(8), int(3), int(i64::MIN), Value::Null],
            ],
        ),
        Step::update(
            "c",
            &["id", "v", "w"],
            vec![
                vec![int(1), text("a"), real(1.5)],
                vec![int(2), Value::Blob(vec![0, 255]), real(2.0)],
                vec![int(3), Value::Null, real(-0.5)],
            ],
            vec![
                vec![int(1), int(5), real(2.5)],
                vec![int(2), real(0.1), Value::Null],
                vec![int(3), text(""), real(3.0)],
            ],
        ),
    ]
}

async fn take_back(lab: &Lab, plan: &PlanFile, id: &str) -> PlanFile {
    undo(plan, &lab.plan_path(id), id, Duration::hours(1)).await.unwrap()
}

#[tokio::test]
async fn undo_brings_back_the_whole_database_and_can_be_undone() {
    for size in [1, 2, 100] {
        for atomic in [false, true] {
            let lab = Lab::new(STORY).await;
            let before = lab.dump().await;
            let plan = lab.plan_with("aaaaaa", size, steps(), |h| h.atomic = atomic).await;
            let receipt = lab.apply(&plan).await.unwrap();
            assert_eq!(receipt.conflict_count(), 0, "{:?}", receipt.conflicts);
            let after = lab.dump().await;
            assert_ne!(before, after);
            let back = take_back(&lab, &plan, "bbbbbb").await;
            let receipt = lab.apply(&back).await.unwrap();
            assert_eq!(receipt.conflict_count(), 0, "{:?}", receipt.conflicts);
            assert!(receipt.verified);
            assert_eq!(lab.dump().await, before);
            let again = take_back(&lab, &back, "cccccc").await;
            lab.apply(&again).await.unwrap();
            assert_eq!(lab.dump().await, after);
            let receipt = lab.apply(&again).await.unwrap();
            assert!(receipt.tables.iter().all(|t| t.written == 0 && t.conflicts == 0));
        }
    }
}

#[tokio::test]
async fn undo_takes_back_only_what_was_written() {
    let lab = Lab::new(STORY).await;
    let plan = lab.plan("aaaaaa", 100, steps()).await;
    lab.sql("insert into p values (2, 'two');; update c set v = 'mine' where id = 3").await;
    let before = lab.dump().await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(receipt.conflict_count(), 1);
    let back = take_back(&lab, &plan, "bbbbbb").await;
    assert_eq!(back.rows(), 5);
    lab.apply(&back).await.unwrap();
    assert_eq!(lab.dump().await, before);
}

#[tokio::test]
async fn x4_undo_leaves_changed_rows_and_parents_with_children_alone() {
    let lab = Lab::new(STORY).await;
    let plan = lab.plan("aaaaaa", 100, steps()).await;
    lab.apply(&plan).await.unwrap();
    // A child of a restored row, though the foreign key would cascade; and a changed row.
    lab.sql("insert into c values (50, 3, null, null);; update c set w = 9 where id = 1").await;
    let back = take_back(&lab, &plan, "bbbbbb").await;
    let receipt = lab.apply(&back).await.unwrap();
    let said: Vec<_> = receipt
        .conflicts
        .iter()
        .map(|c| (c.table.as_str(), c.key["id"].as_i64().unwrap(), c.reason))
        .collect();
    assert_eq!(said, [("c", 1, Reason::Data), ("p", 3, Reason::ForeignKey)]);
    assert_eq!(lab.one("select count(*) from c where id in (1, 50)").await, "2");
    assert_eq!(lab.one("select count(*) from p where id = 3").await, "1");
    assert_eq!(lab.one("select count(*) from c where id in (7, 8)").await, "0");
}

#[tokio::test]
async fn x4_undo_leaves_a_row_alone_whose_own_columns_were_changed() {
    for (size, adapts) in [(2, false), (2, true), (100, true)] {
        let lab = Lab::new(
            "create table t(id integer primary key, v text, note text default 'new',
                 mark default (hex(randomblob(8))), twice text as (v || v));;
             create trigger filled after insert on t when new.id = 3 begin
                 update t set note = x'00ff' where id = new.id; end",
        )
        .await;
        let before = lab.dump().await;
        let rows = (1..=5).map(|i| vec![int(i), text("in")]).collect();
        let steps = vec![Step::insert("t", &["id", "v"], rows)];
        let plan = lab.plan_with("aaaaaa", size, steps, |h| h.adapts = adapts).await;
        let receipt = lab.apply(&plan).await.unwrap();
        assert_eq!((receipt.tables[0].written, receipt.verified), (5, true));
        let after = lab.dump().await;
        // Nothing of them was planned, and it is the application's now.
        lab.sql("update t set note = 'paid' where id = 2").await;
        let back = take_back(&lab, &plan, "bbbbbb").await;
        let receipt = lab.apply(&back).await.unwrap();
        let said: Vec<_> = receipt.conflicts.iter().map(|c| (&c.key["id"], c.reason)).collect();
        assert_eq!(said, [(&2.into(), Reason::Data)]);
        assert_eq!(receipt.conflicts[0].detail, "note changed");
        assert_eq!(lab.one("select group_concat(id || note) from t").await, "\"2paid\"");
        // What was deleted comes back as it was, not with other defaults.
        let again = take_back(&lab, &back, "cccccc").await;
        lab.sql("delete from t where id = 2;; drop trigger filled").await;
        let e = lab.apply(&again).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Refused, "the schema is another");
        lab.sql(
            "create trigger filled after insert on t when new.id = 3 begin
                 update t set note = x'00ff' where id = new.id; end",
        )
        .await;
        assert_eq!(lab.dump().await, before);
        assert_eq!(lab.apply(&again).await.unwrap().tables[0].written, 4);
        lab.sql("delete from t where id = 2").await;
        let without_2 =
            after.lines().filter(|line| !line.contains("  integer:32|")).collect::<Vec<_>>();
        assert_eq!(lab.dump().await.lines().collect::<Vec<_>>(), without_2);
    }
}

#[tokio::test]
async fn c6_undo_deletes_children_before_parents_in_one_table() {
    let lab =
        Lab::new("create table t(id integer primary key, boss integer references t(id))").await;
    let rows = vec![
        vec![int(1), int(3)],
        vec![int(2), int(1)],
        vec![int(3), int(5)],
        vec![int(5), Value::Null],
    ];
    let before = lab.dump().await;
    let plan = lab.plan("aaaaaa", 9, vec![Step::insert("t", &["id", "boss"], rows)]).await;
    assert_eq!(lab.apply(&plan).await.unwrap().tables[0].written, 4);
    let back = take_back(&lab, &plan, "bbbbbb").await;
    let receipt = lab.apply(&back).await.unwrap();
    assert_eq!(receipt.conflict_count(), 0, "{:?}", receipt.conflicts);
    assert_eq!(lab.dump().await, before);
}

#[tokio::test]
async fn c1_an_update_never_cascades() {
    let lab = Lab::new(
        "create table p(id integer primary key, code text unique);;
         create table c(id integer primary key, code text references p(code) on update cascade);;
         insert into p values (1, 'x'), (2, 'y');; insert into c values (1, 'x')",
    )
    .await;
    let rows = |a, b| vec![vec![int(1), text(a)], vec![int(2), text(b)]];
    let plan = lab
        .plan("aaaaaa", 9, vec![Step::update("p", &["id", "code"], rows("x", "y"), rows("u", "v"))])
        .await;
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!((receipt.tables[0].written, receipt.tables[0].conflicts), (1, 1));
    assert_eq!(receipt.conflicts[0].reason, Reason::ForeignKey);
    assert_eq!(lab.one("select code from c").await, "\"x\"");
    assert_eq!(lab.one("select group_concat(code) from p").await, "\"x,v\"");
}

#[tokio::test]
async fn a_plan_that_was_never_applied_has_no_undo() {
    let lab = Lab::new(STORY).await;
    let plan = lab.plan("aaaaaa", 9, steps()).await;
    let e = undo(&plan, &lab.plan_path("bbbbbb"), "bbbbbb", Duration::hours(1)).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(!lab.plan_path("bbbbbb").exists());
}

#[tokio::test]
async fn t16_generated_columns_follow_what_is_written_and_taken_back() {
    let touch = ";; create trigger note after update on t begin insert into log values (1); end";
    for (trigger, judged) in [(touch, vec!["id", "price"]), ("", vec!["id", "price", "total"])] {
        for kind in ["virtual", "stored"] {
            let lab = Lab::new(&format!(
                "create table log(x);;
                 create table t(id integer primary key, price integer, qty integer,
                   total integer as (price * qty) {kind});;
                 insert into t(id, price, qty) values (1, 2, 10), (2, 3, 10){trigger}"
            ))
            .await;
            let before = lab.dump().await;
            let rows = |prices: [i64; 2], width: usize| -> Vec<Vec<Value>> {
                let row =
                    |(id, price): (i64, i64)| [id, price, price * 10].map(int)[..width].to_vec();
                (1..).zip(prices).map(row).collect()
            };
            let step = Step {
                table: "t",
                op: Op::Update,
                key: vec!["id"],
                before: (judged.clone(), rows([2, 3], judged.len())),
                after: (vec!["id", "price"], rows([5, 6], 2)),
            };
            let plan = lab.plan("aaaaaa", 9, vec![step]).await;
            let receipt = lab.apply(&plan).await.unwrap();
            assert_eq!((receipt.tables[0].written, receipt.verified), (2, true), "{receipt:?}");
            assert_eq!(lab.one("select group_concat(total) from t").await, "\"50,60\"");
            let inverse = take_back(&lab, &plan, "bbbbbb").await;
            let receipt = lab.apply(&inverse).await.unwrap();
            assert_eq!((receipt.tables[0].written, receipt.verified), (2, true), "{receipt:?}");
            lab.sql("delete from log").await;
            assert_eq!(lab.dump().await, before);
        }
    }
}
