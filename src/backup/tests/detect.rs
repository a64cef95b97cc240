//! What a path is said to be, and that it is never two things.

use arrow::array::Int64Array;
use chrono::TimeZone;

use super::*;
use crate::backup::detect::{Layout, Pick, find};
use crate::error::{Error, Kind};

fn parquet(path: PathBuf) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    write_parquet(&path, vec![("id", ids)], 10);
}

async fn fails(path: &Path) -> Error {
    open_backup(&spec(path)).await.unwrap_err()
}

/// `<root>/app/<time>/parquet/t.parquet` for three times, and one of `other`.
fn story_c(root: &Path) {
    for take in ["2024-05-29-09:14:42", "20240530060000", "2024-05-28-01:00:00"] {
        parquet(root.join("app").join(take).join("parquet/t.parquet"));
        fs::create_dir_all(root.join("app").join(take).join("json")).unwrap();
        fs::write(root.join("app").join(take).join("json/t.json.gz"), "x").unwrap();
    }
    parquet(root.join("other/20240101000000/parquet/u.parquet"));
}

#[tokio::test]
async fn dated_takes_give_the_newest_and_parquet() {
    let root = tempfile::tempdir().unwrap();
    story_c(root.path());
    let before = listing(root.path());
    let of = |spec: BackupSpec| async move { find(&spec).await.unwrap() };
    let app = root.path().join("app");
    let found = of(spec(&app)).await;
    assert!(found.layout.location().ends_with("20240530060000"));
    assert!(found.why[0].contains("dated takes"), "{:?}", found.why);
    assert_eq!(found.older.len(), 2);
    let older = of(BackupSpec { pick: Some(Pick::Back(1)), ..spec(&app) }).await;
    assert!(older.layout.location().ends_with("2024-05-29-09:14:42"));
    let named = BackupSpec { database: Some("app.sqlite".into()), ..spec(root.path()) };
    let found = of(named).await;
    assert!(found.layout.location().ends_with("app/20240530060000"));
    let Layout::Tables { tables, taken_at, .. } = found.layout else { panic!() };
    assert!(tables[0].path.ends_with("parquet/t.parquet"));
    assert_eq!(taken_at.unwrap().naive_local().to_string(), "2024-05-30 06:00:00");
    let source = open(app.join("2024-05-29-09:14:42")).await;
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("t")]);
    assert_eq!(listing(root.path()), before);
}

