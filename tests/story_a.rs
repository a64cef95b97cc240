//! Story A on a real PostgreSQL: of 30,000 events 2,526 were deleted, 17 of them in no backup, and
//! the application goes on all the while. psql is the judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::Sandbox;
use crate::common::postgres::Database;

/// What the nightly snapshot sees.
const BEFORE: &str = "create table accounts(id int primary key, name text not null);
    create table events(
        id bigint generated always as identity primary key,
        account int not null references accounts,
        uid uuid not null unique, kind varchar(20) not null, price numeric(8,2),
        payload jsonb not null, tags text[], at timestamptz not null, updated_at timestamptz not null,
        title text generated always as (kind || ' ' || price) stored);
    create index on events(account, at);
    insert into accounts select g, 'account ' || g from generate_series(1, 40) g;
    insert into events(account, uid, kind, price, payload, tags, at, updated_at)
        select 1 + g % 40, md5(g::text)::uuid, case g % 3 when 0 then 'sale' else 'visit' end,
            case when g % 7 > 0 then g / 8.0 end, jsonb_build_object('n', g, 'of', array[g, -g]),
            case when g % 5 > 0 then array['a', 'x\"' || g, null] end,
            '2024-01-01 00:00:00.000001+00'::timestamptz + g * interval '37 min 1 microsecond',
            '2024-02-01 00:00:00.5+00'::timestamptz + g * interval '1 second'
        from generate_series(1, 29983) g;";

/// What happens after it: 17 more events, and a clean-up that takes too much.
const AFTER: &str = "insert into events(account, uid, kind, payload, at, updated_at)
        select 1, md5(g::text)::uuid, 'late', '{}', now(), now() from generate_series(29984, 30000) g;
    delete from events where id between 8000 and 10508 or id > 29983;";

/// All of an event, as the server prints it.
const ALL: &str = "id, account, uid, kind, price, payload, tags, at, updated_at, title";

fn number(live: &Database, query: &str) -> u64 {
    live.sql(&format!("select {query}")).trim().parse().unwrap()
}

/// A digest of the events that this condition holds for, by the server itself.
fn digest(database: &Database, condition: &str) -> String {
    database.sql(&format!(
        "select count(*), md5(string_agg(row({ALL})::text, '|' order by id)) from events \
         where {condition}"
    ))
}

/// An application that opens an event, and changes one that was never gone, again and again.
struct Application {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicU64>,
    writer: thread::JoinHandle<()>,
}

impl Application {
    fn start(live: &Database) -> Self {
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (live, stopped, count) = (live.clone(), Arc::clone(&stop), Arc::clone(&opened));
        let writer = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                live.sql(
                    "insert into events(account, uid, kind, payload, at, updated_at)
                        values (2, gen_random_uuid(), 'new', '{}', now(), now());
                     update events set kind = 'seen', updated_at = now()
                        where id = (select max(id) % 7000 + 1 from events);",
                );
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { stop, opened, writer }
    }

    /// Waits until it has written once more.
    fn goes_on(&self) {
        let before = self.opened.load(Ordering::SeqCst);
        while self.opened.load(Ordering::SeqCst) <= before + 1 {
            assert!(!self.writer.is_finished(), "the application was stopped by an error");
            thread::yield_now();
        }
    }

    /// How many events it has opened.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.writer.join().unwrap();
        self.opened.load(Ordering::SeqCst)
    }
}

#[test]
fn story_a_deleted_events_come_back_while_the_application_goes_on() {
    story_a("snaps", |sandbox, live| {
        sandbox.run_all(["snapshot", "--live", &live.url(), "--out", "snaps"]).exits(0);
        true
    });
}

#[test]
fn story_a_deleted_events_come_back_from_an_archive_of_pg_dump() {
    story_a("nightly.dump", |sandbox, live| live.archive_into(&sandbox.path("nightly.dump")));
}

/// The story, with the backup that `take` takes of live and calls `backup`, where it can.
fn story_a(backup: &str, take: fn(&Sandbox, &Database) -> bool) {
    let (live, truth) = (Database::with(BEFORE), Database::with(BEFORE));
    let sandbox = Sandbox::in_memory();
    let url = live.url();
    if !take(&sandbox, &live) {
        return;
    }
    live.sql(AFTER);
    let application = Application::start(&live);
    application.goes_on();
    let on = |command: &str, more: &[&str]| {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.extend(["--live", &url, "--backup", backup, "--table", "events"]);
        arguments.extend(more);
        sandbox.run_all(arguments)
    };

    // What is gone, and what of it is in no backup.
    let gaps = on("gaps --format json", &[]).exits(1).json();
    assert_eq!((&gaps["missing"], &gaps["recoverable"]), (&2526.into(), &2509.into()), "{gaps}");
    assert_eq!(gaps["unrecoverable"], 17);
    assert_eq!(gaps["unrecoverable_runs"], serde_json::json!([[29984, 30000]]));
    let screen = on("gaps", &[]).exits(1).stdout;
    assert!(screen.contains("in no backup: 29984–30000"), "{screen}");
    let diff = on("diff --format json", &[]).exits(1).json();
    assert_eq!(diff["tables"][0]["missing"], 2509, "{diff}");

    // The plan, and what it says of the engine.
    let gone = "id between 8000 and 10508";
    let planned = on("restore --dry-run --format json", &[]).exits(0).json();
    assert_eq!(planned["tables"][0]["insert"], 2509, "{planned}");
    let notes = planned["tables"][0]["notes"].to_string();
    assert!(notes.contains("the counter of id is raised past restored numbers"), "{notes}");
    assert_eq!(number(&live, &format!("count(*) from events where {gone}")), 0, "a dry run");

    application.goes_on();
    let run = on("restore --yes --format json", &[]).exits(0).json();
    assert_eq!(run["tables"][0]["written"], 2509, "{run}");
    application.goes_on();
    assert_eq!(digest(&live, gone), digest(&truth, gone), "ids, moments and all else are whole");
    let untouched = "id between 7001 and 29983";
    assert_eq!(digest(&live, untouched), digest(&truth, untouched));

    // A second run finds nothing to do; the 17 stay gone.
    let again = on("restore --dry-run --format json", &[]).exits(0).json();
    assert_eq!(
        again["tables"].as_array().map_or(0, |t| t.iter().filter(|t| t["insert"] != 0).count()),
        0
    );
    sandbox.run("verify").exits(0);
    let gaps = on("gaps --format json", &[]).exits(1).json();
    assert_eq!((&gaps["missing"], &gaps["recoverable"]), (&17.into(), &0.into()), "{gaps}");

    // Back again: what came is gone, what the application wrote stands.
    application.goes_on();
    sandbox.run("undo --yes").exits(0);
    assert_eq!(number(&live, &format!("count(*) from events where {gone}")), 0);
    let opened = application.end();
    assert_eq!(number(&live, "count(*) from events where kind = 'new'"), opened);
    assert_eq!(number(&live, "max(id) from events"), 30_000 + opened);
    let next = live.sql(
        "insert into events(account, uid, kind, payload, at, updated_at) \
         values (1, gen_random_uuid(), 'last', '{}', now(), now()) returning id",
    );
    assert_eq!(next.trim(), (30_001 + opened).to_string());
}
