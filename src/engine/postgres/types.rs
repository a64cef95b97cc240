//! How columns of each type come over the wire, and in what carrier they travel.
//!
//! Types with a binary form that says just what the value is are read in it (`*_send` of the
//! server's source, src/backend/utils/adt); all others in the text of their own output function,
//! which their input function takes back.

use std::fmt::Write as _;

use crate::engine::wire;
use crate::model::calendar::{DAY_MICROS, civil};
use crate::model::table::Carrier;
use crate::model::value::ValueRef;

/// How a column's values come over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `boolean`.
    Bool,
    /// An integer of so many bytes.
    Int(u8),
    /// `oid`, without a sign.
    Oid,
    /// `real`.
    Float,
    /// `double precision`.
    Double,
    /// `numeric(p,s)` that 38 digits hold.
    Decimal {
        /// All digits.
        precision: u8,
        /// Those behind the point.
        scale: u8,
    },
    /// `numeric` of any other size.
    Numeric,
    /// `date`.
    Date,
    /// `timestamp`.
    Stamp,
    /// `timestamptz`.
    Instant,
    /// `time`.
    Time,
    /// `uuid`.
    Uuid,
    /// `bytea`.
    Bytes,
    /// `jsonb`: a version and the text.
    Jsonb,
    /// Types whose binary form is their text.
    Text,
    /// Any other, in the text of its output function.
    Output,
}

/// Days from 1970-01-01 to 2000-01-01, which is day 0 to the server.
const EPOCH_DAYS: i32 = 10_957;

/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * DAY_MICROS;

impl Form {
    /// The form of a base type (`pg_type.oid`, `typtype`) with this modifier (`atttypmod`).
    pub(crate) fn of(oid: u32, kind: char, modifier: i32) -> Form {
        match oid {
            16 => Form::Bool,
            17 => Form::Bytes,
            20 => Form::Int(8),
            21 => Form::Int(2),
            23 => Form::Int(4),
            26 => Form::Oid,
            19 | 25 | 114 | 1042 | 1043 => Form::Text,
            700 => Form::Float,
            701 => Form::Double,
            1082 => Form::Date,
            1083 => Form::Time,
            1114 => Form::Stamp,
            1184 => Form::Instant,
            1700 => numeric(modifier),
            2950 => Form::Uuid,
            3802 => Form::Jsonb,
            _ if kind == 'e' => Form::Text,
            _ => Form::Output,
        }
    }

    /// The carrier of these values.
    pub(crate) fn carrier(self) -> Carrier {
        match self {
            Form::Bool => Carrier::Bool,
            Form::Int(_) | Form::Oid => Carrier::Int,
            Form::Float | Form::Double => Carrier::Real,
            Form::Decimal { precision, scale } => {
                Carrier::Decimal { precision, scale: scale as i8 }
            }
            Form::Date => Carrier::Date,
            Form::Stamp => Carrier::Stamp,
            Form::Instant => Carrier::Instant,
            Form::Bytes => Carrier::Blob,
            Form::Numeric | Form::Time | Form::Uuid | Form::Jsonb | Form::Text | Form::Output => {
                Carrier::Text
            }
        }
    }
}

/// `numeric`'s modifier holds precision and scale (`make_numeric_typmod`); since PostgreSQL 15
/// the scale has eleven bits and a sign.
fn numeric(modifier: i32) -> Form {
    let size = modifier.wrapping_sub(4);
    let (precision, scale) = (size >> 16 & 0xffff, size & 0x7ff);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale)) if modifier >= 4 && scale <= precision => {
            Form::Decimal { precision, scale }
        }
        _ => Form::Numeric,
    }
}

