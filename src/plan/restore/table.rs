//! One table's part of a restore: its rows are found, checked, ordered and cut into batches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};

use super::{Chosen, Scope, named, written_columns};
use crate::diff::loss::{Loss, Lost};
use crate::diff::pair::TablePair;
use crate::diff::probe::losses;
use crate::error::{Error, Result};
use crate::model::conflict::{Conflict, Reason};
use crate::model::origin::FROM;
use crate::model::plan::{Op, Skipped, TablePlan};
use crate::model::side::Which;
use crate::model::table::{Column, KeyOrigin, TableName, TableSchema, scan_schema};
use crate::model::value::collated;
use crate::mount::Mount;
use crate::plan::checks::{Planned, check, key_json};
use crate::plan::draft::Draft;
use crate::plan::images::{Batches, origins, without_from};
use crate::plan::lookup::{Rows, ascending};
use crate::plan::missing::{FETCH, Fitting, Missing};
use crate::plan::notes;
use crate::plan::proof::{prove_key, uncounted, unkeyed};
use crate::plan::waves::in_waves;
use crate::progress::Progress;

/// One table's part of a plan.
pub(super) struct TableJob<'a> {
    mount: &'a Mount,
    pair: &'a TablePair,
    schemas: &'a HashMap<TableName, TableSchema>,
    planned: &'a mut Planned,
    draft: &'a mut Draft,
    key: Vec<Column>,
    /// What is written.
    columns: Vec<Column>,
    /// What is read of the backup: that, and which of several it is.
    asked: Vec<Column>,
    batches: Batches,
    rows: u64,
    refused: HashMap<Reason, u64>,
    pub(super) notes: Vec<String>,
    /// Columns that are written back though the backup has lost something of them.
    pub(super) lossy: Vec<String>,
    /// What the backups have lost.
    lost: Vec<Lost>,
    largest: Option<i64>,
}

impl<'a> TableJob<'a> {
    pub(super) fn new(
        mount: &'a Mount,
        pair: &'a TablePair,
        schemas: &'a HashMap<TableName, TableSchema>,
        planned: &'a mut Planned,
        draft: &'a mut Draft,
    ) -> Result<Self> {
        let schema = &pair.schema.live;
        schema.require_writable()?;
        let key = pair.key_columns();
        let columns = written_columns(pair);
        let written: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
        let lacking = notes::unfillable(schema, &written);
        if !lacking.is_empty() {
            return Err(Error::refused(format!(
                "missing rows of {} can't be restored: live demands {}, which the backup lacks",
                schema.name,
                lacking.join(", ")
            ))
            .hint(format!("give live a default: alter table {} ..", schema.name))
            .hint("or restore other tables only: --table T"));
        }
        let asked = columns.iter().cloned().chain(mount.from_column()).collect();
        let batches = Batches::new(draft.next_table(), draft.batch_size(), draft.next_batch());
        let mut notes = notes::notes(schema, Op::Insert, &written);
        notes.extend(notes::elsewhere(pair));
        let theirs = pair.schema.backup.columns.iter().map(|c| c.name.as_str());
        let dropped: Vec<&str> = theirs.filter(|name| schema.column(name).is_none()).collect();
        if !dropped.is_empty() {
            notes.push(format!("not in live, left in the backup: {}", dropped.join(", ")));
        }
        let refused = HashMap::new();
        Ok(Self {
            mount,
            pair,
            schemas,
            planned,
            draft,
            key,
            columns,
            asked,
            batches,
            rows: 0,
            refused,
            notes,
            lossy: Vec::new(),
            lost: Vec::new(),
            largest: None,
        })
    }

