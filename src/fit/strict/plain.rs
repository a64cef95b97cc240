//! Whole columns of cells as servers' dumps write them, taken at once. What is written in another way
//! is looked at cell by cell; both ways lead to the same values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use memchr::memchr;

use crate::fit::cell::Tag;
use crate::fit::cell::plain::{integer, texts, unsigned, values};
use crate::fit::cell::staged::StagedCells;
use crate::fit::strict::decimal::Decimals;
use crate::fit::strict::moment::Moments;
use crate::fit::strict::text::Texts;
use crate::fit::strict::{Fitter, Shape};
use crate::model::calendar::days;
use crate::model::table::{Carrier, Column};

/// The longest decimal that is a value of 64 bits: 18 digits, a sign and a point.
const DECIMAL: usize = 20;

impl Fitter {
    /// The column of these cells; `None` where each has to be looked at.
    pub(crate) fn cells(&self, cells: &StagedCells, column: &Column) -> Option<ArrayRef> {
        let nulls = || cells.bytes().nulls().cloned();
        if matches!(self.shape, Shape::Bool) {
            return truths(cells);
        }
        match (&self.shape, cells.common_tag()?) {
            (Shape::Text(text), Tag::OwnText | Tag::Written | Tag::Printed) => {
                of_texts(text, cells)
            }
            (Shape::Blob(blobs), Tag::OwnBlob) if !blobs.filled => {
                let short = cells.bytes().offsets().lengths().all(|length| length <= blobs.most);
                short.then(|| Arc::new(cells.bytes().clone()) as ArrayRef)
            }
            (Shape::Integer(integers), Tag::Digits) => {
                let (least, most) = integers.bounds();
                // What has 18 digits is within 64 bits.
                let (least, most) = (least.max(i64::MIN.into()), most.min(i64::MAX.into()));
                let range = least as i64..=most as i64;
                let read = |text: &[u8]| integer(text).filter(|i| range.contains(i));
                match column.carrier {
                    Carrier::Unsigned => {
                        let read = |text: &[u8]| read(text).and_then(|i| u64::try_from(i).ok());
                        Some(Arc::new(UInt64Array::new(values(cells, read)?, nulls())))
                    }
                    _ => Some(Arc::new(Int64Array::new(values(cells, read)?, nulls()))),
                }
            }
            (Shape::Decimal(decimals), Tag::Digits) => {
                let digits = values(cells, |text| decimals.plain(text))?;
                let array = Decimal128Array::new(digits, nulls());
                Some(Arc::new(array.with_data_type(column.carrier.data_type())))
            }
            (Shape::Moment(moments), Tag::Moment) => match column.carrier {
                Carrier::Date => {
                    let days = values(cells, |text| moments.plain_day(text))?;
                    Some(Arc::new(Date32Array::new(days, nulls())))
                }
                _ => {
                    let micros = values(cells, |text| moments.plain(text))?;
                    let array = TimestampMicrosecondArray::new(micros, nulls());
                    Some(Arc::new(array.with_data_type(column.carrier.data_type())))
                }
            },
            _ => None,
        }
    }
}

/// Truth values that were told by their tags.
fn truths(cells: &StagedCells) -> Option<ArrayRef> {
    let truth = |row: usize| match cells.tag(row) {
        _ if cells.bytes().is_null(row) => Some(None),
        Some(Tag::True) => Some(Some(true)),
        Some(Tag::False) => Some(Some(false)),
        _ => None,
    };
    let truths = (0..cells.len()).map(truth).collect::<Option<BooleanArray>>()?;
    Some(Arc::new(truths))
}

