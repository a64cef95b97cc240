//! Live against what an operation wrote.

use std::io::Write;

use serde_json::json;

use crate::error::Result;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, count, escape, plural};
use crate::report::{json, receipt};
use crate::verify::VerifyReport;

/// Writes the report as a screen.
pub fn screen(out: &mut dyn Write, style: Style, report: &VerifyReport) -> Result<()> {
    let mut grid = Grid::new(style, "<>>>>");
    grid.header(["", "written", "as written", "changed since", "gone"]);
    for table in &report.tables {
        let tone = |n: u64| if n > 0 { Tone::Changed } else { Tone::Dim };
        grid.row([
            (escape(&table.table).into_owned(), Tone::Strong),
            (count(table.written), Tone::Plain),
            (count(table.same), Tone::Extra),
            (count(table.changed), tone(table.changed)),
            (count(table.gone), tone(table.gone)),
        ]);
    }
    grid.write(out)?;
    let written: u64 = report.tables.iter().map(|t| t.written).sum();
    if report.is_same() {
        let text = format!("verified: {} re-read, all match", plural(written, "row"));
        writeln!(out, "{}", style.paint(Tone::Extra, text))?;
    }
    receipt::refused(out, style, "not as written", &report.examples)
}

/// Writes the report as one JSON document.
pub fn json(out: &mut dyn Write, report: &VerifyReport) -> Result<()> {
    json::document(
        out,
        json!({
            "same": report.is_same(),
            "tables": report.tables,
            "examples": report.examples,
        }),
    )
}