impl wire::Form for Form {
    fn decode<'a>(self, bytes: &'a [u8], scratch: &'a mut String) -> Option<ValueRef<'a>> {
        Some(match self {
            Form::Bool => ValueRef::Bool(exactly::<1>(bytes)?[0] != 0),
            Form::Int(2) => ValueRef::Int(i16::from_be_bytes(exactly(bytes)?).into()),
            Form::Int(4) => ValueRef::Int(i32::from_be_bytes(exactly(bytes)?).into()),
            Form::Int(_) => ValueRef::Int(i64::from_be_bytes(exactly(bytes)?)),
            Form::Oid => ValueRef::Int(u32::from_be_bytes(exactly(bytes)?).into()),
            Form::Float => ValueRef::Real(f32::from_be_bytes(exactly(bytes)?).into()),
            Form::Double => ValueRef::Real(f64::from_be_bytes(exactly(bytes)?)),
            Form::Decimal { scale, .. } => match digits(bytes, scale)? {
                Some(digits) => ValueRef::Decimal(digits, scale as i8),
                None => {
                    write_numeric(bytes, scratch)?;
                    ValueRef::Text(scratch.as_bytes())
                }
            },
            Form::Numeric => {
                write_numeric(bytes, scratch)?;
                ValueRef::Text(scratch.as_bytes())
            }
            Form::Date => match i32::from_be_bytes(exactly(bytes)?) {
                i32::MAX => ValueRef::Text(b"infinity"),
                i32::MIN => ValueRef::Text(b"-infinity"),
                day => ValueRef::Date(day.checked_add(EPOCH_DAYS)?),
            },
            Form::Stamp | Form::Instant => match i64::from_be_bytes(exactly(bytes)?) {
                i64::MAX => ValueRef::Text(b"infinity"),
                i64::MIN => ValueRef::Text(b"-infinity"),
                micros => match (micros.checked_add(EPOCH_MICROS), self) {
                    (Some(micros), Form::Stamp) => ValueRef::Stamp(micros),
                    (Some(micros), _) => ValueRef::Instant(micros),
                    // Beyond what 64 bits count from 1970: the last years that the type has.
                    (None, _) => {
                        write_late(micros, self == Form::Instant, scratch);
                        ValueRef::Text(scratch.as_bytes())
                    }
                },
            },
            Form::Time => {
                write_time(i64::from_be_bytes(exactly(bytes)?), scratch);
                ValueRef::Text(scratch.as_bytes())
            }
            Form::Uuid => {
                scratch.clear();
                for (at, byte) in exactly::<16>(bytes)?.into_iter().enumerate() {
                    let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                    let _ = write!(scratch, "{dash}{byte:02x}");
                }
                ValueRef::Text(scratch.as_bytes())
            }
            Form::Bytes => ValueRef::Blob(bytes),
            Form::Jsonb => match bytes.split_first()? {
                (1, text) => ValueRef::Text(text),
                _ => return None,
            },
            Form::Text | Form::Output => ValueRef::Text(bytes),
        })
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A `numeric` as it is sent (`numeric_send`): how many digits of base 10,000, the weight of the
/// first, the sign, how many decimals are shown, and the digits.
struct Numeric<'a> {
    weight: i32,
    sign: u16,
    shown: usize,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let digits = bytes.get(8..)?;
        let good = digits.len() == 2 * usize::from(word(0)?)
            && digits.chunks_exact(2).all(|d| u16::from_be_bytes([d[0], d[1]]) < 10_000);
        good.then_some(Self {
            weight: (word(2)? as i16).into(),
            sign: word(4)?,
            shown: word(6)?.into(),
            digits,
        })
    }

    /// The group of base 10,000 with this weight.
    fn group(&self, weight: i32) -> u16 {
        let at = usize::try_from(self.weight - weight).ok();
        let pair = at.and_then(|at| self.digits.get(2 * at..)?.first_chunk());
        pair.map_or(0, |pair| u16::from_be_bytes(*pair))
    }

    /// The word that stands for no number.
    fn word(&self) -> Option<&'static str> {
        Some(match self.sign {
            0xc000 => "NaN",
            0xd000 => "Infinity",
            0xf000 => "-Infinity",
            _ => return None,
        })
    }
}

/// The digits of a number at this scale; `Some(None)` for what is no number or has more decimals.
fn digits(bytes: &[u8], scale: u8) -> Option<Option<i128>> {
    let number = Numeric::read(bytes)?;
    if number.word().is_some() {
        return Some(None);
    }
    let behind: i32 = scale.div_ceil(4).into();
    let last = number.weight - (number.digits.len() / 2) as i32 + 1;
    if last < -behind || number.weight > 9 {
        return Some(None);
    }
    let mut all: i128 = 0;
    for weight in (-behind..=number.weight.max(0)).rev() {
        let group = number.group(weight).into();
        let Some(next) = all.checked_mul(10_000).and_then(|n| n.checked_add(group)) else {
            return Some(None);
        };
        all = next;
    }
    let spare = 10_i128.pow((4 * behind - i32::from(scale)).unsigned_abs());
    if all % spare != 0 {
        return Some(None);
    }
    let digits = all / spare;
    Some(Some(if number.sign == 0x4000 { -digits } else { digits }))
}

