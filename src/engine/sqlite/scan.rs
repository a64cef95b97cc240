//! One key range of a table as a stream of batches, in key order.
//!
//! The rows go from `sqlite3_step` straight into Arrow builders, on a thread for the range.
//! Between two batches the cursor stands still and its connection is free for another scan,
//! so that any number of ranges can be open at once.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::engine::sqlite::known::Known;
use crate::engine::sqlite::pool::{Cursor, Seat, off_thread};
use crate::engine::sqlite::query::{Query, RangeCheck, ScanQueries, scan_queries};
use crate::engine::sqlite::rows::{BATCH_ROWS, Rows};
use crate::error::Result;
use crate::model::side::Which;
use crate::model::table::scan_schema;
use crate::model::value::{Value, ValueRef};
use crate::source::Scan;

/// Batches that wait for the consumer, besides the one being read.
const WAITING: usize = 2;

/// Starts to read; the stream stops reading when it is dropped.
pub(crate) fn scan(
    seat: Seat,
    known: Arc<Known>,
    side: Which,
    request: Scan,
) -> SendableRecordBatchStream {
    let schema = scan_schema(&request.columns);
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, WAITING);
    let batches = builder.tx();
    builder.spawn(async move {
        // One thread for the whole range: what it allocates stays in its part of the heap.
        off_thread(move || {
            let mut job = Job::new(seat, &known, side, request)?;
            while let Some(batch) = job.next()? {
                if batches.blocking_send(Ok(batch)).is_err() {
                    break;
                }
            }
            Ok(())
        })
        .await?;
        Ok(())
    });
    builder.build()
}

/// A scan that is under way.
struct Job {
    seat: Seat,
    queries: VecDeque<Query>,
    cursor: Option<Cursor>,
    rows: Rows,
    check: Option<RangeCheck>,
}

impl Job {
    fn new(seat: Seat, known: &Known, side: Which, request: Scan) -> Result<Self> {
        let facts = seat
            .reader()
            .ask(|connection| known.facts(connection, &request.table, &request.key))?;
        let found = facts.found(side, &request.table)?;
        let ScanQueries { queries, check } = scan_queries(&found, side, &request)?;
        Ok(Self {
            seat,
            queries,
            cursor: None,
            rows: Rows::new(&request.columns, BATCH_ROWS),
            check,
        })
    }

    /// The next batch; `None` after the last.
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let cursor = match self.cursor.take() {
                Some(cursor) => cursor,
                None => match self.queries.pop_front() {
                    Some(query) => {
                        let parameters: Vec<ValueRef<'_>> =
                            query.parameters.iter().map(Value::as_ref).collect();
                        Cursor::open(Arc::clone(self.seat.reader()), &query.sql, &parameters)?
                    }
                    None if self.rows.is_empty() => return Ok(None),
                    None => return self.rows.take().map(Some),
                },
            };
            let (rows, check) = (&mut self.rows, &self.check);
            let more = cursor.advance(|row| {
                if check.as_ref().is_none_or(|check| check.holds(row)) {
                    rows.push(row);
                }
                Ok(!rows.is_full())
            })?;
            if more {
                self.cursor = Some(cursor);
            }
            if self.rows.is_full() {
                return self.rows.take().map(Some);
            }
        }
    }
}
