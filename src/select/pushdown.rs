//! The part of a predicate that a source may apply: a whitelist of comparisons whose
//! meaning is the same everywhere. What is left out only makes the source read more.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value as Literal};

use crate::model::filter::{Comparison, Filter};
use crate::model::table::{Carrier, Column};
use crate::model::value::Value;

/// Finds the column behind a field of the evaluated batch, where it is of the side asked.
type Find<'a> = &'a dyn Fn(&str) -> Option<&'a Column>;

/// The filter that `expr` implies on the side whose columns `find` knows.
pub(super) fn filter(expr: &Expr, find: Find<'_>) -> Option<Filter> {
    match expr {
        Expr::Nested(inner) => filter(inner, find),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            match (filter(left, find), filter(right, find)) {
                (Some(left), Some(right)) => Some(Filter::And(vec![left, right])),
                (one, None) | (None, one) => one,
            }
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Some(Filter::Or(vec![filter(left, find)?, filter(right, find)?]))
        }
        Expr::BinaryOp { left, op, right } => compare(left, op, right, find),
        Expr::Between { expr, negated: false, low, high } => Some(Filter::And(vec![
            compare(expr, &BinaryOperator::GtEq, low, find)?,
            compare(expr, &BinaryOperator::LtEq, high, find)?,
        ])),
        Expr::InList { expr, list, negated: false } => {
            let column = column(expr, find)?;
            let values = list.iter().map(|item| value(item, column)).collect::<Option<Vec<_>>>()?;
            Some(Filter::In { column: column.name.clone(), values })
        }
        Expr::IsNull(inner) => Some(Filter::IsNull(column(inner, find)?.name.clone())),
        Expr::IsNotNull(inner) => Some(Filter::IsNotNull(column(inner, find)?.name.clone())),
        _ => None,
    }
}

fn compare(left: &Expr, op: &BinaryOperator, right: &Expr, find: Find<'_>) -> Option<Filter> {
    let op = match op {
        BinaryOperator::Eq => Comparison::Eq,
        BinaryOperator::Lt => Comparison::Lt,
        BinaryOperator::LtEq => Comparison::LtEq,
        BinaryOperator::Gt => Comparison::Gt,
        BinaryOperator::GtEq => Comparison::GtEq,
        _ => return None,
    };
    let (column, op, literal) = match (column(left, find), column(right, find)) {
        (Some(column), None) => (column, op, right),
        (None, Some(column)) => (column, mirrored(op), left),
        _ => return None,
    };
    Some(Filter::Compare { column: column.name.clone(), op, value: value(literal, column)? })
}

/// The comparison with its operands exchanged.
fn mirrored(op: Comparison) -> Comparison {
    match op {
        Comparison::Eq => Comparison::Eq,
        Comparison::Lt => Comparison::Gt,
        Comparison::LtEq => Comparison::GtEq,
        Comparison::Gt => Comparison::Lt,
        Comparison::GtEq => Comparison::LtEq,
    }
}

fn column<'a>(expr: &Expr, find: Find<'a>) -> Option<&'a Column> {
    match expr {
        Expr::Identifier(ident) => find(&ident.value),
        Expr::Nested(inner) => column(inner, find),
        _ => None,
    }
}

/// A literal as the column's carrier holds it; `None` where DataFusion would have to
/// convert one of them.
fn value(expr: &Expr, column: &Column) -> Option<Value> {
    let (negative, literal) = match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, expr.as_ref()),
        Expr::Nested(inner) => return value(inner, column),
        other => (false, other),
    };
    let Expr::Value(literal) = literal else { return None };
    match (&literal.value, column.carrier) {
        (Literal::Number(digits, _), Carrier::Int) => {
            let digits = if negative { format!("-{digits}") } else { digits.clone() };
            digits.parse().ok().map(Value::Int)
        }
        (Literal::Number(digits, _), Carrier::Number | Carrier::Real) => {
            let number: f64 = digits.parse().ok()?;
            Some(Value::Real(if negative { -number } else { number }))
        }
        (Literal::SingleQuotedString(text), Carrier::Text) if !negative => {
            Some(Value::Text(text.clone().into_bytes()))
        }
        _ => None,
    }
}
