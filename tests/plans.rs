//! Plans over real SQLite files on both sides, built, applied and undone through the
//! library; what stands in the end is said by the sqlite3 shell.

mod elsewhere;
mod parents;
mod patch;
mod restore;
mod verify;

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::{Duration, Local};
use restorekit::apply::{ApplyOptions, apply};
use restorekit::diff::pair::{PairOptions, TablePair, pair_tables};
use restorekit::error::Result;
use restorekit::model::receipt::Receipt;
use restorekit::model::side::{Side, Which};
use restorekit::mount::Mount;
use restorekit::plan::draft::{Draft, DraftOptions};
use restorekit::plan::file::{PlanFile, PlanWriter};
use restorekit::plan::patch::{PatchOptions, plan_patch};
use restorekit::plan::restore::{RestoreOptions, Wanted, plan_restore};
use restorekit::progress::silent;
use restorekit::registry::{open_backup, open_live, open_target};
use restorekit::select::Predicate;
use restorekit::undo::undo;

use crate::common::Sandbox;

/// What a case asks for besides the rows.
#[derive(Clone, Debug)]
struct Ask {
    tables: &'static [&'static str],
    key: &'static [&'static str],
    batch_size: usize,
    max_rows: Option<u64>,
}

impl Ask {
    fn of(tables: &'static [&'static str]) -> Self {
        Self { tables, key: &[], batch_size: 2, max_rows: None }
    }
}

/// A live database and its backup.
struct Case {
    sandbox: Sandbox,
    plans: Cell<u32>,
}

impl Case {
    /// Both sides begin with `both`; then `live` happens to live.
    fn new(both: &str, live: &str) -> Self {
        Self::of(both, both, live)
    }

    /// The sides begin apart.
    fn of(backup: &str, live_schema: &str, live: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.sqlite("backup.db", backup);
        sandbox.sqlite("live.db", live_schema);
        sandbox.sqlite("live.db", live);
        std::fs::create_dir(sandbox.path("locks")).unwrap();
        Self { sandbox, plans: Cell::new(0) }
    }

    fn live(&self, sql: &str) -> String {
        self.sandbox.sqlite("live.db", sql).trim_end().to_owned()
    }

    fn dump(&self) -> String {
        self.sandbox.dump("live.db")
    }

    fn place(&self, name: &str) -> String {
        self.sandbox.path(name).to_string_lossy().into_owned()
    }

    async fn mount(&self, backup: &str) -> Mount {
        let sources = Side {
            backup: open_backup(&self.place(backup), 2).await.unwrap(),
            live: open_live(&self.place("live.db"), 2).await.unwrap(),
        };
        Mount::new(sources, 2).await.unwrap()
    }

    async fn draft(&self, mount: &Mount, ask: &Ask) -> Draft {
        let number = self.plans.get();
        self.plans.set(number + 1);
        let path = self.sandbox.path(format!("plan{number}"));
        let options = DraftOptions {
            id: format!("aaaa{number:02x}"),
            command: "restore".into(),
            title: "test".into(),
            batch_size: ask.batch_size,
            max_rows: ask.max_rows,
            atomic: false,
            lifetime: Duration::days(1),
            now: Local::now(),
        };
        Draft::new(mount, PlanWriter::create(&path).await.unwrap(), options)
    }

    async fn pairs(mount: &Mount, ask: &Ask) -> Result<Vec<TablePair>> {
        let options = PairOptions {
            tables: ask.tables.iter().map(|t| t.to_string()).collect(),
            key: ask.key.iter().map(|k| k.to_string()).collect(),
            ..PairOptions::default()
        };
        Ok(pair_tables(mount, &options).await?.pairs)
    }

    async fn restore(&self, ask: &Ask, options: &RestoreOptions) -> Result<PlanFile> {
        self.restore_from("backup.db", ask, options).await
    }

    async fn restore_where(&self, sql: &str, ask: &Ask) -> Result<PlanFile> {
        self.restore_rows("backup.db", ask, &RestoreOptions::default(), Some(sql)).await
    }

