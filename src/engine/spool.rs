//! Rows that wait in a private temporary file, so that no connection waits for a consumer.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use tokio::sync::mpsc::Sender;

use crate::error::Result;

/// Where the batches of a scan go.
pub(crate) type Batches = Sender<datafusion::error::Result<RecordBatch>>;

/// A file without a name, as an Arrow IPC stream.
pub(crate) struct Spool(StreamWriter<BufWriter<File>>);

impl Spool {
    /// An empty file for batches of this schema.
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let file = BufWriter::new(tempfile::tempfile()?);
        Ok(Self(StreamWriter::try_new(file, schema)?))
    }

    /// Appends a batch.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(batch)?)
    }

    /// Hands all batches on, until nobody wants more.
    pub(crate) async fn send(self, batches: &Batches) -> Result<()> {
        let mut file = self.0.into_inner()?.into_inner().map_err(|e| e.into_error())?;
        file.rewind()?;
        for batch in StreamReader::try_new(BufReader::new(file), None)? {
            let batch = batch?;
            if batch.num_rows() > 0 && batches.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
