//! Moments as text: writing them in live's form, and reading text moments of any ISO 8601
//! form with a full date (Python's, JSON's and SQLite's date functions' forms).
//!
//! Years 0 to 9999 of the proleptic Gregorian calendar.

use crate::fit::notes::Habit;
use crate::model::calendar::{civil, days};
use crate::model::table::{Column, Fraction, TimeForm, Zone};

/// The form that is taken where live shows none: Python's `str(datetime)`.
pub const ASSUMED: TimeForm =
    TimeForm { separator: Some(' '), fraction: Fraction::SixUnlessZero, zone: Zone::None };

/// A moment: seconds since 1970 and nanoseconds, without regard to zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970-01-01 00:00:00, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that, below 10^9.
    pub nanos: u32,
}

/// How a moment came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// In the form asked for.
    InForm,
    /// Longer than the form, since the form would have lost digits.
    Longer,
}

impl Moment {
    /// The moment of a count of units since 1970, `per_second` of them in a second.
    pub fn of(count: i64, per_second: i64) -> Self {
        let nanos = count.rem_euclid(per_second) * (1_000_000_000 / per_second);
        Self { seconds: count.div_euclid(per_second), nanos: nanos as u32 }
    }

    /// Midnight of a day since 1970; `None` past 64 bits of seconds.
    pub fn of_day(day: i64) -> Option<Self> {
        Some(Self { seconds: day.checked_mul(86_400)?, nanos: 0 })
    }

    /// Microseconds since 1970; `None` for finer moments, and past 64 bits.
    pub fn micros(self) -> Option<i64> {
        let whole = self.seconds.checked_mul(1_000_000)?;
        let rest = self.nanos.is_multiple_of(1_000).then_some(self.nanos / 1_000)?;
        whole.checked_add(rest.into())
    }

    /// Appends the moment in `form`; `None` and nothing appended for a year outside 0 to 9999.
    pub fn write(self, form: &TimeForm, out: &mut Vec<u8>) -> Option<Written> {
        let day = self.seconds.div_euclid(86_400);
        let second = self.seconds.rem_euclid(86_400) as u32;
        // One buffer, and so one copy into `out`: a column has millions of these.
        let mut text = *b"0000-00-00 00:00:00.000000000+00:00";
        write_date(day, &mut text[..10])?;
        let Some(separator) = form.separator else {
            if second == 0 && self.nanos == 0 {
                out.extend_from_slice(&text[..10]);
                return Some(Written::InForm);
            }
            write_clock(second, &mut text[11..19]);
            let (digits, _) = fraction_digits(self.nanos, Fraction::SixUnlessZero);
            let end = write_fraction(self.nanos, digits, &mut text);
            append(&text, end, out);
            return Some(Written::Longer);
        };
        text[10] = separator as u8;
        write_clock(second, &mut text[11..19]);
        let (digits, written) = fraction_digits(self.nanos, form.fraction);
        let mut end = write_fraction(self.nanos, digits, &mut text);
        let zone: &[u8] = match form.zone {
            Zone::None => b"",
            Zone::Zulu => b"Z",
            Zone::Offset => b"+00:00",
        };
        text[end..end + zone.len()].copy_from_slice(zone);
        end += zone.len();
        append(&text, end, out);
        Some(written)
    }

    /// Appends a time of day, with as many digits of its fraction as it needs; `None` past
    /// a day.
    pub fn write_time_of_day(self, out: &mut Vec<u8>) -> Option<()> {
        let second = u32::try_from(self.seconds).ok().filter(|second| *second < 86_400)?;
        let mut text = *b"0000-00-00 00:00:00.000000000+00:00";
        write_clock(second, &mut text[11..19]);
        let (digits, _) = fraction_digits(self.nanos, Fraction::SixUnlessZero);
        let end = write_fraction(self.nanos, digits, &mut text);
        out.extend_from_slice(&text[11..end]);
        Some(())
    }
}

/// The form in which a column of text takes moments, and what that assumes.
pub(crate) fn form(column: &Column, zoned: bool) -> (TimeForm, [Option<Habit>; 2]) {
    match column.time_form {
        Some(form) => {
            let other = form.separator.is_some() && zoned != (form.zone != Zone::None);
            (form, [other.then_some(Habit::ZoneByUtc), None])
        }
        None => (ASSUMED, [Some(Habit::TextFormAssumed), zoned.then_some(Habit::ZoneByUtc)]),
    }
}

