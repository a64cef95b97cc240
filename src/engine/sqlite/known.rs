//! What was found out about a database's tables, kept for the time of a snapshot, in which
//! it can't change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::order::{is_native, is_utf8};
use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::engine::sqlite::schema;
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{Carrier, Collation, Column, TableName, TableSchema};

type KeyShape = (String, Vec<(String, Carrier, Collation)>);

/// The facts found so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    tables: Mutex<HashMap<String, Arc<Table>>>,
    schemas: Mutex<HashMap<String, TableSchema>>,
    native: Mutex<HashMap<KeyShape, bool>>,
}

/// What a scan has to know of a table.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The table, `None` when there is none of that name.
    pub(crate) table: Option<Arc<Table>>,
    /// SQLite can give it in the order of the key.
    pub(crate) native: bool,
    /// Text is stored as UTF-8.
    pub(crate) utf8: bool,
}

impl Facts {
    /// These facts of a table that exists.
    pub(crate) fn found(self, side: Which, name: &TableName) -> Result<Found> {
        match self.table {
            Some(table) => Ok(Found { table, native: self.native, utf8: self.utf8 }),
            None => Err(no_table(side, name)),
        }
    }
}

/// [`Facts`] of a table that exists.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The table.
    pub(crate) table: Arc<Table>,
    /// SQLite can give it in the order of the key.
    pub(crate) native: bool,
    /// Text is stored as UTF-8.
    pub(crate) utf8: bool,
}

/// The error for a table that is not there.
pub(crate) fn no_table(side: Which, name: &TableName) -> Error {
    Error::usage(format!("{side} has no table {name}"))
}

impl Known {
    /// The table; `None` when there is none of this name.
    pub(crate) fn table(
        &self,
        connection: &Connection,
        name: &str,
    ) -> Result<Option<Arc<Table>>, SqliteError> {
        if let Some(table) = lock(&self.tables).get(name) {
            return Ok(Some(Arc::clone(table)));
        }
        let table = Table::find(connection, name)?.map(Arc::new);
        if let Some(table) = &table {
            lock(&self.tables).insert(name.to_owned(), Arc::clone(table));
        }
        Ok(table)
    }

    /// The table's schema; `None` when there is none of this name.
    pub(crate) fn schema(
        &self,
        connection: &Connection,
        name: &str,
    ) -> Result<Option<TableSchema>, SqliteError> {
        if let Some(schema) = lock(&self.schemas).get(name) {
            return Ok(Some(schema.clone()));
        }
        let schema = schema::read(connection, name)?;
        if let Some(schema) = &schema {
            lock(&self.schemas).insert(name.to_owned(), schema.clone());
        }
        Ok(schema)
    }

    /// What a scan of the table in the order of this key has to know. A key column that is
    /// not there is left to be complained of by name.
    pub(crate) fn facts(
        &self,
        connection: &Connection,
        name: &TableName,
        key: &[Column],
    ) -> Result<Facts, SqliteError> {
        let table = self.table(connection, &name.name)?;
        let utf8 = is_utf8(connection)?;
        let Some(found) = &table else { return Ok(Facts { table, native: false, utf8 }) };
        let columns = key.iter().map(|c| (c.name.clone(), c.carrier, c.collation.clone()));
        let shape = (name.name.clone(), columns.collect());
        let looked_up = lock(&self.native).get(&shape).copied();
        let native = match looked_up {
            Some(native) => native,
            None if key.iter().any(|c| found.column(&c.name).is_none()) => false,
            None => {
                let native = is_native(connection, found, key)?;
                lock(&self.native).insert(shape, native);
                native
            }
        };
        Ok(Facts { table, native, utf8 })
    }
}

fn lock<T>(facts: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    facts.lock().unwrap_or_else(PoisonError::into_inner)
}
