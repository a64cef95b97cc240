//! A table that refers to itself (employees and their managers): rows in waves, so that
//! each row's parent is live or stands in an earlier wave.

use std::collections::HashMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::Result;
use crate::model::table::{Column, TableSchema};
use crate::model::value::{Cells, collated};
use crate::plan::checks::{Planned, columns_of, orphans};
use crate::plan::lookup::Rows;
use crate::source::Source;

/// A reference of the table to itself.
struct Reference<'a> {
    /// What each row is referred to by.
    is: Cells<'a>,
    columns: Vec<Column>,
    /// The rows that wait for a parent, by what they refer to it by.
    waiting: HashMap<Vec<u8>, Vec<usize>>,
}

/// The rows in an order in which every parent comes first, wave by wave, and those whose parent
/// is nowhere. Planned rows are remembered in `planned`. Live is asked once for the parents that
/// it has, whatever the number of waves.
pub async fn in_waves(
    live: &dyn Source,
    schema: &TableSchema,
    columns: &[Column],
    rows: &RecordBatch,
    planned: &mut Planned,
) -> Result<(RecordBatch, RecordBatch)> {
    let view = Rows { columns, batch: rows };
    // How many parents of each row are not there yet.
    let mut lacks = vec![0usize; rows.num_rows()];
    let mut references = Vec::new();
    for reference in schema.foreign_keys.iter().filter(|f| f.parent == schema.name) {
        if !view.have(&reference.parent_columns) {
            continue;
        }
        let columns = columns_of(columns, &reference.parent_columns);
        let orphans = orphans(live, schema, reference, view, planned).await?;
        let (asks, is) = (view.cells(&reference.columns)?, view.cells(&reference.parent_columns)?);
        let mut waiting: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for row in orphans {
            let Some(parent) = collated(&asks, row, &columns)? else { continue };
            if collated(&is, row, &columns)?.as_ref() != Some(&parent) {
                lacks[row] += 1;
                waiting.entry(parent).or_default().push(row);
            }
        }
        references.push(Reference { is, columns, waiting });
    }
    let mut order: Vec<u32> = Vec::with_capacity(rows.num_rows());
    let mut wave: Vec<usize> = (0..rows.num_rows()).filter(|row| lacks[*row] == 0).collect();
    while !wave.is_empty() {
        let mut next = Vec::new();
        for row in wave {
            order.push(row as u32);
            for reference in references.iter_mut().filter(|r| !r.waiting.is_empty()) {
                let Some(own) = collated(&reference.is, row, &reference.columns)? else { continue };
                for child in reference.waiting.remove(&own).unwrap_or_default() {
                    lacks[child] -= 1;
                    if lacks[child] == 0 {
                        next.push(child);
                    }
                }
            }
        }
        next.sort_unstable();
        wave = next;
    }
    let rest = (0..rows.num_rows()).filter(|row| lacks[*row] > 0).map(|row| row as u32);
    let rest = take_record_batch(rows, &UInt32Array::from_iter_values(rest))?;
    let ordered = take_record_batch(rows, &UInt32Array::from(order))?;
    planned.add(&schema.name, Rows { columns, batch: &ordered })?;
    Ok((ordered, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Carrier, ForeignAction, ForeignKey};
    use crate::model::value::{Value, ValueRef};
    use crate::mount::memory::{MemSource, MemTable, batch, column, table};

    /// A table `t` of ids with two references to itself, and live's rows of it.
    fn family(live: &[[i64; 3]]) -> MemTable {
        let columns = ["id", "first", "second"].map(|name| column(name, Carrier::Int));
        let mut t = table("t", columns.to_vec(), &["id"], rows(live));
        t.schema.foreign_keys = ["first", "second"]
            .map(|name| ForeignKey {
                columns: vec![name.into()],
                parent: t.schema.name.clone(),
                parent_columns: vec!["id".into()],
                on_delete: ForeignAction::NoAction,
                on_update: ForeignAction::NoAction,
            })
            .to_vec();
        t
    }

    /// Rows of an id and two parents; 0 is none.
    fn rows(all: &[[i64; 3]]) -> Vec<Vec<Value>> {
        let value = |i: &i64| if *i == 0 { Value::Null } else { Value::Int(*i) };
        all.iter().map(|row| row.iter().map(value).collect()).collect()
    }

    /// The ids in their order, those left over, and how many keys live was asked for.
    async fn ordered(live: &[[i64; 3]], missing: &[[i64; 3]]) -> (Vec<i64>, Vec<i64>, u64) {
        let t = family(live);
        let (schema, source) = (t.schema.clone(), MemSource::of(vec![t]));
        let mut planned = Planned::default();
        planned.watch(&schema.name, &["id".into()]);
        let all = batch(&schema.columns, &rows(missing));
        let columns = &schema.columns;
        let waves = in_waves(&source, &schema, columns, &all, &mut planned).await.unwrap();
        let ids = |batch: &RecordBatch| -> Vec<i64> {
            let cells = Cells::of(batch, columns).unwrap();
            let id = |row| match cells.get(row, 0).unwrap() {
                ValueRef::Int(id) => id,
                other => panic!("{other:?}"),
            };
            (0..batch.num_rows()).map(id).collect()
        };
        let (order, rest) = (ids(&waves.0), ids(&waves.1));
        let known = planned.get(&schema.name, &["id".to_owned()]).unwrap().len();
        assert_eq!(known, order.len());
        (order, rest, source.asked())
    }

    #[tokio::test]
    async fn c6_a_chain_is_ordered_with_one_look_up_a_row() {
        let chain: Vec<[i64; 3]> = (1..=5000).map(|id| [id, (id + 1) % 5001, 0]).collect();
        let (order, rest, asked) = ordered(&[], &chain).await;
        assert!(order.iter().copied().eq((1..=5000).rev()) && rest.is_empty());
        assert!(asked <= 5000, "{asked} look-ups");
    }

    #[tokio::test]
    async fn c6_rows_wait_for_all_of_their_parents_and_each_wave_keeps_its_order() {
        let missing = [
            [1, 9, 4],  // a parent in live, one in the second wave
            [2, 0, 0],  // none
            [3, 3, 2],  // itself, and one of the first wave
            [4, 2, 90], // one of the first wave, one in live
            [5, 1, 3],  // of the third wave and the second
            [6, 7, 0],  // a cycle
            [7, 6, 0],
            [8, 2, 6],   // hangs from the cycle
            [10, 77, 2], // a parent that is nowhere
            [11, 9, 90], // both in live
        ];
        let (order, rest, _) = ordered(&[[9, 0, 0], [90, 0, 0]], &missing).await;
        assert_eq!(order, [2, 11, 3, 4, 1, 5]);
        assert_eq!(rest, [6, 7, 8, 10]);
    }
}
