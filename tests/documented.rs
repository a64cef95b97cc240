//! What the README and `--help` tell a person to type is typed here, on a terminal, and does
//! what is said.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::common::{Run, Sandbox};

/// A folder with what the documentation's commands name: databases, snapshots, plans.
struct Story {
    sandbox: Sandbox,
    plan: String,
    operation: String,
}

const TABLES: &str = "
create table events (id integer primary key, title text, starts_at text);
create table subscription_variants (id integer primary key, active boolean not null,
    cancelled_at text, updated_at text not null);
create table invoices (id integer primary key, total numeric);
create table invoice_lines (id integer primary key,
    invoice_id integer not null references invoices (id));
with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
insert into events select i, 'title ' || i, datetime('2024-01-01', '+' || i || ' days') from n;
with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
insert into subscription_variants select i, i % 2,
    case when i % 2 then null else '2026-01-02 10:00:00' end,
    '2026-01-0' || (1 + i % 9) || ' 10:00:00' from n;
insert into invoices values (1, 5), (2, 6);
insert into invoice_lines values (1, 1), (2, 2)";

const DAMAGE: &str = "
delete from events where id % 10 = 3;
update subscription_variants set cancelled_at = '2026-03-10 11:00:00',
    updated_at = '2026-03-10 11:00:00' where active = 0;
delete from invoice_lines;
delete from invoices where id = 2";

impl Story {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let mut story = Self { sandbox, plan: String::new(), operation: String::new() };
        let sandbox = &story.sandbox;
        for folder in ["bin", "backups", "srv/app", "srv/databases", "home/.local/share"] {
            std::fs::create_dir_all(sandbox.path(folder)).unwrap();
        }
        let completions = sandbox.path("home/.local/share/bash-completion/completions");
        std::fs::create_dir_all(completions).unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, sandbox.path("bin").join(name)).unwrap();
        };
        link(env!("CARGO_BIN_EXE_restorekit"), "restorekit");
        // A pager would wait for a key.
        link("/bin/cat", "less");
        sandbox.sqlite("prod.db", TABLES);
        sandbox.sqlite("srv/databases/other.db", TABLES);
        for out in ["snap", "backups", "backups", "backups/prod"] {
            sandbox.run(&format!("snapshot --live prod.db --out {out}")).exits(0);
        }
        sandbox.sqlite("prod.db", DAMAGE);
        let statement = "select count(*) from live.events;\nselect 1;\n";
        std::fs::write(sandbox.path("report.sql"), statement).unwrap();
        for copy in ["copy.db", "srv/app/prod.db"] {
            std::fs::copy(sandbox.path("prod.db"), sandbox.path(copy)).unwrap();
        }
        // An operation on a table that no example names, a plan, and one in a file.
        let sides = "--live prod.db --backup snap/";
        let done = sandbox
            .run(&format!("restore {sides} --table invoices --where id=2 --yes --format json"));
        let operation = done.exits(0).json()["operation"].as_str().unwrap().to_owned();
        sandbox.run(&format!("diff {sides}")).exits(1);
        let planned = sandbox.run("restore --table events -n --batch-size 1 --format json");
        let plan = planned.exits(0).json()["plan"].as_str().unwrap().to_owned();
        sandbox.run("restore --table events -n --output fix.rkplan").exits(0);
        (story.plan, story.operation) = (plan, operation);
        story
    }

    /// A line as it can be typed here: in this folder, with the plan and the operation that
    /// there are.
    fn here(&self, line: &str) -> String {
        let root = self.sandbox.path("").display().to_string();
        let root = root.trim_end_matches('/');
        line.replace("/backups", &format!("{root}/backups"))
            .replace("/srv/", &format!("{root}/srv/"))
            .replace("cargo run --release -- ", "restorekit ")
            .replace("7f3a2c", &self.plan)
            .replace("01J9ZK3M", &self.operation)
    }

    /// Types a line on a terminal, and answers what is asked.
    fn typed(&self, line: &str) -> Run {
        let line = self.here(line);
        let path = format!("{}:/usr/bin:/bin", self.sandbox.path("bin").display());
        let answer = if line.contains("restorekit snapshots") { "y\r" } else { "prod.db\r" };
        self.sandbox.typed(&path, &line, &[("", answer)])
    }

    /// Types a line that has to do what it says: some difference for what looks for one.
    #[track_caller]
    fn works(&self, line: &str) {
        let run = self.typed(line);
        let looks = ["diff ", "gaps "].iter().any(|c| line.contains(&format!("restorekit {c}")));
        assert!(
            if looks { run.code == 1 || run.code == 0 } else { run.code == 0 },
            "{line}\nended with {}:\n{}{}",
            run.code,
            run.stdout,
            run.stderr
        );
    }

    /// Stops the plan part way, by killing the program.
    fn stop(&self) {
        let left = || {
            let sql = "select count(*) from events where id % 10 = 3";
            self.sandbox.sqlite("prod.db", sql).trim().parse::<u32>().unwrap()
        };
        let mut child =
            self.sandbox.command(["apply", &self.plan, "--yes", "--quiet"]).spawn().unwrap();
        while left() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(left() < 30, "all was written before the kill");
    }
}

