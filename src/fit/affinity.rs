//! What SQLite stores when a value is written into a column ("Datatypes In SQLite",
//! sections 3.1 to 3.4; `applyAffinity` and `sqlite3AtoF` of its source).
//!
//! One thing is not SQLite's: a numeral is read as its nearest double, which is what the
//! writer of a file meant who printed a double. SQLite's own reading of a text misses it
//! now and then by a unit in the last place; [`doubtful`] tells where that may be.

use std::io::Write;

use crate::model::table::Affinity;
use crate::model::value::ValueRef;

/// A number that a text stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numeral {
    /// An integer literal within 64 bits.
    Int(i64),
    /// Any other numeric literal; infinite when it is too large.
    Real(f64),
}

/// A REAL can't be written as text without losing digits.
#[derive(Clone, Copy, Debug)]
pub struct Inexact;

/// The value that a column of this affinity stores for `value`. A number that becomes
/// text is written to `scratch`; a REAL that would become text is refused, since SQLite
/// keeps 15 of its digits.
pub fn stored<'a>(
    value: ValueRef<'a>,
    affinity: Affinity,
    scratch: &'a mut Vec<u8>,
) -> Result<ValueRef<'a>, Inexact> {
    Ok(match (affinity, value) {
        (Affinity::Text, ValueRef::Int(i)) => {
            scratch.clear();
            let _ = write!(scratch, "{i}");
            ValueRef::Text(scratch)
        }
        (Affinity::Text, ValueRef::Real(_)) => return Err(Inexact),
        (Affinity::Integer | Affinity::Numeric, ValueRef::Real(r)) => integer_if_exact(r),
        (Affinity::Integer | Affinity::Numeric, ValueRef::Text(text)) => match numeral(text) {
            Some(Numeral::Int(i)) => ValueRef::Int(i),
            Some(Numeral::Real(r)) => integer_if_exact(r),
            None => value,
        },
        (Affinity::Real, ValueRef::Int(i)) => ValueRef::Real(i as f64),
        (Affinity::Real, ValueRef::Real(r)) => ValueRef::Real(r + 0.0),
        (Affinity::Real, ValueRef::Text(text)) => match numeral(text) {
            Some(Numeral::Int(i)) => ValueRef::Real(i as f64),
            Some(Numeral::Real(r)) => ValueRef::Real(r + 0.0),
            None => value,
        },
        _ => value,
    })
}

/// The INTEGER that a NUMERIC or INTEGER column makes of an integral REAL, else the REAL.
pub fn integer_if_exact(r: f64) -> ValueRef<'static> {
    /// The largest doubles below 2^63 in magnitude: SQLite takes no larger ones.
    const LIMIT: f64 = 9_223_372_036_854_774_784.0;
    if r.trunc() == r && (-LIMIT..=LIMIT).contains(&r) {
        ValueRef::Int(r as i64)
    } else {
        ValueRef::Real(r)
    }
}

