//! The summary of one table's diff: the counts, and a sample of what the differing columns
//! went from and to.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::diff::changes::{Changes, diff};
use crate::diff::counts::DiffCounts;
use crate::diff::loss::Loss;
use crate::diff::pair::TablePair;
use crate::diff::probe::losses;
use crate::diff::rows::ChangeRows;
use crate::diff::spec::{DiffSpec, Emit, PairLoss};
use crate::error::Result;
use crate::model::change::Change;
use crate::model::origin::Origin;
use crate::model::side::Which;
use crate::model::summary::{ColumnDiff, FromBackup, Lossy, NotCompared, TableDiff};
use crate::model::value::ValueRef;
use crate::mount::Mount;
use crate::progress::Progress;
use crate::source::Unfit;

/// Changed rows of each key range that the sample of common changes is taken from.
pub const SAMPLE: u64 = 5_000;
/// Common changes that are listed for a column.
const LISTED: usize = 5;
/// Characters of a value that take part in a sampled pair.
const CHARS: usize = 60;

/// Compares a table and sums it up. Only a sample of the changed rows is gathered.
pub async fn summarise(
    mount: &Mount,
    pair: &TablePair,
    progress: Arc<dyn Progress>,
) -> Result<TableDiff> {
    let several = mount.from_column();
    let mut request = pair.request();
    // Where there are several backups every row tells from which it comes.
    request.emit = Emit { changed: true, missing: several.is_some(), ..Emit::NONE };
    request.limit = several.is_none().then_some(SAMPLE);
    request.carry.backup.extend(several);
    request.unfit = Unfit::Mark;
    request.ordered = false;
    request.loss = losses(mount, pair).await?;
    let mut changes: Changes = diff(mount, &request, progress).await?;
    let mut summary = Summary::new(Arc::clone(changes.spec()), mount.origins());
    while let Some(batch) = changes.next().await? {
        summary.add(&batch)?;
    }
    Ok(summary.finish(pair, &changes.counts()))
}

/// Gathers a table's summary from change batches.
#[derive(Debug)]
pub struct Summary {
    spec: Arc<DiffSpec>,
    seen: DiffCounts,
    sampled: u64,
    from: Vec<FromBackup>,
    common: Vec<HashMap<(String, String), u64>>,
}

impl Summary {
    /// For the batches of a diff by `spec`, whose backup is one of `origins`.
    pub fn new(spec: Arc<DiffSpec>, origins: &[Origin]) -> Self {
        let from = |origin: &Origin| FromBackup {
            backup: origin.location.clone(),
            missing: 0,
            changed: 0,
        };
        let from = if origins.len() > 1 { origins.iter().map(from).collect() } else { Vec::new() };
        let columns = spec.compare.len();
        let seen = DiffCounts { columns: vec![0; columns], ..DiffCounts::default() };
        Self { spec, seen, sampled: 0, from, common: vec![HashMap::new(); columns] }
    }

