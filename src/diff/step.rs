//! One step of the merge: the rows at hand on both sides become segments, are compared,
//! counted and picked.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};

use crate::diff::compare::{Comparator, Differences, Run};
use crate::diff::counts::Counters;
use crate::diff::emit::{Assembler, Picks};
use crate::diff::merge::{Segment, merge, set_apart, set_unfit_apart};
use crate::diff::ordered::Loaded;
use crate::diff::spec::DiffSpec;
use crate::error::Result;
use crate::model::change::{Change, differs};
use crate::model::side::Side;
use crate::model::value::{EXACT, unfit_columns};
use crate::mount::keys::Keys;

/// The state of one partition's merge.
pub(crate) struct Merger {
    spec: Arc<DiffSpec>,
    comparator: Comparator,
    assembler: Assembler,
    counters: Counters,
    /// How many changes of each kind may still go out.
    left: [u64; 5],
    /// The last ambiguous key, which is counted once.
    ambiguous: Option<Vec<u8>>,
}

impl Merger {
    pub(crate) fn new(
        spec: Arc<DiffSpec>,
        comparator: Comparator,
        assembler: Assembler,
        counters: Counters,
    ) -> Self {
        let mut left = [0; 5];
        for change in [Change::Missing, Change::Changed, Change::Extra, Change::Ambiguous] {
            if spec.emit.wants(change) {
                left[change as usize] = spec.limit.unwrap_or(u64::MAX);
            }
        }
        Self { spec, comparator, assembler, counters, left, ambiguous: None }
    }

    /// A batch, when there is enough for one.
    pub(crate) fn ready(&mut self) -> Result<Option<RecordBatch>> {
        self.assembler.ready()
    }

