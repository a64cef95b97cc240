use std::sync::Arc;

use arrow::array::{BinaryArray, Float64Array, Int64Array, StringArray, UInt8Array};

use super::*;
use crate::model::change::change_schema;
use crate::model::filter::Comparison;
use crate::model::table::{Carrier, Fraction, TableKind, TableName, TimeForm, Zone};
use crate::model::value::{Value, ValueRef, push_exact};

fn column(name: &str, carrier: Carrier) -> Column {
    let time_form = name.ends_with("_at").then_some(TimeForm {
        separator: Some('T'),
        fraction: Fraction::Fixed(3),
        zone: Zone::Zulu,
    });
    Column { time_form, ..Column::new(name, carrier) }
}

fn columns() -> Vec<Column> {
    vec![
        column("id", Carrier::Int),
        column("active", Carrier::Int),
        column("Price", Carrier::Number),
        column("seen_at", Carrier::Text),
    ]
}

fn schema() -> TableSchema {
    TableSchema {
        name: TableName::bare("t"),
        kind: TableKind::Base,
        columns: columns(),
        keys: Vec::new(),
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        triggers: Vec::new(),
        rowid_alias: None,
        without_rowid: false,
        autoincrement: false,
        unwritable: None,
        left_out: Vec::new(),
        ddl: String::new(),
    }
}

/// Three rows: 1 changed (live active 1, backup 0), 2 missing, 3 changed with a misfit price
/// live.
fn changes() -> RecordBatch {
    let columns = columns();
    let mut misfit = Vec::new();
    push_exact(&mut misfit, "Price", ValueRef::Text(b"free"));
    RecordBatch::try_new(
        change_schema(Side { backup: &columns, live: &columns }),
        vec![
            Arc::new(UInt8Array::from(vec![2, 1, 2])),
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\x01"), None, Some(b"\x01")])),
            Arc::new(Int64Array::from(vec![1, 2, 3])),
            Arc::new(Int64Array::from(vec![0, 0, 0])),
            Arc::new(Float64Array::from(vec![1.5, 2.0, 3.0])),
            Arc::new(StringArray::from(vec!["2026-03-09T00:00:00.000Z"; 3])),
            Arc::new(BinaryArray::from_opt_vec(vec![None; 3])),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(Int64Array::from(vec![Some(1), None, Some(0)])),
            Arc::new(Float64Array::from(vec![Some(9.5), None, None])),
            Arc::new(StringArray::from(vec![
                Some("2026-03-10T14:00:00.000Z"),
                None,
                Some("2026-03-11T00:00:00.000Z"),
            ])),
            Arc::new(BinaryArray::from_opt_vec(vec![None, None, Some(&misfit)])),
        ],
    )
    .unwrap()
}

fn selected(sql: &str) -> (Vec<usize>, u64) {
    let schema = schema();
    let predicate = Predicate::parse(sql, Side { backup: &schema, live: &schema }).unwrap();
    let selection = predicate.evaluate(&changes()).unwrap();
    ((0..3).filter(|row| selection.mask.value(*row)).collect(), selection.unevaluated)
}

#[test]
fn what_people_write_about_booleans_works() {
    for sql in ["active = true", "active = 1", "active", "active IS TRUE", "NOT active = false"] {
        assert_eq!(selected(sql), (vec![0], 0), "{sql}");
    }
    for sql in ["active = false", "NOT active", "active = 0", "(active) = FALSE"] {
        assert_eq!(selected(sql), (vec![1, 2], 0), "{sql}");
    }
}

#[test]
fn a_bare_name_means_live_or_the_backup_of_a_missing_row() {
    assert_eq!(selected("id >= 2"), (vec![1, 2], 0));
    assert_eq!(selected("backup.active <> live.active"), (vec![0], 0));
    assert_eq!(selected("live.id is null"), (vec![1], 0));
}

#[test]
fn dates_meet_text_moments_of_any_form() {
    assert_eq!(selected("seen_at >= '2026-03-10' and seen_at < '2026-03-11'"), (vec![0], 0));
    assert_eq!(selected("seen_at = '2026-03-10 14:00:00'"), (vec![0], 0));
    assert_eq!(selected("seen_at = TIMESTAMP '2026-03-10T15:00:00+01:00'"), (vec![0], 0));
    assert_eq!(selected("seen_at >= DATE '2026-03-11'"), (vec![2], 0));
    assert_eq!(selected("seen_at between '2026-03-09' and '2026-03-10'"), (vec![1], 0));
}

