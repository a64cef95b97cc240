//! What a backup lost of a column's values before it was a backup: digits of moments, the ends of
//! long texts, NULLs. Files of other programs have such habits; a difference that is nothing but
//! the loss is no change of the row.
//!
//! A loss is told by pairs: enough of them must differ just so, and none, the equal ones
//! included, may show that the backup could hold more.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fit::moment::{Moment, parse};
use crate::model::table::Column;
use crate::model::value::ValueRef;

/// Fewer pairs than these are chance.
const PAIRS: u64 = 3;

/// A limit on texts that is shorter than this is taken for an edit.
const SHORTEST: usize = 16;

/// How a backup's column differs from what it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Moments have so many digits of a second's fraction: 0 or 3.
    Digits(u8),
    /// Texts end after so many characters.
    Cut(u32),
    /// NULL is an empty text.
    Empty,
    /// Numbers of single precision have six digits.
    Single,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Digits(0) => f.write_str("moments cut to whole seconds"),
            Loss::Digits(_) => f.write_str("moments cut to milliseconds"),
            Loss::Cut(most) => write!(f, "texts cut after {most} characters"),
            Loss::Empty => f.write_str("empty texts for NULL"),
            Loss::Single => f.write_str("numbers of single precision in six digits"),
        }
    }
}

impl Loss {
    /// True when the backup's value is what this loss makes of live's.
    pub fn explains(self, backup: ValueRef<'_>, live: ValueRef<'_>) -> bool {
        match self {
            Loss::Digits(digits) => match (moment(backup), moment(live)) {
                (Some(backup), Some(live)) => {
                    let unit = if digits == 0 { 1_000_000_000 } else { 1_000_000 };
                    let nanos =
                        |m: Moment| i128::from(m.seconds) * 1_000_000_000 + i128::from(m.nanos);
                    let (backup, live) = (nanos(backup), nanos(live));
                    // Cut, or rounded half up.
                    backup != live
                        && (live.div_euclid(unit) * unit == backup
                            || (live + unit / 2).div_euclid(unit) * unit == backup)
                }
                _ => false,
            },
            Loss::Cut(most) => match (text(backup), text(live)) {
                (Some(backup), Some(live)) => {
                    backup.len() < live.len()
                        && live.starts_with(backup)
                        && backup.chars().count() == most as usize
                }
                _ => false,
            },
            Loss::Empty => matches!((backup, live), (ValueRef::Text(b""), ValueRef::Null)),
            Loss::Single => match (backup, live) {
                (ValueRef::Real(backup), ValueRef::Real(live)) => {
                    backup != live && six_digits(live) == Some(backup)
                }
                _ => false,
            },
        }
    }
}

/// What is read of a number of single precision that was printed as MySQL does, in FLT_DIG digits.
fn six_digits(number: f64) -> Option<f64> {
    format!("{number:.5e}").parse::<f32>().ok().map(f64::from)
}

fn moment(value: ValueRef<'_>) -> Option<Moment> {
    match value {
        ValueRef::Stamp(micros) | ValueRef::Instant(micros) => Some(Moment::of(micros, 1_000_000)),
        ValueRef::Text(text) => parse(text).map(|parsed| parsed.moment),
        _ => None,
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// A column of which a backup has lost something.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// The column.
    pub column: Column,
    /// What is lost.
    pub loss: Loss,
    /// Which of several backups has lost it; `None` where there is one.
    pub backup: Option<u8>,
}

/// What the pairs of one column show.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Pairs that the loss of a moment's digits explains, by the digits that are left.
    digits: BTreeMap<u8, u64>,
    /// The backup has a moment with finer digits than milliseconds, than seconds.
    finer: [bool; 2],
    /// Pairs whose texts were cut, by their length, and those texts.
    cut: BTreeMap<u32, HashSet<Vec<u8>>>,
    /// The lengths of the backup's texts.
    shortest: usize,
    longest: usize,
    empty: u64,
    nulls: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        let (digits, cut) = (BTreeMap::new(), BTreeMap::new());
        let (shortest, longest) = (usize::MAX, 0);
        Self { digits, finer: [false; 2], cut, shortest, longest, empty: 0, nulls: 0 }
    }
}

impl Evidence {
    /// Takes in a pair, be it equal or not: an equal one may show what the backup can hold.
    pub fn add(&mut self, backup: ValueRef<'_>, live: ValueRef<'_>) {
        self.nulls += u64::from(backup.is_null());
        self.empty += u64::from(Loss::Empty.explains(backup, live));
        if let Some(moment) = moment(backup) {
            self.finer[0] |= moment.nanos % 1_000_000 != 0;
            self.finer[1] |= moment.nanos != 0;
            for digits in [0, 3] {
                if Loss::Digits(digits).explains(backup, live) {
                    *self.digits.entry(digits).or_default() += 1;
                }
            }
        } else if let Some(text) = text(backup) {
            let length = text.chars().count();
            self.shortest = self.shortest.min(length);
            self.longest = self.longest.max(length);
            if length >= SHORTEST && Loss::Cut(length as u32).explains(backup, live) {
                let known = self.cut.entry(length as u32).or_default();
                if (known.len() as u64) < PAIRS {
                    known.insert(text.as_bytes().to_vec());
                }
            }
        }
    }

