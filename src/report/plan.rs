//! The screen and the JSON of a plan.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use crate::error::Result;
use crate::model::origin::Origin;
use crate::model::plan::{Op, PlanHeader, Skipped, TablePlan};
use crate::report::histogram::{self, Days};
use crate::report::json;
use crate::report::sides::{Provenance, Screen, sides};
use crate::report::text::{Style, Tone, ago_text, count, escape, plural, shell_word};

/// The days of one column, before and after, by table index in the plan.
#[derive(Clone, Debug)]
pub struct ColumnDays {
    /// The index in [`PlanHeader::tables`].
    pub table: usize,
    /// The column's name.
    pub column: String,
    /// Live's values as the plan saw them.
    pub before: Days,
    /// The planned values.
    pub after: Days,
}

/// Writes the head, the tables and the notes; what to type next is the command's to say.
pub fn screen(
    out: &mut dyn Write,
    screen: Screen,
    plan: &PlanHeader,
    from: &Provenance,
    days: &[ColumnDays],
) -> Result<()> {
    let style = screen.style;
    // What is selected is never cut: it is what a person agrees to.
    let (title, condition) = match plan.title.split_once(" where ") {
        Some((title, condition)) => (title, Some(condition)),
        None => (plan.title.as_str(), None),
    };
    let head = format!("PLAN {}", escape(&plan.id));
    writeln!(out, "{}   {}", style.paint(Tone::Strong, head), escape(title))?;
    if let Some(condition) = condition {
        writeln!(out, "where   {}", escape(condition))?;
    }
    sides(out, screen, &plan.binding.live, "", plan.binding.backup.as_ref(), from)?;
    if let Some(undoes) = &plan.undoes {
        writeln!(out, "undoes  {}", escape(undoes))?;
    }
    let counts = plan
        .tables
        .iter()
        .flat_map(|t| std::iter::once(t.rows).chain(t.skipped.iter().map(|s| s.rows)));
    let digits = counts.map(|n| count(n).len()).max().unwrap_or(0);
    let several = plan.tables.len() > 1;
    let idle = |t: &TablePlan| several && t.rows == 0 && t.skipped.is_empty();
    for (index, table) in plan.tables.iter().enumerate().filter(|(_, t)| !idle(t)) {
        one(out, style, table, several, digits)?;
        let backups = plan.binding.backup.iter().flat_map(Origin::all);
        for (backup, rows) in backups.zip(&table.from) {
            let indent = if several { "      " } else { "    " };
            let text = format!("{:>digits$} from {}", count(*rows), escape(&backup.location));
            writeln!(out, "{indent}{}", style.paint(Tone::Dim, text))?;
        }
        for days in days.iter().filter(|d| d.table == index && d.before.tells() | d.after.tells()) {
            writeln!(out, "  {} by day", escape(&days.column))?;
            histogram::lines(out, style, &days.before, &days.after)?;
        }
    }
    match plan.tables.iter().filter(|t| idle(t)).count() as u64 {
        0 => {}
        n => {
            let text = format!("  nothing to write in {}", plural(n, "more table"));
            writeln!(out, "{}", style.paint(Tone::Dim, text))?;
        }
    }
    notes(out, style, plan.tables.iter().filter(|t| !idle(t)), several)?;
    if plan.atomic {
        writeln!(out, "all in one transaction (--atomic)")?;
    }
    let until = ago_text(&plan.expires_at, screen.now);
    if let Some(until) = until {
        let word = if until.ends_with("ago") { "expired" } else { "expires" };
        writeln!(out, "{}", style.paint(Tone::Dim, format!("{word} {until}")))?;
    }
    Ok(())
}

/// What the engine does besides, a line a note with the tables that it is about.
fn notes<'p>(
    out: &mut dyn Write,
    style: Style,
    tables: impl Iterator<Item = &'p TablePlan>,
    several: bool,
) -> Result<()> {
    let mut all: Vec<(&str, Vec<String>)> = Vec::new();
    for table in tables {
        for note in &table.notes {
            let name = escape(&table.table.to_string()).into_owned();
            match all.iter_mut().find(|(text, _)| text == note) {
                Some((_, names)) => names.push(name),
                None => all.push((note, vec![name])),
            }
        }
    }
    for (note, names) in all {
        let of = if several { format!("{}: ", names.join(", ")) } else { String::new() };
        let text = format!("! {of}{}", escape(note));
        writeln!(out, "{}", style.paint(Tone::Changed, text))?;
    }
    Ok(())
}

