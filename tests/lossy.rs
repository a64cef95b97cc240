//! Backups of which something was lost before they were backups: noticed, told once a column,
//! no phantom differences, and nothing written back inexactly that is not named.

use crate::common::mariadb::Database;
use crate::common::{Run, Sandbox};

const SIDES: &str = "--live live.db --backup notes.json --table notes";

/// 40 notes with microseconds, long titles and NULLs; as JSON lines with milliseconds, titles of 20
/// characters and empty texts. Live lost note 7, and note 9 was really edited.
fn notes() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sqlite(
        "live.db",
        "create table notes (id integer primary key, title text not null, remark text, at timestamp, n int);
         with recursive r(i) as (select 1 union all select i + 1 from r where i < 40)
         insert into notes select i, iif(i % 10, i || ' is the title of a note', 'note ' || i), iif(i % 2, null, 'remark ' || i),
             printf('2026-03-%02d 10:00:%02d.%06d', i % 28 + 1, i, i * 1237), i * 10 from r;",
    );
    std::fs::copy(sandbox.path("live.db"), sandbox.path("old.db")).unwrap();
    let lines = sandbox.sqlite(
        "live.db",
        "select json_object('id', id, 'title', substr(title, 1, 20), 'remark', coalesce(remark, ''),
                            'at', substr(at, 1, 23), 'n', n) from notes order by id",
    );
    std::fs::write(sandbox.path("notes.json"), lines).unwrap();
    sandbox.sqlite(
        "live.db",
        "delete from notes where id = 7; update notes set title = 'edited', n = 1 where id = 9",
    );
    sandbox
}

#[track_caller]
fn table(run: &Run) -> serde_json::Value {
    run.json()["tables"][0].clone()
}

#[test]
fn t5_what_a_backup_has_lost_is_told_once_a_column_and_is_no_difference() {
    let sandbox = notes();
    let diff = sandbox.run(&format!("diff {SIDES} --format json")).exits(1);
    let table = table(&diff);
    assert_eq!(
        (&table["missing"], &table["changed"], &table["same"]),
        (&1.into(), &1.into(), &38.into())
    );
    assert_eq!(table["columns"], serde_json::json!({"title": 1, "n": 1}), "{table}");
    let lossy: Vec<(String, u64)> = table["lossy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            (
                format!("{}: {}", l["column"].as_str().unwrap(), l["how"].as_str().unwrap()),
                l["rows"].as_u64().unwrap(),
            )
        })
        .collect();
    let wanted = [
        ("title: texts cut after 20 characters".to_owned(), 34),
        ("remark: empty texts for NULL".to_owned(), 19),
        ("at: moments cut to milliseconds".to_owned(), 39),
    ];
    assert_eq!(lossy, wanted);
    let screen = sandbox.run(&format!("diff {SIDES}")).exits(1).stdout;
    let line = "! at: moments cut to milliseconds in the backup: 39 differences that it explains count as none";
    assert!(screen.contains(line), "{screen}");
    // Row by row the same holds.
    let rows = sandbox.run(&format!("diff {SIDES} --format ndjson")).exits(1);
    assert_eq!(rows.stdout.lines().count(), 2, "{}", rows.stdout);
    assert!(rows.stderr.contains("notes.title: texts cut after 20 characters"), "{}", rows.stderr);
}

