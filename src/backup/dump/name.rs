//! The names of a dump's tables, in the dump and on its side.
//!
//! A file of several databases may hold tables whose names differ in the database alone. The rows of one
//! are never another's.

use serde::{Deserialize, Serialize};

use crate::model::table::TableName;

/// A table's name in a dump. Names are ordered by their parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    /// The database, where the dump names it.
    pub(super) database: Option<String>,
    /// The schema, other than the server's default one.
    pub(super) schema: Option<String>,
    /// The table.
    pub(super) table: String,
}

impl Name {
    /// Its parts, for errors.
    pub(super) fn words(&self) -> String {
        let of = |what, part: &Option<String>| match part {
            Some(part) => format!(" of the {what} {part}"),
            None => String::new(),
        };
        format!("{}{}{}", self.table, of("schema", &self.schema), of("database", &self.database))
    }

    /// The name on its side: `mounted` is the database whose tables have bare names, `schema` the server's
    /// default one, which is spelled out in the others.
    pub(super) fn table_name(&self, mounted: Option<&str>, schema: Option<&str>) -> TableName {
        let Some(foreign) = self.database.as_deref().filter(|own| mounted != Some(*own)) else {
            return TableName { schema: self.schema.clone(), name: self.table.clone() };
        };
        let above = match self.schema.as_deref().or(schema) {
            Some(schema) => format!("{foreign}.{schema}"),
            None => foreign.to_owned(),
        };
        match mounted {
            // One name: the table's own would find it where the mounted database lacks such a table.
            Some(_) => TableName::bare(format!("{above}.{}", self.table)),
            None => TableName { schema: Some(above), name: self.table.clone() },
        }
    }
}

/// Which tables are wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// None: the dump is only looked through.
    None,
    /// All.
    All,
    /// Those of these names, in any case, with or without a qualifier.
    Named(Vec<String>),
}

impl Wanted {
    pub(super) fn holds(&self, name: &Name) -> bool {
        match self {
            Wanted::None => false,
            Wanted::All => true,
            Wanted::Named(names) => names.iter().any(|wanted| {
                let last = wanted.rsplit('.').next().unwrap_or(wanted);
                wanted.eq_ignore_ascii_case(&name.table) || last.eq_ignore_ascii_case(&name.table)
            }),
        }
    }
}
