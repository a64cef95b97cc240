//! The rows of a batch's keys: a look-up a key, or one pass over a dense run of rowids.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use crate::engine::sqlite::fetch::is_dense;
use crate::engine::sqlite::raw::{Connection, Row, SqliteError};
use crate::engine::sqlite::rows::Rows;
use crate::engine::sqlite::write::{Stop, sql};
use crate::error::Error;
use crate::model::plan::TablePlan;
use crate::model::table::Column;
use crate::model::value::{Cells, ValueRef};

/// Reads a row for each key, in the order of the keys; the flags say which rows exist.
pub(super) fn read(
    connection: &Connection,
    plan: &TablePlan,
    columns: &[Column],
    keys: &RecordBatch,
) -> Result<(RecordBatch, Vec<bool>), Stop> {
    match dense_run(plan, keys) {
        Some(ids) => run_through(connection, plan, columns, ids),
        None => look_up(connection, plan, columns, keys),
    }
}

/// The same, where the rows are believed to be those of `expected`, which is given back if they are.
pub(super) fn read_expected(
    connection: &Connection,
    plan: &TablePlan,
    columns: &[Column],
    keys: &RecordBatch,
    expected: &RecordBatch,
) -> Result<(RecordBatch, Vec<bool>), Stop> {
    if stand(connection, plan, columns, keys, expected)? {
        return Ok((expected.clone(), vec![true; keys.num_rows()]));
    }
    read(connection, plan, columns, keys)
}

