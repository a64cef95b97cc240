//! The key of a table in a file: whether its rows are in key order, where key ranges begin,
//! and in which rows given keys stand.
//!
//! Order is that of the merge: NULLs first, integers by value, text and blobs by their
//! bytes once the collation has normalised them. Keys are fitted into live's columns
//! first, for a timestamp's order is not always that of its text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};

use crate::backup::dress::Pair;
use crate::backup::guard::caught;
use crate::backup::table::FileTable;
use crate::error::{Error, Result};
use crate::fit::notes::Tally;
use crate::model::table::{Carrier, Collation, Column};
use crate::model::value::{Value, ValueRef};
use crate::source::{KeyRange, Survey};

/// What one pass over the key's columns showed.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// Rows come in ascending key order; equal keys may follow each other.
    ordered: bool,
    /// The first key of every batch and row group.
    marks: Vec<Mark>,
    /// The first and the last row's key, where rows are in order.
    ends: Option<[Vec<KeyCell<'static>>; 2]>,
}

/// The rows that were found for keys.
pub(crate) struct Found {
    /// Which of the keys each row was found for.
    pub(crate) places: Vec<usize>,
    /// The rows, in the file's order.
    pub(crate) rows: Vec<RecordBatch>,
}

#[derive(Debug)]
struct Mark {
    row: u64,
    /// The key's first column, normalised.
    first: KeyCell<'static>,
    group: bool,
}

/// A cell of a key in its order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum KeyCell<'a> {
    Null,
    Int(i64),
    /// An integer of more than 64 bits, or the digits of a decimal.
    Wide(i128),
    Bytes(Cow<'a, [u8]>),
}

impl KeyCell<'_> {
    fn owned(self) -> KeyCell<'static> {
        match self {
            KeyCell::Null => KeyCell::Null,
            KeyCell::Int(i) => KeyCell::Int(i),
            KeyCell::Wide(i) => KeyCell::Wide(i),
            KeyCell::Bytes(bytes) => KeyCell::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }

    fn value(&self, carrier: Carrier) -> Option<Value> {
        match (self, carrier) {
            (KeyCell::Null, _) => None,
            (KeyCell::Int(i), Carrier::Bool) => Some(Value::Bool(*i != 0)),
            (KeyCell::Int(i), Carrier::Date) => i32::try_from(*i).ok().map(Value::Date),
            (KeyCell::Int(i), Carrier::Stamp) => Some(Value::Stamp(*i)),
            (KeyCell::Int(i), Carrier::Instant) => Some(Value::Instant(*i)),
            (KeyCell::Int(i), _) => Some(Value::Int(*i)),
            (KeyCell::Wide(i), Carrier::Decimal { scale, .. }) => Some(Value::Decimal(*i, scale)),
            (KeyCell::Wide(i), _) => {
                u64::try_from(*i).ok().map(|u| ValueRef::unsigned(u).to_owned())
            }
            (KeyCell::Bytes(bytes), Carrier::Blob) => Some(Value::Blob(bytes.to_vec())),
            (KeyCell::Bytes(bytes), _) => Some(Value::Text(bytes.to_vec())),
        }
    }
}

/// The key's columns of one batch.
struct KeyColumns<'a>(Vec<(&'a ArrayRef, &'a Column)>);

impl<'a> KeyColumns<'a> {
    fn of(batch: &'a RecordBatch, key: &'a [Column]) -> Self {
        Self(batch.columns().iter().zip(key).collect())
    }

    fn cell(&self, row: usize, column: usize) -> KeyCell<'a> {
        let (array, live) = self.0[column];
        if array.is_null(row) {
            return KeyCell::Null;
        }
        match live.carrier {
            Carrier::Int => KeyCell::Int(array.as_primitive::<Int64Type>().value(row)),
            Carrier::Text => {
                let text = array.as_string::<i32>().value(row).as_bytes();
                KeyCell::Bytes(live.collation.normalise(text))
            }
            Carrier::Blob => KeyCell::Bytes(Cow::Borrowed(array.as_binary::<i32>().value(row))),
            Carrier::Unsigned => {
                KeyCell::Wide(array.as_primitive::<UInt64Type>().value(row).into())
            }
            Carrier::Bool => KeyCell::Int(array.as_boolean().value(row).into()),
            Carrier::Date => KeyCell::Int(array.as_primitive::<Date32Type>().value(row).into()),
            Carrier::Stamp | Carrier::Instant => {
                KeyCell::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            Carrier::Decimal { .. } => {
                KeyCell::Wide(array.as_primitive::<Decimal128Type>().value(row))
            }
            Carrier::Real | Carrier::Number => KeyCell::Null,
        }
    }

