//! What each foreign form becomes in each type, by the types' definitions.

mod documented;
mod laws;
mod moments;
mod numbers;
mod plain;
mod texts;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int64Array, StringArray, UInt64Array,
};

use crate::fit::carry::Carried;
use crate::fit::cell::staged::StagedCells;
use crate::fit::cell::{self, FileHabits, Tag};
use crate::fit::foreign;
use crate::fit::notes::{Habit, Tally};
use crate::fit::place::{Place, Rows};
use crate::fit::refit;
use crate::model::table::{Affinity, Carrier, Column, TableName};
use crate::model::value::{Value, ValueRef, carried};

fn pg(declared: &str, carrier: Carrier) -> Column {
    let affinity = Affinity::Postgres;
    Column { declared: declared.into(), affinity, ..Column::new("c", carrier) }
}

fn my(declared: &str, carrier: Carrier) -> Column {
    let affinity = Affinity::Mysql;
    Column { declared: declared.into(), affinity, ..Column::new("c", carrier) }
}

fn decimal(precision: u8, scale: i8) -> Carrier {
    Carrier::Decimal { precision, scale }
}

fn a<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

/// A fitted value and the habit that it showed, or what the error says was found.
type Fitted = Result<(Value, Option<Habit>), String>;

fn one(
    column: &Column,
    fit: impl FnOnce(&mut Place<'_>) -> crate::error::Result<Carried>,
) -> Fitted {
    let table = TableName::bare("t");
    let mut tally = Tally::default();
    let mut place = Place { table: &table, column, rows: Rows::From(4), tally: &mut tally };
    match fit(&mut place) {
        Ok(fitted) => {
            let value = match fitted.misfits.first() {
                Some((row, value)) => {
                    assert!(*row == 0 && fitted.array.is_null(0));
                    value.clone()
                }
                None if fitted.array.is_null(0) => Value::Null,
                None => carried(fitted.array.as_ref(), column.carrier, 0).to_owned(),
            };
            Ok((value, tally.only()))
        }
        Err(e) => {
            let message = e.to_string();
            let found = message.strip_prefix("backup column t.c in row 5 holds ");
            let found = found.unwrap_or_else(|| panic!("no place is named: {message}"));
            Err(found.split(';').next().unwrap().to_owned())
        }
    }
}

/// An Arrow column of one value.
fn arrow(array: ArrayRef, column: &Column) -> Fitted {
    assert_eq!(array.len(), 1);
    one(column, |place| foreign::fit(&array, place))
}

/// A cell of a text format.
fn cell(tag: Tag, payload: &[u8], column: &Column) -> Fitted {
    let staged: StagedCells = [Some((tag, payload))].into_iter().collect();
    one(column, |place| cell::fit(&staged, "c", &FileHabits::default(), place))
}

/// A value of another database's column.
fn from(then: &Column, value: Value, column: &Column) -> Fitted {
    let mut builder = crate::fit::carry::CarrierBuilder::new(then.carrier, 1);
    builder.push(value.as_ref());
    let given = builder.finish();
    one(column, |place| refit::fit(then, given, place))
}

/// A text by every door that brings text: they agree but for the words that mean NULL.
fn text(text: &str, column: &Column) -> Fitted {
    let found = arrow(a(StringArray::from(vec![text])), column);
    for tag in [Tag::Quoted, Tag::Str] {
        let cell = cell(tag, text.as_bytes(), column);
        assert_eq!(cell.as_ref().ok().map(|f| &f.0), found.as_ref().ok().map(|f| &f.0), "{text}");
    }
    if !text.is_empty() && !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false")
    {
        let bare = cell(Tag::Bare, text.as_bytes(), column).ok().map(|f| f.0);
        assert_eq!(bare, found.as_ref().ok().map(|f| f.0.clone()), "{text}");
    }
    found
}

fn int(i: i64, column: &Column) -> Fitted {
    arrow(a(Int64Array::from(vec![i])), column)
}

fn unsigned(u: u64, column: &Column) -> Fitted {
    arrow(a(UInt64Array::from(vec![u])), column)
}

fn double(r: f64, column: &Column) -> Fitted {
    arrow(a(Float64Array::from(vec![r])), column)
}

fn single(r: f32, column: &Column) -> Fitted {
    arrow(a(Float32Array::from(vec![r])), column)
}

fn dec(digits: i128, scale: i8, column: &Column) -> Fitted {
    let array = Decimal128Array::from(vec![digits]).with_precision_and_scale(38, scale).unwrap();
    arrow(a(array), column)
}

fn truth(b: bool, column: &Column) -> Fitted {
    arrow(a(BooleanArray::from(vec![b])), column)
}

fn bytes(b: &[u8], column: &Column) -> Fitted {
    arrow(a(BinaryArray::from(vec![b])), column)
}

fn day(day: i32, column: &Column) -> Fitted {
    arrow(a(Date32Array::from(vec![day])), column)
}

fn t(text: &str) -> Value {
    Value::Text(text.into())
}

/// The value was taken, and showed this habit.
#[track_caller]
fn is(found: Fitted, value: Value, habit: Option<Habit>) {
    assert_eq!(found, Ok((value, habit)));
}

/// The value was refused, in these words.
#[track_caller]
fn refused(found: Fitted, words: &str) {
    match found {
        Err(said) => assert!(said.contains(words), "{said:?} lacks {words:?}"),
        Ok(found) => panic!("{found:?} was taken"),
    }
}