    /// The last batch.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        self.assembler.finish()
    }

    /// Merges what is at hand until one side's rows end; gives the positions reached. A
    /// side that has ended is `None`.
    pub(crate) fn step(&mut self, front: Side<Option<(&Loaded, usize)>>) -> Result<Side<usize>> {
        let mut segments = Vec::new();
        match (front.backup, front.live) {
            (Some((b, i)), Some((l, j))) => {
                merge((&b.keys, i..b.keys.len()), (&l.keys, j..l.keys.len()), &mut segments);
            }
            (Some((b, i)), None) => {
                segments.push(Segment::Backup { start: i, len: b.keys.len() - i });
            }
            (None, Some((l, j))) => {
                segments.push(Segment::Live { start: j, len: l.keys.len() - j });
            }
            (None, None) => return Ok(Side::default()),
        }
        let loaded = front.map(|front| front.map(|(loaded, _)| loaded));
        let flags = loaded.map(|loaded| loaded.and_then(|l| l.duplicates.as_deref()));
        if flags.backup.is_some() || flags.live.is_some() {
            segments = set_apart(segments, flags.backup, flags.live);
        }
        if let Some(unfit) = loaded.backup.and_then(|l| l.unfit.as_deref()) {
            segments = set_unfit_apart(segments, unfit);
        }
        let mut reached = front.map(|front| front.map_or(0, |(_, position)| position));
        for segment in &segments {
            match *segment {
                Segment::Both { backup, live, len } => {
                    reached = Side { backup: backup + len, live: live + len };
                }
                Segment::Backup { start, len } | Segment::AmbiguousBackup { start, len } => {
                    reached.backup = start + len;
                }
                Segment::Live { start, len } | Segment::AmbiguousLive { start, len } => {
                    reached.live = start + len;
                }
                Segment::Unfit { backup, live, len } => {
                    reached.backup = backup + len;
                    if let Some(live) = live {
                        reached.live = live + len;
                    }
                }
            }
        }
        let found = self.compare(&segments, loaded)?;
        let picks = self.pick(&segments, found.as_ref(), loaded);
        self.assembler.add(picks, loaded.map(|loaded| loaded.map(|l| &l.batch)))?;
        Ok(reached)
    }

    fn compare(
        &self,
        segments: &[Segment],
        loaded: Side<Option<&Loaded>>,
    ) -> Result<Option<Differences>> {
        let (Some(backup), Some(live)) = (loaded.backup, loaded.live) else { return Ok(None) };
        let runs: Vec<Run> = segments
            .iter()
            .filter_map(|segment| match *segment {
                Segment::Both { backup, live, len } => Some(Run { backup, live, len }),
                _ => None,
            })
            .collect();
        let sides = (&backup.batch, &live.batch);
        let mut found = self.comparator.compare(sides.0, sides.1, &runs)?;
        let lost = |index: usize| self.counters.lost[index].add(1);
        self.comparator.forgive(sides, &runs, &mut found, lost)?;
        Ok(Some(found))
    }

    fn pick(
        &mut self,
        segments: &[Segment],
        found: Option<&Differences>,
        loaded: Side<Option<&Loaded>>,
    ) -> Picks {
        let mut picks = Picks::default();
        let mut pair = 0;
        for segment in segments {
            match *segment {
                Segment::Both { backup, live, len } => {
                    let found = found.filter(|found| found.any());
                    let changed = found.map_or(0, |found| {
                        self.changed(found, pair, (backup, live, len), &mut picks)
                    });
                    self.counters.changed.add(changed);
                    self.counters.same.add(len - changed);
                    pair += len;
                }
                Segment::Backup { start, len } => {
                    self.counters.missing.add(len);
                    self.push(Change::Missing, start, len, backup_row, &mut picks);
                }
                Segment::Live { start, len } => {
                    self.counters.extra.add(len);
                    self.push(Change::Extra, start, len, live_row, &mut picks);
                }
                Segment::AmbiguousBackup { start, len } => {
                    self.counters.ambiguous_rows.backup.add(len);
                    self.count_keys(loaded.backup.map(|l| &l.keys), start, len);
                    self.push(Change::Ambiguous, start, len, backup_row, &mut picks);
                }
                Segment::AmbiguousLive { start, len } => {
                    self.counters.ambiguous_rows.live.add(len);
                    self.count_keys(loaded.live.map(|l| &l.keys), start, len);
                    self.push(Change::Ambiguous, start, len, live_row, &mut picks);
                }
                Segment::Unfit { backup, len, .. } => {
                    self.counters.unfit.add(len);
                    self.count_unfit(loaded.backup.map(|l| &l.batch), backup, len);
                }
            }
        }
        picks
    }

    /// Counts and picks the changed pairs of a run.
    fn changed(
        &mut self,
        found: &Differences,
        first: usize,
        (backup, live, len): (usize, usize, usize),
        picks: &mut Picks,
    ) -> usize {
        let mut changed = 0;
        for k in (0..len).filter(|k| found.differs(first + k)) {
            changed += 1;
            let mask = found.mask(first + k);
            for column in (0..self.spec.compare.len()).filter(|c| differs(mask, *c)) {
                self.counters.columns[column].add(1);
            }
            if self.take(Change::Changed, 1) == 1 {
                let rows = Side { backup: Some(backup + k), live: Some(live + k) };
                picks.push(Change::Changed, rows, Some(mask));
            }
        }
        changed
    }

    fn push(
        &mut self,
        change: Change,
        start: usize,
        len: usize,
        rows: impl Fn(usize) -> Side<Option<usize>>,
        picks: &mut Picks,
    ) {
        let len = self.take(change, len as u64) as usize;
        for row in start..start + len {
            picks.push(change, rows(row), None);
        }
    }

    /// How many of `wanted` changes may go out.
    fn take(&mut self, change: Change, wanted: u64) -> u64 {
        let left = &mut self.left[change as usize];
        let taken = wanted.min(*left);
        *left -= taken;
        taken
    }

    fn count_unfit(&self, batch: Option<&RecordBatch>, start: usize, len: usize) {
        let exact = batch.and_then(|batch| batch.column_by_name(EXACT)?.as_binary_opt::<i32>());
        let Some(exact) = exact else { return };
        for row in start..start + len {
            for name in unfit_columns(exact.value(row)) {
                let counters = self.counters.unfit_values.iter();
                counters.filter(|(column, _)| column == name).for_each(|(_, count)| count.add(1));
            }
        }
    }

    fn count_keys(&mut self, keys: Option<&Keys>, start: usize, len: usize) {
        for row in start..start + len {
            let key = keys.map(|keys| keys.owned(row));
            if key.is_some() && key != self.ambiguous {
                self.counters.ambiguous.add(1);
                self.ambiguous = key;
            }
        }
    }
}

fn backup_row(row: usize) -> Side<Option<usize>> {
    Side { backup: Some(row), live: None }
}

fn live_row(row: usize) -> Side<Option<usize>> {
    Side { backup: None, live: Some(row) }
}
