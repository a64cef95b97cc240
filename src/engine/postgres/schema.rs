//! One table as a [`TableSchema`].

use crate::engine::postgres::catalogue::{Table, TableColumn, parts, shown};
use crate::engine::postgres::session::{Session, Stop, quote};
use crate::engine::wire::words;
use crate::error::Error;
use crate::model::side::Which;
use crate::model::table::{
    Affinity, Automatic, Column, ForeignAction, ForeignKey, Key, KeyOrigin, TableKind, TableName,
    TableSchema, Trigger, TriggerEvent, UniqueIndex,
};

/// Describes a table.
pub(crate) async fn describe(session: &mut Session, table: &Table) -> Result<TableSchema, Stop> {
    let uniques = table.uniques.iter().map(|index| UniqueIndex {
        name: index.name.clone(),
        columns: index.columns.clone(),
        partial: index.partial,
    });
    let triggers = triggers(session, table).await?;
    Ok(TableSchema {
        name: table.name.clone(),
        kind: match table.kind {
            'r' | 'p' => TableKind::Base,
            'f' => TableKind::Virtual,
            _ => TableKind::View,
        },
        columns: table.columns.iter().map(column).collect(),
        keys: keys(table),
        uniques: uniques.collect(),
        foreign_keys: foreign_keys(session, table).await?,
        ddl: definition(session, table, &triggers).await?,
        triggers,
        rowid_alias: None,
        without_rowid: false,
        autoincrement: table.columns.iter().any(|c| column(c).automatic.is_some()),
        unwritable: unwritable(table),
        left_out: Vec::new(),
    })
}

fn unwritable(table: &Table) -> Option<String> {
    if !table.is_base() {
        return None;
    }
    let why = match (table.secured, table.ruled, table.foreign) {
        (true, ..) => "row-level security holds for this role: rows could be hidden from it",
        (_, true, _) => "rules of its own rewrite what is written to it",
        (.., true) => "a partition of it is a foreign table: what it holds is another server's",
        _ => return None,
    };
    Some(why.to_owned())
}

/// A column as its side describes it.
pub(crate) fn column(column: &TableColumn) -> Column {
    Column {
        declared: column.declared.clone(),
        affinity: Affinity::Postgres,
        not_null: column.not_null,
        generated: column.generated,
        default: column.default.clone(),
        collation: column.collation(),
        automatic: match column.identity {
            Some('a') => Some(Automatic::CounterAlways),
            Some(_) => Some(Automatic::Counter),
            None => column.default.as_ref().filter(counts).map(|_| Automatic::Counter),
        },
        ..Column::new(&column.name, column.form.carrier())
    }
}

/// True for a default that a sequence gives.
fn counts(default: &&String) -> bool {
    default.starts_with("nextval(")
}

/// The primary key, then the unique indexes over NOT NULL columns.
fn keys(table: &Table) -> Vec<Key> {
    let keys = table.uniques.iter().filter_map(|index| {
        let columns = index.key_columns(table)?.into_iter().map(|c| c.name.clone()).collect();
        let origin = match index.primary {
            true => KeyOrigin::PrimaryKey,
            false => KeyOrigin::Unique(index.name.clone()),
        };
        Some(Key { columns, origin })
    });
    keys.collect()
}

