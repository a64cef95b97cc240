//! The house rules that a compiler does not check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(PathBuf, String)> {
    let found = below("src");
    assert!(found.len() > 20, "the sources were found");
    found
}

/// Every Rust file below a folder of the project, with its text.
fn below(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

/// A module's tests may reach further up than the module.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|c| c.as_os_str() == "tests")
}

/// The top module a file belongs to: `src/plan/file.rs` is in `plan`.
fn module(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without its tests and comments.
fn code(text: &str) -> String {
    let body = text.split("\n#[cfg(test)]\n").next().unwrap_or(text);
    body.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The layers from the top down; a module may import only from layers below its own, or
/// what `ALSO` names inside its own layer.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["report", "state"],
    &["apply", "gaps", "plan", "snapshot", "undo", "verify"],
    &["select"],
    &["diff"],
    &["mount"],
    &["backup"],
    &["registry"],
    &["engine"],
    &["fit"],
    &["source", "target"],
    &["durable", "model", "progress"],
    &["error"],
];

/// Arrows inside a layer, each with its reason.
const ALSO: &[(&str, &str)] = &[
    // applying, undoing and verifying are done on plan files
    ("apply", "plan"),
    ("undo", "plan"),
    ("verify", "plan"),
];

#[test]
fn imports_point_downward() {
    let rank: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(rank, modules)| modules.iter().map(move |m| (*m, rank)))
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let from = module(&path);
        if from == "lib" || is_test(&path) {
            continue;
        }
        let Some(&from_rank) = rank.get(from.as_str()) else {
            panic!("{from} stands in no layer: add it to LAYERS");
        };
        for piece in code(&text).split("crate::").skip(1) {
            let to: String =
                piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(&to_rank) = rank.get(to.as_str()) else { continue };
            let allowed =
                to == from || to_rank > from_rank || ALSO.contains(&(from.as_str(), to.as_str()));
            if !allowed {
                wrong.push(format!("{}: {from} imports {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up or sideways:\n{}", wrong.join("\n"));
}

/// A library and the only modules that may use it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("sqlx::", &["engine", "plan"]),
    ("libsqlite3_sys", &["engine"]),
    ("clap::", &["cli"]),
    ("indicatif::", &["cli"]),
    ("inquire::", &["cli"]),
    ("comfy_table::", &["report"]),
    (
        "datafusion::",
        &[
            "error", "source", "engine", "backup", "mount", "diff", "select", "gaps", "snapshot",
            "plan",
        ],
    ),
];

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let here = module(&path);
        if is_test(&path) {
            continue;
        }
        for (library, rooms) in ONLY_IN {
            if code(&text).contains(library) && !rooms.contains(&here.as_str()) {
                wrong.push(format!("{}: {library}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "libraries outside of their rooms:\n{}", wrong.join("\n"));
}

#[test]
fn the_library_neither_prints_nor_exits_nor_reads_the_environment() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if matches!(module(&path).as_str(), "cli" | "main") || is_test(&path) {
            continue;
        }
        for word in ["println!", "eprintln!", "print!(", "process::exit", "env::var", "stdout()"] {
            if code(&text).contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not for a library:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_two_modules() {
    for (path, text) in sources() {
        let modules = ["engine/sqlite/raw.rs", "cli/arenas.rs"];
        let allowed = modules.iter().any(|module| path.ends_with(module));
        assert!(allowed || !code(&text).contains("unsafe "), "unsafe in {}", path.display());
    }
}

#[test]
fn files_stay_small() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let most = if is_test(&path) { 800 } else { 600 };
        assert!(lines <= most, "{} has {lines} lines: make it a folder", path.display());
    }
}

#[test]
fn c1_no_statement_replaces_or_ignores() {
    let forbidden =
        ["OR REPLACE", "OR IGNORE", "REPLACE INTO", "INSERT IGNORE", "ON DUPLICATE", "DO NOTHING"];
    for (path, text) in sources() {
        if module(&path) == "model" || is_test(&path) {
            continue;
        }
        let code = code(&text).to_uppercase();
        for words in forbidden {
            assert!(!code.contains(words), "{} emits {words}", path.display());
        }
    }
}

/// A file's enum of readers, and what the names of their fuzz targets begin with.
const READERS: &[(&str, &str, &str)] = &[
    ("src/backup/dump/signs.rs", "DumpKind", "dump"),
    ("src/backup/folder.rs", "Named", "table"),
    ("src/backup/place.rs", "Layer", "layer"),
];

/// `MysqlTab` as `mysql_tab`.
fn snake(name: &str) -> String {
    let parts = name.chars().map(|c| match c.is_ascii_uppercase() {
        true => format!("_{}", c.to_ascii_lowercase()),
        false => c.to_string(),
    });
    parts.collect::<String>().trim_start_matches('_').to_owned()
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let read =
        |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut targets: BTreeSet<String> =
        ["snapshot", "database", "rds"].map(str::to_owned).into_iter().collect();
    for (path, name, begin) in READERS {
        let text = read(path);
        let body =
            text.split(&format!("enum {name} {{")).nth(1).unwrap().split("\n}").next().unwrap();
        let variants = body.lines().filter_map(|line| line.trim().strip_suffix(','));
        let readers: Vec<&str> = variants.filter(|variant| *variant != "None").collect();
        assert!(readers.len() > 3, "{name} was found: {readers:?}");
        targets.extend(readers.into_iter().map(|reader| format!("{begin}_{}", snake(reader))));
    }
    let (manifest, seeds) = (read("fuzz/Cargo.toml"), read("fuzz/seeds.rs"));
    let there = |target: &String| {
        manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\""))
            && seeds.contains(&format!("\"{target}\""))
    };
    let missing: Vec<&String> = targets.iter().filter(|target| !there(target)).collect();
    assert!(missing.is_empty(), "no target of fuzz/, or no seed of it: {missing:?}");
    let files = below("fuzz/fuzz_targets").into_iter();
    let found: BTreeSet<String> =
        files.map(|(path, _)| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(found, targets);
}

/// The hazards that SQLite and files of backups have, each with a test of its name. What each
/// is: docs/backup-restore-security.md.
const HAZARDS: &str = "
    t1 t2 t3 t4 t5 t6
    k1 k2 k3 k4 k7 k8 k11
    c1 c2 c3 c4 c6 c7 c8 c11 c12 c15
    g1 g5 g9 g11
    s1 s2 s3 s4 s5 s6 s7
    x1 x2 x3 x4 x5
    w1 w2 w3 w6 w7 w8 w9 w10 w11 w12 w14";

/// The hazards that a test's name begins with: of `t1_t2_text_is_kept`, `t1` and `t2`.
fn hazards(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').take_while(|word| {
        let digits = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
        word.len() == digits.len() + 1 && digits.parse::<u32>().is_ok()
    })
}

/// The names of the tests of a file: functions under an attribute of a test.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[")
        .filter(|after| after.starts_with("test]") || after.starts_with("tokio::test"))
        .filter_map(|after| after.split_once("fn ")?.1.split('(').next())
}

#[test]
fn every_hazard_has_a_test_of_its_name() {
    // MySQL's tests prove nothing about SQLite.
    let mine = |path: &Path| !path.components().any(|c| c.as_os_str() == "mysql");
    let files: Vec<_> = ["src", "tests"].map(below).concat();
    let files = files.iter().filter(|(path, _)| mine(path));
    let proved: BTreeSet<&str> =
        files.flat_map(|(_, text)| tests(text)).flat_map(hazards).collect();
    let missing: Vec<&str> = HAZARDS.split_whitespace().filter(|id| !proved.contains(id)).collect();
    assert!(missing.is_empty(), "no test has the name of {missing:?}; there are {proved:?}");
}