    /// The order of a row's key beside another key.
    fn compare(&self, row: usize, other: &[KeyCell<'_>]) -> Ordering {
        let orders =
            other.iter().enumerate().map(|(column, cell)| self.cell(row, column).cmp(cell));
        orders.fold(Ordering::Equal, Ordering::then)
    }

    fn row(&self, row: usize) -> Vec<KeyCell<'a>> {
        (0..self.0.len()).map(|column| self.cell(row, column)).collect()
    }

    /// The rows of this batch are in order among themselves.
    fn ascending(&self, rows: usize) -> bool {
        if let [(array, live)] = self.0[..]
            && live.carrier == Carrier::Int
            && array.null_count() == 0
        {
            return array.as_primitive::<Int64Type>().values().is_sorted();
        }
        (1..rows).all(|row| {
            (0..self.0.len())
                .map(|column| self.cell(row - 1, column).cmp(&self.cell(row, column)))
                .find(|order| order.is_ne())
                .is_none_or(|order| order.is_lt())
        })
    }
}

/// Keys that are looked for, in order and each once, with the place of each.
struct Wanted<'a>(Vec<(Vec<KeyCell<'a>>, usize)>);

impl<'a> Wanted<'a> {
    /// The keys of these rows, without those that have a NULL.
    fn of(keys: &'a RecordBatch, key: &'a [Column]) -> Self {
        let columns = KeyColumns::of(keys, key);
        let rows = (0..keys.num_rows()).map(|row| (columns.row(row), row));
        let mut wanted: Vec<_> =
            rows.filter(|(cells, _)| !cells.contains(&KeyCell::Null)).collect();
        wanted.sort();
        wanted.dedup_by(|later, first| later.0 == first.0);
        Self(wanted)
    }

    /// Finds keys from number `reached` on in rows that are in order, and tells `hit` of each row
    /// and its key's place. Afterwards `reached` is the first key that rows behind these may have.
    fn merge(
        &self,
        reached: &mut usize,
        rows: &KeyColumns<'_>,
        count: usize,
        hit: &mut impl FnMut(usize, usize),
    ) {
        let mut row = 0;
        while let Some((cells, place)) = self.0.get(*reached) {
            row = first_from(row, count, |row| rows.compare(row, cells).is_ge());
            while row < count && rows.compare(row, cells).is_eq() {
                hit(row, *place);
                row += 1;
            }
            if row == count {
                return;
            }
            *reached += 1;
        }
    }
}

/// The first number from `start` on for which `holds`, which from there on holds for all below
/// `end`; `end` where there is none. What is near is found soon.
fn first_from(start: usize, end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut step) = (start, 1);
    while low < end && !holds(low + step.min(end - low) - 1) {
        low += step.min(end - low);
        step *= 2;
    }
    let mut high = end.min(low + step);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// A float key has no place in the order (and is refused long before).
fn sortable(key: &[Column]) -> bool {
    !key.is_empty()
        && key
            .iter()
            .all(|c| !c.carrier.is_floating() && !matches!(c.collation, Collation::Other(_)))
}

impl FileTable {
    /// Looks the table over: one pass over the key's columns, once for each key.
    pub(crate) fn survey(&self, key: &[Column], parts: usize) -> Result<Survey> {
        let rows = self.rows();
        if rows == 0 {
            return Ok(Survey { rows: Some(0), ordered: true, splits: Vec::new() });
        }
        if !sortable(key) {
            return Ok(Survey { rows: Some(rows), ordered: false, splits: Vec::new() });
        }
        let index = self.key_index(key)?;
        let splits = if index.ordered { index.splits(rows, parts, key[0].carrier) } else { vec![] };
        Ok(Survey { rows: Some(rows), ordered: index.ordered, splits })
    }

