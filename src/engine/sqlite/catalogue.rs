//! What SQLite's catalogue says of a table: names, flags and indexes. No row is read.
//!
//! Names in SQL come from here only: SQLite reads an unknown `"name"` as a string where
//! double-quoted strings are allowed, so a name is looked up before it is quoted.

use crate::engine::sqlite::raw::{Connection, Row, SqliteError, quote};
use crate::error::{Error, Result};
use crate::model::side::Which;
use crate::model::table::{Collation, TableKind};
use crate::model::value::ValueRef;

/// A table of the schema `main`.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name in its own case.
    pub(crate) name: String,
    /// What kind of relation it is.
    pub(crate) kind: TableKind,
    /// There is no rowid.
    pub(crate) without_rowid: bool,
    /// Declared STRICT.
    pub(crate) strict: bool,
    /// Its definition.
    pub(crate) sql: String,
    /// Its columns in declared order, generated ones too.
    pub(crate) columns: Vec<TableColumn>,
    /// Its indexes, those of constraints too.
    pub(crate) indexes: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    /// The name in its own case.
    pub(crate) name: String,
    /// The declared type, empty when there is none.
    pub(crate) declared: String,
    /// NOT NULL is declared.
    pub(crate) not_null: bool,
    /// The default as SQL.
    pub(crate) default: Option<String>,
    /// Its place in the primary key, from 1; 0 when it is not in it.
    pub(crate) primary: i64,
    /// It is computed.
    pub(crate) generated: bool,
    /// Its collation.
    pub(crate) collation: Collation,
}

/// An index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Its name.
    pub(crate) name: String,
    /// No two rows have the same values, NULLs aside.
    pub(crate) unique: bool,
    /// It is the primary key's.
    pub(crate) primary: bool,
    /// It has a WHERE clause.
    pub(crate) partial: bool,
    /// Its columns with the index's collation; `None` for an expression.
    pub(crate) columns: Vec<Option<(String, Collation)>>,
}

impl Table {
    /// Looks a table up without regard to ASCII case, as SQLite does; `None` when there is
    /// none. SQLite's own tables (`sqlite_..`) are not found.
    pub(crate) fn find(connection: &Connection, name: &str) -> Result<Option<Self>, SqliteError> {
        let mut found = None;
        let listed = "select name, type, wr, strict from pragma_table_list \
                      where schema = 'main' and name = ? collate nocase \
                      and substr(name, 1, 7) <> 'sqlite_' collate nocase";
        connection.prepare(listed)?.query(&[ValueRef::Text(name.as_bytes())], |row| {
            found = Some(Self {
                name: text(row, 0),
                kind: match row.text(1).as_deref() {
                    Some("table") => TableKind::Base,
                    Some("view") => TableKind::View,
                    _ => TableKind::Virtual,
                },
                without_rowid: row.int(2) != 0,
                strict: row.int(3) != 0,
                sql: String::new(),
                columns: Vec::new(),
                indexes: Vec::new(),
            });
            Ok::<bool, SqliteError>(false)
        })?;
        let Some(mut table) = found else { return Ok(None) };
        table.sql = definitions(connection, "table", &table.name)?.pop().unwrap_or_default().1;
        if table.kind == TableKind::Base {
            table.columns = columns(connection, &table.name)?;
            table.indexes = indexes(connection, &table.name)?;
        }
        Ok(Some(table))
    }

    /// The names of the base tables, sorted.
    pub(crate) fn base_tables(connection: &Connection) -> Result<Vec<String>, SqliteError> {
        let mut names = Vec::new();
        let listed = "select name from pragma_table_list where schema = 'main' \
                      and type = 'table' and substr(name, 1, 7) <> 'sqlite_' collate nocase \
                      order by name";
        connection.prepare(listed)?.query(&[], |row| {
            names.push(text(row, 0));
            Ok::<bool, SqliteError>(true)
        })?;
        Ok(names)
    }