#[tokio::test]
async fn a_dated_take_older_than_its_name_is_warned_of() {
    let root = tempfile::tempdir().unwrap();
    story_c(root.path());
    let take = root.path().join("app/20240530060000");
    parquet(take.join("parquet/u.parquet"));
    let named = chrono::Local.with_ymd_and_hms(2024, 5, 30, 6, 0, 0).unwrap();
    let written = |file: &str, hours: i64| {
        let at = named + chrono::TimeDelta::hours(hours);
        let file = File::options().append(true).open(take.join("parquet").join(file)).unwrap();
        file.set_modified(at.into()).unwrap();
    };
    let warnings = || async {
        let mut of_root = find(&spec(root.path().join("app"))).await.unwrap().warnings;
        assert_eq!(of_root, find(&spec(&take)).await.unwrap().warnings);
        of_root.retain(|warning| !warning.starts_with("json/t.json.gz is not read"));
        of_root
    };
    // Copied later, written by what began at that time, or named in another zone than this host's.
    for hours in [1000, 2, 0, -25] {
        written("t.parquet", hours);
        assert_eq!(warnings().await, [""; 0], "{hours}");
    }
    written("t.parquet", -27);
    let [warning] = &warnings().await[..] else { panic!("not one warning") };
    for words in ["2024-05-30T06:00:00", "parquet/t.parquet", "2024-05-29T03:00:00", "1 of its 2"] {
        assert!(warning.contains(words), "{warning}");
    }
    written("u.parquet", -100);
    let [warning] = &warnings().await[..] else { panic!("not one warning") };
    assert!(warning.contains("parquet/u.parquet") && warning.contains("2 of its 2"), "{warning}");
    // It is read all the same.
    let source = open(&take).await;
    assert!(source.origin().warnings.contains(warning));
    let columns = [column("id", Carrier::Int)];
    let rows = scan(&*source, "t", &columns, &[], KeyRange::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn several_databases_are_listed_not_guessed() {
    let root = tempfile::tempdir().unwrap();
    story_c(root.path());
    let error = fails(root.path()).await;
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.to_string().contains("2 databases: app, other"), "{error}");
    let wrong = BackupSpec { database: Some("prod.db".into()), ..spec(root.path()) };
    let error = open_backup(&wrong).await.unwrap_err();
    assert!(error.to_string().contains("none of them called prod.db"), "{error}");
    let far = BackupSpec { pick: Some(Pick::Back(3)), ..spec(root.path().join("app")) };
    let error = open_backup(&far).await.unwrap_err();
    assert!(error.to_string().contains("holds 3 backups"), "{error}");
}

#[tokio::test]
async fn our_snapshots_give_the_newest_of_lives_database() {
    let root = tempfile::tempdir().unwrap();
    for (name, database, taken_at) in [
        ("a", "prod.db", "2024-03-14T02:00:00Z"),
        ("b", "prod.db", "2024-03-15T02:00:00+02:00"),
        ("c", "prod.db", "2024-03-15T01:00:00Z"),
        ("d", "other.db", "2025-01-01T00:00:00Z"),
    ] {
        super::ours::snapshot(&root.path().join(name), database, taken_at);
    }
    let own = BackupSpec { database: Some("prod.db".into()), ..spec(root.path()) };
    let found = find(&own).await.unwrap();
    assert!(found.layout.location().ends_with("c"), "{found:?}");
    let one_before = BackupSpec { pick: Some(Pick::Back(1)), ..own.clone() };
    let found = find(&one_before).await.unwrap();
    assert!(found.layout.location().ends_with("b"), "{found:?}");
    let as_of = |moment: &str| {
        let moment = chrono::DateTime::parse_from_rfc3339(moment).unwrap();
        BackupSpec { pick: Some(Pick::AsOf(moment)), ..own.clone() }
    };
    for (moment, name, older) in [
        ("2030-01-01T00:00:00Z", "c", 2),
        ("2024-03-15T01:00:00Z", "c", 2),
        ("2024-03-15T00:59:59Z", "b", 1),
        // The same moment as b's in another zone, and one second before it.
        ("2024-03-14T19:00:00-05:00", "b", 1),
        ("2024-03-14T18:59:59-05:00", "a", 0),
    ] {
        let found = find(&as_of(moment)).await.unwrap();
        assert!(found.layout.location().ends_with(name), "{moment}: {found:?}");
        assert_eq!(found.older.len(), older, "{moment}");
    }
    let error = find(&as_of("2024-03-14T01:59:59Z")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let told = format!("{error} {:?}", error.hints());
    assert!(told.contains("2024-03-14T01:59:59") && told.contains("2024-03-14T02:00:00"), "{told}");
    let one = BackupSpec { path: root.path().join("a"), ..as_of("2030-01-01T00:00:00Z") };
    let error = find(&one).await.unwrap_err();
    assert!(error.to_string().contains("--as-of"), "{error}");
    assert_eq!(fails(root.path()).await.kind(), Kind::Usage);
    let by_manifest = open(root.path().join("a/restorekit.json")).await;
    assert_eq!(by_manifest.origin().kind, "restorekit snapshot");
}

#[tokio::test]
async fn two_answers_are_an_error_that_names_both() {
    let root = tempfile::tempdir().unwrap();
    super::ours::snapshot(root.path(), "prod.db", "2024-03-14T02:00:00Z");
    parquet(root.path().join("events.parquet"));
    let error = fails(root.path()).await.to_string();
    assert!(error.contains("restorekit.json") && error.contains("events.parquet"), "{error}");

    let root = tempfile::tempdir().unwrap();
    story_c(root.path());
    parquet(root.path().join("app/events.parquet"));
    let error = fails(&root.path().join("app")).await.to_string();
    assert!(error.contains("dated takes") && error.contains("events.parquet"), "{error}");
}

#[tokio::test]
async fn loose_files_are_tables_by_their_names() {
    let root = tempfile::tempdir().unwrap();
    parquet(root.path().join("a.b.parquet"));
    parquet(root.path().join("t.pq"));
    fs::write(root.path().join("t.csv"), "id\n1\n").unwrap();
    fs::write(root.path().join("README.md"), "hi").unwrap();
    let found = find(&spec(root.path())).await.unwrap();
    assert_eq!(found.warnings, ["t.csv is not read: another file holds the same table"]);
    let source = open(root.path()).await;
    assert_eq!(source.tables().await.unwrap(), [TableName::bare("a.b"), TableName::bare("t")]);
    let one = open(root.path().join("t.pq")).await;
    assert_eq!(one.origin().kind, "Parquet file");
}

#[tokio::test]
async fn what_is_no_backup_says_what_it_is() {
    let root = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = root.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let missing = fails(&root.path().join("nowhere")).await;
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    for (path, kind, words) in [
        (file("empty.db", b""), Kind::Damaged, "is empty"),
        (file("text.db", b"hello"), Kind::Damaged, "named like a SQLite database"),
        (file("t.parquet", b"hello there"), Kind::Damaged, "does not begin with \"PAR1\""),
        (file("x.bin", b"hello"), Kind::Failed, "no kind that restorekit knows"),
        (file("d.dump", b"PGDMP123"), Kind::Failed, "has version 49.50"),
        (file("d.sql", b"-- MySQL dump 10.13"), Kind::Damaged, "lacks its end mark"),
    ] {
        let error = fails(&path).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let folder = root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let error = fails(&folder).await;
    assert!(error.to_string().contains("holds no backup"), "{error}");
    assert!(error.hints()[0].contains(".parquet"), "{:?}", error.hints());
    for sealed in ["t.csv.age", "parquet/t.parquet.age"] {
        let sealed = folder.join(sealed);
        fs::create_dir_all(sealed.parent().unwrap()).unwrap();
        fs::write(&sealed, "age-encryption.org/v1\n").unwrap();
        let error = fails(&folder).await;
        assert!(error.hints()[1].contains("age -d"), "{:?}", error.hints());
        fs::remove_file(&sealed).unwrap();
    }
}

#[tokio::test]
async fn w10_only_regular_files_are_opened_and_no_link_leads_out() {
    let root = tempfile::tempdir().unwrap();
    let fifo = root.path().join("t.parquet");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(fails(&fifo).await.kind(), Kind::Usage);
    fs::remove_file(&fifo).unwrap();
    let folder = root.path().join("backup");
    fs::create_dir(&folder).unwrap();
    parquet(root.path().join("secret.parquet"));
    std::os::unix::fs::symlink("../secret.parquet", folder.join("t.parquet")).unwrap();
    let source = open(&folder).await;
    let columns = [column("id", Carrier::Int)];
    let error = scan(&*source, "t", &columns, &[], KeyRange::default()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    parquet(folder.join("real.parquet"));
    std::os::unix::fs::symlink("real.parquet", folder.join("same.parquet")).unwrap();
    let source = open(&folder).await;
    let rows = scan(&*source, "same", &columns, &[], KeyRange::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_selector_is_split_from_the_path() {
    let parse = |text| BackupSpec::parse(text).map(|s| (s.path, s.pick));
    assert_eq!(parse("a/b").unwrap(), ("a/b".into(), None));
    assert_eq!(parse("a/b@latest").unwrap(), ("a/b".into(), Some(Pick::Back(0))));
    assert_eq!(parse("a/b@latest~2").unwrap(), ("a/b".into(), Some(Pick::Back(2))));
    assert_eq!(parse("a@b").unwrap(), ("a@b".into(), None));
    assert!(parse("a/b@latest-2").is_err());
}

#[tokio::test]
async fn a_file_that_is_open_as_live_is_recognised_unopened() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("live.sqlite");
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pandas/live.sqlite");
    fs::copy(fixture, &path).unwrap();
    let read = || crate::registry::first_bytes(&path, 100).unwrap().len();
    assert_eq!(read(), 100);
    let live = crate::registry::open_live(path.to_str().unwrap(), 1).await.unwrap();
    assert_eq!(read(), 16);
    for path in [path.as_path(), root.path()] {
        assert!(matches!(find(&spec(path)).await.unwrap().layout, Layout::Sqlite(_)));
    }
    live.release().await.unwrap();
    assert_eq!(read(), 100);
}
