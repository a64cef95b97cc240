//! Dates, moments, times of day.

use arrow::array::{
    Time32SecondArray, Time64MicrosecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};

use super::*;

/// 2024-03-14 02:02:03.5
const MICROS: i64 = 1_710_381_723_500_000;

fn stamp() -> Column {
    pg("timestamp without time zone", Carrier::Stamp)
}

fn instant() -> Column {
    pg("timestamp with time zone", Carrier::Instant)
}

fn date() -> Column {
    pg("date", Carrier::Date)
}

#[test]
fn moments_of_every_unit_are_microseconds() {
    let whole = MICROS / 1_000_000;
    is(
        arrow(a(TimestampSecondArray::from(vec![whole])), &stamp()),
        Value::Stamp(whole * 1_000_000),
        None,
    );
    is(
        arrow(a(TimestampMillisecondArray::from(vec![MICROS / 1_000])), &stamp()),
        Value::Stamp(MICROS),
        None,
    );
    is(
        arrow(a(TimestampMicrosecondArray::from(vec![MICROS])), &stamp()),
        Value::Stamp(MICROS),
        None,
    );
    is(
        arrow(a(TimestampNanosecondArray::from(vec![MICROS * 1_000])), &stamp()),
        Value::Stamp(MICROS),
        None,
    );
    is(arrow(a(TimestampNanosecondArray::from(vec![-1_000])), &stamp()), Value::Stamp(-1), None);
    let fine = a(TimestampNanosecondArray::from(vec![MICROS * 1_000 + 1]));
    refused(arrow(fine, &stamp()), "more than 6 digits of a second");
    let zoned = TimestampMicrosecondArray::from(vec![MICROS]).with_timezone("Europe/Berlin");
    is(arrow(a(zoned.clone()), &stamp()), Value::Stamp(MICROS), Some(Habit::ZoneByUtc));
    is(arrow(a(zoned), &instant()), Value::Instant(MICROS), None);
    let plain = a(TimestampMicrosecondArray::from(vec![MICROS]));
    is(arrow(plain, &instant()), Value::Instant(MICROS), Some(Habit::ZoneByUtc));
}

#[test]
fn t8_what_the_server_would_cut_is_refused() {
    for (column, digits) in [
        (pg("timestamp(3) without time zone", Carrier::Stamp), 3),
        (my("datetime(3)", Carrier::Stamp), 3),
        (my("datetime", Carrier::Stamp), 0),
        (my("timestamp", Carrier::Instant), 0),
    ] {
        let value = |micros| match column.carrier {
            Carrier::Stamp => Value::Stamp(micros),
            _ => Value::Instant(micros),
        };
        let unit = 10_i64.pow(6 - digits);
        let micros = MICROS / 1_000_000 * 1_000_000 + unit;
        assert_eq!(
            arrow(a(TimestampMicrosecondArray::from(vec![micros])), &column).unwrap().0,
            value(micros)
        );
        let finer = arrow(a(TimestampMicrosecondArray::from(vec![micros + 1])), &column);
        refused(finer, "digits of a second");
        refused(text("2024-03-14 02:02:03.000001", &column), "digits of a second");
    }
    is(
        text("2024-03-14 02:02:03.500000", &pg("timestamp(1) without time zone", Carrier::Stamp)),
        Value::Stamp(MICROS),
        None,
    );
}

#[test]
fn t7_a_zone_is_never_dropped() {
    for (written, zoned) in [
        ("2024-03-14 02:02:03.5", false),
        ("2024-03-14T02:02:03.500", false),
        ("2024-03-14T02:02:03.5Z", true),
        ("2024-03-14 02:02:03.5+00", true),
        ("2024-03-14 07:02:03.5+05", true),
        ("2024-03-13 23:32:03.5-02:30", true),
        ("2024-03-13 23:32:03.5-0230", true),
    ] {
        let of = |habit: bool| habit.then_some(Habit::ZoneByUtc);
        is(text(written, &stamp()), Value::Stamp(MICROS), of(zoned));
        is(text(written, &instant()), Value::Instant(MICROS), of(!zoned));
    }
}

