//! A reviewable SQL script of the same writes that a plan makes.
//!
//! It is for reading, and for hosts where only the engine's own client may run. Applying
//! the plan does more: each row is compared before and after, and undo is ready. The
//! script's statements carry their guard: a row that is no longer what the diff saw is
//! left alone, silently.
//!
//! Values: a TEXT is a quoted literal only when it is UTF-8 without control characters.
//! Any other becomes `CAST(X'..' AS TEXT)` with its escaped beginning as a comment, since
//! clients turn CRLF inside literals into LF and cut at NUL.

use std::io::Write;

use crate::error::Result;
use crate::model::change::Change;
use crate::model::origin::Origin;
use crate::model::plan::{Batch, Op, PlanHeader, TablePlan};
use crate::model::side::Which;
use crate::model::table::{Affinity, Collation, Column};
use crate::model::value::{Cells, EXACT, ValueRef, hex};
use crate::report::csv::key_text;
use crate::report::rows::{Cell, ChangeRow};
use crate::report::text::{count, elide, escape, escape_bytes};

/// A quoted identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that the engine reads back as exactly this cell.
pub fn literal(cell: ValueRef<'_>) -> String {
    match cell {
        ValueRef::Null => "NULL".to_owned(),
        // Written as an expression, since the digits alone would be read as a REAL.
        ValueRef::Int(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Real(r) if r == f64::INFINITY => "9e999".to_owned(),
        ValueRef::Real(r) if r == f64::NEG_INFINITY => "-9e999".to_owned(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Blob(b) => format!("X'{}'", hex(b)),
        ValueRef::Unsigned(_) | ValueRef::Bool(_) | ValueRef::Decimal(..) => {
            cell.plain_text().unwrap_or_default()
        }
        ValueRef::Date(_) | ValueRef::Stamp(_) | ValueRef::Instant(_) => {
            format!("'{}'", cell.plain_text().unwrap_or_default())
        }
        ValueRef::Text(b) => match std::str::from_utf8(b) {
            Ok(text) if escape(text).len() == text.len() => {
                format!("'{}'", text.replace('\'', "''"))
            }
            _ => format!("CAST(X'{}' AS TEXT) /* {} */", hex(b), comment(&escape_bytes(b))),
        },
    }
}

/// Text that can't end the comment it stands in.
fn comment(text: &str) -> String {
    elide(&escape(text), 40).replace("*/", "*\\u{2f}").replace("/*", "\\u{2f}*")
}

/// A condition that holds only for exactly this cell, storage class included.
fn guard(column: &Column, cell: ValueRef<'_>) -> String {
    let name = identifier(&column.name);
    let class = match cell {
        ValueRef::Null => return format!("{name} IS NULL"),
        ValueRef::Int(_) => "integer",
        ValueRef::Real(_) => "real",
        ValueRef::Text(_) => "text",
        ValueRef::Blob(_) => "blob",
        _ => "",
    };
    let natural = match column.affinity {
        Affinity::Text => "text",
        Affinity::Integer => "integer",
        Affinity::Real => "real",
        Affinity::Numeric | Affinity::Blob | Affinity::Postgres | Affinity::Mysql => "",
    };
    // An explicit collation keeps the engine from the key's index: only where it matters.
    let bent = class == "text" && column.collation != Collation::Binary;
    let collate = if bent { " COLLATE BINARY" } else { "" };
    let equals = format!("{name} IS {}{collate}", literal(cell));
    if class == natural || class.is_empty() {
        equals
    } else {
        format!("{equals} AND typeof({name}) = '{class}'")
    }
}

/// The head of a script: what it is, its foreign keys and its one transaction.
pub fn begin(out: &mut dyn Write, lines: &[String]) -> Result<()> {
    for line in lines {
        writeln!(out, "-- {}", escape(line))?;
    }
    writeln!(
        out,
        "-- Each row carries its guard: one that is no longer what was seen is left alone."
    )?;
    writeln!(out, "PRAGMA foreign_keys = ON;\nBEGIN IMMEDIATE;")?;
    Ok(())
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

/// The head of a plan's script.
pub fn begin_plan(out: &mut dyn Write, plan: &PlanHeader) -> Result<()> {
    let rows: u64 = plan.tables.iter().map(|t| t.rows).sum();
    let mut lines = vec![
        format!("restorekit plan {}: {}", plan.id, plan.title),
        format!("{} rows, made {}", count(rows), plan.created_at),
        format!("live {}", plan.binding.live.location),
    ];
    let backups = plan.binding.backup.iter().flat_map(Origin::all);
    lines.extend(backups.map(|backup| format!("backup {}", backup.location)));
    begin(out, &lines)
}

/// The statements of one batch of a plan; `backup` is what it comes from.
pub fn batch(
    out: &mut dyn Write,
    plan: &TablePlan,
    batch: &Batch,
    backup: Option<&Origin>,
) -> Result<()> {
    let backups: Vec<&Origin> = backup.iter().flat_map(|backup| backup.all()).collect();
    let mut last = None;
    let cells = |image, columns: &'_ [Column]| -> Result<Vec<Vec<_>>> {
        let Some(image) = image else { return Ok(Vec::new()) };
        let names = columns.iter().map(|c| (c.name.as_str(), c.name.as_str(), c.carrier));
        let cells = Cells::new(image, names, EXACT)?;
        (0..image.num_rows())
            .map(|row| (0..columns.len()).map(|c| Ok(cells.get(row, c)?.to_owned())).collect())
            .collect()
    };
    let before = cells(batch.before.as_ref(), &plan.before)?;
    let after = cells(batch.after.as_ref(), &plan.after)?;
    let table = identifier(&plan.table.name);
    let is_key = |column: &Column| plan.key.columns.contains(&column.name);
    for row in 0..batch.rows() {
        let image = |images: &'_ [Vec<crate::model::value::Value>]| images.get(row).cloned();
        let (was, will) = (image(&before).unwrap_or_default(), image(&after).unwrap_or_default());
        let number = batch.from.get(row).map(|number| usize::from(*number));
        if let Some(of) = number.filter(|_| last != number).and_then(|n| backups.get(n)) {
            from(out, &of.location)?;
            last = number;
        }
        let guards: Vec<String> =
            plan.before.iter().zip(&was).map(|(c, v)| guard(c, v.as_ref())).collect();
        match plan.op {
            Op::Insert => {
                insert(out, &table, plan.after.iter().zip(will.iter().map(|v| v.as_ref())))?
            }
            Op::Delete => writeln!(out, "DELETE FROM {table} WHERE {};", guards.join(" AND "))?,
            Op::Update => {
                let sets: Vec<String> = plan
                    .after
                    .iter()
                    .zip(&will)
                    .filter(|(c, _)| !is_key(c))
                    .map(|(c, v)| format!("{} = {}", identifier(&c.name), literal(v.as_ref())))
                    .collect();
                update(out, &table, &sets, &guards)?;
            }
        }
    }
    Ok(())
}

fn insert<'a>(
    out: &mut dyn Write,
    table: &str,
    cells: impl IntoIterator<Item = Cell<'a>>,
) -> Result<()> {
    let (names, values): (Vec<String>, Vec<String>) = cells
        .into_iter()
        .filter(|(column, _)| !column.generated)
        .map(|(column, cell)| (identifier(&column.name), literal(cell)))
        .unzip();
    writeln!(out, "INSERT INTO {table} ({}) VALUES ({});", names.join(", "), values.join(", "))?;
    Ok(())
}

fn update(out: &mut dyn Write, table: &str, sets: &[String], guards: &[String]) -> Result<()> {
    writeln!(out, "UPDATE {table} SET {} WHERE {};", sets.join(", "), guards.join(" AND "))?;
    Ok(())
}

/// The statement that takes one changed row back to the backup: an INSERT for a missing
/// row, a guarded UPDATE of the differing columns for a changed one. Extra rows stay.
pub fn change(out: &mut dyn Write, row: &ChangeRow<'_>) -> Result<()> {
    let table = identifier(row.table());
    match row.change {
        Change::Missing => insert(out, &table, row.cells(Which::Backup)?),
        Change::Changed => {
            let backup = row.shown(Which::Backup)?.unwrap_or_default();
            let live = row.shown(Which::Live)?.unwrap_or_default();
            let sets: Vec<String> = backup
                .iter()
                .filter(|(column, _)| !column.generated)
                .map(|(column, v)| format!("{} = {}", identifier(&column.name), literal(*v)))
                .collect();
            if sets.is_empty() {
                return Ok(());
            }
            let seen = row.key()?.into_iter().chain(live);
            let guards: Vec<String> = seen.map(|(column, v)| guard(column, v)).collect();
            update(out, &table, &sets, &guards)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::Carrier;
    use crate::model::value::Value;
    use crate::report::rows::each;
    use crate::report::rows::tests::{column, sample};

    #[test]
    fn w3_values_that_clients_bend_are_hex() {
        let cases: [(&[u8], &str); 8] = [
            (b"it's", "'it''s'"),
            ("na\u{ef}ve – 日本".as_bytes(), "'na\u{ef}ve – 日本'"),
            (b"a\r\nb", r"CAST(X'610d0a62' AS TEXT) /* a\r\nb */"),
            (b"a\nb", r"CAST(X'610a62' AS TEXT) /* a\nb */"),
            (b"a\0b", r"CAST(X'610062' AS TEXT) /* a\0b */"),
            (b"a\xff", r"CAST(X'61ff' AS TEXT) /* a\xff */"),
            (b"\x1b*/ DROP", r"CAST(X'1b2a2f2044524f50' AS TEXT) /* \u{1b}*\u{2f} DROP */"),
            (b"", "''"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(literal(ValueRef::Text(bytes)), expected);
        }
        assert_eq!(literal(ValueRef::Blob(b"\0\xff")), "X'00ff'");
        assert_eq!(literal(ValueRef::Real(0.1)), "0.1");
        assert_eq!(literal(ValueRef::Real(1e300)), "1e300");
        assert_eq!(identifier("we\"ird"), "\"we\"\"ird\"");
    }

    /// SQLite's own reading of the literals, through the raw handle.
    #[tokio::test]
    async fn w3_sqlite_reads_the_literals_back() {
        use sqlx::{Connection, Row};
        let mut db = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let values = [
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
            Value::Real(0.1),
            Value::Real(f64::MAX),
            Value::Real(f64::NEG_INFINITY),
            Value::Real(1.0),
            Value::Text(b"it's \r\n \0 x".to_vec()),
            Value::Text(b"bad \xff".to_vec()),
            Value::Text("*/ \u{202e}".as_bytes().to_vec()),
            Value::Blob(vec![0, 255]),
        ];
        for value in values {
            let sql = format!(
                "SELECT typeof(v), hex(v), v = v FROM (SELECT {} AS v)",
                literal(value.as_ref())
            );
            let row = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(&mut db).await.unwrap();
            let (class, digits): (String, String) = (row.get(0), row.get(1));
            let expected = match &value {
                Value::Text(b) => ("text", hex(b).to_uppercase()),
                Value::Blob(b) => ("blob", hex(b).to_uppercase()),
                Value::Int(i) => ("integer", hex(i.to_string().as_bytes()).to_uppercase()),
                _ => {
                    assert_eq!(class, "real");
                    continue;
                }
            };
            assert_eq!((class.as_str(), digits), expected);
        }
    }

    #[test]
    fn changes_become_guarded_statements() {
        let (spec, batch) = sample();
        let mut out = Vec::new();
        each(&spec, &batch, |row| change(&mut out, &row)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        INSERT INTO "events" ("id", "title") VALUES (1, CAST(X'3d312b32e280ae0d0a' AS TEXT) /* =1+2\u{202e}\r\n */);
        UPDATE "events" SET "title" = 'old, "x"' WHERE "id" IS 2 AND "title" IS X'dead' AND typeof("title") = 'blob';
        "#);
    }

    #[test]
    fn t2_a_guard_tells_storage_classes_apart() {
        let number = column("n", Carrier::Number);
        assert_eq!(guard(&number, ValueRef::Int(1)), r#""n" IS 1 AND typeof("n") = 'integer'"#);
        assert_eq!(guard(&number, ValueRef::Null), r#""n" IS NULL"#);
        let text = column("t", Carrier::Text);
        assert_eq!(guard(&text, ValueRef::Text(b"a")), r#""t" IS 'a'"#);
        let bent = Column { collation: Collation::NoCase, ..text };
        assert_eq!(guard(&bent, ValueRef::Text(b"a")), r#""t" IS 'a' COLLATE BINARY"#);
    }
}
