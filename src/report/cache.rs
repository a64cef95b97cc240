//! The list of what is kept of dumps.

use std::io::Write;

use chrono::{DateTime, FixedOffset, Local, SecondsFormat};
use serde_json::json;

use crate::backup::dump::cache::{Cache, CachedDump};
use crate::error::Result;
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Tone, ago, bytes, count, elide, elide_head, escape};

/// Writes the list as a screen.
pub fn screen(
    out: &mut dyn Write,
    screen: Screen,
    cache: &Cache,
    dumps: &[CachedDump],
) -> Result<()> {
    let (style, place) = (screen.style, cache.folder().display().to_string());
    let held: u64 = dumps.iter().map(|dump| dump.bytes).sum();
    writeln!(out, "{}  {} of at most {}", escape(&place), bytes(held), bytes(cache.most()))?;
    if dumps.is_empty() {
        return Ok(());
    }
    let room = style.width.saturating_sub(50).max(24);
    let mut grid = Grid::new(style, "<<>><");
    grid.header(["dump", "tables", "rows", "size", "last used"]);
    for dump in dumps {
        let path = dump.path.display().to_string();
        grid.row([
            (elide_head(&escape(&path), room).into_owned(), Tone::Strong),
            (elide(&escape(&dump.tables.join(", ")), 24).into_owned(), Tone::Plain),
            (count(dump.rows), Tone::Plain),
            (bytes(dump.bytes), Tone::Plain),
            (ago(used(dump), screen.now), Tone::Dim),
        ]);
    }
    for line in grid.lines() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "forget it: restorekit cache --clear")?;
    Ok(())
}

/// Writes the list as one JSON document.
pub fn json(out: &mut dyn Write, cache: &Cache, dumps: &[CachedDump]) -> Result<()> {
    let lines: Vec<_> = dumps
        .iter()
        .map(|dump| {
            json!({
                "dump": dump.path.display().to_string(),
                "tables": dump.tables,
                "rows": dump.rows,
                "bytes": dump.bytes,
                "used_at": used(dump).to_rfc3339_opts(SecondsFormat::Secs, true),
            })
        })
        .collect();
    let folder = cache.folder().display().to_string();
    json::document(out, json!({ "folder": folder, "most_bytes": cache.most(), "dumps": lines }))
}

fn used(dump: &CachedDump) -> DateTime<FixedOffset> {
    DateTime::<Local>::from(dump.used).fixed_offset()
}
