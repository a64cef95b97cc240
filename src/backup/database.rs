//! Another database as a backup, its columns as live has them.
//!
//! A database gives the types that it has. Where live's column is of the same type, what is
//! asked for passes through. Where it is not (another engine, or a column that was altered
//! since), the database is read in its own types and each value is fitted into live's column
//! as those of a snapshot of ours are: exactly, or the reading ends with an error that names
//! table, column and row. Order, key ranges, look-ups and filters are left to the database as
//! far as both types mean the same by them; else its rows are sorted, found and filtered
//! after they were fitted.

mod reading;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryFutureExt, TryStreamExt};

use crate::backup::database::reading::{Bounds, Reading};
use crate::backup::files::part;
use crate::error::{Error, Result};
use crate::fit::notes::{FitNotes, Tally};
use crate::model::check::Check;
use crate::model::origin::{Identity, Origin};
use crate::model::table::{Carrier, Column, TableName, TableSchema, scan_schema};
use crate::model::value::{Cells, collated};
use crate::source::{KeyRange, Scan, Source, Survey, Unfit};

/// A database, read as live's columns ask for it.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<dyn Source>,
    schemas: Arc<Mutex<HashMap<TableName, Arc<TableSchema>>>>,
    notes: Arc<FitNotes>,
}

impl Database {
    /// Over a source that gives its own types.
    pub fn new(inner: Arc<dyn Source>) -> Self {
        Self { inner, schemas: Arc::default(), notes: Arc::default() }
    }

    /// The table as the database describes it; asked for once.
    async fn table(&self, name: &TableName) -> Result<Arc<TableSchema>> {
        let known = || self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = known().get(name) {
            return Ok(Arc::clone(schema));
        }
        let schema = Arc::new(self.inner.schema(name).await?);
        known().insert(name.clone(), Arc::clone(&schema));
        Ok(schema)
    }

    async fn read(self, request: Scan) -> Result<SendableRecordBatchStream> {
        let table = self.table(&request.table).await?;
        let mut reading = Reading::of(&table, &request.columns, &request.key)?;
        reading.set_unfit(request.unfit);
        if reading.is_same() {
            return self.inner.scan(request);
        }
        let bounds = match (&request.range, reading.key()) {
            (KeyRange { lower: None, upper: None }, _) => Bounds::In(KeyRange::default()),
            (range, Some([first, ..])) => Bounds::of(range, first.carrier),
            _ => {
                return Err(Error::failed(format!(
                    "a key range of backup table {} was asked for that has no order",
                    request.table
                )));
            }
        };
        let schema = scan_schema(&request.columns);
        let Bounds::In(range) = bounds else {
            let none = futures::stream::empty();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, none)));
        };
        let rows = self.inner.scan(Scan {
            table: request.table.clone(),
            columns: reading.columns().to_vec(),
            key: reading.key().unwrap_or_default().to_vec(),
            range,
            filter: request.filter.as_ref().and_then(|filter| reading.filter(filter)),
            unfit: Unfit::Refuse,
        })?;
        let (table, part) = (request.table, part(&request.range));
        let mut tally = Tally::default();
        let fitted = rows.map(move |batch| {
            let batch = reading.fit(&batch?, &table, &mut tally)?;
            self.notes.record(&table, &part, &tally);
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, fitted)))
    }

    /// The rows of these keys, found among all rows by their fitted keys.
    async fn find(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        let mut read = columns.to_vec();
        read.extend(key.iter().filter(|k| columns.iter().all(|c| c.name != k.name)).cloned());
        let mut wanted = HashMap::new();
        let asked = Cells::of(keys, key)?;
        for row in 0..keys.num_rows() {
            if let Some(tuple) = collated(&asked, row, key)? {
                wanted.entry(tuple).or_insert(row);
            }
        }
        let own = self.table(table).await?;
        let (reading, of_keys) = (Reading::of(&own, &read, key)?, Reading::of(&own, key, &[])?);
        let mut rows = self.inner.scan(Scan {
            table: table.clone(),
            columns: reading.columns().to_vec(),
            key: Vec::new(),
            range: KeyRange::default(),
            filter: None,
            unfit: Unfit::Refuse,
        })?;
        let (mut given, mut places) = (Vec::new(), Vec::new());
        let mut kept: Vec<usize> = (0..columns.len()).collect();
        kept.push(read.len());
        while let Some(batch) = rows.try_next().await? {
            let tally = &mut Tally::default();
            let keys = of_keys.fit(&batch, table, tally)?;
            let cells = Cells::of(&keys, key)?;
            let mut here: Vec<u32> = Vec::new();
            for row in 0..keys.num_rows() {
                if let Some(tuple) = collated(&cells, row, key)?
                    && let Some(place) = wanted.get(&tuple)
                {
                    here.push(row as u32);
                    places.push(*place);
                }
            }
            if !here.is_empty() {
                // The others need not fit.
                let found = take_record_batch(&batch, &UInt32Array::from(here))?;
                given.push(reading.fit(&found, table, tally)?.project(&kept)?);
            }
        }
        let all = concat_batches(&scan_schema(columns), &given)?;
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_by_key(|row| places[*row as usize]);
        Ok(take_record_batch(&all, &UInt32Array::from(order))?)
    }
}

#[async_trait]
impl Source for Database {
    fn origin(&self) -> &Origin {
        self.inner.origin()
    }

    fn identity(&self) -> Option<Identity> {
        self.inner.identity()
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        self.inner.tables().await
    }

    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        Ok(self.table(table).await?.as_ref().clone())
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let own = self.table(table).await?;
        let reading = Reading::of(&own, &[], key)?;
        if reading.is_same() {
            return self.inner.survey(table, key, parts).await;
        }
        let Some(own) = reading.key() else {
            let survey = self.inner.survey(table, &[], 1).await?;
            return Ok(Survey { ordered: false, splits: Vec::new(), ..survey });
        };
        let survey = self.inner.survey(table, own, parts).await?;
        let numbers =
            own.first().is_some_and(|c| matches!(c.carrier, Carrier::Int | Carrier::Unsigned));
        let splits = if numbers { survey.splits } else { Vec::new() };
        Ok(Survey { splits, ..survey })
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let schema = scan_schema(&scan.columns);
        let rows = self.clone().read(scan).map_err(DataFusionError::from).try_flatten_stream();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn has_random_access(&self) -> bool {
        self.inner.has_random_access()
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        let own = self.table(table).await?;
        let reading = Reading::of(&own, columns, key)?;
        if reading.is_same() {
            return self.inner.fetch(table, columns, key, keys).await;
        }
        let Some(own) = reading.key().filter(|_| self.inner.has_random_access()) else {
            return self.find(table, columns, key, keys).await;
        };
        let keys = reading.keys(keys)?;
        let rows = self.inner.fetch(table, reading.columns(), own, &keys).await?;
        let mut tally = Tally::default();
        let rows = reading.fit(&rows, table, &mut tally)?;
        // Rows that are fetched by their keys were not scanned with all columns before.
        let part = format!("{:?}", keys.slice(0, keys.num_rows().min(1)).columns());
        self.notes.record(table, &part, &tally);
        Ok(rows)
    }

    async fn digest(&self) -> Result<Option<String>> {
        self.inner.digest().await
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.inner.notes();
        notes.extend(self.notes.lines());
        notes
    }

    async fn checkup(&self) -> Result<Vec<Check>> {
        self.inner.checkup().await
    }

    fn keeps_values(&self) -> bool {
        self.inner.keeps_values()
    }

    async fn release(&self) -> Result<()> {
        self.inner.release().await
    }
}
