//! From the logical node to the operator.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result as DfResult;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::diff::exec::RowDiffExec;
use crate::diff::node::RowDiff;
use crate::error::Error;
use crate::model::side::Side;

/// DataFusion's planner, with the row diff.
#[derive(Debug)]
pub struct RowDiffQueryPlanner;

#[async_trait]
impl QueryPlanner for RowDiffQueryPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let planner =
            DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(RowDiffPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// Plans [`RowDiff`] as [`RowDiffExec`].
#[derive(Debug)]
pub struct RowDiffPlanner;

#[async_trait]
impl ExtensionPlanner for RowDiffPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<RowDiff>() else { return Ok(None) };
        let [backup, live] = inputs else {
            return Err(Error::failed("a row diff has two inputs").into());
        };
        let children = Side { backup: Arc::clone(backup), live: Arc::clone(live) };
        let exec = RowDiffExec::try_new(Arc::clone(node.spec()), children)?;
        Ok(Some(Arc::new(exec)))
    }
}
