//! The writes of one batch.

use std::collections::HashSet;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::engine::passes::{self, Statements, Went};
use crate::engine::postgres::catalogue::{Table, TableColumn};
use crate::engine::postgres::session::{Session, Stop, raw};
use crate::engine::postgres::types::Form;
use crate::engine::postgres::write::array::{Array, Element};
use crate::engine::postgres::write::children::{Child, children};
use crate::engine::postgres::write::refusal::{Refusals, Refused, refused};
use crate::engine::postgres::write::sequence::Sequence;
use crate::engine::postgres::write::sql::{Place, TAKE_BACK, Write, referenced};
use crate::engine::wire::Rows;
use crate::error::Error;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::Column;
use crate::model::value::{Cells, ValueRef};
use crate::target::{Written, Wrote};

/// The most bytes of values of one statement; one row may be larger.
const BYTES: usize = 32 << 20;

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
    stored: Option<Stored<'a>>,
}

/// The rows that an update returns as it has stored them.
///
/// What RETURNING tells is computed from the row that goes into the table, behind every cast to
/// the columns' types, behind defaults, generated columns and triggers BEFORE (PostgreSQL,
/// `ExecUpdate`). Only what fires after it may change the row once more, so it stands for a
/// reading where nothing does ([`UNTOUCHED`]).
struct Stored<'a> {
    columns: Vec<&'a TableColumn>,
    rows: Rows<Form>,
    /// For each row to be written: its place among `rows`.
    found: Vec<Option<u32>>,
}

impl<'a> Stored<'a> {
    /// For so many rows of these columns of the table.
    fn new(table: &'a Table, columns: &[Column], rows: usize) -> Result<Self, Error> {
        let here = columns.iter().map(|column| table.require(&column.name));
        let here = here.collect::<Result<Vec<_>, _>>()?;
        let forms = here.iter().map(|column| column.form).collect();
        Ok(Self { columns: here, rows: Rows::new(columns, forms, rows), found: vec![None; rows] })
    }

    /// The rows that were written, in their order.
    fn finish(mut self, outcome: &[Written]) -> Result<RecordBatch, Error> {
        let done = self.found.iter().zip(outcome).filter(|(_, went)| **went == Written::Done);
        let places = done.map(|(found, _)| found.ok_or_else(|| lacking("of a row it wrote")));
        let places = places.collect::<Result<Vec<u32>, _>>()?;
        Ok(take_record_batch(&self.rows.take()?, &UInt32Array::from(places))?)
    }
}

/// `true` where a table has neither triggers nor rules of its own. Asked once rows of it are
/// written: until the transaction ends nobody adds any (CREATE TRIGGER and ENABLE TRIGGER wait
/// for its ROW EXCLUSIVE lock: PostgreSQL documentation, 13.3.1).
const UNTOUCHED: &str = "select (not exists (select from pg_catalog.pg_trigger t \
        where t.tgrelid operator(pg_catalog.=) $1::pg_catalog.oid and not t.tgisinternal) \
      and not exists (select from pg_catalog.pg_rewrite r \
        where r.ev_class operator(pg_catalog.=) $1::pg_catalog.oid))::pg_catalog.text";

