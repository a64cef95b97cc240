//! What a column's declared type says of its values in a dump, and so of the tags of its
//! cells ([`Tag`]).
//!
//! A dump writes nearly everything as text; only the type tells whether `t` is a truth
//! value, `\x6162` bytes or `2024-03-14 02:00:00` a moment.

use crate::backup::dump::charset::Charset;
use crate::backup::dump::duckdb::value::blob;
use crate::backup::dump::lex::Dialect;
use crate::backup::dump::literal::call;
use crate::backup::dump::literal::{Literal, Shape, bytes, unescape};
use crate::fit::bytea::bytea;
use crate::fit::cell::Tag;
use crate::model::table::{Affinity, Carrier, Column};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever the literal says: SQLite's columns.
    Exact,
    /// The type is not told.
    Unknown,
    /// The type is not told, and bytes are as PostgreSQL prints them.
    Printed,
    /// Text, and all types whose values are written as text.
    Text,
    /// PostgreSQL's boolean.
    Truth,
    /// Numbers.
    Number,
    /// Dates and moments, with an offset where they have a zone.
    Moment,
    /// MySQL's TIMESTAMP: a moment in the zone of the dump.
    Instant,
    /// Bytes.
    Bytes,
    /// PostgreSQL's bytea: bytes as text.
    Bytea,
    /// DuckDB's BLOB: bytes as text.
    Escaped,
    /// MySQL's BIT: a number, written as bytes or bits.
    Bits,
}

impl Kind {
    /// The kind of a declared type; an empty one is not told.
    pub(super) fn of(declared: &str, dialect: Dialect) -> Self {
        if dialect == Dialect::Sqlite {
            return Kind::Exact;
        }
        if declared.is_empty() {
            let postgres = matches!(dialect, Dialect::Postgres { .. });
            return if postgres { Kind::Printed } else { Kind::Unknown };
        }
        let lower = declared.to_ascii_lowercase();
        if lower.ends_with(']') {
            return Kind::Text;
        }
        let lower = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
        let word: &str =
            lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        match dialect {
            Dialect::Postgres { .. } => match word {
                "boolean" | "bool" => Kind::Truth,
                "smallint" | "integer" | "bigint" | "int" | "int2" | "int4" | "int8"
                | "numeric" | "decimal" | "real" | "double" | "float4" | "float8" | "oid" => {
                    Kind::Number
                }
                "date" | "timestamp" | "timestamptz" => Kind::Moment,
                "bytea" => Kind::Bytea,
                _ => Kind::Text,
            },
            Dialect::Duckdb => match word {
                "boolean" => Kind::Truth,
                "tinyint" | "smallint" | "integer" | "bigint" | "hugeint" | "utinyint"
                | "usmallint" | "uinteger" | "ubigint" | "uhugeint" | "decimal" | "float"
                | "double" | "bignum" | "varint" => Kind::Number,
                "date" | "timestamp" | "timestamp_s" | "timestamp_ms" | "timestamp_ns" => {
                    Kind::Moment
                }
                "blob" => Kind::Escaped,
                "varchar" | "uuid" | "json" | "enum" | "struct" | "map" | "union" | "bit"
                | "time" | "interval" => Kind::Text,
                _ => Kind::Unknown,
            },
            _ => match word {
                "tinyint" | "smallint" | "mediumint" | "int" | "integer" | "bigint" | "decimal"
                | "numeric" | "dec" | "fixed" | "float" | "double" | "real" | "year" | "bool"
                | "boolean" | "serial" => Kind::Number,
                "date" | "datetime" => Kind::Moment,
                "timestamp" => Kind::Instant,
                "bit" => Kind::Bits,
                "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob"
                | "geometry" | "point" | "linestring" | "polygon" | "multipoint"
                | "multilinestring" | "multipolygon" | "geometrycollection" | "geomcollection"
                | "vector" => Kind::Bytes,
                _ => Kind::Text,
            },
        }
    }

    /// The column where live has none of this name.
    pub(super) fn column(self, name: &str, declared: &str) -> Column {
        let (carrier, affinity) = match self {
            Kind::Exact => (Carrier::Text, Affinity::Blob),
            Kind::Truth => (Carrier::Int, Affinity::Integer),
            Kind::Number | Kind::Bits => (Carrier::Number, Affinity::Numeric),
            Kind::Bytes | Kind::Bytea | Kind::Escaped => (Carrier::Blob, Affinity::Blob),
            Kind::Unknown | Kind::Printed | Kind::Text | Kind::Moment | Kind::Instant => {
                (Carrier::Text, Affinity::Text)
            }
        };
        Column { declared: declared.to_owned(), affinity, ..Column::new(name, carrier) }
    }
}

