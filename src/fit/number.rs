//! Integers, floats and booleans into live's columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray,
};
use arrow::compute::cast_with_options;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, UInt64Type};

use crate::error::Result;
use crate::fit::affinity::stored;
use crate::fit::carry::Carried;
use crate::fit::given::{EXACTLY, Found};
use crate::fit::notes::Habit;
use crate::fit::place::Place;
use crate::model::table::{Affinity, Carrier, Column};
use crate::model::value::{F64_INTEGERS, ValueRef, stands_for_integer};

/// Fits `Int64` or `UInt64`.
pub(crate) fn integers(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    if *array.data_type() == DataType::UInt64 {
        let unsigned = array.as_primitive::<UInt64Type>();
        if let Some(row) = first(unsigned, |v| i64::try_from(v).is_err()) {
            return Err(place.unfit(row, too_large(unsigned.value(row))));
        }
    }
    let array = cast_with_options(array, &DataType::Int64, &EXACTLY)?;
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
    let as_text = (column.affinity == Affinity::Text).then_some(Habit::NumberForText);
    place.carry(ints.len(), |row, scratch, out| {
        if ints.is_null(row) {
            out.push(ValueRef::Null);
            return Ok([None]);
        }
        let value = stored(ValueRef::Int(ints.value(row)), column.affinity, scratch);
        out.push(value.map_err(|_| "an integer")?);
        Ok([as_text])
    })
}

/// An integer past 64 bits in an error's words.
pub(crate) fn too_large(value: u64) -> String {
    format!("{value}, which is more than 64 bits signed")
}

/// Fits an Arrow float of any width. NaN becomes NULL, as in SQLite.
pub(crate) fn floats(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let array = cast_with_options(array, &DataType::Float64, &EXACTLY)?;
    let floats = array.as_primitive::<Float64Type>();
    let column = place.column;
    let plain = |r: f64| !r.is_nan() && r.to_bits() != 1 << 63;
    if column.carrier == Carrier::Real
        && matches!(column.affinity, Affinity::Real | Affinity::Blob)
        && first(floats, |r| !plain(r)).is_none()
    {
        return Ok(array.into());
    }
    place.carry(floats.len(), |row, _, out| {
        if floats.is_null(row) {
            out.push(ValueRef::Null);
            return Ok([None]);
        }
        let r = floats.value(row);
        if r.is_nan() {
            out.push(ValueRef::Null);
            return Ok([Some(Habit::NanForNull)]);
        }
        let value = float(r, column).ok_or_else(|| describe(r))?;
        out.push(value);
        let integer = column.carrier == Carrier::Int && matches!(value, ValueRef::Int(_));
        Ok([integer.then_some(Habit::FloatForInteger)])
    })
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
    place.carry(array.len(), |row, _, out| {
        if array.is_null(row) {
            out.push(ValueRef::Null);
            return Ok([None]);
        }
        let (value, habit) = boolean(array.value(row), column)?;
        out.push(value);
        Ok([habit])
    })
}

/// What a column stores for a truth value: 0 or 1, and never text.
pub(crate) fn boolean(truth: bool, column: &Column) -> Found<'static> {
    let value = match (column.carrier, column.affinity) {
        (Carrier::Text | Carrier::Blob, _) | (_, Affinity::Text) => {
            return Err(format!("the boolean {truth}"));
        }
        (_, Affinity::Real) => ValueRef::Real(f64::from(u8::from(truth))),
        _ => ValueRef::Int(truth.into()),
    };
    let declared = column.declared.to_ascii_uppercase().starts_with("BOOL");
    Ok((value, (!declared).then_some(Habit::BooleanForNumber)))
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
