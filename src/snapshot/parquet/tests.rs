//! What is written comes back from parquet's own reader, and its index tells the truth.

use arrow::array::{BinaryArray, Int64Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::*;

fn batch(texts: Vec<Option<String>>, nullable: bool) -> RecordBatch {
    let ids = Int64Array::from_iter_values(0..texts.len() as i64);
    let blobs: BinaryArray = texts.iter().map(|t| t.as_ref().map(|t| t.as_bytes())).collect();
    let texts = StringArray::from(texts);
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("text", DataType::Utf8, nullable),
        Field::new("blob", DataType::Binary, nullable),
    ];
    let arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(texts), Arc::new(blobs)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// The file of these batches, whose texts and blobs are taken for ones that hardly repeat.
fn file(batches: &[RecordBatch], chunk: usize) -> Bytes {
    let mut scratch = Scratch::new().unwrap();
    let schema = batches[0].schema();
    let mut file = ParquetFile::begin(Vec::new(), schema, None, &[0], "tests").unwrap();
    file.plain = vec![false, true, true];
    for chunk in batches.chunks(chunk) {
        let tasks = file.tasks(chunk).unwrap();
        file.write().unwrap();
        file.put(tasks.into_iter().map(|task| task.run(&mut scratch).unwrap()).collect());
    }
    let tasks = file.last_tasks();
    file.write().unwrap();
    file.put(tasks.into_iter().map(|task| task.run(&mut scratch).unwrap()).collect());
    file.write().unwrap();
    file.finish().unwrap().into()
}

fn open(file: &Bytes) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap()
}

fn read(file: &Bytes, schema: &SchemaRef) -> RecordBatch {
    let batches: Vec<_> = open(file).build().unwrap().map(|batch| batch.unwrap()).collect();
    concat_batches(schema, &batches).unwrap()
}

/// Checks every bound that the footer tells of a column against the rows.
fn check_bounds(metadata: &ParquetMetaData, column: usize, rows: &BinaryArray) {
    let mut first = 0;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let count = group.num_rows() as usize;
        let values = rows.slice(first, count);
        let chunk = group.column(column);
        let Some(Statistics::ByteArray(told)) = chunk.statistics() else { panic!("no statistics") };
        assert_eq!(told.null_count_opt(), Some(values.null_count() as u64));
        let (least, most) = (values.iter().flatten().min(), values.iter().flatten().max());
        assert_eq!(told.min_opt().is_some(), least.is_some());
        if let (Some(least), Some(most)) = (least, most) {
            assert!(told.min_bytes_opt().unwrap() <= least);
            assert!(told.max_bytes_opt().unwrap() >= most);
            assert_eq!(told.min_is_exact(), told.min_bytes_opt() == Some(least));
            assert_eq!(told.max_is_exact(), told.max_bytes_opt() == Some(most));
        }
        let pages = &metadata.offset_index().unwrap()[number][column];
        let ColumnIndexMetaData::BYTE_ARRAY(index) =
            &metadata.column_index().unwrap()[number][column]
        else {
            panic!("no column index")
        };
        let starts = pages.page_locations().iter().map(|page| page.first_row_index as usize);
        let starts: Vec<usize> = starts.chain([count]).collect();
        for (page, range) in starts.windows(2).enumerate() {
            let values = values.slice(range[0], range[1] - range[0]);
            assert_eq!(index.null_count(page), Some(values.null_count() as i64));
            assert_eq!(index.is_null_page(page), values.null_count() == values.len());
            for value in values.iter().flatten() {
                assert!(index.min_value(page).unwrap() <= value);
                assert!(index.max_value(page).unwrap() >= value);
            }
        }
        first += count;
    }
}

fn check(batches: &[RecordBatch], chunk: usize) {
    let schema = batches[0].schema();
    let file = file(batches, chunk);
    let whole = concat_batches(&schema, batches).unwrap();
    assert_eq!(read(&file, &schema), whole);
    let metadata = open(&file).metadata().clone();
    for column in [1, 2] {
        check_bounds(&metadata, column, whole.column(2).as_binary());
    }
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        4 => "[a-c]{0,9}".prop_map(Some),
        2 => any::<String>().prop_map(Some),
        1 => prop_oneof![Just('x'), Just('é'), Just('\u{d7ff}'), Just('\u{10ffff}')]
            .prop_flat_map(|c| (60..70_usize).prop_map(move |n| Some(c.to_string().repeat(n)))),
    ]
}

