use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use sqlx::{ConnectOptions, Connection};

use super::*;
use crate::error::Kind;
use crate::model::conflict::Reason;
use crate::model::origin::{Identity, Origin};
use crate::model::plan::{Binding, Op, TablePlan};
use crate::model::table::{
    Carrier, Column, Key, KeyOrigin, TableKind, TableName, TableSchema, scan_schema,
};
use crate::model::value::{Cells, ValueRef, push_exact};

fn column(name: &str, carrier: Carrier) -> Column {
    Column::new(name, carrier)
}

fn columns() -> Vec<Column> {
    vec![column("id", Carrier::Int), column("title", Carrier::Text), column("n", Carrier::Int)]
}

/// Rows `first..first + 3`; the second's title is a misfit, and so is the third's number.
fn rows(first: i64, mark: &str) -> RecordBatch {
    let mut blob = Vec::new();
    push_exact(&mut blob, "title", ValueRef::Blob(mark.as_bytes()));
    let mut real = Vec::new();
    push_exact(&mut real, "n", ValueRef::Real(0.5));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(first..first + 3)),
        Arc::new(StringArray::from(vec![Some(mark), None, Some("x")])),
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
        Arc::new(BinaryArray::from_opt_vec(vec![None, Some(&blob), Some(&real)])),
    ];
    RecordBatch::try_new(scan_schema(&columns()), arrays).unwrap()
}

fn header(op: Op) -> PlanHeader {
    let table = TableName::bare("t");
    let key = Key { columns: vec!["id".into()], origin: KeyOrigin::PrimaryKey };
    PlanHeader {
        id: "7f3a2c".into(),
        command: "restore".into(),
        title: "t".into(),
        undoes: None,
        created_at: "2026-11-23T12:00:00+00:00".into(),
        expires_at: "2026-11-24T12:00:00+00:00".into(),
        binding: Binding {
            target: Identity::Sqlite { host: "h".into(), dev: 1, ino: 2, path: "/live.db".into() },
            live: Origin {
                location: "live.db".into(),
                kind: "SQLite database".into(),
                taken_at: None,
                warnings: vec![],
                ..Origin::default()
            },
            backup: None,
            backup_digest: Some("00".into()),
            witnesses: vec![],
            tool: "0.1.0".into(),
        },
        atomic: false,
        adapts: false,
        tables: vec![TablePlan {
            table: table.clone(),
            op,
            key: key.clone(),
            before: if op == Op::Insert { vec![] } else { columns() },
            after: match op {
                Op::Insert => columns(),
                Op::Update => columns()[..2].to_vec(),
                Op::Delete => vec![],
            },
            schema: TableSchema {
                name: table,
                kind: TableKind::Base,
                columns: columns(),
                keys: vec![key],
                uniques: vec![],
                foreign_keys: vec![],
                triggers: vec![],
                rowid_alias: Some("id".into()),
                without_rowid: false,
                autoincrement: false,
                unwritable: None,
                left_out: Vec::new(),
                ddl: String::new(),
            },
            rows: 6,
            skipped: vec![],
            notes: vec!["note".into()],
            from: Vec::new(),
        }],
    }
}

async fn plan(path: &Path, op: Op) -> PlanFile {
    let header = header(op);
    let mut writer = PlanWriter::create(path).await.unwrap();
    for id in 0..2 {
        let first = id as i64 * 3;
        let batch = Batch {
            id,
            table: 0,
            before: (op != Op::Insert).then(|| rows(first, "before")),
            after: match op {
                Op::Insert => Some(rows(first, "after")),
                Op::Update => Some(image::project(&rows(first, "after"), &columns()[..2]).unwrap()),
                Op::Delete => None,
            },
            from: Vec::new(),
        };
        writer.add(&batch).await.unwrap();
    }
    writer.finish(header).await.unwrap()
}

fn conflict(detail: &str) -> Conflict {
    Conflict {
        table: "t".into(),
        key: serde_json::json!({ "id": 1 }),
        reason: Reason::Data,
        detail: detail.into(),
    }
}

