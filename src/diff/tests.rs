use std::collections::BTreeMap;

use proptest::prelude::*;

use super::counts::Unkeyed;
use super::pair::{PairOptions, pair_tables};
use super::rows::ChangeRows;
use super::{DiffCounts, DiffRequest, Emit, diff};
use crate::error::Kind;
use crate::model::side::{Side, Which};
use crate::model::table::{Carrier, Collation, Column, KeyOrigin, TableName};
use crate::model::value::{Value, ValueRef, fits};
use crate::mount::Mount;
use crate::mount::memory::{MemTable, column, compare, mount, table};
use crate::progress::silent;

type Row = Vec<Value>;
/// A change as the model and the operator both tell it: kind, the backup's and live's image,
/// and which compared columns differ.
type Told = (u8, Option<Vec<String>>, Option<Vec<String>>, Vec<usize>);

fn text(row: &[Value]) -> Vec<String> {
    row.iter().map(|v| format!("{v:?}")).collect()
}

/// What the diff must say, by brute force.
fn model(columns: &[Column], keys: usize, sides: &Side<Vec<Row>>) -> (Vec<Told>, DiffCounts) {
    let mut counts = DiffCounts { columns: vec![0; columns.len() - keys], ..DiffCounts::default() };
    let none = Side { backup: 0, live: 0 };
    counts.unkeyed = columns[..keys]
        .iter()
        .map(|column| Unkeyed { column: column.clone(), nulls: none, misfits: none })
        .collect();
    let mut groups: BTreeMap<Vec<Vec<u8>>, Side<Vec<&Row>>> = BTreeMap::new();
    for which in [Which::Backup, Which::Live] {
        for row in sides.get(which) {
            let side = |c: &mut Side<u64>| match which {
                Which::Backup => c.backup += 1,
                Which::Live => c.live += 1,
            };
            side(&mut counts.rows);
            let keyable = (0..keys)
                .all(|i| !row[i].as_ref().is_null() && fits(row[i].as_ref(), columns[i].carrier));
            if !keyable {
                side(&mut counts.unkeyable);
                for (i, column) in columns[..keys].iter().enumerate() {
                    let at = counts.unkeyed.iter_mut().find(|u| u.column == *column);
                    let at = at.expect("a line for each column of the key");
                    match row[i].as_ref() {
                        ValueRef::Null => side(&mut at.nulls),
                        value if !fits(value, column.carrier) => side(&mut at.misfits),
                        _ => {}
                    }
                }
                continue;
            }
            let key = (0..keys).map(|i| match &row[i] {
                Value::Int(i) => ((*i as u64) ^ (1 << 63)).to_be_bytes().to_vec(),
                Value::Text(t) => columns[i].collation.normalise(t).to_vec(),
                Value::Blob(b) => b.clone(),
                typed => typed.as_ref().plain_text().unwrap().into_bytes(),
            });
            let group = groups.entry(key.collect()).or_default();
            match which {
                Which::Backup => group.backup.push(row),
                Which::Live => group.live.push(row),
            }
        }
    }
    counts.unkeyed.retain(|u| (u.nulls, u.misfits) != (none, none));
    let mut told = Vec::new();
    for group in groups.values() {
        match (&group.backup[..], &group.live[..]) {
            ([b], []) => {
                counts.missing += 1;
                told.push((1, Some(text(b)), None, vec![]));
            }
            ([], [l]) => {
                counts.extra += 1;
                told.push((3, None, Some(text(l)), vec![]));
            }
            ([b], [l]) => {
                let differs: Vec<usize> =
                    (keys..columns.len()).filter(|i| b[*i] != l[*i]).map(|i| i - keys).collect();
                if differs.is_empty() {
                    counts.same += 1;
                    continue;
                }
                counts.changed += 1;
                differs.iter().for_each(|i| counts.columns[*i] += 1);
                told.push((2, Some(text(b)), Some(text(l)), differs));
            }
            (bs, ls) => {
                counts.ambiguous += 1;
                counts.ambiguous_rows.backup += bs.len() as u64;
                counts.ambiguous_rows.live += ls.len() as u64;
                told.extend(bs.iter().map(|b| (4, Some(text(b)), None, vec![])));
                told.extend(ls.iter().map(|l| (4, None, Some(text(l)), vec![])));
            }
        }
    }
    told.sort();
    (told, counts)
}

