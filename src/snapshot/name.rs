//! A snapshot's folder name: `{hostname}.{timestamp}.{database}.{format}`.
//!
//! ```text
//! web1.example.com.20240529T091442Z.prod.db.parquet
//! └── host ──────┘ └─ UTC, seconds ┘└─ db ─┘└ parquet, jsonl or parquet+jsonl
//! ```
//!
//! The timestamp (ISO 8601, basic format, section 5.4.2.1) sorts as text and has no colon,
//! which some file systems refuse. A second snapshot within the same second has `-2` after
//! it. Host and database are made safe for a path and so are no more than hints: the
//! manifest has both as they are.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use crate::backup::manifest::FileFormat;
use crate::error::{Error, Result};

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// The parts of a snapshot's folder name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    /// The host, made safe for a path.
    pub host: String,
    /// When the snapshot was taken, to the second.
    pub taken_at: DateTime<Utc>,
    /// 1, or the number among the snapshots of this name and second.
    pub number: u32,
    /// The database, made safe for a path.
    pub database: String,
    /// The formats, at least one, in the order Parquet, JSON lines.
    pub formats: Vec<FileFormat>,
}

impl SnapshotName {
    /// The name of a snapshot that is about to be taken.
    pub fn new(
        host: &str,
        taken_at: DateTime<Utc>,
        database: &str,
        formats: &[FileFormat],
    ) -> Result<Self> {
        let formats: Vec<FileFormat> = [FileFormat::Parquet, FileFormat::Jsonl]
            .into_iter()
            .filter(|f| formats.contains(f))
            .collect();
        if formats.is_empty() {
            return Err(Error::usage("a snapshot needs a format: parquet, jsonl or both"));
        }
        let seconds =
            taken_at - TimeDelta::nanoseconds(i64::from(taken_at.timestamp_subsec_nanos()));
        Ok(Self {
            host: safe_part(host, 64, "host"),
            taken_at: seconds,
            number: 1,
            database: safe_part(database, 100, "database"),
            formats,
        })
    }

    /// The same name with another number.
    #[must_use]
    pub fn numbered(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// What makes a time doubtful: the name's second is more than a minute from the
    /// manifest's `taken_at`, or the files' modification time more than a day.
    pub fn cross_check(
        &self,
        taken_at: DateTime<Utc>,
        modified: Option<DateTime<Utc>>,
    ) -> Vec<String> {
        let mut doubts = Vec::new();
        if (self.taken_at - taken_at).abs() > TimeDelta::minutes(1) {
            doubts.push(format!(
                "the folder's name says {}, its manifest {}: was it renamed?",
                self.taken_at.to_rfc3339(),
                taken_at.to_rfc3339(),
            ));
        }
        if let Some(modified) = modified
            && (modified - taken_at).abs() > TimeDelta::days(1)
        {
            doubts.push(format!(
                "the manifest says taken {}, the file was written {}: copied without its times, \
                 or a wrong clock",
                taken_at.to_rfc3339(),
                modified.to_rfc3339(),
            ));
        }
        doubts
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.host, self.taken_at.format(STAMP))?;
        if self.number > 1 {
            write!(f, "-{}", self.number)?;
        }
        write!(f, ".{}.", self.database)?;
        let words: Vec<&str> = self.formats.iter().map(|f| format_word(*f)).collect();
        f.write_str(&words.join("+"))
    }
}

impl FromStr for SnapshotName {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        parse(s).ok_or_else(|| {
            Error::usage(format!("{s:?} is not the name of a snapshot"))
                .hint("a snapshot's name: {hostname}.{timestamp}.{database}.{format}")
        })
    }
}

fn parse(s: &str) -> Option<SnapshotName> {
    let mut start = 0;
    let (host, (taken_at, number), rest) = loop {
        let dot = start + s.get(start..)?.find('.')?;
        let rest = &s[dot + 1..];
        let (word, after) = rest.split_once('.')?;
        if let Some(stamp) = parse_stamp(word) {
            break (&s[..dot], stamp, after);
        }
        start = dot + 1;
    };
    let (database, formats) = rest.rsplit_once('.')?;
    let formats = formats.split('+').map(parse_format).collect::<Option<Vec<_>>>()?;
    if host.is_empty() || database.is_empty() {
        return None;
    }
    Some(SnapshotName {
        host: host.to_owned(),
        taken_at,
        number,
        database: database.to_owned(),
        formats,
    })
}

