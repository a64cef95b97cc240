//! Every type x edge values x (equal, different, restore, undo), from a database and from a
//! snapshot. The oracle is what the server itself says, through its own client.

use super::lab::{Database, Lab, counts};

const ROWS: usize = 9;

/// A column's type, and values as SQL.
pub(in crate::engine) type Kind = (&'static str, &'static [&'static str]);

/// The types of an engine.
pub(in crate::engine) trait Types: Database {
    /// The types that the server at hand has.
    fn types() -> &'static [Kind];

    /// What the table needs, and what each session needs that fills it.
    const PRELUDE: [&'static str; 2];

    /// A value of a type, as SQL.
    fn value(kind: &str, value: &str) -> String;

    /// In how many rows of `t` the server itself tells the two sides of a column apart.
    fn differing(lab: &Lab<Self>, column: &str) -> u64;
}

/// The table `t` with a column of each type: `c0`, `c1`, ..
pub(in crate::engine) fn table<D: Types>() -> String {
    let columns: Vec<String> =
        D::types().iter().enumerate().map(|(at, (kind, _))| format!("c{at} {kind}")).collect();
    format!("{} create table t(id int primary key, {});", D::PRELUDE[0], columns.join(", "))
}

/// Rows in which each column has its values in turn, from the `first` on; the last is NULL.
fn rows<D: Types>(first: usize) -> String {
    let mut sql = D::PRELUDE[1].to_owned();
    for row in 0..ROWS {
        let cell =
            |(kind, values): &(&str, &[&str])| D::value(kind, values[(first + row) % values.len()]);
        let cells: Vec<String> = D::types().iter().map(cell).collect();
        sql.push_str(&format!("insert into t values ({row}, {});", cells.join(", ")));
    }
    let nulls = vec!["null"; D::types().len()].join(", ");
    sql + &format!("insert into t values ({ROWS}, {nulls});")
}

pub(in crate::engine) async fn is_equal<D: Types>() {
    let mut lab = Lab::<D>::new(&(table::<D>() + &rows::<D>(0)), "");
    assert_eq!(lab.diff("t").await, ([0; 4], vec![]));
    lab.snapshot().await;
    assert_eq!(lab.diff("t").await, ([0; 4], vec![]));
}

pub(in crate::engine) async fn comes_back<D: Types>(from_snapshot: bool) {
    let mut lab = Lab::<D>::new(&(table::<D>() + &rows::<D>(0)), "delete from t;");
    if from_snapshot {
        lab.snapshot().await;
    }
    let plan = lab.restore("aaaaaa", &["t"]).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [10, 10, 0, 0], "{receipt:?}");
    assert!(receipt.verified);
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [10, 10, 0, 0], "{undone:?}");
    assert_eq!(lab.live.dump("t"), "");
}

pub(in crate::engine) async fn is_set<D: Types>(from_snapshot: bool) {
    let mut lab = Lab::<D>::new(&table::<D>(), "");
    lab.backup.sql(&rows::<D>(0));
    lab.live.sql(&rows::<D>(1));
    // A NULL meets values, and values meet a NULL.
    lab.live.sql(&format!(
        "update t set id = -1 where id = 0; update t set id = 0 where id = {ROWS};
         update t set id = {ROWS} where id = -1"
    ));
    if from_snapshot {
        lab.snapshot().await;
    }
    let was = lab.live.dump("t");
    let (found, columns) = lab.diff("t").await;
    assert_eq!(found, [0, 10, 0, 0]);
    for (at, (kind, _)) in D::types().iter().enumerate() {
        let name = format!("c{at}");
        let ours = columns.iter().find(|column| column.0 == name).map_or(0, |column| column.1);
        assert_eq!(D::differing(&lab, &name), ours, "{kind}");
    }
    let names: Vec<String> = (0..D::types().len()).map(|at| format!("c{at}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), n.as_str())).collect();
    let plan = lab.patch("aaaaaa", "t", &columns, None).await.unwrap();
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [10, 10, 0, 0], "{receipt:?}");
    assert_eq!(lab.live.dump("t"), lab.backup.dump("t"));
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [10, 10, 0, 0], "{undone:?}");
    assert_eq!(lab.live.dump("t"), was);
}
