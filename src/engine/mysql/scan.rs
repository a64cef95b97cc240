//! One key range of a table as a stream of batches.
//!
//! A page is read whole before its first batch is handed on, so that a connection never
//! waits for a consumer. A table without a unique index can't be read in pages: it goes
//! through a private temporary file.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::engine::mysql::pool::Pool;
use crate::engine::mysql::query::Pages;
use crate::engine::mysql::rows::{Rows, tuple};
use crate::engine::mysql::session::raw;
use crate::engine::mysql::source::Known;
use crate::engine::spool::{Batches, Spool};
use crate::engine::wire::BATCH_ROWS;
use crate::error::{Error, Result};
use crate::model::table::scan_schema;
use crate::model::value::{Value, ValueRef};
use crate::source::Scan;

/// Batches that wait for the consumer.
const WAITING: usize = 2;

/// Rows of the first page, whose width is not known yet.
const FIRST_ROWS: usize = 512;

/// The most rows of a page.
const PAGE_ROWS: usize = 2 * BATCH_ROWS;

/// A page with this many bytes ends; the next one has fewer rows.
const PAGE_BYTES: usize = 8 << 20;

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
        let lost = |e| Error::failed("a reading task was lost").because(e);
        tokio::spawn(reading).await.map_err(lost)??;
        Ok(())
    });
    builder.build()
}

async fn in_pages(pool: &Pool, pages: &Pages, request: &Scan, batches: &Batches) -> Result<()> {
    let mut rows = Rows::new(&request.columns, pages.forms.clone(), BATCH_ROWS);
    let mut position: Option<Vec<Value>> = None;
    let mut size = FIRST_ROWS;
    loop {
        let page = pages.page(position.as_deref(), size);
        let parameters: Vec<ValueRef<'_>> = page.parameters.iter().map(Value::as_ref).collect();
        let mut full = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let mut reader = pool.reader().await?;
        let read = reader.session()?.query(&page.sql, &parameters, |row| {
            bytes += rows.push(|at| raw(row, at))?;
            count += 1;
            let stop = bytes >= PAGE_BYTES;
            if stop || count == size {
                position = Some(tuple(row, pages.forms.len(), &pages.position)?);
            }
            if rows.is_full() {
                full.push(rows.take()?);
            }
            Ok(!stop)
        });
        read.await.map_err(|stop| pool.failed(&format!("read {}", request.table), stop))?;
        drop(reader);
        let more = count == size || bytes >= PAGE_BYTES;
        if !more && rows.len() > 0 {
            full.push(rows.take()?);
        }
        for batch in full {
            if batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
        let wide = (bytes / count.max(1)).max(1);
        size = (PAGE_BYTES / wide).clamp(1, PAGE_ROWS);
    }
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
