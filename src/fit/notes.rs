//! What was read in another dress than live's, counted a column, for the summary.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use crate::model::table::TableName;

/// A way in which a file's values differ in dress from live's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// An integral float where live has integers: how pandas writes nullable integers.
    FloatForInteger,
    /// NaN, which SQLite stores as NULL.
    NanForNull,
    /// A boolean where live has 0 and 1.
    BooleanForNumber,
    /// A number where live has true and false.
    NumberForBoolean,
    /// A float where live has decimals: the decimal that it was printed from.
    FloatForDecimal,
    /// A double whose decimal is that of a single, where live has singles.
    DoubleForSingle,
    /// A number where live has text.
    NumberForText,
    /// Bytes where live has text; they stay a BLOB.
    BytesForText,
    /// Bytes where live has text of UTF-8 only.
    BytesAsText,
    /// A date where live has moments: its midnight.
    DateForMoment,
    /// A moment at midnight where live has dates.
    MomentForDate,
    /// A typed moment where live has shown no text form; the usual one was taken.
    TextFormAssumed,
    /// A moment with finer digits than live's form; written longer, exactly.
    LongerMoment,
    /// A moment with a zone where live has none, taken in UTC; or the reverse.
    ZoneByUtc,
    /// A text moment of another form, written again in live's.
    MomentRewritten,
    /// Milliseconds since 1970 where live has moments.
    EpochMillis,
    /// `None`, `NaN` and the like where live has no free text, taken as NULL.
    WordForNull,
    /// `None`, `NaN` and the like in a text column, kept as text.
    WordKept,
    /// An unquoted empty CSV field in a text column whose file quotes no empty field.
    EmptyForNull,
    /// A nested JSON value, carried as its compact text.
    NestedJson,
    /// A JSON row without this member, taken as NULL.
    MemberMissing,
    /// A numeral whose nearest double SQLite's own reading may miss
    /// ([`doubtful`](crate::fit::affinity::doubtful)).
    NearestDouble,
}

impl fmt::Display for Habit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Habit::FloatForInteger => "a float where live has integers, read as integer",
            Habit::NanForNull => "NaN, read as NULL",
            Habit::BooleanForNumber => "a boolean where live has numbers, read as 0 or 1",
            Habit::NumberForBoolean => "a number where live has true and false, 0 or 1",
            Habit::FloatForDecimal => "a float where live has decimals, read as its shortest text",
            Habit::DoubleForSingle => "a double where live has singles, read as its shortest text",
            Habit::NumberForText => "a number where live has text, read as its text",
            Habit::BytesForText => "bytes where live has text, kept as a blob",
            Habit::BytesAsText => "bytes where live has text, read as UTF-8",
            Habit::DateForMoment => "a date where live has moments, read as its midnight",
            Habit::MomentForDate => "a moment at midnight where live has dates, read as its date",
            Habit::TextFormAssumed => "a moment; live shows no form of its own, text form assumed",
            Habit::LongerMoment => "a moment finer than live's text form, written longer",
            Habit::ZoneByUtc => "a moment whose zone live has otherwise, taken as UTC",
            Habit::MomentRewritten => "a moment in another text form, written in live's",
            Habit::EpochMillis => "milliseconds since 1970, read as a moment",
            Habit::WordForNull => "a word such as None or NaN, read as NULL",
            Habit::WordKept => "a word such as None or NaN, kept as text: was it NULL?",
            Habit::EmptyForNull => "an unquoted empty field, read as NULL: was it empty text?",
            Habit::NestedJson => "nested JSON, read as its compact text",
            Habit::MemberMissing => "a row without this member, read as NULL",
            Habit::NearestDouble => {
                "a long or far numeral, read as its nearest double; the same text written by SQLite \
                 can differ in the last of 17 digits"
            }
        })
    }
}

/// Counts of one reading: by column and habit.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(String, Habit), u64>,
}

impl Tally {
    /// Counts `n` values of `column`; nothing for 0.
    pub fn add(&mut self, column: &str, habit: Habit, n: usize) {
        if n == 0 {
            return;
        }
        match self.counts.get_mut(&(column.to_owned(), habit)) {
            Some(count) => *count += n as u64,
            None => {
                self.counts.insert((column.to_owned(), habit), n as u64);
            }
        }
    }

    /// Takes in the counts of another.
    pub(crate) fn join(&mut self, other: &Tally) {
        for ((column, habit), count) in &other.counts {
            *self.counts.entry((column.clone(), *habit)).or_default() += count;
        }
    }

    /// How many values of `column` had this habit.
    pub fn count(&self, column: &str, habit: Habit) -> u64 {
        self.counts.get(&(column.to_owned(), habit)).copied().unwrap_or(0)
    }

    /// The one habit that one value showed.
    #[cfg(test)]
    pub(crate) fn only(&self) -> Option<Habit> {
        assert!(self.counts.len() <= 1 && self.counts.values().all(|count| *count == 1));
        self.counts.keys().next().map(|(_, habit)| *habit)
    }

    /// True when nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// The tallies of all readings of a source. A table may be read more than once: a second
/// reading of the same part counts nothing twice.
#[derive(Debug, Default)]
pub struct FitNotes {
    parts: Mutex<BTreeMap<(TableName, String), Tally>>,
    said: Mutex<BTreeMap<TableName, Vec<String>>>,
}

impl FitNotes {
    /// Takes the tally of one reading of `part` (a key range, in words) of `table`.
    pub fn record(&self, table: &TableName, part: &str, tally: &Tally) {
        if tally.is_empty() {
            return;
        }
        let mut parts = self.parts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = parts.entry((table.clone(), part.to_owned())).or_default();
        for (what, count) in &tally.counts {
            let seen = known.counts.entry(what.clone()).or_default();
            *seen = (*seen).max(*count);
        }
    }

    /// Takes what a table's file was found to be like as a whole, a line each.
    pub fn say(&self, table: &TableName, lines: &[String]) {
        if !lines.is_empty() {
            let mut said = self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            said.insert(table.clone(), lines.to_vec());
        }
    }

    /// What was said of whole files, then one line a column and habit: `events.calendar_id: 12 values are a float where ..`.
    pub fn lines(&self) -> Vec<String> {
        let parts = self.parts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut sums: BTreeMap<(&TableName, &str, Habit), u64> = BTreeMap::new();
        for ((table, _), tally) in parts.iter() {
            for ((column, habit), count) in &tally.counts {
                *sums.entry((table, column, *habit)).or_default() += count;
            }
        }
        let said = self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let habits = sums.into_iter().map(|((table, column, habit), count)| {
            let values = if count == 1 { "value is" } else { "values are" };
            format!("{table}.{column}: {count} {values} {habit}")
        });
        said.values().flatten().cloned().chain(habits).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reading_counts_nothing_twice() {
        let notes = FitNotes::default();
        let table = TableName::bare("t");
        let mut tally = Tally::default();
        tally.add("a", Habit::NanForNull, 2);
        notes.record(&table, "..5", &tally);
        notes.record(&table, "5..", &tally);
        notes.record(&table, "..5", &tally);
        assert_eq!(notes.lines(), ["t.a: 4 values are NaN, read as NULL"]);
    }
}
