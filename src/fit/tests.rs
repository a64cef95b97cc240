//! What each foreign type becomes in each of live's columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    StringViewArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;

use crate::error::Result;
use crate::fit::carry::{Carried, CarrierBuilder, exact_column};
use crate::fit::cell::staged::StagedCells;
use crate::fit::cell::{FileHabits, Tag};
use crate::fit::notes::{Habit, Tally};
use crate::fit::place::{Place, Rows};
use crate::fit::{cell, foreign, refit};
use crate::model::table::{Affinity, Carrier, Column, Fraction, TableName, TimeForm, Zone};
use crate::model::value::{Cells, EXACT, Value, exact_cells};

fn column(declared: &str, carrier: Carrier, affinity: Affinity) -> Column {
    Column { declared: declared.into(), affinity, ..Column::new("c", carrier) }
}

fn int() -> Column {
    column("INTEGER", Carrier::Int, Affinity::Integer)
}

fn decimal() -> Column {
    column("DECIMAL(10,2)", Carrier::Number, Affinity::Numeric)
}

fn real() -> Column {
    column("REAL", Carrier::Real, Affinity::Real)
}

fn text() -> Column {
    column("TEXT", Carrier::Text, Affinity::Text)
}

fn blob() -> Column {
    column("BLOB", Carrier::Blob, Affinity::Blob)
}

fn time(fraction: Fraction) -> Column {
    let form = TimeForm { separator: Some(' '), fraction, zone: Zone::None };
    Column { time_form: Some(form), ..column("DATETIME", Carrier::Text, Affinity::Numeric) }
}

/// All values of a fitted column, misfits in their places.
fn values(carried: &Carried, column: &Column) -> Vec<Value> {
    let array = &carried.array;
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array.clone(), true)]).unwrap();
    let cells = Cells::new(&batch, [("c", "c", column.carrier)], EXACT).unwrap();
    let mut values: Vec<Value> =
        (0..array.len()).map(|row| cells.get(row, 0).unwrap().to_owned()).collect();
    for (row, value) in &carried.misfits {
        assert_eq!(values[*row], Value::Null);
        values[*row] = value.clone();
    }
    values
}

fn fit(array: impl Into<ArrayRef>, column: &Column) -> Result<(Vec<Value>, Tally)> {
    let array = array.into();
    let table = TableName::bare("t");
    let mut tally = Tally::default();
    let carried = foreign::fit(
        &array,
        &mut Place { table: &table, column, rows: Rows::From(0), tally: &mut tally },
    )?;
    assert_eq!(carried.array.len(), array.len());
    Ok((values(&carried, column), tally))
}

fn a<A: arrow::array::Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

fn cells(
    cells: &[Option<(Tag, &str)>],
    habits: &FileHabits,
    column: &Column,
) -> Result<(Vec<Value>, Tally)> {
    let staged: StagedCells =
        cells.iter().map(|cell| cell.map(|(tag, text)| (tag, text.as_bytes()))).collect();
    let table = TableName::bare("t");
    let mut tally = Tally::default();
    let mut place = Place { table: &table, column, rows: Rows::From(0), tally: &mut tally };
    let carried = cell::fit(&staged, "c", habits, &mut place)?;
    Ok((values(&carried, column), tally))
}

fn t(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn t5_nullable_integers_that_pandas_wrote_as_floats_come_back_as_integers() {
    let array = a(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, Some(-0.0)]));
    let (got, tally) = fit(array, &int()).unwrap();
    assert_eq!(got, [Value::Int(1), Value::Null, Value::Null, Value::Int(0)]);
    assert_eq!(tally.count("c", Habit::FloatForInteger), 2);
    assert_eq!(tally.count("c", Habit::NanForNull), 1);
    let (got, _) = fit(a(Float64Array::from(vec![1.5])), &int()).unwrap();
    assert_eq!(got, [Value::Real(1.5)]);
}

