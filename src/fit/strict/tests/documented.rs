//! What becomes of another database's values, as docs/types.md has it.

use super::*;
use crate::engine::tests::{code, is_documented};

/// A value of each kind, by the name that the table has for it.
fn given() -> Vec<(&'static str, Carrier, Value)> {
    let text = |text: &str| Value::Text(text.as_bytes().to_vec());
    vec![
        ("integer 5", Carrier::Int, Value::Int(5)),
        ("integer 1", Carrier::Int, Value::Int(1)),
        ("integer -1", Carrier::Int, Value::Int(-1)),
        ("2^64-1", Carrier::Unsigned, Value::Unsigned(u64::MAX)),
        ("double 0.1", Carrier::Real, Value::Real(0.1)),
        ("double 3.0", Carrier::Real, Value::Real(3.0)),
        ("double 1e300", Carrier::Real, Value::Real(1e300)),
        ("NaN", Carrier::Real, Value::Real(f64::NAN)),
        ("decimal 1.50", decimal(10, 2), Value::Decimal(150, 2)),
        ("decimal of 20 digits", decimal(38, 10), Value::Decimal(12_345_678_901_234_567_891, 10)),
        ("true", Carrier::Bool, Value::Bool(true)),
        ("text '5'", Carrier::Text, text("5")),
        ("text 'abc'", Carrier::Text, text("abc")),
        ("text ''", Carrier::Text, text("")),
        ("text '2024-02-29 10:00:00'", Carrier::Text, text("2024-02-29 10:00:00")),
        ("text '0000-00-00'", Carrier::Text, text("0000-00-00")),
        ("bytes 00ff", Carrier::Blob, Value::Blob(vec![0, 255])),
        ("date 2024-02-29", Carrier::Date, Value::Date(19_782)),
        ("moment 2024-02-29 10:00:00", Carrier::Stamp, Value::Stamp(1_709_200_800_000_000)),
        ("moment with microseconds", Carrier::Stamp, Value::Stamp(1_709_200_800_000_001)),
        (
            "instant 2024-02-29 10:00:00 UTC",
            Carrier::Instant,
            Value::Instant(1_709_200_800_000_000),
        ),
    ]
}

fn words(value: Value) -> String {
    match value.as_ref() {
        ValueRef::Null => "NULL".into(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => format!("x'{}'", crate::model::value::hex(bytes)),
        other => other.plain_text().unwrap_or_default(),
    }
}

/// The table of these columns of live; the values are those of another engine's.
fn table(live: &[Column], then: Affinity) -> String {
    let mut text = "| given |".to_owned();
    live.iter().for_each(|column| text.push_str(&format!(" {} |", column.declared)));
    text.push_str(&format!("\n|---|{}\n", "---|".repeat(live.len())));
    for (name, carrier, value) in given() {
        text.push_str(&format!("| {name} |"));
        let then = Column { affinity: then, ..Column::new("c", carrier) };
        for column in live {
            let cell = match from(&then, value.clone(), column) {
                Ok((value, _)) => code(&words(value)),
                Err(_) => "-".into(),
            };
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text
}

#[test]
fn values_of_other_engines_are_documented() {
    let mysql = [
        my("tinyint(1)", Carrier::Int),
        my("bigint", Carrier::Int),
        my("bigint unsigned", Carrier::Unsigned),
        my("decimal(10,2)", decimal(10, 2)),
        my("float", Carrier::Real),
        my("double", Carrier::Real),
        my("bit(1)", Carrier::Bool),
        my("varchar(20)", Carrier::Text),
        my("varbinary(9)", Carrier::Blob),
        my("date", Carrier::Date),
        my("datetime", Carrier::Stamp),
        my("timestamp(6)", Carrier::Instant),
        my("time", Carrier::Text),
    ];
    is_documented("into mysql", &table(&mysql, Affinity::Postgres));
    let sqlite = [
        ("INTEGER", Carrier::Int, Affinity::Integer),
        ("NUMERIC", Carrier::Number, Affinity::Numeric),
        ("REAL", Carrier::Real, Affinity::Real),
        ("TEXT", Carrier::Text, Affinity::Text),
        ("BLOB", Carrier::Blob, Affinity::Blob),
    ];
    let sqlite = sqlite.map(|(declared, carrier, affinity)| Column {
        declared: declared.into(),
        affinity,
        ..Column::new("c", carrier)
    });
    is_documented("into sqlite", &table(&sqlite, Affinity::Mysql));
}
