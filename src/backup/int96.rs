//! Moments of Parquet's deprecated INT96, which Spark, Hive and Impala write.
//!
//! ```text
//! 8 bytes  nanoseconds of the day, little-endian
//! 4 bytes  Julian day number, little-endian; 2,440,588 is 1970-01-01
//! ```
//!
//! The reader gives one count of 64 bits of a unit that is asked for. Nanoseconds wrap around
//! outside of 1677 to 2262, seconds never do but are cut. Both together are the exact moment:
//! what the wrapped nanoseconds are more than the seconds is below a second.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{
    DataType, Field, Schema, TimeUnit, TimestampNanosecondType, TimestampSecondType,
};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type;
use parquet::errors::ParquetError;

use crate::error::{Error, Result};
use crate::fit::moment::{ASSUMED, Moment};

const SECOND: i64 = 1_000_000_000;

/// The columns of a file that are INT96, and how they are read twice.
#[derive(Debug)]
pub(super) struct Int96 {
    /// Their places among the file's columns.
    pub(super) roots: Vec<usize>,
    /// The file, with their moments in seconds.
    pub(super) seconds: ArrowReaderMetadata,
    /// The file, with their moments in nanoseconds that wrap around.
    pub(super) wrapped: ArrowReaderMetadata,
}

impl Int96 {
    /// How a file's columns of INT96 are read; `None` without any.
    pub(super) fn of(metadata: &ArrowReaderMetadata) -> Result<Option<Self>, ParquetError> {
        let fields = metadata.schema().fields();
        let stored = metadata.parquet_schema().root_schema().get_fields();
        let is_one = |root: &usize| {
            stored[*root].is_primitive() && stored[*root].get_physical_type() == Type::INT96
        };
        let roots: Vec<usize> = (0..fields.len().min(stored.len())).filter(is_one).collect();
        if roots.is_empty() {
            return Ok(None);
        }
        let read_in = |unit: TimeUnit| {
            let fields = fields.iter().enumerate().map(|(root, field)| match field.data_type() {
                DataType::Timestamp(_, zone) if roots.contains(&root) => {
                    let moments = DataType::Timestamp(unit, zone.clone());
                    Arc::new(field.as_ref().clone().with_data_type(moments))
                }
                _ => Arc::clone(field),
            });
            let schema = Schema::new(fields.collect::<Vec<_>>());
            let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
            ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
        };
        let (seconds, wrapped) = (read_in(TimeUnit::Second)?, read_in(TimeUnit::Nanosecond)?);
        Ok(Some(Self { roots, seconds, wrapped }))
    }
}

/// Puts the two readings of a file's rows together.
pub(super) struct Joined<S, W> {
    seconds: S,
    wrapped: W,
    /// Rows of `wrapped` that come next.
    ahead: Option<RecordBatch>,
    /// Batches that are done, the last one first.
    done: Vec<RecordBatch>,
}

impl<S, W> Joined<S, W>
where
    S: Iterator<Item = Result<RecordBatch>>,
    W: Iterator<Item = Result<RecordBatch>>,
{
    /// The rows of `seconds`, with those of its columns exact that `wrapped` has too.
    pub(super) fn new(seconds: S, wrapped: W) -> Self {
        Self { seconds, wrapped, ahead: None, done: Vec::new() }
    }

    /// The next rows of `wrapped`: its batches may end elsewhere than the other's.
    fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        let mut ahead = self.ahead.take();
        while ahead.as_ref().is_none_or(|batch| batch.num_rows() < rows) {
            let more = self.wrapped.next().ok_or_else(|| {
                Error::failed("two readings of the same rows of the backup differ in their number")
            })??;
            ahead = Some(match ahead {
                Some(batch) => concat_batches(&batch.schema(), [&batch, &more])?,
                None => more,
            });
        }
        let batch = ahead.ok_or_else(|| Error::failed("no rows were asked for"))?;
        self.ahead = Some(batch.slice(rows, batch.num_rows() - rows));
        Ok(batch.slice(0, rows))
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>> {
        if self.done.is_empty() {
            let Some(seconds) = self.seconds.next().transpose()? else { return Ok(None) };
            let wrapped = self.take(seconds.num_rows())?;
            let mut parts = vec![(seconds, wrapped)];
            let mut done = Vec::new();
            while let Some((seconds, wrapped)) = parts.pop() {
                let rows = seconds.num_rows();
                match exact_batch(&seconds, &wrapped)? {
                    Some(batch) => done.push(batch),
                    None => {
                        let half = rows / 2;
                        let part = |batch: &RecordBatch, first, rows| batch.slice(first, rows);
                        parts.push((
                            part(&seconds, half, rows - half),
                            part(&wrapped, half, rows - half),
                        ));
                        parts.push((part(&seconds, 0, half), part(&wrapped, 0, half)));
                    }
                }
            }
            done.reverse();
            self.done = done;
        }
        Ok(self.done.pop())
    }
}