/// A `numeric` as the server prints it (`get_str_from_var`).
fn write_numeric(bytes: &[u8], out: &mut String) -> Option<()> {
    let number = Numeric::read(bytes)?;
    out.clear();
    if let Some(word) = number.word() {
        out.push_str(word);
        return Some(());
    }
    if number.sign == 0x4000 {
        out.push('-');
    }
    if number.weight < 0 {
        out.push('0');
    } else {
        let _ = write!(out, "{}", number.group(number.weight));
        for weight in (0..number.weight).rev() {
            let _ = write!(out, "{:04}", number.group(weight));
        }
    }
    if number.shown > 0 {
        out.push('.');
        let end = out.len() + number.shown;
        let mut weight = -1;
        while out.len() < end {
            let _ = write!(out, "{:04}", number.group(weight));
            weight -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// Microseconds since midnight as the server prints them: `24:00:00`, `01:02:03.5`.
fn write_time(micros: i64, out: &mut String) {
    out.clear();
    let seconds = micros / 1_000_000;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// A moment in microseconds since 2000 as the server prints it.
fn write_late(micros: i64, zoned: bool, out: &mut String) {
    let (year, month, day) = civil(micros.div_euclid(DAY_MICROS) + i64::from(EPOCH_DAYS));
    let mut time = String::new();
    write_time(micros.rem_euclid(DAY_MICROS), &mut time);
    out.clear();
    let zone = if zoned { "+00" } else { "" };
    let _ = write!(out, "{year:04}-{month:02}-{day:02} {time}{zone}");
}

/// A date or moment as the server reads it: years before 1 are counted `BC`.
pub(crate) fn moment_words(value: ValueRef<'_>) -> Option<String> {
    let of = |micros: i64| (micros.div_euclid(DAY_MICROS), Some(micros.rem_euclid(DAY_MICROS)));
    let ((day, of_day), zone) = match value {
        ValueRef::Date(day) => ((day.into(), None), ""),
        ValueRef::Stamp(micros) => (of(micros), ""),
        ValueRef::Instant(micros) => (of(micros), "+00"),
        _ => return None,
    };
    let (year, month, day) = civil(day);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if let Some(of_day) = of_day {
        let mut time = String::new();
        write_time(of_day, &mut time);
        let _ = write!(text, " {time}{zone}");
    }
    text.push_str(era);
    Some(text)
}

/// A value as text that its type's input function takes for just this value; `None` for NULL.
pub(crate) fn words(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Int(i) => i.to_string(),
        // `Infinity`, `-Infinity`, `NaN` and the shortest digits that tell a double apart.
        ValueRef::Real(r) if r.is_infinite() => {
            if r > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => format!("\\x{}", crate::model::value::hex(bytes)),
        ValueRef::Date(_) | ValueRef::Stamp(_) | ValueRef::Instant(_) => moment_words(value)?,
        ValueRef::Unsigned(_) | ValueRef::Bool(_) | ValueRef::Decimal(..) => value.plain_text()?,
    })
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

    fn sent(weight: i16, sign: u16, shown: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight as u16, sign, shown];
        head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn t6_numerics_are_their_digits() {
        let money = Form::Decimal { precision: 10, scale: 2 };
        let whole = Form::Decimal { precision: 38, scale: 0 };
        // 12345.60, -0.05, 0.00, 20000
        assert_eq!(decoded(money, &sent(1, 0, 2, &[1, 2345, 6000])), "Decimal(1234560, 2)");
        assert_eq!(decoded(money, &sent(-1, 0x4000, 2, &[500])), "Decimal(-5, 2)");
        assert_eq!(decoded(money, &sent(0, 0, 2, &[])), "Decimal(0, 2)");
        assert_eq!(decoded(whole, &sent(1, 0, 0, &[2])), "Decimal(20000, 0)");
        assert_eq!(decoded(money, &sent(0, 0xc000, 0, &[])), "NaN");
        let wide = Form::Numeric;
        assert_eq!(decoded(wide, &sent(1, 0, 2, &[1, 2345, 6000])), "12345.60");
        assert_eq!(decoded(wide, &sent(-1, 0x4000, 6, &[500])), "-0.050000");
        assert_eq!(decoded(wide, &sent(-2, 0, 5, &[5000])), "0.00005");
        assert_eq!(decoded(wide, &sent(2, 0, 0, &[7])), "700000000");
        assert_eq!(decoded(wide, &sent(0, 0, 3, &[])), "0.000");
        assert_eq!(decoded(wide, &sent(0, 0xf000, 0, &[])), "-Infinity");
        assert_eq!(decoded(wide, &sent(0, 0, 0, &[10_000])), "torn");
        assert_eq!(decoded(wide, &[0, 1, 0, 0, 0, 0, 0, 0]), "torn");
    }

    #[test]
    fn t7_moments_count_from_2000_and_have_no_end() {
        assert_eq!(decoded(Form::Date, &0_i32.to_be_bytes()), "Date(10957)");
        assert_eq!(decoded(Form::Date, &i32::MAX.to_be_bytes()), "infinity");
        assert_eq!(decoded(Form::Stamp, &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(decoded(Form::Instant, &(-EPOCH_MICROS).to_be_bytes()), "Instant(0)");
        let last = 9_223_371_331_199_999_999_i64;
        assert_eq!(decoded(Form::Stamp, &last.to_be_bytes()), "294276-12-31 23:59:59.999999");
        assert_eq!(decoded(Form::Time, &86_400_000_000_i64.to_be_bytes()), "24:00:00");
        assert_eq!(moment_words(ValueRef::Date(-719_529)).as_deref(), Some("0002-12-31 BC"));
        assert_eq!(
            moment_words(ValueRef::Instant(-1)).as_deref(),
            Some("1969-12-31 23:59:59.999999+00")
        );
    }

    #[test]
    fn a_numeric_modifier_says_its_size() {
        let modifier = |precision: i32, scale: i32| (precision << 16 | scale & 0x7ff) + 4;
        let decimal = |precision, scale| Form::Decimal { precision, scale };
        assert_eq!(numeric(modifier(10, 2)), decimal(10, 2));
        assert_eq!(numeric(modifier(38, 38)), decimal(38, 38));
        for other in [-1, modifier(39, 0), modifier(3, 5), modifier(3, -2)] {
            assert_eq!(numeric(other), Form::Numeric);
        }
    }
}
