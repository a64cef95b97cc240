//! Row images: record batches of a table plan's columns followed by
//! [`EXACT`], and their form in a plan file.
//!
//! An image is stored as an Arrow IPC stream ("Arrow Columnar Format", "IPC Streaming
//! Format") of one record batch whose buffers are LZ4 frames, so that any Arrow
//! implementation can read it.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};

use crate::error::{Error, Result};
use crate::model::table::{Column, scan_schema};
use crate::model::value::{EXACT, exact_cells, push_exact};

/// The image as bytes.
pub fn encode(image: &RecordBatch) -> Result<Vec<u8>> {
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let capacity = image.get_array_memory_size() / 2;
    let mut writer =
        StreamWriter::try_new_with_options(Vec::with_capacity(capacity), &image.schema(), options)?;
    writer.write(image)?;
    Ok(writer.into_inner()?)
}

/// The image in these bytes, which must have just these columns and rows.
pub fn decode(bytes: &[u8], columns: &[Column], rows: usize) -> Result<RecordBatch> {
    let unfit = || Error::refused("the plan file holds a row image of another form");
    let mut reader = StreamReader::try_new(bytes, None).map_err(|e| unfit().because(e))?;
    let image = match reader.next() {
        Some(image) => image.map_err(|e| unfit().because(e))?,
        None => RecordBatch::new_empty(reader.schema()),
    };
    let expected = scan_schema(columns);
    let fits = image.num_rows() == rows
        && image.num_columns() == expected.fields().len()
        && image
            .schema()
            .fields()
            .iter()
            .zip(expected.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if fits { Ok(image) } else { Err(unfit()) }
}

/// The image cut down to these columns, in their order; misfits of other columns go too.
pub fn project(image: &RecordBatch, columns: &[Column]) -> Result<RecordBatch> {
    let schema = scan_schema(columns);
    let mut arrays = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        let array = image.column_by_name(&column.name).ok_or_else(|| {
            Error::failed(format!("a row image lacks the column {}", column.name))
        })?;
        arrays.push(Arc::clone(array));
    }
    let exact = image.column_by_name(EXACT).and_then(|a| a.as_binary_opt::<i32>());
    let kept: BinaryArray = match exact.filter(|e| e.null_count() < e.len()) {
        None => BinaryArray::new_null(image.num_rows()),
        Some(exact) => {
            let mut rows = Vec::with_capacity(exact.len());
            for cell in exact {
                rows.push(cell.map(|bytes| keep(bytes, columns)).transpose()?.flatten());
            }
            rows.iter().map(Option::as_deref).collect()
        }
    };
    arrays.push(Arc::new(kept));
    Ok(RecordBatch::try_new(schema, arrays)?)
}

/// Two images of the same rows as one: the columns of both.
pub fn beside(first: &RecordBatch, second: &RecordBatch) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    let mut exact = vec![Vec::new(); first.num_rows()];
    let exact_field = Arc::new(first.schema_ref().field_with_name(EXACT)?.clone());
    for image in [first, second] {
        for (field, array) in image.schema_ref().fields().iter().zip(image.columns()) {
            if field.name() != EXACT {
                fields.push(Arc::clone(field));
                arrays.push(Arc::clone(array));
            } else if let Some(cells) = array.as_binary_opt::<i32>() {
                exact
                    .iter_mut()
                    .zip(cells)
                    .for_each(|(all, own)| all.extend(own.unwrap_or_default()));
            }
        }
    }
    let exact = exact.iter().map(|cells| (!cells.is_empty()).then_some(&cells[..]));
    arrays.push(Arc::new(exact.collect::<BinaryArray>()));
    fields.push(exact_field);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn keep(bytes: &[u8], columns: &[Column]) -> Result<Option<Vec<u8>>> {
    let mut kept = Vec::new();
    for cell in exact_cells(bytes) {
        let (name, value) = cell?;
        if columns.iter().any(|c| c.name == name) {
            push_exact(&mut kept, name, value);
        }
    }
    Ok(if kept.is_empty() { None } else { Some(kept) })
}

/// The image with only the rows that are flagged.
pub fn filter(image: &RecordBatch, rows: &[bool]) -> Result<RecordBatch> {
    Ok(filter_record_batch(image, &BooleanArray::from(rows.to_vec()))?)
}

/// The columns of these names, in the order of the names.
pub fn pick(columns: &[Column], names: &[String]) -> Result<Vec<Column>> {
    names
        .iter()
        .map(|name| {
            columns
                .iter()
                .find(|c| c.name == *name)
                .cloned()
                .ok_or_else(|| Error::failed(format!("a plan lacks its key column {name}")))
        })
        .collect()
}
