//! The flags of PRODUCT's common list, each through the whole program.

use crate::common::{Sandbox, files};

const SIDES: &str = "--live prod.db --backup old.db";

/// Orders of which live has lost some and changed others: 2 missing, 3 changed, 1 extra.
fn orders() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.sqlite(
        "old.db",
        "create table orders (id integer primary key, code text not null unique, state text,
                              paid_at timestamp, shipped_at timestamp, active boolean,
                              \"customerName\" text);
         insert into orders values
           (1, 'a', 'open', '2026-03-01 10:00:00', '2026-03-02 10:00:00', 1, 'Ann'),
           (2, 'b', 'open', '2026-03-02 10:00:00', '2026-03-03 10:00:00', 0, 'Bob'),
           (3, 'c', 'paid', '2026-03-03 10:00:00', '2026-03-04 10:00:00', 0, 'Cy'),
           (4, 'd', 'paid', '2026-03-04 10:00:00', '2026-03-05 10:00:00', 1, 'Di'),
           (5, 'e', 'paid', '2026-03-05 10:00:00', null, 1, 'Ed'),
           (6, 'f', 'open', '2026-03-06 10:00:00', '2026-03-07 10:00:00', 0, 'Flo');",
    );
    std::fs::copy(sandbox.path("old.db"), sandbox.path("prod.db")).unwrap();
    sandbox.sqlite(
        "prod.db",
        "delete from orders where id in (2, 5);
         update orders set state = 'lost' where id in (1, 3);
         update orders set paid_at = null where id = 4;
         insert into orders values (7, 'g', 'new', null, null, 1, 'Gil');",
    );
    sandbox
}

/// What a diff as JSON says of its only table.
#[track_caller]
fn counted(sandbox: &Sandbox, flags: &str) -> [u64; 3] {
    let run = sandbox.run(&format!("diff {flags} --format json"));
    let table = &run.json()["tables"][0];
    ["missing", "changed", "extra"].map(|n| table[n].as_u64().unwrap())
}

/// The keys that `--where` selects of the missing rows.
#[track_caller]
fn selected(sandbox: &Sandbox, predicate: &str) -> Vec<u64> {
    let flags = ["diff", "--live", "empty.db", "--backup", "old.db", "--format", "ndjson"];
    let run = sandbox.run_all(flags.iter().chain(&["--table", "orders", "--where", predicate]));
    assert!(run.code <= 1 && run.stderr.is_empty(), "{predicate}: {run:?}");
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let mut keys: Vec<u64> =
        run.stdout.lines().map(|line| row(line)["key"]["id"].as_u64().unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn columns_and_ignore_say_what_is_compared() {
    let sandbox = orders();
    assert_eq!(counted(&sandbox, SIDES), [2, 3, 1]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --columns paid_at")), [2, 1, 1]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --columns code,active")), [2, 0, 1]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --ignore state")), [2, 1, 1]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --ignore state,paid_at")), [2, 0, 1]);
    sandbox.run(&format!("diff {SIDES} --columns nowhere")).exits(2).complains("nowhere");
}

#[test]
fn key_matches_rows_by_another_column() {
    let sandbox = orders();
    sandbox.sqlite("prod.db", "update orders set id = id + 100 where id = 6");
    assert_eq!(counted(&sandbox, SIDES), [3, 3, 2]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --key code")), [2, 4, 1]);
    assert_eq!(counted(&sandbox, &format!("{SIDES} --key code --ignore id")), [2, 3, 1]);
    sandbox.run(&format!("diff {SIDES} --key nowhere")).exits(2).complains("nowhere");
}

#[test]
fn where_takes_what_people_write() {
    let sandbox = orders();
    std::fs::copy(sandbox.path("old.db"), sandbox.path("empty.db")).unwrap();
    sandbox.sqlite("empty.db", "delete from orders");
    for (predicate, keys) in [
        ("active = false", &[2, 3, 6][..]),
        ("active = 0", &[2, 3, 6]),
        ("not active", &[2, 3, 6]),
        ("active", &[1, 4, 5]),
        ("active = true and state = 'paid'", &[4, 5]),
        ("paid_at >= '2026-03-03'", &[3, 4, 5, 6]),
        ("paid_at = '2026-03-03 10:00:00'", &[3]),
        ("paid_at < date '2026-03-03'", &[1, 2]),
        ("paid_at between '2026-03-02' and '2026-03-04'", &[2, 3]),
        ("shipped_at is null", &[5]),
        ("\"customerName\" like 'C%'", &[3]),
        ("customerName = 'Bob'", &[2]),
        ("backup.\"customerName\" in ('Ann', 'Flo')", &[1, 6]),
        ("lower(code) = 'a' or id = '6'", &[1, 6]),
    ] {
        assert_eq!(selected(&sandbox, predicate), keys, "{predicate}");
    }
    let wrong = sandbox.run(&format!("diff {SIDES} --where nowhere=1")).exits(2);
    wrong.complains("nowhere").complains("customerName");
}

#[test]
fn a_predicate_that_can_judge_no_row_tells_so_once() {
    let sandbox = orders();
    // Numbers among times as text, in more than one batch of rows.
    sandbox.sqlite(
        "old.db",
        "with recursive n (i) as (select 100 union all select i + 1 from n where i < 30000)
         insert into orders select i, 'n' || i, 'open', i, null, 1, null from n;",
    );
    let flags = ["diff", "--live", "prod.db", "--backup", "old.db", "--format", "ndjson"];
    let run = sandbox.run_all(flags.iter().chain(&["--where", "paid_at > '2026-03-04'"])).exits(1);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told, ["warning: orders: --where could not judge 29,901 rows: left out"]);
    assert_eq!(run.stdout.lines().count(), 1, "{}", run.stdout);
}

