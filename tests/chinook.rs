//! The Chinook database on SQLite, MariaDB and PostgreSQL, damaged in many tables and brought back
//! whole, from backups of its own kind and of the other: every comparison is of whole databases
//! in the words of the engine's own shell or client, never in the program's own.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::common::mariadb::Database;
use crate::common::postgres;
use crate::common::{Run, Sandbox, dump, sample, sqlite};

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
    delete from Employee where EmployeeId in (3, 4, 5);
    delete from Employee where EmployeeId = 2;
    delete from Employee where EmployeeId = 8;";

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

/// A database of either engine, and its own shell or client to look at it.
enum Store {
    Sqlite(PathBuf),
    Mariadb(Database),
    /// Its names are the others' with an underscore between two words, in lower case.
    Postgres(postgres::Database),
}

/// The names of Chinook's script for PostgreSQL: `InvoiceLine` is `invoice_line` there.
fn snake(words: &str) -> String {
    let mut out = String::new();
    let mut last = ' ';
    for c in words.chars() {
        if c.is_ascii_uppercase() && last.is_ascii_lowercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
        last = c;
    }
    out
}

impl Store {
    fn url(&self) -> String {
        match self {
            Store::Sqlite(path) => path.display().to_string(),
            Store::Mariadb(database) => database.url(),
            Store::Postgres(database) => database.url(),
        }
    }

    /// What a confirmation asks for.
    fn name(&self) -> String {
        match self {
            Store::Sqlite(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
            Store::Mariadb(database) => database.name.clone(),
            Store::Postgres(database) => database.name.clone(),
        }
    }

    fn sql(&self, sql: &str) {
        match self {
            Store::Sqlite(path) => drop(sqlite(path, sql)),
            Store::Mariadb(database) => drop(database.sql(sql)),
            Store::Postgres(database) => drop(database.sql(&snake(sql))),
        }
    }

    fn dump(&self) -> String {
        match self {
            Store::Sqlite(path) => dump(path),
            Store::Mariadb(database) => database.dump_all(),
            Store::Postgres(database) => database.dump_all().unwrap(),
        }
    }

    /// Arguments with this database's names.
    fn names(&self, arguments: &str) -> String {
        match self {
            Store::Postgres(_) => snake(arguments),
            _ => arguments.to_owned(),
        }
    }

    /// No reference leads nowhere, by the engine's own check where it has one.
    fn check(&self) {
        if let Store::Sqlite(path) = self {
            assert_eq!(sqlite(path, "pragma foreign_key_check; pragma integrity_check"), "ok\n");
        }
    }
}

/// An employee whose superior has a higher number: key order is not parents first.
const ODD: &str = "update Employee set ReportsTo = 8 where EmployeeId = 2";

/// The sample as a SQLite file; `None` where it is not on this machine.
fn in_sqlite(path: PathBuf) -> Option<Store> {
    // Copied by content: the sample's own mode may be read-only.
    std::fs::write(&path, std::fs::read(sample("chinook.sqlite")?).unwrap()).unwrap();
    let store = Store::Sqlite(path);
    store.sql(ODD);
    Some(store)
}

/// The sample on MariaDB, from its own script, in a database of the test's own.
fn in_mariadb() -> Option<Store> {
    let script = std::fs::read_to_string(sample("chinook.mysql.sql")?).unwrap();
    let own = |line: &&str| {
        !["DROP DATABASE", "CREATE DATABASE", "USE "].iter().any(|w| line.starts_with(w))
    };
    let script: Vec<&str> = script.lines().filter(own).collect();
    // The script has backslashes in names, as they stand, and is for a server that takes them so.
    let standing = "set sql_mode = 'NO_BACKSLASH_ESCAPES';\n";
    let store = Store::Mariadb(Database::with(&(standing.to_owned() + &script.join("\n"))));
    store.sql(ODD);
    Some(store)
}

/// The sample on PostgreSQL, from its own script, in a database of the test's own; `None` also
/// where no pg_dump at hand reads the server.
fn in_postgres() -> Option<Store> {
    let script = std::fs::read_to_string(sample("chinook.postgres.sql")?).unwrap();
    let own = |line: &&str| {
        !["DROP DATABASE", "CREATE DATABASE", "\\c "].iter().any(|w| line.starts_with(w))
    };
    let script: Vec<&str> = script.lines().filter(own).collect();
    let database = postgres::Database::with(&script.join("\n"));
    if database.dump_all().is_none() {
        // Written past the test harness, which would keep it to itself.
        let version = database.server.version();
        let said =
            writeln!(std::io::stderr(), "SKIPPED: pg_dump is older than PostgreSQL {version}");
        said.unwrap();
        return None;
    }
    let store = Store::Postgres(database);
    store.sql(ODD);
    Some(store)
}

/// One damaged database, its backup, and what both must be at the end.
struct Case {
    sandbox: Sandbox,
    live: Store,
    backup: String,
    held: Box<dyn Fn() -> BTreeMap<String, Vec<u8>>>,
    before: BTreeMap<String, Vec<u8>>,
}

impl Case {
    /// `prepare` makes a folder `backup` from `prod.db` and gives the word for `--backup`.
    fn new(prepare: impl FnOnce(&Sandbox) -> String) -> Option<Self> {
        let sandbox = Sandbox::new();
        let live = in_sqlite(sandbox.path("prod.db"))?;
        std::fs::create_dir(sandbox.path("backup")).unwrap();
        let backup = prepare(&sandbox);
        Some(Self::of(sandbox, live, backup))
    }

