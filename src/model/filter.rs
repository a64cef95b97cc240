//! The predicates a source may be asked to apply: a whitelist, so that every engine means
//! the same by them. Anything else is filtered by DataFusion after the scan.

use crate::model::value::Value;

/// A predicate over one table's columns. A source may return rows that do not match (it
/// is checked again), but never drops a row that does.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one holds.
    And(Vec<Filter>),
    /// At least one holds.
    Or(Vec<Filter>),
    /// The column compares so with a value of its own carrier that is not NULL: any integer or
    /// real with a column of reals.
    Compare {
        /// The column's name.
        column: String,
        /// The comparison.
        op: Comparison,
        /// The literal.
        value: Value,
    },
    /// The column is one of these values.
    In {
        /// The column's name.
        column: String,
        /// The literals.
        values: Vec<Value>,
    },
    /// The column is NULL.
    IsNull(String),
    /// The column is not NULL.
    IsNotNull(String),
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

impl Comparison {
    /// The operator in the SQL of an engine that takes -0.0 and 0.0 for equal. Arrow has -0.0
    /// below 0.0, so a strict comparison with a zero lets zeros through.
    pub fn sql(self, value: &Value) -> &'static str {
        let zero = match value {
            Value::Int(i) => *i == 0,
            Value::Real(r) => *r == 0.0,
            _ => false,
        };
        match self {
            Comparison::Eq => "=",
            Comparison::Lt if !zero => "<",
            Comparison::Lt | Comparison::LtEq => "<=",
            Comparison::Gt if !zero => ">",
            Comparison::Gt | Comparison::GtEq => ">=",
        }
    }
}
