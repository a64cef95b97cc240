//! The text forms of PostgreSQL's bytea.

use memchr::memchr;

use crate::model::value::push_unhex;

/// Appends what a bytea's text stands for: `\x` and hexadecimal digits, or the escape
/// format of `bytea_output = escape` (PostgreSQL "Binary Data Types", section 8.4).
pub fn bytea(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if let [b'\\', b'x', digits @ ..] = text {
        if digits.len() % 2 != 0 {
            return Err("an odd number of hexadecimal digits".into());
        }
        return push_unhex(digits, out).ok_or_else(|| "digits that are not hexadecimal".into());
    }
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        match &rest[at + 1..] {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return Err("bytes with an escape that is none".into()),
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}
