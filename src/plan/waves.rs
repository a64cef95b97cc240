//! A table that refers to itself (employees and their managers): rows in waves, so that
//! each row's parent is live or stands in an earlier wave.

use std::collections::HashSet;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::Result;
use crate::model::table::{Column, TableSchema};
use crate::model::value::collated;
use crate::plan::checks::{Planned, orphans};
use crate::plan::lookup::Rows;
use crate::source::Source;

/// The rows in an order in which every parent comes first, and those whose parent is
/// nowhere. Planned rows are remembered in `planned`.
pub async fn in_waves(
    live: &dyn Source,
    schema: &TableSchema,
    columns: &[Column],
    rows: RecordBatch,
    planned: &mut Planned,
) -> Result<(Vec<RecordBatch>, RecordBatch)> {
    let references: Vec<_> =
        schema.foreign_keys.iter().filter(|f| f.parent == schema.name).collect();
    let mut waves = Vec::new();
    let mut rest = rows;
    while rest.num_rows() > 0 {
        let view = Rows { columns, batch: &rest };
        let mut waiting = HashSet::new();
        for reference in &references {
            let parent_columns: Vec<Column> = reference
                .parent_columns
                .iter()
                .filter_map(|n| columns.iter().find(|c| c.name == *n).cloned())
                .collect();
            for row in orphans(live, schema, reference, view, planned).await? {
                let asks = collated(&view.cells(&reference.columns)?, row, &parent_columns)?;
                let is = collated(&view.cells(&reference.parent_columns)?, row, &parent_columns)?;
                if asks != is {
                    waiting.insert(row);
                }
            }
        }
        if waiting.len() == rest.num_rows() {
            break;
        }
        let (free, held): (Vec<u32>, Vec<u32>) =
            (0..rest.num_rows() as u32).partition(|row| !waiting.contains(&(*row as usize)));
        let wave = take_record_batch(&rest, &UInt32Array::from(free))?;
        planned.add(&schema.name, Rows { columns, batch: &wave })?;
        rest = take_record_batch(&rest, &UInt32Array::from(held))?;
        waves.push(wave);
    }
    Ok((waves, rest))
}
