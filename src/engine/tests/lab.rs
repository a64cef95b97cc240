//! A live database and a backup of it, and plans between them. Which engine they are on is
//! only seen by their URLs.

use std::sync::Arc;

use chrono::{Duration, Local};

use crate::apply::{ApplyOptions, apply};
use crate::backup::detect::{BackupSpec, open_backup};
use crate::backup::manifest::FileFormat;
use crate::diff::pair::{PairOptions, TablePair, pair_tables};
use crate::diff::summary::summarise;
use crate::error::Result;
use crate::model::conflict::Reason;
use crate::model::receipt::Receipt;
use crate::model::side::{Side, Which};
use crate::mount::Mount;
use crate::plan::draft::{Draft, DraftOptions};
use crate::plan::file::{PlanFile, PlanWriter};
use crate::plan::patch::{Assignment, PatchOptions, plan_patch};
use crate::plan::restore::{RestoreOptions, Wanted, plan_restore};
use crate::progress::Silent;
use crate::registry;
use crate::select::Predicate;
use crate::snapshot::take::{TakeOptions, take};
use crate::source::Source;
use crate::target::Target;

/// A database of a server of the tests' own, and its own client.
pub(in crate::engine) trait Database: Clone + Send + Sync + 'static {
    /// A new, empty database of the shared server.
    fn new() -> Self;

    /// Its URL, as one who may do everything.
    fn url(&self) -> String;

    /// Runs SQL in the server's own client; cells are separated by tabs.
    fn sql(&self, sql: &str) -> String;

    /// A table's rows as the server itself has them.
    fn dump(&self, table: &str) -> String;

    /// The numbers from 1 to `last`, as a FROM item with the column `n`.
    fn numbers(last: usize) -> String;

    /// Makes the column `must` of `t`, a text, NOT NULL.
    const MUST_BE_THERE: &'static str;

    /// A trigger `audit` that writes `in` into `log` for each row that comes to `t`.
    const AUDIT: &'static str;

    /// A COMMIT as the driver sends it over the wire.
    const COMMIT: &'static [u8];

    /// The commits of a session before that of the first rows.
    const COMMITS_BEFORE: usize;

    /// The server's port on 127.0.0.1.
    fn port(&self) -> u16;

    /// Its URL by a port of 127.0.0.1, as one who may do everything.
    fn url_by(&self, port: u16) -> String;

    /// Ends every other connection to it, as an administrator would.
    fn kill_all(&self);
}

pub(in crate::engine) struct Lab<D> {
    pub(in crate::engine) live: D,
    pub(in crate::engine) backup: D,
    folder: tempfile::TempDir,
    batch: usize,
    /// A transaction holds as many batches as it may.
    adapts: bool,
    /// All batches go into one transaction.
    atomic: bool,
    /// The backup is read from a snapshot in Parquet, not from its server.
    snapshot: bool,
}

impl<D: Database> Lab<D> {
    /// Both databases after these statements; then the live one after these.
    pub(in crate::engine) fn new(both: &str, damage: &str) -> Self {
        Self::of(D::new(), D::new(), both, damage)
    }

    /// The same in these databases.
    pub(in crate::engine) fn of(live: D, backup: D, both: &str, damage: &str) -> Self {
        if !both.is_empty() {
            live.sql(both);
            backup.sql(both);
        }
        if !damage.is_empty() {
            live.sql(damage);
        }
        let folder = tempfile::tempdir().unwrap();
        Self { live, backup, folder, batch: 1000, adapts: false, atomic: false, snapshot: false }
    }

