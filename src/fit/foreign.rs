//! An Arrow column of any type into live's column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::error::Result;
use crate::fit::affinity::{Numeral, doubtful, numeral, stored};
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::moment::{self, Moment, Written};
use crate::fit::notes::Habit;
use crate::fit::place::Place;
use crate::fit::{decimal, number};
use crate::model::table::{Affinity, Carrier, Fraction, TimeForm, Zone};
use crate::model::value::ValueRef;

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

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
        DataType::Boolean => Carrier::Int,
        d if d.is_integer() => Carrier::Int,
        d if d.is_floating() => Carrier::Real,
        d if d.is_decimal() => Carrier::Number,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Carrier::Blob,
        _ => Carrier::Text,
    }
}

/// Fits a whole column. The array's rows are the [`Place::rows`] of the file.
pub fn fit(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    match array.data_type() {
        DataType::Null => Ok(CarrierBuilder::nulls(place.column.carrier, array.len())),
        DataType::Boolean => number::booleans(array.as_boolean(), place),
        d if d.is_integer() => number::integers(array, place),
        d if d.is_floating() => number::floats(array, place),
        d if d.is_decimal() => decimal::fit(array, place),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            text(&cast_with_options(array, &DataType::Utf8, &STRICT)?, place)
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            bytes(&cast_with_options(array, &DataType::Binary, &STRICT)?, place)
        }
        DataType::Dictionary(_, values) => {
            let plain = cast_with_options(array, values, &STRICT)?;
            fit(&plain, place)
        }
        DataType::Date32 | DataType::Date64 => dates(array, place),
        DataType::Timestamp(unit, zone) => {
            let (per_second, zoned) = (per_second(unit), zone.is_some());
            let counts = cast_with_options(array, &DataType::Int64, &STRICT)?;
            moments(&counts, per_second, zoned, place)
        }
        DataType::Time32(unit) => {
            // Arrow casts Time32 to 64 bits by way of 32.
            let narrow = cast_with_options(array, &DataType::Int32, &STRICT)?;
            times(&cast_with_options(&narrow, &DataType::Int64, &STRICT)?, per_second(unit), place)
        }
        DataType::Time64(unit) => {
            let counts = cast_with_options(array, &DataType::Int64, &STRICT)?;
            times(&counts, per_second(unit), place)
        }
        other => Err(place.unfit_column(format!("values of type {other}"))),
    }
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
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
    let mut out = CarrierBuilder::new(column.carrier, texts.len());
    let mut scratch = Vec::new();
    let (mut words, mut integers, mut far) = (0, 0, 0);
    for (row, value) in texts.iter().enumerate() {
        let Some(value) = value else {
            out.push(ValueRef::Null);
            continue;
        };
        if column.carrier != Carrier::Text && column.carrier != Carrier::Blob {
            if is_null_word(value.as_bytes()) {
                words += 1;
                out.push(ValueRef::Null);
                continue;
            }
            if column.carrier == Carrier::Int
                && let Some(Numeral::Real(r)) = numeral(value.as_bytes())
            {
                match number::float(r, column) {
                    Some(fitted) => {
                        integers += usize::from(matches!(fitted, ValueRef::Int(_)));
                        far += usize::from(doubtful(value.as_bytes()));
                        out.push(fitted);
                        continue;
                    }
                    None => return Err(place.unfit(row, number::describe(r))),
                }
            }
        }
        match stored(ValueRef::Text(value.as_bytes()), column.affinity, &mut scratch) {
            Ok(fitted) => {
                let number = matches!(fitted, ValueRef::Int(_) | ValueRef::Real(_));
                far += usize::from(number && doubtful(value.as_bytes()));
                out.push(fitted);
            }
            Err(_) => return Err(place.unfit(row, "text")),
        }
    }
    place.tally.add(&column.name, Habit::NearestDouble, far);
    place.tally.add(&column.name, Habit::WordForNull, words);
    place.tally.add(&column.name, Habit::FloatForInteger, integers);
    Ok(out.finish())
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

fn dates(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let (counts, per_second) = match array.data_type() {
        DataType::Date32 => {
            let days = cast_with_options(array, &DataType::Int32, &STRICT)?;
            let days = cast_with_options(&days, &DataType::Int64, &STRICT)?;
            let seconds = days.as_primitive::<Int64Type>().unary::<_, Int64Type>(|d| d * 86_400);
            (Arc::new(seconds) as ArrayRef, 1)
        }
        _ => (cast_with_options(array, &DataType::Int64, &STRICT)?, 1_000),
    };
    if place.column.time_form.is_some() {
        return moments(&counts, per_second, false, place);
    }
    let form = TimeForm { separator: None, fraction: Fraction::Fixed(0), zone: Zone::None };
    let values = counts.len() - counts.null_count();
    place.tally.add(&place.column.name, Habit::TextFormAssumed, values);
    written(&counts, place, |count, out| Moment::of(count, per_second).write(&form, out))
}

/// Fits counts of units since 1970, in live's text form.
pub(crate) fn moments(
    counts: &ArrayRef,
    per_second: i64,
    zoned: bool,
    place: &mut Place<'_>,
) -> Result<Carried> {
    let values = counts.len() - counts.null_count();
    let form = match place.column.time_form {
        Some(form) => {
            if form.separator.is_some() && zoned != (form.zone != Zone::None) {
                place.tally.add(&place.column.name, Habit::ZoneByUtc, values);
            }
            form
        }
        None => {
            place.tally.add(&place.column.name, Habit::TextFormAssumed, values);
            if zoned {
                place.tally.add(&place.column.name, Habit::ZoneByUtc, values);
            }
            moment::ASSUMED
        }
    };
    written(counts, place, |count, out| Moment::of(count, per_second).write(&form, out))
}

fn times(counts: &ArrayRef, per_second: i64, place: &mut Place<'_>) -> Result<Carried> {
    let values = counts.len() - counts.null_count();
    place.tally.add(&place.column.name, Habit::TextFormAssumed, values);
    written(counts, place, |count, out| {
        let time = Moment::of(count, per_second);
        let second = u32::try_from(time.seconds).ok().filter(|s| *s < 86_400)?;
        moment::write_time_of_day(second, time.nanos, out);
        Some(Written::InForm)
    })
}

/// Writes each count as text and puts it where live's column keeps text.
fn written(
    counts: &ArrayRef,
    place: &mut Place<'_>,
    write: impl Fn(i64, &mut Vec<u8>) -> Option<Written>,
) -> Result<Carried> {
    let counts = counts.as_primitive::<Int64Type>();
    let column = place.column;
    if counts.null_count() == counts.len() {
        return Ok(CarrierBuilder::nulls(column.carrier, counts.len()));
    }
    if column.carrier != Carrier::Text {
        return Err(place.unfit_column("moments"));
    }
    let mut data = Vec::with_capacity(counts.len() * 26);
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
