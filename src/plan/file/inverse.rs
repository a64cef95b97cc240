//! The inverse of an applied plan: what was really written, backwards.

use std::path::Path;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::model::origin::Identity;
use crate::model::plan::{Batch, Op, PlanHeader, TablePlan};
use crate::plan::file::{BatchState, PlanFile, PlanWriter, altered, image};
use crate::plan::judge::filled;
use crate::plan::notes::notes;

/// What an inverted plan does not take over from its original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The new plan's id.
    pub id: String,
    /// `undo <operation>`.
    pub command: String,
    /// What it does, in words.
    pub title: String,
    /// The operation it undoes.
    pub undoes: String,
    /// The database that the operation wrote to.
    pub target: Identity,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it expires, RFC 3339.
    pub expires_at: String,
    /// restorekit's version.
    pub tool: String,
}

impl PlanFile {
    /// Writes the inverted plan to a new file: tables and batches in reverse order, only
    /// the rows that this plan's operation wrote, guarded by their after images.
    ///
    /// # Errors
    /// `Refused` when some batch's outcome is not known.
    pub async fn inverted(&self, path: &Path, renewal: Renewal) -> Result<PlanFile> {
        let records = self.records().await?;
        let open = |s| matches!(s, BatchState::Intended | BatchState::Unknown);
        if records.iter().any(|r| open(r.state)) {
            return Err(Error::refused(
                "the operation stopped part way: the outcome of its last batch is not known",
            )
            .hint(format!("restorekit apply --resume {}", self.header.id)));
        }
        let last = self.header.tables.len();
        let mut tables =
            self.header.tables.iter().rev().map(inverse).collect::<Result<Vec<_>>>()?;
        let mut writer = PlanWriter::create(path).await?;
        for (id, record) in records.iter().enumerate().rev() {
            if record.state != BatchState::Committed || record.written.is_empty() {
                continue;
            }
            let batch = self.batch(id as u64).await?;
            let table = last - 1 - batch.table;
            let plan = &mut tables[table];
            let flags = record.written.flags(batch.rows());
            let wrote = self.written(id as u64, &batch).await?;
            let turn = |image: Option<&_>, columns: &[_]| -> Result<Option<_>> {
                let Some(image) = image.filter(|_| !columns.is_empty()) else { return Ok(None) };
                Ok(Some(image::project(&image::filter(image, &flags)?, columns)?))
            };
            let inverted = Batch {
                id: writer.batches(),
                table,
                before: turn(wrote.as_ref(), &plan.before)?,
                after: turn(batch.before.as_ref(), &plan.after)?,
                from: Vec::new(),
            };
            plan.rows += inverted.rows() as u64;
            writer.add(&inverted).await?;
        }
        let mut binding = self.header.binding.clone();
        binding.backup = None;
        binding.backup_digest = None;
        binding.tool = renewal.tool;
        if !binding.target.same(&renewal.target) {
            binding.live.location = renewal.target.location().to_owned();
            binding.target = renewal.target;
        }
        writer
            .finish(PlanHeader {
                id: renewal.id,
                command: renewal.command,
                title: renewal.title,
                undoes: Some(renewal.undoes),
                created_at: renewal.created_at,
                expires_at: renewal.expires_at,
                binding,
                atomic: self.header.atomic,
                adapts: self.header.adapts,
                tables,
            })
            .await
    }

    /// A batch's rows as they stood once they were written: what was planned, and what live filled in.
    async fn written(&self, id: u64, batch: &Batch) -> Result<Option<RecordBatch>> {
        let own = filled(&self.header.tables[batch.table]);
        let Some(after) = batch.after.as_ref().filter(|_| !own.is_empty()) else {
            return Ok(batch.after.clone());
        };
        let filled = self.filled(id, &own).await?.ok_or_else(|| altered(&self.path))?;
        image::beside(after, &filled).map(Some)
    }
}

fn inverse(plan: &TablePlan) -> Result<TablePlan> {
    let (op, before, after) = match plan.op {
        Op::Insert => (Op::Delete, [&plan.after[..], &filled(plan)].concat(), Vec::new()),
        Op::Delete => (Op::Insert, Vec::new(), plan.before.clone()),
        Op::Update => {
            for column in &plan.after {
                if !plan.before.iter().any(|c| c.name == column.name) {
                    return Err(Error::refused(format!(
                        "{}.{} can't be undone: the plan has no image of it before",
                        plan.table, column.name
                    )));
                }
            }
            (Op::Update, plan.after.clone(), plan.after.clone())
        }
    };
    let written: Vec<String> = after.iter().map(|c| c.name.clone()).collect();
    let notes = notes(&plan.schema, op, &written);
    Ok(TablePlan {
        table: plan.table.clone(),
        op,
        key: plan.key.clone(),
        before,
        after,
        notes,
        schema: plan.schema.clone(),
        rows: 0,
        from: Vec::new(),
        skipped: Vec::new(),
    })
}
