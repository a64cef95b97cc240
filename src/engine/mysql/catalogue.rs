//! What the server's catalogue says of a table: columns, indexes, references, triggers. No
//! row is read, and names in SQL come from here only.

use crate::engine::mysql::session::{Session, Stop, quote};
use crate::engine::mysql::types::{Declared, Form};
use crate::engine::wire::words;
use crate::error::Error;
use crate::model::table::{Collation, ForeignAction, ForeignKey, TableName, Trigger, TriggerEvent};

/// A table of the session's database.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name in its own case.
    pub(crate) name: String,
    /// A base table, not a view or sequence.
    pub(crate) base: bool,
    /// The storage engine: `InnoDB`.
    pub(crate) engine: String,
    /// What the engine guesses to be the number of rows.
    pub(crate) rows: u64,
    /// Its columns in declared order.
    pub(crate) columns: Vec<TableColumn>,
    /// Its unique indexes, the primary key's first.
    pub(crate) uniques: Vec<Index>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    /// The name in its own case.
    pub(crate) name: String,
    /// COLUMN_TYPE.
    pub(crate) declared: String,
    /// How its values come.
    pub(crate) form: Form,
    /// DATA_TYPE.
    pub(crate) kind: String,
    /// Character set and collation of a text.
    pub(crate) charset: Option<(String, String)>,
    /// NOT NULL.
    pub(crate) not_null: bool,
    /// The default, as the catalogue has it.
    pub(crate) default: Option<String>,
    /// It is computed.
    pub(crate) generated: bool,
    /// AUTO_INCREMENT.
    pub(crate) counter: bool,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub(crate) on_update: bool,
}

/// A unique index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Its name; the primary key's is `PRIMARY`.
    pub(crate) name: String,
    /// Its columns; `None` for an expression or a prefix of a column.
    pub(crate) columns: Vec<Option<String>>,
    /// It keeps its rows in order (BTREE): one by HASH finds single rows only.
    pub(crate) in_order: bool,
}

impl TableColumn {
    /// What the engine takes for equal in this column.
    pub(crate) fn collation(&self) -> Collation {
        match &self.charset {
            None => Collation::Binary,
            Some(_) if self.by_bytes() => Collation::Binary,
            Some((_, collation)) => Collation::Coarse(collation.clone()),
        }
    }

    /// True where the server compares texts as the bytes of their UTF-8: the binary
    /// collations without padding of the character sets that are UTF-8 or ASCII.
    fn by_bytes(&self) -> bool {
        self.charset.as_ref().is_some_and(|(charset, collation)| {
            matches!(charset.as_str(), "utf8mb4" | "utf8mb3" | "utf8" | "ascii")
                && (collation.ends_with("_nopad_bin") || collation.ends_with("_0900_bin"))
        }) && self.kind != "enum"
            && self.kind != "set"
    }

    /// True where the server orders values as their carriers do.
    pub(crate) fn is_ordered(&self) -> bool {
        match self.form {
            Form::Float | Form::Double | Form::Time(_) => false,
            Form::Decimal { precision, .. } => precision <= 38,
            Form::Text => self.by_bytes(),
            _ => true,
        }
    }

    /// True where a value bound as text or number is compared with the column as the
    /// column's index orders it.
    pub(crate) fn is_seekable(&self) -> bool {
        !matches!(self.kind.as_str(), "enum" | "set" | "json")
    }

    /// A parameter that means a value of this column when it is compared: decimals would be
    /// compared as doubles with a text (K5, K6), and an index on text serves only its own
    /// character set and collation.
    pub(crate) fn parameter(&self) -> String {
        match (self.form, &self.charset) {
            (Form::Decimal { precision, scale }, _) => {
                format!("cast(? as decimal({precision},{scale}))")
            }
            (_, Some((charset, collation))) if self.kind != "enum" && self.kind != "set" => {
                format!("convert(? using {charset}) collate {collation}")
            }
            _ => self.value().to_owned(),
        }
    }