impl<'a> Writing<'a> {
    pub(super) async fn new(
        session: &'a mut Session,
        plan: &'a TablePlan,
        table: &'a Table,
        partitioned_by: &[String],
        before: Option<&'a RecordBatch>,
        after: Option<&'a RecordBatch>,
    ) -> Result<Self, Stop> {
        let write = Write::of(plan, table)?;
        let mut hanging = Vec::new();
        if plan.op != Op::Insert {
            hanging = children(session, table).await?;
            let moved = |name: &String| write.values.iter().any(|(_, c)| c.name == *name);
            // A row that moves to another partition is deleted in its own.
            let moves = partitioned_by.iter().any(moved);
            // What is generated may move with what is written.
            let generated = |name: &String| {
                table.columns.iter().any(|column| column.generated && column.name == *name)
            };
            hanging.retain(|child| {
                let mut parents = child.pairs.iter().map(|pair| &pair.parent);
                let goes = plan.op == Op::Delete || moves;
                goes || parents.any(|name| moved(name) || generated(name))
            });
        }
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
            stored: None,
        })
    }

    /// Writes these rows, and tells these columns of them as they are stored where the server
    /// does without being asked again: an update of a plain table on which nothing fires.
    pub(super) async fn told(&mut self, rows: &[usize], columns: &[Column]) -> Result<Wrote, Stop> {
        // A partition may have triggers of its own.
        let plain = self.table.kind == 'r' && self.plan.schema.triggers.is_empty();
        if plain && self.plan.op == Op::Update {
            self.stored = Some(Stored::new(self.table, columns, rows.len())?);
        }
        let outcome = self.rows(rows).await?;
        let stored = match self.stored.take() {
            Some(stored) if self.untouched().await? => Some(stored.finish(&outcome)?),
            _ => None,
        };
        Ok(Wrote { rows: outcome, stored })
    }

    /// Nothing of the database's own changes a row of the table besides.
    async fn untouched(&mut self) -> Result<bool, Stop> {
        let told = self.session.strings_again(UNTOUCHED, &[&self.table.oid]).await?;
        Ok(told.into_iter().flatten().flatten().next().as_deref() == Some("true"))
    }

    /// Writes these rows.
    async fn rows(&mut self, rows: &[usize]) -> Result<Vec<Written>, Stop> {
        let op = self.plan.op;
        passes::write(self, op, rows).await
    }

    /// Raises the counters of the written columns past the numbers of these rows.
    pub(super) async fn raise(
        &mut self,
        sequences: &[Sequence],
        written: &[usize],
    ) -> Result<(), Stop> {
        let Some(after) = &self.after else { return Ok(()) };
        for sequence in sequences {
            let place = self.write.values.iter().find(|(_, c)| c.name == sequence.column);
            let Some((at, _)) = place else { continue };
            let mut numbers = Vec::with_capacity(written.len());
            for row in written {
                if let ValueRef::Int(number) = after.get(*row, *at)? {
                    numbers.push(number);
                }
            }
            if let Some(last) = sequence.last(numbers.into_iter()) {
                sequence.raise(self.session, last).await.map_err(|stop| sequence.denied(stop))?;
            }
        }
        Ok(())
    }

    /// The places among `some` of the rows that a statement found; what it tells of them is kept.
    async fn found(
        &mut self,
        sql: &str,
        arrays: Vec<Array>,
        some: &[usize],
    ) -> Result<Vec<usize>, Stop> {
        let Some(stored) = &mut self.stored else {
            return places(self.session, sql, arrays, 0).await;
        };
        let mut found = Vec::with_capacity(some.len());
        self.session
            .query(sql, arrays, |row| {
                let place = place(raw(row, 0))?;
                if let Some(i) = some.get(place) {
                    stored.found[*i] = Some(stored.rows.len() as u32);
                }
                stored.rows.push(|at| raw(row, 1 + at))?;
                found.push(place);
                Ok(())
            })
            .await?;
        Ok(found)
    }

    async fn explained(
        &mut self,
        kind: Refused,
        e: &sqlx::Error,
        row: usize,
    ) -> Result<Went, Stop> {
        let image = if self.plan.op == Op::Insert { &self.after } else { &self.before };
        let image = image.as_ref().ok_or_else(|| lacking("of its key"))?;
        let key = self.write.key.iter().map(|(at, _)| image.get(row, *at));
        let key: Vec<ValueRef<'_>> = key.collect::<Result<_, _>>()?;
        let after = self.after.as_ref().map(|after| (after, row));
        let (reason, detail) = self.refusals.explain(self.session, kind, e, after, &key).await?;
        Ok(Went::Refused(reason, detail))
    }

    /// Back to before the statement.
    async fn take_back(&mut self) -> Result<(), Stop> {
        Ok(self.session.run(TAKE_BACK).await?)
    }

    fn too_many(&self) -> Error {
        Error::refused(format!(
            "live: a write by key changed more rows of {} than it named",
            self.plan.table
        ))
    }

    /// The arrays of the statement over these rows: values, keys, guards.
    fn parameters(&self, rows: &[usize], some: &[usize]) -> Result<Vec<Array>, Error> {
        let write = &self.write;
        let mut arrays = Vec::new();
        if self.plan.op != Op::Delete {
            arrays.extend(self.arrays(&self.after, &write.values, rows, some)?);
        }
        if self.plan.op != Op::Insert {
            arrays.extend(self.arrays(&self.before, &write.key, rows, some)?);
            arrays.extend(self.arrays(&self.before, &write.guard, rows, some)?);
        }
        Ok(arrays)
    }

    fn arrays(
        &self,
        image: &Option<Cells<'_>>,
        columns: &[Place<'_>],
        rows: &[usize],
        some: &[usize],
    ) -> Result<Vec<Array>, Error> {
        let image = image.as_ref().ok_or_else(|| lacking("that it needs"))?;
        let of = |(at, column): &Place<'_>| {
            Array::of(column.form.carrier(), some.len(), |i| image.get(rows[some[i]], *at))
        };
        columns.iter().map(of).collect()
    }
}

