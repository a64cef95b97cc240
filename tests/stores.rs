//! Backups in object stores, against a real S3-compatible server (s3s-fs) that the tests start: with
//! keys as S3, without as a web server that knows ranges. Python's own web server knows none.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Run, Sandbox};

const SECRET: &str = "hunter2-hunter2-hunter2";

/// A server over a folder of buckets; it ends with this.
struct Store {
    server: Child,
    port: u16,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Where `tests/run.sh` installs the server.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/s3s-fs")
}

impl Store {
    fn start(root: &Path, keys: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        if keys {
            command.args(["--access-key", "operator", "--secret-key", SECRET]);
        }
        Self::answering(command.arg(root), port)
    }

    /// Python's web server, which gives no ranges; `code` is done in the class of its handler.
    fn python(root: &Path, code: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!(
            "import http.server as web\n\
             class Handler(web.SimpleHTTPRequestHandler):\n    {code}\n\
             web.ThreadingHTTPServer(('127.0.0.1', {port}), Handler).serve_forever()"
        );
        Self::answering(Command::new("python3").args(["-c", &script]).current_dir(root), port)
    }

    /// The server that the command starts, once it answers.
    fn answering(command: &mut Command, port: u16) -> Self {
        let program = command.get_program().to_owned();
        let server = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}; tests/run.sh installs it", program.display()));
        let store = Self { server, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not answer");
            std::thread::yield_now();
        }
        store
    }

    /// Runs the program with this store's variables.
    fn run(&self, sandbox: &Sandbox, arguments: &[&str], secret: &str) -> Run {
        let mut command = sandbox.command(arguments);
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "operator")
            .env("AWS_SECRET_ACCESS_KEY", secret);
        let run = Run::of(command.output().unwrap());
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(secret), "w18: the secret is shown:\n{text}");
            assert!(!text.contains("/tmp/restorekit-"), "a private path is shown:\n{text}");
        }
        run
    }
}

/// Runs a line of the shell in the sandbox.
fn shell(sandbox: &Sandbox, line: &str) {
    let done = Command::new("sh").args(["-ec", line]).current_dir(sandbox.path("")).status();
    assert!(done.unwrap().success(), "{line}");
}

/// A bucket of backups in every form, and a live database that lacks every tenth row.
fn bucket() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.numbered(500);
    sandbox.run("snapshot --live old.db --out root/backups/snaps").exits(0);
    sandbox.run("snapshot --live old.db --out root/backups/snaps").exits(0);
    shell(
        &sandbox,
        "cp $(find root -type f -path '*parquet*' -name 't.*' | head -1) root/backups/t.parquet
         mkdir root/backups/loose; cp root/backups/t.parquet root/backups/loose/
         sqlite3 old.db .dump | gzip > root/backups/dump.sql.gz
         sqlite3 -header -csv old.db 'select * from t' > t.csv
         tar -czf root/backups/all.tar.gz t.csv
         cp old.db root/backups/app.db
         mkdir root/backups/duck
         cp root/backups/t.parquet root/backups/duck/main.parquet
         cp root/backups/t.parquet root/backups/duck/hr_u.parquet
         echo 'CREATE TABLE t(id BIGINT); CREATE TABLE hr.u(id BIGINT);' > root/backups/duck/schema.sql
         for pair in t:main hr.u:hr_u; do
             echo \"COPY ${pair%:*} FROM '/out/${pair#*:}.parquet' (FORMAT 'parquet');\"
         done > root/backups/duck/load.sql
         mkdir -p root/backups/hive/t/day=2024-03-14 root/backups/export/app/public.t/1
         cp root/backups/t.parquet root/backups/hive/t/day=2024-03-14/data_0.parquet
         cp root/backups/t.parquet root/backups/export/app/public.t/1/part-00000-0c6d.gz.parquet
         echo '{\"status\":\"COMPLETE\"}' > root/backups/export/export_info_export.json
         echo '{\"perTableStatus\":[{\"target\":\"app.public.t\",\"status\":\"COMPLETE\"}]}' \\
             > root/backups/export/export_tables_info_export_from_1_to_1.json",
    );
    sandbox.sqlite("live.db", "delete from t where id % 10 = 0");
    sandbox
}

/// Restores from the location into a copy of live: the rows must be those of the backup.
#[track_caller]
fn brings_back(store: &Store, sandbox: &Sandbox, location: &str) {
    std::fs::copy(sandbox.path("live.db"), sandbox.path("copy.db")).unwrap();
    let words = ["restore", "--live", "copy.db", "--backup", location, "--table", "t", "--yes"];
    store.run(sandbox, &words, SECRET).exits(0);
    assert_eq!(sandbox.dump("copy.db"), sandbox.dump("old.db"), "{location}");
}

