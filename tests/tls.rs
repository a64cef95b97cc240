//! TLS to real servers: one is taken for the server only by a certificate for its host that an authority
//! signed which is trusted, and nothing is told to any other.
//!
//! 127.0.0.2 and 127.0.0.3 are this machine, and to the program any other.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

use crate::common::{Run, Sandbox, mariadb, postgres};

const TABLE: &str = "create table t(id int primary key, v varchar(20));
     insert into t values (1, 'a'), (2, 'b'), (3, 'c');";

/// Two authorities, `ca.pem` and `other.pem`, and certificates of the first: `cert.pem` for 127.0.0.2 and
/// db.example, and `nameless.pem` for no host.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        let folder = made.folder.path();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let names = "subjectAltName=IP:127.0.0.2,DNS:db.example\n";
        fs::write(folder.join("names"), names).unwrap();
        for authority in ["ca", "other"] {
            made.openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} \
                 -keyout {authority}.key -out {authority}.pem"
            ));
        }
        made.openssl("req -newkey rsa:2048 -nodes -subj /CN=db -keyout key.pem -out request.pem");
        let sign = "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
        made.openssl(&format!("{sign} -extfile names -out cert.pem"));
        fs::write(folder.join("empty.pem"), "a certificate, once\n").unwrap();
        made
    }

    fn openssl(&self, arguments: &str) {
        let done = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed by tests/run.sh");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Live's URL as one with a password: of a host, and parameters behind it.
type Url = Box<dyn Fn(&str, &str) -> String>;

/// One kind of server, and how its own clients call things.
struct Kind {
    url: Url,
    authority: &'static str,
    mode: &'static str,
    /// The mode that looks at no host's name, and one that looks at nothing.
    weaker: [&'static str; 2],
    /// What doctor says of an encrypted line.
    encrypted: &'static str,
    /// Whom the server saw since it was last asked.
    seen: Box<dyn Fn() -> String>,
    backup: String,
    rows: Box<dyn Fn() -> String>,
}

fn run(sandbox: &Sandbox, live: &str, backup: &str) -> Run {
    sandbox.run_all(["diff", "--live", live, "--backup", backup])
}

/// What holds for each kind of server.
fn verified(kind: &Kind, certificates: &Certificates) {
    let sandbox = Sandbox::new();
    let Kind { url, authority, mode, backup, .. } = kind;
    let ca = format!("{authority}={}", certificates.file("ca.pem"));
    let live = url("127.0.0.2", &ca);

    // Known by its certificate, to read and to write, and again by what the plan remembers.
    let said = sandbox.run_all(["doctor", "--live", &live, "--format", "json"]).stdout;
    assert!(said.contains(kind.encrypted), "{said}");
    let line = ["restore", "--live", &live, "--backup", backup, "--yes"];
    sandbox.run_all(line).exits(0);
    assert_eq!((kind.rows)(), "3\n");
    let undo = sandbox.command(["undo", "--yes"]).env("RESTOREKIT_LIVE", &live).output().unwrap();
    Run::of(undo).exits(0);
    assert_eq!((kind.rows)(), "2\n");
    assert!((kind.seen)().contains("secretive"), "the server tells whom it let in");

    // Not known: what is wrong, what to type, and no word to it of who wanted in.
    let refused = |live: &str, words: &[&str]| {
        let run = run(&sandbox, live, backup).exits(2);
        for words in words {
            assert!(run.stderr.contains(words), "no {words:?}:\n{}", run.stderr);
        }
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        let seen = (kind.seen)();
        assert!(!seen.contains("secretive"), "it was told who wants in: {seen}");
    };
    let to_type = format!("?{authority}=FILE");
    let unknown =
        ["live: ", "no public authority signed its certificate", "no password was sent", &to_type];
    refused(&url("127.0.0.2", ""), &unknown);
    let other = certificates.file("other.pem");
    let by_other = url("127.0.0.2", &format!("{authority}={other}"));
    refused(&by_other, &[&format!("no authority of {other} and no public one signed"), &to_type]);
    let names = "its certificate is for 127.0.0.2, db.example, not for 127.0.0.3";
    let by_name = [names, "name the host as its certificate does"];
    refused(&url("127.0.0.3", &ca), &by_name);
    // Whoever has any certificate would pass, were the host's name not looked at.
    refused(&url("127.0.0.3", &format!("{mode}={}&{ca}", kind.weaker[0])), &by_name);
    let weak = url("127.0.0.2", &format!("{mode}={}&{ca}", kind.weaker[1]));
    refused(&weak, &["off this host the server is verified", &format!("{authority}=FILE")]);
    let gone = url("127.0.0.2", &format!("{authority}=/nowhere/ca.pem"));
    refused(&gone, &["the file /nowhere/ca.pem can't be read", "No such file"]);
    let empty = format!("{authority}={}", certificates.file("empty.pem"));
    refused(&url("127.0.0.2", &empty), &["holds no certificate", "BEGIN CERTIFICATE"]);
    let late = sandbox.at("2040-01-01 00:00:00", ["diff", "--live", &live, "--backup", backup]);
    late.exits(2).complains("its certificate has expired").complains("this clock");
    assert!(!(kind.seen)().contains("secretive"));

    // By another authority's certificate on this host too, where verifying is asked for.
    let here = format!("{mode}={}&{authority}={other}", kind.weaker[0]);
    refused(&url("127.0.0.1", &here), &["no authority of"]);
}

/// Lines that a log got since this was last called.
fn news(log: PathBuf) -> Box<dyn Fn() -> String> {
    let read = std::cell::Cell::new(0);
    Box::new(move || {
        let all = fs::read(&log).unwrap();
        let new = String::from_utf8_lossy(&all[read.get()..]).into_owned();
        read.set(all.len());
        new
    })
}

#[test]
fn w13_postgres_is_verified_by_its_certificate() {
    let certificates = Certificates::new();
    let key = certificates.file("key.pem");
    if fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
    {
        // The server runs as another, and its key is nobody else's.
        assert!(Command::new("chown").args(["postgres", &key]).status().unwrap().success());
    }
    let settings = [
        "listen_addresses=127.0.0.1,127.0.0.2,127.0.0.3",
        "ssl=on",
        "log_connections=on",
        &format!("ssl_cert_file={}", certificates.file("cert.pem")),
        &format!("ssl_key_file={key}"),
    ];
    let server: &'static postgres::Server = Box::leak(Box::new(postgres::Server::start(&settings)));
    let (live, backup) = (server.database(), server.database());
    live.sql(TABLE);
    backup.sql(TABLE);
    live.sql("delete from t where id = 2");
    let (name, port) = (live.name.clone(), server.port());
    let log = server.socket().join("log");
    let kind = Kind {
        url: Box::new(move |host, parameters| {
            format!("postgres://secretive:hunter2@{host}:{port}/{name}?{parameters}")
        }),
        authority: "sslrootcert",
        mode: "sslmode",
        weaker: ["verify-ca", "require"],
        encrypted: "TLSv1.3, TLS_",
        seen: news(log),
        backup: backup.url(),
        rows: Box::new(move || live.sql("select count(*) from t")),
    };
    verified(&kind, &certificates);

    // Where the clients look for it: PGSSLROOTCERT, and the file that psql has.
    let sandbox = Sandbox::new();
    let live = (kind.url)("127.0.0.2", "");
    let diff = ["diff", "--live", &live, "--backup", &kind.backup];
    let ca = certificates.file("ca.pem");
    Run::of(sandbox.command(diff).env("PGSSLROOTCERT", &ca).output().unwrap()).exits(1);
    let weak = sandbox.command(diff).env("PGSSLROOTCERT", &ca).env("PGSSLMODE", "prefer").output();
    Run::of(weak.unwrap()).exits(2).complains("off this host the server is verified");
    fs::create_dir_all(sandbox.path("home/.postgresql")).unwrap();
    fs::copy(&ca, sandbox.path("home/.postgresql/root.crt")).unwrap();
    sandbox.run_all(diff).exits(1);
}

#[test]
fn w13_mariadb_is_verified_by_its_certificate() {
    let certificates = Certificates::new();
    let server = mariadb::Server::start(&[
        "--bind-address=127.0.0.1,127.0.0.2,127.0.0.3",
        "--general-log",
        "--general-log-file=general",
        &format!("--ssl-cert={}", certificates.file("cert.pem")),
        &format!("--ssl-key={}", certificates.file("key.pem")),
    ]);
    let server: &'static mariadb::Server = Box::leak(Box::new(server));
    let (live, backup) = (server.database(), server.database());
    live.sql(TABLE);
    backup.sql(TABLE);
    live.sql("delete from t where id = 2");
    let (name, port) = (live.name.clone(), server.port());
    let log = server.socket().with_file_name("data").join("general");
    let kind = Kind {
        url: Box::new(move |host, parameters| {
            format!("mysql://secretive:hunter2@{host}:{port}/{name}?{parameters}")
        }),
        authority: "ssl-ca",
        mode: "ssl-mode",
        weaker: ["verify_ca", "required"],
        encrypted: ", TLS, ",
        seen: news(log),
        backup: backup.url(),
        rows: Box::new(move || live.sql("select count(*) from t")),
    };
    verified(&kind, &certificates);

    // Where the clients look for it.
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("home")).unwrap();
    let options = format!("[client]\nssl-ca={}\n", certificates.file("ca.pem"));
    fs::write(sandbox.path("home/.my.cnf"), options).unwrap();
    run(&sandbox, &(kind.url)("127.0.0.2", ""), &kind.backup).exits(1);
}

/// One who sends `greeting`, answers each message with `answer`, and keeps what it was told.
fn listener(greeting: Vec<u8>, answer: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(&greeting).unwrap();
        let (mut heard, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            heard.extend_from_slice(&bytes[..count]);
            if client.write_all(answer).is_err() {
                break;
            }
        }
        heard
    });
    (port, heard)
}

