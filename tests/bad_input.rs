//! What bad input gets: an exit code, an error that names the side, the file or row and a
//! command to type, and a database that is what it was.
//!
//! Every failing call while a plan is written or applied is covered beside the code, in
//! `apply`'s tests; a full disk here is one case through the whole program.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Run, Sandbox, files};

/// A table of 500 rows, of which the backup has all and live lacks every tenth.
struct Case {
    sandbox: Sandbox,
}

impl Case {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.sqlite(
            "prod.db",
            "create table events (id integer primary key, title text, starts_at text);
             with recursive n (i) as (select 1 union all select i + 1 from n where i < 500)
             insert into events select i, 'title ' || i, '2024-03-14 10:00:00' from n;",
        );
        sandbox.run("snapshot --live prod.db --out snaps").exits(0);
        sandbox.sqlite("prod.db", "delete from events where id % 10 = 0");
        Self { sandbox }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The Parquet file of the snapshot.
    fn parquet(&self) -> PathBuf {
        let files = files(&self.path("snaps"));
        files
            .into_keys()
            .find(|p| p.is_file() && p.extension().is_some_and(|e| e == "parquet"))
            .unwrap()
    }

    /// Runs what must fail: with this code, these words and a command to type on stderr,
    /// nothing on stdout that claims a result, and no byte of either side moved.
    #[track_caller]
    fn fails(&self, arguments: &str, code: i32, words: &[&str]) -> Run {
        let before = self.sides();
        let run = self.sandbox.run(arguments).exits(code);
        for word in words {
            assert!(run.stderr.contains(word), "{arguments}: no {word:?} in\n{}", run.stderr);
        }
        let help = run.stderr.lines().filter(|l| l.trim_start().starts_with("help: "));
        assert!(
            help.into_iter().any(|l| l.contains("restorekit ")),
            "no command in\n{}",
            run.stderr
        );
        assert!(!run.stdout.contains("RECEIPT"), "{arguments}:\n{}", run.stdout);
        assert!(self.sides() == before, "{arguments} changed a file");
        run
    }

    /// Every file outside of the program's own folders.
    fn sides(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let own = ["state", "home", "config"].map(|name| self.path(name));
        let mut all = files(&self.path(""));
        all.retain(|path, _| !own.iter().any(|own| path.starts_with(own)));
        all
    }

    /// A plan for the 50 missing rows: its file.
    fn plan(&self) -> String {
        let run = self.sandbox.run("restore --live prod.db --backup snaps@latest -n --format json");
        let plan = run.exits(0).json();
        assert_eq!(plan["tables"][0]["insert"], 50, "{plan}");
        plan["file"].as_str().unwrap().to_owned()
    }
}