    /// A parameter that is written to the column. A NULL travels as a number, which some
    /// types of MariaDB's plugins refuse to meet.
    pub(crate) fn value(&self) -> &'static str {
        match self.kind.as_str() {
            "uuid" | "inet4" | "inet6" => "cast(? as char)",
            _ => "?",
        }
    }

    /// A condition that holds where the column holds just the bound value, NULL included:
    /// texts by their bytes, which travel as a blob.
    pub(crate) fn is_exactly(&self) -> String {
        let name = quote(&self.name);
        match (self.form, self.kind.as_str()) {
            // JSON of MySQL is compared by value: whitespace is not kept anyway (T18).
            (_, "json") => format!("{name} <=> cast(? as json)"),
            (_, "uuid" | "inet4" | "inet6") => format!("{name} <=> {}", self.value()),
            (Form::Text, _) => {
                format!("cast(convert({name} using utf8mb4) as binary) <=> cast(? as binary)")
            }
            (Form::Bytes, _) => format!("cast({name} as binary) <=> cast(? as binary)"),
            _ => format!("{name} <=> {}", self.parameter()),
        }
    }
}

impl Table {
    /// Looks a table up by name; `None` when there is none.
    pub(crate) async fn find(session: &mut Session, name: &str) -> Result<Option<Self>, Stop> {
        let rows = session
            .strings(
                "select table_name, table_type, coalesce(engine, ''), \
                 cast(coalesce(table_rows, 0) as char) from information_schema.tables \
                 where table_schema = database() and table_name = ?",
                &[name],
            )
            .await?;
        // A server whose names have no case may find it by another spelling.
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let [name, kind, engine, rows] = words(row);
        let base = matches!(kind.as_str(), "BASE TABLE" | "SYSTEM VERSIONED");
        let columns = columns(session, &name).await?;
        let uniques = if base { uniques(session, &name).await? } else { Vec::new() };
        let rows = rows.parse().unwrap_or(0);
        Ok(Some(Self { name, base, engine, rows, columns, uniques }))
    }

