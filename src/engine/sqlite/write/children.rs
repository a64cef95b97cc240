//! Who references a table: what a delete, or an update of a referenced column, would
//! cascade to.

use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::model::table::TableName;

/// A foreign key of some table that references another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    /// The referencing table.
    pub(super) table: String,
    /// Its columns.
    pub(super) columns: Vec<String>,
    /// The referenced columns.
    pub(super) parent_columns: Vec<String>,
}

/// The foreign keys that reference `parent`, its own too.
pub(super) fn children(
    connection: &Connection,
    parent: &TableName,
) -> Result<Vec<Child>, SqliteError> {
    let mut found: Vec<Child> = Vec::new();
    let mut statement = connection.prepare(
        "select t.name, f.id, f.\"from\", coalesce(f.\"to\", k.name)
         from main.sqlite_schema as t
         join pragma_foreign_key_list(t.name, 'main') as f
         left join pragma_table_xinfo(?1, 'main') as k on f.\"to\" is null and k.pk = f.seq + 1
         where t.type = 'table' and f.\"table\" = ?1 collate nocase
         order by t.name, f.id, f.seq",
    )?;
    let mut last = None;
    statement.query(&[crate::model::value::ValueRef::Text(parent.name.as_bytes())], |row| {
        let (table, id) = (row.text(0).unwrap_or_default(), row.int(1));
        let (column, parent_column) = (row.text(2).unwrap_or_default(), row.text(3));
        let this = Some((table.clone(), id));
        if last != this {
            found.push(Child { table, columns: Vec::new(), parent_columns: Vec::new() });
            last = this;
        }
        if let Some(child) = found.last_mut() {
            child.columns.push(column);
            child.parent_columns.push(parent_column.unwrap_or_default());
        }
        Ok::<bool, SqliteError>(true)
    })?;
    Ok(found)
}
