//! The rows of a query: as a table on a screen, as JSON, as CSV.

use std::io::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::model::value::{Value, ValueRef};
use crate::report::csv::Csv;
use crate::report::json;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, cell, count, elide, escape, plural};

/// The widest a cell is shown.
const CELL: usize = 40;

/// The cell of an Arrow array, as near to a storage class as its type allows.
fn value(array: &dyn Array, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let cell = match array.data_type() {
        DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => {
            let one = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64)?;
            Value::Int(one.as_primitive::<Int64Type>().value(0))
        }
        DataType::UInt64 => {
            ValueRef::unsigned(array.as_primitive::<UInt64Type>().value(row)).to_owned()
        }
        DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
        DataType::Float64 => Value::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(array.as_string::<i32>().value(row).as_bytes().to_vec()),
        DataType::LargeUtf8 => Value::Text(array.as_string::<i64>().value(row).as_bytes().to_vec()),
        DataType::Utf8View => Value::Text(array.as_string_view().value(row).as_bytes().to_vec()),
        DataType::Binary => Value::Blob(array.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => Value::Blob(array.as_binary::<i64>().value(row).to_vec()),
        DataType::BinaryView => Value::Blob(array.as_binary_view().value(row).to_vec()),
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options)?;
            Value::Text(formatter.value(row).try_to_string()?.into_bytes())
        }
    };
    Ok(cell)
}

/// The name of an Arrow type under a column's header.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "integer".to_owned(),
        DataType::Float64 => "real".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "blob".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// Keeps the first and last rows of a result of any length, for the screen.
#[derive(Debug)]
pub struct Ends {
    keep: usize,
    head: Vec<Vec<Value>>,
    tail: std::collections::VecDeque<Vec<Value>>,
    rows: u64,
}

impl Ends {
    /// Keeps at most `keep` rows.
    pub fn new(keep: usize) -> Self {
        Self { keep: keep.max(2), head: Vec::new(), tail: Default::default(), rows: 0 }
    }

    /// Takes a batch.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (head, tail) = (self.keep.div_ceil(2), self.keep / 2);
        let from_end = batch.num_rows().saturating_sub(tail);
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let in_head = self.head.len() < head;
            if !in_head && row < from_end {
                continue;
            }
            let cells: Vec<Value> =
                batch.columns().iter().map(|c| value(c.as_ref(), row)).collect::<Result<_>>()?;
            if in_head {
                self.head.push(cells);
            } else {
                self.tail.push_back(cells);
                if self.tail.len() > tail {
                    self.tail.pop_front();
                }
            }
        }
        Ok(())
    }

    /// Writes the table: types under the headers, left-out rows in the middle as `…`.
    pub fn write(self, out: &mut dyn Write, style: Style, schema: &Schema) -> Result<()> {
        let right = |t: &DataType| if t.is_numeric() { '>' } else { '<' };
        let columns: String = schema.fields().iter().map(|f| right(f.data_type())).collect();
        let mut grid = Grid::new(style, &columns).ruled();
        grid.header(
            schema.fields().iter().map(|f| {
                format!("{}\n{}", elide(&escape(f.name()), CELL), type_name(f.data_type()))
            }),
        );
        let width = (style.width / schema.fields().len().max(1)).clamp(12, style.width.max(CELL));
        let width = if schema.fields().len() <= 2 { width } else { width.max(CELL / 2) };
        let left_out = self.rows - (self.head.len() + self.tail.len()) as u64;
        let mut add = |cells: &[Value]| {
            let shown = cells.iter().map(|v| {
                let tone = if v.as_ref().is_null() { Tone::Dim } else { Tone::Plain };
                (cell(v.as_ref(), width), tone)
            });
            grid.row(shown.collect::<Vec<_>>());
        };
        self.head.iter().for_each(|row| add(row));
        if left_out > 0 {
            grid.row(schema.fields().iter().map(|_| ("…", Tone::Dim)));
        }
        let mut add = |cells: &[Value]| {
            let shown = cells.iter().map(|v| {
                let tone = if v.as_ref().is_null() { Tone::Dim } else { Tone::Plain };
                (cell(v.as_ref(), width), tone)
            });
            grid.row(shown.collect::<Vec<_>>());
        };
        self.tail.iter().for_each(|row| add(row));
        grid.write(out)?;
        let rest = if left_out > 0 {
            format!(", {} not shown (--limit, or --format ndjson)", count(left_out))
        } else {
            String::new()
        };
        let text = format!("{}{rest}", plural(self.rows, "row"));
        writeln!(out, "{}", style.paint(Tone::Dim, text))?;
        Ok(())
    }
}

/// Writes each row of a batch as a JSON object on a line.
pub fn ndjson(out: &mut dyn Write, batch: &RecordBatch) -> Result<()> {
    for row in 0..batch.num_rows() {
        json::line(out, &row_json(batch, row)?)?;
    }
    Ok(())
}

/// Writes each row of a batch as a JSON object of an array.
pub fn json(out: &mut dyn Write, array: &mut json::Array, batch: &RecordBatch) -> Result<()> {
    for row in 0..batch.num_rows() {
        array.push(out, &row_json(batch, row)?)?;
    }
    Ok(())
}

/// One row as a JSON object.
fn row_json(batch: &RecordBatch, row: usize) -> Result<Json> {
    let mut members = Map::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let cell = value(column.as_ref(), row)?.as_ref().to_json();
        members.insert(field.name().clone(), cell);
    }
    Ok(Json::Object(members))
}

/// Writes a batch as CSV records.
pub fn csv(out: &mut dyn Write, csv: &mut Csv, batch: &RecordBatch) -> Result<()> {
    for row in 0..batch.num_rows() {
        let cells: Vec<Value> =
            batch.columns().iter().map(|c| value(c.as_ref(), row)).collect::<Result<_>>()?;
        let cells: Vec<ValueRef<'_>> = cells.iter().map(Value::as_ref).collect();
        csv.record(out, &cells)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray};
    use arrow::datatypes::Field;

    use super::*;

    fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("say\x1b", DataType::Utf8, true),
            Field::new("ok", DataType::Boolean, true),
        ]);
        let says = rows.clone().map(|i| (i % 2 == 0).then(|| format!("row {i}\u{202e}")));
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from_iter_values(rows.clone())),
                Arc::new(StringArray::from_iter(says)),
                Arc::new(BooleanArray::from_iter(rows.map(|i| Some(i == 0)))),
            ],
        )
        .unwrap()
    }

    #[test]
    fn middle_rows_are_left_out() {
        let mut ends = Ends::new(4);
        ends.push(&batch(0..3)).unwrap();
        ends.push(&batch(3..1000)).unwrap();
        ends.push(&batch(1000..1001)).unwrap();
        let mut out = Vec::new();
        ends.write(&mut out, Style::plain(), batch(0..0).schema_ref()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
             id   say\u{1b}          ok
        integer   text               boolean
        ───────── ────────────────── ─────────
              0   row 0\u{202e}      true
              1   NULL               false
              …   …                  …
            999   NULL               false
           1000   row 1000\u{202e}   false
        1,001 rows, 997 not shown (--limit, or --format ndjson)
        "#);
    }

    #[test]
    fn a_row_is_an_object() {
        let mut out = Vec::new();
        ndjson(&mut out, &batch(0..2)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        {"id":0,"say\u001b":"row 0\u202e","ok":true}
        {"id":1,"say\u001b":null,"ok":false}
        "#);
    }
}
