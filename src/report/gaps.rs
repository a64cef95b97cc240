//! The screen of a gap report.

use std::io::Write;

use crate::error::Result;
use crate::model::summary::GapReport;
use crate::report::text::{Style, Tone, count, escape, number, plural, shell_word, width};

/// How many runs a screen lists.
const LISTED: usize = 8;

/// Writes the screen. `backup` is false when no backup was asked, `repeat` as in
/// [`diff::screen`](crate::report::diff::screen).
pub fn screen(
    out: &mut dyn Write,
    style: Style,
    report: &GapReport,
    backup: bool,
    repeat: &str,
) -> Result<()> {
    let name = format!("{}.{}", escape(&report.table), escape(&report.column));
    let name = style.paint(Tone::Strong, name);
    let (Some(first), Some(last)) = (report.first, report.last) else {
        writeln!(
            out,
            "{name}  no rows live{}",
            match report.recoverable {
                0 => String::new(),
                n => format!(", {} in the backup", count(n)),
            }
        )?;
        return Ok(());
    };
    writeln!(
        out,
        "{name}  {} … {}   present {}   missing {} in {}",
        number(first),
        number(last),
        count(report.present),
        style.paint(
            if report.missing > 0 { Tone::Missing } else { Tone::Extra },
            count(report.missing)
        ),
        plural(report.runs.len() as u64, "run"),
    )?;
    if report.missing == 0 {
        writeln!(out, "no gaps")?;
        return Ok(());
    }
    let low = report.runs.first().map_or(first, |r| r.0.min(first));
    let high = report.runs.last().map_or(last, |r| r.1.max(last));
    let (left, right) = (number(low), number(high));
    let cells = style.width.saturating_sub(left.len() + right.len() + 2).clamp(10, 60);
    writeln!(out, "{left} {} {right}", density(low, high, &report.runs, cells))?;
    if backup {
        writeln!(
            out,
            "in the backup {}: recoverable     in no backup {}",
            style.paint(Tone::Extra, count(report.recoverable)),
            style.paint(
                if report.unrecoverable > 0 { Tone::Missing } else { Tone::Plain },
                count(report.unrecoverable)
            ),
        )?;
    }
    for of in &report.backups {
        let has = count(of.recoverable);
        let first = match of.first == of.recoverable {
            true => String::new(),
            false => format!(", {} of them in none before it", count(of.first)),
        };
        writeln!(out, "  {has} in {}{first}", escape(&of.backup))?;
    }
    runs(out, style, "largest gaps", &report.runs)?;
    if backup && report.unrecoverable > 0 {
        runs(out, style, "in no backup", &report.unrecoverable_runs)?;
    }
    let note = "a gap alone is no proof of loss: sequences also skip ids on rollback";
    writeln!(out, "{}", style.paint(Tone::Dim, note))?;
    if report.recoverable > 0 {
        let repeat = if repeat.is_empty() { String::new() } else { format!(" {repeat}") };
        let table = shell_word(&report.table);
        writeln!(out, "\nnext: restorekit restore --table {table}{repeat} --dry-run")?;
    }
    Ok(())
}

/// A cell a stretch of ids: `█` all there, `▓` most, `▒` half, `░` few, a space none.
fn density(low: i64, high: i64, runs: &[(i64, i64)], cells: usize) -> String {
    let span = high.abs_diff(low) as u128 + 1;
    let cells = (cells as u128).min(span);
    let edge = |cell: u128| low as i128 + (span * cell / cells) as i128;
    let mut next = 0;
    (0..cells)
        .map(|cell| {
            let (from, to) = (edge(cell), edge(cell + 1));
            let mut absent = 0;
            while let Some((a, b)) = runs.get(next).map(|&(a, b)| (a as i128, b as i128)) {
                absent += (to.min(b + 1) - from.max(a)).max(0);
                if b >= to {
                    break;
                }
                next += 1;
            }
            match (absent, absent * 100 / (to - from)) {
                (0, _) => '█',
                (_, 0..=33) => '▓',
                (_, 34..=66) => '▒',
                (n, _) if n < to - from => '░',
                _ => ' ',
            }
        })
        .collect()
}

fn runs(out: &mut dyn Write, style: Style, title: &str, all: &[(i64, i64)]) -> Result<()> {
    let mut largest: Vec<(i64, i64)> = all.to_vec();
    largest.sort_by_key(|(a, b)| (std::cmp::Reverse(b.abs_diff(*a)), *a));
    largest.truncate(LISTED);
    let words = |&(a, b): &(i64, i64)| if a == b { a.to_string() } else { format!("{a}–{b}") };
    let rest = |shown: usize| match all.len() - shown {
        0 => String::new(),
        n => format!(" and {}", plural(n as u64, "more run")),
    };
    let line = |largest: &[(i64, i64)]| {
        let mut shown = largest.to_vec();
        shown.sort_unstable();
        let shown: Vec<String> = shown.iter().map(words).collect();
        format!("{title}: {}{}", shown.join(", "), rest(largest.len()))
    };
    while largest.len() > 1 && width(&line(&largest)) > style.width {
        largest.pop();
    }
    writeln!(out, "{}", line(&largest))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_where_ids_are_gone() {
        assert_eq!(density(1, 100, &[(11, 20), (25, 26), (81, 99)], 10), "█ ▓█████ ░");
        assert_eq!(density(1, 3, &[(2, 2)], 10), "█ █");
        assert_eq!(density(i64::MIN, i64::MAX, &[(0, 5)], 4), "██▓█");
    }

    #[test]
    fn a_gap_screen() {
        let report = GapReport {
            table: "events".into(),
            column: "id".into(),
            first: Some(1),
            last: Some(30_007),
            present: 27_481,
            missing: 2_526,
            runs: vec![(100, 2_608), (20_000, 20_016)],
            recoverable: 2_509,
            unrecoverable: 17,
            unrecoverable_runs: vec![(20_000, 20_016)],
            backups: Vec::new(),
        };
        let mut out = Vec::new();
        screen(&mut out, Style::plain(), &report, true, "").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        events.id  1 … 30,007   present 27,481   missing 2,526 in 2 runs
        1 ░    ▓█████████████████████████████████▓▓███████████████████ 30,007
        in the backup 2,509: recoverable     in no backup 17
        largest gaps: 100–2608, 20000–20016
        in no backup: 20000–20016
        a gap alone is no proof of loss: sequences also skip ids on rollback

        next: restorekit restore --table events --dry-run
        "#);
    }
}