async fn foreign_keys(session: &mut Session, table: &Table) -> Result<Vec<ForeignKey>, Stop> {
    let rows = session
        .strings(
            "select f.conname::text, n.nspname::text, c.relname::text, a.attname::text, \
             pa.attname::text, f.confdeltype::text, f.confupdtype::text \
             from pg_catalog.pg_constraint f \
             join pg_catalog.pg_class c on c.oid = f.confrelid \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             cross join lateral rows from \
               (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) with ordinality as k(own, parent, place) \
             join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.own \
             join pg_catalog.pg_attribute pa on pa.attrelid = f.confrelid and pa.attnum = k.parent \
             where f.contype = 'f' and f.conrelid = $1::oid and not c.relispartition \
             order by f.conname, k.place",
            &[&table.oid],
        )
        .await?;
    let mut found: Vec<(String, ForeignKey)> = Vec::new();
    for row in rows {
        let [name, schema, parent, own, referenced, delete, update] = words(row);
        if found.last().is_none_or(|(last, _)| *last != name) {
            let key = ForeignKey {
                columns: Vec::new(),
                parent: shown(&schema, &parent),
                parent_columns: Vec::new(),
                on_delete: action(&delete),
                on_update: action(&update),
            };
            found.push((name, key));
        }
        if let Some((_, key)) = found.last_mut() {
            key.columns.push(own);
            key.parent_columns.push(referenced);
        }
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

fn action(code: &str) -> ForeignAction {
    match code {
        "c" => ForeignAction::Cascade,
        "n" => ForeignAction::SetNull,
        "d" => ForeignAction::SetDefault,
        "r" => ForeignAction::Restrict,
        _ => ForeignAction::NoAction,
    }
}

/// Its triggers that fire, one for each event (`pg_trigger.tgtype`); then those of its partitions,
/// `partition.trigger`, which fire for each row only where the table is written. What the server
/// keeps of a table's trigger in each partition is left out.
async fn triggers(session: &mut Session, table: &Table) -> Result<Vec<Trigger>, Stop> {
    let rows = session
        .strings(
            concat!(
                parts!(),
                "select n.nspname::text, c.relname::text, (c.oid = $1::oid)::text, t.tgname::text, \
                 t.tgtype::int::text, pg_catalog.pg_get_triggerdef(t.oid) \
                 from parts p join pg_catalog.pg_trigger t on t.tgrelid = p.oid \
                 join pg_catalog.pg_class c on c.oid = p.oid \
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                 where not t.tgisinternal and t.tgenabled in ('O', 'A') \
                 and (c.oid = $1::oid or t.tgtype & 1 = 1 and not exists ( \
                   select from pg_catalog.pg_trigger above where above.tgenabled in ('O', 'A') \
                   and above.oid::text = pg_catalog.to_jsonb(t)->>'tgparentid')) \
                 order by c.oid <> $1::oid, n.nspname, c.relname, t.tgname"
            ),
            &[&table.oid],
        )
        .await?;
    let mut found = Vec::new();
    for row in rows {
        let [schema, partition, own, name, kind, sql] = words(row);
        let name = match own.as_str() {
            "true" => name,
            _ => format!("{}.{name}", shown(&schema, &partition)),
        };
        let kind: u32 = kind.parse().unwrap_or(0);
        let events =
            [(4, TriggerEvent::Insert), (16, TriggerEvent::Update), (8, TriggerEvent::Delete)];
        for (_, event) in events.into_iter().filter(|(bit, _)| kind & bit != 0) {
            found.push(Trigger { name: name.clone(), event, sql: sql.clone() });
        }
    }
    Ok(found)
}

/// The definition, put together as pg_dump does: columns and constraints, then what else hangs
/// on the table.
async fn definition(
    session: &mut Session,
    table: &Table,
    triggers: &[Trigger],
) -> Result<String, Stop> {
    if !table.is_base() {
        return Ok(String::new());
    }
    let mut lines: Vec<String> = Vec::new();
    for column in &table.columns {
        let mut line = format!("    {} {}", quote(&column.name), column.declared);
        match (column.identity, &column.default) {
            (Some('a'), _) => line.push_str(" GENERATED ALWAYS AS IDENTITY"),
            (Some(_), _) => line.push_str(" GENERATED BY DEFAULT AS IDENTITY"),
            (None, Some(default)) => line.push_str(&format!(" DEFAULT {default}")),
            (None, None) => {}
        }
        if column.not_null {
            line.push_str(" NOT NULL");
        }
        lines.push(line);
    }
    let constraints = session
        .strings(
            "select pg_catalog.quote_ident(conname), pg_catalog.pg_get_constraintdef(oid) \
             from pg_catalog.pg_constraint where conrelid = $1::oid and contype <> 't' \
             and contype <> 'n' order by contype <> 'p', conname",
            &[&table.oid],
        )
        .await?;
    for row in constraints {
        let [name, text] = words(row);
        lines.push(format!("    CONSTRAINT {name} {text}"));
    }
    let mut sql = format!("CREATE TABLE {} (\n{}\n)", table.quoted, lines.join(",\n"));
    if table.kind == 'p' {
        let by =
            session.strings("select pg_catalog.pg_get_partkeydef($1::oid)", &[&table.oid]).await?;
        let by = by.into_iter().flatten().next().flatten().unwrap_or_default();
        sql.push_str(&format!(" PARTITION BY {by}"));
    }
    sql.push(';');
    let indexes = session
        .strings(
            "select pg_catalog.pg_get_indexdef(i.indexrelid) from pg_catalog.pg_index i \
             where i.indrelid = $1::oid and not exists (select from pg_catalog.pg_constraint c \
               where c.conindid = i.indexrelid and c.conrelid = i.indrelid) \
             order by 1",
            &[&table.oid],
        )
        .await?;
    for index in indexes.into_iter().flatten().flatten() {
        sql.push_str(&format!("\n{index};"));
    }
    let mut last = "";
    for trigger in triggers.iter().filter(|t| std::mem::replace(&mut last, &t.name) != t.name) {
        sql.push_str(&format!("\n{};", trigger.sql));
    }
    Ok(sql)
}

/// The error for a table that is not there.
pub(crate) fn no_table(side: Which, name: &TableName) -> Error {
    Error::usage(format!("{side} has no table {name}"))
}
