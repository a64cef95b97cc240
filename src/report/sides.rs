//! The two lines that head a screen: which live, which backup, and who said so.

use std::io::Write;

use chrono::{DateTime, FixedOffset};

use crate::error::Result;
use crate::model::origin::Origin;
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, ago_text, elide_head, escape, width};

/// Where a command's values came from, in words: `--live`, `restorekit.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Who named live.
    pub live: Option<String>,
    /// Who named the backup.
    pub backup: Option<String>,
}

/// When a screen is drawn and how.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Colours and width.
    pub style: Style,
    /// The present moment, against which ages are told.
    pub now: DateTime<FixedOffset>,
}

/// Writes the lines of live and backup. `access` says how live was opened (`read-only`).
pub fn sides(
    out: &mut dyn Write,
    screen: Screen,
    live: &Origin,
    access: &str,
    backup: Option<&Origin>,
    from: &Provenance,
) -> Result<()> {
    let style = screen.style;
    let mut rows = vec![("live", live, from.live.clone())];
    for (number, one) in backup.iter().flat_map(|backup| backup.all()).enumerate() {
        rows.push(("backup", one, from.backup.clone().filter(|_| number == 0)));
    }
    let detail = |side: &str, origin: &Origin| {
        let mut words = escape(&origin.kind).into_owned();
        if side == "live" && !access.is_empty() {
            words.push_str(&format!(", {access}"));
        }
        if let Some(taken) = &origin.taken_at {
            let age = ago_text(taken, screen.now).unwrap_or_else(|| escape(taken).into_owned());
            words.push_str(&format!(", {age}"));
        }
        words
    };
    // One line says it for both when both are from one place.
    let both = backup.is_some() && from.live.is_some() && from.live == from.backup;
    let who = |from: &Option<String>| match from {
        Some(from) if !both => format!("from {}", escape(from)),
        _ => String::new(),
    };
    let taken: usize = rows
        .iter()
        .map(|(side, origin, from)| width(&detail(side, origin)) + width(&who(from)) + 4)
        .max()
        .unwrap_or(0);
    let room = style.width.saturating_sub(8 + taken).max(28);
    let mut grid = Grid::new(style, "<<<<");
    for (side, origin, from) in &rows {
        let location = escape(&origin.location).into_owned();
        grid.row([
            (format!("{side:<6}"), Tone::Dim),
            (elide_head(&location, room).into_owned(), Tone::Strong),
            (detail(side, origin), Tone::Plain),
            (who(from), Tone::Dim),
        ]);
    }
    grid.write(out)?;
    if let (true, Some(from)) = (both, &from.live) {
        writeln!(out, "{}", style.paint(Tone::Dim, format!("        both from {}", escape(from))))?;
    }
    let of_live = live.warnings.iter().map(|w| ("live", w));
    let of_backups = backup.iter().flat_map(|b| b.all()).flat_map(|b| &b.warnings);
    let mut said: Vec<(&str, &String)> = Vec::new();
    for (side, warning) in of_live.chain(of_backups.map(|w| ("backup", w))) {
        // Several backups of one kind have it in common.
        if said.contains(&(side, warning)) {
            continue;
        }
        said.push((side, warning));
        let text = format!("! {side}: {}", escape(warning));
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn screen() -> Screen {
        let now = DateTime::parse_from_rfc3339("2024-03-18T03:00:00-04:00").unwrap();
        Screen { style: Style::plain(), now }
    }

    pub(crate) fn origins() -> (Origin, Origin) {
        let live = Origin {
            location: "prod.db".into(),
            kind: "SQLite".into(),
            taken_at: None,
            warnings: Vec::new(),
            ..Origin::default()
        };
        let backup = Origin {
            location: "snap/".into(),
            kind: "restorekit snapshot".into(),
            taken_at: Some("2024-03-14T00:00:00Z".into()),
            warnings: Vec::new(),
            ..Origin::default()
        };
        (live, backup)
    }

    #[test]
    fn the_head_names_both_sides_and_who_said_so() {
        let (live, mut backup) = origins();
        backup.warnings.push("unchecksummed\x1b".into());
        let from = Provenance { live: Some("--live".into()), backup: Some("the last diff".into()) };
        let mut out = Vec::new();
        sides(&mut out, screen(), &live, "read-only", Some(&backup), &from).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        live    prod.db  SQLite, read-only                 from --live
        backup  snap/    restorekit snapshot, 4 d 7 h ago  from the last diff
        ! backup: unchecksummed\u{1b}
        ");
    }
}