#[test]
fn t5_a_float_past_2_to_53_is_refused_where_live_has_integers() {
    let array = a(Float64Array::from(vec![9_007_199_254_740_992.0, 9_007_199_254_740_994.0]));
    let error = fit(array, &int()).unwrap_err().to_string();
    assert!(error.contains("t.c in row 2"), "{error}");
    assert!(error.contains("integers"), "{error}");
}

#[test]
fn integers_fit_every_number() {
    let array = a(Int64Array::from(vec![Some(3), None, Some((1 << 53) + 1)]));
    let big = Value::Int((1 << 53) + 1);
    assert_eq!(fit(array.clone(), &int()).unwrap().0, [Value::Int(3), Value::Null, big.clone()]);
    assert_eq!(fit(array.clone(), &decimal()).unwrap().0, [Value::Int(3), Value::Null, big]);
    let narrow = a(Int32Array::from(vec![Some(3), None]));
    assert_eq!(fit(narrow.clone(), &decimal()).unwrap().0, [Value::Int(3), Value::Null]);
    assert_eq!(fit(narrow.clone(), &real()).unwrap().0, [Value::Real(3.0), Value::Null]);
    let (got, tally) = fit(narrow.clone(), &text()).unwrap();
    assert_eq!(got, [t("3"), Value::Null]);
    assert_eq!(tally.count("c", Habit::NumberForText), 1);
    assert_eq!(fit(narrow.clone(), &blob()).unwrap().0, [Value::Int(3), Value::Null]);
    fit(narrow, &time(Fraction::Fixed(6))).unwrap_err();
    fit(a(UInt64Array::from(vec![u64::MAX])), &int()).unwrap_err();
    assert_eq!(fit(a(UInt64Array::from(vec![7])), &int()).unwrap().0, [Value::Int(7)]);
}

#[test]
fn booleans_are_0_and_1_and_never_text() {
    let array = a(BooleanArray::from(vec![Some(true), Some(false), None]));
    let boolean = column("BOOLEAN", Carrier::Number, Affinity::Numeric);
    let (got, tally) = fit(array.clone(), &boolean).unwrap();
    assert_eq!(got, [Value::Int(1), Value::Int(0), Value::Null]);
    assert!(tally.is_empty());
    assert_eq!(fit(array.clone(), &int()).unwrap().1.count("c", Habit::BooleanForNumber), 2);
    fit(array, &text()).unwrap_err();
}

#[test]
fn t6_decimals_are_their_nearest_double_up_to_15_digits() {
    let array = |mantissas: Vec<Option<i128>>, scale| {
        a(Decimal128Array::from(mantissas).with_precision_and_scale(38, scale).unwrap())
    };
    let money = array(vec![Some(1_999), Some(1_200), None, Some(-5)], 2);
    let (got, _) = fit(money.clone(), &decimal()).unwrap();
    assert_eq!(got, [Value::Real(19.99), Value::Int(12), Value::Null, Value::Real(-0.05)]);
    let (got, _) = fit(money.clone(), &real()).unwrap();
    assert_eq!(got, [Value::Real(19.99), Value::Real(12.0), Value::Null, Value::Real(-0.05)]);
    assert_eq!(fit(money, &text()).unwrap().0, [t("19.99"), t("12.00"), Value::Null, t("-0.05")]);
    let error = fit(array(vec![Some(12_345_678_901_234_567)], 3), &decimal()).unwrap_err();
    assert!(error.to_string().contains("12345678901234.567"), "{error}");
    let big = array(vec![Some(i128::from(i64::MAX))], 0);
    assert_eq!(fit(big, &decimal()).unwrap().0, [Value::Int(i64::MAX)]);
    fit(array(vec![Some(i128::from(i64::MAX) + 1)], 0), &int()).unwrap_err();
}

