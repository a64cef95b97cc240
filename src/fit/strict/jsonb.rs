//! The text that PostgreSQL prints for a `jsonb` (`jsonb_in` and `jsonb_out` of its source).
//!
//! Members are ordered by their names, shorter names first, then by bytes; of members of one
//! name the last is kept. A space follows each colon and comma. Numbers are printed as
//! `numeric`, strings with as few escapes as JSON allows.

use std::borrow::Cow;

use crate::fit::json_string::decode;
use crate::fit::strict::numeral::Numeral;

/// Deeper documents are refused; PostgreSQL's own bound is the depth of its stack.
const DEEPEST: usize = 1_000;

type Parsed<T = ()> = Result<T, String>;

/// Appends the canonical form of a JSON text that is UTF-8; an error's words when it is no
/// `jsonb`.
pub(super) fn canonical(text: &[u8], out: &mut Vec<u8>) -> Parsed {
    let mut reader = Reader { text, at: 0 };
    reader.value(out, 0)?;
    match reader.next_byte() {
        None => Ok(()),
        Some(_) => Err("more than one value".into()),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// A member of an object: its name, and where its text stands in the output.
struct Member<'a> {
    name: Cow<'a, [u8]>,
    start: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// The next byte that is no space, without going past it.
    fn next_byte(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Parsed {
        if depth > DEEPEST {
            return Err("nested too deep".into());
        }
        match self.next_byte() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.array(out, depth),
            Some(b'"') => self.string(out).map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                let rest = &self.text[self.at..];
                let words = ["true", "false", "null"];
                let word = words.iter().find(|word| rest.starts_with(word.as_bytes()));
                let word = word.ok_or("no value where one should be")?;
                out.extend_from_slice(word.as_bytes());
                self.at += word.len();
                Ok(())
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Parsed {
        self.at += 1;
        out.push(b'[');
        if self.next_byte() != Some(b']') {
            loop {
                self.value(out, depth + 1)?;
                match self.next_byte() {
                    Some(b',') => out.extend_from_slice(b", "),
                    Some(b']') => break,
                    _ => return Err("an array without an end".into()),
                }
                self.at += 1;
            }
        }
        self.at += 1;
        out.push(b']');
        Ok(())
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Parsed {
        self.at += 1;
        out.push(b'{');
        let begin = out.len();
        let mut members: Vec<Member<'a>> = Vec::new();
        if self.next_byte() != Some(b'}') {
            loop {
                if self.next_byte() != Some(b'"') {
                    return Err("a member without a name".into());
                }
                let start = out.len();
                let name = self.string(out)?;
                if self.next_byte() != Some(b':') {
                    return Err("a name without a value".into());
                }
                self.at += 1;
                out.extend_from_slice(b": ");
                self.value(out, depth + 1)?;
                members.push(Member { name, start, end: out.len() });
                match self.next_byte() {
                    Some(b',') => out.extend_from_slice(b", "),
                    Some(b'}') => break,
                    _ => return Err("an object without an end".into()),
                }
                self.at += 1;
            }
        }
        self.at += 1;
        if !members.is_sorted_by(|a, b| rank(a) < rank(b)) {
            arrange(members, begin, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends a string, and gives its text.
    fn string(&mut self, out: &mut Vec<u8>) -> Parsed<Cow<'a, [u8]>> {
        let begin = self.at + 1;
        let mut end = begin;
        let mut escaped = false;
        loop {
            match self.text.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    let known = self.text.get(end + 1).is_some_and(|b| b"\"\\/bfnrtu".contains(b));
                    if !known {
                        return Err("an escape that JSON lacks".into());
                    }
                    end += 2;
                }
                Some(0..0x20) => return Err("a control character in a string".into()),
                Some(_) => end += 1,
                None => return Err("a string without an end".into()),
            }
        }
        let raw = &self.text[begin..end];
        self.at = end + 1;
        out.push(b'"');
        let text = if escaped {
            let mut text = Vec::with_capacity(raw.len());
            decode(raw, &mut text)?;
            escape(&text, out)?;
            Cow::Owned(text)
        } else {
            out.extend_from_slice(raw);
            Cow::Borrowed(raw)
        };
        out.push(b'"');
        Ok(text)
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Parsed {
        let rest = &self.text[self.at..];
        let inside = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let token = &rest[..rest.iter().take_while(|b| inside(b)).count()];
        self.at += token.len();
        let digits = token.strip_prefix(b"-").unwrap_or(token);
        let whole = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let pointless = digits.get(whole) == Some(&b'.')
            && !digits.get(whole + 1).is_some_and(u8::is_ascii_digit);
        if whole == 0 || whole > 1 && digits[0] == b'0' || pointless {
            return Err("a number that JSON lacks".into());
        }
        let numeral = Numeral::parse(token).ok_or("a number that JSON lacks")?;
        numeral
            .write(numeral.scale().min(16_383), 131_072, out)
            .ok_or_else(|| "a number of more digits than numeric has".into())
    }
}

fn rank<'m>(member: &'m Member<'_>) -> (usize, &'m [u8]) {
    (member.name.len(), &member.name)
}

/// Puts the members that stand in `out` from `begin` on in their order.
fn arrange(mut members: Vec<Member<'_>>, begin: usize, out: &mut Vec<u8>) {
    let text = out.split_off(begin);
    members.sort_by(|a, b| rank(a).cmp(&rank(b)));
    for (place, member) in members.iter().enumerate() {
        if members.get(place + 1).is_some_and(|next| next.name == member.name) {
            continue;
        }
        if out.len() > begin {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(&text[member.start - begin..member.end - begin]);
    }
}

/// Appends a text with PostgreSQL's escapes (`escape_json`).
fn escape(text: &[u8], out: &mut Vec<u8>) -> Parsed {
    for byte in text {
        match byte {
            0 => return Err("a NUL character in a string".into()),
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    Ok(())
}
