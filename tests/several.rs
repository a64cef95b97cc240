//! `--backup` more than once: a row comes from the first backup that has it, and everything
//! that is told of it names that backup.

use std::collections::BTreeMap;

use crate::common::{Random, Sandbox, seed};

const DDL: &str = "create table events (id integer primary key, title text, updated_at text);";

/// Three backups, the newest first, each of another kind, and a live database that lost rows.
struct Case {
    sandbox: Sandbox,
    /// The rows that each backup has: their ids, with what tells them apart.
    backups: [BTreeMap<u64, String>; 3],
    live: BTreeMap<u64, String>,
}

const NAMES: [&str; 3] = ["newest.db", "texts", "old"];

impl Case {
    fn new(random: &mut Random) -> Self {
        let sandbox = Sandbox::new();
        let mut backups: [BTreeMap<u64, String>; 3] = Default::default();
        let mut live = BTreeMap::new();
        for id in 1..=60 {
            for (number, backup) in backups.iter_mut().enumerate() {
                if random.below(2) == 0 {
                    backup.insert(id, format!("{id} of {}", NAMES[number]));
                }
            }
            if random.below(3) == 0 {
                live.insert(id, format!("{id} live"));
            }
        }
        let case = Self { sandbox, backups, live };
        case.write("newest.db", &case.backups[0]);
        case.write("old.db", &case.backups[2]);
        case.write("live.db", &case.live);
        let snapshot = case.sandbox.run("snapshot --live old.db --out old");
        snapshot.exits(0);
        // In no order, so that it has to be sorted.
        let mut csv = String::from("id,title,updated_at\n");
        for (id, title) in case.backups[1].iter().rev() {
            csv += &format!("{id},{title},2026-03-{:02}\n", id % 28 + 1);
        }
        std::fs::create_dir(case.sandbox.path("texts")).unwrap();
        std::fs::write(case.sandbox.path("texts/events.csv"), csv).unwrap();
        case
    }

    fn write(&self, name: &str, rows: &BTreeMap<u64, String>) {
        let rows = rows.iter().map(|(id, title)| {
            format!("insert into events values ({id}, '{title}', '2026-03-{:02}');", id % 28 + 1)
        });
        let script: String = rows.collect();
        self.sandbox.sqlite_script(name, &format!("{DDL} begin; {script} commit;"));
    }

    fn read(&self, name: &str) -> BTreeMap<u64, String> {
        let text = self.sandbox.sqlite(name, "select id || '|' || title from events");
        let rows = text.lines().filter_map(|line| line.split_once('|'));
        rows.map(|(id, title)| (id.parse().unwrap(), title.to_owned())).collect()
    }

    /// Which backup gives the row of an id.
    fn giver(&self, id: u64) -> Option<usize> {
        self.backups.iter().position(|backup| backup.contains_key(&id))
    }

    /// How many ids each backup gives among those that `wanted` says.
    fn given(&self, wanted: impl Fn(u64) -> bool) -> [u64; 3] {
        let mut given = [0; 3];
        for id in (1..=60).filter(|id| wanted(*id)) {
            if let Some(number) = self.giver(id) {
                given[number] += 1;
            }
        }
        given
    }
}

const BACKUPS: &str = "--backup newest.db --backup texts --backup old --table events";

/// The counts of a list of backups in JSON.
fn counts(list: &serde_json::Value, name: &str) -> [u64; 3] {
    let of = |number: usize| list[number][name].as_u64().unwrap();
    [of(0), of(1), of(2)]
}

#[test]
fn each_row_comes_from_the_first_backup_that_has_it() {
    let first = seed();
    for seed in first..first + 4 {
        if std::panic::catch_unwind(|| there_and_back(seed)).is_err() {
            panic!("RESTOREKIT_SEED={seed}");
        }
    }
}