#[test]
fn dates_and_moments_are_one_another_at_midnight() {
    is(day(19_796, &date()), Value::Date(19_796), None);
    is(text("2024-03-14", &date()), Value::Date(19_796), None);
    let midnight = 19_796 * 86_400_000_000;
    is(
        arrow(a(TimestampMicrosecondArray::from(vec![midnight])), &date()),
        Value::Date(19_796),
        Some(Habit::MomentForDate),
    );
    is(text("2024-03-14 00:00:00", &date()), Value::Date(19_796), Some(Habit::MomentForDate));
    is(day(19_796, &stamp()), Value::Stamp(midnight), Some(Habit::DateForMoment));
    is(text("2024-03-14", &stamp()), Value::Stamp(midnight), Some(Habit::DateForMoment));
    refused(arrow(a(TimestampMicrosecondArray::from(vec![MICROS])), &date()), "a time of day");
    refused(text("2024-03-14 00:00:00.000001", &date()), "a time of day");
}

#[test]
fn what_is_no_moment_is_refused() {
    for column in [date(), stamp(), instant(), my("datetime(6)", Carrier::Stamp)] {
        for written in ["", "soon", "2024-02-30", "2024-03-14 25:00", "14.03.2024", "2024-03-14 x"]
        {
            assert!(text(written, &column).is_err(), "{written:?} in {}", column.declared);
        }
        refused(int(1_710_381_723_500, &column), "whose unit is not said");
        refused(cell(Tag::Number, b"1710381723500", &column), "whose unit is not said");
        refused(truth(true, &column), "true");
        refused(bytes(b"2024-03-14", &column), "bytes");
        is(text("NaT", &column), Value::Null, Some(Habit::WordForNull));
        is(double(f64::NAN, &column), Value::Null, Some(Habit::NanForNull));
    }
}

#[test]
fn t5_epoch_milliseconds_are_moments_where_the_file_shows_it() {
    let habits = FileHabits { millis: ["c".to_owned()].into(), ..FileHabits::default() };
    let cell = |payload: &str, column: &Column| {
        let staged: StagedCells = [Some((Tag::Number, payload.as_bytes()))].into_iter().collect();
        one(column, |place| cell::fit(&staged, "c", &habits, place))
    };
    let habit = Some(Habit::EpochMillis);
    is(cell("1710381723500", &stamp()), Value::Stamp(MICROS), habit);
    is(cell("1710381723500", &instant()), Value::Instant(MICROS), habit);
    is(cell("1710374400000", &date()), Value::Date(19_796), habit);
    refused(cell("1710381723500", &date()), "a time of day");
    refused(cell("1710381723500", &my("datetime", Carrier::Stamp)), "digits of a second");
    refused(cell("1.5", &stamp()), "none");
    is(cell("12", &pg("integer", Carrier::Int)), Value::Int(12), None);
}

#[test]
fn infinities_are_postgres_own() {
    for column in [date(), stamp(), instant()] {
        is(text("infinity", &column), t("infinity"), None);
        is(text("-Infinity", &column), t("-infinity"), None);
        is(from(&column, t("infinity"), &column), t("infinity"), None);
    }
    for column in [my("date", Carrier::Date), my("datetime(6)", Carrier::Stamp)] {
        refused(text("infinity", &column), "infinity");
        refused(from(&stamp(), t("infinity"), &column), "infinity");
    }
}

#[test]
fn t20_zero_dates_are_mysqls_own() {
    let (day, moment) = (my("date", Carrier::Date), my("datetime(6)", Carrier::Stamp));
    let instant = my("timestamp", Carrier::Instant);
    for (written, column, held) in [
        ("0000-00-00", &day, "0000-00-00"),
        ("0000-00-00 00:00:00", &day, "0000-00-00"),
        ("2024-00-10", &day, "2024-00-10"),
        ("2024-05-00", &day, "2024-05-00"),
        ("0000-00-00", &moment, "0000-00-00 00:00:00"),
        ("0000-00-00 00:00:00.000000", &moment, "0000-00-00 00:00:00"),
        ("2024-05-00T01:02:03.5", &moment, "2024-05-00 01:02:03.500000"),
        ("0000-00-00 00:00:00", &instant, "0000-00-00 00:00:00"),
    ] {
        is(text(written, column), t(held), None);
    }
    refused(text("0000-00-00 00:00:01", &moment), "0000-00-00");
    refused(text("2024-00-10 00:00:00", &instant), "2024-00-10");
    refused(text("2024-05-00 01:02:03.5", &my("datetime", Carrier::Stamp)), "2024-05-00");
    for column in [date(), stamp(), super::moments::instant()] {
        refused(text("0000-00-00", &column), "0000-00-00");
        refused(from(&day, t("0000-00-00"), &column), "0000-00-00");
    }
}

