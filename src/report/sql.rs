//! A reviewable SQL script of the same writes that a plan makes, in the SQL of live's engine.
//!
//! It is for reading, and for hosts where only the engine's own client may run. Applying
//! the plan does more: each row is compared before and after, and undo is ready. The
//! script's statements carry their guard: a row that is no longer what the diff saw is
//! left alone, silently. A client that meets an error ends, and nothing was written.

mod mysql;
mod postgres;
mod sqlite;

use std::io::Write;

use crate::error::Result;
use crate::model::change::Change;
use crate::model::origin::{Identity, Origin};
use crate::model::plan::{Batch, Op, PlanHeader, TablePlan};
use crate::model::side::Which;
use crate::model::table::{Column, TableSchema};
use crate::model::value::{Cells, ValueRef};
use crate::report::csv::key_text;
use crate::report::rows::{Cell, ChangeRow};
use crate::report::text::{count, escape};

/// Whose SQL a script is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite's, for its shell.
    Sqlite,
    /// PostgreSQL's, for psql.
    Postgres,
    /// MySQL's and MariaDB's, for their clients.
    Mysql,
}

impl Dialect {
    /// The SQL of this database.
    pub fn of(database: &Identity) -> Self {
        match database {
            Identity::Sqlite { .. } => Dialect::Sqlite,
            Identity::Postgres { .. } => Dialect::Postgres,
            Identity::Mysql { .. } => Dialect::Mysql,
        }
    }

    fn identifier(self, name: &str) -> String {
        match self {
            Dialect::Sqlite | Dialect::Postgres => identifier(name),
            Dialect::Mysql => mysql::identifier(name),
        }
    }

    fn table(self, schema: &TableSchema) -> Result<String> {
        match self {
            Dialect::Postgres => postgres::table(schema),
            Dialect::Sqlite | Dialect::Mysql => Ok(self.identifier(&schema.name.name)),
        }
    }

    /// The table as an UPDATE or DELETE names it.
    fn rows_of(self, schema: &TableSchema) -> Result<String> {
        match self {
            Dialect::Postgres => postgres::rows_of(schema),
            Dialect::Sqlite | Dialect::Mysql => self.table(schema),
        }
    }

    fn literal(self, column: &Column, cell: ValueRef<'_>) -> Result<String> {
        match self {
            Dialect::Sqlite => Ok(sqlite::literal(cell)),
            Dialect::Postgres => postgres::literal(column, cell),
            Dialect::Mysql => mysql::literal(column, cell),
        }
    }

    /// A condition that holds only for the row of this key whose columns, the key's too, are
    /// just these cells.
    fn condition(self, key: &[Cell<'_>], seen: &[Cell<'_>]) -> Result<String> {
        match self {
            Dialect::Sqlite => Ok(sqlite::condition(seen)),
            Dialect::Postgres => postgres::condition(key, seen),
            Dialect::Mysql => mysql::condition(key, seen),
        }
    }

    /// The head of a script: what it is, what it relies on, and its one transaction.
    pub fn begin(self, out: &mut dyn Write, lines: &[String]) -> Result<()> {
        for line in lines {
            writeln!(out, "-- {}", escape(line))?;
        }
        writeln!(
            out,
            "-- Each row carries its guard: one that is no longer what was seen is left alone."
        )?;
        let begin = match self {
            Dialect::Sqlite => sqlite::BEGIN,
            Dialect::Postgres => postgres::BEGIN,
            Dialect::Mysql => mysql::BEGIN,
        };
        writeln!(out, "{begin}")?;
        Ok(())
    }

    /// The head of a plan's script.
    pub fn begin_plan(self, out: &mut dyn Write, plan: &PlanHeader) -> Result<()> {
        let rows: u64 = plan.tables.iter().map(|t| t.rows).sum();
        let mut lines = vec![
            format!("restorekit plan {}: {}", plan.id, plan.title),
            format!("{} rows, made {}", count(rows), plan.created_at),
            format!("live {}", plan.binding.live.location),
        ];
        let backups = plan.binding.backup.iter().flat_map(Origin::all);
        lines.extend(backups.map(|backup| format!("backup {}", backup.location)));
        self.begin(out, &lines)
    }

