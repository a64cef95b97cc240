//! Text into columns whose type is text, or travels as the text that the engine prints.

use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::notes::Habit;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::number::words;
use crate::fit::strict::numeral::Numeral;
use crate::fit::strict::real::endless;
use crate::fit::strict::{Door, jsonb, moment};
use crate::model::table::Affinity;
use crate::model::value::ValueRef;

/// A type that travels as text.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    engine: Affinity,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Free text of at most so many characters or bytes.
    Free(Limit),
    /// PostgreSQL's `character(n)`: printed with spaces up to its length.
    Padded(usize),
    /// MySQL's `char(n)`: printed without the spaces at its end.
    Stripped(usize),
    Uuid,
    Jsonb,
    /// Kept as it was written.
    Json,
    Numeric(Numerics),
    /// A time of day with so many digits of a second.
    Time(u8),
    /// One of these labels.
    Enum(Vec<Vec<u8>>),
    /// Some of these labels, in this order.
    Set(Vec<Vec<u8>>),
    /// Any other: the text is taken as it is.
    Other,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    Characters(usize),
    Bytes(usize),
}

/// A `numeric` that is too wide for its carrier, or has no scale.
#[derive(Clone, Copy, Debug)]
struct Numerics {
    /// All digits, and those behind the point: less than none, or more than all, for some
    /// types of PostgreSQL.
    size: Option<(i32, i32)>,
    unsigned: bool,
}

impl Texts {
    pub(super) fn of(declared: &Declared<'_>, engine: Affinity) -> Self {
        let length = || declared.number(0);
        let limited = |limit: Option<usize>| limit.map_or(Limit::None, Limit::Characters);
        let kind = match (engine, declared.base()) {
            (Affinity::Postgres, "character varying") => Kind::Free(limited(length())),
            (Affinity::Postgres, "character") => Kind::Padded(length().unwrap_or(1)),
            (Affinity::Postgres, "text" | "citext" | "name") => Kind::Free(Limit::None),
            (Affinity::Postgres, "jsonb") => Kind::Jsonb,
            (_, "json") => Kind::Json,
            (_, "uuid") => Kind::Uuid,
            (Affinity::Mysql, "varchar") => Kind::Free(limited(length())),
            (Affinity::Mysql, "char") => Kind::Stripped(length().unwrap_or(1)),
            (Affinity::Mysql, "tinytext") => Kind::Free(Limit::Bytes(255)),
            (Affinity::Mysql, "text") => Kind::Free(Limit::Bytes(65_535)),
            (Affinity::Mysql, "mediumtext") => Kind::Free(Limit::Bytes(16_777_215)),
            (Affinity::Mysql, "longtext") => Kind::Free(Limit::None),
            (Affinity::Mysql, "enum") => Kind::Enum(declared.labels()),
            (Affinity::Mysql, "set") => Kind::Set(declared.labels()),
            (_, "numeric" | "decimal") => {
                let size = declared
                    .number(0)
                    .map(|precision| (precision, declared.number(1).unwrap_or(0)));
                Kind::Numeric(Numerics { size, unsigned: declared.is_unsigned() })
            }
            (Affinity::Postgres, "time" | "time without time zone") => {
                Kind::Time(declared.number(0).unwrap_or(6))
            }
            (Affinity::Mysql, "time") => Kind::Time(declared.number(0).unwrap_or(0)),
            _ => Kind::Other,
        };
        // `time(3) with time zone` has the base `time`.
        let kind = if declared.has_zone() { Kind::Other } else { kind };
        Self { engine, kind }
    }

