//! Fields of PostgreSQL's COPY text format, and of MySQL's `SELECT .. INTO OUTFILE`.
//!
//! ```text
//! field TAB field .. LF      \N is NULL; \b \f \n \r \t \v \\ \ooo \xhh are characters
//! \. LF                      the end, of COPY only
//! ```
//!
//! Sources: PostgreSQL "COPY", section "Text Format"; MySQL "LOAD DATA", section "Field and
//! Line Handling".

use std::io::Read;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use crate::backup::dump::kind::{Kind, Reading};
use crate::backup::dump::literal::{mysql_escape, postgres_escape};
use crate::backup::dump::tables::{Name, Places, Session, Tables};
use crate::backup::text::stage::cells::Batch;
use crate::backup::text::window::{Stop, Window};
use crate::error::{Error, Result};
use crate::fit::bytea::bytea;
use crate::fit::cell::Tag;

/// Reads the lines of a COPY, its end mark included. `carriage`: they end in CR LF.
pub(super) fn rows<R: Read>(
    window: &mut Window<R>,
    tables: &mut Tables<'_>,
    session: &Session,
    name: &Name,
    list: &Option<Vec<Vec<u8>>>,
    carriage: bool,
) -> Result<()> {
    let mut plan = None;
    loop {
        let (length, mark) = window
            .find("a row of a COPY", |bytes, _| whole_lines(bytes, carriage).ok_or(Stop::More))?;
        if length > 0 {
            let text = &window.bytes()[..length];
            let plan = match &mut plan {
                Some(plan) => plan,
                none => {
                    let width = match list {
                        Some(list) => list.len(),
                        None => width_of(text, carriage),
                    };
                    let damaged = |what| window.damaged(0, what);
                    let list = list.as_deref();
                    none.insert(tables.plan(name, list, width, session).map_err(damaged)?)
                }
            };
            let lines = Lines { places: plan.places().clone(), empty: plan.width() == 0, carriage };
            let mut rows = tables.rows(plan)?;
            rows.count(memchr_iter(b'\n', text).count() as u64);
            if rows.kept() && rows.are_few(length) {
                let line = |at| window.line(at);
                rows.here(|batch| lines.fill(text, (window.file(), &line), batch))?;
            } else if rows.kept() {
                let (text, file) = (text.to_vec(), window.file().to_owned());
                let first = window.line(0);
                rows.hand(window.file(), move |batch| {
                    let line = |at: usize| first + memchr_iter(b'\n', &text[..at]).count() as u64;
                    lines.fill(&text, (&file, &line), batch)
                })?;
            }
            window.consume(length);
        }
        if let Some(mark) = mark {
            if plan.is_none() {
                tables.data_of(name);
            }
            window.consume(mark);
            return Ok(());
        }
    }
}

/// The bytes of the whole lines of rows at the start, and those of the end mark behind them, if it
/// stands there; `None` when there is neither.
fn whole_lines(bytes: &[u8], carriage: bool) -> Option<(usize, Option<usize>)> {
    let is_mark = |at: usize| match &bytes[at..] {
        [b'\\', b'.', b'\n', ..] => Some(3),
        [b'\\', b'.', b'\r', b'\n', ..] if carriage => Some(4),
        _ => None,
    };
    if let Some(mark) = is_mark(0) {
        return Some((0, Some(mark)));
    }
    let marks = memmem::find_iter(bytes, b"\n\\.");
    if let Some(found) = marks.map(|at| at + 1).find_map(|at| Some((at, Some(is_mark(at)?)))) {
        return Some(found);
    }
    memrchr(b'\n', bytes).map(|at| (at + 1, None))
}

/// The fields of the first line.
fn width_of(text: &[u8], carriage: bool) -> usize {
    let line = memchr(b'\n', text).map_or(text, |end| &text[..end]);
    let line = if carriage { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    if line.is_empty() { 0 } else { memchr_iter(b'\t', line).count() + 1 }
}

/// How whole lines of rows are read.
struct Lines {
    places: Places,
    /// The table has no columns.
    empty: bool,
    carriage: bool,
}

impl Lines {
    /// Makes cells of the lines. `line` tells the line of a byte, for errors, which name `file`.
    fn fill(
        &self,
        text: &[u8],
        (file, line): (&str, &dyn Fn(usize) -> u64),
        batch: &mut Batch,
    ) -> Result<()> {
        let mut begin = 0;
        while let Some(length) = memchr(b'\n', &text[begin..]) {
            let row = &text[begin..begin + length];
            let row = if self.carriage { row.strip_suffix(b"\r").unwrap_or(row) } else { row };
            let escapes = memchr(b'\\', row).is_some();
            let fields = Fields { rest: (!self.empty).then_some(row) };
            self.places.fields(
                batch,
                fields,
                |_, field, reading, out| cell(field, escapes, reading, out),
                |what| Error::damaged(format!("{file} line {}: {what}", line(begin))),
            )?;
            begin += length + 1;
        }
        Ok(())
    }
}

/// The fields of a line.
struct Fields<'l> {
    rest: Option<&'l [u8]>,
}

impl<'l> Iterator for Fields<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let rest = self.rest?;
        match memchr(b'\t', rest) {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => self.rest.take(),
        }
    }
}

/// Appends the cell of a field of COPY; its tag, `None` for NULL. `escapes`: there may be
/// backslashes in it.
pub(super) fn cell(
    field: &[u8],
    escapes: bool,
    reading: &Reading,
    out: &mut Vec<u8>,
) -> Result<Option<Tag>, String> {
    let begin = out.len();
    let backslash = if escapes { memchr(b'\\', field) } else { None };
    match backslash {
        None => out.extend_from_slice(field),
        Some(0) if field == b"\\N" => return Ok(None),
        Some(0) if reading.kind == Kind::Bytea && field.starts_with(b"\\\\x") => {
            bytea(&field[1..], out)?;
            return Ok(Some(Tag::OwnBlob));
        }
        Some(first) => unescape(field, first, out, postgres_escape)?,
    }
    reading.text(begin, out).map(Some)
}

/// Appends the cell of a field of `SELECT .. INTO OUTFILE`; its tag, `None` for NULL.
pub(super) fn outfile_cell(
    field: &[u8],
    reading: &Reading,
    out: &mut Vec<u8>,
) -> Result<Option<Tag>, String> {
    let begin = out.len();
    match memchr(b'\\', field) {
        None => out.extend_from_slice(field),
        Some(0) if field == b"\\N" => return Ok(None),
        Some(first) => unescape(field, first, out, |escaped, rest, out| {
            mysql_escape(escaped, out);
            Ok(rest)
        })?,
    }
    reading.text(begin, out).map(Some)
}

/// What undoes one escape: the escaped byte and what stands behind it; what is left.
type Escape = for<'r> fn(u8, &'r [u8], &mut Vec<u8>) -> Result<&'r [u8], String>;

/// Undoes escapes; the first backslash stands at `first`.
fn unescape(field: &[u8], first: usize, out: &mut Vec<u8>, escape: Escape) -> Result<(), String> {
    let (mut rest, mut at) = (field, first);
    loop {
        out.extend_from_slice(&rest[..at]);
        let Some(&escaped) = rest.get(at + 1) else {
            return Err("a backslash without what it escapes".into());
        };
        rest = escape(escaped, &rest[at + 2..], out)?;
        match memchr(b'\\', rest) {
            Some(next) => at = next,
            None => break,
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}
