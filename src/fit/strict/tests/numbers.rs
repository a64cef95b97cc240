//! Integers, truth values, floats and decimals.

use super::*;

const MOST: i64 = 1 << 53;

#[test]
fn t5_integers_take_whatever_is_one() {
    let column = pg("integer", Carrier::Int);
    let seven = Value::Int(7);
    is(int(7, &column), seven.clone(), None);
    is(unsigned(7, &column), seven.clone(), None);
    is(dec(700, 2, &column), seven.clone(), None);
    is(double(7.0, &column), seven.clone(), Some(Habit::FloatForInteger));
    is(single(7.0, &column), seven.clone(), Some(Habit::FloatForInteger));
    is(double(f64::NAN, &column), Value::Null, Some(Habit::NanForNull));
    is(truth(true, &column), Value::Int(1), Some(Habit::BooleanForNumber));
    for (written, habit) in [
        ("7", None),
        (" +7 ", None),
        ("007", None),
        ("7.0", Some(Habit::FloatForInteger)),
        ("70e-1", Some(Habit::FloatForInteger)),
    ] {
        is(text(written, &column), seven.clone(), habit);
    }
    is(text("None", &column), Value::Null, Some(Habit::WordForNull));
    is(cell(Tag::Bare, b"", &column), Value::Null, None);
    is(cell(Tag::Bare, b"True", &column), Value::Int(1), Some(Habit::BooleanForNumber));
    is(cell(Tag::Number, b"7", &column), seven.clone(), None);
    is(cell(Tag::OwnNumber, b"7", &column), seven, None);
    refused(text("7.5", &column), "\"7.5\"");
    refused(text("seven", &column), "\"seven\"");
    refused(text("", &column), "\"\"");
    refused(double(7.5, &column), "float 7.5");
    refused(dec(75, 1, &column), "decimal 7.5");
    refused(int(1 << 31, &column), "2147483648, out of its range");
    refused(bytes(b"7", &column), "bytes");
    refused(day(7, &column), "moment");
}

#[test]
fn t5_past_2_to_53_a_float_is_no_integer() {
    let column = pg("bigint", Carrier::Int);
    is(double(MOST as f64, &column), Value::Int(MOST), Some(Habit::FloatForInteger));
    refused(double((MOST + 2) as f64, &column), "more than one integer");
    refused(single((1 << 25) as f32, &column), "more than one integer");
    refused(text("9007199254740994.0", &column), "more than one integer");
    is(text("9007199254740993", &column), Value::Int(MOST + 1), None);
    is(dec((MOST + 1).into(), 0, &column), Value::Int(MOST + 1), None);
    let then = pg("numeric", Carrier::Text);
    is(
        from(&then, t("9007199254740993.00"), &column),
        Value::Int(MOST + 1),
        Some(Habit::FloatForInteger),
    );
    refused(from(&pg("double precision", Carrier::Real), Value::Real(f64::NAN), &column), "NaN");
    refused(from(&then, t("None"), &column), "\"None\"");
}

#[test]
fn t9_each_integer_type_has_its_own_range() {
    for (column, least, most) in [
        (pg("smallint", Carrier::Int), -32_768_i128, 32_767_i128),
        (pg("integer", Carrier::Int), -2_147_483_648, 2_147_483_647),
        (pg("bigint", Carrier::Int), i64::MIN.into(), i64::MAX.into()),
        (pg("oid", Carrier::Int), 0, u32::MAX.into()),
        (my("tinyint(4)", Carrier::Int), -128, 127),
        (my("tinyint(3) unsigned", Carrier::Int), 0, 255),
        (my("smallint(6)", Carrier::Int), -32_768, 32_767),
        (my("mediumint(9)", Carrier::Int), -8_388_608, 8_388_607),
        (my("mediumint unsigned", Carrier::Int), 0, 16_777_215),
        (my("int(11)", Carrier::Int), -2_147_483_648, 2_147_483_647),
        (my("int(10) unsigned zerofill", Carrier::Int), 0, u32::MAX.into()),
        (my("bigint(20)", Carrier::Int), i64::MIN.into(), i64::MAX.into()),
        (my("bigint(20) unsigned", Carrier::Unsigned), 0, u64::MAX.into()),
        (my("year(4)", Carrier::Int), 0, 2155),
        (my("bit(9)", Carrier::Int), 0, 511),
        (my("bit(64)", Carrier::Unsigned), 0, u64::MAX.into()),
    ] {
        for value in [least, most] {
            let taken = text(&value.to_string(), &column).unwrap().0;
            let expected = match i64::try_from(value) {
                Ok(i) => Value::Int(i),
                Err(_) => Value::Unsigned(u64::try_from(value).unwrap()),
            };
            assert_eq!(taken, expected, "{}", column.declared);
            is(dec(value, 0, &column), expected, None);
        }
        for value in [least - 1, most + 1] {
            let declared = &column.declared;
            assert!(text(&value.to_string(), &column).is_err(), "{value} in {declared}");
            assert!(dec(value, 0, &column).is_err(), "{value} in {declared}");
        }
    }
    is(
        unsigned(u64::MAX, &my("bigint unsigned", Carrier::Unsigned)),
        Value::Unsigned(u64::MAX),
        None,
    );
    refused(int(-1, &my("bigint unsigned", Carrier::Unsigned)), "-1, out of its range");
    is(bytes(&[1, 0], &my("bit(9)", Carrier::Int)), Value::Int(256), None);
    is(truth(true, &my("tinyint(1)", Carrier::Int)), Value::Int(1), None);
    is(int(2, &my("tinyint(1)", Carrier::Int)), Value::Int(2), None);
}

