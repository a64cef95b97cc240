//! Which changes are meant: a predicate over the rows of both sides, as people write it.
//!
//! `live.x` and `backup.x` name a side; a bare `x` means live for rows in both, and the
//! backup for missing rows. DataFusion evaluates the predicate on change batches, so its
//! words, functions and three values are those of DataFusion's SQL. What people write
//! about booleans and moments is fitted to how the engine stores them (`rewrite`, [`literal`]),
//! and a whitelisted part of it is given to the source, which then reads less.

mod rewrite;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt8Type};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;

use crate::error::{Error, Result};
use crate::model::change::{CHANGE, Change, side_field};
use crate::model::filter::Filter;
use crate::model::side::{Side, Which};
use crate::model::table::{Column, TableSchema};
use crate::model::value::{EXACT, exact_cells};
use crate::mount::literal;
use crate::mount::pushdown::to_filter;

/// Where a name in a predicate points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `live.x` or `backup.x`.
    Named(Which),
    /// A bare `x`.
    Bare,
}

/// A column that a predicate names.
#[derive(Clone, Debug)]
struct Named {
    place: Place,
    column: Column,
}

impl Named {
    /// The field under which the evaluated batch has it.
    fn field(&self) -> String {
        match self.place {
            Place::Named(which) => side_field(which, &self.column.name),
            Place::Bare => format!("bare.{}", self.column.name),
        }
    }
}

/// A `--where` predicate on one table.
#[derive(Clone, Debug)]
pub struct Predicate {
    sql: String,
    /// The condition over the fields of the evaluated batch.
    condition: Expr,
    names: Vec<Named>,
    compiled: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

/// Which rows of a change batch a predicate selects.
#[derive(Clone, Debug)]
pub struct Selection {
    /// True for selected rows; never NULL.
    pub mask: BooleanArray,
    /// Rows that could not be judged, since a named column holds a value that its
    /// column's type can't; they are not selected.
    pub unevaluated: u64,
}

impl Predicate {
    /// Parses a predicate over the columns of one table's two sides.
    pub fn parse(sql: &str, schema: Side<&TableSchema>) -> Result<Self> {
        let context = SessionContext::new();
        let state = context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let parsed = state.sql_to_expr_with_alias(sql, &dialect).map_err(|e| unreadable(sql, e))?;
        let mut parsed = parsed;
        let names = rewrite::resolve(&mut parsed.expr, schema)?;
        rewrite::fit(&mut parsed.expr, &names);
        let fields =
            names.iter().map(|n| Field::new(n.field(), n.column.carrier.data_type(), true));
        let fields: Vec<Field> = fields.collect();
        let evaluated: SchemaRef = Arc::new(Schema::new(fields));
        let named = DFSchema::try_from(evaluated.as_ref().clone())?;
        let expr = state
            .create_logical_expr_from_sql_expr(parsed, &named)
            .map_err(|e| unreadable(sql, e))?;
        let condition = literal::typed(expr, &|column| find(&names, &column.name))?.data;
        let compiled = state
            .create_physical_expr(condition.clone(), &named)
            .map_err(|e| unreadable(sql, e))?;
        if compiled.data_type(&evaluated)? != DataType::Boolean {
            return Err(Error::usage(format!("--where {sql:?} is no condition"))
                .hint("compare something: --where \"active = false\""));
        }
        Ok(Self { sql: sql.into(), condition, names, compiled, schema: evaluated })
    }

    /// The predicate as it was written.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The columns that each side has to carry for judging rows of this kind of change. A
    /// missing row has no live side, so that naming one is an error.
    pub fn needs(&self, change: Change) -> Result<Side<Vec<Column>>> {
        let mut needs = Side { backup: Vec::new(), live: Vec::new() };
        for named in &self.names {
            let which = match named.place {
                Place::Named(which) => which,
                Place::Bare if change == Change::Missing => Which::Backup,
                Place::Bare => Which::Live,
            };
            if change == Change::Missing && which == Which::Live {
                return Err(Error::usage(format!(
                    "--where names live.{}, but missing rows have no live side",
                    named.column.name
                ))
                .hint(format!("name the backup's: backup.{}", named.column.name)));
            }
            let side = match which {
                Which::Backup => &mut needs.backup,
                Which::Live => &mut needs.live,
            };
            if side.iter().all(|c: &Column| c.name != named.column.name) {
                side.push(named.column.clone());
            }
        }
        Ok(needs)
    }

