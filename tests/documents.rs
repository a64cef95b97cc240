//! Rows of a relational live from MongoDB's dumps and exports, through the program.

use std::path::{Path, PathBuf};

use crate::common::Sandbox;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mongo").join(name)
}

/// A shop with two of the collection's thirteen rows, one of them stale.
fn shop() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sqlite(
        "shop.db",
        "create table awkward (_id text primary key not null, n integer, t text, i integer, \
         at datetime, b blob, x text);
         insert into awkward (_id, n) values ('65f1c0de0000000000000002', 2), \
         ('65f1c0de000000000000000d', 13)",
    );
    sandbox
}

#[test]
fn rows_come_back_from_a_dump_and_go_again() {
    let sandbox = shop();
    let before = sandbox.dump("shop.db");
    for dump in ["dump", "dump-gzip", "dump.archive", "dump/shop/awkward.bson"] {
        let path = fixture(dump);
        let path = path.to_str().unwrap();
        let restore = ["restore", "--live", "shop.db", "--backup", path, "--table", "awkward"];
        let restore = || sandbox.run_all(restore.iter().chain(&["--yes"]));
        assert!(restore().exits(0).stdout.contains("11"), "{dump}");
        assert_eq!(sandbox.sqlite("shop.db", "select count(*) from awkward").trim(), "13");
        assert!(restore().exits(0).stdout.contains("nothing to do"), "{dump}");
        let moment = "select at, i from awkward where n = 10";
        let moment = sandbox.sqlite("shop.db", moment);
        assert!(moment.contains("2024-02-29") && moment.contains("1710381723500"), "{moment}");
        sandbox.run("undo --yes").exits(0);
        assert_eq!(sandbox.dump("shop.db"), before, "{dump}");
        // The undo is the last operation, and none that is taken back without its name.
        sandbox.run("verify").exits(0);
        sandbox.run("undo --yes").exits(2).complains("an undo back by its name");
    }
}

#[test]
fn w8_a_torn_dump_ends_in_7_and_one_of_several_databases_is_never_guessed() {
    let sandbox = shop();
    let whole = std::fs::read(fixture("dump/shop/awkward.bson")).unwrap();
    std::fs::write(sandbox.path("awkward.bson"), &whole[..1000]).unwrap();
    let run = sandbox.run("diff --live shop.db --backup awkward.bson").exits(7);
    run.complains("awkward.bson ends within document 10 that begins at byte 958");
    for database in ["blog", "store"] {
        let folder = sandbox.path("dump").join(database);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("awkward.bson"), &whole).unwrap();
    }
    let run = sandbox.run("diff --live shop.db --backup dump").exits(2);
    run.complains("2 databases, none of them called shop.db: blog, store");
    sandbox.run("diff --live shop.db --backup dump/blog").exits(1);
}
