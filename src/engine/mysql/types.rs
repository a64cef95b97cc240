//! MySQL's and MariaDB's types: how their values come over the wire, in which carrier they
//! travel, and how a parameter is made to mean one.
//!
//! The binary protocol's forms: "Binary Protocol Resultset", "Binary Protocol Value" of the
//! MySQL source documentation; "Result Set Packets" of MariaDB's.
//!
//! ```text
//! integers      little-endian, 1, 2, 4 or 8 bytes; YEAR 2
//! FLOAT DOUBLE  IEEE 754, 4 or 8 bytes
//! DECIMAL       text; BIT  big-endian bytes; texts and blobs as they are
//! DATE DATETIME TIMESTAMP
//!               length 0, 4, 7 or 11 | year u16 | month u8 | day u8 | hour minute second u8
//!                                    | microseconds u32
//! TIME          length 0, 8 or 12    | negative u8 | days u32 | hour minute second u8
//!                                    | microseconds u32
//! ```
//!
//! Dates that the calendar does not have (`0000-00-00`, `2024-00-10`) travel as text beside
//! their carrier, so that none becomes NULL (T20).

use std::fmt::Write as _;

use crate::engine::wire;
use crate::model::calendar::{DAY_MICROS, days};
use crate::model::table::Carrier;
use crate::model::value::ValueRef;

/// How a column's values come over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An integer of so many bytes.
    Int {
        /// 1, 2, 4 or 8.
        width: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// FLOAT, an `f32`.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal {
        /// The most digits, 65 at most.
        precision: u8,
        /// Those behind the point.
        scale: i8,
    },
    /// BIT of so many bits.
    Bit(u8),
    /// DATE.
    Date,
    /// DATETIME.
    Stamp,
    /// TIMESTAMP, in the session's zone, which is UTC.
    Instant,
    /// TIME with so many digits of a fraction.
    Time(u8),
    /// Text, and what is shown as text: ENUM, SET, JSON, UUID, INET6.
    Text,
    /// BINARY, VARBINARY, BLOB, and GEOMETRY as SRID and WKB.
    Bytes,
}

/// What information_schema.columns says of a column's type.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Declared<'a> {
    /// DATA_TYPE, in lower case.
    pub(crate) name: &'a str,
    /// COLUMN_TYPE: `int(10) unsigned`.
    pub(crate) full: &'a str,
    /// NUMERIC_PRECISION.
    pub(crate) precision: Option<u8>,
    /// NUMERIC_SCALE.
    pub(crate) scale: Option<u8>,
    /// DATETIME_PRECISION.
    pub(crate) fraction: Option<u8>,
}

impl Form {
    /// The form of a declared type; `None` for a type that is not carried.
    pub(crate) fn of(declared: Declared<'_>) -> Option<Form> {
        let unsigned = declared.full.contains("unsigned");
        let int = |width| Form::Int { width, unsigned };
        Some(match declared.name {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" | "int" => int(4),
            "bigint" => int(8),
            "year" => Form::Int { width: 2, unsigned: true },
            "float" => Form::Float,
            "double" => Form::Double,
            "decimal" => Form::Decimal {
                precision: declared.precision?,
                scale: i8::try_from(declared.scale?).ok()?,
            },
            "bit" => Form::Bit(declared.precision?),
            "date" => Form::Date,
            "datetime" => Form::Stamp,
            "timestamp" => Form::Instant,
            "time" => Form::Time(declared.fraction.unwrap_or(0)),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum"
            | "set" | "json" | "uuid" | "inet4" | "inet6" => Form::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
            | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
            | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection" => {
                Form::Bytes
            }
            _ => return None,
        })
    }

    /// The carrier of these values.
    pub(crate) fn carrier(self) -> Carrier {
        match self {
            Form::Int { width: 8, unsigned: true } | Form::Bit(64..) => Carrier::Unsigned,
            Form::Bit(1) => Carrier::Bool,
            Form::Int { .. } | Form::Bit(_) => Carrier::Int,
            Form::Float | Form::Double => Carrier::Real,
            Form::Decimal { precision: precision @ ..=38, scale } => {
                Carrier::Decimal { precision, scale }
            }
            Form::Decimal { .. } | Form::Time(_) | Form::Text => Carrier::Text,
            Form::Date => Carrier::Date,
            Form::Stamp => Carrier::Stamp,
            Form::Instant => Carrier::Instant,
            Form::Bytes => Carrier::Blob,
        }
    }
}

