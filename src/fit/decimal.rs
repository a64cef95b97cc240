//! Decimals into live's columns. A decimal of up to 15 significant digits has one nearest
//! double and comes back from it; a longer one would lose digits and is refused.

use arrow::array::{Array, Decimal128Array};

use crate::error::Result;
use crate::fit::carry::Carried;
use crate::fit::place::Place;
use crate::fit::strict;
use crate::model::table::{Affinity, Carrier, Column};
use crate::model::value::ValueRef;

const EXACT_BELOW: u128 = 1_000_000_000_000_000;

/// Powers of ten that are exact doubles.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A numeral's digits and how many of them stand behind the point; `None` for what is no
/// numeral, and for more digits than 38.
pub fn read(numeral: &str) -> Option<(i128, i8)> {
    strict::decimal(numeral.as_bytes())
}

/// `digits` of `scale` as digits of the scale `wanted`; `None` when some would be cut.
pub fn rescaled(digits: i128, scale: i8, wanted: i8) -> Option<i128> {
    strict::rescaled(digits, scale.into(), wanted.into())
}

/// Fits decimals of this scale: into a text column as their text, with all digits of the
/// scale; into others as the number.
pub(crate) fn fit(array: &Decimal128Array, scale: i8, place: &mut Place<'_>) -> Result<Carried> {
    let column = place.column;
    let tens = 10_i128.checked_pow(u32::from(scale.unsigned_abs()));
    place.carry(array.len(), |row, scratch, out| {
        out.push(match array.is_null(row) {
            true => ValueRef::Null,
            false => value((array.value(row), scale), tens, column, scratch)?,
        });
        Ok([])
    })
}

/// What a column stores for a decimal; `tens` is ten to the power of the scale's magnitude.
pub(crate) fn value<'a>(
    (mantissa, scale): (i128, i8),
    tens: Option<i128>,
    column: &Column,
    scratch: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, String> {
    let text = || ValueRef::Decimal(mantissa, scale).plain_text().unwrap_or_default();
    match (column.carrier, column.affinity) {
        (_, Affinity::Text) => {
            scratch.extend_from_slice(text().as_bytes());
            return Ok(ValueRef::Text(scratch));
        }
        (Carrier::Blob | Carrier::Text, _) => return Err(format!("the decimal {}", text())),
        _ => {}
    }
    match integer(mantissa, scale, tens) {
        Some(i) if column.affinity != Affinity::Real => Ok(ValueRef::Int(i)),
        _ => real(mantissa, scale)
            .map(ValueRef::Real)
            .ok_or_else(|| format!("the decimal {}, of more than 15 digits", text())),
    }
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
            assert_eq!(real(mantissa, scale), text.parse().ok());
        }
        assert_eq!(real(1_234_567_890_123_456, 2), None);
        assert_eq!(real(1_234_567_890_123_450, 2), "12345678901234.5".parse().ok());
    }
}
