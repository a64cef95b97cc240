//! Random cells, keys, ranges and filters: scans and look-ups against a model.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        2 => Just(Value::Null),
        6 => (-20i64..20).prop_map(Value::Int),
        1 => any::<i64>().prop_map(Value::Int),
        3 => (-40i64..40).prop_map(|n| Value::Real(n as f64 / 2.0)),
        1 => Just(Value::Real(-0.0)),
        6 => "[aAbB \0é]{0,3}".prop_map(|s| Value::Text(s.into_bytes())),
        1 => "-?[0-9]{1,2}".prop_map(|s| Value::Text(s.into_bytes())),
        1 => Just(Value::Text(vec![0xff])),
        2 => proptest::collection::vec(any::<u8>(), 0..3).prop_map(Value::Blob),
    ]
}

fn key_column() -> impl Strategy<Value = Column> {
    let carrier = prop_oneof![Just(Carrier::Int), Just(Carrier::Text), Just(Carrier::Blob)];
    let collation =
        prop_oneof![Just(Collation::Binary), Just(Collation::NoCase), Just(Collation::Rtrim)];
    (carrier, collation).prop_map(|(carrier, collation)| column("k", carrier, collation))
}

fn of_carrier(carrier: Carrier) -> BoxedStrategy<Cell> {
    cell().prop_filter("fits", move |v| !v.as_ref().is_null() && fits(v.as_ref(), carrier)).boxed()
}

/// A key cell as the merge orders it.
fn carried(cell: &Cell, column: &Column) -> Option<Vec<u8>> {
    match (cell, fits(cell.as_ref(), column.carrier)) {
        (Value::Null, _) | (_, false) => None,
        (Value::Int(i), _) => Some((*i as u64 ^ (1 << 63)).to_be_bytes().to_vec()),
        (Value::Text(b), _) => Some(column.collation.normalise(b).into_owned()),
        (Value::Blob(b), _) => Some(b.clone()),
        // Reals are no keys, and SQLite has no other kinds.
        _ => None,
    }
}

fn declared() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("int"), Just("text"), Just("numeric"), Just("blob"), Just("real")]
}

