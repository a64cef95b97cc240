//! `restorekit.toml`: found upwards to the repository's root, then in the user's folder.
//!
//! Where there is no repository only the folder itself is looked at, so that a file some
//! other user left in a shared parent folder decides nothing. A relative path in the file
//! is relative to the file. `${NAME}` stands for an environment variable, so that a
//! password need not be written down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};

/// The file's name.
pub const FILE: &str = "restorekit.toml";

/// What the file may say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct File {
    #[serde(flatten)]
    base: Settings,
    #[serde(default)]
    profile: BTreeMap<String, Settings>,
}

/// The settings, of the file or of one of its profiles.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Settings {
    /// The live database.
    pub live: Option<String>,
    /// The backups, first wins.
    #[serde(default, deserialize_with = "one_or_many")]
    pub backup: Vec<String>,
    /// The tables.
    #[serde(default, deserialize_with = "one_or_many")]
    pub table: Vec<String>,
    /// Columns that are not compared.
    #[serde(default, deserialize_with = "one_or_many")]
    pub ignore: Vec<String>,
    /// The key's columns of a table, by the table's name.
    #[serde(default)]
    pub key: BTreeMap<String, Vec<String>>,
    /// Where snapshots are put.
    pub snapshots: Option<String>,
    /// Where plans are kept, instead of the user's state folder.
    pub state: Option<String>,
    /// How many bytes of dumps that were read are kept at most; 0 for none.
    pub cache_max_bytes: Option<u64>,
    /// Whatever else stands there, to be refused by name.
    #[serde(flatten)]
    pub(crate) unknown: BTreeMap<String, toml::Value>,
}

/// The settings that hold, and the file they are from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// The profile, when one was asked for.
    pub profile: Option<String>,
    /// What it says.
    pub settings: Settings,
}

impl Config {
    /// How a screen names it.
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match &self.profile {
            Some(profile) => format!("{file}, profile {profile}"),
            None => file,
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// The file that counts in `folder`: the nearest upwards to the root of its repository,
/// else the one in `user`.
pub fn find(folder: &Path, user: Option<&Path>) -> Option<PathBuf> {
    let in_repository = folder.ancestors().any(|f| f.join(".git").exists());
    for ancestor in folder.ancestors() {
        let file = ancestor.join(FILE);
        if file.is_file() {
            return Some(file);
        }
        if !in_repository || ancestor.join(".git").exists() {
            break;
        }
    }
    user.map(|folder| folder.join(FILE)).filter(|file| file.is_file())
}

/// Reads a configuration. `lookup` gives the value of an environment variable.
pub fn read(
    path: &Path,
    profile: Option<&str>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::usage(format!("the configuration {} could not be read", path.display())).because(e)
    })?;
    parse(&text, path, profile, lookup)
}

fn parse(
    text: &str,
    path: &Path,
    profile: Option<&str>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Config> {
    let wrong = |why: String| Error::usage(format!("{}: {why}", path.display()));
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        // The file's text, which the parser quotes, may hold a password.
        let line = e.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        wrong(format!("line {line}: {}", e.message()))
    })?;
    let file: File =
        table.try_into().map_err(|e: toml::de::Error| wrong(e.message().to_owned()))?;
    let mut settings = file.base;
    settings.unknown.remove("profile");
    let mut names: Vec<&String> = settings.unknown.keys().collect();
    names.extend(file.profile.values().flat_map(|p| p.unknown.keys()));
    if let Some(name) = names.first() {
        return Err(wrong(format!("there is no setting {name}"))
            .hint("settings: live, backup, table, ignore, key, snapshots, state, cache_max_bytes, [profile.NAME]"));
    }
    if let Some(name) = profile {
        let over = file.profile.get(name).ok_or_else(|| {
            let known: Vec<&str> = file.profile.keys().map(String::as_str).collect();
            wrong(format!("there is no profile {name}"))
                .hint(format!("its profiles: {}", known.join(", ")))
        })?;
        settings = over.clone().over(settings);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let place = |text: &str| -> Result<String> {
        let text = expand(text, lookup).map_err(wrong)?;
        Ok(below(folder, text))
    };
    settings.live = settings.live.as_deref().map(place).transpose()?;
    settings.snapshots = settings.snapshots.as_deref().map(place).transpose()?;
    settings.state = settings.state.as_deref().map(place).transpose()?;
    settings.backup = settings.backup.iter().map(|b| place(b)).collect::<Result<_>>()?;
    Ok(Config { path: path.to_owned(), profile: profile.map(str::to_owned), settings })
}

