//! What a URL does not say, as MySQL's and MariaDB's own clients find it: option files and
//! environment variables.
//!
//! Source of the rules: "Using Option Files" and "Environment Variables" of the MySQL 8.4
//! manual, "Configuring MariaDB with Option Files". The URL wins over the files, a later file
//! over an earlier one, and any file over the environment:
//!
//! ```text
//! /etc/my.cnf, /etc/mysql/my.cnf, $MYSQL_HOME/my.cnf, ~/.my.cnf     [client], [client-server],
//!                                                                   [client-mariadb], [restorekit]
//! MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_UNIX_PORT, MYSQL_PWD, USER
//! ```
//!
//! As with those clients, `localhost` without a port is a socket where there is one, and a
//! file that everybody may write is passed over. Login paths (`~/.mylogin.cnf`) are not read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// The groups that a client of no particular name reads.
const GROUPS: [&str; 4] = ["client", "client-server", "client-mariadb", "restorekit"];

/// Where servers put their sockets when nobody says where.
const SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// How deep files may include one another.
const DEPTH: usize = 10;

/// What need not be escaped in a part of a URL.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Completes a URL from the usual option files. `environment` gives a variable's value.
///
/// # Errors
/// `Usage` for an option file with a line that is none. No message quotes a line.
pub(crate) fn complete(
    url: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<SecretString> {
    let mut files: Vec<PathBuf> = vec!["/etc/my.cnf".into(), "/etc/mysql/my.cnf".into()];
    let home = ["MARIADB_HOME", "MYSQL_HOME"].iter().find_map(|name| environment(name));
    files.extend(home.map(|folder| Path::new(&folder).join("my.cnf")));
    files.extend(environment("HOME").map(|folder| Path::new(&folder).join(".my.cnf")));
    let sockets = SOCKETS.iter().map(PathBuf::from).collect::<Vec<_>>();
    complete_from(url, environment, &files, &sockets)
}

/// A completed URL with this password.
pub(crate) fn with_password(url: &str, password: &SecretString) -> SecretString {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let named = [("password".to_owned(), password.clone())];
    Options(BTreeMap::from(named)).into_url(scheme, rest, &[])
}

fn complete_from(
    url: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    files: &[PathBuf],
    sockets: &[PathBuf],
) -> Result<SecretString> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(url.into()) };
    let mut options = Options::default();
    for (name, variable) in [
        ("host", "MYSQL_HOST"),
        ("port", "MYSQL_TCP_PORT"),
        ("socket", "MYSQL_UNIX_PORT"),
        ("user", "USER"),
        ("password", "MYSQL_PWD"),
    ] {
        if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
            options.0.insert(name.into(), value.into());
        }
    }
    for file in files {
        options.read(file, DEPTH)?;
    }
    Ok(options.into_url(scheme, rest, sockets))
}

/// Options by name, with `-` for `_`.
#[derive(Debug, Default)]
struct Options(BTreeMap<String, SecretString>);

impl Options {
    /// Reads a file where there is one.
    fn read(&mut self, file: &Path, depth: usize) -> Result<()> {
        let Ok(about) = fs::metadata(file) else { return Ok(()) };
        if !about.is_file() || about.permissions().mode() & 0o002 != 0 {
            return Ok(());
        }
        let Ok(text) = fs::read(file) else { return Ok(()) };
        self.parse(&String::from_utf8_lossy(&text), file, depth)
    }