#[test]
fn w13_a_server_without_tls_is_told_nothing() {
    let sandbox = Sandbox::new();
    sandbox.sqlite("old.db", "create table t(id integer primary key)");
    // SSLRequest, 80877103 (PostgreSQL documentation, 55.7); `N` is no.
    let (port, heard) = listener(Vec::new(), b"N");
    let live = format!("postgres://secretive:hunter2@127.0.0.2:{port}/app");
    let told = run(&sandbox, &live, "old.db").exits(2).complains("can't be asked by TLS who it is");
    told.complains("ssl = on");
    assert_eq!(heard.join().unwrap(), [0, 0, 0, 8, 4, 210, 22, 47]);

    // The greeting of a server that has not the flag CLIENT_SSL (MySQL source documentation,
    // Protocol::HandshakeV10).
    let mut greeting =
        b"\x0a10.11.6-MariaDB\0\x01\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15".to_vec();
    greeting.extend_from_slice(&[0; 10]);
    greeting.extend_from_slice(b"ijklmnopqrst\0mysql_native_password\0");
    let mut packet = vec![greeting.len() as u8, 0, 0, 0];
    packet.append(&mut greeting);
    let (port, heard) = listener(packet, b"");
    let live = format!("mysql://secretive:hunter2@127.0.0.2:{port}/app");
    let told = run(&sandbox, &live, "old.db").exits(2).complains("can't be asked by TLS who it is");
    told.complains("ssl-cert");
    assert_eq!(heard.join().unwrap(), b"");
}
