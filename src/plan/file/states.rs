//! What applying adds to a plan: its operation, each batch's state, the conflicts.

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::error::{Error, Result};
use crate::model::conflict::Conflict;
use crate::model::origin::Identity;
use crate::model::receipt::Receipt;
use crate::model::table::Column;
use crate::plan::file::{PlanFile, altered, image, json, parse};
use crate::plan::judge::filled;

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Nothing of it was committed.
    Pending,
    /// Its rows are chosen and its commit may have been sent.
    Intended,
    /// Its commit is proven.
    Committed,
    /// Its commit was sent, and the outcome could not be found out.
    Unknown,
}

impl BatchState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchState::Pending => "pending",
            BatchState::Intended => "intended",
            BatchState::Committed => "committed",
            BatchState::Unknown => "unknown",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Pending, Self::Intended, Self::Committed, Self::Unknown]
            .into_iter()
            .find(|s| s.as_str() == word)
    }
}

/// A set of a batch's rows: a bit a row, least significant first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

impl Bits {
    /// The set of these rows.
    pub fn of(rows: &[usize]) -> Self {
        let mut bits = Self::default();
        for &row in rows {
            bits.insert(row);
        }
        bits
    }

    /// Adds a row.
    pub fn insert(&mut self, row: usize) {
        if self.0.len() <= row / 8 {
            self.0.resize(row / 8 + 1, 0);
        }
        self.0[row / 8] |= 1 << (row % 8);
    }

    /// True when the row is in the set.
    pub fn contains(&self, row: usize) -> bool {
        self.0.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }

    /// How many rows are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|b| b.count_ones() as usize).sum()
    }

    /// True when no row is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// The rows, ascending.
    pub fn rows(&self) -> Vec<usize> {
        (0..self.0.len() * 8).filter(|row| self.contains(*row)).collect()
    }

    /// A flag for each of the first `rows` rows.
    pub fn flags(&self, rows: usize) -> Vec<bool> {
        (0..rows).map(|row| self.contains(row)).collect()
    }
}

/// What is known of one batch's writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// How far it is.
    pub state: BatchState,
    /// The rows written, or, while intended, about to be.
    pub written: Bits,
    /// Rows that already were as planned.
    pub already: u64,
    /// Rows left alone.
    pub conflicts: u64,
}

impl Default for BatchRecord {
    fn default() -> Self {
        Self { state: BatchState::Pending, written: Bits::default(), already: 0, conflicts: 0 }
    }
}

/// A row left alone, with its place in its batch.
#[derive(Clone, Debug, PartialEq)]
pub struct RowConflict {
    /// The row's index in the batch.
    pub row: usize,
    /// Why.
    pub conflict: Conflict,
}

/// What is kept of a batch besides its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The rows that were left alone.
    pub conflicts: Vec<RowConflict>,
    /// What live filled in by itself where rows were inserted: a row for each of the batch, NULL where
    /// it was not written. Undo deletes a row only while it holds this too.
    pub filled: Option<RecordBatch>,
}

/// A batch by its number, its record, and the details; `None` keeps those that are there.
pub type Record<'a> = (u64, &'a BatchRecord, Option<&'a Details>);

/// An operation that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// Its id, a ULID.
    pub id: String,
    /// When it begins, RFC 3339.
    pub started_at: String,
    /// The database that it writes to.
    pub target: Identity,
}

/// The operation that applies a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its id, a ULID.
    pub id: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// The database that it wrote to.
    pub target: Identity,
    /// What it did; `None` while it is not done.
    pub receipt: Option<Receipt>,
}

/// Sets the state of one batch, whether or not it has one.
const SET_STATE: &str = "insert into state values (?1, ?2, ?3, ?4, ?5, ?6) \
    on conflict (batch) do update set state = ?2, written = ?3, wrote = ?4, already = ?5, conflicts = ?6";

