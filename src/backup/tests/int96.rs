//! Moments of INT96, as Spark, Hive and Impala write them.

use std::sync::Arc;

use ::parquet::data_type::{Int64Type, Int96, Int96Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::*;
use crate::error::Kind;
use crate::model::calendar::{DAY_MICROS, days};

const DAY_NANOS: i64 = DAY_MICROS * 1_000;

/// Writes a table `t` with an id from 0 and a moment a row: a day since 1970 and nanoseconds.
fn write(path: &Path, moments: &[(i64, i64)]) {
    let schema = "message t { REQUIRED INT64 id; OPTIONAL INT96 at; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    for (group, moments) in moments.chunks(3_000).enumerate() {
        let mut rows = writer.next_row_group().unwrap();
        let first = group as i64 * 3_000;
        let ids: Vec<i64> = (first..first + moments.len() as i64).collect();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let values: Vec<Int96> = moments
            .iter()
            .map(|(day, nanos)| {
                let mut value = Int96::new();
                let day = u32::try_from(day + 2_440_588).unwrap();
                value.set_data(*nanos as u32, (*nanos >> 32) as u32, day);
                value
            })
            .collect();
        let levels = vec![1; values.len()];
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<Int96Type>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.close().unwrap();
}

fn day(year: i64, month: i64, day: i64) -> i64 {
    days(year, month, day).unwrap()
}

/// PostgreSQL's `timestamp`, which keeps microseconds.
fn stamp() -> Column {
    Column {
        declared: "timestamp without time zone".into(),
        affinity: Affinity::Postgres,
        ..Column::new("at", Carrier::Stamp)
    }
}

async fn read(path: &Path, column: Column) -> Result<Vec<Value>> {
    let source = open(path).await;
    let rows = scan(&*source, "t", &[column], &[], KeyRange::default()).await?;
    Ok(rows.into_iter().map(|mut row| row.remove(0)).collect())
}

#[tokio::test]
async fn t6_moments_outside_of_1677_to_2262_do_not_wrap() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    let cases = [
        (day(9999, 12, 31), DAY_NANOS - 1_000, "9999-12-31 23:59:59.999999"),
        (day(1, 1, 1), 0, "0001-01-01 00:00:00"),
        (day(1, 1, 1), 1_000, "0001-01-01 00:00:00.000001"),
        (0, 0, "1970-01-01 00:00:00"),
        (-1, DAY_NANOS - 1_000, "1969-12-31 23:59:59.999999"),
        // Nanoseconds stay, near 1970 and far from it.
        (day(2024, 3, 14), 123_456_789, "2024-03-14 00:00:00.123456789"),
        (day(9999, 12, 31), DAY_NANOS - 1, "9999-12-31 23:59:59.999999999"),
        (day(1677, 9, 21), 0, "1677-09-21 00:00:00"),
        (day(2262, 4, 12), 0, "2262-04-12 00:00:00"),
    ];
    write(&path, &cases.map(|(day, nanos, _)| (day, nanos)));
    let texts = read(&path, column("at", Carrier::Text)).await.unwrap();
    let expected = cases.map(|(_, _, text)| Value::Text(text.into()));
    assert_eq!(texts, expected);
    // A type that lacks the digits refuses them, and names the row.
    let error = read(&path, stamp()).await.unwrap_err().to_string();
    assert!(error.contains("t.at") && error.contains("more than 6 digits"), "{error}");
    write(&path, &cases[..5].iter().map(|(day, nanos, _)| (*day, *nanos)).collect::<Vec<_>>());
    let micros = |day: i64, micros: i64| Value::Stamp(day * DAY_MICROS + micros);
    let expected = [
        micros(day(9999, 12, 31), DAY_MICROS - 1),
        micros(day(1, 1, 1), 0),
        micros(day(1, 1, 1), 1),
        micros(0, 0),
        micros(0, -1),
    ];
    assert_eq!(read(&path, stamp()).await.unwrap(), expected);
}

#[tokio::test]
async fn t6_far_and_near_moments_keep_their_rows() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    // Every century has some; each 700th has nanoseconds.
    let moments: Vec<(i64, i64)> = (0..10_000)
        .map(|i: i64| {
            let fine = if i % 700 == 0 { 7 } else { 0 };
            (day(1 + i * 7_919 % 9_999, 1 + i % 12, 1 + i % 28), i * 8_639_000 + fine)
        })
        .collect();
    write(&path, &moments);
    let source = open(&path).await;
    let columns = [column("id", Carrier::Int), column("at", Carrier::Text)];
    let key = [columns[0].clone()];
    let text = |(day, nanos): (i64, i64)| {
        let whole = crate::model::calendar::moment_text(day * DAY_MICROS).replace('T', " ");
        let (second, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let clock = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let digits = match fraction % 1_000 {
            _ if fraction == 0 => String::new(),
            0 => format!(".{:06}", fraction / 1_000),
            _ => format!(".{fraction:09}"),
        };
        Value::Text(whole.replace("00:00:00", &(clock + &digits)).into_bytes())
    };
    let cuts = [Value::Int(17), Value::Int(2_999), Value::Int(3_001), Value::Int(9_000)];
    let mut all = Vec::new();
    for range in KeyRange::between(&cuts) {
        all.extend(scan(&*source, "t", &columns, &key, range).await.unwrap());
    }
    assert_eq!(all.len(), moments.len());
    for (i, row) in all.iter().enumerate() {
        assert_eq!(row[..], [Value::Int(i as i64), text(moments[i])]);
    }
}

#[tokio::test]
async fn w7_a_moment_that_is_none_is_damage() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.parquet");
    write(&path, &[(0, 0), (0, -5)]);
    let error = read(&path, column("at", Carrier::Text)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    // Years that no type has are refused, not wrapped.
    write(&path, &[(1_000_000_000, 0)]);
    let error = read(&path, column("at", Carrier::Text)).await.unwrap_err();
    assert!(error.to_string().contains("can't be carried exactly"), "{error}");
}
