//! JSON's grammar (RFC 8259) over bytes that may end too early: where an object, its members
//! and their values begin and end. Nothing is decoded here.

use std::ops::Range;

use crate::backup::text::window::Stop;

/// A member of an object, as ranges of its bytes. Strings are without their quotes.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Range<usize>,
    pub(super) name_escaped: bool,
    pub(super) value: Range<usize>,
    pub(super) token: Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::backup) enum Token {
    Null,
    True,
    False,
    Number,
    String { escaped: bool },
    Nested,
}

pub(in crate::backup) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub(in crate::backup) fn shown(byte: u8) -> String {
    match byte {
        0x21..=0x7e => format!("'{}'", char::from(byte)),
        _ => format!("the byte 0x{byte:02x}"),
    }
}

fn spaces(bytes: &[u8], mut at: usize) -> Result<(usize, u8), Stop> {
    loop {
        match bytes.get(at) {
            Some(&byte) if is_space(byte) => at += 1,
            Some(&byte) => return Ok((at, byte)),
            None => return Err(Stop::More),
        }
    }
}

/// Cuts the object at the start of `bytes` into members; its length.
pub(super) fn object(
    bytes: &[u8],
    members: &mut Vec<Member>,
    nesting: &mut Vec<u8>,
) -> Result<usize, Stop> {
    let (mut at, byte) = spaces(bytes, 1)?;
    if byte == b'}' {
        return Ok(at + 1);
    }
    loop {
        let (end, name_escaped) = member_name(bytes, at)?;
        let name = at + 1..end - 1;
        let (colon, byte) = spaces(bytes, end)?;
        if byte != b':' {
            return Stop::bad(colon, format!("{} where a ':' should be", shown(byte)));
        }
        let (begin, _) = spaces(bytes, colon + 1)?;
        let (end, token) = match bytes[begin] {
            b'{' | b'[' => (nested(bytes, begin, nesting)?, Token::Nested),
            _ => scalar(bytes, begin)?,
        };
        let value = match token {
            Token::String { .. } => begin + 1..end - 1,
            _ => begin..end,
        };
        members.push(Member { name, name_escaped, value, token });
        let (next, byte) = spaces(bytes, end)?;
        match byte {
            b',' => at = spaces(bytes, next + 1)?.0,
            b'}' => return Ok(next + 1),
            _ => return Stop::bad(next, format!("{} behind a value", shown(byte))),
        }
    }
}

fn member_name(bytes: &[u8], at: usize) -> Result<(usize, bool), Stop> {
    match bytes[at] {
        b'"' => string(bytes, at),
        byte => Stop::bad(at, format!("{} where a name should be", shown(byte))),
    }
}

/// The end of the string that begins at `at`, and whether it has escapes.
pub(super) fn string(bytes: &[u8], at: usize) -> Result<(usize, bool), Stop> {
    let mut at = at + 1;
    let mut escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok((at + 1, escaped)),
            Some(b'\\') => {
                escaped = true;
                at += match bytes.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                    Some(b'u') => match bytes.get(at + 2..at + 6) {
                        None => return Err(Stop::More),
                        Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => 6,
                        Some(_) => return Stop::bad(at, "a torn escape in a string"),
                    },
                    Some(_) => return Stop::bad(at, "an escape that JSON lacks"),
                    None => return Err(Stop::More),
                };
            }
            Some(0..0x20) => return Stop::bad(at, "a control character in a string"),
            Some(_) => at += 1,
            None => return Err(Stop::More),
        }
    }
}

/// The end and the kind of the value, not nested, that begins at `at`.
pub(in crate::backup) fn scalar(bytes: &[u8], at: usize) -> Result<(usize, Token), Stop> {
    let word = |word: &[u8], token| match bytes[at..].get(..word.len()) {
        Some(found) if found == word => Ok((at + word.len(), token)),
        None if word.starts_with(&bytes[at..]) => Err(Stop::More),
        _ => Stop::bad(at, "a word that is no JSON value"),
    };
    match bytes[at] {
        b'"' => string(bytes, at).map(|(end, escaped)| (end, Token::String { escaped })),
        b'-' | b'0'..=b'9' => number(bytes, at).map(|end| (end, Token::Number)),
        b'n' => word(b"null", Token::Null),
        b't' => word(b"true", Token::True),
        b'f' => word(b"false", Token::False),
        b'N' | b'I' => Stop::bad(at, "NaN or Infinity, which JSON lacks"),
        byte => Stop::bad(at, format!("{} where a value should be", shown(byte))),
    }
}

/// The end of the number that begins at `at`.
fn number(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let digits = |mut at: usize| {
        let begin = at;
        loop {
            match bytes.get(at) {
                Some(b'0'..=b'9') => at += 1,
                Some(_) if at == begin => return Stop::bad(at, "a number without a digit"),
                Some(_) => return Ok(at),
                None => return Err(Stop::More),
            }
        }
    };
    let whole = at + usize::from(bytes[at] == b'-');
    let mut end = digits(whole)?;
    if bytes[whole] == b'0' && end > whole + 1 {
        return Stop::bad(whole, "a number with a leading zero, which JSON lacks");
    }
    if bytes[end] == b'.' {
        end = digits(end + 1)?;
    }
    if let b'e' | b'E' = bytes[end] {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Ok(end)
}

/// The end of the array or object that begins at `at`. It keeps a stack of its own
/// (`nesting`, to spare the allocation), so depth costs no call.
pub(in crate::backup) fn nested(
    bytes: &[u8],
    mut at: usize,
    nesting: &mut Vec<u8>,
) -> Result<usize, Stop> {
    nesting.clear();
    loop {
        // A value begins at `at`.
        let open = bytes[at];
        let mut end = match open {
            b'{' | b'[' => {
                let (next, byte) = spaces(bytes, at + 1)?;
                if byte != open + 2 {
                    nesting.push(open);
                    at = if open == b'{' { member_value(bytes, next)? } else { next };
                    continue;
                }
                next + 1
            }
            _ => scalar(bytes, at)?.0,
        };
        loop {
            // A value ended at `end`.
            let Some(&open) = nesting.last() else { return Ok(end) };
            let (next, byte) = spaces(bytes, end)?;
            if byte == b',' {
                let (next, _) = spaces(bytes, next + 1)?;
                at = if open == b'{' { member_value(bytes, next)? } else { next };
                break;
            }
            if byte != open + 2 {
                return Stop::bad(next, format!("{} behind a value", shown(byte)));
            }
            nesting.pop();
            end = next + 1;
        }
    }
}

/// Where the value of the member that begins at `at` begins.
fn member_value(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    let (end, _) = member_name(bytes, at)?;
    match spaces(bytes, end)? {
        (colon, b':') => Ok(spaces(bytes, colon + 1)?.0),
        (at, byte) => Stop::bad(at, format!("{} where a ':' should be", shown(byte))),
    }
}
