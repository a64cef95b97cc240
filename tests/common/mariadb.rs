//! A MariaDB server of the tests' own, from the installed binaries: on a free port and a
//! socket in a private folder, started once a process, gone when the process is, however it
//! ends. Each test has a database of its own on it.
//!
//! The client that looks at results is MariaDB's own, so that no decoder of ours is its
//! own judge.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    port: u16,
    /// The shell that ends the server when its standard input ends, which is this process's.
    _keeper: Child,
    /// Removed by the keeper too, should this process be killed.
    _removed: TempDir,
}

/// How a server is started: with what else than the usual.
const USUAL: &[&str] = &[
    "--skip-name-resolve",
    "--bind-address=127.0.0.1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=2",
    "--log-bin=bin",
    "--server-id=1",
    "--sync-binlog=0",
    "--max-connections=200",
    "--character-set-server=utf8mb4",
];

impl Server {
    /// The server that the tests of this process share.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// Starts one of its own, with more options.
    pub fn start(options: &[&str]) -> Server {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let removed = folder.unwrap();
        let folder = removed.path().to_owned();
        let installed = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .args(as_root())
            .output()
            .expect("MariaDB is installed by tests/run.sh");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stdout));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // A server that is killed is started again, as a supervisor would.
        let script = "(while :; do \"$@\" >>\"$0/log\" 2>&1; done) & loop=$!; cat >/dev/null; \
                      kill -9 $loop; kill -9 $(cat \"$0/pid\"); rm -rf \"$0\"";
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(script)
            .arg(&folder)
            .args(["mariadbd", "--no-defaults"])
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("socket").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--port={port}"))
            .args(USUAL)
            .args(options)
            .args(as_root())
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { folder, port, _keeper: keeper, _removed: removed };
        server.wait();
        // A user who comes by TCP, and one who needs a password.
        server.sql(
            "create user tcp@'%'; grant all on *.* to tcp@'%'; \
             create user secretive@'%' identified by 'hunter2'; \
             grant all on *.* to secretive@'%'",
        );
        server
    }

    /// Waits until it answers.
    fn wait(&self) {
        let began = Instant::now();
        while !self.client(&["-e", "select 1"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "MariaDB does not start:\n{log}");
            std::thread::yield_now();
        }
    }

    /// Kills the server as a power cut would, and waits until it has recovered.
    pub fn crash(&self) {
        let number = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        let killed = Command::new("kill").args(["-9", number.trim()]).status().unwrap();
        assert!(killed.success());
        while std::fs::exists(format!("/proc/{}", number.trim())).unwrap() {
            std::thread::yield_now();
        }
        self.wait();
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("mariadb");
        command
            .args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"])
            .args(["--default-character-set=utf8mb4", "--init-command=set time_zone = '+00:00'"])
            .arg(format!("--socket={}", self.socket().display()))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs SQL in the server's own client, without a database.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        output(self.client(&["-e", sql]), sql)
    }

    /// Runs a statement that shows one row, a line a column: `Name: value`.
    #[track_caller]
    pub fn shown(&self, sql: &str) -> String {
        output(self.client(&["--column-names", "--vertical", "-e", sql]), sql)
    }

    /// A new, empty database.
    pub fn database(&'static self) -> Database {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        self.sql(&format!("create database {name}"));
        Database { server: self, name }
    }
}

/// mariadbd does not run as root unless told to.
fn as_root() -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    root.then_some("--user=root")
}

#[track_caller]
fn output(mut command: Command, sql: &str) -> String {
    let output = command.output().unwrap();
    let short: String = sql.chars().take(2000).collect();
    assert!(output.status.success(), "{short}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A database of one test.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its server.
    pub server: &'static Server,
    /// Its name.
    pub name: String,
}

impl Database {
    /// A new database of the shared server, after these statements.
    #[track_caller]
    pub fn with(sql: &str) -> Self {
        let database = Server::shared().database();
        if !sql.is_empty() {
            database.sql(sql);
        }
        database
    }

    /// Its URL, by socket as root.
    pub fn url(&self) -> String {
        format!("mysql://root@localhost/{}?socket={}", self.name, self.server.socket().display())
    }

    /// Its URL by TCP, as this user (and password: `user:password`).
    pub fn url_as(&self, who: &str) -> String {
        format!("mysql://{who}@127.0.0.1:{}/{}", self.server.port(), self.name)
    }

    /// The server's own client, in this database.
    pub fn client(&self) -> Command {
        self.server.client(&[&self.name])
    }

    /// Runs SQL in the server's own client; cells are separated by tabs.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        // Through a file: a statement may be longer than an argument.
        let mut script = tempfile::tempfile().unwrap();
        use std::io::{Seek, Write};
        script.write_all(sql.as_bytes()).unwrap();
        script.rewind().unwrap();
        let mut client = self.client();
        client.stdin(script);
        output(client, sql)
    }

    /// Writes the database into this file as `mariadb-dump` does, gzipped.
    #[track_caller]
    pub fn dump_into(&self, file: &Path) {
        let line = "mariadb-dump --no-defaults --user=root --socket=\"$1\" \
            --default-character-set=utf8mb4 --single-transaction \"$2\" | gzip > \"$3\"";
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-ec", line, "dump"]);
        shell.arg(self.server.socket()).arg(&self.name).arg(file);
        output(shell, "mariadb-dump");
    }

    /// A table's rows as the server itself has them: each cell's bytes in hexadecimal,
    /// doubles in the shortest form that tells them apart.
    #[track_caller]
    pub fn dump(&self, table: &str) -> String {
        self.dump_of(&format!("and table_name = '{table}'"))
    }

    /// All its tables' rows, as [`Database::dump`] has them.
    #[track_caller]
    pub fn dump_all(&self) -> String {
        self.dump_of("")
    }

    #[track_caller]
    fn dump_of(&self, which: &str) -> String {
        let columns = self.sql(&format!(
            "select table_name, column_name, data_type from information_schema.columns \
             where table_schema = database() {which} order by table_name, ordinal_position"
        ));
        let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in columns.lines() {
            let [table, name, kind] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            tables.entry(table).or_default().push(match kind {
                "float" | "double" => format!("ifnull(concat(`{name}` + 0e0), 'null')"),
                "decimal" => format!("ifnull(concat(`{name}`), 'null')"),
                _ => format!("ifnull(hex(`{name}`), 'null')"),
            });
        }
        let rows = tables.iter().map(|(table, cells)| {
            format!("select {} from `{table}` order by 1, 2;\n", cells.join(", "))
        });
        self.sql(&rows.collect::<String>())
    }
}
