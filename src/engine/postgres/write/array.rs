//! Columns of values as array parameters, so that one statement finds or writes many rows
//! without a table of its own.
//!
//! The binary form of an array is what `array_recv` reads (PostgreSQL,
//! `src/backend/utils/adt/arrayfuncs.c`), that of an element what its type's `_recv` function
//! reads; all numbers are big-endian.
//!
//! ```text
//! array     dimensions i32 (1) | has NULLs i32 | element's type u32
//!           | length i32 | lower bound i32 (1) | elements
//! element   length i32, -1 for NULL | bytes
//! int8, float8, bool, bytea, text   as they are
//! date      days since 2000-01-01, i32; the least and the greatest are the infinities
//! timestamp, timestamptz            microseconds since 2000-01-01, i64, alike
//! ```

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use crate::engine::postgres::types::words;
use crate::error::{Error, Result};
use crate::model::calendar::DAY_MICROS;
use crate::model::table::Carrier;
use crate::model::value::ValueRef;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// What an array's elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Element {
    Int,
    Real,
    Bool,
    Bytes,
    Date,
    Stamp,
    Instant,
    /// Whatever else, in the text that the type itself reads.
    Text,
}

impl Element {
    /// The elements in which values of this carrier are sent, where none is a misfit.
    pub(super) fn of(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Int => Element::Int,
            Carrier::Real => Element::Real,
            Carrier::Bool => Element::Bool,
            Carrier::Blob => Element::Bytes,
            Carrier::Date => Element::Date,
            Carrier::Stamp => Element::Stamp,
            Carrier::Instant => Element::Instant,
            Carrier::Text | Carrier::Decimal { .. } | Carrier::Unsigned | Carrier::Number => {
                Element::Text
            }
        }
    }

    /// The type's name in `pg_catalog`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Element::Int => "int8",
            Element::Real => "float8",
            Element::Bool => "bool",
            Element::Bytes => "bytea",
            Element::Date => "date",
            Element::Stamp => "timestamp",
            Element::Instant => "timestamptz",
            Element::Text => "text",
        }
    }

    /// The type's number and that of its array (`src/include/catalog/pg_type.dat`).
    fn oids(self) -> (u32, u32) {
        match self {
            Element::Int => (20, 1016),
            Element::Real => (701, 1022),
            Element::Bool => (16, 1000),
            Element::Bytes => (17, 1001),
            Element::Date => (1082, 1182),
            Element::Stamp => (1114, 1115),
            Element::Instant => (1184, 1185),
            Element::Text => (25, 1009),
        }
    }

    /// Appends a value's bytes; `None` for one that these elements can't say.
    fn push(self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Option<()> {
        match (self, value) {
            (Element::Int, ValueRef::Int(i)) => out.extend(i.to_be_bytes()),
            (Element::Real, ValueRef::Real(r)) => out.extend(r.to_bits().to_be_bytes()),
            (Element::Bool, ValueRef::Bool(truth)) => out.push(truth.into()),
            (Element::Bytes, ValueRef::Blob(bytes)) => out.extend(bytes),
            (Element::Date, ValueRef::Date(day)) => {
                out.extend(day.checked_sub(EPOCH_DAYS)?.to_be_bytes());
            }
            (Element::Stamp, ValueRef::Stamp(micros))
            | (Element::Instant, ValueRef::Instant(micros)) => {
                let epoch = i64::from(EPOCH_DAYS) * DAY_MICROS;
                out.extend(micros.checked_sub(epoch)?.to_be_bytes());
            }
            (Element::Date, ValueRef::Text(b"infinity")) => out.extend(i32::MAX.to_be_bytes()),
            (Element::Date, ValueRef::Text(b"-infinity")) => out.extend(i32::MIN.to_be_bytes()),
            (Element::Stamp | Element::Instant, ValueRef::Text(b"infinity")) => {
                out.extend(i64::MAX.to_be_bytes());
            }
            (Element::Stamp | Element::Instant, ValueRef::Text(b"-infinity")) => {
                out.extend(i64::MIN.to_be_bytes());
            }
            (Element::Text, value) => push_text(value, out),
            _ => return None,
        }
        Some(())
    }
}

/// A value in the text that its type reads; texts go as the bytes they are, which the server
/// checks.
fn push_text(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Text(bytes) => out.extend(bytes),
        value => out.extend(words(value).unwrap_or_default().as_bytes()),
    }
}

/// A column of values, ready to be bound.
#[derive(Clone, Debug)]
pub(super) struct Array {
    /// What its elements are; the SQL that takes it has to say so too.
    pub(super) element: Element,
    bytes: Vec<u8>,
}

impl Array {
    /// The array of `count` values: in the carrier's own elements, or, when some value can't be
    /// one of them, all in text.
    pub(super) fn of<'a>(
        carrier: Carrier,
        count: usize,
        value: impl Fn(usize) -> Result<ValueRef<'a>>,
    ) -> Result<Self> {
        for element in [Element::of(carrier), Element::Text] {
            if let Some(bytes) = in_elements(element, count, &value)? {
                return Ok(Self { element, bytes });
            }
        }
        Err(Error::failed("live: a value is larger than an array can hold"))
    }

    /// The size of the parameter.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// An array of these elements; `None` when a value can't be one of them.
fn in_elements<'a>(
    element: Element,
    count: usize,
    value: &impl Fn(usize) -> Result<ValueRef<'a>>,
) -> Result<Option<Vec<u8>>> {
    let (oid, _) = element.oids();
    let mut bytes = Vec::with_capacity(20 + count * 12);
    for word in [1, 1, oid, count as u32, 1] {
        bytes.extend(word.to_be_bytes());
    }
    for at in 0..count {
        let value = value(at)?;
        let start = bytes.len();
        bytes.extend((-1_i32).to_be_bytes());
        if value.is_null() {
            continue;
        }
        if element.push(value, &mut bytes).is_none() {
            return Ok(None);
        }
        let Ok(length) = i32::try_from(bytes.len() - start - 4) else { return Ok(None) };
        bytes[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(Some(bytes))
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(Element::Text.oids().1))
    }
}

impl Encode<'_, Postgres> for Array {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.element.oids().1)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_beyond_its_elements_turns_the_column_into_text() {
        let days = |values: &[ValueRef<'static>]| {
            Array::of(Carrier::Date, values.len(), |at| Ok(values[at])).unwrap()
        };
        let native = days(&[ValueRef::Date(10_957), ValueRef::Null, ValueRef::Text(b"infinity")]);
        assert_eq!(native.element, Element::Date);
        let cells = [[0, 0, 0, 4], [0; 4], [255; 4], [0, 0, 0, 4], [127, 255, 255, 255]];
        assert_eq!(native.bytes[20..], cells.concat());
        let text = days(&[ValueRef::Date(10_957), ValueRef::Text(b"5874898-01-01")]);
        assert_eq!(text.element, Element::Text);
        assert!(text.bytes.windows(10).any(|bytes| bytes == b"2000-01-01"));
    }
}
