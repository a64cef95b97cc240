//! A live SQLite file, plans over it made by hand, and the whole database as text.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use sqlx::sqlite::SqliteConnectOptions;

use crate::apply::{ApplyOptions, apply};
use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::engine::sqlite::schema;
use crate::engine::sqlite::write::SqliteTarget;
use crate::error::{Error, Result};
use crate::fit::carry::carry_rows;
use crate::model::origin::{Identity, Origin};
use crate::model::plan::{Batch, Binding, Op, PlanHeader, TablePlan};
use crate::model::receipt::Receipt;
use crate::model::table::{Column, Key, KeyOrigin, TableName, TableSchema};
use crate::model::value::{Value, ValueRef};
use crate::plan::file::{PlanFile, PlanWriter};
use crate::progress::Silent;
use crate::target::Target as _;

pub(super) const NEVER: &str = "2999-01-01T00:00:00+00:00";

/// A folder with `live.db`, and the plans and locks beside it.
pub(super) struct Lab {
    pub(super) folder: tempfile::TempDir,
}

impl Lab {
    pub(super) async fn new(sql: &str) -> Self {
        // Memory where there is some: what a crash leaves is the process's here, not the disk's.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let lab = Self { folder: folder.unwrap() };
        let connection = raw(&lab.live(), true).await;
        run(&connection, sql);
        connection.close().await.unwrap();
        lab
    }

    pub(super) fn live(&self) -> PathBuf {
        self.folder.path().join("live.db")
    }

    pub(super) fn plan_path(&self, id: &str) -> PathBuf {
        self.folder.path().join(format!("{id}.rkplan"))
    }

    pub(super) fn options(&self) -> ApplyOptions {
        ApplyOptions::new(self.folder.path().join("locks"))
    }

    pub(super) fn resuming(&self) -> ApplyOptions {
        ApplyOptions { resume: true, ..self.options() }
    }

    pub(super) async fn target(&self) -> Box<SqliteTarget> {
        Box::new(SqliteTarget::open(self.live().to_str().unwrap(), describe).await.unwrap())
    }

    /// The application writes.
    pub(super) async fn sql(&self, sql: &str) {
        let connection = raw(&self.live(), false).await;
        run(&connection, sql);
        connection.close().await.unwrap();
    }

    /// The only cell of a query's only row, as text.
    pub(super) async fn one(&self, sql: &str) -> String {
        let connection = raw(&self.live(), false).await;
        let mut cell = String::new();
        connection
            .prepare(sql)
            .unwrap()
            .query(&[], |row| {
                cell = row.get(0).to_json().to_string();
                Ok::<bool, SqliteError>(true)
            })
            .unwrap();
        connection.close().await.unwrap();
        cell
    }

    pub(super) async fn dump(&self) -> String {
        let connection = raw(&self.live(), false).await;
        let dump = dump(&connection);
        connection.close().await.unwrap();
        dump
    }

    /// A plan of steps, each over one table, in batches of `size` rows.
    pub(super) async fn plan(&self, id: &str, size: usize, steps: Vec<Step>) -> PlanFile {
        self.plan_with(id, size, steps, |_| {}).await
    }

    pub(super) async fn plan_with(
        &self,
        id: &str,
        size: usize,
        steps: Vec<Step>,
        change: impl FnOnce(&mut PlanHeader),
    ) -> PlanFile {
        let connection = raw(&self.live(), false).await;
        let mut writer = PlanWriter::create(&self.plan_path(id)).await.unwrap();
        let mut tables = Vec::new();
        for (table, step) in steps.into_iter().enumerate() {
            let schema = describe(&connection, &TableName::bare(step.table)).unwrap();
            let pick = |names: &[&str]| -> Vec<Column> {
                names.iter().map(|n| schema.require(n).unwrap().clone()).collect()
            };
            let (before, after) = (pick(&step.before.0), pick(&step.after.0));
            for rows in step.chunks(size) {
                let image = |columns: &[Column], rows: &[Vec<Value>]| {
                    (!columns.is_empty()).then(|| image(columns, rows))
                };
                writer
                    .add(&Batch {
                        id: writer.batches(),
                        table,
                        before: image(&before, rows.0),
                        after: image(&after, rows.1),
                        from: Vec::new(),
                    })
                    .await
                    .unwrap();
            }
            tables.push(TablePlan {
                table: schema.name.clone(),
                op: step.op,
                key: Key {
                    columns: step.key.iter().map(|k| k.to_string()).collect(),
                    origin: KeyOrigin::PrimaryKey,
                },
                before,
                after,
                schema,
                rows: step.before.1.len().max(step.after.1.len()) as u64,
                skipped: vec![],
                notes: vec![],
                from: Vec::new(),
            });
        }
        let mut header = PlanHeader {
            id: id.into(),
            command: "restore".into(),
            title: "test".into(),
            undoes: None,
            created_at: "2024-01-01T00:00:00+00:00".into(),
            expires_at: NEVER.into(),
            binding: Binding {
                target: identity(&self.live()),
                live: Origin {
                    location: "live.db".into(),
                    kind: "SQLite database".into(),
                    taken_at: None,
                    warnings: vec![],
                    ..Origin::default()
                },
                backup: None,
                backup_digest: None,
                witnesses: vec![],
                tool: "0.1.0".into(),
            },
            atomic: false,
            adapts: false,
            tables,
        };
        change(&mut header);
        connection.close().await.unwrap();
        writer.finish(header).await.unwrap()
    }

