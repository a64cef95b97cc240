//! Decimal numerals as text, of any length, exactly.
//!
//! ```text
//! numeral := spaces [+-] (digits [. digits*] | . digits) [e [+-] digits] spaces
//! ```

use crate::fit::affinity::trim;

/// A numeral: `whole.fraction` times ten to the power of `exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numeral<'a> {
    /// The text without the spaces around it.
    pub(super) text: &'a str,
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
    /// It is written with a point or an exponent, as floats are.
    pub(super) pointed: bool,
}

/// A larger exponent is of no type (PostgreSQL's numeric ends at 131,072 digits).
const MOST_EXPONENT: i32 = 200_000;

impl<'a> Numeral<'a> {
    /// Reads a whole text; `None` when it is no numeral.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = trim(text);
        let unsigned = match text {
            [b'+' | b'-', rest @ ..] => rest,
            _ => text,
        };
        let (whole, rest) = unsigned.split_at(digits(unsigned));
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => rest.split_at(digits(rest)),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => {
                let power = rest.strip_prefix(b"+").unwrap_or(rest);
                let power = std::str::from_utf8(power).ok()?.parse::<i32>().ok()?;
                (-MOST_EXPONENT..=MOST_EXPONENT).contains(&power).then_some(power)?
            }
            _ => return None,
        };
        Some(Self {
            text: std::str::from_utf8(text).ok()?,
            negative: text[0] == b'-',
            whole,
            fraction,
            exponent,
            pointed: whole.len() != unsigned.len(),
        })
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> + Clone + 'a {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }

    /// True for 0, whatever its sign.
    pub(super) fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == 0)
    }

    /// True for a number below 0.
    pub(super) fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    /// The number as digits of which `scale` stand behind the point; `None` when it has
    /// more of them, or more than 38 digits in all.
    pub(super) fn scaled(&self, scale: i32) -> Option<i128> {
        let zeros = self.digits().rev().take_while(|digit| *digit == 0).count();
        let count = self.whole.len() + self.fraction.len();
        if zeros == count {
            return Some(0);
        }
        let shift = self.exponent - self.fraction.len() as i32 + zeros as i32 + scale;
        let mut value: i128 = 0;
        for digit in self.digits().take(count - zeros) {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
        }
        for _ in 0..u32::try_from(shift).ok()? {
            value = value.checked_mul(10)?;
        }
        Some(if self.negative { -value } else { value })
    }

    /// How many digits stand behind the point in PostgreSQL's `numeric` of this text.
    pub(super) fn scale(&self) -> usize {
        usize::try_from(self.fraction.len() as i32 - self.exponent).unwrap_or(0)
    }

    /// Appends the number without exponent, with exactly `scale` digits behind the point;
    /// `None`, and nothing appended, when that would cut digits or there are more than
    /// `most` before the point.
    pub(super) fn write(&self, scale: usize, most: usize, out: &mut Vec<u8>) -> Option<()> {
        let zeros = self.digits().take_while(|digit| *digit == 0).count();
        let digits: Vec<u8> = self.digits().skip(zeros).map(|digit| b'0' + digit).collect();
        // The point stands behind so many of `digits`.
        let point = self.whole.len() as i32 + self.exponent - zeros as i32;
        let held = i32::try_from(scale).ok()? + point;
        let (kept, cut) = digits.split_at(digits.len().min(usize::try_from(held).unwrap_or(0)));
        if cut.iter().any(|digit| *digit != b'0') || point > most as i32 && !digits.is_empty() {
            return None;
        }
        if self.negative && !digits.is_empty() {
            out.push(b'-');
        }
        let point = if digits.is_empty() { 0 } else { point };
        let before = usize::try_from(point).unwrap_or(0);
        let mut places = (0..before).map(|place| kept.get(place).copied().unwrap_or(b'0'));
        match before {
            0 => out.push(b'0'),
            _ => out.extend(&mut places),
        }
        if scale > 0 {
            out.push(b'.');
            let lead = usize::try_from(-point).unwrap_or(0).min(scale);
            out.extend(std::iter::repeat_n(b'0', lead));
            let rest = kept.get(before..).unwrap_or_default();
            out.extend_from_slice(rest);
            out.extend(std::iter::repeat_n(b'0', (scale - lead).saturating_sub(rest.len())));
        }
        Some(())
    }
}

fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|b| b.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, scale: Option<usize>) -> Option<String> {
        let numeral = Numeral::parse(text.as_bytes())?;
        let mut out = Vec::new();
        numeral.write(scale.unwrap_or_else(|| numeral.scale()), 40, &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn numerals_are_written_as_postgres_writes_them() {
        for (text, plain) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("007", "7"),
            (" +1.50 ", "1.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.5e1", "15"),
            ("1.50e1", "15.0"),
            ("-12e-3", "-0.012"),
            ("0e5", "0"),
            ("0.0e-2", "0.000"),
            ("1E+2", "100"),
            ("00.00120", "0.00120"),
        ] {
            assert_eq!(written(text, None).as_deref(), Some(plain), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "1e+", "1 2", "0x1", "NaN", "1e999999", "1e5.0"] {
            assert!(Numeral::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn t7_a_scale_never_cuts_a_digit() {
        assert_eq!(written("1.500", Some(2)).as_deref(), Some("1.50"));
        assert_eq!(written("1.005", Some(2)), None);
        assert_eq!(written("0.001", Some(2)), None);
        assert_eq!(written("0.000", Some(2)).as_deref(), Some("0.00"));
        assert_eq!(written("1e-9", Some(9)).as_deref(), Some("0.000000001"));
        assert_eq!(written("1e39", Some(0)).as_deref().map(str::len), Some(40));
        assert_eq!(written("1e40", Some(0)), None);
        let scaled = |text: &str, scale| Numeral::parse(text.as_bytes()).unwrap().scaled(scale);
        assert_eq!(scaled("1.5", 2), Some(150));
        assert_eq!(scaled("-1.50", 2), Some(-150));
        assert_eq!(scaled("1.005", 2), None);
        assert_eq!(scaled("1500", -2), Some(15));
        assert_eq!(scaled("1550", -2), None);
        assert_eq!(scaled("1e38", 0), Some(10_i128.pow(38)));
        assert_eq!(scaled("1e39", 0), None);
        assert_eq!(scaled("0e-100", 0), Some(0));
    }
}