/// The form in which a column of text takes dates, and what that assumes.
pub(crate) fn day_form(column: &Column) -> (TimeForm, Option<Habit>) {
    match column.time_form {
        Some(_) => {
            let (form, [habit, _]) = form(column, false);
            (form, habit)
        }
        None => {
            let date = TimeForm { separator: None, fraction: Fraction::Fixed(0), zone: Zone::None };
            (date, Some(Habit::TextFormAssumed))
        }
    }
}

/// Appends the text up to `end`. So many bytes are copied in place, without a call.
fn append(text: &[u8; 35], end: usize, out: &mut Vec<u8>) {
    let before = out.len();
    out.extend_from_slice(text);
    out.truncate(before + end);
}

/// Writes `YYYY-MM-DD` over a text of that form.
fn write_date(day: i64, text: &mut [u8]) -> Option<()> {
    let (year, month, day) = civil(day);
    let year = u32::try_from(year).ok().filter(|year| *year <= 9999)?;
    two(&mut text[0..2], year / 100);
    two(&mut text[2..4], year % 100);
    two(&mut text[5..7], month);
    two(&mut text[8..10], day);
    Some(())
}

/// Writes `HH:MM:SS` over a text of that form.
fn write_clock(second: u32, text: &mut [u8]) {
    two(&mut text[0..2], second / 3600);
    two(&mut text[3..5], second / 60 % 60);
    two(&mut text[6..8], second % 60);
}

/// How many digits of the fraction are written: those of the form, or more when it would
/// lose some.
fn fraction_digits(nanos: u32, form: Fraction) -> (usize, Written) {
    let wished = match form {
        Fraction::Fixed(digits) => usize::from(digits.min(9)),
        Fraction::SixUnlessZero if nanos == 0 => 0,
        Fraction::SixUnlessZero => 6,
    };
    let lost = match wished {
        9 => false,
        6 => !nanos.is_multiple_of(1_000),
        _ => !nanos.is_multiple_of(10_u32.pow(9 - wished as u32)),
    };
    match lost {
        false => (wished, Written::InForm),
        true if nanos.is_multiple_of(1_000) => (6, Written::Longer),
        true => (9, Written::Longer),
    }
}

/// Writes the fraction with its point from place 19 on; the place after it.
fn write_fraction(nanos: u32, digits: usize, text: &mut [u8; 35]) -> usize {
    if digits == 0 {
        return 19;
    }
    two(&mut text[20..22], nanos / 10_000_000);
    two(&mut text[22..24], nanos / 100_000 % 100);
    two(&mut text[24..26], nanos / 1_000 % 100);
    if digits > 6 {
        two(&mut text[26..28], nanos / 10 % 100);
        text[28] = b'0' + (nanos % 10) as u8;
    }
    20 + digits
}

fn two(place: &mut [u8], number: u32) {
    place[0] = b'0' + (number / 10) as u8;
    place[1] = b'0' + (number % 10) as u8;
}

/// A text moment as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The moment, by the clock that the text shows.
    pub moment: Moment,
    /// The zone in the text: `None` without one, else the offset from UTC in minutes.
    pub offset: Option<i32>,
}

impl Parsed {
    /// The moment in UTC; by its own clock where the text has no zone.
    pub fn utc(&self) -> Moment {
        let seconds = self.moment.seconds - i64::from(self.offset.unwrap_or(0)) * 60;
        Moment { seconds, ..self.moment }
    }
}