#[test]
fn t6_timestamps_take_lives_form_whatever_their_unit() {
    let micros = a(TimestampMicrosecondArray::from(vec![Some(1_710_381_723_500_000), None]));
    let six = time(Fraction::Fixed(6));
    let (got, tally) = fit(micros, &six).unwrap();
    assert_eq!(got, [t("2024-03-14 02:02:03.500000"), Value::Null]);
    assert!(tally.is_empty());
    let millis = a(TimestampMillisecondArray::from(vec![-1]));
    assert_eq!(fit(millis, &six).unwrap().0, [t("1969-12-31 23:59:59.999000")]);
    let nanos = a(TimestampNanosecondArray::from(vec![1]));
    let (got, tally) = fit(nanos, &six).unwrap();
    assert_eq!(got, [t("1970-01-01 00:00:00.000000001")]);
    assert_eq!(tally.count("c", Habit::LongerMoment), 1);
    let zoned = a(TimestampMicrosecondArray::from(vec![0]).with_timezone("Europe/Berlin"));
    let (got, tally) = fit(zoned, &six).unwrap();
    assert_eq!(got, [t("1970-01-01 00:00:00.000000")]);
    assert_eq!(tally.count("c", Habit::ZoneByUtc), 1);
    let far = a(TimestampMicrosecondArray::from(vec![i64::MAX]));
    assert!(fit(far, &six).unwrap_err().to_string().contains("out of range"));
}

#[test]
fn a_moment_is_refused_where_live_has_integers() {
    let moment = a(TimestampMicrosecondArray::from(vec![Some(0), None]));
    let error = fit(moment, &int()).unwrap_err().to_string();
    assert!(error.contains("moments") && error.contains("integers"), "{error}");
    let nulls = a(TimestampMicrosecondArray::from(vec![None]));
    assert_eq!(fit(nulls, &int()).unwrap().0, [Value::Null]);
}

#[test]
fn without_a_form_in_live_the_usual_one_is_assumed_and_said() {
    let moment = a(TimestampMicrosecondArray::from(vec![0]));
    let (got, tally) = fit(moment, &text()).unwrap();
    assert_eq!(got, [t("1970-01-01 00:00:00")]);
    assert_eq!(tally.count("c", Habit::TextFormAssumed), 1);
    let day = a(Date32Array::from(vec![19_000]));
    assert_eq!(fit(day.clone(), &text()).unwrap().0, [t("2022-01-08")]);
    let whole = time(Fraction::Fixed(0));
    assert_eq!(fit(day, &whole).unwrap().0, [t("2022-01-08 00:00:00")]);
    let noon = a(Time64MicrosecondArray::from(vec![43_200_000_001]));
    assert_eq!(fit(noon, &text()).unwrap().0, [t("12:00:00.000001")]);
}

#[test]
fn t1_text_takes_the_affinity_of_lives_column() {
    let array = a(StringArray::from(vec![Some("007"), Some("abc"), Some(""), None, Some("1e400")]));
    let (got, _) = fit(array.clone(), &decimal()).unwrap();
    assert_eq!(got, [Value::Int(7), t("abc"), t(""), Value::Null, Value::Real(f64::INFINITY)]);
    let same = [t("007"), t("abc"), t(""), Value::Null, t("1e400")];
    assert_eq!(fit(array, &text()).unwrap().0, same);
    let views = a(StringViewArray::from(vec!["12.0", "None"]));
    let (got, tally) = fit(views, &int()).unwrap();
    assert_eq!(got, [Value::Int(12), Value::Null]);
    assert_eq!(tally.count("c", Habit::WordForNull), 1);
    assert_eq!(fit(a(LargeStringArray::from(vec!["x"])), &text()).unwrap().0, [t("x")]);
    let dates = a(StringArray::from(vec!["2024-03-14", "2024"]));
    let (got, _) = fit(dates, &time(Fraction::Fixed(0))).unwrap();
    assert_eq!(got, [t("2024-03-14"), Value::Int(2024)]);
}

