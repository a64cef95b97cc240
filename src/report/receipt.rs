//! The screen and the JSON of a receipt.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::model::conflict::Conflict;
use crate::model::receipt::Receipt;
use crate::report::json;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, count, elide, escape, plural, seconds, width};

/// How many conflicts a screen lists.
const LISTED: usize = 10;

/// Writes the screen.
pub fn screen(out: &mut dyn Write, style: Style, receipt: &Receipt) -> Result<()> {
    writeln!(
        out,
        "{} {}   {}   {}",
        style.paint(Tone::Strong, "RECEIPT"),
        style.paint(Tone::Strong, escape(&receipt.operation)),
        escape(&receipt.started_at),
        seconds(receipt.seconds)
    )?;
    let mut grid = Grid::new(style, "<>>>>").indent(2);
    grid.header(["", "planned", "written", "already", "conflicts"]);
    for table in &receipt.tables {
        let conflicts = if table.conflicts > 0 { Tone::Changed } else { Tone::Dim };
        let already = if table.already > 0 { Tone::Plain } else { Tone::Dim };
        grid.row([
            (elide(&escape(&table.table), 40).into_owned(), Tone::Plain),
            (count(table.planned), Tone::Plain),
            (count(table.written), Tone::Extra),
            (count(table.already), already),
            (count(table.conflicts), conflicts),
        ]);
    }
    grid.write(out)?;
    conflicts(out, style, receipt)?;
    let written: u64 = receipt.tables.iter().map(|t| t.written).sum();
    let operation = escape(&receipt.operation).into_owned();
    if receipt.stopped {
        let text = "stopped: some batches are not applied";
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
        writeln!(out, "go on:  restorekit apply {} --resume", escape(&receipt.plan))?;
    }
    match (written, receipt.verified) {
        (0, _) => writeln!(out, "nothing was written")?,
        (n, true) => {
            let text = format!("verified: {} re-read, all match", plural(n, "row"));
            writeln!(out, "{}", style.paint(Tone::Extra, text))?;
        }
        // The application writes on: that a row moved since is news, not a failure.
        (n, false) if !receipt.changed_since.is_empty() => {
            let text =
                format!("{} written, of which some were changed by others since", plural(n, "row"));
            writeln!(out, "{}", style.paint(Tone::Changed, text))?;
            list(out, style, &receipt.changed_since, receipt.tables.len() > 1)?;
            writeln!(out, "check:  restorekit verify {operation}")?;
        }
        (n, false) => {
            let text = format!("not verified: {} written", plural(n, "row"));
            writeln!(out, "{}", style.paint(Tone::Changed, text))?;
            writeln!(out, "check:  restorekit verify {operation}")?;
        }
    }
    if written > 0 {
        writeln!(out, "undo:   restorekit undo {operation}")?;
    }
    Ok(())
}

/// Why rows were left alone: a count a reason, then the first rows.
fn conflicts(out: &mut dyn Write, style: Style, receipt: &Receipt) -> Result<()> {
    let all = receipt.conflict_count();
    if all == 0 {
        return Ok(());
    }
    let title = format!("left alone: {}", plural(all, "row"));
    writeln!(out, "{}", style.paint(Tone::Changed, title))?;
    list(out, style, &receipt.conflicts, receipt.tables.len() > 1)?;
    let listed = receipt.conflicts.len().min(LISTED) as u64;
    if all > listed {
        let more =
            format!("and {} more: restorekit show {}", count(all - listed), receipt.operation);
        writeln!(out, "  {}", escape(&more))?;
    }
    Ok(())
}

/// The first rows of a list, each with why.
fn list(out: &mut dyn Write, style: Style, rows: &[Conflict], with_table: bool) -> Result<()> {
    let shown: Vec<(String, String)> =
        rows.iter().take(LISTED).map(|c| one(c, with_table)).collect();
    let widest = shown.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let room = style.width.saturating_sub(widest + 6).max(30);
    let mut grid = Grid::new(style, "<<").indent(2);
    for (name, why) in shown {
        grid.plain_row([name, elide(&why, room).into_owned()]);
    }
    grid.write(out)
}