fn one(
    out: &mut dyn Write,
    style: Style,
    table: &TablePlan,
    several: bool,
    digits: usize,
) -> Result<()> {
    let (sign, verb, tone) = match table.op {
        Op::Insert => ("+", "inserted", Tone::Extra),
        Op::Update => ("~", "changed", Tone::Changed),
        Op::Delete => ("-", "deleted", Tone::Missing),
    };
    let name = escape(&table.table.to_string()).into_owned();
    let indent = if several { "    " } else { "  " };
    if several {
        writeln!(out, "  {}", style.paint(Tone::Strong, &name))?;
    }
    let columns: Vec<String> = table
        .after
        .iter()
        .filter(|c| table.op == Op::Update && !table.key.columns.contains(&c.name))
        .map(|c| escape(&c.name).into_owned())
        .collect();
    let columns = match columns.len() {
        0 => String::new(),
        n if n > 6 => format!(", {n} columns"),
        _ => format!(": {}", columns.join(", ")),
    };
    let tone = if table.rows == 0 { Tone::Dim } else { tone };
    let rows = format!(
        "{sign} {:>digits$} row{} would be {verb}",
        count(table.rows),
        plural_s(table.rows)
    );
    writeln!(out, "{indent}{}{columns}", style.paint(tone, rows))?;
    for Skipped { reason, rows } in &table.skipped {
        let text = format!("  {:>digits$} skipped: {}", count(*rows), escape(reason_words(reason)));
        writeln!(out, "{indent}{}", style.paint(Tone::Dim, text))?;
    }
    Ok(())
}

