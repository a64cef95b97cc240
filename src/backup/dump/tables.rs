//! The tables that are met while a dump is read, and the staging of those that are wanted.
//!
//! A dump is read once, whatever number of its tables is wanted. Memory stays that of one
//! table: of the others a file is open at most, its rows written out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::backup::dump::charset::Charset;
use crate::backup::dump::ddl::{Declared, DeclaredColumn};
use crate::backup::dump::kind::{Kind, Reading, Zone};
use crate::backup::dump::lex::Dialect;
use crate::backup::dump::literal::Literal;
use crate::backup::text::Staged;
use crate::backup::text::stage::MAX_COLUMNS;
use crate::backup::text::stage::cells::Batch;
use crate::backup::text::stage::sink::Sink;
use crate::error::{Error, Result};
use crate::fit::cell::Tag;
use crate::model::table::Column;

pub(super) use crate::backup::dump::name::Name;
pub use crate::backup::dump::name::Wanted;

/// How many tables may have a file open at once. Partitions of as many tables may come mixed.
const MOST_OPEN: usize = 64;

/// Rows that take fewer bytes are not worth that threads begin.
const BLOCK: usize = 64 << 10;

/// Rows that take fewer bytes are not worth one more thread.
const FEW: usize = 8 << 10;

/// What a dump said so far that decides how its cells are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Session {
    /// Whose SQL, in which mode.
    pub(super) dialect: Dialect,
    /// The character set that the client was in; `None`: each column's own.
    pub(super) charset: Option<Charset>,
    /// The zone of TIMESTAMP columns; `None`: it is not said.
    pub(super) zone: Option<Zone>,
}

/// A table that was met.
#[derive(Debug)]
pub(super) struct Found {
    /// Its name in the dump.
    pub(super) name: Name,
    /// Its columns whose values are in the dump; none when they are not known.
    pub(super) columns: Vec<Column>,
    /// The number of its rows.
    pub(super) rows: u64,
    /// Its rows, where it was wanted.
    pub(super) staged: Option<Staged>,
    /// The dump holds its rows, be it none of them.
    pub(super) has_data: bool,
    /// What of its rows the dump was made without.
    pub(super) left_out: Vec<String>,
}

/// The tables of a dump that is being read.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    into: &'a Path,
    wanted: &'a Wanted,
    entries: Vec<Entry>,
    places: BTreeMap<Name, usize>,
    /// The tables with an open file, the one used last at the end.
    open: Vec<usize>,
    /// What a person should know.
    notes: Vec<String>,
}

#[derive(Debug, Default)]
struct Entry {
    name: Name,
    columns: Vec<DeclaredColumn>,
    charset: Option<String>,
    /// The table that its rows belong to.
    root: Option<usize>,
    is_view: bool,
    /// The dump holds its own rows, be it none of them: those of a partition are its own.
    has_data: bool,
    /// What of its rows the dump was made without.
    left_out: Vec<String>,
    rows: u64,
    /// The columns of the staged file, in its order.
    staged_columns: Vec<String>,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    None,
    Open(Box<Sink>),
    Done(Box<Staged>),
}

/// How the rows of statements with one head are taken.
#[derive(Debug)]
pub(super) struct Plan {
    entry: usize,
    wanted: bool,
    places: Places,
}

impl Plan {
    /// The number of values in a row.
    pub(super) fn width(&self) -> usize {
        self.places.0.len()
    }

    /// Where their values go.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

/// By the place in a row: the column of the batch and how its cells are read. `None` for
/// a value that is not kept.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<[Option<(usize, Reading)>]>);

/// Where the rows of one statement go.
#[derive(Debug)]
pub(super) struct Rows<'t> {
    sink: Option<&'t mut Sink>,
    rows: &'t mut u64,
    places: &'t Places,
}

