//! One SQLite table as a [`TableSchema`]: the catalogue, and what a sample of rows tells.

use crate::engine::sqlite::catalogue::{Index, Table, definitions, words};
use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::engine::sqlite::sample;
use crate::error::{Error, Result};
use crate::model::table::{
    Affinity, Collation, Column, ForeignAction, ForeignKey, Key, KeyOrigin, TableName, TableSchema,
    Trigger, TriggerEvent, UniqueIndex,
};
use crate::model::value::ValueRef;

/// Describes a table; `None` when there is none of this name.
pub(crate) fn read(
    connection: &Connection,
    name: &str,
) -> Result<Option<TableSchema>, SqliteError> {
    let Some(table) = Table::find(connection, name)? else { return Ok(None) };
    let learnt = sample::learn(connection, &table)?;
    let columns = table.columns.iter().zip(learnt).map(|(column, learnt)| Column {
        name: column.name.clone(),
        declared: column.declared.clone(),
        carrier: learnt.carrier,
        affinity: affinity(&column.declared, table.strict),
        time_form: learnt.time_form,
        not_null: column.not_null,
        generated: column.generated,
        default: column.default.clone(),
        collation: column.collation.clone(),
        automatic: None,
    });
    let rowid_alias = table.rowid_alias().map(|c| c.name.clone());
    let autoincrement = rowid_alias.is_some() && words(&table.sql).any(|w| w == "AUTOINCREMENT");
    let mut ddl = table.sql.clone();
    for (_, index) in definitions(connection, "index", &table.name)? {
        ddl.push_str(";\n");
        ddl.push_str(&index);
    }
    Ok(Some(TableSchema {
        name: TableName::bare(&table.name),
        kind: table.kind,
        columns: columns.collect(),
        keys: keys(&table),
        uniques: uniques(&table),
        foreign_keys: foreign_keys(connection, &table)?,
        triggers: triggers(connection, &table)?,
        rowid_alias,
        without_rowid: table.without_rowid,
        autoincrement,
        unwritable: None,
        left_out: Vec::new(),
        ddl,
    }))
}