    fn parse(&mut self, text: &str, file: &Path, depth: usize) -> Result<()> {
        let mut ours = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = || {
                Error::usage(format!("{} line {}: this is no option", file.display(), number + 1))
                    .hint("option files: [client], then name=value a line")
            };
            if let Some(directive) = line.strip_prefix('!') {
                let (word, place) = directive.split_once(char::is_whitespace).ok_or_else(wrong)?;
                self.include(word, Path::new(place.trim()), depth)?;
            } else if let Some(group) = line.strip_prefix('[') {
                let (name, _) = group.split_once(']').ok_or_else(wrong)?;
                ours = GROUPS.contains(&name.trim());
            } else if ours && !line.is_empty() && !line.starts_with(['#', ';']) {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let name = name.split('#').next().unwrap_or_default().trim().replace('_', "-");
                let name = name.strip_prefix("loose-").unwrap_or(&name);
                self.0.insert(name.to_owned(), unquoted(value).into());
            }
        }
        Ok(())
    }

    fn include(&mut self, word: &str, place: &Path, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        if word == "include" {
            return self.read(place, depth);
        }
        let Ok(entries) = fs::read_dir(place) else { return Ok(()) };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| word == "includedir" && file.extension().is_some_and(|e| e == "cnf"));
        files.sort();
        files.iter().try_for_each(|file| self.read(file, depth))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(SecretString::expose_secret).filter(|value| !value.is_empty())
    }

    /// The URL, with what it left out.
    fn into_url(self, scheme: &str, rest: &str, sockets: &[PathBuf]) -> SecretString {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (who, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (who, None),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (place, None),
        };
        let encoded = |name| self.get(name).map(|value| utf8_percent_encode(value, PLAIN));
        let mut url = format!("{scheme}://");
        match encoded("user") {
            Some(own) if user.is_empty() => url.push_str(&own.to_string()),
            _ => url.push_str(user),
        }
        match (password, encoded("password")) {
            (Some(password), _) => url.push_str(&format!(":{password}")),
            (None, Some(own)) => url.push_str(&format!(":{own}")),
            (None, None) => {}
        }
        let own = host.is_empty().then(|| self.get("host")).flatten();
        let host = own.unwrap_or(if host.is_empty() { "localhost" } else { host });
        let colons = host.contains(':') && !host.starts_with('[');
        let host = if colons { format!("[{host}]") } else { host.to_owned() };
        url.push_str(&format!("@{host}"));
        let names: Vec<&str> =
            query.split('&').map(|part| part.split('=').next().unwrap_or_default()).collect();
        let socket = match host == "localhost" && port.is_none() && !names.contains(&"socket") {
            true => self.get("socket").map(Path::new).or_else(|| {
                let there = sockets.iter().find(|path| fs::metadata(path).is_ok());
                there.map(PathBuf::as_path)
            }),
            false => None,
        };
        match (port, self.get("port")) {
            (Some(port), _) => url.push_str(&format!(":{port}")),
            (None, Some(own)) if socket.is_none() => url.push_str(&format!(":{own}")),
            _ => {}
        }
        url.push_str(path);
        let mut query = query.to_owned();
        let mut add = |name: &str, value: &str| {
            let joint = if query.is_empty() { "" } else { "&" };
            query.push_str(&format!("{joint}{name}={}", utf8_percent_encode(value, PLAIN)));
        };
        if let Some(socket) = socket {
            add("socket", &socket.to_string_lossy());
        }
        for name in ["ssl-ca", "ssl-cert", "ssl-key"] {
            if let Some(own) = self.get(name)
                && !names.contains(&name)
                && !names.contains(&name.replace('-', "").as_str())
            {
                add(name, own);
            }
        }
        // Less than verified off this host is not taken from a file either.
        let mode = self.get("ssl-mode").map(str::to_ascii_lowercase);
        let told = names.contains(&"ssl-mode") || names.contains(&"sslmode");
        if let Some(mode) = mode.filter(|mode| mode.starts_with("verify") && !told) {
            add("ssl-mode", &mode);
        }
        if !query.is_empty() {
            url.push_str(&format!("?{query}"));
        }
        url.into()
    }
}