#[test]
fn names_are_found_without_case_and_misfits_are_counted() {
    assert_eq!(selected("price > 1"), (vec![0, 1], 1));
    assert_eq!(selected("\"Price\" > 1"), (vec![0, 1], 1));
    assert_eq!(selected("id = 3"), (vec![2], 0), "a misfit elsewhere is no trouble");
}

#[test]
fn wrong_predicates_say_what_is_wrong() {
    let schema = schema();
    let sides = Side { backup: &schema, live: &schema };
    for (sql, words) in [
        ("nope = 1", "no column nope"),
        ("other.id = 1", "names other.id"),
        ("seen_at", "no condition"),
        ("id = ", "can't be read"),
        ("id in (select 1)", "sub-query"),
    ] {
        let Err(error) = Predicate::parse(sql, sides) else { panic!("{sql} was taken") };
        assert!(error.to_string().contains(words), "{sql}: {error}");
    }
    let predicate = Predicate::parse("live.id = 1", sides).unwrap();
    assert!(predicate.needs(Change::Missing).is_err());
    assert!(predicate.needs(Change::Changed).is_ok());
}

#[test]
fn only_the_whitelist_is_pushed_down() {
    let schema = schema();
    let sides = Side { backup: &schema, live: &schema };
    let pushed =
        |sql: &str| Predicate::parse(sql, sides).unwrap().pushdown(Which::Live, Change::Changed);
    assert!(
        matches!(pushed("active = false and id > 3"), Some(Filter::And(all)) if all.len() == 2)
    );
    assert!(matches!(pushed("id > 3 and abs(id) = 4"), Some(Filter::Compare { .. })));
    for sql in ["id <> 3", "id > 3 or abs(id) = 4", "not (id = 3)", "backup.id = 3"] {
        assert_eq!(pushed(sql), None, "{sql}");
    }
}

/// Which of these values of one column a predicate on `c` selects, and what it pushes down.
fn picked(carrier: Carrier, values: &[Value], sql: &str) -> (Vec<usize>, Option<Filter>) {
    let column = Column::new("c", carrier);
    let schema = TableSchema::of_columns(TableName::bare("t"), vec![column.clone()]);
    let sides = Side { backup: &schema, live: &schema };
    let predicate = Predicate::parse(sql, sides).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let cells: Vec<Vec<Value>> = values.iter().map(|value| vec![value.clone()]).collect();
    let live = crate::fit::carry::carry_rows(std::slice::from_ref(&column), &cells).unwrap();
    let fields = change_schema(Side { backup: &[], live: std::slice::from_ref(&column) });
    let rows = values.len();
    let arrays: Vec<ArrayRef> = fields
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            CHANGE => Arc::new(UInt8Array::from(vec![Change::Changed as u8; rows])) as ArrayRef,
            "live.c" => Arc::clone(live.column(0)),
            "live.__exact" => Arc::clone(live.column(1)),
            _ => new_null_array(field.data_type(), rows),
        })
        .collect();
    let changes = RecordBatch::try_new(fields, arrays).unwrap();
    let selection = predicate.evaluate(&changes).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let chosen = (0..rows).filter(|row| selection.mask.value(*row)).collect();
    (chosen, predicate.pushdown(Which::Live, Change::Changed))
}

