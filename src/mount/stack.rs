//! Several backups as one source: a row comes from the first of them that has its key.
//!
//! Each is read in key order (sorted where it has none), the streams are merged, and of the rows
//! of one key only those of the first backup stay: a key that stands twice in it is still told as
//! such. Which backup a row comes from is the column [`FROM`], for who asks for it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::model::check::Check;
use crate::model::origin::{FROM, Identity, Origin, from_column};
use crate::model::side::Which;
use crate::model::table::{Column, TableName, TableSchema, scan_schema};
use crate::model::value::{Cells, collated, hex};
use crate::mount::keys::KeyMaker;
use crate::mount::order::{ASCENDING, key_order};
use crate::mount::scan::{Misfits, ScanSpec, SourceScanExec};
use crate::mount::{find_table, same_table};
use crate::source::{Scan, Source, Survey};

/// The most backups that are read as one: a plan notes a row's backup in a byte.
pub const MOST: usize = 255;

/// Rows of a merged batch; few in tests, so that keys stand on both sides of a border.
const BATCH_ROWS: usize = if cfg!(test) { 4 } else { 4096 };

/// Several backups.
#[derive(Clone, Debug)]
pub struct Stack {
    layers: Arc<[Layer]>,
    /// The tables of all of them.
    tables: Arc<[TableName]>,
    origin: Origin,
    runtime: Arc<RuntimeEnv>,
    /// Which backups give a table in the order of a key.
    ordered: Arc<Mutex<Orders>>,
    notes: Arc<Mutex<BTreeSet<String>>>,
}

type Orders = HashMap<(TableName, Vec<Column>), Vec<bool>>;

/// One of the backups and its tables.
#[derive(Debug)]
struct Layer {
    source: Arc<dyn Source>,
    tables: Vec<TableName>,
}

/// A backup that has a table: its number, and how it calls the table.
#[derive(Clone, Debug)]
struct Holder {
    number: usize,
    source: Arc<dyn Source>,
    table: TableName,
}

impl Stack {
    /// These backups, the first of them first; what has to be sorted is sorted within
    /// `runtime`.
    pub async fn new(sources: Vec<Arc<dyn Source>>, runtime: Arc<RuntimeEnv>) -> Result<Self> {
        if sources.len() > MOST {
            return Err(Error::usage(format!("at most {MOST} backups are read together")));
        }
        let mut origins = sources.iter().map(|source| source.origin().clone());
        let first = origins.next().ok_or_else(|| Error::usage("no backup is named"))?;
        let origin = Origin { further: origins.collect(), ..first };
        let mut layers = Vec::with_capacity(sources.len());
        for source in sources {
            let tables = source.tables().await?;
            layers.push(Layer { source, tables });
        }
        let mut tables: Vec<TableName> = Vec::new();
        for table in layers.iter().flat_map(|layer: &Layer| &layer.tables) {
            if find_table(&tables, &table.to_string()).is_none() {
                tables.push(table.clone());
            }
        }
        tables.sort();
        let (ordered, notes) = (Arc::default(), Arc::default());
        Ok(Self { layers: layers.into(), tables: tables.into(), origin, runtime, ordered, notes })
    }

    /// The backups that have this table, the first first.
    fn holders(&self, table: &TableName) -> Result<Vec<Holder>> {
        let holds = |(number, layer): (usize, &Layer)| {
            let table = same_table(&self.tables, &layer.tables, table)?.clone();
            Some(Holder { number, source: Arc::clone(&layer.source), table })
        };
        let holders: Vec<Holder> = self.layers.iter().enumerate().filter_map(holds).collect();
        match holders.is_empty() {
            true => Err(Error::usage(format!("no backup has a table {table}"))),
            false => Ok(holders),
        }
    }

    /// Which of the table's holders give it in key order; asked for once.
    async fn orders(&self, table: &TableName, key: &[Column]) -> Result<Vec<bool>> {
        let name = (table.clone(), key.to_vec());
        let known = || self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = known().get(&name) {
            return Ok(orders.clone());
        }
        let mut orders = Vec::new();
        for holder in self.holders(table)? {
            orders.push(holder.source.survey(&holder.table, key, 1).await?.ordered);
        }
        known().insert(name, orders.clone());
        Ok(orders)
    }

