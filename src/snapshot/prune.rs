//! Which snapshots stay and which go, by the rules of restic's `forget`
//! (restic manual, "Removing snapshots according to a policy").
//!
//! Each series (host, database, location) is judged by itself, newest first. A rule like
//! "daily 7" keeps the newest snapshot of each of the 7 latest days that have one; while a
//! rule has days left, the oldest snapshot of the series is kept too. Days, weeks (ISO),
//! months and years are those of one zone, that of the moment at which it is planned.
//!
//! Planning is pure. Damaged snapshots neither count nor go, nor do those whose manifest has
//! a relative path, which may be of several databases, and those of a time to come, which a
//! wrong clock gave: they would push out every real one. The newest one of a series that
//! counts stays whatever the policy says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use chrono::{DateTime, Datelike, FixedOffset, Months, TimeDelta, Timelike};
use serde::Serialize;
use ulid::Ulid;

use crate::backup::manifest::MANIFEST;
use crate::durable::sync_folder;
use crate::error::{Error, Result};
use crate::snapshot::folder::{clear, is_gone};
use crate::snapshot::list::{SnapshotInfo, file_path, look, read_manifest};

/// How many a rule keeps: `0` is no rule, [`u32::MAX`] is without a limit.
pub type Count = u32;

/// What to keep. A snapshot stays when any rule keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: Count,
    /// The newest of each hour.
    pub hourly: Count,
    /// The newest of each day.
    pub daily: Count,
    /// The newest of each ISO week.
    pub weekly: Count,
    /// The newest of each month.
    pub monthly: Count,
    /// The newest of each year.
    pub yearly: Count,
    /// All taken within this span before the newest of the series.
    pub within: Option<Within>,
}

impl Policy {
    /// True when it has no rule at all.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }
}

/// A span of calendar and clock: `2y5m7d3h`, as restic's `--keep-within` writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Months, years included.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Within {
    fn before(self, moment: DateTime<FixedOffset>) -> Option<DateTime<FixedOffset>> {
        moment
            .checked_sub_months(Months::new(self.months))?
            .checked_sub_signed(TimeDelta::days(i64::from(self.days)))?
            .checked_sub_signed(TimeDelta::hours(i64::from(self.hours)))
    }
}

impl FromStr for Within {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("{s:?} is no span of time"))
                .hint("write years, months, days and hours: 1y6m, 30d, 12h")
        };
        let mut span = Within::default();
        let mut rest = s;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u32 = rest[..end].parse().map_err(|_| wrong())?;
            let (part, factor) = match rest.as_bytes()[end] {
                b'y' => (&mut span.months, 12),
                b'm' => (&mut span.months, 1),
                b'd' => (&mut span.days, 1),
                b'h' => (&mut span.hours, 1),
                _ => return Err(wrong()),
            };
            let more = number.checked_mul(factor).ok_or_else(wrong)?;
            *part = part.checked_add(more).ok_or_else(wrong)?;
            rest = &rest[end + 1..];
        }
        if span == Within::default() { Err(wrong()) } else { Ok(span) }
    }
}

/// What a policy makes of a list of snapshots.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PrunePlan {
    /// Those that stay, newest first in each series, with why.
    pub keep: Vec<Kept>,
    /// Those that go, newest first in each series.
    pub remove: Vec<SnapshotInfo>,
}

/// A snapshot that stays.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// The snapshot.
    pub snapshot: SnapshotInfo,
    /// The rules that keep it: `last snapshot`, `daily snapshot`, `oldest weekly
    /// snapshot`, `within 30 days`, `newest of its database`, `just taken`, `damaged`.
    pub reasons: Vec<String>,
}