#[test]
fn limit_max_rows_and_output_bound_what_is_planned_and_where() {
    let sandbox = orders();
    let restore = format!("restore {SIDES} --table orders");
    let plan = |flags: &str| sandbox.run(&format!("{restore} -n --format json {flags}"));
    assert_eq!(plan("").exits(0).json()["tables"][0]["insert"], 2);
    assert_eq!(plan("--limit 1").exits(0).json()["tables"][0]["insert"], 1);
    plan("--max-rows 1").exits(5).complains("--max-rows");
    let saved = plan("--max-rows 2 --output fix.rkplan").exits(0).json();
    assert!(saved["file"].as_str().unwrap().ends_with("fix.rkplan"), "{saved}");
    plan("--output fix.rkplan").exits(2).complains("fix.rkplan");
    sandbox.run("apply fix.rkplan --yes").exits(0);
    assert_eq!(sandbox.sqlite("prod.db", "select count(*) from orders"), "7\n");

    let rows = format!("diff {SIDES} --format ndjson");
    sandbox.run(&format!("{rows} --limit 2 --output two.ndjson")).exits(1);
    // Counts are of all rows, which is said.
    let counts = sandbox.run(&format!("diff {SIDES} --format json --limit 1")).exits(1);
    assert!(counts.stderr.contains("counts are of all rows"), "{}", counts.stderr);
    let written = std::fs::read_to_string(sandbox.path("two.ndjson")).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
    sandbox.run(&format!("{rows} --output two.ndjson")).exits(2).complains("two.ndjson");
    assert!(sandbox.run(&format!("{rows} --output -")).exits(1).stdout.contains("\"changed\""));
}

#[test]
fn a_patch_from_another_column_leaves_out_what_its_flags_would_take_in() {
    let sandbox = orders();
    sandbox.sqlite("prod.db", "update orders set shipped_at = shipped_at || ' ' where id = 1");
    let patch = format!("patch {SIDES} --table orders --column paid_at --from shipped_at");
    let planned = |flags: &str| {
        let run = sandbox.run(&format!("{patch} -n --format json {flags}")).exits(0);
        let table = run.json()["tables"][0].clone();
        (table["update"].as_u64().unwrap(), table["skipped"].clone())
    };
    // 1, 3, 4 and 6 are on both sides; only 1's shipping was touched since, 4 was never paid.
    let (rows, skipped) = planned("");
    assert_eq!((rows, &skipped["untouched"]), (1, &3.into()), "{skipped}");
    let (rows, skipped) = planned("--include-untouched");
    assert_eq!((rows, &skipped["live_null"]), (3, &1.into()), "{skipped}");
    assert_eq!(planned("--include-untouched --include-null").0, 4);
}

#[test]
fn config_and_profile_give_what_no_flag_does_and_the_screen_names_them() {
    let sandbox = orders();
    std::fs::create_dir(sandbox.path("etc")).unwrap();
    std::fs::write(
        sandbox.path("etc/our.toml"),
        "live = \"../prod.db\"\nbackup = \"../old.db\"\nignore = [\"state\"]\n\
         [profile.copy]\nlive = \"../copy.db\"\nignore = []\n",
    )
    .unwrap();
    std::fs::copy(sandbox.path("old.db"), sandbox.path("copy.db")).unwrap();
    sandbox.run("diff").exits(2).complains("--live");
    let shown = sandbox.run("diff --config etc/our.toml").exits(1);
    assert!(shown.stdout.contains("our.toml"), "{}", shown.stdout);
    assert_eq!(counted(&sandbox, "--config etc/our.toml"), [2, 1, 1]);
    // A flag comes first, a profile before the rest of its file.
    assert_eq!(counted(&sandbox, "--config etc/our.toml --live copy.db"), [0, 0, 0]);
    let shown = sandbox.run("diff --config etc/our.toml --profile copy").exits(0);
    assert!(shown.stdout.contains("profile copy"), "{}", shown.stdout);
    let wrong = sandbox.run("diff --config etc/our.toml --profile none").exits(2);
    wrong.complains("none").complains("copy");
    sandbox.run("diff --config etc/none.toml").exits(2).complains("etc/none.toml");
}

