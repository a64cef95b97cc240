//! The key's order as DataFusion is told it: a column itself, or its normal form where the
//! collation is not byte order, so that a `SortExec` sorts as the merge compares.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{
    LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, RangePartitioning, SplitPoint,
};

use crate::error::{Error, Result};
use crate::model::table::{Carrier, Collation, Column};
use crate::model::value::{Value, fits};
use crate::source::KeyRange;

/// Ascending, NULLs first: the order of every scan.
pub const ASCENDING: SortOptions = SortOptions { descending: false, nulls_first: true };

/// The order of `key`, whose columns stand in `schema` by their names.
pub fn key_order(key: &[Column], schema: &Schema) -> Result<LexOrdering> {
    let exprs = key
        .iter()
        .map(|column| {
            let expr: Arc<dyn PhysicalExpr> =
                Arc::new(ColumnExpr::new_with_schema(&column.name, schema)?);
            let collated = column.carrier == Carrier::Text && column.collation != Collation::Binary;
            let expr = match collated {
                true => Arc::new(Normalised { expr, collation: column.collation.clone() }),
                false => expr,
            };
            Ok(PhysicalSortExpr::new(expr, ASCENDING))
        })
        .collect::<Result<Vec<_>>>()?;
    LexOrdering::new(exprs).ok_or_else(|| Error::failed("a key has no columns"))
}

/// A text column in its collation's normal form.
#[derive(Clone, Debug, Eq)]
pub struct Normalised {
    expr: Arc<dyn PhysicalExpr>,
    collation: Collation,
}

impl PartialEq for Normalised {
    fn eq(&self, other: &Self) -> bool {
        self.expr.eq(&other.expr) && self.collation == other.collation
    }
}

impl Hash for Normalised {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
        self.collation.hash(state);
    }
}

impl std::fmt::Display for Normalised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} COLLATE {:?}", self.expr, self.collation)
    }
}

impl PhysicalExpr for Normalised {
    fn data_type(&self, _: &Schema) -> DfResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn nullable(&self, schema: &Schema) -> DfResult<bool> {
        self.expr.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DfResult<ColumnarValue> {
        let array = self.expr.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(Arc::new(normalise(array.as_string(), &self.collation)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expr]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DfResult<Arc<dyn PhysicalExpr>> {
        let expr = children.pop().ok_or_else(|| Error::failed("COLLATE has one operand"))?;
        Ok(Arc::new(Self { expr, collation: self.collation.clone() }))
    }

    fn fmt_sql(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Text whose bytes compare as `collation` does.
pub(crate) fn normalise(text: &StringArray, collation: &Collation) -> Result<StringArray> {
    let mut builder =
        arrow::array::BinaryBuilder::with_capacity(text.len(), text.value_data().len());
    for cell in text {
        builder.append_option(cell.map(|cell| collation.normalise(cell.as_bytes())));
    }
    let (offsets, values, nulls) = builder.finish().into_parts();
    Ok(StringArray::try_new(offsets, values, nulls)?)
}

/// The split points that both sides understand alike: values of the key's first column,
/// strictly ascending. None for collated text, whose ranges an engine and a file might
/// cut differently.
pub fn usable_splits(column: &Column, splits: Vec<Value>) -> Vec<Value> {
    let fits = |value: &Value| {
        let collated = column.carrier == Carrier::Text && column.collation != Collation::Binary;
        !matches!(value, Value::Null | Value::Real(_))
            && fits(value.as_ref(), column.carrier)
            && !collated
    };
    let ascends = |pair: &[Value]| match (&pair[0], &pair[1]) {
        (Value::Int(_), Value::Unsigned(_)) => true,
        (Value::Int(a), Value::Int(b))
        | (Value::Stamp(a), Value::Stamp(b))
        | (Value::Instant(a), Value::Instant(b)) => a < b,
        (Value::Unsigned(a), Value::Unsigned(b)) => a < b,
        (Value::Date(a), Value::Date(b)) => a < b,
        (Value::Decimal(a, _), Value::Decimal(b, _)) => a < b,
        (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => a < b,
        _ => false,
    };
    match splits.iter().all(fits) && splits.windows(2).all(ascends) {
        true => splits,
        false => Vec::new(),
    }
}

/// How rows of these ranges are partitioned by the key's first column, when it stands in
/// `schema`.
pub fn range_partitioning(key: &[Column], ranges: &[KeyRange], schema: &Schema) -> Partitioning {
    let declared = || -> Option<Partitioning> {
        let order = key_order(key.get(..1)?, schema).ok()?;
        let points = ranges[1..].iter().map(|range| {
            Some(SplitPoint::new(vec![scalar(key[0].carrier, range.lower.as_ref()?)?]))
        });
        let points = points.collect::<Option<Vec<_>>>()?;
        Some(Partitioning::Range(RangePartitioning::try_new(order, points).ok()?))
    };
    let unknown = Partitioning::UnknownPartitioning(ranges.len());
    if ranges.len() > 1 { declared().unwrap_or(unknown) } else { unknown }
}

/// A split point as DataFusion has it; `None` for a value that is no bound of a range.
fn scalar(carrier: Carrier, value: &Value) -> Option<ScalarValue> {
    Some(match (carrier, value) {
        (Carrier::Unsigned, Value::Int(i)) => ScalarValue::UInt64(Some(u64::try_from(*i).ok()?)),
        (_, Value::Int(i)) => ScalarValue::Int64(Some(*i)),
        (_, Value::Unsigned(u)) => ScalarValue::UInt64(Some(*u)),
        (_, Value::Text(b)) => ScalarValue::Utf8(Some(String::from_utf8(b.clone()).ok()?)),
        (_, Value::Blob(b)) => ScalarValue::Binary(Some(b.clone())),
        (_, Value::Date(day)) => ScalarValue::Date32(Some(*day)),
        (_, Value::Stamp(micros)) => ScalarValue::TimestampMicrosecond(Some(*micros), None),
        (_, Value::Instant(micros)) => {
            ScalarValue::TimestampMicrosecond(Some(*micros), Some("UTC".into()))
        }
        (Carrier::Decimal { precision, scale }, Value::Decimal(digits, _)) => {
            ScalarValue::Decimal128(Some(*digits), precision, scale)
        }
        (_, Value::Null | Value::Real(_) | Value::Bool(_) | Value::Decimal(..)) => return None,
    })
}
