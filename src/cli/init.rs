//! `restorekit init`: a commented `restorekit.toml` to fill in.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Context;
use crate::cli::config::FILE;
use crate::cli::secret::{has_password, redact};
use crate::error::Result;

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit init
  restorekit init --live prod.db --backup /backups/prod@latest")]
pub struct InitArgs {
    /// Put this live database into the file
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
    /// Put this backup into the file
    #[arg(long, value_name = "PATH")]
    pub backup: Option<String>,
    /// Write here instead of restorekit.toml; - for stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes the file; one that is there is left alone.
pub fn run(context: &Context, args: &InitArgs) -> Result<u8> {
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(FILE));
    let live = args.live.as_deref().map(|live| kept(live, PASSWORD));
    let backup = args.backup.as_deref().map(|backup| kept(backup, BACKUP_PASSWORD));
    let text = template(live.as_deref(), backup.as_deref());
    let mut out = context.terminal.output(Some(&path))?;
    out.write_all(text.as_bytes())?;
    out.flush()?;
    if path.as_os_str() != "-" {
        context.terminal.say(&format!("wrote {}", path.display()));
        for (given, variable) in [(&args.live, PASSWORD), (&args.backup, BACKUP_PASSWORD)] {
            if given.as_deref().is_some_and(has_password) {
                context
                    .terminal
                    .say(&format!("the password was left out; it is taken from ${variable}"));
            }
        }
        context.terminal.say("next: restorekit doctor");
    }
    Ok(0)
}

/// The variable that stands for live's password in the file.
const PASSWORD: &str = "RESTOREKIT_PASSWORD";

/// The variable that stands for the backup's.
const BACKUP_PASSWORD: &str = "RESTOREKIT_BACKUP_PASSWORD";

/// What the file keeps of a location: a variable where a password was.
fn kept(location: &str, variable: &str) -> String {
    match has_password(location) {
        true => redact(location).replace("***", &format!("${{{variable}}}")),
        false => location.to_owned(),
    }
}

fn template(live: Option<&str>, backup: Option<&str>) -> String {
    let line = |name: &str, value: Option<&str>, example: &str| match value {
        // A JSON string is a TOML string too.
        Some(value) => format!("{name} = {}", serde_json::Value::from(value)),
        None => format!("# {name} = \"{example}\""),
    };
    format!(
        r#"# restorekit.toml: what restorekit takes when a flag or a variable does not say it.
# Paths are relative to this file. ${{NAME}} stands for an environment variable.

# The live database.
{live}

# The backup: a snapshot, a folder of them with @latest or @latest~N, a file, a folder of
# files. A list is tried in order, the first wins.
{backup}

# The tables; without this, every table that both sides have.
# table = ["events", "users"]

# Columns that are never compared.
# ignore = ["last_seen_at"]

# Where `restorekit snapshot` puts its snapshots.
# snapshots = "/backups"

# Where plans and operations are kept, instead of $XDG_STATE_HOME/restorekit.
# state = "/srv/restorekit"

# How many bytes of dumps that were read are kept in $XDG_CACHE_HOME/restorekit; 0 for none.
# cache_max_bytes = 4294967296

# The key of a table that has none of its own.
# [key]
# log = ["at", "who"]

# A profile, for --profile staging: what it names replaces the above.
# [profile.staging]
# live = "staging.db"
"#,
        live = line("live", live, "prod.db"),
        backup = line("backup", backup, "/backups/prod@latest"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config;

    #[test]
    fn w2_a_password_is_named_and_not_written() {
        assert_eq!(
            kept("mysql://keeper:other@db2/shop", BACKUP_PASSWORD),
            "mysql://keeper:${RESTOREKIT_BACKUP_PASSWORD}@db2/shop"
        );
        let kept = kept("mysql://keeper:hunter2@db1/shop", PASSWORD);
        assert_eq!(kept, "mysql://keeper:${RESTOREKIT_PASSWORD}@db1/shop");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, template(Some(&kept), None)).unwrap();
        let of = |name: &str| (name == PASSWORD).then(|| "hunter2".into());
        let config = config::read(&path, None, &of).unwrap();
        assert_eq!(config.settings.live.as_deref(), Some("mysql://keeper:hunter2@db1/shop"));
    }

    #[test]
    fn the_template_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for (live, backup) in [(None, None), (Some("/a \"b\".db"), Some("/s@latest"))] {
            std::fs::write(&path, template(live, backup)).unwrap();
            let config = config::read(&path, None, &|_| None).unwrap();
            assert_eq!(config.settings.live.as_deref(), live);
            assert_eq!(config.settings.backup, Vec::from_iter(backup.map(str::to_owned)));
        }
        // What is commented out is well-formed too.
        let all = template(None, None);
        let all: String = all
            .lines()
            .filter_map(|l| {
                l.strip_prefix("# ").filter(|l| l.contains(" = ") || l.starts_with('['))
            })
            .map(|l| format!("{l}\n"))
            .collect();
        std::fs::write(&path, all).unwrap();
        let config = config::read(&path, Some("staging"), &|_| None).unwrap();
        assert!(config.settings.live.unwrap().ends_with("staging.db"));
    }
}
