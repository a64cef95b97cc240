//! Decimals into columns of one precision and scale.

use std::io::Write;

use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::notes::Habit;
use crate::fit::strict::Door;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::number::{
    F32_INTEGERS, NAN_FOR_NULL, ambiguous, decimal_words, rescaled, words,
};
use crate::fit::strict::numeral::Numeral;
use crate::fit::strict::real::endless;
use crate::model::table::Affinity;
use crate::model::value::{F64_INTEGERS, ValueRef};

/// `numeric(p,s)` or `decimal(p,s)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimals {
    pub(super) precision: u8,
    pub(super) scale: i8,
    unsigned: bool,
    /// NaN is a value of the type: PostgreSQL's.
    nan: bool,
}

impl Decimals {
    pub(super) fn new(
        (precision, scale): (u8, i8),
        declared: &Declared<'_>,
        engine: Affinity,
    ) -> Self {
        let unsigned = engine == Affinity::Mysql && declared.is_unsigned();
        Self { precision, scale, unsigned, nan: engine != Affinity::Mysql }
    }

    /// True when the type holds numbers below 0.
    pub(super) fn takes_negative(&self) -> bool {
        !self.unsigned
    }

    pub(super) fn value(&self, given: Given<'_>, door: Door) -> Found<'static> {
        let scale = i32::from(self.scale);
        let (digits, habit) = match given {
            Given::Null => return Ok((ValueRef::Null, None)),
            Given::Int(i) => {
                (rescaled(i.into(), 0, scale).ok_or_else(|| decimal_words(i.into(), 0))?, None)
            }
            Given::Unsigned(u) => {
                (rescaled(u.into(), 0, scale).ok_or_else(|| decimal_words(u.into(), 0))?, None)
            }
            Given::Decimal(digits, given) => {
                let found = rescaled(digits, given.into(), scale);
                (found.ok_or_else(|| decimal_words(digits, given))?, None)
            }
            Given::Bool(truth) => {
                let one = rescaled(truth.into(), 0, scale).ok_or("a boolean")?;
                (one, Some(Habit::BooleanForNumber))
            }
            Given::Double(r) if r.is_nan() => return self.nan(door),
            Given::Single(r) if r.is_nan() => return self.nan(door),
            Given::Double(r) => (of_float(r, scale)?, Some(Habit::FloatForDecimal)),
            Given::Single(r) => (of_float(r, scale)?, Some(Habit::FloatForDecimal)),
            Given::Text(text) | Given::Numeral(text) => {
                let Some(numeral) = Numeral::parse(text) else {
                    return match endless(text) {
                        Some(r) if r.is_nan() && self.nan => Ok((NOT_A_NUMBER, None)),
                        _ if door == Door::File && is_null_word(text) => {
                            Ok((ValueRef::Null, Some(Habit::WordForNull)))
                        }
                        _ => Err(words(text)),
                    };
                };
                (numeral.scaled(scale).ok_or_else(|| words(text))?, None)
            }
            Given::Bytes(_) => return Err("bytes".into()),
            Given::Day(_) | Given::Moment(..) | Given::Time(_) => return Err("a moment".into()),
        };
        let fits = digits.unsigned_abs() < 10_u128.pow(self.precision.into());
        if !fits || self.unsigned && digits < 0 {
            return Err(decimal_words(digits, self.scale));
        }
        Ok((ValueRef::Decimal(digits, self.scale), habit))
    }

    /// In a file of floats it is how pandas writes NULL.
    fn nan(&self, door: Door) -> Found<'static> {
        match door {
            Door::File => Ok(NAN_FOR_NULL),
            Door::Database if self.nan => Ok((NOT_A_NUMBER, None)),
            Door::Database => Err("NaN".into()),
        }
    }
}

/// PostgreSQL's text of a decimal that is none.
const NOT_A_NUMBER: ValueRef<'static> = ValueRef::Text(b"NaN");

/// The decimal that a float was printed from or stands for, as its shortest text says,
/// where no other decimal of the scale is nearest to the same float.
fn of_float<F: Float>(r: F, scale: i32) -> Result<i128, String> {
    let mut text = [0; 32];
    let mut rest = &mut text[..];
    let left = write!(rest, "{r:e}").map_or(32, |()| rest.len());
    let numeral = Numeral::parse(&text[..32 - left]);
    let digits = numeral.and_then(|numeral| numeral.scaled(scale));
    let digits = digits.ok_or_else(|| format!("the float {r:?}"))?;
    let distinct = match scale {
        1.. => digits.abs() < F::DECIMALS,
        _ => rescaled(digits, scale, 0).is_some_and(|whole| whole.abs() <= F::INTEGERS),
    };
    if distinct { Ok(digits) } else { Err(ambiguous(r, "decimal")) }
}

/// `f32` and `f64`.
trait Float: std::fmt::LowerExp + std::fmt::Debug + Copy {
    /// Decimals with fewer digits than this number are distinct floats.
    const DECIMALS: i128;
    /// Integers up to this one are distinct floats.
    const INTEGERS: i128;
}

impl Float for f32 {
    const DECIMALS: i128 = 1_000_000;
    const INTEGERS: i128 = F32_INTEGERS;
}

impl Float for f64 {
    const DECIMALS: i128 = 1_000_000_000_000_000;
    const INTEGERS: i128 = F64_INTEGERS as i128;
}
