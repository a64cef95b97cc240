//! The screen and the JSON of what a path is as a backup.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::backup::detect::Found;
use crate::error::Result;
use crate::model::table::TableSchema;
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Tone, ago, count, elide, escape, moment, plural};

/// One table of a backup.
#[derive(Clone, Debug)]
pub struct Table {
    /// What the backup says of it.
    pub schema: TableSchema,
    /// The number of rows, where it is known without counting.
    pub rows: Option<u64>,
}

/// Writes what was detected, why, and the tables.
pub fn screen(out: &mut dyn Write, screen: Screen, found: &Found, tables: &[Table]) -> Result<()> {
    let style = screen.style;
    let layout = &found.layout;
    let location = layout.location().to_string_lossy();
    writeln!(out, "{}  {}", style.paint(Tone::Strong, escape(&location)), escape(layout.kind()))?;
    if let Some(taken) = layout.taken_at() {
        writeln!(out, "taken {}, {}", moment(&taken.to_rfc3339()), ago(taken, screen.now))?;
    }
    for why in &found.why {
        writeln!(out, "{}", style.paint(Tone::Dim, format!("because {}", escape(why))))?;
    }
    writeln!(out)?;
    let mut grid = Grid::new(style, "<>><");
    grid.header(["table", "rows", "columns", "key"]);
    for table in tables {
        let schema = &table.schema;
        let key = schema.keys.first().map_or("none known".to_owned(), ToString::to_string);
        grid.row([
            (elide(&escape(&schema.name.to_string()), 40).into_owned(), Tone::Strong),
            (table.rows.map_or("?".to_owned(), count), Tone::Plain),
            (count(schema.columns.len() as u64), Tone::Plain),
            (elide(&escape(&key), 30).into_owned(), Tone::Dim),
        ]);
    }
    grid.write(out)?;
    if !found.older.is_empty() {
        let n = found.older.len() as u64;
        writeln!(out, "{} beside it: @latest~1 and so on", plural(n, "older backup"))?;
    }
    for warning in &found.warnings {
        writeln!(out, "{}", style.paint(Tone::Changed, format!("! {}", escape(warning))))?;
    }
    Ok(())
}

/// The same as JSON, with the columns of each table.
pub fn json(out: &mut dyn Write, found: &Found, tables: &[Table]) -> Result<()> {
    let each = |table: &Table| {
        let columns: Vec<Json> = table
            .schema
            .columns
            .iter()
            .map(|c| json!({ "column": c.name, "type": c.declared }))
            .collect();
        json!({
            "table": table.schema.name.to_string(),
            "rows": table.rows,
            "key": table.schema.keys.first().map(|k| &k.columns),
            "columns": columns,
        })
    };
    json::document(
        out,
        json!({
            "path": found.layout.location(),
            "kind": found.layout.kind(),
            "taken_at": found.layout.taken_at().map(|t| t.to_rfc3339()),
            "why": found.why,
            "warnings": found.warnings,
            "older": found.older,
            "tables": tables.iter().map(each).collect::<Vec<_>>(),
        }),
    )
}