impl wire::Form for Form {
    fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> Option<ValueRef<'a>> {
        Some(match self {
            Form::Int { width, unsigned } => {
                let bits = little(bytes, width.into())?;
                // Shifted up and down again, the sign bit fills what is above.
                let spare = 64 - 8 * u32::from(width);
                match unsigned {
                    true => ValueRef::unsigned(bits),
                    false => ValueRef::Int((bits << spare).cast_signed() >> spare),
                }
            }
            Form::Float => {
                let bits = u32::try_from(little(bytes, 4)?).ok()?;
                ValueRef::Real(f32::from_bits(bits).into())
            }
            Form::Double => ValueRef::Real(f64::from_bits(little(bytes, 8)?)),
            Form::Decimal { precision: ..=38, scale } => {
                ValueRef::Decimal(digits(bytes, scale)?, scale)
            }
            Form::Decimal { .. } => {
                plain_decimal(bytes, scratch)?;
                ValueRef::Text(scratch.as_bytes())
            }
            Form::Bit(bits) => {
                let number = bytes.iter().try_fold(0u64, |n, byte| {
                    (n >> 56 == 0).then_some(n << 8 | u64::from(*byte))
                })?;
                match bits {
                    1 => ValueRef::Bool(number != 0),
                    _ => ValueRef::unsigned(number),
                }
            }
            Form::Date | Form::Stamp | Form::Instant => moment(self, bytes, scratch)?,
            Form::Time(fraction) => {
                time(bytes, fraction, scratch)?;
                ValueRef::Text(scratch.as_bytes())
            }
            Form::Text => ValueRef::Text(bytes),
            Form::Bytes => ValueRef::Blob(bytes),
        })
    }
}

/// A little-endian integer of just so many bytes.
fn little(bytes: &[u8], width: usize) -> Option<u64> {
    let mut number = [0; 8];
    number.get_mut(..width)?.copy_from_slice((bytes.len() == width).then_some(bytes)?);
    Some(u64::from_le_bytes(number))
}

/// The digits of a decimal text that has just this scale.
fn digits(text: &[u8], scale: i8) -> Option<i128> {
    let (negative, text) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let point = text.iter().position(|b| *b == b'.').unwrap_or(text.len());
    let behind = text.get(point + 1..).unwrap_or_default();
    if behind.len() != usize::try_from(scale).ok()? || text.is_empty() {
        return None;
    }
    let mut number = 0i128;
    for digit in text[..point].iter().chain(behind) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { -number } else { number })
}

/// A decimal text without the zeros that ZEROFILL puts in front.
fn plain_decimal(text: &[u8], out: &mut String) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let point = digits.find('.').unwrap_or(digits.len());
    let zeros = digits[..point].bytes().take_while(|b| *b == b'0').count();
    out.clear();
    out.push_str(sign);
    out.push_str(&digits[zeros.min(point.saturating_sub(1))..]);
    Some(())
}

fn moment<'a>(form: Form, bytes: &[u8], out: &'a mut String) -> Option<ValueRef<'a>> {
    let (length, rest) = bytes.split_first()?;
    if rest.len() != usize::from(*length) || !matches!(length, 0 | 4 | 7 | 11) {
        return None;
    }
    let byte = |at: usize| u32::from(rest.get(at).copied().unwrap_or(0));
    let (year, month, day) = (byte(0) | byte(1) << 8, byte(2), byte(3));
    let (hour, minute, second) = (byte(4), byte(5), byte(6));
    let micros = byte(7) | byte(8) << 8 | byte(9) << 16 | byte(10) << 24;
    let Some(number) = days(year.into(), month.into(), day.into()).filter(|_| year > 0) else {
        out.clear();
        let _ = write!(out, "{year:04}-{month:02}-{day:02}");
        if form != Form::Date {
            let _ = write!(out, " {hour:02}:{minute:02}:{second:02}");
            if micros > 0 {
                let _ = write!(out, ".{micros:06}");
            }
        }
        return Some(ValueRef::Text(out.as_bytes()));
    };
    if form == Form::Date {
        return Some(ValueRef::Date(i32::try_from(number).ok()?));
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let all = number * DAY_MICROS + seconds * 1_000_000 + i64::from(micros);
    Some(match form {
        Form::Instant => ValueRef::Instant(all),
        _ => ValueRef::Stamp(all),
    })
}

