//! Floating-point numbers into columns of one type.

use crate::fit::affinity::trim;
use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::notes::Habit;
use crate::fit::strict::Door;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::number::{NAN_FOR_NULL, words};
use crate::fit::strict::numeral::Numeral;
use crate::model::table::Affinity;
use crate::model::value::ValueRef;

/// A floating-point type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reals {
    /// It holds singles.
    pub(super) single: bool,
    /// MySQL's `double(M,D)`: values of so many decimals only.
    decimals: Option<usize>,
    unsigned: bool,
    /// It holds NaN and the infinities.
    pub(super) endless: bool,
}

impl Reals {
    pub(super) fn of(declared: &Declared<'_>, engine: Affinity) -> Self {
        let mysql = engine == Affinity::Mysql;
        let base = declared.base();
        Self {
            single: base == "float" && mysql || base == "real" && engine == Affinity::Postgres,
            decimals: declared.number(1).filter(|_| mysql),
            unsigned: mysql && declared.is_unsigned(),
            endless: !mysql,
        }
    }

    /// True when every finite double is a value of the type.
    pub(super) fn is_plain(&self) -> bool {
        !self.single && self.decimals.is_none() && !self.unsigned
    }

    pub(super) fn value(&self, given: Given<'_>, door: Door) -> Found<'static> {
        let (value, habit) = match given {
            Given::Null => return Ok((ValueRef::Null, None)),
            // MySQL holds no NaN: in a file it is how pandas writes NULL.
            Given::Double(r) if r.is_nan() && !self.endless && door == Door::File => {
                return Ok(NAN_FOR_NULL);
            }
            Given::Single(r) if r.is_nan() && !self.endless && door == Door::File => {
                return Ok(NAN_FOR_NULL);
            }
            Given::Double(r) if self.single && f64::from(r as f32).to_bits() != r.to_bits() => {
                let single = r as f32;
                // The double of a single's own decimal: Python reads a single so.
                match single.is_finite() && single.to_string().parse() == Ok(r) {
                    true => (single.into(), Some(Habit::DoubleForSingle)),
                    false if r.is_nan() => (r, None),
                    false => return Err(format!("the float {r:?}, which is no single")),
                }
            }
            Given::Double(r) => (r, None),
            Given::Single(r) => (r.into(), None),
            Given::Int(i) => (self.of_integer(i.into())?, None),
            Given::Unsigned(u) => (self.of_integer(u.into())?, None),
            Given::Bool(truth) => (u8::from(truth).into(), Some(Habit::BooleanForNumber)),
            Given::Decimal(digits, scale) => (self.of_decimal(digits, scale)?, None),
            Given::Text(text) | Given::Numeral(text) => match self.read(text, door)? {
                Some(r) => (r, None),
                None => return Ok((ValueRef::Null, Some(Habit::WordForNull))),
            },
            Given::Bytes(_) => return Err("bytes".into()),
            Given::Day(_) | Given::Moment(..) | Given::Time(_) => return Err("a moment".into()),
        };
        if !value.is_finite() && !self.endless || value < 0.0 && self.unsigned {
            return Err(format!("the float {value:?}"));
        }
        if let Some(decimals) = self.decimals {
            let kept = format!("{value:.decimals$}");
            let same = match self.single {
                true => kept.parse().map(|r: f32| f64::from(r)) == Ok(value),
                false => kept.parse() == Ok(value),
            };
            if !same {
                return Err(format!("the float {value:?}, of more than {decimals} decimals"));
            }
        }
        Ok((ValueRef::Real(value), habit))
    }

    fn of_integer(&self, value: i128) -> Result<f64, String> {
        let r = self.parsed(&value.to_string());
        match r as i128 == value {
            true => Ok(r),
            false => Err(format!("the integer {value}, which is no float")),
        }
    }

    /// A decimal that is the shortest text of the float nearest to it.
    fn of_decimal(&self, digits: i128, scale: i8) -> Result<f64, String> {
        let text = ValueRef::Decimal(digits, scale).plain_text().unwrap_or_default();
        let r = self.parsed(&text);
        let shortest = if self.single { (r as f32).to_string() } else { r.to_string() };
        let back = Numeral::parse(shortest.as_bytes()).and_then(|n| n.scaled(scale.into()));
        match back == Some(digits) {
            true => Ok(r),
            false => Err(format!("the decimal {text}, of more digits than a float has")),
        }
    }

    fn parsed(&self, text: &str) -> f64 {
        match self.single {
            true => text.parse().map_or(f64::NAN, |r: f32| r.into()),
            false => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// The nearest float of a numeral; `None` for a word that means NULL.
    fn read(&self, text: &[u8], door: Door) -> Result<Option<f64>, String> {
        if let Some(numeral) = Numeral::parse(text) {
            let r = self.parsed(numeral.text);
            let lost = r.is_infinite() || r == 0.0 && !numeral.is_zero();
            return if lost { Err(words(text)) } else { Ok(Some(r)) };
        }
        match endless(text) {
            Some(r) if self.endless => Ok(Some(r)),
            _ if door == Door::File && is_null_word(text) => Ok(None),
            _ => Err(words(text)),
        }
    }
}

/// NaN and the infinities as PostgreSQL reads them (`float8in_internal` of its source).
pub(super) fn endless(text: &[u8]) -> Option<f64> {
    let text = trim(text);
    let (sign, word) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    if text.eq_ignore_ascii_case(b"nan") {
        Some(f64::NAN)
    } else if word.eq_ignore_ascii_case(b"infinity") || word.eq_ignore_ascii_case(b"inf") {
        Some(sign * f64::INFINITY)
    } else {
        None
    }
}
