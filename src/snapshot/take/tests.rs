use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::AtomicI64;

use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::metadata::PageIndexPolicy;

use super::*;
use crate::model::table::Carrier;
use crate::model::value::{Cells, Value};
use crate::progress::silent;
use crate::snapshot::check::check;
use crate::snapshot::list::list;
use crate::snapshot::memory::{Memory, column, table};

const BOTH: [FileFormat; 2] = [FileFormat::Parquet, FileFormat::Jsonl];

fn options(out: &Path, formats: &[FileFormat]) -> TakeOptions {
    TakeOptions {
        out: out.to_owned(),
        formats: formats.to_vec(),
        tables: vec![],
        host: "web1".into(),
        database: "prod.db".into(),
        tool: "0.1.0".into(),
        now: DateTime::parse_from_rfc3339("2024-05-29T11:14:42+02:00").unwrap(),
    }
}

async fn take_memory(source: Memory, options: &TakeOptions) -> Result<Taken> {
    take(Arc::new(source), options, silent()).await
}

/// Every value that has ever gone wrong.
fn awkward() -> Vec<Value> {
    let mut values = vec![Value::Null];
    for i in [0, 1, -1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1] {
        values.push(Value::Int(i));
    }
    for r in [
        0.0,
        -0.0,
        1.0,
        0.1,
        -1.5,
        9_223_372_036_854_775_808.0,
        9_007_199_254_740_992.0,
        9_007_199_254_740_994.0,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        values.push(Value::Real(r));
    }
    for bytes in
        [&b""[..], b"a", b"a\0b", b"\xff\xfe", b"0123", "né\u{202e}".as_bytes(), b"\"\\\r\n"]
    {
        values.push(Value::Text(bytes.to_vec()));
        values.push(Value::Blob(bytes.to_vec()));
    }
    values
}

const CARRIERS: [Carrier; 5] =
    [Carrier::Int, Carrier::Real, Carrier::Number, Carrier::Text, Carrier::Blob];

/// A table of each awkward value in a column of each carrier.
fn awkward_table() -> (TableSchema, Vec<Vec<Value>>) {
    let mut columns = vec![column("id", Carrier::Int)];
    columns.extend(CARRIERS.iter().map(|c| column(&format!("z{c:?}"), *c)));
    let rows = awkward().into_iter().enumerate().map(|(id, value)| {
        let mut row = vec![Value::Int(id as i64)];
        row.extend(CARRIERS.iter().map(|_| value.clone()));
        row
    });
    let rows = rows.collect();
    (table("awkward", columns, 1), rows)
}

fn read_parquet(path: &Path, columns: &[Column]) -> (Vec<Vec<Value>>, bool) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let has_exact = reader.schema().field_with_name(EXACT).is_ok();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let named = columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        let cells = Cells::new(&batch, named, EXACT).unwrap();
        for row in 0..batch.num_rows() {
            let row = (0..columns.len()).map(|i| cells.get(row, i).unwrap().to_owned());
            rows.push(row.collect());
        }
    }
    (rows, has_exact)
}

fn json_value(json: &str) -> Value {
    let unhex = |s: &str| {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    };
    match serde_json::from_str(json).unwrap() {
        serde_json::Value::Null => Value::Null,
        // by Rust's parser, which is exact, from the text as it stands
        serde_json::Value::Number(_) => match json.parse() {
            Ok(i) => Value::Int(i),
            Err(_) => Value::Real(json.parse().unwrap()),
        },
        serde_json::Value::String(text) => Value::Text(text.into_bytes()),
        serde_json::Value::Object(object) => {
            let (member, text) = object.iter().next().unwrap();
            let text = text.as_str().unwrap();
            match member.as_str() {
                "$text" => Value::Text(unhex(text)),
                "$blob" => Value::Blob(unhex(text)),
                "$real" => Value::Real(text.parse().unwrap()),
                other => panic!("{other}"),
            }
        }
        other => panic!("{other}"),
    }
}

