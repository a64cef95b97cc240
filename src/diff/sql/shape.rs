//! Change batches in the shape that people query: [`function`](super::function) says which.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DfResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;

use crate::diff::rows::ChangeRows;
use crate::diff::spec::DiffSpec;
use crate::error::{Error, Result};
use crate::model::change::side_field;
use crate::model::side::Which;
use crate::model::value::{EXACT, exact_cells};

/// A column of the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The kind of change in words.
    Change,
    /// The key's `n`-th column.
    Key(usize),
    /// The names of the columns that differ.
    Columns,
    /// A side's row.
    Row(Which),
}

/// Turns change batches into the shape.
#[derive(Clone, Debug)]
pub(crate) struct ChangeTableExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<DiffSpec>,
    parts: Arc<[Part]>,
    properties: Arc<PlanProperties>,
}

impl ChangeTableExec {
    /// Over the changes of `spec`; `schema` has a field for each part.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        spec: Arc<DiffSpec>,
        parts: Vec<Part>,
        schema: SchemaRef,
    ) -> Self {
        let count = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(count),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, spec, parts: parts.into(), properties: Arc::new(properties) }
    }
}

impl DisplayAs for ChangeTableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        write!(f, "ChangeTableExec: [{}]", names.join(", "))
    }
}

impl ExecutionPlan for ChangeTableExec {
    fn name(&self) -> &str {
        "ChangeTableExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| Error::failed("a shape has one input"))?;
        let (spec, parts) = (Arc::clone(&self.spec), self.parts.to_vec());
        Ok(Arc::new(Self::new(input, spec, parts, self.schema())))
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
        let (spec, parts, schema) =
            (Arc::clone(&self.spec), Arc::clone(&self.parts), self.schema());
        let stream = self.input.execute(partition, context)?;
        let shaped = stream.map({
            let schema = Arc::clone(&schema);
            move |batch| Ok(shape(&spec, &parts, &schema, &batch?)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, shaped)))
    }
}

fn shape(
    spec: &DiffSpec,
    parts: &[Part],
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch> {
    let rows = ChangeRows::new(spec, batch)?;
    let columns = parts.iter().zip(schema.fields()).map(|(part, field)| -> Result<ArrayRef> {
        match part {
            Part::Change => {
                let words = (0..rows.len()).map(|row| Ok(Some(rows.change(row)?.as_str())));
                Ok(Arc::new(words.collect::<Result<StringArray>>()?))
            }
            Part::Key(index) => {
                let name = &spec.key[*index].name;
                let (live, backup) = (
                    side_column(batch, Which::Live, name)?,
                    side_column(batch, Which::Backup, name)?,
                );
                Ok(zip(&is_not_null(live)?, live, backup)?)
            }
            Part::Columns => {
                let mut names = StringBuilder::new();
                for row in 0..rows.len() {
                    let differ: Vec<&str> =
                        rows.differs(row).map(|i| spec.compare[i].live.name.as_str()).collect();
                    names.append_option((!differ.is_empty()).then(|| differ.join(", ")));
                }
                Ok(Arc::new(names.finish()))
            }
            Part::Row(which) => row_struct(spec, &rows, batch, *which, field.data_type()),
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn side_column<'a>(batch: &'a RecordBatch, which: Which, name: &str) -> Result<&'a ArrayRef> {
    let field = side_field(which, name);
    batch
        .column_by_name(&field)
        .ok_or_else(|| Error::failed(format!("a change batch lacks {field}")))
}

/// A side's row as a struct; an error when a value in it is not of its column's type.
fn row_struct(
    spec: &DiffSpec,
    rows: &ChangeRows<'_>,
    batch: &RecordBatch,
    which: Which,
    kind: &DataType,
) -> Result<ArrayRef> {
    let exact = side_column(batch, which, EXACT)?.as_binary::<i32>();
    if let Some(cells) = exact.iter().flatten().next() {
        let column = exact_cells(cells).next().transpose()?.map_or(EXACT, |(name, _)| name);
        let table = &spec.table.live;
        return Err(Error::failed(format!(
            "column {column} of {which}.{table} holds a value that is not of its type, and would be shown as NULL"
        ))
        .hint(format!("name the columns to show: diff('{table}', 'a, b')"))
        .hint(format!("see such values exactly: restorekit diff --table {table} --format ndjson")));
    }
    let DataType::Struct(fields) = kind else {
        return Err(Error::failed("a side's row is a struct"));
    };
    let columns = fields.iter().map(|field| side_column(batch, which, field.name()).cloned());
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let there: Vec<bool> = (0..rows.len()).map(|row| rows.has(row, which)).collect();
    let nulls = there.contains(&false).then(|| NullBuffer::from(there));
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?))
}