impl PlanFile {
    /// The operation that began to apply this plan, if any.
    pub async fn operation(&self) -> Result<Option<Operation>> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query("select target, receipt, id, started_at from operation")
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        let Some(row) = row else { return Ok(None) };
        let damaged = |e: sqlx::Error| altered(&self.path).because(e);
        let receipt: Option<String> = row.try_get(1).map_err(damaged)?;
        let receipt = receipt.map(|r| serde_json::from_str(&r)).transpose();
        Ok(Some(Operation {
            id: row.try_get(2).map_err(damaged)?,
            started_at: row.try_get(3).map_err(damaged)?,
            target: parse(&self.path, &row)?,
            receipt: receipt.map_err(|e| altered(&self.path).because(e))?,
        }))
    }

    /// Begins the operation on a database, durably. A plan has one operation only.
    pub async fn begin_operation(&self, begun: &Begun) -> Result<()> {
        self.note(Some(begun), &[], None).await
    }

    /// Durably records batches and the details of each, in one transaction.
    pub async fn record(&self, records: &[Record<'_>]) -> Result<()> {
        self.note(None, records, None).await
    }

    /// The records of all batches, in their order.
    pub async fn records(&self) -> Result<Vec<BatchRecord>> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("select batch, state, written, already, conflicts from state")
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        let mut records = vec![BatchRecord::default(); self.batches.len()];
        let damaged = |e: sqlx::Error| altered(&self.path).because(e);
        for row in rows {
            let batch: i64 = row.try_get(0).map_err(damaged)?;
            let state: String = row.try_get(1).map_err(damaged)?;
            let record = records.get_mut(batch as usize).ok_or_else(|| altered(&self.path))?;
            *record = BatchRecord {
                state: BatchState::parse(&state).ok_or_else(|| altered(&self.path))?,
                written: Bits(row.try_get(2).map_err(damaged)?),
                already: row.try_get::<i64, _>(3).map_err(damaged)? as u64,
                conflicts: row.try_get::<i64, _>(4).map_err(damaged)? as u64,
            };
        }
        Ok(records)
    }

    /// Records batches, and in the same transaction the operation where it begins with them, and
    /// its receipt where it ends with them.
    pub async fn note(
        &self,
        begun: Option<&Begun>,
        records: &[Record<'_>],
        receipt: Option<&Receipt>,
    ) -> Result<()> {
        let failed = |e| self.trouble("could not take up the state of a batch", e);
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("begin immediate").await.map_err(failed)?;
        if let Some(Begun { id, started_at, target }) = begun {
            sqlx::query("insert into operation values (1, ?, ?, null, ?)")
                .bind(id)
                .bind(started_at)
                .bind(json(target)?)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.trouble("could not take up the operation", e))?;
        }
        for (batch, record, details) in records {
            let batch = *batch as i64;
            sqlx::query(SET_STATE)
                .bind(batch)
                .bind(record.state.as_str())
                .bind(&record.written.0[..])
                .bind(record.written.len() as i64)
                .bind(record.already as i64)
                .bind(record.conflicts as i64)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
            let Some(Details { conflicts, filled }) = details else { continue };
            for table in ["conflict", "filled"] {
                sqlx::query(AssertSqlSafe(format!("delete from {table} where batch = ?")))
                    .bind(batch)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
            if let Some(filled) = filled {
                sqlx::query("insert into filled values (?, ?)")
                    .bind(batch)
                    .bind(image::encode(filled)?)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
            for RowConflict { row, conflict } in conflicts {
                sqlx::query("insert into conflict values (?, ?, ?)")
                    .bind(batch)
                    .bind(*row as i64)
                    .bind(json(conflict)?)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
        }
        if let Some(receipt) = receipt {
            let done = sqlx::query("update operation set receipt = ? where id = ?")
                .bind(json(receipt)?)
                .bind(&receipt.operation)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.trouble("could not take up the receipt", e))?;
            if done.rows_affected() != 1 {
                let id = &receipt.operation;
                return Err(Error::failed(format!("the plan has no operation {id}")));
            }
        }
        transaction.commit().await.map_err(failed)
    }

    /// What live filled in by itself in a batch of inserted rows, where it is kept: these columns.
    pub(super) async fn filled(&self, id: u64, columns: &[Column]) -> Result<Option<RecordBatch>> {
        let rows = self.shape(id)?.1;
        let mut connection = self.connection.lock().await;
        let kept = sqlx::query("select image from filled where batch = ?")
            .bind(id as i64)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        let Some(kept) = kept else { return Ok(None) };
        let bytes: Vec<u8> = kept.try_get(0).map_err(|e| altered(&self.path).because(e))?;
        image::decode(&bytes, columns, rows).map(Some)
    }

    /// The details of a batch.
    pub(crate) async fn details(&self, id: u64) -> Result<Details> {
        let (table, _) = self.shape(id)?;
        let filled = self.filled(id, &filled(&self.header().tables[table])).await?;
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("select json, row from conflict where batch = ? order by row")
            .bind(id as i64)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        let conflict = |row: &_| -> Result<RowConflict> {
            let at: i64 = Row::try_get(row, 1).map_err(|e| altered(&self.path).because(e))?;
            Ok(RowConflict { row: at as usize, conflict: parse(&self.path, row)? })
        };
        Ok(Details { conflicts: rows.iter().map(conflict).collect::<Result<_>>()?, filled })
    }

    /// The rows that were left alone, in the order of batches and rows, at most `limit`.
    pub async fn conflicts(&self, limit: usize) -> Result<Vec<Conflict>> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("select json from conflict order by batch, row limit ?")
            .bind(limit.min(i64::MAX as usize) as i64)
            .fetch_all(&mut *connection)
            .await
            .map_err(|e| self.trouble("could not be read", e))?;
        rows.iter().map(|row| parse(&self.path, row)).collect()
    }
}