    fn key_index(&self, key: &[Column]) -> Result<Arc<KeyIndex>> {
        // Held while the key is read, so that ranges that start together read it once.
        let mut known = self.keys.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, index)) = known.iter().find(|(columns, _)| columns == key) {
            return Ok(index.clone());
        }
        let index = Arc::new(self.index(key)?);
        known.push((key.to_vec(), index.clone()));
        Ok(index)
    }

    /// Reads the key's columns, parts of the file side by side.
    fn index(&self, key: &[Column]) -> Result<KeyIndex> {
        let pairs = self.pairs(key)?;
        let mut starts = self.group_starts();
        starts.push(self.rows());
        let groups: Vec<Range<u64>> = starts.windows(2).map(|group| group[0]..group[1]).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, KeyIndex)>> {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Relaxed);
                let Some(group) = groups.get(number) else { return Ok(done) };
                let index = self.index_of(group.clone(), &pairs, key);
                // What is in no order, or can't be read, needs no further look.
                if !index.as_ref().is_ok_and(|index| index.ordered) {
                    next.store(groups.len(), Relaxed);
                }
                done.push((number, index?));
            }
        };
        // A decoder that panics is damage on these threads too.
        let work = || caught(self.file().path(), work);
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let mut done = thread::scope(|scope| {
            let others: Vec<_> = (1..cores.min(groups.len())).map(|_| scope.spawn(work)).collect();
            let mut done = work()?;
            for other in others {
                let lost = |_| Error::failed("a reading thread was lost");
                done.extend(other.join().map_err(lost)??);
            }
            Ok::<_, Error>(done)
        })?;
        done.sort_by_key(|(number, _)| *number);
        let parts = done.into_iter().map(|(_, index)| index);
        Ok(parts.reduce(KeyIndex::before).unwrap_or_else(KeyIndex::of_nothing))
    }

    /// What the keys of these rows show, which are a part of the file.
    fn index_of(&self, rows: Range<u64>, pairs: &[Pair], key: &[Column]) -> Result<KeyIndex> {
        let mut index = KeyIndex::of_nothing();
        let start = rows.start;
        self.read(pairs, rows, &mut Tally::default(), |batch, first| {
            let rows = batch.num_rows();
            if rows == 0 {
                return Ok(true);
            }
            let columns = KeyColumns::of(&batch, key);
            let owned = |row| columns.row(row).into_iter().map(KeyCell::owned).collect();
            let mark =
                Mark { row: first, first: columns.cell(0, 0).owned(), group: first == start };
            let ends = Some([owned(0), owned(rows - 1)]);
            let ordered = columns.ascending(rows);
            let here = KeyIndex { ordered, marks: vec![mark], ends };
            index = std::mem::replace(&mut index, KeyIndex::of_nothing()).before(here);
            Ok(index.ordered)
        })?;
        Ok(index)
    }

    /// The rows of a key range. All of them when the rows are in no order.
    pub(crate) fn range(&self, key: &[Column], range: &KeyRange) -> Result<Range<u64>> {
        if range.lower.is_none() && range.upper.is_none() {
            return Ok(0..self.rows());
        }
        if !sortable(key) {
            return Err(unordered(self));
        }
        let index = self.key_index(key)?;
        if !index.ordered {
            return Err(unordered(self));
        }
        let row = |bound: &Option<Value>, none| match bound {
            Some(value) => self.lower_bound(&index, key, value),
            None => Ok(none),
        };
        let (start, end) = (row(&range.lower, 0)?, row(&range.upper, self.rows())?);
        Ok(start..end.max(start))
    }

    /// The first row whose key's first column is not less than `bound`.
    fn lower_bound(&self, index: &KeyIndex, key: &[Column], bound: &Value) -> Result<u64> {
        let bound = match bound {
            Value::Int(i) if key[0].carrier == Carrier::Unsigned => KeyCell::Wide((*i).into()),
            Value::Int(i) | Value::Stamp(i) | Value::Instant(i) => KeyCell::Int(*i),
            Value::Unsigned(u) => KeyCell::Wide((*u).into()),
            Value::Bool(b) => KeyCell::Int((*b).into()),
            Value::Date(day) => KeyCell::Int((*day).into()),
            Value::Decimal(digits, _) => KeyCell::Wide(*digits),
            Value::Text(text) => KeyCell::Bytes(key[0].collation.normalise(text)),
            Value::Blob(blob) => KeyCell::Bytes(Cow::Borrowed(blob)),
            Value::Null | Value::Real(_) => KeyCell::Null,
        };
        let after = index.marks.partition_point(|mark| mark.first < bound);
        let Some(before) = after.checked_sub(1) else { return Ok(0) };
        let start = index.marks[before].row;
        let end = index.marks.get(after).map_or(self.rows(), |mark| mark.row);
        let first = std::slice::from_ref(&key[0]);
        let mut found = end;
        let pairs = self.pairs(first)?;
        self.read(&pairs, start..end, &mut Tally::default(), |batch, row| {
            let columns = KeyColumns::of(&batch, first);
            let hit = (0..batch.num_rows()).find(|r| columns.cell(*r, 0) >= bound);
            if let Some(hit) = hit {
                found = row + hit as u64;
            }
            Ok(hit.is_none())
        })?;
        Ok(found)
    }

    /// The first row's key's first column, where the rows are in order.
    pub(crate) fn first_key(&self, key: &[Column]) -> Result<Option<Value>> {
        let index = self.key_index(key)?;
        Ok(index.ends.as_ref().and_then(|[first, _]| first[0].value(key[0].carrier)))
    }

    /// True when the rows are in key order, and begin behind those of `before`, which are.
    pub(crate) fn is_ordered_behind(&self, before: Option<&Self>, key: &[Column]) -> Result<bool> {
        if self.rows() == 0 {
            return Ok(true);
        }
        if !sortable(key) || !self.key_index(key)?.ordered {
            return Ok(false);
        }
        let Some(before) = before else { return Ok(true) };
        let (own, before) = (self.key_index(key)?, before.key_index(key)?);
        Ok(match (&before.ends, &own.ends) {
            (Some([_, last]), Some([first, _])) => last <= first,
            _ => false,
        })
    }

    /// The rows of these keys; keys that are not there are left out. NULLs match nothing.
    pub(crate) fn find(
        &self,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
        tally: &mut Tally,
    ) -> Result<Found> {
        let wanted = Wanted::of(keys, key);
        let (range, ordered) = self.around(key, &wanted)?;
        let (mut places, mut hits) = (Vec::new(), Vec::new());
        let mut reached = 0;
        self.read(&self.pairs(key)?, range, &mut Tally::default(), |batch, first| {
            let rows = KeyColumns::of(&batch, key);
            let mut hit = |row: usize, place: usize| {
                places.push(place);
                hits.push(first + row as u64);
            };
            if ordered {
                wanted.merge(&mut reached, &rows, batch.num_rows(), &mut hit);
                return Ok(reached < wanted.0.len());
            }
            for row in 0..batch.num_rows() {
                if let Ok(found) =
                    wanted.0.binary_search_by(|(cells, _)| rows.compare(row, cells).reverse())
                {
                    hit(row, wanted.0[found].1);
                }
            }
            Ok(true)
        })?;
        let rows = self.read_rows(&self.pairs(columns)?, &hits, tally)?;
        Ok(Found { places, rows })
    }

    /// The rows between the least and the greatest wanted key, and whether they are in order; all
    /// of them where they are in none.
    fn around(&self, key: &[Column], wanted: &Wanted<'_>) -> Result<(Range<u64>, bool)> {
        let all = 0..self.rows();
        let Some(((least, _), (most, _))) = wanted.0.first().zip(wanted.0.last()) else {
            return Ok((0..0, true));
        };
        if !sortable(key) {
            return Ok((all, false));
        }
        let index = self.key_index(key)?;
        if !index.ordered {
            return Ok((all, false));
        }
        let start = index.marks.partition_point(|mark| mark.first < least[0]).saturating_sub(1);
        let end = index.marks.partition_point(|mark| mark.first <= most[0]);
        let row = |mark: usize| index.marks.get(mark).map_or(all.end, |mark| mark.row);
        Ok((row(start)..row(end), true))
    }
}

