//! The writes of one batch.

use arrow::array::RecordBatch;

use crate::engine::mysql::catalogue::{Table, TableColumn};
use crate::engine::mysql::fetch::word;
use crate::engine::mysql::rows::tuple;
use crate::engine::mysql::session::{Session, Stop};
use crate::engine::mysql::write::children::{Child, children, indexed};
use crate::engine::mysql::write::refusal::{Refusals, refused};
use crate::engine::mysql::write::sql::{Write, referenced};
use crate::engine::passes::{self, Statements, Went};
use crate::error::Error;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::value::{Cells, Value, ValueRef};
use crate::target::Written;

/// The most rows of one insert. An update names each row once for each written column, and
/// the server looks through them row by row: fewer are faster.
const INSERTED: usize = 500;
const ADDRESSED: usize = 64;

/// The most parameters of one statement ("Binary Protocol", a 16-bit count).
const PARAMETERS: usize = 60_000;

/// "Some non-transactional changed tables couldn't be rolled back."
const NOT_TAKEN_BACK: &str = "1196";

/// Notes of the server that say nothing of values: deprecated syntax and aliases.
const HARMLESS: [&str; 3] = ["1287", "3719", "3778"];

/// The writes of one table and operation.
pub(super) struct Writing<'a> {
    session: &'a mut Session,
    plan: &'a TablePlan,
    table: &'a Table,
    write: Write<'a>,
    before: Option<Cells<'a>>,
    after: Option<Cells<'a>>,
    /// References that a deleted or changed row must not have.
    children: Vec<Child>,
    refusals: Refusals<'a>,
    /// The most bytes of values of one statement.
    bytes: usize,
}

impl<'a> Writing<'a> {
    pub(super) async fn new(
        session: &'a mut Session,
        plan: &'a TablePlan,
        table: &'a Table,
        before: Option<&'a RecordBatch>,
        after: Option<&'a RecordBatch>,
        packet: usize,
    ) -> Result<Self, Stop> {
        let write = Write::of(plan, table)?;
        if plan.op != Op::Delete && write.values.is_empty() {
            return Err(
                Error::failed(format!("the plan writes no column of {}", plan.table)).into()
            );
        }
        let hanging = match plan.op {
            Op::Insert => Vec::new(),
            Op::Delete => children(session, table).await?,
            Op::Update => {
                // What is generated may move with what is written.
                let moves = |name: &String| {
                    let generated = table.columns.iter().filter(|c| c.generated);
                    let written = write.values.iter().map(|(_, c)| *c);
                    written.chain(generated).any(|c| c.name.eq_ignore_ascii_case(name))
                };
                // Only columns with an index are referred to (MySQL Reference Manual, "FOREIGN KEY
                // Constraints"): most often nobody need be asked who does.
                let indexed = indexed(session, &table.name).await?;
                let mut found = match indexed.iter().any(moves) {
                    true => children(session, table).await?,
                    false => Vec::new(),
                };
                found.retain(|child| child.parent_columns.iter().any(moves));
                found
            }
        };
        let key = write.key.iter().map(|(_, column)| *column).collect();
        Ok(Self {
            session,
            plan,
            table,
            before: before.map(|b| Cells::of(b, &plan.before)).transpose()?,
            after: after.map(|a| Cells::of(a, &plan.after)).transpose()?,
            children: hanging,
            refusals: Refusals { plan, table, key },
            write,
            bytes: (packet / 2).min(4 << 20),
        })
    }

    /// Writes these rows.
    pub(super) async fn rows(&mut self, rows: &[usize]) -> Result<Vec<Written>, Stop> {
        let op = self.plan.op;
        passes::write(self, op, rows).await
    }

    /// Back to before the statement; an engine without transactions says that it can't.
    async fn take_back(&mut self) -> Result<(), Stop> {
        self.session.run("rollback to savepoint restorekit").await?;
        let warnings = self.session.warnings().await?;
        match warnings.into_iter().find(|w| w.number == NOT_TAKEN_BACK) {
            None => Ok(()),
            Some(warning) => Err(Error::refused(format!(
                "live: what a statement over {} did can't be taken back: {warning}",
                self.plan.table
            ))
            .hint("a trigger writes to a table that keeps no transactions: look at it first")
            .into()),
        }
    }