#[test]
fn every_type_has_its_first_and_last_day() {
    for (column, first, last) in [
        (date(), "4714-11-24 BC", "5874897-12-31"),
        (stamp(), "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999"),
        (my("date", Carrier::Date), "0001-01-01", "9999-12-31"),
        (my("datetime(6)", Carrier::Stamp), "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
    ] {
        for written in [first, last] {
            assert!(text(written, &column).is_ok(), "{written} in {}", column.declared);
        }
    }
    is(text("294276-12-31 23:59:59.50", &stamp()), t("294276-12-31 23:59:59.5"), None);
    is(text("294276-12-31 23:59:59Z", &instant()), t("294276-12-31 23:59:59+00"), None);
    refused(text("294277-01-01 00:00:00", &stamp()), "out of range");
    for written in ["4714-11-23 BC", "5874898-01-01"] {
        refused(text(written, &date()), written);
    }
    is(text("0001-12-31 BC", &date()), Value::Date(-719_163), None);
    is(text("0001-01-01", &date()), Value::Date(-719_162), None);
    is(text("10000-01-01", &date()), Value::Date(2_932_897), None);
    refused(text("10000-01-01", &my("date", Carrier::Date)), "10000-01-01");
    refused(text("1969-12-31 23:59:59", &my("timestamp", Carrier::Instant)), "out of range");
    is(
        text("2106-02-07 06:28:15", &my("timestamp", Carrier::Instant)),
        Value::Instant(4_294_967_295_000_000),
        Some(Habit::ZoneByUtc),
    );
    refused(arrow(a(TimestampSecondArray::from(vec![i64::MAX])), &stamp()), "out of range");
}

#[test]
fn times_of_day_are_written_as_the_engine_writes_them() {
    let half = || a(Time64MicrosecondArray::from(vec![43_200_500_000]));
    is(arrow(half(), &pg("time without time zone", Carrier::Text)), t("12:00:00.5"), None);
    is(arrow(half(), &my("time(3)", Carrier::Text)), t("12:00:00.500"), None);
    refused(arrow(half(), &my("time", Carrier::Text)), "digits of a second");
    let noon = || a(Time32SecondArray::from(vec![43_200]));
    is(arrow(noon(), &my("time", Carrier::Text)), t("12:00:00"), None);
    is(arrow(noon(), &pg("time(0) without time zone", Carrier::Text)), t("12:00:00"), None);
    let fine = a(Time64NanosecondArray::from(vec![1]));
    refused(arrow(fine, &pg("time without time zone", Carrier::Text)), "digits of a second");
    is(
        text("12:00:00.500", &pg("time(3) without time zone", Carrier::Text)),
        t("12:00:00.5"),
        None,
    );
    is(text("12:00:00", &my("time(2)", Carrier::Text)), t("12:00:00.00"), None);
    is(text("-838:59:59", &my("time", Carrier::Text)), t("-838:59:59"), None);
    for (given, digits, printed) in [
        ("838:59:59.5", "time(3)", "838:59:59.500"),
        ("-01:02:03", "time(6)", "-01:02:03.000000"),
        ("24:00:01.000", "time", "24:00:01"),
        ("100:00:00", "time(1)", "100:00:00.0"),
        ("-00:00:00.5", "time(2)", "-00:00:00.50"),
        ("-00:00:00", "time", "00:00:00"),
    ] {
        is(text(given, &my(digits, Carrier::Text)), t(printed), None);
    }
    let wrong = [
        "5",
        "abc",
        "",
        "10:00",
        "1:00:00",
        "839:00:00",
        "00:60:00",
        "00:00:60",
        "00:00:00.",
        "--1:00:00",
        "24:00:00.5",
        "2024-02-29 10:00:00",
        "00:00:00+01",
        "1000:00:00",
        "01:02:03:04",
        "a0:00:00",
        "00:00:00.x",
    ];
    for given in wrong {
        refused(text(given, &my("time", Carrier::Text)), "text");
    }
    is(text("24:00:00", &pg("time without time zone", Carrier::Text)), t("24:00:00"), None);
    refused(text("24:00:01", &pg("time without time zone", Carrier::Text)), "text");
    refused(text("-01:00:00", &pg("time without time zone", Carrier::Text)), "text");
    let word = text("NaT", &my("time", Carrier::Text));
    assert_eq!(word, Ok((Value::Null, Some(Habit::WordForNull))));
    is(text("24:00:00", &pg("time without time zone", Carrier::Text)), t("24:00:00"), None);
    is(text("12:00:00.5+02", &pg("time with time zone", Carrier::Text)), t("12:00:00.5+02"), None);
    refused(int(5, &my("time", Carrier::Text)), "no time of day");
}
