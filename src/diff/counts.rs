//! What a row diff counted. The operator counts into DataFusion's metrics, so that the
//! counts of ranges read elsewhere add up the same way.

use std::fmt;

use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};

use crate::diff::spec::DiffSpec;
use crate::model::side::{Side, Which};
use crate::model::table::{Carrier, Column};

/// The counts of one table's diff. Rows that a pushed filter left out are in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiffCounts {
    /// Rows read on each side.
    pub rows: Side<u64>,
    /// Rows only in the backup.
    pub missing: u64,
    /// Rows in both that differ.
    pub changed: u64,
    /// Rows only live.
    pub extra: u64,
    /// Rows in both, equal in every compared column.
    pub same: u64,
    /// Keys that stand more than once on some side.
    pub ambiguous: u64,
    /// Rows on each side with such a key.
    pub ambiguous_rows: Side<u64>,
    /// Rows on each side whose key is NULL or a misfit.
    pub unkeyable: Side<u64>,
    /// Why they have no key: what each of the key's columns lacks, without zeros.
    pub unkeyed: Vec<Unkeyed>,
    /// Rows of the backup with a value that live's column can't hold, in no other count but the
    /// rows read; the row of live with the same key is in none either.
    pub unfit: u64,
    /// How many such values each column that is read of the backup has, in the order of
    /// [`DiffSpec::read`](crate::diff::spec::DiffSpec::read), without zeros: `(column, values)`.
    pub unfit_values: Vec<(String, u64)>,
    /// For each compared pair of columns the rows in which it differs.
    pub columns: Vec<u64>,
    /// For each of [`DiffSpec::loss`] the rows in whose column it explains the difference, which
    /// is then none.
    pub lost: Vec<u64>,
}

/// Rows that have no key for what one of its columns holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkeyed {
    /// The column.
    pub column: Column,
    /// Rows on each side with NULL there.
    pub nulls: Side<u64>,
    /// Rows on each side with a value there that its carrier can't say.
    pub misfits: Side<u64>,
}

impl fmt::Display for Unkeyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misfits = match self.column.carrier {
            Carrier::Date | Carrier::Stamp | Carrier::Instant => {
                "infinity, -infinity or no date of the calendar"
            }
            Carrier::Decimal { .. } => "no finite number",
            _ => "of another kind than its column",
        };
        let mut told = Vec::new();
        for (what, rows) in [("NULL", self.nulls), (misfits, self.misfits)] {
            let sides = [(rows.backup, "of the backup"), (rows.live, "of live")];
            let sides = sides.into_iter().filter(|(rows, _)| *rows > 0).map(|(rows, side)| {
                format!("{rows} {} {side}", if rows == 1 { "row" } else { "rows" })
            });
            let sides = sides.collect::<Vec<_>>().join(" and ");
            if !sides.is_empty() {
                told.push(format!("{what} in {sides}"));
            }
        }
        write!(f, "the key is {}: not matched", told.join(", and "))
    }
}

const BACKUP_ROWS: &str = "backup_rows";
const LIVE_ROWS: &str = "live_rows";
const MISSING: &str = "missing";
const CHANGED: &str = "changed";
const EXTRA: &str = "extra";
const SAME: &str = "same";
const AMBIGUOUS: &str = "ambiguous_keys";
const AMBIGUOUS_BACKUP: &str = "ambiguous_backup_rows";
const AMBIGUOUS_LIVE: &str = "ambiguous_live_rows";
const UNKEYABLE_BACKUP: &str = "unkeyable_backup_rows";
const UNKEYABLE_LIVE: &str = "unkeyable_live_rows";
const UNFIT: &str = "unfit_rows";

fn column_metric(index: usize) -> String {
    format!("column_{index}_differs")
}

fn lost_metric(index: usize) -> String {
    format!("loss_{index}")
}

/// `what` is `null` or `misfit`.
fn unkeyed_metric(which: Which, what: &str, column: &str) -> String {
    format!("unkeyed_{which}_{what}_{column}")
}

fn unfit_metric(column: &str) -> String {
    format!("unfit_value_{column}")
}

