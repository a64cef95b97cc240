use std::sync::Arc;

use arrow::array::{BinaryArray, Float64Array, Int64Array, StringArray, UInt8Array};

use super::*;
use crate::model::change::change_schema;
use crate::model::table::{Carrier, Fraction, TableKind, TableName, TimeForm, Zone};
use crate::model::value::{ValueRef, push_exact};

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
