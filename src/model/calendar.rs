//! The civil calendar: day numbers, dates, and moments as ISO 8601 text.
//!
//! Proleptic Gregorian, day 0 is 1970-01-01. The era method is Howard Hinnant's,
//! "chrono-Compatible Low-Level Date Algorithms" (`civil_from_days`, `days_from_civil`).

use std::fmt::Write;

/// Microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// Year, month (1 to 12) and day (1 to 31) of a day number within 10^12 days of 1970.
pub fn civil(day: i64) -> (i64, u32, u32) {
    // Day 0 of the shifted calendar is 0000-03-01.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097) as u32;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (i64::from(year_of_era) + era * 400 + i64::from(month <= 2), month, day)
}

/// The day number of a civil date; `None` for one that is not in the calendar.
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// A date as `2024-03-14`; a year outside of 0 to 9999 has a sign (ISO 8601, expanded).
pub fn date_text(day: i64) -> String {
    let (year, month, day) = civil(day);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

/// Microseconds since 1970 as `2024-03-14T02:00:00`, with as many digits of the fraction
/// as it needs.
pub fn moment_text(micros: i64) -> String {
    let mut text = date_text(micros.div_euclid(DAY_MICROS));
    let of_day = micros.rem_euclid(DAY_MICROS);
    let (second, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let _ = write!(text, "T{hour:02}:{minute:02}:{:02}", second % 60);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_numbers_and_dates_are_one_another() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (19_782, (2024, 2, 29)),
            (-719_528, (0, 1, 1)),
            (2_932_896, (9999, 12, 31)),
            (-2_440_588, (-4713, 11, 24)),
        ] {
            assert_eq!(civil(day), date, "{day}");
            assert_eq!(days(date.0, date.1.into(), date.2.into()), Some(day));
        }
        for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2024, 13, 1), (2024, 4, 31)] {
            assert_eq!(days(year, month, day), None);
        }
    }

    #[test]
    fn moments_are_written_in_iso_8601() {
        assert_eq!(moment_text(0), "1970-01-01T00:00:00");
        assert_eq!(moment_text(-1), "1969-12-31T23:59:59.999999");
        assert_eq!(moment_text(1_710_381_600_500_000), "2024-03-14T02:00:00.5");
        assert_eq!(date_text(2_932_897), "+10000-01-01");
        assert_eq!(date_text(-719_529), "-0001-12-31");
    }
}
