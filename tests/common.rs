//! What the tests share: the program, databases made with the sqlite3 shell, and whole
//! databases compared by the shell's own words.

pub mod mariadb;
pub mod postgres;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;

/// A private folder with its own state folder, in which the program runs.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// An empty sandbox.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// An empty sandbox in memory, where there is some: for many writes that each wait for
    /// the disk. What a kill leaves behind is the same.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self { folder: folder.unwrap() }
    }

    /// A path below the sandbox.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with these arguments, in the sandbox, with nothing of the caller's
    /// environment that it would read.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_restorekit"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in ["RESTOREKIT_LIVE", "RESTOREKIT_BACKUP", "RESTOREKIT_TABLE", "NO_COLOR"] {
            command.env_remove(name);
        }
        for name in ["MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_PWD", "MYSQL_HOME"] {
            command.env_remove(name);
        }
        command
            .env("TZ", "UTC")
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("config"));
        command
    }

    /// Runs the program with arguments split at spaces.
    pub fn run(&self, arguments: &str) -> Run {
        self.run_all(arguments.split_whitespace())
    }

    /// Runs the program with these arguments.
    pub fn run_all<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        Run::of(self.command(arguments).output().unwrap())
    }

    /// Runs the program with these arguments as if it were that time, UTC.
    pub fn at<S: AsRef<OsStr>>(&self, time: &str, arguments: impl IntoIterator<Item = S>) -> Run {
        let program = self.command(arguments);
        let mut then = Command::new("faketime");
        then.args(["-f", &format!("@{time}")]).arg(program.get_program()).args(program.get_args());
        then.current_dir(self.path("")).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => then.env(name, value),
                None => then.env_remove(name),
            };
        }
        Run::of(then.output().expect("tests/run.sh installs faketime"))
    }

    /// Types a line on a terminal, with programs looked for in `path`, and then each answer
    /// once its question is seen, which is looked for behind the one before.
    pub fn typed(&self, path: &str, line: &str, answers: &[(&str, &str)]) -> Run {
        let answers = answers.iter().map(|(question, answer)| (*question, || (*answer).to_owned()));
        self.talked(path, line, answers)
    }

    /// The same, with something done before each answer.
    pub fn talked<'q>(
        &self,
        path: &str,
        line: &str,
        answers: impl IntoIterator<Item = (&'q str, impl FnOnce() -> String)>,
    ) -> Run {
        let mut shell = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(format!("set -o pipefail; {line}"))
            .arg("/dev/null")
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", path)
            .env("SHELL", "/bin/bash")
            .env("TERM", "xterm")
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("script, of util-linux, gives a terminal");
        // Held open: the end of what is typed would be an answer too.
        let mut keyboard = shell.stdin.take().unwrap();
        let mut seen = Vec::new();
        let mut screen = shell.stdout.take().unwrap();
        let mut bytes = [0; 4096];
        let mut answers = answers.into_iter();
        let mut next = answers.next();
        let mut behind = 0;
        loop {
            while let Some((question, _)) = &next
                && let Some(at) = memchr::memmem::find(&seen[behind..], question.as_bytes())
                && let Some((question, answer)) = next.take()
            {
                behind += at + question.len();
                next = answers.next();
                keyboard.write_all(answer().as_bytes()).unwrap();
                keyboard.flush().unwrap();
            }
            match screen.read(&mut bytes).unwrap() {
                0 => break,
                read => seen.extend_from_slice(&bytes[..read]),
            }
        }
        let mut run = Run::of(shell.wait_with_output().unwrap());
        run.stdout = String::from_utf8_lossy(&seen).into_owned();
        drop(keyboard);
        let never = next.map(|(question, _)| question);
        assert!(never.is_none(), "{never:?} was never seen:\n{}", run.stdout);
        run
    }

    /// Runs SQL in the sqlite3 shell on a database of the sandbox, made when missing.
    pub fn sqlite(&self, database: &str, sql: &str) -> String {
        sqlite(&self.path(database), sql)
    }

    /// `old.db` with a table `t` of the rows 1 to `rows`, and `live.db`, a copy of it.
    pub fn numbered(&self, rows: u64) {
        self.sqlite(
            "old.db",
            &format!(
                "create table t (id integer primary key, v text);
                 with recursive n (i) as (select 1 union all select i + 1 from n where i < {rows})
                 insert into t select i, 'back' from n;"
            ),
        );
        std::fs::copy(self.path("old.db"), self.path("live.db")).unwrap();
    }

    /// Runs a script of SQL and of the shell's own commands.
    #[track_caller]
    pub fn sqlite_script(&self, database: &str, script: &str) {
        let mut shell = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .arg(self.path(database))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success(), "{script}");
    }

    /// Everything a database holds, table by table: each cell's storage class and bytes in
    /// the shell's own words.
    pub fn dump(&self, database: &str) -> String {
        dump(&self.path(database))
    }
}

/// Every file and folder below a folder, with the bytes of files.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
            all.insert(path, Vec::new());
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// What a run of the program gave.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// What a finished run of the program gave.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error has these words.
    #[track_caller]
    pub fn complains(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "no {words:?} in stderr:\n{}", self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("{e} in stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

/// A small generator (Knuth's MMIX constants); its seed stands in every message.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to `n`, without it.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % n
    }

    /// One of these.
    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A number from the environment, to repeat or prolong a test.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seed of a random test: `RESTOREKIT_SEED`, else the clock.
pub fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    number("RESTOREKIT_SEED").unwrap_or(now.as_micros() as u64)
}

/// Runs SQL in the sqlite3 shell.
#[track_caller]
pub fn sqlite(database: &Path, sql: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-batch", "-bail", "-cmd", ".timeout 5000"])
        .arg(database)
        .arg(sql)
        .output()
        .expect("the sqlite3 shell is installed by tests/run.sh");
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A database's content in the shell's own words: storage class and bytes of each cell.
pub fn dump(database: &Path) -> String {
    let tables =
        sqlite(database, "select name from sqlite_schema where type = 'table' order by name");
    let mut all = String::new();
    for table in tables.lines() {
        let quoted = format!("\"{}\"", table.replace('"', "\"\""));
        let text = table.replace('\'', "''");
        let columns = sqlite(database, &format!("select name from pragma_table_xinfo('{text}')"));
        let cells: Vec<String> = columns
            .lines()
            .map(|c| {
                let c = format!("\"{}\"", c.replace('"', "\"\""));
                format!(
                    "typeof({c}) || ':' || case typeof({c}) when 'real' then printf('%!.17g', {c}) \
                     when 'integer' then {c} when 'null' then '' else hex({c}) end"
                )
            })
            .collect();
        let row = cells.join(" || '|' || ");
        all.push_str(&format!("-- {table}\n"));
        all.push_str(&sqlite(database, &format!("select {row} from {quoted} order by 1")));
    }
    all
}

/// A file of the Chinook sample database, which stands beside the project, or in the folder
/// that RESTOREKIT_SHARED names; `None`, said on stderr, where it is not on this machine.
pub fn sample(name: &str) -> Option<PathBuf> {
    let named = std::env::var_os("RESTOREKIT_SHARED").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let file = named.clone().unwrap_or_else(beside).join("data").join(name);
    if file.is_file() {
        return Some(file);
    }
    assert!(named.is_none(), "{} is missing", file.display());
    // Written past the test harness, which would keep it to itself.
    let said = writeln!(
        std::io::stderr(),
        "SKIPPED: {} is missing; name its folder in RESTOREKIT_SHARED",
        file.display()
    );
    said.unwrap();
    None
}
