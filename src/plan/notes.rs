//! What a plan says besides its rows: what the engine does on its own, and what was
//! assumed.

use crate::diff::loss::Lost;
use crate::diff::pair::TablePair;
use crate::error::{Error, Result};
use crate::model::plan::Op;
use crate::model::table::{Affinity, Automatic, ForeignAction, TableName, TableSchema};

/// Integer keys from here on leave an AUTOINCREMENT counter little room.
const HUGE_ID: i64 = 1 << 62;

/// Columns by which applications mark rows as deleted instead of deleting them.
const SOFT_DELETE: [&str; 5] = ["deleted_at", "deleted", "is_deleted", "deleted_on", "removed_at"];

/// The notes for writing into this table with this operation; `written` are the names of
/// the columns that are written.
pub fn notes(schema: &TableSchema, op: Op, written: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    let verb = match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
    };
    for trigger in schema.triggers.iter().filter(|t| t.event == op.event()) {
        notes.push(format!(
            "trigger {} fires on each {verb}: audit rows and change feeds it writes are not undone",
            trigger.name
        ));
    }
    if !schema.foreign_keys.is_empty() {
        notes.push("foreign keys are enforced for these writes".into());
    }
    match op {
        Op::Insert => {
            let kept: Vec<&str> = schema
                .columns
                .iter()
                .filter(|c| !c.generated && !written.contains(&c.name))
                .map(|c| c.name.as_str())
                .collect();
            if !kept.is_empty() {
                notes.push(format!(
                    "not in the backup, left to their defaults: {}",
                    kept.join(", ")
                ));
            }
            let counters: Vec<&str> = schema
                .columns
                .iter()
                .filter(|c| c.affinity == Affinity::Postgres && written.contains(&c.name))
                .filter(|c| {
                    matches!(c.automatic, Some(Automatic::Counter | Automatic::CounterAlways))
                })
                .map(|c| c.name.as_str())
                .collect();
            if !counters.is_empty() {
                notes.push(format!(
                    "the counter of {} is raised past restored numbers; an undo leaves it there",
                    counters.join(", ")
                ));
            }
            if let Some(column) = schema
                .columns
                .iter()
                .find(|c| SOFT_DELETE.contains(&c.name.to_ascii_lowercase().as_str()))
            {
                notes.push(format!(
                    "the table marks deleted rows in {}: what is missing was removed by other means, \
                     and comes back as the backup has it",
                    column.name
                ));
            }
        }
        Op::Update => {
            let generated: Vec<&str> =
                schema.columns.iter().filter(|c| c.generated).map(|c| c.name.as_str()).collect();
            if !generated.is_empty() {
                notes.push(format!(
                    "generated columns follow on their own: {}",
                    generated.join(", ")
                ));
            }
            let held: Vec<&str> = schema
                .columns
                .iter()
                .filter(|c| c.automatic == Some(Automatic::UpdateTime))
                .filter(|c| !written.contains(&c.name))
                .map(|c| c.name.as_str())
                .collect();
            if !held.is_empty() {
                notes.push(format!("held as it is, against ON UPDATE: {}", held.join(", ")));
            }
        }
        Op::Delete => {}
    }
    notes
}

/// Says which table of the backup rows come from, where it is called otherwise.
pub fn elsewhere(pair: &TablePair) -> Option<String> {
    pair.elsewhere().map(|table| format!("from {table} of the backup"))
}

/// The note for restored ids that leave AUTOINCREMENT no room (its counter follows the
/// largest id ever and is never lowered; SQLite "AUTOINCREMENT", section 3).
pub fn huge_id(schema: &TableSchema, largest: Option<i64>) -> Option<String> {
    let largest = largest.filter(|id| *id >= HUGE_ID)?;
    let words = if schema.autoincrement {
        "moves the AUTOINCREMENT counter there for good; near 2^63 the next insert fails"
    } else {
        "is near the end of the id space"
    };
    Some(format!("restored id {largest} {words}"))
}

/// Columns that live demands and the backup can't give: NOT NULL without a default.
pub fn unfillable<'a>(schema: &'a TableSchema, written: &[String]) -> Vec<&'a str> {
    schema
        .columns
        .iter()
        .filter(|c| c.not_null && c.default.is_none() && !c.generated && c.automatic.is_none())
        .filter(|c| schema.rowid_alias.as_deref() != Some(c.name.as_str()))
        .filter(|c| !written.contains(&c.name))
        .map(|c| c.name.as_str())
        .collect()
}

/// True when a change of one of these columns would make the engine change children.
pub fn cascades(
    children: &[(&TableSchema, &crate::model::table::ForeignKey)],
    written: &[String],
) -> bool {
    children.iter().any(|(_, reference)| {
        !matches!(reference.on_update, ForeignAction::NoAction | ForeignAction::Restrict)
            && reference.parent_columns.iter().any(|c| written.contains(c))
    })
}

/// What is said of columns that are written back though a backup has lost something of them; `from`
/// are the backups that rows come from, where there are several.
///
/// # Errors
/// `Refused` for a column that `lossy` does not name: its values are not what they were.
pub fn refuse_lost(
    table: &TableName,
    lost: &[Lost],
    lossy: &[String],
    from: &[u8],
) -> Result<Vec<String>> {
    let named = |lost: &Lost| lossy.iter().any(|n| n.eq_ignore_ascii_case(&lost.column.name));
    let here = |lost: &&Lost| lost.backup.is_none_or(|number| from.contains(&number));
    let here: Vec<&Lost> = lost.iter().filter(here).collect();
    let unnamed: Vec<&&Lost> = here.iter().filter(|lost| !named(lost)).collect();
    if !unnamed.is_empty() {
        let words = unnamed.iter().map(|lost| format!("{}: {}", lost.column.name, lost.loss));
        let words: Vec<String> = words.collect();
        let mut names: Vec<&str> = unnamed.iter().map(|lost| lost.column.name.as_str()).collect();
        names.dedup();
        return Err(Error::refused(format!(
            "the backup does not hold the values of {table} as they were ({})",
            words.join("; ")
        ))
        .hint("take a backup that has them whole, where there is one: --backup ..")
        .hint(format!("write what this one has: --lossy {}", names.join(","))));
    }
    let words = |lost: &&Lost| {
        let Lost { column, loss, .. } = lost;
        format!("{}: {loss} in the backup, written as they are there", column.name)
    };
    Ok(here.iter().map(words).collect())
}
