//! Every type x edge values x (equal, different, restore, undo), from a database and from a
//! snapshot. The oracle is the text that the server itself prints, through psql.

use super::super::super::source::tests::types::{PRELUDE, TYPES};
use super::lab::{Lab, counts};

const ROWS: usize = 9;

fn table() -> String {
    let columns: Vec<String> =
        TYPES.iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
    format!("{PRELUDE} create table t(id int primary key, {});", columns.join(", "))
}

/// Rows in which each column has its values in turn, from the `first` on; the last is NULL.
fn rows(first: usize) -> String {
    let mut sql = String::new();
    for row in 0..ROWS {
        let cell = |(kind, values): &(&str, &[&str])| {
            format!("cast({} as {kind})", values[(first + row) % values.len()])
        };
        let cells: Vec<String> = TYPES.iter().map(cell).collect();
        sql.push_str(&format!("insert into t values ({row}, {});", cells.join(", ")));
    }
    let nulls = vec!["null"; TYPES.len()].join(", ");
    sql + &format!("insert into t values ({ROWS}, {nulls});")
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_every_type_is_equal_to_itself() {
    let mut lab = Lab::new(&(table() + &rows(0)), "");
    assert_eq!(lab.diff("t").await, ([0; 4], vec![]));
    lab.snapshot().await;
    assert_eq!(lab.diff("t").await, ([0; 4], vec![]));
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_every_type_comes_back_and_is_taken_back() {
    comes_back(Lab::new(&(table() + &rows(0)), "delete from t;")).await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_every_type_comes_back_from_a_snapshot() {
    let mut lab = Lab::new(&(table() + &rows(0)), "delete from t;");
    lab.snapshot().await;
    comes_back(lab).await;
}

async fn comes_back(lab: Lab) {
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [10, 10, 0, 0], "{receipt:?}");
    assert!(receipt.verified);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [10, 10, 0, 0], "{undone:?}");
    assert_eq!(lab.live.dump("t"), "");
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_every_type_is_set_and_set_back() {
    is_set(different()).await;
}

#[tokio::test]
async fn t6_t8_t11_t18_t19_every_type_is_set_from_a_snapshot() {
    let mut lab = different();
    lab.snapshot().await;
    is_set(lab).await;
}

fn different() -> Lab {
    let lab = Lab::new(&table(), "");
    lab.backup.sql(&rows(0));
    lab.live.sql(&rows(1));
    // A NULL meets values, and values meet a NULL.
    lab.live.sql(&format!(
        "update t set id = -1 where id = 0; update t set id = 0 where id = {ROWS};
         update t set id = {ROWS} where id = -1"
    ));
    lab
}

async fn is_set(lab: Lab) {
    let was = lab.live.dump("t");
    let (found, columns) = lab.diff("t").await;
    assert_eq!(found, [0, 10, 0, 0]);
    // The server prints both; what it prints differently differs.
    for (at, (kind, _)) in TYPES.iter().enumerate() {
        let printed = format!(
            "set extra_float_digits = 3; select case when c{at} is distinct from null \
             then quote_literal(format('%s', c{at})) else 'NULL' end from t order by id"
        );
        let (live, backup) = (lab.live.sql(&printed), lab.backup.sql(&printed));
        // A value may hold an end of line, but no value holds the quotes between two rows.
        let differs = live.split("\n").zip(backup.split("\n")).filter(|(a, b)| a != b).count();
        let ours = columns.iter().find(|(name, _)| *name == format!("c{at}")).map_or(0, |c| c.1);
        match live.lines().count() == backup.lines().count() && live.lines().count() == ROWS + 1 {
            true => assert_eq!(differs as u64, ours, "{kind}"),
            false => assert!(ours > 0, "{kind}"),
        }
    }
    let names: Vec<String> = (0..TYPES.len()).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
    let plan = lab.patch("aaaaaa", "t", &columns, None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [10, 10, 0, 0], "{receipt:?}");
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [10, 10, 0, 0], "{undone:?}");
    assert_eq!(lab.live.dump("t"), was);
}