impl DiffCounts {
    /// Reads the counts of a [`RowDiffExec`](crate::diff::exec::RowDiffExec)'s metrics,
    /// summed over its partitions.
    pub fn of(metrics: &MetricsSet, spec: &DiffSpec) -> Self {
        let sum = |name: &str| metrics.sum_by_name(name).map_or(0, |v| v.as_usize() as u64);
        let read = spec.read(Which::Backup).unwrap_or_default();
        let unfit_values = read
            .into_iter()
            .map(|column| (sum(&unfit_metric(&column.name)), column.name))
            .filter(|(values, _)| *values > 0)
            .map(|(values, column)| (column, values))
            .collect();
        let unkeyed = spec.key.iter().map(|column| {
            let sum = |which, what| sum(&unkeyed_metric(which, what, &column.name));
            let sides =
                |what| Side { backup: sum(Which::Backup, what), live: sum(Which::Live, what) };
            Unkeyed { column: column.clone(), nulls: sides("null"), misfits: sides("misfit") }
        });
        let none = Side { backup: 0, live: 0 };
        let unkeyed = unkeyed.filter(|u| (u.nulls, u.misfits) != (none, none)).collect();
        Self {
            unkeyed,
            rows: Side { backup: sum(BACKUP_ROWS), live: sum(LIVE_ROWS) },
            missing: sum(MISSING),
            changed: sum(CHANGED),
            extra: sum(EXTRA),
            same: sum(SAME),
            ambiguous: sum(AMBIGUOUS),
            ambiguous_rows: Side { backup: sum(AMBIGUOUS_BACKUP), live: sum(AMBIGUOUS_LIVE) },
            unkeyable: Side { backup: sum(UNKEYABLE_BACKUP), live: sum(UNKEYABLE_LIVE) },
            unfit: sum(UNFIT),
            unfit_values,
            columns: (0..spec.compare.len()).map(|i| sum(&column_metric(i))).collect(),
            lost: (0..spec.loss.len()).map(|i| sum(&lost_metric(i))).collect(),
        }
    }
}

/// The counters of one partition.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) rows: Side<Count>,
    pub(crate) missing: Count,
    pub(crate) changed: Count,
    pub(crate) extra: Count,
    pub(crate) same: Count,
    pub(crate) ambiguous: Count,
    pub(crate) ambiguous_rows: Side<Count>,
    pub(crate) unkeyable: Side<Count>,
    /// Of each column of the key: NULLs and misfits.
    pub(crate) unkeyed: Side<Vec<[Count; 2]>>,
    pub(crate) unfit: Count,
    pub(crate) unfit_values: Vec<(String, Count)>,
    pub(crate) columns: Vec<Count>,
    pub(crate) lost: Vec<Count>,
}

impl Counters {
    pub(crate) fn new(set: &ExecutionPlanMetricsSet, partition: usize, spec: &DiffSpec) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(set).counter(name, partition);
        let unfit = |column: Column| {
            let count = MetricBuilder::new(set).counter(unfit_metric(&column.name), partition);
            (column.name, count)
        };
        let read = spec.read(Which::Backup).unwrap_or_default();
        let lost = |i| MetricBuilder::new(set).counter(lost_metric(i), partition);
        let column = |i| MetricBuilder::new(set).counter(column_metric(i), partition);
        let unkeyed = |which: Which| {
            let counter = |what, column: &Column| {
                let name = unkeyed_metric(which, what, &column.name);
                MetricBuilder::new(set).counter(name, partition)
            };
            spec.key
                .iter()
                .map(|column| ["null", "misfit"].map(|what| counter(what, column)))
                .collect()
        };
        Self {
            unkeyed: Side { backup: unkeyed(Which::Backup), live: unkeyed(Which::Live) },
            rows: Side { backup: counter(BACKUP_ROWS), live: counter(LIVE_ROWS) },
            missing: counter(MISSING),
            changed: counter(CHANGED),
            extra: counter(EXTRA),
            same: counter(SAME),
            ambiguous: counter(AMBIGUOUS),
            ambiguous_rows: Side {
                backup: counter(AMBIGUOUS_BACKUP),
                live: counter(AMBIGUOUS_LIVE),
            },
            unkeyable: Side { backup: counter(UNKEYABLE_BACKUP), live: counter(UNKEYABLE_LIVE) },
            unfit: counter(UNFIT),
            unfit_values: read.into_iter().map(unfit).collect(),
            columns: (0..spec.compare.len()).map(column).collect(),
            lost: (0..spec.loss.len()).map(lost).collect(),
        }
    }
}
