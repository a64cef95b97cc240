//! One cell, exactly: its kind and its bytes.
//!
//! SQLite's five storage classes, and the kinds that other engines' columns have besides.
//! What an engine calls its types is the column's matter; a kind is how a value is held.

mod cells;
mod exact;

pub use cells::{Cells, carried, collated};
pub use exact::{EXACT, exact_cells, push_exact, push_unfit, unfit_columns};

use serde::{Deserialize, Serialize};

use crate::model::calendar::{date_text, moment_text};
use crate::model::table::Carrier;

/// The largest magnitude up to which every integer is a distinct `f64`.
pub const F64_INTEGERS: i64 = 1 << 53;

/// A borrowed cell: its kind and its bytes. TEXT need not be UTF-8.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Int(i64),
    /// An integer beyond `i64::MAX`; smaller ones are `Int`.
    Unsigned(u64),
    /// REAL; equality is by bits.
    Real(f64),
    /// TEXT, as bytes.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// A date, in days since 1970-01-01.
    Date(i32),
    /// A moment without a zone, in microseconds since 1970-01-01 00:00:00.
    Stamp(i64),
    /// An instant, in microseconds since 1970-01-01 00:00:00 UTC.
    Instant(i64),
    /// A decimal number: the digits without the point, and how many stand behind it.
    Decimal(i128, i8),
}

/// An owned cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER.
    Int(i64),
    /// An integer beyond `i64::MAX`.
    Unsigned(u64),
    /// REAL; equality is by bits.
    Real(f64),
    /// TEXT, as bytes.
    Text(Vec<u8>),
    /// BLOB.
    Blob(Vec<u8>),
    /// A truth value.
    Bool(bool),
    /// A date, in days since 1970-01-01.
    Date(i32),
    /// A moment without a zone, in microseconds since 1970-01-01 00:00:00.
    Stamp(i64),
    /// An instant, in microseconds since 1970-01-01 00:00:00 UTC.
    Instant(i64),
    /// A decimal number: the digits without the point, and how many stand behind it.
    Decimal(i128, i8),
}

impl<'a> ValueRef<'a> {
    /// The cell of an unsigned integer.
    pub fn unsigned(u: u64) -> ValueRef<'static> {
        i64::try_from(u).map_or(ValueRef::Unsigned(u), ValueRef::Int)
    }

    /// The text of the kinds that have just one: numbers beyond 64 bits, truth values,
    /// dates, moments (ISO 8601, an instant with `Z`) and decimals. `None` for others.
    pub fn plain_text(self) -> Option<String> {
        Some(match self {
            ValueRef::Unsigned(u) => u.to_string(),
            ValueRef::Bool(b) => b.to_string(),
            ValueRef::Date(day) => date_text(day.into()),
            ValueRef::Stamp(micros) => moment_text(micros),
            ValueRef::Instant(micros) => moment_text(micros) + "Z",
            ValueRef::Decimal(digits, scale) => decimal_text(digits, scale),
            ValueRef::Null
            | ValueRef::Int(_)
            | ValueRef::Real(_)
            | ValueRef::Text(_)
            | ValueRef::Blob(_) => return None,
        })
    }

    /// An owned copy.
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Int(i) => Value::Int(i),
            ValueRef::Unsigned(u) => Value::Unsigned(u),
            ValueRef::Real(r) => Value::Real(r),
            ValueRef::Text(b) => Value::Text(b.to_vec()),
            ValueRef::Blob(b) => Value::Blob(b.to_vec()),
            ValueRef::Bool(b) => Value::Bool(b),
            ValueRef::Date(day) => Value::Date(day),
            ValueRef::Stamp(micros) => Value::Stamp(micros),
            ValueRef::Instant(micros) => Value::Instant(micros),
            ValueRef::Decimal(digits, scale) => Value::Decimal(digits, scale),
        }
    }

    /// True for NULL.
    pub fn is_null(self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// The cell as JSON, exactly: what JSON can't say is an object with one of the members
    /// `$text` or `$blob` (hexadecimal) or `$real` (`"-0.0"`, `"inf"`, `"-inf"`, `"NaN"`). Dates,
    /// moments and decimals are their text, since a reader would take a number for a double.
    pub fn to_json(self) -> serde_json::Value {
        let marked = |mark: &str, text: String| serde_json::json!({ mark: text });
        match self {
            ValueRef::Null => serde_json::Value::Null,
            ValueRef::Int(i) => i.into(),
            ValueRef::Real(r) if r.is_finite() && r.to_bits() != MINUS_ZERO => r.into(),
            ValueRef::Real(r) => marked("$real", format!("{r:?}")),
            ValueRef::Text(b) => match std::str::from_utf8(b) {
                Ok(text) => text.into(),
                Err(_) => marked("$text", hex(b)),
            },
            ValueRef::Blob(b) => marked("$blob", hex(b)),
            ValueRef::Unsigned(u) => u.into(),
            ValueRef::Bool(b) => b.into(),
            _ => self.plain_text().into(),
        }
    }
}

/// A decimal as digits with a point: `-0.05` for -5 of scale 2, `500` for 5 of scale -2.
fn decimal_text(digits: i128, scale: i8) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let mut text = digits.unsigned_abs().to_string();
    match usize::try_from(scale) {
        Ok(0) => {}
        Ok(scale) => {
            if text.len() <= scale {
                text.insert_str(0, &"0".repeat(scale + 1 - text.len()));
            }
            text.insert(text.len() - scale, '.');
        }
        Err(_) if digits != 0 => text.push_str(&"0".repeat(scale.unsigned_abs().into())),
        Err(_) => {}
    }
    format!("{sign}{text}")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
    out
}