    async fn restore_from(
        &self,
        backup: &str,
        ask: &Ask,
        options: &RestoreOptions,
    ) -> Result<PlanFile> {
        self.restore_rows(backup, ask, options, None).await
    }

    async fn restore_rows(
        &self,
        backup: &str,
        ask: &Ask,
        options: &RestoreOptions,
        sql: Option<&str>,
    ) -> Result<PlanFile> {
        let mount = self.mount(backup).await;
        let wanted = Self::pairs(&mount, ask).await?;
        let mut all = wanted.clone();
        for pair in pair_tables(&mount, &PairOptions::default()).await?.pairs {
            if all.iter().all(|p| p.table.live != pair.table.live) {
                all.push(pair);
            }
        }
        let wanted = wanted.into_iter().map(|pair| {
            let schema = Side { backup: &*pair.schema.backup, live: &*pair.schema.live };
            let predicate = sql.map(|sql| Predicate::parse(sql, schema).unwrap());
            Wanted { pair, predicate }
        });
        let wanted = wanted.collect();
        let mut draft = self.draft(&mount, ask).await;
        plan_restore(&mount, wanted, &all, options, &mut draft, silent()).await?;
        Self::finish(draft, &mount).await
    }

    async fn patch(&self, ask: &Ask, options: &PatchOptions) -> Result<PlanFile> {
        let mount = self.mount("backup.db").await;
        let pair = Self::pairs(&mount, ask).await?.remove(0);
        let mut draft = self.draft(&mount, ask).await;
        plan_patch(&mount, &pair, None, options, &mut draft, silent()).await?;
        Self::finish(draft, &mount).await
    }

    async fn finish(draft: Draft, mount: &Mount) -> Result<PlanFile> {
        let plan = draft.finish(mount).await?;
        mount.source(Which::Live).release().await?;
        mount.source(Which::Backup).release().await?;
        Ok(plan)
    }

    async fn apply(&self, plan: &PlanFile) -> Receipt {
        let mut target = open_target(&self.place("live.db")).await.unwrap();
        let options = ApplyOptions::new(self.sandbox.path("locks"));
        let receipt = apply(plan, target.as_mut(), &options, silent().as_ref()).await.unwrap();
        target.close().await.unwrap();
        receipt
    }

    /// Applies a plan without conflicts, again for nothing, and takes it back; what live
    /// held after the apply.
    async fn there_and_back(&self, plan: &PlanFile) -> String {
        let before = self.dump();
        let receipt = self.apply(plan).await;
        assert_eq!(receipt.conflict_count(), 0, "{receipt:?}");
        assert_eq!(written(&receipt), plan.rows());
        assert!(receipt.verified, "{receipt:?}");
        let after = self.dump();
        assert_eq!(written(&self.apply(plan).await), 0);
        assert_eq!(self.dump(), after);
        let path = self.sandbox.path(format!("undo{}", self.plans.get()));
        let inverse = undo(plan, &path, "bbbbbb", Duration::days(1)).await.unwrap();
        let receipt = self.apply(&inverse).await;
        assert_eq!(written(&receipt), plan.rows(), "{receipt:?}");
        assert_eq!(self.dump(), before);
        after
    }
}

fn written(receipt: &Receipt) -> u64 {
    receipt.tables.iter().map(|t| t.written).sum()
}

/// The planned tables in their order, with their rows.
fn tables(plan: &PlanFile) -> Vec<(String, u64)> {
    plan.header().tables.iter().map(|t| (t.table.to_string(), t.rows)).collect()
}

/// Why rows of the only table were left alone, with their numbers.
fn skipped(plan: &PlanFile) -> BTreeMap<&str, u64> {
    let [table] = plan.header().tables.as_slice() else { panic!("{:?}", tables(plan)) };
    table.skipped.iter().map(|s| (s.reason.as_str(), s.rows)).collect()
}

fn notes(plan: &PlanFile) -> String {
    plan.header().tables.iter().flat_map(|t| t.notes.clone()).collect::<Vec<_>>().join("\n")
}