async fn with_cells(ddl: &str, cells: &[Cell]) -> (Fixture, Arc<dyn Source>) {
    let (fixture, connection) = Fixture::new(&[ddl, "begin"]).await;
    for (n, cell) in (0i64..).zip(cells) {
        insert(&connection, "insert into t(k, n) values(?, ?)", &[cell.clone(), Value::Int(n)]);
    }
    connection.execute("commit").unwrap();
    connection.close().await.unwrap();
    let source = fixture.open(1).await;
    (fixture, source)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_range_partition_covers_each_row_once(
        stored in proptest::collection::vec(cell(), 0..40),
        fitting_only in any::<bool>(),
        index in any::<bool>(),
        kind in declared(),
        (key, splits) in key_column().prop_flat_map(|key| {
            let splits = proptest::collection::vec(of_carrier(key.carrier), 0..5);
            (Just(key), splits)
        }),
    ) {
        run(async {
            let stored: Vec<Cell> = stored
                .into_iter()
                .filter(|v| !fitting_only || fits(v.as_ref(), key.carrier))
                .collect();
            let (f, source) = with_cells(&format!("create table t(k {kind}, n integer)"), &stored).await;
            if index {
                source.release().await.unwrap();
                let writer = application(&f.path).await;
                writer.execute("create index ik on t(k)").unwrap();
                writer.close().await.unwrap();
            }
            let source = f.open(1).await;
            let mut columns = request(&*source, &["k", "n"], &[]).await.columns;
            columns[0].carrier = key.carrier;
            let survey = source.survey(&t(), std::slice::from_ref(&key), 3).await.unwrap();
            let mut splits: Vec<(Vec<u8>, Cell)> =
                splits.into_iter().map(|s| (carried(&s, &key).unwrap(), s)).collect();
            splits.sort_by(|a, b| a.0.cmp(&b.0));
            splits.dedup_by(|a, b| a.0 == b.0);
            let splits: Vec<Cell> = splits.into_iter().map(|s| s.1).collect();
            let mut seen = Vec::new();
            let mut keys = Vec::new();
            for range in KeyRange::between(&splits) {
                let low = range.lower.as_ref().and_then(|v| carried(v, &key));
                let high = range.upper.as_ref().and_then(|v| carried(v, &key));
                let scan = Scan {
                    table: t(),
                    columns: columns.clone(),
                    key: vec![key.clone()],
                    range,
                    filter: None,
                    unfit: Unfit::Refuse,
                };
                for row in rows(&*source, scan).await {
                    let here = carried(&row[0], &key);
                    prop_assert!(here >= low, "{row:?}");
                    prop_assert!(high.is_none() || here < high, "{row:?}");
                    keys.push(here);
                    seen.push(row[1].clone());
                }
            }
            if survey.ordered {
                prop_assert!(keys.is_sorted(), "{keys:?}");
            }
            let mut seen: Vec<i64> = seen.into_iter().map(|v| match v {
                Value::Int(i) => i,
                _ => -1,
            }).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..stored.len() as i64).collect::<Vec<_>>());
            Ok::<(), TestCaseError>(())
        })?;
    }

    #[test]
    fn a_filter_never_drops_a_row_that_matches(
        stored in proptest::collection::vec(cell(), 1..40),
        kind in declared(),
        carrier in prop_oneof![
            Just(Carrier::Int), Just(Carrier::Real), Just(Carrier::Number),
            Just(Carrier::Text), Just(Carrier::Blob),
        ],
        filter in filter(),
    ) {
        run(async {
            let (_f, source) = with_cells(&format!("create table t(k {kind}, n integer)"), &stored).await;
            let mut scan = request(&*source, &["k", "n"], &[]).await;
            scan.columns[0].carrier = carrier;
            let every = rows(&*source, scan.clone()).await;
            scan.filter = Some(filter.clone());
            let kept = rows(&*source, scan).await;
            for row in every {
                if matches(&filter, &row[0], carrier) == Some(true) {
                    prop_assert!(kept.contains(&row), "{row:?} was dropped");
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let op = prop_oneof![
        Just(Comparison::Eq),
        Just(Comparison::Lt),
        Just(Comparison::LtEq),
        Just(Comparison::Gt),
        Just(Comparison::GtEq),
    ];
    let literal = || cell().prop_filter("UTF-8", |v| *v != Value::Text(vec![0xff]));
    let compared = literal().prop_filter("not NULL", |v| !v.as_ref().is_null());
    let leaf = prop_oneof![
        4 => (op, compared)
            .prop_map(|(op, value)| Filter::Compare { column: "k".into(), op, value }),
        2 => proptest::collection::vec(literal(), 0..4)
            .prop_map(|values| Filter::In { column: "k".into(), values }),
        1 => Just(Filter::IsNull("k".into())),
        1 => Just(Filter::IsNotNull("k".into())),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let parts = proptest::collection::vec(inner, 1..4);
        prop_oneof![parts.clone().prop_map(Filter::And), parts.prop_map(Filter::Or)]
    })
}

/// What DataFusion makes of the filter on the carried value; `None` is NULL.
fn matches(filter: &Filter, cell: &Cell, carrier: Carrier) -> Option<bool> {
    let cell = if fits(cell.as_ref(), carrier) { cell.clone() } else { Value::Null };
    let three = |parts: &[Filter], stop: bool| {
        let parts: Vec<_> = parts.iter().map(|f| matches(f, &cell, carrier)).collect();
        if parts.contains(&Some(stop)) {
            Some(stop)
        } else if parts.contains(&None) {
            None
        } else {
            Some(!stop)
        }
    };
    match filter {
        Filter::And(parts) => three(parts, false),
        Filter::Or(parts) => three(parts, true),
        Filter::IsNull(_) => Some(cell.as_ref().is_null()),
        Filter::IsNotNull(_) => Some(!cell.as_ref().is_null()),
        Filter::In { values, .. } => {
            let found = values.iter().any(|v| arrow_order(&cell, v) == Some(Ordering::Equal));
            found.then_some(true)
        }
        Filter::Compare { op, value, .. } => {
            let order = arrow_order(&cell, value)?;
            Some(match op {
                Comparison::Eq => order.is_eq(),
                Comparison::Lt => order.is_lt(),
                Comparison::LtEq => order.is_le(),
                Comparison::Gt => order.is_gt(),
                Comparison::GtEq => order.is_ge(),
            })
        }
    }
}

/// Arrow's order: totalOrder for floats, to which integers are brought.
fn arrow_order(a: &Cell, b: &Cell) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Int(a), Value::Real(b)) => (*a as f64).total_cmp(b),
        (Value::Real(a), Value::Int(b)) => a.total_cmp(&(*b as f64)),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => return None,
    })
}