fn unzstd(path: &Path) -> String {
    let mut text = String::new();
    zstd::Decoder::new(File::open(path).unwrap()).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn read_jsonl(path: &Path, columns: &[Column]) -> Vec<Vec<Value>> {
    unzstd(path)
        .lines()
        .map(|line| {
            let members = split_members(line);
            let names: Vec<String> =
                members.iter().map(|(name, _)| serde_json::from_str(name).unwrap()).collect();
            assert!(names.iter().eq(columns.iter().map(|c| &c.name)), "{line}");
            members.iter().map(|(_, value)| json_value(value)).collect()
        })
        .collect()
}

/// The members of an object as texts, since a parsed number is no longer exact.
fn split_members(line: &str) -> Vec<(&str, &str)> {
    let _: serde_json::Value = serde_json::from_str(line).unwrap();
    let inner = &line[1..line.len() - 1];
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    let (mut start, mut colon) = (0, 0);
    let mut members = Vec::new();
    for (at, byte) in inner.bytes().chain([b',']).enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b':' if depth == 0 => colon = at,
            b',' if depth == 0 => {
                members.push((&inner[start..colon], &inner[colon + 1..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    members
}

#[tokio::test]
async fn t1_t2_t3_t4_every_awkward_value_comes_back_as_class_and_bytes() {
    let root = tempfile::tempdir().unwrap();
    let (schema, rows) = awkward_table();
    let source = Memory::new(vec![(schema.clone(), rows.clone())]);
    let taken = take_memory(source, &options(root.path(), &BOTH)).await.unwrap();
    assert_eq!(taken.path.file_name().unwrap(), "web1.20240529T091442Z.prod.db.parquet+jsonl");
    let (parquet, has_exact) =
        read_parquet(&taken.path.join("parquet/awkward.parquet"), &schema.columns);
    assert!(has_exact);
    assert_eq!(parquet, rows);
    assert_eq!(read_jsonl(&taken.path.join("json/awkward.jsonl.zst"), &schema.columns), rows);

    let entry = &taken.manifest.tables[0];
    assert_eq!((entry.rows, &entry.ordered_by[..]), (rows.len() as u64, &["id".to_owned()][..]));
    assert_eq!(entry.schema, schema);
    assert_eq!(taken.bytes, entry.files.iter().map(|f| f.bytes).sum::<u64>());
    assert_eq!(taken.manifest.taken_at, "2024-05-29T11:14:42+02:00");
    let report = check(&taken.path, silent()).await.unwrap();
    assert!(report.is_whole() && report.files.len() == 2, "{report:?}");
}

/// Rows of several row groups and chunks, with NULLs and repeats; misfits where wished.
fn large(rows: usize, misfit: Option<usize>) -> (TableSchema, Vec<Vec<Value>>) {
    let columns = vec![
        column("id", Carrier::Int),
        column("name", Carrier::Text),
        column("score", Carrier::Real),
        column("kind", Carrier::Text),
    ];
    let rows = (0..rows)
        .map(|i| {
            let score = if i % 7 == 0 { Value::Null } else { Value::Real(i as f64 / 3.0) };
            let name = format!("row number {}", i * 2_654_435_761);
            let kind = if misfit == Some(i) {
                Value::Int(5)
            } else {
                Value::Text(format!("kind {}", i % 5).into_bytes())
            };
            vec![Value::Int(i as i64 * 3), Value::Text(name.into_bytes()), score, kind]
        })
        .collect();
    (table("large", columns, 1), rows)
}

#[tokio::test]
async fn row_groups_and_the_page_index_agree_with_the_rows() {
    let root = tempfile::tempdir().unwrap();
    let (schema, rows) = large(150_000, None);
    let source = Memory::new(vec![(schema.clone(), rows.clone())]);
    let taken = take_memory(source, &options(root.path(), &BOTH)).await.unwrap();
    let path = taken.path.join("parquet/large.parquet");
    let (parquet, has_exact) = read_parquet(&path, &schema.columns);
    assert!(!has_exact, "nobody needs it");
    assert!(parquet == rows);
    assert!(read_jsonl(&taken.path.join("json/large.jsonl.zst"), &schema.columns) == rows);

    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(&path).unwrap(), options)
            .unwrap();
    let metadata = reader.metadata().clone();
    assert_eq!(metadata.num_row_groups(), 2);
    assert!(metadata.column_index().is_some() && metadata.offset_index().is_some());
    assert_eq!(metadata.row_group(0).sorting_columns().unwrap()[0].column_idx, 0);
    // by the page index, pages before the selection are not even read
    let selection = RowSelection::from(vec![RowSelector::skip(149_990), RowSelector::select(10)]);
    let last: Vec<_> =
        reader.with_row_selection(selection).build().unwrap().map(|b| b.unwrap()).collect();
    let named = schema.columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
    let cells = Cells::new(&last[0], named, EXACT).unwrap();
    for (row, expected) in rows[149_990..].iter().enumerate() {
        for (column, expected) in expected.iter().enumerate() {
            assert_eq!(cells.get(row, column).unwrap(), expected.as_ref());
        }
    }
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
}

#[tokio::test]
async fn t2_a_late_misfit_begins_the_table_anew() {
    let root = tempfile::tempdir().unwrap();
    let (schema, rows) = large(40_000, Some(39_500));
    let (other, few) = awkward_table();
    let other = TableSchema { name: TableName::bare("zz"), ..other };
    let source = Memory::new(vec![(schema.clone(), rows.clone()), (other, few)]);
    let taken = take_memory(source, &options(root.path(), &BOTH)).await.unwrap();
    let (parquet, has_exact) =
        read_parquet(&taken.path.join("parquet/large.parquet"), &schema.columns);
    assert!(has_exact && parquet == rows);
    assert!(read_jsonl(&taken.path.join("json/large.jsonl.zst"), &schema.columns) == rows);
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
}

#[tokio::test]
async fn w9_a_flipped_bit_in_a_page_is_noticed_by_its_checksum() {
    let root = tempfile::tempdir().unwrap();
    let (schema, rows) = large(3000, None);
    let source = Memory::new(vec![(schema, rows)]);
    let taken = take_memory(source, &options(root.path(), &BOTH[..1])).await.unwrap();
    let path = taken.path.join("parquet/large.parquet");
    let whole = fs::read(&path).unwrap();
    let pages = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let group = pages.metadata().row_group(0);
    let end: u64 =
        group.columns().iter().map(|c| c.byte_range().0 + c.byte_range().1).max().unwrap();
    let expected: Vec<_> = pages.build().unwrap().map(|b| b.unwrap()).collect();
    let (mut noticed, mut harmless) = (0, 0);
    for at in (4..end as usize).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let read = std::panic::catch_unwind(|| {
            ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))
                .and_then(|b| b.build())
                .map_err(|e| e.to_string())
                .and_then(|r| r.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string()))
        });
        match read {
            Ok(Ok(batches)) => {
                assert!(batches == expected, "silently wrong at {at}");
                harmless += 1;
            }
            _ => noticed += 1,
        }
    }
    assert!(noticed > 20 * harmless, "{noticed} noticed, {harmless} harmless");
}