/// The commands of a page's ```sh blocks, continued lines joined.
fn commands(page: &str) -> Vec<String> {
    let mut all = Vec::new();
    for block in page.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", " ");
        all.extend(block.lines().filter(|l| !l.trim().is_empty()).map(str::to_owned));
    }
    all
}

#[test]
fn the_readmes_commands_do_what_they_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).unwrap();
    let story = Story::new();
    std::fs::remove_file(story.sandbox.path("fix.rkplan")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() >= 15, "{commands:?}");
    let mut seen = BTreeSet::new();
    for line in commands {
        if line == "tests/run.sh" {
            // That is what runs this.
            assert!(root.join(&line).is_file());
            continue;
        }
        let here = story.here(&line);
        let mut words = here.split_whitespace();
        assert_eq!(words.next(), Some("restorekit"), "{line}");
        seen.insert(words.next().unwrap().to_owned());
        story.works(&line);
    }
    for command in ["demo", "diff", "restore", "patch", "gaps", "sql", "snapshot", "apply"] {
        assert!(seen.contains(command), "the README shows no {command}: {seen:?}");
    }
    let count = |database: &str| {
        story.sandbox.sqlite(database, "select count(*) from events").trim().to_owned()
    };
    assert_eq!([count("prod.db"), count("srv/app/prod.db")], ["300", "300"]);
    assert_eq!(count("copy.db"), "270", "a dry run wrote");
}

#[test]
fn every_example_of_the_help_works() {
    let help = Sandbox::new().run("--help").exits(0).stdout;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut names: Vec<&str> =
        list.lines().filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).collect();
    names.retain(|name| !name.is_empty());
    assert!(names.len() >= 17, "{names:?}");
    for name in std::iter::once("").chain(names) {
        let words = [name, "--help"].into_iter().filter(|w| !w.is_empty());
        let text = help_page(words);
        let examples = text.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{name}: {text}"));
        let lines = examples_of(examples);
        assert!(!lines.is_empty(), "{name} has no example");
        let story = Story::new();
        for line in &lines {
            if line.contains("--resume") {
                let story = Story::new();
                story.stop();
                story.works(line);
                continue;
            }
            story.works(line);
            if line.starts_with("restorekit init") {
                // It overwrites none.
                let _ = std::fs::remove_file(story.sandbox.path("restorekit.toml"));
            }
        }
    }
}

/// The lines of a page's examples, without what is said of them after some room. A quote
/// that a line leaves open goes on in the next.
fn examples_of(page: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in page.lines().take_while(|l| !l.is_empty()) {
        let line = line.trim_start().split("   ").next().unwrap_or_default();
        match lines.last_mut().filter(|last| last.matches('"').count() % 2 == 1) {
            Some(last) => *last = format!("{last} {line}"),
            None => lines.push(line.to_owned()),
        }
    }
    lines
}

/// A help page, its lines unbroken.
fn help_page<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let sandbox = Sandbox::new();
    Run::of(sandbox.command(words).env("COLUMNS", "200").output().unwrap()).exits(0).stdout
}
