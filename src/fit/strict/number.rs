//! Integers and truth values into columns of one type.

use crate::fit::affinity::trim;
use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::notes::Habit;
use crate::fit::strict::Door;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::numeral::Numeral;
use crate::model::table::Affinity;
use crate::model::value::{F64_INTEGERS, ValueRef};

/// The integers up to which every one is a distinct `f32`.
pub(super) const F32_INTEGERS: i128 = 1 << 24;

/// An integer type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers {
    least: i128,
    most: i128,
    /// MySQL's `tinyint(1)`, which holds truth values.
    truth: bool,
    /// MySQL's `bit`, which some write as bytes.
    bits: bool,
}

impl Integers {
    /// The integers of a type; all that its carrier holds where the type is not known.
    pub(super) fn of(declared: &Declared<'_>, engine: Affinity, unsigned: bool) -> Self {
        let (least, most) = match unsigned {
            true => (0, i128::from(u64::MAX)),
            false => (i128::from(i64::MIN), i128::from(i64::MAX)),
        };
        let bits = match (declared.base(), engine) {
            ("tinyint", Affinity::Mysql) => Some(8),
            ("smallint", _) => Some(16),
            ("mediumint", Affinity::Mysql) => Some(24),
            ("integer", Affinity::Postgres) | ("int", Affinity::Mysql) => Some(32),
            ("bigint", _) => Some(64),
            _ => None,
        };
        let (least, most) = match bits {
            Some(bits) if declared.is_unsigned() => (0, (1 << bits) - 1),
            Some(bits) => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            None => match (declared.base(), engine) {
                ("oid", Affinity::Postgres) => (0, u32::MAX.into()),
                ("bit", Affinity::Mysql) => {
                    let bits: u32 = declared.number(0).unwrap_or(1);
                    (0, 1_i128.checked_shl(bits.min(64)).unwrap_or(1) - 1)
                }
                ("year", Affinity::Mysql) => (0, 2155),
                _ => (least, most),
            },
        };
        Self {
            least,
            most,
            truth: declared.base() == "tinyint" && declared.number(0) == Some(1_u8),
            bits: declared.base() == "bit",
        }
    }

    /// The bounds, for a whole column at once.
    pub(super) fn bounds(&self) -> (i128, i128) {
        (self.least, self.most)
    }

    pub(super) fn value(&self, given: Given<'_>, door: Door) -> Found<'static> {
        let (value, habit) = match given {
            Given::Null => return Ok((ValueRef::Null, None)),
            Given::Int(i) => (i.into(), None),
            Given::Unsigned(u) => (u.into(), None),
            Given::Double(r) if r.is_nan() && door == Door::File => return Ok(NAN_FOR_NULL),
            Given::Double(r) => (integral(r, F64_INTEGERS.into())?, Some(Habit::FloatForInteger)),
            Given::Single(r) if r.is_nan() && door == Door::File => return Ok(NAN_FOR_NULL),
            Given::Single(r) => (integral(r.into(), F32_INTEGERS)?, Some(Habit::FloatForInteger)),
            Given::Decimal(digits, scale) => {
                let whole = rescaled(digits, scale.into(), 0);
                (whole.ok_or_else(|| decimal_words(digits, scale))?, None)
            }
            Given::Bool(truth) => (truth.into(), (!self.truth).then_some(Habit::BooleanForNumber)),
            Given::Text(text) if door == Door::File && is_null_word(text) => {
                return Ok((ValueRef::Null, Some(Habit::WordForNull)));
            }
            Given::Text(text) | Given::Numeral(text) => {
                let numeral = Numeral::parse(text).ok_or_else(|| words(text))?;
                let value = numeral.scaled(0).ok_or_else(|| words(text))?;
                // A file's `1e17` was a float once.
                let float = numeral.pointed && door == Door::File;
                if float && value.abs() > F64_INTEGERS.into() {
                    return Err(ambiguous(format_args!("{}", numeral.text), "integer"));
                }
                (value, numeral.pointed.then_some(Habit::FloatForInteger))
            }
            Given::Bytes(bytes) if self.bits && bytes.len() <= 8 => {
                (bytes.iter().fold(0, |all, byte| all << 8 | i128::from(*byte)), None)
            }
            Given::Bytes(_) => return Err("bytes".into()),
            Given::Day(_) | Given::Moment(..) | Given::Time(_) => return Err("a moment".into()),
        };
        if !(self.least..=self.most).contains(&value) {
            return Err(format!("the integer {value}, out of its range"));
        }
        match (i64::try_from(value), u64::try_from(value)) {
            (Ok(i), _) => Ok((ValueRef::Int(i), habit)),
            (_, Ok(u)) => Ok((ValueRef::Unsigned(u), habit)),
            _ => Err(format!("the integer {value}")),
        }
    }
}

pub(super) const NAN_FOR_NULL: (ValueRef<'static>, Option<Habit>) =
    (ValueRef::Null, Some(Habit::NanForNull));

fn integral(r: f64, most: i128) -> Result<i128, String> {
    match r.trunc() == r {
        true if (r.abs() as i128) <= most => Ok(r as i128),
        true if r.is_finite() => Err(ambiguous(r, "integer")),
        _ => Err(format!("the float {r:?}")),
    }
}

/// `digits` of `scale` as digits of the scale `wanted`; `None` when some would be cut.
pub(crate) fn rescaled(digits: i128, scale: i32, wanted: i32) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    let tens = 10_i128.checked_pow(scale.abs_diff(wanted))?;
    match wanted >= scale {
        true => digits.checked_mul(tens),
        false => (digits % tens == 0).then_some(digits / tens),
    }
}

/// A text in an error's words.
pub(super) fn words(text: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("the text {:?}..", &text[..end]),
        None => format!("the text {text:?}"),
    }
}