/// Runs the diff; also checks that an ordered diff comes in key order.
async fn run(
    mount: &Mount,
    request: &DiffRequest,
) -> crate::error::Result<(Vec<Told>, DiffCounts)> {
    let mut changes = diff(mount, request, silent()).await?;
    let spec = std::sync::Arc::clone(changes.spec());
    let (mut told, mut last): (_, Option<Vec<Value>>) = (Vec::new(), None);
    while let Some(batch) = changes.next().await? {
        let rows = ChangeRows::new(&spec, &batch)?;
        for row in 0..rows.len() {
            let image = |which| -> crate::error::Result<Option<Vec<String>>> {
                if !rows.has(row, which) {
                    return Ok(None);
                }
                let image = rows.image(row, which)?;
                Ok(Some(image.into_iter().map(|(_, v)| format!("{:?}", v.to_owned())).collect()))
            };
            told.push((
                rows.change(row)? as u8,
                image(Which::Backup)?,
                image(Which::Live)?,
                rows.differs(row).collect(),
            ));
            let key: Vec<Value> = rows.key(row)?.into_iter().map(|(_, v)| v.to_owned()).collect();
            if let (true, Some(last)) = (request.ordered, &last) {
                let order = spec
                    .key
                    .iter()
                    .zip(last.iter().zip(&key))
                    .map(|(c, (a, b))| compare(c, a, b))
                    .find(|o| o.is_ne());
                assert_ne!(order, Some(std::cmp::Ordering::Greater), "{last:?} before {key:?}");
            }
            last = Some(key);
        }
    }
    told.sort();
    Ok((told, changes.counts()))
}

fn request(columns: &[Column], keys: usize) -> DiffRequest {
    let (name, rest) = (TableName::bare("t"), columns[keys..].to_vec());
    DiffRequest {
        compare: rest.iter().map(|c| Side { backup: c.clone(), live: c.clone() }).collect(),
        carry: Side { backup: rest.clone(), live: rest },
        ..DiffRequest::new(Side { backup: name.clone(), live: name }, columns[..keys].to_vec())
    }
}

fn cell(carrier: Carrier) -> BoxedStrategy<Value> {
    let fitting = match carrier {
        Carrier::Int => (0..12i64).prop_map(Value::Int).boxed(),
        Carrier::Real => prop_oneof![Just(0.0), Just(-0.0), Just(1.5), Just(f64::INFINITY)]
            .prop_map(Value::Real)
            .boxed(),
        Carrier::Number => prop_oneof![
            (0..3i64).prop_map(Value::Int),
            Just(Value::Real(1.5)),
            Just(Value::Int(1 << 60)),
            Just(Value::Real(2.0))
        ]
        .boxed(),
        Carrier::Text => "[aAbB ]{0,3}".prop_map(|s| Value::Text(s.into_bytes())).boxed(),
        Carrier::Blob => proptest::collection::vec(0..3u8, 0..3).prop_map(Value::Blob).boxed(),
        Carrier::Unsigned => prop_oneof![
            (0..6u64).prop_map(|u| ValueRef::unsigned(u).to_owned()),
            (0..6u64).prop_map(|u| ValueRef::unsigned(u64::MAX - u).to_owned())
        ]
        .boxed(),
        Carrier::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Carrier::Date => (-6..6i32).prop_map(Value::Date).boxed(),
        Carrier::Stamp => (-6..6i64).prop_map(Value::Stamp).boxed(),
        Carrier::Instant => (-6..6i64).prop_map(Value::Instant).boxed(),
        Carrier::Decimal { scale, .. } => {
            (-6..6i128).prop_map(move |digits| Value::Decimal(digits, scale)).boxed()
        }
    };
    prop_oneof![
        12 => fitting,
        1 => Just(Value::Null),
        1 => prop_oneof![
            Just(Value::Int(1)),
            Just(Value::Real(1.0)),
            Just(Value::Real(f64::from_bits(0x7ff8_0000_0000_0001))),
            Just(Value::Text(vec![0xff])),
            Just(Value::Text(b"a".to_vec())),
            Just(Value::Blob(b"a".to_vec())),
        ],
    ]
    .boxed()
}

#[derive(Clone, Debug)]
struct Case {
    columns: Vec<Column>,
    keys: usize,
    sides: Side<Vec<Row>>,
    ordered: Side<bool>,
    batch_rows: Side<usize>,
    splits: Vec<Value>,
}