    /// Counts the rows of a batch and samples them.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = ChangeRows::new(&self.spec, batch)?;
        for row in 0..rows.len() {
            let change = rows.change(row)?;
            if let Some(from) = rows.from(row)?.and_then(|number| self.from.get_mut(number)) {
                from.missing += u64::from(change == Change::Missing);
                from.changed += u64::from(change == Change::Changed);
            }
            match change {
                Change::Missing => self.seen.missing += 1,
                Change::Extra => self.seen.extra += 1,
                Change::Ambiguous => self.seen.ambiguous += 1,
                Change::Changed => {
                    self.seen.changed += 1;
                    let sample = self.sampled < 4 * SAMPLE;
                    self.sampled += 1;
                    for column in rows.differs(row) {
                        self.seen.columns[column] += 1;
                        if sample {
                            let pair = &self.spec.compare[column];
                            let value = |which: Which| -> Result<Option<ValueRef<'_>>> {
                                let index = rows.position(which, &pair.get(which).name);
                                index.map(|index| rows.value(row, which, index)).transpose()
                            };
                            let (backup, live) = (value(Which::Backup)?, value(Which::Live)?);
                            let text = |value: Option<ValueRef<'_>>| value.map(display);
                            let change =
                                (text(backup).unwrap_or_default(), text(live).unwrap_or_default());
                            *self.common[column].entry(change).or_default() += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// What was added, as counts: the changes of a selection that was filtered on the way.
    /// `ambiguous` counts rows here, and what the diff never emits is 0.
    pub fn seen(&self) -> &DiffCounts {
        &self.seen
    }

    /// The summary with the diff's own counts.
    pub fn finish(self, pair: &TablePair, counts: &DiffCounts) -> TableDiff {
        let columns = self.spec.compare.iter().zip(&counts.columns).zip(self.common);
        let columns =
            columns.filter(|((_, rows), _)| **rows > 0).map(|((column, rows), common)| {
                let mut common: Vec<_> = common.into_iter().map(|((b, l), n)| (b, l, n)).collect();
                common.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
                common.truncate(LISTED);
                ColumnDiff { column: column.live.name.clone(), rows: *rows, common }
            });
        let unfit = unfit_values(counts).map(|(column, why)| NotCompared { column, why });
        let unkeyed = counts.unkeyed.iter().map(|unkeyed| NotCompared {
            column: unkeyed.column.name.clone(),
            why: unkeyed.to_string(),
        });
        TableDiff {
            table: pair.table.live.to_string(),
            key: pair.key.columns.clone(),
            live_rows: counts.rows.live,
            backup_rows: counts.rows.backup,
            missing: counts.missing,
            changed: counts.changed,
            extra: counts.extra,
            same: counts.same,
            ambiguous: counts.ambiguous,
            unkeyable: counts.unkeyable.backup + counts.unkeyable.live,
            columns: columns.collect(),
            unfit: counts.unfit,
            left_out: 0,
            not_compared: pair.not_compared.iter().cloned().chain(unkeyed).chain(unfit).collect(),
            backup_table: pair.elsewhere(),
            lossy: lossy(&self.spec, counts),
            from: self.from,
            skipped: None,
        }
    }
}

/// What the backup has lost of which compared columns, and how many differences that explains.
pub fn lossy(spec: &DiffSpec, counts: &DiffCounts) -> Vec<Lossy> {
    // Numbers in six digits are expected of a backup, and told where some differ.
    let told = |(lost, rows): &(&PairLoss, &u64)| lost.loss != Loss::Single || **rows > 0;
    let losses = spec.loss.iter().zip(&counts.lost).filter(told);
    let lossy = losses.map(|(lost, rows)| Lossy {
        column: spec.compare[lost.pair].live.name.clone(),
        how: lost.loss.to_string(),
        backup: lost.backup,
        rows: *rows,
    });
    lossy.collect()
}

/// How many values of which columns live's columns can't hold, each with the words.
pub fn unfit_values(counts: &DiffCounts) -> impl Iterator<Item = (String, String)> {
    counts.unfit_values.iter().map(|(column, n)| {
        let values = if *n == 1 { "value" } else { "values" };
        (column.clone(), format!("{n} {values} of the backup that live's type can't hold"))
    })
}

/// A value in words, cut to a screen's width; not yet fit for a terminal.
pub fn display(value: ValueRef<'_>) -> String {
    let cut = |text: &str| match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Int(i) => i.to_string(),
        ValueRef::Real(r) => format!("{r:?}"),
        ValueRef::Text(bytes) => {
            cut(&String::from_utf8_lossy(&bytes[..bytes.len().min(8 * CHARS)]))
        }
        ValueRef::Blob(bytes) => {
            let hex: String = bytes.iter().take(CHARS / 2).map(|b| format!("{b:02x}")).collect();
            let more = if bytes.len() > CHARS / 2 { "…" } else { "" };
            format!("x'{hex}{more}'")
        }
        _ => value.plain_text().unwrap_or_default(),
    }
}
