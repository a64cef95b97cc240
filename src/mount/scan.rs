//! `SourceScanExec`: the leaf that reads a table of a source, a key range a partition.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};
use futures::StreamExt;

use crate::error::{Error, Result};
use crate::model::filter::Filter;
use crate::model::side::Which;
use crate::model::table::{Carrier, Column, TableName, scan_schema};
use crate::model::value::{EXACT, Value, exact_cells};
use crate::mount::order::{key_order, range_partitioning};
use crate::progress::Progress;
use crate::source::{KeyRange, Scan, Source, Unfit};

/// What becomes of values that do not fit their column's carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfits {
    /// The column [`EXACT`] is given too.
    Carry,
    /// A row with a misfit is an error, so that it is never shown as NULL.
    Refuse,
}

/// What a scan reads: with its source, all that is needed to make it anew elsewhere.
#[derive(Clone, Debug)]
pub struct ScanSpec {
    /// The side, for messages.
    pub which: Which,
    /// The table.
    pub table: TableName,
    /// The columns, as live has them.
    pub columns: Vec<Column>,
    /// The key to order by; may be empty.
    pub key: Vec<Column>,
    /// The key ranges, a partition each.
    pub ranges: Vec<KeyRange>,
    /// Each range comes in key order.
    pub ordered: bool,
    /// Rows that do not match may be left out.
    pub filter: Option<Filter>,
    /// What becomes of misfits.
    pub misfits: Misfits,
    /// What becomes of a backup's values that live's columns can't hold.
    pub unfit: Unfit,
    /// The table's rows, exact or estimated.
    pub rows: Option<u64>,
}

impl ScanSpec {
    fn schema(&self) -> SchemaRef {
        match self.misfits {
            Misfits::Carry => scan_schema(&self.columns),
            Misfits::Refuse => {
                Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
            }
        }
    }
}

/// Hears of every row that a scan reads, when a session's config carries it as an extension.
pub struct Watch(pub Arc<dyn Progress>);

/// Reads a table of a source.
#[derive(Clone, Debug)]
pub struct SourceScanExec {
    source: Arc<dyn Source>,
    spec: Arc<ScanSpec>,
    properties: Arc<PlanProperties>,
}

impl SourceScanExec {
    /// A scan of `source`.
    pub fn new(source: Arc<dyn Source>, spec: ScanSpec) -> Self {
        let schema = spec.schema();
        let given = spec.key.iter().take_while(|k| schema.field_with_name(&k.name).is_ok()).count();
        let mut properties = EquivalenceProperties::new(Arc::clone(&schema));
        if spec.ordered
            && let Ok(order) = key_order(&spec.key[..given], &schema)
        {
            properties.add_ordering(order);
        }
        let partitioning = range_partitioning(&spec.key, &spec.ranges, &schema);
        let properties = PlanProperties::new(
            properties,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { source, spec: Arc::new(spec), properties: Arc::new(properties) }
    }

    /// What is read.
    pub fn spec(&self) -> &Arc<ScanSpec> {
        &self.spec
    }
}

impl DisplayAs for SourceScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        let columns: Vec<&str> = spec.columns.iter().map(|c| c.name.as_str()).collect();
        write!(
            f,
            "SourceScanExec: {}.{}, columns=[{}]",
            spec.which,
            spec.table,
            columns.join(", ")
        )?;
        write!(f, ", ranges={}", spec.ranges.len())?;
        match &spec.filter {
            Some(filter) => write!(f, ", filter={filter:?}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SourceScanExec {
    fn name(&self) -> &str {
        "SourceScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let spec = Arc::clone(&self.spec);
        let range = spec
            .ranges
            .get(partition)
            .cloned()
            .ok_or_else(|| Error::failed(format!("there is no key range {partition}")))?;
        let bounds = Bounds::of(&spec, &range);
        tracing::debug!(
            side = %spec.which, table = %spec.table, partition, ?range, filter = ?spec.filter,
            columns = ?spec.columns.iter().map(|c| &c.name).collect::<Vec<_>>(),
            "a scan begins"
        );
        let stream = self.source.scan(Scan {
            table: spec.table.clone(),
            columns: spec.columns.clone(),
            key: spec.key.clone(),
            range,
            filter: spec.filter.clone(),
            unfit: spec.unfit,
        })?;
        let watch = context.session_config().get_extension::<Watch>();
        let schema = self.schema();
        let stream = stream.map(move |batch| {
            let batch = batch?;
            if let Some(watch) = &watch {
                watch.0.advance(batch.num_rows() as u64);
            }
            if let Some(bounds) = &bounds {
                bounds.check(&spec, &batch)?;
            }
            match spec.misfits {
                Misfits::Carry => Ok(batch),
                Misfits::Refuse => Ok(without_misfits(&spec, &batch)?),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DfResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let (Some(rows), None) = (self.spec.rows, args.partition()) {
            statistics.num_rows = Precision::Inexact(rows as usize);
        }
        Ok(Arc::new(statistics))
    }
}

/// The bounds of an integer range. Ranges that a source cuts wrongly would make rows look
/// missing on one side and extra on the other, and the merge could not tell.
struct Bounds {
    column: usize,
    lower: i64,
    /// Exclusive; `None`: no bound.
    upper: Option<i64>,
}

impl Bounds {
    fn of(spec: &ScanSpec, range: &KeyRange) -> Option<Self> {
        let key = spec.key.first().filter(|key| key.carrier == Carrier::Int)?;
        let column = spec.columns.iter().position(|c| c.name == key.name)?;
        let integer = |bound: &Option<Value>| match bound {
            Some(Value::Int(i)) => Some(*i),
            _ => None,
        };
        let (lower, upper) = (integer(&range.lower), integer(&range.upper));
        (lower.is_some() || upper.is_some()).then(|| Self {
            column,
            lower: lower.unwrap_or(i64::MIN),
            upper,
        })
    }

    fn check(&self, spec: &ScanSpec, batch: &RecordBatch) -> Result<()> {
        let keys = batch.column(self.column).as_primitive::<Int64Type>();
        let outside = |k: i64| k < self.lower || self.upper.is_some_and(|upper| k >= upper);
        let stray = match keys.null_count() {
            0 => keys.values().iter().copied().find(|k| outside(*k)),
            _ => keys.iter().flatten().find(|k| outside(*k)),
        };
        match stray {
            None => Ok(()),
            Some(key) => Err(Error::failed(format!(
                "the {} gave the row {key} of {} outside of the key range asked for",
                spec.which, spec.table
            ))),
        }
    }
}

/// The batch without [`EXACT`], or an error when a row of it has a misfit.
fn without_misfits(spec: &ScanSpec, batch: &RecordBatch) -> Result<RecordBatch> {
    if let Some(exact) = batch.column_by_name(EXACT)
        && let Some(cells) = exact.as_binary::<i32>().iter().flatten().next()
    {
        let (which, table) = (spec.which, &spec.table);
        let column = match exact_cells(cells).next() {
            Some(cell) => cell?.0,
            None => EXACT,
        };
        return Err(Error::failed(format!(
            "column {column} of {which}.{table} holds a value that is not of its type, and would be shown as NULL"
        ))
        .hint("leave the column out of the query")
        .hint(format!("see such values exactly: restorekit diff --table {table} --format ndjson")));
    }
    let columns = batch.columns()[..spec.columns.len()].to_vec();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(spec.schema(), columns, &options)?)
}
