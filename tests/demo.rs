//! The demo plays on its own database, whatever the user's surroundings name.

use crate::common::{Run, Sandbox, files};

/// An application of which the demo's lines would write every table.
const TABLES: &str = "
create table events (id integer primary key, title text, starts_at text);
create table subscriptions (id integer primary key, active boolean not null,
    cancelled_at text, updated_at text not null);
with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
insert into events select i, 'title ' || i, datetime('2024-01-01', '+' || i || ' days') from n;
with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
insert into subscriptions select i, i % 2, null, '2024-03-01 10:00:00' from n";

const DAMAGE: &str = "
delete from events where id % 10 = 3;
update subscriptions set cancelled_at = '2024-03-15 11:00:00', updated_at = '2024-03-15 11:00:00'
    where active = 0";

#[test]
fn w1_the_demo_never_writes_to_the_database_that_the_surroundings_name() {
    let sandbox = Sandbox::new();
    sandbox.sqlite("prod.db", TABLES);
    std::fs::copy(sandbox.path("prod.db"), sandbox.path("old.db")).unwrap();
    sandbox.sqlite("prod.db", DAMAGE);
    let path = |name: &str| sandbox.path(name).display().to_string();
    let (live, backup) = (path("prod.db"), path("old.db"));
    let settings = format!(
        "live = \"{live}\"\nbackup = \"{backup}\"\nstate = \"{}\"\n[profile.p]\nlive = \"{live}\"\n",
        path("plans")
    );
    std::fs::create_dir_all(sandbox.path("config/restorekit")).unwrap();
    std::fs::create_dir(sandbox.path("tmp")).unwrap();
    // An operation of the user's own, which an undo must not take back.
    let sides = format!("--live {live} --backup {backup} --table events --where id=3");
    sandbox.run(&format!("restore {sides} --yes")).exits(0);
    let variables = [
        ("RESTOREKIT_LIVE", live.as_str()),
        ("RESTOREKIT_BACKUP", &backup),
        ("RESTOREKIT_TABLE", "events"),
    ];
    let play = |arguments: &str, variables: &[(&str, &str)]| {
        let mut command = sandbox.command(arguments.split_whitespace());
        command.env("TMPDIR", sandbox.path("tmp")).envs(variables.iter().copied());
        let before = files(&sandbox.path(""));
        let run = Run::of(command.output().unwrap()).exits(0);
        let mut after = files(&sandbox.path(""));
        after.retain(|path, _| !path.starts_with(sandbox.path("mine")));
        assert!(before == after, "{arguments} {variables:?} changed a file");
        run
    };
    play("demo", &variables);
    play("demo", &variables[..1]);
    for place in ["restorekit.toml", "config/restorekit/restorekit.toml"] {
        std::fs::write(sandbox.path(place), &settings).unwrap();
        play("demo", &[]);
        std::fs::remove_file(sandbox.path(place)).unwrap();
    }
    std::fs::write(sandbox.path("named.toml"), &settings).unwrap();
    play("demo --config named.toml --profile p", &[]);
    play("demo --dir mine", &variables).complains("unset RESTOREKIT_LIVE");
}