/// A TIME as the server itself writes it: `-838:59:59.000000`, as many digits as declared.
fn time(bytes: &[u8], fraction: u8, out: &mut String) -> Option<()> {
    let (length, rest) = bytes.split_first()?;
    if rest.len() != usize::from(*length) || !matches!(length, 0 | 8 | 12) {
        return None;
    }
    let byte = |at: usize| u32::from(rest.get(at).copied().unwrap_or(0));
    let word = |at: usize| byte(at) | byte(at + 1) << 8 | byte(at + 2) << 16 | byte(at + 3) << 24;
    let hours = word(1) * 24 + byte(5);
    out.clear();
    let sign = if byte(0) == 1 { "-" } else { "" };
    let _ = write!(out, "{sign}{hours:02}:{:02}:{:02}", byte(6), byte(7));
    if fraction > 0 {
        let micros = format!("{:06}", word(8));
        let _ = write!(out, ".{}", micros.get(..usize::from(fraction))?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::wire::Form as _;

    fn decoded(form: Form, bytes: &[u8]) -> String {
        let mut scratch = String::new();
        match form.decode(bytes, &mut scratch) {
            Some(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(value) => format!("{value:?}"),
            None => "torn".into(),
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        let int = |width, unsigned| Form::Int { width, unsigned };
        assert_eq!(decoded(int(1, false), &[0x80]), "Int(-128)");
        assert_eq!(decoded(int(1, true), &[0x80]), "Int(128)");
        assert_eq!(decoded(int(4, false), &[0xff; 4]), "Int(-1)");
        assert_eq!(decoded(int(8, true), &[0xff; 8]), format!("Unsigned({})", u64::MAX));
        assert_eq!(decoded(int(8, true), &[0xff; 4]), "torn");
        assert_eq!(decoded(Form::Bit(9), &[1, 0]), "Int(256)");
        assert_eq!(decoded(Form::Bit(1), &[1]), "Bool(true)");
    }

    #[test]
    fn t6_decimals_are_digits() {
        let wide = Form::Decimal { precision: 65, scale: 2 };
        let narrow = Form::Decimal { precision: 10, scale: 2 };
        assert_eq!(decoded(narrow, b"-0.05"), "Decimal(-5, 2)");
        assert_eq!(decoded(narrow, b"000012.50"), "Decimal(1250, 2)");
        assert_eq!(decoded(narrow, b"12.5"), "torn");
        assert_eq!(decoded(wide, b"0000.50"), "0.50");
        assert_eq!(decoded(wide, b"-12.50"), "-12.50");
    }

    #[test]
    fn t20_zero_dates_are_not_null() {
        assert_eq!(decoded(Form::Date, &[0]), "0000-00-00");
        assert_eq!(decoded(Form::Stamp, &[0]), "0000-00-00 00:00:00");
        assert_eq!(decoded(Form::Date, &[4, 0xe8, 7, 0, 10]), "2024-00-10");
        assert_eq!(decoded(Form::Date, &[4, 0xe8, 7, 2, 29]), "Date(19782)");
        assert_eq!(decoded(Form::Date, &[4, 0xe8, 7, 2]), "torn");
        let last = [11, 0xb2, 7, 1, 1, 0, 0, 1, 1, 0, 0, 0];
        assert_eq!(decoded(Form::Instant, &last), "Instant(1000001)");
    }

    #[test]
    fn times_go_beyond_a_day() {
        assert_eq!(decoded(Form::Time(0), &[0]), "00:00:00");
        let longest = [8, 1, 34, 0, 0, 0, 22, 59, 59];
        assert_eq!(decoded(Form::Time(0), &longest), "-838:59:59");
        let short = [12, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0xa1, 7, 0];
        assert_eq!(decoded(Form::Time(3), &short), "00:00:01.500");
    }
}
