//! A source in memory, for tests: rows of exact values, in any order asked for.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use crate::error::Result;
use crate::fit::carry::carry_rows;
use crate::model::filter::{Comparison, Filter};
use crate::model::origin::{Identity, Origin};
use crate::model::side::Side;
use crate::model::table::{
    Carrier, Column, Key, KeyOrigin, TableKind, TableName, TableSchema, scan_schema,
};
use crate::model::value::{Cells, Value, fits};
use crate::mount::Mount;
use crate::source::{KeyRange, Scan, Source, Survey};

/// One table in memory.
#[derive(Clone, Debug)]
pub(crate) struct MemTable {
    pub(crate) schema: TableSchema,
    pub(crate) rows: Vec<Vec<Value>>,
    /// Scans sort by key and say so.
    pub(crate) ordered: bool,
    /// Scans say that they are in key order whether they are or not.
    pub(crate) lies: bool,
    /// Scans give every row, whatever the range.
    pub(crate) sprawls: bool,
    pub(crate) splits: Vec<Value>,
    pub(crate) batch_rows: usize,
}

#[derive(Debug)]
pub(crate) struct MemSource {
    pub(crate) tables: Vec<MemTable>,
    origin: Origin,
    /// Keys that were fetched by.
    asked: AtomicU64,
}

pub(crate) fn column(name: &str, carrier: Carrier) -> Column {
    Column::new(name, carrier)
}

pub(crate) fn table(
    name: &str,
    columns: Vec<Column>,
    key: &[&str],
    rows: Vec<Vec<Value>>,
) -> MemTable {
    let key = Key {
        columns: key.iter().map(|s| (*s).to_owned()).collect(),
        origin: KeyOrigin::PrimaryKey,
    };
    MemTable {
        schema: TableSchema {
            name: TableName::bare(name),
            kind: TableKind::Base,
            columns,
            keys: if key.columns.is_empty() { vec![] } else { vec![key] },
            uniques: vec![],
            foreign_keys: vec![],
            triggers: vec![],
            rowid_alias: None,
            without_rowid: false,
            autoincrement: false,
            unwritable: None,
            left_out: Vec::new(),
            ddl: String::new(),
        },
        rows,
        ordered: true,
        lies: false,
        sprawls: false,
        splits: vec![],
        batch_rows: 3,
    }
}

pub(crate) async fn mount(backup: Vec<MemTable>, live: Vec<MemTable>, parallelism: usize) -> Mount {
    let source = |tables| Arc::new(MemSource::of(tables)) as Arc<dyn Source>;
    Mount::new(Side { backup: source(backup), live: source(live) }, parallelism).await.unwrap()
}

