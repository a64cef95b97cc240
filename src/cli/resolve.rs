//! Where a value comes from: flag, environment, `restorekit.toml`, the last diff of this
//! folder. Each carries its source, since the screen names it.
//!
//! The last diff is a convenience for a person who just looked at its screen. Its backup
//! is taken only with its own live, and its tables only with both, so that a value typed
//! for another database never meets a remembered one. A command that writes without
//! asking and without a terminal does not take it at all.

use std::fmt;
use std::path::Path;

use chrono::{DateTime, FixedOffset};

use crate::cli::args::Sides;
use crate::cli::config::Config;
use crate::cli::secret::redact;
use crate::error::{Error, Result};
use crate::registry::Location;
use crate::report::sides::Provenance;
use crate::report::text::ago;

/// Who named a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag of this command.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The configuration, by its name for screens.
    Config(String),
    /// The last diff of this folder, and when it ran.
    LastDiff(DateTime<FixedOffset>),
}

impl Source {
    /// The source in words, at this moment.
    pub fn words(&self, now: DateTime<FixedOffset>) -> String {
        match self {
            Source::LastDiff(at) => format!("the last diff, {}", ago(*at, now)),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) | Source::Environment(name) => f.write_str(name),
            Source::Config(name) => f.write_str(name),
            Source::LastDiff(_) => f.write_str("the last diff"),
        }
    }
}

/// A value and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// The value.
    pub value: T,
    /// Who named it.
    pub source: Source,
}

/// What the last diff of a folder compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Live, absolute.
    pub live: String,
    /// The backups, absolute.
    pub backup: Vec<String>,
    /// The tables that were named; none when it was every table.
    pub table: Vec<String>,
    /// When.
    pub at: DateTime<FixedOffset>,
}

/// All that values may come from.
pub struct Sources<'a> {
    /// The flags.
    pub flags: &'a Sides,
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The configuration.
    pub config: Option<&'a Config>,
    /// The last diff of this folder.
    pub remembered: Option<&'a Remembered>,
    /// False for a command that would write without asking and without a terminal.
    pub may_remember: bool,
    /// The folder against which relative paths are meant.
    pub folder: &'a Path,
}

/// What was found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Live.
    pub live: Option<Named<String>>,
    /// The backups, first wins.
    pub backup: Option<Named<Vec<String>>>,
    /// The tables; `None` means every table.
    pub table: Option<Named<Vec<String>>>,
    /// The key that was named for the tables.
    pub key: Vec<String>,
    /// Keys by table, from the configuration.
    pub keys: std::collections::BTreeMap<String, Vec<String>>,
    /// Columns not compared.
    pub ignore: Vec<String>,
    /// Set when the last diff would have helped but may not be used.
    passed_over: bool,
}

/// Finds each value's source.
pub fn resolve(from: &Sources<'_>) -> Resolved {
    let settings = from.config.map(|c| (&c.settings, c.name()));
    let config = |pick: &dyn Fn(&crate::cli::config::Settings) -> Vec<String>| {
        let (settings, name) = settings.as_ref()?;
        some(pick(settings)).map(|value| named(value, Source::Config(name.clone())))
    };
    let environment = |name: &'static str| {
        let value = (from.environment)(name).filter(|v| !v.is_empty())?;
        Some(named(vec![value], Source::Environment(name)))
    };
    let flag =
        |values: &[String], name| some(values.to_vec()).map(|v| named(v, Source::Flag(name)));

    let live = from.flags.live.clone().map(|v| named(vec![v], Source::Flag("--live")));
    let mut live = live
        .or_else(|| environment("RESTOREKIT_LIVE"))
        .or_else(|| config(&|s| s.live.iter().cloned().collect()));
    let mut backup = flag(&from.flags.backup, "--backup")
        .or_else(|| environment("RESTOREKIT_BACKUP"))
        .or_else(|| config(&|s| s.backup.clone()));
    let mut table = flag(&from.flags.table, "--table")
        .or_else(|| environment("RESTOREKIT_TABLE"))
        .or_else(|| config(&|s| s.table.clone()));

    let mut passed_over = false;
    if let Some(last) = from.remembered {
        let same = |typed: &str, kept: &str| absolute(from.folder, typed) == kept;
        let live_fits = live.as_ref().is_none_or(|l| same(&l.value[0], &last.live));
        let backup_fits = backup.as_ref().is_none_or(|b| {
            b.value.len() == last.backup.len()
                && b.value.iter().zip(&last.backup).all(|(typed, kept)| same(typed, kept))
        });
        if !from.may_remember {
            passed_over = live.is_none() || backup.is_none();
        } else if live_fits {
            let source = || Source::LastDiff(last.at);
            live = live.or_else(|| Some(named(vec![last.live.clone()], source())));
            backup = backup.or_else(|| some(last.backup.clone()).map(|b| named(b, source())));
            if backup_fits {
                table = table.or_else(|| some(last.table.clone()).map(|t| named(t, source())));
            }
        }
    }
    let ignored = settings.as_ref().map(|(s, _)| s.ignore.clone()).unwrap_or_default();
    Resolved {
        live: live.map(|l| Named { value: l.value.concat(), source: l.source }),
        backup,
        table,
        key: from.flags.key.clone(),
        keys: settings.as_ref().map(|(s, _)| s.key.clone()).unwrap_or_default(),
        ignore: if from.flags.ignore.is_empty() { ignored } else { from.flags.ignore.clone() },
        passed_over,
    }
}