#[test]
fn rows_come_back_from_every_kind_of_object() {
    let sandbox = bucket();
    let store = Store::start(&sandbox.path("root"), true);
    for location in [
        "s3://backups/snaps",
        "s3://backups/snaps@latest~1",
        "s3://backups/t.parquet",
        "s3://backups/loose/",
        "s3://backups/duck",
        "s3://backups/hive",
        "s3://backups/hive/t",
        "s3://backups/export",
        "s3://backups/dump.sql.gz",
        "s3://backups/app.db",
        "s3://backups/all.tar.gz",
        "s3://backups/all.tar.gz!t.csv",
    ] {
        brings_back(&store, &sandbox, location);
    }
    let seen = store.run(&sandbox, &["inspect", "s3://backups/snaps"], SECRET).exits(0);
    assert!(seen.stdout.contains("s3://backups/snaps/"), "{}", seen.stdout);
    // One that is cut short is damaged, there as here.
    shell(&sandbox, "head -c 900 root/backups/dump.sql.gz > root/backups/cut.sql.gz");
    let words = ["diff", "--live", "live.db", "--backup", "s3://backups/cut.sql.gz"];
    let run = store.run(&sandbox, &words, SECRET).exits(7);
    assert!(run.stderr.contains("s3://backups/cut.sql.gz"), "{}", run.stderr);
}

#[test]
fn a_dump_of_mongodump_is_read_by_its_collections() {
    let sandbox = Sandbox::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mongo");
    let fixtures = fixtures.to_str().unwrap();
    shell(&sandbox, &format!("mkdir -p root/backups; cp -r {fixtures}/dump root/backups/dump"));
    sandbox.sqlite("shop.db", "create table awkward (_id text primary key not null, t text)");
    let store = Store::start(&sandbox.path("root"), true);
    let restore = "restore --live shop.db --backup s3://backups/dump --table awkward --yes";
    store.run(&sandbox, &restore.split(' ').collect::<Vec<_>>(), SECRET).exits(0);
    assert_eq!(sandbox.sqlite("shop.db", "select count(*) from awkward").trim(), "13");
    // Of what was not brought nothing is said, as if it were lost.
    let seen = store.run(&sandbox, &["inspect", "s3://backups/dump/shop"], SECRET).exits(0);
    assert!(seen.stdout.contains("seen is a view"), "{}", seen.stdout);
    assert!(!seen.stdout.contains("unfinished"), "{}", seen.stdout);
}

#[test]
fn a_file_of_a_web_server_is_a_backup() {
    let sandbox = bucket();
    let store = Store::start(&sandbox.path("root"), false);
    let url = format!("http://127.0.0.1:{}/backups", store.port);
    for name in ["t.parquet", "dump.sql.gz", "all.tar.gz!t.csv", "app.db"] {
        brings_back(&store, &sandbox, &format!("{url}/{name}"));
    }
    let words = ["inspect", &format!("{url}/none.sql")];
    let run = store.run(&sandbox, &words, SECRET).exits(2);
    assert!(run.stderr.contains("does not exist"), "{}", run.stderr);
}

#[test]
fn a_web_server_without_ranges_gives_the_whole_file() {
    let sandbox = bucket();
    // As it is, and as where a signed URL gives the right to read and to nothing else.
    for code in ["pass", "do_HEAD = lambda self: self.send_error(403)"] {
        let store = Store::python(&sandbox.path("root/backups"), code);
        let url = format!("http://127.0.0.1:{}", store.port);
        for name in ["t.parquet", "dump.sql.gz", "all.tar.gz!t.csv", "app.db"] {
            brings_back(&store, &sandbox, &format!("{url}/{name}"));
        }
        brings_back(&store, &sandbox, &format!("{url}/t.parquet?signature={SECRET}"));
        let none = format!("{url}/none.sql");
        store.run(&sandbox, &["inspect", &none], SECRET).exits(2).complains("does not exist");
        let words = ["inspect", &format!("{url}/app.db"), "--max-expanded-bytes", "100"];
        store.run(&sandbox, &words, SECRET).exits(5).complains("100 bytes");
        // What is elsewhere lies in no folder of this host.
        std::fs::create_dir_all(sandbox.path(".git")).unwrap();
        let url = format!("{url}/app.db");
        let told = store.run(&sandbox, &["doctor", "--live", "live.db", "--backup", &url], SECRET);
        assert!(told.stdout.contains(&url), "{}", told.stdout);
        assert!(!told.stdout.contains("work tree"), "{}", told.stdout);
        assert!(!told.stdout.contains("beside the live database"), "{}", told.stdout);
    }
}

