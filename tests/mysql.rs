//! The program against a real server: how it finds and enters one, what it says of it, and
//! story B.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::common::mariadb::{Database, Server};
use crate::common::{Run, Sandbox, files};

const TABLE: &str = "create table t(id int primary key, v varchar(20));
     insert into t values (1, 'a'), (2, 'b'), (3, 'c');";

/// Both databases after these statements; live then after these.
fn sides(both: &str, damage: &str) -> (Database, Database) {
    let (live, backup) = (Database::with(both), Database::with(both));
    live.sql(damage);
    (live, backup)
}

/// `~/.my.cnf` of a sandbox.
fn option_file(sandbox: &Sandbox, text: &str) {
    fs::create_dir_all(sandbox.path("home")).unwrap();
    let file = sandbox.path("home/.my.cnf");
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Runs the program with one more variable.
fn run_with(sandbox: &Sandbox, name: &str, value: &str, arguments: &[&str]) -> Run {
    Run::of(sandbox.command(arguments).env(name, value).output().unwrap())
}

/// Everything that a run wrote anywhere: its output, its plans and remembered diffs.
fn all_of(sandbox: &Sandbox, run: &Run) -> Vec<u8> {
    let mut all = format!("{}{}", run.stdout, run.stderr).into_bytes();
    let state = sandbox.path("state");
    if state.exists() {
        all.extend(files(&state).into_values().flatten());
    }
    all
}

#[test]
fn w2_a_password_comes_from_the_clients_own_places_and_goes_nowhere() {
    let (live, backup) = sides(TABLE, "delete from t where id = 2");
    let port = live.server.port();
    let secret = |run: &Run, sandbox: &Sandbox| {
        let all = all_of(sandbox, run);
        assert!(!all.windows(7).any(|bytes| bytes == b"hunter2"), "the password was written");
    };
    let url =
        |who: &str, database: &Database| format!("mysql://{who}127.0.0.1:{port}/{}", database.name);

    // An option file; the plan is made, applied and verified without it being named again.
    let sandbox = Sandbox::new();
    option_file(&sandbox, "[client]\nuser = secretive\npassword = \"hunter2\" # that one\n");
    let (live_url, backup_url) = (url("", &live), url("", &backup));
    let run = sandbox.run(&format!("restore --live {live_url} --backup {backup_url} --yes"));
    secret(&run, &sandbox);
    run.exits(0);
    assert_eq!(live.sql("select group_concat(v order by id) from t"), "a,b,c\n");
    for command in ["verify", "undo --yes", "log"] {
        let run = sandbox.run(command);
        secret(&run, &sandbox);
        run.exits(0);
    }
    assert_eq!(live.sql("select count(*) from t"), "2\n");

    // MYSQL_PWD; and RESTOREKIT_LIVE with a password, which a saved plan does not hold.
    let sandbox = Sandbox::new();
    let named =
        ["diff", "--live", &url("secretive@", &live), "--backup", &url("secretive@", &backup)];
    let run = run_with(&sandbox, "MYSQL_PWD", "hunter2", &named);
    secret(&run, &sandbox);
    run.exits(1);
    let whole = url("secretive:hunter2@", &live);
    let backup_url = backup.url();
    let planning = ["restore", "--backup", &backup_url, "--dry-run", "--format", "json"];
    let run = run_with(&sandbox, "RESTOREKIT_LIVE", &whole, &planning);
    secret(&run, &sandbox);
    let plan = run.exits(0).json()["plan"].as_str().unwrap().to_owned();
    let applying = ["apply", &plan, "--yes"];
    sandbox.run_all(applying).exits(2).complains("does not let this user in");
    let run = run_with(&sandbox, "RESTOREKIT_LIVE", &whole, &applying);
    secret(&run, &sandbox);
    run.exits(0);
    assert_eq!(live.sql("select count(*) from t"), "3\n");

    // On the command line it works and is warned about.
    let run = sandbox.run(&format!("diff --live {whole} --backup {backup_url}"));
    secret(&run, &sandbox);
    run.exits(0).complains("password on the command line");
}

#[test]
fn w2_a_password_that_nothing_gives_is_asked_for_once_and_shown_nowhere() {
    let (live, backup) = sides(TABLE, "delete from t where id = 2");
    let sandbox = Sandbox::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_restorekit")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", program.display());
    let url = live.url_as("secretive");
    let restore = format!("restorekit restore --live '{url}' --backup '{}' --yes", backup.url());
    let question = format!("Password for {url}:");
    let typed = |password: &str| {
        let run = sandbox.typed(&path, &restore, &[(&question, &format!("{password}\r"))]);
        let all = String::from_utf8_lossy(&all_of(&sandbox, &run)).into_owned();
        assert!(!all.contains(password), "the password was written: {all}");
        run
    };
    let run = typed("hunter3");
    assert!(run.code == 2 && run.stdout.contains("does not let this user in"), "{}", run.stdout);
    // Live is entered to read and to write, and asked about once.
    let run = typed("hunter2").exits(0);
    assert!(run.stdout.contains("verified"), "{}", run.stdout);
    assert_eq!(live.sql("select group_concat(v order by id) from t"), "a,b,c\n");
    // Where nobody can be asked, and where a password was given, nobody is.
    let backup = backup.url();
    for url in [&url, &live.url_as("secretive:wrong")] {
        let run = sandbox.run(&format!("diff --live {url} --backup {backup}")).exits(2);
        run.complains("does not let this user in");
    }
}

