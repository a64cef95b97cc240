//! The schemas `backup` and `live`: a table provider for each table a side has.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::Result as DfResult;

use crate::error::Result;
use crate::model::side::{Side, Which};
use crate::model::table::{Column, TableName, TableSchema};
use crate::mount::table::SourceTable;
use crate::mount::{Mount, find_table};

/// The catalog that holds the two schemas.
#[derive(Debug)]
pub struct Sides(Side<Arc<SideSchema>>);

impl Sides {
    /// Describes every table of both sides.
    pub async fn of(mount: &Mount) -> Result<Self> {
        let mut sides = Side { backup: BTreeMap::new(), live: BTreeMap::new() };
        for table in mount.tables(Which::Live) {
            let schema = mount.schema(Which::Live, table).await?;
            let provider = provider(mount, Which::Live, table, schema.columns.clone(), &schema);
            sides.live.insert(table.clone(), provider);
        }
        for table in mount.tables(Which::Backup) {
            let own = mount.schema(Which::Backup, table).await?;
            let live = match mount.find(Which::Live, &table.to_string()) {
                Some(name) => Some(mount.schema(Which::Live, name).await?),
                None => None,
            };
            let columns = as_live_has_them(&own, live.as_deref());
            let schema = live.unwrap_or(own);
            let provider = provider(mount, Which::Backup, table, columns, &schema);
            sides.backup.insert(table.clone(), provider);
        }
        Ok(Self(sides.map(|tables| Arc::new(SideSchema { tables }))))
    }
}

/// A backup's columns, those that live has too in live's type.
fn as_live_has_them(own: &TableSchema, live: Option<&TableSchema>) -> Vec<Column> {
    own.columns
        .iter()
        .map(|column| live.and_then(|live| live.column(&column.name)).unwrap_or(column).clone())
        .collect()
}

fn provider(
    mount: &Mount,
    which: Which,
    table: &TableName,
    columns: Vec<Column>,
    schema: &TableSchema,
) -> Arc<dyn TableProvider> {
    let key = schema.keys.first().map_or(&[][..], |key| &key.columns);
    let find = |name: &String| columns.iter().find(|c| c.name == *name).cloned();
    let key = key.iter().map(find).collect::<Option<Vec<_>>>().unwrap_or_default();
    let source = Arc::clone(mount.source(which));
    Arc::new(SourceTable::plain(source, (which, table.clone()), columns, key, mount.parallelism()))
}

impl CatalogProvider for Sides {
    fn schema_names(&self) -> Vec<String> {
        vec![Which::Backup.to_string(), Which::Live.to_string()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let side: &Arc<SideSchema> = match name.to_ascii_lowercase().as_str() {
            "backup" => &self.0.backup,
            "live" => &self.0.live,
            _ => return None,
        };
        Some(Arc::clone(side) as Arc<dyn SchemaProvider>)
    }
}

/// One side's tables.
#[derive(Debug)]
struct SideSchema {
    tables: BTreeMap<TableName, Arc<dyn TableProvider>>,
}

impl SideSchema {
    fn get(&self, name: &str) -> Option<&Arc<dyn TableProvider>> {
        let names: Vec<TableName> = self.tables.keys().cloned().collect();
        find_table(&names, name).and_then(|name| self.tables.get(name))
    }
}

#[async_trait]
impl SchemaProvider for SideSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().map(TableName::to_string).collect()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