proptest! {
    #[test]
    fn any_texts_and_blobs_come_back(
        rows in prop::collection::vec(text(), 1..300),
        size in 1..60_usize,
        chunk in 1..9_usize,
    ) {
        // Slices, so that offsets and validity do not begin at 0.
        let whole = batch(rows, true);
        let batches: Vec<_> = (0..whole.num_rows())
            .step_by(size)
            .map(|first| whole.slice(first, size.min(whole.num_rows() - first)))
            .collect();
        check(&batches, chunk);
    }
}

#[test]
fn pages_and_row_groups_end_where_they_should() {
    let text = |row: usize| match row % 7 {
        0 => None,
        1 => Some(String::new()),
        _ => Some(format!("{:0width$}", row * 7919 % 10_007, width = row % 90)),
    };
    let batches: Vec<_> =
        (0..40).map(|b| batch((b * 4096..(b + 1) * 4096).map(text).collect(), true)).collect();
    check(&batches, 8);
    let file = file(&batches, 8);
    let metadata = open(&file).metadata().clone();
    assert_eq!(metadata.num_row_groups(), 2);
    for group in metadata.offset_index().unwrap() {
        let rows: Vec<i64> = group[1].page_locations().iter().map(|p| p.first_row_index).collect();
        assert!(rows.len() > 1 && rows.windows(2).all(|pair| pair[1] - pair[0] <= 20_000));
    }
    let group = metadata.row_group(0).column(1);
    let encodings: Vec<_> = group.encodings().collect();
    assert!(encodings.contains(&Encoding::DELTA_LENGTH_BYTE_ARRAY), "{encodings:?}");
}

#[test]
fn single_rows_are_found_by_the_page_index() {
    let texts = (0..70_000).map(|row| (row % 3 > 0).then(|| format!("row {row}"))).collect();
    let whole = batch(texts, true);
    let file = file(std::slice::from_ref(&whole), 1);
    for row in [0, 1, 19_999, 20_000, 43_210, 69_999] {
        let selection = RowSelection::from(vec![RowSelector::skip(row), RowSelector::select(1)]);
        let mut reader = open(&file).with_row_selection(selection).build().unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), whole.slice(row, 1));
    }
}

#[test]
fn a_value_larger_than_a_page_has_one_for_itself() {
    let large = "é".repeat(700_000);
    let texts = ["a", &large, "b", &large, "c"].map(|text| Some(text.to_owned())).to_vec();
    check(&[batch(texts.clone(), true)], 1);
    check(&[batch(texts, false)], 1);
}

#[test]
fn bytes_under_a_null_stay_out_of_the_file() {
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 6, 12, 15].into());
    let nulls = Some(vec![true, false, true].into());
    let texts = StringArray::new(offsets, b"first.secretend".into(), nulls);
    let blobs: BinaryArray = texts.iter().map(|text| text.map(str::as_bytes)).collect();
    let schema = batch(vec![None], true).schema();
    let ids = Int64Array::from_iter_values(0..3);
    let arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(texts), Arc::new(blobs)];
    let batch = RecordBatch::try_new(schema, arrays).unwrap();
    check(std::slice::from_ref(&batch), 1);
    let file = file(&[batch], 1);
    assert!(!file.windows(6).any(|bytes| bytes == b"secret"));
}

#[test]
fn w9_a_flipped_bit_in_a_page_of_texts_is_noticed() {
    let texts = (0..500).map(|row| Some(format!("text {}", row * 7919 % 503))).collect();
    let whole = batch(texts, true);
    let file = file(&[whole], 1);
    let metadata = open(&file).metadata().clone();
    for column in [1, 2] {
        let (start, length) = metadata.row_group(0).column(column).byte_range();
        // The header is checked by its own means; the body is what the checksum is of.
        for at in (start + 24..start + length).step_by(11) {
            let mut bytes = file.to_vec();
            bytes[at as usize] ^= 4;
            let rows = open(&bytes.into()).build().unwrap().collect::<Result<Vec<_>, _>>();
            assert!(rows.is_err(), "byte {at} of column {column}");
        }
    }
}
