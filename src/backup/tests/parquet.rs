//! Parquet of other writers: order, ranges, fetching, damage.

use arrow::array::{Float64Array, Int32Array, Int64Array, ListArray, StringArray};

use super::*;
use crate::error::Kind;

fn numbers(rows: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows))
}

fn names(rows: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.into_iter().map(|i| format!("name {i}"))))
}

#[tokio::test]
async fn ranges_divide_the_rows_wherever_they_are_cut() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let ids = || (0..30_000).map(|i| i / 2 * 7);
    write_parquet(&path, vec![("id", numbers(ids())), ("name", names(0..30_000))], 11_000);
    let source = open(&path).await;
    let columns = [column("name", Carrier::Text), column("id", Carrier::Int)];
    let key = [columns[1].clone()];
    let survey = source.survey(&TableName::bare("t"), &key, 3).await.unwrap();
    assert_eq!((survey.rows, survey.ordered), (Some(30_000), true));
    assert_eq!(survey.splits.len(), 2);
    let all = scan(&*source, "t", &columns, &key, KeyRange::default()).await.unwrap();
    assert_eq!(all.len(), 30_000);
    let cuts = [-1, 0, 1, 7, 38_499, 38_500, 38_501, 57_344, 77_000, 104_993, 200_000];
    let own = survey.splits.clone();
    for splits in [own, cuts.map(Value::Int).to_vec(), vec![Value::Int(70_000)]] {
        let mut joined = Vec::new();
        for range in KeyRange::between(&splits) {
            let part = scan(&*source, "t", &columns, &key, range.clone()).await.unwrap();
            for row in &part {
                let Value::Int(id) = row[1] else { panic!("{row:?}") };
                let bound = |b: &Option<Value>| match b {
                    Some(Value::Int(b)) => Some(*b),
                    _ => None,
                };
                assert!(bound(&range.lower).is_none_or(|l| l <= id), "{range:?} {id}");
                assert!(bound(&range.upper).is_none_or(|u| id < u), "{range:?} {id}");
            }
            joined.extend(part);
        }
        assert_eq!(joined, all, "{splits:?}");
    }
}

#[tokio::test]
async fn k4_order_is_proved_not_assumed() {
    let root = tempfile::tempdir().unwrap();
    let key = [column("id", Carrier::Int)];
    for (name, ids, ordered) in [
        ("up", vec![1, 2, 2, 5], true),
        ("down", vec![1, 2, 5, 4], false),
        ("group", vec![5, 6, 1, 2], false),
    ] {
        let path = root.path().join(format!("{name}.parquet"));
        write_parquet(&path, vec![("id", numbers(ids))], 2);
        let source = open(&path).await;
        let survey = source.survey(&TableName::bare(name), &key, 4).await.unwrap();
        assert_eq!(survey.ordered, ordered, "{name}");
        assert_eq!(survey.splits.is_empty(), !ordered, "{name}");
        let rows = scan(&*source, name, &key, &key, KeyRange::default()).await.unwrap();
        assert_eq!(rows.len(), 4);
    }
}

#[tokio::test]
async fn k3_order_is_that_of_lives_collation_and_carrier() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["A", "b", "C"]));
    let tens: ArrayRef = Arc::new(Int32Array::from(vec![9, 10, 11]));
    write_parquet(&path, vec![("k", texts), ("n", tens)], 2);
    let source = open(&path).await;
    let table = TableName::bare("t");
    let ordered = async |column: Column| source.survey(&table, &[column], 1).await.unwrap().ordered;
    assert!(!ordered(column("k", Carrier::Text)).await);
    let nocase = Column { collation: Collation::NoCase, ..column("k", Carrier::Text) };
    assert!(ordered(nocase.clone()).await);
    assert!(ordered(column("n", Carrier::Int)).await);
    assert!(!ordered(column("n", Carrier::Text)).await);
    let range = KeyRange { lower: Some(Value::Text(b"B".into())), upper: None };
    let rows =
        scan(&*source, "t", std::slice::from_ref(&nocase), std::slice::from_ref(&nocase), range)
            .await
            .unwrap();
    assert_eq!(rows, [[Value::Text(b"b".into())], [Value::Text(b"C".into())]]);
}

#[tokio::test]
async fn fetch_gives_the_rows_of_the_keys_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let key = [column("id", Carrier::Int)];
    let columns = [column("id", Carrier::Int), column("name", Carrier::Text)];
    let ordered: Vec<i64> = (0..5_000).collect();
    let mut shuffled = ordered.clone();
    shuffled.sort_by_key(|i| i * 7_919 % 5_003);
    for (name, ids) in [("ordered", ordered), ("shuffled", shuffled)] {
        let path = root.path().join(format!("{name}.parquet"));
        write_parquet(&path, vec![("id", numbers(ids.clone())), ("name", names(ids))], 900);
        let source = open(&path).await;
        let wanted = vec![-4, 3, 899, 900, 901, 4_999, 6_000];
        let keys = RecordBatch::try_from_iter([("id", numbers(wanted))]).unwrap();
        let batch = source.fetch(&TableName::bare(name), &columns, &key, &keys).await.unwrap();
        assert_eq!(ints(&batch, 0), [3, 899, 900, 901, 4_999], "{name}");
        assert_eq!(batch.column(1).as_string::<i32>().value(1), "name 899");
        assert_eq!(batch.schema(), crate::model::table::scan_schema(&columns));
    }
}

