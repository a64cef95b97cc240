//! Where live's rows stand, next to a plan's images.
//!
//! Rows are compared cell by cell, storage class and bytes, with the decoder that the diff
//! used; whole columns first, since nearly all rows of a batch stand alike. No I/O here.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::take_record_batch;

use crate::error::{Error, Result};
use crate::model::conflict::{Conflict, Reason};
use crate::model::plan::{Batch, Op, TablePlan};
use crate::model::table::{Column, scan_schema};
use crate::model::value::{Cells, EXACT, ValueRef};

/// The columns that are read to judge a table's rows: all of the images, and where a
/// trigger may change a row besides, all of the table.
pub(crate) fn columns(plan: &TablePlan) -> Vec<Column> {
    let mut columns = plan.before.clone();
    let mut add = |more: &[Column]| {
        for column in more {
            if columns.iter().all(|c| c.name != column.name) {
                columns.push(column.clone());
            }
        }
    };
    add(&plan.after);
    if plan.op == Op::Update && plan.fires() {
        add(&plan.schema.columns);
    }
    columns
}

/// The columns that live fills in by itself where a row is inserted: the plan has no value of theirs.
pub(crate) fn filled(plan: &TablePlan) -> Vec<Column> {
    let own = |column: &&Column| {
        !column.generated && plan.after.iter().all(|planned| planned.name != column.name)
    };
    match plan.op {
        Op::Insert => plan.schema.columns.iter().filter(own).cloned().collect(),
        Op::Update | Op::Delete => Vec::new(),
    }
}

fn is_generated(plan: &TablePlan, column: &Column) -> bool {
    plan.schema.column(&column.name).is_some_and(|c| c.generated)
}

/// The image that rows are found by: its first columns are the key's.
pub(crate) fn keys(batch: &Batch) -> Result<&RecordBatch> {
    batch
        .before
        .as_ref()
        .or(batch.after.as_ref())
        .ok_or_else(|| Error::refused("the plan has a batch without images"))
}

/// Only these rows of an image.
pub(crate) fn take(image: &RecordBatch, rows: &[usize]) -> Result<RecordBatch> {
    if rows.len() == image.num_rows() {
        return Ok(image.clone());
    }
    let rows: UInt32Array = rows.iter().map(|r| *r as u32).collect();
    Ok(take_record_batch(image, &rows)?)
}

/// The rows `rows` of a batch as live holds them before the write, or, once `written`, after it: the
/// columns `columns` out of the images. `None` where the images don't say it, and where some cell of
/// theirs is a misfit.
pub(crate) fn expected(
    plan: &TablePlan,
    (batch, rows): (&Batch, &[usize]),
    columns: &[Column],
    written: bool,
) -> Result<Option<RecordBatch>> {
    let images = match (written, plan.op) {
        (true, Op::Delete) | (false, Op::Insert) => return Ok(None),
        (true, _) => [batch.after.as_ref(), batch.before.as_ref()],
        (false, _) => [batch.before.as_ref(), None],
    };
    let misfits = |image: &RecordBatch| {
        let exact = image.column_by_name(EXACT).and_then(|e| e.as_binary_opt::<i32>());
        exact.is_none_or(|exact| exact.null_count() < exact.len())
    };
    if images.iter().flatten().any(|image| misfits(image)) {
        return Ok(None);
    }
    let mut arrays = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        // What is generated follows what is written.
        let kept = if written && is_generated(plan, column) { 1 } else { 2 };
        match images[..kept].iter().flatten().find_map(|image| image.column_by_name(&column.name)) {
            Some(array) => arrays.push(Arc::clone(array)),
            None => return Ok(None),
        }
    }
    arrays.push(Arc::new(BinaryArray::new_null(batch.rows())));
    Ok(Some(take(&RecordBatch::try_new(scan_schema(columns), arrays)?, rows)?))
}

/// Where a row of live stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As before the write, so it may be written.
    Before,
    /// As after the write.
    After,
    /// As neither: why it is left alone, with details.
    Neither(Reason, String),
}

/// An image of a batch, before or after the write, beside what was read.
struct Image<'a> {
    image: Option<&'a RecordBatch>,
    cells: Option<Cells<'a>>,
    columns: &'a [Column],
    /// For each of its columns: its place among those that are read.
    places: Vec<usize>,
    /// The rows that whole columns show to be as in it, once somebody asked.
    alike: OnceLock<BooleanBuffer>,
}