    /// Live, and a backup in the folder `backup`.
    fn of(sandbox: Sandbox, live: Store, backup: String) -> Self {
        let folder = sandbox.path("backup");
        let held = Box::new(move || bytes(&folder));
        let before = held();
        assert!(!before.is_empty());
        Self { sandbox, live, backup, held, before }
    }

    /// Runs the program; the backup is what it was.
    #[track_caller]
    fn run(&self, arguments: &str) -> Run {
        let arguments = arguments.replace("BACKUP", &self.backup).replace("LIVE", &self.live.url());
        let run = self.sandbox.run(&arguments);
        assert!((self.held)() == self.before, "{arguments}: backup changed");
        run
    }

    #[track_caller]
    fn write(&self, arguments: &str) -> serde_json::Value {
        let name = self.live.name();
        let sides =
            format!("--live LIVE --backup BACKUP --yes --expect-target {name} --format json");
        let arguments = self.live.names(arguments);
        let done = self.run(&format!("{arguments} {sides}")).exits(0);
        done.json()
    }

    fn dump(&self) -> String {
        self.live.dump()
    }

    /// Damages live, brings everything back, takes everything back in reverse.
    fn there_and_back(&self) {
        self.live.sql(NEWER);
        let wanted = self.dump();
        self.live.sql(DELETED);
        self.live.sql(OVERWRITTEN);
        let damaged = self.dump();
        assert_ne!(damaged, wanted);
        self.run("diff --live LIVE --backup BACKUP").exits(1);
        self.run("restore --live LIVE --backup BACKUP --dry-run").exits(0);
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
        self.live.check();

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
        let found = self.run("diff --live LIVE --backup BACKUP --format json").exits(1).json();
        assert_eq!(number(&found, "missing") + number(&found, "changed"), 0, "{found}");
        assert_eq!(number(&found, "extra"), 2, "{found}");

        let name = self.live.name();
        // Taken back in reverse: each state in between, and the damaged one at the end.
        while let Some((step, operation, before, after)) = done.pop() {
            assert!(self.dump() == after);
            self.run(&format!("verify {operation}")).exits(0);
            let undone =
                self.run(&format!("undo {operation} --yes --expect-target {name} --format json"));
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

#[test]
fn chinook_comes_back_whole_on_mariadb_from_a_snapshot() {
    let sandbox = Sandbox::new();
    let Some(live) = in_mariadb() else { return };
    let taken = format!("snapshot --live {} --out backup", live.url());
    sandbox.run(&taken).exits(0);
    Case::of(sandbox, live, "backup@latest".into()).there_and_back();
}

#[test]
fn chinook_comes_back_whole_on_mariadb_from_a_sqlite_file() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("backup")).unwrap();
    let Some(live) = in_mariadb() else { return };
    let Some(backup) = in_sqlite(sandbox.path("backup/chinook.db")) else { return };
    Case::of(sandbox, live, backup.url()).there_and_back();
}

#[test]
fn chinook_comes_back_whole_on_postgres_from_a_snapshot() {
    let sandbox = Sandbox::new();
    let Some(live) = in_postgres() else { return };
    let taken = format!("snapshot --live {} --out backup", live.url());
    sandbox.run(&taken).exits(0);
    Case::of(sandbox, live, "backup@latest".into()).there_and_back();
}

#[test]
fn chinook_comes_back_whole_on_postgres_from_a_second_database() {
    let sandbox = Sandbox::new();
    let (Some(live), Some(backup)) = (in_postgres(), in_postgres()) else { return };
    let url = backup.url();
    let held = Box::new(move || BTreeMap::from([(String::new(), backup.dump().into_bytes())]));
    let before = held();
    Case { sandbox, live, backup: url, held, before }.there_and_back();
}

#[test]
fn chinook_comes_back_whole_on_sqlite_from_mariadb() {
    let sandbox = Sandbox::new();
    let Some(live) = in_sqlite(sandbox.path("prod.db")) else { return };
    let Some(backup) = in_mariadb() else { return };
    let url = backup.url();
    let held = Box::new(move || BTreeMap::from([(String::new(), backup.dump().into_bytes())]));
    let before = held();
    Case { sandbox, live, backup: url, held, before }.there_and_back();
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
    case.live.sql(&format!(
        "delete from InvoiceLine where TrackId in ({tracks});
             delete from PlaylistTrack where TrackId in ({tracks});
             delete from Track where TrackId in ({tracks});
             delete from Album where ArtistId = 90;
             delete from Artist where ArtistId = 90;"
    ));
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
    let left = case.run("diff --live LIVE --backup BACKUP --format json").exits(1).json();
    let missing = |table: &str| {
        let tables = left["tables"].as_array().unwrap();
        tables.iter().find(|t| t["table"] == table).unwrap()["missing"].as_u64().unwrap()
    };
    assert_eq!(["Artist", "Album", "Track", "PlaylistTrack"].map(missing), [0; 4], "{left}");
    assert!(missing("InvoiceLine") > 0, "{left}");
}