#[tokio::test]
async fn a_plan_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plans/7f3a2c.rkplan");
    let file = plan(&path, Op::Update).await;
    assert_eq!(file.header(), &header(Op::Update));
    assert_eq!((file.batch_count(), file.rows()), (2, 6));
    file.check().await.unwrap();
    let batch = file.batch(1).await.unwrap();
    assert_eq!(batch.before.unwrap(), rows(3, "before"));
    let after = batch.after.unwrap();
    assert_eq!(after.num_columns(), 3);
    let written = &columns()[..2];
    let cells = Cells::of(&after, written).unwrap();
    assert_eq!(cells.get(1, 1).unwrap(), ValueRef::Blob(b"after"));
    // The misfit of a column that is not written stays out of the after image.
    assert!(after.column(2).is_null(2));
    assert!(file.operation().await.unwrap().is_none());
    file.close().await.unwrap();
    PlanFile::open(&path).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn w12_a_plan_is_private_and_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plans/7f3a2c.rkplan");
    let file = plan(&path, Op::Insert).await;
    file.begin_operation(&begun(&file, "01J")).await.unwrap();
    file.record(&[(0, &BatchRecord::default(), Some(&Details::default()))]).await.unwrap();
    file.close().await.unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let beside: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.metadata().unwrap().len() > 0)
        .collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
    let again = PlanWriter::create(&path).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Failed);
    assert!(path.exists());
}

#[tokio::test]
async fn x2_a_plan_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rkplan");
    plan(&path, Op::Insert).await.close().await.unwrap();
    let mut raw = options(&path).connect().await.unwrap();
    sqlx::query("delete from header").execute(&mut raw).await.unwrap();
    raw.close().await.unwrap();
    let e = PlanFile::open(&path).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused);
    assert!(e.to_string().contains("incomplete"), "{e}");

    let dropped = folder.path().join("b.rkplan");
    drop(PlanWriter::create(&dropped).await.unwrap());
    assert!(!dropped.exists());

    for (name, bytes) in [("empty", &b""[..]), ("text", b"not a plan, but a longer text file")] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(PlanFile::open(&path).await.unwrap_err().kind(), Kind::Refused, "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    let missing = folder.path().join("missing");
    assert_eq!(PlanFile::open(&missing).await.unwrap_err().kind(), Kind::Usage);
    assert!(!missing.exists());
}

#[tokio::test]
async fn x2_an_altered_plan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (n, sql) in [
        "update header set json = replace(json, 'restore', 'restorf')",
        "delete from batch where id = 1",
        "update batch set rows = 2 where id = 0",
        "update batch set tbl = 9",
        "update batch set digest = zeroblob(32) where id = 1",
        "update header set batches = 1",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{n}.rkplan"));
        plan(&path, Op::Insert).await.close().await.unwrap();
        let mut raw = options(&path).connect().await.unwrap();
        sqlx::query(sql).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
        let refused = match PlanFile::open(&path).await {
            Err(e) => e,
            Ok(file) => file.check().await.expect_err(sql),
        };
        assert_eq!(refused.kind(), Kind::Refused, "{sql}: {refused}");
    }
    // An image alone, its digest kept.
    let path = folder.path().join("image.rkplan");
    plan(&path, Op::Insert).await.close().await.unwrap();
    let mut raw = options(&path).connect().await.unwrap();
    sqlx::query("update batch set after = (select after from batch where id = 0) where id = 1")
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    let file = PlanFile::open(&path).await.unwrap();
    file.batch(0).await.unwrap();
    assert_eq!(file.batch(1).await.unwrap_err().kind(), Kind::Refused);
    assert_eq!(file.check().await.unwrap_err().kind(), Kind::Refused);
}

#[tokio::test]
async fn x2_no_truncation_of_a_plan_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rkplan");
    plan(&path, Op::Insert).await.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let torn = folder.path().join("torn.rkplan");
    for length in (0..bytes.len()).step_by(4001) {
        std::fs::write(&torn, &bytes[..length]).unwrap();
        if let Ok(file) = PlanFile::open(&torn).await {
            file.check().await.unwrap_err();
        }
    }
}

fn begun(file: &PlanFile, id: &str) -> Begun {
    let target = file.header().binding.target.clone();
    Begun { id: id.into(), started_at: "2026-11-23T12:00:00Z".into(), target }
}

