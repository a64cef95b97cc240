//! Values of MongoDB as cells, from BSON and from extended JSON alike.
//!
//! ```text
//! BSON type           extended JSON                    cell
//! ObjectId            {"$oid":"507f.."}                Id, its 24 hexadecimal digits
//! date                {"$date":..}                     Moment, 2024-02-29T23:59:59.123Z
//! int32, int64        {"$numberInt"|"$numberLong":..}  Number
//! double              {"$numberDouble":..}             OwnReal; NaN is Digits
//! Decimal128          {"$numberDecimal":..}            Digits
//! binary              {"$binary":{..}}                 OwnBlob; a UUID (subtype 4) is Id
//! string, boolean     ".." true false                  Str, True, False
//! null                null                             NULL
//! all others, nested  canonical extended JSON          Nested
//! ```
//!
//! Only what stands right in a document becomes a plain value; what is nested stays the text of
//! extended JSON. Specifications: "BSON", version 1.1; "MongoDB Extended JSON (v2)".

pub(in crate::backup) mod bson;
mod extended;
pub(super) mod marks;

use std::io::Write;

use ::bson::Decimal128;

use crate::fit::cell::Tag;
use crate::fit::moment::Moment;
use crate::model::calendar::civil;
use crate::model::table::{Fraction, TimeForm, Zone};

fn integer(value: i64, out: &mut Vec<u8>) -> Tag {
    // A vector takes all that is written to it, here and below.
    let _ = write!(out, "{value}");
    Tag::Number
}

/// NaN goes as the databases write it that have one.
fn double(value: f64, out: &mut Vec<u8>) -> Tag {
    let _ = write!(out, "{value:?}");
    if value.is_nan() { Tag::Digits } else { Tag::OwnReal }
}

fn decimal(value: Decimal128, out: &mut Vec<u8>) -> Tag {
    let _ = write!(out, "{value}");
    Tag::Digits
}

/// A moment in UTC. Years that have not four digits are written as ISO 8601 extends it, which
/// no column of moments takes.
fn moment(value: Moment, out: &mut Vec<u8>) -> Tag {
    let digits = if value.nanos == 0 { 0 } else { 3 };
    let fraction = Fraction::Fixed(digits);
    let form = TimeForm { separator: Some('T'), fraction, zone: Zone::Zulu };
    if value.write(&form, out).is_none() {
        let (year, month, day) = civil(value.seconds.div_euclid(86_400));
        let second = value.seconds.rem_euclid(86_400);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        let sign = if year < 0 { '-' } else { '+' };
        let year = year.unsigned_abs();
        let _ = write!(out, "{sign}{year:06}-{month:02}-{day:02}T{hour:02}:{minute:02}");
        let _ = write!(out, ":{:02}.{:03}Z", second % 60, value.nanos / 1_000_000);
    }
    Tag::Moment
}

/// A date: milliseconds since 1970.
fn date(millis: i64, out: &mut Vec<u8>) -> Tag {
    moment(Moment::of(millis, 1_000), out)
}

/// Bytes of a subtype of BSON's binary.
fn binary(subtype: u8, bytes: &[u8], out: &mut Vec<u8>) -> Tag {
    match (subtype, bytes.len()) {
        (UUID, 16) => {
            for (index, byte) in bytes.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                let _ = write!(out, "{byte:02x}");
            }
            Tag::Id
        }
        _ => {
            out.extend_from_slice(bytes);
            Tag::OwnBlob
        }
    }
}

/// The subtype of UUIDs whose bytes stand in the order of their digits.
const UUID: u8 = 4;

#[cfg(test)]
mod tests;
