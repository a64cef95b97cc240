//! Whose snapshots are taken, where one folder holds those of several databases and hosts.

use super::ours::{change, snapshot};
use super::*;
use crate::backup::detect::{Live, Pick, find};
use crate::error::{Error, Kind};

/// Puts a snapshot there: its folder's name, host, database and location, and the day.
fn put(root: &Path, name: &str, [host, database, location]: [&str; 3], day: u32) {
    let folder = root.join(name);
    snapshot(&folder, database, &format!("2024-03-{day:02}T02:00:00Z"));
    change(&folder, |manifest| {
        manifest.host = host.into();
        manifest.location = location.into();
    });
}

/// `root`, as the backup of a live database on a host.
fn of(root: &Path, host: &str, location: &str) -> BackupSpec {
    let database = crate::registry::Location::parse(location).unwrap().database();
    let live = Live { host: host.into(), location: location.into() };
    BackupSpec { live: Some(live), database: database.map(str::to_owned), ..spec(root) }
}

async fn picks(spec: BackupSpec) -> (String, Vec<String>) {
    let found = find(&spec).await.unwrap();
    let name = found.layout.location().file_name().unwrap().to_string_lossy().into_owned();
    (name, found.warnings)
}

async fn fails(spec: BackupSpec) -> Error {
    find(&spec).await.unwrap_err()
}

#[tokio::test]
async fn w1_the_newest_is_that_of_live_and_not_of_a_namesake() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "a1", ["web1", "app.db", "/srv/a/app.db"], 1);
    put(root, "a2", ["web1", "app.db", "/srv/a/app.db"], 2);
    put(root, "b3", ["web1", "app.db", "/srv/b/app.db"], 3);
    put(root, "c4", ["web2", "app.db", "/srv/a/app.db"], 4);
    for (host, location, name) in [
        ("web1", "/srv/a/app.db", "a2"),
        ("web1", "/srv/b/app.db", "b3"),
        ("web2", "/srv/a/app.db", "c4"),
    ] {
        assert_eq!(picks(of(root, host, location)).await, (name.into(), vec![]));
    }
    let before = BackupSpec { pick: Some(Pick::Back(1)), ..of(root, "web1", "/srv/a/app.db") };
    assert_eq!(picks(before).await.0, "a1");
    let before = BackupSpec { pick: Some(Pick::Back(1)), ..of(root, "web1", "/srv/b/app.db") };
    assert!(fails(before).await.to_string().contains("holds 1 backups"));

    // Elsewhere it may be any of them, and so it is without a live database.
    let nameless = BackupSpec { live: None, database: None, ..spec(root) };
    let namesake = BackupSpec { live: None, ..of(root, "web3", "/srv/a/app.db") };
    let elsewhere = of(root, "web3", "/srv/a/app.db");
    let moved = of(root, "web1", "/srv/c/app.db");
    let renamed = of(root, "web3", "/srv/a/other.db");
    for spec in [nameless, namesake, elsewhere, moved, renamed] {
        let error = fails(spec).await;
        assert_eq!(error.kind(), Kind::Usage);
        let told = format!("{error} {:?}", error.hints());
        for words in ["3 databases", "/srv/b/app.db on web1", "/srv/a/app.db on web2", "a2", "b3"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        let c4 = format!("--backup {} is of /srv/a/app.db on web2", root.join("c4").display());
        assert!(error.hints()[0].contains(&c4), "the newest first: {told}");
    }
    // What is typed next is the one that was picked.
    let moment = "2024-03-01T12:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let as_of = Some(Pick::AsOf(moment.fixed_offset()));
    let error = fails(BackupSpec { pick: as_of, ..of(root, "web3", "/srv/app.db") }).await;
    let told = format!("{:?}", error.hints());
    assert!(told.contains("a1") && !told.contains("a2") && !told.contains("b3"), "{told}");
}

#[tokio::test]
async fn one_database_is_taken_on_any_host_and_said() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "a1", ["web1", "app.db", "/srv/a/app.db"], 1);
    put(root, "o2", ["web1", "other.db", "/srv/a/other.db"], 2);
    for (host, location) in
        [("web2", "/srv/a/app.db"), ("web1", "/tmp/app.db"), ("web2", "/tmp/app.sqlite")]
    {
        let (name, warnings) = picks(of(root, host, location)).await;
        assert_eq!(name, "a1");
        let told =
            format!("the snapshot is of /srv/a/app.db on web1; live is {location} on {host}");
        assert_eq!(warnings, std::slice::from_ref(&told));
        // The same of a snapshot that is named by itself.
        assert_eq!(picks(of(&root.join("a1"), host, location)).await.1, [told]);
    }
    let error = fails(of(root, "web2", "/tmp/none.db")).await;
    assert!(error.to_string().contains("2 databases, none of them called none.db"), "{error}");
    fs::remove_dir_all(root.join("o2")).unwrap();
    let (name, warnings) = picks(of(root, "web2", "/tmp/none.db")).await;
    assert_eq!((name.as_str(), warnings.len()), ("a1", 1));
}