#[test]
fn truth_values_are_read_as_postgres_reads_them() {
    let column = pg("boolean", Carrier::Bool);
    for word in ["t", "T", "tru", "TRUE", "y", "yes", "on", "1", " true "] {
        is(text(word, &column), Value::Bool(true), None);
    }
    for word in ["f", "fals", "False", "n", "no", "of", "off", "0"] {
        is(text(word, &column), Value::Bool(false), None);
    }
    for word in ["o", "2", "-1", "truee", "", "on off"] {
        assert!(text(word, &column).is_err(), "{word}");
    }
    is(truth(false, &column), Value::Bool(false), None);
    is(int(1, &column), Value::Bool(true), Some(Habit::NumberForBoolean));
    is(double(0.0, &column), Value::Bool(false), Some(Habit::NumberForBoolean));
    is(double(f64::NAN, &column), Value::Null, Some(Habit::NanForNull));
    is(text("1.0", &column), Value::Bool(true), Some(Habit::NumberForBoolean));
    is(text("None", &column), Value::Null, Some(Habit::WordForNull));
    refused(int(2, &column), "neither 0 nor 1");
    is(
        from(&my("tinyint(1)", Carrier::Int), Value::Int(0), &column),
        Value::Bool(false),
        Some(Habit::NumberForBoolean),
    );
    is(bytes(&[1], &my("bit(1)", Carrier::Bool)), Value::Bool(true), None);
}

#[test]
fn floats_are_taken_bit_by_bit() {
    let column = pg("double precision", Carrier::Real);
    for r in [0.1, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
        is(double(r, &column), Value::Real(r), None);
        let written = if r.is_infinite() { format!("{r}inity") } else { format!("{r:?}") };
        is(text(&written.replace("infinity", "Infinity"), &column), Value::Real(r), None);
    }
    is(double(f64::NAN, &column), Value::Real(f64::NAN), None);
    is(text("NaN", &column), Value::Real(f64::NAN), None);
    is(text("None", &column), Value::Null, Some(Habit::WordForNull));
    is(int(MOST, &column), Value::Real(MOST as f64), None);
    is(dec(1, 1, &column), Value::Real(0.1), None);
    is(dec(12_345_678_901_234_567, 16, &column), Value::Real(1.2345678901234567), None);
    refused(int(MOST + 1, &column), "9007199254740993, which is no float");
    refused(dec(1_000_000_000_000_000_001, 18, &column), "more digits than a float");
    for lost in ["1e400", "-1e400", "1e-400"] {
        refused(text(lost, &column), lost);
    }
    is(text("0e-400", &column), Value::Real(0.0), None);
    is(truth(true, &column), Value::Real(1.0), Some(Habit::BooleanForNumber));
}

#[test]
fn t11_a_single_holds_singles_only() {
    let tenth = f64::from(0.1_f32);
    for column in [pg("real", Carrier::Real), my("float", Carrier::Real)] {
        is(single(0.1, &column), Value::Real(tenth), None);
        is(double(tenth, &column), Value::Real(tenth), None);
        is(text("0.1", &column), Value::Real(tenth), None);
        is(dec(1, 1, &column), Value::Real(tenth), None);
        is(double(0.1, &column), Value::Real(tenth), Some(Habit::DoubleForSingle));
        refused(double(0.1 + f64::EPSILON, &column), "which is no single");
        refused(double(1e300, &column), "which is no single");
        refused(int((1 << 24) + 1, &column), "which is no float");
        refused(text("1e39", &column), "1e39");
        is(double(1_234_567.875, &column), Value::Real(1_234_567.875), None);
    }
}