impl<'a> Tables<'a> {
    /// No table yet. What is `wanted` is staged in folders in `into`.
    pub(super) fn new(into: &'a Path, wanted: &'a Wanted) -> Self {
        Self {
            into,
            wanted,
            entries: Vec::new(),
            places: BTreeMap::new(),
            open: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The place of a table, which is made where there is none.
    fn place(&mut self, name: &Name) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.entries.len();
        self.entries.push(Entry { name: name.clone(), ..Entry::default() });
        self.places.insert(name.clone(), place);
        place
    }

    /// Takes a declaration; `name` is what a path of names means.
    pub(super) fn declare(&mut self, table: Declared, name: impl Fn(&[Vec<u8>]) -> Name) {
        let mut columns: Vec<DeclaredColumn> = Vec::new();
        let parents = table.parents.iter().filter_map(|parent| self.places.get(&name(parent)));
        let inherited = parents.flat_map(|parent| self.entries[*parent].columns.iter().cloned());
        // Columns of one name are one, in several parents too.
        for column in inherited.chain(table.columns) {
            match columns.iter_mut().find(|known| known.name == column.name) {
                Some(known) => *known = column,
                None => columns.push(column),
            }
        }
        let own = name(&table.path);
        let place = self.place(&own);
        self.entries[place].columns = columns;
        self.entries[place].charset = table.charset;
        if let (true, Some(parent)) = (table.partition, table.parents.first()) {
            self.attach(&name(parent), &own);
        }
    }

    /// The rows of `child` are its parent's.
    pub(super) fn attach(&mut self, parent: &Name, child: &Name) {
        let (parent, child) = (self.place(parent), self.place(child));
        // A table above itself has no root.
        let mut above = Some(parent);
        while let Some(place) = above {
            if place == child {
                return;
            }
            above = self.entries[place].root;
        }
        self.entries[child].root = Some(parent);
    }

    /// True when its rows are another table's.
    pub(super) fn is_partition(&self, name: &Name) -> bool {
        self.places.get(name).is_some_and(|place| self.entries[*place].root.is_some())
    }

    /// The rows of this table so far.
    pub(super) fn count_of(&self, name: &Name) -> u64 {
        self.places.get(name).map_or(0, |place| self.entries[self.root(*place)].rows)
    }

    /// It is a view, whatever was declared before.
    pub(super) fn view(&mut self, name: &Name) {
        let place = self.place(name);
        self.entries[place].is_view = true;
    }

    /// The dump holds the rows of this table, be it none.
    pub(super) fn data_of(&mut self, name: &Name) {
        let place = self.place(name);
        self.entries[place].has_data = true;
    }

    /// The dump was made without these rows of this table.
    pub(super) fn leave_out(&mut self, name: &Name, rows: String) {
        let place = self.place(name);
        self.entries[place].left_out.push(rows);
    }

    /// Says something to a person, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// True when its rows are to be kept.
    pub(super) fn wants(&self, name: &Name) -> bool {
        match self.places.get(name) {
            Some(place) => self.wanted.holds(&self.entries[self.root(*place)].name),
            None => self.wanted.holds(name),
        }
    }

    /// The table at the top of a partition tree.
    fn root(&self, place: usize) -> usize {
        let mut root = place;
        while let Some(parent) = self.entries[root].root {
            root = parent;
        }
        root
    }

    /// How rows of a table are taken whose values stand in the order of `list`, or of the
    /// declaration without generated columns when there is none, with them when the rows are
    /// so wide.
    pub(super) fn plan(
        &mut self,
        name: &Name,
        list: Option<&[Vec<u8>]>,
        width: usize,
        session: &Session,
    ) -> Result<Plan, String> {
        if list.map_or(width, <[_]>::len).max(width) > MAX_COLUMNS {
            return Err(format!("rows of more than {MAX_COLUMNS} columns"));
        }
        let own = self.place(name);
        let root = self.root(own);
        let names = column_names(&self.entries[own], list, width)?;
        let readings = names
            .iter()
            .map(|(column, generated)| match generated {
                true => Ok(None),
                false => self.entries[own].reading(column, session).map(Some),
            })
            .collect::<Result<Vec<_>, String>>()?;
        let instant = |(_, reading): &(String, Reading)| reading.kind == Kind::Instant;
        if session.zone.is_none() && readings.iter().flatten().any(instant) {
            self.note(format!(
                "{}: the dump does not say the zone of its TIMESTAMP columns, they are taken for UTC",
                name.table
            ));
        }
        let wanted = self.wanted.holds(&self.entries[root].name);
        self.entries[own].has_data = true;
        let entry = &mut self.entries[root];
        let kept: Vec<&String> = readings.iter().flatten().map(|(name, _)| name).collect();
        if entry.staged_columns.is_empty() {
            entry.staged_columns = kept.iter().map(|name| (*name).clone()).collect();
        }
        let known = &entry.staged_columns;
        let mut taken = vec![false; known.len()];
        let places = readings
            .iter()
            .map(|reading| match reading {
                None => Ok(None),
                Some((name, reading)) => match known.iter().position(|known| known == name) {
                    Some(place) if kept.len() == known.len() && !taken[place] => {
                        taken[place] = true;
                        Ok(Some((place, *reading)))
                    }
                    _ => Err(format!(
                        "rows of {} with other columns than those before",
                        entry.name.table
                    )),
                },
            })
            .collect::<Result<Arc<[_]>, String>>()?;
        Ok(Plan { entry: root, wanted, places: Places(places) })
    }

    /// Where the rows of a plan go.
    pub(super) fn rows<'t>(&'t mut self, plan: &'t Plan) -> Result<Rows<'t>> {
        if plan.wanted && self.open.last() != Some(&plan.entry) {
            self.open_sink(plan.entry)?;
        }
        let entry = &mut self.entries[plan.entry];
        let sink = match &mut entry.stage {
            Stage::Open(sink) if plan.wanted => Some(&mut **sink),
            _ => None,
        };
        Ok(Rows { sink, rows: &mut entry.rows, places: &plan.places })
    }

    /// Sees to it that the table's file is open, and that not too many are.
    fn open_sink(&mut self, place: usize) -> Result<()> {
        if let Some(last) = self.open.last()
            && let Stage::Open(sink) = &mut self.entries[*last].stage
        {
            sink.park()?;
        }
        let entry = &mut self.entries[place];
        match entry.stage {
            Stage::None => {
                let sink = Sink::new(self.into, entry.staged_columns.clone())?;
                entry.stage = Stage::Open(Box::new(sink));
            }
            Stage::Open(_) => self.open.retain(|open| *open != place),
            Stage::Done(_) => {
                return Err(Error::failed(format!(
                    "the rows of {} stand in too many places of the dump",
                    entry.name.table
                ))
                .hint("name the tables that are needed: --table"));
            }
        }
        self.open.push(place);
        if self.open.len() > MOST_OPEN {
            let oldest = self.open.remove(0);
            self.entries[oldest].close()?;
        }
        Ok(())
    }

    /// Tells the roots of partitions of which the dump has rows, and of which it has none.
    fn gather(&mut self) {
        let parents: BTreeSet<usize> = self.entries.iter().filter_map(|entry| entry.root).collect();
        for place in 0..self.entries.len() {
            let root = self.root(place);
            if root == place {
                continue;
            }
            let own = &mut self.entries[place];
            let (has_data, mut left_out) = (own.has_data, std::mem::take(&mut own.left_out));
            if !has_data && !parents.contains(&place) {
                left_out.push(format!("the rows of partition {}", own.name.table));
            }
            self.entries[root].has_data |= has_data;
            self.entries[root].left_out.append(&mut left_out);
        }
    }

    /// All tables with what was staged, sorted by name. Partitions are in their roots.
    pub(super) fn finish(mut self, dialect: Dialect) -> Result<(Vec<Found>, Vec<String>)> {
        self.gather();
        let mut found = Vec::new();
        for mut entry in self.entries {
            if entry.root.is_some() || (entry.is_view && entry.rows == 0) {
                continue;
            }
            if entry.staged_columns.is_empty() {
                let kept = entry.columns.iter().filter(|c| !c.generated);
                entry.staged_columns =
                    kept.map(|c| String::from_utf8_lossy(&c.name).into_owned()).collect();
            }
            if self.wanted.holds(&entry.name) {
                if matches!(entry.stage, Stage::None) {
                    let sink = Sink::new(self.into, entry.staged_columns.clone())?;
                    entry.stage = Stage::Open(Box::new(sink));
                }
                entry.close()?;
            }
            let columns = entry.staged_columns.iter().map(|name| {
                let declared = entry.columns.iter().find(|c| c.name == name.as_bytes());
                let declared = declared.map_or("", |c| &c.declared);
                Kind::of(declared, dialect).column(name, declared)
            });
            found.push(Found {
                columns: columns.collect(),
                rows: entry.rows,
                has_data: entry.has_data || entry.rows > 0,
                left_out: entry.left_out,
                staged: match std::mem::take(&mut entry.stage) {
                    Stage::Done(staged) => Some(*staged),
                    _ => None,
                },
                name: entry.name,
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((found, self.notes))
    }
}

/// The columns of a row, and which of them are computed.
fn column_names(
    entry: &Entry,
    list: Option<&[Vec<u8>]>,
    width: usize,
) -> Result<Vec<(Vec<u8>, bool)>, String> {
    let (declared, table) = (&entry.columns, &entry.name.table);
    let names: Vec<(Vec<u8>, bool)> = match list {
        Some(list) => {
            let generated =
                |name: &Vec<u8>| declared.iter().any(|c| c.name == *name && c.generated);
            list.iter().map(|name| (name.clone(), generated(name))).collect()
        }
        None => {
            let all = declared.iter().map(|c| (c.name.clone(), c.generated));
            let kept: Vec<_> = all.clone().filter(|(_, generated)| !generated).collect();
            if declared.len() == width { all.collect() } else { kept }
        }
    };
    if names.is_empty() && width > 0 {
        return Err(format!("rows of {table}, whose columns are named nowhere before"));
    }
    if names.len() != width {
        return Err(format!("a row of {width} values for the {} columns of {table}", names.len()));
    }
    Ok(names)
}

impl Entry {
    /// The name of one of its columns as text, and how its cells are read.
    fn reading(&self, column: &[u8], session: &Session) -> Result<(String, Reading), String> {
        let found = self.columns.iter().find(|c| c.name == *column);
        let charset = match session.charset {
            Some(charset) => charset,
            None => match found.and_then(|c| c.charset.as_ref()).or(self.charset.as_ref()) {
                Some(name) => Charset::mysql(name).map_err(|e| e.to_string())?,
                None => Charset::Bytes,
            },
        };
        let kind = Kind::of(found.map_or("", |c| &c.declared), session.dialect);
        let mut text = column.to_vec();
        session.charset.unwrap_or(Charset::Bytes).decode(0, &mut text)?;
        let text = String::from_utf8(text).map_err(|_| "a column name that is no UTF-8")?;
        Ok((text, Reading { kind, charset, zone: session.zone }))
    }

    fn close(&mut self) -> Result<()> {
        if let Stage::Open(sink) = std::mem::take(&mut self.stage) {
            self.stage = Stage::Done(Box::new(sink.finish()?));
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// True when the rows are kept, and not only counted.
    pub(super) fn kept(&self) -> bool {
        self.sink.is_some()
    }

    /// Counts rows.
    pub(super) fn count(&mut self, rows: u64) {
        *self.rows += rows;
    }

    /// Takes a row of a text format, its fields cut out; `cell` makes a cell of one, whose
    /// place in the row it is told.
    pub(super) fn fields<'f>(
        &mut self,
        fields: impl Iterator<Item = &'f [u8]>,
        cell: impl FnMut(usize, &[u8], &Reading, &mut Vec<u8>) -> Result<Option<Tag>, String>,
        damaged: impl Fn(String) -> Error,
    ) -> Result<()> {
        *self.rows += 1;
        match &mut self.sink {
            Some(sink) => {
                self.places.fields(&mut sink.batch, fields, cell, damaged)?;
                sink.ended()
            }
            None => self.places.counted(fields.count(), damaged),
        }
    }

    /// True when rows of so many bytes are better taken here than on another thread.
    pub(super) fn are_few(&self, bytes: usize) -> bool {
        // Where threads are at work already, what is done here waits for them.
        let least = if self.sink.as_ref().is_some_and(|sink| sink.is_busy()) { FEW } else { BLOCK };
        bytes < least
    }

    /// Takes the rows that `fill` puts into the batch.
    pub(super) fn here(&mut self, fill: impl FnOnce(&mut Batch) -> Result<()>) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        fill(&mut sink.batch)?;
        sink.ended()
    }

    /// Takes the rows that `fill` puts into a batch on another thread. `path` is the backup's file.
    pub(super) fn hand(
        &mut self,
        path: &str,
        fill: impl FnOnce(&mut Batch) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        match &mut self.sink {
            Some(sink) => sink.hand(path.into(), fill),
            None => Ok(()),
        }
    }
}

impl Places {
    /// The error for a row of so many fields, unless it is as wide as it should be.
    fn counted(&self, found: usize, damaged: impl Fn(String) -> Error) -> Result<()> {
        let wanted = self.0.len();
        match found == wanted {
            true => Ok(()),
            false => Err(damaged(format!("a row of {found} fields for {wanted} columns"))),
        }
    }

    /// An error for a row that has not as many literals as it should.
    pub(super) fn check(
        &self,
        literals: &[Literal],
        damaged: impl Fn(String) -> Error,
    ) -> Result<()> {
        let (found, wanted) = (literals.len(), self.0.len());
        match found == wanted {
            true => Ok(()),
            false => Err(damaged(format!("a row of {found} values for {wanted} columns"))),
        }
    }

    /// Puts the row of these literals into the batch.
    pub(super) fn literals(
        &self,
        batch: &mut Batch,
        row: &[u8],
        literals: &[Literal],
        damaged: impl Fn(String) -> Error,
    ) -> Result<()> {
        self.check(literals, &damaged)?;
        for (literal, place) in literals.iter().zip(self.0.iter()) {
            let Some((column, reading)) = place else { continue };
            batch.begin_cell(*column);
            let cells = &mut batch.columns[*column];
            let tag = reading
                .literal(row, literal, &mut cells.values)
                .map_err(|what| damaged(format!("column {} holds {what}", cells.name)))?;
            cells.end_cell(tag);
        }
        batch.end_row();
        Ok(())
    }

    /// Puts the row of these fields into the batch.
    pub(super) fn fields<'f>(
        &self,
        batch: &mut Batch,
        fields: impl Iterator<Item = &'f [u8]>,
        mut cell: impl FnMut(usize, &[u8], &Reading, &mut Vec<u8>) -> Result<Option<Tag>, String>,
        damaged: impl Fn(String) -> Error,
    ) -> Result<()> {
        let mut places = self.0.iter();
        let mut found = 0;
        for field in fields {
            found += 1;
            if let Some(Some((column, reading))) = places.next() {
                batch.begin_cell(*column);
                let cells = &mut batch.columns[*column];
                let tag = cell(found - 1, field, reading, &mut cells.values)
                    .map_err(|what| damaged(format!("column {} holds {what}", cells.name)))?;
                cells.end_cell(tag);
            }
        }
        self.counted(found, damaged)?;
        batch.end_row();
        Ok(())
    }
}
