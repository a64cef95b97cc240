//! One key range of a table as a stream of batches.
//!
//! A page is read whole before its first batch is handed on, so that a connection never
//! waits for a consumer. A table without a unique index can't be read in pages: it goes
//! through a private temporary file.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::engine::postgres::pool::Pool;
use crate::engine::postgres::query::Pages;
use crate::engine::postgres::rewritten::prove_whole;
use crate::engine::postgres::source::Known;
use crate::engine::postgres::types::Form;
use crate::engine::spool::{Batches, Spool};
use crate::engine::wire::{BATCH_ROWS, Rows, tuple};
use crate::error::Result;
use crate::model::table::scan_schema;
use crate::model::value::Value;
use crate::source::Scan;

/// Batches that wait for the consumer.
const WAITING: usize = 2;

/// Rows of the first page, whose width is not known yet.
const FIRST_ROWS: usize = 512;

/// The most rows of a page.
const PAGE_ROWS: usize = 4 * BATCH_ROWS;

/// The bytes that a page aims at: each key range may hold one.
const PAGE_BYTES: usize = 4 << 20;

/// A page with this many bytes ends, and its connection is given up.
const MOST_BYTES: usize = 8 * PAGE_BYTES;

/// Starts to read; the stream stops reading when it is dropped.
pub(crate) fn scan(pool: Arc<Pool>, known: Arc<Known>, request: Scan) -> SendableRecordBatchStream {
    let schema = scan_schema(&request.columns);
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, WAITING);
    let batches = builder.tx();
    builder.spawn(async move {
        let table = known.table(&pool, &request.table).await?;
        let pages = Pages::of(&table, &request)?;
        match pages.are_there() {
            true => in_pages(&pool, &pages, &request, &batches).await?,
            false => through_a_file(&pool, &pages, &request, &batches).await?,
        }
        prove_whole(&pool, &table).await?;
        Ok(())
    });
    builder.build()
}

async fn in_pages(pool: &Pool, pages: &Pages, request: &Scan, batches: &Batches) -> Result<()> {
    let mut rows = Rows::new(&request.columns, pages.forms.clone(), BATCH_ROWS);
    let mut position: Option<Vec<Value>> = None;
    let mut size = FIRST_ROWS;
    loop {
        let page = pages.page(position.as_deref(), size)?;
        let mut full = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        let mut reader = pool.reader().await;
        let mut session = reader.take(pool).await?;
        let read = session.copy(&page, |row| {
            rows.push(|at| row.field(at))?;
            bytes += row.len();
            count += 1;
            let stop = bytes >= MOST_BYTES;
            if stop || count == size {
                position = Some(key(pages, |at| row.field(at))?);
            }
            if rows.is_full() {
                full.push(rows.take()?);
            }
            Ok(!stop)
        });
        let whole = read.await.map_err(|e| pool.failed(&format!("read {}", request.table), e))?;
        if whole {
            reader.give_back(session);
        }
        let more = count == size || !whole;
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

/// The position of a row in the index.
fn key<'r>(pages: &Pages, mut cell: impl FnMut(usize) -> Option<&'r [u8]>) -> Result<Vec<Value>> {
    let forms: Vec<Form> = pages.position.iter().map(|(_, form)| *form).collect();
    tuple(&forms, |at| cell(pages.position[at].0))
}

async fn through_a_file(
    pool: &Pool,
    pages: &Pages,
    request: &Scan,
    batches: &Batches,
) -> Result<()> {
    let mut rows = Rows::new(&request.columns, pages.forms.clone(), BATCH_ROWS);
    let mut spool = Spool::new(&scan_schema(&request.columns))?;
    let mut reader = pool.reader().await;
    let mut session = reader.take(pool).await?;
    let all = pages.page(None, 0)?;
    let read = session.copy(&all, |row| {
        rows.push(|at| row.field(at))?;
        if rows.is_full() {
            spool.push(&rows.take()?)?;
        }
        Ok(true)
    });
    read.await.map_err(|stop| pool.failed(&format!("read {}", request.table), stop))?;
    reader.give_back(session);
    spool.push(&rows.take()?)?;
    spool.send(batches).await
}