#[test]
fn w8_an_answer_that_ends_early_is_no_backup() {
    let sandbox = bucket();
    // It says how long the file is, and gives less.
    let code = "copyfile = lambda self, source, to: to.write(source.read(100))";
    let store = Store::python(&sandbox.path("root/backups"), code);
    for name in ["t.parquet", "dump.sql.gz", "app.db"] {
        let words = ["diff", "--live", "live.db", "--backup"];
        let url = format!("http://127.0.0.1:{}/{name}", store.port);
        let run = store.run(&sandbox, &[&words[..], &[&url]].concat(), SECRET);
        assert!(matches!(run.code, 2 | 7) && run.stderr.contains(&url), "{name}: {run:?}");
    }
}

#[test]
fn w18_what_a_store_refuses_is_told_without_a_secret() {
    let sandbox = bucket();
    let store = Store::start(&sandbox.path("root"), true);
    let fails = |store: &Store, location: &str, secret: &str, words: &str| {
        let run = store.run(&sandbox, &["inspect", location], secret).exits(2);
        assert!(run.stderr.contains(words), "{location}: no {words:?} in\n{}", run.stderr);
        assert!(run.stderr.contains(location.split('!').next().unwrap()), "{}", run.stderr);
    };
    fails(&store, "s3://nowhere/t.parquet", SECRET, "does not exist");
    fails(&store, "s3://nowhere", SECRET, "does not exist");
    fails(&store, "s3://backups/none.sql", SECRET, "does not exist");
    fails(&store, "s3://backups/t.parquet", "wrong-wrong-wrong-wrong", "credentials");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut gone = Store::start(&sandbox.path("root"), true);
    gone.port = closed;
    fails(&gone, "s3://backups/t.parquet", SECRET, "can't be read");
    let run = sandbox.run("inspect http://example.org/t.parquet").exits(5);
    assert!(run.stderr.contains("without encryption"), "{}", run.stderr);
}

/// Runs the program with a file as its stdin.
fn fed(sandbox: &Sandbox, words: &[&str], file: &str) -> Run {
    let mut command = sandbox.command(words);
    command.stdin(std::fs::File::open(sandbox.path(file)).unwrap());
    let run = Run::of(command.output().unwrap());
    assert!(!run.stderr.contains("/tmp/restorekit-"), "a private path is shown:\n{}", run.stderr);
    run
}

#[test]
fn a_stream_is_a_backup() {
    let sandbox = bucket();
    shell(
        &sandbox,
        "gzip -k t.csv; xz -k root/backups/t.parquet; sqlite3 -json old.db 'select * from t' > t.json",
    );
    for file in [
        "root/backups/app.db",
        "root/backups/dump.sql.gz",
        "root/backups/t.parquet",
        "root/backups/t.parquet.xz",
        "root/backups/all.tar.gz",
        "t.csv",
        "t.csv.gz",
        "t.json",
    ] {
        std::fs::copy(sandbox.path("live.db"), sandbox.path("copy.db")).unwrap();
        let words = ["restore", "--live", "copy.db", "--backup", "-", "--table", "t", "--yes"];
        fed(&sandbox, &words, file).exits(0);
        assert_eq!(sandbox.dump("copy.db"), sandbox.dump("old.db"), "{file}");
    }
    // It is not remembered, so what is typed next says so.
    let diff = ["diff", "--live", "live.db", "--backup", "-", "--table", "t"];
    let seen = fed(&sandbox, &diff, "root/backups/app.db").exits(1);
    assert!(seen.stdout.contains("--backup -"), "{}", seen.stdout);
    sandbox.run("diff").exits(2).complains("no live database is named");
    shell(&sandbox, "head -c 900 root/backups/dump.sql.gz > cut.gz");
    fed(&sandbox, &diff, "cut.gz").exits(7).complains("-!");
    let twice = [&diff[..], &["--backup", "-"]].concat();
    fed(&sandbox, &twice, "root/backups/app.db").exits(2).complains("one stream");
    let sql = ["sql", "--live", "live.db", "--backup", "-"];
    fed(&sandbox, &sql, "root/backups/app.db").exits(2).complains("stdin is the backup");
    let seen = fed(&sandbox, &["inspect", "-"], "root/backups/dump.sql.gz").exits(0);
    assert!(seen.stdout.contains("SQLite dump"), "{}", seen.stdout);
}
