//! A PostgreSQL server of the tests' own, from the installed binaries: on a free port and a
//! socket in a private folder, started once a process, gone when the process is, however it
//! ends. Each test has a database of its own on it.
//!
//! The client that looks at results is psql, so that no decoder of ours is its own judge.

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

/// Where the server's programs are: in RESTOREKIT_PGBIN, else the newest that Debian has.
fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("RESTOREKIT_PGBIN") {
        return named.into();
    }
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = folders.map(|entry| entry.path()).max_by_key(version);
    newest.expect("PostgreSQL is installed by tests/run.sh").join("bin")
}

/// The server does not run as root.
fn as_other() -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    let words = "setpriv --reuid=postgres --regid=postgres --clear-groups".split(' ');
    if root { words.map(str::to_owned).collect() } else { Vec::new() }
}

impl Server {
    /// The server that the tests of this process share.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// Starts one of its own, with more settings: `name=value`.
    pub fn start(settings: &[&str]) -> Server {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let removed = folder.unwrap();
        let folder = removed.path().to_owned();
        let other = as_other();
        if !other.is_empty() {
            let given = Command::new("chown").arg("postgres:postgres").arg(&folder).status();
            assert!(given.unwrap().success());
        }
        let command = |program: &str| {
            let mut words = other.clone();
            words.push(programs().join(program).display().to_string());
            words
        };
        let words = command("initdb");
        let made = Command::new(&words[0])
            .args(&words[1..])
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "-D"])
            .arg(folder.join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let hba = "local all all trust\nhost all secretive 127.0.0.0/8 scram-sha-256\n\
                   host all all 127.0.0.0/8 trust\n";
        std::fs::write(folder.join("data/pg_hba.conf"), hba).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // A server that is killed is started again, as a supervisor would.
        let script = "(while :; do \"$@\" >>\"$0/log\" 2>&1; done) & loop=$!; cat >/dev/null; \
                      kill -9 $loop; kill -9 $(head -1 \"$0/data/postmaster.pid\"); rm -rf \"$0\"";
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(script).arg(&folder).args(command("postgres"));
        keeper.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder);
        keeper.args(["-p", &port.to_string()]);
        let usual = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "full_page_writes=off",
            "shared_buffers=64MB",
            "max_connections=200",
            "password_encryption=scram-sha-256",
        ];
        for setting in usual.iter().chain(settings) {
            keeper.args(["-c", setting]);
        }
        let keeper = keeper
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Server { folder, port, _keeper: keeper, _removed: removed };
        server.wait();
        // One who needs a password, and one who owns nothing.
        server.sql(
            "create role secretive login superuser password 'hunter2'; create role guest login",
        );
        server
    }

    /// Waits until it answers.
    fn wait(&self) {
        let began = Instant::now();
        while !self.client("postgres", &["-c", "select 1"]).output().unwrap().status.success() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL does not start:\n{log}");
            std::thread::yield_now();
        }
    }

    /// Kills the server as a power cut would, and waits until it has recovered.
    pub fn crash(&self) {
        let file = self.folder.join("data/postmaster.pid");
        let number = std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned();
        let killed = Command::new("kill").args(["-9", number.trim()]).status().unwrap();
        assert!(killed.success());
        while std::fs::exists(format!("/proc/{}", number.trim())).unwrap() {
            std::thread::yield_now();
        }
        self.wait();
    }

    /// The major version.
    pub fn version(&self) -> u32 {
        self.sql("show server_version_num").trim().parse::<u32>().unwrap() / 10_000
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        &self.folder
    }

    /// psql with these arguments, without anyone's settings.
    pub fn client(&self, database: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", "postgres"])
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-d", database])
            .args(arguments)
            .env("PGTZ", "UTC")
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::null());
        command
    }

    /// Runs SQL in psql, in the database `postgres`.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        output(self.client("postgres", &["-c", sql]), sql)
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

fn arguments(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
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

    /// Its URL, by socket as the superuser.
    pub fn url(&self) -> String {
        let folder = self.server.socket().display();
        format!("postgres:///{}?host={folder}&port={}&user=postgres", self.name, self.server.port())
    }

    /// Its URL by TCP, as this user (and password: `user:password`).
    pub fn url_as(&self, who: &str) -> String {
        format!("postgres://{who}@127.0.0.1:{}/{}", self.server.port(), self.name)
    }

    /// Runs SQL in psql; cells are separated by tabs.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        // Through a file: a statement may be longer than an argument.
        let mut script = tempfile::tempfile().unwrap();
        use std::io::{Seek, Write};
        script.write_all(sql.as_bytes()).unwrap();
        script.rewind().unwrap();
        let mut client = self.server.client(&self.name, &[]);
        client.stdin(script);
        output(client, sql)
    }

    /// pg_dump of this database; `None` where it is older than the server, which it then does
    /// not read.
    #[track_caller]
    fn pg_dump(&self, flags: &[&str]) -> Option<String> {
        let beside = programs().join("pg_dump");
        let program = if beside.exists() { beside } else { "pg_dump".into() };
        let said = output(arguments(&program, &["--version"]), "pg_dump");
        let major = said.split_whitespace().last()?.split('.').next()?.parse::<u32>().ok()?;
        if major < self.server.version() {
            return None;
        }
        let (folder, port) = (self.server.socket().display().to_string(), self.server.port());
        let port = port.to_string();
        let whom = ["-U", "postgres", "-h", &folder, "-p", &port, "-d", &self.name];
        Some(output(arguments(&program, &[&whom[..], flags].concat()), "pg_dump"))
    }

    /// Writes the database into this file as `pg_dump -Fc` does; false where pg_dump is older
    /// than the server.
    #[track_caller]
    pub fn archive_into(&self, file: &Path) -> bool {
        self.pg_dump(&["-Fc", "-f", &file.display().to_string()]).is_some()
    }

    /// The whole database as pg_dump writes it, its tables' rows in the order of their texts;
    /// `None` where pg_dump is older than the server.
    #[track_caller]
    pub fn dump_all(&self) -> Option<String> {
        let dump = self.pg_dump(&[])?;
        let (mut all, mut rows): (String, Option<Vec<&str>>) = (String::new(), None);
        // A word that is another each time.
        for line in
            dump.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"))
        {
            match &mut rows {
                Some(known) if line != "\\." => known.push(line),
                Some(known) => {
                    known.sort_unstable();
                    all.extend(known.iter().flat_map(|row| [row, "\n"]));
                    rows = None;
                }
                None if line.starts_with("COPY ") => rows = Some(vec![line]),
                None => all.extend([line, "\n"]),
            }
        }
        Some(all)
    }

    /// A table's rows as the server itself prints them.
    #[track_caller]
    pub fn dump(&self, table: &str) -> String {
        self.sql(&format!(
            "set extra_float_digits = 3; select line from (select whole::pg_catalog.text as line \
             from {table} as whole) as lines order by line collate \"C\""
        ))
    }
}
