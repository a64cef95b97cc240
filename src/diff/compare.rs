//! Comparing the columns of matched rows: whole runs at once, and single cells only where
//! a run is not equal or a row holds misfits.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt64Type,
};

use crate::diff::spec::{DiffSpec, PairLoss};
use crate::error::{Error, Result};
use crate::model::change::differs;
use crate::model::origin::FROM;
use crate::model::side::Side;
use crate::model::table::Carrier;
use crate::model::value::{Cells, EXACT};

/// `len` rows of the backup from `backup`, matched with as many of live from `live`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) backup: usize,
    pub(crate) live: usize,
    pub(crate) len: usize,
}

/// Which compared columns differ in which pairs. A pair's number counts through the runs.
#[derive(Debug)]
pub(crate) struct Differences {
    width: usize,
    mask: Vec<u8>,
    dirty: Vec<bool>,
    any: bool,
}

impl Differences {
    fn new(pairs: usize, width: usize) -> Self {
        Self { width, mask: vec![0; pairs * width], dirty: vec![false; pairs], any: false }
    }

    /// True when some pair differs.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// True when the pair differs in some column.
    pub(crate) fn differs(&self, pair: usize) -> bool {
        self.dirty[pair]
    }

    /// The pair's bits.
    pub(crate) fn mask(&self, pair: usize) -> &[u8] {
        &self.mask[pair * self.width..(pair + 1) * self.width]
    }

    fn mark(&mut self, pair: usize, column: usize) {
        self.mask[pair * self.width + column / 8] |= 1 << (column % 8);
        self.dirty[pair] = true;
        self.any = true;
    }

    fn clear(&mut self, pair: usize, column: usize) {
        self.mask[pair * self.width + column / 8] &= !(1 << (column % 8));
        self.dirty[pair] = self.mask(pair).iter().any(|byte| *byte != 0);
    }
}

#[derive(Debug)]
struct Slot {
    index: Side<usize>,
    name: Side<String>,
    carrier: Side<Carrier>,
}

/// Compares the columns that a [`DiffSpec`] names.
#[derive(Debug)]
pub(crate) struct Comparator {
    slots: Vec<Slot>,
    width: usize,
    loss: Vec<PairLoss>,
}

