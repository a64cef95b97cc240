//! Batches that follow each other, as one: so many rows are asked of live at once.
//!
//! What is recorded is each batch. How many of them one statement names is left to those who carry
//! them out or look at their rows again.

use std::ops::Range;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;

use crate::error::Result;
use crate::model::plan::Batch;
use crate::plan::file::{Ahead, PlanFile};

/// The most rows of a group of several batches.
const ROWS: usize = 8192;

/// The most bytes of its images.
const BYTES: usize = 4 << 20;

/// Batches of one table.
#[derive(Debug)]
pub(crate) struct Group {
    /// The rows of all, under the number of the first.
    pub(crate) batch: Batch,
    /// Each batch's number, and which of the rows are its.
    pub(crate) parts: Vec<(u64, Range<usize>)>,
}

impl Group {
    /// The first of these batches, and as many of those behind it as go with it. `after` is the
    /// batch that will be wanted after the last of them.
    pub(crate) async fn next(
        plan: &PlanFile,
        ahead: &mut Ahead<'_>,
        ids: &[u64],
        after: Option<u64>,
    ) -> Result<Self> {
        let (mut batches, mut parts) = (Vec::new(), Vec::new());
        let (mut rows, mut bytes, mut shape) = (0, 0, None);
        for (at, &id) in ids.iter().enumerate() {
            let (table, more) = plan.shape(id)?;
            if let Some((first, widest)) = shape
                && (first != table || rows + more > ROWS || bytes + widest > BYTES)
            {
                break;
            }
            let batch = ahead.batch(id, ids.get(at + 1).copied().or(after)).await?;
            let own = size(&batch);
            bytes += own;
            shape = Some((table, shape.map_or(own, |(_, widest): (usize, usize)| widest.max(own))));
            parts.push((id, rows..rows + more));
            rows += more;
            batches.push(batch);
        }
        Ok(Self { batch: joined(batches)?, parts })
    }
}

/// The bytes of a batch's images.
fn size(batch: &Batch) -> usize {
    let columns =
        [&batch.before, &batch.after].into_iter().flatten().flat_map(RecordBatch::columns);
    columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(BYTES)).sum()
}

/// Batches of one table as one.
fn joined(mut batches: Vec<Batch>) -> Result<Batch> {
    if batches.len() == 1
        && let Some(one) = batches.pop()
    {
        return Ok(one);
    }
    let image = |of: fn(&Batch) -> Option<&RecordBatch>| {
        let images: Vec<&RecordBatch> = batches.iter().filter_map(of).collect();
        images
            .first()
            .map(|first| concat_batches(&first.schema(), images.iter().copied()))
            .transpose()
    };
    let (before, after) = (image(|b| b.before.as_ref())?, image(|b| b.after.as_ref())?);
    let from = batches.iter().flat_map(|b| &b.from).copied().collect();
    let (id, table) = batches.first().map_or((0, 0), |first| (first.id, first.table));
    Ok(Batch { id, table, before, after, from })
}
