//! Values into columns that hold values of their declared type only (PostgreSQL, MySQL).
//!
//! A value becomes exactly the value that the type holds, as the engine would print it, or
//! it is refused: nothing is rounded, cut or shifted, since an engine would do so silently
//! (PostgreSQL documentation, chapter 8; MySQL 8.4 manual, chapter 13). What a carrier can't
//! say, `infinity` or a zero date, is the engine's text of it.

mod blob;
mod decimal;
mod declared;
mod jsonb;
mod moment;
mod number;
mod numeral;
mod plain;
mod real;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{cast_with_options, max, min};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
    UInt64Type,
};

use crate::error::Result;
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::given::{EXACTLY, Found, Given, Givens, Kind};
use crate::fit::place::Place;
use crate::fit::strict::blob::Blobs;
use crate::fit::strict::decimal::Decimals;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::moment::Moments;
use crate::fit::strict::number::Integers;
pub(crate) use crate::fit::strict::number::rescaled;
use crate::fit::strict::numeral::Numeral;
use crate::fit::strict::real::Reals;
use crate::fit::strict::text::Texts;
pub(crate) use crate::fit::strict::text::write_uuid;
use crate::model::table::{Carrier, Column};

/// What a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A file of some exporter, whose habits are known: NaN for NULL, floats for integers.
    File,
    /// A database or a snapshot of ours, whose values mean what they are.
    Database,
}

/// True for a column that holds values of one type only.
pub(crate) fn holds(column: &Column) -> bool {
    let typed = !matches!(
        column.carrier,
        Carrier::Int | Carrier::Real | Carrier::Number | Carrier::Text | Carrier::Blob
    );
    typed || column.affinity.is_strict()
}

/// A numeral's digits and how many of them stand behind the point; `None` for what is none,
/// and for more than 38 of them.
pub(crate) fn decimal(text: &[u8]) -> Option<(i128, i8)> {
    let numeral = Numeral::parse(text)?;
    let scale = i8::try_from(numeral.scale()).ok()?;
    Some((numeral.scaled(scale.into())?, scale))
}

/// Fits values into one column.
#[derive(Debug)]
pub(crate) struct Fitter {
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Integer(Integers),
    Bool,
    Real(Reals),
    Decimal(Decimals),
    Moment(Moments),
    Text(Texts),
    Blob(Blobs),
}

impl Fitter {
    /// For a column that [`holds`] one type.
    pub(crate) fn new(column: &Column) -> Self {
        let declared = Declared::parse(&column.declared);
        let engine = column.affinity;
        let moments = |kind| Shape::Moment(Moments::of(kind, &declared, engine));
        let shape = match column.carrier {
            Carrier::Int => Shape::Integer(Integers::of(&declared, engine, false)),
            Carrier::Unsigned => Shape::Integer(Integers::of(&declared, engine, true)),
            Carrier::Bool => Shape::Bool,
            Carrier::Real | Carrier::Number => Shape::Real(Reals::of(&declared, engine)),
            Carrier::Decimal { precision, scale } => {
                Shape::Decimal(Decimals::new((precision, scale), &declared, engine))
            }
            Carrier::Date => moments(moment::Kind::Date),
            Carrier::Stamp => moments(moment::Kind::Stamp),
            Carrier::Instant => moments(moment::Kind::Instant),
            Carrier::Text => Shape::Text(Texts::of(&declared, engine)),
            Carrier::Blob => Shape::Blob(Blobs::of(&declared, engine)),
        };
        Self { shape }
    }

    /// True for a column of free text, in which an empty text is a value.
    pub(crate) fn is_free_text(&self) -> bool {
        matches!(&self.shape, Shape::Text(texts) if texts.is_free())
    }

    /// True for a column of moments.
    pub(crate) fn is_moment(&self) -> bool {
        matches!(self.shape, Shape::Moment(_))
    }

    /// True when an integer, text or bytes given to a column of such are its value as they
    /// are, or refused.
    pub(crate) fn takes_as_is(&self) -> bool {
        match &self.shape {
            Shape::Integer(_) => true,
            Shape::Text(texts) => texts.passes().is_some(),
            Shape::Blob(blobs) => !blobs.filled,
            _ => false,
        }
    }

    /// The column's value for a given one.
    pub(crate) fn value<'a>(
        &self,
        given: Given<'a>,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match &self.shape {
            Shape::Integer(integers) => integers.value(given, door),
            Shape::Bool => number::truth(given, door),
            Shape::Real(reals) => reals.value(given, door),
            Shape::Decimal(decimals) => decimals.value(given, door),
            Shape::Moment(moments) => moments.value(given, door, scratch),
            Shape::Text(texts) => texts.value(given, door, scratch),
            Shape::Blob(blobs) => blobs.value(given, door, scratch),
        }
    }
}

/// Fits a column.
pub(crate) fn fit(givens: &Givens, door: Door, place: &mut Place<'_>) -> Result<Carried> {
    let fitter = Fitter::new(place.column);
    let rows = givens.array.len();
    if givens.values() == 0 {
        return Ok(CarrierBuilder::nulls(place.column.carrier, rows));
    }
    if let Some(array) = fitter.whole(givens, place)? {
        return Ok(array.into());
    }
    place.carry(rows, |row, scratch, out| {
        let (value, habit) = fitter.value(givens.get(row), door, scratch)?;
        out.push(value);
        Ok([habit])
    })
}

