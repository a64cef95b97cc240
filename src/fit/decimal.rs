//! Decimals into live's columns. A decimal of up to 15 significant digits has one nearest
//! double and comes back from it; a longer one would lose digits and is refused.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type};

use crate::error::Result;
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::place::Place;
use crate::model::table::{Affinity, Carrier};
use crate::model::value::ValueRef;

const EXACT_BELOW: u128 = 1_000_000_000_000_000;

/// Powers of ten that are exact doubles.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Fits an Arrow decimal of any width: into a text column as its text, with all digits of
/// its scale; into others as the number.
pub(crate) fn fit(array: &ArrayRef, place: &mut Place<'_>) -> Result<Carried> {
    let (precision, scale) = match array.data_type() {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            (*p, *s)
        }
        // Digits past 38 are refused by the cast, not cut.
        DataType::Decimal256(_, s) => (38, *s),
        other => return Err(place.unfit_column(format!("values of type {other}"))),
    };
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let array = cast_with_options(array, &DataType::Decimal128(precision, scale), &strict)
        .map_err(|e| place.unfit_column("decimals of more than 38 digits").because(e))?;
    let array = array.as_primitive::<Decimal128Type>();
    let column = place.column;
    match (column.carrier, column.affinity) {
        (_, Affinity::Text) => text(array, scale, place),
        (Carrier::Blob | Carrier::Text, _) => Err(place.unfit_column("decimals")),
        _ => number(array, scale, place),
    }
}

fn text(array: &Decimal128Array, scale: i8, place: &Place<'_>) -> Result<Carried> {
    let mut out = CarrierBuilder::new(place.column.carrier, array.len());
    for row in 0..array.len() {
        if array.is_null(row) {
            out.push(ValueRef::Null);
            continue;
        }
        out.push(ValueRef::Text(plain(array.value(row), scale).as_bytes()));
    }
    Ok(out.finish())
}

fn number(array: &Decimal128Array, scale: i8, place: &Place<'_>) -> Result<Carried> {
    let affinity = place.column.affinity;
    let mut out = CarrierBuilder::new(place.column.carrier, array.len());
    let one = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
    for row in 0..array.len() {
        if array.is_null(row) {
            out.push(ValueRef::Null);
            continue;
        }
        let mantissa = array.value(row);
        let value = match integer(mantissa, scale, one) {
            Some(i) if affinity != Affinity::Real => Some(ValueRef::Int(i)),
            _ => real(mantissa, scale).map(ValueRef::Real),
        };
        match value {
            Some(value) => out.push(value),
            None => {
                let text = plain(mantissa, scale);
                return Err(place.unfit(row, format!("the decimal {text}, of more than 15 digits")));
            }
        }
    }
    Ok(out.finish())
}

fn integer(mantissa: i128, scale: i8, one: Option<i128>) -> Option<i64> {
    let one = one?;
    let value = match scale {
        0 => mantissa,
        1.. if mantissa % one == 0 => mantissa / one,
        1.. => return None,
        _ => mantissa.checked_mul(one)?,
    };
    value.try_into().ok()
}

/// The nearest double of a decimal of up to 15 digits, trailing zeros not counted.
fn real(mut mantissa: i128, scale: i8) -> Option<f64> {
    let mut scale = i32::from(scale);
    while mantissa.unsigned_abs() >= EXACT_BELOW && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if mantissa.unsigned_abs() >= EXACT_BELOW {
        return None;
    }
    // Both factors are exact doubles, so one rounding gives the nearest.
    let m = mantissa as f64;
    match (usize::try_from(scale), usize::try_from(-scale)) {
        (Ok(down), _) if down < TENS.len() => Some(m / TENS[down]),
        (_, Ok(up)) if up < TENS.len() => Some(m * TENS[up]),
        _ => format!("{mantissa}e{}", -scale).parse().ok(),
    }
}

/// The decimal in plain notation.
fn plain(mantissa: i128, scale: i8) -> String {
    let digits = mantissa.unsigned_abs().to_string();
    let sign = if mantissa < 0 { "-" } else { "" };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) => {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) => format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_their_nearest_double() {
        for (mantissa, scale, text) in [
            (1_999, 2, "19.99"),
            (-5, 3, "-0.005"),
            (999_999_999_999_999, 15, "0.999999999999999"),
            (123, -2, "12300"),
            (1, 30, "0.000000000000000000000000000001"),
        ] {
            assert_eq!(plain(mantissa, scale), text);
            assert_eq!(real(mantissa, scale), text.parse().ok());
        }
        assert_eq!(real(1_234_567_890_123_456, 2), None);
        assert_eq!(real(1_234_567_890_123_450, 2), "12345678901234.5".parse().ok());
    }
}
