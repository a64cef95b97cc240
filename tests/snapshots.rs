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
