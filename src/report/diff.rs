//! The screen of a diff.

use std::io::Write;

use crate::error::Result;
use crate::model::summary::{ColumnDiff, DiffSummary, FromBackup, Lossy, TableDiff};
use crate::report::sides::{Provenance, Screen, sides};
use crate::report::table::Grid;
use crate::report::text::{Style, Tone, bar, count, elide, escape, plural, shell_word, width};

const BAR: usize = 16;

/// Writes the screen. `repeat` is what the next command must say again, such as
/// `--live prod.db --backup snap/`; empty where the remembered diff supplies it.
pub fn screen(
    out: &mut dyn Write,
    screen: Screen,
    summary: &DiffSummary,
    from: &Provenance,
    repeat: &str,
) -> Result<()> {
    let style = screen.style;
    sides(out, screen, &summary.live, "read-only", Some(&summary.backup), from)?;
    writeln!(out)?;
    match summary.tables.as_slice() {
        [] => writeln!(out, "no table stands on both sides")?,
        [table] => one(out, style, table)?,
        tables => many(out, style, tables)?,
    }
    only(out, style, "only live, not compared", &summary.only_live)?;
    only(out, style, "only in the backup, not compared", &summary.only_backup)?;
    next(out, style, summary, repeat)
}

fn one(out: &mut dyn Write, style: Style, table: &TableDiff) -> Result<()> {
    let name = style.paint(Tone::Strong, escape(&table.table));
    if let Some(why) = &table.skipped {
        let why = style.paint(Tone::Changed, format!("not compared: {}", escape(why)));
        writeln!(out, "{name}  {why}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{name}  by {}   {} live, {} in the backup",
        escape(&table.key.join(", ")),
        plural(table.live_rows, "row"),
        count(table.backup_rows),
    )?;
    let most = table.missing.max(table.changed).max(table.extra).max(1);
    let mut grid = Grid::new(style, "<><<").indent(2);
    let mut add = |sign: &str, n: u64, tone: Tone, says: &str| {
        let tone = if n == 0 { Tone::Dim } else { tone };
        grid.row([
            (sign.to_owned(), tone),
            (count(n), tone),
            (bar(n, most, BAR), tone),
            (says.to_owned(), Tone::Dim),
        ]);
    };
    add("- missing", table.missing, Tone::Missing, "only in the backup");
    add("~ changed", table.changed, Tone::Changed, "in both, some column differs");
    add("+ extra", table.extra, Tone::Extra, "only live: newer, left alone");
    if table.ambiguous > 0 {
        add("? ambiguous", table.ambiguous, Tone::Changed, "key not unique: never written");
    }
    if table.unkeyable > 0 {
        add("? unkeyable", table.unkeyable, Tone::Changed, "key NULL or misfit: not matched");
    }
    if table.unfit > 0 {
        add("? unfit", table.unfit, Tone::Changed, "live's type can't hold a value: not compared");
    }
    if table.left_out > 0 {
        add("? left out", table.left_out, Tone::Changed, "--where can't judge them");
    }
    grid.row([
        ("= same".to_owned(), Tone::Plain),
        (count(table.same), Tone::Plain),
        (String::new(), Tone::Plain),
        (String::new(), Tone::Plain),
    ]);
    grid.write(out)?;
    by_backup(out, std::slice::from_ref(table))?;
    columns(out, style, std::slice::from_ref(table))?;
    lossy(out, style, std::slice::from_ref(table))?;
    not_compared(out, style, std::slice::from_ref(table))
}

fn many(out: &mut dyn Write, style: Style, tables: &[TableDiff]) -> Result<()> {
    let odd = tables.iter().any(|t| t.ambiguous + t.unjudged() > 0);
    let mut grid = Grid::new(style, "<>>>>>>");
    let mut head = vec!["table", "live", "backup", "- missing", "~ changed", "+ extra", "= same"];
    if odd {
        head.push("? unmatched");
    }
    grid.header(head);
    let room = style.width.saturating_sub(62).max(14);
    for table in tables {
        let name = elide(&escape(&table.table), room).into_owned();
        if table.skipped.is_some() {
            grid.row([(name, Tone::Plain), ("not compared".to_owned(), Tone::Changed)]);
            continue;
        }
        let quiet = !table.has_differences() && table.unjudged() == 0;
        let plain = if quiet { Tone::Dim } else { Tone::Plain };
        let cell = |n: u64, tone: Tone| match n {
            0 => ("·".to_owned(), Tone::Dim),
            n => (count(n), tone),
        };
        let mut cells = vec![
            (name, if quiet { Tone::Dim } else { Tone::Strong }),
            (count(table.live_rows), plain),
            (count(table.backup_rows), plain),
            cell(table.missing, Tone::Missing),
            cell(table.changed, Tone::Changed),
            cell(table.extra, Tone::Extra),
            (count(table.same), plain),
        ];
        if odd {
            cells.push(cell(table.ambiguous + table.unjudged(), Tone::Changed));
        }
        grid.row(cells);
    }
    grid.write(out)?;
    by_backup(out, tables)?;
    columns(out, style, tables)?;
    lossy(out, style, tables)?;
    not_compared(out, style, tables)?;
    for table in tables {
        if let Some(why) = &table.skipped {
            let text = format!("! {} was not compared: {}", escape(&table.table), escape(why));
            writeln!(out, "{}", style.paint(Tone::Changed, text))?;
        }
    }
    Ok(())
}

/// What each of several backups gives.
fn by_backup(out: &mut dyn Write, tables: &[TableDiff]) -> Result<()> {
    let single = tables.len() == 1;
    for table in tables {
        let gives = |of: fn(&FromBackup) -> u64, what: &str| {
            let given = table.from.iter().filter(|from| of(from) > 0);
            let given =
                given.map(|from| format!("{} from {}", count(of(from)), escape(&from.backup)));
            let given: Vec<String> = given.collect();
            let name = if single { String::new() } else { format!("{}: ", escape(&table.table)) };
            (!given.is_empty()).then(|| format!("  {name}{what}: {}", given.join(", ")))
        };
        let lines = [gives(|from| from.missing, "missing"), gives(|from| from.changed, "changed")];
        for line in lines.iter().flatten() {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn columns(out: &mut dyn Write, style: Style, tables: &[TableDiff]) -> Result<()> {
    if tables.iter().all(|t| t.columns.is_empty()) {
        return Ok(());
    }
    writeln!(out)?;
    let single = tables.len() == 1;
    let indent = if single { 2 } else { 0 };
    let name = |table: &TableDiff, column: &ColumnDiff| {
        let name = if single {
            column.column.clone()
        } else {
            format!("{}.{}", table.table, column.column)
        };
        elide(&escape(&name), 32).into_owned()
    };
    let title = "columns that differ";
    let all = || tables.iter().flat_map(|t| t.columns.iter().map(move |c| (t, c)));
    let names = all().map(|(t, c)| width(&name(t, c))).max().unwrap_or(0).max(width(title));
    let counts = all().map(|(_, c)| count(c.rows).len()).max().unwrap_or(0).max(4);
    let room = style.width.saturating_sub(indent + names + counts + 4).max(30);
    let mut grid = Grid::new(style, "<><").indent(indent);
    grid.header([title, "rows", "backup → live, most common"]);
    for (table, column) in all() {
        grid.row([
            (name(table, column), Tone::Plain),
            (count(column.rows), Tone::Changed),
            (common(column, room), Tone::Plain),
        ]);
    }
    grid.write(out)
}

/// The most common change of a column, or one of them when each differs.
fn common(column: &ColumnDiff, room: usize) -> String {
    let Some((backup, live, times)) = column.common.first() else {
        return String::new();
    };
    let times = match (column.rows, *times) {
        (1, _) => String::new(),
        (_, 1) => "  (each differs)".to_owned(),
        (_, n) => format!("  ({}×)", count(n)),
    };
    let room = room.saturating_sub(times.chars().count() + 3).max(16);
    let (backup, live) = (escape(backup), escape(live));
    // A short side leaves its room to the other.
    let half = room / 2;
    let for_backup = half.max(room.saturating_sub(width(&live)));
    let for_live = room.saturating_sub(width(&backup).min(for_backup)).max(half);
    format!("{} → {}{times}", elide(&backup, for_backup), elide(&live, for_live))
}

/// What the backup has lost, a line a column.
fn lossy(out: &mut dyn Write, style: Style, tables: &[TableDiff]) -> Result<()> {
    for (table, lost) in tables.iter().flat_map(|t| t.lossy.iter().map(move |lost| (t, lost))) {
        let of = if tables.len() == 1 { String::new() } else { format!("{}.", table.table) };
        let name = escape(&format!("{of}{}", lost.column)).into_owned();
        let text = format!("! {name}: {}", lossy_words(lost));
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
    }
    Ok(())
}

/// What a loss means for the counts.
pub fn lossy_words(lost: &Lossy) -> String {
    let differences = plural(lost.rows, "difference");
    let which =
        lost.backup.map_or_else(String::new, |number| format!(" {}", u64::from(number) + 1));
    format!("{} in the backup{which}: {differences} that it explains count as none", lost.how)
}

fn not_compared(out: &mut dyn Write, style: Style, tables: &[TableDiff]) -> Result<()> {
    for (table, other) in tables.iter().filter_map(|t| Some((&t.table, t.backup_table.as_ref()?))) {
        let text = format!("! {} is compared with {} of the backup", escape(table), escape(other));
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
    }
    for table in tables.iter().filter(|t| !t.not_compared.is_empty()) {
        let list: Vec<String> = table
            .not_compared
            .iter()
            .map(|c| format!("{} ({})", escape(&c.column), escape(&c.why)))
            .collect();
        let of = match tables.len() {
            1 => String::new(),
            _ => format!(" in {}", escape(&table.table)),
        };
        let text = format!("! not compared{of}: {}", list.join(", "));
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
    }
    Ok(())
}

fn only(out: &mut dyn Write, style: Style, says: &str, tables: &[String]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = tables.iter().map(|t| escape(t).into_owned()).collect();
    writeln!(out, "{}", style.paint(Tone::Changed, format!("! {says}: {}", names.join(", "))))?;
    Ok(())
}

fn next(out: &mut dyn Write, style: Style, summary: &DiffSummary, repeat: &str) -> Result<()> {
    let tables = &summary.tables[..];
    let repeat = if repeat.is_empty() { String::new() } else { format!(" {repeat}") };
    let mut lines = Vec::new();
    let missing: Vec<&TableDiff> = tables.iter().filter(|t| t.missing > 0).collect();
    if !missing.is_empty() {
        let tables: Vec<String> =
            missing.iter().map(|t| format!("--table {}", shell_word(&t.table))).collect();
        let tables =
            if tables.len() > 6 { String::new() } else { format!(" {}", tables.join(" ")) };
        lines.push(format!("restorekit restore{tables}{repeat} --dry-run"));
    }
    let changed = tables.iter().flat_map(|t| t.columns.iter().map(move |c| (t, c)));
    // The first of those that differ most.
    if let Some((table, column)) = changed.rev().max_by_key(|(_, c)| c.rows) {
        lines.push(format!(
            "restorekit patch --table {} --column {}{repeat} --dry-run",
            shell_word(&table.table),
            shell_word(&column.column)
        ));
    }
    if lines.is_empty() {
        let compared = tables.iter().filter(|t| t.skipped.is_none()).count();
        let partial = tables
            .iter()
            .any(|t| t.skipped.is_some() || !t.not_compared.is_empty() || t.unjudged() > 0)
            || tables.iter().any(|t| t.lossy.iter().any(|lost| lost.rows > 0))
            || !(summary.only_live.is_empty() && summary.only_backup.is_empty());
        let extra: u64 = tables.iter().map(|t| t.extra).sum();
        let odd: u64 = tables.iter().map(|t| t.ambiguous).sum();
        let text = match (compared, partial, extra + odd) {
            (0, ..) => return Ok(()),
            (_, _, 1..) => "nothing to bring back: no row is missing, none changed",
            (_, true, _) => "no difference in what was compared",
            (_, false, _) => "identical",
        };
        writeln!(out, "\n{}", style.paint(Tone::Extra, text))?;
        return Ok(());
    }
    writeln!(out)?;
    for line in lines {
        // Changed rows may as well be newer live: only a person knows which side is right.
        let title = if line.contains(" patch ") { "if live is stale:" } else { "next:" };
        writeln!(out, "{title} {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::summary::NotCompared;
    use crate::report::sides::tests::{origins, screen as at};

    fn events() -> TableDiff {
        TableDiff {
            table: "events".into(),
            key: vec!["id".into()],
            live_rows: 27_481,
            backup_rows: 29_902,
            missing: 2_509,
            changed: 412,
            extra: 88,
            same: 26_981,
            columns: vec![
                ColumnDiff {
                    column: "title".into(),
                    rows: 398,
                    common: vec![("a\x1b".into(), "b".into(), 1)],
                },
                ColumnDiff {
                    column: "starts_at".into(),
                    rows: 21,
                    common: vec![("2024-02-14T19:00:00Z".into(), "NULL".into(), 19)],
                },
            ],
            not_compared: vec![NotCompared { column: "note".into(), why: "only in live".into() }],
            backup_table: Some("app.events".into()),
            ..TableDiff::default()
        }
    }

    fn shown(tables: Vec<TableDiff>) -> String {
        told(tables, &["new"], &[])
    }

    fn told(tables: Vec<TableDiff>, only_live: &[&str], only_backup: &[&str]) -> String {
        let (live, backup) = origins();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (only_live, only_backup) = (owned(only_live), owned(only_backup));
        let summary = DiffSummary { live, backup, tables, only_live, only_backup };
        let mut out = Vec::new();
        screen(&mut out, at(), &summary, &Provenance::default(), "").unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_table_has_bars() {
        insta::assert_snapshot!(shown(vec![events()]), @r#"
        live    prod.db  SQLite, read-only
        backup  snap/    restorekit snapshot, 4 d 7 h ago

        events  by id   27,481 rows live, 29,902 in the backup
          - missing   2,509  ████████████████  only in the backup
          ~ changed     412  ██▋               in both, some column differs
          + extra        88  ▌                 only live: newer, left alone
          = same     26,981

          columns that differ  rows  backup → live, most common
          title                 398  a\u{1b} → b  (each differs)
          starts_at              21  2024-02-14T19:00:00Z → NULL  (19×)
        ! events is compared with app.events of the backup
        ! not compared: note (only in live)
        ! only live, not compared: new

        next: restorekit restore --table events --dry-run
        if live is stale: restorekit patch --table events --column title --dry-run
        "#);
    }

    #[test]
    fn several_tables_are_a_grid() {
        let same = TableDiff {
            table: "tags".into(),
            live_rows: 5,
            backup_rows: 5,
            same: 5,
            ..TableDiff::default()
        };
        let skipped = TableDiff {
            table: "log".into(),
            skipped: Some("no key".into()),
            ..TableDiff::default()
        };
        insta::assert_snapshot!(shown(vec![events(), same, skipped]), @r#"
        live    prod.db  SQLite, read-only
        backup  snap/    restorekit snapshot, 4 d 7 h ago

        table           live  backup  - missing  ~ changed  + extra  = same
        events        27,481  29,902      2,509        412       88  26,981
        tags               5       5          ·          ·        ·       5
        log     not compared

        columns that differ  rows  backup → live, most common
        events.title          398  a\u{1b} → b  (each differs)
        events.starts_at       21  2024-02-14T19:00:00Z → NULL  (19×)
        ! events is compared with app.events of the backup
        ! not compared in events: note (only in live)
        ! log was not compared: no key
        ! only live, not compared: new

        next: restorekit restore --table events --dry-run
        if live is stale: restorekit patch --table events --column title --dry-run
        "#);
    }

    #[test]
    fn identical_is_said_only_when_everything_was_compared() {
        let same = TableDiff {
            table: "t".into(),
            key: vec!["id".into()],
            same: 5,
            ..TableDiff::default()
        };
        let all = |table: &TableDiff| told(vec![table.clone()], &[], &[]);
        assert!(all(&same).contains("identical"));
        assert!(!told(vec![same.clone()], &["new"], &[]).contains("identical"));
        assert!(!told(vec![same.clone()], &[], &["gone"]).contains("identical"));
        let mut partial = same.clone();
        partial.not_compared.push(NotCompared { column: "c".into(), why: "ignored".into() });
        assert!(!all(&partial).contains("identical"));
        let unkeyed = TableDiff { unkeyable: 1, ..same };
        assert!(!all(&unkeyed).contains("identical"));
    }
}