impl Comparator {
    /// For scans whose columns are [`DiffSpec::read`]'s.
    pub(crate) fn new(spec: &DiffSpec) -> Result<Self> {
        let read = Side {
            backup: spec.read(crate::model::side::Which::Backup)?,
            live: spec.read(crate::model::side::Which::Live)?,
        };
        let slots = spec
            .compare
            .iter()
            .map(|pair| {
                let find = |columns: &[crate::model::table::Column], name: &str| {
                    columns.iter().position(|c| c.name == name)
                };
                let index = Side {
                    backup: find(&read.backup, &pair.backup.name),
                    live: find(&read.live, &pair.live.name),
                };
                let (Some(backup), Some(live)) = (index.backup, index.live) else {
                    return Err(Error::failed("a compared column is not read"));
                };
                Ok(Slot {
                    index: Side { backup, live },
                    name: pair.as_ref().map(|c| c.name.clone()),
                    carrier: pair.as_ref().map(|c| c.carrier),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { slots, width: spec.mask_width(), loss: spec.loss.clone() })
    }

    /// Compares the pairs of `runs`.
    pub(crate) fn compare(
        &self,
        backup: &RecordBatch,
        live: &RecordBatch,
        runs: &[Run],
    ) -> Result<Differences> {
        let pairs = runs.iter().map(|run| run.len).sum();
        let mut found = Differences::new(pairs, self.width);
        if self.slots.is_empty() {
            return Ok(found);
        }
        let mut unlike = false;
        for (column, slot) in self.slots.iter().enumerate() {
            if slot.carrier.backup != slot.carrier.live {
                unlike = true;
                continue;
            }
            let (a, b) = (backup.column(slot.index.backup), live.column(slot.index.live));
            compare_column(a, b, runs, |pair| found.mark(pair, column))?;
        }
        if unlike || has_misfits(backup) || has_misfits(live) {
            self.recheck(backup, live, runs, &mut found)?;
        }
        Ok(found)
    }

    /// Takes back the differences that a loss of the backup explains, and tells `lost` of each
    /// by its place in [`DiffSpec::loss`].
    pub(crate) fn forgive(
        &self,
        (backup, live): (&RecordBatch, &RecordBatch),
        runs: &[Run],
        found: &mut Differences,
        mut lost: impl FnMut(usize),
    ) -> Result<()> {
        if self.loss.is_empty() || !found.any() {
            return Ok(());
        }
        let from = backup.column_by_name(FROM).map(|from| from.as_primitive::<Int64Type>());
        let of = |loss: &PairLoss, row: usize| match loss.backup {
            None => true,
            Some(number) => from.is_some_and(|from| from.value(row) == i64::from(number)),
        };
        let cells = Side {
            backup: Cells::new(backup, self.names(|s| (&s.name.backup, s.carrier.backup)), EXACT)?,
            live: Cells::new(live, self.names(|s| (&s.name.live, s.carrier.live)), EXACT)?,
        };
        let mut first = 0;
        for run in runs {
            for k in (0..run.len).filter(|k| found.dirty[first + k]).collect::<Vec<_>>() {
                for (index, lossy) in self.loss.iter().enumerate() {
                    let (b, l) = (run.backup + k, run.live + k);
                    if differs(found.mask(first + k), lossy.pair)
                        && of(lossy, b)
                        && lossy.loss.explains(
                            cells.backup.get(b, lossy.pair)?,
                            cells.live.get(l, lossy.pair)?,
                        )
                    {
                        found.clear(first + k, lossy.pair);
                        lost(index);
                    }
                }
            }
            first += run.len;
        }
        Ok(())
    }

    /// Compares single cells exactly: those of columns that travel differently on the two
    /// sides, and in rows with misfits those that the carriers leave NULL.
    fn recheck(
        &self,
        backup: &RecordBatch,
        live: &RecordBatch,
        runs: &[Run],
        found: &mut Differences,
    ) -> Result<()> {
        let cells = Side {
            backup: Cells::new(backup, self.names(|s| (&s.name.backup, s.carrier.backup)), EXACT)?,
            live: Cells::new(live, self.names(|s| (&s.name.live, s.carrier.live)), EXACT)?,
        };
        let exact = Side { backup: exact_column(backup)?, live: exact_column(live)? };
        let mut first = 0;
        for run in runs {
            for k in 0..run.len {
                let (b, l) = (run.backup + k, run.live + k);
                let misfits = exact.backup.is_valid(b) || exact.live.is_valid(l);
                for (column, slot) in self.slots.iter().enumerate() {
                    let same = slot.carrier.backup == slot.carrier.live;
                    if same
                        && (!misfits
                            || backup.column(slot.index.backup).is_valid(b)
                                && live.column(slot.index.live).is_valid(l))
                    {
                        continue;
                    }
                    if cells.backup.get(b, column)? == cells.live.get(l, column)? {
                        found.clear(first + k, column);
                    } else {
                        found.mark(first + k, column);
                    }
                }
            }
            first += run.len;
        }
        Ok(())
    }

    fn names<'a>(
        &'a self,
        of: impl Fn(&'a Slot) -> (&'a String, Carrier) + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str, Carrier)> + 'a {
        self.slots.iter().map(move |slot| {
            let (name, carrier) = of(slot);
            (name.as_str(), name.as_str(), carrier)
        })
    }
}

fn exact_column(batch: &RecordBatch) -> Result<&ArrayRef> {
    batch
        .column_by_name(EXACT)
        .ok_or_else(|| Error::failed(format!("a scan's batch lacks the column {EXACT}")))
}

fn has_misfits(batch: &RecordBatch) -> bool {
    batch.column_by_name(EXACT).is_some_and(|exact| exact.null_count() < exact.len())
}

/// Compares two columns of one type and calls `mark` with each pair that differs.
fn compare_column(a: &ArrayRef, b: &ArrayRef, runs: &[Run], mark: impl FnMut(usize)) -> Result<()> {
    if a.data_type() != b.data_type() {
        let (a, b) = (a.data_type(), b.data_type());
        return Err(Error::failed(format!("a column travels as {a} and as {b}")));
    }
    let nulls = (nulls(a), nulls(b));
    match a.data_type() {
        DataType::Int64 => primitive::<Int64Type>(a, b, nulls, runs, mark),
        DataType::UInt64 => primitive::<UInt64Type>(a, b, nulls, runs, mark),
        DataType::Date32 => primitive::<Date32Type>(a, b, nulls, runs, mark),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(a, b, nulls, runs, mark);
        }
        DataType::Decimal128(..) => primitive::<Decimal128Type>(a, b, nulls, runs, mark),
        DataType::Boolean => {
            let flags = |array: &ArrayRef| array.as_boolean().values().iter().collect::<Vec<_>>();
            fixed(&flags(a), &flags(b), nulls, runs, mark);
        }
        DataType::Float64 => {
            let a = a.as_primitive::<Float64Type>().values().inner().typed_data::<u64>();
            let b = b.as_primitive::<Float64Type>().values().inner().typed_data::<u64>();
            fixed(a, b, nulls, runs, mark);
        }
        DataType::Utf8 => {
            let (a, b) = (a.as_string::<i32>(), b.as_string::<i32>());
            bytes(
                (a.value_offsets(), a.value_data()),
                (b.value_offsets(), b.value_data()),
                nulls,
                runs,
                mark,
            );
        }
        DataType::Binary => {
            let (a, b) = (a.as_binary::<i32>(), b.as_binary::<i32>());
            bytes(
                (a.value_offsets(), a.value_data()),
                (b.value_offsets(), b.value_data()),
                nulls,
                runs,
                mark,
            );
        }
        other => return Err(Error::failed(format!("a column can't travel as {other}"))),
    }
    Ok(())
}