/// Reads `YYYY-MM-DD`, with a time `[T ]HH:MM[:SS[.digits]]` and a zone `Z` or `±HH[[:]MM]`
/// if there are any. `None` for anything else, and for more than nine digits of a fraction.
pub fn parse(text: &[u8]) -> Option<Parsed> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let year = number(&date[..4])?;
    let day = days(year, number(&date[5..7])?, number(&date[8..])?)?;
    let mut parsed = Parsed { moment: Moment { seconds: day * 86_400, nanos: 0 }, offset: None };
    let [b' ' | b'T', rest @ ..] = rest else {
        return rest.is_empty().then_some(parsed);
    };
    let (clock, mut rest) = rest.split_first_chunk::<5>()?;
    let (hour, minute) = (number(&clock[..2])?, number(&clock[3..])?);
    let mut second = 0;
    if clock[2] != b':' {
        return None;
    }
    if let [b':', a, b, more @ ..] = rest {
        second = number(&[*a, *b])?;
        rest = more;
        if let [b'.', more @ ..] = rest {
            let digits = more.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            parsed.moment.nanos = number(&more[..digits])? as u32 * 10_u32.pow(9 - digits as u32);
            rest = &more[digits..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    parsed.moment.seconds += hour * 3600 + minute * 60 + second;
    parsed.offset = match rest {
        [] => None,
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let minutes = number(&[*h1, *h2])? * 60 + number(&[*m1, *m2])?;
            Some(if *sign == b'-' { -minutes as i32 } else { minutes as i32 })
        }
        [sign @ (b'+' | b'-'), h1, h2] => {
            let minutes = number(&[*h1, *h2])? as i32 * 60;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => return None,
    };
    Some(parsed)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0_i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(separator: Option<char>, fraction: Fraction, zone: Zone) -> TimeForm {
        TimeForm { separator, fraction, zone }
    }

    fn written(moment: Moment, form: &TimeForm) -> (String, Written) {
        let mut out = Vec::new();
        let how = moment.write(form, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), how)
    }

    #[test]
    fn every_form_is_written() {
        let moment = Moment::of(1_710_381_723_500_000, 1_000_000);
        let six = form(Some(' '), Fraction::Fixed(6), Zone::None);
        assert_eq!(written(moment, &six), ("2024-03-14 02:02:03.500000".into(), Written::InForm));
        let iso = form(Some('T'), Fraction::Fixed(3), Zone::Zulu);
        assert_eq!(written(moment, &iso), ("2024-03-14T02:02:03.500Z".into(), Written::InForm));
        let python = form(Some(' '), Fraction::SixUnlessZero, Zone::Offset);
        let whole = Moment { nanos: 0, ..moment };
        assert_eq!(written(whole, &python), ("2024-03-14 02:02:03+00:00".into(), Written::InForm));
        let day = form(None, Fraction::Fixed(0), Zone::None);
        let midnight = Moment { seconds: 86_400 * 19_000, nanos: 0 };
        assert_eq!(written(midnight, &day), ("2022-01-08".into(), Written::InForm));
    }

    #[test]
    fn t6_digits_that_the_form_lacks_are_written_all_the_same() {
        let whole = form(Some(' '), Fraction::Fixed(0), Zone::None);
        let micro = Moment { seconds: 0, nanos: 1_000 };
        assert_eq!(written(micro, &whole), ("1970-01-01 00:00:00.000001".into(), Written::Longer));
        let nano = Moment { seconds: 0, nanos: 1 };
        let six = form(Some(' '), Fraction::SixUnlessZero, Zone::None);
        assert_eq!(written(nano, &six), ("1970-01-01 00:00:00.000000001".into(), Written::Longer));
        let day = form(None, Fraction::Fixed(0), Zone::None);
        let noon = Moment { seconds: 43_200, nanos: 0 };
        assert_eq!(written(noon, &day), ("1970-01-01 12:00:00".into(), Written::Longer));
    }

    #[test]
    fn t6_years_past_9999_are_refused() {
        let mut out = Vec::new();
        assert_eq!(Moment { seconds: 253_402_300_800, nanos: 0 }.write(&ASSUMED, &mut out), None);
        assert_eq!(Moment { seconds: i64::MIN, nanos: 0 }.write(&ASSUMED, &mut out), None);
        assert!(out.is_empty());
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in [
            "",
            "2024",
            "2024-3-14",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-03-14 ",
            "2024-03-14 25:00",
            "2024-03-14 1:00",
            "2024-03-14T00:00:00.",
            "2024-03-14T00:00:00X",
            "2024-03-14 00:00:00 UTC",
            "2024/03/14",
            "20240314",
            "2024-03-14 00:00:00.1234567890",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"2024-02-29T00:00+02:30").unwrap().offset, Some(150));
        assert_eq!(parse(b"2024-02-29 00:00:00-0500").unwrap().offset, Some(-300));
        let parsed = parse(b"2024-02-29 00:30:00+01").unwrap();
        assert_eq!(parsed.offset, Some(60));
        assert_eq!(parsed.utc(), parse(b"2024-02-28 23:30:00").unwrap().moment);
    }

    proptest! {
        #[test]
        fn reading_gives_back_what_was_written(
            seconds in -62_167_219_200_i64..253_402_300_800, nanos in 0_u32..1_000_000_000,
        ) {
            let moment = Moment { seconds, nanos };
            let (text, _) = written(moment, &form(Some('T'), Fraction::Fixed(9), Zone::Zulu));
            prop_assert_eq!(parse(text.as_bytes()), Some(Parsed { moment, offset: Some(0) }));
            let chrono = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
            prop_assert_eq!(text, chrono.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string());
        }
    }
}
