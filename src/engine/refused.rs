//! A row that a server refused, in words: who has its key or its unique value, which parent it lacks.
//!
//! What an error means is each engine's own; the search for the row that stands in the way is
//! the same on all.

use crate::engine::stop::Stop;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::value::{Cells, ValueRef};

/// What a server's error says of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A unique index has its values already.
    Duplicate,
    /// A parent is missing, or children hang from it.
    Reference,
    /// A constraint, a trigger or the type of a column.
    Constraint,
}

/// The rows of a table, as its server finds them.
pub(crate) trait Holders {
    /// The key, in words, of a row with these values in these columns; the row with the key `own` is
    /// left out of the search.
    fn holder(
        &mut self,
        columns: &[String],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> impl Future<Output = Result<Option<String>, Stop>> + Send;
}

/// The reason and the details of a row whose key or unique values another row has: `cells` are the
/// images after, of which it is the `row`-th. `message` is the server's own word, for an index
/// that no column tells.
pub(crate) async fn duplicate(
    plan: &TablePlan,
    live: &mut impl Holders,
    message: String,
    (cells, row): (&Cells<'_>, usize),
    key: &[ValueRef<'_>],
) -> Result<(Reason, String), Stop> {
    if plan.op == Op::Insert
        && let Some(other) = live.holder(&plan.key.columns, key, None).await?
    {
        let detail = match other == words(&plan.key.columns, key) {
            true => "another row has this key".to_owned(),
            false => format!("live has it as {other}, which is the same key to the engine"),
        };
        return Ok((Reason::Exists, detail));
    }
    for unique in &plan.schema.uniques {
        let Some(names) = unique.columns.iter().cloned().collect::<Option<Vec<_>>>() else {
            continue;
        };
        let mut values = Vec::with_capacity(names.len());
        for name in &names {
            let Some(at) = plan.after.iter().position(|c| c.name == *name) else { break };
            values.push(cells.get(row, at)?);
        }
        if values.len() < names.len() || values.iter().any(|v| v.is_null()) {
            continue;
        }
        if let Some(other) = live.holder(&names, &values, Some(key)).await? {
            let columns = names.join(", ");
            let detail = match plan.op {
                Op::Insert => format!("recreated as {other}, which has the same {columns}"),
                _ => format!("{other} has the same {columns}"),
            };
            return Ok((Reason::Recreated, detail));
        }
    }
    Ok((Reason::Constraint, message))
}

/// Which parent a row may lack.
pub(crate) fn no_parent(plan: &TablePlan) -> String {
    let named = plan
        .schema
        .foreign_keys
        .iter()
        .map(|reference| format!("{} ({})", reference.parent, reference.columns.join(", ")));
    format!("a parent is missing: {}", named.collect::<Vec<_>>().join(" or "))
}

/// The server's own words, without the values that it adds to them.
pub(crate) fn message(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::Database(e) => e.message().to_owned(),
        e => e.to_string(),
    }
}

/// `id 412`, or `year 2024, code "a"`.
pub(crate) fn words(key: &[String], values: &[ValueRef<'_>]) -> String {
    let pairs = key.iter().zip(values).map(|(name, value)| format!("{name} {}", value.to_json()));
    pairs.collect::<Vec<_>>().join(", ")
}
