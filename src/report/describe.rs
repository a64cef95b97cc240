//! The screens of what there is to ask: the tables of both sides, and one table.

use std::io::Write;

use crate::error::Result;
use crate::model::side::Which;
use crate::model::table::{Automatic, Column, KeyOrigin, TableName, TableSchema};
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, elide, escape};

/// The widest a name or a type is shown.
const NAME: usize = 40;

/// Lists the tables of both sides, and which side has each.
pub fn tables(
    out: &mut dyn Write,
    style: Style,
    live: &[TableName],
    backup: &[TableName],
) -> Result<()> {
    let mut all: Vec<&TableName> = live.iter().chain(backup).collect();
    all.sort();
    all.dedup();
    let mut grid = Grid::new(style, "<<<").ruled();
    grid.header(["table", "live", "backup"]);
    for table in all {
        let there = |side: &[TableName]| match side.contains(table) {
            true => ("yes", Tone::Plain),
            false => ("no", Tone::Missing),
        };
        let name = escape(&table.to_string()).into_owned();
        let (live, backup) = (there(live), there(backup));
        grid.row([(name.as_str(), Tone::Strong), live, backup]);
    }
    grid.write(out)
}

/// Shows a table of one side: its columns, keys and references.
pub fn table(out: &mut dyn Write, style: Style, which: Which, schema: &TableSchema) -> Result<()> {
    let name = style.paint(Tone::Strong, escape(&format!("{which}.{}", schema.name)));
    writeln!(out, "{name}")?;
    let mut grid = Grid::new(style, "<<<").indent(2);
    grid.header(["column", "type", ""]);
    for column in &schema.columns {
        let declared = match column.declared.is_empty() {
            true => column.carrier.data_type().to_string().to_lowercase(),
            false => column.declared.clone(),
        };
        grid.row([
            (elide(&escape(&column.name), NAME), Tone::Plain),
            (elide(&escape(&declared), NAME), Tone::Plain),
            (escape(&notes(column)).into_owned().into(), Tone::Dim),
        ]);
    }
    grid.write(out)?;
    let mut line = |text: String| writeln!(out, "  {}", style.paint(Tone::Dim, escape(&text)));
    for key in &schema.keys {
        line(match &key.origin {
            KeyOrigin::PrimaryKey => format!("primary key ({key})"),
            KeyOrigin::Unique(index) => format!("unique key ({key}), index {index}"),
            KeyOrigin::Named => format!("key ({key}), as --key says"),
        })?;
    }
    for foreign in &schema.foreign_keys {
        let (columns, parents) = (foreign.columns.join(", "), foreign.parent_columns.join(", "));
        line(format!("({columns}) references {} ({parents})", foreign.parent))?;
    }
    for trigger in &schema.triggers {
        line(format!("trigger {}", trigger.name))?;
    }
    if let Some(why) = &schema.unwritable {
        line(format!("not written to: {why}"))?;
    }
    Ok(())
}

/// What there is to say of a column besides its type.
fn notes(column: &Column) -> String {
    let mut notes = Vec::new();
    if column.not_null {
        notes.push("not null".to_owned());
    }
    if column.generated {
        notes.push("generated".to_owned());
    }
    match column.automatic {
        Some(Automatic::Counter) => notes.push("counted".to_owned()),
        Some(Automatic::CounterAlways) => notes.push("counted always".to_owned()),
        Some(Automatic::UpdateTime) => notes.push("time of the last update".to_owned()),
        None => {}
    }
    if let Some(default) = &column.default {
        notes.push(format!("default {default}"));
    }
    notes.join(", ")
}
