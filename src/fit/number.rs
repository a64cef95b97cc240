//! Integers, floats and booleans into live's columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, UInt64Type};

use crate::error::Result;
use crate::fit::affinity::stored;
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::notes::Habit;
use crate::fit::place::Place;
use crate::model::table::{Affinity, Carrier, Column};
use crate::model::value::{F64_INTEGERS, ValueRef, stands_for_integer};

const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// Fits an Arrow integer of any width.
pub(crate) fn integers(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    if *array.data_type() == DataType::UInt64 {
        let unsigned = array.as_primitive::<UInt64Type>();
        if let Some(row) = first(unsigned, |v| i64::try_from(v).is_err()) {
            let value = unsigned.value(row);
            return Err(place.unfit(row, format!("{value}, which is more than 64 bits signed")));
        }
    }
    let array = cast_with_options(array, &DataType::Int64, &STRICT)?;
    let ints = array.as_primitive::<Int64Type>();
    let column = place.column;
    let kept = !matches!(column.affinity, Affinity::Text | Affinity::Real);
    match column.carrier {
        Carrier::Int if kept => return Ok(array.into()),
        Carrier::Number if kept && first(ints, |v| !exact(v)).is_none() => {
            return Ok(float_column(ints).into());
        }
        Carrier::Real if column.affinity == Affinity::Real => return Ok(float_column(ints).into()),
        Carrier::Text if column.time_form.is_some() && ints.null_count() < ints.len() => {
            let row = first(ints, |_| true).unwrap_or(0);
            let value = ints.value(row);
            return Err(place.unfit(row, format!("the integer {value}, whose unit is not said")));
        }
        _ => {}
    }
    if column.affinity == Affinity::Text {
        place.tally.add(&column.name, Habit::NumberForText, ints.len() - ints.null_count());
    }
    let mut out = CarrierBuilder::new(column.carrier, ints.len());
    let mut scratch = Vec::new();
    for (row, value) in ints.iter().enumerate() {
        let value = value.map_or(ValueRef::Null, ValueRef::Int);
        match stored(value, column.affinity, &mut scratch) {
            Ok(value) => out.push(value),
            Err(_) => return Err(place.unfit(row, "an integer")),
        }
    }
    Ok(out.finish())
}

/// Fits an Arrow float of any width. NaN becomes NULL, as in SQLite.
pub(crate) fn floats(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let array = cast_with_options(array, &DataType::Float64, &STRICT)?;
    let floats = array.as_primitive::<Float64Type>();
    let column = place.column;
    let plain = |r: f64| !r.is_nan() && r.to_bits() != 1 << 63;
    if column.carrier == Carrier::Real
        && matches!(column.affinity, Affinity::Real | Affinity::Blob)
        && first(floats, |r| !plain(r)).is_none()
    {
        return Ok(array.into());
    }
    let mut out = CarrierBuilder::new(column.carrier, floats.len());
    let (mut nans, mut integers) = (0, 0);
    for (row, value) in floats.iter().enumerate() {
        match value {
            None => out.push(ValueRef::Null),
            Some(r) if r.is_nan() => {
                nans += 1;
                out.push(ValueRef::Null);
            }
            Some(r) => match float(r, column) {
                Some(value) => {
                    integers += usize::from(matches!(value, ValueRef::Int(_)));
                    out.push(value);
                }
                None => return Err(place.unfit(row, describe(r))),
            },
        }
    }
    place.tally.add(&column.name, Habit::NanForNull, nans);
    if column.carrier == Carrier::Int {
        place.tally.add(&column.name, Habit::FloatForInteger, integers);
    }
    Ok(out.finish())
}

/// What a column stores for a float of a file; `None` when that is not certain. An
/// integral float past 2^53 may have been another integer before it became a float, and
/// a float's text is not the text that live had.
pub(crate) fn float(r: f64, column: &Column) -> Option<ValueRef<'static>> {
    match (column.carrier, column.affinity) {
        (_, Affinity::Text) | (Carrier::Text | Carrier::Blob, _) => None,
        (_, Affinity::Real) => Some(ValueRef::Real(r + 0.0)),
        (Carrier::Real, Affinity::Blob) => Some(ValueRef::Real(r)),
        _ if r.trunc() != r || r.is_infinite() => Some(ValueRef::Real(r)),
        _ if r == 0.0 || stands_for_integer(r) => Some(ValueRef::Int(r as i64)),
        _ => None,
    }
}

/// A float in an error's words.
pub(crate) fn describe(r: f64) -> String {
    if r.trunc() == r && r.abs() > F64_INTEGERS as f64 {
        format!("the float {r:e}, which stands for more than one integer")
    } else {
        format!("the float {r:?}")
    }
}

/// Fits booleans, as 0 and 1.
pub(crate) fn booleans(array: &BooleanArray, place: &mut Place<'_>) -> Result<Carried> {
    let column = place.column;
    if column.affinity == Affinity::Text || matches!(column.carrier, Carrier::Text | Carrier::Blob)
    {
        return if array.null_count() == array.len() {
            Ok(CarrierBuilder::nulls(column.carrier, array.len()))
        } else {
            Err(place.unfit_column("booleans"))
        };
    }
    if !column.declared.to_ascii_uppercase().starts_with("BOOL") {
        let count = array.len() - array.null_count();
        place.tally.add(&column.name, Habit::BooleanForNumber, count);
    }
    let ints: Int64Array = array.iter().map(|b| b.map(i64::from)).collect();
    integers(&(Arc::new(ints) as ArrayRef), place)
}

fn exact(v: i64) -> bool {
    (-F64_INTEGERS..=F64_INTEGERS).contains(&v)
}

fn float_column(ints: &Int64Array) -> ArrayRef {
    let floats: Float64Array = ints.unary(|v| v as f64);
    Arc::new(floats)
}

fn first<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    wanted: impl Fn(T::Native) -> bool,
) -> Option<usize> {
    if array.null_count() == 0 {
        return array.values().iter().position(|v| wanted(*v));
    }
    (0..array.len()).find(|row| array.is_valid(*row) && wanted(array.value(*row)))
}
