//! Which tables are compared, by which key, in which columns, and what is left out and
//! why. Nothing is left out silently, and no mapping is guessed (C12).

use std::sync::Arc;

use crate::diff::changes::DiffRequest;
use crate::diff::spec::refuse_key;
use crate::error::{Error, Result};
use crate::model::side::{Side, Which};
use crate::model::summary::NotCompared;
use crate::model::table::{Column, Key, KeyOrigin, TableKind, TableName, TableSchema};
use crate::mount::{Mount, find_table, no_table};

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct PairOptions {
    /// `--table`: these tables; empty: every one that both sides have.
    pub tables: Vec<String>,
    /// `--key`: match rows by these columns; empty: by live's key.
    pub key: Vec<String>,
    /// `--columns`: compare only these; empty: all that both sides have.
    pub columns: Vec<String>,
    /// `--ignore`: do not compare these.
    pub ignore: Vec<String>,
}

/// One table that both sides have, and how its rows are compared.
#[derive(Clone, Debug)]
pub struct TablePair {
    /// The table on each side.
    pub table: Side<TableName>,
    /// The table as each side describes it.
    pub schema: Side<Arc<TableSchema>>,
    /// The key by which rows are matched.
    pub key: Key,
    /// The compared columns, as live has them: without the key's, and without generated ones.
    pub compare: Vec<Column>,
    /// Columns of either side that are not compared.
    pub not_compared: Vec<NotCompared>,
}

/// The tables of both sides, paired.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The tables to compare, in live's order.
    pub pairs: Vec<TablePair>,
    /// Tables that both sides have but whose rows can't be matched, with why.
    pub skipped: Vec<(TableName, String)>,
    /// Tables that only live has.
    pub only_live: Vec<TableName>,
    /// Tables that only the backup has.
    pub only_backup: Vec<TableName>,
}

/// Pairs the tables that `options` names, or all that both sides have. A named table that
/// can't be compared is an error; an unnamed one is skipped with its reason.
pub async fn pair_tables(mount: &Mount, options: &PairOptions) -> Result<Pairs> {
    let mut pairs = Pairs::default();
    if !options.tables.is_empty() {
        for name in &options.tables {
            let table = named(mount, name)?;
            pairs.pairs.push(pair_table(mount, table, options).await?);
        }
        return Ok(pairs);
    }
    let mut matched = Vec::new();
    for live in mount.tables(Which::Live) {
        let Some(backup) = mount.partner(live, &live.to_string()) else {
            pairs.only_live.push(live.clone());
            continue;
        };
        matched.push(backup);
        let table = Side { backup: backup.clone(), live: live.clone() };
        match pair_table(mount, table, options).await {
            Ok(pair) => pairs.pairs.push(pair),
            Err(e)
                if matches!(e.kind(), crate::error::Kind::Usage | crate::error::Kind::Refused) =>
            {
                pairs.skipped.push((live.clone(), e.to_string()));
            }
            Err(e) => return Err(e),
        }
    }
    let unmatched = |table: &&TableName| !matched.contains(table);
    pairs.only_backup = mount.tables(Which::Backup).iter().filter(unmatched).cloned().collect();
    Ok(pairs)
}

/// Each side's table of this name.
pub fn named(mount: &Mount, name: &str) -> Result<Side<TableName>> {
    let (live, backup) = (mount.tables(Which::Live), mount.tables(Which::Backup));
    let live = find_table(live, name).ok_or_else(|| no_table(Which::Live, live, name))?;
    let backup = mount
        .partner(live, &live.to_string())
        .or_else(|| mount.partner(live, name))
        .ok_or_else(|| no_table(Which::Backup, backup, name))?;
    Ok(Side { backup: backup.clone(), live: live.clone() })
}

/// Pairs one table.
pub async fn pair_table(
    mount: &Mount,
    table: Side<TableName>,
    options: &PairOptions,
) -> Result<TablePair> {
    let (backup, live) = futures::try_join!(
        mount.schema(Which::Backup, &table.backup),
        mount.schema(Which::Live, &table.live),
    )?;
    pair_schemas(table, Side { backup, live }, options)
}

/// Pairs one table whose schemas are known.
pub fn pair_schemas(
    table: Side<TableName>,
    schema: Side<Arc<TableSchema>>,
    options: &PairOptions,
) -> Result<TablePair> {
    let (live, backup) = (&schema.live, &schema.backup);
    if live.kind != TableKind::Base {
        return Err(Error::usage(format!("live {} is a view or virtual table", table.live)));
    }
    let key = choose_key(live, backup, &options.key)?;
    for name in &options.columns {
        let column = live.require(name)?;
        if live.counterpart(column, backup).is_none() {
            return Err(only_in(Which::Live, &table.backup, &column.name));
        }
    }
    let named = |names: &[String], column: &Column| {
        names.iter().any(|n| live.column(n).is_some_and(|c| c.name == column.name))
    };
    let (mut compare, mut not_compared) = (Vec::new(), Vec::new());
    for column in live.columns.iter().filter(|c| !key.columns.contains(&c.name)) {
        let why = if live.counterpart(column, backup).is_none() {
            "only in live"
        } else if column.generated {
            "generated"
        } else if named(&options.ignore, column) {
            "ignored"
        } else if !options.columns.is_empty() && !named(&options.columns, column) {
            "not chosen"
        } else {
            compare.push(column.clone());
            continue;
        };
        not_compared.push(NotCompared { column: column.name.clone(), why: why.to_owned() });
    }
    for column in backup.columns.iter().filter(|c| live.column(&c.name).is_none()) {
        let why = "only in the backup".to_owned();
        not_compared.push(NotCompared { column: column.name.clone(), why });
    }
    for rows in &backup.left_out {
        let why = "not in the backup".to_owned();
        not_compared.push(NotCompared { column: rows.clone(), why });
    }
    Ok(TablePair { table, schema, key, compare, not_compared })
}

