//! The Chinook database, damaged in many tables and brought back whole: every comparison
//! is of whole databases in the sqlite3 shell's words, never in the program's own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::common::{Run, Sandbox, chinook};

/// Rows deleted from five tables that hang together, one of which refers to itself.
const DELETED: &str = "
    delete from InvoiceLine where InvoiceLineId % 3 = 0;
    delete from PlaylistTrack where TrackId % 5 = 0 or PlaylistId = 5;
    delete from InvoiceLine where TrackId in (select TrackId from Track where AlbumId between 10 and 20);
    delete from PlaylistTrack where TrackId in (select TrackId from Track where AlbumId between 10 and 20);
    delete from Track where AlbumId between 10 and 20;
    delete from Album where AlbumId between 10 and 20;
    delete from Artist where ArtistId not in (select ArtistId from Album);
    update Customer set SupportRepId = null;
    delete from Employee where EmployeeId in (2, 3, 4, 5, 8);";

/// Columns overwritten in rows that stayed: a number, a text that often was NULL, a day.
const OVERWRITTEN: &str = "
    update Track set UnitPrice = 9.99, Composer = 'x' where TrackId % 7 = 0;
    update Invoice set InvoiceDate = '2026-01-01 00:00:00' where InvoiceId % 2 = 0;";

/// What the application wrote since: it stays whatever is brought back.
const NEWER: &str = "
    insert into Artist values (1000, 'newer');
    insert into Album values (1000, 'newer', 1000);";

