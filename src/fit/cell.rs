//! Cells of text formats into live's column.
//!
//! A text format's file is staged once, every column as bytes ([`StagedCells`]): each cell's own
//! text, and a tag that says what it was in the file ([`Tag`]). So nothing is decided before
//! live's column is known, and no number passes through a double on the way.

pub(in crate::fit) mod plain;
pub mod staged;

use std::collections::BTreeSet;

use arrow::array::Array;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fit::affinity::{Numeral, doubtful, numeral, stored};
use crate::fit::bytea::bytea;
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::cell::staged::StagedCells;
use crate::fit::foreign::is_null_word;
use crate::fit::given::{Found, Given};
use crate::fit::moment::{self, Moment};
use crate::fit::notes::Habit;
use crate::fit::number;
use crate::fit::place::Place;
use crate::fit::strict::{self, Door};
use crate::model::table::{Affinity, Carrier, Column, TimeForm, Zone};
use crate::model::value::{ValueRef, push_unhex};

/// What a cell was in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Tag {
    /// A CSV field without quotes.
    Bare = b'u',
    /// A CSV field in quotes.
    Quoted = b'q',
    /// A JSON string.
    Str = b's',
    /// A JSON number, its own text.
    Number = b'n',
    /// JSON true; the payload is empty.
    True = b't',
    /// JSON false; the payload is empty.
    False = b'f',
    /// A JSON array or object, without spaces.
    Nested = b'j',
    /// A snapshot of ours or SQLite's `.dump`: an INTEGER or a REAL as it is written there.
    OwnNumber = b'N',
    /// A snapshot of ours: a REAL that JSON can't write. A double of BSON.
    OwnReal = b'R',
    /// A snapshot of ours or an SQL dump: TEXT.
    OwnText = b'T',
    /// A snapshot of ours or an SQL dump: a BLOB.
    OwnBlob = b'B',
    /// A server's dump: a number in its own digits, or `NaN`, `Infinity`, `-Infinity`.
    Digits = b'd',
    /// A server's dump: a date or a moment, with its offset from UTC where it has a zone.
    Moment = b'm',
    /// MySQL's dump: what a column takes whose type the dump does not tell, bytes as they are.
    Written = b'w',
    /// PostgreSQL's dump: what a column takes whose type the dump does not tell, bytes as it prints
    /// them.
    Printed = b'p',
    /// MongoDB: an ObjectId as its 24 hexadecimal digits, or a UUID in its usual form; the
    /// bytes of either where live has bytes.
    Id = b'i',
    /// sqlite-diffable: a text that may have been bytes, so no value.
    Unclear = b'?',
}

impl Tag {
    /// All tags.
    pub const ALL: [Tag; 17] = [
        Tag::Bare,
        Tag::Quoted,
        Tag::Str,
        Tag::Number,
        Tag::True,
        Tag::False,
        Tag::Nested,
        Tag::OwnNumber,
        Tag::OwnReal,
        Tag::OwnText,
        Tag::OwnBlob,
        Tag::Digits,
        Tag::Moment,
        Tag::Written,
        Tag::Printed,
        Tag::Id,
        Tag::Unclear,
    ];

    /// True for the cells of a snapshot of ours, whose numbers come back bit by bit.
    fn is_own(self) -> bool {
        matches!(self, Tag::OwnNumber | Tag::OwnReal | Tag::OwnText | Tag::OwnBlob)
    }