/// Looks, restores, patches and takes that back, over random backups.
fn there_and_back(seed: u64) {
    let case = Case::new(&mut Random(seed));
    let run = |line: &str| case.sandbox.run(line);
    let missing = case.given(|id| !case.live.contains_key(&id));
    let changed = case.given(|id| case.live.contains_key(&id));

    let diff = run(&format!("diff --live live.db {BACKUPS} --format json")).exits(1).json();
    let table = &diff["tables"][0];
    assert_eq!(counts(&table["from"], "missing"), missing, "{diff}");
    assert_eq!(counts(&table["from"], "changed"), changed, "{diff}");
    assert_eq!(table["missing"].as_u64().unwrap(), missing.iter().sum::<u64>());
    let further = diff["backup"]["further"].as_array().unwrap();
    assert_eq!(further.len(), 2, "{diff}");

    let rows = run(&format!("diff --live live.db {BACKUPS} --format ndjson")).exits(1);
    for line in rows.stdout.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = row["key"]["id"].as_u64().unwrap();
        match case.giver(id) {
            Some(number) => {
                let from = row["from"].as_str().unwrap();
                assert!(from.contains(NAMES[number]), "{line}");
                assert_eq!(row["backup"]["title"], case.backups[number][&id].as_str());
            }
            None => assert_eq!(row.get("from"), None, "{line}"),
        }
        assert!(!line.contains("(backup)"), "{line}");
    }

    let gaps = run(&format!("gaps --live live.db {BACKUPS} --format json")).json();
    assert_eq!(gaps["recoverable"].as_u64().unwrap(), missing.iter().sum::<u64>(), "{gaps}");
    assert_eq!(counts(&gaps["backups"], "first"), missing, "{gaps}");

    let sql = "select count(*) as n from backup.events";
    let sql = case.sandbox.run_all(
        ["sql", sql, "--live", "live.db", "--format", "json"].into_iter().chain([
            "--backup",
            "newest.db",
            "--backup",
            "old",
        ]),
    );
    let both = (1..=60).filter(|id| [0, 2].iter().any(|n| case.backups[*n].contains_key(id)));
    assert_eq!(sql.exits(0).json()[0]["n"].as_u64().unwrap(), both.count() as u64);

    let plan = run(&format!("restore --live live.db {BACKUPS} --dry-run --format json"));
    let plan = plan.exits(0).json();
    assert_eq!(counts(&plan["tables"][0]["from"], "rows"), missing, "{plan}");
    let id = plan["plan"].as_str().unwrap();
    let script = run(&format!("show {id} --format sql")).exits(0).stdout;
    let mut from = String::new();
    for line in script.lines() {
        match line.strip_prefix("-- from ") {
            Some(backup) => backup.clone_into(&mut from),
            None if line.starts_with("INSERT") => {
                let name = NAMES.iter().find(|name| from.contains(*name)).unwrap();
                assert!(line.contains(&format!("of {name}'")), "{from}: {line}");
            }
            None => {}
        }
    }
    run(&format!("apply {id} --yes")).exits(0);
    let mut wanted = case.live.clone();
    for id in 1..=60 {
        if let Some(number) = case.giver(id) {
            wanted.entry(id).or_insert_with(|| case.backups[number][&id].clone());
        }
    }
    assert_eq!(case.read("live.db"), wanted);

    let patch = format!("patch --live live.db {BACKUPS} --column title --yes --format json");
    let done = run(&patch).exits(0).json();
    let written: u64 = changed.iter().sum();
    assert_eq!(done["tables"][0]["written"].as_u64().unwrap(), written, "{done}");
    for id in 1..=60 {
        if let Some(number) = case.giver(id) {
            wanted.insert(id, case.backups[number][&id].clone());
        }
    }
    assert_eq!(case.read("live.db"), wanted);
    let operation = done["operation"].as_str().unwrap();
    run(&format!("undo {operation} --yes")).exits(0);
    assert_eq!(
        case.read("live.db").values().filter(|t| t.ends_with("live")).count(),
        case.live.len()
    );
}

#[test]
fn the_screens_of_several_backups_name_each() {
    let sandbox = Sandbox::new();
    sandbox.numbered(40);
    std::fs::copy(sandbox.path("old.db"), sandbox.path("new.db")).unwrap();
    sandbox.sqlite("new.db", "delete from t where id % 2 = 0");
    sandbox.sqlite("live.db", "delete from t where id between 10 and 19");
    let sides = "--live live.db --backup new.db --backup old.db --table t";
    let diff = sandbox.run(&format!("diff {sides}")).exits(1);
    for words in ["new.db", "old.db", "missing: 5 from new.db, 5 from old.db"] {
        assert!(diff.stdout.contains(words), "{}", diff.stdout);
    }
    let gaps = sandbox.run(&format!("gaps {sides}")).exits(1);
    assert!(gaps.stdout.contains("10 in old.db, 5 of them in none before it"), "{}", gaps.stdout);
    let plan = sandbox.run(&format!("restore {sides} --dry-run")).exits(0);
    for words in [" 5 from new.db", " 5 from old.db"] {
        assert!(plan.stdout.contains(words), "{}", plan.stdout);
    }
    // Both are remembered.
    sandbox.run("restore --table t --dry-run").exits(0);
}

#[test]
fn w1_live_among_several_backups_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.numbered(5);
    let sides = "--live live.db --backup old.db --backup live.db";
    sandbox.run(&format!("restore {sides} --yes")).exits(5).complains("the same database");
}

#[test]
fn a_damaged_backup_among_several_ends_the_reading() {
    let sandbox = Sandbox::new();
    sandbox.numbered(50);
    sandbox.sqlite("live.db", "delete from t");
    std::fs::write(sandbox.path("t.json"), "[{\"id\": 1").unwrap();
    let run = sandbox.run("restore --live live.db --backup old.db --backup t.json --table t --yes");
    run.exits(7).complains("t.json");
    assert_eq!(sandbox.sqlite("live.db", "select count(*) from t").trim(), "0");
}
