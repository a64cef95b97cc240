//! What `inspect` says of each kind.

use super::*;
use crate::backup::inspect::{Inspection, inspect};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

async fn of(path: impl Into<PathBuf>) -> Inspection {
    inspect(&spec(path)).await.unwrap()
}

#[tokio::test]
async fn a_snapshot_is_told_by_its_manifest() {
    let root = tempfile::tempdir().unwrap();
    super::ours::snapshot(root.path(), "prod.db", "2024-03-14T02:00:00Z");
    let told = of(root.path()).await;
    assert_eq!(told.kind, "restorekit snapshot");
    assert!(told.why[0].contains("restorekit.json"), "{told:?}");
    assert_eq!(told.taken_at.as_deref(), Some("2024-03-14T02:00:00+00:00"));
    assert_eq!((told.tables[0].rows, told.tables[0].columns.len()), (Some(3), 2));
    assert_eq!(told.tables[0].problem, None);
    let file = root.path().join("parquet/t.parquet");
    fs::write(&file, "short").unwrap();
    let problem = of(root.path()).await.tables[0].problem.clone().unwrap();
    assert!(problem.contains("has 5 bytes"), "{problem}");
    fs::remove_file(&file).unwrap();
    assert!(of(root.path()).await.tables[0].problem.is_some());
}

#[tokio::test]
async fn w9_a_folder_of_tables_is_told_with_what_is_unchecksummed() {
    let root = tempfile::tempdir().unwrap();
    let from = Path::new(FIXTURES);
    fs::copy(from.join("checksums.parquet"), root.path().join("a.parquet")).unwrap();
    fs::copy(from.join("pandas/loose/typed.parquet"), root.path().join("b.parquet")).unwrap();
    fs::write(root.path().join("c.parquet"), "no").unwrap();
    let told = of(root.path()).await;
    assert_eq!(told.kind, "folder of tables");
    let rows: Vec<Option<u64>> = told.tables.iter().map(|t| t.rows).collect();
    assert_eq!(rows, [Some(40), Some(60), None]);
    assert_eq!(told.tables[0].columns, ["id", "name"]);
    assert!(told.tables[2].problem.is_some());
    assert_eq!(told.warnings.len(), 1, "{told:?}");
    assert!(told.warnings[0].starts_with("b: unchecksummed"), "{told:?}");
}

#[tokio::test]
async fn a_sqlite_file_is_told_by_its_first_bytes() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("backup-of-monday");
    fs::copy(Path::new(FIXTURES).join("pandas/live.sqlite"), &path).unwrap();
    let before = listing(root.path());
    for path in [path.as_path(), root.path()] {
        let told = of(path).await;
        assert_eq!(told.kind, "SQLite file");
        assert_eq!(told.tables[0].name, TableName::bare("people"));
        assert_eq!(told.tables[0].columns.len(), 9);
    }
    assert_eq!(listing(root.path()), before);
}
