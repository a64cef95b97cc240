//! Names are resolved against the catalogue, and literals fitted to how live stores what
//! they mean: `active = false` where booleans are 0 and 1, a date where moments are text.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, UnaryOperator, Value, visit_expressions_mut,
};

use super::{Named, Place};
use crate::error::{Error, Result};
use crate::fit::moment::parse;
use crate::model::side::{Side, Which};
use crate::model::table::{Carrier, Column, TableSchema, TimeForm};
use crate::mount::literal::decimal;

/// Resolves every name of the expression, replaces it with its field of the evaluated
/// batch, and returns the columns named.
pub(super) fn resolve(expr: &mut Expr, schema: Side<&TableSchema>) -> Result<Vec<Named>> {
    let mut names: Vec<Named> = Vec::new();
    let flow = visit_expressions_mut(expr, |e| {
        let found = match e {
            Expr::Identifier(name) => bare(name, schema),
            Expr::CompoundIdentifier(parts) => qualified(parts, schema),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err(Error::usage("--where can't hold a sub-query")
                    .hint("use restorekit sql for questions across tables"))
            }
            _ => return ControlFlow::Continue(()),
        };
        match found {
            Ok(named) => {
                *e = Expr::Identifier(Ident::with_quote('"', named.field()));
                if names.iter().all(|n| n.field() != named.field()) {
                    names.push(named);
                }
                ControlFlow::Continue(())
            }
            Err(e) => ControlFlow::Break(e),
        }
    });
    match flow {
        ControlFlow::Break(e) => Err(e),
        ControlFlow::Continue(()) => Ok(names),
    }
}

fn bare(name: &Ident, schema: Side<&TableSchema>) -> Result<Named> {
    let column = schema.live.column(&name.value).or_else(|| schema.backup.column(&name.value));
    let column = match column {
        Some(column) => column.clone(),
        None => schema.live.require(&name.value)?.clone(),
    };
    Ok(Named { place: Place::Bare, column })
}

fn qualified(parts: &[Ident], schema: Side<&TableSchema>) -> Result<Named> {
    let [side, name] = parts else {
        let words: Vec<&str> = parts.iter().map(|p| p.value.as_str()).collect();
        return Err(Error::usage(format!("--where names {}", words.join(".")))
            .hint("name a side's column: live.x or backup.x"));
    };
    let which = match side.value.to_ascii_lowercase().as_str() {
        "live" => Which::Live,
        "backup" => Which::Backup,
        _ => {
            return Err(Error::usage(format!("--where names {}.{}", side.value, name.value))
                .hint("the sides are live and backup: live.x or backup.x"));
        }
    };
    let own = schema.get(which).require(&name.value)?;
    // The backup's column is read in the form of live's column of that name.
    let form = schema.live.column(&own.name).unwrap_or(own);
    let column = Column { name: own.name.clone(), ..form.clone() };
    Ok(Named { place: Place::Named(which), column })
}

/// Fits conditions and literals to the columns' carriers.
pub(super) fn fit(expr: &mut Expr, names: &[Named]) {
    condition(expr, names);
    let _ = visit_expressions_mut(expr, |e| {
        match e {
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                literal(right, column(left, names));
                literal(left, column(right, names));
            }
            Expr::Between { expr, low, high, .. } => {
                let column = column(expr, names);
                literal(low, column);
                literal(high, column);
            }
            Expr::InList { expr, list, .. } => {
                let column = column(expr, names);
                list.iter_mut().for_each(|item| literal(item, column));
            }
            Expr::IsTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotTrue(inner) => {
                truth(inner, names);
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(op, B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq | B::Spaceship)
}

/// Where a condition is expected, a number column stands for "is not 0".
fn condition(expr: &mut Expr, names: &[Named]) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            condition(left, names);
            condition(right, names);
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } | Expr::Nested(expr) => {
            condition(expr, names);
        }
        _ => truth(expr, names),
    }
}

fn truth(expr: &mut Expr, names: &[Named]) {
    let numeric = column(expr, names)
        .is_some_and(|c| matches!(c.carrier, Carrier::Int | Carrier::Number | Carrier::Real));
    if numeric {
        let compared = Expr::BinaryOp {
            left: Box::new(expr.clone()),
            op: BinaryOperator::NotEq,
            right: Box::new(number("0")),
        };
        *expr = Expr::Nested(Box::new(compared));
    }
}

fn column<'n>(expr: &Expr, names: &'n [Named]) -> Option<&'n Column> {
    match expr {
        Expr::Identifier(ident) => {
            names.iter().find(|n| n.field() == ident.value).map(|n| &n.column)
        }
        Expr::Nested(inner) => column(inner, names),
        _ => None,
    }
}

fn number(digits: &str) -> Expr {
    Expr::value(Value::Number(digits.into(), false))
}

/// Fits a literal to the column that it is compared with.
fn literal(expr: &mut Expr, column: Option<&Column>) {
    let Some(column) = column else { return };
    match column.carrier {
        Carrier::Int
        | Carrier::Unsigned
        | Carrier::Number
        | Carrier::Real
        | Carrier::Decimal { .. } => {
            if let Expr::Value(value) = expr
                && let Value::Boolean(truth) = value.value
            {
                *expr = number(if truth { "1" } else { "0" });
            }
            // As text its digits stay as they were written; `literal` makes a decimal of it.
            if let (Carrier::Decimal { .. }, Some(digits)) = (column.carrier, numeral(expr))
                && decimal(&digits).is_some()
            {
                *expr = Expr::value(Value::SingleQuotedString(digits));
            }
        }
        Carrier::Text => {
            let Some(text) = text(expr) else { return };
            let typed = matches!(expr, Expr::TypedString(_));
            let moment = column.time_form.and_then(|form| in_form(&text, &form));
            if let Some(text) = moment.or(typed.then_some(text)) {
                *expr = Expr::value(Value::SingleQuotedString(text));
            }
        }
        Carrier::Bool => {
            if let Expr::Value(value) = expr
                && let Value::Number(digits, _) = &value.value
                && let "0" | "1" = digits.as_str()
            {
                *expr = Expr::value(Value::Boolean(digits == "1"));
            }
        }
        // `literal` makes a date or moment of a text.
        Carrier::Date | Carrier::Stamp | Carrier::Instant => {}
        Carrier::Blob => {}
    }
}

/// The digits of a number, with its sign.
fn numeral(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits.clone()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            numeral(expr).map(|digits| format!("-{digits}"))
        }
        _ => None,
    }
}

/// The text of a string, DATE or TIMESTAMP literal.
fn text(expr: &Expr) -> Option<String> {
    let value = match expr {
        Expr::Value(value) => value,
        Expr::TypedString(typed) => &typed.value,
        _ => return None,
    };
    match &value.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

/// A date or moment in live's form; one with an offset is taken to UTC first.
fn in_form(text: &str, form: &TimeForm) -> Option<String> {
    let mut out = Vec::new();
    parse(text.as_bytes())?.utc().write(form, &mut out)?;
    String::from_utf8(out).ok()
}