    pub(super) async fn apply(&self, plan: &PlanFile) -> Result<Receipt> {
        self.apply_with(plan, &self.options()).await
    }

    pub(super) async fn apply_with(
        &self,
        plan: &PlanFile,
        options: &ApplyOptions,
    ) -> Result<Receipt> {
        let mut target = self.target().await;
        let receipt = apply(plan, &mut *target, options, &Silent).await;
        target.close().await.unwrap();
        receipt
    }
}

pub(super) fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).unwrap();
    Identity::Sqlite {
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        dev: about.dev(),
        ino: about.ino(),
        path: path.display().to_string(),
    }
}

/// A batch's rows of both images.
type Chunk<'a> = (&'a [Vec<Value>], &'a [Vec<Value>]);

/// What a plan does to one table: column names and rows of both images.
pub(super) struct Step {
    pub(super) table: &'static str,
    pub(super) op: Op,
    pub(super) key: Vec<&'static str>,
    pub(super) before: (Vec<&'static str>, Vec<Vec<Value>>),
    pub(super) after: (Vec<&'static str>, Vec<Vec<Value>>),
}

impl Step {
    pub(super) fn insert(
        table: &'static str,
        columns: &[&'static str],
        rows: Vec<Vec<Value>>,
    ) -> Self {
        Self {
            table,
            op: Op::Insert,
            key: vec![columns[0]],
            before: (vec![], vec![]),
            after: (columns.to_vec(), rows),
        }
    }

    /// Both images have the same columns, the key first.
    pub(super) fn update(
        table: &'static str,
        columns: &[&'static str],
        before: Vec<Vec<Value>>,
        after: Vec<Vec<Value>>,
    ) -> Self {
        Self {
            table,
            op: Op::Update,
            key: vec![columns[0]],
            before: (columns.to_vec(), before),
            after: (columns.to_vec(), after),
        }
    }

    fn chunks(&self, size: usize) -> Vec<Chunk<'_>> {
        let rows = self.before.1.len().max(self.after.1.len());
        let cut = |all: &'_ [Vec<Value>], from: usize| -> std::ops::Range<usize> {
            from.min(all.len())..(from + size).min(all.len())
        };
        (0..rows)
            .step_by(size)
            .map(|from| {
                let (before, after) = (&self.before.1, &self.after.1);
                (&before[cut(before, from)], &after[cut(after, from)])
            })
            .collect()
    }
}

pub(super) fn int(i: i64) -> Value {
    Value::Int(i)
}

pub(super) fn text(s: &str) -> Value {
    Value::Text(s.as_bytes().to_vec())
}

/// An image of rows of exact values.
pub(super) fn image(columns: &[Column], rows: &[Vec<Value>]) -> RecordBatch {
    carry_rows(columns, rows).unwrap()
}

pub(super) async fn raw(path: &Path, create: bool) -> Connection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .foreign_keys(true)
        .busy_timeout(std::time::Duration::from_secs(5));
    Connection::open(&options).await.unwrap()
}

/// Runs statements separated by `;;`.
pub(super) fn run(connection: &Connection, sql: &str) {
    for statement in sql.split(";;").map(str::trim).filter(|s| !s.is_empty()) {
        connection.execute(statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

pub(super) fn strings(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = Vec::new();
    statement
        .query(&[], |row| {
            let cells = (0..12).map(|i| match row.get(i) {
                ValueRef::Null => "\u{0}".to_owned(),
                ValueRef::Int(i) => i.to_string(),
                _ => row.text(i).unwrap_or_default(),
            });
            rows.push(cells.collect());
            Ok::<bool, SqliteError>(true)
        })
        .unwrap();
    rows
}

/// Every table's rows with storage class and bytes, by rowid or key.
pub(super) fn dump(connection: &Connection) -> String {
    let mut out = String::new();
    for table in strings(
        connection,
        "select name from sqlite_schema where type = 'table' and name not like 'sqlite~_%' \
         escape '~' order by name",
    ) {
        let table = &table[0];
        let columns =
            strings(connection, &format!("select name from pragma_table_xinfo('{table}')"));
        let cells: Vec<String> = columns
            .iter()
            .map(|c| format!("typeof(\"{0}\") || ':' || hex(\"{0}\")", c[0]))
            .collect();
        out.push_str(&format!("{table}\n"));
        let sql =
            format!("select {} as line from \"{table}\" order by line", cells.join("||'|'||"));
        for row in strings(connection, &sql) {
            out.push_str(&format!("  {}\n", row[0]));
        }
    }
    out
}

pub(super) fn describe(connection: &Connection, table: &TableName) -> Result<TableSchema> {
    schema::read(connection, &table.name)
        .map_err(|e| Error::failed(e.to_string()))?
        .ok_or_else(|| Error::refused(format!("no table {table}")))
}
