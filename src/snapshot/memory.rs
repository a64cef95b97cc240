//! A source of rows in memory, for tests.

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use crate::error::{Error, Result};
use crate::fit::carry::carry_rows;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{
    Carrier, Column, Key, KeyOrigin, TableKind, TableName, TableSchema, scan_schema,
};
use crate::model::value::Value;
use crate::source::{Scan, Source, Survey};

/// Tables with their rows, which must be in key order.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) origin: Origin,
    pub(super) tables: Vec<(TableSchema, Vec<Vec<Value>>)>,
    /// Rows a batch.
    pub(super) batch: usize,
    /// The batch of each scan that is an error instead.
    pub(super) fails_at: Option<usize>,
}

impl Memory {
    pub(super) fn new(tables: Vec<(TableSchema, Vec<Vec<Value>>)>) -> Self {
        let origin = Origin {
            location: "memory".into(),
            kind: "rows in memory".into(),
            taken_at: None,
            warnings: vec![],
            ..Origin::default()
        };
        Self { origin, tables, batch: 1000, fails_at: None }
    }

    fn table(&self, name: &TableName) -> Result<&(TableSchema, Vec<Vec<Value>>)> {
        let found = self.tables.iter().find(|(schema, _)| schema.name == *name);
        found.ok_or_else(|| Error::usage(format!("no table {name}")))
    }
}

pub(super) fn column(name: &str, carrier: Carrier) -> Column {
    Column::new(name, carrier)
}

/// A table whose primary key are its first `key` columns.
pub(super) fn table(name: &str, columns: Vec<Column>, key: usize) -> TableSchema {
    let names: Vec<String> = columns[..key].iter().map(|c| c.name.clone()).collect();
    let keys =
        if key == 0 { vec![] } else { vec![Key { columns: names, origin: KeyOrigin::PrimaryKey }] };
    TableSchema {
        name: TableName::bare(name),
        kind: TableKind::Base,
        columns,
        keys,
        uniques: vec![],
        foreign_keys: vec![],
        triggers: vec![],
        rowid_alias: None,
        without_rowid: false,
        autoincrement: false,
        unwritable: None,
        left_out: Vec::new(),
        ddl: format!("create table {name}"),
    }
}

pub(super) fn batch(columns: &[Column], rows: &[Vec<Value>]) -> RecordBatch {
    carry_rows(columns, rows).unwrap()
}

#[async_trait]
impl Source for Memory {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        None
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.iter().map(|(schema, _)| schema.name.clone()).collect())
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        Ok(self.table(table)?.0.clone())
    }

    async fn survey(&self, table: &TableName, _: &[Column], _: usize) -> Result<Survey> {
        let rows = Some(self.table(table)?.1.len() as u64);
        Ok(Survey { rows, ordered: true, splits: vec![] })
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let (_, rows) = self.table(&scan.table)?;
        let mut batches: Vec<_> =
            rows.chunks(self.batch).map(|rows| Ok(batch(&scan.columns, rows))).collect();
        if let Some(at) = self.fails_at {
            batches.truncate(at);
            batches.push(Err(Error::damaged("the database is malformed").into()));
        }
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(scan_schema(&scan.columns), stream)))
    }

    fn has_random_access(&self) -> bool {
        false
    }

    async fn fetch(
        &self,
        _: &TableName,
        _: &[Column],
        _: &[Column],
        _: &RecordBatch,
    ) -> Result<RecordBatch> {
        Err(Error::failed("not here"))
    }

    async fn digest(&self) -> Result<Option<String>> {
        Ok(None)
    }

    async fn release(&self) -> Result<()> {
        Ok(())
    }
}
