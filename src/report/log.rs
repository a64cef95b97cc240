//! The list of plans and operations.

use std::io::Write;

use serde_json::json;

use crate::error::Result;
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Tone, ago_text, count, elide, escape};

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not applied.
    Planned,
    /// It was applied.
    Done,
    /// Applying it stopped part way.
    Stopped,
    /// It was applied, and taken back by this operation.
    Undone(String),
}

impl Outcome {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Planned => "planned",
            Outcome::Done => "done",
            Outcome::Stopped => "stopped",
            Outcome::Undone(_) => "undone",
        }
    }
}

/// One plan of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The plan's id.
    pub plan: String,
    /// Its operation's id.
    pub operation: Option<String>,
    /// When it was applied, else made; RFC 3339.
    pub at: String,
    /// `restore`, `patch`, `undo ..`.
    pub command: String,
    /// The selection in words.
    pub title: String,
    /// Live.
    pub live: String,
    /// Planned rows.
    pub planned: u64,
    /// Written rows, when it is done.
    pub written: Option<u64>,
    /// Rows left alone, when it is done.
    pub conflicts: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Writes the list as a screen.
pub fn screen(out: &mut dyn Write, screen: Screen, lines: &[Line]) -> Result<()> {
    let style = screen.style;
    if lines.is_empty() {
        writeln!(out, "no plans yet.  next: restorekit diff --live DB --backup PATH")?;
        return Ok(());
    }
    let mut grid = Grid::new(style, "<<<<>>");
    grid.header(["plan", "operation", "when", "", "planned", "written"]);
    for line in lines {
        let tone = match line.outcome {
            Outcome::Planned | Outcome::Undone(_) => Tone::Dim,
            Outcome::Done => Tone::Extra,
            Outcome::Stopped => Tone::Changed,
        };
        let age = ago_text(&line.at, screen.now).unwrap_or_else(|| line.at.clone());
        grid.row([
            (escape(&line.plan).into_owned(), Tone::Strong),
            (line.operation.as_deref().map_or("-".into(), |o| escape(o).into_owned()), Tone::Plain),
            (age, Tone::Dim),
            (line.outcome.as_str().to_owned(), tone),
            (count(line.planned), Tone::Plain),
            (line.written.map_or("-".into(), count), Tone::Plain),
        ]);
    }
    // What each plan selected stands under its numbers.
    let room = style.width.saturating_sub(4).max(30);
    let mut rows = grid.lines().into_iter();
    if let Some(head) = rows.next() {
        writeln!(out, "{head}")?;
    }
    for (row, line) in rows.zip(lines) {
        writeln!(out, "{row}")?;
        let title = elide(&escape(&line.title), room).into_owned();
        writeln!(out, "    {}", style.paint(Tone::Dim, title))?;
    }
    writeln!(out, "more: restorekit show PLAN")?;
    Ok(())
}

/// Writes the list as one JSON document.
pub fn json(out: &mut dyn Write, lines: &[Line]) -> Result<()> {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "plan": line.plan,
                "operation": line.operation,
                "at": line.at,
                "command": line.command,
                "title": line.title,
                "live": line.live,
                "planned": line.planned,
                "written": line.written,
                "conflicts": line.conflicts,
                "outcome": line.outcome.as_str(),
                "undone_by": match &line.outcome {
                    Outcome::Undone(by) => Some(by),
                    _ => None,
                },
            })
        })
        .collect();
    json::document(out, json!({ "plans": lines }))
}
