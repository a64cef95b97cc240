//! Decoding what may be damaged or hostile: off the async threads, within caps, and a panic of a
//! decoder is damage of the backup, never a partial result.
//!
//! The library sets no panic hook, that is the program's. One that prints should ask
//! [`is_guarded`] first: such a panic is told as an error anyway.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;

use crate::backup::text::Limits;
use crate::backup::text::decompress::too_large;
use crate::error::{Error, Result};

/// Counts the decoded bytes of one reading against the cap.
#[derive(Debug, Default)]
pub(crate) struct Meter(AtomicU64);

impl Meter {
    /// Counts `bytes` more; an error past the cap.
    pub(crate) fn add(&self, bytes: u64, limits: &Limits, path: &Path) -> Result<()> {
        let sum = self.0.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if sum > limits.max_expanded_bytes {
            return Err(too_large(path, limits.expanded_words()));
        }
        Ok(())
    }
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

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// True while this thread runs a decoder whose panic will be caught and told as an error.
pub fn is_guarded() -> bool {
    DEPTH.get() > 0
}

/// Runs `work`; a panic in it becomes damage of `path`.
pub(crate) fn caught<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    DEPTH.set(DEPTH.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    done.unwrap_or_else(|panic| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn w7_a_panic_is_damage_and_only_then_guarded() {
        assert!(!is_guarded());
        let path = Path::new("t.parquet");
        let seen = caught(path, || {
            let inner: Result<()> = caught(path, || panic!("{} bits", 65));
            assert!(is_guarded());
            Ok(inner.unwrap_err())
        });
        let error = seen.unwrap();
        assert_eq!(error.kind(), Kind::Damaged);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "its decoder stopped: 65 bits");
        assert!(!is_guarded());
    }
}