    /// The part that `which` side's source may apply when rows of this kind of change are
    /// looked for; `None` when there is none.
    pub fn pushdown(&self, which: Which, change: Change) -> Option<Filter> {
        let bare = if change == Change::Missing { Which::Backup } else { Which::Live };
        to_filter(&self.condition, &|field| {
            let named = self.names.iter().find(|n| n.field() == field.name)?;
            let here = match named.place {
                Place::Named(place) => place == which,
                Place::Bare => bare == which,
            };
            here.then_some(&named.column)
        })
    }

    /// Judges the rows of a change batch.
    pub fn evaluate(&self, changes: &RecordBatch) -> Result<Selection> {
        let kinds = changes
            .column_by_name(CHANGE)
            .ok_or_else(|| Error::failed("a change batch lacks its kind"))?
            .as_primitive::<UInt8Type>();
        let missing: BooleanArray =
            kinds.values().iter().map(|k| Some(*k == Change::Missing as u8)).collect();
        let arrays =
            self.names.iter().map(|n| array(n, changes, &missing)).collect::<Result<Vec<_>>>()?;
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(changes.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?;
        let judged = self.compiled.evaluate(&batch)?.into_array(changes.num_rows())?;
        let judged = judged.as_boolean();
        let odd = self.misfits(changes, &missing)?;
        let mask: Vec<bool> = (0..changes.num_rows())
            .map(|row| judged.is_valid(row) && judged.value(row) && !odd[row])
            .collect();
        let unevaluated = odd.iter().filter(|odd| **odd).count() as u64;
        Ok(Selection { mask: BooleanArray::from(mask), unevaluated })
    }

    /// For each row, whether a named column holds a misfit there.
    fn misfits(&self, changes: &RecordBatch, missing: &BooleanArray) -> Result<Vec<bool>> {
        let mut odd = vec![false; changes.num_rows()];
        for which in [Which::Backup, Which::Live] {
            let Some(cells) = exact(changes, which) else { continue };
            for (row, odd) in odd.iter_mut().enumerate().filter(|(row, _)| cells.is_valid(*row)) {
                let bare = if missing.value(row) { Which::Backup } else { Which::Live };
                for cell in exact_cells(cells.value(row)) {
                    let (name, _) = cell?;
                    *odd |= self.names.iter().any(|n| {
                        let here = match n.place {
                            Place::Named(place) => place,
                            Place::Bare => bare,
                        };
                        here == which && n.column.name == name
                    });
                }
            }
        }
        Ok(odd)
    }
}

fn find(names: &[Named], field: &str) -> Option<DataType> {
    let named = names.iter().find(|named| named.field() == field)?;
    Some(named.column.carrier.data_type())
}

fn unreadable(sql: &str, e: datafusion::error::DataFusionError) -> Error {
    Error::usage(format!("--where {sql:?} can't be read"))
        .because(e.strip_backtrace())
        .hint("text stands in 'single quotes', names with capitals in \"double quotes\"")
}

fn exact(changes: &RecordBatch, which: Which) -> Option<&BinaryArray> {
    let cells = changes.column_by_name(&side_field(which, EXACT))?.as_binary_opt::<i32>()?;
    (cells.null_count() < cells.len()).then_some(cells)
}

/// A named column's values: live's for rows in both, the backup's for missing ones. A side
/// that the batch does not carry is NULL.
fn array(named: &Named, changes: &RecordBatch, missing: &BooleanArray) -> Result<ArrayRef> {
    let side = |which| changes.column_by_name(&side_field(which, &named.column.name)).cloned();
    let kind = named.column.carrier.data_type();
    let found = match named.place {
        Place::Named(which) => side(which),
        Place::Bare => match (side(Which::Backup), side(Which::Live)) {
            (Some(backup), Some(live)) => Some(zip(missing, &backup, &live)?),
            (one, None) | (None, one) => one,
        },
    };
    match found {
        Some(array) if *array.data_type() == kind => Ok(array),
        Some(array) => Err(Error::failed(format!(
            "column {} travels as {}, not as {kind}",
            named.column.name,
            array.data_type()
        ))),
        None => Ok(new_null_array(&kind, changes.num_rows())),
    }
}

#[cfg(test)]
mod tests;
