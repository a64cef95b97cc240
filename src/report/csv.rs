//! CSV of changed rows: a row a cell that matters, so that tables of any width fit one file.
//!
//! ```text
//! table,change,key,column,backup,live
//! events,missing,412,title,Evening run,
//! events,changed,7,title,old,new
//! ```
//!
//! Of several backups a seventh field, `from`, names the row's.
//!
//! Cells are exact: quotes are doubled (RFC 4180, section 2), nothing is prefixed. NULL is
//! an empty field and empty text is `""`; a blob is `x'..'`. A text that a spreadsheet
//! would run as a formula (it begins with `=`, `+`, `-`, `@`, tab or return) is left as it
//! is and counted, so that a command can warn. On a terminal cells are escaped.

use std::borrow::Cow;
use std::io::Write;

use crate::error::Result;
use crate::model::change::Change;
use crate::model::side::Which;
use crate::model::value::{ValueRef, hex};
use crate::report::rows::{Cell, ChangeRow};
use crate::report::text::escape_bytes;

/// The header of the changes.
pub const HEADER: &[&str] = &["table", "change", "key", "column", "backup", "live"];

/// Writes CSV records.
#[derive(Debug)]
pub struct Csv {
    terminal: bool,
    formulas: u64,
}

impl Csv {
    /// A writer; for a terminal, whatever could steer it is escaped.
    pub fn new(terminal: bool) -> Self {
        Self { terminal, formulas: 0 }
    }

    /// How many texts a spreadsheet would run as formulas.
    pub fn formulas(&self) -> u64 {
        self.formulas
    }

    /// One record of plain texts.
    pub fn header<S: AsRef<str>>(&mut self, out: &mut dyn Write, names: &[S]) -> Result<()> {
        let cells: Vec<ValueRef<'_>> =
            names.iter().map(|n| ValueRef::Text(n.as_ref().as_bytes())).collect();
        self.record(out, &cells)
    }

    /// One record.
    pub fn record(&mut self, out: &mut dyn Write, cells: &[ValueRef<'_>]) -> Result<()> {
        for (i, cell) in cells.iter().enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            self.field(out, *cell)?;
        }
        out.write_all(b"\n")?;
        Ok(())
    }

    fn field(&mut self, out: &mut dyn Write, cell: ValueRef<'_>) -> Result<()> {
        match cell {
            ValueRef::Null => {}
            ValueRef::Int(i) => write!(out, "{i}")?,
            ValueRef::Real(r) => write!(out, "{r:?}")?,
            ValueRef::Blob(b) => write!(out, "x'{}'", hex(b))?,
            ValueRef::Text(b) => {
                if matches!(b.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')) {
                    self.formulas += 1;
                }
                let bytes: Cow<'_, [u8]> = if self.terminal {
                    Cow::Owned(escape_bytes(b).into_bytes())
                } else {
                    Cow::Borrowed(b)
                };
                quoted(out, &bytes)?;
            }
            _ => write!(out, "{}", cell.plain_text().unwrap_or_default())?,
        }
        Ok(())
    }

    /// The records of one changed row: one a cell. `from` names its backup where there are
    /// several.
    pub fn change(
        &mut self,
        out: &mut dyn Write,
        row: &ChangeRow<'_>,
        from: Option<&str>,
    ) -> Result<()> {
        let key = key_text(&row.key()?);
        let backup = row.shown(Which::Backup)?;
        let live = row.shown(Which::Live)?;
        let names: Vec<&str> = match (&backup, &live, row.change) {
            (Some(cells), _, _) | (None, Some(cells), _) => {
                cells.iter().map(|(column, _)| column.name.as_str()).collect()
            }
            (None, None, _) => Vec::new(),
        };
        let table = row.table().to_string();
        let change = Change::as_str(row.change);
        for name in names {
            let head = [table.as_str(), change, &key, name].map(|t| ValueRef::Text(t.as_bytes()));
            let [table, change, key, column] = head;
            let cells = [table, change, key, column, cell_of(&backup, name), cell_of(&live, name)];
            let from = from.map(|from| ValueRef::Text(from.as_bytes()));
            self.record(out, &cells.into_iter().chain(from).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// The cell of a side's column; NULL where the side does not have it.
fn cell_of<'a>(side: &Option<Vec<Cell<'a>>>, name: &str) -> ValueRef<'a> {
    let found = side.iter().flatten().find(|(column, _)| column.name == name);
    found.map_or(ValueRef::Null, |(_, value)| *value)
}

/// A key in one field: its cells joined with commas.
pub fn key_text(key: &[Cell<'_>]) -> String {
    let cells: Vec<String> = key
        .iter()
        .map(|(_, cell)| match cell {
            ValueRef::Null => String::new(),
            ValueRef::Int(i) => i.to_string(),
            ValueRef::Real(r) => format!("{r:?}"),
            ValueRef::Text(b) => String::from_utf8_lossy(b).into_owned(),
            ValueRef::Blob(b) => format!("x'{}'", hex(b)),
            _ => cell.plain_text().unwrap_or_default(),
        })
        .collect();
    cells.join(",")
}

fn quoted(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    let special = |b: &u8| matches!(b, b',' | b'"' | b'\n' | b'\r');
    let spaced = bytes.first() == Some(&b' ') || bytes.last() == Some(&b' ');
    if !bytes.is_empty() && !spaced && !bytes.iter().any(special) {
        out.write_all(bytes)?;
        return Ok(());
    }
    out.write_all(b"\"")?;
    for part in bytes.split_inclusive(|b| *b == b'"') {
        out.write_all(part)?;
        if part.last() == Some(&b'"') {
            out.write_all(b"\"")?;
        }
    }
    out.write_all(b"\"")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows::each;
    use crate::report::rows::tests::sample;

    fn changes(terminal: bool) -> (String, u64) {
        let (spec, batch) = sample();
        let (mut csv, mut out) = (Csv::new(terminal), Vec::new());
        csv.header(&mut out, HEADER).unwrap();
        each(&spec, &batch, |row| csv.change(&mut out, &row, None)).unwrap();
        (String::from_utf8(out).unwrap(), csv.formulas())
    }

    #[test]
    fn a_file_gets_exact_cells() {
        let (text, _) = changes(false);
        assert_eq!(
            text,
            "table,change,key,column,backup,live\n\
             events,missing,1,id,1,\n\
             events,missing,1,title,\"=1+2\u{202e}\r\n\",\n\
             events,changed,2,title,\"old, \"\"x\"\"\",x'dead'\n\
             events,extra,3,id,,3\n\
             events,extra,3,title,,\"\"\n"
        );
    }

    #[test]
    fn w11_formulas_are_counted_and_terminals_spared() {
        let (text, formulas) = changes(true);
        assert_eq!(formulas, 1);
        assert!(text.contains(r"=1+2\u{202e}\r\n"), "{text}");
    }
}