impl Settings {
    /// These settings where they say something, else the others.
    fn over(self, base: Settings) -> Settings {
        let pick = |a: Vec<String>, b| if a.is_empty() { b } else { a };
        let mut key = base.key;
        key.extend(self.key);
        Settings {
            live: self.live.or(base.live),
            backup: pick(self.backup, base.backup),
            table: pick(self.table, base.table),
            ignore: pick(self.ignore, base.ignore),
            key,
            snapshots: self.snapshots.or(base.snapshots),
            state: self.state.or(base.state),
            cache_max_bytes: self.cache_max_bytes.or(base.cache_max_bytes),
            unknown: BTreeMap::new(),
        }
    }
}

/// A path below the configuration's folder, or a URL or absolute path as it is.
fn below(folder: &Path, text: String) -> String {
    if text.contains("://") || text.starts_with("sqlite:") || Path::new(&text).is_absolute() {
        return text;
    }
    folder.join(text).to_string_lossy().into_owned()
}

fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("a ${ has no }")?;
        out.push_str(before);
        out.push_str(&lookup(name).ok_or(format!("the variable {name} is not set"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
live = "prod.db"
backup = ["snaps@latest", "/old/dump"]
table = "events"
ignore = ["touched_at"]
[key]
log = ["at", "who"]
[profile.stage]
live = "${STAGE}"
"#;

    fn read_text(text: &str, profile: Option<&str>) -> Result<Config> {
        let lookup = |name: &str| (name == "STAGE").then(|| "/srv/stage.db".to_owned());
        parse(text, Path::new("/repo/restorekit.toml"), profile, &lookup)
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = read_text(TEXT, None).unwrap();
        assert_eq!(config.settings.live.as_deref(), Some("/repo/prod.db"));
        assert_eq!(config.settings.backup, ["/repo/snaps@latest", "/old/dump"]);
        assert_eq!(config.settings.key["log"], ["at", "who"]);
    }

    #[test]
    fn a_profile_overrides_what_it_names() {
        let config = read_text(TEXT, Some("stage")).unwrap();
        assert_eq!(config.settings.live.as_deref(), Some("/srv/stage.db"));
        assert_eq!(config.settings.table, ["events"]);
        assert_eq!(config.name(), "restorekit.toml, profile stage");
        let wrong = read_text(TEXT, Some("prod")).unwrap_err();
        assert_eq!(wrong.hints(), ["its profiles: stage"]);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let wrong = read_text("lvie = 'x'", None).unwrap_err();
        assert_eq!(wrong.to_string(), "/repo/restorekit.toml: there is no setting lvie");
        let wrong = read_text("[profile.a]\nlvie = 'x'", None).unwrap_err();
        assert!(wrong.to_string().contains("lvie"));
    }

    #[test]
    fn w2_a_broken_line_is_not_quoted() {
        let wrong = read_text("\nlive = \"mysql://u:hunter2@h/d", None).unwrap_err();
        assert!(wrong.to_string().contains("line 2"), "{wrong}");
        assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    }

    #[test]
    fn the_search_ends_at_the_repository() {
        let top = tempfile::tempdir().unwrap();
        let deep = top.path().join("repo/a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(top.path().join(FILE), "").unwrap();
        assert_eq!(find(&deep, None), None, "no repository: only the folder itself");
        std::fs::create_dir(top.path().join("repo/.git")).unwrap();
        assert_eq!(find(&deep, None), None, "not above the repository");
        std::fs::write(top.path().join("repo").join(FILE), "").unwrap();
        assert_eq!(find(&deep, None), Some(top.path().join("repo").join(FILE)));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(find(elsewhere.path(), Some(top.path())), Some(top.path().join(FILE)));
    }
}