    /// The statements of one batch of a plan; `backup` is what it comes from.
    pub fn batch(
        self,
        out: &mut dyn Write,
        plan: &TablePlan,
        batch: &Batch,
        backup: Option<&Origin>,
    ) -> Result<()> {
        let backups: Vec<&Origin> = backup.iter().flat_map(|backup| backup.all()).collect();
        let mut last = None;
        let before = batch.before.as_ref().map(|b| Cells::of(b, &plan.before)).transpose()?;
        let after = batch.after.as_ref().map(|a| Cells::of(a, &plan.after)).transpose()?;
        let is_key = |column: &Column| plan.key.columns.contains(&column.name);
        for row in 0..batch.rows() {
            let was = image(before.as_ref(), &plan.before, row)?;
            let will = image(after.as_ref(), &plan.after, row)?;
            let number = batch.from.get(row).map(|number| usize::from(*number));
            if let Some(of) = number.filter(|_| last != number).and_then(|n| backups.get(n)) {
                from(out, &of.location)?;
                last = number;
            }
            let key: Vec<Cell<'_>> = was.iter().filter(|(c, _)| is_key(c)).copied().collect();
            match plan.op {
                Op::Insert => self.insert(out, &plan.schema, will)?,
                Op::Delete => {
                    let table = self.rows_of(&plan.schema)?;
                    let condition = self.condition_of(&plan.schema, &key, &was)?;
                    writeln!(out, "DELETE FROM {table} WHERE {condition};")?;
                }
                Op::Update => {
                    let sets: Vec<Cell<'_>> =
                        will.into_iter().filter(|(column, _)| !is_key(column)).collect();
                    self.update(out, &plan.schema, sets, (&key, &was))?;
                }
            }
        }
        Ok(())
    }

    /// The statement that takes one changed row of live's table back to the backup: an INSERT for
    /// a missing row, a guarded UPDATE of the differing columns for a changed one. Extra rows
    /// stay.
    pub fn change(
        self,
        out: &mut dyn Write,
        schema: &TableSchema,
        row: &ChangeRow<'_>,
    ) -> Result<()> {
        match row.change {
            Change::Missing => self.insert(out, schema, row.cells(Which::Backup)?),
            Change::Changed => {
                let backup = row.shown(Which::Backup)?.unwrap_or_default();
                let live = row.shown(Which::Live)?.unwrap_or_default();
                let key = row.key()?;
                let seen: Vec<Cell<'_>> = key.iter().copied().chain(live).collect();
                self.update(out, schema, backup, (&key, &seen))
            }
            Change::Ambiguous => {
                writeln!(
                    out,
                    "-- left alone, the key is ambiguous: {}",
                    escape(&key_text(&row.key()?))
                )?;
                Ok(())
            }
            Change::Extra => Ok(()),
        }
    }

    fn insert(self, out: &mut dyn Write, schema: &TableSchema, cells: Vec<Cell<'_>>) -> Result<()> {
        let cells = written(schema, cells);
        let names: Vec<String> = cells.iter().map(|(c, _)| self.identifier(&c.name)).collect();
        let values = cells.iter().map(|(column, cell)| self.literal(column, *cell));
        let overriding = match self {
            Dialect::Postgres => postgres::overriding(cells.iter().map(|(column, _)| *column)),
            Dialect::Sqlite | Dialect::Mysql => "",
        };
        writeln!(
            out,
            "INSERT INTO {} ({}) {overriding}VALUES ({});",
            self.table(schema)?,
            names.join(", "),
            values.collect::<Result<Vec<_>>>()?.join(", ")
        )?;
        Ok(())
    }

    fn update(
        self,
        out: &mut dyn Write,
        schema: &TableSchema,
        sets: Vec<Cell<'_>>,
        (key, seen): (&[Cell<'_>], &[Cell<'_>]),
    ) -> Result<()> {
        let sets = written(schema, sets);
        if sets.is_empty() {
            return Ok(());
        }
        let assign = sets.iter().map(|(column, cell)| {
            Ok(format!("{} = {}", self.identifier(&column.name), self.literal(column, *cell)?))
        });
        let mut assigned = assign.collect::<Result<Vec<String>>>()?;
        if self == Dialect::Mysql {
            let names: Vec<&str> = sets.iter().map(|(column, _)| column.name.as_str()).collect();
            assigned.extend(mysql::held(schema, &names));
        }
        let condition = self.condition_of(schema, key, seen)?;
        let table = self.rows_of(schema)?;
        writeln!(out, "UPDATE {table} SET {} WHERE {condition};", assigned.join(", "))?;
        Ok(())
    }