impl<'a> Image<'a> {
    fn new(image: &'a Option<RecordBatch>, columns: &'a [Column], read: &[Column]) -> Result<Self> {
        let place = |own: &Column| read.iter().position(|c| c.name == own.name);
        Ok(Self {
            image: image.as_ref(),
            cells: image.as_ref().map(|i| Cells::of(i, columns)).transpose()?,
            columns,
            places: columns.iter().filter_map(place).collect(),
            alike: OnceLock::new(),
        })
    }
}

/// Live's rows beside the images of one batch.
pub(crate) struct Judge<'a> {
    plan: &'a TablePlan,
    rows: &'a [usize],
    before: Image<'a>,
    after: Image<'a>,
    read: &'a RecordBatch,
    live: Cells<'a>,
    exists: &'a [bool],
    columns: &'a [Column],
}

impl<'a> Judge<'a> {
    /// `live` was read with [`columns`], and holds the batch's rows `rows`, in their order.
    pub(crate) fn new(
        plan: &'a TablePlan,
        (batch, rows): (&'a Batch, &'a [usize]),
        columns: &'a [Column],
        (live, exists): (&'a RecordBatch, &'a [bool]),
    ) -> Result<Self> {
        Ok(Self {
            plan,
            rows,
            before: Image::new(&batch.before, &plan.before, columns)?,
            after: Image::new(&batch.after, &plan.after, columns)?,
            read: live,
            live: Cells::of(live, columns)?,
            exists,
            columns,
        })
    }

    /// Where live's row `at` stands.
    pub(crate) fn standing(&self, at: usize) -> Result<Standing> {
        let exists = self.exists[at];
        Ok(match self.plan.op {
            Op::Insert if !exists => Standing::Before,
            Op::Insert => match self.first(&self.after, at)? {
                None => Standing::After,
                Some(_) => {
                    let differing = self.differing(&self.after, at)?;
                    Standing::Neither(
                        Reason::Exists,
                        format!("a row with this key differs in {differing}"),
                    )
                }
            },
            Op::Delete if !exists => Standing::After,
            Op::Update if !exists => {
                Standing::Neither(Reason::NotFound, "the row is gone".to_owned())
            }
            Op::Update if self.first(&self.after, at)?.is_none() => Standing::After,
            Op::Update | Op::Delete => match self.first(&self.before, at)? {
                None => Standing::Before,
                Some(_) => {
                    let differing = self.differing(&self.before, at)?;
                    Standing::Neither(Reason::Data, format!("{differing} changed"))
                }
            },
        })
    }