#[tokio::test]
async fn states_and_conflicts_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.rkplan");
    let file = plan(&path, Op::Insert).await;
    file.begin_operation(&begun(&file, "01J")).await.unwrap();
    assert!(file.begin_operation(&begun(&file, "01K")).await.is_err());
    let left = |row, detail| Details {
        conflicts: vec![RowConflict { row, conflict: conflict(detail) }],
        filled: Some(rows(0, "filled")),
    };
    let mut record = BatchRecord {
        state: BatchState::Intended,
        written: Bits::of(&[0, 2]),
        already: 0,
        conflicts: 1,
    };
    file.record(&[(1, &record, Some(&left(1, "first")))]).await.unwrap();
    file.record(&[(1, &record, Some(&left(1, "second")))]).await.unwrap();
    record.state = BatchState::Committed;
    file.record(&[(1, &record, None)]).await.unwrap();
    file.close().await.unwrap();
    let file = PlanFile::open(&path).await.unwrap();
    assert_eq!(file.records().await.unwrap(), [BatchRecord::default(), record]);
    assert_eq!(file.conflicts(9).await.unwrap(), [conflict("second")]);
    assert_eq!(file.filled(1, &columns()).await.unwrap(), Some(rows(0, "filled")));
    assert_eq!(file.filled(0, &columns()).await.unwrap(), None);
    assert_eq!(file.operation().await.unwrap().unwrap().id, "01J");
}

#[tokio::test]
async fn excluded_rows_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PlanWriter::create(&folder.path().join("a.rkplan")).await.unwrap();
    writer.add_excluded(&conflict("unfit")).await.unwrap();
    let file = writer.finish(header(Op::Insert)).await.unwrap();
    assert_eq!(file.excluded().await.unwrap(), [conflict("unfit")]);
    assert_eq!(file.batch_count(), 0);
    file.check().await.unwrap();
}

fn renewal() -> Renewal {
    Renewal {
        id: "aaaaaa".into(),
        command: "undo 01J".into(),
        title: "undo".into(),
        undoes: "01J".into(),
        target: Identity::Sqlite { host: "h".into(), dev: 1, ino: 2, path: "/live.db".into() },
        created_at: "2026-11-23T12:00:00+00:00".into(),
        expires_at: "2026-11-24T12:00:00+00:00".into(),
        tool: "0.1.0".into(),
    }
}

#[tokio::test]
async fn an_inverse_holds_what_was_written_backwards() {
    let folder = tempfile::tempdir().unwrap();
    for op in [Op::Insert, Op::Update, Op::Delete] {
        let file = plan(&folder.path().join(format!("{op:?}.rkplan")), op).await;
        let committed = |rows: &[usize]| BatchRecord {
            state: BatchState::Committed,
            written: Bits::of(rows),
            already: 0,
            conflicts: 0,
        };
        file.record(&[(0, &committed(&[0, 2]), None), (1, &committed(&[1]), None)]).await.unwrap();
        let path = folder.path().join(format!("undo-{op:?}.rkplan"));
        let undo = file.inverted(&path, renewal()).await.unwrap();
        let table = &undo.header().tables[0];
        assert_eq!((undo.rows(), table.rows, undo.batch_count()), (3, 3, 2));
        assert_eq!(undo.header().undoes.as_deref(), Some("01J"));
        let first = undo.batch(0).await.unwrap();
        let keep = |image, flags: [bool; 3]| image::filter(&image, &flags).unwrap();
        let short = |image| image::project(&image, &columns()[..2]).unwrap();
        let flags = [false, true, false];
        match op {
            Op::Insert => {
                assert_eq!((table.op, first.after), (Op::Delete, None));
                assert_eq!(first.before.unwrap(), keep(rows(3, "after"), flags));
            }
            Op::Delete => {
                assert_eq!((table.op, first.before), (Op::Insert, None));
                assert_eq!(first.after.unwrap(), keep(rows(3, "before"), flags));
            }
            Op::Update => {
                assert_eq!(table.op, Op::Update);
                assert_eq!(first.before.unwrap(), keep(short(rows(3, "after")), flags));
                assert_eq!(first.after.unwrap(), keep(short(rows(3, "before")), flags));
            }
        }
    }
}

#[tokio::test]
async fn x4_an_open_batch_forbids_the_inverse() {
    let folder = tempfile::tempdir().unwrap();
    let file = plan(&folder.path().join("a.rkplan"), Op::Insert).await;
    let record = BatchRecord { state: BatchState::Intended, ..BatchRecord::default() };
    file.record(&[(0, &record, None)]).await.unwrap();
    let e = file.inverted(&folder.path().join("b.rkplan"), renewal()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused);
    assert!(!folder.path().join("b.rkplan").exists());
}