/// A value without the comment behind it and without its quotes.
fn unquoted(text: &str) -> String {
    let (mut quote, mut escaped, mut end) = (None, false, text.len());
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('#', None) => {
                end = at;
                break;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open && !escaped => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    let text = text[..end].trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| text.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote)));
    let mut out = String::new();
    let mut chars = inner.unwrap_or(text).chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('s') => out.push(' '),
            Some(c @ ('\\' | '"' | '\'')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The URL that these files (each after the one before) and variables make of `url`.
    fn completed(url: &str, files: &[&str], variables: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> =
            (0..files.len()).map(|n| folder.path().join(n.to_string())).collect();
        for (path, text) in paths.iter().zip(files) {
            fs::write(path, text.replace("DIR", &folder.path().to_string_lossy())).unwrap();
        }
        let look = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
        };
        complete_from(url, &look, &paths, &[]).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn the_url_wins_then_the_last_file_then_the_environment() {
        let first = "[client]\nuser=a\npassword = one\n[mysqld]\nport=1\n";
        let second = "[client]\nport=33\n[restorekit]\nuser=b\n";
        let variables = [("USER", "me"), ("MYSQL_PWD", "env"), ("MYSQL_TCP_PORT", "44")];
        let all = |url| completed(url, &[first, second], &variables);
        assert_eq!(all("mysql://db1/app"), "mysql://b:one@db1:33/app");
        assert_eq!(all("mysql://c:two@db1:55/app?x=1"), "mysql://c:two@db1:55/app?x=1");
        assert_eq!(completed("mysql://db1/app", &[], &variables), "mysql://me:env@db1:44/app");
        assert_eq!(completed("mysql:///app", &[], &[("MYSQL_HOST", "h")]), "mysql://@h/app");
        assert_eq!(completed("app.db", &[first], &variables), "app.db");
    }

    #[test]
    fn localhost_is_a_socket_where_there_is_one() {
        let file = "[client-server]\nsocket = /run/a b.sock\nport=77\n";
        let with = |url| completed(url, &[file], &[]);
        assert_eq!(with("mysql:///app"), "mysql://@localhost/app?socket=%2Frun%2Fa%20b.sock");
        assert_eq!(with("mysql://u@localhost:1/app"), "mysql://u@localhost:1/app");
        assert_eq!(with("mysql://u@127.0.0.1/app"), "mysql://u@127.0.0.1:77/app");
        assert_eq!(with("mysql://u@[::1]/app"), "mysql://u@[::1]:77/app");
        assert_eq!(
            with("mysql://u@localhost/app?socket=/x"),
            "mysql://u@localhost:77/app?socket=/x"
        );
    }

    #[test]
    fn lines_are_read_as_the_clients_read_them() {
        let cases = [
            ("password=a#b", "a"),
            ("password='a#b' # that one", "a#b"),
            (r#"password="a\\b\"c""#, "a\\b\"c"),
            (r"password=x\sy\q", "x y\\q"),
            ("password = p=q;r ", "p=q;r"),
            ("loose_password=z", "z"),
            ("password\nuser=u", ""),
            ("# password=no\n;password=no\npassword=yes", "yes"),
            ("password=no\npassword=last", "last"),
        ];
        for (lines, password) in cases {
            let mut options = Options::default();
            options.parse(&format!("[client]\n{lines}\n"), Path::new("f"), 1).unwrap();
            assert_eq!(options.get("password").unwrap_or_default(), password, "{lines}");
        }
        let encoded = completed("mysql://u@h/a", &["[client]\npassword=\"p@/:%\""], &[]);
        assert_eq!(encoded, "mysql://u:p%40%2F%3A%25@h/a");
    }

    #[test]
    fn files_include_others() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("conf.d");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("b.cnf"), "[client]\nuser=b\n").unwrap();
        fs::write(inner.join("a.cnf"), "[client]\nuser=a\nport=9\n").unwrap();
        fs::write(inner.join("c.txt"), "[client]\nuser=c\n").unwrap();
        let own = folder.path().join("own");
        fs::write(&own, format!("!include {}\n", own.display())).unwrap();
        let file = format!("!includedir {}\n!include {}\n", inner.display(), own.display());
        assert_eq!(completed("mysql://h/a", &[&file], &[]), "mysql://b@h:9/a");
    }

    #[test]
    fn w2_what_is_wrong_is_not_quoted_and_what_all_may_write_is_not_read() {
        let wrong = Options::default().parse("[client\npassword=hunter2", Path::new("f"), 1);
        let e = wrong.unwrap_err();
        assert_eq!(e.to_string(), "f line 1: this is no option");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.cnf");
        fs::write(&file, "[client]\npassword=hunter2\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let mut options = Options::default();
        options.read(&file, 1).unwrap();
        assert_eq!(options.get("password"), None);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        options.read(&file, 1).unwrap();
        assert_eq!(options.get("password"), Some("hunter2"));
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn tls_files_are_taken_and_weaker_tls_is_not() {
        let file = "[client]\nssl-ca=/ca.pem\nssl_mode=REQUIRED\n";
        assert_eq!(completed("mysql://u@db1/a", &[file], &[]), "mysql://u@db1/a?ssl-ca=%2Fca.pem");
        let file = "[client]\nssl-ca=/ca.pem\nssl_mode=VERIFY_CA\n";
        assert_eq!(
            completed("mysql://u@db1/a?sslca=/own", &[file], &[]),
            "mysql://u@db1/a?sslca=/own&ssl-mode=verify_ca"
        );
    }
}
