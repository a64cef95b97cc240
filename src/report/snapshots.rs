//! The screens and the JSON of snapshots: taken, listed, pruned, checked.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::error::{Error, Result};
use crate::model::table::TableName;
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, ago, bytes, count, elide, escape, moment, plural};
use crate::snapshot::check::CheckReport;
use crate::snapshot::list::SnapshotInfo;
use crate::snapshot::prune::{PrunePlan, Stays};
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
    for warning in taken.manifest.series().in_part().iter().chain(&taken.warnings) {
        writeln!(out, "{}", style.paint(Tone::Changed, format!("! {}", escape(warning))))?;
    }
    Ok(())
}

/// Writes what was taken as JSON, and what could not be: the database and why.
pub fn taken_json(out: &mut dyn Write, taken: &[Taken], failed: &[(String, Error)]) -> Result<()> {
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
            "only": t.manifest.only.iter().map(TableName::to_string).collect::<Vec<_>>(),
            "tables": tables,
            "warnings": t.warnings,
        })
    };
    let snapshots: Vec<Json> = taken.iter().map(each).collect();
    let failed: Vec<Json> = failed
        .iter()
        .map(|(live, error)| json!({ "live": live, "error": error.to_string() }))
        .collect();
    json::document(out, json!({ "snapshots": snapshots, "failed": failed }))
}

/// Writes a list, newest first. `root` is left out of the paths.
pub fn list(
    out: &mut dyn Write,
    screen: Screen,
    root: &Path,
    snapshots: &[SnapshotInfo],
) -> Result<()> {
    let style = screen.style;
    if snapshots.is_empty() {
        writeln!(out, "no snapshots in {}", escape(&root.to_string_lossy()))?;
        return Ok(());
    }
    // The name is there to be copied: it is never cut, and the rest makes room.
    let wide = style.width >= 110;
    let namesakes = namesakes(snapshots.iter());
    let mut grid = Grid::new(style, if wide { "<<>>><<" } else { "<>><<" });
    let pick = |cells: [(String, Tone); 7]| {
        let keep = move |i: &usize| (wide || !matches!(i, 1 | 2)) && (namesakes || *i != 6);
        cells.into_iter().enumerate().filter(move |(i, _)| keep(i)).map(|(_, cell)| cell)
    };
    let titles = ["taken", "age", "tables", "rows", "size", "snapshot", "of"];
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
            (owner(info), Tone::Dim),
        ]));
    }
    grid.write(out)?;
    for info in snapshots {
        let name = info.path.file_name().unwrap_or_default().to_string_lossy();
        let damage = info.damage.iter().map(|d| format!("damaged: {d}"));
        for warning in damage.chain(info.series.in_part()).chain(info.warnings.clone()) {
            let text = format!("! {}: {}", escape(&name), escape(&warning));
            writeln!(out, "{}", style.paint(Tone::Changed, text))?;
        }
    }
    Ok(())
}

/// True when snapshots of several databases have one database's name in theirs.
fn namesakes<'a>(snapshots: impl Iterator<Item = &'a SnapshotInfo>) -> bool {
    let mut known = BTreeMap::new();
    snapshots.map(|info| &info.series).any(|series| {
        let owner = (&series.host, &series.location);
        *known.entry(&series.database).or_insert(owner) != owner
    })
}

/// Whose a snapshot is.
fn owner(info: &SnapshotInfo) -> String {
    escape(&info.series.to_string()).into_owned()
}

/// Writes a list as JSON.
pub fn list_json(out: &mut dyn Write, snapshots: &[SnapshotInfo]) -> Result<()> {
    json::document(out, json!({ "snapshots": snapshots }))
}

/// Writes what a policy keeps and removes; when it is done, with those that had to go and stay.
pub fn prune(
    out: &mut dyn Write,
    style: Style,
    plan: &PrunePlan,
    done: Option<&[Stays]>,
) -> Result<()> {
    let mut grid = Grid::new(style, "<<<");
    let stay = done.into_iter().flatten().map(|stays| &stays.snapshot);
    let kept = plan.keep.iter().map(|kept| &kept.snapshot);
    let namesakes = namesakes(kept.chain(stay).chain(&plan.remove));
    let name = |info: &SnapshotInfo| {
        let name = info.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = elide(&escape(&name), 60).into_owned();
        if namesakes { format!("{name}  {}", owner(info)) } else { name }
    };
    for kept in &plan.keep {
        let why = escape(&kept.reasons.join(", ")).into_owned();
        grid.row([
            ("keep".to_owned(), Tone::Extra),
            (name(&kept.snapshot), Tone::Plain),
            (why, Tone::Dim),
        ]);
    }
    for stays in done.into_iter().flatten() {
        grid.row([
            ("stays".to_owned(), Tone::Changed),
            (name(&stays.snapshot), Tone::Plain),
            (escape(&stays.error.to_string()).into_owned(), Tone::Dim),
        ]);
    }
    for info in &plan.remove {
        let word = if done.is_some() { "removed" } else { "remove" };
        grid.row([
            (word.to_owned(), Tone::Missing),
            (name(info), Tone::Plain),
            (bytes(info.bytes), Tone::Dim),
        ]);
    }
    grid.write(out)
}

/// Writes what a policy keeps and removes as JSON.
pub fn prune_json(out: &mut dyn Write, plan: &PrunePlan, done: Option<&[Stays]>) -> Result<()> {
    let stays = |s: &Stays| json!({ "snapshot": s.snapshot, "error": s.error.to_string() });
    let failed: Vec<Json> = done.into_iter().flatten().map(stays).collect();
    let removed = done.is_some();
    json::document(
        out,
        json!({ "keep": plan.keep, "remove": plan.remove, "removed": removed, "failed": failed }),
    )
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

/// Writes that a snapshot could not be read back at all as JSON.
pub fn unread_json(out: &mut dyn Write, path: &Path, error: &Error) -> Result<()> {
    json::document(out, json!({ "path": path, "whole": false, "error": error.to_string() }))
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