    /// The loss that the pairs prove.
    pub fn verdict(&self) -> Option<Loss> {
        let enough = |digits: u8| self.digits.get(&digits).is_some_and(|pairs| *pairs >= PAIRS);
        if enough(0) && !self.finer[1] {
            return Some(Loss::Digits(0));
        }
        if enough(3) && !self.finer[0] {
            return Some(Loss::Digits(3));
        }
        if let Some((length, texts)) = self.cut.last_key_value()
            && *length as usize == self.longest
            && self.shortest < self.longest
            && texts.len() as u64 >= PAIRS
        {
            return Some(Loss::Cut(*length));
        }
        (self.empty >= PAIRS && self.nulls == 0).then_some(Loss::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pairs: &[(ValueRef<'_>, ValueRef<'_>)]) -> Option<Loss> {
        let mut evidence = Evidence::default();
        pairs.iter().for_each(|(backup, live)| evidence.add(*backup, *live));
        evidence.verdict()
    }

    fn text(text: &str) -> ValueRef<'_> {
        ValueRef::Text(text.as_bytes())
    }

    #[test]
    fn digits_that_are_gone_from_every_moment_are_a_loss() {
        let millis = [1_123_456, 2_500_900, -7_000_001, 9_000_499].map(|live: i64| {
            (ValueRef::Stamp(live.div_euclid(1000) * 1000), ValueRef::Stamp(live))
        });
        assert_eq!(verdict(&millis), Some(Loss::Digits(3)));
        assert_eq!(verdict(&millis[..2]), None, "two may be chance");
        let finer = [&millis[..], &[(ValueRef::Stamp(5), ValueRef::Stamp(5))]].concat();
        assert_eq!(verdict(&finer), None, "the backup holds microseconds");
        let edited = [&millis[..], &[(ValueRef::Stamp(5_000_000), ValueRef::Stamp(77))]].concat();
        assert_eq!(verdict(&edited), Some(Loss::Digits(3)), "a change beside it");
        let seconds = [
            ("2024-03-14 02:00:00", "2024-03-14 02:00:00.250000"),
            ("2024-03-14 02:00:02", "2024-03-14 02:00:01.750000"),
            ("2024-03-14T02:00:03", "2024-03-14 02:00:03.000001"),
        ];
        let seconds = seconds.map(|(backup, live)| (text(backup), text(live)));
        assert_eq!(verdict(&seconds), Some(Loss::Digits(0)), "cut or rounded");
    }

    #[test]
    fn texts_of_one_length_that_live_goes_on_with_are_cut() {
        let long =
            ["first text of some length", "other text of some length", "third text of some length"];
        let cut: Vec<String> = long.iter().map(|t| t[..20].to_owned()).collect();
        let pairs: Vec<_> = cut.iter().zip(long).map(|(b, l)| (text(b), text(l))).collect();
        assert_eq!(verdict(&pairs), None, "numbers of one width that somebody appended to");
        let pairs = [&pairs[..], &[(text("short"), text("short"))]].concat();
        assert_eq!(verdict(&pairs), Some(Loss::Cut(20)));
        let long = text("a text of the backup that is longer");
        let longer = [&pairs[..], &[(long, long)]].concat();
        assert_eq!(verdict(&longer), None, "the backup holds longer ones");
        // A state that got a longer name is an edit.
        assert_eq!(verdict(&[(text("open"), text("opened")); 9]), None);
        let same = [(text("subscription open"), text("subscription opened")); 9];
        let same = [&same[..], &[(text("x"), text("x"))]].concat();
        assert_eq!(verdict(&same), None, "one text over and over");
    }

    #[test]
    fn t11_six_digits_of_a_number_of_single_precision_are_no_change() {
        let explains = |backup: f64, live: f64| {
            Loss::Single.explains(ValueRef::Real(backup), ValueRef::Real(live))
        };
        assert!(explains(1_234_570.0, 1_234_567.875));
        assert!(explains(f64::from(0.333_333_f32), f64::from(1.0_f32 / 3.0)));
        assert!(explains(f64::from(-1.234_57e-20_f32), f64::from(-1.234_568e-20_f32)));
        assert!(explains(f64::from(3.402_82e38_f32), f64::from(f32::MAX)));
        assert!(!explains(1_234_570.0, 1_234_575.5), "it is printed as 1234580");
        assert!(!explains(1.5, 1.5), "they are equal");
        assert!(!explains(1.5, 2.5));
        assert!(!Loss::Single.explains(ValueRef::Null, ValueRef::Real(1.0)));
    }

    #[test]
    fn empty_texts_where_live_has_null_are_a_loss_unless_the_backup_has_null() {
        let pairs = [(text(""), ValueRef::Null); 3];
        assert_eq!(verdict(&pairs), Some(Loss::Empty));
        let both = [&pairs[..], &[(ValueRef::Null, ValueRef::Null)]].concat();
        assert_eq!(verdict(&both), None);
        assert!(!Loss::Empty.explains(ValueRef::Null, text("")));
    }
}
