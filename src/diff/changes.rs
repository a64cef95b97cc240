//! Running a row diff: the plan over both sides, its ranges in parallel, and what comes out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::provider_as_source;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, displayable};
use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use crate::diff::counts::DiffCounts;
use crate::diff::exec::RowDiffExec;
use crate::diff::loss::Lost;
use crate::diff::node::RowDiff;
use crate::diff::planner::RowDiffQueryPlanner;
use crate::diff::spec::{DiffSpec, Emit, PairLoss};
use crate::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::side::{Side, Which};
use crate::model::table::{Column, TableName};
use crate::mount::scan::{Misfits, ScanSpec, Watch};
use crate::mount::table::SourceTable;
use crate::mount::{Layout, Mount};
use crate::progress::Progress;
use crate::source::Unfit;

/// How many batches a range may be ahead of its reader.
const AHEAD: usize = 2;

/// What to compare of one table, and what to give back.
#[derive(Clone, Debug)]
pub struct DiffRequest {
    /// The table on each side.
    pub table: Side<TableName>,
    /// The key's columns, as live has them.
    pub key: Vec<Column>,
    /// The compared columns, as live has them; a pair may name two different columns, the
    /// backup's then in the carrier of live's. Empty: only the keys are read and matched.
    pub compare: Vec<Side<Column>>,
    /// The columns whose values each change carries, besides the key.
    pub carry: Side<Vec<Column>>,
    /// Rows of a side that do not match may be left out of the whole diff: a row left out of
    /// live looks missing, one left out of the backup looks extra.
    pub filter: Side<Option<Filter>>,
    /// Which changes come out; all are counted.
    pub emit: Emit,
    /// At most so many changes of each kind come out of each key range.
    pub limit: Option<u64>,
    /// Changes come in key order over the whole table, not only within a range.
    pub ordered: bool,
    /// What becomes of rows of the backup with values that live's columns can't hold.
    pub unfit: Unfit,
    /// What the backup has lost, by its columns: a difference that this explains is none.
    pub loss: Vec<Lost>,
}

impl DiffRequest {
    /// A diff by `key` that compares and carries nothing else, and emits everything.
    pub fn new(table: Side<TableName>, key: Vec<Column>) -> Self {
        Self {
            table,
            key,
            compare: Vec::new(),
            carry: Side::default(),
            filter: Side::default(),
            emit: Emit::ALL,
            limit: None,
            ordered: true,
            unfit: Unfit::Refuse,
            loss: Vec::new(),
        }
    }

    /// The description that travels to the operator; refuses keys that can't be matched.
    pub fn spec(&self) -> Result<DiffSpec> {
        let spec = DiffSpec::new(
            self.table.clone(),
            self.key.clone(),
            self.compare.clone(),
            self.carry.clone(),
        )?;
        let pairs = self.loss.iter().flat_map(|lost| {
            let name = &lost.column.name;
            let same = spec.compare.iter().enumerate();
            let same = same.filter(|(_, p)| p.backup.name == *name && p.live.name == *name);
            let (loss, backup) = (lost.loss, lost.backup);
            same.map(move |(pair, _)| PairLoss { pair, loss, backup })
        });
        let loss = pairs.collect();
        Ok(DiffSpec { emit: self.emit, limit: self.limit, unfit: self.unfit, loss, ..spec })
    }
}

/// The changes of one table, as they are found.
pub struct Changes {
    spec: Arc<DiffSpec>,
    plan: Arc<dyn ExecutionPlan>,
    ranges: Vec<mpsc::Receiver<Result<RecordBatch>>>,
    driver: JoinSet<Result<(), JoinError>>,
    progress: Arc<dyn Progress>,
}

impl Changes {
    /// What was compared and is carried: the meaning of the batches' columns and of the bits
    /// of their masks.
    pub fn spec(&self) -> &Arc<DiffSpec> {
        &self.spec
    }

    /// The schema of the change batches.
    pub fn schema(&self) -> SchemaRef {
        self.spec.schema()
    }

