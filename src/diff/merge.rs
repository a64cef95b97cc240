//! Merging two ascending runs of keys: pure positions, no values.

use std::cmp::Ordering;
use std::ops::Range;

use crate::mount::keys::{KeySlice, Keys};

/// What a stretch of rows is. Positions are rows of the sides' current batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// `len` rows of the backup and as many of live with equal keys, pair by pair.
    Both { backup: usize, live: usize, len: usize },
    /// Rows only in the backup.
    Backup { start: usize, len: usize },
    /// Rows only live.
    Live { start: usize, len: usize },
    /// Rows of the backup whose key is not unique on some side.
    AmbiguousBackup { start: usize, len: usize },
    /// Rows of live whose key is not unique on some side.
    AmbiguousLive { start: usize, len: usize },
    /// Rows of the backup with values that live's columns can't hold, and the rows of live with
    /// their keys, where there are any.
    Unfit { backup: usize, live: Option<usize>, len: usize },
}

/// Merges rows of both sides until one range ends; gives the segments in key order.
pub(crate) fn merge(
    backup: (&Keys, Range<usize>),
    live: (&Keys, Range<usize>),
    out: &mut Vec<Segment>,
) {
    match (backup.0, live.0) {
        (Keys::Int(a), Keys::Int(b)) => runs(a, backup.1, b, live.1, out),
        (Keys::Bytes(a, x), Keys::Bytes(b, y)) => runs(&(a, x), backup.1, &(b, y), live.1, out),
        (Keys::Rows(a), Keys::Rows(b)) => runs(a, backup.1, b, live.1, out),
        _ => unreachable!("one key maker makes the keys of both sides"),
    }
}

fn runs<K: KeySlice>(
    a: &K,
    rows_a: Range<usize>,
    b: &K,
    rows_b: Range<usize>,
    out: &mut Vec<Segment>,
) {
    let (mut i, end_i) = (rows_a.start, rows_a.end);
    let (mut j, end_j) = (rows_b.start, rows_b.end);
    while i < end_i && j < end_j {
        let (from_i, from_j) = (i, j);
        match a.key(i).cmp(&b.key(j)) {
            Ordering::Equal => {
                while i < end_i && j < end_j && a.key(i) == b.key(j) {
                    i += 1;
                    j += 1;
                }
                out.push(Segment::Both { backup: from_i, live: from_j, len: i - from_i });
            }
            Ordering::Less => {
                let key = b.key(j);
                while i < end_i && a.key(i) < key {
                    i += 1;
                }
                out.push(Segment::Backup { start: from_i, len: i - from_i });
            }
            Ordering::Greater => {
                let key = a.key(i);
                while j < end_j && b.key(j) < key {
                    j += 1;
                }
                out.push(Segment::Live { start: from_j, len: j - from_j });
            }
        }
    }
}

/// Splits segments where a row is flagged as a duplicate on its side. A pair with one
/// flagged row is ambiguous on both sides; since every row of a group carries the flag,
/// the group's other rows come out ambiguous by themselves.
pub(crate) fn set_apart(
    segments: Vec<Segment>,
    backup: Option<&[bool]>,
    live: Option<&[bool]>,
) -> Vec<Segment> {
    let flagged = |flags: Option<&[bool]>, row: usize| flags.is_some_and(|flags| flags[row]);
    let mut out = Vec::with_capacity(segments.len());
    for segment in segments {
        match segment {
            Segment::Both { backup: b, live: l, len } => {
                let ambiguous = |k: usize| flagged(backup, b + k) || flagged(live, l + k);
                stretches(len, ambiguous, |k, len, ambiguous| {
                    if !ambiguous {
                        out.push(Segment::Both { backup: b + k, live: l + k, len });
                        return;
                    }
                    for k in k..k + len {
                        out.push(Segment::AmbiguousBackup { start: b + k, len: 1 });
                        out.push(Segment::AmbiguousLive { start: l + k, len: 1 });
                    }
                });
            }
            Segment::Backup { start, len } => {
                stretches(
                    len,
                    |k| flagged(backup, start + k),
                    |k, len, ambiguous| {
                        let start = start + k;
                        out.push(match ambiguous {
                            true => Segment::AmbiguousBackup { start, len },
                            false => Segment::Backup { start, len },
                        });
                    },
                );
            }
            Segment::Live { start, len } => {
                stretches(
                    len,
                    |k| flagged(live, start + k),
                    |k, len, ambiguous| {
                        let start = start + k;
                        out.push(match ambiguous {
                            true => Segment::AmbiguousLive { start, len },
                            false => Segment::Live { start, len },
                        });
                    },
                );
            }
            other => out.push(other),
        }
    }
    out
}

/// Splits segments where a row of the backup is flagged as unfit.
pub(crate) fn set_unfit_apart(segments: Vec<Segment>, unfit: &[bool]) -> Vec<Segment> {
    let mut out = Vec::with_capacity(segments.len());
    for segment in segments {
        let (backup, live, len) = match segment {
            Segment::Both { backup, live, len } => (backup, Some(live), len),
            Segment::Backup { start, len } | Segment::AmbiguousBackup { start, len } => {
                (start, None, len)
            }
            other => {
                out.push(other);
                continue;
            }
        };
        stretches(
            len,
            |k| unfit[backup + k],
            |k, len, flag| {
                let start = backup + k;
                out.push(match (segment, live) {
                    _ if flag => Segment::Unfit { backup: start, live: live.map(|l| l + k), len },
                    (_, Some(live)) => Segment::Both { backup: start, live: live + k, len },
                    (Segment::Backup { .. }, None) => Segment::Backup { start, len },
                    _ => Segment::AmbiguousBackup { start, len },
                });
            },
        );
    }
    out
}

/// Calls `each(start, length, flag)` for the stretches of `0..len` with one flag.
fn stretches(len: usize, flag: impl Fn(usize) -> bool, mut each: impl FnMut(usize, usize, bool)) {
    let mut start = 0;
    while start < len {
        let value = flag(start);
        let mut end = start + 1;
        while end < len && flag(end) == value {
            end += 1;
        }
        each(start, end - start, value);
        start = end;
    }
}
