//! One table in one file: what every layout of tables in files reads through.
//!
//! It reads by name, in row ranges, and gives live's columns ([`Dress`]). The rows are those of a
//! Parquet file, or of a text file that was staged.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;

use crate::backup::dress::{Dress, Pair, undress_cells};
use crate::backup::file::BackupFile;
use crate::backup::guard::Meter;
use crate::backup::keys::KeyIndex;
use crate::backup::parquet::{ParquetRows, torn};
use crate::backup::parts::Told;
use crate::backup::text::stage::store::CellBatch;
use crate::backup::text::{Limits, Staged};
use crate::error::{Error, Result};
use crate::fit::foreign::natural_carrier;
use crate::fit::notes::Tally;
use crate::fit::place::Rows;
use crate::model::table::{Carrier, Column, TableName, TableSchema};
use crate::source::Unfit;

/// An open file as one table.
#[derive(Debug)]
pub struct FileTable {
    name: TableName,
    file: BackupFile,
    content: Content,
    limits: Limits,
    pub(crate) keys: Mutex<Vec<(Vec<Column>, Arc<KeyIndex>)>>,
}

/// What the file's rows are.
#[derive(Debug)]
enum Content {
    /// Rows of Parquet.
    Parquet(Box<ParquetRows>),
    /// Cells of a text file; their folder goes with them.
    Staged(Box<Staged>),
}

/// Some rows as the file has them.
enum Given {
    Parquet(RecordBatch),
    Staged(CellBatch),
}

impl FileTable {
    /// Opens a Parquet file and reads its footer. Errors: damage, an unsupported feature, or
    /// more data than `limits` allows.
    pub fn open(name: TableName, file: BackupFile, dress: Dress, limits: Limits) -> Result<Self> {
        let rows = ParquetRows::open(&file, dress, &limits)?;
        let content = Content::Parquet(Box::new(rows));
        Ok(Self { name, file, content, limits, keys: Mutex::default() })
    }

    /// Opens what the text file at `path` was staged as.
    pub fn open_staged(
        name: TableName,
        path: &Path,
        staged: Staged,
        limits: Limits,
    ) -> Result<Self> {
        let file = BackupFile::open(&staged.path, None)?.called(path);
        let content = Content::Staged(Box::new(staged));
        Ok(Self { name, file, content, limits, keys: Mutex::default() })
    }

    /// The same with the columns that its folders' names tell. A column that the file holds
    /// itself is read from the file.
    pub(crate) fn with(self, told: &[Told]) -> Self {
        let content = match self.content {
            Content::Parquet(rows) => Content::Parquet(Box::new(rows.with(told))),
            staged => staged,
        };
        Self { content, ..self }
    }

    /// The staged text that this is, where it is one.
    pub fn staged(&self) -> Option<&Staged> {
        match &self.content {
            Content::Parquet(_) => None,
            Content::Staged(staged) => Some(staged),
        }
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The file.
    pub fn file(&self) -> &BackupFile {
        &self.file
    }

    /// The exact number of rows.
    pub fn rows(&self) -> u64 {
        match &self.content {
            Content::Parquet(rows) => rows.rows(),
            Content::Staged(staged) => staged.rows,
        }
    }

    /// The columns that can be read, in the file's order, with their Arrow types; then those
    /// that its folders tell.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &DataType)> {
        let (parquet, staged) = match &self.content {
            Content::Parquet(rows) => (Some(rows.columns()), None),
            Content::Staged(staged) => (None, Some(staged.columns.iter())),
        };
        let staged = staged.into_iter().flatten();
        let staged = staged.map(|column| (column.name.as_str(), &DataType::Binary));
        parquet.into_iter().flatten().chain(staged)
    }

    /// The names of nested columns, which are not read.
    pub fn nested(&self) -> Vec<&str> {
        match &self.content {
            Content::Parquet(rows) => rows.nested(),
            Content::Staged(_) => Vec::new(),
        }
    }

    /// The table as this file describes it: names, and carriers by the Arrow types.
    pub fn schema(&self) -> TableSchema {
        let staged = match &self.content {
            Content::Parquet(rows) => match rows.dress() {
                Dress::Own(schema) => return (**schema).clone(),
                Dress::Foreign => false,
            },
            Content::Staged(_) => true,
        };
        let columns = self.columns().map(|(name, data_type)| Column {
            declared: if staged { String::new() } else { data_type.to_string() },
            ..Column::new(name, if staged { Carrier::Text } else { natural_carrier(data_type) })
        });
        TableSchema::of_columns(self.name.clone(), columns.collect())
    }

    /// True when some first page of Parquet carries no checksum, so that flipped bits may go
    /// unseen.
    pub fn unchecksummed(&self) -> Result<bool> {
        match &self.content {
            Content::Parquet(rows) => rows.unchecksummed(&self.file),
            Content::Staged(_) => Ok(false),
        }
    }

