//! Both sides as DataFusion tables: `backup.<table>` and `live.<table>`.
//!
//! A [`Mount`] holds the two sources, what they say of their tables, and the bounds
//! (threads, memory) within which queries over them run. It is not a session: each step
//! makes its own from [`Mount::state`].

pub mod catalog;
pub(crate) mod keys;
pub mod literal;
#[cfg(test)]
pub(crate) mod memory;
pub mod order;
pub mod pushdown;
pub mod scan;
pub mod stack;
pub mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionConfig;

use crate::error::{Error, Result};
use crate::model::origin::{Origin, from_column};
use crate::model::side::{Side, Which};
use crate::model::table::{Column, TableName, TableSchema};
use crate::mount::stack::Stack;
use crate::source::{KeyRange, Source};

/// The memory that sorting may take before it spills to a temporary folder.
const MEMORY: usize = 128 << 20;

/// The bounds within which queries run.
fn runtime() -> Result<Arc<RuntimeEnv>> {
    let pool = Arc::new(FairSpillPool::new(MEMORY));
    Ok(RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?)
}

/// Two sources, mounted side by side.
#[derive(Debug)]
pub struct Mount {
    sources: Side<Arc<dyn Source>>,
    backups: Vec<Arc<dyn Source>>,
    origins: Vec<Origin>,
    tables: Side<Vec<TableName>>,
    schemas: Side<Mutex<HashMap<TableName, Arc<TableSchema>>>>,
    parallelism: usize,
    runtime: Arc<RuntimeEnv>,
}

impl Mount {
    /// Mounts two sources; at most `parallelism` key ranges are read at once. Only the
    /// tables' names are read here.
    pub async fn new(sources: Side<Arc<dyn Source>>, parallelism: usize) -> Result<Self> {
        let tables =
            Side { backup: sources.backup.tables().await?, live: sources.live.tables().await? };
        let (runtime, parallelism) = (runtime()?, parallelism.max(1));
        let backups = vec![Arc::clone(&sources.backup)];
        let origins = sources.backup.origin().all().cloned().collect();
        Ok(Self {
            sources,
            backups,
            origins,
            tables,
            schemas: Side::default(),
            parallelism,
            runtime,
        })
    }

    /// Mounts several backups as one, in which a row comes from the first that has its key.
    pub async fn several(
        backups: Vec<Arc<dyn Source>>,
        live: Arc<dyn Source>,
        parallelism: usize,
    ) -> Result<Self> {
        let one = match &backups[..] {
            [one] => Arc::clone(one),
            _ => Arc::new(Stack::new(backups.clone(), runtime()?).await?),
        };
        let mount = Self::new(Side { backup: one, live }, parallelism).await?;
        Ok(Self { backups, ..mount })
    }

    /// The backups, each by itself: one, unless several were mounted.
    pub fn backups(&self) -> &[Arc<dyn Source>] {
        &self.backups
    }

    /// What the backups are, in their order.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// What one of the [`backups`](Self::backups) calls the backup side's `table`; `None` where it
    /// does not have it.
    pub async fn table_in(
        &self,
        backup: &dyn Source,
        table: &TableName,
    ) -> Result<Option<TableName>> {
        let tables = backup.tables().await?;
        Ok(same_table(self.tables(Which::Backup), &tables, table).cloned())
    }

    /// The column that tells of a backup's row which backup it comes from, where there are
    /// several.
    pub fn from_column(&self) -> Option<Column> {
        (self.backups.len() > 1).then(from_column)
    }

    /// The source of a side.
    pub fn source(&self, which: Which) -> &Arc<dyn Source> {
        self.sources.get(which)
    }

    /// A side's tables, sorted by name.
    pub fn tables(&self, which: Which) -> &[TableName] {
        self.tables.get(which)
    }

    /// How many key ranges are read at once.
    pub fn parallelism(&self) -> usize {
        self.parallelism
    }

    /// The side's table of this name: exact case first, then without case when unique.
    pub fn find(&self, which: Which, name: &str) -> Option<&TableName> {
        find_table(self.tables(which), name)
    }

    /// The backup's table that is live's table `live`, looked for by that name or as somebody wrote it.
    pub fn partner(&self, live: &TableName, name: &str) -> Option<&TableName> {
        partner(
            Side { backup: self.tables(Which::Backup), live: self.tables(Which::Live) },
            live,
            name,
        )
    }

    /// One table as its side describes it; asked for once.
    pub async fn schema(&self, which: Which, table: &TableName) -> Result<Arc<TableSchema>> {
        if let Some(known) = self.known_schema(which, table) {
            return Ok(known);
        }
        let schema = Arc::new(self.source(which).schema(table).await?);
        let mut known = self.schemas.get(which).lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(table.clone(), Arc::clone(&schema));
        Ok(schema)
    }

    /// The schema of a table that was asked for before.
    pub(crate) fn known_schema(&self, which: Which, table: &TableName) -> Option<Arc<TableSchema>> {
        let known = self.schemas.get(which).lock().unwrap_or_else(PoisonError::into_inner);
        known.get(table).cloned()
    }

