//! An Arrow column of any type into live's column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::error::Result;
use crate::fit::affinity::{Numeral, doubtful, numeral, stored};
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::given::{Givens, Kind};
use crate::fit::moment::{self, Moment, Written};
use crate::fit::notes::Habit;
use crate::fit::place::Place;
use crate::fit::strict::{self, Door};
use crate::fit::{decimal, number};
use crate::model::table::{Affinity, Carrier};
use crate::model::value::ValueRef;

/// True for an Arrow type that [`fit`] takes for some column.
pub fn is_plain(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_plain(values),
        other => {
            !other.is_nested() && !matches!(other, DataType::Duration(_) | DataType::Interval(_))
        }
    }
}

/// The carrier that an Arrow type suggests where live's column is not known.
pub fn natural_carrier(data_type: &DataType) -> Carrier {
    match data_type {
        DataType::Dictionary(_, values) => natural_carrier(values),
        DataType::Boolean => Carrier::Bool,
        DataType::UInt64 => Carrier::Unsigned,
        d if d.is_integer() => Carrier::Int,
        d if d.is_floating() => Carrier::Real,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            Carrier::Decimal { precision: *precision, scale: *scale }
        }
        DataType::Date32 => Carrier::Date,
        // A moment may have finer digits than its carrier; text has them all.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Carrier::Text,
        DataType::Timestamp(_, None) => Carrier::Stamp,
        DataType::Timestamp(_, Some(_)) => Carrier::Instant,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Carrier::Blob,
        _ => Carrier::Text,
    }
}

/// Fits a whole column. The array's rows are the [`Place::rows`] of the file.
pub fn fit(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let Some(givens) = Givens::of(array)? else {
        return Err(place.unfit_column(format!("values of type {}", array.data_type())));
    };
    if strict::holds(place.column) {
        return strict::fit(&givens, Door::File, place);
    }
    let array = &givens.array;
    match givens.kind {
        Kind::Null => Ok(CarrierBuilder::nulls(place.column.carrier, array.len())),
        Kind::Bool => number::booleans(array.as_boolean(), place),
        Kind::Int | Kind::Unsigned => number::integers(array, place),
        Kind::Double | Kind::Single => number::floats(array, place),
        Kind::Decimal(scale) => decimal::fit(array.as_primitive(), scale, place),
        Kind::Numeral => Err(place.unfit_column("decimals of more than 38 digits")),
        Kind::Text => text(array, place),
        Kind::Bytes => bytes(array, place),
        Kind::Day => days(&givens, place),
        Kind::Moment { per_second, zoned } => {
            let (form, habits) = moment::form(place.column, zoned);
            tell(&givens, &habits, place);
            written(&givens, place, |count, out| Moment::of(count, per_second).write(&form, out))
        }
        Kind::Time { per_second } => {
            tell(&givens, &[Some(Habit::TextFormAssumed)], place);
            written(&givens, place, |count, out| {
                Moment::of(count, per_second).write_time_of_day(out)?;
                Some(Written::InForm)
            })
        }
    }
}

fn tell(givens: &Givens, habits: &[Option<Habit>], place: &mut Place<'_>) {
    for habit in habits.iter().flatten() {
        place.tally.add(&place.column.name, *habit, givens.values());
    }
}

fn days(givens: &Givens, place: &mut Place<'_>) -> Result<Carried> {
    let (form, habit) = moment::day_form(place.column);
    tell(givens, &[habit], place);
    written(givens, place, |day, out| Moment::of_day(day)?.write(&form, out))
}

fn text(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let texts = array.as_string::<i32>();
    let column = place.column;
    if column.carrier == Carrier::Text {
        let converts = !matches!(column.affinity, Affinity::Text | Affinity::Blob);
        if !converts || !texts.iter().flatten().any(|t| numeral(t.as_bytes()).is_some()) {
            return Ok(array.clone().into());
        }
    }
    let free = matches!(column.carrier, Carrier::Text | Carrier::Blob);
    place.carry(texts.len(), |row, scratch, out| {
        if texts.is_null(row) {
            out.push(ValueRef::Null);
            return Ok([None, None]);
        }
        let text = texts.value(row).as_bytes();
        if !free && is_null_word(text) {
            out.push(ValueRef::Null);
            return Ok([Some(Habit::WordForNull), None]);
        }
        let (value, habit) = match numeral(text) {
            Some(Numeral::Real(r)) if column.carrier == Carrier::Int => {
                let value = number::float(r, column).ok_or_else(|| number::describe(r))?;
                (value, matches!(value, ValueRef::Int(_)).then_some(Habit::FloatForInteger))
            }
            _ => {
                (stored(ValueRef::Text(text), column.affinity, scratch).map_err(|_| "text")?, None)
            }
        };
        let number = matches!(value, ValueRef::Int(_) | ValueRef::Real(_));
        let far = number && doubtful(text);
        out.push(value);
        Ok([habit, far.then_some(Habit::NearestDouble)])
    })
}

/// True for the words by which Python's tools write a NULL as text.
pub(crate) fn is_null_word(text: &[u8]) -> bool {
    matches!(text, b"None" | b"NaN" | b"nan" | b"NaT" | b"<NA>" | b"NULL" | b"null")
}

fn bytes(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    if place.column.carrier == Carrier::Blob {
        return Ok(array.clone().into());
    }
    let blobs = array.as_binary::<i32>();
    let count = blobs.len() - blobs.null_count();
    place.tally.add(&place.column.name, Habit::BytesForText, count);
    let mut out = CarrierBuilder::new(place.column.carrier, blobs.len());
    for value in blobs {
        out.push(value.map_or(ValueRef::Null, ValueRef::Blob));
    }
    Ok(out.finish())
}

/// Writes each count as text and puts it where live's column keeps text.
fn written(
    givens: &Givens,
    place: &mut Place<'_>,
    write: impl Fn(i64, &mut Vec<u8>) -> Option<Written>,
) -> Result<Carried> {
    let counts = givens.array.as_primitive::<Int64Type>();
    let column = place.column;
    if counts.null_count() == counts.len() {
        return Ok(CarrierBuilder::nulls(column.carrier, counts.len()));
    }
    if column.carrier != Carrier::Text {
        return Err(place.unfit_column("moments"));
    }
    let mut data = Vec::with_capacity(counts.len() * 26 + 35);
    let mut offsets = Vec::with_capacity(counts.len() + 1);
    offsets.push(0_i32);
    let mut longer = 0;
    for row in 0..counts.len() {
        if counts.is_valid(row) {
            match write(counts.value(row), &mut data) {
                Some(Written::InForm) => {}
                Some(Written::Longer) => longer += 1,
                None => {
                    let count = counts.value(row);
                    return Err(place.unfit(row, format!("a moment out of range ({count})")));
                }
            }
        }
        let end = i32::try_from(data.len())
            .map_err(|_| place.unfit(row, "too much text for one batch"))?;
        offsets.push(end);
    }
    place.tally.add(&column.name, Habit::LongerMoment, longer);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let texts = StringArray::try_new(offsets, Buffer::from_vec(data), counts.nulls().cloned())?;
    Ok((Arc::new(texts) as ArrayRef).into())
}