fn of_texts(text: &Texts, cells: &StagedCells) -> Option<ArrayRef> {
    let bytes = cells.bytes();
    let has_nul = || memchr(0, bytes.value_data()).is_some();
    if let Some(most) = text.passes() {
        let short = most == usize::MAX || bytes.offsets().lengths().all(|length| length <= most);
        return if short && !(text.refuses_nul() && has_nul()) { texts(cells) } else { None };
    }
    if !text.is_jsonb() || has_nul() || std::str::from_utf8(bytes.value_data()).is_err() {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.value_data().len());
    let mut offsets = Vec::with_capacity(bytes.len() + 1);
    offsets.push(0);
    for cell in bytes {
        if let Some(cell) = cell {
            text.write_jsonb(cell, &mut out)?;
        }
        offsets.push(i32::try_from(out.len()).ok()?);
    }
    let offsets = OffsetBuffer::new(offsets.into());
    let nulls: Option<NullBuffer> = bytes.nulls().cloned();
    Some(Arc::new(StringArray::try_new(offsets, out.into(), nulls).ok()?))
}

impl Decimals {
    /// The digits of a plainly written decimal.
    fn plain(&self, text: &[u8]) -> Option<i128> {
        let (negative, text) = match text {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        if text.len() > DECIMAL {
            return None;
        }
        let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
            Some(point) => (&text[..point], &text[point + 1..]),
            None => (text, &text[..0]),
        };
        let missing = u32::try_from(usize::try_from(self.scale).ok()?.checked_sub(fraction.len())?);
        let tens = 10_i128.checked_pow(missing.ok()?)?;
        let mut value = i128::from(unsigned(whole)?);
        if !fraction.is_empty() {
            let places = 10_i128.pow(fraction.len() as u32);
            value = value * places + i128::from(unsigned(fraction)?);
        }
        let value = value.checked_mul(tens)?;
        let fits = value < 10_i128.checked_pow(self.precision.into())?;
        let signed = !negative || value == 0 || self.takes_negative();
        (fits && signed).then_some(if negative { -value } else { value })
    }
}

impl Moments {
    /// The day of a plainly written date.
    fn plain_day(&self, text: &[u8]) -> Option<i32> {
        let day = date(text.try_into().ok()?)?;
        let (first, end) = self.days();
        if (first..end).contains(&day) { i32::try_from(day).ok() } else { None }
    }

    /// The microseconds of a plainly written moment, which has an offset from UTC where the type has
    /// a zone, and none where it has none.
    ///
    /// ```text
    /// YYYY-MM-DD HH:MM:SS [. digits{1,6}] [(+|-) HH [: MM]]
    /// ```
    fn plain(&self, text: &[u8]) -> Option<i64> {
        const MICROS: [i64; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
        let (head, mut rest) = text.split_first_chunk::<19>()?;
        if [head[10], head[13], head[16]] != *b" ::" {
            return None;
        }
        let (day, clock) = head.split_first_chunk::<10>()?;
        let day = date(day)?;
        let (hour, minute, second) =
            (two(clock[1], clock[2])?, two(clock[4], clock[5])?, two(clock[7], clock[8])?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut micros = 0;
        if let [b'.', more @ ..] = rest {
            let digits = more.iter().take_while(|byte| byte.is_ascii_digit()).count();
            micros = unsigned(&more[..digits])? * MICROS.get(digits)?;
            rest = &more[digits..];
        }
        let minutes = match rest {
            [] => 0,
            [sign @ (b'+' | b'-'), a, b, minutes @ ..] => {
                let minutes = match minutes {
                    [] => 0,
                    [b':', c, d] => two(*c, *d)?,
                    _ => return None,
                };
                let offset = two(*a, *b)? * 60 + minutes;
                if *sign == b'-' { -offset } else { offset }
            }
            _ => return None,
        };
        if self.zone_habit(!rest.is_empty()).is_some() {
            return None;
        }
        let seconds = day * 86_400 + hour * 3_600 + (minute - minutes) * 60 + second;
        let (first, end) = self.days();
        let fits = (first..end).contains(&seconds.div_euclid(86_400)) && micros % self.unit() == 0;
        fits.then_some(seconds * 1_000_000 + micros)
    }
}

/// The day number of `YYYY-MM-DD`.
fn date(text: &[u8; 10]) -> Option<i64> {
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = two(text[0], text[1])? * 100 + two(text[2], text[3])?;
    days(year, two(text[5], text[6])?, two(text[8], text[9])?)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}