    /// The tag of this byte; `None` for 0 and others that are none.
    pub fn of(byte: u8) -> Option<Self> {
        Tag::ALL.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// What the whole file showed while it was staged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FileHabits {
    /// Some CSV field is empty and quoted, so an unquoted one is NULL.
    pub quotes_empty: bool,
    /// The columns with a JSON integer so large that, as a moment, it is in milliseconds
    /// since 1970.
    pub millis: BTreeSet<String>,
}

/// The least magnitude of a column's largest integer that makes its integers milliseconds:
/// 1973 as milliseconds, the year 5138 as seconds.
pub const MILLIS_FROM: u64 = 100_000_000_000;

/// What a cell that may be one of two values is.
const UNCLEAR: &str = "a text of the form b'..', of which it is lost whether it was bytes";

/// Fits staged cells. `staged` is the column's name in the file.
pub fn fit(
    cells: &StagedCells,
    staged: &str,
    habits: &FileHabits,
    place: &mut Place<'_>,
) -> Result<Carried> {
    let column = place.column;
    let bytes = cells.bytes();
    if bytes.null_count() == bytes.len() {
        return Ok(CarrierBuilder::nulls(column.carrier, bytes.len()));
    }
    let strict = strict::holds(column).then(|| strict::Fitter::new(column));
    let whole = match &strict {
        Some(strict) => strict.cells(cells, column),
        None => plain::cells(cells, column),
    };
    if let Some(array) = whole {
        return Ok(array.into());
    }
    let fitter = Fitter { column, habits, millis: habits.millis.contains(staged) };
    place.carry(cells.len(), |row, scratch, out| {
        if bytes.is_null(row) {
            out.push(ValueRef::Null);
            return Ok([None, None]);
        }
        let payload = bytes.value(row);
        let tag = cells.tag(row).ok_or("a cell without a tag")?;
        let Some(strict) = &strict else {
            let (value, habit) = fitter.value(tag, payload, scratch)?;
            let number = matches!(value, ValueRef::Int(_) | ValueRef::Real(_));
            let far = number && !tag.is_own() && doubtful(payload);
            out.push(value);
            return Ok([habit, far.then_some(Habit::NearestDouble)]);
        };
        let (value, habit) = fitter.strict(strict, tag, payload, scratch)?;
        out.push(value);
        Ok([habit, None])
    })
}

struct Fitter<'c> {
    column: &'c Column,
    habits: &'c FileHabits,
    millis: bool,
}