    /// True for text that means just itself, whatever it is.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.kind, Kind::Free(_) | Kind::Padded(_) | Kind::Stripped(_))
    }

    /// True when every text of at most so many bytes, without a NUL where the engine has
    /// none, is carried as it is.
    pub(super) fn passes(&self) -> Option<usize> {
        match self.kind {
            Kind::Free(Limit::None) | Kind::Other | Kind::Json => Some(usize::MAX),
            Kind::Free(Limit::Characters(most) | Limit::Bytes(most)) => Some(most),
            _ => None,
        }
    }

    /// True for PostgreSQL's `jsonb`.
    pub(super) fn is_jsonb(&self) -> bool {
        matches!(self.kind, Kind::Jsonb)
    }

    /// Appends the text that PostgreSQL prints for a `jsonb`; `None` for what is none.
    pub(super) fn write_jsonb(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        jsonb::canonical(text, out).ok()
    }

    /// True when the engine refuses a NUL in text.
    pub(super) fn refuses_nul(&self) -> bool {
        self.engine == Affinity::Postgres
    }

    pub(super) fn value<'a>(
        &self,
        given: Given<'a>,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match (&self.kind, given) {
            (_, Given::Null) => Ok((ValueRef::Null, None)),
            (Kind::Time(digits), given) => {
                moment::time_of_day(given, self.engine, *digits, door, scratch)
            }
            (Kind::Numeric(numerics), given) => numerics.value(given, self.engine, door, scratch),
            (Kind::Uuid, Given::Bytes(bytes)) if bytes.len() == 16 => {
                write_uuid(bytes, scratch);
                Ok((ValueRef::Text(scratch), None))
            }
            (_, Given::Text(text)) => {
                if self.refuses_nul() && text.contains(&0) {
                    return Err("text with a NUL character".into());
                }
                if std::str::from_utf8(text).is_err() {
                    return Err("text that is no UTF-8".into());
                }
                self.text(text, door, scratch)
            }
            // An exporter that knows no text: Parquet files of older writers.
            (_, Given::Bytes(bytes)) if door == Door::File && self.is_free() => {
                let (value, habit) = self.value(Given::Text(bytes), door, scratch)?;
                Ok((value, habit.or(Some(Habit::BytesAsText))))
            }
            (_, Given::Numeral(number)) if self.is_free() => {
                let (value, _) = self.text(number, door, scratch)?;
                Ok((value, Some(Habit::NumberForText)))
            }
            (Kind::Json | Kind::Jsonb, Given::Numeral(number)) => self.text(number, door, scratch),
            (Kind::Json | Kind::Jsonb, Given::Bool(truth)) => {
                let word: &[u8] = if truth { b"true" } else { b"false" };
                Ok((ValueRef::Text(word), None))
            }
            (_, Given::Int(i)) if self.is_free() => self.number(&i.to_string(), scratch),
            (_, Given::Unsigned(u)) if self.is_free() => self.number(&u.to_string(), scratch),
            (_, Given::Decimal(digits, scale)) if self.is_free() => {
                let text = ValueRef::Decimal(digits, scale).plain_text();
                self.number(&text.unwrap_or_default(), scratch)
            }
            // pandas has no other NULL in a column of objects that became floats.
            (_, Given::Double(r)) if r.is_nan() && door == Door::File => {
                Ok((ValueRef::Null, Some(Habit::NanForNull)))
            }
            (_, given) => Err(kind_words(given)),
        }
    }

    fn number<'a>(&self, number: &str, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let mut written = Vec::new();
        let (value, _) = self.text(number.as_bytes(), Door::Database, &mut written)?;
        if let ValueRef::Text(text) = value {
            scratch.extend_from_slice(text);
        }
        Ok((ValueRef::Text(scratch), Some(Habit::NumberForText)))
    }

    fn text<'a>(&self, text: &'a [u8], door: Door, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let null_word = door == Door::File && is_null_word(text);
        match &self.kind {
            Kind::Free(limit) => {
                limit.check(text)?;
                Ok((ValueRef::Text(text), null_word.then_some(Habit::WordKept)))
            }
            Kind::Padded(length) => {
                let bare = stripped(text);
                let missing = length.checked_sub(characters(bare)).ok_or_else(|| too_long(bare))?;
                let habit = null_word.then_some(Habit::WordKept);
                if characters(text) == *length {
                    return Ok((ValueRef::Text(text), habit));
                }
                scratch.extend_from_slice(bare);
                scratch.extend(std::iter::repeat_n(b' ', missing));
                Ok((ValueRef::Text(scratch), habit))
            }
            Kind::Stripped(length) => {
                let bare = stripped(text);
                match characters(bare) <= *length {
                    true => Ok((ValueRef::Text(bare), null_word.then_some(Habit::WordKept))),
                    false => Err(too_long(bare)),
                }
            }
            Kind::Enum(labels) => {
                // MySQL's own value for a label that was none, outside of strict mode.
                if text.is_empty() || labels.iter().any(|label| label == text) {
                    return Ok((ValueRef::Text(text), None));
                }
                or_null(null_word, text)
            }
            Kind::Set(labels) => {
                let parts: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
                let known = |part: &&[u8]| labels.iter().any(|label| label == part);
                if !text.is_empty() && !parts.iter().all(known) {
                    return or_null(null_word, text);
                }
                for label in labels.iter().filter(|label| parts.contains(&label.as_slice())) {
                    if !scratch.is_empty() {
                        scratch.push(b',');
                    }
                    scratch.extend_from_slice(label);
                }
                Ok((ValueRef::Text(scratch), None))
            }
            Kind::Uuid => match uuid(text) {
                Some(bytes) => {
                    write_uuid(&bytes, scratch);
                    Ok((ValueRef::Text(scratch), None))
                }
                None => or_null(null_word, text),
            },
            Kind::Jsonb => match jsonb::canonical(text, scratch) {
                Ok(()) => Ok((ValueRef::Text(scratch), None)),
                // `null` is JSON, and other words are none.
                Err(_) if null_word => Ok((ValueRef::Null, Some(Habit::WordForNull))),
                Err(why) => Err(format!("{}, which is no jsonb: {why}", words(text))),
            },
            Kind::Json | Kind::Other => Ok((ValueRef::Text(text), None)),
            Kind::Numeric(_) | Kind::Time(_) => Err(words(text)),
        }
    }
}

fn or_null(null_word: bool, text: &[u8]) -> Found<'static> {
    match null_word {
        true => Ok((ValueRef::Null, Some(Habit::WordForNull))),
        false => Err(words(text)),
    }
}

