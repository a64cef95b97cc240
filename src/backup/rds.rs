//! An export of Amazon RDS or Aurora to Parquet.
//!
//! ```text
//! export_info_<id>.json                       "status": "COMPLETE"
//! export_tables_info_<id>_from_1_to_N.json    "perTableStatus": [{"target": "db.schema.table", "status": "COMPLETE", ..}]
//! <db>/<schema>.<table>/<batch>/part-<n>-<uuid>.gz.parquet     newer exports
//! <db>/<schema>.<table>/part-<n>-<uuid>.gz.parquet             older ones
//! ```
//!
//! Only tables that are told to be complete are read. On MySQL the schema is the database. Dates, moments and
//! decimals may be text in the files (`originalTypeMappings`); as for all backups, live's
//! type says what becomes of it. Source: Amazon RDS User Guide, "Exporting DB snapshot data to Amazon S3", sections
//! "File naming convention" and "Data conversion".

use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;

use crate::backup::file::{file_name, regular, unreadable};
use crate::backup::folder::{Candidate, Named, entries};
use crate::backup::hive;
use crate::error::{Error, Result};
use crate::model::table::TableName;

/// What a table and an export say when all of it is there.
const COMPLETE: &str = "COMPLETE";

/// The most that a file of notes may hold.
const MOST_NOTES: u64 = 64 << 20;

/// An export.
#[derive(Clone, Debug)]
pub struct Export {
    /// When the snapshot was taken that was exported, where it says so.
    pub taken_at: Option<DateTime<FixedOffset>>,
    /// Its databases.
    pub databases: Vec<(String, Database)>,
}

/// A database of an export.
#[derive(Clone, Debug, Default)]
pub struct Database {
    /// The complete tables.
    pub tables: Vec<Candidate>,
    /// What a person should know before relying on it.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    status: String,
    snapshot_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tables {
    per_table_status: Vec<Told>,
}

/// What is told of a table.
#[derive(Deserialize)]
struct Told {
    target: String,
    status: String,
}

/// True for the name of a file that tells of an export or its tables.
pub fn is_info(path: &Path) -> bool {
    is_named(path, "export_info_") || is_named(path, "export_tables_info_")
}

fn is_named(path: &Path, start: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(start) && name.ends_with(".json")
}

/// True when a folder has the sign of an export.
pub fn is_one(folder: &Path) -> Result<bool> {
    Ok(entries(folder)?.iter().any(|(path, _)| is_named(path, "export_info_")))
}

/// Reads what an export tells of itself, and finds the files of its complete tables.
///
/// # Errors
/// `Damaged` when it is not complete, or does not tell of its tables.
pub fn export(folder: &Path) -> Result<Export> {
    let inside = entries(folder)?;
    let mut taken_at = None;
    let mut told: Option<Vec<Told>> = None;
    for (path, _) in &inside {
        if is_named(path, "export_info_") {
            let info: Info = notes(path, folder)?;
            if info.status != COMPLETE {
                return Err(Error::damaged(format!(
                    "the export {} is {}, not {COMPLETE}",
                    folder.display(),
                    info.status
                ))
                .hint("wait until it is complete, or export the snapshot again"));
            }
            let time = info.snapshot_time.as_deref();
            taken_at = time.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        } else if is_named(path, "export_tables_info_") {
            told.get_or_insert_default().extend(notes::<Tables>(path, folder)?.per_table_status);
        }
    }
    let Some(told) = told else {
        return Err(Error::damaged(format!(
            "the export {} has no export_tables_info file, so nothing tells which tables are complete",
            folder.display()
        ))
        .hint("copy the whole folder of the export"));
    };
    let mut databases = Vec::new();
    for (path, kind) in inside {
        if kind.is_dir() {
            let name = file_name(&path);
            databases.push((name.clone(), database(&path, &name, &told)?));
        }
    }
    databases.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Export { taken_at, databases })
}

