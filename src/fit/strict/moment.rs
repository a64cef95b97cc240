//! Dates, moments and times of day into columns of one type.

use std::ops::RangeInclusive;

use crate::fit::affinity::trim;
use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::moment::{Moment, Parsed, parse};
use crate::fit::notes::Habit;
use crate::fit::strict::Door;
use crate::fit::strict::declared::Declared;
use crate::fit::strict::number::words;
use crate::model::calendar::{civil, days};
use crate::model::table::Affinity;
use crate::model::value::ValueRef;

/// A type of dates or moments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    engine: Affinity,
    kind: Kind,
    /// Digits of the fraction of a second that the type keeps.
    pub(super) digits: u8,
    /// The days that the type holds, the last one excluded.
    days: (i64, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    /// Without a zone.
    Stamp,
    /// Of UTC.
    Instant,
}

impl Moments {
    pub(super) fn of(kind: Kind, declared: &Declared<'_>, engine: Affinity) -> Self {
        let usual = if engine == Affinity::Mysql { 0 } else { 6 };
        let day = |year| days(year, 1, 1).unwrap_or_default();
        let days = match (engine, kind) {
            // MySQL 8.4 manual, 13.2.2; the last second is MariaDB's.
            (Affinity::Mysql, Kind::Instant) => (0, day(2106) + 38),
            (Affinity::Mysql, _) => (day(1), day(10_000)),
            // PostgreSQL 15 documentation, table 8.9.
            (Affinity::Postgres, Kind::Date) => (-2_440_588, day(5_874_898)),
            (Affinity::Postgres, _) => (-2_440_588, day(294_277)),
            _ => (i64::MIN, i64::MAX),
        };
        Self { engine, kind, digits: declared.number(0).unwrap_or(usual), days }
    }

    /// The moments in microseconds that the type holds, the last one excluded.
    pub(super) fn micros(&self) -> (i64, i64) {
        const DAY: i64 = 86_400_000_000;
        (self.days.0.saturating_mul(DAY), self.days.1.saturating_mul(DAY))
    }

    /// The days that the type holds, the last one excluded.
    pub(super) fn days(&self) -> (i64, i64) {
        self.days
    }

    /// The habit of a moment whose zone the type lacks, or the reverse.
    pub(super) fn zone_habit(&self, zoned: bool) -> Option<Habit> {
        (zoned != (self.kind == Kind::Instant)).then_some(Habit::ZoneByUtc)
    }