/// Decides what stays and what goes at the moment `now`, by whose zone days, weeks and months
/// are told. What has `just_taken` been stays. An empty policy is refused: it would remove all.
pub fn plan(
    snapshots: &[SnapshotInfo],
    policy: &Policy,
    now: DateTime<FixedOffset>,
    just_taken: &[PathBuf],
) -> Result<PrunePlan> {
    if policy.is_empty() {
        return Err(Error::usage("no rule says which snapshots to keep")
            .hint("restorekit snapshots --prune --keep-last 3 --keep-daily 7"));
    }
    let mut series: BTreeMap<_, Vec<&SnapshotInfo>> = BTreeMap::new();
    for snapshot in snapshots {
        series.entry(&snapshot.series).or_default().push(snapshot);
    }
    let mut plan = PrunePlan::default();
    for (_, mut list) in series {
        list.sort_by(|a, b| b.taken_at.cmp(&a.taken_at).then_with(|| b.path.cmp(&a.path)));
        let (counted, aside): (Vec<&SnapshotInfo>, Vec<&SnapshotInfo>) =
            list.into_iter().partition(|snapshot| aside(snapshot, now).is_none());
        for (mut reasons, snapshot) in
            judge(&counted, policy, *now.offset()).into_iter().zip(counted)
        {
            if reasons.is_empty() && just_taken.contains(&snapshot.path) {
                reasons.push("just taken".into());
            }
            let snapshot = snapshot.clone();
            if reasons.is_empty() {
                plan.remove.push(snapshot);
            } else {
                plan.keep.push(Kept { snapshot, reasons });
            }
        }
        plan.keep.extend(aside.into_iter().filter_map(|snapshot| {
            let reason = self::aside(snapshot, now)?;
            Some(Kept { snapshot: snapshot.clone(), reasons: vec![reason.into()] })
        }));
    }
    Ok(plan)
}

/// Why a snapshot neither counts nor goes.
fn aside(snapshot: &SnapshotInfo, now: DateTime<FixedOffset>) -> Option<&'static str> {
    if !snapshot.is_whole() {
        Some("damaged: look at it, then remove it by hand")
    } else if !snapshot.series.is_told() {
        Some("does not give its database's path in full: look at it, then remove it by hand")
    } else if snapshot.taken_at.signed_duration_since(now) > TimeDelta::days(1) {
        Some("of a time to come, by a wrong clock: look at it, then remove it by hand")
    } else {
        None
    }
}

/// The reasons to keep each of a series' snapshots that count, newest first.
fn judge(whole: &[&SnapshotInfo], policy: &Policy, zone: FixedOffset) -> Vec<Vec<String>> {
    type Bucket = fn(DateTime<FixedOffset>, usize) -> i64;
    let day = |t: DateTime<FixedOffset>| i64::from(t.with_timezone(&zone).num_days_from_ce());
    let rules: [(Count, &str, Bucket); 6] = [
        (policy.last, "last", |_, index| index as i64),
        (policy.hourly, "hourly", |t, _| {
            i64::from(t.num_days_from_ce()) * 24 + i64::from(t.hour())
        }),
        (policy.daily, "daily", |t, _| i64::from(t.num_days_from_ce())),
        (policy.weekly, "weekly", |t, _| {
            let week = t.iso_week();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }),
        (policy.monthly, "monthly", |t, _| i64::from(t.year()) * 12 + i64::from(t.month0())),
        (policy.yearly, "yearly", |t, _| i64::from(t.year())),
    ];
    let mut reasons = vec![Vec::new(); whole.len()];
    for (count, word, bucket) in rules {
        let mut left = count;
        let mut latest = None;
        for (index, snapshot) in whole.iter().enumerate() {
            if left == 0 {
                break;
            }
            let value = bucket(snapshot.taken_at.with_timezone(&zone), index);
            if latest != Some(value) {
                reasons[index].push(format!("{word} snapshot"));
            } else if index + 1 == whole.len() {
                reasons[index].push(format!("oldest {word} snapshot"));
            } else {
                continue;
            }
            latest = Some(value);
            left = if left == Count::MAX { left } else { left - 1 };
        }
    }
    if let (Some(within), Some(newest)) = (policy.within, whole.first()) {
        let oldest = within.before(newest.taken_at);
        for (reasons, snapshot) in reasons.iter_mut().zip(whole) {
            if oldest.is_none_or(|oldest| snapshot.taken_at > oldest) {
                let days = day(newest.taken_at) - day(snapshot.taken_at);
                reasons.push(format!("within the span ({days} days before the newest)"));
            }
        }
    }
    if let Some(first) = reasons.first_mut()
        && first.is_empty()
    {
        first.push("newest of its database".into());
    }
    reasons
}

