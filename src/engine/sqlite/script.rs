//! SQL run as it stands on a database of restorekit's own making: the demo's story. Never
//! for a database of a user, which only [`write`](crate::engine::sqlite::write) writes to.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::error::{Error, Result};

/// Runs statements in one transaction; the file is created where it is missing.
pub(crate) async fn run(path: &Path, sql: &str) -> Result<()> {
    let failed = |e: sqlx::Error| {
        Error::failed(format!("the script could not run on {}", path.display())).because(e)
    };
    let options =
        SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let mut connection: SqliteConnection = options.connect().await.map_err(failed)?;
    let done = sqlx::raw_sql(AssertSqlSafe(format!("begin immediate; {sql}; commit")))
        .execute(&mut connection)
        .await;
    connection.close().await.map_err(failed)?;
    done.map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_script_is_done_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        run(&path, "create table t(a); insert into t values (1)").await.unwrap();
        assert!(
            run(&path, "insert into t values (2); insert into nowhere values (1)").await.is_err()
        );
        let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        let rows: Vec<(i64,)> =
            sqlx::query_as("select a from t").fetch_all(&mut connection).await.unwrap();
        assert_eq!(rows, [(1,)]);
        connection.close().await.unwrap();
    }
}