/// The bytes of hexadecimal digits in pairs; `None` for anything else.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    push_unhex(digits.as_bytes(), &mut out)?;
    digits.len().is_multiple_of(2).then_some(out)
}

/// Appends the bytes that hexadecimal digits of either case stand for; an odd number of them lacks
/// a 0 at its beginning. `None` for other characters.
pub fn push_unhex(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let nibble = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let (first, pairs) = digits.split_at(digits.len() % 2);
    if let [digit] = first {
        out.push(nibble(digit)?);
    }
    out.reserve(pairs.len() / 2);
    for pair in pairs.chunks_exact(2) {
        out.push(nibble(&pair[0])? << 4 | nibble(&pair[1])?);
    }
    Some(())
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ValueRef::Null, ValueRef::Null) => true,
            (ValueRef::Int(a), ValueRef::Int(b)) => a == b,
            (ValueRef::Unsigned(a), ValueRef::Unsigned(b)) => a == b,
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => {
                a == b
            }
            (ValueRef::Bool(a), ValueRef::Bool(b)) => a == b,
            (ValueRef::Date(a), ValueRef::Date(b)) => a == b,
            (ValueRef::Stamp(a), ValueRef::Stamp(b))
            | (ValueRef::Instant(a), ValueRef::Instant(b)) => a == b,
            (ValueRef::Decimal(a, x), ValueRef::Decimal(b, y)) => (a, x) == (b, y),
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

impl Value {
    /// Borrows the cell.
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Int(i) => ValueRef::Int(*i),
            Value::Unsigned(u) => ValueRef::Unsigned(*u),
            Value::Real(r) => ValueRef::Real(*r),
            Value::Text(b) => ValueRef::Text(b),
            Value::Blob(b) => ValueRef::Blob(b),
            Value::Bool(b) => ValueRef::Bool(*b),
            Value::Date(day) => ValueRef::Date(*day),
            Value::Stamp(micros) => ValueRef::Stamp(*micros),
            Value::Instant(micros) => ValueRef::Instant(*micros),
            Value::Decimal(digits, scale) => ValueRef::Decimal(*digits, *scale),
        }
    }
}

/// True when `value` travels in `carrier` itself, without an [`EXACT`] cell.
pub fn fits(value: ValueRef<'_>, carrier: Carrier) -> bool {
    match (value, carrier) {
        (ValueRef::Null, _)
        | (ValueRef::Int(_), Carrier::Int)
        | (ValueRef::Unsigned(_), Carrier::Unsigned)
        | (ValueRef::Real(_), Carrier::Real)
        | (ValueRef::Blob(_), Carrier::Blob)
        | (ValueRef::Bool(_), Carrier::Bool)
        | (ValueRef::Date(_), Carrier::Date)
        | (ValueRef::Stamp(_), Carrier::Stamp)
        | (ValueRef::Instant(_), Carrier::Instant) => true,
        (ValueRef::Int(i), Carrier::Unsigned) => i >= 0,
        (ValueRef::Decimal(digits, scale), Carrier::Decimal { precision, scale: held }) => {
            scale == held && digits.unsigned_abs() < 10_u128.pow(precision.into())
        }
        (ValueRef::Int(i), Carrier::Number) => (-F64_INTEGERS..=F64_INTEGERS).contains(&i),
        (ValueRef::Real(r), Carrier::Number) => !stands_for_integer(r) && r.to_bits() != MINUS_ZERO,
        (ValueRef::Text(b), Carrier::Text) => std::str::from_utf8(b).is_ok(),
        _ => false,
    }
}

const MINUS_ZERO: u64 = 1 << 63;

/// True when a `Number` carrier's `f64` stands for an INTEGER.
pub fn stands_for_integer(r: f64) -> bool {
    r.trunc() == r && r.abs() <= F64_INTEGERS as f64 && r.to_bits() != MINUS_ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_with_one_text_say_it() {
        for (value, text) in [
            (ValueRef::Unsigned(u64::MAX), "18446744073709551615"),
            (ValueRef::Bool(true), "true"),
            (ValueRef::Date(19_782), "2024-02-29"),
            (ValueRef::Stamp(1_710_381_600_000_000), "2024-03-14T02:00:00"),
            (ValueRef::Instant(1), "1970-01-01T00:00:00.000001Z"),
            (ValueRef::Decimal(-5, 2), "-0.05"),
            (ValueRef::Decimal(1999, 2), "19.99"),
            (ValueRef::Decimal(0, 2), "0.00"),
            (ValueRef::Decimal(7, 0), "7"),
            (ValueRef::Decimal(5, -2), "500"),
            (ValueRef::Decimal(0, -2), "0"),
        ] {
            assert_eq!(value.plain_text().as_deref(), Some(text));
        }
    }

    #[test]
    fn hexadecimal_digits_come_back_as_their_bytes() {
        let bytes = |digits: &str| {
            let mut out = Vec::new();
            push_unhex(digits.as_bytes(), &mut out).map(|()| out)
        };
        assert_eq!(bytes(&hex(b"\x00\xff\x7a")), Some(b"\x00\xff\x7a".to_vec()));
        assert_eq!((bytes("aBc"), bytes("")), (Some(b"\x0a\xbc".to_vec()), Some(vec![])));
        assert_eq!((bytes("0g"), bytes("+1")), (None, None));
    }

    #[test]
    fn a_decimal_fits_its_own_scale_and_precision_only() {
        let held = Carrier::Decimal { precision: 4, scale: 2 };
        assert!(fits(ValueRef::Decimal(-9999, 2), held));
        assert!(!fits(ValueRef::Decimal(10_000, 2), held));
        assert!(!fits(ValueRef::Decimal(1, 1), held));
        let widest = Carrier::Decimal { precision: 38, scale: 0 };
        assert!(!fits(ValueRef::Decimal(i128::MAX, 0), widest));
    }
}
