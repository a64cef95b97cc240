//! Literals in the type of the column that they are compared with.
//!
//! DataFusion would compare a text with a moment in nanoseconds, which end in the year 2262
//! (T6), and a numeral with a decimal as floats. Here a text that is a date or moment becomes
//! one of the column's own unit, and a numeral a decimal of its own digits; what is neither
//! stays as it is. One literal of the column's type can be pushed down, too.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column as ColumnRef, DFSchema, ExprSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Between, BinaryExpr, Cast, InList};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::optimizer::{Analyzer, AnalyzerRule};

use crate::fit::decimal;
use crate::fit::moment::{Parsed, parse};

/// The type of a column, where it is known.
pub type Find<'a> = &'a dyn Fn(&ColumnRef) -> Option<DataType>;

/// The expression with typed literals.
pub fn typed(expr: Expr, find: Find<'_>) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) => {
                let (a, b) = (column(&left, find), column(&right, find));
                let (left, right) = (of(*left, b.as_ref()), of(*right, a.as_ref()));
                let (left, right) = (Box::new(left), Box::new(right));
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let column = column(&expr, find);
                let (low, high) = (of(*low, column.as_ref()), of(*high, column.as_ref()));
                let (low, high) = (Box::new(low), Box::new(high));
                Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let column = column(&expr, find);
                // One type for all of the list.
                let typed: Vec<Expr> =
                    list.iter().cloned().map(|item| of(item, column.as_ref())).collect();
                let all = typed.iter().zip(&list).all(|(a, b)| a != b);
                let list = if all { typed } else { list };
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            other => Transformed::no(other),
        })
    })
}

/// DataFusion's own rules, after one that types the literals of a query.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(TypedLiterals)];
    rules.extend(Analyzer::new().rules);
    rules
}

#[derive(Debug)]
struct TypedLiterals;

impl AnalyzerRule for TypedLiterals {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|plan| {
            let inputs: Vec<Arc<DFSchema>> =
                plan.inputs().into_iter().map(|input| Arc::clone(input.schema())).collect();
            let find = |column: &ColumnRef| {
                let field = inputs.iter().find_map(|schema| schema.field_from_column(column).ok());
                field.map(|field| field.data_type().clone())
            };
            plan.map_expressions(|expr| typed(expr, &find))
        })?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "typed_literals"
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator as O;
    matches!(
        op,
        O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom
    )
}

fn column(expr: &Expr, find: Find<'_>) -> Option<DataType> {
    match expr {
        Expr::Column(column) => find(column),
        _ => None,
    }
}

/// A literal as one of the column's type; any other expression as it is.
fn of(expr: Expr, column: Option<&DataType>) -> Expr {
    let value = column.zip(text(&expr)).and_then(|(column, text)| value(text, column));
    value.map_or(expr, |value| Expr::Literal(value, None))
}

/// The text of a literal, of a DATE or of a TIMESTAMP.
fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text),
        Expr::Cast(Cast { expr, field }) => match field.data_type() {
            DataType::Timestamp(..) => text(expr),
            // A DATE cuts a time off.
            DataType::Date32 => text(expr).filter(|text| text.len() == 10),
            _ => None,
        },
        _ => None,
    }
}

fn value(text: &str, column: &DataType) -> Option<ScalarValue> {
    match column {
        DataType::Date32 => {
            let Parsed { moment, offset: None } = parse(text.as_bytes())? else { return None };
            let (day, second) =
                (moment.seconds.div_euclid(86_400), moment.seconds.rem_euclid(86_400));
            let midnight = second == 0 && moment.nanos == 0;
            Some(ScalarValue::Date32(Some(i32::try_from(day).ok().filter(|_| midnight)?)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone)
            if zone.as_ref().is_none_or(|zone| **zone == *"UTC") =>
        {
            let micros = parse(text.as_bytes())?.utc().micros()?;
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
        }
        DataType::Decimal128(..) => decimal(text),
        _ => None,
    }
}

/// A numeral as a decimal of just its digits; `None` for more of them than 38.
pub fn decimal(numeral: &str) -> Option<ScalarValue> {
    let (digits, scale) = decimal::read(numeral)?;
    let count = digits.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
    let precision = u8::try_from(count).ok()?.max(u8::try_from(scale).ok()?);
    (precision <= 38).then_some(ScalarValue::Decimal128(Some(digits), precision, scale))
}
