//! The inverse of an operation, as a plan: it goes through `apply` like any other, guarded
//! by the rows as the operation left them, and can be undone in turn.

use std::path::Path;

use chrono::{Duration, SecondsFormat, Utc};

use crate::error::{Error, Result};
use crate::plan::file::{PlanFile, Renewal};

/// Writes the plan that takes back what the operation of `plan` wrote: `path` and `id` are
/// the new plan's. Rows that changed since will be conflicts when it is applied.
///
/// # Errors
/// `Usage` when the plan was never applied; `Refused` when its operation has to be resumed
/// first.
pub async fn undo(plan: &PlanFile, path: &Path, id: &str, valid: Duration) -> Result<PlanFile> {
    let header = plan.header();
    let operation = plan.operation().await?.ok_or_else(|| {
        Error::usage(format!("plan {} was never applied: there is nothing to undo", header.id))
            .hint("restorekit log")
    })?;
    let now = Utc::now();
    let time = |t: chrono::DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Secs, true);
    let renewal = Renewal {
        id: id.to_owned(),
        command: format!("undo {}", operation.id),
        title: format!("undo of {}", header.title),
        undoes: operation.id,
        target: operation.target,
        created_at: time(now),
        expires_at: time(now + valid),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
    };
    plan.inverted(path, renewal).await
}