    /// The parameters of the statement over these rows, in its order.
    fn parameters(
        &self,
        rows: &[usize],
        some: &[usize],
        out: &mut Vec<ValueRef<'a>>,
    ) -> Result<(), Stop> {
        let written = || self.after.as_ref().ok_or_else(|| lacking("after"));
        match self.plan.op {
            Op::Insert => {
                let after = written()?;
                for i in some {
                    for (at, _) in &self.write.values {
                        out.push(after.get(rows[*i], *at)?);
                    }
                }
                return Ok(());
            }
            Op::Update => {
                let after = written()?;
                for (at, _) in &self.write.values {
                    for i in some {
                        out.extend(self.key_of(rows[*i])?);
                        out.push(after.get(rows[*i], *at)?);
                    }
                }
            }
            Op::Delete => {}
        }
        let before = self.before.as_ref().ok_or_else(|| lacking("before"))?;
        for i in some {
            out.extend(self.key_of(rows[*i])?);
            for (at, _) in &self.write.guard {
                out.push(before.get(rows[*i], *at)?);
            }
        }
        Ok(())
    }

    fn key_of(&self, row: usize) -> Result<Vec<ValueRef<'a>>, Error> {
        let cells = if self.plan.op == Op::Insert { &self.after } else { &self.before };
        let cells = cells.as_ref().ok_or_else(|| lacking("of its key"))?;
        self.write.key.iter().map(|(at, _)| cells.get(row, *at)).collect()
    }
}

impl Statements for Writing<'_> {
    async fn hung(
        &mut self,
        rows: &[usize],
        order: &[usize],
    ) -> Result<Vec<(usize, String)>, Stop> {
        let mut hung = Vec::new();
        let key: Vec<&TableColumn> = self.write.key.iter().map(|(_, c)| *c).collect();
        let forms: Vec<_> = key.iter().map(|c| c.form).collect();
        for child in &self.children {
            for some in order.chunks(INSERTED) {
                let keys =
                    some.iter().map(|i| self.key_of(rows[*i])).collect::<Result<Vec<_>, _>>()?;
                let goes = self.plan.op == Op::Delete;
                let newest = self.session.newest;
                let sql = referenced(self.table, &key, child, (some.len(), goes), newest);
                let mut named = Vec::new();
                self.session
                    .query(&sql, &keys.concat(), |row| {
                        let this = tuple(row, 0, &forms)?;
                        let this: Vec<ValueRef<'_>> = this.iter().map(Value::as_ref).collect();
                        named.push(word(&this));
                        Ok(true)
                    })
                    .await?;
                for (i, key) in some.iter().zip(&keys) {
                    if named.contains(&word(key)) {
                        hung.push((*i, child.shown.clone()));
                    }
                }
            }
        }
        Ok(hung)
    }

    fn most(&self) -> usize {
        let most = if self.plan.op == Op::Insert { INSERTED } else { ADDRESSED };
        most.min(PARAMETERS / self.write.width().max(1)).max(1)
    }

    async fn one_statement(
        &mut self,
        rows: &[usize],
        some: &[usize],
    ) -> Result<Option<Vec<Went>>, Stop> {
        let mut parameters = Vec::with_capacity(some.len() * self.write.width());
        self.parameters(rows, some, &mut parameters)?;
        if some.len() > 1 && parameters.iter().map(size).sum::<usize>() > self.bytes {
            return Ok(None);
        }
        let sql = self.write.statement(some.len());
        self.session.run("savepoint restorekit").await?;
        let (reason, detail) = match self.session.execute(&sql, &parameters).await {
            Err(e) => {
                let Some(kind) = refused(&e) else { return Err(e.into()) };
                self.take_back().await?;
                if some.len() > 1 {
                    return Ok(None);
                }
                let key = self.key_of(rows[some[0]])?;
                let after = self.after.as_ref().map(|after| (after, rows[some[0]]));
                self.refusals.explain(self.session, kind, &e, after, &key).await?
            }
            Ok(found) => {
                let mut warnings = self.session.warnings().await?;
                warnings.retain(|w| !HARMLESS.contains(&w.number.as_str()));
                let found = usize::try_from(found).unwrap_or(usize::MAX);
                if found == some.len() && warnings.is_empty() {
                    return Ok(Some(some.iter().map(|_| Went::Through).collect()));
                }
                self.take_back().await?;
                if found > some.len() {
                    return Err(Error::refused(format!(
                        "live: a write by key changed {found} rows of {} instead of {}",
                        self.plan.table,
                        some.len()
                    ))
                    .into());
                }
                if some.len() > 1 {
                    return Ok(None);
                }
                match warnings.into_iter().next() {
                    Some(warning) => (Reason::NotExact, format!("the server says: {warning}")),
                    None => (Reason::Constraint, "0 rows were found to write".to_owned()),
                }
            }
        };
        Ok(Some(vec![Went::Refused(reason, detail)]))
    }
}

fn lacking(which: &str) -> Error {
    Error::failed(format!("a batch has no image {which}"))
}

fn size(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 16,
    }
}