/// The order of single keyable cells under a column's collation; unkeyable ones first.
pub(crate) fn compare(column: &Column, a: &Value, b: &Value) -> Ordering {
    let rank = |v: &Value| !v.as_ref().is_null() && fits(v.as_ref(), column.carrier);
    match (rank(a), rank(b)) {
        (true, true) => {}
        (a, b) => return a.cmp(&b),
    }
    match (a, b) {
        (Value::Int(a), Value::Int(b))
        | (Value::Stamp(a), Value::Stamp(b))
        | (Value::Instant(a), Value::Instant(b)) => a.cmp(b),
        (Value::Int(_), Value::Unsigned(_)) => Ordering::Less,
        (Value::Unsigned(_), Value::Int(_)) => Ordering::Greater,
        (Value::Unsigned(a), Value::Unsigned(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Decimal(a, _), Value::Decimal(b, _)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => {
            column.collation.normalise(a).cmp(&column.collation.normalise(b))
        }
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn in_range(column: &Column, value: &Value, range: &KeyRange) -> bool {
    let lower = range.lower.as_ref().is_none_or(|l| compare(column, value, l) != Ordering::Less);
    let upper = range.upper.as_ref().is_none_or(|u| compare(column, value, u) == Ordering::Less);
    lower && upper
}

fn keeps(schema: &TableSchema, row: &[Value], filter: &Filter) -> bool {
    let cell = |name: &str| &row[schema.columns.iter().position(|c| c.name == name).unwrap()];
    match filter {
        Filter::And(all) => all.iter().all(|f| keeps(schema, row, f)),
        Filter::Or(any) => any.iter().any(|f| keeps(schema, row, f)),
        Filter::IsNull(name) => cell(name).as_ref().is_null(),
        Filter::IsNotNull(name) => !cell(name).as_ref().is_null(),
        Filter::In { column, values } => {
            values.iter().any(|v| number_cmp(cell(column), v) == Some(Ordering::Equal))
        }
        Filter::Compare { column, op, value } => {
            number_cmp(cell(column), value).is_some_and(|order| match op {
                Comparison::Eq => order.is_eq(),
                Comparison::Lt => order.is_lt(),
                Comparison::LtEq => order.is_le(),
                Comparison::Gt => order.is_gt(),
                Comparison::GtEq => order.is_ge(),
            })
        }
    }
}

fn number_cmp(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Real(b)) => (*a as f64).partial_cmp(b),
        (Value::Real(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Real(a), Value::Real(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) | (Value::Blob(a), Value::Blob(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Stamp(a), Value::Stamp(b)) | (Value::Instant(a), Value::Instant(b)) => {
            Some(a.cmp(b))
        }
        (Value::Decimal(a, _), Value::Decimal(b, _)) => Some(a.cmp(b)),
        (Value::Unsigned(a), Value::Unsigned(b)) => Some(a.cmp(b)),
        (Value::Int(_), Value::Unsigned(_)) => Some(Ordering::Less),
        (Value::Unsigned(_), Value::Int(_)) => Some(Ordering::Greater),
        _ => None,
    }
}

/// A scan batch of these rows.
pub(crate) fn batch(columns: &[Column], rows: &[Vec<Value>]) -> RecordBatch {
    carry_rows(columns, rows).unwrap()
}

impl MemSource {
    pub(crate) fn of(tables: Vec<MemTable>) -> Self {
        let origin = Origin {
            location: "memory".into(),
            kind: "memory".into(),
            taken_at: None,
            warnings: vec![],
            ..Origin::default()
        };
        Self { tables, origin, asked: AtomicU64::new(0) }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    fn table(&self, name: &TableName) -> &MemTable {
        self.tables.iter().find(|t| t.schema.name == *name).unwrap()
    }
}

#[async_trait]
impl Source for MemSource {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        None
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.iter().map(|t| t.schema.name.clone()).collect())
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        Ok(self.table(table).schema.clone())
    }

    async fn survey(&self, table: &TableName, _: &[Column], _: usize) -> Result<Survey> {
        let table = self.table(table);
        Ok(Survey {
            rows: Some(table.rows.len() as u64),
            ordered: table.ordered || table.lies,
            splits: table.splits.clone(),
        })
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let table = self.table(&scan.table);
        let schema = &table.schema;
        let index = |name: &str| schema.columns.iter().position(|c| c.name == name).unwrap();
        let key: Vec<usize> = scan.key.iter().map(|c| index(&c.name)).collect();
        let mut rows: Vec<&Vec<Value>> = table
            .rows
            .iter()
            .filter(|row| {
                table.sprawls || key.is_empty() || in_range(&scan.key[0], &row[key[0]], &scan.range)
            })
            .filter(|row| scan.filter.as_ref().is_none_or(|f| keeps(schema, row, f)))
            .collect();
        if table.ordered {
            rows.sort_by(|a, b| {
                let cells = key.iter().zip(&scan.key);
                cells
                    .map(|(i, c)| compare(c, &a[*i], &b[*i]))
                    .find(|o| o.is_ne())
                    .unwrap_or(Ordering::Equal)
            });
        }
        let picked: Vec<usize> = scan.columns.iter().map(|c| index(&c.name)).collect();
        let rows: Vec<Vec<Value>> =
            rows.iter().map(|row| picked.iter().map(|i| row[*i].clone()).collect()).collect();
        let batches: Vec<_> =
            rows.chunks(table.batch_rows).map(|rows| Ok(batch(&scan.columns, rows))).collect();
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(scan_schema(&scan.columns), stream)))
    }

    fn has_random_access(&self) -> bool {
        false
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        self.asked.fetch_add(keys.num_rows() as u64, Relaxed);
        let table = self.table(table);
        let index =
            |c: &Column| table.schema.columns.iter().position(|o| o.name == c.name).unwrap();
        let cells = Cells::of(keys, key)?;
        let is = |wanted: usize, row: &Vec<Value>| {
            let mut key = key.iter().enumerate();
            key.all(|(at, c)| row[index(c)].as_ref() == cells.get(wanted, at).unwrap())
        };
        let found = (0..keys.num_rows())
            .flat_map(|wanted| table.rows.iter().filter(move |row| is(wanted, row)));
        let rows: Vec<Vec<Value>> =
            found.map(|row| columns.iter().map(|c| row[index(c)].clone()).collect()).collect();
        Ok(batch(columns, &rows))
    }

    async fn digest(&self) -> Result<Option<String>> {
        Ok(None)
    }

    async fn release(&self) -> Result<()> {
        Ok(())
    }
}