/// The carriers of columns that hold values of one type only.
fn typed() -> impl Strategy<Value = Carrier> {
    prop_oneof![
        Just(Carrier::Unsigned),
        Just(Carrier::Bool),
        Just(Carrier::Date),
        Just(Carrier::Stamp),
        Just(Carrier::Instant),
        Just(Carrier::Decimal { precision: 10, scale: 2 })
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let carrier = || {
        prop_oneof![
            Just(Carrier::Int),
            Just(Carrier::Real),
            Just(Carrier::Number),
            Just(Carrier::Text),
            Just(Carrier::Blob),
            typed()
        ]
    };
    let key = prop_oneof![
        4 => Just(Carrier::Int),
        2 => Just(Carrier::Text),
        1 => Just(Carrier::Blob),
        3 => typed()
    ];
    let collation =
        prop_oneof![Just(Collation::Binary), Just(Collation::NoCase), Just(Collation::Rtrim)];
    (proptest::collection::vec((key, collation), 1..3), proptest::collection::vec(carrier(), 0..10))
        .prop_flat_map(|(keys, rest)| {
            let mut columns = Vec::new();
            for (i, (carrier, collation)) in keys.iter().enumerate() {
                // Names that do not sort as the columns stand.
                let mut key = column(&format!("k{}", 9 - i), *carrier);
                key.collation = collation.clone();
                columns.push(key);
            }
            for (i, carrier) in rest.iter().enumerate() {
                columns.push(column(&format!("c{}", 99 - i), *carrier));
            }
            let row: Vec<_> = columns.iter().map(|c| cell(c.carrier)).collect();
            let keys = keys.len();
            let rows = proptest::collection::vec((row.clone(), 0..4u8, row), 0..40);
            (
                Just(columns),
                Just(keys),
                rows,
                any::<[bool; 2]>(),
                (1..9usize, 1..9usize),
                any::<bool>(),
            )
        })
        .prop_map(|(columns, keys, rows, ordered, batch_rows, split)| {
            let mut sides: Side<Vec<Row>> = Side::default();
            for (row, fate, other) in rows {
                match fate {
                    0 => sides.backup.push(row),
                    1 => sides.live.push(row),
                    fate => {
                        let mut live = row.clone();
                        if fate == 2 && columns.len() > keys {
                            let i = keys + live.len() % (columns.len() - keys);
                            live[i] = other[i].clone();
                        }
                        sides.backup.push(row);
                        sides.live.push(live);
                    }
                }
            }
            let splits = match (split, columns[0].carrier) {
                (true, Carrier::Int) => vec![Value::Int(3), Value::Int(6), Value::Int(7)],
                (true, Carrier::Unsigned) => vec![Value::Int(3), Value::Unsigned(u64::MAX - 2)],
                (true, Carrier::Stamp) => vec![Value::Stamp(-1), Value::Stamp(2)],
                (true, Carrier::Decimal { scale, .. }) => vec![Value::Decimal(0, scale)],
                (true, Carrier::Text) => {
                    vec![Value::Text(b"B".to_vec()), Value::Text(b"b".to_vec())]
                }
                _ => vec![],
            };
            Case {
                columns,
                keys,
                sides,
                ordered: Side { backup: ordered[0], live: ordered[1] },
                batch_rows: Side { backup: batch_rows.0, live: batch_rows.1 },
                splits,
            }
        })
}

fn tables(case: &Case) -> Side<MemTable> {
    let side = |which: Which| MemTable {
        ordered: *case.ordered.get(which),
        splits: case.splits.clone(),
        batch_rows: *case.batch_rows.get(which),
        ..table("t", case.columns.clone(), &[], case.sides.get(which).clone())
    };
    Side { backup: side(Which::Backup), live: side(Which::Live) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn t2_k2_k3_k7_the_diff_equals_the_model(case in case()) {
        let request = request(&case.columns, case.keys);
        let expected = model(&case.columns, case.keys, &case.sides);
        runtime().block_on(async {
            for parallelism in [1, 2] {
                for ordered in [true, false] {
                    let tables = tables(&case);
                    let mount = mount(vec![tables.backup], vec![tables.live], parallelism).await;
                    let request = DiffRequest { ordered, ..request.clone() };
                    let found = run(&mount, &request).await.unwrap();
                    assert_eq!(found, expected);
                }
            }
        });
    }
}

fn ints(rows: &[i64]) -> Vec<Row> {
    rows.iter().map(|i| vec![Value::Int(*i)]).collect()
}

fn id() -> Vec<Column> {
    vec![column("id", Carrier::Int)]
}

#[tokio::test]
async fn ranges_do_not_change_the_result() {
    let backup = ints(&(0..2000).collect::<Vec<_>>());
    let live = ints(&(0..3000).filter(|i| i % 7 != 0).collect::<Vec<_>>());
    let sides = Side { backup, live };
    let expected = model(&id(), 1, &sides);
    for splits in [vec![], vec![700], vec![-5, 0, 1, 13, 1999, 5000]] {
        let case = Case {
            columns: id(),
            keys: 1,
            sides: sides.clone(),
            ordered: Side { backup: true, live: true },
            batch_rows: Side { backup: 64, live: 100 },
            splits: splits.into_iter().map(Value::Int).collect(),
        };
        let tables = tables(&case);
        let mount = mount(vec![tables.backup], vec![tables.live], 3).await;
        assert_eq!(run(&mount, &request(&id(), 1)).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn k4_disorder_aborts_and_names_the_side() {
    for (backup, live, side, kind) in [
        (vec![1, 2, 3, 4], vec![1, 2, 4, 3], "live", Kind::Failed),
        (vec![1, 2, 3, 9, 4], vec![1, 2], "backup", Kind::Damaged),
        (vec![1, 9, 3], vec![1], "backup", Kind::Damaged),
    ] {
        let lying = |rows: &[i64]| MemTable {
            ordered: false,
            lies: true,
            batch_rows: 2,
            ..table("t", id(), &[], ints(rows))
        };
        let mount = mount(vec![lying(&backup)], vec![lying(&live)], 2).await;
        let error = run(&mount, &request(&id(), 1)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("{side} table t")), "{error}");
        assert!(error.to_string().contains("key order"), "{error}");
        assert_eq!(error.kind(), kind);
    }
}

#[tokio::test]
async fn k6_float_keys_are_refused() {
    for carrier in [Carrier::Real, Carrier::Number] {
        let columns = vec![column("id", carrier)];
        let t = || table("t", columns.clone(), &["id"], vec![]);
        let mount = mount(vec![t()], vec![t()], 1).await;
        let Err(error) = diff(&mount, &request(&columns, 1), silent()).await else {
            panic!("a float key was taken");
        };
        assert_eq!(error.kind(), Kind::Refused);
        let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
        assert!(pairs.pairs.is_empty());
        assert!(pairs.skipped[0].1.contains("floating-point"), "{:?}", pairs.skipped);
    }
}

#[tokio::test]
async fn only_what_is_wanted_comes_out_and_all_is_counted() {
    let mount = mount(
        vec![table("t", id(), &["id"], ints(&[1, 2, 3, 4, 5]))],
        vec![table("t", id(), &["id"], ints(&[5, 6, 7, 8]))],
        1,
    )
    .await;
    let mut request = request(&id(), 1);
    request.emit = Emit { missing: true, ..Emit::NONE };
    request.limit = Some(2);
    let (told, counts) = run(&mount, &request).await.unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!((counts.missing, counts.extra, counts.same), (4, 3, 1));
}

#[tokio::test]
async fn differently_named_columns_compare() {
    let live = vec![column("id", Carrier::Int), column("cancelled", Carrier::Text)];
    let backup = vec![column("id", Carrier::Int), column("updated", Carrier::Text)];
    let row = |id: i64, text: &str| vec![Value::Int(id), Value::Text(text.into())];
    let mount = mount(
        vec![table("t", backup, &["id"], vec![row(1, "a"), row(2, "b"), row(3, "c")])],
        vec![table("t", live, &["id"], vec![row(1, "a"), row(2, "x"), row(4, "c")])],
        1,
    )
    .await;
    let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
    let pair = &pairs.pairs[0];
    let mut request = pair.key_request();
    request.compare = vec![pair.column_pair("Updated", "cancelled").unwrap()];
    let (_, counts) = run(&mount, &request).await.unwrap();
    assert_eq!((counts.changed, counts.same, counts.missing, counts.extra), (1, 1, 1, 1));
    assert!(pair.column_pair("cancelled", "cancelled").is_err());
}

#[tokio::test]
async fn c12_drifted_columns_are_reported_never_guessed() {
    let mut gen_column = column("g", Carrier::Int);
    gen_column.generated = true;
    let live = vec![
        column("id", Carrier::Int),
        column("Title", Carrier::Text),
        column("added", Carrier::Text),
        gen_column.clone(),
        column("noise", Carrier::Text),
    ];
    let backup = vec![
        column("ID", Carrier::Text),
        column("title", Carrier::Text),
        column("dropped", Carrier::Text),
        gen_column,
        column("noise", Carrier::Text),
    ];
    let mount = mount(
        vec![table("T", backup, &[], vec![]), table("old", id(), &["id"], vec![])],
        vec![table("t", live, &["id"], vec![]), table("new", id(), &["id"], vec![])],
        1,
    )
    .await;
    let options = PairOptions { ignore: vec!["NOISE".into()], ..PairOptions::default() };
    let pairs = pair_tables(&mount, &options).await.unwrap();
    let pair = &pairs.pairs[0];
    assert_eq!(pair.table.backup, TableName::bare("T"));
    assert_eq!(pair.key.origin, KeyOrigin::PrimaryKey);
    let compared: Vec<&str> = pair.compare.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(compared, ["Title"]);
    let left: Vec<_> = pair.not_compared.iter().map(|n| (&*n.column, &*n.why)).collect();
    let expected = [
        ("added", "only in live"),
        ("g", "generated"),
        ("noise", "ignored"),
        ("dropped", "only in the backup"),
    ];
    assert_eq!(left, expected);
    assert_eq!(pairs.only_live, [TableName::bare("new")]);
    assert_eq!(pairs.only_backup, [TableName::bare("old")]);

    let wanted = PairOptions { columns: vec!["added".into()], ..PairOptions::default() };
    assert!(!pair_tables(&mount, &wanted).await.unwrap().skipped.is_empty());
    let wanted = PairOptions { tables: vec!["nope".into()], ..PairOptions::default() };
    let error = pair_tables(&mount, &wanted).await.unwrap_err();
    assert!(error.hints()[0].contains("t, new"), "{error} {:?}", error.hints());
}

#[tokio::test]
async fn a_summary_tells_the_most_common_change() {
    let columns = vec![column("id", Carrier::Int), column("v", Carrier::Text)];
    let rows =
        |text: &dyn Fn(i64) -> Value| (0..20).map(|i| vec![Value::Int(i), text(i)]).collect();
    let some = |s: &str| Value::Text(s.into());
    let backup = rows(&|i| if i < 15 { some("a") } else { some("b") });
    let live = rows(&|i| if i < 12 { Value::Null } else { some("b") });
    let mount = mount(
        vec![table("t", columns.clone(), &["id"], backup)],
        vec![table("t", columns, &["id"], live)],
        1,
    )
    .await;
    let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
    let summary = super::summary::summarise(&mount, &pairs.pairs[0], silent()).await.unwrap();
    assert_eq!((summary.changed, summary.same), (15, 5));
    let expected = [("a".to_owned(), "NULL".to_owned(), 12), ("a".to_owned(), "b".to_owned(), 3)];
    assert_eq!(summary.columns[0].common, expected);
}

#[tokio::test]
async fn ordered_sides_are_merged_as_they_come_and_others_sorted() {
    for (ordered, splits, sorts) in [(true, 3, 0), (true, 0, 0), (false, 3, 1)] {
        let side = |ordered| MemTable {
            ordered,
            splits: (0..splits).map(Value::Int).collect(),
            ..table("t", id(), &["id"], ints(&[3, 1, 2, 4]))
        };
        let mount = mount(vec![side(ordered)], vec![side(true)], 8).await;
        let changes = diff(&mount, &request(&id(), 1), silent()).await.unwrap();
        let plan = changes.explain();
        assert_eq!(plan.matches("SortExec").count(), sorts, "{plan}");
        assert_eq!(plan.matches("Repartition").count(), 0, "{plan}");
        let ranges = if ordered { splits + 1 } else { 1 };
        assert_eq!(plan.matches(&format!("ranges={ranges}")).count(), 2, "{plan}");
        assert_eq!(changes.count().await.unwrap().same, 4);
    }
}

#[tokio::test]
async fn c12_a_column_in_two_types_is_refused() {
    let live =
        vec![column("id", Carrier::Int), column("a", Carrier::Int), column("b", Carrier::Text)];
    let mount = mount(
        vec![table("t", live.clone(), &["id"], vec![])],
        vec![table("t", live, &["id"], vec![])],
        1,
    )
    .await;
    let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
    let mut request = pairs.pairs[0].key_request();
    request.compare = vec![pairs.pairs[0].column_pair("b", "a").unwrap()];
    request.carry.backup = vec![pairs.pairs[0].backup_column("b").unwrap()];
    assert_eq!(request.spec().unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn rows_outside_of_their_range_abort() {
    let side = |sprawls| MemTable {
        sprawls,
        splits: vec![Value::Int(3)],
        ..table("t", id(), &["id"], ints(&[1, 2, 3, 4]))
    };
    let mount = mount(vec![side(true)], vec![side(false)], 2).await;
    let error = run(&mount, &request(&id(), 1)).await.unwrap_err();
    assert!(error.to_string().contains("the backup gave the row"), "{error}");
}
