//! Laws that hold for values drawn at random.

use proptest::prelude::*;

use super::*;
use crate::fit::given::Givens;
use crate::fit::strict::{Door, Fitter};

/// A text of digits with a point, in one of many spellings.
fn spelled(digits: i128, scale: u32, zeros: usize, exponent: i32) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let digits = digits.unsigned_abs().to_string() + &"0".repeat(zeros);
    let scale = scale as i32 + zeros as i32 + exponent;
    let exponent = if exponent == 0 { String::new() } else { format!("e{exponent}") };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}{exponent}"),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            format!("{sign}{whole}.{fraction}{exponent}")
        }
        Err(_) => format!("{sign}{digits}{}{exponent}", "0".repeat(scale.unsigned_abs() as usize)),
    }
}

proptest! {
    #[test]
    fn integers_are_themselves_or_refused(
        value in prop_oneof![any::<i64>().prop_map(i128::from), -40_000..40_000_i128, (0..=u64::MAX).prop_map(i128::from)],
        zeros in 0_usize..3, exponent in -3_i32..4,
    ) {
        for (column, least, most) in [
            (pg("smallint", Carrier::Int), i128::from(i16::MIN), i128::from(i16::MAX)),
            (pg("bigint", Carrier::Int), i64::MIN.into(), i64::MAX.into()),
            (my("bigint unsigned", Carrier::Unsigned), 0, u64::MAX.into()),
        ] {
            let inside = (least..=most).contains(&value);
            let expected = i64::try_from(value).map_or_else(|_| Value::Unsigned(value as u64), Value::Int);
            let written = spelled(value, 0, zeros, exponent);
            let doubtful = (zeros > 0 || exponent != 0) && value.abs() > 1 << 53;
            let mut forms = vec![dec(value * 100, 2, &column)];
            if !doubtful {
                forms.push(text(&written, &column));
                forms.push(cell(Tag::Number, written.as_bytes(), &column));
            }
            forms.push(cell(Tag::OwnNumber, written.as_bytes(), &column));
            if let Ok(i) = i64::try_from(value) {
                forms.push(int(i, &column));
            }
            if let Ok(u) = u64::try_from(value) {
                forms.push(unsigned(u, &column));
            }
            if value.abs() <= 1 << 53 {
                forms.push(double(value as f64, &column));
            }
            for form in forms {
                match form {
                    Ok((found, _)) => prop_assert!(inside && found == expected, "{found:?} of {value}"),
                    Err(why) => prop_assert!(!inside, "{value} in {}: {why}", column.declared),
                }
            }
        }
    }

    #[test]
    fn decimals_are_themselves_or_refused(
        digits in -10_i128.pow(14)..10_i128.pow(14), scale in 0_u32..8, zeros in 0_usize..3, exponent in -3_i32..4,
    ) {
        let column = pg("numeric(16,4)", decimal(16, 4));
        let held = match scale {
            0..=4 => Some(digits * 10_i128.pow(4 - scale)),
            _ => (digits % 10_i128.pow(scale - 4) == 0).then(|| digits / 10_i128.pow(scale - 4)),
        };
        let held = held.filter(|held| held.abs() < 10_i128.pow(16));
        for form in [
            text(&spelled(digits, scale, zeros, exponent), &column),
            dec(digits, scale as i8, &column),
        ] {
            prop_assert_eq!(form.ok().map(|found| found.0), held.map(|held| Value::Decimal(held, 4)));
        }
    }

    /// Fifteen digits come back from the double that they were read as, and no float is
    /// taken for one decimal that is nearest to another one's double too.
    #[test]
    fn t5_floats_give_back_the_decimal_that_they_lost(digits in -10_i128.pow(15) + 1..10_i128.pow(15), scale in 1_u8..12) {
        let column = my("decimal(30)", decimal(30, scale as i8));
        let r: f64 = spelled(digits, scale.into(), 0, 0).parse().unwrap();
        is(double(r, &column), Value::Decimal(digits, scale as i8), Some(Habit::FloatForDecimal));
    }

    #[test]
    fn a_float_that_is_taken_is_of_no_other_decimal(bits in any::<u64>(), scale in 0_u8..12) {
        let r = f64::from_bits(bits);
        let column = my("decimal(38)", decimal(38, scale as i8));
        if let Ok((Value::Decimal(digits, _), _)) = double(r, &column) {
            for other in [digits - 1, digits + 1] {
                let other: f64 = spelled(other, scale.into(), 0, 0).parse().unwrap();
                prop_assert!(other != r, "{other} and {r}");
            }
            let own: f64 = spelled(digits, scale.into(), 0, 0).parse().unwrap();
            prop_assert_eq!(own, r);
        }
    }

    #[test]
    fn floats_come_back_from_their_text(bits in any::<u64>(), single_bits in any::<u32>()) {
        let (r, s) = (f64::from_bits(bits), f32::from_bits(single_bits));
        prop_assume!(r.is_finite() && s.is_finite());
        let (doubles, singles) = (pg("double precision", Carrier::Real), my("float", Carrier::Real));
        for written in [format!("{r}"), format!("{r:e}"), format!("{r:?}")] {
            is(text(&written, &doubles), Value::Real(r), None);
        }
        for written in [format!("{s}"), format!("{s:e}")] {
            is(text(&written, &singles), Value::Real(s.into()), None);
        }
        is(double(s.into(), &singles), Value::Real(s.into()), None);
        is(double(s.to_string().parse().unwrap(), &singles).map(|found| (found.0, None)), Value::Real(s.into()), None);
    }

    #[test]
    fn moments_are_themselves_or_refused(
        micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000, digits in 0_u8..=6, offset in -14_i64..=14,
    ) {
        let unit = 10_i64.pow(6 - u32::from(digits));
        let column = my(&format!("datetime({digits})"), Carrier::Stamp);
        let local = crate::model::calendar::moment_text(micros + offset * 3_600_000_000);
        let written = format!("{local}{}{:02}:00", if offset < 0 { '-' } else { '+' }, offset.abs());
        let found = [
            text(&written, &column),
            text(&crate::model::calendar::moment_text(micros).replace('T', " "), &column),
            arrow(a(arrow::array::TimestampMicrosecondArray::from(vec![micros])), &column),
        ];
        for found in found {
            let held = (micros % unit == 0).then_some(Value::Stamp(micros));
            prop_assert_eq!(found.ok().map(|found| found.0), held);
        }
    }

    /// A column taken at once is what its values are one by one.
    #[test]
    fn the_short_way_is_the_long_way(
        ints in prop::collection::vec(prop::option::of(prop_oneof![any::<i64>(), -200_i64..200]), 1..8),
        texts in prop::collection::vec(prop::option::of("[a-c\\x00 ä]{0,5}"), 1..8),
        unit in 0_usize..4,
    ) {
        use arrow::array::*;
        let counts = || Int64Array::from(ints.clone());
        let moments: ArrayRef = match unit {
            0 => a(counts().reinterpret_cast::<arrow::datatypes::TimestampSecondType>()),
            1 => a(counts().reinterpret_cast::<arrow::datatypes::TimestampMillisecondType>()),
            2 => a(counts().reinterpret_cast::<arrow::datatypes::TimestampMicrosecondType>()),
            _ => a(counts().reinterpret_cast::<arrow::datatypes::TimestampNanosecondType>()),
        };
        let days = a(counts().unary::<_, arrow::datatypes::Date32Type>(|count| count as i32));
        let decimals = counts().unary::<_, arrow::datatypes::Decimal128Type>(i128::from);
        let decimals = a(decimals.with_precision_and_scale(38, 2).unwrap());
        let strings: ArrayRef = a(StringArray::from(texts.clone()));
        let binaries = a(texts.iter().map(|text| text.as_deref().map(str::as_bytes)).collect::<BinaryArray>());
        for (array, column) in [
            (a(counts()) as ArrayRef, pg("smallint", Carrier::Int)),
            (a(counts()), my("bigint unsigned", Carrier::Unsigned)),
            (moments.clone(), pg("timestamp(3) with time zone", Carrier::Instant)),
            (moments, my("datetime", Carrier::Stamp)),
            (days, my("date", Carrier::Date)),
            (decimals, my("decimal(5,2) unsigned", decimal(5, 2))),
            (strings.clone(), pg("character varying(3)", Carrier::Text)),
            (strings, my("varchar(3)", Carrier::Text)),
            (binaries, my("varbinary(3)", Carrier::Blob)),
        ] {
            let fitter = Fitter::new(&column);
            let givens = Givens::of(&array).unwrap().unwrap();
            let mut long = Vec::new();
            let mut all = true;
            for row in 0..array.len() {
                let mut scratch = Vec::new();
                match fitter.value(givens.get(row), Door::File, &mut scratch) {
                    Ok((value, _)) => long.push(value.to_owned()),
                    Err(_) => all = false,
                }
            }
            let table = TableName::bare("t");
            let mut tally = Tally::default();
            let mut place = Place { table: &table, column: &column, rows: Rows::From(0), tally: &mut tally };
            if let Some(short) = fitter.whole(&givens, &mut place).unwrap() {
                prop_assert!(all, "{} takes what it refuses", column.declared);
                for (row, value) in long.iter().enumerate() {
                    let found = match short.is_null(row) {
                        true => Value::Null,
                        false => carried(short.as_ref(), column.carrier, row).to_owned(),
                    };
                    prop_assert_eq!(&found, value);
                }
            }
        }
    }
}
