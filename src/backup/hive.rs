//! Tables whose rows lie in several Parquet files, as jobs that write in parallel leave them.
//!
//! ```text
//! <table>/<column>=<value>/../<file>.parquet      Hive's partitions: every folder tells a column
//! <table>/part-<n>..parquet                       the parts of a job's output (Spark, Hadoop)
//! <table>/<batch>/part-<n>..parquet               the batches of an export of RDS
//! ```
//!
//! A partition's value is percent-encoded; `__HIVE_DEFAULT_PARTITION__` is NULL. Names that begin with
//! `_` or `.` are a job's own notes (`_SUCCESS`, checksums); `_temporary` is a job that has not ended. Source:
//! Apache Hive, "LanguageManual DDL", section "Partitioned Tables"; Apache Spark, "Parquet Files", section "Partition
//! Discovery".

use std::cmp::Ordering;
use std::path::Path;

use percent_encoding::percent_decode_str;

use crate::backup::file::file_name;
use crate::backup::folder::{Candidate, Named, by_name, entries};
use crate::backup::parts::{Part, Told};
use crate::error::{Error, Result};
use crate::model::table::TableName;

/// The value that stands for NULL.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A job's folder while it writes.
const UNFINISHED: &str = "_temporary";

/// The most files of a table, and the most folders above one.
const MOST: usize = 10_000;
const DEPTH: usize = 16;

/// The table that a folder is, by what lies right in it; `None` when it is none.
///
/// # Errors
/// `Damaged` for a job's output that is not finished; `Failed` for a folder of another kind of table, and
/// for one with files that no reader of partitions would take.
pub fn table(folder: &Path) -> Result<Option<Candidate>> {
    let mut partitions = false;
    let (mut parts, mut others) = (0, 0);
    for (path, kind) in entries(folder)? {
        let name = file_name(&path);
        if name == "_delta_log"
            || name == ".hoodie"
            || (name == "metadata" && folder.join("data").is_dir())
        {
            return Err(Error::failed(format!(
                "{} is a table whose log tells which of its files count, which is not read",
                folder.display()
            ))
            .hint("write the table's rows of the moment you need to Parquet, and give that"));
        }
        match is_note(&name) {
            true => {}
            false if kind.is_dir() => partitions |= told(&name).is_some(),
            false if name.starts_with("part-") && is_parquet(&path) => parts += 1,
            false => others += 1,
        }
    }
    if !partitions && (parts == 0 || others > 0) {
        return Ok(None);
    }
    let name = file_name(folder);
    let name = name.strip_suffix(".parquet").unwrap_or(&name);
    Ok(Some(Candidate {
        table: TableName::bare(name),
        path: folder.to_owned(),
        named: Named::Parquet,
        parts: parts_of(folder, false)?,
    }))
}

/// The files of a table's folder, in the order of their numbers. `batches`: folders may have
/// numbers for names, which tell no column.
pub(super) fn parts_of(folder: &Path, batches: bool) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut walk = Walk { root: folder, batches, parts: &mut parts };
    walk.folder(folder, &[])?;
    if let Some(first) = parts.first() {
        let columns = |part: &Part| part.told.iter().map(|t| t.0.clone()).collect::<Vec<_>>();
        let wanted = columns(first);
        if let Some(other) = parts.iter().find(|part| columns(part) != wanted) {
            return Err(Error::failed(format!(
                "{} and {} lie in partitions of different columns",
                first.path.display(),
                other.path.display()
            )));
        }
    }
    Ok(parts)
}

struct Walk<'w> {
    root: &'w Path,
    batches: bool,
    parts: &'w mut Vec<Part>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, above: &[Told]) -> Result<()> {
        let strange = |path: &Path, what: &str| {
            Err(Error::failed(format!("{} {what}", path.display()))
                .hint("move away what is not of the table, or give another path"))
        };
        let mut inside = entries(folder)?;
        inside.sort_by(|a, b| by_numbers(&file_name(&a.0), &file_name(&b.0)));
        for (path, kind) in inside {
            let name = file_name(&path);
            if name == UNFINISHED {
                return Err(Error::damaged(format!(
                    "{} is there: the job that writes {} has not ended",
                    path.display(),
                    self.root.display()
                ))
                .hint("wait for it, or take an older backup"));
            }
            if is_note(&name) {
                continue;
            }
            if kind.is_dir() {
                let is_batch = self.batches && name.bytes().all(|byte| byte.is_ascii_digit());
                let mut told_here = above.to_vec();
                match told(&name) {
                    Some(column) if above.len() < DEPTH => told_here.push(column),
                    None if is_batch && above.is_empty() => {}
                    _ => return strange(&path, "is no partition of a table"),
                }
                self.folder(&path, &told_here)?;
            } else if is_parquet(&path) {
                if self.parts.len() == MOST {
                    return strange(self.root, "is a table of more than 10,000 files");
                }
                self.parts.push(Part { told: above.to_vec(), ..Part::whole(path) });
            } else {
                return strange(&path, "is no Parquet file, and lies in a table of them");
            }
        }
        Ok(())
    }
}

/// The column and the value that a folder's name tells.
fn told(name: &str) -> Option<Told> {
    let (column, value) = name.split_once('=').filter(|(column, _)| !column.is_empty())?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|t| t.into_owned());
    Some((decoded(column)?, if value == NULL { None } else { Some(decoded(value)?) }))
}

fn is_note(name: &str) -> bool {
    name.starts_with(['_', '.']) && !name.contains('=')
}

fn is_parquet(path: &Path) -> bool {
    by_name(path).is_some_and(|found| found.named == Named::Parquet)
}

/// Names in the order of the numbers in them, so that 10 comes behind 9.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (left.first(), right.first()) {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (m, n) = (digits(left), digits(right));
        let order = if m > 0 && n > 0 {
            let number = |text: &[u8], count| {
                let zeros = text[..count].iter().take_while(|byte| **byte == b'0').count();
                (count - zeros, text[zeros..count].to_vec())
            };
            let order = number(left, m).cmp(&number(right, n));
            (left, right) = (&left[m..], &right[n..]);
            order
        } else {
            let order = x.cmp(y);
            (left, right) = (&left[1..], &right[1..]);
            order
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_the_order_of_their_numbers() {
        let sorted = ["", "1", "2", "10", "a", "part-00009-x", "part-00010-a", "year=2024"];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|a, b| by_numbers(a, b));
        assert_eq!(names, sorted);
        assert_eq!(by_numbers("07", "7"), Ordering::Less);
    }

    #[test]
    fn folders_tell_columns() {
        let text = |column: &str, value: &str| Some((column.to_owned(), Some(value.to_owned())));
        assert_eq!(told("day=2024-03-14"), text("day", "2024-03-14"));
        assert_eq!(told("a%3Db=x%2Fy%20=z"), text("a=b", "x/y =z"));
        assert_eq!(told("k="), text("k", ""));
        assert_eq!(told("k=__HIVE_DEFAULT_PARTITION__"), Some(("k".into(), None)));
        assert_eq!((told("plain"), told("=v"), told("k=%ff")), (None, None, None));
    }
}