    /// The names of the base tables, sorted.
    pub(crate) async fn base_tables(session: &mut Session) -> Result<Vec<String>, Stop> {
        let rows = session
            .strings(
                "select table_name from information_schema.tables \
                 where table_schema = database() \
                 and table_type in ('BASE TABLE', 'SYSTEM VERSIONED')",
                &[],
            )
            .await?;
        let mut names: Vec<String> = rows.into_iter().map(words::<1>).map(|[name]| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The column of this name: exact case first, else without case, as the server does.
    pub(crate) fn column(&self, name: &str) -> Option<&TableColumn> {
        let exact = self.columns.iter().find(|c| c.name == name);
        exact.or_else(|| self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }

    /// The column of this name, or an error that says that there is none.
    pub(crate) fn require(&self, name: &str) -> Result<&TableColumn, Error> {
        self.column(name)
            .ok_or_else(|| Error::usage(format!("table {} has no column {name}", self.name)))
    }

    /// The columns of a unique index over whole NOT NULL columns.
    pub(crate) fn key_columns(&self, index: &Index) -> Option<Vec<&TableColumn>> {
        index
            .columns
            .iter()
            .map(|name| self.column(name.as_ref()?).filter(|column| column.not_null))
            .collect()
    }
}

async fn columns(session: &mut Session, table: &str) -> Result<Vec<TableColumn>, Stop> {
    let rows = session
        .strings(
            "select column_name, data_type, column_type, cast(numeric_precision as char), \
             cast(numeric_scale as char), cast(datetime_precision as char), \
             character_set_name, collation_name, is_nullable, extra, column_default \
             from information_schema.columns \
             where table_schema = database() and table_name = ? order by ordinal_position",
            &[table],
        )
        .await?;
    let mut columns = Vec::with_capacity(rows.len());
    for mut row in rows {
        let default = row.pop().flatten();
        let [name, kind, full, precision, scale, fraction, charset, collation, nullable, extra] =
            words(row);
        let (kind, extra) = (kind.to_ascii_lowercase(), extra.to_ascii_lowercase());
        let declared = Declared {
            name: &kind,
            full: &full,
            precision: precision.parse().ok(),
            scale: scale.parse().ok(),
            fraction: fraction.parse().ok(),
        };
        let form = Form::of(declared).ok_or_else(|| {
            Error::refused(format!("column {table}.{name} is of type {full}, which is not carried"))
                .hint("see docs/types.md; name other tables: --table T")
        })?;
        let not_null = nullable == "NO";
        columns.push(TableColumn {
            charset: (!charset.is_empty()).then_some((charset, collation)),
            // MariaDB writes the default NULL of a nullable column.
            default: default.filter(|text| text != "NULL" || not_null),
            not_null,
            generated: ["virtual generated", "stored generated", "persistent"]
                .iter()
                .any(|words| extra.contains(words)),
            counter: extra.contains("auto_increment"),
            on_update: extra.contains("on update"),
            declared: full.clone(),
            form,
            kind,
            name,
        });
    }
    Ok(columns)
}

async fn uniques(session: &mut Session, table: &str) -> Result<Vec<Index>, Stop> {
    let rows = session
        .strings(
            "select index_name, column_name, cast(sub_part as char), index_type \
             from information_schema.statistics \
             where table_schema = database() and table_name = ? and non_unique = 0 \
             order by index_name <> 'PRIMARY', index_name, seq_in_index",
            &[table],
        )
        .await?;
    let mut found: Vec<Index> = Vec::new();
    for row in rows {
        let prefix = row.get(2).is_some_and(Option::is_some);
        let [name, column, _, kind] = words(row);
        let column = Some(column).filter(|column| !column.is_empty() && !prefix);
        match found.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column),
            None => {
                let in_order = kind.eq_ignore_ascii_case("btree");
                found.push(Index { name, columns: vec![column], in_order });
            }
        }
    }
    Ok(found)
}

/// A table's references to parents.
pub(crate) async fn foreign_keys(
    session: &mut Session,
    table: &str,
) -> Result<Vec<ForeignKey>, Stop> {
    let rows = session
        .strings(
            "select k.constraint_name, k.column_name, k.referenced_table_schema = database(), \
             k.referenced_table_schema, k.referenced_table_name, k.referenced_column_name, \
             r.delete_rule, r.update_rule \
             from information_schema.key_column_usage k \
             join information_schema.referential_constraints r \
             on r.constraint_schema = k.constraint_schema \
             and r.constraint_name = k.constraint_name and r.table_name = k.table_name \
             where k.table_schema = database() and k.table_name = ? \
             and k.referenced_table_name is not null \
             order by k.constraint_name, k.ordinal_position",
            &[table],
        )
        .await?;
    let mut found: Vec<(String, ForeignKey)> = Vec::new();
    for row in rows {
        let [name, column, own, schema, parent, parent_column, delete, update] = words(row);
        if found.last().is_none_or(|(last, _)| *last != name) {
            let schema = (own != "1").then_some(schema);
            let key = ForeignKey {
                columns: Vec::new(),
                parent: TableName { schema, name: parent },
                parent_columns: Vec::new(),
                on_delete: action(&delete),
                on_update: action(&update),
            };
            found.push((name, key));
        }
        if let Some((_, key)) = found.last_mut() {
            key.columns.push(column);
            key.parent_columns.push(parent_column);
        }
    }
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

fn action(rule: &str) -> ForeignAction {
    match rule {
        "CASCADE" => ForeignAction::Cascade,
        "SET NULL" => ForeignAction::SetNull,
        "SET DEFAULT" => ForeignAction::SetDefault,
        "RESTRICT" => ForeignAction::Restrict,
        _ => ForeignAction::NoAction,
    }
}

/// A table's triggers.
pub(crate) async fn triggers(session: &mut Session, table: &str) -> Result<Vec<Trigger>, Stop> {
    let rows = session
        .strings(
            "select trigger_name, event_manipulation, action_timing, action_statement \
             from information_schema.triggers \
             where event_object_schema = database() and event_object_table = ? \
             order by trigger_name",
            &[table],
        )
        .await?;
    let mut triggers = Vec::with_capacity(rows.len());
    for row in rows {
        let [name, event, timing, body] = words(row);
        let event = match event.as_str() {
            "INSERT" => TriggerEvent::Insert,
            "UPDATE" => TriggerEvent::Update,
            _ => TriggerEvent::Delete,
        };
        triggers.push(Trigger { name, event, sql: format!("{timing} {body}") });
    }
    Ok(triggers)
}

/// A table's definition as the server prints it.
pub(crate) async fn definition(session: &mut Session, table: &str) -> Result<String, Stop> {
    let rows = session.strings(&format!("show create table {}", quote(table)), &[]).await?;
    let [_, ddl] = words(rows.into_iter().next().unwrap_or_default());
    Ok(ddl)
}

/// True when a server of this kind keeps rows of such a table in transactions.
pub(crate) fn is_transactional(engine: &str) -> bool {
    matches!(engine.to_ascii_lowercase().as_str(), "innodb" | "rocksdb" | "tokudb" | "ndbcluster")
}