#[test]
fn t6_moments_of_any_year_are_compared_in_their_own_unit() {
    let day = 86_400_000_000;
    // The years 1000, 1970, 2024 and 9999, and a microsecond.
    let micros = [-30_610_224_000_000_000, 0, 1_709_200_800_000_000, 253_402_300_799_999_999, 1];
    let stamps: Vec<Value> = micros.iter().map(|m| Value::Stamp(*m)).chain([Value::Null]).collect();
    let instants: Vec<Value> = micros.iter().map(|m| Value::Instant(*m)).collect();
    let dates: Vec<Value> =
        micros.iter().map(|m| Value::Date(m.div_euclid(day) as i32)).chain([Value::Null]).collect();
    for (sql, chosen) in [
        ("c >= '1970-01-01'", vec![1, 2, 3, 4]),
        ("c > '1970-01-01'", vec![2, 3, 4]),
        ("c < '1970-01-01 00:00:00.000001'", vec![0, 1]),
        ("c = '2024-02-29T10:00:00'", vec![2]),
        ("c = '2024-02-29 12:00:00+02:00'", vec![2]),
        ("c = TIMESTAMP '2024-02-29 10:00:00'", vec![2]),
        ("c >= DATE '2024-02-29'", vec![2, 3]),
        ("'9999-12-31' <= c", vec![3]),
        ("c between '1000-01-01' and '2024-02-29 10:00:00'", vec![0, 1, 2, 4]),
        ("c in ('1000-01-01', '9999-12-31 23:59:59.999999')", vec![0, 3]),
    ] {
        for (carrier, values) in [(Carrier::Stamp, &stamps), (Carrier::Instant, &instants)] {
            let (found, pushed) = picked(carrier, values, sql);
            assert_eq!(found, chosen, "{sql}");
            assert!(pushed.is_some(), "{sql}");
        }
    }
    for (sql, chosen) in [
        ("c >= '1970-01-01'", vec![1, 2, 3, 4]),
        ("c = '2024-02-29 00:00:00'", vec![2]),
        ("c > DATE '2024-02-29'", vec![3]),
        ("c in ('1000-01-01', '9999-12-31')", vec![0, 3]),
    ] {
        let (found, pushed) = picked(Carrier::Date, &dates, sql);
        assert_eq!(found, chosen, "{sql}");
        assert!(pushed.is_some(), "{sql}");
    }
    // Finer than the unit: nothing that has to be cut is pushed.
    let (_, pushed) =
        picked(Carrier::Stamp, &[Value::Stamp(0)], "c > '2024-01-01 00:00:00.0000001'");
    assert_eq!(pushed, None);
}

#[test]
fn t6_decimals_are_compared_by_their_digits() {
    let carrier = Carrier::Decimal { precision: 20, scale: 2 };
    let digits = [999, 12_345_678_901_234_567_890, -5, 0, 12_345_678_901_234_567_891];
    let values: Vec<Value> = digits.iter().map(|d| Value::Decimal(*d, 2)).collect();
    let pushes = |value| Some(Filter::Compare { column: "c".into(), op: Comparison::Eq, value });
    for (sql, chosen, pushed) in [
        ("c = 9.99", vec![0], pushes(Value::Decimal(999, 2))),
        ("c = 123456789012345678.90", vec![1], pushes(Value::Decimal(digits[1], 2))),
        ("c = '-0.050'", vec![2], pushes(Value::Decimal(-5, 2))),
        ("c = -0.05", vec![2], pushes(Value::Decimal(-5, 2))),
        ("c = false", vec![3], pushes(Value::Decimal(0, 2))),
        ("c = 9.985", vec![], None),
    ] {
        assert_eq!(picked(carrier, &values, sql), (chosen, pushed), "{sql}");
    }
    assert_eq!(picked(carrier, &values, "c > 9.985").0, [0, 1, 4]);
    assert_eq!(picked(carrier, &values, "c in (9.99, 0, 123456789012345678.91)").0, [0, 3, 4]);
}

#[test]
fn truth_values_and_large_integers_are_pushed_down() {
    let truths = [Value::Bool(true), Value::Bool(false), Value::Null];
    for (sql, chosen) in [
        ("c", vec![0]),
        ("not c", vec![1]),
        ("c = true", vec![0]),
        ("c = 0", vec![1]),
        ("c is true", vec![0]),
        ("c is false", vec![1]),
    ] {
        let (found, pushed) = picked(Carrier::Bool, &truths, sql);
        assert_eq!(found, chosen, "{sql}");
        assert!(matches!(pushed, Some(Filter::Compare { .. })), "{sql}: {pushed:?}");
    }
    assert_eq!(picked(Carrier::Bool, &truths, "c is not true"), (vec![1, 2], None));
    let numbers = [Value::Int(0), Value::Unsigned(u64::MAX), Value::Int(i64::MAX)];
    let (found, pushed) = picked(Carrier::Unsigned, &numbers, "c > 18446744073709551614");
    assert_eq!(found, [1]);
    let most = Value::Unsigned(u64::MAX - 1);
    let compared = Filter::Compare { column: "c".into(), op: Comparison::Gt, value: most };
    assert_eq!(pushed, Some(compared));
    assert_eq!(picked(Carrier::Unsigned, &numbers, "c >= -1"), (vec![0, 1, 2], None));
}