/// The first of live's keys that the backup has and that rows can be matched by, or the one
/// named.
fn choose_key(live: &TableSchema, backup: &TableSchema, named: &[String]) -> Result<Key> {
    let usable = |columns: &[String]| -> Result<Vec<String>> {
        columns
            .iter()
            .map(|name| {
                let column = live.require(name)?;
                if live.counterpart(column, backup).is_none() {
                    return Err(only_in(Which::Live, &backup.name, &column.name));
                }
                refuse_key(&live.name, column)?;
                Ok(column.name.clone())
            })
            .collect()
    };
    if !named.is_empty() {
        let columns = usable(named)?;
        let declared = live.keys.iter().find(|key| key.columns == columns);
        let origin = declared.map_or(KeyOrigin::Named, |key| key.origin.clone());
        return Ok(Key { columns, origin });
    }
    let mut why = None;
    for key in &live.keys {
        match usable(&key.columns) {
            Ok(columns) => return Ok(Key { columns, origin: key.origin.clone() }),
            Err(e) => why = why.or(Some(e)),
        }
    }
    Err(why.unwrap_or_else(|| {
        Error::usage(format!("table {} has no key to match rows by", live.name))
            .hint("name columns that are unique: --key COLUMNS")
    }))
}

fn only_in(which: Which, other: &TableName, column: &str) -> Error {
    let without = match which {
        Which::Live => Which::Backup,
        Which::Backup => Which::Live,
    };
    Error::usage(format!("column {column} is only in {which}: {without} table {other} lacks it"))
}

impl TablePair {
    /// The backup's table, where it is called otherwise than by another case: it is in another schema.
    pub fn elsewhere(&self) -> Option<String> {
        let names = [&self.table.backup, &self.table.live].map(TableName::to_string);
        let [backup, live] = names;
        (!backup.eq_ignore_ascii_case(&live)).then_some(backup)
    }

    /// The key's columns as live has them.
    pub fn key_columns(&self) -> Vec<Column> {
        let find =
            |name: &String| self.schema.live.columns.iter().find(|c| c.name == *name).cloned();
        self.key.columns.iter().filter_map(find).collect()
    }

    /// The columns that both sides have, as live has them: the key's, the compared ones and
    /// those that are not compared by choice.
    pub fn common(&self) -> impl Iterator<Item = &Column> {
        let Side { backup, live } = &self.schema;
        live.columns.iter().filter(|c| live.counterpart(c, backup).is_some())
    }

    /// The pair that compares live's column `live` with the backup's column `backup`, which
    /// is read in live's type. The names are looked up on their sides.
    pub fn column_pair(&self, backup: &str, live: &str) -> Result<Side<Column>> {
        let live = self.schema.live.require(live)?.clone();
        let name = self.backup_column(backup)?.name;
        Ok(Side { backup: Column { name, ..live.clone() }, live })
    }

    /// A backup's column, in live's type where live has it too.
    pub fn backup_column(&self, name: &str) -> Result<Column> {
        let own =
            self.schema.backup.require(name).map_err(|e| {
                Error::usage(format!("the backup's {e}")).hint(e.hints().join("; "))
            })?;
        Ok(self.schema.live.column(&own.name).unwrap_or(own).clone())
    }

    /// The diff of all compared columns, which carries them too.
    pub fn request(&self) -> DiffRequest {
        let both = |column: &Column| Side { backup: column.clone(), live: column.clone() };
        DiffRequest {
            compare: self.compare.iter().map(both).collect(),
            carry: Side { backup: self.compare.clone(), live: self.compare.clone() },
            ..self.key_request()
        }
    }

    /// The diff of the keys alone.
    pub fn key_request(&self) -> DiffRequest {
        DiffRequest::new(self.table.clone(), self.key_columns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Carrier;

    fn schema(columns: &[&str]) -> Arc<TableSchema> {
        let columns = columns.iter().map(|name| Column::new(*name, Carrier::Text)).collect();
        let key = Key { columns: vec!["id".into()], origin: KeyOrigin::PrimaryKey };
        Arc::new(TableSchema {
            keys: vec![key],
            ..TableSchema::of_columns(TableName::bare("t"), columns)
        })
    }

    #[test]
    fn a_column_is_not_compared_with_another_s_namesake() {
        let table = Side { backup: TableName::bare("t"), live: TableName::bare("t") };
        let compared = |live: &[&str], backup: &[&str]| {
            let schemas = Side { backup: schema(backup), live: schema(live) };
            let pair = pair_schemas(table.clone(), schemas, &PairOptions::default()).unwrap();
            let names: Vec<String> = pair.compare.iter().map(|c| c.name.clone()).collect();
            let common = pair.common().map(|c| c.name.clone()).collect::<Vec<_>>();
            assert_eq!(common[1..], names);
            let not: Vec<_> = pair.not_compared.into_iter().map(|n| (n.column, n.why)).collect();
            (names, not)
        };
        let only_live = |name: &str| vec![(name.to_owned(), "only in live".to_owned())];
        assert_eq!(compared(&["id", "name"], &["ID", "Name"]), (vec!["name".into()], vec![]));
        assert_eq!(
            compared(&["id", "name", "Name"], &["id", "name"]),
            (vec!["name".into()], only_live("Name"))
        );
        assert_eq!(
            compared(&["id", "name", "Name"], &["id", "Name", "name"]),
            (vec!["name".into(), "Name".into()], vec![])
        );
    }
}