fn unordered(table: &FileTable) -> Error {
    Error::failed(format!(
        "backup file {} is not in key order, so it has no key ranges",
        table.file().path().display()
    ))
}

impl KeyIndex {
    fn of_nothing() -> Self {
        Self { ordered: true, marks: Vec::new(), ends: None }
    }

    /// The index of these rows and those that follow them.
    fn before(mut self, next: Self) -> Self {
        let in_order = match (&self.ends, &next.ends) {
            (Some([_, last]), Some([first, _])) => last <= first,
            _ => true,
        };
        if !(self.ordered && next.ordered && in_order) {
            return Self { ordered: false, ..Self::of_nothing() };
        }
        self.marks.extend(next.marks);
        let ends = match (self.ends, next.ends) {
            (Some([first, _]), Some([_, last])) => Some([first, last]),
            (one, other) => one.or(other),
        };
        Self { ends, ..self }
    }

    /// Up to `parts - 1` keys that divide the rows evenly, at row group boundaries where
    /// those are near.
    fn splits(&self, rows: u64, parts: usize, carrier: Carrier) -> Vec<Value> {
        let mut splits: Vec<&KeyCell<'static>> = Vec::new();
        let part = rows / parts.max(1) as u64;
        for number in 1..parts as u64 {
            let ideal = number * part;
            let nearest = |groups: bool| {
                self.marks
                    .iter()
                    .skip(1)
                    .filter(|mark| mark.group || !groups)
                    .min_by_key(|mark| mark.row.abs_diff(ideal))
            };
            let mark = nearest(true)
                .filter(|mark| mark.row.abs_diff(ideal) <= part / 4)
                .or_else(|| nearest(false));
            if let Some(mark) = mark
                && mark.first != KeyCell::Null
                && self.marks.first().is_some_and(|first| first.first < mark.first)
                && splits.last().is_none_or(|last| **last < mark.first)
            {
                splits.push(&mark.first);
            }
        }
        splits.into_iter().filter_map(|cell| cell.value(carrier)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::fit::carry::carry_rows;

    fn keys(rows: &[(i64, Option<u8>)]) -> RecordBatch {
        let text = |byte: &Option<u8>| byte.map_or(Value::Null, |b| Value::Text(vec![b'a' + b]));
        let rows: Vec<Vec<Value>> =
            rows.iter().map(|(id, byte)| vec![Value::Int(*id), text(byte)]).collect();
        carry_rows(&columns(), &rows).unwrap()
    }

    fn columns() -> Vec<Column> {
        vec![Column::new("id", Carrier::Int), Column::new("name", Carrier::Text)]
    }

    #[test]
    fn what_holds_from_some_number_on_is_found() {
        for end in 0..40 {
            for start in 0..=end {
                for first in start..=end {
                    assert_eq!(first_from(start, end, |number| number >= first), first);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn k4_keys_are_found_in_order_as_they_are_without(
            rows in vec((0..9_i64, prop::option::of(0..3_u8)), 0..60),
            wanted in vec((0..9_i64, prop::option::of(0..3_u8)), 0..12),
            cut in 0..60_usize,
        ) {
            let (mut rows, columns) = (rows, columns());
            rows.sort();
            let batch = keys(&wanted);
            let sought = Wanted::of(&batch, &columns);
            let mut expected = Vec::new();
            for (row, key) in rows.iter().enumerate() {
                if let Some(place) = wanted.iter().position(|w| w == key && w.1.is_some()) {
                    expected.push((row, place));
                }
            }
            // In two batches, between which equal keys may be cut.
            let cut = cut.min(rows.len());
            let (mut found, mut reached) = (Vec::new(), 0);
            for (start, part) in [(0, &rows[..cut]), (cut, &rows[cut..])] {
                let batch = keys(part);
                let part_keys = KeyColumns::of(&batch, &columns);
                prop_assert!(part_keys.ascending(part.len()));
                let mut hit = |row, place| found.push((start + row, place));
                sought.merge(&mut reached, &part_keys, part.len(), &mut hit);
            }
            prop_assert_eq!(found, expected);
        }
    }
}