    /// The next change batch; `None` at the end. An error ends it.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some(range) = self.ranges.first_mut() {
            match range.recv().await {
                Some(Ok(batch)) => return Ok(Some(batch)),
                Some(Err(error)) => {
                    self.ranges.clear();
                    self.driver.abort_all();
                    self.progress.finish();
                    return Err(error);
                }
                None => {
                    self.ranges.remove(0);
                    if self.ranges.is_empty() {
                        self.join().await?;
                        self.progress.finish();
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads to the end, and gives the counts.
    pub async fn count(mut self) -> Result<DiffCounts> {
        while self.next().await?.is_some() {}
        Ok(self.counts())
    }

    /// The counts so far; final once [`Changes::next`] gave `None`.
    pub fn counts(&self) -> DiffCounts {
        find(&self.plan).map(RowDiffExec::counts).unwrap_or_default()
    }

    /// The plan in words, for logs.
    pub fn explain(&self) -> String {
        displayable(self.plan.as_ref()).indent(false).to_string()
    }

    /// A range that panicked must not pass for one that ended.
    async fn join(&mut self) -> Result<()> {
        while let Some(ended) = self.driver.join_next().await {
            ended.and_then(|ended| ended).map_err(|e| {
                Error::failed(format!("comparing {} broke off", self.spec.table.live)).because(e)
            })?;
        }
        Ok(())
    }
}

/// Compares both sides of one table. Reading begins at once; dropping the changes ends it.
pub async fn diff(
    mount: &Mount,
    request: &DiffRequest,
    progress: Arc<dyn Progress>,
) -> Result<Changes> {
    let layout = mount.layout(&request.table, &request.key).await?;
    diff_over(mount, &layout, request, progress).await
}

/// The same, over a layout of the table and key that is known already.
pub async fn diff_over(
    mount: &Mount,
    layout: &Layout,
    request: &DiffRequest,
    progress: Arc<dyn Progress>,
) -> Result<Changes> {
    let spec = Arc::new(request.spec()?);
    let tables = tables(mount, &spec, layout, &request.filter)?;
    let inputs = Side {
        backup: input(&format!("backup.{}", spec.table.backup), tables.backup)?,
        live: input(&format!("live.{}", spec.table.live), tables.live)?,
    };
    let node = RowDiff::new(Arc::clone(&spec), inputs)?;
    let state = mount.state().with_query_planner(Arc::new(RowDiffQueryPlanner)).build();
    let logical = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    let plan = state.create_physical_plan(&logical).await?;
    let total = layout.rows.backup.zip(layout.rows.live).map(|(backup, live)| backup + live);
    progress.start(&spec.table.live.to_string(), total);
    let mut context = TaskContext::from(&state);
    let config = context.session_config().clone();
    context =
        context.with_session_config(config.with_extension(Arc::new(Watch(Arc::clone(&progress)))));
    Ok(start(spec, plan, Arc::new(context), mount.parallelism(), request.ordered, progress))
}

/// Both sides' tables as the diff reads them.
pub(crate) fn tables(
    mount: &Mount,
    spec: &DiffSpec,
    layout: &Layout,
    filter: &Side<Option<Filter>>,
) -> Result<Side<Arc<SourceTable>>> {
    let table = |which: Which| -> Result<Arc<SourceTable>> {
        let scan = ScanSpec {
            which,
            table: spec.table.get(which).clone(),
            columns: spec.read(which)?,
            key: spec.key.clone(),
            ranges: layout.ranges.clone(),
            ordered: *layout.ordered.get(which),
            filter: filter.get(which).clone(),
            misfits: Misfits::Carry,
            unfit: spec.unfit,
            rows: *layout.rows.get(which),
        };
        Ok(Arc::new(SourceTable::ranged(Arc::clone(mount.source(which)), scan)))
    };
    Ok(Side { backup: table(Which::Backup)?, live: table(Which::Live)? })
}

fn input(name: &str, table: Arc<SourceTable>) -> Result<LogicalPlan> {
    let source = provider_as_source(table as Arc<dyn TableProvider>);
    let name = datafusion::common::TableReference::bare(name);
    Ok(LogicalPlanBuilder::scan(name, source, None)?.build()?)
}

/// The row diff in a plan.
fn find(plan: &Arc<dyn ExecutionPlan>) -> Option<&RowDiffExec> {
    plan.downcast_ref::<RowDiffExec>().or_else(|| plan.children().into_iter().find_map(find))
}

/// Starts the plan's partitions, at most `parallelism` at once: a partition holds a reader of
/// each side, and a source may have no more readers than that.
fn start(
    spec: Arc<DiffSpec>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    parallelism: usize,
    ordered: bool,
    progress: Arc<dyn Progress>,
) -> Changes {
    let count = plan.output_partitioning().partition_count();
    let (mut senders, mut ranges) = (Vec::with_capacity(count), Vec::new());
    for _ in 0..count {
        if ordered || ranges.is_empty() {
            let (sender, receiver) = mpsc::channel(AHEAD);
            senders.push(sender);
            ranges.push(receiver);
        } else {
            senders.push(mpsc::Sender::clone(&senders[0]));
        }
    }
    let kept = Arc::clone(&plan);
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let permits = Arc::new(Semaphore::new(parallelism));
        let mut running = JoinSet::new();
        for (partition, sender) in senders.into_iter().enumerate() {
            // Ranges start in order, so the one that is being read always runs.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let (plan, context) = (Arc::clone(&plan), Arc::clone(&context));
            running.spawn(async move {
                run(&plan, partition, context, sender).await;
                drop(permit);
            });
        }
        while let Some(ended) = running.join_next().await {
            ended?;
        }
        Ok(())
    });
    Changes { spec, plan: kept, ranges, driver, progress }
}

async fn run(
    plan: &Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    let mut stream = match plan.execute(partition, context) {
        Ok(stream) => stream,
        Err(error) => return drop(sender.send(Err(error.into())).await),
    };
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(Error::from);
        let failed = batch.is_err();
        if sender.send(batch).await.is_err() || failed {
            return;
        }
    }
}
