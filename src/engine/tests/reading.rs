//! Reading a table through a source, for the tests of each engine's.

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::model::table::{Column, TableName, TableSchema};
use crate::model::value::{Cells, EXACT};
use crate::source::{KeyRange, Scan, Source, Unfit};

/// A table as the source describes it.
pub(in crate::engine) async fn schema(source: &dyn Source, table: &str) -> TableSchema {
    source.schema(&TableName::bare(table)).await.unwrap()
}

/// The columns of its first key; none where it has none.
pub(in crate::engine) fn key_of(schema: &TableSchema) -> Vec<Column> {
    let names = schema.keys.first().map(|key| key.columns.clone()).unwrap_or_default();
    names.iter().map(|name| schema.require(name).unwrap().clone()).collect()
}

/// A request for all of it, in the order of that key.
pub(in crate::engine) fn whole(schema: &TableSchema) -> Scan {
    Scan {
        table: schema.name.clone(),
        columns: schema.columns.clone(),
        key: key_of(schema),
        range: KeyRange::default(),
        filter: None,
        unfit: Unfit::Refuse,
    }
}

/// All batches of a scan.
pub(in crate::engine) async fn scanned(source: &dyn Source, request: Scan) -> Vec<RecordBatch> {
    source.scan(request).unwrap().try_collect().await.unwrap()
}

/// The cells of some batches as short words.
pub(in crate::engine) fn words(batches: &[RecordBatch], columns: &[Column]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in batches {
        let named = columns.iter().map(|c| (&*c.name, &*c.name, c.carrier));
        let cells = Cells::new(batch, named, EXACT).unwrap();
        for row in 0..batch.num_rows() {
            let cell = |at| cells.get(row, at).unwrap().to_json().to_string();
            rows.push((0..columns.len()).map(cell).collect());
        }
    }
    rows
}
