//! A real replica of a real server: how far it may be behind, and what is said of it.

use std::process::Stdio;
use std::sync::OnceLock;

use crate::common::mariadb::{Database, Server};
use crate::common::{Run, Sandbox};

/// A primary, and a replica of it that applies what it gets an hour later.
fn servers() -> (&'static Server, &'static Server) {
    static SERVERS: OnceLock<(Server, Server)> = OnceLock::new();
    let (primary, replica) = SERVERS.get_or_init(|| {
        let primary = Server::start(&[]);
        let replica = Server::start(&["--server-id=2"]);
        let position = primary.sql("select @@gtid_current_pos");
        replica.sql(&format!(
            "set global gtid_slave_pos = '{}'; change master to master_host = '127.0.0.1', \
             master_port = {}, master_user = 'tcp', master_use_gtid = slave_pos; start slave",
            position.trim(),
            primary.port()
        ));
        (primary, replica)
    });
    (primary, replica)
}

/// How many seconds the replica is behind by its own word; `NULL` while it stands still.
fn behind(replica: &Server) -> String {
    let status = replica.shown("show slave status");
    let line = status.lines().find_map(|l| l.trim().strip_prefix("Seconds_Behind_Master: "));
    line.unwrap_or_else(|| panic!("{status}")).to_owned()
}

#[test]
fn g8_an_apply_waits_for_a_replica_that_lags_and_says_when_there_is_none() {
    let (primary, replica) = servers();
    let (live, backup) = (primary.database(), primary.database());
    for database in [&live, &backup] {
        database.sql("create table t(id int primary key, v int)");
    }
    backup.sql("insert into t select seq, seq from seq_1_to_1200");
    let followed = Database { server: replica, name: live.name.clone() };
    let there = || {
        let names = replica.sql(&format!(
            "select count(*) from information_schema.tables where table_schema = '{}'",
            live.name
        ));
        names.trim() == "1"
    };
    while !there() {}
    let sandbox = Sandbox::in_memory();
    let plan = sandbox.run(&format!(
        "restore --live {} --backup {} --batch-size 1 --dry-run --format json",
        live.url(),
        backup.url()
    ));
    let plan = plan.exits(0).json()["plan"].as_str().unwrap().to_owned();
    let apply = |replica: &str| format!("apply {plan} --yes --max-lag 1 --replica {replica}");

    // What is no replica is no one to wait for, and nothing is written.
    let run = sandbox.run(&apply(&backup.url())).exits(2);
    run.complains("is no replica");
    sandbox.run(&format!("apply {plan} --max-lag 5")).exits(2).complains("--replica");
    assert_eq!(live.sql("select count(*) from t"), "0\n");
    // A replica itself is no place to write, and doctor says so.
    let said = sandbox.run(&format!("doctor --live {} --format json", followed.url()));
    assert!(said.stdout.contains("the server is a replica"), "{}", said.stdout);

    // It stops following: the apply stands still too, and goes on with it.
    replica.sql("stop slave; change master to master_delay = 3600; start slave");
    let rows = || live.sql("select count(*) from t").trim().parse::<u64>().unwrap();
    let line = apply(&followed.url());
    let mut command = sandbox.command(line.split_whitespace());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !matches!(behind(replica).parse::<u64>(), Ok(3..)) {}
    let written = rows();
    assert!(0 < written && written < 1200, "{written}");
    while !matches!(behind(replica).parse::<u64>(), Ok(4..)) {}
    assert_eq!(rows(), written, "rows were written while the replica was behind");
    replica.sql("stop slave; change master to master_delay = 0; start slave");
    Run::of(child.wait_with_output().unwrap()).exits(0);
    assert_eq!(rows(), 1200);
    while followed.sql("select count(*) from t") != "1200\n" {}
    assert_eq!(followed.dump("t"), backup.dump("t"));

    // Undo waits as well; a replica that stands still for long ends the run, which resumes.
    replica.sql("stop slave");
    let run = sandbox.run(&format!("undo --yes --max-lag 1 --replica {}", followed.url()));
    run.exits(2).complains("does not replicate");
    assert_eq!(rows(), 1200);
}