    pub(super) fn value<'a>(
        &self,
        given: Given<'a>,
        door: Door,
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        match given {
            Given::Null => Ok((ValueRef::Null, None)),
            Given::Day(day) => {
                let moment = Moment::of_day(day).ok_or("a date out of range")?;
                let habit = (self.kind != Kind::Date).then_some(Habit::DateForMoment);
                Ok((self.held(moment)?, habit))
            }
            Given::Moment(moment, zoned) => {
                let value = self.held(moment)?;
                let date = (self.kind == Kind::Date).then_some(Habit::MomentForDate);
                Ok((value, date.or(self.zone_habit(zoned))))
            }
            Given::Text(text) => self.read(text, door, scratch),
            Given::Int(i) => Err(format!("the integer {i}, whose unit is not said")),
            Given::Numeral(text) => Err(format!("{}, whose unit is not said", words(text))),
            // pandas has no other NULL of moments.
            Given::Double(r) if r.is_nan() && door == Door::File => {
                Ok((ValueRef::Null, Some(Habit::NanForNull)))
            }
            Given::Double(_) | Given::Single(_) | Given::Decimal(..) | Given::Unsigned(_) => {
                Err("a number".into())
            }
            Given::Bool(truth) => Err(format!("the boolean {truth}")),
            Given::Bytes(_) => Err("bytes".into()),
            Given::Time(_) => Err("a time of day".into()),
        }
    }

    /// The type's value for a moment. The server would round what is finer (T7, T8).
    fn held(&self, moment: Moment) -> Result<ValueRef<'static>, String> {
        let day = moment.seconds.div_euclid(86_400);
        if !(self.days.0..self.days.1).contains(&day) {
            return Err(format!("a moment out of range ({} s since 1970)", moment.seconds));
        }
        let whole = moment.seconds.rem_euclid(86_400) == 0 && moment.nanos == 0;
        match (self.kind, moment.micros()) {
            (Kind::Date, _) if whole => {
                i32::try_from(day).map(ValueRef::Date).map_err(|_| "a date out of range".into())
            }
            (Kind::Date, _) => Err("a moment with a time of day".into()),
            (_, Some(micros)) if micros.rem_euclid(self.unit()) == 0 => Ok(match self.kind {
                Kind::Instant => ValueRef::Instant(micros),
                _ => ValueRef::Stamp(micros),
            }),
            _ => Err(format!("a moment of more than {} digits of a second", self.digits)),
        }
    }

    /// The microseconds of the type's last digit.
    pub(super) fn unit(&self) -> i64 {
        10_i64.pow(6_u8.saturating_sub(self.digits).into())
    }

    fn read<'a>(&self, text: &'a [u8], door: Door, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let text = trim(text);
        if self.engine == Affinity::Mysql && is_zero_date(text) {
            return match self.zero_date(text, scratch) {
                true => Ok((ValueRef::Text(scratch), None)),
                false => Err(words(text)),
            };
        }
        if self.engine == Affinity::Postgres {
            for end in ["infinity", "-infinity"] {
                if text.eq_ignore_ascii_case(end.as_bytes()) {
                    return Ok((ValueRef::Text(end.as_bytes()), None));
                }
            }
        }
        let Some(parsed) = any_year(text) else {
            return match door == Door::File && is_null_word(text) {
                true => Ok((ValueRef::Null, Some(Habit::WordForNull))),
                false => Err(words(text)),
            };
        };
        let mut moment = parsed.moment;
        moment.seconds -= i64::from(parsed.offset.unwrap_or(0)) * 60;
        if self.write_far(moment, scratch) {
            return Ok((ValueRef::Text(scratch), self.zone_habit(parsed.offset.is_some())));
        }
        let value = self.held(moment).map_err(|why| format!("{}: {why}", words(text)))?;
        let timed = trim(text).iter().any(|b| matches!(b, b':'));
        let habit = match self.kind {
            Kind::Date => timed.then_some(Habit::MomentForDate),
            _ if !timed => Some(Habit::DateForMoment),
            _ => self.zone_habit(parsed.offset.is_some()),
        };
        Ok((value, habit))
    }

    /// Writes a moment past the carrier's last one as PostgreSQL does; false for others.
    fn write_far(&self, moment: Moment, out: &mut Vec<u8>) -> bool {
        let far = moment.seconds > i64::MAX / 1_000_000;
        let day = moment.seconds.div_euclid(86_400);
        if self.engine != Affinity::Postgres
            || self.kind == Kind::Date
            || !far
            || day >= self.days.1
        {
            return false;
        }
        let (year, month, date) = civil(day);
        out.extend_from_slice(format!("{year}-{month:02}-{date:02} ").as_bytes());
        let of_day = Moment { seconds: moment.seconds.rem_euclid(86_400), ..moment };
        let whole = write_clock(of_day, self.digits.into(), out);
        trim_fraction(self.digits, out);
        if self.kind == Kind::Instant {
            out.extend_from_slice(b"+00");
        }
        whole
    }

    /// Writes a date with a zero in it as MySQL prints it in this type; false where the
    /// type can't hold it.
    fn zero_date(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let (date, clock) = text.split_at(10);
        let all_zero = date == b"0000-00-00";
        // The rest of the text is judged on a day that the calendar has.
        let Some(time) = parse(&[b"2000-01-01", clock].concat()) else { return false };
        let of_day = Moment { seconds: time.moment.seconds.rem_euclid(86_400), ..time.moment };
        let midnight = of_day.seconds == 0 && of_day.nanos == 0;
        if time.offset.is_some() || (all_zero || self.kind == Kind::Date) && !midnight {
            return false;
        }
        out.extend_from_slice(date);
        match self.kind {
            Kind::Date => return true,
            Kind::Instant if !all_zero => return false,
            _ => out.push(b' '),
        }
        let digits = if of_day.nanos > 0 { 6 } else { 0 };
        write_clock(of_day, digits, out) && of_day.nanos.is_multiple_of(self.unit() as u32 * 1_000)
    }
}

/// True for a full date whose year, month or day is 0.
fn is_zero_date(text: &[u8]) -> bool {
    let Some((date, _)) = text.split_first_chunk::<10>() else { return false };
    let digits = [0, 1, 2, 3, 5, 6, 8, 9].iter().all(|place| date[*place].is_ascii_digit());
    let zero = &date[..4] == b"0000" || &date[5..7] == b"00" || &date[8..] == b"00";
    digits && date[4] == b'-' && date[7] == b'-' && zero
}

/// Reads a moment of any year: PostgreSQL prints later ones with more digits than four, and
/// earlier ones with ` BC`, where 1 BC is the year 0.
fn any_year(text: &[u8]) -> Option<Parsed> {
    if let Some(parsed) = parse(text) {
        return Some(parsed);
    }
    let (text, before) = match text.strip_suffix(b" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (sign, text) = match text {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => (1, text),
    };
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let year: i64 = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    if digits < 4 || year > 10_000_000 || before && year == 0 {
        return None;
    }
    let year = if before { 1 - year } else { sign * year };
    // The calendar repeats after 400 years.
    let like = 2_000 + year.rem_euclid(400);
    let mut parsed = parse(&[like.to_string().as_bytes(), &text[digits..]].concat())?;
    parsed.moment.seconds += (year - like) / 400 * 146_097 * 86_400;
    Some(parsed)
}