fn plural_s(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// A skip reason in words; an unknown one as it is.
pub fn reason_words(reason: &str) -> &str {
    match reason {
        "untouched" => "untouched since the backup",
        "not_in_backup" => "not in the backup",
        "backup_null" => "NULL in the backup (--allow-null writes them)",
        "live_null" => "NULL in live (--include-null writes them)",
        "ambiguous_key" => "the key is not unique",
        "unkeyable" => "the key is NULL or can't be matched",
        "lossy" => "differ in nothing but what the backup has lost",
        "already_equal" => "already as in the backup",
        "recreated" => "re-created live under another key",
        "unfit" => "with a value that live's type can't hold",
        "reissued_key" => "the key now belongs to another row",
        other => other,
    }
}

/// The line that says what to type next, after a dry run; `name` is the plan's id or file.
pub fn next(out: &mut dyn Write, plan: &PlanHeader, name: &str) -> Result<()> {
    let rows: u64 = plan.tables.iter().map(|t| t.rows).sum();
    if rows == 0 {
        writeln!(out, "nothing to do: {} to write", plural(0, "row"))?;
    } else {
        writeln!(out, "nothing written.  next: restorekit apply {}", shell_word(name))?;
    }
    Ok(())
}

/// The JSON of a plan; `file` is where it is saved.
pub fn json(out: &mut dyn Write, plan: &PlanHeader, file: &str) -> Result<()> {
    let tables: Vec<Json> = plan
        .tables
        .iter()
        .map(|table| {
            let rows = |op| if table.op == op { table.rows } else { 0 };
            let skipped: Map<String, Json> =
                table.skipped.iter().map(|s| (s.reason.clone(), Json::from(s.rows))).collect();
            let mut body = json!({
                "table": table.table.to_string(),
                "insert": rows(Op::Insert),
                "update": rows(Op::Update),
                "skipped": skipped,
                "notes": table.notes,
            });
            if let Json::Object(members) = &mut body {
                if table.op == Op::Delete {
                    members.insert("delete".to_owned(), Json::from(table.rows));
                }
                if !table.from.is_empty() {
                    let backups = plan.binding.backup.iter().flat_map(Origin::all);
                    let from = backups.zip(table.from.iter().chain(std::iter::repeat(&0)));
                    let from = from.map(|(b, n)| json!({"backup": b.location, "rows": n}));
                    members.insert("from".to_owned(), from.collect());
                }
            }
            body
        })
        .collect();
    json::document(
        out,
        json!({
            "plan": plan.id,
            "file": file,
            "title": plan.title,
            "created_at": plan.created_at,
            "expires_at": plan.expires_at,
            "live": plan.binding.live,
            "backup": plan.binding.backup,
            "undoes": plan.undoes,
            "tables": tables,
        }),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::origin::Identity;
    use crate::model::plan::Binding;
    use crate::model::table::{Carrier, Key, KeyOrigin, TableKind, TableName, TableSchema};
    use crate::report::rows::tests::column;
    use crate::report::sides::tests::{origins, screen as at};

    pub(crate) fn patch() -> PlanHeader {
        let (live, backup) = origins();
        let columns = vec![column("id", Carrier::Int), column("cancelled_at", Carrier::Text)];
        let key = Key { columns: vec!["id".into()], origin: KeyOrigin::PrimaryKey };
        let name = TableName::bare("variants");
        let skipped = [("untouched", 985), ("not_in_backup", 211)];
        PlanHeader {
            id: "7f3a2c".into(),
            command: "patch".into(),
            title: "variants.cancelled_at ← backup.updated_at".into(),
            undoes: None,
            created_at: "2024-03-18T02:59:00-04:00".into(),
            expires_at: "2024-03-19T02:59:00-04:00".into(),
            binding: Binding {
                target: Identity::Sqlite {
                    host: "h".into(),
                    dev: 1,
                    ino: 2,
                    path: "/srv/prod.db".into(),
                },
                live,
                backup: Some(backup),
                backup_digest: None,
                witnesses: vec![],
                tool: "0.1.0".into(),
            },
            atomic: false,
            adapts: false,
            tables: vec![TablePlan {
                table: name.clone(),
                op: Op::Update,
                key: key.clone(),
                before: columns.clone(),
                after: columns.clone(),
                schema: TableSchema {
                    name,
                    kind: TableKind::Base,
                    columns,
                    keys: vec![key],
                    uniques: vec![],
                    foreign_keys: vec![],
                    triggers: vec![],
                    rowid_alias: None,
                    without_rowid: false,
                    autoincrement: false,
                    unwritable: None,
                    left_out: Vec::new(),
                    ddl: String::new(),
                },
                rows: 40_655,
                skipped: skipped.map(|(r, rows)| Skipped { reason: r.into(), rows }).to_vec(),
                notes: vec!["trigger touch fires on UPDATE".into()],
                from: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_plan_screen() {
        let mut days = ColumnDays {
            table: 0,
            column: "cancelled_at".into(),
            before: Days::default(),
            after: Days::default(),
        };
        for i in 0..50 {
            days.before.add(Some(b"2024-05-02 10:00:00"));
            days.after.add(Some(format!("2024-0{}-01 10:00:00", 1 + i % 5).as_bytes()));
        }
        let from = Provenance {
            live: Some("restorekit.toml".into()),
            backup: Some("the last diff, 12 min ago".into()),
        };
        let mut out = Vec::new();
        screen(&mut out, at(), &patch(), &from, &[days]).unwrap();
        next(&mut out, &patch(), "7f3a2c").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        PLAN 7f3a2c   variants.cancelled_at ← backup.updated_at
        live    prod.db  SQLite                            from restorekit.toml
        backup  snap/    restorekit snapshot, 4 d 7 h ago  from the last diff, 12 min ago
          ~ 40,655 rows would be changed: cancelled_at
               985 skipped: untouched since the backup
               211 skipped: not in the backup
          cancelled_at by day
          before  2024-05-02 ██████████████████ 100 %
          after   2024-01 █████ 2024-05   busiest 2024-01-01 20.0 %
        ! trigger touch fires on UPDATE
        expires in 23 h 59 min
        nothing written.  next: restorekit apply 7f3a2c
        "#);
    }

    #[test]
    fn plan_json() {
        let mut out = Vec::new();
        json(&mut out, &patch(), "7f3a2c.rkplan").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"format_version":"1","plan":"7f3a2c","file":"7f3a2c.rkplan","title":"variants.cancelled_at ← backup.updated_at","created_at":"2024-03-18T02:59:00-04:00","expires_at":"2024-03-19T02:59:00-04:00","live":{"location":"prod.db","kind":"SQLite"},"backup":{"location":"snap/","kind":"restorekit snapshot","taken_at":"2024-03-14T00:00:00Z"},"undoes":null,"tables":[{"table":"variants","insert":0,"update":40655,"skipped":{"untouched":985,"not_in_backup":211},"notes":["trigger touch fires on UPDATE"]}]}"#);
    }
}