#[test]
fn mysql_has_no_nan() {
    let column = my("double", Carrier::Real);
    is(double(f64::NAN, &column), Value::Null, Some(Habit::NanForNull));
    is(text("NaN", &column), Value::Null, Some(Habit::WordForNull));
    refused(double(f64::INFINITY, &column), "inf");
    refused(text("inf", &column), "inf");
    let then = pg("double precision", Carrier::Real);
    refused(from(&then, Value::Real(f64::NAN), &column), "NaN");
    refused(from(&then, Value::Real(f64::INFINITY), &column), "inf");
    is(double(1.25, &my("double(10,2)", Carrier::Real)), Value::Real(1.25), None);
    refused(double(1.255, &my("double(10,2)", Carrier::Real)), "more than 2 decimals");
    is(text("1.26", &my("float(7,2)", Carrier::Real)), Value::Real(1.26_f32.into()), None);
    refused(double(-1.0, &my("double unsigned", Carrier::Real)), "-1.0");
}

#[test]
fn t7_decimals_are_exact_at_their_scale() {
    for column in [pg("numeric(10,2)", decimal(10, 2)), my("decimal(10,2)", decimal(10, 2))] {
        let value = Value::Decimal(150, 2);
        for written in ["1.5", "1.50", "1.5000", "15e-1", "+01.5", ".15e1"] {
            is(text(written, &column), value.clone(), None);
        }
        is(cell(Tag::Number, b"1.50", &column), value.clone(), None);
        is(dec(15, 1, &column), value.clone(), None);
        is(dec(150_000, 5, &column), value.clone(), None);
        is(dec(2, -2, &column), Value::Decimal(20_000, 2), None);
        is(int(3, &column), Value::Decimal(300, 2), None);
        is(unsigned(3, &column), Value::Decimal(300, 2), None);
        is(truth(true, &column), Value::Decimal(100, 2), Some(Habit::BooleanForNumber));
        is(double(1.5, &column), value.clone(), Some(Habit::FloatForDecimal));
        is(single(0.1, &column), Value::Decimal(10, 2), Some(Habit::FloatForDecimal));
        is(double(f64::NAN, &column), Value::Null, Some(Habit::NanForNull));
        is(text("-99999999.99", &column), Value::Decimal(-9_999_999_999, 2), None);
        refused(text("1.005", &column), "1.005");
        refused(dec(1_005, 3, &column), "1.005");
        refused(double(1.005, &column), "1.005");
        refused(text("100000000", &column), "100000000.00");
        refused(int(i64::MAX, &column), "9223372036854775807");
        refused(text("one", &column), "one");
        refused(double(f64::INFINITY, &column), "inf");
    }
    refused(text("-0.01", &my("decimal(10,2) unsigned", decimal(10, 2))), "-0.01");
    refused(dec(-1, 2, &my("decimal(10,2) unsigned", decimal(10, 2))), "-0.01");
}

#[test]
fn t6_a_decimal_that_is_none_is_postgres_own() {
    let column = pg("numeric(10,2)", decimal(10, 2));
    is(text("NaN", &column), t("NaN"), None);
    refused(text("Infinity", &column), "Infinity");
    let doubles = pg("double precision", Carrier::Real);
    is(from(&doubles, Value::Real(f64::NAN), &column), t("NaN"), None);
    let mysql = my("decimal(10,2)", decimal(10, 2));
    refused(from(&column, t("NaN"), &mysql), "NaN");
    is(from(&column, Value::Decimal(150, 2), &mysql), Value::Decimal(150, 2), None);
    is(
        from(&pg("numeric(10,3)", decimal(10, 3)), Value::Decimal(1_500, 3), &mysql),
        Value::Decimal(150, 2),
        None,
    );
}

#[test]
fn t5_a_float_that_stands_for_several_decimals_is_none() {
    let column = my("decimal(20,2)", decimal(20, 2));
    is(
        double(9_999_999_999_999.99, &column),
        Value::Decimal(999_999_999_999_999, 2),
        Some(Habit::FloatForDecimal),
    );
    refused(double(12_345_678_901_234_567.0, &column), "more than one decimal");
    let whole = my("decimal(20,0)", decimal(20, 0));
    is(double(MOST as f64, &whole), Value::Decimal(MOST.into(), 0), Some(Habit::FloatForDecimal));
    refused(double((MOST + 2) as f64, &whole), "more than one decimal");
    refused(single(1_234_567.1, &column), "more than one decimal");
}
