//! Decoding what may be damaged or hostile: off the async threads, within caps, and a panic of a
//! decoder is damage of the backup, never a partial result.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::backup::text::Limits;
use crate::error::{Error, Result};

/// Counts the decoded bytes of one reading against the cap.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    /// Counts `bytes` more; an error past the cap.
    pub(crate) fn add(&self, bytes: u64, limits: &Limits, path: &Path) -> Result<()> {
        let sum = self.0.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if sum > limits.max_expanded_bytes {
            return Err(too_large(path, limits));
        }
        Ok(())
    }
}

/// The error for a file that expands past the cap.
pub fn too_large(path: &Path, limits: &Limits) -> Error {
    Error::refused(format!(
        "backup file {} expands to more than {} bytes",
        path.display(),
        limits.max_expanded_bytes
    ))
    .hint("raise the cap with --max-expanded-bytes if the file is trusted")
}

/// Runs blocking work on its own thread; a panic in it becomes damage of `path`.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_owned();
    let task = tokio::task::spawn_blocking(move || caught(&path, work));
    task.await.map_err(|e| Error::failed("a reading thread was lost").because(e))?
}

/// Runs work that makes batches on its own thread and streams what it makes. `work` gets
/// a function that takes a batch and says whether more are wanted.
pub(crate) fn stream(
    schema: SchemaRef,
    path: &Path,
    work: impl FnOnce(&mut dyn FnMut(RecordBatch) -> bool) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let path = path.to_owned();
    let mut builder = RecordBatchReceiverStreamBuilder::new(schema, 2);
    let sender = builder.tx();
    builder.spawn_blocking(move || {
        let mut send = |batch| sender.blocking_send(Ok(batch)).is_ok();
        caught(&path, || work(&mut send)).map_err(Into::into)
    });
    builder.build()
}

/// Runs `work`; a panic in it becomes damage of `path`.
pub(crate) fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Error::damaged(format!("backup file {} is damaged", path.display()))
            .because(format!("its decoder stopped: {}", words(&*panic))))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}
