//! Whether a plan may be applied to this target, now.

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::model::plan::PlanHeader;
use crate::model::table::{Column, TableSchema};
use crate::target::Target;

/// Refuses another database.
pub(crate) async fn same_target(header: &PlanHeader, target: &mut dyn Target) -> Result<()> {
    let planned = &header.binding.target;
    if target.identity().await?.same(planned) {
        return Ok(());
    }
    Err(Error::refused(format!(
        "plan {} was made for another database: {}",
        header.id, header.binding.live.location
    ))
    .hint(format!(
        "plan again with --live naming this one; restorekit show {} says what was asked",
        header.id
    )))
}

/// Refuses a plan that has expired.
pub(crate) fn not_expired(header: &PlanHeader, now: DateTime<Utc>) -> Result<()> {
    let expires = DateTime::parse_from_rfc3339(&header.expires_at).map_err(|e| {
        Error::refused(format!("plan {} has no valid expiry", header.id)).because(e)
    })?;
    if now < expires {
        return Ok(());
    }
    Err(Error::refused(format!("plan {} expired at {}", header.id, header.expires_at)).hint(
        format!(
            "plan again: live has moved on since; restorekit show {} says what was asked",
            header.id
        ),
    ))
}

/// Refuses when a planned table is no longer declared as it was.
pub(crate) async fn same_schemas(header: &PlanHeader, target: &mut dyn Target) -> Result<()> {
    for plan in &header.tables {
        let now = target.schema(&plan.table).await?;
        let moved = moved(&plan.schema, &now);
        if !moved.is_empty() {
            return Err(Error::refused(format!(
                "live: the schema of {} changed since the plan: {}",
                plan.table,
                moved.join(", ")
            ))
            .hint(format!("plan again; restorekit show {} says what was asked", header.id)));
        }
    }
    Ok(())
}

/// What of a table's declaration moved. How its values travel, and the form of its moments,
/// are guessed from samples, so they do not count.
fn moved(planned: &TableSchema, now: &TableSchema) -> Vec<&'static str> {
    let declared = |c: &Column| {
        let Column { name, declared, affinity, not_null, generated, default, collation, .. } =
            c.clone();
        (name, declared, affinity, not_null, generated, default, collation)
    };
    let columns = |s: &TableSchema| s.columns.iter().map(declared).collect::<Vec<_>>();
    let shape = |s: &TableSchema| (s.kind, s.rowid_alias.clone(), s.without_rowid, s.autoincrement);
    let mut moved = Vec::new();
    let mut note = |same: bool, what| {
        if !same {
            moved.push(what);
        }
    };
    note(columns(planned) == columns(now), "columns");
    note(shape(planned) == shape(now), "kind");
    note(alike(&planned.keys, &now.keys), "keys");
    note(alike(&planned.uniques, &now.uniques), "unique indexes");
    note(alike(&planned.foreign_keys, &now.foreign_keys), "foreign keys");
    note(alike(&planned.triggers, &now.triggers), "triggers");
    moved
}

/// The same elements in any order.
fn alike<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    a.len() == b.len() && a.iter().all(|x| b.contains(x))
}
