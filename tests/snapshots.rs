//! Snapshots of several databases in one folder: taken, picked, pruned, each by itself.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use crate::common::{Run, Sandbox};

/// A sandbox with a database `prod.db` of `rows` rows in each of these folders.
fn sandbox(folders: &[(&str, u32)]) -> Sandbox {
    let sandbox = Sandbox::new();
    for (folder, rows) in folders {
        std::fs::create_dir_all(sandbox.path(folder)).unwrap();
        let sql = format!(
            "create table t (id integer primary key, v text);
             insert into t select value, '{folder}' from generate_series(1, {rows});"
        );
        sandbox.sqlite(&format!("{folder}/prod.db"), &sql);
    }
    sandbox
}

/// Runs the program in a folder of the sandbox.
fn within(sandbox: &Sandbox, folder: &str, line: &str) -> Run {
    let mut command = sandbox.command(line.split_whitespace());
    Run::of(command.current_dir(sandbox.path(folder)).output().unwrap())
}

/// The manifests of the snapshots that there are in a folder, with their paths.
fn manifests(folder: &Path) -> Vec<(String, Json)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read(path.join("restorekit.json")).unwrap();
        let manifest = serde_json::from_slice(&text).unwrap();
        found.push((path.to_string_lossy().into_owned(), manifest));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn two_databases_of_one_name_do_not_remove_each_others_snapshots() {
    let sandbox = sandbox(&[("a", 1), ("b", 2)]);
    for _ in 0..3 {
        for folder in ["a", "b"] {
            let line = "snapshot --live prod.db --out ../out --keep-last 2";
            within(&sandbox, folder, line).exits(0);
        }
    }
    let found = manifests(&sandbox.path("out"));
    assert_eq!(found.len(), 4);
    let locations: BTreeSet<&str> =
        found.iter().map(|(_, m)| m["location"].as_str().unwrap()).collect();
    let root = sandbox.path("").canonicalize().unwrap();
    let full = ["a/prod.db", "b/prod.db"].map(|path| root.join(path));
    assert_eq!(locations, full.iter().map(|path| path.to_str().unwrap()).collect());

    // Their names don't tell them apart, so their databases are told.
    let once = |line: &str, whose: &Path| {
        let shown = sandbox.run(line).exits(0).stdout;
        assert_eq!(shown.matches(whose.to_str().unwrap()).count(), 2, "{shown}");
    };
    for whose in &full {
        once("snapshots out", whose);
        once("snapshots out --keep-last 1", whose);
    }

    // What an earlier version left does not tell which of the two it is of.
    for (path, _) in &found {
        let manifest = Path::new(path).join("restorekit.json");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let text = text.replace(full[0].to_str().unwrap(), "prod.db");
        std::fs::write(&manifest, text.replace(full[1].to_str().unwrap(), "prod.db")).unwrap();
    }
    let pruned = sandbox.run("snapshots out --keep-last 1 --prune --yes").exits(0);
    assert!(pruned.stdout.contains("path in full"), "{}", pruned.stdout);
    assert_eq!(manifests(&sandbox.path("out")).len(), 4);
}

#[test]
fn a_snapshot_prunes_its_own_series_only() {
    let sandbox = sandbox(&[("a", 1), ("b", 1)]);
    let year = "snapshot --live b/prod.db --out out --keep-daily 365";
    for day in 1..=4 {
        sandbox.at(&format!("2026-03-0{day} 03:00:00"), year.split(' ')).exits(0);
    }
    let last = "snapshot --live a/prod.db --out out --keep-last 1 --json";
    for hour in 4..=6 {
        sandbox.at(&format!("2026-03-04 0{hour}:00:00"), last.split(' ')).exits(0);
    }
    let of = |folder: &str| {
        let found = manifests(&sandbox.path("out")).into_iter();
        let location = sandbox.path(folder).canonicalize().unwrap().join("prod.db");
        found.filter(|(_, m)| m["location"] == location.to_str().unwrap()).count()
    };
    assert_eq!((of("a"), of("b")), (1, 4));
    // By hand it is every series, each by itself.
    let by_hand = "snapshots out --keep-last 2 --prune --yes";
    sandbox.at("2026-03-05 03:00:00", by_hand.split(' ')).exits(0);
    assert_eq!((of("a"), of("b")), (1, 2));
}

#[test]
fn one_bad_database_holds_up_no_other() {
    let sandbox = sandbox(&[("srv/a", 1), ("srv/b", 1), ("srv/c", 1)]);
    let whole = std::fs::read(sandbox.path("srv/b/prod.db")).unwrap();
    let line = "snapshot --live srv --out out --keep-last 1 --json";
    sandbox.run(line).exits(0);
    // The magic is there, and nothing behind it.
    std::fs::write(sandbox.path("srv/b/prod.db"), &whole[..100]).unwrap();
    let run = sandbox.run(line).exits(2).complains("b/prod.db");
    let lines: Vec<Json> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["snapshots"].as_array().unwrap().len(), 2);
    let failed = lines[0]["failed"].as_array().unwrap();
    assert!(failed.len() == 1 && failed[0]["live"].as_str().unwrap().ends_with("b/prod.db"));
    assert_eq!(lines[1]["remove"].as_array().unwrap().len(), 2, "{}", run.stdout);
    assert_eq!(manifests(&sandbox.path("out")).len(), 3, "b's earlier one is still there");
    sandbox.run("snapshot --live srv/b/prod.db --out out").exits(2).complains("help:");
}

