//! Story B on a real MariaDB: a backfill set `cancelled_at` of 200,000 subscription variants
//! to the day on which it ran, and failed half way; the application went on. Two backups
//! hold the truth, each a part of it. MariaDB's own client is the judge.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::mariadb::Database;
use crate::common::{Run, Sandbox};

/// 200,000 variants of which each fifth was cancelled, at a moment that only `updated_at`
/// tells. A row of a thousand is blank there.
const BEFORE: &str = "create table subscription_variants(
        id bigint unsigned primary key auto_increment, name varchar(40) not null,
        active boolean not null, cancelled_at datetime(6) null,
        updated_at datetime(6) null default current_timestamp(6) on update current_timestamp(6));
    insert into subscription_variants(name, active, updated_at)
        select concat('variant ', seq), seq % 5 <> 0,
            if(seq % 1000 = 105, null, '2024-01-01 00:00:00' + interval seq * 50 second + interval seq microsecond)
        from seq_1_to_200000;";

/// The newer backup lacks the rows of an old archive, the older one lacks the newer rows.
const NEWER: &str = "delete from subscription_variants where id <= 60000";
const OLDER: &str = "delete from subscription_variants where id > 100000";

/// The backfill: in two runs, since it failed half way. What it had not reached, or what was
/// cancelled before it, is right: two rows of a hundred.
const BACKFILL: &str = "
    update subscription_variants set cancelled_at = updated_at
        where not active and id % 250 = 0 and updated_at is not null;
    set timestamp = unix_timestamp('2024-05-02 09:14:42.123456');
    update subscription_variants set updated_at = now(6) where not active and id % 250 <> 0 and id <= 110000;
    update subscription_variants set cancelled_at = updated_at where not active and id % 250 <> 0 and id <= 110000;
    set timestamp = unix_timestamp('2024-05-02 17:30:00');
    update subscription_variants set updated_at = now(6) where not active and id % 250 <> 0 and id > 110000;
    update subscription_variants set cancelled_at = updated_at where not active and id % 250 <> 0 and id > 110000;
    update subscription_variants s set updated_at = '2024-01-01 00:00:00' + interval id * 50 second
        + interval id microsecond where not active and id % 2005 = 0;
    insert into subscription_variants(name, active, cancelled_at, updated_at)
        select concat('later ', seq), 0, '2024-05-02 12:00:00', '2024-05-02 12:00:00' from seq_1_to_211;";

/// What the application does between the plan and its end: it cancels one that is planned to
/// change, renames another, and opens new ones.
const APPLICATION: &str = "
    update subscription_variants set cancelled_at = now(6) where id = 199995;
    update subscription_variants set name = 'renamed' where id = 199990;
    insert into subscription_variants(name, active) values ('new', 1);";

const WINDOW: &str =
    "active = false and cancelled_at >= '2024-05-02' and cancelled_at < '2024-05-03'";

fn count(live: &Database, condition: &str) -> u64 {
    let sql = format!("select count(*) from subscription_variants where {condition}");
    live.sql(&sql).trim().parse().unwrap()
}

/// A digest of all rows, by the server itself.
fn digest(live: &Database, columns: &str, condition: &str) -> String {
    live.sql(&format!(
        "select count(*), sum(crc32(concat_ws('|', {columns}))), \
         bit_xor(cast(conv(left(md5(concat_ws('|', {columns})), 16), 16, 10) as unsigned)) \
         from subscription_variants where {condition}"
    ))
}

const ALL: &str = "id, name, active, ifnull(cancelled_at, '-'), ifnull(updated_at, '-')";

fn plan(sandbox: &Sandbox, live: &Database, backup: &Database, format: &str) -> Run {
    sandbox.run_all([
        "patch",
        "--live",
        &live.url(),
        "--backup",
        &backup.url(),
        "--table",
        "subscription_variants",
        "--column",
        "cancelled_at",
        "--from",
        "updated_at",
        "--where",
        WINDOW,
        "--dry-run",
        "--batch-size",
        "500",
        "--format",
        format,
    ])
}

