//! The column that holds what does not fit: the misfit cells of a row, exactly.
//!
//! A scan's batch holds each column in its [`Carrier`](crate::model::table::Carrier), and ends
//! with the column [`EXACT`]: NULL for rows whose values all fit (nearly all), else:
//!
//! ```text
//! cell := name length u16 LE | name | class u8 | payload length u32 LE | payload
//! class: 1 INTEGER (i64 LE)   2 REAL (f64 bits LE)   3 TEXT (bytes)   4 BLOB (bytes)
//!        5 unsigned (u64 LE)  6 bool (0 or 1)        7 date (i32 LE)  8 moment (i64 LE)
//!        9 instant (i64 LE)  10 decimal (i128 LE, then the scale as i8)
//!        0 a value that live's column can't hold; no payload
//! ```
//!
//! Cells are sorted by column name, so that equal rows have equal [`EXACT`] bytes when
//! the same columns were read with the same carriers.

use crate::error::{Error, Result};
use crate::model::value::ValueRef;

/// The name of the column that holds a row's misfit cells.
pub const EXACT: &str = "__exact";

/// Appends one misfit cell to an [`EXACT`] payload under construction. Callers append in
/// the order of column names.
pub fn push_exact(out: &mut Vec<u8>, column: &str, value: ValueRef<'_>) {
    let number;
    let wide;
    let (class, payload): (u8, &[u8]) = match value {
        ValueRef::Null => return,
        ValueRef::Int(i) => {
            number = i.to_le_bytes();
            (1, &number)
        }
        ValueRef::Real(r) => {
            number = r.to_bits().to_le_bytes();
            (2, &number)
        }
        ValueRef::Text(b) => (3, b),
        ValueRef::Blob(b) => (4, b),
        ValueRef::Unsigned(u) => {
            number = u.to_le_bytes();
            (5, &number)
        }
        ValueRef::Bool(b) => (6, if b { &[1] } else { &[0] }),
        ValueRef::Date(day) => {
            number = i64::from(day).to_le_bytes();
            (7, &number[..4])
        }
        ValueRef::Stamp(micros) => {
            number = micros.to_le_bytes();
            (8, &number)
        }
        ValueRef::Instant(micros) => {
            number = micros.to_le_bytes();
            (9, &number)
        }
        ValueRef::Decimal(digits, scale) => {
            let mut bytes = [0; 17];
            bytes[..16].copy_from_slice(&digits.to_le_bytes());
            bytes[16] = scale.to_le_bytes()[0];
            wide = bytes;
            (10, &wide)
        }
    };
    out.extend_from_slice(&(column.len() as u16).to_le_bytes());
    out.extend_from_slice(column.as_bytes());
    out.push(class);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Appends the mark of a value that live's column can't hold, in its place among the cells. Who
/// reads the row's cells without asking [`unfit_columns`] first gets an error.
pub fn push_unfit(out: &mut Vec<u8>, column: &str) {
    out.extend_from_slice(&(column.len() as u16).to_le_bytes());
    out.extend_from_slice(column.as_bytes());
    out.extend_from_slice(&[0; 5]);
}

/// The columns of one row whose values live's columns can't hold.
pub fn unfit_columns(cells: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = cells;
    std::iter::from_fn(move || {
        let cell = split(rest)?;
        rest = cell.rest;
        Some(cell)
    })
    .filter(|cell| cell.class == 0)
    .filter_map(|cell| std::str::from_utf8(cell.name).ok())
}

/// The misfit cells of one row, as `(column, value)`; an error for torn bytes.
pub fn exact_cells(mut bytes: &[u8]) -> impl Iterator<Item = Result<(&str, ValueRef<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        match split_cell(bytes) {
            Some((name, value, rest)) => {
                bytes = rest;
                Some(Ok((name, value)))
            }
            None => {
                bytes = &[];
                Some(Err(Error::damaged(format!("the column {EXACT} holds torn bytes"))))
            }
        }
    })
}

/// A cell's bytes, and those of the cells after it.
struct Cell<'a> {
    name: &'a [u8],
    class: u8,
    payload: &'a [u8],
    rest: &'a [u8],
}

fn split(bytes: &[u8]) -> Option<Cell<'_>> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
    let (class, rest) = rest.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some(Cell { name, class: *class, payload, rest })
}

fn split_cell(bytes: &[u8]) -> Option<(&str, ValueRef<'_>, &[u8])> {
    let Cell { name, class, payload, rest } = split(bytes)?;
    let value = match class {
        1 => ValueRef::Int(i64::from_le_bytes(payload.try_into().ok()?)),
        2 => ValueRef::Real(f64::from_bits(u64::from_le_bytes(payload.try_into().ok()?))),
        3 => ValueRef::Text(payload),
        4 => ValueRef::Blob(payload),
        5 => ValueRef::Unsigned(u64::from_le_bytes(payload.try_into().ok()?)),
        6 => match payload {
            [0] => ValueRef::Bool(false),
            [1] => ValueRef::Bool(true),
            _ => return None,
        },
        7 => ValueRef::Date(i32::from_le_bytes(payload.try_into().ok()?)),
        8 => ValueRef::Stamp(i64::from_le_bytes(payload.try_into().ok()?)),
        9 => ValueRef::Instant(i64::from_le_bytes(payload.try_into().ok()?)),
        10 => {
            let (digits, scale) = payload.split_first_chunk::<16>()?;
            let [scale] = *scale else { return None };
            ValueRef::Decimal(i128::from_le_bytes(*digits), i8::from_le_bytes([scale]))
        }
        _ => return None,
    };
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_cell_comes_back() {
        let values = [
            ValueRef::Int(i64::MIN),
            ValueRef::Unsigned(u64::MAX),
            ValueRef::Real(-0.0),
            ValueRef::Text(b"a\0\xff"),
            ValueRef::Blob(b""),
            ValueRef::Bool(true),
            ValueRef::Date(i32::MIN),
            ValueRef::Stamp(i64::MAX),
            ValueRef::Instant(-1),
            ValueRef::Decimal(i128::MIN, -3),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| push_exact(&mut bytes, "n\u{e4}me", *value));
        let back: Vec<_> = exact_cells(&bytes).map(Result::unwrap).collect();
        assert_eq!(back, values.map(|value| ("n\u{e4}me", value)));
        for cut in 1..bytes.len() {
            let torn = exact_cells(&bytes[..cut]).filter(Result::is_err).count();
            let whole = exact_cells(&bytes[..cut]).filter(Result::is_ok).count();
            assert!(torn == 1 || whole < values.len(), "{cut}");
        }
    }

    #[test]
    fn a_value_that_live_can_t_hold_is_told_and_never_read_as_another() {
        let mut bytes = Vec::new();
        push_exact(&mut bytes, "a", ValueRef::Int(1));
        push_unfit(&mut bytes, "b");
        push_exact(&mut bytes, "c", ValueRef::Int(2));
        push_unfit(&mut bytes, "d");
        assert_eq!(unfit_columns(&bytes).collect::<Vec<_>>(), ["b", "d"]);
        assert!(exact_cells(&bytes).any(|cell| cell.is_err()));
        let mut without = Vec::new();
        push_exact(&mut without, "a", ValueRef::Int(0));
        assert_eq!(unfit_columns(&without).count(), 0);
    }
}
