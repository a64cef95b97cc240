//! The matrix of types on PostgreSQL: what the server prints, through psql, is the oracle.

use super::super::super::source::tests::types::{PRELUDE, types};
use super::lab::{Database, Lab};
use crate::engine::tests::matrix::{self, Kind, Types};

impl Types for Database {
    fn types() -> &'static [Kind] {
        types()
    }

    const PRELUDE: [&'static str; 2] = [PRELUDE, ""];

    fn value(kind: &str, value: &str) -> String {
        format!("cast({value} as {kind})")
    }

    fn differing(lab: &Lab, column: &str) -> u64 {
        // A line a row, whatever ends of lines a value holds.
        let printed = format!(
            "set extra_float_digits = 3; select case when {column} is distinct from null \
             then encode(convert_to(format('%s', {column}), 'UTF8'), 'hex') else 'NULL' end \
             from t order by id"
        );
        let (live, backup) = (lab.live.sql(&printed), lab.backup.sql(&printed));
        assert_eq!(live.lines().count(), backup.lines().count());
        live.lines().zip(backup.lines()).filter(|(a, b)| a != b).count() as u64
    }
}

#[tokio::test]
async fn t6_t17_t18_t19_every_type_is_equal_to_itself() {
    matrix::is_equal::<Database>().await;
}

#[tokio::test]
async fn t6_t17_t18_t19_every_type_comes_back_and_is_taken_back() {
    matrix::comes_back::<Database>(false).await;
}

#[tokio::test]
async fn t6_t17_t18_t19_every_type_comes_back_from_a_snapshot() {
    matrix::comes_back::<Database>(true).await;
}

#[tokio::test]
async fn t6_t17_t18_t19_every_type_is_set_and_set_back() {
    matrix::is_set::<Database>(false).await;
}

#[tokio::test]
async fn t6_t17_t18_t19_every_type_is_set_from_a_snapshot() {
    matrix::is_set::<Database>(true).await;
}