fn some(values: Vec<String>) -> Option<Vec<String>> {
    (!values.is_empty()).then_some(values)
}

fn named<T>(value: T, source: Source) -> Named<T> {
    Named { value, source }
}

/// A location as it is meant from `folder`: URLs and absolute paths stay.
pub fn absolute(folder: &Path, location: &str) -> String {
    let below = |path: &Path| folder.join(path).to_string_lossy().into_owned();
    match Location::parse(location).map(Location::path) {
        Ok(Some(path)) if location.starts_with("sqlite:") => format!("sqlite:{}", below(path)),
        _ if location.contains("://") || location == "-" => location.to_owned(),
        _ => below(Path::new(location)),
    }
}

impl Resolved {
    /// True when the tables are those of the last diff, and nobody named them now.
    pub fn remembers_tables(&self) -> bool {
        self.table.as_ref().is_some_and(|t| matches!(t.source, Source::LastDiff(_)))
    }

    /// Live, or an error that says how to name it.
    pub fn live(&self) -> Result<&str> {
        match &self.live {
            Some(live) => Ok(&live.value),
            None => Err(self.unnamed("live database", "--live prod.db", "RESTOREKIT_LIVE")),
        }
    }

    /// The backups, or an error that says how to name one.
    pub fn backup(&self) -> Result<&[String]> {
        match &self.backup {
            Some(backup) => Ok(&backup.value),
            None => Err(self.unnamed("backup", "--backup snap/", "RESTOREKIT_BACKUP")),
        }
    }

    /// The tables; empty means every table.
    pub fn tables(&self) -> &[String] {
        self.table.as_ref().map_or(&[], |t| &t.value)
    }

    /// The key named for a table; empty means the table's own.
    pub fn key(&self, table: &str) -> &[String] {
        if self.key.is_empty() {
            self.keys.get(table).map_or(&[], Vec::as_slice)
        } else {
            &self.key
        }
    }

    fn unnamed(&self, what: &str, flag: &str, variable: &str) -> Error {
        let wrong = Error::usage(format!("no {what} is named"));
        if self.passed_over {
            return wrong.hint(format!(
                "--yes without a terminal does not take it from the last diff: add {flag}"
            ));
        }
        wrong.hint(format!("add {flag}, set {variable}, or run restorekit init"))
    }

    /// Who named the sides, for a screen.
    pub fn provenance(&self, now: DateTime<FixedOffset>) -> Provenance {
        // What was just typed needs no mention.
        let words = |source: &Source| match source {
            Source::Flag(_) => None,
            other => Some(other.words(now)),
        };
        Provenance {
            live: self.live.as_ref().and_then(|l| words(&l.source)),
            backup: self.backup.as_ref().and_then(|b| words(&b.source)),
        }
    }