#[test]
fn t5_what_a_backup_has_lost_is_written_back_only_when_it_is_named() {
    let sandbox = notes();
    let before = sandbox.dump("live.db");
    let restore = |more: &str| sandbox.run(&format!("restore {SIDES} --yes --format json{more}"));
    let refused = restore("").exits(5);
    for words in
        ["title: texts cut after 20 characters", "remark: empty", "--lossy title,remark,at"]
    {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    restore(" --lossy title,at").exits(5).complains("remark");
    assert_eq!(sandbox.dump("live.db"), before);
    restore(" --lossy title,at,remark").exits(0);
    let row = sandbox.sqlite("live.db", "select title, at from notes where id = 7");
    assert_eq!(row.trim(), "7 is the title of a |2026-03-08 10:00:07.008000");
    sandbox.run("undo --yes").exits(0);
    assert_eq!(sandbox.dump("live.db"), before);
    // The others count as they are: a column without a loss is patched, one with it is not.
    let patch = |more: &str| sandbox.run(&format!("patch {SIDES} --yes --format json{more}"));
    patch(" --column title").exits(5).complains("--lossy title");
    let done = table(&patch(" --column n").exits(0));
    assert_eq!(done["written"], 1);
    let done = table(&patch(" --column title --lossy title").exits(0));
    assert_eq!(done["written"], 1, "only what differs in more than the loss");
    let row = sandbox.sqlite("live.db", "select title, n from notes where id = 9");
    assert_eq!(row.trim(), "9 is the title of a |90");
}

#[test]
fn t5_a_backup_that_keeps_values_has_lost_nothing() {
    let sandbox = notes();
    sandbox.sqlite("old.db", "update notes set remark = '' where remark is null; update notes set at = substr(at, 1, 23)");
    sandbox.run("snapshot --live old.db --out snaps").exits(0);
    for backup in ["old.db", "snaps"] {
        let sides = format!("--live live.db --backup {backup} --table notes");
        let table = table(&sandbox.run(&format!("diff {sides} --format json")).exits(1));
        assert_eq!(table.get("lossy"), None, "{table}");
        assert_eq!(table["changed"], 39, "an exact backup means what it says");
        sandbox.run(&format!("restore {sides} --dry-run")).exits(0);
    }
}

#[test]
fn t5_what_one_of_several_backups_has_lost_excuses_no_other() {
    let sandbox = notes();
    // An exact backup of the first half, in which a remark was an empty text.
    sandbox.sqlite(
        "old.db",
        "delete from notes where id > 20; update notes set remark = '' where id = 5",
    );
    let sides = "--live live.db --backup old.db --backup notes.json --table notes";
    let table = table(&sandbox.run(&format!("diff {sides} --format json")).exits(1));
    assert_eq!(table["columns"], serde_json::json!({"title": 1, "remark": 1, "n": 1}), "{table}");
    let lost: u64 =
        table["lossy"].as_array().unwrap().iter().map(|l| l["rows"].as_u64().unwrap()).sum();
    assert_eq!(lost, 18 + 10 + 20, "of the second backup's twenty rows: {table}");
    // The missing row comes from the exact one, so nothing need be named.
    sandbox.run(&format!("restore {sides} --yes")).exits(0);
    let row = sandbox.sqlite("live.db", "select title, at from notes where id = 7");
    assert_eq!(row.trim(), "7 is the title of a note|2026-03-08 10:00:07.008659");
}

#[test]
fn t5_equal_values_show_what_a_backup_can_hold() {
    let sandbox = notes();
    // The export has NULLs where live has them, so an empty text is one.
    let lines = sandbox.sqlite(
        "old.db",
        "select json_object('id', id, 'title', title, 'remark', iif(id < 9, '', remark), 'at', at, 'n', n)
         from notes order by id",
    );
    std::fs::write(sandbox.path("notes.json"), lines).unwrap();
    let table = table(&sandbox.run(&format!("diff {SIDES} --format json")).exits(1));
    assert_eq!(table.get("lossy"), None, "{table}");
    // Each of 1 to 8 but the one that is gone, and the one that was edited.
    assert_eq!(table["changed"], 8, "{table}");
}

#[test]
fn t5_keys_whose_digits_are_lost_are_no_missing_rows() {
    let live = Database::with(
        "create table readings (device int, at datetime(6), n int, primary key (device, at));
         insert into readings select seq % 3, '2026-03-01' + interval seq second + interval seq * 137 microsecond, seq
             from seq_1_to_200;",
    );
    let sandbox = Sandbox::new();
    let lines = live.sql(
        "select json_object('device', device, 'at', left(at, 23), 'n', n) from readings order by device, at",
    );
    std::fs::write(sandbox.path("readings.json"), lines).unwrap();
    let before = live.dump("readings");
    let url = live.url();
    let sides = ["--live", &url, "--backup", "readings.json", "--table", "readings"];
    for command in [&["diff"][..], &["restore", "--yes"]] {
        let run = sandbox.run_all([command, &sides].concat());
        run.exits(5).complains("at, of the key, has moments cut to milliseconds");
    }
    assert_eq!(live.dump("readings"), before);
}

#[test]
fn t11_floats_that_a_mysql_dump_rounds_are_no_change_and_are_not_written_back() {
    let live = Database::with(
        "create table readings (id int primary key, v float, n int);
         insert into readings values (1, 1234567.875, 1), (2, 0.1, 2), (3, 16777215, 3), (4, 2.5, 4)",
    );
    let sandbox = Sandbox::new();
    live.dump_into(&sandbox.path("dump.sql.gz"));
    let url = live.url();
    let sides = ["--live", &url, "--backup", "dump.sql.gz", "--table", "readings"];
    let run = |words: &[&str]| sandbox.run_all([words, &sides].concat());
    let told = "! v: numbers of single precision in six digits in the backup: 2 differences that it explains count as none";
    let screen = run(&["diff"]).exits(0).stdout;
    assert!(screen.contains(told) && !screen.contains("identical"), "{screen}");
    let before = live.dump("readings");
    run(&["patch", "--column", "v", "--yes"]);
    assert_eq!(live.dump("readings"), before);
    // One that was really edited is a change, and is not written back with fewer digits unasked.
    live.sql("update readings set v = 9 where id = 1; delete from readings where id = 3");
    let edited = live.dump("readings");
    assert_eq!(table(&run(&["diff", "--format", "json"]).exits(1))["changed"], 1);
    run(&["patch", "--column", "v", "--yes"]).exits(5).complains("--lossy v");
    assert_eq!(live.dump("readings"), edited);
    let note =
        "v: numbers of single precision in six digits in the backup, written as they are there";
    let restored = run(&["restore", "--yes"]).exits(0);
    assert!(format!("{}{}", restored.stdout, restored.stderr).contains(note), "{restored:?}");
    assert_eq!(live.sql("select v + 0e0 from readings where id = 3"), "16777200\n");
}
