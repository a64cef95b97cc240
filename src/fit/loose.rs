//! Values of a database or of a snapshot of ours into a column of SQLite.

use crate::fit::affinity::stored;
use crate::fit::given::Found;
use crate::fit::moment::{self, Moment, Written};
use crate::fit::notes::Habit;
use crate::fit::{decimal, number};
use crate::model::table::{Affinity, Carrier, Column};
use crate::model::value::ValueRef;

/// What SQLite would store for a value. A moment takes the text form that live shows; NaN
/// is NULL, as SQLite has it.
pub(crate) fn value<'a>(
    given: ValueRef<'a>,
    column: &Column,
    scratch: &'a mut Vec<u8>,
) -> Found<'a> {
    match given {
        ValueRef::Real(r) if r.is_nan() => Ok((ValueRef::Null, Some(Habit::NanForNull))),
        ValueRef::Real(r) => match stored(given, column.affinity, scratch) {
            Ok(value) => Ok((value, None)),
            Err(_) => Err(number::describe(r)),
        },
        ValueRef::Unsigned(u) if column.affinity == Affinity::Text => {
            scratch.extend_from_slice(u.to_string().as_bytes());
            Ok((ValueRef::Text(scratch), Some(Habit::NumberForText)))
        }
        ValueRef::Unsigned(u) => Err(number::too_large(u)),
        ValueRef::Bool(truth) => number::boolean(truth, column),
        ValueRef::Date(day) => {
            let (form, habit) = moment::day_form(column);
            written(column, scratch, habit, |out| Moment::of_day(day.into())?.write(&form, out))
        }
        ValueRef::Stamp(micros) | ValueRef::Instant(micros) => {
            let (form, habits) = moment::form(column, matches!(given, ValueRef::Instant(_)));
            // Of two assumptions the zone is the one to be told.
            let habit = habits[1].or(habits[0]);
            written(column, scratch, habit, |out| Moment::of(micros, 1_000_000).write(&form, out))
        }
        ValueRef::Decimal(digits, scale) => {
            let tens = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
            Ok((decimal::value((digits, scale), tens, column, scratch)?, None))
        }
        ValueRef::Null | ValueRef::Int(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
            let value = stored(given, column.affinity, scratch).map_err(|_| "a real")?;
            Ok((value, None))
        }
    }
}

fn written<'a>(
    column: &Column,
    scratch: &'a mut Vec<u8>,
    habit: Option<Habit>,
    write: impl Fn(&mut Vec<u8>) -> Option<Written>,
) -> Found<'a> {
    if column.carrier != Carrier::Text {
        return Err("a moment".into());
    }
    match write(scratch) {
        Some(Written::InForm) => Ok((ValueRef::Text(scratch), habit)),
        Some(Written::Longer) => Ok((ValueRef::Text(scratch), habit.or(Some(Habit::LongerMoment)))),
        None => Err("a moment out of range".into()),
    }
}
