//! Random plans over random databases, the application writing in between, against an
//! in-memory model. `RESTOREKIT_CASES` asks for more, `RESTOREKIT_SEED` repeats one.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::harness::{Lab, Random, Step, int, number, raw, run, text};
use crate::engine::sqlite::raw::SqliteError;
use crate::model::receipt::Receipt;
use crate::model::value::{Value, ValueRef};

const SCHEMA: &str =
    "create table t(id integer primary key, u integer unique, a, b text, c numeric)";
const COLUMNS: [&str; 5] = ["id", "u", "a", "b", "c"];
/// What updates write; the guard sees all columns.
const WRITTEN: [usize; 3] = [0, 2, 3];

/// A row without its id: `u`, `a`, `b`, `c`.
type Row = Vec<Value>;
type Table = BTreeMap<i64, Row>;

/// Any class in any column, as SQLite stores it there.
fn row(random: &mut Random, id: i64) -> Row {
    let any = |random: &mut Random| match random.below(7) {
        0 => Value::Null,
        1 => int(random.below(3) as i64),
        2 => Value::Real(random.below(3) as f64 + 0.5),
        3 => text(["", "x", "7"][random.below(3) as usize]),
        4 => Value::Blob(vec![b'x'; random.below(2) as usize]),
        5 => Value::Text(b"\xff\0y".to_vec()),
        _ => int(i64::MIN),
    };
    let b = match any(random) {
        Value::Int(i) => text(&i.to_string()),
        Value::Real(_) => text("r"),
        other => other,
    };
    let c = match random.below(4) {
        0 => int(1 << 60),
        1 => Value::Real(0.25),
        2 => text("no number"),
        _ => Value::Null,
    };
    // Now and then the same as another's.
    let u = match random.below(6) {
        0 => Value::Null,
        1 => int(random.below(30) as i64),
        _ => int(1000 + id),
    };
    vec![u, any(random), b, c]
}

fn full(id: i64, row: &Row) -> Vec<Value> {
    std::iter::once(int(id)).chain(row.iter().cloned()).collect()
}

fn taken(table: &Table, u: &Value) -> bool {
    *u != Value::Null && table.values().any(|row| row[0] == *u)
}

/// The application inserts, updates and deletes a few rows.
async fn meddle(lab: &Lab, table: &mut Table, random: &mut Random, planned: &[Vec<Value>]) {
    let connection = raw(&lab.live(), false).await;
    for _ in 0..random.below(6) {
        let id = 1 + random.below(24) as i64;
        let mut new = row(random, id);
        let same = planned.iter().find(|p| p[0] == int(id));
        match (random.below(4), table.get(&id), same) {
            (0, Some(_), _) => {
                table.remove(&id);
                run(&connection, &format!("delete from t where id = {id}"));
                continue;
            }
            // Just what is planned, by the application itself.
            (1, _, Some(planned)) => new = planned[1..].to_vec(),
            (_, Some(old), _) => new[0] = old[0].clone(),
            _ => {}
        }
        let others: Table =
            table.iter().filter(|(i, _)| **i != id).map(|(i, r)| (*i, r.clone())).collect();
        if taken(&others, &new[0]) {
            continue;
        }
        let cells = full(id, &new);
        let cells: Vec<ValueRef<'_>> = cells.iter().map(Value::as_ref).collect();
        let mut statement =
            connection.prepare("insert or replace into t values (?, ?, ?, ?, ?)").unwrap();
        statement.run(&cells).unwrap();
        table.insert(id, new);
    }
    connection.close().await.unwrap();
}

async fn read(lab: &Lab) -> Table {
    let connection = raw(&lab.live(), false).await;
    let mut table = Table::new();
    connection
        .prepare("select id, u, a, b, c from t")
        .unwrap()
        .query(&[], |r| {
            table.insert(r.int(0), (1..5).map(|i| r.get(i).to_owned()).collect());
            Ok::<bool, SqliteError>(true)
        })
        .unwrap();
    connection.close().await.unwrap();
    table
}

#[derive(Debug, Default, PartialEq)]
struct Counts {
    written: u64,
    already: u64,
    conflicts: u64,
}

impl Counts {
    fn of(receipt: &Receipt) -> Self {
        let mut counts = Self::default();
        for t in &receipt.tables {
            counts.written += t.written;
            counts.already += t.already;
            counts.conflicts += t.conflicts;
        }
        counts
    }
}

fn written(row: &[Value]) -> Vec<Value> {
    WRITTEN.iter().map(|i| row[*i].clone()).collect()
}

