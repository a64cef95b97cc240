//! Decoding a snapshot's files to their last row.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value as Json};

use crate::backup::manifest::ManifestTable;
use crate::error::{Error, Result};
use crate::model::table::{Carrier, Column};
use crate::model::value::{EXACT, exact_cells};
use crate::progress::Progress;
use crate::snapshot::check::order::{OrderCheck, Part};

/// Rows decoded at once.
const BATCH: usize = 8192;

/// Reads a Parquet file; its number of rows.
pub(super) fn parquet(file: File, table: &ManifestTable, progress: &dyn Progress) -> Result<u64> {
    let broken = |e: &dyn std::fmt::Display| Error::damaged(format!("it does not decode: {e}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(&e))?;
    let mut names: Vec<&str> = table.schema.columns.iter().map(|c| c.name.as_str()).collect();
    let fields = builder.schema().fields();
    let there: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
    if there.len() > names.len() {
        names.push(EXACT);
    }
    if there != names {
        return Err(Error::damaged(format!(
            "its columns are {}, the manifest says {}",
            there.join(", "),
            names.join(", ")
        )));
    }
    let types = table.schema.columns.iter().map(|c| c.carrier.data_type());
    for (field, expected) in fields.iter().zip(types.chain([DataType::Binary])) {
        if *field.data_type() != expected {
            return Err(Error::damaged(format!(
                "its column {} is {}, not {expected}",
                field.name(),
                field.data_type()
            )));
        }
    }
    let reader = builder.with_batch_size(BATCH).build().map_err(|e| broken(&e))?;
    let mut order = OrderCheck::new(table)?;
    let mut rows = 0;
    for batch in reader {
        let batch = batch.map_err(|e| broken(&e))?;
        parquet_batch(&batch, rows, &mut order)?;
        rows += batch.num_rows() as u64;
        progress.advance(batch.num_rows() as u64);
    }
    Ok(rows)
}

fn parquet_batch(batch: &RecordBatch, before: u64, order: &mut OrderCheck) -> Result<()> {
    if let Some(exact) = batch.column_by_name(EXACT) {
        for cells in exact.as_binary::<i32>().iter().flatten() {
            exact_cells(cells).try_for_each(|cell| cell.map(drop))?;
        }
    }
    let key: Vec<ArrayRef> =
        order.key.iter().filter_map(|c| batch.column_by_name(&c.name).cloned()).collect();
    if key.is_empty() {
        return Ok(());
    }
    for row in 0..batch.num_rows() {
        let parts = key.iter().map(|array| parquet_part(array, row)).collect();
        order.next(before + row as u64, parts)?;
    }
    Ok(())
}

fn parquet_part(array: &ArrayRef, row: usize) -> Option<Part<'_>> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Int64 => Some(Part::Int(array.as_primitive::<Int64Type>().value(row))),
        DataType::UInt64 => Some(Part::Wide(array.as_primitive::<UInt64Type>().value(row).into())),
        DataType::Boolean => Some(Part::Int(array.as_boolean().value(row).into())),
        DataType::Date32 => Some(Part::Int(array.as_primitive::<Date32Type>().value(row).into())),
        DataType::Timestamp(..) => {
            Some(Part::Int(array.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::Decimal128(..) => {
            Some(Part::Wide(array.as_primitive::<Decimal128Type>().value(row)))
        }
        DataType::Utf8 => {
            Some(Part::Bytes(Cow::Borrowed(array.as_string::<i32>().value(row).as_bytes())))
        }
        DataType::Binary => Some(Part::Bytes(Cow::Borrowed(array.as_binary::<i32>().value(row)))),
        _ => None,
    }
}

/// Reads a file of JSON lines; its number of rows.
pub(super) fn jsonl(file: File, table: &ManifestTable, progress: &dyn Progress) -> Result<u64> {
    let broken = |e: &dyn std::fmt::Display| Error::damaged(format!("it does not decode: {e}"));
    let mut lines = BufReader::new(zstd::Decoder::new(file).map_err(|e| broken(&e))?);
    let mut order = OrderCheck::new(table)?;
    let mut line = Vec::new();
    let mut rows = 0;
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(|e| broken(&e))? == 0 {
            progress.advance(rows % BATCH as u64);
            return Ok(rows);
        }
        let object: Map<String, Json> = serde_json::from_slice(&line)
            .map_err(|e| Error::damaged(format!("row {rows} is no JSON object: {e}")))?;
        let columns = table.schema.columns.iter().map(|c| &c.name);
        if !object.keys().eq(columns) {
            return Err(Error::damaged(format!("row {rows} has not the table's columns")));
        }
        let parts = order.key.iter().map(|c| object.get(&c.name).and_then(|v| json_part(c, v)));
        let parts = parts.collect();
        order.next(rows, parts)?;
        rows += 1;
        if rows % BATCH as u64 == 0 {
            progress.advance(BATCH as u64);
        }
    }
}

fn json_part<'a>(column: &Column, value: &'a Json) -> Option<Part<'a>> {
    match column.carrier {
        Carrier::Int => value.as_i64().map(Part::Int),
        Carrier::Text => value.as_str().map(|t| Part::Bytes(Cow::Borrowed(t.as_bytes()))),
        Carrier::Blob => {
            let digits = value.get("$blob")?.as_str()?.as_bytes();
            let byte = |pair: &[u8]| {
                let text = std::str::from_utf8(pair).ok()?;
                u8::from_str_radix(text, 16).ok()
            };
            let bytes = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
            Some(Part::Bytes(Cow::Owned(bytes)))
        }
        Carrier::Unsigned => value.as_u64().map(|u| Part::Wide(u.into())),
        Carrier::Bool => value.as_bool().map(|b| Part::Int(b.into())),
        // Their texts do not order as they do: their order is proved when they are read.
        Carrier::Date | Carrier::Stamp | Carrier::Instant | Carrier::Decimal { .. } => None,
        Carrier::Real | Carrier::Number => None,
    }
}
