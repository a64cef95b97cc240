//! Whether a plan may be applied to this target, now.

use chrono::{DateTime, Utc};

use crate::error::{Error, Result};
use crate::model::origin::Identity;
use crate::model::plan::PlanHeader;
use crate::model::table::{Column, TableSchema};
use crate::plan::file::Operation;
use crate::plan::witness::{Sighting, sight};
use crate::target::Target;

/// Where a plan would be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the database that it was made for.
    Planned,
    /// On another file, or on another host. The planned tables are declared alike there, and
    /// most of the rows that the plan remembers stand there as it saw them: it is that
    /// database moved, or a copy. Only a person can tell which.
    /// What was looked for stands with it, a table each; nothing when live had no rows.
    Elsewhere(Vec<Sighting>),
}

/// Tells where a plan would be applied.
///
/// # Errors
/// `Refused` when it is the place of some other database, or when the plan was used up
/// where it was applied.
pub(crate) async fn place(
    header: &PlanHeader,
    operation: Option<&Operation>,
    here: &Identity,
    target: &mut dyn Target,
) -> Result<Place> {
    let bound = operation.map_or(&header.binding.target, |o| &o.target);
    if here.same(bound) {
        return Ok(Place::Planned);
    }
    if let Some(operation) = operation.filter(|o| o.receipt.is_some() || !o.target.same_file(here))
    {
        let how = if operation.receipt.is_some() { "applied already" } else { "begun already" };
        return Err(Error::refused(format!(
            "plan {} was {how}: {}, as operation {}",
            header.id, operation.target, operation.id
        ))
        .hint(format!(
            "a plan is used once: plan again; restorekit show {} says what was asked",
            header.id
        )));
    }
    same_schemas(header, target).await?;
    let mut sightings = Vec::with_capacity(header.binding.witnesses.len());
    for witness in &header.binding.witnesses {
        sightings.push(sight(target, witness).await?);
    }
    match sightings.iter().find(|s| !s.holds()) {
        None => Ok(Place::Elsewhere(sightings)),
        Some(odd) => Err(Error::refused(format!(
            "plan {} was made for another database than {}: of {} rows of {} that it remembers, \
             {} stand there",
            header.id,
            here.location(),
            odd.rows,
            odd.table,
            odd.same
        ))
        .hint(format!(
            "plan again with --live naming this one; restorekit show {} says what was asked",
            header.id
        ))),
    }
}

/// The refusal of another place than the planned one, where no one named it.
pub(crate) fn another(header: &PlanHeader, here: &Identity) -> Error {
    let there = &header.binding.target;
    Error::refused(format!("plan {} was made for another database: {there}", header.id)).hint(
        format!(
            "if {} is that database, moved or copied, name it: restorekit apply {} --live {} \
             --expect-target {}",
            here.location(),
            header.id,
            here.location(),
            here.database(),
        ),
    )
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
        now.require_writable()?;
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