    /// Plans the rows that `scope` means and ends the table.
    pub(super) async fn run(
        mut self,
        scope: Scope,
        limit: Option<u64>,
        progress: Arc<dyn Progress>,
    ) -> Result<()> {
        // Before the diff holds the readers.
        self.lost = losses(self.mount, self.pair).await?;
        // A row that is gone is better back with six digits than not: it is told.
        let single = self.lost.iter().filter(|lost| lost.loss == Loss::Single);
        self.lossy.extend(single.map(|lost| lost.column.name.clone()));
        let schema = self.pair.schema.live.clone();
        let itself = schema.foreign_keys.iter().any(|f| f.parent == schema.name);
        let columns = self.asked.clone();
        let mut held = Vec::new();
        let mut left = limit.unwrap_or(u64::MAX);
        // A key that the user named is proved over all rows.
        let proving = self.pair.key.origin == KeyOrigin::Named;
        let mut skipped = Vec::new();
        let Scope { chosen, needed } = scope;
        // The keys of rows that are taken, and of those that are told to be unfit.
        let (mut taken, mut told) = (HashSet::new(), HashSet::new());
        if let Some(chosen) = chosen {
            let (predicate, children) = match chosen {
                Chosen::Wanted(predicate) => (predicate, false),
                Chosen::Children => (None, true),
            };
            let mut missing =
                Missing::start(self.mount, self.pair, predicate.as_ref(), &columns, progress)
                    .await?;
            while let Some(batch) = missing.next().await? {
                let unfit = missing.left_out();
                told.extend(unfit.iter().map(|conflict| conflict.key.to_string()));
                self.refuse(&unfit).await?;
                let batch = if children { self.children_of_planned(batch)? } else { batch };
                let rows = batch.num_rows().min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= rows as u64;
                let mut batch = batch.slice(0, rows);
                if !needed.is_empty() {
                    batch = self.not_taken(&batch, &mut taken)?;
                }
                self.take(batch, itself, &mut held).await?;
                if left == 0 && !proving {
                    break;
                }
            }
            self.refuse(&missing.left_out()).await?;
            if left > 0 || proving {
                prove_key(self.pair, &missing.counts())?;
                let counts = missing.counts();
                skipped = uncounted(&counts, missing.unevaluated());
                self.notes.extend(unkeyed(&counts));
            }
        }
        let mut fitting = Fitting::new(self.mount, self.pair, &columns);
        for (names, keys) in needed {
            let theirs = named(&schema, &names);
            let keys = ascending(&concat_batches(&keys[0].schema(), &keys)?)?;
            for first in (0..keys.num_rows()).step_by(FETCH) {
                let part = keys.slice(first, FETCH.min(keys.num_rows() - first));
                let batch = fitting.fetch(&theirs, &part).await?;
                let mut unfit = fitting.left_out();
                unfit.retain(|conflict| told.insert(conflict.key.to_string()));
                self.refuse(&unfit).await?;
                let batch = self.not_taken(&batch, &mut taken)?;
                self.take(batch, itself, &mut held).await?;
            }
        }
        if !held.is_empty() {
            let all = concat_batches(&scan_schema(&columns), &held)?;
            let live = self.mount.source(Which::Live).clone();
            let (ordered, rest) =
                in_waves(live.as_ref(), &schema, &columns, &all, self.planned).await?;
            self.write(ordered).await?;
            self.refuse_orphans(&rest).await?;
        }
        self.end(skipped).await
    }

    /// Records rows that are left out.
    async fn refuse(&mut self, conflicts: &[Conflict]) -> Result<()> {
        for conflict in conflicts {
            *self.refused.entry(conflict.reason).or_default() += 1;
        }
        self.draft.refuse(conflicts).await
    }

