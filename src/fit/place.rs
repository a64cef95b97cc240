//! Where a value stands, so that an error can name it.

use std::fmt::Display;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{Error, Result};
use crate::fit::carry::{Carried, CarrierBuilder};
use crate::fit::notes::{Habit, Tally};
use crate::model::table::{Carrier, Column, TableName};

/// The column that values are fitted into, and where in the backup they come from.
#[derive(Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a TableName,
    /// The column as live has it.
    pub column: &'a Column,
    /// Which rows of the file the array's rows are.
    pub rows: Rows<'a>,
    /// What was read in another dress than live's.
    pub tally: &'a mut Tally,
}

/// Which rows an array's rows are: their numbers in the file, counted from 0, or their keys.
#[derive(Clone, Copy, Debug)]
pub enum Rows<'a> {
    /// Consecutive from this one on.
    From(u64),
    /// These.
    At(&'a [u64]),
    /// Rows of a database, told by their cells in these columns of the batch.
    Keyed(&'a RecordBatch, &'a [usize]),
}

impl Rows<'_> {
    /// Which row it is, in an error's words.
    fn words(self, row: usize) -> Option<String> {
        match self {
            Rows::From(first) => Some(format!("row {}", first + row as u64 + 1)),
            Rows::At(rows) => rows.get(row).map(|number| format!("row {}", number + 1)),
            Rows::Keyed(batch, key) => {
                let options = FormatOptions::default().with_null("NULL");
                let cells = key.iter().map(|column| {
                    let cells = ArrayFormatter::try_new(batch.column(*column), &options).ok()?;
                    let name = batch.schema_ref().field(*column).name();
                    Some(format!("{name} {}", cells.value(row).to_string().escape_debug()))
                });
                let cells = cells.collect::<Option<Vec<String>>>()?;
                (!cells.is_empty()).then(|| format!("the row with {}", cells.join(", ")))
            }
        }
    }
}

impl Place<'_> {
    /// Carries a column value by value: `each` pushes the value of a row, with a buffer at
    /// hand, and tells the habits that it showed; else what the row holds, in an error's words.
    pub(crate) fn carry<const HABITS: usize>(
        &mut self,
        rows: usize,
        mut each: impl FnMut(
            usize,
            &mut Vec<u8>,
            &mut CarrierBuilder,
        ) -> std::result::Result<[Option<Habit>; HABITS], String>,
    ) -> Result<Carried> {
        let mut out = CarrierBuilder::new(self.column.carrier, rows);
        let mut scratch = Vec::new();
        let mut counts: Vec<(Habit, usize)> = Vec::new();
        for row in 0..rows {
            scratch.clear();
            let habits =
                each(row, &mut scratch, &mut out).map_err(|found| self.unfit(row, found))?;
            for habit in habits.into_iter().flatten() {
                match counts.iter_mut().find(|(known, _)| *known == habit) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((habit, 1)),
                }
            }
        }
        for (habit, count) in counts {
            self.tally.add(&self.column.name, habit, count);
        }
        Ok(out.finish())
    }

    /// The error for a value that live's column can't hold exactly.
    pub fn unfit(&self, row: usize, found: impl Display) -> Error {
        let row = self.rows.words(row).map(|row| format!(" in {row}"));
        self.refusal(&row.unwrap_or_default(), found).unfit()
    }

    /// The error for a column none of whose values live's column can hold.
    pub fn unfit_column(&self, found: impl Display) -> Error {
        self.refusal("", found)
    }

    fn refusal(&self, row: &str, found: impl Display) -> Error {
        let (table, column) = (&self.table, self.column);
        Error::failed(format!(
            "backup column {table}.{}{row} holds {found}; live's column ({}) takes {}",
            column.name,
            if column.declared.is_empty() { "no declared type" } else { &column.declared },
            takes(column),
        ))
        .hint(format!("compare without the column: --ignore {}", column.name))
    }
}

/// What a column takes, in words.
pub fn takes(column: &Column) -> &'static str {
    match (column.carrier, column.time_form) {
        (Carrier::Text, Some(_)) => "moments as text",
        (Carrier::Text, None) => "text",
        (Carrier::Int, _) => "integers",
        (Carrier::Real, _) => "reals",
        (Carrier::Number, _) => "numbers",
        (Carrier::Blob, _) => "blobs",
        (Carrier::Unsigned, _) => "integers from 0 on",
        (Carrier::Bool, _) => "true and false",
        (Carrier::Date, _) => "dates",
        (Carrier::Stamp, _) => "moments without a zone",
        (Carrier::Instant, _) => "moments with a zone",
        (Carrier::Decimal { .. }, _) => "decimal numbers of its scale",
    }
}
