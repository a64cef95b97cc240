//! PostgreSQL's SQL, to be read by psql.
//!
//! A literal has no type of its own: the column's input function reads it, and its length
//! refuses what it would cut (T7). Texts with backslashes or characters that a client might
//! bend are `E'..'`, which means the same under every setting.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::model::table::{Automatic, Column, TableSchema};
use crate::model::value::{ValueRef, hex};
use crate::registry::postgres_words;
use crate::report::rows::Cell;
use crate::report::sql::identifier;
use crate::report::text::escape;

/// What values and conditions rely on, in one transaction that an error ends.
pub(super) const BEGIN: &str = "\
\\set ON_ERROR_STOP on
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL datestyle = 'ISO, MDY';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL timezone = 'UTC';
SET LOCAL extra_float_digits = 3;
SET LOCAL bytea_output = 'hex';
SET LOCAL lc_monetary = 'C';
SET LOCAL xmloption = 'content';
SET LOCAL row_security = off;
SET LOCAL lock_timeout = '2s';
SET CONSTRAINTS ALL IMMEDIATE;";

/// A table's name and its schema's, quoted, as its definition has them: what it is called by
/// may be one or both (docs/postgres.md).
pub(super) fn table(schema: &TableSchema) -> Result<String> {
    let names = schema.ddl.strip_prefix("CREATE TABLE ").and_then(|definition| {
        let own = quoted_length(definition)?;
        let rest = definition[own..].strip_prefix('.')?;
        Some(&definition[..own + 1 + quoted_length(rest)?])
    });
    names.map(str::to_owned).ok_or_else(|| {
        Error::refused(format!("{} has no definition that tells its schema", schema.name))
            .hint("restorekit diff --format ndjson")
    })
}

/// The length of the quoted identifier that a text begins with.
fn quoted_length(text: &str) -> Option<usize> {
    let mut rest = text.strip_prefix('"')?;
    loop {
        rest = &rest[rest.find('"')? + 1..];
        match rest.strip_prefix('"') {
            Some(after) => rest = after,
            None => return Some(text.len() - rest.len()),
        }
    }
}

/// The table as an UPDATE or DELETE names it: without the tables that inherit from it, but
/// with its partitions (K10).
pub(super) fn rows_of(schema: &TableSchema) -> Result<String> {
    let only = if schema.ddl.contains("\n) PARTITION BY ") { "" } else { "ONLY " };
    Ok(format!("{only}{}", table(schema)?))
}

/// What stands before VALUES.
pub(super) fn overriding<'a>(columns: impl IntoIterator<Item = &'a Column>) -> &'static str {
    let always = Some(Automatic::CounterAlways);
    match columns.into_iter().any(|column| column.automatic == always) {
        true => "OVERRIDING SYSTEM VALUE ",
        false => "",
    }
}

/// A literal that a column of its type reads as just this cell.
pub(super) fn literal(column: &Column, cell: ValueRef<'_>) -> Result<String> {
    Ok(match cell {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Blob(bytes) => format!("pg_catalog.decode('{}', 'hex')", hex(bytes)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => quoted(text),
            _ => {
                return Err(Error::refused(format!(
                    "a value of {} is no text that PostgreSQL can hold",
                    column.name
                ))
                .hint("restorekit diff lists the rows"));
            }
        },
        other => format!("'{}'", postgres_words(other).unwrap_or_default()),
    })
}

