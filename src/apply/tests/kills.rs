//! kill -9 at random moments, the application writing meanwhile.
//!
//! The test starts itself again as a child that applies the plan. `RESTOREKIT_KILLS` asks
//! for more kills, `RESTOREKIT_SEED` repeats a run.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::harness::{Lab, Random, Step, dump, int, number, raw, run, strings, text};
use crate::apply::apply;
use crate::plan::file::PlanFile;
use crate::progress::Silent;
use crate::target::Target as _;

const NAME: &str = "apply::tests::kills::x3_kill_9_anywhere_and_resume";
const FOLDER: &str = "RESTOREKIT_TEST_KILL_FOLDER";
const PLAN: &str = "RESTOREKIT_TEST_KILL_PLAN";
const READY: &str = "the child begins";
const BATCH: i64 = 5;
const BATCHES: i64 = 24;

#[tokio::test]
async fn x3_kill_9_anywhere_and_resume() {
    if let (Ok(folder), Ok(plan)) = (std::env::var(FOLDER), std::env::var(PLAN)) {
        return child(folder.into(), plan).await;
    }
    let wanted = number("RESTOREKIT_KILLS").unwrap_or(200);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("RESTOREKIT_SEED").unwrap_or(now.as_micros() as u64);
    let mut random = Random(seed);
    let mut kills = 0;
    let mut round = 0;
    while kills < wanted {
        let about = format!("RESTOREKIT_SEED={seed} round {round}");
        kills += one_round(&mut random, round, &about).await;
        round += 1;
    }
}

/// Applies and undoes a plan in a fresh database, killed again and again; the kills.
async fn one_round(random: &mut Random, round: u64, about: &str) -> u64 {
    let journal = if round.is_multiple_of(2) { "delete" } else { "wal" };
    let rows = BATCH * BATCHES;
    let lab = Lab::new(&format!(
        "pragma journal_mode = {journal};;
         create table t(id integer primary key, v text);;
         create table app(x integer primary key);;
         with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
         insert into t select i, 'old' from n"
    ))
    .await;
    let marked = |from: i64, v: &'static str| -> Vec<_> {
        (from..from + rows).map(|i| vec![int(i), text(v)]).collect()
    };
    let atomic = round % 5 == 4;
    let plan = lab
        .plan_with(
            "aaaaaa",
            BATCH as usize,
            vec![
                Step::update("t", &["id", "v"], marked(1, "old"), marked(1, "new")),
                Step::insert("t", &["id", "v"], marked(1001, "new")),
            ],
            |h| h.atomic = atomic,
        )
        .await;
    plan.close().await.unwrap();
    let start = state(&lab).await;
    let mut said = 0;
    let mut kills = until_done(&lab, "aaaaaa", atomic, random, &mut said, about).await;
    assert_eq!(lab.one("select count(*) from t where v = 'new'").await, (2 * rows).to_string());

    let plan = PlanFile::open(&lab.plan_path("aaaaaa")).await.unwrap();
    let receipt = plan.operation().await.unwrap().unwrap().receipt.unwrap();
    assert!(receipt.verified, "{about}");
    let written: u64 = receipt.tables.iter().map(|t| t.written).sum();
    assert_eq!((written, receipt.conflict_count()), (2 * rows as u64, 0), "{about}");
    let hour = chrono::Duration::hours(1);
    let undo = crate::undo::undo(&plan, &lab.plan_path("bbbbbb"), "bbbbbb", hour).await.unwrap();
    undo.close().await.unwrap();
    plan.close().await.unwrap();
    kills += until_done(&lab, "bbbbbb", atomic, random, &mut said, about).await;
    assert_eq!(state(&lab).await, start, "{about}");
    kills
}

/// The planned table as text; the application's is counted apart.
async fn state(lab: &Lab) -> String {
    let connection = raw(&lab.live(), false).await;
    let all = dump(&connection);
    connection.close().await.unwrap();
    all[all.find("\nt\n").unwrap()..].to_owned()
}

async fn until_done(
    lab: &Lab,
    plan: &str,
    atomic: bool,
    random: &mut Random,
    said: &mut i64,
    about: &str,
) -> u64 {
    let mut kills = 0;
    loop {
        let mut child = spawn(lab.folder.path(), plan);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(READY) {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the child said nothing: {about}");
        }
        // Short waits are likelier: most of what can be torn happens early in a resume.
        let wait = random.below(30_000).min(random.below(120_000));
        std::thread::sleep(Duration::from_micros(wait / 2));
        let application = raw(&lab.live(), false).await;
        *said += 1;
        run(&application, &format!("insert into app values ({said})"));
        application.close().await.unwrap();
        std::thread::sleep(Duration::from_micros(wait / 2));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        check(lab, atomic, *said, about).await;
        let Some(status) = ended else {
            kills += 1;
            continue;
        };
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert!(status.success(), "the child failed: {rest} {about}");
        return kills;
    }
}

fn spawn(folder: &Path, plan: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(PLAN, plan)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// No batch is torn, and nothing that the application was told is lost.
async fn check(lab: &Lab, atomic: bool, said: i64, about: &str) {
    let connection = raw(&lab.live(), false).await;
    let kept = strings(&connection, "select count(*), max(x) from app");
    assert_eq!(kept[0][..2], [said.to_string(), said.to_string()], "{about}");
    let parts = strings(
        &connection,
        &format!(
            "select id > 1000, (id - 1) % 1000 / {BATCH}, sum(v = 'new') from t group by 1, 2"
        ),
    );
    let sound = strings(&connection, "pragma integrity_check")[0][0] == "ok";
    connection.close().await.unwrap();
    assert!(sound, "{about}");
    let mut marks: Vec<i64> = parts.iter().map(|p| p[2].parse().unwrap()).collect();
    // Inserted batches that are absent have no group.
    marks.resize(2 * BATCHES as usize, 0);
    assert!(marks.iter().all(|n| *n == 0 || *n == BATCH), "a torn batch: {marks:?} {about}");
    let same = marks.iter().all(|n| *n == marks[0]);
    assert!(!atomic || same, "a torn transaction: {marks:?} {about}");
}

async fn child(folder: PathBuf, id: String) {
    let lab = folder.join("live.db");
    let plan = PlanFile::open(&folder.join(format!("{id}.rkplan"))).await.unwrap();
    let mut target = Box::new(
        crate::engine::sqlite::write::SqliteTarget::open(
            lab.to_str().unwrap(),
            super::harness::describe,
        )
        .await
        .unwrap(),
    );
    let mut options = crate::apply::ApplyOptions::new(folder.join("locks"));
    options.resume = true;
    writeln!(std::io::stdout(), "{READY}").unwrap();
    apply(&plan, &mut *target, &options, &Silent).await.unwrap();
    target.close().await.unwrap();
    plan.close().await.unwrap();
}
