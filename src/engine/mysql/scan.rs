//! One key range of a table as a stream of batches.
//!
//! A page is read whole before its first batch is handed on, so that a connection never
//! waits for a consumer. A table without a unique index can't be read in pages: it goes
//! through a private temporary file.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::engine::mysql::dense::Dense;
use crate::engine::mysql::pool::{Pool, lost};
use crate::engine::mysql::query::Pages;
use crate::engine::mysql::rows::{Rows, tuple};
use crate::engine::mysql::session::raw;
use crate::engine::mysql::source::Known;
use crate::engine::mysql::types::Form;
use crate::engine::spool::{Batches, Spool};
use crate::engine::wire::{self, BATCH_ROWS};
use crate::error::Result;
use crate::model::table::scan_schema;
use crate::model::value::{Value, ValueRef};
use crate::source::Scan;

/// Batches that wait for the consumer.
const WAITING: usize = 2;

/// Rows of the first page, whose width is not known yet.
const FIRST_ROWS: usize = 512;

/// The most rows of a page.
const PAGE_ROWS: usize = 2 * BATCH_ROWS;

/// A page with this many bytes ends; the next one has fewer rows. Each key range may hold one.
const PAGE_BYTES: usize = 2 << 20;

/// Starts to read; when the stream is dropped, reading stops with the page.
pub(crate) fn scan(pool: Arc<Pool>, known: Arc<Known>, request: Scan) -> SendableRecordBatchStream {
    let schema = scan_schema(&request.columns);
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, WAITING);
    let batches = builder.tx();
    let reading = async move {
        let table = known.table(&pool, &request.table).await?;
        let pages = Pages::of(&table, &request)?;
        match pages.are_there() {
            true => in_pages(&pool, &pages, &request, &batches).await,
            false => through_a_file(&pool, &pages, &request, &batches).await,
        }
    };
    builder.spawn(async move {
        // A task of its own, which goes on to the end of the page when the stream is dropped:
        // ended in the middle of an answer, the connection would be of no use any more.
        tokio::spawn(reading).await.map_err(lost)??;
        Ok(())
    });
    builder.build()
}

async fn in_pages(pool: &Pool, pages: &Pages, request: &Scan, batches: &Batches) -> Result<()> {
    let mut rows = Rows::new(&request.columns, pages.forms.clone(), BATCH_ROWS);
    let mut position: Option<Vec<Value>> = None;
    let mut size = FIRST_ROWS;
    let index: Vec<Form> = pages.position.iter().map(|(_, form)| *form).collect();
    let dense = Dense::of(pages, &request.columns);
    loop {
        let page = pages.page(position.as_deref(), size);
        let parameters: Vec<ValueRef<'_>> = page.parameters.iter().map(Value::as_ref).collect();
        let (mut full, mut first) = (Vec::new(), None);
        let (mut count, mut bytes) = (0, 0);
        let mut reader = pool.reader().await?;
        let read = reader.session()?.query(&page.sql, &parameters, |row| {
            if dense.is_some() && count == 0 {
                first = Some(tuple(row, 0, &pages.forms)?.remove(0));
            }
            bytes += rows.push(|at| raw(row, at))?;
            count += 1;
            let stop = bytes >= PAGE_BYTES;
            if stop || count == size {
                position = Some(wire::tuple(&index, |at| raw(row, pages.position[at].0))?);
            }
            if rows.is_full() {
                full.push(rows.take()?);
            }
            Ok(!stop)
        });
        read.await.map_err(|stop| pool.failed(&format!("read {}", request.table), stop))?;
        drop(reader);
        let more = count == size || bytes >= PAGE_BYTES;
        let packs = match (&dense, &first, position.as_deref()) {
            (Some(dense), Some(first), Some([last])) if more => dense.suits(count, first, last),
            _ => false,
        };
        if (!more || packs) && rows.len() > 0 {
            full.push(rows.take()?);
        }
        if !send(batches, full).await || !more {
            return Ok(());
        }
        if let (Some(dense), Some([last])) =
            (dense.as_ref().filter(|_| packs), position.as_deref_mut())
            && !packed(pool, dense, request, last, batches).await?
        {
            return Ok(());
        }
        let wide = (bytes / count.max(1)).max(1);
        size = (PAGE_BYTES / wide).clamp(1, PAGE_ROWS);
    }
}

/// Reads the numbers behind `after` in windows, while they stand close, and moves it; false when
/// nobody wants more.
async fn packed(
    pool: &Pool,
    dense: &Dense<'_>,
    request: &Scan,
    after: &mut Value,
    batches: &Batches,
) -> Result<bool> {
    loop {
        let mut reader = pool.reader().await?;
        let window = dense.window(reader.session()?, after).await;
        let window =
            window.map_err(|stop| pool.failed(&format!("read {}", request.table), stop))?;
        drop(reader);
        *after = window.last;
        if !send(batches, dense.batches(&request.columns, &window.numbers)?).await {
            return Ok(false);
        }
        if window.sparse {
            return Ok(true);
        }
    }
}

/// Hands batches on; false when nobody wants more.
async fn send(batches: &Batches, some: Vec<RecordBatch>) -> bool {
    for batch in some {
        if batches.send(Ok(batch)).await.is_err() {
            return false;
        }
    }
    true
}

async fn through_a_file(
    pool: &Pool,
    pages: &Pages,
    request: &Scan,
    batches: &Batches,
) -> Result<()> {
    let mut rows = Rows::new(&request.columns, pages.forms.clone(), BATCH_ROWS);
    let mut spool = Spool::new(&scan_schema(&request.columns))?;
    let all = pages.page(None, 0);
    let parameters: Vec<ValueRef<'_>> = all.parameters.iter().map(Value::as_ref).collect();
    let mut reader = pool.reader().await?;
    let read = reader.session()?.query(&all.sql, &parameters, |row| {
        rows.push(|at| raw(row, at))?;
        if rows.is_full() {
            spool.push(&rows.take()?)?;
        }
        Ok(true)
    });
    read.await.map_err(|stop| pool.failed(&format!("read {}", request.table), stop))?;
    drop(reader);
    spool.push(&rows.take()?)?;
    spool.send(batches).await
}
