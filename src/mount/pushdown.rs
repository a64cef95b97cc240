//! Which SQL predicates a source may be asked to apply: a whitelist of comparisons that
//! every engine means alike. All else stays with DataFusion, and what is pushed is
//! checked again.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, BinaryExpr, InList};
use datafusion::logical_expr::{Expr, Operator};

use crate::fit::decimal::rescaled;
use crate::model::filter::{Comparison, Filter};
use crate::model::table::{Carrier, Collation, Column};
use crate::model::value::{Value, ValueRef, fits};

/// Finds the column that an expression's column means; `None` keeps it from being pushed.
pub type Resolve<'a> = &'a dyn Fn(&datafusion::common::Column) -> Option<&'a Column>;

/// A filter that holds wherever `expr` does; `None` when there is none. Of a conjunction
/// the parts that can be pushed are enough.
pub fn to_filter(expr: &Expr, resolve: Resolve<'_>) -> Option<Filter> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (to_filter(left, resolve), to_filter(right, resolve)) {
                (Some(a), Some(b)) => Some(Filter::And(vec![a, b])),
                (a, b) => a.or(b),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Filter::Or(vec![to_filter(left, resolve)?, to_filter(right, resolve)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let op = comparison(*op)?;
            match (left.as_ref(), right.as_ref()) {
                (Expr::Column(c), Expr::Literal(value, _)) => compare(resolve(c)?, op, value),
                (Expr::Literal(value, _), Expr::Column(c)) => {
                    compare(resolve(c)?, mirrored(op), value)
                }
                _ => None,
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            match (expr.as_ref(), low.as_ref(), high.as_ref()) {
                (Expr::Column(c), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                    let column = resolve(c)?;
                    let low = compare(column, Comparison::GtEq, low)?;
                    let high = compare(column, Comparison::LtEq, high)?;
                    Some(Filter::And(vec![low, high]))
                }
                _ => None,
            }
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(c) = expr.as_ref() else { return None };
            let column = resolve(c)?;
            let values = list.iter().map(|item| match item {
                Expr::Literal(value, _) => literal(column, value),
                _ => None,
            });
            let values = values.collect::<Option<Vec<_>>>()?;
            Some(Filter::In { column: column.name.clone(), values })
        }
        Expr::Column(c) => truth(resolve(c)?, true),
        Expr::Not(inner) | Expr::IsFalse(inner) => match inner.as_ref() {
            Expr::Column(c) => truth(resolve(c)?, false),
            _ => None,
        },
        Expr::IsTrue(inner) => to_filter(inner, resolve),
        Expr::IsNull(inner) => match inner.as_ref() {
            Expr::Column(c) => Some(Filter::IsNull(resolve(c)?.name.clone())),
            _ => None,
        },
        Expr::IsNotNull(inner) => match inner.as_ref() {
            Expr::Column(c) => Some(Filter::IsNotNull(resolve(c)?.name.clone())),
            _ => None,
        },
        _ => None,
    }
}

fn compare(column: &Column, op: Comparison, value: &ScalarValue) -> Option<Filter> {
    let value = literal(column, value)?;
    // An engine orders text by its collation, and has no order of truth values.
    let ordered = match value {
        Value::Text(_) => column.collation == Collation::Binary,
        Value::Bool(_) => false,
        _ => true,
    };
    (ordered || op == Comparison::Eq).then(|| Filter::Compare {
        column: column.name.clone(),
        op,
        value,
    })
}

/// A column of truth values where a condition is expected.
fn truth(column: &Column, is: bool) -> Option<Filter> {
    compare(column, Comparison::Eq, &ScalarValue::Boolean(Some(is)))
}

fn comparison(op: Operator) -> Option<Comparison> {
    match op {
        Operator::Eq => Some(Comparison::Eq),
        Operator::Lt => Some(Comparison::Lt),
        Operator::LtEq => Some(Comparison::LtEq),
        Operator::Gt => Some(Comparison::Gt),
        Operator::GtEq => Some(Comparison::GtEq),
        _ => None,
    }
}

fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Eq => Comparison::Eq,
        Comparison::Lt => Comparison::Gt,
        Comparison::LtEq => Comparison::GtEq,
        Comparison::Gt => Comparison::Lt,
        Comparison::GtEq => Comparison::LtEq,
    }
}

/// A literal of the column's own kind. Text that is equal by its bytes is equal by any
/// collation.
fn literal(column: &Column, value: &ScalarValue) -> Option<Value> {
    let value = match value {
        ScalarValue::Int8(Some(i)) => Value::Int((*i).into()),
        ScalarValue::Int16(Some(i)) => Value::Int((*i).into()),
        ScalarValue::Int32(Some(i)) => Value::Int((*i).into()),
        ScalarValue::Int64(Some(i)) => Value::Int(*i),
        ScalarValue::UInt8(Some(i)) => Value::Int((*i).into()),
        ScalarValue::UInt16(Some(i)) => Value::Int((*i).into()),
        ScalarValue::UInt32(Some(i)) => Value::Int((*i).into()),
        ScalarValue::UInt64(Some(i)) => ValueRef::unsigned(*i).to_owned(),
        ScalarValue::Float64(Some(r)) if r.is_finite() => Value::Real(*r),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Value::Text(text.clone().into_bytes()),
        ScalarValue::Binary(Some(bytes))
        | ScalarValue::LargeBinary(Some(bytes))
        | ScalarValue::BinaryView(Some(bytes)) => Value::Blob(bytes.clone()),
        ScalarValue::Boolean(Some(truth)) => Value::Bool(*truth),
        ScalarValue::Date32(Some(day)) => Value::Date(*day),
        ScalarValue::TimestampMicrosecond(Some(micros), None) => Value::Stamp(*micros),
        ScalarValue::TimestampMicrosecond(Some(micros), Some(zone)) if **zone == *"UTC" => {
            Value::Instant(*micros)
        }
        ScalarValue::Decimal128(Some(digits), _, scale) => match column.carrier {
            Carrier::Decimal { scale: held, .. } => {
                Value::Decimal(rescaled(*digits, *scale, held)?, held)
            }
            _ => return None,
        },
        _ => return None,
    };
    let alike = match (&value, column.carrier) {
        (Value::Int(_), Carrier::Number | Carrier::Real)
        | (Value::Real(_), Carrier::Number | Carrier::Real) => true,
        (_, Carrier::Number | Carrier::Real) => false,
        (value, carrier) => fits(value.as_ref(), carrier),
    };
    alike.then_some(value)
}
