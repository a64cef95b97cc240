//! One table from its batches to its files, both cores at work.
//!
//! Batches arrive through a channel, so that reading goes on meanwhile. They are gathered
//! to chunks, and a chunk's columns (Parquet) and batches (JSON lines) are encoded and
//! compressed side by side on a few threads; one thread writes what is finished, in order.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::thread;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use tokio::sync::mpsc::Receiver;

use crate::error::{Error, Result};
use crate::model::table::{Column, scan_schema};
use crate::progress::Progress;
use crate::snapshot::folder::DigestFile;
use crate::snapshot::jsonl::LineFormat;
use crate::snapshot::parquet::{ColumnDone, ColumnTask, ParquetFile, Scratch};

/// A chunk is encoded once it has this many rows,
const CHUNK_ROWS: usize = 32_768;

/// .. or this many bytes.
const CHUNK_BYTES: usize = 8 << 20;

/// Below this many rows threads cost more than they bring.
const FEW_ROWS: usize = 2048;

/// What to make of a table's batches.
pub(super) struct Job {
    /// The table's columns, as scanned.
    pub(super) columns: Vec<Column>,
    /// The indices of the columns that the rows are sorted by.
    pub(super) sorted: Vec<usize>,
    /// The Parquet file gets the EXACT column.
    pub(super) with_exact: bool,
    /// Who writes it, for Parquet's footer.
    pub(super) created_by: String,
    /// The Parquet file to write.
    pub(super) parquet: Option<DigestFile>,
    /// The file of JSON lines to write.
    pub(super) jsonl: Option<DigestFile>,
    /// Is told of the rows.
    pub(super) progress: Arc<dyn Progress>,
}

/// How it went.
pub(super) enum Outcome {
    /// The files are whole, and on their way to the disk.
    Written {
        /// The rows.
        rows: u64,
        /// Size and digest of the Parquet file.
        parquet: Option<(u64, String)>,
        /// Size and digest of the JSON lines.
        jsonl: Option<(u64, String)>,
    },
    /// A value fits no carrier, and the Parquet file was begun without the EXACT column.
    NeedsExact,
}

/// Writes all batches of the channel; blocks, so it wants a thread of its own.
pub(super) fn write(job: Job, mut batches: Receiver<Result<RecordBatch>>) -> Result<Outcome> {
    let mut files = Files::new(job)?;
    let mut chunk = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = batches.blocking_recv() {
        let batch = batch?;
        if files.refuses(&batch) {
            return Ok(Outcome::NeedsExact);
        }
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        chunk.push(batch);
        if rows >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
            files.write(&std::mem::take(&mut chunk))?;
            (rows, bytes) = (0, 0);
        }
    }
    files.write(&chunk)?;
    files.finish()
}

struct Files {
    parquet: Option<ParquetFile<DigestFile>>,
    waiting: Option<DigestFile>,
    jsonl: Option<(LineFormat, DigestFile)>,
    schema: SchemaRef,
    sorted: Vec<usize>,
    with_exact: bool,
    created_by: String,
    progress: Arc<dyn Progress>,
    /// One a thread.
    scratch: Vec<Scratch>,
    rows: u64,
}

enum Task<'a> {
    Column(ColumnTask),
    /// A row group that is full goes into the file while the next one is encoded.
    Write(&'a mut ParquetFile<DigestFile>),
    Lines(usize, &'a LineFormat, &'a RecordBatch),
}

enum Done {
    Column(ColumnDone),
    Lines(usize, Vec<u8>),
}

