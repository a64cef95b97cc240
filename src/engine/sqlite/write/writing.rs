//! The writes of one batch.

use arrow::array::RecordBatch;

use crate::engine::sqlite::raw::{Connection, SqliteError, Statement};
use crate::engine::sqlite::write::children::{Child, children};
use crate::engine::sqlite::write::refusal::Refusals;
use crate::engine::sqlite::write::{Stop, sql};
use crate::error::Error;
use crate::model::conflict::Reason;
use crate::model::plan::{Op, TablePlan};
use crate::model::table::Column;
use crate::model::value::{Cells, ValueRef};
use crate::target::Written;

/// How often refused rows are tried again while others go through.
const PASSES: usize = 16;

/// The prepared writes of one table and operation.
pub(super) struct Writing<'a> {
    connection: &'a Connection,
    plan: &'a TablePlan,
    statement: Statement<'a>,
    before: Option<Cells<'a>>,
    after: Option<Cells<'a>>,
    /// Where the key stands in the image that rows are found by.
    key: Vec<usize>,
    values: Vec<usize>,
    guard: Vec<usize>,
    /// The parameters of a row's write, kept for their room.
    parameters: Vec<ValueRef<'a>>,
    /// Statements that find children of a row.
    children: Vec<(String, Statement<'a>)>,
    /// A savepoint around each row, where more than its own statement may be undone.
    savepoint: Option<[Statement<'a>; 3]>,
    refusals: Refusals<'a>,
}

enum One {
    Written,
    Refused(Reason, String),
    Ended(Reason, String),
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        plan: &'a TablePlan,
        before: Option<&'a RecordBatch>,
        after: Option<&'a RecordBatch>,
    ) -> Result<Self, Stop> {
        let write = sql::write(plan);
        if plan.op != Op::Delete && write.values.is_empty() {
            return Err(
                Error::failed(format!("the plan writes no column of {}", plan.table)).into()
            );
        }
        let found_by: &'a [Column] = if plan.op == Op::Insert { &plan.after } else { &plan.before };
        let key = plan
            .key_columns()?
            .iter()
            .filter_map(|k| found_by.iter().position(|c| c.name == k.name))
            .collect();
        let named = |child: &Child| -> bool {
            let written = |name: &String| {
                write.values.iter().any(|i| plan.after[*i].name.eq_ignore_ascii_case(name))
            };
            match plan.op {
                Op::Insert => false,
                Op::Update => child.parent_columns.iter().any(written),
                Op::Delete => true,
            }
        };
        let mut hanging = Vec::new();
        if plan.op != Op::Insert {
            for child in children(connection, &plan.table)?.into_iter().filter(named) {
                let (columns, parents) = (&child.columns, &child.parent_columns);
                let goes = plan.op == Op::Delete;
                let sql = sql::child(&child.table, columns, &plan.table, parents, &plan.key, goes);
                hanging.push((child.table, connection.prepare(&sql)?));
            }
        }
        let savepoint = if plan.fires() || !hanging.is_empty() {
            Some([
                connection.prepare("savepoint restorekit_row")?,
                connection.prepare("release restorekit_row")?,
                connection.prepare("rollback to restorekit_row")?,
            ])
        } else {
            None
        };
        Ok(Self {
            connection,
            plan,
            statement: connection.prepare(&write.sql)?,
            before: before.map(|b| Cells::of(b, &plan.before)).transpose()?,
            after: after.map(|a| Cells::of(a, &plan.after)).transpose()?,
            key,
            values: write.values,
            guard: write.guard,
            parameters: Vec::new(),
            children: hanging,
            savepoint,
            refusals: Refusals::new(connection, plan),
        })
    }

    /// Writes these rows. Rows that a unique index or a foreign key refused are tried
    /// again, backwards, while others go through: a chain of moves or a parent in the same
    /// table frees its way.
    pub(super) fn rows(&mut self, rows: &[usize]) -> Result<Vec<Written>, Stop> {
        let mut outcome = vec![Written::Done; rows.len()];
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if self.plan.op == Op::Delete {
            order.reverse();
        }
        for _ in 0..PASSES {
            let mut refused = Vec::new();
            let mut through = false;
            for &i in &order {
                match self.one(rows[i])? {
                    One::Written => {
                        outcome[i] = Written::Done;
                        through = true;
                    }
                    One::Refused(reason, detail) => {
                        let again = matches!(
                            reason,
                            Reason::Exists | Reason::Recreated | Reason::ForeignKey
                        );
                        if again {
                            refused.push(i);
                        }
                        outcome[i] = Written::Refused(reason, detail);
                    }
                    One::Ended(reason, detail) => {
                        outcome[i] = Written::Ended(reason, detail);
                        return Ok(outcome);
                    }
                }
            }
            if refused.is_empty() || !through {
                break;
            }
            refused.reverse();
            order = refused;
        }
        Ok(outcome)
    }

    fn one(&mut self, row: usize) -> Result<One, Stop> {
        let mut parameters = std::mem::take(&mut self.parameters);
        parameters.clear();
        if let Some(after) = &self.after {
            for &column in &self.values {
                parameters.push(after.get(row, column)?);
            }
        }
        if self.plan.op != Op::Insert {
            let Some(before) = &self.before else {
                return Err(Error::failed("a batch has no image before").into());
            };
            let first = parameters.len();
            for &column in self.key.iter().chain(&self.guard) {
                parameters.push(before.get(row, column)?);
            }
            let key = &parameters[first..first + self.key.len()];
            for (table, statement) in &mut self.children {
                let mut any = false;
                statement.query(key, |_| {
                    any = true;
                    Ok::<bool, SqliteError>(false)
                })?;
                if any {
                    let detail = format!("rows of {table} reference it");
                    return Ok(One::Refused(Reason::ForeignKey, detail));
                }
            }
        }
        if let Some([begin, ..]) = &mut self.savepoint {
            begin.run(&[])?;
        }
        let total = self.connection.total_changes();
        let ran = self.statement.run(&parameters);
        self.parameters = parameters;
        let refused = match ran {
            Err(e) => {
                let ended = self.connection.is_autocommit();
                let key = self.key_of(row)?;
                let (reason, detail) = self.refusals.explain(e, self.after.as_ref(), row, &key)?;
                if ended {
                    return Ok(One::Ended(reason, detail));
                }
                Some((reason, detail))
            }
            Ok(()) => match (self.connection.changes(), self.connection.total_changes() - total) {
                (1, 1) => None,
                (1, 2..) if self.plan.fires() => None,
                (1, more) => {
                    let detail = format!("it would change {} rows elsewhere", more - 1);
                    Some((Reason::Constraint, detail))
                }
                (0, _) => Some((
                    Reason::Constraint,
                    "0 rows changed: a trigger or an ON CONFLICT clause swallowed it".to_owned(),
                )),
                (more, _) => {
                    return Err(Error::refused(format!(
                        "live: a write by key changed {more} rows of {}: the key is not unique",
                        self.plan.table
                    ))
                    .into());
                }
            },
        };
        let Some([_, release, undo]) = &mut self.savepoint else {
            return match refused {
                None => Ok(One::Written),
                // The statement undid itself; only a side effect that nothing announced
                // can't be undone without a savepoint, and that ends the batch.
                Some((reason, detail)) if self.connection.total_changes() == total => {
                    Ok(One::Refused(reason, detail))
                }
                Some((reason, detail)) => {
                    self.connection.execute("rollback")?;
                    Ok(One::Ended(reason, detail))
                }
            };
        };
        if refused.is_some() {
            undo.run(&[])?;
        }
        release.run(&[])?;
        Ok(refused.map_or(One::Written, |(reason, detail)| One::Refused(reason, detail)))
    }

    fn key_of(&self, row: usize) -> Result<Vec<ValueRef<'a>>, Error> {
        let cells = if self.plan.op == Op::Insert { &self.after } else { &self.before };
        let Some(cells) = cells else { return Err(Error::failed("a batch has no images")) };
        self.key.iter().map(|column| cells.get(row, *column)).collect()
    }
}