#[test]
fn localhost_is_a_socket_as_the_clients_mean_it() {
    let (live, backup) = sides(TABLE, "");
    let sandbox = Sandbox::new();
    let socket = live.server.socket();
    option_file(&sandbox, &format!("[client]\nuser=root\nsocket={}\n", socket.display()));
    let diff =
        format!("diff --live mysql:///{} --backup mariadb://localhost/{}", live.name, backup.name);
    sandbox.run(&diff).exits(0);
}

#[test]
fn w2_wrong_passwords_no_route_and_no_such_database_are_told_without_secrets() {
    let live = Database::with(TABLE);
    let sandbox = Sandbox::new();
    let port = live.server.port();
    let cases = [
        (live.url_as("secretive:wrongpw"), "does not let this user in"),
        (format!("mysql://tcp:wrongpw@127.0.0.1:{port}/nosuch_db"), "does not let this user in"),
        (format!("mysql://tcp@127.0.0.1:{port}/nosuch_db"), "there is no such database"),
        ("mysql://u:wrongpw@127.0.0.1:1/app".to_owned(), "can't be reached"),
        ("mysql://u:wrongpw@db.invalid/app".to_owned(), "can't be reached"),
        (format!("mysql://u:wrongpw@127.0.0.1:{port}"), "names no database"),
    ];
    for (url, words) in cases {
        let run = sandbox.run(&format!("diff --live {url} --backup {}", live.url()));
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("wrongpw"), "{}", run.stderr);
        run.exits(2).complains(words).complains("live");
    }
    let run = sandbox.run(&format!("diff --live {} --backup {}", live.url(), live.url_as("tcp")));
    run.exits(5).complains("are the same database");
}