    /// The locations of this command, redacted, for messages.
    pub fn redacted(&self) -> Vec<String> {
        let live = self.live.iter().map(|l| redact(&l.value));
        live.chain(self.backup.iter().flat_map(|b| b.value.iter().map(|v| redact(v)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::Settings;

    /// Which places name live, backup and table, and who wins each.
    struct Case {
        flags: [bool; 3],
        environment: [bool; 3],
        config: [bool; 3],
        remembered: bool,
        winners: [&'static str; 3],
    }

    fn run(case: &Case, may_remember: bool) -> Resolved {
        let pick = |on: bool, text: &str| if on { vec![text.to_owned()] } else { vec![] };
        let flags = Sides {
            live: case.flags[0].then(|| "/flag.db".to_owned()),
            backup: pick(case.flags[1], "/flag"),
            table: pick(case.flags[2], "flag"),
            ..Sides::default()
        };
        let environment = |name: &str| {
            let names = ["RESTOREKIT_LIVE", "RESTOREKIT_BACKUP", "RESTOREKIT_TABLE"];
            let at = names.iter().position(|n| *n == name)?;
            case.environment[at].then(|| format!("/env{at}"))
        };
        let settings = Settings {
            live: case.config[0].then(|| "/config.db".to_owned()),
            backup: pick(case.config[1], "/config"),
            table: pick(case.config[2], "config"),
            ..Settings::default()
        };
        let config = Config { path: "/r/restorekit.toml".into(), profile: None, settings };
        let remembered = Remembered {
            live: "/last.db".into(),
            backup: vec!["/last".into()],
            table: vec!["last".into()],
            at: DateTime::parse_from_rfc3339("2024-03-18T03:00:00Z").unwrap(),
        };
        resolve(&Sources {
            flags: &flags,
            environment: &environment,
            config: Some(&config),
            remembered: case.remembered.then_some(&remembered),
            may_remember,
            folder: Path::new("/here"),
        })
    }

    #[test]
    fn the_nearest_source_wins() {
        const ALL: [bool; 3] = [true; 3];
        const NONE: [bool; 3] = [false; 3];
        let cases = [
            Case {
                flags: ALL,
                environment: ALL,
                config: ALL,
                remembered: true,
                winners: ["--live", "--backup", "--table"],
            },
            Case {
                flags: NONE,
                environment: ALL,
                config: ALL,
                remembered: true,
                winners: ["RESTOREKIT_LIVE", "RESTOREKIT_BACKUP", "RESTOREKIT_TABLE"],
            },
            Case {
                flags: NONE,
                environment: NONE,
                config: ALL,
                remembered: true,
                winners: ["restorekit.toml"; 3],
            },
            Case {
                flags: NONE,
                environment: NONE,
                config: NONE,
                remembered: true,
                winners: ["the last diff"; 3],
            },
            Case {
                flags: NONE,
                environment: NONE,
                config: NONE,
                remembered: false,
                winners: [""; 3],
            },
            Case {
                flags: [false, false, true],
                environment: NONE,
                config: [true, false, false],
                remembered: false,
                winners: ["restorekit.toml", "", "--table"],
            },
            // Another live than the remembered one: nothing of the last diff is taken.
            Case {
                flags: [true, false, false],
                environment: NONE,
                config: NONE,
                remembered: true,
                winners: ["--live", "", ""],
            },
            // Another backup: live is taken, the table is not.
            Case {
                flags: [false, true, false],
                environment: NONE,
                config: NONE,
                remembered: true,
                winners: ["the last diff", "--backup", ""],
            },
        ];
        for (i, case) in cases.iter().enumerate() {
            let found = run(case, true);
            let text = |source: Option<&Source>| source.map(Source::to_string).unwrap_or_default();
            let winners = [
                text(found.live.as_ref().map(|l| &l.source)),
                text(found.backup.as_ref().map(|b| &b.source)),
                text(found.table.as_ref().map(|t| &t.source)),
            ];
            assert_eq!(winners, case.winners, "case {i}");
        }
    }

    #[test]
    fn w1_yes_without_a_terminal_takes_nothing_remembered() {
        let none = [false; 3];
        let case = Case {
            flags: none,
            environment: none,
            config: none,
            remembered: true,
            winners: [""; 3],
        };
        let found = run(&case, false);
        assert_eq!((&found.live, &found.backup, &found.table), (&None, &None, &None));
        let wrong = found.live().unwrap_err();
        assert_eq!(wrong.kind().exit_code(), 2);
        assert!(wrong.hints()[0].contains("--live"), "{:?}", wrong.hints());
        assert!(wrong.hints()[0].contains("last diff"), "{:?}", wrong.hints());
    }

    #[test]
    fn relative_paths_are_the_same_place_as_the_remembered_ones() {
        assert_eq!(absolute(Path::new("/a"), "b.db"), "/a/b.db");
        for (location, place) in [
            ("sqlite:b.db", "sqlite:/a/b.db"),
            ("sqlite://b.db", "sqlite:/a/b.db"),
            ("sqlite:///b.db", "sqlite:/b.db"),
            ("/b.db", "/b.db"),
            ("-", "-"),
            ("s3://b/a.db", "s3://b/a.db"),
            ("mysql://h/d", "mysql://h/d"),
        ] {
            assert_eq!(absolute(Path::new("/a"), location), place);
        }
    }
}
