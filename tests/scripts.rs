//! `--format sql`: the script through each engine's own client writes what `apply` writes.

use crate::common::{Run, Sandbox, mariadb, postgres};

/// Tables of every awkward kind: a schema and names that have to be quoted, a number that is
/// always generated, partitions, inheritance.
const POSTGRES: &str = r#"
    create schema "h""r";
    create type "h""r".mood as enum ('it''s "ok"', 'sad\');
    create table "h""r"."Ev'ents" (
        id bigint generated always as identity primary key,
        title text, name varchar(40), code char(5), price numeric(8,2), wide numeric,
        ok boolean, raw bytea, at timestamptz, seen timestamp(3), day date, clock time,
        ratio double precision, single real, n smallint, tags varchar(9)[], extra jsonb, doc json,
        mood "h""r".mood, uid uuid, span interval, host inet, price_twice numeric
            generated always as (price * 2) stored);
    insert into "h""r"."Ev'ents" (title, name, code, price, wide, ok, raw, at, seen, day, clock,
            ratio, single, n, tags, extra, doc, mood, uid, span, host)
        select text, left(text, 40), left(md5(g::text), g % 6), g / 7.0, g / 8.0, g % 2 = 0,
            case when g % 3 > 0 then convert_to(text, 'UTF8') || '\x00ff5c27'::bytea end,
            timestamptz '2024-03-10 02:30:00.000001+01' + g * interval '37 min',
            timestamp '0044-03-15 00:00:00.5 BC' + g * interval '300 years',
            case when g % 5 > 0 then date '2024-02-28' + g else 'infinity' end, '24:00:00',
            g / 3.0, 1 / (g + 0.1), -g, array[left(text, 9), null, '"'],
            jsonb_build_object('t', text), to_json(text), case when g % 2 = 0 then 'it''s "ok"' else 'sad\' end::"h""r".mood,
            md5(g::text)::uuid, g * interval '-1 mon 3 days 0.5 s', '10.0.0.1/8'
        from generate_series(1, 60) g, lateral (select case g % 6
            when 0 then E'it''s \\ "q" :x :''x'' $1 `b`' when 1 then E'a\r\nb\tc\x01\x7f'
            when 2 then E'\u202e\u0085\u2028 */ -- 日本 😀' when 3 then E'\\''; drop table x; --'
            when 4 then '' else '\.' || g end) t(text);
    create table parts (id int primary key, v text) partition by range (id);
    create table low partition of parts for values from (0) to (100);
    create table high partition of parts for values from (100) to (1000);
    insert into parts select g, 'v' || g from generate_series(1, 200) g;
    create table base (id int primary key, v text);
    create table child () inherits (base);
    insert into base select g, 'v' || g from generate_series(1, 9) g;
    insert into child select g, 'old' from generate_series(1, 9) g;"#;

const POSTGRES_DAMAGE: &str = r#"
    delete from "h""r"."Ev'ents" where id % 4 = 1;
    update "h""r"."Ev'ents" set title = E'\\x\r\n''', name = null, code = 'zz', price = null,
        wide = 1.50, ok = null, raw = '\x5c', at = 'infinity', seen = null, day = '-infinity', clock = '00:00',
        ratio = 'NaN', single = '-0', n = 1, tags = '{}', extra = 'null', doc = E'{"a":\n 1.0}', mood = null,
        span = '1 year', host = '::1' where id % 4 = 2;
    update "h""r"."Ev'ents" set doc = null, uid = null, tags = null, raw = null where id % 4 = 3;
    delete from parts where id % 50 = 7; update parts set v = 'x' where id % 50 = 8;
    update only base set v = 'old' where id = 5;"#;

/// What a plan's or a diff's script says.
#[track_caller]
fn script(run: Run, code: i32) -> String {
    run.exits(code).stdout
}

#[track_caller]
fn plan(run: Run) -> String {
    run.exits(0).json()["plan"].as_str().unwrap().to_owned()
}

/// Runs a command line between live and a backup.
fn between(sandbox: &Sandbox, [live, backup]: [&str; 2], line: &str) -> Run {
    sandbox.run_all(line.split(' ').chain(["--live", live, "--backup", backup]))
}

#[test]
fn w3_postgresqls_script_writes_what_apply_writes() {
    use postgres::Database;
    let backup = Database::with(POSTGRES);
    let damaged = || {
        let live = Database::with(POSTGRES);
        live.sql(POSTGRES_DAMAGE);
        live
    };
    let tables = ["\"h\"\"r\".\"Ev'ents\"", "parts", "base", "child"];
    let all = |database: &Database| tables.map(|table| database.dump(table));
    let sandbox = Sandbox::new();
    let (by_script, by_apply) = (damaged(), damaged());
    let run = |live: &Database, line: &str| between(&sandbox, [&live.url(), &backup.url()], line);
    // A diff takes everything back.
    let whole = damaged();
    let fix = script(run(&whole, "diff --format sql"), 1);
    assert!(!fix.lines().any(|line| line.contains('\r')), "{fix}");
    whole.sql(&fix);
    assert_eq!(all(&whole), all(&backup));
    let told = whole.sql(&fix.replace("INSERT", "-- INSERT"));
    assert_eq!(
        (told.as_str(), all(&whole)),
        ("", all(&backup)),
        "a second run finds its rows changed"
    );

    // A plan's script, and the plan.
    let id = plan(run(&by_script, "restore -n --format json"));
    let fix = script(sandbox.run(&format!("show {id} --format sql")), 0);
    let before = all(&by_script);
    by_script.sql(&fix);
    run(&by_apply, "restore --yes").exits(0);
    assert_eq!(all(&by_script), all(&by_apply));
    assert_ne!(all(&by_script), before);

    // Its inverse deletes just what came.
    let id = plan(sandbox.run("undo -n --format json"));
    by_apply.sql(&script(sandbox.run(&format!("show {id} --format sql")), 0));
    assert_eq!(all(&by_apply), before);
}

#[test]
fn g2_postgresqls_script_writes_whole_or_not_at_all_and_leaves_moved_rows_alone() {
    use postgres::Database;
    let (live, backup) = (Database::with(POSTGRES), Database::with(POSTGRES));
    live.sql(POSTGRES_DAMAGE);
    let sandbox = Sandbox::new();
    let sides = ["--live".to_owned(), live.url(), "--backup".to_owned(), backup.url()];
    let diff = ["diff", "--format", "sql", "--table", "parts"].map(str::to_owned);
    let fix = script(sandbox.run_all([&diff[..], &sides].concat()), 1);
    live.sql("update parts set v = 'moved' where id = 8");
    live.sql(&fix);
    assert_eq!(live.sql("select v from parts where id in (8, 58) order by id"), "moved\nv58\n");

    // A row that came back meanwhile: psql, told to go on, ends all the same.
    live.sql("delete from parts where id in (7, 107); update parts set v = 'x' where id = 58");
    let fix = script(sandbox.run_all([&diff[..], &sides].concat()), 1);
    live.sql("insert into parts values (107, 'again')");
    let before = live.dump("parts");
    let file = sandbox.path("fix.sql");
    std::fs::write(&file, fix).unwrap();
    let file = file.display().to_string();
    let mut psql = live.server.client(&live.name, &["-v", "ON_ERROR_STOP=0", "-f", &file]);
    let run = Run::of(psql.output().unwrap());
    assert!(run.code != 0 && run.stderr.contains("duplicate key"), "{run:?}");
    assert_eq!(live.dump("parts"), before);
}

const MARIADB: &str = r#"
    create table `Ev'ents` (
        id int unsigned auto_increment primary key,
        title text, name varchar(40) character set latin1, code char(5), price decimal(8,2),
        wide decimal(65,30), ok bit(1), bits bit(9), raw blob, at timestamp(6) null, seen datetime(6), day date,
        clock time(6), ratio double, single float, big bigint unsigned, y year, mood enum('a\\', 'it''s'),
        tags set('x', 'y'), doc json, uid uuid, host inet6,
        moved timestamp not null default current_timestamp on update current_timestamp,
        twice decimal(10,2) generated always as (price * 2) stored) engine=innodb;
    create table `Keys` (k varchar(20) collate utf8mb4_unicode_ci primary key, v text, raw varbinary(9));
    insert into `Keys` values ('a\\b', 'v', x'00ff'), ('it''s', '\r\n', x'5c27'), ('Ä', 'v', ''), ('x\n', null, null);"#;

/// Rows by a number, through the client's own escapes.
fn mariadb_rows() -> String {
    let texts = [
        r#"'it''s \\ "q" `b` ; delimiter x'"#,
        r"'a\r\nb\tc\Z\0d'",
        "'日本 😀 \u{202e}\u{85} */ -- '",
        r"'\\''; drop table x; --'",
        "''",
        r"'\\'",
    ];
    let row = |i: usize| {
        let text = texts[i % 6];
        format!(
            "insert into `Ev'ents` (title, name, code, price, wide, ok, bits, raw, at, seen, day, clock, \
             ratio, single, big, y, mood, tags, doc, uid, host, moved) values ({text}, 'é{i}\\\\', 'c{i}', {i} / 7, \
             -{i}.000000000000000000000000000001, b'{bit}', {i}, {text}, \
             '2024-03-31 01:30:00.00000{digit}', '9999-12-31 23:59:59.99999{digit}', \
             '{day}', '-838:59:59.5', {i} / 3e0, 1 / {i}.1, 18446744073709551615 - {i}, 1901 + {i}, \
             if({bit}, 'a\\\\', 'it''s'), 'x,y', json_quote({text}), '00000000-0000-4000-8000-{i:012}', \
             '::{i}', '2024-01-01 00:00:00');",
            bit = i % 2,
            digit = i % 10,
            day = if i.is_multiple_of(5) { "0000-00-00" } else { "2024-02-29" },
        )
    };
    let rows: Vec<String> = (1..=60).map(row).collect();
    format!("set sql_mode = 'ALLOW_INVALID_DATES'; {MARIADB} {}", rows.join("\n"))
}

const MARIADB_DAMAGE: &str = r#"
    set sql_mode = '';
    delete from `Ev'ents` where id % 4 = 1;
    update `Ev'ents` set title = '\\x\r\n''', name = null, code = 'Z ', price = null, wide = 1, ok = null,
        bits = 0, raw = '\\', at = null, seen = '0000-00-00', day = null, clock = '00:00', ratio = -1.5e300,
        single = 0.1, big = 0, y = 0, mood = null, tags = '', doc = '{"a":\n 1.0}', host = '::ffff:1.2.3.4'
        where id % 4 = 2;
    update `Ev'ents` set doc = null, uid = null, raw = null where id % 4 = 3;
    delete from `Keys` where k in ('a\\b', 'x\n'); update `Keys` set v = 'x', raw = '\\' where k in ('it''s', 'Ä');"#;

#[test]
fn w3_w4_mariadbs_script_writes_what_apply_writes() {
    use mariadb::Database;
    let rows = mariadb_rows();
    let backup = Database::with(&rows);
    let damaged = || {
        let live = Database::with(&rows);
        live.sql(MARIADB_DAMAGE);
        live
    };
    let sandbox = Sandbox::new();
    let run = |live: &Database, line: &str| between(&sandbox, [&live.url(), &backup.url()], line);
    let whole = damaged();
    let fix = script(run(&whole, "diff --format sql"), 1);
    assert!(!fix.lines().any(|line| line.contains('\r')), "{fix}");
    for mode in ["", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"] {
        whole.sql(&format!("set sql_mode = '{mode}';\n{}", fix.replace("INSERT", "-- INSERT")));
    }
    let inserts = fix.lines().filter(|line| !line.starts_with("UPDATE"));
    whole.sql(&inserts.collect::<Vec<_>>().join("\n"));
    assert_eq!(whole.dump_all(), backup.dump_all());

    let (by_script, by_apply) = (damaged(), damaged());
    let before = by_apply.dump_all();
    let id = plan(run(&by_script, "restore -n --format json"));
    by_script.sql(&script(sandbox.run(&format!("show {id} --format sql")), 0));
    run(&by_apply, "restore --yes").exits(0);
    assert_eq!(by_script.dump_all(), by_apply.dump_all());
    assert_ne!(by_script.dump_all(), before);
    let id = plan(sandbox.run("undo -n --format json"));
    by_apply.sql(&script(sandbox.run(&format!("show {id} --format sql")), 0));
    assert_eq!(by_apply.dump_all(), before);

    // A row that moved is left alone; one that came back meanwhile ends the script.
    let live = damaged();
    let fix = script(run(&live, "diff --format sql --table Keys"), 1);
    live.sql(
        "update `Keys` set v = 'X' where k = 'Ä'; insert into `Keys` values ('x\\n', null, null)",
    );
    let before = live.dump_all();
    std::fs::write(sandbox.path("fix.sql"), fix).unwrap();
    let input = std::fs::File::open(sandbox.path("fix.sql")).unwrap();
    let mut client = live.client();
    let failed = Run::of(client.stdin(input).output().unwrap());
    assert!(failed.code != 0 && failed.stderr.contains("Duplicate entry"), "{failed:?}");
    assert_eq!(live.dump_all(), before);
    let fix = script(run(&live, "diff --format sql --table Keys"), 1);
    live.sql("update `Keys` set v = 'moved' where k = 'Ä'");
    live.sql(&fix);
    assert_eq!(
        live.sql("select v from `Keys` where k in ('Ä', 'a\\\\b') order by k"),
        "moved\nv\n"
    );
}

#[test]
fn w3_sqlites_script_ends_at_the_first_error() {
    let sandbox = Sandbox::new();
    sandbox.numbered(9);
    sandbox.sqlite("live.db", "delete from t where id > 5");
    let fix = script(sandbox.run("diff --live live.db --backup old.db --format sql"), 1);
    sandbox.sqlite("live.db", "insert into t values (8, 'again')");
    let before = sandbox.dump("live.db");
    let shell = |script: &str| {
        std::fs::write(sandbox.path("fix.sql"), script).unwrap();
        let mut shell = std::process::Command::new("sqlite3");
        shell.arg(sandbox.path("live.db"));
        shell.stdin(std::fs::File::open(sandbox.path("fix.sql")).unwrap());
        Run::of(shell.output().unwrap())
    };
    assert_ne!(shell(&fix).code, 0);
    assert_eq!(sandbox.dump("live.db"), before);
    sandbox.sqlite("live.db", "delete from t where id = 8");
    assert_eq!(shell(&fix).code, 0);
    assert_eq!(sandbox.dump("live.db"), sandbox.dump("old.db"));
}