#[tokio::test]
async fn empty_tables_and_tables_without_a_key() {
    let root = tempfile::tempdir().unwrap();
    let empty = table("empty", vec![column("a", Carrier::Int)], 1);
    let loose = table("loose", vec![column("a", Carrier::Int)], 0);
    let rows: Vec<Vec<Value>> = [3, 1, 2].map(|i| vec![Value::Int(i)]).into();
    let source = Memory::new(vec![(empty, vec![]), (loose.clone(), rows.clone())]);
    let taken = take_memory(source, &options(root.path(), &BOTH)).await.unwrap();
    assert!(taken.manifest.tables[1].ordered_by.is_empty());
    let path = |file: &str| taken.path.join(file);
    assert_eq!(read_parquet(&path("parquet/empty.parquet"), &loose.columns).0.len(), 0);
    assert_eq!(unzstd(&path("json/empty.jsonl.zst")), "");
    assert_eq!(read_parquet(&path("parquet/loose.parquet"), &loose.columns).0, rows);
    assert_eq!(unzstd(&path("json/loose.jsonl.zst")), "{\"a\":3}\n{\"a\":1}\n{\"a\":2}\n");
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
}

#[tokio::test]
async fn w10_w12_hostile_names_stay_in_a_private_folder() {
    let root = tempfile::tempdir().unwrap();
    let names = ["../../evil", "a/b", "A/B", ".x", "events", "EVENTS", "x\ny"];
    let tables = names.map(|n| (table(n, vec![column("..", Carrier::Int)], 0), vec![]));
    let out = root.path().join("out");
    let mut options = options(&out, &BOTH);
    options.host = "../h".into();
    options.database = "/etc/passwd".into();
    let taken = take_memory(Memory::new(tables.into()), &options).await.unwrap();
    assert_eq!(taken.path.parent().unwrap(), out.canonicalize().unwrap());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    assert_eq!(taken.manifest.database, "/etc/passwd", "the manifest has it as it is");
    assert_eq!(fs::read_dir(taken.path.join("parquet")).unwrap().count(), names.len());
    assert!(check(&taken.path, silent()).await.unwrap().is_whole());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&taken.path), 0o700);
        for file in fs::read_dir(taken.path.join("json")).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        assert_eq!(mode(&taken.path.join("restorekit.json")), 0o600);
    }
}