    /// The key ranges in which both sides of a table are read. More than one only when both
    /// sides come in key order; the split points are those of the side that has some, the
    /// backup first.
    pub async fn layout(&self, table: &Side<TableName>, key: &[Column]) -> Result<Layout> {
        let parts = if self.parallelism == 1 { 1 } else { 2 * self.parallelism };
        let (backup, live) = futures::try_join!(
            self.sources.backup.survey(&table.backup, key, parts),
            self.sources.live.survey(&table.live, key, parts),
        )?;
        let rows = Side { backup: backup.rows, live: live.rows };
        let ordered = Side { backup: backup.ordered, live: live.ordered };
        let mut ranges = vec![KeyRange::default()];
        if ordered.backup && ordered.live && parts > 1 {
            let splits = [backup.splits, live.splits]
                .into_iter()
                .map(|splits| order::usable_splits(&key[0], splits))
                .find(|splits| !splits.is_empty());
            ranges = KeyRange::between(&splits.unwrap_or_default());
        }
        Ok(Layout { ranges, ordered, rows })
    }

    /// The state of a session within the mount's bounds, without any tables.
    pub fn state(&self) -> SessionStateBuilder {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.parallelism)
            .with_information_schema(true)
            .with_default_catalog_and_schema("restorekit", "live")
            .with_create_default_catalog_and_schema(false);
        let options = config.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.optimizer.prefer_existing_sort = true;
        // Key ranges stay as they are, even where there are more threads than ranges.
        options.optimizer.preserve_file_partitions = 1;
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_default_features()
            .with_analyzer_rules(literal::rules())
    }
}

/// How one table's two sides are read.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The ranges, the same for both sides; at least one.
    pub ranges: Vec<KeyRange>,
    /// Which sides come in key order.
    pub ordered: Side<bool>,
    /// The rows on each side, exact or estimated.
    pub rows: Side<Option<u64>>,
}

/// The table of this name: with its schema, else by the table's name alone when one schema has
/// it, exact case first, then without case when unique.
pub fn find_table<'a>(tables: &'a [TableName], name: &str) -> Option<&'a TableName> {
    let only = |same: &dyn Fn(&str) -> bool| {
        let mut hits = tables.iter().filter(|t| same(&t.name) || same(&t.to_string()));
        match (hits.next(), hits.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    };
    tables
        .iter()
        .find(|t| t.to_string() == name)
        .or_else(|| only(&|known| known == name))
        .or_else(|| only(&|known| known.eq_ignore_ascii_case(name)))
}

/// The backup's table of this name that may be live's table `live`: not one that is another table of
/// live's, and, where the backup has tables outside of any named schema, not one of such a schema or
/// of another database for one that is in none.
fn partner<'a>(
    tables: Side<&'a [TableName]>,
    live: &TableName,
    name: &str,
) -> Option<&'a TableName> {
    let found = find_table(tables.backup, name)?;
    let taken = found != live && tables.live.contains(found);
    let bare = |table: &TableName| table.schema.is_none();
    let elsewhere = bare(live) && !bare(found) && tables.backup.iter().any(bare);
    (!taken && !elsewhere).then_some(found)
}

/// The one of a backup's `tables` that is `wanted`, which is among `all` tables of several
/// backups: found by its name, and by no other table's.
fn same_table<'a>(
    all: &[TableName],
    tables: &'a [TableName],
    wanted: &TableName,
) -> Option<&'a TableName> {
    let found = find_table(tables, &wanted.to_string())?;
    (find_table(all, &found.to_string()) == Some(wanted)).then_some(found)
}

/// An error for a table that a side does not have, with the ones it has.
pub fn no_table(which: Which, tables: &[TableName], name: &str) -> Error {
    let known: Vec<String> = tables.iter().map(TableName::to_string).collect();
    Error::usage(format!("{which} has no table {name}"))
        .hint(format!("the tables that are seen there: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_not_paired_with_another_schema_s_namesake() {
        let tables = |names: &[&str]| -> Vec<TableName> {
            let table = |name: &&str| match name.split_once('.') {
                Some((schema, name)) => {
                    TableName { schema: Some(schema.into()), ..TableName::bare(name) }
                }
                None => TableName::bare(*name),
            };
            names.iter().map(table).collect()
        };
        let found = |live: &[&str], backup: &[&str], of: usize, name: &str| {
            let (live, backup) = (tables(live), tables(backup));
            let sides = Side { backup: &backup[..], live: &live[..] };
            partner(sides, &live[of], name).map(TableName::to_string)
        };
        let some = |name: &str| Some(name.to_owned());
        // A dump of one schema: its table is that of live's schema, and no other.
        let live = ["users", "audit.users"];
        assert_eq!(found(&live, &["audit.users"], 0, "users"), None);
        assert_eq!(found(&live, &["audit.users"], 1, "audit.users"), some("audit.users"));
        // A dump of several databases: live's own came after it.
        assert_eq!(found(&["pt", "t"], &["t", "other.pt"], 0, "pt"), None);
        // All that the backup has is in another schema: what is unique there is meant.
        assert_eq!(found(&["users"], &["app.users", "app.t"], 0, "users"), some("app.users"));
        assert_eq!(found(&["app.users"], &["users"], 0, "users"), some("users"));
        // Case tells tables apart where live has both.
        assert_eq!(found(&["T", "t"], &["t"], 0, "T"), None);
        assert_eq!(found(&["T", "t"], &["t"], 1, "t"), some("t"));
        assert_eq!(found(&["T"], &["t"], 0, "T"), some("t"));
    }
}