    /// The merged rows of a key range.
    async fn merged(self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let orders = self.orders(&scan.table, &scan.key).await?;
        let columns = own_columns(&scan.columns, &scan.key);
        let merged: Vec<Column> = columns.iter().cloned().chain([from_column()]).collect();
        let schema = scan_schema(&merged);
        let context = Arc::new(TaskContext::default().with_runtime(Arc::clone(&self.runtime)));
        let mut streams = Vec::new();
        for (holder, ordered) in self.holders(&scan.table)?.into_iter().zip(orders) {
            let own = Scan {
                table: holder.table.clone(),
                columns: columns.clone(),
                // A row that is left out of one backup would be taken from the next.
                filter: None,
                ..scan.clone()
            };
            let rows = match ordered {
                true => holder.source.scan(own)?,
                false => sorted(holder.source, own, Arc::clone(&context))?,
            };
            streams.push(placed(rows, holder.number, &merged));
        }
        let order = order_of(&scan.key, &schema)?;
        let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let reservation =
            MemoryConsumer::new("several backups").register(&self.runtime.memory_pool);
        let rows = StreamingMergeBuilder::new()
            .with_streams(streams)
            .with_schema(Arc::clone(&schema))
            .with_expressions(&order)
            .with_metrics(metrics)
            .with_batch_size(BATCH_ROWS)
            .with_reservation(reservation)
            .with_round_robin_tie_breaker(false)
            .build()?;
        let mut first = First::new(&scan.key, &schema)?;
        let wanted = scan_schema(&scan.columns);
        let given = Arc::clone(&wanted);
        let rows = rows.map(move |batch| Ok(only(&first.of(&batch?)?, &given)?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(wanted, rows)))
    }
}

/// The columns to ask a backup for: without [`FROM`], with the key's.
fn own_columns(columns: &[Column], key: &[Column]) -> Vec<Column> {
    let mut own: Vec<Column> = columns.iter().filter(|c| c.name != FROM).cloned().collect();
    own.extend(key.iter().filter(|k| columns.iter().all(|c| c.name != k.name)).cloned());
    own
}

/// The key's order, and that of the backups within a key.
fn order_of(key: &[Column], schema: &SchemaRef) -> Result<LexOrdering> {
    let from = ColumnExpr::new_with_schema(FROM, schema)?;
    let from = PhysicalSortExpr::new(Arc::new(from), ASCENDING);
    let order = key_order(key, schema)?.into_iter().chain([from]);
    LexOrdering::new(order).ok_or_else(|| Error::failed("a key has no columns"))
}

/// A backup's rows, sorted by the key.
fn sorted(
    source: Arc<dyn Source>,
    scan: Scan,
    context: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream> {
    let order = key_order(&scan.key, &scan_schema(&scan.columns))?;
    let spec = ScanSpec {
        which: Which::Backup,
        table: scan.table,
        columns: scan.columns,
        key: scan.key,
        ranges: vec![scan.range],
        ordered: false,
        filter: None,
        misfits: Misfits::Carry,
        unfit: scan.unfit,
        rows: None,
    };
    let rows = Arc::new(SourceScanExec::new(source, spec));
    Ok(SortExec::new(order, rows).execute(0, context)?)
}

/// Adds the backup's number to its rows.
fn placed(
    rows: SendableRecordBatchStream,
    number: usize,
    columns: &[Column],
) -> SendableRecordBatchStream {
    let schema = scan_schema(columns);
    let given = Arc::clone(&schema);
    let rows = rows.map(move |batch| Ok(numbered(&batch?, number, &given)?));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// The columns of `schema` of a backup's rows, [`FROM`] being its number.
fn numbered(batch: &RecordBatch, number: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let from: ArrayRef = Arc::new(Int64Array::from(vec![number as i64; batch.num_rows()]));
    let arrays = schema.fields().iter().map(|field| match field.name().as_str() {
        FROM => Ok(Arc::clone(&from)),
        name => batch.column_by_name(name).cloned().ok_or_else(|| lacks(name)),
    });
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays.collect::<Result<_>>()?)?)
}

/// Only the columns of `schema`.
fn only(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let array = |name: &String| batch.column_by_name(name).cloned().ok_or_else(|| lacks(name));
    let arrays = schema.fields().iter().map(|field| array(field.name()));
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays.collect::<Result<_>>()?)?)
}