#[tokio::test]
async fn c12_columns_are_found_by_name_whatever_their_place_and_case() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    write_parquet(&path, vec![("extra", numbers(0..3)), ("Name", names(0..3))], 10);
    let source = open(&path).await;
    let name = [column("name", Carrier::Text)];
    let rows = scan(&*source, "t", &name, &[], KeyRange::default()).await.unwrap();
    assert_eq!(rows[2], [Value::Text(b"name 2".into())]);
    let gone = [column("gone", Carrier::Text)];
    let error = scan(&*source, "t", &gone, &[], KeyRange::default()).await.unwrap_err();
    assert!(error.to_string().contains("has no column gone"), "{error}");
    assert_eq!(scan(&*source, "t", &[], &[], KeyRange::default()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_nested_column_is_told_and_left_out() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1)]),
        None,
    ]));
    write_parquet(&path, vec![("id", numbers(0..2)), ("tags", list)], 10);
    let source = open(&path).await;
    let schema = source.schema(&TableName::bare("t")).await.unwrap();
    assert_eq!(schema.columns.len(), 1);
    assert!(source.origin().warnings.iter().any(|w| w.contains("t.tags is nested")));
}

#[tokio::test]
async fn t5_what_pandas_did_is_told_once_a_column() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 3.0]));
    write_parquet(&path, vec![("n", floats)], 2);
    let source = open(&path).await;
    let columns = [column("n", Carrier::Int)];
    for _ in 0..2 {
        let rows = scan(&*source, "t", &columns, &[], KeyRange::default()).await.unwrap();
        assert_eq!(rows, [[Value::Int(1)], [Value::Null], [Value::Int(3)]]);
    }
    let notes = source.notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].starts_with("t.n: 2 values are a float"), "{notes:?}");
}

#[tokio::test]
async fn an_unfit_value_names_table_column_and_row() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let mut values = vec![1.0; 20_000];
    values[15_000] = 1e17;
    write_parquet(&path, vec![("n", Arc::new(Float64Array::from(values)))], 7_000);
    let source = open(&path).await;
    let error = scan(&*source, "t", &[column("n", Carrier::Int)], &[], KeyRange::default()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("t.n in row 15001"), "{error}");
}

#[tokio::test]
async fn w6_a_file_that_expands_past_the_cap_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let long = "x".repeat(1 << 16);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(); 400]));
    write_parquet(&path, vec![("a", texts)], 1_000);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 18);
    let capped = BackupSpec { max_expanded_bytes: Some(1 << 20), ..spec(&path) };
    let source = open_backup(&capped).await.unwrap();
    let columns = [column("a", Carrier::Text)];
    let error = scan(&*source, "t", &columns, &[], KeyRange::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.hints()[0].contains("--max-expanded-bytes"));
    let source = open(&path).await;
    assert_eq!(scan(&*source, "t", &columns, &[], KeyRange::default()).await.unwrap().len(), 400);
}

/// Reads everything; the error, or the rows.
async fn read_all(path: &Path) -> Result<Vec<Vec<Value>>> {
    let source = open_backup(&spec(path)).await?;
    let columns = [column("id", Carrier::Int), column("name", Carrier::Text)];
    let key = [columns[0].clone()];
    source.survey(&TableName::bare("t"), &key, 2).await?;
    scan(&*source, "t", &columns, &key, KeyRange::default()).await
}

#[tokio::test]
async fn w8_a_file_cut_short_anywhere_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    write_parquet(&path, vec![("id", numbers(0..40)), ("name", names(0..40))], 15);
    let whole = fs::read(&path).unwrap();
    assert_eq!(read_all(&path).await.unwrap().len(), 40);
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let error = read_all(&path).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "cut at {len}: {error}");
    }
}

#[tokio::test]
async fn w7_w9_flipped_bits_are_never_a_panic_and_the_lack_of_checksums_is_told() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    write_parquet(&path, vec![("id", numbers(0..40)), ("name", names(0..40))], 15);
    let whole = fs::read(&path).unwrap();
    let source = open(&path).await;
    assert!(source.origin().warnings[0].contains("unchecksummed"), "{:?}", source.origin());
    let mut seen = 0;
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        seen += usize::from(read_all(&path).await.is_err());
    }
    assert!(seen > whole.len() / 4, "{seen} of {}", whole.len());
}

#[tokio::test]
async fn w9_a_flipped_bit_in_a_page_with_a_checksum_is_found() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let whole =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/checksums.parquet")).unwrap();
    fs::write(&path, &whole).unwrap();
    let right = read_all(&path).await.unwrap();
    assert_eq!(right.len(), 40);
    assert!(open(&path).await.origin().warnings.is_empty());
    let footer = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap());
    let footer = whole.len() - 8 - footer as usize;
    let mut seen = 0;
    for at in 0..footer {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).unwrap();
        match read_all(&path).await {
            Ok(rows) => assert_eq!(rows, right, "byte {at}"),
            Err(e) => {
                seen += 1;
                assert!([Kind::Damaged, Kind::Failed].contains(&e.kind()), "{e}");
            }
        }
    }
    assert!(seen > footer / 2, "{seen} of {footer}");
}