/// Appends `HH:MM:SS` with so many digits of a fraction; false for a moment that has more.
fn write_clock(of_day: Moment, digits: usize, out: &mut Vec<u8>) -> bool {
    let second = of_day.seconds;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    out.extend_from_slice(format!("{hour:02}:{minute:02}:{second:02}").as_bytes());
    let fraction = format!("{:09}", of_day.nanos);
    let (kept, cut) = fraction.split_at(digits.min(9));
    if digits > 0 {
        out.push(b'.');
        out.extend_from_slice(kept.as_bytes());
    }
    cut.bytes().all(|digit| digit == b'0')
}

/// Takes the zeros at the end of a fraction of so many digits, and its point with the last.
fn trim_fraction(digits: u8, clock: &mut Vec<u8>) {
    if digits > 0 {
        let zeros = clock.iter().rev().take_while(|digit| **digit == b'0').count();
        clock.truncate(clock.len() - zeros);
        clock.pop_if(|last| *last == b'.');
    }
}

/// A time of day in the engine's own text: MySQL prints all digits of the type, PostgreSQL
/// as many as the value needs.
pub(super) fn time_of_day<'a>(
    given: Given<'a>,
    engine: Affinity,
    digits: u8,
    door: Door,
    scratch: &'a mut Vec<u8>,
) -> Found<'a> {
    let (time, text) = match given {
        Given::Time(time) => (Some(time), None),
        Given::Text(text) => (of_text(text), Some(text)),
        _ => (None, None),
    };
    let finer = || format!("a time of more than {digits} digits of a second");
    match (time, text) {
        (Some(time), _) if !(0..86_400).contains(&time.seconds) => {
            Err("a time past the day's end".into())
        }
        (Some(time), _) => {
            if !time.nanos.is_multiple_of(10_u32.pow(9 - u32::from(digits.min(9)))) {
                return Err(finer());
            }
            write_clock(time, digits.into(), scratch);
            if engine != Affinity::Mysql {
                trim_fraction(digits, scratch);
            }
            Ok((ValueRef::Text(scratch), None))
        }
        (None, Some(text)) if door == Door::File && is_null_word(text) => {
            Ok((ValueRef::Null, Some(Habit::WordForNull)))
        }
        (None, Some(b"24:00:00")) if engine == Affinity::Postgres => {
            Ok((ValueRef::Text(b"24:00:00"), None))
        }
        (None, Some(text)) if engine == Affinity::Mysql => match span(text, digits, scratch) {
            Some(()) => Ok((ValueRef::Text(scratch), None)),
            None => Err(words(text)),
        },
        (None, Some(text)) => Err(words(text)),
        (None, None) => Err("no time of day".into()),
    }
}

/// Appends a time of MySQL's, up to 838 hours on either side of 0, as the server prints it
/// with so many digits of a second; `None` for what is none, or has more digits.
///
/// ```text
/// time := [-] hours{2,3} : MM : SS [. digits]
/// ```
fn span(text: &[u8], digits: u8, out: &mut Vec<u8>) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, clock) = match text.strip_prefix('-') {
        Some(clock) => (true, clock),
        None => (false, text),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':');
    let mut part = |lengths: RangeInclusive<usize>, most: u32| {
        let part = parts.next()?;
        let plain = lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|number: &u32| plain && *number <= most)
    };
    let (hour, minute, second) = (part(2..=3, 838)?, part(2..=2, 59)?, part(2..=2, 59)?);
    let (kept, cut) = fraction.split_at_checked(digits.into()).unwrap_or((fraction, ""));
    let whole = fraction.bytes().all(|b| b.is_ascii_digit()) && cut.bytes().all(|b| b == b'0');
    if parts.next().is_some() || !whole || text.ends_with('.') {
        return None;
    }
    let nothing = hour + minute + second == 0 && kept.bytes().all(|b| b == b'0');
    if negative && !nothing {
        out.push(b'-');
    }
    out.extend_from_slice(format!("{hour:02}:{minute:02}:{second:02}").as_bytes());
    if digits > 0 {
        out.extend_from_slice(format!(".{kept:0<width$}", width = digits.into()).as_bytes());
    }
    Some(())
}

/// A time within a day, as text.
fn of_text(text: &[u8]) -> Option<Moment> {
    let parsed = parse(&[b"1970-01-01 ", text].concat())?;
    (parsed.offset.is_none() && text.len() >= 8).then_some(parsed.moment)
}