pub(super) fn decimal_words(digits: i128, scale: i8) -> String {
    format!("the decimal {}", ValueRef::Decimal(digits, scale).plain_text().unwrap_or_default())
}

pub(super) fn ambiguous(float: impl std::fmt::Debug, what: &str) -> String {
    format!("the float {float:?}, which stands for more than one {what}")
}

/// PostgreSQL's truth values (`parse_bool_with_len` of its source), and 0 and 1.
pub(super) fn truth(given: Given<'_>, door: Door) -> Found<'static> {
    let number = |one: bool, zero: bool| match (one, zero) {
        (true, _) => Ok((ValueRef::Bool(true), Some(Habit::NumberForBoolean))),
        (_, true) => Ok((ValueRef::Bool(false), Some(Habit::NumberForBoolean))),
        _ => Err("a number that is neither 0 nor 1".to_owned()),
    };
    match given {
        Given::Null => Ok((ValueRef::Null, None)),
        Given::Bool(truth) => Ok((ValueRef::Bool(truth), None)),
        Given::Int(i) => number(i == 1, i == 0),
        Given::Double(r) if r.is_nan() && door == Door::File => Ok(NAN_FOR_NULL),
        Given::Double(r) => number(r == 1.0, r == 0.0),
        Given::Single(r) if r.is_nan() && door == Door::File => Ok(NAN_FOR_NULL),
        Given::Single(r) => number(r == 1.0, r == 0.0),
        Given::Decimal(digits, scale) => {
            let whole = rescaled(digits, scale.into(), 0);
            number(whole == Some(1), whole == Some(0))
        }
        Given::Text(text) | Given::Numeral(text) => {
            if let Some(truth) = spelled(text) {
                return Ok((ValueRef::Bool(truth), None));
            }
            if door == Door::File && is_null_word(text) {
                return Ok((ValueRef::Null, Some(Habit::WordForNull)));
            }
            let value = Numeral::parse(text).and_then(|numeral| numeral.scaled(0));
            number(value == Some(1), value == Some(0)).map_err(|_| words(text))
        }
        Given::Unsigned(_) => number(false, false),
        // MySQL's `bit(1)`.
        Given::Bytes([byte @ 0..=1]) => Ok((ValueRef::Bool(*byte == 1), None)),
        Given::Bytes(_) => Err("bytes".into()),
        Given::Day(_) | Given::Moment(..) | Given::Time(_) => Err("a moment".into()),
    }
}

/// A truth value as PostgreSQL reads it: a word or what it begins with, as long as no
/// other word begins so.
fn spelled(text: &[u8]) -> Option<bool> {
    let text = trim(text);
    let begins = |word: &str, least: usize| {
        (least..=word.len()).contains(&text.len())
            && text.eq_ignore_ascii_case(&word.as_bytes()[..text.len()])
    };
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == b"1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == b"0" {
        Some(false)
    } else {
        None
    }
}