#[test]
fn t2_bytes_are_blobs_wherever_they_stand() {
    let array = a(BinaryArray::from(vec![Some(&b"ab"[..]), None]));
    assert_eq!(fit(array.clone(), &blob()).unwrap().0, [Value::Blob(b"ab".into()), Value::Null]);
    let (got, tally) = fit(array, &text()).unwrap();
    assert_eq!(got, [Value::Blob(b"ab".into()), Value::Null]);
    assert_eq!(tally.count("c", Habit::BytesForText), 1);
}

#[test]
fn dictionaries_and_null_columns_are_what_they_hold() {
    let dictionary: DictionaryArray<Int32Type> =
        vec![Some("x"), None, Some("x")].into_iter().collect();
    assert_eq!(fit(a(dictionary), &text()).unwrap().0, [t("x"), Value::Null, t("x")]);
    assert_eq!(fit(a(NullArray::new(2)), &int()).unwrap().0, [Value::Null, Value::Null]);
    let nans = a(Float64Array::from(vec![f64::NAN]));
    assert_eq!(fit(nans, &time(Fraction::Fixed(0))).unwrap().0, [Value::Null]);
    fit(a(Float64Array::from(vec![1.0])), &text()).unwrap_err();
}

#[test]
fn t5_csv_tells_an_empty_field_from_null() {
    let bare = Some((Tag::Bare, ""));
    let quoting = FileHabits { quotes_empty: true, ..FileHabits::default() };
    let (got, tally) = cells(&[bare, Some((Tag::Quoted, ""))], &quoting, &text()).unwrap();
    assert_eq!(got, [Value::Null, t("")]);
    assert!(tally.is_empty());
    let loose = FileHabits::default();
    let (got, tally) = cells(&[bare], &loose, &text()).unwrap();
    assert_eq!(got, [Value::Null]);
    assert_eq!(tally.count("c", Habit::EmptyForNull), 1);
    let needed = Column { not_null: true, ..text() };
    assert_eq!(cells(&[bare], &loose, &needed).unwrap().0, [t("")]);
    assert_eq!(cells(&[bare], &loose, &int()).unwrap().0, [Value::Null]);
}

#[test]
fn t5_csv_fields_take_lives_type() {
    let habits = FileHabits::default();
    let field = |text| Some((Tag::Bare, text));
    let fields = [field("007"), field("9007199254740993"), field("abc"), field("None")];
    let (got, _) = cells(&fields, &habits, &int()).unwrap();
    assert_eq!(got, [Value::Int(7), Value::Int((1 << 53) + 1), t("abc"), Value::Null]);
    let (got, tally) = cells(&fields, &habits, &text()).unwrap();
    assert_eq!(got, [t("007"), t("9007199254740993"), t("abc"), t("None")]);
    assert_eq!(tally.count("c", Habit::WordKept), 1);
    let (got, _) = cells(&[field("True"), field("false"), field("12.0")], &habits, &int()).unwrap();
    assert_eq!(got, [Value::Int(1), Value::Int(0), Value::Int(12)]);
    cells(&[field("x")], &habits, &blob()).unwrap_err();
    cells(&[field("9007199254740994.0")], &habits, &int()).unwrap_err();
}

