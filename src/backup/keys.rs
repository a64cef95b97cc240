//! The key of a table in a file: whether its rows are in key order, where key ranges begin,
//! and in which rows given keys stand.
//!
//! Order is that of the merge: NULLs first, integers by value, text and blobs by their
//! bytes once the collation has normalised them. Keys are fitted into live's columns
//! first, for a timestamp's order is not always that of its text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};

use crate::backup::table::FileTable;
use crate::error::Result;
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    fn index(&self, key: &[Column]) -> Result<KeyIndex> {
        let pairs = self.pairs(key)?;
        let mut index = KeyIndex { ordered: true, marks: Vec::new(), ends: None };
        let mut first_key = None;
        let mut last: Option<Vec<KeyCell<'static>>> = None;
        let mut starts = self.group_starts();
        starts.push(self.rows());
        for group in starts.windows(2) {
            self.read(&pairs, group[0]..group[1], &mut Tally::default(), |batch, first| {
                let rows = batch.num_rows();
                if rows == 0 {
                    return Ok(true);
                }
                let columns = KeyColumns::of(&batch, key);
                index.marks.push(Mark {
                    row: first,
                    first: columns.cell(0, 0).owned(),
                    group: first == group[0],
                });
                index.ordered = index.ordered
                    && last.as_ref().is_none_or(|last| *last <= columns.row(0))
                    && columns.ascending(rows);
                let owned = |row| columns.row(row).into_iter().map(KeyCell::owned).collect();
                first_key.get_or_insert_with(|| owned(0));
                last = Some(owned(rows - 1));
                Ok(index.ordered)
            })?;
            if !index.ordered {
                index.marks.clear();
                return Ok(index);
            }
        }
        index.ends = first_key.zip(last).map(|(first, last)| [first, last]);
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
        let wanted_keys = KeyColumns::of(keys, key);
        let mut wanted: HashMap<Vec<KeyCell<'_>>, usize> = HashMap::new();
        for row in 0..keys.num_rows() {
            let cells = wanted_keys.row(row);
            if !cells.contains(&KeyCell::Null) {
                wanted.entry(cells).or_insert(row);
            }
        }
        let range = self.around(key, &wanted)?;
        let (mut places, mut hits) = (Vec::new(), Vec::new());
        self.read(&self.pairs(key)?, range, &mut Tally::default(), |batch, first| {
            let found = KeyColumns::of(&batch, key);
            for row in 0..batch.num_rows() {
                if let Some(place) = wanted.get(&found.row(row)) {
                    places.push(*place);
                    hits.push(first + row as u64);
                }
            }
            Ok(true)
        })?;
        let rows = self.read_rows(&self.pairs(columns)?, &hits, tally)?;
        Ok(Found { places, rows })
    }

    /// The rows between the least and the greatest wanted key, where the rows are in order.
    fn around(
        &self,
        key: &[Column],
        wanted: &HashMap<Vec<KeyCell<'_>>, usize>,
    ) -> Result<Range<u64>> {
        let all = 0..self.rows();
        let firsts = wanted.keys().filter_map(|cells| cells.first());
        let (Some(least), Some(most)) = (firsts.clone().min(), firsts.max()) else {
            return Ok(0..0);
        };
        if !sortable(key) {
            return Ok(all);
        }
        let index = self.key_index(key)?;
        if !index.ordered {
            return Ok(all);
        }
        let start = index.marks.partition_point(|mark| mark.first < *least).saturating_sub(1);
        let end = index.marks.partition_point(|mark| mark.first <= *most);
        let row = |mark: usize| index.marks.get(mark).map_or(all.end, |mark| mark.row);
        Ok(row(start)..row(end))
    }
}

fn unordered(table: &FileTable) -> crate::error::Error {
    crate::error::Error::failed(format!(
        "backup file {} is not in key order, so it has no key ranges",
        table.file().path().display()
    ))
}

impl KeyIndex {
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
