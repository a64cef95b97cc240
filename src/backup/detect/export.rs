//! What an export of DuckDB is read as: its CSV as the rows of a dump, files that say
//! themselves what they hold as tables under their real names.

use std::path::Path;

use crate::backup::detect::{Found, Layout};
use crate::backup::dump::DumpKind;
use crate::backup::dump::duckdb::{Export, Format};
use crate::backup::folder::{Candidate, Named};
use crate::backup::hive;
use crate::backup::parts::Part;
use crate::error::Result;

/// What an export in `folder` is.
pub(super) fn found(export: Export, folder: &Path, why: Vec<String>) -> Result<Found> {
    let named = match export.format {
        Format::Csv => {
            let layout = Layout::Dump(folder.to_owned(), DumpKind::Duckdb);
            return Ok(Found { layout, why, warnings: Vec::new(), older: Vec::new() });
        }
        Format::Parquet => Named::Parquet,
        Format::Json => Named::JsonLines,
    };
    let mut tables = Vec::new();
    for (table, path) in export.tables {
        let parts = match named {
            // As PER_THREAD_OUTPUT leaves it.
            Named::Parquet if path.is_dir() => hive::parts_of(&path, false)?,
            Named::Parquet => vec![Part::whole(path.clone())],
            _ => Vec::new(),
        };
        tables.push(Candidate { table, path, named, parts });
    }
    let kind = DumpKind::Duckdb.words();
    let layout = Layout::Tables { kind, location: folder.to_owned(), taken_at: None, tables };
    Ok(Found { layout, why, warnings: Vec::new(), older: Vec::new() })
}
