//! kill -9 of the program while it applies and takes back plans, the application writing
//! meanwhile. After every kill: no batch is torn, nothing that the application was told is
//! lost, and the same command typed again goes on to the right end.
//!
//! `RESTOREKIT_KILLS` asks for more kills than the suite makes, `RESTOREKIT_SEED` repeats a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Random, Run, Sandbox, number, seed};

/// Rows of a batch, and batches of a plan.
const BATCH: i64 = 5;
const BATCHES: i64 = 40;
const ROWS: i64 = BATCH * BATCHES;

#[test]
fn x3_kill_9_anywhere_and_the_same_command_goes_on() {
    let wanted = number("RESTOREKIT_KILLS").unwrap_or(200);
    let seed = seed();
    let mut random = Random(seed);
    let (mut kills, mut midway, mut round) = (0, 0, 0);
    while kills < wanted {
        let about = format!("RESTOREKIT_SEED={seed} round {round}");
        let mut case = Case::new(round, about);
        case.there_and_back(&mut random);
        kills += case.kills;
        midway += case.midway;
        round += 1;
    }
    // Kills that found nothing written yet, or all of it, prove little.
    assert!(midway * 8 > kills, "only {midway} of {kills} kills fell between two batches");
}

/// What the plans of a round do: missing rows come back, or a column does.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Restore,
    Patch,
}

/// One database, killed at again and again.
struct Case {
    sandbox: Sandbox,
    kind: Kind,
    atomic: bool,
    /// What the application put into planned rows.
    mine: BTreeMap<i64, String>,
    /// How often it was told that its own insert is done.
    said: i64,
    kills: u64,
    midway: u64,
    about: String,
}

impl Case {
    fn new(round: u64, about: String) -> Self {
        let kind = if round.is_multiple_of(2) { Kind::Patch } else { Kind::Restore };
        let journal = if (round / 2).is_multiple_of(2) { "wal" } else { "delete" };
        let sandbox = Sandbox::in_memory();
        sandbox.numbered(ROWS as u64);
        let damage = match kind {
            Kind::Patch => "update t set v = 'stale'",
            Kind::Restore => "delete from t",
        };
        sandbox.sqlite(
            "live.db",
            &format!(
                "pragma journal_mode = {journal}; create table app (x integer primary key); {damage};"
            ),
        );
        Self {
            sandbox,
            kind,
            atomic: round % 5 == 4,
            mine: BTreeMap::new(),
            said: 0,
            kills: 0,
            midway: 0,
            about,
        }
    }

    /// Applies a plan and takes it back, each by one command that is typed until it ends.
    fn there_and_back(&mut self, random: &mut Random) {
        let command = match self.kind {
            Kind::Patch => "patch --column v",
            Kind::Restore => "restore",
        };
        let atomic = if self.atomic { " --atomic" } else { "" };
        let planned = self.sandbox.run(&format!(
            "{command} --live live.db --backup old.db --table t --batch-size {BATCH}{atomic} \
             --dry-run --format json"
        ));
        let planned = planned.exits(0).json();
        let plan = planned["plan"].as_str().unwrap();

        let applied =
            self.until_done(&format!("apply {plan} --resume --yes --format json"), random);
        self.is_done(Some("back"));
        let operation = applied.json()["operation"].as_str().unwrap().to_owned();
        let again = self.sandbox.run(&format!("apply {plan} --yes --format json")).json();
        assert_eq!(again["tables"][0]["written"], 0, "{again} {}", self.about);

        self.until_done(&format!("undo {operation} --yes --format json"), random);
        self.is_done((self.kind == Kind::Patch).then_some("stale"));
    }