fn lacks(name: &str) -> Error {
    Error::failed(format!("a batch of the backup lacks the column {name}"))
}

/// Keeps of each key the rows of the first backup that has it.
struct First {
    maker: KeyMaker,
    key: Vec<usize>,
    from: usize,
    /// The last key and its backup.
    last: Option<(Vec<u8>, i64)>,
}

impl First {
    fn new(key: &[Column], schema: &SchemaRef) -> Result<Self> {
        let key_columns = key.iter().map(|c| schema.index_of(&c.name));
        Ok(Self {
            maker: KeyMaker::new(key)?,
            key: key_columns.collect::<Result<_, _>>()?,
            from: schema.index_of(FROM)?,
            last: None,
        })
    }

    /// Of rows in the order of key and backup those that stay. Rows without a key all do.
    fn of(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let arrays = self.key.iter().map(|index| batch.column(*index));
        let nulls = arrays.fold(None, |all, array| NullBuffer::union(all.as_ref(), array.nulls()));
        let keyed: Vec<u32> = (0..batch.num_rows())
            .filter(|row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)))
            .map(|row| row as u32)
            .collect();
        let rows = UInt32Array::from(keyed.clone());
        let with_keys = take_record_batch(&batch.project(&self.key)?, &rows)?;
        let keys = self.maker.keys(with_keys.columns())?;
        let from = batch.column(self.from).as_primitive::<Int64Type>().values();
        let mut keep = vec![true; batch.num_rows()];
        let mut first = self.last.take();
        for (at, row) in keyed.iter().map(|row| *row as usize).enumerate() {
            let same = match (&first, at) {
                (Some((last, _)), 0) => *last == keys.owned(0),
                (None, _) => false,
                _ => keys.compare(at, &keys, at - 1).is_eq(),
            };
            match &first {
                Some((_, holder)) if same => keep[row] = *holder == from[row],
                // Only the last one's bytes are looked at again.
                _ => first = Some((Vec::new(), from[row])),
            }
        }
        if let (Some((last, _)), true) = (&mut first, !keyed.is_empty()) {
            *last = keys.owned(keyed.len() - 1);
        }
        self.last = first;
        Ok(filter_record_batch(batch, &BooleanArray::from(keep))?)
    }
}

#[async_trait]
impl Source for Stack {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    fn identity(&self) -> Option<Identity> {
        None
    }

    async fn tables(&self) -> Result<Vec<TableName>> {
        Ok(self.tables.to_vec())
    }

    /// The columns that every backup with the table has, as the first describes them.
    async fn schema(&self, table: &TableName) -> Result<TableSchema> {
        let mut holders = self.holders(table)?.into_iter();
        let first = holders.next().ok_or_else(|| Error::usage("no backup is named"))?;
        let mut schema = first.source.schema(&first.table).await?;
        for other in holders {
            let theirs = other.source.schema(&other.table).await?;
            let known = |column: &&Column| {
                theirs.columns.iter().any(|c| c.name.eq_ignore_ascii_case(&column.name))
            };
            let (kept, left): (Vec<_>, Vec<_>) = schema.columns.iter().partition(known);
            if !left.is_empty() {
                let names: Vec<&str> = left.iter().map(|c| c.name.as_str()).collect();
                let location = &other.source.origin().location;
                let (names, mut notes) =
                    (names.join(", "), self.notes.lock().unwrap_or_else(PoisonError::into_inner));
                notes.insert(format!("{table}: {names} left out: {location} lacks it"));
            }
            schema.columns = kept.into_iter().cloned().collect();
            schema.left_out.extend(theirs.left_out);
        }
        let has = |name: &String| schema.columns.iter().any(|c| c.name == *name);
        let keys = schema.keys.iter().filter(|key| key.columns.iter().all(has)).cloned();
        schema.keys = keys.collect();
        Ok(schema)
    }

    async fn survey(&self, table: &TableName, key: &[Column], parts: usize) -> Result<Survey> {
        let (mut rows, mut orders, mut splits) = (None, Vec::new(), Vec::new());
        for holder in self.holders(table)? {
            let survey = holder.source.survey(&holder.table, key, parts).await?;
            rows = rows.max(survey.rows);
            orders.push(survey.ordered);
            if splits.is_empty() {
                splits = survey.splits;
            }
        }
        let ordered = orders.iter().all(|ordered| *ordered);
        let mut known = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((table.clone(), key.to_vec()), orders);
        Ok(Survey { rows, ordered, splits: if ordered { splits } else { Vec::new() } })
    }