/// Says past the test harness that something could not be tried here.
fn skipped(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

const RESTORE: &str = "restore --table events --yes";

#[test]
fn s6_a_path_that_does_not_exist_is_named_and_never_created() {
    let case = Case::new();
    for command in ["diff", "gaps --table events", RESTORE, "patch --column title --yes"] {
        let to = format!("{command} --live nope.db --backup snaps@latest");
        case.fails(&to, 2, &["live", "nope.db", "does not exist"]);
        for backup in ["nope.db", "nope/", "nope@latest"] {
            let from = format!("{command} --live prod.db --backup {backup}");
            case.fails(&from, 2, &["backup", "nope", "does not exist"]);
        }
    }
    case.fails("snapshot --live nope.db --out out", 2, &["live", "nope.db"]);
    case.fails("inspect nope", 2, &["nope", "does not exist"]);
    case.fails("apply nope", 2, &["nope"]);
    for name in ["nope.db", "nope", "out"] {
        assert!(!case.path(name).exists(), "{name} was created");
    }
}

#[test]
fn an_empty_file_is_no_side() {
    let case = Case::new();
    for name in ["empty.db", "folder/events.parquet", "empty.csv"] {
        case.write(name, "");
        for command in ["diff --table events", RESTORE] {
            let from = format!("{command} --live prod.db --backup {name}");
            case.fails(&from, 7, &["backup", name, "empty"]);
        }
    }
    for command in ["diff --table events", RESTORE] {
        let to = format!("{command} --live empty.db --backup snaps@latest");
        case.fails(&to, 2, &["live", "empty.db", "empty file"]);
    }
    assert_eq!(std::fs::metadata(case.path("empty.db")).unwrap().len(), 0);
}

#[test]
fn a_text_file_named_db_is_no_database() {
    let case = Case::new();
    case.write("text.db", "version https://git-lfs.github.com/spec/v1\n");
    for command in ["diff", RESTORE] {
        let to = format!("{command} --live text.db --backup snaps@latest");
        case.fails(&to, 2, &["live", "text.db", "not a SQLite database"]);
        let from = format!("{command} --live prod.db --backup text.db");
        case.fails(&from, 7, &["backup", "text.db", "begins with the text"]);
    }
    case.fails("snapshot --live text.db --out out", 2, &["live", "text.db"]);
    assert!(!case.path("out").exists());
}

#[test]
fn w8_a_truncated_gzip_is_damaged_at_every_cut() {
    let case = Case::new();
    let csv = case.sandbox.sqlite(
        "prod.db",
        "select 'id,title,starts_at' union all select printf('%d,%s,%s', id, title, starts_at) from events",
    );
    case.write("whole/events.csv", csv);
    let packed =
        Command::new("gzip").arg("-c").arg(case.path("whole/events.csv")).output().unwrap();
    assert!(packed.status.success());
    let whole = packed.stdout;
    // In the header, early, late, within the check sum, and one byte short.
    for cut in [5, 100, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        case.write("cut/events.csv.gz", &whole[..cut]);
        for command in ["diff", RESTORE] {
            let from = format!("{command} --live prod.db --backup cut");
            case.fails(&from, 7, &["backup", "events.csv.gz"]);
        }
    }
}

#[test]
fn w9_a_flipped_byte_of_parquet_is_damaged() {
    let case = Case::new();
    let file = case.parquet();
    let bytes = std::fs::read(&file).unwrap();
    for at in [bytes.len() / 4, bytes.len() / 3, bytes.len() - 20] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        for command in ["diff", RESTORE] {
            let from = format!("{command} --live prod.db --backup snaps@latest");
            case.fails(&from, 7, &["backup", "events.parquet", "manifest", "digest"]);
        }
        let verify = case.sandbox.run("verify snaps").exits(7);
        assert!(verify.stdout.contains("events.parquet"), "{}", verify.stdout);
        case.write("loose/events.parquet", &flipped);
        // The footer of a file without a manifest has no check sum: some of its bytes say
        // nothing about rows.
        let diff = case.sandbox.run("diff --live prod.db --backup loose --format json");
        if at == bytes.len() - 20 && diff.code == 1 {
            let table = &diff.json()["tables"][0];
            assert_eq!((&table["missing"], &table["same"]), (&50.into(), &450.into()), "{table}");
            continue;
        }
        for command in ["diff", RESTORE] {
            let from = format!("{command} --live prod.db --backup loose");
            case.fails(&from, 7, &["backup", "events.parquet"]);
        }
    }
}

/// Bytes of a page, where a flip makes the decoder panic: it is told as damage, once, and not as
/// a fault of the program.
#[test]
fn w7_a_decoder_that_panics_is_damage_and_says_nothing_itself() {
    let case = Case::new();
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pandas");
        std::fs::read(folder.join(name)).unwrap()
    };
    case.write("people.db", fixture("live.sqlite"));
    let whole = fixture("loose/indexed.parquet");
    let mut panics = 0;
    for at in [346, 755, 757, 3854, 3856] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        case.write("loose/people.parquet", &flipped);
        let run = case.fails(
            "diff --live people.db --backup loose",
            7,
            &["backup", "people.parquet", "damaged"],
        );
        panics += usize::from(run.stderr.contains("its decoder stopped"));
        for noise in ["panicked", "RUST_BACKTRACE", "fault"] {
            assert!(!run.stderr.contains(noise), "byte {at}: {}", run.stderr);
        }
    }
    assert!(panics > 0, "none of these panics any more: look for bytes that do");
}