/// The affinity of a declared type ("Datatypes In SQLite", 3.1), in that order of rules.
/// `ANY` of a STRICT table converts nothing.
pub(crate) fn affinity(declared: &str, strict: bool) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if has("BLOB") || declared.is_empty() || (strict && declared == "ANY") {
        Affinity::Blob
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// The primary key, then the unique indexes over NOT NULL columns that hold every row apart
/// by the columns' own collations.
/// Describes a table of live, as a target does before it writes.
pub(crate) fn describe(connection: &Connection, name: &TableName) -> Result<TableSchema> {
    read(connection, &name.name)
        .map_err(|e| {
            Error::failed(format!("live's table {name} could not be looked at")).because(e)
        })?
        .ok_or_else(|| {
            Error::refused(format!("live has no table {name}")).hint("restorekit doctor")
        })
}

fn keys(table: &Table) -> Vec<Key> {
    let mut keys = Vec::new();
    let primary: Vec<String> = table.primary().into_iter().map(|c| c.name.clone()).collect();
    if !primary.is_empty() {
        keys.push(Key { columns: primary, origin: KeyOrigin::PrimaryKey });
    }
    for index in table.indexes.iter().filter(|i| i.unique && !i.primary && !i.partial) {
        if let Some(columns) = key_columns(table, index) {
            keys.push(Key { columns, origin: KeyOrigin::Unique(index.name.clone()) });
        }
    }
    keys
}

fn key_columns(table: &Table, index: &Index) -> Option<Vec<String>> {
    let named = index.columns.iter().map(|part| {
        let (name, collation) = part.as_ref()?;
        let column = table.column(name)?;
        // An index by bytes lets 'a' and 'A' stand beside each other, which a column
        // without case takes for one key.
        let apart = *collation == column.collation || column.collation == Collation::Binary;
        (column.not_null && apart).then(|| column.name.clone())
    });
    named.collect()
}

fn uniques(table: &Table) -> Vec<UniqueIndex> {
    let mut uniques = Vec::new();
    if let Some(alias) = table.rowid_alias() {
        uniques.push(UniqueIndex {
            name: "rowid".into(),
            columns: vec![Some(alias.name.clone())],
            partial: false,
        });
    }
    let indexes = table.indexes.iter().filter(|i| i.unique);
    uniques.extend(indexes.map(|index| UniqueIndex {
        name: index.name.clone(),
        columns: index.columns.iter().map(|c| c.as_ref().map(|(n, _)| n.clone())).collect(),
        partial: index.partial,
    }));
    uniques
}

fn foreign_keys(connection: &Connection, table: &Table) -> Result<Vec<ForeignKey>, SqliteError> {
    let mut found: Vec<(i64, ForeignKey, Vec<Option<String>>)> = Vec::new();
    // SQLite numbers them from the last one declared.
    let sql = "select id, \"table\", \"from\", \"to\", on_delete, on_update \
               from pragma_foreign_key_list(?) order by id desc, seq";
    connection.prepare(sql)?.query(&[ValueRef::Text(table.name.as_bytes())], |row| {
        let id = row.int(0);
        if found.last().is_none_or(|(last, ..)| *last != id) {
            let key = ForeignKey {
                columns: Vec::new(),
                parent: TableName::bare(row.text(1).unwrap_or_default()),
                parent_columns: Vec::new(),
                on_delete: action(row.text(4)),
                on_update: action(row.text(5)),
            };
            found.push((id, key, Vec::new()));
        }
        if let Some((_, key, to)) = found.last_mut() {
            key.columns.push(row.text(2).unwrap_or_default());
            to.push(row.text(3));
        }
        Ok::<bool, SqliteError>(true)
    })?;
    let mut keys = Vec::with_capacity(found.len());
    for (_, mut key, to) in found {
        let parent = Table::find(connection, &key.parent.name)?;
        let primary: Vec<String> =
            parent.iter().flat_map(Table::primary).map(|c| c.name.clone()).collect();
        for (index, (to, column)) in to.into_iter().zip(&mut key.columns).enumerate() {
            // Without columns it is the parent's primary key that is meant.
            let named = to.or_else(|| primary.get(index).cloned()).unwrap_or_default();
            let known = parent.as_ref().and_then(|p| p.column(&named));
            key.parent_columns.push(known.map_or(named.clone(), |c| c.name.clone()));
            if let Some(own) = table.column(column) {
                column.clone_from(&own.name);
            }
        }
        if let Some(parent) = parent {
            key.parent = TableName::bare(parent.name);
        }
        keys.push(key);
    }
    Ok(keys)
}

fn action(name: Option<String>) -> ForeignAction {
    match name.as_deref() {
        Some("RESTRICT") => ForeignAction::Restrict,
        Some("CASCADE") => ForeignAction::Cascade,
        Some("SET NULL") => ForeignAction::SetNull,
        Some("SET DEFAULT") => ForeignAction::SetDefault,
        _ => ForeignAction::NoAction,
    }
}

fn triggers(connection: &Connection, table: &Table) -> Result<Vec<Trigger>, SqliteError> {
    let mut triggers = Vec::new();
    for (name, sql) in definitions(connection, "trigger", &table.name)? {
        if let Some(event) = trigger_event(&sql, &name) {
            triggers.push(Trigger { name, event, sql });
        }
    }
    Ok(triggers)
}

/// What fires a trigger: the first such word after `CREATE TRIGGER name`. A name that is no
/// quoted one counts as a word, and may be such a word itself.
fn trigger_event(sql: &str, name: &str) -> Option<TriggerEvent> {
    let mut words = words(sql).skip(2).peekable();
    words.next_if(|word| *word == name.to_ascii_uppercase());
    words.find_map(|word| match word.as_str() {
        "INSERT" => Some(TriggerEvent::Insert),
        "UPDATE" => Some(TriggerEvent::Update),
        "DELETE" => Some(TriggerEvent::Delete),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::engine::sqlite::open::tests::application;
    use crate::model::table::{Carrier, Fraction, TableKind, TimeForm, Zone};

    async fn schema(statements: &[&str], table: &str) -> TableSchema {
        let dir = tempdir().unwrap();
        let connection = application(&dir.path().join("app.db")).await;
        for sql in statements {
            connection.execute(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        let schema = read(&connection, table).unwrap().unwrap();
        connection.close().await.unwrap();
        schema
    }

    fn key_names(schema: &TableSchema) -> Vec<String> {
        schema.keys.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn t1_affinity_follows_the_five_rules() {
        for (declared, expected) in [
            ("INTEGER", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("FLOATING POINT", Affinity::Integer),
            ("VARCHAR(255)", Affinity::Text),
            ("native character(70)", Affinity::Text),
            ("CLOB", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("float", Affinity::Real),
            ("DECIMAL(10,5)", Affinity::Numeric),
            ("BOOLEAN", Affinity::Numeric),
            ("DATETIME", Affinity::Numeric),
            ("STRING", Affinity::Numeric),
        ] {
            assert_eq!(affinity(declared, false), expected, "{declared}");
        }
        assert_eq!(affinity("any", true), Affinity::Blob);
        assert_eq!(affinity("any", false), Affinity::Numeric);
    }

    #[tokio::test]
    async fn k1_a_table_without_a_proven_key_has_none() {
        let ddl = "create table t(a, b not null, c, d text not null collate nocase)";
        let made = schema(
            &[
                ddl,
                "create unique index nullable on t(a)",
                "create unique index part on t(b) where c > 1",
                "create unique index expression on t(b, lower(c))",
                "create unique index by_bytes on t(d collate binary)",
                "create index plain on t(b)",
            ],
            "T",
        )
        .await;
        assert!(made.keys.is_empty(), "{:?}", made.keys);
        assert_eq!(made.uniques.len(), 4);
        let found = |name: &str| made.uniques.iter().find(|u| u.name == name).unwrap();
        assert!(found("part").partial);
        assert_eq!(found("expression").columns, [Some("b".into()), None]);
        assert!(made.ddl.starts_with("CREATE TABLE t(a") && made.ddl.contains("plain"));
        assert_eq!(made.rowid_alias, None);
        let more = schema(&[ddl, "create unique index u on t(d, b)"], "t").await;
        assert_eq!(key_names(&more), ["d, b"]);
        assert_eq!(more.keys[0].origin, KeyOrigin::Unique("u".into()));
    }

    #[tokio::test]
    async fn k2_only_an_integer_primary_key_is_the_rowid() {
        for (ddl, alias) in [
            ("create table t(id integer primary key, v)", Some("id")),
            ("create table t(v, \"Id\" INTEGER, primary key(\"Id\" desc))", Some("Id")),
            ("create table t(id integer primary key desc, v)", None),
            ("create table t(id int primary key, v)", None),
            ("create table t(id integer, v, primary key(id, v))", None),
            ("create table t(id integer primary key, v) without rowid", None),
            ("create table t(id text primary key)", None),
        ] {
            let made = schema(&[ddl], "t").await;
            assert_eq!(made.rowid_alias.as_deref(), alias, "{ddl}");
            assert_eq!(made.keys[0].origin, KeyOrigin::PrimaryKey, "{ddl}");
            assert_eq!(made.without_rowid, ddl.contains("without"), "{ddl}");
            assert!(!made.autoincrement);
        }
        let counted = ["create table t(id integer primary key /* x */ Autoincrement, v)"];
        assert!(schema(&counted, "t").await.autoincrement);
        let said = ["create table t(id integer primary key, v default 'autoincrement')"];
        assert!(!schema(&said, "t").await.autoincrement);
    }

    #[tokio::test]
    async fn references_name_their_columns_even_where_the_ddl_does_not() {
        let made = schema(
            &[
                "create table Parent(a, Id integer primary key)",
                "create table pair(x, y, primary key(y, x))",
                "create table t(id integer primary key, p references parent on delete cascade, \
                 q references gone(z), x, y, \
                 foreign key(x, y) references pair on update set null)",
            ],
            "t",
        )
        .await;
        let keys = &made.foreign_keys;
        assert_eq!(keys.len(), 3);
        assert_eq!(keys[0].parent.name, "Parent");
        assert_eq!(keys[0].parent_columns, ["Id"]);
        assert_eq!(keys[0].on_delete, ForeignAction::Cascade);
        assert_eq!((&*keys[1].parent.name, &*keys[1].parent_columns[0]), ("gone", "z"));
        assert_eq!(
            (&keys[2].columns[..], &keys[2].parent_columns[..]),
            (&["x".to_owned(), "y".into()][..], &["y".to_owned(), "x".into()][..])
        );
        assert_eq!(keys[2].on_update, ForeignAction::SetNull);
    }

    #[tokio::test]
    async fn triggers_are_told_apart_by_what_fires_them() {
        let body = "begin select 1; end";
        let made = schema(
            &[
                "create table t(a, \"delete\")",
                &format!("create trigger \"update\" before delete on t {body}"),
                &format!("create trigger t1 after update of \"delete\", a on t {body}"),
                &format!("create trigger if not exists insert_t -- delete\n insert on t {body}"),
                &format!("create trigger [insert] /* update */ delete on t {body}"),
            ],
            "t",
        )
        .await;
        let events: Vec<_> = made.triggers.iter().map(|t| (&*t.name, t.event)).collect();
        assert_eq!(
            events,
            [
                ("insert", TriggerEvent::Delete),
                ("insert_t", TriggerEvent::Insert),
                ("t1", TriggerEvent::Update),
                ("update", TriggerEvent::Delete),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_base_table_says_so() {
        let statements = [
            "create table t(a)",
            "create view v as select * from t",
            "create virtual table f using fts5(x)",
        ];
        assert_eq!(schema(&statements, "v").await.kind, TableKind::View);
        assert_eq!(schema(&statements, "f").await.kind, TableKind::Virtual);
        assert_eq!(schema(&statements, "f_data").await.kind, TableKind::Virtual);
        assert_eq!(schema(&statements, "t").await.kind, TableKind::Base);
    }

    #[tokio::test]
    async fn t2_carriers_follow_the_values() {
        let made = schema(
            &[
                "create table t(id integer primary key, i int, r real, x varchar(9), b blob, \
                 price decimal(10,2), whole numeric, code numeric unique, at datetime, \
                 flag boolean, raw, mixed, wrong integer, empty_at datetime, empty_flag bool, \
                 empty_price decimal, empty)",
                "insert into t values(1, 1, 1, 1, x'00', 10, 7, 1, '2026-03-10 06:00:00', 1, \
                 x'01', 1, 'a', null, null, null, null)",
                "insert into t values(2, 1, 1, 1, x'00', 9.5, 7, 2, '2026-03-10 06:00:00.5', 0, \
                 x'01', 2.5, 'b', null, null, null, null)",
            ],
            "t",
        )
        .await;
        let carrier = |name: &str| made.column(name).unwrap().carrier;
        for (name, expected) in [
            ("id", Carrier::Int),
            ("i", Carrier::Int),
            ("r", Carrier::Real),
            ("x", Carrier::Text),
            ("b", Carrier::Blob),
            ("price", Carrier::Number),
            ("whole", Carrier::Number),
            ("code", Carrier::Int),
            ("at", Carrier::Text),
            ("flag", Carrier::Int),
            ("raw", Carrier::Blob),
            ("mixed", Carrier::Number),
            ("wrong", Carrier::Text),
            ("empty_at", Carrier::Text),
            ("empty_flag", Carrier::Int),
            ("empty_price", Carrier::Number),
            ("empty", Carrier::Text),
        ] {
            assert_eq!(carrier(name), expected, "{name}");
        }
        assert_eq!(made.column("at").unwrap().time_form, None, "two forms");
    }

    #[tokio::test]
    async fn the_form_of_moments_is_learnt_from_both_ends() {
        let rows = "with recursive c(n) as (select 1 union all select n + 1 from c limit 1000) \
                    insert into t select n, '2026-03-10 06:00:00.123456' from c";
        let ddl = "create table t(id integer primary key, at datetime)";
        let form = |fraction| TimeForm { separator: Some(' '), fraction, zone: Zone::None };
        let made = schema(&[ddl, rows], "t").await;
        assert_eq!(made.columns[1].time_form, Some(form(Fraction::Fixed(6))));
        let last = "insert into t values(2000, '2026-03-10 06:00:00')";
        let made = schema(&[ddl, rows, last], "t").await;
        assert_eq!(made.columns[1].time_form, Some(form(Fraction::SixUnlessZero)));
        let made = schema(&[ddl, rows, last, "insert into t values(2001, 5)"], "t").await;
        assert_eq!(made.columns[1].time_form, None);
    }
}