    /// Checks rows and plans them; a table that refers to itself holds them back.
    async fn take(
        &mut self,
        batch: RecordBatch,
        itself: bool,
        held: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (table, from) = (&self.pair.table.live, origins(&batch, FROM)?);
        for note in notes::refuse_lost(table, &self.lost, &self.lossy, &from)? {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        let live = self.mount.source(Which::Live).clone();
        let schema = self.pair.schema.live.as_ref();
        let checked = check(
            live.as_ref(),
            schema,
            self.schemas,
            &self.key,
            &self.columns,
            batch,
            self.planned,
        )
        .await?;
        self.refuse(&checked.refused).await?;
        if itself {
            held.push(checked.rows);
            return Ok(());
        }
        self.planned.add(&schema.name, Rows { columns: &self.columns, batch: &checked.rows })?;
        self.write(checked.rows).await
    }

    async fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        if let Some(ids) = rows.column(0).as_any().downcast_ref::<Int64Array>() {
            self.largest = self.largest.max(arrow::compute::max(ids));
        }
        let from = origins(&rows, FROM)?;
        let full = self.batches.push(None, Some(without_from(&rows)?), &from)?;
        self.draft.add(full).await
    }

    /// The rows that refer to a planned row.
    fn children_of_planned(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = Rows { columns: &self.columns, batch: &batch };
        let mut keep = vec![false; batch.num_rows()];
        for reference in &self.pair.schema.live.foreign_keys {
            let Some(parent) = self.schemas.get(&reference.parent) else { continue };
            let Some(planned) = self.planned.get(&reference.parent, &reference.parent_columns)
            else {
                continue;
            };
            if !rows.have(&reference.columns) {
                continue;
            }
            let theirs = named(parent, &reference.parent_columns);
            let cells = rows.cells(&reference.columns)?;
            for (row, keep) in keep.iter_mut().enumerate() {
                *keep |= collated(&cells, row, &theirs)?.is_some_and(|t| planned.contains(&t));
            }
        }
        Ok(filter_record_batch(&batch, &BooleanArray::from(keep))?)
    }

    /// The rows whose keys were not taken before.
    fn not_taken(&self, batch: &RecordBatch, taken: &mut HashSet<Vec<u8>>) -> Result<RecordBatch> {
        let rows = Rows { columns: &self.asked, batch };
        let cells = rows.cells(&self.pair.key.columns)?;
        let keep = (0..batch.num_rows())
            .map(|row| Ok(collated(&cells, row, &self.key)?.is_some_and(|key| taken.insert(key))))
            .collect::<Result<Vec<bool>>>()?;
        Ok(filter_record_batch(batch, &BooleanArray::from(keep))?)
    }

    /// Records rows of a table that refers to itself whose parent is nowhere.
    async fn refuse_orphans(&mut self, rest: &RecordBatch) -> Result<()> {
        let rows = Rows { columns: &self.columns, batch: rest };
        let names: Vec<String> = self.pair.key.columns.clone();
        let conflicts = (0..rest.num_rows())
            .map(|row| {
                Ok(Conflict {
                    table: self.pair.table.live.to_string(),
                    key: key_json(&names, &rows.tuple(&names, row)?),
                    reason: Reason::ForeignKey,
                    detail: "the row of this table that it refers to is missing".into(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        self.refuse(&conflicts).await
    }

    async fn end(mut self, mut skipped: Vec<Skipped>) -> Result<()> {
        let (last, _) = self.batches.finish()?;
        self.draft.add(last).await?;
        for (reason, rows) in self.refused {
            let reason = match reason {
                Reason::Recreated => "recreated",
                Reason::ForeignKey => "parent_missing",
                Reason::Unfit => "unfit",
                _ => "refused",
            };
            skipped.push(Skipped { reason: reason.into(), rows });
        }
        skipped.retain(|s| s.rows > 0);
        skipped.sort_by(|a, b| a.reason.cmp(&b.reason));
        let schema = self.pair.schema.live.as_ref().clone();
        self.notes.extend(notes::huge_id(&schema, self.largest));
        self.draft.end_table(TablePlan {
            table: schema.name.clone(),
            op: Op::Insert,
            key: self.pair.key.clone(),
            before: Vec::new(),
            after: self.columns,
            schema,
            rows: self.rows,
            from: self.batches.counts().to_vec(),
            skipped,
            notes: self.notes,
        });
        Ok(())
    }
}