    fn condition_of<'a>(
        self,
        schema: &'a TableSchema,
        key: &[Cell<'a>],
        seen: &[Cell<'a>],
    ) -> Result<String> {
        self.condition(&as_live(schema, key), &as_live(schema, seen))
    }
}

/// The cells with their columns as live has them: how a value is written is up to its type.
fn as_live<'a>(schema: &'a TableSchema, cells: &[Cell<'a>]) -> Vec<Cell<'a>> {
    let live = |column: &'a Column| {
        schema.columns.iter().find(|here| here.name == column.name).unwrap_or(column)
    };
    cells.iter().map(|(column, cell)| (live(column), *cell)).collect()
}

/// The cells that a statement may set.
fn written<'a>(schema: &'a TableSchema, cells: Vec<Cell<'a>>) -> Vec<Cell<'a>> {
    let mut cells = as_live(schema, &cells);
    cells.retain(|(column, _)| !column.generated);
    cells
}

/// One row of an image.
fn image<'a>(
    cells: Option<&Cells<'a>>,
    columns: &'a [Column],
    row: usize,
) -> Result<Vec<Cell<'a>>> {
    let Some(cells) = cells else { return Ok(Vec::new()) };
    columns.iter().enumerate().map(|(at, column)| Ok((column, cells.get(row, at)?))).collect()
}

/// A quoted identifier of SQLite and PostgreSQL.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Says from which of several backups the rows that follow come.
pub fn from(out: &mut dyn Write, backup: &str) -> Result<()> {
    writeln!(out, "-- from {}", escape(backup))?;
    Ok(())
}

/// The end of a script.
pub fn commit(out: &mut dyn Write) -> Result<()> {
    writeln!(out, "COMMIT;")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Affinity, Automatic, Carrier, TableName};
    use crate::report::rows::each;
    use crate::report::rows::tests::{column, sample};

    fn script(dialect: Dialect, schema: &TableSchema) -> String {
        let (spec, batch) = sample();
        let mut out = Vec::new();
        each(&spec, &batch, |row| dialect.change(&mut out, schema, &row)).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn events(columns: Vec<Column>) -> TableSchema {
        TableSchema::of_columns(TableName::bare("events"), columns)
    }

    #[test]
    fn changes_become_guarded_statements() {
        let schema = events(vec![column("id", Carrier::Int), column("title", Carrier::Text)]);
        insta::assert_snapshot!(script(Dialect::Sqlite, &schema), @r#"
        INSERT INTO "events" ("id", "title") VALUES (1, CAST(X'3d312b32e280ae0d0a' AS TEXT) /* =1+2\u{202e}\r\n */);
        UPDATE "events" SET "title" = 'old, "x"' WHERE "id" IS 2 AND "title" IS X'dead' AND typeof("title") = 'blob';
        "#);
    }

    #[test]
    fn k10_postgresql_is_written_by_the_qualified_name() {
        let of = |name: &str, declared: &str, carrier| Column {
            declared: declared.into(),
            affinity: Affinity::Postgres,
            ..Column::new(name, carrier)
        };
        let id = Column {
            automatic: Some(Automatic::CounterAlways),
            ..of("id", "bigint", Carrier::Int)
        };
        let mut schema = events(vec![id, of("title", "character varying(9)", Carrier::Text)]);
        schema.ddl = "CREATE TABLE \"h\"\"r\".\"events\" (\n    id bigint\n);".into();
        insta::assert_snapshot!(script(Dialect::Postgres, &schema), @r#"
        INSERT INTO "h""r"."events" ("id", "title") OVERRIDING SYSTEM VALUE VALUES ('1', E'=1+2\U0000202e\x0d\x0a');
        UPDATE ONLY "h""r"."events" SET "title" = 'old, "x"' WHERE "id" operator(pg_catalog.=) '2'::pg_catalog.int8 AND ROW("id"::pg_catalog.int8, "title"::pg_catalog.varchar)::pg_catalog.record operator(pg_catalog.*=) ROW('2'::pg_catalog.int8, pg_catalog.decode('dead', 'hex')::pg_catalog.varchar)::pg_catalog.record;
        "#);
        schema.ddl = schema.ddl.replace(");", ") PARTITION BY RANGE (id);");
        assert!(script(Dialect::Postgres, &schema).contains("UPDATE \"h\"\"r\".\"events\" SET"));
    }

    #[test]
    fn t13_mysql_holds_what_an_update_would_move() {
        let of = |name: &str, declared: &str, carrier| Column {
            declared: declared.into(),
            affinity: Affinity::Mysql,
            ..Column::new(name, carrier)
        };
        let moved = Column {
            automatic: Some(Automatic::UpdateTime),
            ..of("at", "timestamp", Carrier::Instant)
        };
        let columns = vec![
            of("id", "int(11)", Carrier::Int),
            of("title", "varchar(9)", Carrier::Text),
            moved,
        ];
        insta::assert_snapshot!(script(Dialect::Mysql, &events(columns)), @r#"
        INSERT INTO `events` (`id`, `title`) VALUES (1, _utf8mb4 X'3d312b32e280ae0d0a');
        UPDATE `events` SET `title` = 'old, "x"', `at` = `at` WHERE `id` = 2 AND CAST(CONVERT(`title` USING utf8mb4) AS BINARY) <=> CAST(X'dead' AS BINARY);
        "#);
    }
}
