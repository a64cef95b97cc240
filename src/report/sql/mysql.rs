//! MySQL's and MariaDB's SQL, to be read by their clients.
//!
//! Texts with backslashes or characters that a client might bend are hexadecimal, so that no
//! literal means something else under another sql_mode (W3, W4).

use crate::error::{Error, Result};
use crate::model::calendar::{date_text, moment_text};
use crate::model::table::{Automatic, Column, TableSchema};
use crate::model::value::{ValueRef, hex};
use crate::report::rows::Cell;
use crate::report::text::escape;

/// What values and conditions rely on, and the transaction.
pub(super) const BEGIN: &str = "\
-- Run it with a client that ends at the first error, as mariadb and mysql do with < this-file.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,\
NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES';
SET SESSION time_zone = '+00:00', completion_type = 0, sql_safe_updates = 0, \
foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 2, lock_wait_timeout = 2;
START TRANSACTION;";

/// A quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The type's word in lower case: `int` of `int(10) unsigned`.
fn kind(column: &Column) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    column.declared.chars().take_while(|c| word(*c)).collect::<String>().to_ascii_lowercase()
}

/// A literal that the column stores as just this cell.
pub(super) fn literal(column: &Column, cell: ValueRef<'_>) -> Result<String> {
    let unsayable = || {
        Error::refused(format!("a value of {} is none that MySQL can hold", column.name))
            .hint("restorekit diff lists the rows")
    };
    Ok(match cell {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Unsigned(u) => u.to_string(),
        ValueRef::Bool(truth) => u8::from(truth).to_string(),
        // With an exponent it is a double, not a decimal.
        ValueRef::Real(r) if r.is_finite() => format!("{r:e}"),
        ValueRef::Real(_) => return Err(unsayable()),
        ValueRef::Decimal(..) => cell.plain_text().unwrap_or_default(),
        ValueRef::Date(day) => format!("'{}'", date_text(day.into())),
        ValueRef::Stamp(micros) | ValueRef::Instant(micros) => {
            format!("'{}'", moment_text(micros).replace('T', " "))
        }
        ValueRef::Blob(bytes) => format!("X'{}'", hex(bytes)),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| unsayable())?;
            let digits = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
            if kind(column) == "decimal" && !text.is_empty() && text.chars().all(digits) {
                // A text would be compared as a double.
                text.to_owned()
            } else if escape(text).len() == text.len() && !text.contains('\\') {
                format!("'{}'", text.replace('\'', "''"))
            } else {
                format!("_utf8mb4 X'{}'", hex(bytes))
            }
        }
    })
}

/// A condition that holds only for the row of this key whose columns are just these cells.
pub(super) fn condition(key: &[Cell<'_>], seen: &[Cell<'_>]) -> Result<String> {
    let mut terms = Vec::new();
    for (column, cell) in key.iter().filter(|(_, cell)| !cell.is_null()) {
        terms.push(format!("{} = {}", identifier(&column.name), literal(column, *cell)?));
    }
    for (column, cell) in seen {
        let (name, value) = (identifier(&column.name), literal(column, *cell)?);
        let exactly = match kind(column).as_str() {
            _ if cell.is_null() => format!("{name} IS NULL"),
            "json" => format!("{name} <=> CAST({value} AS JSON)"),
            "uuid" | "inet4" | "inet6" => format!("{name} <=> CAST({value} AS CHAR)"),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum"
            | "set" => {
                format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY) <=> CAST({value} AS BINARY)")
            }
            _ if matches!(cell, ValueRef::Blob(_)) => {
                format!("CAST({name} AS BINARY) <=> CAST({value} AS BINARY)")
            }
            // The key's own comparison says it all.
            _ if key.iter().any(|(key, _)| key.name == column.name) => continue,
            _ => format!("{name} <=> {value}"),
        };
        terms.push(exactly);
    }
    Ok(terms.join(" AND "))
}

/// The columns that an UPDATE would set by itself, set to what they are (T13).
pub(super) fn held(schema: &TableSchema, written: &[&str]) -> Vec<String> {
    let automatic = schema.columns.iter().filter(|column| {
        column.automatic == Some(Automatic::UpdateTime) && !written.contains(&column.name.as_str())
    });
    automatic.map(|column| format!("{0} = {0}", identifier(&column.name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Carrier;

    fn column(declared: &str) -> Column {
        Column { declared: declared.into(), ..Column::new("c`d", Carrier::Text) }
    }

    #[test]
    fn w4_a_literal_means_the_same_under_every_sql_mode() {
        let text = |text: &str| literal(&column("text"), ValueRef::Text(text.as_bytes())).unwrap();
        assert_eq!(text("it's \"日本\""), "'it''s \"日本\"'");
        assert_eq!(text("\\'; drop"), "_utf8mb4 X'5c273b2064726f70'");
        assert_eq!(text("a\r\n"), "_utf8mb4 X'610d0a'");
        assert_eq!(literal(&column("double"), ValueRef::Real(0.1)).unwrap(), "1e-1");
        assert!(literal(&column("double"), ValueRef::Real(f64::NAN)).is_err());
        let wide = literal(&column("decimal(65,30)"), ValueRef::Text(b"-0.5")).unwrap();
        assert_eq!(wide, "-0.5");
        let moment = literal(&column("datetime(6)"), ValueRef::Stamp(1)).unwrap();
        assert_eq!(moment, "'1970-01-01 00:00:00.000001'");
    }

    #[test]
    fn k3_texts_are_compared_by_their_bytes() {
        let name = column("varchar(20)");
        let cells = [(&name, ValueRef::Text(b"A"))];
        assert_eq!(
            condition(&cells, &cells).unwrap(),
            "`c``d` = 'A' AND \
             CAST(CONVERT(`c``d` USING utf8mb4) AS BINARY) <=> CAST('A' AS BINARY)"
        );
    }
}