    /// Where live's column is in the file: by name, else without case when that is unique.
    pub(crate) fn pair(&self, live: &Column) -> Result<Pair> {
        let same: Vec<&str> =
            self.columns().map(|(name, _)| name).filter(|name| *name == live.name).collect();
        let names = if same.is_empty() {
            let alike = |name: &&str| name.eq_ignore_ascii_case(&live.name);
            self.columns().map(|(name, _)| name).filter(alike).collect()
        } else {
            same
        };
        match names[..] {
            [file] => Ok(Pair { live: live.clone(), file: file.to_owned(), unfit: Unfit::Refuse }),
            [] => Err(Error::failed(format!(
                "backup file {} has no column {} of table {}",
                self.file.path().display(),
                live.name,
                self.name
            ))),
            _ => Err(Error::failed(format!(
                "backup file {} has {} columns called {}",
                self.file.path().display(),
                names.len(),
                live.name
            ))),
        }
    }

    /// Where live's columns are in the file.
    pub(crate) fn pairs(&self, columns: &[Column]) -> Result<Vec<Pair>> {
        columns.iter().map(|column| self.pair(column)).collect()
    }

    /// The first row of each part of the file in which rows are best read from the start.
    pub(crate) fn group_starts(&self) -> Vec<u64> {
        match &self.content {
            Content::Parquet(rows) => rows.group_starts(),
            Content::Staged(_) => vec![0],
        }
    }

    /// Reads rows `range`, batch by batch in the file's order, as live's columns. `each`
    /// gets a batch and the number of its first row, and says whether to go on.
    pub(crate) fn read(
        &self,
        pairs: &[Pair],
        range: Range<u64>,
        tally: &mut Tally,
        mut each: impl FnMut(RecordBatch, u64) -> Result<bool>,
    ) -> Result<()> {
        let meter = Meter::default();
        let mut next = range.start;
        let wanted = range.end.min(self.rows());
        for given in self.given(pairs, std::slice::from_ref(&(range.start..wanted)))? {
            let given = given?;
            // The text that was staged was within its limits.
            if let Given::Parquet(batch) = &given {
                let bytes = batch.get_array_memory_size() as u64;
                meter.add(bytes, &self.limits, self.file.path())?;
            }
            let first = next;
            next += given.rows() as u64;
            let batch = self.undress(given, pairs, Rows::From(first), tally)?;
            if !each(batch, first)? {
                return Ok(());
            }
        }
        if next < wanted {
            return Err(torn(&self.file));
        }
        self.file.unchanged()
    }

    /// Reads single rows, given in ascending order without repeats, in the file's order.
    pub(crate) fn read_rows(
        &self,
        pairs: &[Pair],
        rows: &[u64],
        tally: &mut Tally,
    ) -> Result<Vec<RecordBatch>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for row in rows {
            match ranges.last_mut() {
                Some(range) if range.end == *row => range.end += 1,
                _ => ranges.push(*row..*row + 1),
            }
        }
        let mut left = rows;
        let mut batches = Vec::new();
        for given in self.given(pairs, &ranges)? {
            let given = given?;
            let (here, after) =
                left.split_at_checked(given.rows()).ok_or_else(|| torn(&self.file))?;
            left = after;
            batches.push(self.undress(given, pairs, Rows::At(here), tally)?);
        }
        if !left.is_empty() {
            return Err(torn(&self.file));
        }
        self.file.unchanged()?;
        Ok(batches)
    }

    /// The rows of these ascending ranges, batch by batch.
    fn given<'a>(
        &'a self,
        pairs: &'a [Pair],
        ranges: &[Range<u64>],
    ) -> Result<Box<dyn Iterator<Item = Result<Given>> + 'a>> {
        match &self.content {
            Content::Parquet(rows) => {
                let batches = rows.read(&self.file, pairs, ranges)?;
                Ok(Box::new(batches.map(|batch| batch.map(Given::Parquet))))
            }
            Content::Staged(staged) => {
                let place = |pair: &Pair| {
                    let place = staged.columns.iter().position(|column| column.name == pair.file);
                    place.ok_or_else(|| {
                        Error::failed(format!("the staged file lacks the column {}", pair.file))
                    })
                };
                let places = pairs.iter().map(place).collect::<Result<Vec<_>>>()?;
                let batches = staged.store.read(&self.file, places, ranges);
                Ok(Box::new(batches.map(|batch| batch.map(Given::Staged))))
            }
        }
    }

    /// Makes live's columns of rows of the file.
    fn undress(
        &self,
        given: Given,
        pairs: &[Pair],
        rows: Rows<'_>,
        tally: &mut Tally,
    ) -> Result<RecordBatch> {
        match (given, &self.content) {
            (Given::Parquet(batch), Content::Parquet(parquet)) => {
                let batch = parquet.whole(batch, pairs)?;
                parquet.dress().undress(&batch, pairs, &self.name, rows, tally)
            }
            (Given::Staged(cells), Content::Staged(staged)) => {
                undress_cells(cells, &staged.habits, pairs, (&self.name, rows), tally)
            }
            _ => Err(torn(&self.file)),
        }
    }
}

impl Given {
    fn rows(&self) -> usize {
        match self {
            Given::Parquet(batch) => batch.num_rows(),
            Given::Staged(cells) => cells.rows,
        }
    }
}
