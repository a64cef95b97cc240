//! The program against a real PostgreSQL: how it enters one, and what it reads there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::postgres::Database;
use crate::common::{Sandbox, files};

const EVENTS: &str = "create table events(id bigint primary key, title text not null,
        starts_at timestamptz, price numeric(8,2), tags text[], extra jsonb);
     insert into events select i, 'event ' || i, '2024-01-01'::timestamptz + i * interval '1 hour',
        i / 4.0, array['a', 'x' || i], jsonb_build_object('n', i) from generate_series(1, 3000) i;
     create schema hr; create table hr.staff(code text primary key, name text);
     insert into hr.staff values ('ä', 'Änne'), ('b', 'Bob');";

const DAMAGE: &str = "delete from events where id in (7, 8, 9, 2500);
     update events set title = 'x' where id = 100; insert into events(id, title) values (3001, 'new');
     delete from hr.staff where code = 'ä';";

fn sides() -> (Database, Database) {
    let (live, backup) = (Database::with(EVENTS), Database::with(EVENTS));
    live.sql(DAMAGE);
    (live, backup)
}

#[test]
fn a_second_server_is_compared_and_snapshotted() {
    let (live, backup) = sides();
    let (live_url, backup_url) = (live.url(), backup.url());
    let sandbox = Sandbox::new();
    let diff = |from: &str| {
        let run =
            sandbox.run_all(["diff", "--live", &live_url, "--backup", from, "--format", "json"]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        let counts = told["tables"].as_array().unwrap().iter().map(|table| {
            let of = |name: &str| table[name].as_u64().unwrap();
            let name = table["table"].as_str().unwrap().to_owned();
            (name, of("missing"), of("changed"), of("extra"), of("same"))
        });
        counts.collect::<Vec<_>>()
    };
    let expected = [("events".to_owned(), 4, 1, 1, 2995), ("hr.staff".to_owned(), 1, 0, 0, 1)];
    assert_eq!(diff(&backup_url), expected);

    let run = sandbox.run_all(["snapshot", "--live", &backup_url, "--out", "snaps"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(diff("snaps"), expected);

    let gaps = ["gaps", "--live", &live_url, "--backup", &backup_url, "--table", "events"];
    let run = sandbox.run_all([&gaps[..], &["--format", "json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["runs"], serde_json::json!([[7, 9], [2500, 2500]]));
    assert_eq!(told["recoverable"], 4);

    let query = "select b.title from backup.events b left join live.events l on l.id = b.id \
                 where l.id is null and b.starts_at < '2024-02-01' order by b.id";
    let sql = ["sql", "--live", &live_url, "--backup", &backup_url, "--format", "csv", query];
    let run = sandbox.run_all(sql);
    assert_eq!(run.stdout, "title\nevent 7\nevent 8\nevent 9\n", "{}", run.stderr);
}

#[test]
fn w2_a_password_file_opens_the_door_and_is_told_nowhere() {
    let (live, backup) = sides();
    let sandbox = Sandbox::new();
    let live_url = live.url_as("secretive");
    let arguments = ["diff", "--live", &live_url, "--backup", &backup.url(), "--table", "events"];
    let run = sandbox.run_all(arguments);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("does not let this user in"), "{}", run.stderr);
    assert!(run.stderr.contains(".pgpass"), "{}", run.stderr);

    fs::create_dir_all(sandbox.path("home")).unwrap();
    let file = sandbox.path("home/.pgpass");
    fs::write(&file, "*:*:*:secretive:hunter2\n").unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    let run = sandbox.run_all(arguments);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let mut all = format!("{}{}", run.stdout, run.stderr).into_bytes();
    all.extend(files(&sandbox.path("state")).into_values().flatten());
    assert!(!all.windows(7).any(|bytes| bytes == b"hunter2"));
}

#[test]
fn doctor_says_what_would_stop_a_patch() {
    let (live, backup) = sides();
    live.sql(
        "grant usage on schema hr to guest; grant select on all tables in schema public, hr to guest;
         create table secret(id int primary key, who text); grant select on secret to guest;
         alter table secret enable row level security;
         create policy own on secret using (who = current_user);",
    );
    let sandbox = Sandbox::new();
    let (guest, boss) = (live.url_as("guest"), live.url());
    let run = sandbox.run_all(["doctor", "--live", &guest, "--backup", &backup.url()]);
    for words in ["guest on 127.0.0.1", "no right to insert on any table", "row-level security"] {
        assert!(run.stdout.contains(words), "{words}: {}{}", run.stdout, run.stderr);
    }
    let run = sandbox.run_all(["doctor", "--live", &boss, "--backup", &backup.url()]);
    assert!(run.stdout.contains("a primary server that can be written"), "{}", run.stdout);

    let run = sandbox.run_all(["diff", "--live", &boss, "--backup", &boss]);
    assert_eq!(run.code, 5, "the same database on both sides: {}", run.stderr);
    let run =
        sandbox.run_all(["diff", "--live", &boss, "--backup", &backup.url(), "--table", "nowhere"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
}

#[test]
fn t6_keys_that_are_infinite_are_told_by_their_column_and_number() {
    let rows = "create table t(at timestamptz, n int, primary key(at, n));
         insert into t select '2024-01-01'::timestamptz + g * interval '1 day', g
            from generate_series(1, 9) g;
         insert into t values ('infinity', 1), ('-infinity', 1);";
    let (live, backup) = (Database::with(rows), Database::with(rows));
    live.sql("delete from t where n < 3");
    let sandbox = Sandbox::new();
    let sides = ["--live", &live.url(), "--backup", &backup.url()];
    let run = sandbox.run_all([&["diff", "--table", "t"][..], &sides].concat());
    let words = "at (the key is infinity, -infinity or no date of the calendar in 2 rows of the \
                 backup: not matched)";
    assert!(run.stdout.contains(words), "{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, 1);
    let rows = sandbox.run_all([&["diff", "--table", "t", "--format", "csv"][..], &sides].concat());
    assert!(rows.stderr.contains("t.at: the key is infinity"), "{}", rows.stderr);
    let run = sandbox.run_all([&["restore", "--table", "t", "--dry-run"][..], &sides].concat());
    assert!(run.stdout.contains("at: the key is infinity"), "{}{}", run.stdout, run.stderr);
    // Nothing else is left out, and nothing of them is written.
    let run = sandbox.run_all([&["restore", "--table", "t", "--yes"][..], &sides].concat());
    assert!(run.stdout.contains("2 rows"), "{}{}", run.stdout, run.stderr);
    assert_eq!(live.sql("select count(*) from t where isfinite(at)"), "9\n");
    assert_eq!(live.sql("select count(*) from t"), "9\n");
}
