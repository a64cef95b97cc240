//! Rows by their keys: a look-up a key, or one pass over a dense run of rowids.

use arrow::array::RecordBatch;

use crate::engine::sqlite::catalogue::Table;
use crate::engine::sqlite::known::Known;
use crate::engine::sqlite::pool::Reader;
use crate::engine::sqlite::query::{collated, selected};
use crate::engine::sqlite::raw::{Connection, Row, SqliteError, quote};
use crate::engine::sqlite::rows::Rows;
use crate::error::Result;
use crate::model::side::Which;
use crate::model::table::{Carrier, Column, TableName};
use crate::model::value::{Cells, ValueRef, fits};

/// Keys looked up before another scan on the connection gets its turn.
const TURN: usize = 4096;

/// What to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    /// The table.
    pub(crate) table: TableName,
    /// The columns, as live has them.
    pub(crate) columns: Vec<Column>,
    /// The key, as live has it.
    pub(crate) key: Vec<Column>,
    /// The keys in ascending order.
    pub(crate) keys: RecordBatch,
}

/// Reads the rows of these keys, in the order of the keys, without those not there.
pub(crate) fn fetch(
    reader: &Reader,
    known: &Known,
    side: Which,
    wanted: &Fetch,
) -> Result<RecordBatch> {
    let Fetch { table: name, columns, key, keys } = wanted;
    let table = reader.ask(|connection| known.table(connection, &name.name))?;
    let table = table.ok_or_else(|| crate::engine::sqlite::known::no_table(side, name))?;
    let statement = Statement::of(&table, columns, key, side)?;
    let cells = Cells::of(keys, key)?;
    let mut tuples = Vec::with_capacity(keys.num_rows());
    for row in 0..keys.num_rows() {
        let tuple =
            (0..key.len()).map(|at| cells.get(row, at)).collect::<Result<Vec<ValueRef<'_>>>>()?;
        // A key with a NULL or a misfit matches nothing.
        if tuple.iter().zip(key).all(|(v, c)| !v.is_null() && fits(*v, c.carrier)) {
            tuples.push(tuple);
        }
    }
    let mut rows = Rows::new(columns, tuples.len());
    for turn in tuples.chunks(TURN) {
        reader.ask(|connection| match dense_run(&table, key, turn) {
            Some((first, last)) => statement.run_through(connection, first, last, turn, &mut rows),
            None => statement.look_up(connection, turn, &mut rows),
        })?;
    }
    rows.finish()
}

/// The first and last rowid where most of the rows between them are wanted.
fn dense_run(table: &Table, key: &[Column], keys: &[Vec<ValueRef<'_>>]) -> Option<(i64, i64)> {
    let alias = table.rowid_alias()?;
    let [only] = key else { return None };
    let (Some([ValueRef::Int(first)]), Some([ValueRef::Int(last)])) =
        (keys.first().map(Vec::as_slice), keys.last().map(Vec::as_slice))
    else {
        return None;
    };
    let ours = alias.name.eq_ignore_ascii_case(&only.name) && only.carrier == Carrier::Int;
    let ascend = |a: &Vec<ValueRef<'_>>, b: &Vec<ValueRef<'_>>| matches!((&a[..], &b[..]), ([ValueRef::Int(a)], [ValueRef::Int(b)]) if a < b);
    (ours && is_dense(*first, *last, keys.len()) && keys.is_sorted_by(ascend))
        .then_some((*first, *last))
}

/// True where a pass over the rowids from the first to the last costs less than so many look-ups.
/// The keys between them ascend.
pub(crate) fn is_dense(first: i64, last: i64, keys: usize) -> bool {
    let span = i128::from(last) - i128::from(first) + 1;
    first <= last && keys >= 16 && span * 3 < keys as i128 * 10
}

/// The parts of the SQL.
struct Statement<'a> {
    select: String,
    /// The key's columns as they are compared.
    compared: Vec<String>,
    key: &'a [Column],
    /// The result column of the key's first column.
    at: usize,
}

impl<'a> Statement<'a> {
    fn of(table: &Table, columns: &[Column], key: &'a [Column], side: Which) -> Result<Self> {
        let mut cells = selected(table, columns, side)?;
        let at = cells.len();
        let mut compared = Vec::with_capacity(key.len());
        for column in key {
            let quoted = table.quoted(&column.name, side)?;
            compared.push(collated(&quoted, column));
            cells.push(quoted);
        }
        let select = format!("select {} from {}", cells.join(", "), quote(&table.name));
        Ok(Self { select, compared, key, at })
    }

    fn look_up(
        &self,
        connection: &Connection,
        keys: &[Vec<ValueRef<'_>>],
        rows: &mut Rows,
    ) -> Result<(), SqliteError> {
        let terms: Vec<String> = self.compared.iter().map(|c| format!("{c} = ?")).collect();
        let mut statement =
            connection.prepare(&format!("{} where {}", self.select, terms.join(" and ")))?;
        for key in keys {
            statement.query(key, |row| {
                // SQLite may have converted the value to compare it: '5' is not 5.
                if self.is_of_carriers(row) {
                    rows.push(row);
                }
                Ok::<bool, SqliteError>(true)
            })?;
        }
        Ok(())
    }

    fn is_of_carriers(&self, row: &Row<'_>) -> bool {
        self.key.iter().enumerate().all(|(n, c)| fits(row.get(self.at + n), c.carrier))
    }

    fn run_through(
        &self,
        connection: &Connection,
        first: i64,
        last: i64,
        keys: &[Vec<ValueRef<'_>>],
        rows: &mut Rows,
    ) -> Result<(), SqliteError> {
        let cell = &self.compared[0];
        let sql = format!("{} where {cell} between ? and ? order by {cell}", self.select);
        let mut wanted = keys.iter().map(|key| key[0]).peekable();
        connection.prepare(&sql)?.query(&[ValueRef::Int(first), ValueRef::Int(last)], |row| {
            let here = row.int(self.at);
            let behind = |key: &ValueRef<'_>| matches!(key, ValueRef::Int(i) if *i < here);
            while wanted.next_if(behind).is_some() {}
            if wanted.next_if_eq(&ValueRef::Int(here)).is_some() {
                rows.push(row);
            }
            Ok::<bool, SqliteError>(true)
        })
    }
}
