//! What SQLite stores when a value is written into a column ("Datatypes In SQLite",
//! sections 3.1 to 3.4; `applyAffinity` and `sqlite3AtoF` of its source).

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

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn trim(mut text: &[u8]) -> &[u8] {
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

    async fn check(db: &mut SqliteConnection, value: Value) {
        for (declared, affinity) in COLUMNS {
            let mut scratch = Vec::new();
            let Ok(ours) = stored(value.as_ref(), affinity, &mut scratch) else { continue };
            let theirs = oracle(db, declared, &value).await;
            assert_eq!(ours.to_owned(), theirs, "{value:?} into {declared}");
        }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        /// Up to 14 digits and a power of ten below 10^22, which both sides round alike: at far
        /// exponents SQLite's own conversion may be off by one unit in the last place.
        #[test]
        fn t1_random_numerals_are_sqlites_own(text in "[ ]?[-+]?[0-9]{0,6}[.]?[0-9]{0,8}([eE][-+]?[0-9]?)?[ x]?") {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
                check(&mut db, Value::Text(text.into_bytes())).await;
            });
        }
    }
}