#[tokio::test]
async fn a_longer_name_from_a_folder_of_databases_hides_no_namesake() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    // As `snapshot --live /srv` calls them.
    put(root, "top", ["web1", "app.db", "/srv/app.db"], 2);
    put(root, "below", ["web1", "b_app.db", "/srv/b/app.db"], 1);
    assert_eq!(picks(of(root, "web1", "/srv/b/app.db")).await, ("below".into(), vec![]));
    assert_eq!(picks(of(root, "web1", "/srv/app.db")).await, ("top".into(), vec![]));
    let error = fails(of(root, "web2", "/home/me/app.db")).await;
    assert!(error.to_string().contains("2 databases called app.db"), "{error}");
    // Before there was another of its name, it was called by its file's name alone.
    put(root, "earlier", ["web1", "app.db", "/srv/b/app.db"], 3);
    assert_eq!(picks(of(root, "web1", "/srv/b/app.db")).await.0, "earlier");
}

#[tokio::test]
async fn a_path_that_was_typed_is_of_no_certain_database() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "old", ["web1", "app.db", "app.db"], 5);
    let (name, warnings) = picks(of(root, "web1", "/srv/a/app.db")).await;
    assert_eq!(name, "old");
    assert!(warnings.len() == 1 && warnings[0].contains("not given in full"), "{warnings:?}");
    // One of some tables is of the same one, as far as that is known.
    put(root, "part", ["web1", "app.db", "app.db"], 6);
    change(&root.join("part"), |manifest| manifest.only = vec![TableName::bare("t")]);
    assert_eq!(picks(of(root, "web1", "/srv/a/app.db")).await.0, "old");
    put(root, "new", ["web1", "app.db", "/srv/b/app.db"], 1);
    assert_eq!(picks(of(root, "web1", "/srv/b/app.db")).await, ("new".into(), vec![]));
    assert_eq!(fails(of(root, "web1", "/srv/a/app.db")).await.kind(), Kind::Usage);
}

#[tokio::test]
async fn a_server_is_one_whoever_enters_it_and_localhost_is_each_hosts_own() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    put(root, "r1", ["bk1", "prod", "postgres://keeper@db1:5432/prod"], 1);
    put(root, "r2", ["bk2", "prod", "postgres://other@db1:5432/prod?sslmode=verify-full"], 2);
    put(root, "l3", ["web1", "prod", "postgres://app@localhost:5432/prod"], 3);
    put(root, "l4", ["web2", "prod", "postgres://app@localhost:5432/prod"], 4);
    put(root, "m5", ["web1", "prod", "mysql://root@db1:3306/prod"], 5);
    for (host, location, name) in [
        ("web9", "postgres://app@db1:5432/prod", "r2"),
        ("web1", "postgres://me@localhost:5432/prod", "l3"),
        ("web2", "postgresql://me@localhost/prod", "l4"),
        ("web9", "mariadb://app@db1/prod", "m5"),
    ] {
        assert_eq!(picks(of(root, host, location)).await, (name.into(), vec![]), "{location}");
    }
    let older = BackupSpec { pick: Some(Pick::Back(1)), ..of(root, "x", "postgres://u@db1/prod") };
    assert_eq!(picks(older).await.0, "r1");
    let error = fails(of(root, "web3", "postgres://app@localhost:5432/prod")).await;
    assert!(error.to_string().contains("4 databases called prod"), "{error}");
}

#[tokio::test]
async fn a_snapshot_of_some_tables_stands_behind_every_whole_one() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let of_some = |name: &str, day: u32| {
        put(root, name, ["web1", "app.db", "/srv/app.db"], day);
        change(&root.join(name), |manifest| manifest.only = vec![TableName::bare("t")]);
    };
    of_some("part5", 5);
    of_some("part6", 6);
    let own = || of(root, "web1", "/srv/app.db");
    let warning = "the snapshot is of some tables only: t".to_owned();
    assert_eq!(picks(own()).await, ("part6".into(), vec![warning.clone()]));
    put(root, "whole1", ["web1", "app.db", "/srv/app.db"], 1);
    put(root, "whole2", ["web1", "app.db", "/srv/app.db"], 2);
    assert_eq!(picks(own()).await, ("whole2".into(), vec![]));
    let before = BackupSpec { pick: Some(Pick::Back(1)), ..own() };
    assert_eq!(picks(before).await.0, "whole1");
    // One that is named by itself is taken, and said.
    let named = of(&root.join("part5"), "web1", "/srv/app.db");
    assert_eq!(picks(named).await, ("part5".into(), vec![warning]));
    // Of several databases the whole ones are named.
    put(root, "b1", ["web2", "app.db", "/srv/app.db"], 1);
    let error = fails(of(root, "web3", "/srv/app.db")).await;
    let told = format!("{:?}", error.hints());
    assert!(told.contains("whole2") && !told.contains("part6"), "{told}");
}