/// How the cells of one column are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// What the column holds.
    pub(super) kind: Kind,
    /// The character set of its text.
    pub(super) charset: Charset,
    /// The zone of its moments without one, as an offset to append.
    pub(super) zone: Option<Zone>,
}

/// An offset from UTC: `+02:00`.
pub(super) type Zone = [u8; 6];

impl Reading {
    /// Appends the cell of a literal of `row`; its tag, `None` for NULL.
    pub(super) fn literal(
        &self,
        row: &[u8],
        literal: &Literal,
        out: &mut Vec<u8>,
    ) -> Result<Option<Tag>, String> {
        let raw = &row[literal.range.clone()];
        let begin = out.len();
        Ok(Some(match literal.shape {
            Shape::Null => return Ok(None),
            Shape::Truth(true) => Tag::True,
            Shape::Truth(false) => Tag::False,
            Shape::Default => {
                return Err("DEFAULT, so its value is not in the dump".into());
            }
            Shape::Number => {
                out.extend_from_slice(raw);
                if self.kind == Kind::Exact { Tag::OwnNumber } else { Tag::Digits }
            }
            Shape::Call => {
                call(raw, out)?;
                Tag::OwnText
            }
            Shape::Bits if self.kind == Kind::Text => {
                out.extend_from_slice(raw);
                Tag::OwnText
            }
            Shape::Bits => {
                let text = std::str::from_utf8(raw).map_err(|_| "bits that are none")?;
                let bits = u64::from_str_radix(text, 2).map_err(|_| "bits that are none")?;
                out.extend_from_slice(bits.to_string().as_bytes());
                Tag::Digits
            }
            Shape::Hex => {
                bytes(raw, out)?;
                match self.kind {
                    Kind::Text | Kind::Moment | Kind::Instant => {
                        return self.text(begin, out).map(Some);
                    }
                    Kind::Bits => self.bits(begin, out)?,
                    Kind::Number | Kind::Truth => return Err("bytes".into()),
                    Kind::Exact
                    | Kind::Bytes
                    | Kind::Bytea
                    | Kind::Escaped
                    | Kind::Unknown
                    | Kind::Printed => Tag::OwnBlob,
                }
            }
            Shape::Text { marked, binary } => {
                unescape(raw, row[literal.range.start - 1], marked, out)?;
                if binary && !matches!(self.kind, Kind::Bits | Kind::Bytes) {
                    return Ok(Some(Tag::OwnBlob));
                }
                return self.text(begin, out).map(Some);
            }
        }))
    }

    /// Makes a cell of the text from `begin` on: what a string or a field of a text format
    /// stands for.
    pub(super) fn text(&self, begin: usize, out: &mut Vec<u8>) -> Result<Tag, String> {
        Ok(match self.kind {
            Kind::Exact => Tag::OwnText,
            Kind::Text | Kind::Unknown | Kind::Printed => {
                self.charset.decode(begin, out)?;
                match self.kind {
                    Kind::Text => Tag::OwnText,
                    Kind::Printed => Tag::Printed,
                    _ => Tag::Written,
                }
            }
            Kind::Number => Tag::Digits,
            Kind::Moment => Tag::Moment,
            Kind::Instant => {
                // A zero date is no moment, and has no zone.
                if let Some(zone) = self.zone
                    && !out[begin..].starts_with(b"0000-00-00")
                {
                    out.extend_from_slice(&zone);
                }
                Tag::Moment
            }
            Kind::Truth => {
                let truth = match &out[begin..] {
                    b"t" | b"true" => Tag::True,
                    b"f" | b"false" => Tag::False,
                    _ => return Err("a boolean that is neither t nor f".into()),
                };
                out.truncate(begin);
                truth
            }
            Kind::Bytes => Tag::OwnBlob,
            Kind::Bytea => {
                let text = out.split_off(begin);
                bytea(&text, out)?;
                Tag::OwnBlob
            }
            Kind::Escaped => {
                let text = out.split_off(begin);
                blob(&text, out)?;
                Tag::OwnBlob
            }
            Kind::Bits => self.bits(begin, out)?,
        })
    }

    /// Makes a number of the bytes from `begin` on, the highest first.
    fn bits(&self, begin: usize, out: &mut Vec<u8>) -> Result<Tag, String> {
        if out.len() - begin > 8 {
            return Err("a BIT of more than 64 bits".into());
        }
        let bits = out[begin..].iter().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        out.truncate(begin);
        out.extend_from_slice(bits.to_string().as_bytes());
        Ok(Tag::Digits)
    }
}