#[tokio::test]
async fn a_second_within_the_same_second_gets_a_number() {
    let root = tempfile::tempdir().unwrap();
    let options = options(root.path(), &BOTH[..1]);
    let mut paths = Vec::new();
    for _ in 0..3 {
        let source = Memory::new(vec![awkward_table()]);
        paths.push(take_memory(source, &options).await.unwrap().path);
    }
    assert!(paths[2].to_string_lossy().ends_with("web1.20240529T091442Z-3.prod.db.parquet"));
    assert_eq!(list(root.path()).unwrap().len(), 3);
}

#[tokio::test]
async fn tables_are_chosen_by_name_and_a_wrong_name_creates_nothing() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let mut options = options(&out, &BOTH[..1]);
    options.tables = vec!["large".into()];
    let both = || Memory::new(vec![awkward_table(), large(10, None)]);
    let taken = take_memory(both(), &options).await.unwrap();
    assert_eq!(taken.manifest.tables.len(), 1);
    assert_eq!(taken.manifest.only, [TableName::bare("large")]);
    options.tables = vec!["lagre".into()];
    options.out = root.path().join("other");
    let e = take_memory(both(), &options).await.unwrap_err();
    assert!(e.hints()[0].contains("awkward, large"), "{e} {:?}", e.hints());
    assert!(!options.out.exists());
}

#[tokio::test]
async fn tables_of_schemas_are_found_as_everywhere_else() {
    let root = tempfile::tempdir().unwrap();
    let in_schema = |schema: &str, name: &str| {
        let mut found = table(name, vec![column("id", Carrier::Int)], 1);
        found.name.schema = Some(schema.into());
        (found, vec![vec![Value::Int(1)]])
    };
    let tables =
        || vec![in_schema("hr", "staff"), in_schema("it", "hosts"), in_schema("it", "staff")];
    let mut options = options(root.path(), &BOTH[..1]);
    for (asked, taken) in [
        (&["hr.staff"][..], &["hr.staff"][..]),
        (&["Hosts", "it.hosts"], &["it.hosts"]),
        (&["it.staff", "hosts"], &["it.hosts", "it.staff"]),
        (&[], &[]),
    ] {
        options.tables = asked.iter().map(|name| (*name).to_owned()).collect();
        let manifest = take_memory(Memory::new(tables()), &options).await.unwrap().manifest;
        let only: Vec<String> = manifest.only.iter().map(ToString::to_string).collect();
        assert_eq!(only, taken, "{asked:?}");
        let whole = manifest.series().only.is_empty();
        assert_eq!(
            (whole, manifest.tables.len()),
            (asked.is_empty(), only.len().max(3 * usize::from(whole)))
        );
    }
    options.tables = vec!["staff".into()];
    let e = take_memory(Memory::new(tables()), &options).await.unwrap_err();
    assert!(e.hints()[0].contains("hr.staff, it.hosts, it.staff"), "{e} {:?}", e.hints());
}

#[tokio::test]
async fn a_source_that_fails_half_way_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    for batches in [0, 1, 40] {
        let mut source = Memory::new(vec![large(50_000, None)]);
        source.fails_at = Some(batches);
        let e = take_memory(source, &options(root.path(), &BOTH)).await.unwrap_err();
        assert_eq!(e.to_string(), "the database is malformed");
        assert_eq!(e.kind(), crate::error::Kind::Damaged);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn x_a_fault_at_every_file_step_leaves_a_whole_snapshot_or_none() {
    for killed in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let mut steps = 0;
        loop {
            assert!(steps < 200, "it never ended");
            let faults = Faults { left: Some(Arc::new(AtomicI64::new(steps))), killed };
            let source = Arc::new(Memory::new(vec![awkward_table(), large(2000, None)]));
            let taken = take_with(source, &options(root.path(), &BOTH), silent(), faults).await;
            let listed = list(root.path()).unwrap();
            if taken.is_ok() {
                assert_eq!(listed.len(), 2, "the one whose last sync failed, and this one");
                assert!(listed.iter().all(|s| s.is_whole()));
                break;
            }
            for snapshot in &listed {
                // all that may fail once it is in place is syncing the parent
                assert!(check(&snapshot.path, silent()).await.unwrap().is_whole());
            }
            let hidden = fs::read_dir(root.path()).unwrap().count() - listed.len();
            assert!(hidden <= usize::from(killed), "leftovers pile up: {hidden}");
            steps += 1;
        }
        assert!(steps > 15, "there are that many steps at least: {steps}");
        assert_eq!(clean_leftovers(root.path()), 0, "the good run cleaned up");
    }
}

#[path = "tests/sqlite.rs"]
mod sqlite;
#[path = "tests/strict.rs"]
mod strict;