/// Compares numbers that are equal when their bits are.
fn primitive<T: ArrowPrimitiveType<Native: Eq>>(
    a: &ArrayRef,
    b: &ArrayRef,
    nulls: Nulls<'_>,
    runs: &[Run],
    mark: impl FnMut(usize),
) {
    fixed(a.as_primitive::<T>().values(), b.as_primitive::<T>().values(), nulls, runs, mark);
}

type Nulls<'a> = (Option<&'a NullBuffer>, Option<&'a NullBuffer>);

fn nulls(array: &ArrayRef) -> Option<&NullBuffer> {
    array.nulls().filter(|nulls| nulls.null_count() > 0)
}

/// True when the same rows of a run are NULL on both sides.
fn same_nulls((a, b): Nulls<'_>, run: &Run) -> bool {
    let all_valid =
        |nulls: &NullBuffer, start| nulls.inner().slice(start, run.len).count_set_bits() == run.len;
    match (a, b) {
        (None, None) => true,
        (Some(a), None) => all_valid(a, run.backup),
        (None, Some(b)) => all_valid(b, run.live),
        (Some(a), Some(b)) => {
            a.inner().slice(run.backup, run.len) == b.inner().slice(run.live, run.len)
        }
    }
}

/// True when the cell is NULL on one side only; `Err` when it is NULL on both.
fn null_differs((a, b): Nulls<'_>, backup: usize, live: usize) -> Result<bool, ()> {
    match (a.is_some_and(|n| n.is_null(backup)), b.is_some_and(|n| n.is_null(live))) {
        (true, true) => Err(()),
        (a, b) => Ok(a != b),
    }
}

fn fixed<T: Eq>(a: &[T], b: &[T], nulls: Nulls<'_>, runs: &[Run], mut mark: impl FnMut(usize)) {
    let mut first = 0;
    for run in runs {
        let a = &a[run.backup..run.backup + run.len];
        let b = &b[run.live..run.live + run.len];
        if a != b || !same_nulls(nulls, run) {
            for k in 0..run.len {
                if null_differs(nulls, run.backup + k, run.live + k)
                    .is_ok_and(|differs| differs || a[k] != b[k])
                {
                    mark(first + k);
                }
            }
        }
        first += run.len;
    }
}

fn bytes(
    (offsets_a, data_a): (&[i32], &[u8]),
    (offsets_b, data_b): (&[i32], &[u8]),
    nulls: Nulls<'_>,
    runs: &[Run],
    mut mark: impl FnMut(usize),
) {
    let mut first = 0;
    for run in runs {
        let a = &offsets_a[run.backup..=run.backup + run.len];
        let b = &offsets_b[run.live..=run.live + run.len];
        let shift = b[0].wrapping_sub(a[0]);
        let whole = |offsets: &[i32]| offsets[0] as usize..offsets[run.len] as usize;
        let equal = a.iter().zip(b).fold(true, |all, (a, b)| all & (b.wrapping_sub(*a) == shift))
            && data_a[whole(a)] == data_b[whole(b)]
            && same_nulls(nulls, run);
        if !equal {
            for k in 0..run.len {
                let cell = |offsets: &[i32]| offsets[k] as usize..offsets[k + 1] as usize;
                if null_differs(nulls, run.backup + k, run.live + k)
                    .is_ok_and(|differs| differs || data_a[cell(a)] != data_b[cell(b)])
                {
                    mark(first + k);
                }
            }
        }
        first += run.len;
    }
}