#[test]
fn verifying_goes_on_behind_a_snapshot_that_is_unreadable() {
    let sandbox = sandbox(&[("a", 1), ("b", 1)]);
    for line in ["snapshot --live a/prod.db --out out", "snapshot --live b/prod.db --out out"] {
        sandbox.at("2026-03-01 06:00:00", line.split(' ')).exits(0);
    }
    // It is looked at first.
    let line = "snapshot --live a/prod.db --out out";
    sandbox.at("2026-03-02 06:00:00", line.split(' ')).exits(0);
    let (broken, _) = manifests(&sandbox.path("out")).pop().unwrap();
    std::fs::write(Path::new(&broken).join("restorekit.json"), "{}").unwrap();
    let run = sandbox.run("verify out --format json").exits(7).complains("20260302T060000Z");
    let lines: Vec<Json> = run.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let whole: Vec<bool> = lines.iter().map(|l| l["whole"].as_bool().unwrap()).collect();
    assert_eq!(whole, [false, true, true], "{}", run.stdout);
}

#[test]
fn a_snapshot_that_may_not_go_is_told_and_the_others_go() {
    let sandbox = sandbox(&[("a", 1)]);
    for day in 1..=4 {
        let line = "snapshot --live a/prod.db --out out";
        sandbox.at(&format!("2026-03-0{day} 03:00:00"), line.split(' ')).exits(0);
    }
    let found = manifests(&sandbox.path("out"));
    std::fs::write(Path::new(&found[2].0).join("notes.txt"), "mine").unwrap();
    let line = "snapshots out --keep-last 1 --prune --yes --format json";
    let run = sandbox.at("2026-03-05 03:00:00", line.split(' ')).exits(5).complains("notes.txt");
    let told = run.json();
    assert_eq!(told["remove"].as_array().unwrap().len(), 2);
    assert_eq!(told["failed"].as_array().unwrap().len(), 1);
    assert_eq!(manifests(&sandbox.path("out")).len(), 2);
}

#[test]
fn a_snapshot_of_some_tables_stands_in_for_no_whole_one() {
    let sandbox = sandbox(&[("a", 5)]);
    sandbox.sqlite("a/prod.db", "create table u (id integer primary key)");
    let take = "snapshot --live a/prod.db --out out --keep-last 1 --json";
    let whole = sandbox.run(take).exits(0).stdout;
    for _ in 0..2 {
        sandbox.run(&format!("{take} --table t")).exits(0);
    }
    let found = manifests(&sandbox.path("out"));
    let (whole_ones, parts): (Vec<_>, Vec<_>) =
        found.iter().map(|(_, manifest)| &manifest["only"]).partition(|only| only.is_null());
    assert_eq!(whole_ones.len(), 1);
    assert_eq!(parts, [&serde_json::json!([{ "name": "t" }])]);
    let listed = sandbox.run("snapshots out").exits(0).stdout;
    assert!(listed.contains("of some tables only: t"), "{listed}");
    let whole: Json = serde_json::from_str(whole.lines().next().unwrap()).unwrap();
    let path = Path::new(whole["snapshots"][0]["path"].as_str().unwrap());
    let inspected = sandbox.run("inspect out@latest --format json").exits(0).json();
    let location = Path::new(inspected["location"].as_str().unwrap());
    assert_eq!(location.file_name(), path.file_name());
}

#[test]
fn what_is_removed_is_what_was_shown() {
    let sandbox = sandbox(&[("a", 1)]);
    let take = || sandbox.run("snapshot --live a/prod.db --out out").exits(0);
    for _ in 0..3 {
        take();
    }
    let shown = manifests(&sandbox.path("out"));
    let program = Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    // While it asks, another one is taken: by a new plan the newest that was shown would go too.
    let answer = || {
        take();
        "y\r".to_owned()
    };
    let line = "restorekit snapshots out --keep-last 1 --prune";
    sandbox.talked(&path, line, [("Remove 2 snapshots?", answer)]).exits(0);
    let left = manifests(&sandbox.path("out"));
    assert_eq!(left.len(), 2);
    assert_eq!(left.iter().filter(|one| shown.contains(one)).count(), 1);
}

#[test]
fn a_schedule_has_no_relative_path_and_no_password() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("").canonicalize().unwrap().display().to_string();
    let root = root.trim_end_matches('/');
    let run = sandbox.run("snapshot --live sqlite:prod.db --out out --schedule 8h").exits(0);
    for line in run.stdout.lines().filter(|line| line.contains("snapshot --quiet")) {
        assert!(line.contains(&format!("--live sqlite:{root}/prod.db --out {root}/out")), "{line}");
    }
    let settings = "snapshots = \"out\"\n[profile.shop]\n\
                    live = \"mysql://keeper:${SHOP_PASSWORD}@db1/shop\"\n";
    std::fs::write(sandbox.path("restorekit.toml"), settings).unwrap();
    let line = "snapshot --profile shop --schedule 1d";
    let output = sandbox.command(line.split(' ')).env("SHOP_PASSWORD", "hunter2!").output();
    let run = Run::of(output.unwrap()).exits(0);
    let named = format!("snapshot --quiet --config {root}/restorekit.toml --profile shop --out");
    assert_eq!(run.stdout.matches(&named).count(), 2, "{}", run.stdout);
    assert!(!run.stdout.contains("hunter2") && !run.stdout.contains("--live"), "{}", run.stdout);
    // One that the environment names stands in no file.
    let mut command = sandbox.command("snapshot --out out --schedule 1d".split(' '));
    command.env("RESTOREKIT_LIVE", "mysql://keeper:hunter2!@db1/shop");
    Run::of(command.output().unwrap()).exits(5).complains("RESTOREKIT_LIVE");
}