#[tokio::test]
async fn apply_and_undo_do_just_what_the_model_does() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let first = number("RESTOREKIT_SEED").unwrap_or(now.as_micros() as u64);
    for seed in first..first + number("RESTOREKIT_CASES").unwrap_or(60) {
        case(seed).await;
    }
}

async fn case(seed: u64) {
    let about = format!("RESTOREKIT_SEED={seed}");
    let random = &mut Random(seed);
    let lab = Lab::new(SCHEMA).await;
    let mut table = Table::new();
    for _ in 0..3 {
        meddle(&lab, &mut table, random, &[]).await;
    }
    let mut inserts: Vec<Vec<Value>> = Vec::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for id in 1..=24 {
        match table.get(&id) {
            None if random.below(2) == 0 => inserts.push(full(id, &row(random, id))),
            Some(old) if random.below(3) > 0 => {
                let mut new = row(random, id);
                new[0] = old[0].clone();
                new[3] = old[3].clone();
                if written(&full(id, old)) != written(&full(id, &new)) {
                    before.push(full(id, old));
                    after.push(full(id, &new));
                }
            }
            _ => {}
        }
    }
    let names: Vec<&'static str> = WRITTEN.iter().map(|i| COLUMNS[*i]).collect();
    let mut update = Step::update("t", &COLUMNS, before.clone(), Vec::new());
    update.after = (names, after.iter().map(|r| written(r)).collect());
    let steps = vec![Step::insert("t", &COLUMNS, inserts.clone()), update];
    let plan = lab.plan("aaaaaa", 1 + random.below(6) as usize, steps).await;
    let planned: Vec<Vec<Value>> = inserts.iter().chain(&after).cloned().collect();
    meddle(&lab, &mut table, random, &planned).await;

    // Apply: (id, before, after) of the rows that the model writes.
    let mut counts = Counts::default();
    let mut done: Vec<(i64, Option<Row>, Row)> = Vec::new();
    for new in &inserts {
        let Value::Int(id) = new[0] else { unreachable!() };
        match table.get(&id) {
            Some(old) if full(id, old) == *new => counts.already += 1,
            None if !taken(&table, &new[1]) => {
                counts.written += 1;
                table.insert(id, new[1..].to_vec());
                done.push((id, None, new[1..].to_vec()));
            }
            _ => counts.conflicts += 1,
        }
    }
    for (old, new) in before.iter().zip(&after) {
        let Value::Int(id) = old[0] else { unreachable!() };
        match table.get(&id) {
            Some(live) if written(&full(id, live)) == written(new) => counts.already += 1,
            Some(live) if full(id, live) == *old => {
                counts.written += 1;
                table.insert(id, new[1..].to_vec());
                done.push((id, Some(old[1..].to_vec()), new[1..].to_vec()));
            }
            _ => counts.conflicts += 1,
        }
    }
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(read(&lab).await, table, "{about}");
    assert_eq!(Counts::of(&receipt), counts, "{about}");
    assert!(receipt.verified, "{about}");
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(Counts::of(&receipt).written, 0, "{about}");
    assert_eq!(read(&lab).await, table, "{about}");

    // Undo, after the application wrote again, or not.
    if random.below(2) == 0 {
        meddle(&lab, &mut table, random, &before).await;
    }
    let hour = chrono::Duration::hours(1);
    let undo = crate::undo::undo(&plan, &lab.plan_path("bbbbbb"), "bbbbbb", hour).await.unwrap();
    let mut counts = Counts::default();
    for (id, old, new) in done.iter().rev() {
        let live = table.get(id);
        match (old, live) {
            (None, None) => counts.already += 1,
            (None, Some(live)) if live == new => {
                counts.written += 1;
                table.remove(id);
            }
            (Some(old), Some(live)) => {
                let cells = |row: &Row| written(&full(*id, row));
                if cells(live) == cells(old) {
                    counts.already += 1;
                } else if cells(live) == cells(new) {
                    counts.written += 1;
                    let mut back = live.clone();
                    for i in &WRITTEN[1..] {
                        back[i - 1] = old[i - 1].clone();
                    }
                    table.insert(*id, back);
                } else {
                    counts.conflicts += 1;
                }
            }
            _ => counts.conflicts += 1,
        }
    }
    let receipt = lab.apply(&undo).await.unwrap();
    assert_eq!(read(&lab).await, table, "{about}");
    assert_eq!(Counts::of(&receipt), counts, "{about}");
    undo.close().await.unwrap();
    plan.close().await.unwrap();
}