/// True when there is just one row for each key, and its cells are those of `expected`. Ends at the
/// first that is not.
fn stand(
    connection: &Connection,
    plan: &TablePlan,
    columns: &[Column],
    keys: &RecordBatch,
    expected: &RecordBatch,
) -> Result<bool, Stop> {
    if expected.num_rows() != keys.num_rows() {
        return Ok(false);
    }
    let cells = Cells::of(expected, columns)?;
    let stands = |at: usize, row: &Row<'_>| -> Result<bool, Error> {
        for column in 0..columns.len() {
            if cells.get(at, column)? != row.get(column) {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let Some(ids) = dense_run(plan, keys) else {
        let key = plan.key_columns()?;
        let wanted = Cells::of(keys, &key)?;
        let mut statement = connection.prepare(&sql::select(&plan.table, &plan.key, columns))?;
        let mut tuple: Vec<ValueRef<'_>> = Vec::with_capacity(key.len());
        for at in 0..keys.num_rows() {
            tuple.clear();
            for column in 0..key.len() {
                tuple.push(wanted.get(at, column)?);
            }
            let (mut found, mut same) = (0, true);
            statement.query(&tuple, |row| {
                if is_of(&tuple, columns.len(), row) {
                    found += 1;
                    same &= stands(at, row)?;
                }
                Ok::<bool, Stop>(same && found < 2)
            })?;
            if !same || found != 1 {
                return Ok(false);
            }
        }
        return Ok(true);
    };
    let bounds = [ids[0], ids[ids.len() - 1]].map(ValueRef::Int);
    let mut statement = connection.prepare(&sql::run(&plan.table, &plan.key, columns))?;
    let (mut at, mut same) = (0, true);
    statement.query(&bounds, |row| {
        let here = row.int(columns.len());
        // A row between two that are wanted.
        if here < ids[at] {
            return Ok(true);
        }
        same = here == ids[at] && stands(at, row)?;
        at += 1;
        Ok::<bool, Stop>(same && at < ids.len())
    })?;
    Ok(same && at == ids.len())
}

/// True when the row's key, behind so many columns, is just this one.
fn is_of(key: &[ValueRef<'_>], behind: usize, row: &Row<'_>) -> bool {
    key.iter().enumerate().all(|(i, v)| row.get(behind + i) == *v)
}

/// The keys, where they are rowids that ascend, and most of the rows between the first and the
/// last are wanted.
fn dense_run<'k>(plan: &TablePlan, keys: &'k RecordBatch) -> Option<&'k [i64]> {
    let [only] = &plan.key.columns[..] else { return None };
    let is_rowid = plan.schema.rowid_alias.as_ref() == Some(only);
    let ids = keys.column_by_name(only)?.as_primitive_opt::<Int64Type>()?;
    let (ids, whole) = (ids.values(), ids.null_count() == 0);
    let (first, last) = (ids.first()?, ids.last()?);
    (is_rowid && whole && ids.is_sorted_by(|a, b| a < b) && is_dense(*first, *last, ids.len()))
        .then_some(&ids[..])
}

fn run_through(
    connection: &Connection,
    plan: &TablePlan,
    columns: &[Column],
    ids: &[i64],
) -> Result<(RecordBatch, Vec<bool>), Stop> {
    let bounds = [ids[0], ids[ids.len() - 1]].map(ValueRef::Int);
    let mut statement = connection.prepare(&sql::run(&plan.table, &plan.key, columns))?;
    let mut rows = Rows::new(columns, ids.len());
    let mut exists = Vec::with_capacity(ids.len());
    statement.query(&bounds, |row| {
        let here = row.int(columns.len());
        while exists.len() < ids.len() && ids[exists.len()] < here {
            rows.push_absent();
            exists.push(false);
        }
        if ids.get(exists.len()) == Some(&here) {
            rows.push(row);
            exists.push(true);
        }
        Ok::<bool, SqliteError>(true)
    })?;
    while exists.len() < ids.len() {
        rows.push_absent();
        exists.push(false);
    }
    Ok((rows.finish()?, exists))
}

fn look_up(
    connection: &Connection,
    plan: &TablePlan,
    columns: &[Column],
    keys: &RecordBatch,
) -> Result<(RecordBatch, Vec<bool>), Stop> {
    let key = plan.key_columns()?;
    let cells = Cells::of(keys, &key)?;
    let mut statement = connection.prepare(&sql::select(&plan.table, &plan.key, columns))?;
    let mut rows = Rows::new(columns, keys.num_rows());
    let mut exists = Vec::with_capacity(keys.num_rows());
    let mut wanted: Vec<ValueRef<'_>> = Vec::with_capacity(key.len());
    for row in 0..keys.num_rows() {
        wanted.clear();
        for column in 0..key.len() {
            wanted.push(cells.get(row, column)?);
        }
        let mut found = 0;
        statement.query(&wanted, |r| {
            if is_of(&wanted, columns.len(), r) {
                found += 1;
                if found == 1 {
                    rows.push(r);
                }
            }
            Ok::<bool, SqliteError>(found < 2)
        })?;
        match found {
            0 => rows.push_absent(),
            1 => {}
            _ => {
                return Err(Error::refused(format!(
                    "live: more than one row of {} has the key ({})",
                    plan.table, plan.key
                ))
                .into());
            }
        }
        exists.push(found == 1);
    }
    Ok((rows.finish()?, exists))
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::engine::sqlite::schema;
    use crate::fit::carry::carry_rows;
    use crate::model::plan::Op;
    use crate::model::table::{Carrier, Key, KeyOrigin, TableSchema};
    use crate::model::value::{EXACT, Value};

    const ROWS: &str = "with recursive n(i) as (values(1) union all select i + 1 from n limit 60)
        insert into t select i, case when i % 7 = 0 then x'00' when i % 5 > 0 then 'v' || i end, i / 2.0
        from n where i % 4 > 0";

    async fn table() -> (Connection, TablePlan) {
        let options = SqliteConnectOptions::new().in_memory(true);
        let connection = Connection::open(&options).await.unwrap();
        connection.execute("create table t(id integer primary key, v text, r real)").unwrap();
        connection.execute(ROWS).unwrap();
        let schema = schema::read(&connection, "t").unwrap().unwrap();
        (connection, plan(schema))
    }

    fn plan(schema: TableSchema) -> TablePlan {
        TablePlan {
            table: schema.name.clone(),
            op: Op::Update,
            key: Key { columns: vec!["id".into()], origin: KeyOrigin::PrimaryKey },
            before: schema.columns.clone(),
            after: schema.columns.clone(),
            schema,
            rows: 0,
            skipped: vec![],
            notes: vec![],
            from: vec![],
        }
    }

    fn keys(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
        let rows: Vec<Vec<Value>> = ids.into_iter().map(|id| vec![Value::Int(id)]).collect();
        carry_rows(&[Column::new("id", Carrier::Int)], &rows).unwrap()
    }

    #[tokio::test]
    async fn a_pass_over_a_run_of_rowids_reads_what_look_ups_read() {
        let (connection, plan) = table().await;
        let columns = plan.schema.columns.clone();
        // Absent ones before, between and behind; rows between that are not wanted.
        let runs = [
            keys(1..=60),
            keys(-9..=70),
            keys((1..=60).filter(|i| i % 3 > 0)),
            keys(61..=90),
            keys((1..=60).filter(|i| i % 4 == 0 || i % 3 == 0)),
        ];
        for keys in &runs {
            let ids = dense_run(&plan, keys).unwrap_or_default();
            assert_eq!(ids.len(), keys.num_rows(), "{ids:?}");
            let passed = run_through(&connection, &plan, &columns, ids).unwrap();
            let looked_up = look_up(&connection, &plan, &columns, keys).unwrap();
            assert_eq!(passed, looked_up, "{ids:?}");
        }
        let (all, exists) = read(&connection, &plan, &columns, &runs[0]).unwrap();
        assert_eq!(exists.iter().filter(|exists| **exists).count(), 45);
        assert_eq!(all.column_by_name(EXACT).map(|exact| 60 - exact.null_count()), Some(6));
        connection.close().await.unwrap();
    }

    /// Whether a row that is believed to stand in a way is read as it does, whatever is believed.
    async fn expectations(dense: bool) {
        let (connection, mut plan) = table().await;
        connection.execute("delete from t where id % 7 = 0").unwrap();
        if !dense {
            plan.schema.rowid_alias = None;
        }
        let columns = plan.schema.columns.clone();
        let there: Vec<i64> = (1..=60).filter(|i| i % 4 > 0 && i % 7 > 0).collect();
        let wanted = keys(there.iter().copied());
        assert_eq!(dense_run(&plan, &wanted).is_some(), dense);
        let (stood, _) = read(&connection, &plan, &columns, &wanted).unwrap();
        let now = |keys: &RecordBatch| {
            let read = read(&connection, &plan, &columns, keys).unwrap();
            let believed = read_expected(&connection, &plan, &columns, keys, &stood).unwrap();
            assert_eq!(believed, read);
            // The believed rows themselves, where they are right.
            let itself = std::sync::Arc::ptr_eq(believed.0.column(1), stood.column(1));
            assert_eq!(itself, read.0 == stood);
            itself
        };
        assert!(now(&wanted));
        for (change, back) in [
            ("update t set v = 'other' where id = 59", "update t set v = 'v59' where id = 59"),
            ("update t set v = x'763539' where id = 59", "update t set v = 'v59' where id = 59"),
            ("update t set v = null where id = 1", "update t set v = 'v1' where id = 1"),
            ("update t set v = '' where id = 5", "update t set v = null where id = 5"),
            ("update t set r = -r where id = 30", "update t set r = -r where id = 30"),
            ("update t set id = 60 where id = 59", "update t set id = 59 where id = 60"),
            ("delete from t where id = 1", "insert into t values (1, 'v1', 0.5)"),
        ] {
            connection.execute(change).unwrap();
            assert!(!now(&wanted), "{change}");
            connection.execute(back).unwrap();
            assert!(now(&wanted), "{back}");
        }
        // Other keys than those of the believed rows.
        assert!(!now(&keys(there.iter().map(|i| if *i == 59 { 60 } else { *i }))));
        assert!(!now(&keys(there[1..].iter().copied())));
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn x3_what_stands_as_expected_is_told_from_what_does_not_in_a_pass() {
        expectations(true).await;
    }

    #[tokio::test]
    async fn x3_what_stands_as_expected_is_told_from_what_does_not_by_look_ups() {
        expectations(false).await;
    }

    #[tokio::test]
    async fn k3_a_key_that_only_sqlite_takes_for_the_wanted_one_is_not_expected() {
        let options = SqliteConnectOptions::new().in_memory(true);
        let connection = Connection::open(&options).await.unwrap();
        connection.execute("create table t(k text collate nocase, v integer)").unwrap();
        connection.execute("insert into t values ('a', 1)").unwrap();
        let schema = schema::read(&connection, "t").unwrap().unwrap();
        let key = Key { columns: vec!["k".into()], origin: KeyOrigin::Named };
        let plan = TablePlan { key, ..plan(schema) };
        let columns = plan.schema.columns.clone();
        let row = |k: &str| vec![Value::Text(k.into()), Value::Int(1)];
        let [stood, other] = ["a", "A"].map(|k| carry_rows(&columns, &[row(k)]).unwrap());
        let believe = |rows: &RecordBatch| {
            read_expected(&connection, &plan, &columns, rows, rows).map_err(|_| "more than one")
        };
        assert_eq!(believe(&stood).unwrap().1, [true]);
        assert_eq!(believe(&other).unwrap().1, [false]);
        connection.execute("insert into t values ('A', 1)").unwrap();
        assert_eq!(believe(&stood).unwrap().1, [true]);
        connection.execute("insert into t values ('a', 1)").unwrap();
        assert_eq!(believe(&stood).unwrap_err(), "more than one");
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn k5_keys_that_are_no_run_of_rowids_are_looked_up() {
        let (connection, mut plan) = table().await;
        assert!(dense_run(&plan, &keys((1..=60).rev())).is_none(), "not in order");
        assert!(dense_run(&plan, &keys((1..=30).chain(30..=60))).is_none(), "twice");
        assert!(dense_run(&plan, &keys((1..=60).map(|i| i * 10))).is_none(), "far apart");
        assert!(dense_run(&plan, &keys(1..=3)).is_none(), "few");
        let ends = (1..=60).map(|i| if i < 60 { i64::MIN + i } else { i64::MAX });
        assert!(dense_run(&plan, &keys(ends)).is_none(), "as far apart as can be");
        plan.schema.rowid_alias = None;
        assert!(dense_run(&plan, &keys(1..=60)).is_none(), "another key");
        connection.close().await.unwrap();
    }
}