impl<S, W> Iterator for Joined<S, W>
where
    S: Iterator<Item = Result<RecordBatch>>,
    W: Iterator<Item = Result<RecordBatch>>,
{
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// The rows with exact moments; `None` where a column's have no type in common, so that they
/// are to be taken apart.
fn exact_batch(seconds: &RecordBatch, wrapped: &RecordBatch) -> Result<Option<RecordBatch>> {
    let mut fields: Vec<Arc<Field>> = seconds.schema().fields().iter().cloned().collect();
    let mut columns = seconds.columns().to_vec();
    for (field, column) in fields.iter_mut().zip(&mut columns) {
        let Some(nanos) = wrapped.column_by_name(field.name()) else { continue };
        let Some(moments) = exact(column, nanos, field.data_type(), field.name())? else {
            return Ok(None);
        };
        *field = Arc::new(Field::new(field.name(), moments.data_type().clone(), true));
        *column = moments;
    }
    Ok(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
}

/// The moments in nanoseconds, else in microseconds, else, of one row, as text.
fn exact(
    seconds: &ArrayRef,
    wrapped: &ArrayRef,
    data_type: &DataType,
    name: &str,
) -> Result<Option<ArrayRef>> {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let seconds = seconds.as_primitive::<TimestampSecondType>();
    let wrapped = wrapped.as_primitive::<TimestampNanosecondType>();
    let moments = seconds.iter().zip(wrapped).map(|(seconds, wrapped)| {
        let (Some(seconds), Some(wrapped)) = (seconds, wrapped) else { return Ok(None) };
        let rest = wrapped.wrapping_sub(seconds.wrapping_mul(SECOND));
        match u32::try_from(rest).ok().filter(|_| rest < SECOND) {
            Some(nanos) => Ok(Some(Moment { seconds, nanos })),
            None => Err(Error::damaged(format!(
                "column {name} of the backup has a moment before the beginning of its day"
            ))),
        }
    });
    let moments = moments.collect::<Result<Vec<Option<Moment>>>>()?;
    if let Some(nanos) = counted(&moments, nanos) {
        return Ok(Some(Arc::new(TimestampNanosecondArray::from(nanos).with_timezone_opt(zone))));
    }
    if let Some(micros) = counted(&moments, Moment::micros) {
        return Ok(Some(Arc::new(TimestampMicrosecondArray::from(micros).with_timezone_opt(zone))));
    }
    let [Some(moment)] = moments[..] else { return Ok(None) };
    let mut text = Vec::new();
    moment.write(&ASSUMED, &mut text).ok_or_else(|| {
        Error::failed(format!(
            "column {name} of the backup has a moment that can't be carried exactly: {} s and {} ns after 1970",
            moment.seconds, moment.nanos
        ))
        .hint(format!("restorekit diff --ignore {name}"))
    })?;
    if zone.is_some() {
        text.extend_from_slice(b"+00:00");
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Some(Arc::new(StringArray::from(vec![text]))))
}

/// The moments as counts; `None` where one of them is no such count.
fn counted(
    moments: &[Option<Moment>],
    count: impl Fn(Moment) -> Option<i64>,
) -> Option<Vec<Option<i64>>> {
    moments.iter().map(|moment| moment.map_or(Some(None), |m| count(m).map(Some))).collect()
}

fn nanos(moment: Moment) -> Option<i64> {
    moment.seconds.checked_mul(SECOND)?.checked_add(moment.nanos.into())
}
