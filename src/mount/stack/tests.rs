//! Several backups against a model: for each key the rows of the first that has it.

use futures::TryStreamExt;
use proptest::prelude::*;

use super::*;
use crate::model::table::Carrier;
use crate::model::value::{EXACT, Value};
use crate::mount::memory::{MemTable, column, mount, table};
use crate::mount::{Mount, runtime};
use crate::source::{KeyRange, Unfit};

const KEY: [&str; 2] = ["a", "b"];

fn columns() -> Vec<Column> {
    vec![column("a", Carrier::Int), column("b", Carrier::Text), column("v", Carrier::Int)]
}

/// A table of rows whose key's text may be missing.
fn rows_of(rows: &[(i64, Option<u8>, i64)]) -> Vec<Vec<Value>> {
    let text = |b: u8| Value::Text(vec![b'a' + b]);
    let row = |(a, b, v): &(i64, Option<u8>, i64)| {
        vec![Value::Int(*a), b.map_or(Value::Null, text), Value::Int(*v)]
    };
    rows.iter().map(row).collect()
}

async fn stack(layers: &[(bool, Vec<Vec<Value>>)]) -> Stack {
    let mut sources = Vec::new();
    for (ordered, rows) in layers {
        let of = table("t", columns(), &KEY, rows.clone());
        let of = MemTable { ordered: *ordered, batch_rows: 2, ..of };
        let mount: Mount = mount(vec![of], vec![], 1).await;
        sources.push(Arc::clone(mount.source(Which::Backup)));
    }
    Stack::new(sources, runtime().unwrap()).await.unwrap()
}

async fn scanned(stack: &Stack, columns: &[Column], range: KeyRange) -> Vec<Vec<Value>> {
    let key: Vec<Column> = self::columns()[..2].to_vec();
    let scan = Scan {
        table: TableName::bare("t"),
        columns: columns.to_vec(),
        key,
        range,
        filter: None,
        unfit: Unfit::Refuse,
    };
    let batches: Vec<RecordBatch> = stack.scan(scan).unwrap().try_collect().await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let names = columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        let cells = Cells::new(&batch, names, EXACT).unwrap();
        for row in 0..batch.num_rows() {
            let cell = |column| cells.get(row, column).unwrap().to_owned();
            rows.push((0..columns.len()).map(cell).collect());
        }
    }
    rows
}

/// What must come: of each key the rows of the first that has it, and every row without one.
fn model(layers: &[(bool, Vec<Vec<Value>>)]) -> Vec<Vec<Value>> {
    let mut seen: Vec<(Vec<Value>, usize)> = Vec::new();
    let mut wanted = Vec::new();
    for (number, (_, rows)) in layers.iter().enumerate() {
        for row in rows {
            let key = row[..2].to_vec();
            let holder = seen.iter().find(|(known, _)| *known == key).map(|(_, holder)| *holder);
            if key[1] != Value::Null && holder.is_some_and(|holder| holder != number) {
                continue;
            }
            seen.push((key, number));
            wanted.push([row.clone(), vec![Value::Int(number as i64)]].concat());
        }
    }
    wanted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn of_each_key_the_first_backups_rows_come(
        layers in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec(
                (0..6_i64, proptest::option::weighted(0.9, 0..3_u8), 0..1000_i64), 0..14)),
            1..4),
        cut in 0..7_i64,
    ) {
        let layers: Vec<_> =
            layers.iter().map(|(ordered, rows)| (*ordered, rows_of(rows))).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let stack = stack(&layers).await;
            let asked: Vec<Column> = columns().into_iter().chain([from_column()]).collect();
            let ordered = layers.iter().all(|(ordered, _)| *ordered);
            let ranges = match ordered {
                true => KeyRange::between(&[Value::Int(cut)]),
                false => vec![KeyRange::default()],
            };
            let mut rows = Vec::new();
            for range in ranges {
                rows.extend(scanned(&stack, &asked, range).await);
            }
            let key = |row: &Vec<Value>| format!("{:?}", &row[..2]);
            if layers.len() > 1 {
                let keys: Vec<String> = rows.iter().map(key).collect();
                let mut sorted = keys.clone();
                // NULL comes first, and its words behind those of a text.
                sorted.sort_by_key(|key| key.replace("Null", " "));
                assert_eq!(keys, sorted, "in the order of the key");
            }
            let all = |mut rows: Vec<Vec<Value>>| {
                rows.sort_by_key(|row| format!("{row:?}"));
                rows
            };
            assert_eq!(all(rows), all(model(&layers)));
            // Neither the key nor the number need be asked for.
            let only = scanned(&stack, &columns()[2..], KeyRange::default()).await;
            assert_eq!(only.len(), model(&layers).len());
        });
    }
}

#[tokio::test]
async fn several_backups_without_a_key_are_no_table() {
    let rows = rows_of(&[(1, Some(1), 1)]);
    let stack = stack(&[(true, rows.clone()), (true, rows)]).await;
    let scan = Scan {
        table: TableName::bare("t"),
        columns: columns(),
        key: vec![],
        range: KeyRange::default(),
        filter: None,
        unfit: Unfit::Refuse,
    };
    let error = stack.scan(scan).err().unwrap();
    assert!(error.to_string().contains("by which key"), "{error}");
    let error = stack.schema(&TableName::bare("other")).await.unwrap_err();
    assert_eq!(error.to_string(), "no backup has a table other");
}