fn database(folder: &Path, name: &str, told: &[Told]) -> Result<Database> {
    let mut found = Database::default();
    let mut seen = Vec::new();
    let inside = entries(folder)?;
    let mut folders: Vec<PathBuf> =
        inside.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(path, _)| path).collect();
    folders.sort();
    for path in folders {
        let shown = file_name(&path);
        let of_folder =
            |told: &&Told| target(&told.target, name).is_some_and(|t| is_of(&shown, &t));
        match told.iter().find(of_folder) {
            Some(told) if told.status == COMPLETE => {
                seen.push(told.target.as_str());
                found.tables.push(Candidate {
                    table: table_name(&target(&told.target, name).unwrap_or_default(), name),
                    parts: hive::parts_of(&path, true)?,
                    path,
                    named: Named::Parquet,
                });
            }
            Some(Told { status, .. }) => {
                let line = format!("{shown} is not read: the export tells that it is {status}");
                found.warnings.push(line);
            }
            None => {
                found.warnings.push(format!("{shown} is not read: the export tells nothing of it"))
            }
        }
    }
    let mut names: Vec<&TableName> = found.tables.iter().map(|table| &table.table).collect();
    names.sort();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::failed(format!(
            "the export has two tables that would be called {} here",
            twice[0]
        ))
        .hint("give the folder of one of them"));
    }
    for told in told.iter().filter(|told| told.status == COMPLETE) {
        if target(&told.target, name).is_some() && !seen.contains(&told.target.as_str()) {
            found.warnings.push(format!(
                "{} has no files: it was empty, or they are lost; it is not read",
                told.target
            ));
        }
    }
    Ok(found)
}

/// The `schema.table` of a target in this database.
fn target(target: &str, database: &str) -> Option<String> {
    let rest = target.strip_prefix(database)?.strip_prefix('.')?;
    Some(if rest.contains('.') { rest.to_owned() } else { target.to_owned() })
}

/// True when the folder is that of the table: some characters become `_`, and a hash may follow.
fn is_of(folder: &str, table: &str) -> bool {
    let table: String =
        table.chars().map(|c| if matches!(c, '\\' | '`' | '"' | ' ') { '_' } else { c }).collect();
    match folder.strip_prefix(&table) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('_').is_some_and(|hash| {
            hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        }),
        None => false,
    }
}

/// The table as a side calls it: without the engine's default schema.
fn table_name(table: &str, database: &str) -> TableName {
    match table.split_once('.') {
        Some((schema, name)) if schema == "public" || schema == database => TableName::bare(name),
        Some((schema, name)) => TableName { schema: Some(schema.into()), name: name.into() },
        None => TableName::bare(table),
    }
}

fn notes<T: for<'de> Deserialize<'de>>(path: &Path, folder: &Path) -> Result<T> {
    if regular(path, Some(folder))?.len() > MOST_NOTES {
        return Err(Error::refused(format!("{} is larger than 64 MiB", path.display())));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::damaged(format!("{} does not tell of an export", path.display())).because(e)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_by_their_folders() {
        for (told, database, folder, name) in [
            ("app.public.events", "app", "public.events", "events"),
            ("app.hr.staff", "app", "hr.staff", "hr.staff"),
            ("shop.shop.orders", "shop", "shop.orders", "orders"),
            ("shop.orders", "shop", "shop.orders", "orders"),
            ("app.public.my table", "app", "public.my_table", "my table"),
            ("app.public.Data", "app", "public.Data_7ADB5D19965123A2", "Data"),
        ] {
            let table = target(told, database).unwrap();
            assert!(is_of(folder, &table), "{told}");
            assert_eq!(table_name(&table, database).to_string(), name, "{told}");
        }
        assert_eq!(target("other.public.events", "app"), None);
        assert_eq!(target("apple.events", "app"), None);
        for other in ["public.event", "public.events2", "public.events_7ADB"] {
            assert!(!is_of(other, "public.events"), "{other}");
        }
    }
}
