//! `RowDiffExec`: the operator that merges two key-ordered, range-co-partitioned streams
//! into changes, in the memory of a few batches.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    ExecutionPlanProperties, InputDistributionRequirements, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};

use crate::diff::compare::Comparator;
use crate::diff::counts::{Counters, DiffCounts};
use crate::diff::emit::Assembler;
use crate::diff::ordered::Ordered;
use crate::diff::spec::DiffSpec;
use crate::diff::step::Merger;
use crate::error::{Error, Result};
use crate::model::side::{Side, Which};
use crate::mount::keys::KeyMaker;
use crate::mount::order::key_order;

/// Merges the backup (first child) and live (second child).
#[derive(Clone, Debug)]
pub struct RowDiffExec {
    spec: Arc<DiffSpec>,
    children: Side<Arc<dyn ExecutionPlan>>,
    orders: Side<LexOrdering>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RowDiffExec {
    /// Over children whose schemas are the scan schemas of [`DiffSpec::read`].
    pub fn try_new(spec: Arc<DiffSpec>, children: Side<Arc<dyn ExecutionPlan>>) -> Result<Self> {
        for which in [Which::Backup, Which::Live] {
            let wanted = crate::model::table::scan_schema(&spec.read(which)?);
            let given = children.get(which).schema();
            let same = wanted.fields().len() == given.fields().len()
                && wanted
                    .fields()
                    .iter()
                    .zip(given.fields())
                    .all(|(w, g)| w.name() == g.name() && w.data_type() == g.data_type());
            if !same {
                return Err(Error::failed(format!(
                    "the scan of {which} table {} gives {given:?}, not {wanted:?}",
                    spec.table.get(which)
                )));
            }
        }
        let orders = children.as_ref().try_map(|child| key_order(&spec.key, &child.schema()))?;
        let count = children.live.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(spec.schema()),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { spec, children, orders, properties: Arc::new(properties), metrics })
    }

    /// What is compared.
    pub fn spec(&self) -> &Arc<DiffSpec> {
        &self.spec
    }

    /// What was counted so far, over all partitions; final when their streams have ended.
    pub fn counts(&self) -> DiffCounts {
        DiffCounts::of(&self.metrics.clone_inner(), &self.spec)
    }
}

impl DisplayAs for RowDiffExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key: Vec<&str> = self.spec.key.iter().map(|c| c.name.as_str()).collect();
        let (table, compared) = (&self.spec.table.live, self.spec.compare.len());
        write!(f, "RowDiffExec: table={table}, key=[{}], compared={compared}", key.join(", "))
    }
}

impl ExecutionPlan for RowDiffExec {
    fn name(&self) -> &str {
        "RowDiffExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.children.backup, &self.children.live]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let by_first = |order: &LexOrdering| {
            Distribution::KeyPartitioned(vec![Arc::clone(&order.first().expr)])
        };
        InputDistributionRequirements::co_partitioned(vec![
            by_first(&self.orders.backup),
            by_first(&self.orders.live),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let orders = self.orders.clone().map(OrderingRequirements::from);
        vec![Some(orders.backup), Some(orders.live)]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        let orders = self.orders.backup.iter().chain(self.orders.live.iter());
        for PhysicalSortExpr { expr, .. } in orders {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let [backup, live] = <[_; 2]>::try_from(children)
            .map_err(|_| Error::failed("a row diff has two children"))?;
        let spec = Arc::clone(&self.spec);
        Ok(Arc::new(RowDiffExec::try_new(spec, Side { backup, live })?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let counts =
            self.children.as_ref().map(|child| child.output_partitioning().partition_count());
        if counts.backup != counts.live {
            let message = "the two sides of a row diff are not in the same ranges";
            return Err(Error::failed(message).into());
        }
        let counters = Counters::new(&self.metrics, partition, &self.spec);
        let maker = Arc::new(KeyMaker::new(&self.spec.key)?);
        let side = |which: Which| -> DfResult<Ordered> {
            let mut stream = self.children.get(which).execute(partition, Arc::clone(&context))?;
            if counts.live == 1 {
                // One range: only here can the two sides be read at once.
                stream = datafusion::physical_plan::common::spawn_buffered(stream, 2);
            }
            Ok(Ordered::new(
                (which, self.spec.table.get(which).clone()),
                stream,
                (Arc::clone(&maker), self.spec.key.clone()),
                counters.rows.get(which).clone(),
                (counters.unkeyable.get(which).clone(), counters.unkeyed.get(which).clone()),
            ))
        };
        let sides = Side { backup: side(Which::Backup)?, live: side(Which::Live)? };
        let batch_rows = context.session_config().batch_size();
        let merger = Merger::new(
            Arc::clone(&self.spec),
            Comparator::new(&self.spec)?,
            Assembler::new(&self.spec, batch_rows)?,
            counters,
        );
        let stream =
            futures::stream::try_unfold((sides, merger), |(mut sides, mut merger)| async {
                let batch = next_changes(&mut sides, &mut merger).await?;
                Ok(batch.map(|batch| (batch, (sides, merger))))
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.spec.schema(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

async fn next_changes(
    sides: &mut Side<Ordered>,
    merger: &mut Merger,
) -> Result<Option<RecordBatch>> {
    loop {
        futures::try_join!(sides.backup.fill(), sides.live.fill())?;
        let front = Side { backup: sides.backup.front(), live: sides.live.front() };
        if front.backup.is_none() && front.live.is_none() {
            return merger.finish();
        }
        let merged = merger.step(front)?;
        sides.backup.advance_to(merged.backup);
        sides.live.advance_to(merged.live);
        if let Some(batch) = merger.ready()? {
            return Ok(Some(batch));
        }
    }
}