fn parse_stamp(word: &str) -> Option<(DateTime<Utc>, u32)> {
    let (stamp, number) = match word.split_once('-') {
        Some((stamp, n)) => (stamp, n.parse().ok().filter(|n| *n > 1)?),
        None => (word, 1),
    };
    if stamp.len() != 16 || !stamp.is_ascii() {
        return None;
    }
    Some((NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc(), number))
}

/// The word for a format in names and on the command line.
pub fn format_word(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Parquet => "parquet",
        FileFormat::Jsonl => "jsonl",
    }
}

fn parse_format(word: &str) -> Option<FileFormat> {
    match word {
        "parquet" => Some(FileFormat::Parquet),
        "jsonl" => Some(FileFormat::Jsonl),
        _ => None,
    }
}

/// A host or a database as a part of a name: everything but `[A-Za-z0-9_.-]` becomes `_`,
/// dots and dashes at both ends go, and what could be taken for a timestamp is broken up.
fn safe_part(text: &str, longest: usize, otherwise: &str) -> String {
    let safe: String = text
        .chars()
        .take(longest)
        .map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' })
        .collect();
    let words: Vec<String> = safe
        .trim_matches(['.', '-'])
        .split('.')
        .filter(|w| !w.is_empty())
        .map(|w| if parse_stamp(w).is_some() { format!("_{w}") } else { w.to_owned() })
        .collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(".") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    const BOTH: [FileFormat; 2] = [FileFormat::Jsonl, FileFormat::Parquet];

    #[test]
    fn a_name_reads_as_documented() {
        let taken = at("2024-05-29T09:14:42.987Z");
        let name = SnapshotName::new("web1.example.com", taken, "prod.db", &BOTH[1..]).unwrap();
        assert_eq!(name.to_string(), "web1.example.com.20240529T091442Z.prod.db.parquet");
        assert_eq!(name.to_string().parse::<SnapshotName>().unwrap(), name);
        let second = SnapshotName::new("h", taken, "d", &BOTH).unwrap().numbered(2);
        assert_eq!(second.to_string(), "h.20240529T091442Z-2.d.parquet+jsonl");
        assert_eq!(second.to_string().parse::<SnapshotName>().unwrap(), second);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for no in [
            "",
            ".",
            "a.b.c.d",
            "h.20240529T091442Z.parquet",
            ".20240529T091442Z.d.parquet",
            "h.20240529T091442Z.d.csv",
            "h.20241329T091442Z.d.parquet",
            "h.20240529T091442Z-1.d.parquet",
            "h.20240529T091442Z-x.d.parquet",
            "h.20240529T091442Z..parquet",
        ] {
            assert!(no.parse::<SnapshotName>().is_err(), "{no}");
        }
        assert!(SnapshotName::new("h", at("2024-05-29T09:14:42Z"), "d", &[]).is_err());
    }

    #[test]
    fn a_doubtful_time_is_said() {
        let taken = at("2024-05-29T09:14:42Z");
        let name = SnapshotName::new("h", taken, "d", &BOTH).unwrap();
        assert!(name.cross_check(taken, Some(taken)).is_empty());
        assert!(name.cross_check(taken + TimeDelta::seconds(59), None).is_empty());
        assert_eq!(name.cross_check(taken + TimeDelta::seconds(61), None).len(), 1);
        assert_eq!(name.cross_check(taken, Some(taken + TimeDelta::hours(25))).len(), 1);
        assert_eq!(name.cross_check(taken, Some(taken - TimeDelta::hours(25))).len(), 1);
    }

    proptest! {
        #[test]
        fn w10_no_host_or_database_leaves_the_folder(host in ".*", database in ".*", s in 0i64..4_000_000_000) {
            let taken = DateTime::from_timestamp(s, 0).unwrap();
            let name = SnapshotName::new(&host, taken, &database, &BOTH).unwrap();
            let text = name.to_string();
            prop_assert!(!text.contains('/') && !text.starts_with('.') && text.len() < 255);
            prop_assert_eq!(text.parse::<SnapshotName>().unwrap(), name);
        }
    }
}