fn quoted(text: &str) -> String {
    if escape(text).len() == text.len() && !text.contains('\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = "E'".to_owned();
    for c in text.chars() {
        let mut one = [0; 4];
        let one = c.encode_utf8(&mut one);
        // A String takes everything that is written to it.
        let _ = match c {
            '\'' => out.write_str("''"),
            '\\' => out.write_str("\\\\"),
            c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)),
            c if escape(one).len() == one.len() => out.write_char(c),
            c => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out + "'"
}

/// A condition that holds only for the row of this key whose columns are just these cells.
pub(super) fn condition(key: &[Cell<'_>], seen: &[Cell<'_>]) -> Result<String> {
    let mut terms = Vec::new();
    for (column, cell) in key {
        if let Some((kind, _)) = native(column).filter(|_| !cell.is_null()) {
            let (name, value) = (identifier(&column.name), literal(column, *cell)?);
            terms.push(format!("{name} operator(pg_catalog.=) {value}::pg_catalog.{kind}"));
        }
    }
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for (column, cell) in seen {
        let name = identifier(&column.name);
        let value = literal(column, *cell)?;
        let (own, kind) = match native(column) {
            Some((kind, true)) => (format!("{name}::pg_catalog.{kind}"), kind),
            Some((_, false)) => (format!("{name}::pg_catalog.text"), "text"),
            // A composite of NULLs `is null`, but is distinct from NULL.
            None => (
                format!(
                    "CASE WHEN {name} IS DISTINCT FROM NULL \
                     THEN pg_catalog.format('%s', {name}) END"
                ),
                "text",
            ),
        };
        here.push(own);
        there.push(format!("{value}::pg_catalog.{kind}"));
    }
    terms.push(format!(
        "ROW({})::pg_catalog.record operator(pg_catalog.*=) ROW({})::pg_catalog.record",
        here.join(", "),
        there.join(", ")
    ));
    Ok(terms.join(" AND "))
}

/// The name in `pg_catalog` of a column's type without a length, for a type whose values are
/// compared by themselves; true where by their bytes, false where by their text.
fn native(column: &Column) -> Option<(&'static str, bool)> {
    let declared = column.declared.as_str();
    let (head, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let tail = rest.split_once(')').map_or("", |(_, tail)| tail);
    Some(match format!("{head}{tail}").as_str() {
        "boolean" => ("bool", true),
        "smallint" => ("int2", true),
        "integer" => ("int4", true),
        "bigint" => ("int8", true),
        "oid" => ("oid", true),
        "real" => ("float4", true),
        "double precision" => ("float8", true),
        "date" => ("date", true),
        "timestamp without time zone" => ("timestamp", true),
        "timestamp with time zone" => ("timestamptz", true),
        "bytea" => ("bytea", true),
        "text" => ("text", true),
        "character varying" => ("varchar", true),
        "character" | "bpchar" => ("bpchar", true),
        "name" => ("name", true),
        "numeric" => ("numeric", false),
        "time without time zone" => ("time", false),
        "uuid" => ("uuid", false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Carrier, TableName};

    #[test]
    fn a_table_is_named_as_its_definition_says() {
        let of = |ddl: &str| {
            let mut schema = TableSchema::of_columns(TableName::bare("a.b"), vec![]);
            schema.ddl = ddl.into();
            table(&schema)
        };
        assert_eq!(of("CREATE TABLE \"a\".\"b\" (\n)").unwrap(), "\"a\".\"b\"");
        let odd = "\"a\"\".\"\"x\".\"b \"\"(\"";
        assert_eq!(of(&format!("CREATE TABLE {odd} (\n)")).unwrap(), odd);
        assert!(of("").is_err());
    }

    #[test]
    fn w3_a_client_has_nothing_to_bend() {
        let column = Column::new("t", Carrier::Text);
        let text = |text: &str| literal(&column, ValueRef::Text(text.as_bytes())).unwrap();
        assert_eq!(text("it's :x 日本"), "'it''s :x 日本'");
        assert_eq!(text("a\\'b\r\n"), r"E'a\\''b\x0d\x0a'");
        assert_eq!(text("\u{202e}"), r"E'\U0000202e'");
        assert!(literal(&column, ValueRef::Text(b"a\0")).is_err());
        assert!(literal(&column, ValueRef::Text(b"a\xff")).is_err());
        let bytes = literal(&column, ValueRef::Blob(b"\\\0")).unwrap();
        assert_eq!(bytes, "pg_catalog.decode('5c00', 'hex')");
    }

    #[test]
    fn t7_no_cast_is_to_a_type_with_a_length() {
        let of = |declared: &str| {
            native(&Column { declared: declared.into(), ..Column::new("c", Carrier::Text) })
        };
        assert_eq!(of("character(5)"), Some(("bpchar", true)));
        assert_eq!(of("numeric(8,2)"), Some(("numeric", false)));
        assert_eq!(of("timestamp(3) with time zone"), Some(("timestamptz", true)));
        assert_eq!(of("character varying(5)[]"), None);
        assert_eq!(of("public.mood"), None);
    }
}
