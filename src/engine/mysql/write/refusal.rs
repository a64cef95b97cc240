//! Why the server refused a row, in words, by its error numbers and SQLSTATE classes.

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::failure::{number, state};
use crate::engine::mysql::rows::tuple;
use crate::engine::mysql::session::{Session, Stop};
use crate::engine::mysql::write::sql;
use crate::engine::refused::{Holders, Refused, duplicate, message, no_parent, words};
use crate::engine::wire;
use crate::model::conflict::Reason;
use crate::model::plan::TablePlan;
use crate::model::value::{Cells, Value, ValueRef};

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
        match (kind, after) {
            (Refused::Duplicate, Some(after)) => {
                let mut live = Live { refusals: self, session };
                duplicate(self.plan, &mut live, message(e), after, key).await
            }
            (Refused::Duplicate | Refused::Constraint, _) => Ok((Reason::Constraint, message(e))),
            (Refused::Reference, _) => {
                let detail = match number(e) {
                    Some(1217 | 1451 | 1834) => "rows of another table reference it".to_owned(),
                    _ => no_parent(self.plan),
                };
                Ok((Reason::ForeignKey, detail))
            }
        }
    }
}

/// Live's rows of the table.
struct Live<'s, 'a> {
    refusals: &'s Refusals<'a>,
    session: &'s mut Session,
}

impl Holders for Live<'_, '_> {
    async fn holder(
        &mut self,
        columns: &[String],
        values: &[ValueRef<'_>],
        own: Option<&[ValueRef<'_>]>,
    ) -> Result<Option<String>, Stop> {
        let Refusals { plan, table, key } = self.refusals;
        let columns =
            columns.iter().map(|name| table.require(name)).collect::<Result<Vec<_>, _>>()?;
        let forms: Vec<_> = key.iter().map(|c| c.form).collect();
        let newest = self.session.newest;
        let mut found = None;
        self.session
            .query(&sql::holder(table, key, &columns, newest), values, |row| {
                let this = tuple(row, 0, &forms)?;
                let this: Vec<ValueRef<'_>> = this.iter().map(Value::as_ref).collect();
                if own != Some(&this[..]) {
                    found = Some(words(&plan.key.columns, &this));
                }
                Ok(true)
            })
            .await?;
        Ok(found)
    }
}

/// Why a table with triggers of these bodies can't be written, where one of them names a
/// table whose engine keeps no transactions: what it writes could not be taken back (C13).
pub(super) async fn untransactional(
    session: &mut Session,
    bodies: &[&str],
) -> Result<Option<String>, Stop> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let names = |name: &str| {
        bodies.iter().any(|body| body.split(|c| !part(c)).any(|w| w.eq_ignore_ascii_case(name)))
    };
    let sql = "select schema_name, schema_name = database() from information_schema.schemata";
    for database in session.strings(sql, &[]).await? {
        let [database, own] = wire::words(database);
        if own != "1" && !names(&database) {
            continue;
        }
        let rows = session
            .strings(
                "select table_name, engine from information_schema.tables \
                 where table_schema = ? and table_type = 'BASE TABLE' \
                 and lower(engine) not in ('innodb', 'rocksdb', 'tokudb', 'ndbcluster')",
                &[&database],
            )
            .await?;
        for [name, engine] in rows.into_iter().map(wire::words) {
            if names(&name) {
                return Ok(Some(format!(
                    "a trigger of it names {name}, whose storage engine {engine} keeps no transactions"
                )));
            }
        }
    }
    Ok(None)
}
