//! What the program tells of hostile data and of passwords, over all its commands.

use crate::common::{Run, Sandbox, files};

/// Fails when a text would steer a terminal, or turns its letters around.
#[track_caller]
fn harmless(line: &str, run: &Run) {
    for text in [&run.stdout, &run.stderr] {
        let bad = text.chars().find(|c| {
            (c.is_control() && *c != '\n')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        });
        assert!(bad.is_none(), "{line} writes {bad:?}:\n{text:?}");
    }
}

#[test]
fn w11_no_command_lets_a_cell_or_a_name_steer_the_terminal() {
    let sandbox = Sandbox::new();
    let evil = "char(27) || '[2J' || char(7) || char(0x9b) || '31m' || char(0x202e) || char(13) || char(10) || 'x'";
    // A column and a table with an escape and a line's end in their names.
    let table = "t\u{1b}[31m\nevents";
    sandbox.sqlite_script(
        "prod.db",
        &format!(
            "create table \"{table}\" (id text primary key, \"c\u{1b}]0;x\u{7}\u{202e}\" text, \"n\" text);
             with recursive n (i) as (select 1 union all select i + 1 from n where i < 20)
             insert into \"{table}\" select i || {evil}, 'v' || i || {evil}, null from n;\n"
        ),
    );
    let run = |line: &[&str]| {
        let run = sandbox.run_all(line);
        harmless(&line.join(" "), &run);
        run
    };
    run(&["snapshot", "--live", "prod.db", "--out", "snaps"]).exits(0);
    run(&["snapshots", "snaps"]).exits(0);
    run(&["verify", "snaps"]).exits(0);
    run(&["inspect", "snaps@latest"]).exits(0);
    sandbox.sqlite_script(
        "prod.db",
        &format!(
            "delete from \"{table}\" where rowid % 3 = 0;
             update \"{table}\" set n = {evil}, \"c\u{1b}]0;x\u{7}\u{202e}\" = 'w' || {evil} where rowid % 3 = 1;\n"
        ),
    );
    let sides = ["--live", "prod.db", "--backup", "snaps@latest"];
    let with = |words: &[&'static str]| [words, &sides].concat();
    run(&with(&["diff"])).exits(1);
    run(&[&with(&["diff"])[..], &["--table", table]].concat()).exits(1);
    run(&with(&["gaps"]));
    run(&with(&["doctor"]));
    let select = format!("select * from live.\"{table}\"");
    run(&with(&["sql", select.leak()])).exits(0);
    run(&with(&["sql", format!("select * from diff('{table}')").leak()])).exits(0);
    run(&with(&["sql", "select \u{1b}[2J"])).exits(2);
    let column = "c\u{1b}]0;x\u{7}\u{202e}";
    run(&[&with(&["patch", "-n"])[..], &["--column", column]].concat()).exits(0);
    run(&with(&["restore", "-n"])).exits(0);
    run(&["log"]).exits(0);
    let plan = run(&with(&["restore", "-n", "--format", "json"])).exits(0).json();
    let plan = plan["plan"].as_str().unwrap();
    // A conflict, which is told with its key.
    sandbox.sqlite_script(
        "prod.db",
        &format!("insert into \"{table}\" select '3' || {evil}, 'mine', {evil};\n"),
    );
    run(&["apply", plan, "--yes"]).exits(3);
    run(&["show", plan]).exits(0);
    run(&["verify", plan]);
    run(&["undo", plan, "--yes"]).exits(0);
    run(&["log"]).exits(0);
    run(&with(&["diff", "--table", "\u{1b}[2J"])).exits(2);
    run(&with(&["diff", "--where", "\u{1b}[2J = 1"])).exits(2);
    run(&["diff", "--live", "no\u{1b}[2J.db", "--backup", "snaps"]).exits(2);
    run(&["diff", "--live", "prod.db", "--backup", "no\u{1b}[2J"]).exits(2);
}

#[test]
fn w2_a_password_is_told_nowhere_and_one_in_an_argument_is_warned_about() {
    let sandbox = Sandbox::new();
    sandbox.sqlite("old.db", "create table t (id integer primary key)");
    // Nobody listens there.
    let url = "mysql://keeper:hunter2%21@127.0.0.1:1/shop";
    let warning = "a password on the command line";
    let check = |run: Run, warned: bool, about: &str| {
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(!told.contains("hunter2"), "{about}: {told}");
        assert_eq!(run.stderr.contains(warning), warned, "{about}: {}", run.stderr);
        run
    };
    for command in ["diff", "gaps --table t", "restore --yes", "doctor", "sql -vvv select"] {
        let line = format!("{command} --live {url} --backup old.db");
        let run = check(sandbox.run(&line), true, command);
        assert!([1, 2].contains(&run.code), "{command}: {run:?}");
        let mut by_environment =
            sandbox.command(format!("{command} --backup old.db -vv").split(' '));
        let output = by_environment.env("RESTOREKIT_LIVE", url).output().unwrap();
        check(Run::of(output), false, command);
    }
    check(sandbox.run(&format!("snapshot --live {url} --out snaps")), true, "snapshot");
    let schedule = format!("snapshot --live {url} --out snaps --schedule 8h");
    check(sandbox.run(&schedule), true, "schedule").exits(5);
    check(sandbox.run(&format!("inspect {url}")), true, "inspect");
    // By reference from the configuration, which is how it should be.
    let settings =
        "live = \"mysql://keeper:${SHOP_PASSWORD}@127.0.0.1:1/shop\"\nbackup = \"old.db\"\n";
    std::fs::write(sandbox.path("restorekit.toml"), settings).unwrap();
    for command in ["diff", "doctor", "restore --yes"] {
        let mut command = sandbox.command(command.split(' '));
        let output = command.env("SHOP_PASSWORD", "hunter2!").output().unwrap();
        check(Run::of(output), false, "configuration");
    }
    std::fs::remove_file(sandbox.path("restorekit.toml")).unwrap();
    check(sandbox.run(&format!("init --live {url}")), true, "init");
    for (file, bytes) in files(&sandbox.path("")) {
        assert!(
            !bytes.windows(7).any(|w| w == b"hunter2"),
            "a password was left in {}",
            file.display()
        );
    }
}
