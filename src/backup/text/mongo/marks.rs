//! The marks of extended JSON in a file that `mongoexport` or `bsondump` wrote.
//!
//! ```text
//! {"$oid":"507f.."}  {"$uuid":".."}           {"$date":".."} or {"$date":{"$numberLong":".."}}
//! {"$numberInt":".."}  {"$numberLong":".."}   {"$numberDouble":".."}  {"$numberDecimal":".."}
//! {"$binary":{"base64":"..","subType":"00"}}  and of version 1: {"$binary":"..","$type":"00"}
//! ```
//!
//! An object is a mark when it has just these members; one with their names and other values
//! is an error, since no tool of MongoDB writes it. The marks that are not listed stay nested
//! values. Specification: "MongoDB Extended JSON (v2)".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::Decimal128;
use serde_json::{Map, Value};

use crate::backup::text::mongo::{binary, date, decimal, double, integer, moment};
use crate::fit::cell::Tag;
use crate::fit::moment::{Moment, parse};

/// Reads a nested value without spaces. `None`: it is no mark of a plain value. An error's words, behind
/// "is", for a mark that means nothing.
pub(in crate::backup::text) fn read(
    compact: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<Tag>, String> {
    if !compact.starts_with(b"{\"$") {
        return Ok(None);
    }
    // Deep nesting is no mark, and is not gone into.
    let Ok(Value::Object(members)) = serde_json::from_slice(compact) else { return Ok(None) };
    let Some((name, value)) = members.iter().next() else { return Ok(None) };
    let lone = members.len() == 1;
    let read = match (name.as_str(), value) {
        ("$oid", Value::String(text)) if lone => id(text, &[24], out),
        ("$uuid", Value::String(text)) if lone => id(text, &[8, 4, 4, 4, 12], out),
        ("$date", value) if lone => when(value, out),
        ("$numberInt", Value::String(text)) if lone => {
            text.parse::<i32>().ok().map(|i| integer(i.into(), out))
        }
        ("$numberLong", Value::String(text)) if lone => text.parse().ok().map(|i| integer(i, out)),
        ("$numberDouble", Value::String(text)) if lone => {
            float(text).map(|value| double(value, out))
        }
        ("$numberDecimal", Value::String(text)) if lone => {
            text.parse::<Decimal128>().ok().map(|value| decimal(value, out))
        }
        ("$binary", value) if members.len() <= 2 => bytes(value, &members, out),
        (name, _) if lone && MARKS.contains(&name) => None,
        _ => return Ok(None),
    };
    match read {
        Some(tag) => Ok(Some(tag)),
        None => Err(format!("a {name} that means nothing")),
    }
}

const MARKS: [&str; 6] =
    ["$oid", "$uuid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"];

/// Hexadecimal digits in groups of these lengths, with a `-` between them.
fn id(text: &str, groups: &[usize], out: &mut Vec<u8>) -> Option<Tag> {
    let found = text.split('-').map(str::len);
    let hex = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (hex && found.eq(groups.iter().copied())).then(|| {
        out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
        Tag::Id
    })
}

/// A date as text, or as milliseconds since 1970.
fn when(value: &Value, out: &mut Vec<u8>) -> Option<Tag> {
    let millis = match value {
        Value::String(text) => {
            let parsed = parse(text.as_bytes())?;
            parsed.offset?;
            let at: Moment = parsed.utc();
            return at.nanos.is_multiple_of(1_000_000).then(|| moment(at, out));
        }
        Value::Number(number) => number.as_i64()?,
        Value::Object(members) if members.len() == 1 => {
            members.get("$numberLong")?.as_str()?.parse().ok()?
        }
        _ => return None,
    };
    Some(date(millis, out))
}

fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust's own words for these are none of JSON's.
        _ if text.bytes().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E')) => None,
        _ => text.parse().ok(),
    }
}

fn bytes(value: &Value, members: &Map<String, Value>, out: &mut Vec<u8>) -> Option<Tag> {
    let (base64, subtype) = match value {
        Value::String(base64) if members.len() == 2 => (base64.as_str(), members.get("$type")?),
        Value::Object(inner) if members.len() == 1 && inner.len() == 2 => {
            (inner.get("base64")?.as_str()?, inner.get("subType")?)
        }
        _ => return None,
    };
    let subtype = subtype.as_str().filter(|digits| matches!(digits.len(), 1 | 2))?;
    let subtype = u8::from_str_radix(subtype, 16).ok()?;
    let bytes = STANDARD.decode(base64).ok()?;
    Some(binary(subtype, &bytes, out))
}