#[test]
fn t5_json_numbers_never_pass_through_a_double() {
    let habits = FileHabits::default();
    let number = |text| Some((Tag::Number, text));
    let numbers = [number("9007199254740993"), number("1.5"), number("3.0")];
    let (got, _) = cells(&numbers, &habits, &int()).unwrap();
    assert_eq!(got, [Value::Int((1 << 53) + 1), Value::Real(1.5), Value::Int(3)]);
    assert_eq!(cells(&[number("1.50")], &habits, &text()).unwrap().0, [t("1.50")]);
    cells(&[Some((Tag::True, ""))], &habits, &text()).unwrap_err();
    let nested = Some((Tag::Nested, r#"{"a":[1]}"#));
    let (got, tally) = cells(&[nested], &habits, &text()).unwrap();
    assert_eq!(got, [t(r#"{"a":[1]}"#)]);
    assert_eq!(tally.count("c", Habit::NestedJson), 1);
}

#[test]
fn t5_a_numeral_that_sqlite_may_round_otherwise_is_its_nearest_double_and_told() {
    let habits = FileHabits::default();
    let far = "33.22450151e-92";
    let nearest = [Value::Real(3.322450151e-91), Value::Real(1.5)];
    for tag in [Tag::Bare, Tag::Quoted, Tag::Str, Tag::Number] {
        for column in [real(), decimal()] {
            let two = [Some((tag, far)), Some((tag, "1.5"))];
            let (got, tally) = cells(&two, &habits, &column).unwrap();
            assert_eq!(got, nearest, "{tag:?}");
            assert_eq!(tally.count("c", Habit::NearestDouble), 1, "{tag:?}");
        }
    }
    let (_, tally) = cells(&[Some((Tag::Bare, far))], &habits, &text()).unwrap();
    assert!(tally.is_empty());
    // Our own numbers come back bit by bit, there is nothing to tell.
    let (got, tally) = cells(&[Some((Tag::OwnNumber, far))], &habits, &real()).unwrap();
    assert_eq!((&got[..], tally.is_empty()), (&nearest[..1], true));
    for column in [real(), int()] {
        let (got, tally) = fit(a(StringArray::from(vec![far, "1.5"])), &column).unwrap();
        assert_eq!(got, nearest);
        assert_eq!(tally.count("c", Habit::NearestDouble), 1);
    }
}

#[test]
fn t5_epoch_milliseconds_and_iso_text_take_lives_form() {
    let millis = FileHabits { millis: ["c".to_owned()].into(), ..FileHabits::default() };
    let column = time(Fraction::Fixed(6));
    let number = Some((Tag::Number, "1710381723500"));
    let (got, tally) = cells(&[number], &millis, &column).unwrap();
    assert_eq!(got, [t("2024-03-14 02:02:03.500000")]);
    assert_eq!(tally.count("c", Habit::EpochMillis), 1);
    cells(&[number], &FileHabits::default(), &column).unwrap_err();
    let texts = [
        Some((Tag::Str, "2024-03-14T02:02:03.500")),
        Some((Tag::Str, "2024-03-14 02:02:03.500000")),
        Some((Tag::Str, "2024-03-14T02:02:03Z")),
        Some((Tag::Str, "2024-03-14T02:02:03+01:00")),
        Some((Tag::Str, "soon")),
    ];
    let (got, tally) = cells(&texts, &millis, &column).unwrap();
    assert_eq!(
        got,
        [
            t("2024-03-14 02:02:03.500000"),
            t("2024-03-14 02:02:03.500000"),
            t("2024-03-14 02:02:03.000000"),
            t("2024-03-14T02:02:03+01:00"),
            t("soon"),
        ]
    );
    assert_eq!(tally.count("c", Habit::MomentRewritten), 1);
    assert_eq!(tally.count("c", Habit::ZoneByUtc), 1);
}

#[test]
fn a_snapshots_own_cells_keep_their_class() {
    let own = [
        Some((Tag::OwnNumber, "5")),
        Some((Tag::OwnNumber, "5.0")),
        Some((Tag::OwnReal, "-0.0")),
        Some((Tag::OwnText, "5")),
        Some((Tag::OwnBlob, "5")),
    ];
    let any = column("", Carrier::Blob, Affinity::Blob);
    let (got, _) = cells(&own, &FileHabits::default(), &any).unwrap();
    assert_eq!(
        got,
        [Value::Int(5), Value::Real(5.0), Value::Real(-0.0), t("5"), Value::Blob(b"5".into())]
    );
}

#[test]
fn misfits_of_a_row_are_sorted_by_column_name() {
    let (b, c) = (Column { name: "b".into(), ..int() }, Column { name: "a".into(), ..int() });
    let misfit = |text: &str| {
        let mut builder = CarrierBuilder::new(Carrier::Int, 2);
        builder.push(crate::model::value::ValueRef::Null);
        builder.push(crate::model::value::ValueRef::Text(text.as_bytes()));
        builder.finish()
    };
    let (one, two) = (misfit("x"), misfit("y"));
    let exact = exact_column([(&b, &one), (&c, &two)], 2);
    use arrow::array::Array;
    assert!(exact.is_null(0));
    let cells: Vec<_> = exact_cells(exact.value(1)).map(|cell| cell.unwrap().0).collect();
    assert_eq!(cells, ["a", "b"]);
}

/// A value of another engine's column in one of SQLite.
fn refitted(then: &Column, value: Value, column: &Column) -> Result<(Value, Tally)> {
    let mut builder = CarrierBuilder::new(then.carrier, 1);
    builder.push(value.as_ref());
    let table = TableName::bare("t");
    let mut tally = Tally::default();
    let mut place = Place { table: &table, column, rows: Rows::From(0), tally: &mut tally };
    let carried = refit::fit(then, builder.finish(), &mut place)?;
    Ok((values(&carried, column).remove(0), tally))
}

#[test]
fn another_engines_values_become_what_sqlite_would_store() {
    let pg = |declared: &str, carrier| column(declared, carrier, Affinity::Postgres);
    let truth = pg("boolean", Carrier::Bool);
    let boolean = column("BOOLEAN", Carrier::Int, Affinity::Numeric);
    assert_eq!(refitted(&truth, Value::Bool(true), &boolean).unwrap().0, Value::Int(1));
    assert!(refitted(&truth, Value::Bool(true), &text()).is_err());

    let stamp = pg("timestamp without time zone", Carrier::Stamp);
    let instant = pg("timestamp with time zone", Carrier::Instant);
    let micros = 1_710_381_723_500_000;
    let six = time(Fraction::Fixed(6));
    let (got, tally) = refitted(&stamp, Value::Stamp(micros), &six).unwrap();
    assert_eq!(got, t("2024-03-14 02:02:03.500000"));
    assert!(tally.is_empty());
    let (got, tally) = refitted(&instant, Value::Instant(micros), &six).unwrap();
    assert_eq!(got, t("2024-03-14 02:02:03.500000"));
    assert_eq!(tally.count("c", Habit::ZoneByUtc), 1);
    let (got, _) = refitted(&stamp, t("infinity"), &six).unwrap();
    assert_eq!(got, t("infinity"));
    assert!(refitted(&stamp, Value::Stamp(micros), &int()).is_err());
    let date = pg("date", Carrier::Date);
    assert_eq!(refitted(&date, Value::Date(19_796), &text()).unwrap().0, t("2024-03-14"));

    let money = pg("numeric(10,2)", Carrier::Decimal { precision: 10, scale: 2 });
    let cents = Value::Decimal(1_250, 2);
    assert_eq!(refitted(&money, cents.clone(), &decimal()).unwrap().0, Value::Real(12.5));
    assert_eq!(refitted(&money, cents.clone(), &text()).unwrap().0, t("12.50"));
    assert!(refitted(&money, cents, &blob()).is_err());

    let float = pg("double precision", Carrier::Real);
    let (got, tally) = refitted(&float, Value::Real(f64::NAN), &real()).unwrap();
    assert_eq!((got, tally.count("c", Habit::NanForNull)), (Value::Null, 1));
    assert_eq!(refitted(&float, Value::Real(-0.0), &real()).unwrap().0, Value::Real(0.0));
    let big = column("bigint unsigned", Carrier::Unsigned, Affinity::Mysql);
    assert_eq!(refitted(&big, Value::Int(7), &int()).unwrap().0, Value::Int(7));
    assert!(refitted(&big, Value::Unsigned(u64::MAX), &int()).is_err());
    assert_eq!(
        refitted(&big, Value::Unsigned(u64::MAX), &text()).unwrap().0,
        t("18446744073709551615")
    );
    assert_eq!(refitted(&pg("text", Carrier::Text), t("007"), &text()).unwrap().0, t("007"));
    assert_eq!(refitted(&pg("text", Carrier::Text), t("007"), &int()).unwrap().0, Value::Int(7));
}
