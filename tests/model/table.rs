//! The in-memory model: a table, what a plan would do to it, what an undo would.

use std::collections::BTreeMap;

use crate::model::schema::{Collation, Kind, Schema};
use crate::model::value::Cell;

pub(super) type Row = Vec<Cell>;

/// All rows of a table, those that can't be matched too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table(pub(super) Vec<Row>);

/// What a key is matched by, in the order of the key.
pub(super) type Key = Vec<Cell>;

/// The key of a row as live's collations see it; `None` where it is NULL or of a class that
/// can't be matched.
pub(super) fn key_of(schema: &Schema, row: &Row) -> Option<Key> {
    let columns = schema.columns[..schema.key].iter();
    columns
        .zip(row)
        .map(|(column, cell)| match (column.kind, cell) {
            (Kind::Int, Cell::Int(_)) | (Kind::Blob, Cell::Blob(_)) => Some(cell.clone()),
            (Kind::Text, Cell::Text(text)) if std::str::from_utf8(text).is_ok() => {
                Some(Cell::Text(folded(text, column.collation)))
            }
            _ => None,
        })
        .collect()
}

/// Text whose bytes compare as SQLite's collation does.
fn folded(text: &[u8], collation: Collation) -> Vec<u8> {
    match collation {
        Collation::Binary => text.to_vec(),
        Collation::NoCase => text.to_ascii_lowercase(),
        Collation::RTrim => {
            let end = text.iter().rposition(|b| *b != b' ').map_or(0, |at| at + 1);
            text[..end].to_vec()
        }
    }
}

/// True when a unique index takes two cells for one.
fn clash(schema: &Schema, index: usize, a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Null, _) | (_, Cell::Null) => false,
        (Cell::Text(a), Cell::Text(b)) => {
            let collation = schema.columns[index].collation;
            folded(a, collation) == folded(b, collation)
        }
        (a, b) => a == b,
    }
}

impl Table {
    /// The rows by key: those of keys that only one row has, and whether there are others.
    pub(super) fn by_key(&self, schema: &Schema) -> (BTreeMap<Key, Vec<usize>>, bool) {
        let mut keys: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        let mut odd = false;
        for (i, row) in self.0.iter().enumerate() {
            match key_of(schema, row) {
                Some(key) => keys.entry(key).or_default().push(i),
                None => odd = true,
            }
        }
        odd |= keys.values().any(|rows| rows.len() > 1);
        (keys, odd)
    }

    /// The place of the row that the engine finds by a row's key, whatever its class.
    pub(super) fn find(&self, schema: &Schema, row: &Row) -> Option<usize> {
        self.0
            .iter()
            .position(|other| (0..schema.key).all(|i| clash(schema, i, &row[i], &other[i])))
    }

    /// True when a row may stand beside the others: unique columns, and what may not be NULL.
    pub(super) fn takes(&self, schema: &Schema, row: &Row) -> bool {
        let filled = schema.columns.iter().zip(row);
        let filled = filled.into_iter().all(|(c, cell)| !c.not_null || *cell != Cell::Null);
        filled && !self.has_unique(schema, row)
    }

    /// True when another row has this row's unique value.
    pub(super) fn has_unique(&self, schema: &Schema, row: &Row) -> bool {
        schema
            .unique
            .is_some_and(|u| self.0.iter().any(|other| clash(schema, u, &row[u], &other[u])))
    }

    pub(super) fn sorted(mut self) -> Self {
        self.0.sort();
        self
    }
}

/// What became of planned rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) already: u64,
    pub(super) conflicts: u64,
}

/// A planned row: its image before, by column, and its image after.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// The key of the row.
    pub(super) key: Row,
    /// `None` for a row that shall not exist before.
    pub(super) before: Option<Vec<(usize, Cell)>>,
    /// `None` for a row that shall not exist after.
    pub(super) after: Option<Vec<(usize, Cell)>>,
}

impl Write {
    /// The write that takes this one back. The image after an update becomes the one that is
    /// looked for, in its columns.
    pub(super) fn inverse(&self) -> Self {
        let (before, after) = match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let set = |c: &usize| after.iter().any(|(a, _)| a == c);
                let old = before.iter().filter(|(c, _)| set(c)).cloned().collect();
                (Some(after.clone()), Some(old))
            }
            (before, after) => (after.clone(), before.clone()),
        };
        Self { key: self.key.clone(), before, after }
    }
}

/// Carries out writes one after the other; the counts, and the writes that were done.
pub(super) fn apply(schema: &Schema, table: &mut Table, writes: &[Write]) -> (Counts, Vec<Write>) {
    let (mut counts, mut done) = (Counts::default(), Vec::new());
    for write in writes {
        let place = table.find(schema, &write.key);
        let is = |image: &[(usize, Cell)]| {
            place.is_some_and(|at| image.iter().all(|(c, cell)| table.0[at][*c] == *cell))
        };
        let already = match &write.after {
            Some(after) => is(after),
            None => place.is_none(),
        };
        let as_before = match &write.before {
            Some(before) => is(before),
            None => place.is_none(),
        };
        if already {
            counts.already += 1;
            continue;
        }
        let fits = as_before && put(schema, table, place, write);
        if fits {
            counts.written += 1;
            let mut write = write.clone();
            // What live filled in belongs to the row that an undo looks for.
            if let (None, Some(row)) = (&write.before, table.0.last()) {
                write.after = Some(row.iter().cloned().enumerate().collect());
            }
            done.push(write);
        } else {
            counts.conflicts += 1;
        }
    }
    (counts, done)
}

/// Writes one row, unless a constraint would not have it.
fn put(schema: &Schema, table: &mut Table, place: Option<usize>, write: &Write) -> bool {
    let mut row = place.map_or_else(
        || {
            let newer = |c: &crate::model::schema::Column| match c.name.as_str() {
                "newer" => Cell::text("new"),
                _ => Cell::Null,
            };
            schema.columns.iter().map(newer).collect()
        },
        |at| table.0.remove(at),
    );
    let Some(after) = &write.after else { return true };
    let old = row.clone();
    for (column, cell) in after {
        row[*column] = cell.clone();
    }
    let fits = table.takes(schema, &row);
    if fits {
        table.0.push(row);
    } else if place.is_some() {
        table.0.push(old);
    }
    fits
}