/// A list of rows with why they were left alone, all of them.
pub fn refused(
    out: &mut dyn Write,
    style: Style,
    title: &str,
    conflicts: &[Conflict],
) -> Result<()> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let title = format!("{title}: {}", plural(conflicts.len() as u64, "row"));
    writeln!(out, "{}", style.paint(Tone::Changed, title))?;
    let mut grid = Grid::new(style, "<<").indent(2);
    for conflict in conflicts {
        let (name, why) = one(conflict, true);
        grid.plain_row([name, why]);
    }
    grid.write(out)
}

/// A conflict's row and why, escaped.
fn one(conflict: &Conflict, with_table: bool) -> (String, String) {
    let key = match &conflict.key {
        Json::Object(members) => {
            let parts: Vec<String> = members.iter().map(|(k, v)| format!("{k}={v}")).collect();
            parts.join(" ")
        }
        other => other.to_string(),
    };
    let name = if with_table { format!("{} {key}", conflict.table) } else { key };
    let why = match conflict.detail.as_str() {
        "" => conflict.reason.as_str().to_owned(),
        detail => format!("{}: {detail}", conflict.reason.as_str()),
    };
    (elide(&escape(&name), 32).into_owned(), escape(&why).into_owned())
}

/// The JSON of an applied plan.
pub fn json(out: &mut dyn Write, receipt: &Receipt) -> Result<()> {
    json::document(
        out,
        json!({
            "operation": receipt.operation,
            "plan": receipt.plan,
            "started_at": receipt.started_at,
            "seconds": receipt.seconds,
            "tables": receipt.tables,
            "conflicts": receipt.conflicts,
            "changed_since": receipt.changed_since,
            "verified": receipt.verified,
            "stopped": receipt.stopped,
            "undo": format!("restorekit undo {}", receipt.operation),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::conflict::Reason;
    use crate::model::receipt::TableReceipt;

    fn receipt() -> Receipt {
        Receipt {
            operation: "01J9ZQ".into(),
            plan: "7f3a2c".into(),
            started_at: "2024-03-18T03:22:41-04:00".into(),
            seconds: 13.24,
            tables: vec![TableReceipt {
                table: "events".into(),
                planned: 2_509,
                written: 2_508,
                already: 0,
                conflicts: 1,
            }],
            changed_since: vec![],
            conflicts: vec![Conflict {
                table: "events".into(),
                key: json!({ "id": 412 }),
                reason: Reason::Recreated,
                detail: "email is taken by id 31007\u{1b}".into(),
            }],
            verified: true,
            stopped: false,
        }
    }

    #[test]
    fn a_receipt_screen() {
        let mut out = Vec::new();
        screen(&mut out, Style::plain(), &receipt()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        RECEIPT 01J9ZQ   2024-03-18T03:22:41-04:00   13.2 s
                  planned  written  already  conflicts
          events    2,509    2,508        0          1
        left alone: 1 row
          id=412  re-created under another key: email is taken by id 31007\u{1b}
        verified: 2,508 rows re-read, all match
        undo:   restorekit undo 01J9ZQ
        "#);
    }

    #[test]
    fn a_stopped_receipt_says_how_to_go_on() {
        let mut out = Vec::new();
        let stopped = Receipt { stopped: true, verified: false, conflicts: vec![], ..receipt() };
        screen(&mut out, Style::plain(), &stopped).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("restorekit apply 7f3a2c --resume"), "{text}");
        assert!(text.contains("not verified"), "{text}");
    }

    #[test]
    fn g1_rows_that_others_changed_since_are_told_as_such() {
        let mut out = Vec::new();
        let since = Conflict {
            reason: Reason::Data,
            detail: "title changed".into(),
            ..receipt().conflicts.remove(0)
        };
        let moved = Receipt { verified: false, changed_since: vec![since], ..receipt() };
        screen(&mut out, Style::plain(), &moved).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("2,508 rows written, of which some were changed"), "{text}");
        assert!(text.contains("title changed"), "{text}");
    }

    #[test]
    fn receipt_json() {
        let mut out = Vec::new();
        json(&mut out, &receipt()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"format_version":"1","operation":"01J9ZQ","plan":"7f3a2c","started_at":"2024-03-18T03:22:41-04:00","seconds":13.24,"tables":[{"table":"events","planned":2509,"written":2508,"already":0,"conflicts":1}],"conflicts":[{"table":"events","key":{"id":412},"reason":"recreated","detail":"email is taken by id 31007\u001b"}],"changed_since":[],"verified":true,"stopped":false,"undo":"restorekit undo 01J9ZQ"}"#);
    }
}
