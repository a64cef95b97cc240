//! Ctrl-C while the program writes: the batch under way ends, and the next commands are told.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Run, Sandbox};

const ROWS: u64 = 400;

/// A plan of 400 batches for 400 missing rows.
fn planned(sandbox: &Sandbox) -> String {
    sandbox.numbered(ROWS);
    sandbox.sqlite("live.db", "delete from t");
    let plan = sandbox.run(
        "restore --live live.db --backup old.db --table t --batch-size 1 --dry-run --format json",
    );
    plan.exits(0).json()["plan"].as_str().unwrap().to_owned()
}

fn rows(sandbox: &Sandbox) -> u64 {
    sandbox.sqlite("live.db", "select count(*) from t").trim().parse().unwrap()
}

/// The rest of the line that begins with a word.
fn told<'a>(run: &'a Run, word: &str) -> &'a str {
    let line = run.stdout.lines().find_map(|l| l.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in\n{}\n{}", run.stdout, run.stderr)).trim()
}

/// Interrupts an apply once it has written something.
fn interrupted(sandbox: &Sandbox, plan: &str) -> Run {
    let mut command = sandbox.command(["apply", plan, "--yes"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while rows(sandbox) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    Run::of(child.wait_with_output().unwrap())
}

#[test]
fn x5_an_interrupted_apply_ends_its_batch_and_tells_how_to_go_on_and_back() {
    // A fast machine may be done before it is interrupted.
    for _ in 0..20 {
        let sandbox = Sandbox::new();
        let plan = planned(&sandbox);
        let run = interrupted(&sandbox, &plan);
        if run.code == 0 {
            continue;
        }
        let run = run.exits(130);
        let written = rows(&sandbox);
        assert!(written > 0 && written < ROWS, "{written}");
        assert!(run.stdout.contains("stopped"), "{}", run.stdout);
        let (on, back) = (told(&run, "go on:"), told(&run, "undo:"));
        let again = |line: &str| {
            sandbox.run(&format!("{} --yes", line.strip_prefix("restorekit ").unwrap()))
        };
        // Back from half way, without what was not written.
        again(back).exits(0);
        assert_eq!(rows(&sandbox), 0);

        let sandbox = Sandbox::new();
        let plan = planned(&sandbox);
        let run = interrupted(&sandbox, &plan);
        if run.code == 0 {
            continue;
        }
        let on = told(&run, "go on:").strip_prefix("restorekit ").unwrap_or(on).to_owned();
        sandbox.run(&format!("{on} --yes")).exits(0);
        assert_eq!(rows(&sandbox), ROWS);
        return;
    }
    panic!("every apply was done before it could be interrupted");
}

#[test]
fn x5_reading_is_broken_off_at_once() {
    let sandbox = Sandbox::new();
    planned(&sandbox);
    // A statement that does not end.
    let endless = "select count(*) from backup.t a, backup.t b, backup.t c, backup.t d";
    let before = std::fs::read(sandbox.path("live.db")).unwrap();
    let mut command = sandbox.command(["sql", "--live", "live.db", "--backup", "old.db", endless]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let open = format!("/proc/{}/fd", child.id());
    let live = sandbox.path("live.db").canonicalize().unwrap();
    let has_live = || {
        let files = std::fs::read_dir(&open).unwrap().flatten();
        files.into_iter().any(|f| f.path().read_link().is_ok_and(|to| to == live))
    };
    while !has_live() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success()
    );
    let run = Run::of(child.wait_with_output().unwrap()).exits(130);
    assert!(run.stderr.contains("nothing was written"), "{}", run.stderr);
    assert_eq!(std::fs::read(sandbox.path("live.db")).unwrap(), before);
}
