//! The least and the greatest of a page's values, by which readers skip pages.
//!
//! Long values are cut, as the format allows (Parquet format, "Page Index"): the least one's
//! beginning is no greater than it, and the greatest one's is made greater.

use std::borrow::Cow;

/// Bytes of a bound.
const LONGEST: usize = 64;

/// Where the extremes of some values stand in the bytes of all. Most values are told apart from
/// them by their first eight bytes.
#[derive(Default)]
pub(super) struct Extremes(Option<(Place, Place)>);

#[derive(Clone, Copy)]
struct Place {
    head: u64,
    at: usize,
    length: usize,
}

impl Place {
    fn bytes(self, all: &[u8]) -> &[u8] {
        &all[self.at..self.at + self.length]
    }
}

impl Extremes {
    /// Takes in values of these lengths, which stand in `all` one behind the other from `at` on.
    pub(super) fn add(&mut self, all: &[u8], mut at: usize, lengths: &[i32]) {
        for length in lengths {
            let length = *length as usize;
            let place = Place { head: head(&all[at..], length), at, length };
            at += length;
            let (least, most) = self.0.get_or_insert((place, place));
            let less = |a: Place, b: Place| {
                a.head < b.head || a.head == b.head && a.bytes(all) < b.bytes(all)
            };
            if less(place, *least) {
                *least = place;
            }
            if less(*most, place) {
                *most = place;
            }
        }
    }

    /// The least and the greatest value, where there is one.
    pub(super) fn of<'a>(&self, all: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        self.0.map(|(least, most)| (least.bytes(all), most.bytes(all)))
    }
}

/// The first eight of a value's bytes as a number that compares as they do; zeros where it has
/// fewer. `from` begins with the value.
fn head(from: &[u8], length: usize) -> u64 {
    match from.first_chunk::<8>() {
        Some(bytes) => {
            let head = u64::from_be_bytes(*bytes);
            if length >= 8 { head } else { head & !(u64::MAX >> (8 * length)) }
        }
        None => {
            let mut bytes = [0; 8];
            bytes[..length.min(8)].copy_from_slice(&from[..length.min(8)]);
            u64::from_be_bytes(bytes)
        }
    }
}

/// The value, or a beginning of it.
pub(super) fn below(value: &[u8], text: bool) -> &[u8] {
    &value[..cut(value, text)]
}

/// The value, or one that is greater and shorter; the value where there is none such.
pub(super) fn above(value: &[u8], text: bool) -> Cow<'_, [u8]> {
    let kept = below(value, text);
    if kept.len() == value.len() {
        return Cow::Borrowed(value);
    }
    let greater = match std::str::from_utf8(kept) {
        Ok(kept) if text => kept.char_indices().rev().find_map(|(at, last)| {
            let next = match last {
                '\u{d7ff}' => '\u{e000}',
                _ => char::from_u32(u32::from(last) + 1)?,
            };
            Some(format!("{}{next}", &kept[..at]).into_bytes())
        }),
        _ => kept.iter().rposition(|byte| *byte < u8::MAX).map(|at| {
            let mut greater = kept[..=at].to_vec();
            greater[at] += 1;
            greater
        }),
    };
    greater.map_or(Cow::Borrowed(value), Cow::Owned)
}

/// How much of a value is kept: a text's last character whole.
fn cut(value: &[u8], text: bool) -> usize {
    if value.len() <= LONGEST {
        return value.len();
    }
    // A byte 0b10…… goes on with a character.
    let starts = |at: &usize| !text || value[*at] & 0xc0 != 0x80;
    (1..=LONGEST).rev().find(starts).unwrap_or(LONGEST)
}