#[test]
fn as_of_takes_the_snapshot_of_that_time_and_doubts_a_renamed_one() {
    let sandbox = Sandbox::new();
    for (day, rows) in [("2026-03-01 06:00:00", 3), ("2026-03-02 06:00:00", 5)] {
        let table = "create table if not exists t (id integer primary key, v text);";
        let row = format!("insert into t (v) select value from generate_series(1, {rows})");
        sandbox.sqlite("prod.db", &format!("{table} delete from t; {row}"));
        let taken = sandbox.at(day, ["snapshot", "--live", "prod.db", "--out", "snaps"]);
        taken.exits(0);
    }
    sandbox.sqlite("prod.db", "delete from t");
    let missing = |flags: &[&str]| {
        let sides = ["diff", "--live", "prod.db", "--backup", "snaps", "--format", "json"];
        let run = sandbox.run_all(sides.iter().chain(flags)).exits(1);
        (run.json()["tables"][0]["missing"].as_u64().unwrap(), run.stderr)
    };
    assert_eq!(missing(&[]).0, 5);
    assert_eq!(missing(&["--as-of", "2026-03-02"]).0, 3);
    assert_eq!(missing(&["--as-of", "2026-03-02 06:01:00"]).0, 5);
    assert_eq!(missing(&["--as-of", "2026-03-02T05:59"]).0, 3);
    let run = |flags: &str| sandbox.run(&format!("diff --live prod.db --backup snaps{flags}"));
    run(" --as-of 2026-02-28").exits(2).complains("2026-03-01T06:00:00");
    run("@latest --as-of 2026-03-02").exits(2).complains("@latest");
    run(" --as-of yesterday").exits(2).complains("2026-03-01 12:00");

    // A folder whose name tells another time than its manifest.
    let folders = std::fs::read_dir(sandbox.path("snaps")).unwrap();
    let first = folders.map(|f| f.unwrap().path()).min().unwrap();
    let name = first.file_name().unwrap().to_str().unwrap().replace("20260301", "20260228");
    std::fs::rename(&first, first.with_file_name(name)).unwrap();
    let (rows, stderr) = missing(&["--as-of", "2026-03-02"]);
    assert_eq!(rows, 3, "the manifest's time holds");
    assert!(stderr.contains("was it renamed?"), "{stderr}");
}

#[test]
fn color_is_for_terminals_unless_asked_for() {
    let sandbox = orders();
    let diff = format!("diff {SIDES}");
    let colored = |flags: &str, no_color: bool| {
        let line = format!("{diff} {flags}");
        let mut command = sandbox.command(line.split_whitespace());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap().contains('\x1b')
    };
    assert!(!colored("", false) && !colored("--color never", false));
    assert!(colored("--color always", false) && colored("--color always", true));
    assert!(!colored("--color always --format json", false), "a document has no colours");

    let program = std::path::Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    let on_terminal = |line: String| sandbox.typed(&path, &line, &[]).stdout.contains("\x1b[");
    assert!(on_terminal(format!("restorekit {diff} --no-progress")));
    assert!(!on_terminal(format!("NO_COLOR=1 restorekit {diff} --no-progress")));
    assert!(!on_terminal(format!("restorekit {diff} --no-progress --color never")));
}

#[test]
fn bars_are_drawn_on_a_terminal_unless_forbidden() {
    let sandbox = Sandbox::new();
    sandbox.numbered(200_000);
    sandbox.sqlite("live.db", "delete from t where id % 2 = 0");
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    let screen = |flags: &str| {
        let line = format!("restorekit diff --live live.db --backup old.db {flags}");
        sandbox.typed(&path, &line, &[]).exits(1).stdout
    };
    // The line of a bar is cleared before it is drawn anew.
    const CLEARED: &str = "\x1b[2K";
    assert!(screen("").contains(CLEARED), "no bar in a long diff");
    for flags in ["--no-progress", "--verbose", "2>/dev/null"] {
        assert!(!screen(flags).contains(CLEARED), "{flags}");
    }
}