impl Files {
    fn new(job: Job) -> Result<Self> {
        let whole = scan_schema(&job.columns);
        let schema = if job.with_exact {
            whole
        } else {
            Arc::new(Schema::new(whole.fields()[..job.columns.len()].to_vec()))
        };
        let jsonl = job.jsonl.map(|file| (LineFormat::new(&job.columns), file));
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            parquet: None,
            waiting: job.parquet,
            jsonl,
            schema,
            sorted: job.sorted,
            with_exact: job.with_exact,
            created_by: job.created_by,
            progress: job.progress,
            scratch: (0..threads)
                .map(|_| Scratch::new())
                .collect::<Result<_, _>>()
                .map_err(parquet_failed)?,
            rows: 0,
        })
    }

    /// True when a batch has misfits and the Parquet file no place for them.
    fn refuses(&self, batch: &RecordBatch) -> bool {
        let exact = batch.columns().last();
        (self.parquet.is_some() || self.waiting.is_some())
            && !self.with_exact
            && exact.is_some_and(|e| e.null_count() < e.len())
    }

    fn write(&mut self, chunk: &[RecordBatch]) -> Result<()> {
        if let Some(file) = self.waiting.take() {
            let sample = chunk.first();
            self.parquet = Some(
                ParquetFile::begin(
                    file,
                    self.schema.clone(),
                    sample,
                    &self.sorted,
                    &self.created_by,
                )
                .map_err(parquet_failed)?,
            );
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let mut tasks = Vec::new();
        if let Some(parquet) = &mut self.parquet {
            let columns = parquet.tasks(chunk).map_err(parquet_failed)?;
            tasks.extend(columns.into_iter().map(Task::Column));
            if parquet.waiting() > 0 {
                tasks.push(Task::Write(parquet));
            }
        }
        if let Some((format, _)) = &self.jsonl {
            let batches = chunk.iter().enumerate();
            tasks.extend(batches.map(|(index, batch)| Task::Lines(index, format, batch)));
        }
        let rows: usize = chunk.iter().map(RecordBatch::num_rows).sum();
        let threads = if rows < FEW_ROWS { 1 } else { self.scratch.len() };
        let done = run(tasks, &mut self.scratch[..threads])?;
        self.put(done)?;
        self.rows += rows as u64;
        self.progress.advance(rows as u64);
        Ok(())
    }

    fn put(&mut self, done: Vec<Done>) -> Result<()> {
        let mut columns = Vec::new();
        let mut frames = Vec::new();
        for one in done {
            match one {
                Done::Column(column) => columns.push(column),
                Done::Lines(index, frame) => frames.push((index, frame)),
            }
        }
        if let Some(parquet) = &mut self.parquet {
            parquet.put(columns);
        }
        if let Some((_, file)) = &mut self.jsonl {
            frames.sort_by_key(|(index, _)| *index);
            for (_, frame) in frames {
                std::io::Write::write_all(file, &frame).map_err(file_failed)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        if let Some(parquet) = &mut self.parquet {
            let tasks = parquet.last_tasks();
            let mut tasks: Vec<_> = tasks.into_iter().map(Task::Column).collect();
            tasks.push(Task::Write(parquet));
            let done = run(tasks, &mut self.scratch)?;
            self.put(done)?;
        }
        if self.rows == 0
            && let Some((format, file)) = &mut self.jsonl
        {
            let empty = RecordBatch::new_empty(self.schema.clone());
            std::io::Write::write_all(file, &format.frame(&empty)?).map_err(file_failed)?;
        }
        let parquet = match self.parquet {
            Some(mut parquet) => {
                parquet.write().map_err(parquet_failed)?;
                let file = parquet.finish().map_err(parquet_failed)?;
                Some(file.finish().map_err(file_failed)?)
            }
            None => None,
        };
        let jsonl = match self.jsonl {
            Some((_, file)) => Some(file.finish().map_err(file_failed)?),
            None => None,
        };
        Ok(Outcome::Written { rows: self.rows, parquet, jsonl })
    }
}

/// Runs the tasks on a few threads, the largest first.
fn run(mut tasks: Vec<Task<'_>>, scratch: &mut [Scratch]) -> Result<Vec<Done>> {
    tasks.sort_by_key(|task| {
        std::cmp::Reverse(match task {
            Task::Column(column) => column.weight(),
            Task::Write(parquet) => parquet.waiting(),
            Task::Lines(_, _, batch) => batch.get_array_memory_size() * 2,
        })
    });
    let threads = scratch.len().min(tasks.len());
    let queue = Mutex::new(VecDeque::from(tasks));
    let work = |scratch: &mut Scratch| -> Result<Vec<Done>> {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().map_err(|_| panicked())?.pop_front();
            match next {
                None => return Ok(done),
                Some(Task::Column(column)) => {
                    done.push(Done::Column(column.run(scratch).map_err(parquet_failed)?));
                }
                Some(Task::Write(parquet)) => parquet.write().map_err(parquet_failed)?,
                Some(Task::Lines(index, format, batch)) => {
                    done.push(Done::Lines(index, format.frame(batch)?));
                }
            }
        }
    };
    let Some((own, others)) = scratch[..threads].split_first_mut() else {
        return Ok(Vec::new());
    };
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> =
            others.iter_mut().map(|scratch| scope.spawn(|| work(scratch))).collect();
        let mut done = work(own)?;
        for other in others {
            done.extend(other.join().map_err(|_| panicked())??);
        }
        Ok(done)
    })
}

fn parquet_failed(e: parquet::errors::ParquetError) -> Error {
    Error::failed(format!("a Parquet file of the snapshot could not be written: {e}")).because(e)
}

fn file_failed(e: std::io::Error) -> Error {
    let full = e.kind() == std::io::ErrorKind::StorageFull;
    let error =
        Error::failed(format!("a file of the snapshot could not be written: {e}")).because(e);
    if full { error.hint("the disk is full; nothing was left behind") } else { error }
}

fn panicked() -> Error {
    Error::failed("encoding a table failed unexpectedly")
}
