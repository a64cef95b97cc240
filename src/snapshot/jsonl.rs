//! One table as JSON lines: an object a row, exactly.
//!
//! | storage class | as JSON |
//! |---|---|
//! | NULL | `null` |
//! | INTEGER | a number without point and exponent |
//! | REAL | a number with a point or an exponent, the shortest that reads back the same; `{"$real":"-0.0"}`, `{"$real":"inf"}`, `{"$real":"-inf"}` |
//! | TEXT | a string; `{"$text":"ff"}` in hexadecimal where it is not UTF-8 |
//! | BLOB | `{"$blob":"00ff"}` in hexadecimal |
//!
//! Each batch is a zstd frame of its own, with a checksum: frames are compressed side by
//! side, and frames one after the other are a zstd file (RFC 8878, section 3).

use std::io::Write;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use crate::error::{Error, Result};
use crate::model::table::{Carrier, Column};
use crate::model::value::{Cells, EXACT, ValueRef, stands_for_integer};

/// zstd's level.
const LEVEL: i32 = 3;

/// How the rows of one table become lines.
#[derive(Debug)]
pub(super) struct LineFormat {
    columns: Vec<Column>,
    /// `{"a":` for the first column, `,"b":` for the others.
    openings: Vec<Vec<u8>>,
}

enum Cell<'a> {
    Int(&'a Int64Array),
    Real(&'a Float64Array),
    Number(&'a Float64Array),
    Text(&'a StringArray),
    Blob(&'a BinaryArray),
    /// Any other carrier: written cell by cell.
    Other,
}

impl LineFormat {
    /// The lines of a table with these columns.
    pub(super) fn new(columns: &[Column]) -> Self {
        let openings = columns.iter().enumerate().map(|(index, column)| {
            let mut opening = vec![if index == 0 { b'{' } else { b',' }];
            text(&column.name, &mut opening);
            opening.push(b':');
            opening
        });
        Self { openings: openings.collect(), columns: columns.to_vec() }
    }

    /// A batch as a zstd frame of lines; an empty batch is an empty frame.
    pub(super) fn frame(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut lines = Vec::with_capacity(batch.get_array_memory_size() * 2);
        self.lines(batch, &mut lines)?;
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(compressor.compress(&lines)?)
    }

    /// Appends a line a row.
    pub(super) fn lines(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let cells = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| cell(batch.columns().get(index), column))
            .collect::<Result<Vec<_>>>()?;
        let names = self.columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        let misfits = Cells::new(batch, names, EXACT)?;
        let exact = batch.column_by_name(EXACT).filter(|e| e.null_count() < e.len());
        for row in 0..batch.num_rows() {
            let row_is_exact = exact.is_none_or(|e| e.is_null(row));
            for (index, (cell, opening)) in cells.iter().zip(&self.openings).enumerate() {
                out.extend_from_slice(opening);
                if !cell.write(row, out) {
                    let value = match cell {
                        Cell::Other => misfits.get(row, index)?,
                        _ if row_is_exact => ValueRef::Null,
                        _ => misfits.get(row, index)?,
                    };
                    write_value(value, out);
                }
            }
            out.extend_from_slice(if cells.is_empty() { b"{}\n" } else { b"}\n" });
        }
        Ok(())
    }
}

fn cell<'a>(array: Option<&'a ArrayRef>, column: &Column) -> Result<Cell<'a>> {
    let array =
        array.filter(|a| *a.data_type() == column.carrier.data_type()).ok_or_else(|| {
            Error::failed(format!("a batch lacks the column {} in its carrier", column.name))
        })?;
    Ok(match (column.carrier, array.data_type()) {
        (Carrier::Int, _) => Cell::Int(array.as_primitive::<Int64Type>()),
        (Carrier::Real, _) => Cell::Real(array.as_primitive::<Float64Type>()),
        (Carrier::Number, _) => Cell::Number(array.as_primitive::<Float64Type>()),
        (Carrier::Text, DataType::Utf8) => Cell::Text(array.as_string::<i32>()),
        (Carrier::Text | Carrier::Blob, _) => Cell::Blob(array.as_binary::<i32>()),
        _ => Cell::Other,
    })
}

impl Cell<'_> {
    /// Writes the cell in `row`; false when it is NULL in its carrier.
    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Cell::Int(a) if a.is_valid(row) => int(a.value(row), out),
            Cell::Real(a) if a.is_valid(row) => real(a.value(row), out),
            Cell::Number(a) if a.is_valid(row) => {
                let r = a.value(row);
                if stands_for_integer(r) { int(r as i64, out) } else { real(r, out) }
            }
            Cell::Text(a) if a.is_valid(row) => text(a.value(row), out),
            Cell::Blob(a) if a.is_valid(row) => bytes("$blob", a.value(row), out),
            _ => return false,
        }
        true
    }
}

