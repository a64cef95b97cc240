//! Why the server refused a row, in words, by its error numbers and SQLSTATE classes.

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::failure::{number, state};
use crate::engine::mysql::rows::tuple;
use crate::engine::mysql::session::{Session, Stop};
use crate::engine::mysql::write::sql;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::value::{Cells, Value, ValueRef};

/// What the server's error says of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A unique index has its values already.
    Duplicate,
    /// A parent is missing, or children hang from it.
    Reference,
    /// A constraint, a trigger or the type of a column.
    Constraint,
}

/// What an error says of the rows of its statement; `None` when it is not about rows.
pub(super) fn refused(e: &sqlx::Error) -> Option<Refused> {
    let class = state(e).and_then(|state| state.get(..2).map(str::to_owned));
    Some(match number(e)? {
        // ER_DUP_KEY, ER_DUP_ENTRY, ER_DUP_UNIQUE, ER_FOREIGN_DUPLICATE_KEY, ER_DUP_ENTRY_WITH_..
        1022 | 1062 | 1169 | 1557 | 1586 | 1761 | 1762 => Refused::Duplicate,
        1216 | 1217 | 1451 | 1452 | 1834 => Refused::Reference,
        // Out of range, truncated, wrong value, wrong charset or geometry, CHECK, JSON.
        1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 | 1416 | 1525 | 1526 | 1690 | 1748
        | 3140 | 3819 | 4025 | 4078 | 4079 => Refused::Constraint,
        // SIGNAL without a state of its own, and triggers that may not do what they do.
        1442 | 1644 => Refused::Constraint,
        _ => match class.as_deref() {
            Some("22" | "23" | "45" | "44") => Refused::Constraint,
            _ => return None,
        },
    })
}

/// Explains the refusals of one table's rows.
pub(super) struct Refusals<'a> {
    pub(super) plan: &'a TablePlan,
    pub(super) table: &'a Table,
    pub(super) key: Vec<&'a TableColumn>,
}

impl Refusals<'_> {
    /// The reason and the details of a refused row.
    pub(super) async fn explain(
        &self,
        session: &mut Session,
        kind: Refused,
        e: &sqlx::Error,
        after: Option<(&Cells<'_>, usize)>,
        key: &[ValueRef<'_>],
    ) -> Result<(Reason, String), Stop> {
        let message = match e {
            sqlx::Error::Database(e) => e.message().to_owned(),
            e => e.to_string(),
        };
        let duplicate = match kind {
            Refused::Duplicate => after,
            Refused::Constraint => return Ok((Reason::Constraint, message)),
            Refused::Reference => {
                let detail = match number(e) {
                    Some(1217 | 1451 | 1834) => "rows of another table reference it".to_owned(),
                    _ => format!("a parent is missing: {}", self.references()),
                };
                return Ok((Reason::ForeignKey, detail));
            }
        };
        let Some((cells, row)) = duplicate else { return Ok((Reason::Constraint, message)) };
        if self.plan.op == Op::Insert
            && let Some(other) = self.holder(session, &self.key, key, None).await?
        {
            let own = words(&self.key, key);
            let detail = match other == own {
                true => "another row has this key".to_owned(),
                false => format!("live has it as {other}, which is the same key to the engine"),
            };
            return Ok((Reason::Exists, detail));
        }
        for unique in &self.plan.schema.uniques {
            let Some(names) = unique.columns.iter().cloned().collect::<Option<Vec<_>>>() else {
                continue;
            };
            let mut columns = Vec::with_capacity(names.len());
            let mut values = Vec::with_capacity(names.len());
            for name in &names {
                let Some(at) = self.plan.after.iter().position(|c| c.name == *name) else { break };
                columns.push(self.table.require(name)?);
                values.push(cells.get(row, at)?);
            }
            if values.len() < names.len() || values.iter().any(|v| v.is_null()) {
                continue;
            }
            if let Some(other) = self.holder(session, &columns, &values, Some(key)).await? {
                let columns = names.join(", ");
                let detail = match self.plan.op {
                    Op::Insert => format!("recreated as {other}, which has the same {columns}"),
                    _ => format!("{other} has the same {columns}"),
                };
                return Ok((Reason::Recreated, detail));
            }
        }
        Ok((Reason::Constraint, message))
    }

    fn references(&self) -> String {
        let named =
            self.plan.schema.foreign_keys.iter().map(|reference| {
                format!("{} ({})", reference.parent, reference.columns.join(", "))
            });
        named.collect::<Vec<_>>().join(" or ")
    }

    /// The key, in words, of a row with these values; `own` is left out of the search.
    async fn holder(
        &self,
        session: &mut Session,
        columns: &[&TableColumn],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> Result<Option<String>, Stop> {
        let forms: Vec<_> = self.key.iter().map(|c| c.form).collect();
        let newest = session.newest;
        let mut found = None;
        session
            .query(&sql::holder(self.table, &self.key, columns, newest), values, |row| {
                let this = tuple(row, 0, &forms)?;
                let this: Vec<ValueRef<'_>> = this.iter().map(Value::as_ref).collect();
                if own != Some(&this[..]) {
                    found = Some(words(&self.key, &this));
                }
                Ok(true)
            })
            .await?;
        Ok(found)
    }
}

/// `id 412`, or `year 2024, code "a"`.
fn words(key: &[&TableColumn], values: &[ValueRef<'_>]) -> String {
    let pairs = key.iter().zip(values).map(|(c, v)| format!("{} {}", c.name, v.to_json()));
    pairs.collect::<Vec<_>>().join(", ")
}

/// Why a table with triggers of these bodies can't be written, where one of them names a
/// table whose engine keeps no transactions: what it writes could not be taken back (C13).
pub(super) async fn untransactional(
    session: &mut Session,
    bodies: &[&str],
) -> Result<Option<String>, Stop> {
    let rows = session
        .strings(
            "select table_name, engine from information_schema.tables \
             where table_schema = database() and table_type = 'BASE TABLE' \
             and lower(engine) not in ('innodb', 'rocksdb', 'tokudb', 'ndbcluster')",
            &[],
        )
        .await?;
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    for row in rows {
        let mut cells = row.into_iter().flatten();
        let (Some(name), Some(engine)) = (cells.next(), cells.next()) else { continue };
        if bodies.iter().any(|body| body.split(|c| !part(c)).any(|w| w.eq_ignore_ascii_case(&name)))
        {
            return Ok(Some(format!(
                "a trigger of it names {name}, whose storage engine {engine} keeps no transactions"
            )));
        }
    }
    Ok(None)
}
