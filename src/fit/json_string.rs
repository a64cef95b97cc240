//! JSON strings: their escapes decoded (RFC 8259, section 7).

/// Appends the text of a string without its quotes, whose grammar was checked; an error's
/// words when it is no text.
pub fn decode(mut raw: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    while let Some(at) = raw.iter().position(|b| *b == b'\\') {
        out.extend_from_slice(&raw[..at]);
        let escape = raw.get(at + 1).copied().unwrap_or(b'\\');
        raw = &raw[(at + 2).min(raw.len())..];
        out.push(match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = unit(raw)?;
                raw = &raw[4..];
                let code = match unit {
                    0xd800..=0xdbff => {
                        let low = match raw {
                            [b'\\', b'u', rest @ ..] => self::unit(rest)?,
                            _ => 0,
                        };
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err(lone(unit));
                        }
                        raw = &raw[6..];
                        0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                let character = char::from_u32(code).ok_or_else(|| lone(unit))?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
    out.extend_from_slice(raw);
    Ok(())
}

fn lone(unit: u32) -> String {
    format!("a string with half a surrogate pair (\\u{unit:04x}), which is no text")
}

/// The UTF-16 unit of four hexadecimal digits.
fn unit(raw: &[u8]) -> Result<u32, String> {
    let digits = raw.first_chunk::<4>().ok_or("a torn escape in a string")?;
    digits.iter().try_fold(0, |unit, digit| {
        Ok(unit << 4 | hex_digit(*digit).ok_or("a torn escape in a string")?)
    })
}

/// The value of a hexadecimal digit.
pub fn hex_digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}
