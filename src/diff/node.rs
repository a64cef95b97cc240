//! The row diff as a logical node over two scans.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::diff::spec::DiffSpec;
use crate::error::{Error, Result};
use crate::model::side::Side;

/// Compares the rows of its two inputs, the backup's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDiff {
    spec: Arc<DiffSpec>,
    inputs: Side<LogicalPlan>,
    schema: DFSchemaRef,
}

impl RowDiff {
    /// Over inputs that give [`DiffSpec::read`]'s columns and the misfits.
    pub fn new(spec: Arc<DiffSpec>, inputs: Side<LogicalPlan>) -> Result<Self> {
        let schema = Arc::new(DFSchema::try_from(spec.schema())?);
        Ok(Self { spec, inputs, schema })
    }

    /// What is compared.
    pub fn spec(&self) -> &Arc<DiffSpec> {
        &self.spec
    }
}

impl Hash for RowDiff {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.spec.hash(state);
        self.inputs.hash(state);
    }
}

impl PartialOrd for RowDiff {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for RowDiff {
    fn name(&self) -> &str {
        "RowDiff"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.inputs.backup, &self.inputs.live]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowDiff: {}", self.spec.table.live)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DfResult<Self> {
        let [backup, live] =
            <[_; 2]>::try_from(inputs).map_err(|_| Error::failed("a row diff has two inputs"))?;
        Ok(Self::new(Arc::clone(&self.spec), Side { backup, live })?)
    }
}