#[test]
fn a_snapshot_whose_manifest_lies_is_damaged() {
    let case = Case::new();
    let held = files(&case.path("snaps"));
    let manifest = held.keys().find(|p| p.ends_with("restorekit.json")).unwrap();
    let text = String::from_utf8(held[manifest].clone()).unwrap();
    let at = text.find("\"sha256\"").unwrap() + 12;
    let digit = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    let lie = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
    std::fs::write(manifest, lie).unwrap();
    for command in ["diff", RESTORE] {
        let from = format!("{command} --live prod.db --backup snaps@latest");
        case.fails(&from, 7, &["backup", "events.parquet", "digest"]);
    }
    std::fs::write(manifest, &text[..text.len() / 2]).unwrap();
    for command in ["diff", RESTORE] {
        let from = format!("{command} --live prod.db --backup snaps@latest");
        case.fails(&from, 7, &["restorekit.json"]);
    }
}

#[test]
fn a_table_of_one_side_is_named_and_counted_as_not_compared() {
    let case = Case::new();
    case.sandbox.sqlite("prod.db", "create table only_live (id integer primary key)");
    case.sandbox.sqlite("old.db", "create table events (id integer primary key, title text); create table only_backup (id integer primary key)");
    for command in ["diff", "gaps", "restore --yes", "patch --column id --yes"] {
        let from = format!("{command} --live prod.db --backup old.db --table");
        case.fails(&format!("{from} only_live"), 2, &["backup", "only_live"]);
        case.fails(&format!("{from} only_backup"), 2, &["live", "only_backup"]);
        case.fails(&format!("{from} nowhere"), 2, &["nowhere"]);
    }
    let all = case.sandbox.run("diff --live prod.db --backup old.db --format json").exits(1).json();
    assert_eq!(all["only_live"], serde_json::json!(["only_live"]), "{all}");
    assert_eq!(all["only_backup"], serde_json::json!(["only_backup"]), "{all}");
}

#[test]
fn c12_a_column_of_one_side_is_named_and_not_compared() {
    let case = Case::new();
    case.sandbox.sqlite("prod.db", "alter table events add column added text default 'd'");
    case.sandbox.sqlite("old.db", "create table events (id integer primary key, title text, gone text); insert into events values (10, 'title 10', 'x')");
    let diff = case.sandbox.run("diff --live prod.db --backup snaps@latest --format json").exits(1);
    let diff = diff.json();
    assert!(diff["tables"][0]["not_compared"].to_string().contains("added"), "{diff}");
    let sides = "--live prod.db --table events --yes";
    case.fails(
        &format!("patch {sides} --backup snaps@latest --column added"),
        2,
        &["backup", "added"],
    );
    case.fails(&format!("patch {sides} --backup old.db --column gone"), 2, &["live", "gone"]);
    case.fails(
        &format!("patch {sides} --backup old.db --column title --from nowhere"),
        2,
        &["backup", "nowhere"],
    );
    let plan =
        case.sandbox.run("restore --live prod.db --backup old.db --table events -n").exits(0);
    for column in ["gone", "added"] {
        assert!(plan.stdout.contains(column), "{column} is narrowed in silence:\n{}", plan.stdout);
    }
}