/// The number that a whole text stands for, spaces around it allowed; `None` when SQLite
/// would leave it text.
pub fn numeral(text: &[u8]) -> Option<Numeral> {
    let text = trim(text);
    let unsigned = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    let whole = digits(unsigned);
    if whole == unsigned.len() && whole > 0 {
        let text = std::str::from_utf8(text).ok()?;
        return Some(match text.parse::<i64>() {
            Ok(i) => Numeral::Int(i),
            Err(_) => Numeral::Real(text.parse().ok()?),
        });
    }
    let mut rest = &unsigned[whole..];
    let mut fraction = 0;
    if let [b'.', after @ ..] = rest {
        fraction = digits(after);
        rest = &after[fraction..];
    }
    if whole + fraction == 0 {
        return None;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        let after = match after {
            [b'+' | b'-', more @ ..] => more,
            _ => after,
        };
        if after.is_empty() || digits(after) != after.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().map(Numeral::Real)
}

/// True for a numeral of which SQLite itself may make a neighbour of its nearest double.
///
/// SQLite 3.43 to 3.51 (`sqlite3AtoF`) reads the first 19 or 20 significant digits and drops the
/// others, then scales in pairs of doubles: by 10 and 10^10 without harm, by 10^100 and 10^-100,
/// whose products are not kept whole, with an error that reaches the result in one of six cases.
/// So a numeral is certain when its significant digits, written as an integer, are at most
/// 19, and the power of ten that is left is below 100 either way.
pub fn doubtful(text: &[u8]) -> bool {
    // Mostly there is neither room for so many digits nor an exponent.
    let exponent = text.iter().position(|b| matches!(b, b'e' | b'E'));
    if text.len() <= CERTAIN_DIGITS && exponent.is_none() {
        return false;
    }
    let (mantissa, power) = match exponent {
        Some(at) => (&text[..at], power(&text[at + 1..])),
        None => (text, 0),
    };
    let point = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    let significant = |b: &u8| matches!(b, b'1'..=b'9');
    let (Some(first), Some(last)) =
        (mantissa.iter().position(significant), mantissa.iter().rposition(significant))
    else {
        return false;
    };
    let digits = last + 1 - first - usize::from((first..last).contains(&point));
    let behind = mantissa[point..].iter().filter(|b| b.is_ascii_digit()).count();
    let zeros = mantissa[last + 1..].iter().filter(|b| b.is_ascii_digit()).count();
    digits > CERTAIN_DIGITS || (power + zeros as i64 - behind as i64).abs() >= 100
}

/// A 64-bit integer holds as many digits whatever they are.
const CERTAIN_DIGITS: usize = 19;

/// The number behind an `e`, cut to what is far beyond a double's range.
fn power(text: &[u8]) -> i64 {
    let digits = text.iter().filter(|b| b.is_ascii_digit());
    let size = digits.fold(0, |n, b| (n * 10 + i64::from(b - b'0')).min(1_000_000));
    if text.first() == Some(&b'-') { -size } else { size }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// A text without the spaces around it, as C has them.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    let space = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r');
    while text.first().is_some_and(space) {
        text = &text[1..];
    }
    while text.last().is_some_and(space) {
        text = &text[..text.len() - 1];
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    use sqlx::{Connection, Row, SqliteConnection, ValueRef as _};

    use super::*;
    use crate::model::value::Value;

    const COLUMNS: [(&str, Affinity); 5] = [
        ("INTEGER", Affinity::Integer),
        ("NUMERIC", Affinity::Numeric),
        ("REAL", Affinity::Real),
        ("TEXT", Affinity::Text),
        ("BLOB", Affinity::Blob),
    ];

    /// What SQLite itself stores.
    async fn oracle(db: &mut SqliteConnection, declared: &str, value: &Value) -> Value {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "drop table if exists t; create table t(a {declared})"
        )))
        .execute(&mut *db)
        .await
        .unwrap();
        let insert = sqlx::query("insert into t values (?)");
        match value {
            Value::Int(i) => insert.bind(*i),
            Value::Real(r) => insert.bind(*r),
            Value::Text(t) => insert.bind(String::from_utf8(t.clone()).unwrap()),
            Value::Blob(b) => insert.bind(b.clone()),
            Value::Null => insert.bind(None::<i64>),
            other => panic!("SQLite has no {other:?}"),
        }
        .execute(&mut *db)
        .await
        .unwrap();
        let row = sqlx::query("select typeof(a), a from t").fetch_one(db).await.unwrap();
        let raw = row.try_get_raw(1).unwrap();
        if raw.is_null() {
            return Value::Null;
        }
        match row.get::<String, _>(0).as_str() {
            "integer" => Value::Int(row.get_unchecked(1)),
            "real" => Value::Real(row.get_unchecked(1)),
            "text" => Value::Text(row.get_unchecked::<String, _>(1).into_bytes()),
            _ => Value::Blob(row.get_unchecked(1)),
        }
    }

    /// Fails unless a column of each affinity stores what SQLite stores; a doubtful numeral
    /// may be a neighbour.
    async fn check(db: &mut SqliteConnection, value: Value) {
        let far = matches!(&value, Value::Text(text) if doubtful(text));
        for (declared, affinity) in COLUMNS {
            let mut scratch = Vec::new();
            let Ok(ours) = stored(value.as_ref(), affinity, &mut scratch) else { continue };
            let theirs = oracle(db, declared, &value).await;
            let ours = ours.to_owned();
            match (double(&ours), double(&theirs)) {
                (Some(a), Some(b)) if far => {
                    assert!(neighbours(a, b), "{value:?} into {declared}: {a:e} and {b:e}");
                }
                _ => assert_eq!(ours, theirs, "{value:?} into {declared}"),
            }
        }
    }

    fn double(value: &Value) -> Option<f64> {
        match value {
            Value::Int(i) => Some(*i as f64),
            Value::Real(r) => Some(*r),
            _ => None,
        }
    }

    /// Doubles of one sign are ordered as their bits are.
    fn neighbours(a: f64, b: f64) -> bool {
        a.is_sign_negative() == b.is_sign_negative() && a.to_bits().abs_diff(b.to_bits()) <= 2
    }

    #[tokio::test]
    async fn t1_affinity_is_sqlites_own() {
        let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for text in [
            "007",
            "0123",
            " 12 ",
            "\t-5\n",
            "+5",
            "1.",
            ".5",
            ".",
            "-",
            "",
            "1e",
            "1e+",
            "1e3",
            "1.5e2",
            "-0",
            "-0.0",
            "abc",
            "1a",
            "0x10",
            "1 2",
            "inf",
            "nan",
            "1e400",
            "-1e400",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
            "1e18",
            "9007199254740993",
            "0.30000000000000004",
            "2024-03-14",
            "1_000",
            "\u{a0}1",
            "1\u{0}",
            "9223372036854775807.0",
            "-9223372036854775809",
            "1e-400",
            "123456789012345678901",
        ] {
            check(&mut db, Value::Text(text.into())).await;
        }
        for r in [0.0, -0.0, 1.0, 1.5, 1e17, -1e17, 9.3e18, 9223372036854774784.0, f64::INFINITY] {
            check(&mut db, Value::Real(r)).await;
        }
        for i in [0, 1, -1, i64::MAX, i64::MIN, (1 << 53) + 1] {
            check(&mut db, Value::Int(i)).await;
        }
        check(&mut db, Value::Blob(b"12".to_vec())).await;
    }

    /// Numerals of any length and size, and what only looks like one.
    const NUMERALS: &str =
        "[ ]?[-+]?0{0,3}[0-9]{0,24}[.]?0{0,3}[0-9]{0,24}0{0,3}([eE][-+]?([0-9]?|[0-9]{2,3}))?[ x]?";

    #[test]
    fn t1_random_numerals_are_sqlites_own() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let db = runtime.block_on(SqliteConnection::connect("sqlite::memory:")).unwrap();
        let db = std::cell::RefCell::new(db);
        let mut runner = TestRunner::new(Config::with_cases(600));
        let numerals = prop_oneof![
            NUMERALS.prop_map(String::from),
            // The doubles that a program prints.
            any::<f64>().prop_map(|r| format!("{r:?}")),
            any::<f32>().prop_map(|r| f64::from(r).to_string()),
        ];
        runner
            .run(&numerals, |text| {
                runtime.block_on(check(&mut db.borrow_mut(), Value::Text(text.into_bytes())));
                Ok(())
            })
            .unwrap();
    }

    /// As many digits as a certain numeral has: of every size, and halfway between two doubles
    /// or one beside it, where a small error shows.
    #[tokio::test]
    async fn t1_certain_numerals_round_as_in_sqlite() {
        let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..2_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let digits = 1_000_000_000_000_000_000 + random % 8_999_999_999_999_999_999;
            let any = format!("{digits}e{}", (random >> 32) as i64 % 181 - 90);
            let half = ((random >> 11) | (1 << 52) | 1) << (random % 9);
            let beside = half - 1 + random % 3;
            for text in [any, format!("{half}.0"), format!("{beside}.0")] {
                assert!(!doubtful(text.as_bytes()), "{text}");
                let theirs = sqlx::query("select cast(? as real)").bind(&text);
                let theirs: f64 = theirs.fetch_one(&mut db).await.unwrap().get_unchecked(0);
                assert_eq!(theirs.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
            }
        }
    }

    #[test]
    fn t1_long_and_far_numerals_are_doubtful() {
        for text in [
            "33.22450151e-92",
            "1e-100",
            "1e100",
            "0.12345678901234567891",
            "12345678901234567891",
            "-1.0000000000000000000001",
            "1e99999999999999999999",
        ] {
            assert!(doubtful(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "7",
            "0.30000000000000004",
            "1.2345678901234567e-5",
            "1.2345678901234567e80",
            "000000000000000000000000001.5",
            "1500000000000000000000000000000",
            "0.000000000000000000000000000015",
            "1.500000000000000000000000000000",
            "0e999",
            "1.5e-98",
            "True enough to be a text",
        ] {
            assert!(!doubtful(text.as_bytes()), "{text}");
        }
    }
}