    fn scan(&self, scan: Scan) -> Result<SendableRecordBatchStream> {
        let holders = self.holders(&scan.table)?;
        if let [only] = &holders[..] {
            let own = Scan {
                table: only.table.clone(),
                columns: scan.columns.iter().filter(|c| c.name != FROM).cloned().collect(),
                ..scan.clone()
            };
            return Ok(placed(only.source.scan(own)?, only.number, &scan.columns));
        }
        if scan.key.is_empty() {
            return Err(Error::usage(format!(
                "several backups have {}, and none says by which key their rows are told apart",
                scan.table
            ))
            .hint("name one --backup"));
        }
        let schema = scan_schema(&scan.columns);
        let rows = futures::stream::once(self.clone().merged(scan));
        let rows = rows.map_err(DataFusionError::from).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn has_random_access(&self) -> bool {
        self.layers.iter().all(|layer| layer.source.has_random_access())
    }

    async fn fetch(
        &self,
        table: &TableName,
        columns: &[Column],
        key: &[Column],
        keys: &RecordBatch,
    ) -> Result<RecordBatch> {
        let own = own_columns(columns, key);
        let schema = scan_schema(columns);
        let mut left = keys.clone();
        let (mut found, mut tuples) = (Vec::new(), Vec::new());
        for holder in self.holders(table)? {
            let rows = holder.source.fetch(&holder.table, &own, key, &left).await?;
            let cells = Cells::of(&rows, key)?;
            let here = (0..rows.num_rows()).map(|row| collated(&cells, row, key));
            let here = here.collect::<Result<Vec<_>>>()?;
            let known: HashSet<&Vec<u8>> = here.iter().flatten().collect();
            let cells = Cells::of(&left, key)?;
            let absent = (0..left.num_rows()).map(|row| {
                let tuple = collated(&cells, row, key)?;
                Ok(tuple.is_some_and(|tuple| !known.contains(&tuple)))
            });
            left = filter_record_batch(
                &left,
                &BooleanArray::from(absent.collect::<Result<Vec<_>>>()?),
            )?;
            found.push(numbered(&rows, holder.number, &schema)?);
            tuples.extend(here);
            if left.num_rows() == 0 {
                break;
            }
        }
        let all = concat_batches(&schema, &found)?;
        if found.len() == 1 {
            return Ok(all);
        }
        let cells = Cells::of(keys, key)?;
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        for row in 0..keys.num_rows() {
            if let Some(tuple) = collated(&cells, row, key)? {
                places.entry(tuple).or_insert(row);
            }
        }
        let place = |row: &u32| tuples[*row as usize].as_ref().and_then(|tuple| places.get(tuple));
        let mut order: Vec<u32> = (0..all.num_rows() as u32).collect();
        order.sort_by_key(place);
        Ok(take_record_batch(&all, &UInt32Array::from(order))?)
    }

    async fn digest(&self) -> Result<Option<String>> {
        let mut hasher = Sha256::new();
        for layer in self.layers.iter() {
            let Some(digest) = layer.source.digest().await? else { return Ok(None) };
            hasher.update(digest.as_bytes());
            hasher.update([0]);
        }
        Ok(Some(hex(&hasher.finalize())))
    }

    fn notes(&self) -> Vec<String> {
        let own = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let theirs = self.layers.iter().flat_map(|layer| {
            let location = layer.source.origin().location.clone();
            layer.source.notes().into_iter().map(move |note| format!("{location}: {note}"))
        });
        own.into_iter().chain(theirs).collect()
    }

    async fn checkup(&self) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for layer in self.layers.iter() {
            checks.extend(layer.source.checkup().await?);
        }
        Ok(checks)
    }

    fn rounds_singles(&self) -> bool {
        self.layers.iter().any(|layer| layer.source.rounds_singles())
    }

    fn keeps_values(&self) -> bool {
        self.layers.iter().all(|layer| layer.source.keeps_values())
    }

    async fn release(&self) -> Result<()> {
        for layer in self.layers.iter() {
            layer.source.release().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