#[test]
fn verbose_says_on_stderr_what_is_done_and_quiet_only_what_fails() {
    let sandbox = orders();
    let plain = sandbox.run(&format!("diff {SIDES}")).exits(1);
    assert_eq!(plain.stderr, "");
    let more = sandbox.run(&format!("diff {SIDES} -v")).exits(1);
    assert_eq!(more.stdout, plain.stdout);
    let more = more.complains("the backup is recognised");
    assert!(!more.stderr.contains("a scan begins"), "{}", more.stderr);
    sandbox.run(&format!("diff {SIDES} -vv")).exits(1).complains("a scan begins");
    sandbox.run(&format!("restore {SIDES} --table orders --yes -v")).exits(0).complains("applied");

    let quiet = sandbox.run(&format!("diff {SIDES} --quiet")).exits(1);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let document = sandbox.run(&format!("diff {SIDES} --quiet --format json")).exits(1);
    assert_eq!(document.json()["tables"][0]["changed"], 3);
    sandbox.run("diff --live none.db --backup old.db --quiet").exits(2).complains("none.db");
}

#[test]
fn every_format_of_diff_exits_as_its_counts_say() {
    let sandbox = Sandbox::new();
    sandbox.sqlite(
        "old.db",
        "create table t (id integer primary key, v text, w text);
         insert into t values (1, 'a', 'x'), (2, 'b', 'y')",
    );
    std::fs::copy(sandbox.path("old.db"), sandbox.path("same.db")).unwrap();
    let only = |name: &str, sql: &str| {
        std::fs::copy(sandbox.path("old.db"), sandbox.path(name)).unwrap();
        sandbox.sqlite(name, sql);
    };
    only("extra.db", "insert into t values (3, 'c', 'z')");
    only("changed.db", "update t set v = 'n' where id = 2");
    only("missing.db", "delete from t where id = 2");
    only("null.db", "update t set v = null where id = 2");
    let exits = |flags: &str, code: i32| {
        for format in ["table", "json", "ndjson", "csv", "sql"] {
            let line = format!("diff --backup old.db {flags} --format {format}");
            let run = sandbox.run_all(line.split_whitespace().map(|w| w.replace('_', " ")));
            assert_eq!(run.code, code, "{line}\n{}{}", run.stdout, run.stderr);
        }
    };
    exits("--live same.db", 0);
    for live in ["extra.db", "changed.db", "missing.db"] {
        exits(&format!("--live {live}"), 1);
        for limit in ["0", "1"] {
            exits(&format!("--live {live} --limit {limit}"), 1);
            exits(&format!("--live {live} --limit {limit} --where id>0"), 1);
        }
        exits(&format!("--live {live} --where id<0"), 0);
    }
    // A row that the predicate can't judge, and kinds of rows that it can't.
    exits("--live null.db --where live.v='b'", 0);
    exits("--live missing.db --where live.v='b'", 1);
    let run = sandbox.run("diff --backup old.db --live missing.db --where live.v='b'").exits(1);
    assert!(run.stdout.contains("? left out"), "{}", run.stdout);
    let run = run.complains("missing rows are left out");
    assert!(!run.stdout.contains("identical"), "{}", run.stdout);
}

#[test]
fn rows_are_written_with_a_word_on_what_was_not_compared() {
    let sandbox = orders();
    sandbox.sqlite("prod.db", "alter table orders add column later text");
    for format in ["ndjson", "csv", "sql"] {
        sandbox
            .run(&format!("diff {SIDES} --ignore state --format {format}"))
            .exits(1)
            .complains("orders: not compared: ")
            .complains("later (only in live)")
            .complains("state (ignored)");
    }
}

#[test]
fn w2_a_wrong_argument_is_told_without_its_password() {
    let sandbox = Sandbox::new();
    let url = "mysql://u:hunter2@h/d";
    for arguments in [
        vec!["diff", url],
        vec!["diff", "--format", url],
        vec!["diff", "--max-expanded-bytes=mysql://u:hunter2@h/d"],
        vec![url],
        vec!["apply", "p", "mysql://u:hunter2'x@h/d"],
    ] {
        let run = sandbox.run_all(&arguments).exits(2).complains("mysql://u:***@h/d");
        assert!(!run.stderr.contains("hunter2"), "{arguments:?}\n{}", run.stderr);
    }
}

#[test]
fn a_pruning_that_is_declined_fails_and_removes_nothing() {
    let sandbox = orders();
    for _ in 0..2 {
        sandbox.run("snapshot --live prod.db --out snaps").exits(0);
    }
    let before = files(&sandbox.path("snaps"));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    for (answer, code) in [("n\r", 2), ("\x1b", 130)] {
        let line = "restorekit snapshots snaps --keep-last 1 --prune";
        let run = sandbox.typed(&path, line, &[("Remove 1 snapshot?", answer)]).exits(code);
        assert!(run.stdout.contains("nothing was removed"), "{}", run.stdout);
        assert!(files(&sandbox.path("snaps")) == before, "something was removed");
    }
}
