//! Staging rows whose members are named one by one, as JSON's and BSON's are.

use std::borrow::Cow;
use std::path::Path;

use crate::backup::text::stage::sink::Sink;
use crate::backup::text::stage::{Staged, changed};
use crate::error::{Error, Result};
use crate::fit::cell::Tag;

/// A file's rows, one by one.
pub(in crate::backup::text) trait Documents {
    /// A member of the row at hand.
    type Member<'a>: Member
    where
        Self: 'a;

    /// Goes to the next row; false at the file's end, which is proved well-formed then.
    fn advance(&mut self) -> Result<bool>;

    /// The members of the row at hand; an error's words for one that can't be told from the next.
    fn members(&self) -> impl Iterator<Item = Result<Self::Member<'_>, String>>;

    /// The error for the row at hand.
    fn damaged(&self, what: &str) -> Error;
}

/// A member of a row. Errors are the words that stand behind "is".
pub(in crate::backup::text) trait Member {
    /// Its name.
    fn name(&self) -> Result<Cow<'_, [u8]>, String>;

    /// Appends its cell without its tag to `out`, and tells the tag; `None` is NULL.
    fn cell(&self, out: &mut Vec<u8>) -> Result<Option<Tag>, String>;
}

/// Stages the rows that `open` reads from the file's beginning, twice where a member
/// first turns up late.
pub(super) fn stage<D: Documents>(
    path: &Path,
    into: &Path,
    open: impl Fn() -> Result<D>,
) -> Result<Staged> {
    let first = pass(path, into, open()?, None)?;
    let done = match first {
        Attempt::Again(names) => pass(path, into, open()?, Some(names))?,
        done => done,
    };
    match done {
        Attempt::Done(staged) => Ok(*staged),
        Attempt::Again(_) => Err(changed(path)),
    }
}

enum Attempt {
    Done(Box<Staged>),
    /// A late member was met; these are all members of the file.
    Again(Vec<String>),
}

fn pass<D: Documents>(
    path: &Path,
    into: &Path,
    mut rows: D,
    known: Option<Vec<String>>,
) -> Result<Attempt> {
    let again = known.is_some();
    let mut sink = Sink::new(into, known.unwrap_or_default())?;
    while rows.advance()? {
        let (mut next, mut late) = (0, false);
        for member in rows.members() {
            let member = member.map_err(|e| rows.damaged(&e))?;
            let name = member.name().map_err(|e| rows.damaged(&e))?;
            // Rows mostly have their members in one order.
            let column = match sink.batch.columns.get(next) {
                Some(column) if column.name.as_bytes() == name.as_ref() => next,
                _ => match sink.find(&name) {
                    Some(column) => column,
                    None if again => return Err(changed(path)),
                    None if sink.begun() => {
                        late = true;
                        break;
                    }
                    None => sink.add(&name).map_err(|e| rows.damaged(&e))?,
                },
            };
            next = column + 1;
            if !sink.batch.begin_cell(column) {
                let name = String::from_utf8_lossy(&name);
                return Err(rows.damaged(&format!("the member {name:?} stands twice in a row")));
            }
            let cells = &mut sink.batch.columns[column];
            let tag = member
                .cell(&mut cells.values)
                .map_err(|e| rows.damaged(&format!("the member {:?} is {e}", cells.name)))?;
            cells.end_cell(tag);
        }
        if late {
            return names_only(rows, sink).map(Attempt::Again);
        }
        sink.end_row()?;
    }
    let mut staged = sink.finish()?;
    if staged.rows == 0 {
        staged.notes.push(format!("{} holds no rows", path.display()));
    }
    Ok(Attempt::Done(Box::new(staged)))
}

/// Reads to the end for the names of all members.
fn names_only<D: Documents>(mut rows: D, mut sink: Sink) -> Result<Vec<String>> {
    loop {
        for member in rows.members() {
            let member = member.map_err(|e| rows.damaged(&e))?;
            let name = member.name().map_err(|e| rows.damaged(&e))?;
            if sink.find(&name).is_none() {
                sink.add(&name).map_err(|e| rows.damaged(&e))?;
            }
        }
        if !rows.advance()? {
            return Ok(sink.batch.columns.into_iter().map(|column| column.name).collect());
        }
    }
}