    /// So many rows a batch.
    pub(in crate::engine) fn in_batches_of(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// As many batches a transaction as half a second holds.
    pub(in crate::engine) fn adapting(self) -> Self {
        Self { adapts: true, ..self }
    }

    /// All batches in one transaction.
    pub(in crate::engine) fn at_once(self) -> Self {
        Self { atomic: true, ..self }
    }

    /// Takes a snapshot of the backup as it is now, which is read from here on.
    pub(in crate::engine) async fn snapshot(&mut self) {
        let taken = registry::open_live(&self.backup.url(), 2).await.unwrap();
        let options = TakeOptions {
            out: self.folder.path().join("snapshots"),
            formats: vec![FileFormat::Parquet],
            tables: Vec::new(),
            host: "host".into(),
            database: "app".into(),
            tool: "0".into(),
            now: Local::now().fixed_offset(),
        };
        std::fs::create_dir(&options.out).unwrap();
        take(Arc::clone(&taken), &options, Arc::new(Silent)).await.unwrap();
        taken.release().await.unwrap();
        self.snapshot = true;
    }

    async fn open_backup(&self) -> Arc<dyn Source> {
        let folder = self.folder.path().join("snapshots").display().to_string();
        let place = if self.snapshot { folder } else { self.backup.url() };
        let spec = BackupSpec::parse(&place).unwrap();
        open_backup(&BackupSpec { parallelism: 2, ..spec }).await.unwrap()
    }

    pub(in crate::engine) async fn mount(&self) -> Mount {
        let backup = self.open_backup().await;
        let live = registry::open_live(&self.live.url(), 2).await.unwrap();
        Mount::new(Side { backup, live }, 2).await.unwrap()
    }

    pub(in crate::engine) async fn pairs(
        &self,
        mount: &Mount,
        tables: &[&str],
    ) -> Result<Vec<TablePair>> {
        let tables = tables.iter().map(|t| t.to_string()).collect();
        let options = PairOptions { tables, ..PairOptions::default() };
        Ok(pair_tables(mount, &options).await?.pairs)
    }

    async fn release(mount: &Mount) {
        mount.source(Which::Live).release().await.unwrap();
        mount.source(Which::Backup).release().await.unwrap();
    }

    /// Missing, changed, extra and ambiguous rows, and how often each column differs.
    pub(in crate::engine) async fn diff(&self, table: &str) -> ([u64; 4], Vec<(String, u64)>) {
        let mount = self.mount().await;
        let pair = self.pairs(&mount, &[table]).await.unwrap().remove(0);
        let found = summarise(&mount, &pair, Arc::new(Silent)).await.unwrap();
        Self::release(&mount).await;
        let columns =
            found.columns.into_iter().filter(|c| c.rows > 0).map(|c| (c.column, c.rows)).collect();
        ([found.missing, found.changed, found.extra, found.ambiguous], columns)
    }

    async fn draft(&self, mount: &Mount, id: &str) -> Draft {
        let path = self.folder.path().join(format!("{id}.rkplan"));
        let writer = PlanWriter::create(&path).await.unwrap();
        let options = DraftOptions {
            id: id.into(),
            command: "restore".into(),
            title: "test".into(),
            batch_size: self.batch,
            max_rows: None,
            atomic: self.atomic,
            lifetime: Duration::hours(1),
            now: Local::now(),
        };
        let draft = Draft::new(mount, writer, options);
        if self.adapts { draft.adapting() } else { draft }
    }

    /// A plan that brings back all that is missing in these tables.
    pub(in crate::engine) async fn restore(&self, id: &str, tables: &[&str]) -> Result<PlanFile> {
        let mount = self.mount().await;
        let mut draft = self.draft(&mount, id).await;
        let all = self.pairs(&mount, &[]).await?;
        let wanted = self.pairs(&mount, tables).await?;
        let wanted = wanted.into_iter().map(|pair| Wanted { pair, predicate: None }).collect();
        let options = RestoreOptions::default();
        plan_restore(&mount, wanted, &all, &options, &mut draft, Arc::new(Silent)).await?;
        let plan = draft.finish(&mount).await;
        Self::release(&mount).await;
        plan
    }

    /// A plan that sets columns from the backup's.
    pub(in crate::engine) async fn patch(
        &self,
        id: &str,
        table: &str,
        columns: &[(&str, &str)],
        predicate: Option<&str>,
    ) -> Result<PlanFile> {
        let mount = self.mount().await;
        let mut draft = self.draft(&mount, id).await;
        let pair = self.pairs(&mount, &[table]).await?.remove(0);
        let assignments = columns
            .iter()
            .map(|(column, from)| Assignment { column: column.to_string(), from: from.to_string() })
            .collect();
        let options = PatchOptions { assignments, allow_null: true, ..PatchOptions::default() };
        let schema = pair.schema.as_ref().map(|s| s.as_ref());
        let predicate = predicate.map(|sql| Predicate::parse(sql, schema)).transpose()?;
        let silent = Arc::new(Silent);
        plan_patch(&mount, &pair, predicate.as_ref(), &options, &mut draft, silent).await?;
        let plan = draft.finish(&mount).await;
        Self::release(&mount).await;
        plan
    }

    pub(in crate::engine) fn options(&self) -> ApplyOptions {
        ApplyOptions::new(self.folder.path().join("locks"))
    }

    pub(in crate::engine) fn resuming(&self) -> ApplyOptions {
        ApplyOptions { resume: true, ..self.options() }
    }

    pub(in crate::engine) async fn target(&self) -> Box<dyn Target> {
        registry::open_target(&self.live.url()).await.unwrap()
    }

    pub(in crate::engine) async fn apply(&self, plan: &PlanFile) -> Result<Receipt> {
        self.apply_with(plan, &self.options()).await
    }

    pub(in crate::engine) async fn apply_with(
        &self,
        plan: &PlanFile,
        options: &ApplyOptions,
    ) -> Result<Receipt> {
        let mut target = self.target().await;
        let receipt = apply(plan, &mut *target, options, &Silent).await;
        target.close().await.unwrap();
        receipt
    }

    /// Takes back what `plan` wrote.
    pub(in crate::engine) async fn undo(&self, plan: &PlanFile, id: &str) -> Receipt {
        let path = self.folder.path().join(format!("{id}.rkplan"));
        let inverse = crate::undo::undo(plan, &path, id, Duration::hours(1)).await.unwrap();
        self.apply(&inverse).await.unwrap()
    }
}

/// The keys and reasons of a receipt's conflicts.
pub(in crate::engine) fn reasons(receipt: &Receipt) -> Vec<(String, Reason)> {
    receipt.conflicts.iter().map(|c| (c.key.to_string(), c.reason)).collect()
}

/// Planned, written, already, conflicts of a receipt's only table.
pub(in crate::engine) fn counts(receipt: &Receipt) -> [u64; 4] {
    let [line] = &receipt.tables[..] else { panic!("{receipt:?}") };
    [line.planned, line.written, line.already, line.conflicts]
}
