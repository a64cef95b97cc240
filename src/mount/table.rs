//! `SourceTable`: one table of a source as a DataFusion table.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::model::filter::Filter;
use crate::model::side::Which;
use crate::model::table::{Column, TableName, scan_schema};
use crate::mount::order::usable_splits;
use crate::mount::pushdown::to_filter;
use crate::mount::scan::{Misfits, ScanSpec, SourceScanExec};
use crate::source::{KeyRange, Source, Unfit};

/// A table of a source with chosen columns.
#[derive(Debug)]
pub struct SourceTable {
    source: Arc<dyn Source>,
    spec: ScanSpec,
    schema: SchemaRef,
    /// In how many ranges SQL reads the table; `None` when the ranges are given.
    parts: Option<usize>,
}

impl SourceTable {
    /// The columns and the [`EXACT`](crate::model::value::EXACT) column, read in these key
    /// ranges: what the row diff merges.
    pub fn ranged(source: Arc<dyn Source>, spec: ScanSpec) -> Self {
        let schema = scan_schema(&spec.columns);
        Self { source, spec: ScanSpec { misfits: Misfits::Carry, ..spec }, schema, parts: None }
    }

    /// The columns alone, for SQL: a misfit in a column that a query reads is an error.
    pub fn plain(
        source: Arc<dyn Source>,
        (which, table): (Which, TableName),
        columns: Vec<Column>,
        key: Vec<Column>,
        parts: usize,
    ) -> Self {
        let fields: Vec<_> = columns.iter().map(Column::field).collect();
        let spec = ScanSpec {
            which,
            table,
            columns,
            key,
            ranges: vec![KeyRange::default()],
            ordered: false,
            filter: None,
            misfits: Misfits::Refuse,
            unfit: Unfit::Refuse,
            rows: None,
        };
        Self { source, spec, schema: Arc::new(Schema::new(fields)), parts: Some(parts) }
    }

    /// What a full scan reads.
    pub fn spec(&self) -> &ScanSpec {
        &self.spec
    }

    fn filter(&self, expr: &Expr) -> Option<Filter> {
        to_filter(expr, &|column| self.spec.columns.iter().find(|c| c.name == column.name))
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.filter(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut spec = self.spec.clone();
        let pushed =
            spec.filter.take().into_iter().chain(filters.iter().filter_map(|f| self.filter(f)));
        let mut pushed: Vec<Filter> = pushed.collect();
        spec.filter = if pushed.len() < 2 { pushed.pop() } else { Some(Filter::And(pushed)) };
        // The row diff asks for all columns; EXACT is the last field and always given to it.
        if let (Some(projection), Misfits::Refuse) = (projection, spec.misfits) {
            spec.columns = projection.iter().map(|i| self.spec.columns[*i].clone()).collect();
        }
        if let (Some(parts), false) = (self.parts, spec.key.is_empty()) {
            let survey = self.source.survey(&spec.table, &spec.key, parts).await?;
            spec.rows = survey.rows;
            spec.ordered = survey.ordered;
            if survey.ordered && parts > 1 {
                spec.ranges = KeyRange::between(&usable_splits(&spec.key[0], survey.splits));
            }
        }
        Ok(Arc::new(SourceScanExec::new(Arc::clone(&self.source), spec)))
    }
}

/// The [`SourceTable`] behind a provider.
pub fn as_source_table(provider: &dyn TableProvider) -> Option<&SourceTable> {
    (provider as &dyn Any).downcast_ref()
}