    /// The rows, by their places, that are not just as planned when read again after the write,
    /// and how each differs. `earlier` are the rows as they were before the write, and where each
    /// row stands there: columns that are not written must not have moved.
    pub(crate) fn inexact(
        &self,
        earlier: Option<(&Judge<'_>, &[usize])>,
    ) -> Result<Vec<(usize, String)>> {
        let earlier = earlier.filter(|_| self.plan.op == Op::Update);
        let still = earlier.map(|(earlier, places)| self.still(earlier, places));
        let mut odd = Vec::new();
        for at in 0..self.rows.len() {
            let moved = still.as_ref().is_some_and(|still| !still.value(at));
            let was = earlier.filter(|_| moved).map(|(earlier, places)| (earlier, places[at]));
            odd.extend(self.inexact_row(at, was)?.map(|detail| (at, detail)));
        }
        Ok(odd)
    }

    fn inexact_row(
        &self,
        at: usize,
        earlier: Option<(&Judge<'_>, usize)>,
    ) -> Result<Option<String>> {
        if self.plan.op == Op::Delete {
            return Ok(self.exists[at].then(|| "the row is still there".to_owned()));
        }
        if !self.exists[at] {
            return Ok(Some("the row is not found after its write".to_owned()));
        }
        if let Some(column) = self.first(&self.after, at)?
            && let Some(after) = &self.after.cells
        {
            let planned = class(after.get(self.rows[at], column)?);
            let stored = class(self.live.get(at, self.after.places[column])?);
            let name = &self.plan.after[column].name;
            return Ok(Some(if planned == stored {
                format!("{name}: live stores another {stored}")
            } else {
                format!("{name}: planned as {planned}, live stores {stored}")
            }));
        }
        let Some((earlier, was_at)) = earlier else { return Ok(None) };
        for (place, column) in self.columns.iter().enumerate() {
            if self.stays(place) && self.live.get(at, place)? != earlier.live.get(was_at, place)? {
                let detail = format!("{}: a trigger changes it, which is not planned", column.name);
                return Ok(Some(detail));
            }
        }
        Ok(None)
    }

    /// True for a column that must not move: it is not written, and not generated from what is.
    fn stays(&self, place: usize) -> bool {
        !self.after.places.contains(&place) && !is_generated(self.plan, &self.columns[place])
    }

    /// The rows that whole columns show to be as they were, but for what is written. Of the others
    /// nothing is said.
    fn still(&self, earlier: &Judge<'_>, places: &[usize]) -> BooleanBuffer {
        let kept = (0..self.columns.len()).filter(|place| self.stays(*place));
        let names = kept.map(|place| self.columns[place].name.as_str()).map(|name| (name, name));
        let compared = take(earlier.read, places).ok().and_then(|was| same(&was, self.read, names));
        compared.unwrap_or_else(|| BooleanBuffer::new_unset(self.read.num_rows()))
    }

    /// The first column of an image in which live differs.
    fn first(&self, image: &Image<'a>, at: usize) -> Result<Option<usize>> {
        if image.alike.get_or_init(|| self.alike(image)).value(at) {
            return Ok(None);
        }
        let Some(cells) = &image.cells else {
            return Err(Error::refused(format!(
                "the plan has a batch of {} without its image",
                self.plan.table
            )));
        };
        for (column, place) in image.places.iter().enumerate() {
            if cells.get(self.rows[at], column)? != self.live.get(at, *place)? {
                return Ok(Some(column));
            }
        }
        Ok(None)
    }

    /// The rows that whole columns show to be as in an image. Of the others nothing is said: a
    /// cell that its carrier can't hold is looked at by itself.
    fn alike(&self, image: &Image<'a>) -> BooleanBuffer {
        let compared = || {
            let whole = image.columns.len() == image.places.len();
            let there = take(image.image.filter(|_| whole)?, self.rows).ok()?;
            let names = image.columns.iter().zip(&image.places);
            let names = names.map(|(c, place)| (c.name.as_str(), &*self.columns[*place].name));
            same(&there, self.read, names)
        };
        compared().unwrap_or_else(|| BooleanBuffer::new_unset(self.read.num_rows()))
    }

    fn differing(&self, image: &Image<'a>, at: usize) -> Result<String> {
        let Some(cells) = &image.cells else { return Ok(String::new()) };
        let mut names = Vec::new();
        for (column, place) in image.places.iter().enumerate() {
            if cells.get(self.rows[at], column)? != self.live.get(at, *place)? {
                names.push(self.columns[*place].name.as_str());
            }
        }
        Ok(names.join(", "))
    }
}

/// The rows of two batches whose columns, by their names there and here, are shown to be the same,
/// without a misfit in either.
fn same<'n>(
    there: &RecordBatch,
    here: &RecordBatch,
    names: impl Iterator<Item = (&'n str, &'n str)>,
) -> Option<BooleanBuffer> {
    let mut same = BooleanBuffer::new_set(here.num_rows());
    for (theirs, ours) in names {
        let (theirs, ours) = (there.column_by_name(theirs)?, here.column_by_name(ours)?);
        // What was found to stand as expected is the expected array itself.
        if !Arc::ptr_eq(theirs, ours) {
            same = &same & not_distinct(theirs, ours).ok()?.values();
        }
    }
    for rows in [there, here] {
        let exact = rows.column_by_name(EXACT)?;
        if let Some(held) = exact.nulls().filter(|n| n.null_count() < n.len()) {
            same = &same & &!held.inner();
        } else if exact.null_count() < exact.len() {
            return None;
        }
    }
    Some(same)
}

fn class(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "NULL",
        ValueRef::Int(_) => "INTEGER",
        ValueRef::Real(_) => "REAL",
        ValueRef::Text(_) => "TEXT",
        ValueRef::Blob(_) => "BLOB",
        ValueRef::Unsigned(_) => "an unsigned integer",
        ValueRef::Bool(_) => "a truth value",
        ValueRef::Date(_) => "a date",
        ValueRef::Stamp(_) => "a moment",
        ValueRef::Instant(_) => "an instant",
        ValueRef::Decimal(..) => "a decimal",
    }
}

/// A conflict over one row of a batch.
pub(crate) fn conflict(
    plan: &TablePlan,
    batch: &Batch,
    row: usize,
    reason: Reason,
    detail: String,
) -> Result<Conflict> {
    let image = keys(batch)?;
    let columns = if batch.before.is_some() { &plan.before } else { &plan.after };
    let cells = Cells::of(image, columns)?;
    let mut key = serde_json::Map::new();
    for name in &plan.key.columns {
        if let Some(i) = columns.iter().position(|c| c.name == *name) {
            key.insert(name.clone(), cells.get(row, i)?.to_json());
        }
    }
    Ok(Conflict { table: plan.table.to_string(), key: key.into(), reason, detail })
}