impl Fitter {
    /// A column all of whose values are the type's own, taken at once; `None` where each
    /// has to be looked at.
    pub(crate) fn whole(&self, givens: &Givens, place: &mut Place<'_>) -> Result<Option<ArrayRef>> {
        let array = &givens.array;
        let own = place.column.carrier.data_type();
        let cast = |array: &ArrayRef| Ok(Some(cast_with_options(array, &own, &EXACTLY)?));
        match (&self.shape, givens.kind) {
            (Shape::Integer(integers), Kind::Int) => {
                let (least, most) = integers.bounds();
                let ints = array.as_primitive::<Int64Type>();
                if within(ints, |i| (least..=most).contains(&i.into())) {
                    cast(array)
                } else {
                    Ok(None)
                }
            }
            (Shape::Integer(integers), Kind::Unsigned) => {
                let (least, most) = integers.bounds();
                let ints = array.as_primitive::<UInt64Type>();
                if within(ints, |i| (least..=most).contains(&i.into())) {
                    cast(array)
                } else {
                    Ok(None)
                }
            }
            (Shape::Bool, Kind::Bool) => Ok(Some(Arc::clone(array))),
            (Shape::Real(reals), Kind::Double) if reals.is_plain() => {
                let floats = array.as_primitive::<Float64Type>();
                let finite = || floats.iter().flatten().all(f64::is_finite);
                Ok((reals.endless || finite()).then(|| Arc::clone(array)))
            }
            (Shape::Decimal(decimals), Kind::Decimal(scale)) if scale == decimals.scale => {
                let most = 10_u128.pow(decimals.precision.into());
                let digits = array.as_primitive::<Decimal128Type>();
                let fits = |digits: i128| digits.unsigned_abs() < most;
                if decimals.takes_negative() && within(digits, fits) {
                    cast(array)
                } else {
                    Ok(None)
                }
            }
            (Shape::Moment(moments), Kind::Day) if own == DataType::Date32 => {
                let (first, end) = moments.days();
                let days = array.as_primitive::<Int64Type>();
                let fits =
                    within(days, |day| (first..end).contains(&day) && i32::try_from(day).is_ok());
                if !fits {
                    return Ok(None);
                }
                let days: PrimitiveArray<Date32Type> = days.unary(|day| day as i32);
                Ok(Some(Arc::new(days)))
            }
            (Shape::Moment(moments), Kind::Moment { per_second, zoned })
                if own != DataType::Date32 =>
            {
                let Some(micros) = micros(array.as_primitive(), per_second) else {
                    return Ok(None);
                };
                let (first, end) = moments.micros();
                let unit = moments.unit();
                let fits = within(&micros, |m| (first..end).contains(&m))
                    && (unit == 1 || micros.iter().flatten().all(|m| m.rem_euclid(unit) == 0));
                if !fits {
                    return Ok(None);
                }
                if let Some(habit) = moments.zone_habit(zoned) {
                    place.tally.add(&place.column.name, habit, givens.values());
                }
                let micros = micros.reinterpret_cast::<TimestampMicrosecondType>();
                Ok(Some(Arc::new(micros.with_data_type(own))))
            }
            (Shape::Text(texts), Kind::Text) => {
                let Some(most) = texts.passes() else { return Ok(None) };
                let strings = array.as_string::<i32>();
                let short = || strings.offsets().lengths().all(|length| length <= most);
                let nul = || texts.refuses_nul() && strings.value_data().contains(&0);
                Ok(((most == usize::MAX || short()) && !nul()).then(|| Arc::clone(array)))
            }
            (Shape::Blob(blobs), Kind::Bytes) if !blobs.filled => {
                let bytes = array.as_binary::<i32>();
                let short = bytes.offsets().lengths().all(|length| length <= blobs.most);
                Ok(short.then(|| Arc::clone(array)))
            }
            _ => Ok(None),
        }
    }
}

/// True when the least and the greatest value pass.
fn within<T>(array: &PrimitiveArray<T>, fits: impl Fn(T::Native) -> bool) -> bool
where
    T: arrow::datatypes::ArrowNumericType,
{
    [min(array), max(array)].into_iter().flatten().all(fits)
}

/// Counts of units as microseconds; `None` where one has no whole number of them.
fn micros(
    counts: &PrimitiveArray<Int64Type>,
    per_second: i64,
) -> Option<PrimitiveArray<Int64Type>> {
    if per_second <= 1_000_000 {
        let factor = 1_000_000 / per_second;
        let most = i64::MAX / factor;
        return within(counts, |count| (-most..=most).contains(&count))
            .then(|| counts.unary(|count| count * factor));
    }
    let divisor = per_second / 1_000_000;
    let exact = counts.iter().flatten().all(|count| count % divisor == 0);
    exact.then(|| counts.unary(|count| count.div_euclid(divisor)))
}