fn kind_words(given: Given<'_>) -> String {
    match given {
        Given::Null => "NULL".into(),
        Given::Int(i) => format!("the integer {i}"),
        Given::Unsigned(u) => format!("the integer {u}"),
        Given::Double(r) => format!("the float {r:?}"),
        Given::Single(r) => format!("the float {r:?}"),
        Given::Decimal(..) => "a decimal".into(),
        Given::Bool(truth) => format!("the boolean {truth}"),
        Given::Text(text) | Given::Numeral(text) => words(text),
        Given::Bytes(_) => "bytes".into(),
        Given::Day(_) => "a date".into(),
        Given::Moment(..) => "a moment".into(),
        Given::Time(_) => "a time of day".into(),
    }
}

impl Limit {
    fn check(&self, text: &[u8]) -> Result<(), String> {
        let long = match self {
            Limit::None => false,
            Limit::Characters(most) => text.len() > *most && characters(text) > *most,
            Limit::Bytes(most) => text.len() > *most,
        };
        if long { Err(too_long(text)) } else { Ok(()) }
    }
}

fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn stripped(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

fn too_long(text: &[u8]) -> String {
    format!("{}, of {} characters", words(text), characters(text))
}

impl Numerics {
    fn value<'a>(
        &self,
        given: Given<'a>,
        engine: Affinity,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let float = |r: f64, text: String| match r.is_nan() && door == Door::File {
            true => None,
            false => Some((text, Some(Habit::FloatForDecimal))),
        };
        let (text, habit) = match given {
            Given::Text(text) | Given::Numeral(text) => {
                return self.read(text, engine, door, scratch);
            }
            Given::Int(i) => (i.to_string(), None),
            Given::Unsigned(u) => (u.to_string(), None),
            Given::Decimal(digits, scale) => {
                (ValueRef::Decimal(digits, scale).plain_text().unwrap_or_default(), None)
            }
            Given::Bool(truth) => (u8::from(truth).to_string(), Some(Habit::BooleanForNumber)),
            Given::Double(r) => match float(r, r.to_string()) {
                Some(found) => found,
                None => return Ok((ValueRef::Null, Some(Habit::NanForNull))),
            },
            Given::Single(r) => match float(r.into(), r.to_string()) {
                Some(found) => found,
                None => return Ok((ValueRef::Null, Some(Habit::NanForNull))),
            },
            given => return Err(kind_words(given)),
        };
        let mut written = Vec::new();
        self.read(text.as_bytes(), engine, Door::Database, &mut written)?;
        scratch.extend_from_slice(&written);
        Ok((ValueRef::Text(scratch), habit))
    }

    fn read<'a>(
        &self,
        text: &[u8],
        engine: Affinity,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let Some(numeral) = Numeral::parse(text) else {
            let word = endless(text).filter(|_| engine == Affinity::Postgres);
            let word = match word {
                Some(r) if r.is_nan() => "NaN",
                Some(r) if self.size.is_none() && r > 0.0 => "Infinity",
                Some(_) if self.size.is_none() => "-Infinity",
                _ if door == Door::File && is_null_word(text) => {
                    return Ok((ValueRef::Null, Some(Habit::WordForNull)));
                }
                _ => return Err(words(text)),
            };
            scratch.extend_from_slice(word.as_bytes());
            return Ok((ValueRef::Text(scratch), None));
        };
        // PostgreSQL's numeric ends at 131,072 digits before the point and 16,383 behind it.
        let (before, behind) = match self.size {
            Some((digits, scale)) => (digits - scale, scale),
            None => (131_072, numeral.scale().min(16_383) as i32),
        };
        let odd = self.size.filter(|(digits, scale)| !(0..=*digits).contains(scale));
        let held = odd.is_none_or(|(digits, scale)| {
            let most = u32::try_from(digits).ok().and_then(|digits| 10_i128.checked_pow(digits));
            numeral.scaled(scale).is_some_and(|held| most.is_some_and(|most| held.abs() < most))
        });
        if !held || self.unsigned && numeral.is_negative() {
            return Err(words(text));
        }
        let digits = |digits: i32| usize::try_from(digits).unwrap_or(0);
        let (before, behind) = (digits(before), digits(behind));
        numeral.write(behind, before, scratch).ok_or_else(|| words(text))?;
        Ok((ValueRef::Text(scratch), None))
    }
}

/// The bytes of a UUID in any form that PostgreSQL reads: braces around it are allowed,
/// and hyphens after any group of four digits (`string_to_uuid` of its source).
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let inner = match text {
        [b'{', inner @ .., b'}'] => inner,
        _ => text,
    };
    let mut bytes = [0; 16];
    let mut rest = inner;
    for (place, byte) in bytes.iter_mut().enumerate() {
        let [high, low, more @ ..] = rest else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
        rest = match more {
            [b'-', after @ ..] if place % 2 == 1 && place < 15 => after,
            _ => more,
        };
    }
    rest.is_empty().then_some(bytes)
}

/// Appends the usual form of a UUID.
pub(crate) fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}
