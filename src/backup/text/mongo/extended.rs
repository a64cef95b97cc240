//! Values of BSON as canonical extended JSON, without spaces: what `bsondump` prints.
//!
//! Specification: "MongoDB Extended JSON (v2)", section "Conversion table". Doubles are written as
//! MongoDB's own tools do, in the form of Go's `FormatFloat(f, 'G', -1, 64)`.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::oid::ObjectId;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};

/// How deep values may be nested: twice as deep as MongoDB lets them.
const MAX_NESTING: usize = 200;

/// Appends a value; an error's words, behind "is", when its bytes are none.
pub(super) fn write(value: RawBsonRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    nested(value, MAX_NESTING, out)
}

fn nested(value: RawBsonRef<'_>, levels: usize, out: &mut Vec<u8>) -> Result<(), String> {
    // A vector takes all that is written to it.
    let mut put = |text: std::fmt::Arguments<'_>| drop(out.write_fmt(text));
    match value {
        RawBsonRef::Null => put(format_args!("null")),
        RawBsonRef::Boolean(truth) => put(format_args!("{truth}")),
        RawBsonRef::Int32(i) => put(format_args!(r#"{{"$numberInt":"{i}"}}"#)),
        RawBsonRef::Int64(i) => put(format_args!(r#"{{"$numberLong":"{i}"}}"#)),
        RawBsonRef::Double(r) => put(format_args!(r#"{{"$numberDouble":"{}"}}"#, shortest(r))),
        RawBsonRef::Decimal128(d) => put(format_args!(r#"{{"$numberDecimal":"{d}"}}"#)),
        RawBsonRef::ObjectId(id) => put(format_args!(r#"{{"$oid":"{}"}}"#, id.to_hex())),
        RawBsonRef::DateTime(at) => {
            let millis = at.timestamp_millis();
            put(format_args!(r#"{{"$date":{{"$numberLong":"{millis}"}}}}"#));
        }
        RawBsonRef::Timestamp(at) => {
            let (time, increment) = (at.time, at.increment);
            put(format_args!(r#"{{"$timestamp":{{"t":{time},"i":{increment}}}}}"#));
        }
        RawBsonRef::Binary(binary) => {
            let (bytes, subtype) = (STANDARD.encode(binary.bytes), u8::from(binary.subtype));
            put(format_args!(r#"{{"$binary":{{"base64":"{bytes}","subType":"{subtype:02x}"}}}}"#));
        }
        RawBsonRef::MinKey => put(format_args!(r#"{{"$minKey":1}}"#)),
        RawBsonRef::MaxKey => put(format_args!(r#"{{"$maxKey":1}}"#)),
        RawBsonRef::Undefined => put(format_args!(r#"{{"$undefined":true}}"#)),
        RawBsonRef::String(text) => string(text, out)?,
        RawBsonRef::Symbol(text) => marked(b"{\"$symbol\":", text, b"}", out)?,
        RawBsonRef::JavaScriptCode(code) => marked(b"{\"$code\":", code, b"}", out)?,
        RawBsonRef::JavaScriptCodeWithScope(code) => {
            marked(b"{\"$code\":", code.code, b",\"$scope\":", out)?;
            document(code.scope, levels, out)?;
            out.push(b'}');
        }
        RawBsonRef::RegularExpression(regex) => {
            let pattern = regex.pattern.as_str();
            marked(b"{\"$regularExpression\":{\"pattern\":", pattern, b",\"options\":", out)?;
            marked(b"", regex.options.as_str(), b"}}", out)?;
        }
        pointer @ RawBsonRef::DbPointer(_) => {
            let (namespace, id) = pointed(pointer)?;
            marked(b"{\"$dbPointer\":{\"$ref\":", &namespace, b"", out)?;
            let _ = write!(out, r#","$id":{{"$oid":"{}"}}}}}}"#, id.to_hex());
        }
        RawBsonRef::Document(inner) => document(inner, levels, out)?,
        RawBsonRef::Array(items) => {
            let levels = below(levels)?;
            out.push(b'[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                nested(item.map_err(|e| words(&e))?, levels, out)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

fn document(inner: &RawDocument, levels: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let levels = below(levels)?;
    out.push(b'{');
    for (index, member) in inner.iter().enumerate() {
        let (name, value) = member.map_err(|e| words(&e))?;
        marked(if index > 0 { b"," } else { b"" }, name.as_str(), b":", out)?;
        nested(value, levels, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// The levels that are left in a nested value.
fn below(levels: usize) -> Result<usize, String> {
    levels.checked_sub(1).ok_or_else(|| format!("nested more than {MAX_NESTING} deep"))
}

/// Appends a string between two texts.
fn marked(before: &[u8], text: &str, behind: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    out.extend_from_slice(before);
    string(text, out)?;
    out.extend_from_slice(behind);
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(out, text).map_err(|e| e.to_string())
}

/// The shortest digits that mean the double, with an exponent below -4 and from 6 on.
fn shortest(r: f64) -> String {
    if !r.is_finite() {
        let sign = if r == f64::NEG_INFINITY { "-" } else { "" };
        return if r.is_nan() { "NaN".into() } else { format!("{sign}Infinity") };
    }
    let text = format!("{r:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.parse().unwrap_or(0) {
        -4..6 if r.fract() == 0.0 => format!("{r}.0"),
        -4..6 => r.to_string(),
        exponent @ 6.. => format!("{digits}E+{exponent:02}"),
        exponent => format!("{digits}E-{:02}", -exponent),
    }
}

/// The parts of a pointer to a document, a type that MongoDB gave up: the library only shows
/// them as they stand in a document.
///
/// ```text
/// int32 length | 0x0c | "p\0" | int32 length | namespace | 0 | ObjectId
/// ```
fn pointed(pointer: RawBsonRef<'_>) -> Result<(String, ObjectId), String> {
    let mut holder = RawDocumentBuf::new();
    holder.append(cstr!("p"), pointer);
    let parts = holder.as_bytes().get(11..).and_then(|bytes| {
        let (rest, id) = bytes.strip_suffix(&[0])?.split_last_chunk::<12>()?;
        let namespace = String::from_utf8(rest.strip_suffix(&[0])?.to_vec()).ok()?;
        Some((namespace, ObjectId::from_bytes(*id)))
    });
    parts.ok_or_else(|| "a pointer to a document that is none".into())
}

fn words(e: &bson::error::Error) -> String {
    format!("no value of BSON ({e})")
}
