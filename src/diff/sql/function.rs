//! The table function `diff('<table>'[, '<columns>'])`: a table's changes as rows.
//!
//! | column | |
//! |---|---|
//! | `change` | `missing`, `changed`, `extra` or `ambiguous` |
//! | the key's columns | of the row, wherever it is |
//! | `columns` | of a changed row those that differ, as `a, b` |
//! | `backup` | the backup's row: key and compared columns; NULL for `extra` |
//! | `live` | live's row; NULL for `missing` |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::diff::changes::tables;
use crate::diff::exec::RowDiffExec;
use crate::diff::pair::{PairOptions, TablePair, named, pair_schemas};
use crate::diff::spec::{DiffSpec, Emit};
use crate::diff::sql::shape::{ChangeTableExec, Part};
use crate::error::{Error, Result};
use crate::model::change::Change;
use crate::model::side::{Side, Which};
use crate::model::table::Column;
use crate::mount::{Mount, no_table};

/// `diff(..)` over a mount whose tables are all described.
#[derive(Debug)]
pub(crate) struct DiffFunction {
    mount: Arc<Mount>,
}

impl DiffFunction {
    pub(crate) fn new(mount: Arc<Mount>) -> Self {
        Self { mount }
    }

    fn pair(&self, name: &str, columns: &[String]) -> Result<TablePair> {
        let table = named(&self.mount, name)?;
        let schema = |which: Which| {
            let known = self.mount.known_schema(which, table.get(which));
            known.ok_or_else(|| no_table(which, self.mount.tables(which), name))
        };
        let schema = Side { backup: schema(Which::Backup)?, live: schema(Which::Live)? };
        let options = PairOptions { columns: columns.to_vec(), ..PairOptions::default() };
        pair_schemas(table, schema, &options)
    }
}

impl TableFunctionImpl for DiffFunction {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> DfResult<Arc<dyn TableProvider>> {
        let texts = args.exprs().iter().map(|expr| match expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
                Some(text.as_str())
            }
            _ => None,
        });
        let (table, columns) = match texts.collect::<Option<Vec<_>>>().as_deref() {
            Some([table]) => (*table, Vec::new()),
            Some([table, columns]) => {
                (*table, columns.split(',').map(|c| c.trim().to_owned()).collect())
            }
            _ => {
                return Err(Error::usage("diff takes a table's name, and maybe columns, as text")
                    .hint("select change, count(*) from diff('events') group by 1")
                    .hint("select * from diff('events', 'title, starts_at')")
                    .into());
            }
        };
        let pair = self.pair(table, &columns)?;
        Ok(Arc::new(DiffTable::new(Arc::clone(&self.mount), pair)?))
    }
}

/// The changes of one table.
#[derive(Debug)]
struct DiffTable {
    mount: Arc<Mount>,
    pair: TablePair,
    parts: Vec<Part>,
    schema: SchemaRef,
}

impl DiffTable {
    fn new(mount: Arc<Mount>, pair: TablePair) -> Result<Self> {
        let key = pair.key_columns();
        let row: Fields =
            key.iter().chain(&pair.compare).map(Column::field).collect::<Vec<_>>().into();
        let mut parts = vec![Part::Change];
        let mut fields = vec![Field::new("change", DataType::Utf8, false)];
        for (i, column) in key.iter().enumerate() {
            let taken = ["change", "columns", "backup", "live"].contains(&column.name.as_str());
            let name = if taken { format!("key_{}", column.name) } else { column.name.clone() };
            fields.push(column.field().with_name(name));
            parts.push(Part::Key(i));
        }
        fields.push(Field::new("columns", DataType::Utf8, true));
        fields.push(Field::new("backup", DataType::Struct(row.clone()), true));
        fields.push(Field::new("live", DataType::Struct(row), true));
        parts.extend([Part::Columns, Part::Row(Which::Backup), Part::Row(Which::Live)]);
        Ok(Self { mount, pair, parts, schema: Arc::new(Schema::new(fields)) })
    }
}

#[async_trait]
impl TableProvider for DiffTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match kinds(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let (parts, schema) = match projection {
            Some(projection) => (
                projection.iter().map(|i| self.parts[*i]).collect(),
                Arc::new(self.schema.project(projection)?),
            ),
            None => (self.parts.clone(), Arc::clone(&self.schema)),
        };
        let mut request = self.pair.request();
        for (which, carry) in
            [(Which::Backup, &mut request.carry.backup), (Which::Live, &mut request.carry.live)]
        {
            if !parts.contains(&Part::Row(which)) {
                carry.clear();
            }
        }
        for wanted in filters.iter().filter_map(kinds) {
            let both = |change| request.emit.wants(change) && wanted.contains(&change);
            request.emit = Emit {
                missing: both(Change::Missing),
                changed: both(Change::Changed),
                extra: both(Change::Extra),
                ambiguous: both(Change::Ambiguous),
            };
        }
        if !request.emit.changed {
            // Rows that stand on one side only are known by their keys.
            request.compare.clear();
        }
        let spec: Arc<DiffSpec> = Arc::new(request.spec()?);
        let layout = self.mount.layout(&spec.table, &spec.key).await?;
        let tables = tables(&self.mount, &spec, &layout, &request.filter)?;
        let children = Side {
            backup: tables.backup.scan(session, None, &[], None).await?,
            live: tables.live.scan(session, None, &[], None).await?,
        };
        let changes = Arc::new(RowDiffExec::try_new(Arc::clone(&spec), children)?);
        Ok(Arc::new(ChangeTableExec::new(changes, spec, parts, schema)))
    }
}

/// The changes that a filter on `change` lets through; `None` when it is about anything else.
fn kinds(filter: &Expr) -> Option<Vec<Change>> {
    let is_change = |expr: &Expr| matches!(expr, Expr::Column(c) if c.name == "change");
    let kind = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Utf8(Some(t)) | ScalarValue::Utf8View(Some(t)), _) => {
            Some((1..=4).filter_map(Change::from_code).find(|change| change.as_str() == t))
        }
        _ => None,
    };
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_change(left) => {
            Some(kind(right)?.into_iter().collect())
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some([kinds(left)?, kinds(right)?].concat())
        }
        Expr::InList(InList { expr, list, negated: false }) if is_change(expr) => {
            let kinds = list.iter().map(kind).collect::<Option<Vec<_>>>()?;
            Some(kinds.into_iter().flatten().collect())
        }
        _ => None,
    }
}