/// Starts a command and stops it once it has written something more.
fn stopped(sandbox: &Sandbox, live: &Database, arguments: &[&str], signal: &str) -> Run {
    let before = count(live, WINDOW);
    let mut command = sandbox.command(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while count(live, WINDOW) == before {}
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Run::of(child.wait_with_output().unwrap())
}

/// Live before the damage, and its two backups.
fn before() -> (Database, [Database; 2]) {
    let live = Database::with(BEFORE);
    let backups = [NEWER, OLDER].map(|lacks| {
        let backup = live.server.database();
        live.sql(&format!(
            "create table {0}.subscription_variants like subscription_variants;
             insert into {0}.subscription_variants select * from subscription_variants",
            backup.name
        ));
        backup.sql(lacks);
        backup
    });
    (live, backups)
}

/// Where both backups have a row the newer one's counts: `b` in SQL.
fn first_of(backups: &[Database; 2]) -> String {
    let [newer, older] = backups.each_ref().map(|b| format!("{}.subscription_variants", b.name));
    format!("(select * from {newer} union all select * from {older} where id <= 60000) b")
}

#[test]
fn story_b_the_backfill_is_taken_back_from_two_gzipped_dumps_in_one_plan() {
    let (live, backups) = before();
    let sandbox = Sandbox::in_memory();
    for (backup, name) in backups.iter().zip(["newer.sql.gz", "older.sql.gz"]) {
        backup.dump_into(&sandbox.path(name));
    }
    live.sql(BACKFILL);
    let damaged = digest(&live, ALL, "true");
    let url = live.url();
    let patch = |more: &[&str]| {
        let sides = ["--live", &url, "--backup", "newer.sql.gz", "--backup", "older.sql.gz"];
        let what = ["--table", "subscription_variants", "--column", "cancelled_at"];
        let which = ["--from", "updated_at", "--where", WINDOW, "--format", "json"];
        sandbox.run_all([&["patch"][..], &sides, &what, &which, more].concat())
    };
    let inside = |c: &str| count(&live, &format!("{WINDOW} and {c} and name not like 'later%'"));
    let told = "id % 1000 <> 105 and id % 2005 <> 0";
    let [newer, older] = ["id > 60000", "id <= 60000"].map(|c| inside(&format!("{c} and {told}")));
    let planned = patch(&["--dry-run"]).exits(0).json();
    let table = &planned["tables"][0];
    assert_eq!(table["update"], newer + older, "{table}");
    assert_eq!(
        (&table["from"][0]["rows"], &table["from"][1]["rows"]),
        (&newer.into(), &older.into())
    );
    assert_eq!(digest(&live, ALL, "true"), damaged, "a dry run writes nothing");
    let moments = "id, active, ifnull(updated_at, '-')";
    let held = digest(&live, moments, "true");

    let done = patch(&["--yes"]).exits(0).json();
    assert_eq!(done["tables"][0]["written"], newer + older, "{done}");
    assert_eq!(digest(&live, moments, "true"), held, "no updated_at moved");
    let both = live.sql(&format!(
        "select count(*), sum(l.cancelled_at <=> b.updated_at) from subscription_variants l
         join {} using (id) where not l.active and {told}",
        first_of(&backups)
    ));
    let (all, equal) = both.trim().split_once('\t').unwrap();
    assert_eq!(all, equal, "every cancelled_at is the first backup's updated_at");
    assert_eq!(patch(&["--dry-run"]).exits(0).json()["tables"][0]["update"], 0);
    sandbox.run("undo --yes").exits(0);
    assert_eq!(digest(&live, ALL, "true"), damaged);
}

#[test]
fn story_b_the_backfill_is_taken_back_from_two_backups_while_the_application_goes_on() {
    let (live, backups) = before();
    live.sql(BACKFILL);
    let sandbox = Sandbox::in_memory();
    let wrong = count(&live, WINDOW);
    let cancelled = count(&live, "cancelled_at is not null");
    assert!(wrong * 100 >= cancelled * 98, "{wrong} of {cancelled}");
    let damaged = digest(&live, ALL, "true");

    // The plan from the newer backup: what it would do, and the histogram of the column's days.
    let screen = plan(&sandbox, &live, &backups[0], "table").exits(0);
    for words in [
        "before  2024-05-02 ██████████████████ 100 %",
        "after   2024-02 ",
        "busiest 2024-02-06 1.2 %",
        "held as it is, against ON UPDATE: updated_at",
        "27,231 rows would be changed: cancelled_at",
    ] {
        assert!(screen.stdout.contains(words), "no {words:?} in\n{}", screen.stdout);
    }
    let planned = plan(&sandbox, &live, &backups[0], "json").exits(0).json();
    assert_eq!(digest(&live, ALL, "true"), damaged, "a dry run writes nothing");
    let (table, inside) =
        (&planned["tables"][0], |c: &str| count(&live, &format!("{WINDOW} and {c}")));
    let later = "name not like 'later%'";
    let changes =
        inside(&format!("id > 60000 and id % 1000 <> 105 and id % 2005 <> 0 and {later}"));
    assert_eq!(table["update"], changes);
    let skipped = &table["skipped"];
    assert_eq!(skipped["backup_null"], inside("id > 60000 and id % 1000 = 105 and id % 2005 <> 0"));
    assert_eq!(skipped["not_in_backup"], inside(&format!("(id <= 60000 or not {later})")));
    assert!(skipped["untouched"].as_u64().unwrap() > 50, "{table}");
    let id = planned["plan"].as_str().unwrap();

    // The application goes on: before the plan is applied, and while it is.
    live.sql(APPLICATION);
    let newer = digest(&live, ALL, "id > 199985");
    let moments = "id, active, ifnull(updated_at, '-')";
    let others = "id <= 199985 and id % 5 <> 1";
    let held = digest(&live, moments, others);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (live, stop) = (live.clone(), Arc::clone(&stop));
        thread::spawn(move || {
            let mut renamed = 0u64;
            while !stop.load(Ordering::Relaxed) {
                renamed += 1;
                // Rows that the plan does not write.
                let row = renamed * 5 + 1;
                live.sql(&format!(
                    "update subscription_variants set name = 'renamed {renamed}' where id = {row}"
                ));
            }
            renamed
        })
    };
    let run = stopped(&sandbox, &live, &["apply", id, "--yes"], "-INT").exits(130);
    assert!(run.stdout.contains("stopped"), "{}", run.stdout);
    stopped(&sandbox, &live, &["apply", id, "--resume", "--yes"], "-KILL");
    let left = inside(&format!("id > 60000 and {later}"));
    assert!(left > changes / 2, "stopped in the middle: {left} are left");
    let run = sandbox.run_all(["apply", id, "--resume", "--yes", "--format", "json"]).exits(3);
    stop.store(true, Ordering::Relaxed);
    let renamed = writer.join().unwrap();
    assert!(renamed > 3, "{renamed}");
    assert_eq!(count(&live, "name like 'renamed _%'"), renamed);

    // What the application wrote stands and is told, and no row's `updated_at` moved.
    let receipt = run.json();
    let told: Vec<&serde_json::Value> =
        receipt["conflicts"].as_array().unwrap().iter().map(|c| &c["key"]["id"]).collect();
    assert_eq!(told, [199_990, 199_995]);
    assert_eq!(receipt["tables"][0]["written"], changes - 2);
    assert_eq!(digest(&live, ALL, "id > 199985"), newer);
    assert_eq!(digest(&live, moments, others), held);
    let right = |condition: &str| {
        live.sql(&format!(
            "select count(*), sum(l.cancelled_at <=> b.updated_at) from subscription_variants l
             join {}.subscription_variants b using (id) where not l.active and {condition}",
            backups[0].name
        ))
    };
    let wanted = "id <= 199985 and id % 2005 <> 0 and id % 1000 <> 105";
    let both = right(wanted);
    let (all, equal) = both.trim().split_once('\t').unwrap();
    assert_eq!(all, equal, "every cancelled_at is the backup's updated_at");

    // The older backup has a part of the rest; the rest of that is in none.
    let planned = plan(&sandbox, &live, &backups[1], "json").exits(0).json();
    let second = planned["plan"].as_str().unwrap();
    let older = inside("id <= 60000 and id % 1000 <> 105 and id % 2005 <> 0");
    assert_eq!(planned["tables"][0]["update"], older);
    let pieced = digest(&live, ALL, "true");
    sandbox.run_all(["apply", second, "--yes"]).exits(0);
    assert_eq!(inside("id <= 60000 and id % 1000 <> 105 and id % 2005 <> 0"), 0);
    assert_eq!(
        plan(&sandbox, &live, &backups[1], "json").exits(0).json()["tables"][0]["update"],
        0
    );
    // The days before and after, as a data team would ask.
    let worst = live.sql(
        "select max(n) * 100 / sum(n) from (select count(*) n from subscription_variants \
         where cancelled_at is not null group by date(cancelled_at)) days",
    );
    assert!(worst.trim().parse::<f64>().unwrap() < 2.0, "{worst} % on one day");

    // Back again: to the byte, but for what the application wrote.
    sandbox.run("undo --yes").exits(0);
    assert_eq!(digest(&live, ALL, "true"), pieced);
    let undone = sandbox.run_all(["undo", receipt["operation"].as_str().unwrap(), "--yes"]);
    undone.exits(0);
    let untouched = format!("id <= 199985 and {others}");
    assert_eq!(digest(&live, moments, &untouched), held);
    assert_eq!(count(&live, WINDOW), wrong - 1);
}