    /// The column of this name: exact case first, else without regard to ASCII case.
    pub(crate) fn column(&self, name: &str) -> Option<&TableColumn> {
        let exact = self.columns.iter().find(|c| c.name == name);
        exact.or_else(|| self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The quoted name of a column, or an error that names the side's table.
    pub(crate) fn quoted(&self, name: &str, side: Which) -> Result<String> {
        match self.column(name) {
            Some(column) => Ok(quote(&column.name)),
            None => Err(Error::usage(format!("{side}: table {} has no column {name}", self.name))),
        }
    }

    /// The primary key's columns in the key's order.
    pub(crate) fn primary(&self) -> Vec<&TableColumn> {
        let mut columns: Vec<_> = self.columns.iter().filter(|c| c.primary > 0).collect();
        columns.sort_by_key(|c| c.primary);
        columns
    }

    /// The column that is the rowid: a lone INTEGER PRIMARY KEY, which needs no index.
    /// `INT PRIMARY KEY` and `INTEGER PRIMARY KEY DESC` have one ("CREATE TABLE", 5).
    pub(crate) fn rowid_alias(&self) -> Option<&TableColumn> {
        match self.primary()[..] {
            [only] if !self.without_rowid && !self.indexes.iter().any(|i| i.primary) => Some(only),
            _ => None,
        }
    }

    /// A name by which the rowid can be asked for, where no column hides it.
    pub(crate) fn rowid(&self) -> Option<&'static str> {
        if self.without_rowid {
            return None;
        }
        let hidden = |name: &&str| self.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
        ["rowid", "_rowid_", "oid"].into_iter().find(|name| !hidden(name))
    }
}

/// The names and definitions of a table's entries of this type, by name.
pub(crate) fn definitions(
    connection: &Connection,
    kind: &str,
    table: &str,
) -> Result<Vec<(String, String)>, SqliteError> {
    let mut found = Vec::new();
    let sql = "select name, sql from sqlite_schema where type = ? \
               and tbl_name = ? collate nocase and sql is not null order by name";
    let parameters = [ValueRef::Text(kind.as_bytes()), ValueRef::Text(table.as_bytes())];
    connection.prepare(sql)?.query(&parameters, |row| {
        found.push((text(row, 0), text(row, 1)));
        Ok::<bool, SqliteError>(true)
    })?;
    Ok(found)
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<TableColumn>, SqliteError> {
    let mut columns = Vec::new();
    let sql = "select name, type, \"notnull\", dflt_value, pk, hidden from pragma_table_xinfo(?)";
    connection.prepare(sql)?.query(&[ValueRef::Text(table.as_bytes())], |row| {
        let name = text(row, 0);
        let collation = collation(&connection.column_collation(table, &name)?);
        columns.push(TableColumn {
            declared: text(row, 1),
            not_null: row.int(2) != 0,
            default: row.text(3),
            primary: row.int(4),
            generated: matches!(row.int(5), 2 | 3),
            collation,
            name,
        });
        Ok::<bool, SqliteError>(true)
    })?;
    Ok(columns)
}

fn indexes(connection: &Connection, table: &str) -> Result<Vec<Index>, SqliteError> {
    let mut indexes = Vec::new();
    let listed = "select name, \"unique\", origin, partial from pragma_index_list(?) order by seq";
    connection.prepare(listed)?.query(&[ValueRef::Text(table.as_bytes())], |row| {
        indexes.push(Index {
            name: text(row, 0),
            unique: row.int(1) != 0,
            primary: row.text(2).as_deref() == Some("pk"),
            partial: row.int(3) != 0,
            columns: Vec::new(),
        });
        Ok::<bool, SqliteError>(true)
    })?;
    let mut columns =
        connection.prepare("select name, coll from pragma_index_xinfo(?) where key = 1")?;
    for index in &mut indexes {
        columns.query(&[ValueRef::Text(index.name.as_bytes())], |row| {
            let coll = collation(&row.text(1).unwrap_or_default());
            index.columns.push(row.text(0).map(|name| (name, coll)));
            Ok::<bool, SqliteError>(true)
        })?;
    }
    Ok(indexes)
}

fn collation(name: &str) -> Collation {
    match name.to_ascii_uppercase().as_str() {
        "BINARY" | "" => Collation::Binary,
        "NOCASE" => Collation::NoCase,
        "RTRIM" => Collation::Rtrim,
        _ => Collation::Other(name.to_owned()),
    }
}

fn text(row: &Row<'_>, column: usize) -> String {
    row.text(column).unwrap_or_default()
}

/// The words of a definition, in upper case, without what is quoted or commented out.
pub(crate) fn words(sql: &str) -> impl Iterator<Item = String> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            let skipped = match first {
                '\'' | '"' | '`' => quoted_length(rest, first),
                '[' => rest.find(']').map_or(rest.len(), |end| end + 1),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => {
                    rest[2..].find("*/").map_or(rest.len(), |end| end + 4)
                }
                c if c.is_ascii_alphabetic() || c == '_' || !c.is_ascii() => {
                    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
                    let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
                    let word = rest[..end].to_ascii_uppercase();
                    rest = &rest[end..];
                    return Some(word);
                }
                c => c.len_utf8(),
            };
            rest = &rest[skipped..];
        }
    })
}

/// The length of a quoted token at the start of `text`; a doubled quote stands for one.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(end) = text[at..].find(quote) {
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}
