//! What is kept of dumps, as a person sees it.

use std::path::Path;

use crate::common::Sandbox;

/// A dump that was written long enough ago to be kept, beside a live database that lacks a row of it.
fn sides(sandbox: &Sandbox) -> String {
    sandbox.sqlite(
        "live.db",
        "create table awkward (id integer primary key, t text, n text, b blob, \"at\" text, ok boolean, r real, x)",
    );
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps/sqlite.dump.sql");
    format!("--live live.db --backup {} --table awkward", dump.display())
}

#[test]
fn a_dump_is_read_once_and_forgotten_on_demand() {
    let sandbox = Sandbox::new();
    let sides = sides(&sandbox);
    let diff = format!("diff {sides} --format json");
    let first = sandbox.run(&diff).exits(1).json();
    let read = "read of the cache";
    let second = sandbox.run(&format!("{diff} -vv")).exits(1);
    assert!(second.stderr.contains(read), "{}", second.stderr);
    assert_eq!(second.json()["tables"], first["tables"]);
    let list = sandbox.run("cache --format json").exits(0).json();
    let dump = &list["dumps"][0];
    assert_eq!((&dump["rows"], &dump["tables"][0]), (&10.into(), &"awkward".into()), "{list}");
    assert!(dump["bytes"].as_u64() > Some(500), "{list}");
    let screen = sandbox.run("cache").exits(0).stdout;
    for words in ["/cache/restorekit/dumps", "sqlite.dump.sql", "awkward", "of at most 4"] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    // Without it.
    let third = sandbox.run(&format!("{diff} -vv --no-cache")).exits(1);
    assert!(!third.stderr.contains(read), "{}", third.stderr);
    let cleared = sandbox.run("cache --clear").exits(0);
    assert!(cleared.stderr.contains("of 1 dump forgotten"), "{}", cleared.stderr);
    sandbox.run("cache --clear").exits(0);
    assert!(!sandbox.path("cache/restorekit/dumps").exists());
    sandbox.run(&format!("{diff} --no-cache")).exits(1);
    assert!(!sandbox.path("cache/restorekit/dumps").exists());
}

#[test]
fn w2_the_configuration_turns_it_off_and_nothing_private_is_kept() {
    let sandbox = Sandbox::new();
    let sides = sides(&sandbox);
    std::fs::write(sandbox.path("restorekit.toml"), "cache_max_bytes = 0\n").unwrap();
    sandbox.run(&format!("diff {sides}")).exits(1);
    assert!(!sandbox.path("cache/restorekit/dumps").exists());
    sandbox.run("cache").exits(2).complains("turned off");
    std::fs::remove_file(sandbox.path("restorekit.toml")).unwrap();
    // Packed in what is taken off into a private folder.
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dumps/sqlite.dump.sql");
    let packed = std::fs::File::create(sandbox.path("all.tar")).unwrap();
    let mut tar = tar::Builder::new(packed);
    tar.append_path_with_name(dump, "nightly/app.sql").unwrap();
    tar.finish().unwrap();
    sandbox.run("diff --live live.db --backup all.tar --table awkward").exits(1);
    assert!(!sandbox.path("cache/restorekit/dumps").exists());
}
