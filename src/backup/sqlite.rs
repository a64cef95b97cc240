//! A SQLite file as a backup: the engine reads it, without a trace on it.

use std::path::Path;
use std::sync::Arc;

use crate::backup::database::Database;
use crate::error::{Error, Result};
use crate::registry;
use crate::source::Source;

/// The first 16 bytes of a SQLite file ("Database File Format", section 1.3.1).
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Opens a SQLite file as a backup.
pub async fn open(path: &Path, parallelism: usize) -> Result<Arc<dyn Source>> {
    let path = path
        .to_str()
        .ok_or_else(|| Error::usage(format!("the path {} is not UTF-8", path.display())))?;
    Ok(Arc::new(Database::new(registry::open_backup(path, parallelism).await?)))
}