#[test]
fn k7_k2_keys_twice_or_null_in_the_backup_are_counted_and_never_written() {
    let case = Case::new();
    case.sandbox.sqlite(
        "old.db",
        "create table events (id integer, title text, starts_at text);
         insert into events values (10, 'a', null), (10, 'b', null), (null, 'c', null), (20, 'd', null);",
    );
    let diff =
        case.sandbox.run("diff --live prod.db --backup old.db --format json").exits(1).json();
    let table = &diff["tables"][0];
    assert_eq!(
        [&table["missing"], &table["ambiguous"], &table["unkeyable"]].map(|n| n.as_u64()),
        [Some(1), Some(1), Some(1)],
        "{diff}"
    );
    let sides = "--live prod.db --backup old.db --table events";
    let plan = case.sandbox.run(&format!("restore {sides} --dry-run")).exits(0);
    for words in ["1 skipped: the key is not unique", "1 skipped: the key is NULL"] {
        assert!(plan.stdout.contains(words), "{}", plan.stdout);
    }
    let before = case.sandbox.sqlite("prod.db", "select * from events");
    case.sandbox.run(&format!("restore {sides} --yes")).exits(0);
    let written = case.sandbox.sqlite("prod.db", "select * from events where id = 20");
    assert_eq!(written, "20|d|\n");
    case.sandbox.sqlite("prod.db", "delete from events where id = 20");
    assert_eq!(case.sandbox.sqlite("prod.db", "select * from events"), before);
}

#[test]
fn g10_live_on_a_read_only_folder_is_read_and_not_written() {
    let case = Case::new();
    std::fs::create_dir(case.path("ro")).unwrap();
    std::fs::rename(case.path("prod.db"), case.path("ro/prod.db")).unwrap();
    let folder = case.path("ro");
    let run = |program: &str, arguments: &[&str]| {
        let status =
            Command::new(program).args(arguments).arg(&folder).stderr(Stdio::null()).status();
        status.is_ok_and(|s| s.success())
    };
    let mounted = run("mount", &["--bind", folder.to_str().unwrap()]);
    let sealed = if mounted {
        run("mount", &["-o", "remount,ro,bind"])
    } else {
        run("chmod", &["-R", "a-w"])
    };
    let really = sealed && std::fs::write(folder.join("probe"), "").is_err();
    let tried = really.then(|| {
        let seen = case.sandbox.run("diff --live ro/prod.db --backup snaps@latest");
        let before = case.sides();
        let refused =
            case.sandbox.run(&format!("{RESTORE} --live ro/prod.db --backup snaps@latest"));
        (seen, refused, case.sides() == before)
    });
    if mounted {
        assert!(run("umount", &[]), "the test's mount is left at {}", folder.display());
    } else {
        run("chmod", &["-R", "u+w"]);
    }
    let Some((seen, refused, same)) = tried else {
        return skipped("no read-only folder can be made here");
    };
    seen.exits(1);
    let refused =
        refused.exits(5).complains("live").complains("read-only").complains("restorekit ");
    assert!(!refused.stdout.contains("RECEIPT"));
    assert!(same, "something was written");
}