/// Every file below a folder with its bytes.
fn bytes(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.insert(format!("{}/", path.display()), Vec::new());
                folders.push(path);
            } else {
                all.insert(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

fn number(document: &serde_json::Value, member: &str) -> u64 {
    let tables = document["tables"].as_array().unwrap();
    tables.iter().map(|t| t[member].as_u64().unwrap()).sum()
}

/// One damaged database, its backup, and what both must be at the end.
struct Case {
    sandbox: Sandbox,
    backup: String,
    held: BTreeMap<String, Vec<u8>>,
}

impl Case {
    /// `prepare` makes a folder `backup` from `prod.db` and gives the word for `--backup`.
    /// `None`, said on stderr, where the sample database is not on this machine.
    fn new(prepare: impl FnOnce(&Sandbox) -> String) -> Option<Self> {
        if !chinook().is_file() {
            assert!(
                std::env::var_os("RESTOREKIT_SHARED").is_none(),
                "{} is missing",
                chinook().display()
            );
            // Written past the test harness, which would keep it to itself.
            let said = writeln!(
                std::io::stderr(),
                "SKIPPED: {} is missing; name its folder in RESTOREKIT_SHARED",
                chinook().display()
            );
            said.unwrap();
            return None;
        }
        let sandbox = Sandbox::new();
        // Copied by content: the sample's own mode may be read-only.
        std::fs::write(sandbox.path("prod.db"), std::fs::read(chinook()).unwrap()).unwrap();
        // An employee whose superior has a higher number: key order is not parents first.
        sandbox.sqlite("prod.db", "update Employee set ReportsTo = 8 where EmployeeId = 2");
        std::fs::create_dir(sandbox.path("backup")).unwrap();
        let backup = prepare(&sandbox);
        let held = bytes(&sandbox.path("backup"));
        assert!(!held.is_empty());
        Some(Self { sandbox, backup, held })
    }

    /// Runs the program; the backup is what it was.
    #[track_caller]
    fn run(&self, arguments: &str) -> Run {
        let run = self.sandbox.run(&arguments.replace("BACKUP", &self.backup));
        assert!(bytes(&self.sandbox.path("backup")) == self.held, "{arguments}: backup changed");
        run
    }

    #[track_caller]
    fn write(&self, arguments: &str) -> serde_json::Value {
        let sides = "--live prod.db --backup BACKUP --yes --expect-target prod.db --format json";
        let done = self.run(&format!("{arguments} {sides}")).exits(0);
        done.json()
    }

    fn dump(&self) -> String {
        self.sandbox.dump("prod.db")
    }

    /// Damages live, brings everything back, takes everything back in reverse.
    fn there_and_back(&self) {
        self.sandbox.sqlite("prod.db", NEWER);
        let wanted = self.dump();
        self.sandbox.sqlite("prod.db", DELETED);
        self.sandbox.sqlite("prod.db", OVERWRITTEN);
        let damaged = self.dump();
        assert_ne!(damaged, wanted);
        self.run("diff --live prod.db --backup BACKUP").exits(1);
        self.run("restore --live prod.db --backup BACKUP --dry-run").exits(0);
        assert_eq!(self.dump(), damaged, "looking wrote");

        let steps = [
            "restore",
            "patch --table Track --column UnitPrice --column Composer --allow-null",
            "patch --table Invoice --column InvoiceDate",
            "patch --table Customer --column SupportRepId",
        ];
        let mut done = Vec::new();
        for step in steps {
            let before = self.dump();
            let receipt = self.write(step);
            assert_eq!(receipt["verified"], true, "{receipt}");
            assert_eq!(number(&receipt, "conflicts"), 0, "{receipt}");
            assert!(number(&receipt, "written") > 0, "{receipt}");
            assert_eq!(number(&receipt, "written"), number(&receipt, "planned"), "{receipt}");
            let operation = receipt["operation"].as_str().unwrap().to_owned();
            done.push((step, operation, before, self.dump()));
        }
        let back = self.dump();
        assert!(back == wanted, "the whole database is not what it was");
        let checked =
            self.sandbox.sqlite("prod.db", "pragma foreign_key_check; pragma integrity_check");
        assert_eq!(checked, "ok\n");

        // Once more: nothing is left to do, by a fresh plan or by the same one.
        for (step, operation, ..) in &done {
            let plan = self.write(step);
            let left = number(&plan, "insert") + number(&plan, "update");
            assert_eq!(left, 0, "{step}: {plan}");
            let again = self.run(&format!("apply {operation} --yes --format json")).exits(0).json();
            // The receipt of the one application is shown again; its rows are not written.
            assert_eq!(again["operation"], operation.as_str());
            assert!(self.dump() == back, "{step} wrote again");
        }
        let found = self.run("diff --live prod.db --backup BACKUP --format json").exits(1).json();
        assert_eq!(number(&found, "missing") + number(&found, "changed"), 0, "{found}");
        assert_eq!(number(&found, "extra"), 2, "{found}");

        // Taken back in reverse: each state in between, and the damaged one at the end.
        while let Some((step, operation, before, after)) = done.pop() {
            assert!(self.dump() == after);
            self.run(&format!("verify {operation}")).exits(0);
            let undone =
                self.run(&format!("undo {operation} --yes --expect-target prod.db --format json"));
            let undone = undone.exits(0).json();
            assert_eq!(undone["verified"], true, "{step}: {undone}");
            assert_eq!(number(&undone, "conflicts"), 0, "{step}: {undone}");
            assert!(self.dump() == before, "{step} was not taken back whole");
            self.run(&format!("verify {operation}")).exits(1);
        }
        assert!(self.dump() == damaged, "undo did not give the damaged state again");
    }
}

#[test]
fn chinook_comes_back_whole_from_a_snapshot() {
    let Some(case) = Case::new(|sandbox| {
        sandbox.run("snapshot --live prod.db --out backup").exits(0);
        "backup@latest".into()
    }) else {
        return;
    };
    case.there_and_back();
}

#[test]
fn chinook_comes_back_whole_from_a_copy_of_its_file() {
    let Some(case) = Case::new(|sandbox| {
        let copy = sandbox.path("backup/copy.db");
        sandbox.sqlite("prod.db", &format!("vacuum into '{}'", copy.display()));
        "backup/copy.db".into()
    }) else {
        return;
    };
    case.there_and_back();
}

/// One table with what hangs from it, parents first, by one command.
#[test]
fn an_artist_comes_back_with_albums_tracks_and_lines() {
    let Some(case) = Case::new(|sandbox| {
        sandbox.run("snapshot --live prod.db --out backup").exits(0);
        "backup@latest".into()
    }) else {
        return;
    };
    let wanted = case.dump();
    // Iron Maiden, and all that refers to them.
    let tracks = "select TrackId from Track join Album using (AlbumId) where ArtistId = 90";
    case.sandbox.sqlite(
        "prod.db",
        &format!(
            "delete from InvoiceLine where TrackId in ({tracks});
             delete from PlaylistTrack where TrackId in ({tracks});
             delete from Track where TrackId in ({tracks});
             delete from Album where ArtistId = 90;
             delete from Artist where ArtistId = 90;"
        ),
    );
    let damaged = case.dump();
    let alone = case.write("restore --table Artist");
    assert_eq!(number(&alone, "written"), 1, "{alone}");
    case.run("undo --yes").exits(0);
    assert!(case.dump() == damaged);

    let whole = case.write("restore --table Artist --with-children");
    assert!(number(&whole, "written") > 200, "{whole}");
    assert!(case.dump() == wanted, "something that hung from the artist is still missing");
    case.run("undo --yes").exits(0);
    assert!(case.dump() == damaged);

    // From below: the playlist entries bring their tracks, albums and the artist.
    case.write("restore --table PlaylistTrack --with-parents");
    let left = case.run("diff --live prod.db --backup BACKUP --format json").exits(1).json();
    let missing = |table: &str| {
        let tables = left["tables"].as_array().unwrap();
        tables.iter().find(|t| t["table"] == table).unwrap()["missing"].as_u64().unwrap()
    };
    assert_eq!(["Artist", "Album", "Track", "PlaylistTrack"].map(missing), [0; 4], "{left}");
    assert!(missing("InvoiceLine") > 0, "{left}");
}