/// Appends one value as JSON.
pub(super) fn write_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Int(i) => int(i, out),
        ValueRef::Real(r) => real(r, out),
        ValueRef::Text(b) => match std::str::from_utf8(b) {
            Ok(t) => text(t, out),
            Err(_) => bytes("$text", b, out),
        },
        ValueRef::Blob(b) => bytes("$blob", b, out),
        ValueRef::Unsigned(u) => push(out, format_args!("{u}")),
        ValueRef::Bool(b) => push(out, format_args!("{b}")),
        _ => text(&value.plain_text().unwrap_or_default(), out),
    }
}

/// Writing into a vector does not fail.
fn push(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

fn int(i: i64, out: &mut Vec<u8>) {
    push(out, format_args!("{i}"));
}

/// Debug formatting is the shortest text that reads back the same, and always has a point
/// or an exponent.
fn real(r: f64, out: &mut Vec<u8>) {
    if r.is_finite() && (r != 0.0 || r.is_sign_positive()) {
        push(out, format_args!("{r:?}"));
    } else {
        push(out, format_args!("{{\"$real\":\"{r:?}\"}}"));
    }
}

fn bytes(member: &str, bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    push(out, format_args!("{{\"{member}\":\""));
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)]);
        out.push(DIGITS[usize::from(b & 15)]);
    }
    out.extend_from_slice(b"\"}");
}

/// A JSON string (RFC 8259, section 7).
fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b => push(out, format_args!("\\u{b:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: ValueRef<'_>) -> String {
        let mut out = Vec::new();
        write_value(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_storage_class_reads_back_as_itself() {
        for (value, expected) in [
            (ValueRef::Null, "null"),
            (ValueRef::Int(i64::MIN), "-9223372036854775808"),
            (ValueRef::Real(1.0), "1.0"),
            (ValueRef::Real(1e300), "1e300"),
            (ValueRef::Real(5e-324), "5e-324"),
            (ValueRef::Real(9_223_372_036_854_775_808.0), "9.223372036854776e18"),
            (ValueRef::Real(0.0), "0.0"),
            (ValueRef::Real(-0.0), r#"{"$real":"-0.0"}"#),
            (ValueRef::Real(f64::INFINITY), r#"{"$real":"inf"}"#),
            (ValueRef::Real(f64::NEG_INFINITY), r#"{"$real":"-inf"}"#),
            (ValueRef::Text(b""), r#""""#),
            (ValueRef::Text(b"a\0b\"\\\n\x1f\x7f"), "\"a\\u0000b\\\"\\\\\\n\\u001f\x7f\""),
            (ValueRef::Text("né".as_bytes()), "\"né\""),
            (ValueRef::Text(b"\xff\x00"), r#"{"$text":"ff00"}"#),
            (ValueRef::Blob(b""), r#"{"$blob":""}"#),
            (ValueRef::Blob(b"a"), r#"{"$blob":"61"}"#),
        ] {
            assert_eq!(json(value), expected);
            serde_json::from_str::<serde_json::Value>(expected).unwrap();
        }
    }
}
