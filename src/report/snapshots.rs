//! The screens and the JSON of snapshots: taken, listed, pruned, checked.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, ago, bytes, count, elide, escape, moment, plural};
use crate::snapshot::check::CheckReport;
use crate::snapshot::list::SnapshotInfo;
use crate::snapshot::prune::PrunePlan;
use crate::snapshot::take::Taken;

/// Writes what was taken.
pub fn taken(out: &mut dyn Write, style: Style, taken: &Taken) -> Result<()> {
    let tables = &taken.manifest.tables;
    let rows: u64 = tables.iter().map(|t| t.rows).sum();
    writeln!(
        out,
        "{} {}",
        style.paint(Tone::Strong, "SNAPSHOT"),
        style.paint(Tone::Strong, escape(&taken.path.to_string_lossy())),
    )?;
    writeln!(
        out,
        "{} of {}, {} in {}, {}",
        escape(&taken.manifest.database),
        moment(&taken.manifest.taken_at),
        plural(rows, "row"),
        plural(tables.len() as u64, "table"),
        bytes(taken.bytes),
    )?;
    let mut grid = Grid::new(style, "<>>").indent(2);
    for table in tables {
        let size: u64 = table.files.iter().map(|f| f.bytes).sum();
        grid.row([
            (elide(&escape(&table.name.to_string()), 40).into_owned(), Tone::Plain),
            (count(table.rows), Tone::Plain),
            (bytes(size), Tone::Dim),
        ]);
    }
    grid.write(out)?;
    for warning in &taken.warnings {
        writeln!(out, "{}", style.paint(Tone::Changed, format!("! {}", escape(warning))))?;
    }
    Ok(())
}

/// Writes what was taken as JSON.
pub fn taken_json(out: &mut dyn Write, taken: &[Taken]) -> Result<()> {
    let each = |t: &Taken| {
        let tables: Vec<Json> = t
            .manifest
            .tables
            .iter()
            .map(|t| json!({ "table": t.name.to_string(), "rows": t.rows }))
            .collect();
        json!({
            "path": t.path,
            "database": t.manifest.database,
            "taken_at": t.manifest.taken_at,
            "bytes": t.bytes,
            "tables": tables,
            "warnings": t.warnings,
        })
    };
    json::document(out, json!({ "snapshots": taken.iter().map(each).collect::<Vec<_>>() }))
}

/// Writes a list, newest first. `root` is left out of the paths.
pub fn list(
    out: &mut dyn Write,
    screen: Screen,
    root: &std::path::Path,
    snapshots: &[SnapshotInfo],
) -> Result<()> {
    let style = screen.style;
    if snapshots.is_empty() {
        writeln!(out, "no snapshots in {}", escape(&root.to_string_lossy()))?;
        return Ok(());
    }
    // The name is there to be copied: it is never cut, and the rest makes room.
    let wide = style.width >= 110;
    let mut grid = Grid::new(style, if wide { "<<>>><" } else { "<>><" });
    let pick = |cells: [(String, Tone); 6]| {
        let keep = move |i: &usize| wide || !matches!(i, 1 | 2);
        cells.into_iter().enumerate().filter(move |(i, _)| keep(i)).map(|(_, cell)| cell)
    };
    let titles = ["taken", "age", "tables", "rows", "size", "snapshot"];
    grid.header(pick(titles.map(|t| (t.to_owned(), Tone::Dim))).map(|(t, _)| t));
    for info in snapshots {
        let path = info.path.strip_prefix(root).unwrap_or(&info.path).to_string_lossy();
        let path = if path.is_empty() { info.path.to_string_lossy() } else { path };
        let tone = if info.is_whole() { Tone::Plain } else { Tone::Missing };
        grid.row(pick([
            (info.taken_at.format("%Y-%m-%d %H:%M").to_string(), tone),
            (ago(info.taken_at, screen.now), Tone::Dim),
            (count(info.tables as u64), tone),
            (count(info.rows), tone),
            (bytes(info.bytes), tone),
            (escape(&path).into_owned(), tone),
        ]));
    }
    grid.write(out)?;
    for info in snapshots {
        let name = info.path.file_name().unwrap_or_default().to_string_lossy();
        for warning in
            info.damage.iter().map(|d| format!("damaged: {d}")).chain(info.warnings.clone())
        {
            let text = format!("! {}: {}", escape(&name), escape(&warning));
            writeln!(out, "{}", style.paint(Tone::Changed, text))?;
        }
    }
    Ok(())
}

/// Writes a list as JSON.
pub fn list_json(out: &mut dyn Write, snapshots: &[SnapshotInfo]) -> Result<()> {
    json::document(out, json!({ "snapshots": snapshots }))
}

/// Writes what a policy keeps and removes.
pub fn prune(out: &mut dyn Write, style: Style, plan: &PrunePlan, done: bool) -> Result<()> {
    let mut grid = Grid::new(style, "<<<");
    let name = |info: &SnapshotInfo| {
        let name = info.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        elide(&escape(&name), 60).into_owned()
    };
    for kept in &plan.keep {
        let why = escape(&kept.reasons.join(", ")).into_owned();
        grid.row([
            ("keep".to_owned(), Tone::Extra),
            (name(&kept.snapshot), Tone::Plain),
            (why, Tone::Dim),
        ]);
    }
    for info in &plan.remove {
        let word = if done { "removed" } else { "remove" };
        grid.row([
            (word.to_owned(), Tone::Missing),
            (name(info), Tone::Plain),
            (bytes(info.bytes), Tone::Dim),
        ]);
    }
    grid.write(out)
}

/// Writes what a policy keeps and removes as JSON.
pub fn prune_json(out: &mut dyn Write, plan: &PrunePlan, done: bool) -> Result<()> {
    json::document(out, json!({ "keep": plan.keep, "remove": plan.remove, "removed": done }))
}

/// Writes what reading a snapshot back gave.
pub fn check(out: &mut dyn Write, style: Style, report: &CheckReport) -> Result<()> {
    let rows: u64 = report.files.iter().map(|f| f.rows).sum();
    let size: u64 = report.files.iter().map(|f| f.bytes).sum();
    writeln!(
        out,
        "{}  taken {}   {}, {}, {}",
        style.paint(Tone::Strong, escape(&report.path.to_string_lossy())),
        moment(&report.taken_at),
        plural(report.files.len() as u64, "file"),
        plural(rows, "row"),
        bytes(size),
    )?;
    for file in report.damaged() {
        let why = file.damage.as_deref().unwrap_or_default();
        let text = format!("✘ {}: {}", escape(&file.path), escape(why));
        writeln!(out, "{}", style.paint(Tone::Missing, text))?;
    }
    if report.is_whole() {
        let text = "whole: every file read back, digests and rows match";
        writeln!(out, "{}", style.paint(Tone::Extra, text))?;
    } else {
        let text = format!("damaged: {}", plural(report.damaged().count() as u64, "file"));
        writeln!(out, "{}", style.paint(Tone::Missing, text))?;
    }
    Ok(())
}

/// Writes what reading a snapshot back gave as JSON.
pub fn check_json(out: &mut dyn Write, report: &CheckReport) -> Result<()> {
    json::document(
        out,
        json!({
            "path": report.path,
            "taken_at": report.taken_at,
            "whole": report.is_whole(),
            "files": report.files,
        }),
    )
}