    /// Starts a command until it ends by itself.
    fn until_done(&mut self, command: &str, random: &mut Random) -> Run {
        let mut window = 40_000;
        loop {
            let mut child = self.start(command);
            wait_until_open(&mut child, &self.sandbox.path("live.db"));
            // Short waits are likelier: most of what can be torn happens early in a resume.
            let wait = random.below(window).min(random.below(3 * window));
            sleep(Duration::from_micros(wait / 2));
            self.write(random);
            sleep(Duration::from_micros(wait / 2));
            let ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            let run = Run::of(child.wait_with_output().unwrap());
            self.check();
            if ended {
                assert!([0, 3].contains(&run.code), "{run:?} {}", self.about);
                return run;
            }
            self.kills += 1;
            // One transaction may take longer than this machine was given time for.
            window += window / 8;
        }
    }

    fn start(&self, command: &str) -> Child {
        let mut command = self.sandbox.command(command.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The application inserts a row of its own, and now and then writes one that is planned.
    fn write(&mut self, random: &mut Random) {
        self.said += 1;
        let mut sql = format!(".timeout 5000\ninsert into app values ({});\n", self.said);
        if !self.atomic && random.below(3) == 0 {
            let id = 1 + random.below(ROWS as u64) as i64;
            let words = format!("mine {}", self.said);
            sql += &format!("insert or replace into t values ({id}, '{words}');\n");
            self.mine.insert(id, words);
        }
        self.sandbox.sqlite_script("live.db", &sql);
    }

    /// What the application was told, with the state of the file; and the planned table.
    fn look(&self) -> (String, BTreeMap<i64, String>) {
        let text = self.sandbox.sqlite(
            "live.db",
            "select count(*) || ' ' || coalesce(max(x), 0) from app; pragma integrity_check;
             select id, v from t",
        );
        let (head, rows) = text.split_at(text.match_indices('\n').nth(1).unwrap().0 + 1);
        let rows = rows.lines().map(|line| line.split_once('|').unwrap());
        (head.to_owned(), rows.map(|(id, v)| (id.parse().unwrap(), v.to_owned())).collect())
    }

    /// No batch is torn, and what the application was told stands.
    fn check(&mut self) {
        let about = &self.about;
        let (told, rows) = self.look();
        assert_eq!(told, format!("{0} {0}\nok\n", self.said), "{about}");
        for (id, words) in &self.mine {
            assert_eq!(rows.get(id), Some(words), "row {id} of the application, {about}");
        }
        let mut whole = 0;
        for batch in 0..BATCHES {
            let ids = batch * BATCH + 1..=(batch + 1) * BATCH;
            let ours: Vec<bool> = ids
                .filter(|id| !self.mine.contains_key(id))
                .map(|id| rows.get(&id).is_some_and(|v| v == "back"))
                .collect();
            let written = ours.iter().filter(|back| **back).count();
            assert!(
                written == 0 || written == ours.len(),
                "batch {batch} is torn: {rows:?} {about}"
            );
            whole += u64::from(written > 0);
        }
        let some = whole > 0 && whole < BATCHES as u64;
        assert!(!(self.atomic && some), "a torn transaction: {whole} batches, {about}");
        self.midway += u64::from(some);
    }

    /// All planned rows hold this, or are gone; the application's are as it left them.
    fn is_done(&self, value: Option<&str>) {
        let mut right = self.mine.clone();
        if let Some(value) = value {
            for id in 1..=ROWS {
                right.entry(id).or_insert_with(|| value.to_owned());
            }
        }
        assert_eq!(self.look().1, right, "{}", self.about);
    }
}

/// Waits until a process has a file open, or is no more.
fn wait_until_open(child: &mut Child, file: &Path) {
    let open = format!("/proc/{}/fd", child.id());
    let file = file.canonicalize().unwrap();
    while child.try_wait().unwrap().is_none() {
        let Ok(folder) = std::fs::read_dir(&open) else { return };
        let mut files = folder.flatten().filter_map(|entry| entry.path().read_link().ok());
        if files.any(|path| path == file) {
            return;
        }
        std::thread::yield_now();
    }
}
