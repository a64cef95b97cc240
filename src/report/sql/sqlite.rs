//! SQLite's SQL.
//!
//! A TEXT is a quoted literal only when it is UTF-8 without control characters. Any other
//! becomes `CAST(X'..' AS TEXT)` with its escaped beginning as a comment, since clients turn
//! CRLF inside literals into LF and cut at NUL.

use crate::model::table::{Affinity, Collation, Column};
use crate::model::value::{ValueRef, hex};
use crate::report::rows::Cell;
use crate::report::sql::identifier;
use crate::report::text::{elide, escape, escape_bytes};

/// The script's foreign keys and its transaction; the shell ends at the first error.
pub(super) const BEGIN: &str = ".bail on\nPRAGMA foreign_keys = ON;\nBEGIN IMMEDIATE;";

/// A literal that the engine reads back as exactly this cell.
pub(super) fn literal(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Null => "NULL".to_owned(),
        // Written as an expression, since the digits alone would be read as a REAL.
        ValueRef::Int(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Real(r) if r == f64::INFINITY => "9e999".to_owned(),
        ValueRef::Real(r) if r == f64::NEG_INFINITY => "-9e999".to_owned(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Blob(b) => format!("X'{}'", hex(b)),
        ValueRef::Unsigned(_) | ValueRef::Bool(_) | ValueRef::Decimal(..) => {
            cell.plain_text().unwrap_or_default()
        }
        ValueRef::Date(_) | ValueRef::Stamp(_) | ValueRef::Instant(_) => {
            format!("'{}'", cell.plain_text().unwrap_or_default())
        }
        ValueRef::Text(b) => match std::str::from_utf8(b) {
            Ok(text) if escape(text).len() == text.len() => {
                format!("'{}'", text.replace('\'', "''"))
            }
            _ => format!("CAST(X'{}' AS TEXT) /* {} */", hex(b), comment(&escape_bytes(b))),
        },
    }
}

/// Text that can't end the comment it stands in.
fn comment(text: &str) -> String {
    elide(&escape(text), 40).replace("*/", "*\\u{2f}").replace("/*", "\\u{2f}*")
}

/// A condition that holds only for a row whose columns are just these cells.
pub(super) fn condition(seen: &[Cell<'_>]) -> String {
    let guards: Vec<String> = seen.iter().map(|(column, cell)| guard(column, *cell)).collect();
    guards.join(" AND ")
}

/// A condition that holds only for exactly this cell, storage class included.
fn guard(column: &Column, cell: ValueRef<'_>) -> String {
    let name = identifier(&column.name);
    let class = match cell {
        ValueRef::Null => return format!("{name} IS NULL"),
        ValueRef::Int(_) => "integer",
        ValueRef::Real(_) => "real",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "blob",
        _ => "",
    };
    let natural = match column.affinity {
        Affinity::Text => "text",
        Affinity::Integer => "integer",
        Affinity::Real => "real",
        Affinity::Numeric | Affinity::Blob | Affinity::Postgres | Affinity::Mysql => "",
    };
    // An explicit collation keeps the engine from the key's index: only where it matters.
    let bent = class == "text" && column.collation != Collation::Binary;
    let collate = if bent { " COLLATE BINARY" } else { "" };
    let equals = format!("{name} IS {}{collate}", literal(cell));
    if class == natural || class.is_empty() {
        equals
    } else {
        format!("{equals} AND typeof({name}) = '{class}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Carrier;
    use crate::model::value::Value;
    use crate::report::rows::tests::column;

    #[test]
    fn w3_values_that_clients_bend_are_hex() {
        let cases: [(&[u8], &str); 8] = [
            (b"it's", "'it''s'"),
            ("na\u{ef}ve – 日本".as_bytes(), "'na\u{ef}ve – 日本'"),
            (b"a\r\nb", r"CAST(X'610d0a62' AS TEXT) /* a\r\nb */"),
            (b"a\nb", r"CAST(X'610a62' AS TEXT) /* a\nb */"),
            (b"a\0b", r"CAST(X'610062' AS TEXT) /* a\0b */"),
            (b"a\xff", r"CAST(X'61ff' AS TEXT) /* a\xff */"),
            (b"\x1b*/ DROP", r"CAST(X'1b2a2f2044524f50' AS TEXT) /* \u{1b}*\u{2f} DROP */"),
            (b"", "''"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(literal(ValueRef::Text(bytes)), expected);
        }
        assert_eq!(literal(ValueRef::Blob(b"\0\xff")), "X'00ff'");
        assert_eq!(literal(ValueRef::Real(0.1)), "0.1");
        assert_eq!(literal(ValueRef::Real(1e300)), "1e300");
        assert_eq!(identifier("we\"ird"), "\"we\"\"ird\"");
    }

    /// SQLite's own reading of the literals, through the raw handle.
    #[tokio::test]
    async fn w3_sqlite_reads_the_literals_back() {
        use sqlx::{Connection, Row};
        let mut db = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let values = [
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Real(0.1),
            Value::Real(f64::MAX),
            Value::Real(f64::NEG_INFINITY),
            Value::Real(1.0),
            Value::Text(b"it's \r\n \0 x".to_vec()),
            Value::Text(b"bad \xff".to_vec()),
            Value::Text("*/ \u{202e}".as_bytes().to_vec()),
            Value::Blob(vec![0, 255]),
        ];
        for value in values {
            let sql = format!(
                "SELECT typeof(v), hex(v), v = v FROM (SELECT {} AS v)",
                literal(value.as_ref())
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut db).await.unwrap();
            let (class, digits): (String, String) = (row.get(0), row.get(1));
            let expected = match &value {
                Value::Text(b) => ("text", hex(b).to_uppercase()),
                Value::Blob(b) => ("blob", hex(b).to_uppercase()),
                Value::Int(i) => ("integer", hex(i.to_string().as_bytes()).to_uppercase()),
                _ => {
                    assert_eq!(class, "real");
                    continue;
                }
            };
            assert_eq!((class.as_str(), digits), expected);
        }
    }

    #[test]
    fn t2_a_guard_tells_storage_classes_apart() {
        let number = column("n", Carrier::Number);
        assert_eq!(guard(&number, ValueRef::Int(1)), r#""n" IS 1 AND typeof("n") = 'integer'"#);
        assert_eq!(guard(&number, ValueRef::Null), r#""n" IS NULL"#);
        let text = column("t", Carrier::Text);
        assert_eq!(guard(&text, ValueRef::Text(b"a")), r#""t" IS 'a'"#);
        let bent = Column { collation: Collation::NoCase, ..text };
        assert_eq!(guard(&bent, ValueRef::Text(b"a")), r#""t" IS 'a' COLLATE BINARY"#);
    }
}
