//! One table as a [`TableSchema`].

use crate::engine::mysql::catalogue::{
    Table, TableColumn, definition, foreign_keys, is_transactional, triggers,
};
use crate::engine::mysql::session::{Session, Stop};
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{
    Affinity, Automatic, Column, Key, KeyOrigin, TableKind, TableName, TableSchema, Trigger,
    UniqueIndex,
};

/// Describes a table.
pub(crate) async fn describe(session: &mut Session, table: &Table) -> Result<TableSchema, Stop> {
    let uniques = table.uniques.iter().map(|index| UniqueIndex {
        name: index.name.clone(),
        columns: index.columns.clone(),
        partial: false,
    });
    let triggers = triggers(session, &table.name).await?;
    Ok(TableSchema {
        name: TableName::bare(&table.name),
        kind: if table.base { TableKind::Base } else { TableKind::View },
        columns: table.columns.iter().map(column).collect(),
        keys: keys(table),
        uniques: uniques.collect(),
        foreign_keys: foreign_keys(session, &table.name).await?,
        rowid_alias: None,
        without_rowid: false,
        autoincrement: table.columns.iter().any(|c| c.counter),
        unwritable: unwritable(table, &triggers),
        triggers,
        left_out: Vec::new(),
        ddl: definition(session, &table.name).await?,
    })
}

fn unwritable(table: &Table, triggers: &[Trigger]) -> Option<String> {
    if table.base && !is_transactional(&table.engine) {
        return Some(format!(
            "its storage engine {} keeps no transactions: a batch could not be taken back",
            table.engine
        ));
    }
    // Who lacks the right is told their names only (MariaDB).
    let unread =
        triggers.iter().any(|t| t.sql.split_once(' ').is_none_or(|(_, body)| body.is_empty()));
    unread.then(|| blind(table))
}

/// Why a table is not written whose triggers the user may not see.
pub(crate) fn blind(table: &Table) -> String {
    format!("its triggers can't be read: grant trigger on {} to this user", table.name)
}

/// A column as its side describes it.
pub(crate) fn column(column: &TableColumn) -> Column {
    Column {
        declared: column.declared.clone(),
        affinity: Affinity::Mysql,
        not_null: column.not_null,
        generated: column.generated,
        default: column.default.clone(),
        collation: column.collation(),
        automatic: match (column.counter, column.on_update) {
            (true, _) => Some(Automatic::Counter),
            (_, true) => Some(Automatic::UpdateTime),
            _ => None,
        },
        ..Column::new(&column.name, column.form.carrier())
    }
}

/// The primary key, then the unique indexes over whole NOT NULL columns.
fn keys(table: &Table) -> Vec<Key> {
    let keys = table.uniques.iter().filter_map(|index| {
        let columns = table.key_columns(index)?.into_iter().map(|c| c.name.clone()).collect();
        let origin = match index.name.as_str() {
            "PRIMARY" => KeyOrigin::PrimaryKey,
            name => KeyOrigin::Unique(name.to_owned()),
        };
        Some(Key { columns, origin })
    });
    keys.collect()
}

/// The error for a table that is not there.
pub(crate) fn no_table(side: Which, name: &TableName) -> Error {
    Error::usage(format!("{side} has no table {name}"))
}
