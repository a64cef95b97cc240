//! Snapshots of engines whose columns hold one type only: read back by the same engine, and
//! by another one.

use super::sqlite::rows;
use super::*;
use crate::backup::detect::{BackupSpec, open_backup};
use crate::model::table::{Affinity, Fraction, TimeForm, Zone};

const MICROS: i64 = 1_710_381_723_500_000;

fn of(affinity: Affinity, name: &str, declared: &str, carrier: Carrier) -> Column {
    Column { declared: declared.into(), affinity, ..column(name, carrier) }
}

/// A table of PostgreSQL, and what its rows hold.
fn postgres() -> (TableSchema, Vec<Vec<Value>>) {
    let pg = |name, declared, carrier| of(Affinity::Postgres, name, declared, carrier);
    let text = |text: &str| Value::Text(text.into());
    let columns = vec![
        pg("id", "integer", Carrier::Int),
        pg("truth", "boolean", Carrier::Bool),
        pg("r", "double precision", Carrier::Real),
        pg("price", "numeric(10,2)", Carrier::Decimal { precision: 10, scale: 2 }),
        pg("day", "date", Carrier::Date),
        pg("at", "timestamp without time zone", Carrier::Stamp),
        pg("seen", "timestamp with time zone", Carrier::Instant),
        pg("doc", "jsonb", Carrier::Text),
        pg("code", "character(3)", Carrier::Text),
        pg("raw", "bytea", Carrier::Blob),
    ];
    let rows = vec![
        vec![
            Value::Int(1),
            Value::Bool(true),
            Value::Real(-0.0),
            Value::Decimal(-1_250, 2),
            Value::Date(19_796),
            Value::Stamp(MICROS),
            Value::Instant(MICROS),
            text(r#"{"a": "ä\""}"#),
            text("x  "),
            Value::Blob(b"\0\xff".into()),
        ],
        vec![
            Value::Int(2),
            Value::Bool(false),
            Value::Real(f64::NAN),
            text("NaN"),
            text("infinity"),
            text("-infinity"),
            text("294276-12-31 23:59:59.5+00"),
            text("null"),
            text("   "),
            Value::Blob(vec![]),
        ],
        std::iter::once(Value::Int(3)).chain(std::iter::repeat_n(Value::Null, 9)).collect(),
    ];
    (table("t", columns, 1), rows)
}

/// The table `t` of a snapshot in this format, as a live table of these columns has it.
async fn read_back(
    format: FileFormat,
    rows_of: Vec<Vec<Value>>,
    live: &TableSchema,
) -> Vec<Vec<Value>> {
    let root = tempfile::tempdir().unwrap();
    let source = Memory::new(vec![(postgres().0, rows_of)]);
    let taken = take_memory(source, &options(root.path(), &[format])).await.unwrap();
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
    let spec = BackupSpec { path: taken.path, parallelism: 1, ..BackupSpec::default() };
    let backup = open_backup(&spec).await.unwrap();
    rows(&*backup, live, &live.columns[..1]).await
}

#[tokio::test]
async fn t6_a_snapshot_gives_every_type_back() {
    let (schema, expected) = postgres();
    for format in BOTH {
        assert_eq!(read_back(format, expected.clone(), &schema).await, expected, "{format:?}");
    }
}

#[tokio::test]
async fn a_snapshot_of_one_engine_is_a_backup_of_another() {
    let (mut mysql, all) = postgres();
    let sides = [
        ("int(11)", Carrier::Int),
        ("tinyint(1)", Carrier::Int),
        ("double", Carrier::Real),
        ("decimal(12,3)", Carrier::Decimal { precision: 12, scale: 3 }),
        ("date", Carrier::Date),
        ("datetime(6)", Carrier::Stamp),
        ("timestamp(1)", Carrier::Instant),
        ("longtext", Carrier::Text),
        ("char(3)", Carrier::Text),
        ("varbinary(9)", Carrier::Blob),
    ];
    for (column, (declared, carrier)) in mysql.columns.iter_mut().zip(sides) {
        *column = of(Affinity::Mysql, &column.name, declared, carrier);
    }
    let rows = vec![all[0].clone(), all[2].clone()];
    let mut expected = rows.clone();
    expected[0][1] = Value::Int(1);
    expected[0][3] = Value::Decimal(-12_500, 3);
    expected[0][8] = Value::Text(b"x".into());
    for format in BOTH {
        assert_eq!(read_back(format, rows.clone(), &mysql).await, expected, "{format:?}");
    }

    let mut sqlite = mysql.clone();
    let sides = [
        ("integer", Carrier::Int, Affinity::Integer),
        ("boolean", Carrier::Int, Affinity::Numeric),
        ("real", Carrier::Real, Affinity::Real),
        ("decimal(10,2)", Carrier::Number, Affinity::Numeric),
        ("date", Carrier::Text, Affinity::Numeric),
        ("datetime", Carrier::Text, Affinity::Numeric),
        ("datetime", Carrier::Text, Affinity::Numeric),
        ("text", Carrier::Text, Affinity::Text),
        ("text", Carrier::Text, Affinity::Text),
        ("blob", Carrier::Blob, Affinity::Blob),
    ];
    for (column, (declared, carrier, affinity)) in sqlite.columns.iter_mut().zip(sides) {
        *column = of(affinity, &column.name, declared, carrier);
    }
    let separator = Some('T');
    let form = TimeForm { separator, fraction: Fraction::Fixed(3), zone: Zone::Zulu };
    sqlite.columns[6].time_form = Some(form);
    expected[0] = vec![
        Value::Int(1),
        Value::Int(1),
        Value::Real(0.0),
        Value::Real(-12.5),
        Value::Text(b"2024-03-14".into()),
        Value::Text(b"2024-03-14 02:02:03.500000".into()),
        Value::Text(b"2024-03-14T02:02:03.500Z".into()),
        rows[0][7].clone(),
        Value::Text(b"x  ".into()),
        rows[0][9].clone(),
    ];
    assert_eq!(read_back(BOTH[0], rows, &sqlite).await, expected);
}