#[test]
fn doctor_says_what_would_stop_a_patch() {
    let live = Database::with(
        "create table t(id int primary key, v int);
         create table plain(id int primary key) engine=MyISAM;
         create trigger tr before update on t for each row set new.v = new.v;",
    );
    let (name, server) = (&live.name, live.server);
    server.sql(&format!(
        "create user d{name}@'%'; grant select, insert on {name}.* to d{name}@'%'; \
         grant update on {name}.t to d{name}@'%'"
    ));
    let sandbox = Sandbox::new();
    let found = |run: Run| {
        let checks = run.json()["checks"].as_array().unwrap().clone();
        let line = |c: &serde_json::Value| {
            let word = |name: &str| c[name].as_str().unwrap().to_owned();
            format!("{} {}: {}", word("outcome"), word("name"), word("found"))
        };
        checks.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let doctor = |url: &str| {
        let backup = live.url();
        sandbox.run(&format!("doctor --live {url} --backup {backup} --format json"))
    };
    let text = found(doctor(&live.url_as(&format!("d{name}"))));
    for words in [
        format!("good user: d{name}@% on "),
        ", not encrypted".into(),
        "warning rights: no right to update on plain: columns can't be patched there".into(),
        "warning rights: no right to delete on any table: restored rows".into(),
        "good writing: a primary server that can be written".into(),
        "warning tables: plain can't be written: its storage engine MyISAM".into(),
        "warning triggers: on t (1)".into(),
    ] {
        assert!(text.contains(&words), "no {words:?} in\n{text}");
    }
    assert!(!text.contains("no right to select") && !text.contains("no right to insert"), "{text}");
    assert!(
        found(doctor(&live.url()))
            .contains("good rights: select, insert, update and delete on every table")
    );
}

#[test]
fn g10_doctor_tells_a_read_only_server() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&["--read-only"])));
    let live = server.database();
    live.sql(TABLE);
    let run = Sandbox::new().run(&format!("doctor --live {} --format json", live.url()));
    assert!(run.stdout.contains("the server is read-only"), "{}", run.stdout);
    assert_eq!(run.code, 1);
}

#[test]
fn a_server_is_snapshotted_and_inspected() {
    let (live, backup) = sides(TABLE, "update t set v = 'x' where id = 3");
    let sandbox = Sandbox::new();
    sandbox.run(&format!("snapshot --live {} --out snaps", backup.url())).exits(0);
    let listed = sandbox.run("snapshots snaps").exits(0).stdout;
    assert!(listed.contains(&backup.name), "{listed}");
    let diff = sandbox.run(&format!("diff --live {} --backup snaps --format json", live.url()));
    assert_eq!(diff.exits(1).json()["tables"][0]["changed"], 1);
    let inspected = sandbox.run_all(["inspect", &backup.url(), "--format", "json"]).exits(0).json();
    assert_eq!(inspected["tables"][0]["columns"], serde_json::json!(["id", "v"]));
    assert!(inspected["kind"].as_str().unwrap().starts_with("MariaDB"), "{inspected}");
}

#[test]
fn t6_sql_meets_moments_of_any_year() {
    let (live, backup) = sides(
        "create table t(id int primary key, at datetime(6), ts timestamp null, day date, p decimal(10,2), f bit(1));
         insert into t values (1, '9999-12-31 23:59:59.999999', '2024-05-01', '9999-12-31', 0.10, 1),
            (2, '1000-01-01', '2024-05-02', '1000-01-01', 0.30, 0), (3, '2024-05-01', null, '2024-05-01', null, null);",
        "",
    );
    let sandbox = Sandbox::new();
    for (condition, ids) in [
        ("at >= '2024-05-01'", "1,3"),
        ("at < '2024-05-01 00:00:00.000001'", "2,3"),
        ("at between '0999-12-31' and '2024-05-01'", "2,3"),
        ("ts = '2024-05-02'", "2"),
        ("at = '9999-12-31 23:59:59.999999'", "1"),
        ("'3000-01-01' > at", "2,3"),
        ("at in ('1000-01-01', '9999-12-31')", "2"),
        ("id in (select b.id from backup.t b where b.at > '3000-01-01')", "1"),
        ("at + interval '0 days' < '2024-05-02'", "2,3"),
        ("day > '2024-05-01'", "1"),
        ("p = 0.3", "2"),
        ("p in (0.10, 0.3)", "1,2"),
        ("f", "1"),
        ("not f", "2"),
    ] {
        let query = format!("select id from live.t where {condition} order by id");
        let (live, backup) = (live.url(), backup.url());
        let run = sandbox
            .run_all(["sql", "--live", &live, "--backup", &backup, "--format", "csv", &query]);
        let found = run.exits(0).stdout;
        assert_eq!(found.lines().skip(1).collect::<Vec<_>>().join(","), ids, "{condition}");
    }
}