impl Fitter<'_> {
    fn value<'a>(&self, tag: Tag, payload: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        match tag {
            Tag::Bare if payload.is_empty() => {
                let column = self.column;
                Ok(self.bare_empty(column.carrier == Carrier::Text && column.time_form.is_none()))
            }
            Tag::Bare | Tag::Quoted => self.text(tag, payload, scratch),
            Tag::Str => self.text(tag, payload, scratch),
            Tag::Number => self.number(payload, scratch),
            Tag::True => number::boolean(true, self.column),
            Tag::False => number::boolean(false, self.column),
            Tag::Nested => {
                let value = self.stored(ValueRef::Text(payload), scratch)?;
                Ok((value, Some(Habit::NestedJson)))
            }
            Tag::OwnNumber => match numeral(payload) {
                Some(Numeral::Int(i)) => Ok((self.stored(ValueRef::Int(i), scratch)?, None)),
                Some(Numeral::Real(r)) => Ok((self.own_real(r, scratch)?, None)),
                None => Err("a number that is none".into()),
            },
            Tag::OwnReal => {
                let text = std::str::from_utf8(payload).map_err(|_| "a torn real")?;
                let r = text.parse().map_err(|_| format!("the real {text:?}"))?;
                Ok((self.own_real(r, scratch)?, None))
            }
            Tag::OwnText => Ok((self.stored(ValueRef::Text(payload), scratch)?, None)),
            Tag::OwnBlob => Ok((ValueRef::Blob(payload), None)),
            Tag::Digits => self.digits(payload, scratch),
            Tag::Moment => self.moment(payload, scratch),
            Tag::Written => self.written(payload, false, scratch),
            Tag::Printed => self.written(payload, true, scratch),
            Tag::Id => self.id(payload, scratch),
            Tag::Unclear => Err(UNCLEAR.into()),
        }
    }

    /// A REAL of a snapshot: as it was, unless live's column is of another kind by now.
    fn own_real<'a>(&self, r: f64, scratch: &'a mut Vec<u8>) -> Result<ValueRef<'a>, String> {
        stored(ValueRef::Real(r), self.column.affinity, scratch).map_err(|_| number::describe(r))
    }

    fn stored<'a>(
        &self,
        value: ValueRef<'a>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<ValueRef<'a>, String> {
        stored(value, self.column.affinity, scratch).map_err(|_| "a real".into())
    }

    fn bare_empty(&self, free_text: bool) -> (ValueRef<'static>, Option<Habit>) {
        if !free_text || self.habits.quotes_empty {
            (ValueRef::Null, None)
        } else if self.column.not_null {
            (ValueRef::Text(b""), None)
        } else {
            (ValueRef::Null, Some(Habit::EmptyForNull))
        }
    }

    fn text<'a>(&self, tag: Tag, text: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        let value = ValueRef::Text(text);
        match (column.carrier, column.time_form) {
            (Carrier::Text, Some(form)) => {
                if is_null_word(text) {
                    return Ok((ValueRef::Null, Some(Habit::WordForNull)));
                }
                if let Some(habit) = rewritten(text, &form, scratch) {
                    return Ok(match habit {
                        None => (value, None),
                        Some(_) => (ValueRef::Text(scratch), habit),
                    });
                }
                Ok((self.stored(value, scratch)?, None))
            }
            (Carrier::Text, None) => {
                let habit = is_null_word(text).then_some(Habit::WordKept);
                Ok((self.stored(value, scratch)?, habit))
            }
            (Carrier::Blob, _) if column.declared.is_empty() => Ok((value, None)),
            (Carrier::Blob, _) => Err("text".into()),
            _ if is_null_word(text) => Ok((ValueRef::Null, Some(Habit::WordForNull))),
            _ => match numeral(text) {
                Some(number) => self.numeral(number, scratch),
                None if tag != Tag::Str && text.eq_ignore_ascii_case(b"true") => {
                    number::boolean(true, self.column)
                }
                None if tag != Tag::Str && text.eq_ignore_ascii_case(b"false") => {
                    number::boolean(false, self.column)
                }
                None => Ok((self.stored(value, scratch)?, None)),
            },
        }
    }

    fn number<'a>(&self, token: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        let number = numeral(token).ok_or("a number that is none")?;
        match (column.carrier, column.time_form, number) {
            (Carrier::Text, Some(form), Numeral::Int(millis)) if self.millis => {
                Moment::of(millis, 1_000)
                    .write(&form, scratch)
                    .ok_or_else(|| format!("the moment {millis}, out of range"))?;
                Ok((ValueRef::Text(scratch), Some(Habit::EpochMillis)))
            }
            (Carrier::Text, Some(_), _) => Err(format!(
                "the number {}, whose unit is not said",
                String::from_utf8_lossy(token)
            )),
            (Carrier::Text, None, _) if matches!(column.affinity, Affinity::Text) => {
                Ok((ValueRef::Text(token), Some(Habit::NumberForText)))
            }
            (Carrier::Text | Carrier::Blob, _, Numeral::Real(r)) => {
                Ok((self.own_real(r, scratch)?, None))
            }
            _ => self.numeral(number, scratch),
        }
    }

    /// A number of a column that holds nothing else.
    fn digits<'a>(&self, digits: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        let shown = || format!("the number {}", String::from_utf8_lossy(digits));
        match column.carrier {
            Carrier::Text if column.affinity == Affinity::Text && column.time_form.is_none() => {
                Ok((ValueRef::Text(digits), Some(Habit::NumberForText)))
            }
            Carrier::Text | Carrier::Blob if column.time_form.is_some() => Err(shown()),
            _ => match numeral(digits) {
                Some(Numeral::Real(r))
                    if matches!(column.carrier, Carrier::Text | Carrier::Blob) =>
                {
                    Ok((self.own_real(r, scratch)?, None))
                }
                Some(number) => self.numeral(number, scratch),
                None => Err(shown()),
            },
        }
    }

    /// A date or a moment of a typed column.
    fn moment<'a>(&self, text: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        if column.carrier != Carrier::Text {
            return Err(format!("the moment {}", String::from_utf8_lossy(text)));
        }
        if let (Some(form), Some(parsed)) = (column.time_form, moment::parse(text)) {
            let utc = parsed.utc();
            if utc.write(&form, scratch).is_some() {
                if scratch == text {
                    return Ok((ValueRef::Text(text), None));
                }
                let zone_kept = form.separator.is_none()
                    || parsed.offset.is_some() == (form.zone != Zone::None);
                let habit = if zone_kept { Habit::MomentRewritten } else { Habit::ZoneByUtc };
                return Ok((ValueRef::Text(scratch), Some(habit)));
            }
        }
        Ok((self.stored(ValueRef::Text(text), scratch)?, None))
    }

    /// What a column takes whose type the dump does not tell; `printed`: bytes are as PostgreSQL prints
    /// them.
    fn written<'a>(&self, text: &'a [u8], printed: bool, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        match column.carrier {
            Carrier::Text if column.time_form.is_some() => self.moment(text, scratch),
            Carrier::Text => Ok((self.stored(ValueRef::Text(text), scratch)?, None)),
            Carrier::Blob
                if printed && (text.starts_with(b"\\x") || !column.declared.is_empty()) =>
            {
                bytea(text, scratch)?;
                Ok((ValueRef::Blob(scratch), None))
            }
            Carrier::Blob if column.declared.is_empty() => Ok((ValueRef::Text(text), None)),
            Carrier::Blob => Ok((ValueRef::Blob(text), None)),
            _ if matches!(text, b"t" | b"true") => number::boolean(true, column),
            _ if matches!(text, b"f" | b"false") => number::boolean(false, column),
            _ => match numeral(text) {
                Some(number) => self.numeral(number, scratch),
                None => Ok((self.stored(ValueRef::Text(text), scratch)?, None)),
            },
        }
    }

    /// An ObjectId or a UUID, whose digits are never a number.
    fn id<'a>(&self, text: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
        let column = self.column;
        let any = column.declared.is_empty() && column.affinity == Affinity::Blob;
        match column.carrier {
            Carrier::Blob if !any => {
                id_bytes(text, scratch)?;
                Ok((ValueRef::Blob(scratch), None))
            }
            _ if any => Ok((ValueRef::Text(text), None)),
            Carrier::Text if column.affinity == Affinity::Text && column.time_form.is_none() => {
                Ok((ValueRef::Text(text), None))
            }
            _ => Err(format!("the id {}", String::from_utf8_lossy(text))),
        }
    }

    fn numeral<'a>(&self, number: Numeral, scratch: &'a mut Vec<u8>) -> Found<'a> {
        match number {
            Numeral::Int(i) => Ok((self.stored(ValueRef::Int(i), scratch)?, None)),
            Numeral::Real(r) => {
                let value = number::float(r, self.column).ok_or_else(|| number::describe(r))?;
                let integer =
                    self.column.carrier == Carrier::Int && matches!(value, ValueRef::Int(_));
                Ok((value, integer.then_some(Habit::FloatForInteger)))
            }
        }
    }

    /// The value of a column that holds one type.
    fn strict<'a>(
        &self,
        fitter: &strict::Fitter,
        tag: Tag,
        payload: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Found<'a> {
        let file = |given, scratch| fitter.value(given, Door::File, scratch);
        match tag {
            Tag::Bare if payload.is_empty() => Ok(self.bare_empty(fitter.is_free_text())),
            Tag::Bare | Tag::Quoted if self.is_truth(payload) => {
                file(Given::Bool(payload.len() == b"true".len()), scratch)
            }
            Tag::Bare | Tag::Quoted | Tag::Str => file(Given::Text(payload), scratch),
            Tag::Number if self.millis && fitter.is_moment() => {
                let millis = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
                let millis = millis.ok_or("a number of milliseconds that is none")?;
                let (value, _) = file(Given::Moment(Moment::of(millis, 1_000), true), scratch)?;
                Ok((value, Some(Habit::EpochMillis)))
            }
            Tag::Number => file(Given::Numeral(payload), scratch),
            Tag::True => file(Given::Bool(true), scratch),
            Tag::False => file(Given::Bool(false), scratch),
            Tag::Nested => {
                let (value, _) = file(Given::Text(payload), scratch)?;
                Ok((value, Some(Habit::NestedJson)))
            }
            Tag::OwnNumber => fitter.value(Given::Numeral(payload), Door::Database, scratch),
            Tag::OwnReal => {
                let text = std::str::from_utf8(payload).map_err(|_| "a torn real")?;
                let r = text.parse().map_err(|_| format!("the real {text:?}"))?;
                fitter.value(Given::Double(r), Door::Database, scratch)
            }
            Tag::OwnText => fitter.value(Given::Text(payload), Door::Database, scratch),
            Tag::OwnBlob => fitter.value(Given::Bytes(payload), Door::Database, scratch),
            Tag::Digits if payload.last().is_some_and(u8::is_ascii_digit) => {
                fitter.value(Given::Numeral(payload), Door::Database, scratch)
            }
            Tag::Digits | Tag::Moment => {
                fitter.value(Given::Text(payload), Door::Database, scratch)
            }
            Tag::Id if self.column.carrier == Carrier::Blob => {
                id_bytes(payload, scratch)?;
                Ok((ValueRef::Blob(scratch), None))
            }
            Tag::Id => fitter.value(Given::Text(payload), Door::Database, scratch),
            Tag::Unclear => Err(UNCLEAR.into()),
            Tag::Written | Tag::Printed => match (self.column.carrier, payload) {
                (Carrier::Bool, b"t" | b"true") => file(Given::Bool(true), scratch),
                (Carrier::Bool, b"f" | b"false") => file(Given::Bool(false), scratch),
                (Carrier::Blob, text) if tag == Tag::Printed => {
                    bytea(text, scratch)?;
                    Ok((ValueRef::Blob(scratch), None))
                }
                (Carrier::Blob, bytes) => {
                    fitter.value(Given::Bytes(bytes), Door::Database, scratch)
                }
                (_, text) => fitter.value(Given::Text(text), Door::Database, scratch),
            },
        }
    }

    /// True for `true` and `false` where live has numbers.
    fn is_truth(&self, text: &[u8]) -> bool {
        let number = matches!(
            self.column.carrier,
            Carrier::Int | Carrier::Unsigned | Carrier::Real | Carrier::Decimal { .. }
        );
        number && (text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false"))
    }
}

/// Appends the bytes of an ObjectId or a UUID.
fn id_bytes(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    push_unhex(&digits, out).ok_or_else(|| "an id that is none".into())
}

/// Writes a text moment in live's form. `None`: it is no moment, or its zone is neither
/// UTC nor unsaid. Inside: the habit that it shows, `None` for a text in live's form.
fn rewritten(text: &[u8], form: &TimeForm, scratch: &mut Vec<u8>) -> Option<Option<Habit>> {
    let parsed = moment::parse(text)?;
    if parsed.offset.is_some_and(|minutes| minutes != 0) {
        return None;
    }
    parsed.moment.write(form, scratch)?;
    if scratch == text {
        return Some(None);
    }
    let zone_told = parsed.offset.is_some();
    let zone_kept = form.separator.is_none() || zone_told == (form.zone != Zone::None);
    Some(Some(if zone_kept { Habit::MomentRewritten } else { Habit::ZoneByUtc }))
}