#[test]
fn live_locked_by_another_writer_is_said_after_a_short_wait() {
    let case = Case::new();
    let mut writer = Command::new("sqlite3")
        .arg(case.path("prod.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    stdin.write_all(b"begin immediate;\nselect 'locked';\n").unwrap();
    stdin.flush().unwrap();
    let mut first = [0u8; 7];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(&first, b"locked\n");

    // Looking is not in a writer's way, nor it in ours.
    case.sandbox.run("diff --live prod.db --backup snaps@latest").exits(1);
    let restore = format!("{RESTORE} --live prod.db --backup snaps@latest");
    let failed = case.fails(&restore, 2, &["live", "prod.db", "locked", "restorekit apply "]);

    drop(stdin);
    assert!(writer.wait().unwrap().success());
    // The command that the error names does it.
    let command = failed.stderr.split("restorekit apply ").nth(1).unwrap();
    let plan = command.split_whitespace().next().unwrap();
    case.sandbox.run(&format!("apply {plan} --yes")).exits(0);
    case.sandbox.run("diff --live prod.db --backup snaps@latest").exits(0);
}

#[test]
fn x3_a_plan_applied_twice_writes_nothing() {
    let case = Case::new();
    let plan = case.plan();
    case.sandbox.run(&format!("apply {plan} --yes")).exits(0);
    let done = case.sides();
    for again in ["", " --resume"] {
        let run = case.sandbox.run(&format!("apply {plan} --yes --format json{again}")).exits(0);
        let receipt = run.json();
        let table = &receipt["tables"][0];
        assert_eq!(
            (table["written"].as_u64(), table["conflicts"].as_u64()),
            (Some(0), Some(0)),
            "{receipt}"
        );
        assert!(case.sides() == done, "the second time changed a file");
    }
    // What was deleted since the operation is not a reason to write again.
    case.sandbox.sqlite("prod.db", "delete from events where id = 10");
    let run = case.sandbox.run(&format!("apply {plan} --yes --format json")).exits(3);
    let table = &run.json()["tables"][0];
    assert_eq!((&table["written"], &table["conflicts"]), (&0.into(), &1.into()), "{table}");
    assert_eq!(case.sandbox.sqlite("prod.db", "select count(*) from events where id = 10"), "0\n");
}

#[test]
fn w1_a_plan_for_another_database_is_refused() {
    let case = Case::new();
    let plan = case.plan();
    std::fs::copy(case.path("prod.db"), case.path("other.db")).unwrap();
    case.fails(&format!("apply {plan} --live other.db --yes"), 5, &["another database", "prod.db"]);
    case.fails(
        &format!("apply {plan} --yes --expect-target other.db"),
        5,
        &["prod.db", "other.db"],
    );
    case.fails(&format!("{RESTORE} --live prod.db --backup prod.db"), 5, &["same database"]);
    // Put in the place of the planned one it still is another.
    std::fs::rename(case.path("other.db"), case.path("prod.db")).unwrap();
    case.fails(&format!("apply {plan} --yes"), 5, &["another database"]);
}

#[test]
fn an_expired_plan_is_refused() {
    let case = Case::new();
    let plan = case.plan();
    // The program two days later, when no one may remember what the plan was for.
    let before = case.sides();
    let in_two_days = (chrono::Utc::now() + chrono::Duration::days(2)).format("%F %T").to_string();
    let run = case.sandbox.at(&in_two_days, ["apply", &plan, "--yes"]).exits(5);
    let run = run.complains("expired at").complains("restorekit ");
    assert!(!run.stdout.contains("RECEIPT") && case.sides() == before, "{run:?}");
    case.sandbox.run(&format!("apply {plan} --yes")).exits(0);
}

#[test]
fn without_a_terminal_nothing_is_written_unasked() {
    let case = Case::new();
    let plan = case.plan();
    case.fails("restore --live prod.db --backup snaps@latest", 2, &["confirmation", "--yes"]);
    case.fails(&format!("apply {plan}"), 2, &["confirmation", "--yes"]);
    // The remembered diff names no side for a command that does not ask.
    case.sandbox.run("diff --live prod.db --backup snaps@latest").exits(1);
    case.fails(RESTORE, 2, &["live"]);
}

#[test]
fn rows_that_moved_since_the_plan_are_conflicts_and_the_others_go_on() {
    let case = Case::new();
    let plan = case.plan();
    case.sandbox.sqlite("prod.db", "insert into events values (10, 'of the application', null), (20, 'title 20', '2024-03-14 10:00:00')");
    let run = case.sandbox.run(&format!("apply {plan} --yes --format json")).exits(3);
    let receipt = run.json();
    let table = &receipt["tables"][0];
    let counts = ["planned", "written", "already", "conflicts"].map(|n| table[n].as_u64().unwrap());
    assert_eq!(counts, [50, 48, 1, 1], "{receipt}");
    let kept = case.sandbox.sqlite("prod.db", "select title from events where id = 10");
    assert_eq!(kept, "of the application\n");
    assert_eq!(case.sandbox.sqlite("prod.db", "select count(*) from events"), "500\n");
    let shown = case.sandbox.run(&format!("show {plan}")).exits(0);
    assert!(shown.stdout.contains("10"), "the row is not listed:\n{}", shown.stdout);
    let id = receipt["operation"].as_str().unwrap();
    case.sandbox.run(&format!("undo {id} --yes")).exits(0);
    assert_eq!(
        case.sandbox.sqlite("prod.db", "select id from events where id % 10 = 0"),
        "10\n20\n"
    );
}

#[test]
fn g5_a_full_disk_leaves_live_as_it_was() {
    let case = Case::new();
    std::fs::create_dir(case.path("full")).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=96k", "none"])
        .arg(case.path("full"))
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|s| s.success()) {
        return skipped("no small file system can be mounted here");
    }
    let tried = std::panic::catch_unwind(|| {
        let outcome = |what: &str, run: Run| (what.to_owned(), run);
        // While the plan is written: the state folder is on the full disk.
        let mut planning = case
            .sandbox
            .command(format!("{RESTORE} --live prod.db --backup snaps@latest").split(' '));
        std::fs::write(case.path("full/ballast"), vec![1u8; 88 << 10]).unwrap();
        let before = case.sides();
        let output = planning.env("XDG_STATE_HOME", case.path("full")).output().unwrap();
        let planning = outcome("plan", Run::of(output));
        let mut after = case.sides();
        after.retain(|path, _| !path.starts_with(case.path("full/restorekit")));
        let same = after == before;
        // While it is applied: live is on the full disk.
        std::fs::remove_file(case.path("full/ballast")).unwrap();
        std::fs::remove_dir_all(case.path("full/restorekit")).ok();
        std::fs::copy(case.path("prod.db"), case.path("full/prod.db")).unwrap();
        let free =
            (96 << 10) - std::fs::metadata(case.path("full/prod.db")).unwrap().len() as usize;
        std::fs::write(case.path("full/ballast"), vec![1u8; free & !4095]).unwrap();
        let dump = case.sandbox.dump("full/prod.db");
        let run = case.sandbox.run(&format!("{RESTORE} --live full/prod.db --backup snaps@latest"));
        let applying = outcome("apply", run);
        let kept = case.sandbox.dump("full/prod.db") == dump;
        (planning, same, applying, kept)
    });
    let gone = Command::new("umount").arg(case.path("full")).status();
    assert!(gone.is_ok_and(|s| s.success()));
    let (planning, same, applying, kept) = tried.unwrap();
    for (what, run) in [planning, applying] {
        assert_eq!(run.code, 2, "{what}: {run:?}");
        assert!(run.stderr.contains("full"), "{what}: {run:?}");
        assert!(run.stderr.contains("restorekit "), "{what}: {run:?}");
        assert!(!run.stdout.contains("RECEIPT"), "{what}: {run:?}");
    }
    assert!(same && kept, "live changed: {same} {kept}");
}

#[test]
fn s4_a_plan_whose_link_to_live_leads_elsewhere_by_now_is_not_applied() {
    let case = Case::new();
    std::fs::rename(case.path("prod.db"), case.path("v1.db")).unwrap();
    std::fs::copy(case.path("v1.db"), case.path("v2.db")).unwrap();
    let link = |to: &str| {
        std::fs::remove_file(case.path("current.db")).ok();
        std::os::unix::fs::symlink(to, case.path("current.db")).unwrap();
    };
    let restore = "restore --live current.db --backup snaps@latest --table events";
    link("v1.db");
    let plan = case.sandbox.run(&format!("{restore} --dry-run --format json")).exits(0).json();
    let id = plan["plan"].as_str().unwrap().to_owned();
    link("v2.db");
    case.fails(&format!("apply {id} --yes"), 5, &["current.db led to", "v1.db when", "v2.db now"]);
    // Either one is written once it is named, the planned one without more.
    let v1 = case.path("v1.db").canonicalize().unwrap();
    case.sandbox.run(&format!("apply {id} --yes --live {}", v1.display())).exits(0);
    assert_eq!(case.sandbox.sqlite("v1.db", "select count(*) from events"), "500\n");
    case.fails("undo --yes", 5, &["current.db led to", "v2.db now"]);
    assert_eq!(case.sandbox.sqlite("v2.db", "select count(*) from events"), "450\n");
    link("v1.db");
    case.sandbox.run("undo --yes").exits(0);
    assert_eq!(case.sandbox.sqlite("v1.db", "select count(*) from events"), "450\n");
}
