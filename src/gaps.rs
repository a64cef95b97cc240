//! Runs of missing integers in a key, and who can fill them.
//!
//! Both sides' keys are read at once and kept as runs of present integers; what is missing
//! and what a backup can fill is then the algebra of runs. A gap alone is no proof of
//! loss: sequences also skip ids on rollback.

mod runs;

use arrow::array::{Array, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::display::FormatOptions;
use futures::TryStreamExt;

pub use runs::Runs;

use crate::error::{Error, Result};
use crate::model::origin::Origin;
use crate::model::side::{Side, Which};
use crate::model::summary::{GapBackup, GapReport};
use crate::model::table::{Carrier, Column, TableName};
use crate::mount::Mount;
use crate::mount::order::usable_splits;
use crate::progress::Progress;
use crate::source::{KeyRange, Scan, Source, Unfit};

/// The gaps of live's integer key column `key`, and which of them the backup fills. `table`
/// names the table on each side; `backup_has` says whether the backup has it at all.
pub async fn gaps(
    mount: &Mount,
    table: &Side<TableName>,
    key: &Column,
    progress: &dyn Progress,
) -> Result<GapReport> {
    if !matches!(key.carrier, Carrier::Int | Carrier::Unsigned) {
        return Err(Error::usage(format!(
            "gaps are of integers, but {}.{} is {}",
            table.live,
            key.name,
            if key.declared.is_empty() { "not one" } else { &key.declared }
        ))
        .hint("name an integer column: restorekit gaps --key ID"));
    }
    progress.start(&format!("reading the keys of {}", table.live), None);
    let parts = mount.parallelism();
    let backups = mount.backups().iter().map(|source| async {
        match mount.table_in(source.as_ref(), &table.backup).await? {
            Some(table) => present(source.as_ref(), &table, key, parts, progress).await,
            None => Ok(Runs::default()),
        }
    });
    let (live, backups) = futures::try_join!(
        present(mount.source(Which::Live).as_ref(), &table.live, key, parts, progress),
        futures::future::try_join_all(backups),
    )?;
    progress.finish();
    let all = backups.iter().fold(Runs::default(), |all, runs| all.with(runs));
    let report = report(table.live.to_string(), key.name.clone(), &live, &all);
    let each =
        if backups.len() > 1 { each(mount.origins(), &backups, &report) } else { Vec::new() };
    Ok(GapReport { backups: each, ..report })
}

/// What each of several backups fills.
fn each(origins: &[Origin], backups: &[Runs], report: &GapReport) -> Vec<GapBackup> {
    let mut left = Runs::of(&report.runs);
    let missing = left.clone();
    let fills = |(origin, runs): (&Origin, &Runs)| {
        let first = left.within(runs).count();
        left = left.without(runs);
        let backup = origin.location.clone();
        GapBackup { backup, recoverable: missing.within(runs).count(), first }
    };
    origins.iter().zip(backups).map(fills).collect()
}

/// The report of what live and the backup hold.
fn report(table: String, column: String, live: &Runs, backup: &Runs) -> GapReport {
    let inside = live.gaps();
    let lost = backup.without(live);
    let missing = inside.with(&lost);
    let recoverable = missing.within(backup);
    let unrecoverable = missing.without(backup);
    GapReport {
        table,
        column,
        first: live.first(),
        last: live.last(),
        present: live.count(),
        missing: missing.count(),
        runs: missing.into_runs(),
        recoverable: recoverable.count(),
        unrecoverable: unrecoverable.count(),
        unrecoverable_runs: unrecoverable.into_runs(),
        backups: Vec::new(),
    }
}

/// A number that does not fit is an error, never NULL.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

fn too_large(table: &TableName, key: &Column) -> Error {
    let key = &key.name;
    Error::failed(format!("gaps are counted up to 2^63, but {table}.{key} holds a larger number"))
}

/// The integers that a side holds in the key column, read in several key ranges at once.
/// Rows without an integer there are left out.
async fn present(
    source: &dyn Source,
    table: &TableName,
    key: &Column,
    parts: usize,
    progress: &dyn Progress,
) -> Result<Runs> {
    let survey = source.survey(table, std::slice::from_ref(key), parts).await?;
    let ranges = match survey.ordered {
        true => KeyRange::between(&usable_splits(key, survey.splits)),
        false => vec![KeyRange::default()],
    };
    let read = |range| in_range(source, table, key, range, survey.ordered, progress);
    let parts = futures::future::try_join_all(ranges.into_iter().map(read)).await?;
    Ok(parts.iter().fold(Runs::default(), |all, part| all.with(part)))
}

/// The integers of one key range.
async fn in_range(
    source: &dyn Source,
    table: &TableName,
    key: &Column,
    range: KeyRange,
    ordered: bool,
    progress: &dyn Progress,
) -> Result<Runs> {
    let columns = vec![key.clone()];
    let mut stream = source.scan(Scan {
        table: table.clone(),
        columns: columns.clone(),
        key: columns,
        range,
        filter: None,
        unfit: Unfit::Refuse,
    })?;
    let mut runs = Runs::default();
    let mut unsorted = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        progress.advance(batch.num_rows() as u64);
        let ids = cast_with_options(batch.column(0), &DataType::Int64, &STRICT)
            .map_err(|e| too_large(table, key).because(e))?;
        let ids = ids.as_primitive::<Int64Type>();
        if !ordered {
            unsorted.extend(ids.iter().flatten());
        } else if ids.null_count() == 0 {
            ids.values().iter().for_each(|id| runs.push(*id));
        } else {
            ids.iter().flatten().for_each(|id| runs.push(id));
        }
    }
    unsorted.sort_unstable();
    unsorted.into_iter().for_each(|id| runs.push(id));
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn runs(ids: &BTreeSet<i64>) -> Runs {
        let mut runs = Runs::default();
        ids.iter().for_each(|id| runs.push(*id));
        runs
    }

    fn spread(runs: &[(i64, i64)]) -> BTreeSet<i64> {
        runs.iter().flat_map(|(a, b)| *a..=*b).collect()
    }

    proptest! {
        #[test]
        fn a_report_equals_the_sets(
            live in proptest::collection::btree_set(-60i64..60, 0..60),
            backup in proptest::collection::btree_set(-80i64..80, 0..60),
        ) {
            let report = report("t".into(), "id".into(), &runs(&live), &runs(&backup));
            let range = match (live.first(), live.last()) {
                (Some(first), Some(last)) => (*first..=*last).collect(),
                _ => BTreeSet::new(),
            };
            let mut missing: BTreeSet<i64> = range.difference(&live).copied().collect();
            missing.extend(backup.difference(&live));
            prop_assert_eq!(spread(&report.runs), missing.clone());
            prop_assert_eq!(report.missing, missing.len() as u64);
            prop_assert_eq!(report.recoverable, missing.intersection(&backup).count() as u64);
            let lost: BTreeSet<i64> = missing.difference(&backup).copied().collect();
            prop_assert_eq!(spread(&report.unrecoverable_runs), lost.clone());
            prop_assert_eq!(report.unrecoverable, lost.len() as u64);
            for pair in report.runs.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "runs are apart and ascending");
            }
        }
    }

    #[test]
    fn the_ends_of_the_integers_are_no_trouble() {
        let ids = BTreeSet::from([i64::MIN, i64::MAX]);
        let report = report("t".into(), "id".into(), &runs(&ids), &Runs::default());
        assert_eq!(report.runs, [(i64::MIN + 1, i64::MAX - 1)]);
        assert_eq!(report.missing, u64::MAX - 1);
    }
}
