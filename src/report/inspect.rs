//! The screen and the JSON of what a path is as a backup.

use std::io::Write;

use crate::backup::inspect::Inspection;
use crate::error::{Error, Result};
use crate::report::json;
use crate::report::sides::Screen;
use crate::report::table::Grid;
use crate::report::text::{Tone, ago_text, bytes, count, elide, escape, moment, plural};

/// Columns that a screen names of a table.
const NAMED: usize = 12;

/// Writes what was detected, why, and the tables.
pub fn screen(out: &mut dyn Write, screen: Screen, found: &Inspection) -> Result<()> {
    let style = screen.style;
    let location = style.paint(Tone::Strong, escape(&found.location));
    writeln!(out, "{location}  {}", escape(&found.kind))?;
    if let Some(taken) = &found.taken_at {
        let age = ago_text(taken, screen.now).map_or(String::new(), |age| format!(", {age}"));
        writeln!(out, "taken {}{age}", moment(taken))?;
    }
    for why in &found.why {
        writeln!(out, "{}", style.paint(Tone::Dim, format!("because {}", escape(why))))?;
    }
    writeln!(out)?;
    let mut grid = Grid::new(style, "<>><");
    grid.header(["table", "rows", "size", "columns"]);
    let room = style.width.saturating_sub(50).max(30);
    for table in &found.tables {
        let mut columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        let more = columns.len().saturating_sub(NAMED);
        columns.truncate(NAMED);
        let mut names = columns.join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        let unknown = || "?".to_owned();
        grid.row([
            (elide(&escape(&table.name.to_string()), 32).into_owned(), Tone::Strong),
            (table.rows.map_or_else(unknown, count), Tone::Plain),
            (table.bytes.map_or_else(unknown, bytes), Tone::Plain),
            (elide(&escape(&names), room).into_owned(), Tone::Dim),
        ]);
    }
    grid.write(out)?;
    if !found.older.is_empty() {
        let n = plural(found.older.len() as u64, "older backup");
        writeln!(out, "{n} beside it: @latest~1 and so on")?;
    }
    let problems = found.tables.iter().filter_map(|t| Some((t, t.problem.as_ref()?)));
    for (table, problem) in problems {
        let text = format!("✘ {}: {}", escape(&table.name.to_string()), escape(problem));
        writeln!(out, "{}", style.paint(Tone::Missing, text))?;
    }
    for warning in &found.warnings {
        writeln!(out, "{}", style.paint(Tone::Changed, format!("! {}", escape(warning))))?;
    }
    Ok(())
}

/// The same as JSON.
pub fn json(out: &mut dyn Write, found: &Inspection) -> Result<()> {
    let mut body = serde_json::to_value(found)
        .map_err(|e| Error::failed("the backup's description has no JSON").because(e))?;
    // A table is its name everywhere else too.
    for (table, member) in
        found.tables.iter().zip(body["tables"].as_array_mut().into_iter().flatten())
    {
        member["name"] = table.name.to_string().into();
    }
    json::document(out, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::inspect::InspectedTable;
    use crate::model::table::TableName;
    use crate::report::sides::tests::screen as at;

    #[test]
    fn an_inspection_says_why() {
        let found = Inspection {
            location: "snap/".into(),
            kind: "restorekit snapshot".into(),
            why: vec!["restorekit.json is there".into()],
            taken_at: Some("2024-03-14T00:00:00.123Z".into()),
            tables: vec![InspectedTable {
                name: TableName::bare("events"),
                rows: Some(30_000),
                columns: vec!["id".into(), "title".into()],
                bytes: Some(102_500),
                problem: Some("page 3 is torn".into()),
            }],
            warnings: vec!["unchecksummed".into()],
            older: vec!["snap~1".into()],
        };
        let mut out = Vec::new();
        screen(&mut out, at(), &found).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        snap/  restorekit snapshot
        taken 2024-03-14T00:00:00+00:00, 4 d 6 h ago
        because restorekit.json is there

        table     rows      size  columns
        events  30,000  102.5 kB  id, title
        1 older backup beside it: @latest~1 and so on
        ✘ events: page 3 is torn
        ! unchecksummed
        "#);
        let mut out = Vec::new();
        json(&mut out, &found).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(body["tables"][0]["name"], "events");
        assert_eq!(body["format_version"], "1");
    }
}
