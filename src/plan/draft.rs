//! A plan in the making: batches go to the plan file as they come, the head at the end.

use std::sync::Arc;

use chrono::{DateTime, Duration, Local, SecondsFormat};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::model::conflict::Conflict;
use crate::model::origin::Identity;
use crate::model::plan::{Batch, Binding, PlanHeader, TablePlan};
use crate::model::side::Which;
use crate::mount::Mount;
use crate::plan::file::{PlanFile, PlanWriter};
use crate::plan::witness::witnesses;

/// What a person decided about a plan.
#[derive(Clone, Debug)]
pub struct DraftOptions {
    /// The plan's id.
    pub id: String,
    /// `restore` or `patch`.
    pub command: String,
    /// The selection in words.
    pub title: String,
    /// Rows a batch.
    pub batch_size: usize,
    /// More rows than this are refused.
    pub max_rows: Option<u64>,
    /// One transaction for all batches.
    pub atomic: bool,
    /// How long the plan may be applied.
    pub lifetime: Duration,
    /// The moment it is made.
    pub now: DateTime<Local>,
}

/// A plan in the making.
#[derive(Debug)]
pub struct Draft {
    writer: PlanWriter,
    options: DraftOptions,
    tables: Vec<TablePlan>,
    next_batch: u64,
    rows: u64,
    adapts: bool,
    /// The backup's digest, which reads all of it while the plan is made.
    digest: JoinSet<Result<Option<String>>>,
}

impl Draft {
    /// An empty plan from the sides of `mount` that goes to `writer`.
    pub fn new(mount: &Mount, writer: PlanWriter, options: DraftOptions) -> Self {
        let mut digest = JoinSet::new();
        let backup = Arc::clone(mount.source(Which::Backup));
        digest.spawn(async move { backup.digest().await });
        let tables = Vec::new();
        Self { writer, options, tables, next_batch: 0, rows: 0, adapts: false, digest }
    }

    /// Lets a transaction hold as many batches as half a second does; without it a batch is
    /// a transaction.
    #[must_use]
    pub fn adapting(self) -> Self {
        Self { adapts: true, ..self }
    }

    /// The index that the next table will have.
    pub fn next_table(&self) -> usize {
        self.tables.len()
    }

    /// The number that the next batch will have.
    pub fn next_batch(&self) -> u64 {
        self.next_batch
    }

    /// Rows a batch.
    pub fn batch_size(&self) -> usize {
        self.options.batch_size
    }

    /// Adds batches of the table that is next.
    pub async fn add(&mut self, batches: impl IntoIterator<Item = Batch>) -> Result<()> {
        for batch in batches {
            self.rows += batch.rows() as u64;
            if let Some(most) = self.options.max_rows.filter(|most| self.rows > *most) {
                return Err(Error::refused(format!("the plan would write more than {most} rows"))
                    .hint("look at what it would do: restorekit diff")
                    .hint("allow more with --max-rows, or select fewer with --where or --limit"));
            }
            self.next_batch = batch.id + 1;
            self.writer.add(&batch).await?;
        }
        Ok(())
    }

    /// Records rows that were found unfit.
    pub async fn refuse(&mut self, conflicts: &[Conflict]) -> Result<()> {
        for conflict in conflicts {
            self.writer.add_excluded(conflict).await?;
        }
        Ok(())
    }

    /// Ends the table that was next.
    pub fn end_table(&mut self, table: TablePlan) {
        self.tables.push(table);
    }

    /// Makes the plan durable, bound to what `mount` has on both sides.
    pub async fn finish(mut self, mount: &Mount) -> Result<PlanFile> {
        let mut binding = binding(mount, &self.tables).await?;
        if let Some(digest) = self.digest.join_next().await {
            let ended = |e| Error::failed("the backup could not be digested").because(e);
            binding.backup_digest = digest.map_err(ended)??;
        }
        let time = |t: DateTime<Local>| t.to_rfc3339_opts(SecondsFormat::Secs, false);
        let o = self.options;
        let header = PlanHeader {
            id: o.id,
            command: o.command,
            title: o.title,
            undoes: None,
            created_at: time(o.now),
            expires_at: time(o.now + o.lifetime),
            binding,
            atomic: o.atomic,
            adapts: self.adapts,
            tables: self.tables,
        };
        self.writer.finish(header).await
    }
}

/// What a plan made from these sides is bound to, but for the backup's digest.
async fn binding(mount: &Mount, tables: &[TablePlan]) -> Result<Binding> {
    let (live, backup) = (mount.source(Which::Live), mount.source(Which::Backup));
    Ok(Binding {
        target: target(mount)?,
        live: live.origin().clone(),
        backup: Some(backup.origin().clone()),
        backup_digest: None,
        witnesses: witnesses(mount, tables).await?,
        tool: env!("CARGO_PKG_VERSION").into(),
    })
}

/// The database that may be written: live's, and never the one that is also the backup.
fn target(mount: &Mount) -> Result<Identity> {
    let source = mount.source(Which::Live);
    let live = source.identity().ok_or_else(|| {
        Error::refused(format!("{} can't be written to", source.origin().location))
            .hint("name a database as --live")
    })?;
    let mut backups = mount.backups().iter().filter_map(|backup| backup.identity());
    if backups.any(|backup| backup.same(&live)) {
        return Err(Error::refused("live and the backup are the same database")
            .hint("name the database in use as --live and the older copy as --backup"));
    }
    Ok(live)
}
