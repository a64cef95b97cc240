//! Learning in which text form a column writes its moments, from a sample.
//!
//! ```text
//! 2026-03-10                        a date
//! 2026-03-10 06:00:00               separator ' ' or 'T'
//! 2026-03-10T06:00:00.123456Z       a fraction of 1 to 9 digits, a zone Z or +00:00
//! ```

use crate::model::table::{Fraction, TimeForm, Zone};

/// One text's form.
struct Seen {
    separator: Option<char>,
    /// Digits of the fraction.
    digits: u8,
    /// It has a fraction, and that is zero.
    zeros: bool,
    zone: Zone,
}

impl TimeForm {
    /// The one form of all these texts; `None` when a text is no moment, when they differ
    /// in form, or when there are none.
    pub fn learn<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<TimeForm> {
        let mut texts = texts.into_iter();
        let first = seen(texts.next()?)?;
        let (mut fewest, mut most, mut zeros) = (first.digits, first.digits, first.zeros);
        for text in texts {
            let next = seen(text)?;
            let other_digits = next.digits != first.digits && ![0, 6].contains(&next.digits);
            if (next.separator, next.zone) != (first.separator, first.zone) || other_digits {
                return None;
            }
            fewest = fewest.min(next.digits);
            most = most.max(next.digits);
            zeros |= next.zeros;
        }
        let fraction = match (fewest, most) {
            (0, 6) if !zeros => Fraction::SixUnlessZero,
            (a, b) if a == b => Fraction::Fixed(a),
            _ => return None,
        };
        Some(TimeForm { separator: first.separator, fraction, zone: first.zone })
    }
}

fn seen(text: &str) -> Option<Seen> {
    let (date, rest) = text.as_bytes().split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    chrono::NaiveDate::from_ymd_opt(year as i32, month, day)?;
    if rest.is_empty() {
        return Some(Seen { separator: None, digits: 0, zeros: false, zone: Zone::None });
    }
    let (time, rest) = rest.split_at_checked(9)?;
    let [separator @ (b' ' | b'T'), h1, h2, b':', m1, m2, b':', s1, s2] = *time else {
        return None;
    };
    let inside = number(&[h1, h2])? < 24 && number(&[m1, m2])? < 60 && number(&[s1, s2])? < 60;
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            rest.split_at(digits)
        }
        None => (&b""[..], rest),
    };
    let zone = match rest {
        b"" => Zone::None,
        b"Z" => Zone::Zulu,
        b"+00:00" => Zone::Offset,
        _ => return None,
    };
    inside.then_some(Seen {
        separator: Some(char::from(separator)),
        digits: fraction.len() as u8,
        zeros: !fraction.is_empty() && fraction.iter().all(|d| *d == b'0'),
        zone,
    })
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(texts: &[&str]) -> Option<(Option<char>, Fraction, Zone)> {
        TimeForm::learn(texts.iter().copied()).map(|f| (f.separator, f.fraction, f.zone))
    }

    #[test]
    fn a_form_is_learnt_only_when_every_text_has_it() {
        let six = "2026-03-10 06:00:00.123456";
        let plain = "2026-03-10 06:00:00";
        for (texts, form) in [
            (&["2026-03-10", "2026-12-31"][..], Some((None, Fraction::Fixed(0), Zone::None))),
            (&[plain, plain], Some((Some(' '), Fraction::Fixed(0), Zone::None))),
            (&[six, six], Some((Some(' '), Fraction::Fixed(6), Zone::None))),
            (&[six, plain], Some((Some(' '), Fraction::SixUnlessZero, Zone::None))),
            (&[plain, six], Some((Some(' '), Fraction::SixUnlessZero, Zone::None))),
            (&["2026-03-10T06:00:00.5Z"], Some((Some('T'), Fraction::Fixed(1), Zone::Zulu))),
            (
                &["2026-03-10T06:00:00.123+00:00"],
                Some((Some('T'), Fraction::Fixed(3), Zone::Offset)),
            ),
            (&[], None),
            (&[""], None),
            (&["2026-02-30"], None),
            (&["2026-03-10 24:00:00"], None),
            (&["2026-03-10 06:00"], None),
            (&["2026-03-10 06:00:00."], None),
            (&["2026-03-10 06:00:00.1234567890"], None),
            (&["2026-03-10 06:00:00+01:00"], None),
            (&["2026-03-10x06:00:00"], None),
            (&["2026-03-1０"], None),
            (&["2026-03-10", plain], None),
            (&[plain, "2026-03-10T06:00:00"], None),
            (&[plain, "2026-03-10 06:00:00.000000"], None),
            (&["2026-03-10 06:00:00.000000", plain], None),
            (&[plain, "2026-03-10 06:00:00.123"], None),
            (&["hello", plain], None),
        ] {
            assert_eq!(learned(texts), form, "{texts:?}");
        }
    }
}