impl Statements for Writing<'_> {
    async fn hung(&mut self, rows: &[usize], some: &[usize]) -> Result<Vec<(usize, String)>, Stop> {
        let mut hung = Vec::new();
        if self.children.is_empty() || some.is_empty() {
            return Ok(hung);
        }
        let key: Vec<&TableColumn> = self.write.key.iter().map(|(_, c)| *c).collect();
        let keys = self.arrays(&self.before, &self.write.key, rows, some)?;
        let elements = elements(&keys);
        for child in &self.children {
            let goes = self.plan.op == Op::Delete;
            let sql = referenced(self.table, &key, &elements, child, goes);
            for place in places(self.session, &sql, keys.clone(), 0).await? {
                if let Some(i) = some.get(place) {
                    hung.push((*i, child.shown.clone()));
                }
            }
        }
        Ok(hung)
    }

    fn most(&self) -> usize {
        usize::MAX
    }

    async fn one_statement(
        &mut self,
        rows: &[usize],
        some: &[usize],
    ) -> Result<Option<Vec<Went>>, Stop> {
        let arrays = self.parameters(rows, some)?;
        if some.len() > 1 && arrays.iter().map(Array::len).sum::<usize>() > BYTES {
            return Ok(None);
        }
        let stored = self.stored.as_ref().map_or(&[][..], |stored| &stored.columns);
        let sql = self.write.statement(&elements(&arrays), stored);
        self.session.run("savepoint restorekit").await?;
        let found = match self.plan.op {
            Op::Insert => self.session.execute(&sql, arrays).await.map(Found::Rows),
            _ => match self.found(&sql, arrays, some).await {
                Ok(places) => Ok(Found::Places(places)),
                Err(Stop::Server(e)) => Err(e),
                Err(ours) => return Err(ours),
            },
        };
        let swallowed = || Went::Refused(Reason::Constraint, SWALLOWED.to_owned());
        match found {
            Ok(Found::Rows(count)) if count == some.len() as u64 => {}
            Ok(Found::Rows(count)) if count < some.len() as u64 => {
                self.take_back().await?;
                return Ok((some.len() == 1).then(|| vec![swallowed()]));
            }
            Ok(Found::Rows(_)) => return Err(self.too_many().into()),
            Ok(Found::Places(places)) => {
                let once: HashSet<usize> = places.iter().copied().collect();
                if once.len() < places.len() {
                    return Err(self.too_many().into());
                }
                self.session.run("release savepoint restorekit").await?;
                let each = (0..some.len()).map(|place| match once.contains(&place) {
                    true => Went::Through,
                    false => swallowed(),
                });
                return Ok(Some(each.collect()));
            }
            Err(e) => {
                let Some(kind) = refused(&e) else { return Err(e.into()) };
                self.take_back().await?;
                if some.len() > 1 {
                    return Ok(None);
                }
                return Ok(Some(vec![self.explained(kind, &e, rows[some[0]]).await?]));
            }
        }
        self.session.run("release savepoint restorekit").await?;
        Ok(Some(some.iter().map(|_| Went::Through).collect()))
    }
}

/// What a statement says of the rows it wrote.
enum Found {
    /// How many.
    Rows(u64),
    /// Their places among the statement's rows, from 0.
    Places(Vec<usize>),
}

/// What the server says of a row that it did not write, where it says nothing.
const SWALLOWED: &str = "0 rows were written: a trigger kept the row out, or it is not as planned";

/// The elements of these arrays.
pub(super) fn elements(arrays: &[Array]) -> Vec<Element> {
    arrays.iter().map(|array| array.element).collect()
}

/// The places, from 0, that a statement tells in its column `at`.
async fn places(
    session: &mut Session,
    sql: &str,
    arrays: Vec<Array>,
    at: usize,
) -> Result<Vec<usize>, Stop> {
    let mut found = Vec::new();
    session
        .query(sql, arrays, |row| {
            found.push(place(raw(row, at))?);
            Ok(())
        })
        .await?;
    Ok(found)
}

/// An ordinality of the server, which counts from 1.
pub(super) fn place(cell: Option<&[u8]>) -> Result<usize, Error> {
    let number = cell.and_then(|cell| cell.try_into().ok()).map(i64::from_be_bytes);
    let place = number.and_then(|n| usize::try_from(n - 1).ok());
    place.ok_or_else(|| Error::failed("live: the server sent no number for a row's place"))
}

fn lacking(which: &str) -> Error {
    Error::failed(format!("a batch has no image {which}"))
}