/// A snapshot that should have gone and is still there.
#[derive(Debug)]
pub struct Stays {
    /// The snapshot.
    pub snapshot: SnapshotInfo,
    /// Why.
    pub error: Error,
}

/// Carries a plan out. What can't be removed leaves the plan, and holds up nothing else.
pub fn carry_out(plan: &mut PrunePlan) -> Vec<Stays> {
    let mut stay = Vec::new();
    for snapshot in std::mem::take(&mut plan.remove) {
        match remove(&snapshot) {
            Ok(()) => plan.remove.push(snapshot),
            Err(error) => stay.push(Stays { snapshot, error }),
        }
    }
    stay
}

/// Removes one snapshot: it is renamed to a hidden name first, so that a half removed one
/// is never taken for a snapshot. Refused when the folder is not, or no longer, a whole
/// snapshot of ours with nothing else in it. One that is gone already is removed.
pub fn remove(snapshot: &SnapshotInfo) -> Result<()> {
    let path = &snapshot.path;
    let (parent, hidden) = match hide(snapshot) {
        // another run was faster
        Err(_) if is_gone(path) => return Ok(()),
        hidden => hidden?,
    };
    let removed =
        sync_folder(parent).and_then(|()| clear(&hidden)).and_then(|()| sync_folder(parent));
    removed.map_err(|e| failed(path, e))
}

fn failed(path: &Path, e: io::Error) -> Error {
    Error::failed(format!("the snapshot {} could not be removed: {e}", path.display())).because(e)
}

/// Renames a snapshot's folder to a hidden name; its parent and that name.
fn hide(snapshot: &SnapshotInfo) -> Result<(&Path, PathBuf)> {
    let path = &snapshot.path;
    let refuse = |why: String| Error::refused(format!("{} stays: {why}", path.display()));
    let now = look(path).ok_or_else(|| refuse("it is no snapshot any more".into()))?;
    if let Some(damage) = now.damage {
        return Err(refuse(format!("it is damaged ({damage})")));
    }
    if now.taken_at != snapshot.taken_at || now.series != snapshot.series {
        return Err(refuse("it is another snapshot than the one that was listed".into()));
    }
    if let Some(foreign) = foreign(path)? {
        return Err(refuse(format!("{foreign} in it is not of restorekit's making")));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err(refuse("it has no name".into()));
    };
    let hidden = parent.join(format!(".{name}.removing-{}", Ulid::new()));
    fs::rename(path, &hidden).map_err(|e| failed(path, e))?;
    Ok((parent, hidden))
}

/// The first entry of a snapshot's folder that its manifest does not name.
fn foreign(folder: &Path) -> Result<Option<String>> {
    let (manifest, _) = read_manifest(folder)?;
    let mut known = BTreeSet::from([folder.join(MANIFEST)]);
    for file in manifest.tables.iter().flat_map(|t| &t.files) {
        let path = file_path(folder, &file.path)?;
        known.extend(path.ancestors().take_while(|p| *p != folder).map(Path::to_owned));
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            let path: PathBuf = entry.path();
            let empty_of_ours = ["parquet", "json"].iter().any(|f| path == folder.join(f));
            let ours = known.contains(&path) || (empty_of_ours && entry.file_type()?.is_dir());
            if !ours {
                return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "prune/tests.rs"]
mod tests;
