//! JSON for programs: the stable documents (`"format_version": "1"`) and a line a row.
//!
//! What JSON can't say exactly is an object with one member: `{"$text": hex}` for TEXT
//! that is not UTF-8, `{"$blob": hex}`, `{"$real": "inf"}` for reals without a literal.
//! Integers are written with all their digits. Characters that could steer a terminal are
//! written as `\u` escapes: the same data, harmless on a screen.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::error::Result;
use crate::model::side::Which;
use crate::model::summary::{DiffSummary, GapReport, TableDiff};
use crate::model::value::ValueRef;
use crate::report::rows::{Cell, ChangeRow};

/// The version of the documents; it moves only when a reader would break.
pub const FORMAT_VERSION: &str = "1";

/// Cells as an object, in their order.
pub fn object<'a>(cells: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>) -> Json {
    Json::Object(cells.into_iter().map(|(name, cell)| (name.to_owned(), cell.to_json())).collect())
}

fn cells(cells: Vec<Cell<'_>>) -> Json {
    object(cells.into_iter().map(|(column, cell)| (column.name.as_str(), cell)))
}

/// A document with `"format_version"` in front, on one line. The body is an object.
pub fn document(out: &mut dyn Write, body: impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Document<B> {
        format_version: &'static str,
        #[serde(flatten)]
        body: B,
    }
    line(out, &Document { format_version: FORMAT_VERSION, body })
}

/// One JSON value on a line of its own.
pub fn line(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    write(out, value)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn write(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Harmless)).map_err(io::Error::from)?;
    Ok(())
}

/// An array on a line of its own that is written value by value.
#[derive(Debug, Default)]
pub struct Array {
    begun: bool,
}

impl Array {
    /// Writes the next value.
    pub fn push(&mut self, out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
        out.write_all(if self.begun { b"," } else { b"[" })?;
        self.begun = true;
        write(out, value)
    }

    /// Ends the line.
    pub fn end(self, out: &mut dyn Write) -> Result<()> {
        out.write_all(if self.begun { b"]\n" } else { b"[]\n" })?;
        Ok(())
    }
}

/// JSON on one line without characters that could steer a terminal: they stand only within strings,
/// where an escape means the same.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| steers(*c)) {
            out.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

fn steers(c: char) -> bool {
    !c.is_ascii_graphic()
        && c != ' '
        && crate::report::text::escape(c.encode_utf8(&mut [0; 4])).len() > c.len_utf8()
}

/// The summary of a diff.
pub fn diff(out: &mut dyn Write, summary: &DiffSummary) -> Result<()> {
    let tables: Vec<Json> = summary.tables.iter().map(table_diff).collect();
    let body = json!({
        "live": summary.live,
        "backup": summary.backup,
        "tables": tables,
        "only_live": summary.only_live,
        "only_backup": summary.only_backup,
    });
    document(out, body)
}

fn table_diff(t: &TableDiff) -> Json {
    let columns: Map<String, Json> =
        t.columns.iter().map(|c| (c.column.clone(), Json::from(c.rows))).collect();
    let mut body = json!({
        "table": t.table,
        "key": t.key,
        "live_rows": t.live_rows,
        "backup_rows": t.backup_rows,
        "missing": t.missing,
        "changed": t.changed,
        "extra": t.extra,
        "same": t.same,
        "ambiguous": t.ambiguous,
        "unkeyable": t.unkeyable,
        "unfit": t.unfit,
        "columns": columns,
        "not_compared": t.not_compared,
    });
    if let Json::Object(members) = &mut body {
        if let Some(table) = &t.backup_table {
            members.insert("backup_table".to_owned(), Json::from(table.as_str()));
        }
        if t.left_out > 0 {
            members.insert("left_out".to_owned(), Json::from(t.left_out));
        }
        if !t.lossy.is_empty() {
            members.insert("lossy".to_owned(), json!(t.lossy));
        }
        if !t.from.is_empty() {
            members.insert("from".to_owned(), json!(t.from));
        }
        if let Some(why) = &t.skipped {
            members.insert("skipped".to_owned(), Json::from(why.as_str()));
        }
    }
    body
}

/// One changed row, as a line of `--format ndjson`; `from` names its backup where there are
/// several.
pub fn change(out: &mut dyn Write, row: &ChangeRow<'_>, from: Option<&str>) -> Result<()> {
    let side = |which| -> Result<Json> { Ok(row.shown(which)?.map_or(Json::Null, cells)) };
    let mut body = json!({
        "table": row.table().to_string(),
        "change": row.change.as_str(),
        "key": cells(row.key()?),
        "backup": side(Which::Backup)?,
        "live": side(Which::Live)?,
    });
    if let (Some(from), Json::Object(members)) = (from, &mut body) {
        members.insert("from".to_owned(), Json::from(from));
    }
    line(out, &body)
}

/// A gap report.
pub fn gaps(out: &mut dyn Write, report: &GapReport) -> Result<()> {
    document(out, report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows::each;
    use crate::report::rows::tests::sample;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn t5_cells_keep_their_storage_class() {
        let cells = [
            ("null", ValueRef::Null),
            ("int", ValueRef::Int(i64::MAX)),
            ("real", ValueRef::Real(1.0)),
            ("minus", ValueRef::Real(-0.0)),
            ("inf", ValueRef::Real(f64::NEG_INFINITY)),
            ("text", ValueRef::Text(b"1")),
            ("bytes", ValueRef::Text(b"a\xff")),
            ("blob", ValueRef::Blob(b"\x00\x01")),
        ];
        insta::assert_snapshot!(
            text(|out| line(out, &object(cells)).unwrap()),
            @r#"{"null":null,"int":9223372036854775807,"real":1.0,"minus":{"$real":"-0.0"},"inf":{"$real":"-inf"},"text":"1","bytes":{"$text":"61ff"},"blob":{"$blob":"0001"}}"#
        );
    }

    #[test]
    fn w11_json_is_harmless_on_a_terminal_and_still_exact() {
        let hostile = "\u{9b}31m\u{202e}\u{7f}\u{e0041} é";
        let shown = text(|out| line(out, &json!({ "a": hostile })).unwrap());
        insta::assert_snapshot!(shown, @r#"{"a":"\u009b31m\u202e\u007f\udb40\udc41 é"}"#);
        let back: Json = serde_json::from_str(&shown).unwrap();
        assert_eq!(back["a"], hostile);
    }

    #[test]
    fn an_array_is_written_value_by_value() {
        let array = |values: &[Json]| {
            text(|out| {
                let mut array = Array::default();
                values.iter().for_each(|value| array.push(out, value).unwrap());
                array.end(out).unwrap();
            })
        };
        assert_eq!(array(&[]), "[]\n");
        assert_eq!(array(&[json!({ "a": 1 })]), "[{\"a\":1}]\n");
        assert_eq!(array(&[json!([]), json!("\u{9b}"), json!(null)]), "[[],\"\\u009b\",null]\n");
    }

    #[test]
    fn a_change_is_a_line() {
        let (spec, batch) = sample();
        let shown = text(|out| each(&spec, &batch, |row| change(out, &row, None)).unwrap());
        insta::assert_snapshot!(shown, @r#"
        {"table":"events","change":"missing","key":{"id":1},"backup":{"id":1,"title":"=1+2\u202e\r\n"},"live":null}
        {"table":"events","change":"changed","key":{"id":2},"backup":{"title":"old, \"x\""},"live":{"title":{"$blob":"dead"}}}
        {"table":"events","change":"extra","key":{"id":3},"backup":null,"live":{"id":3,"title":""}}
        "#);
    }

    #[test]
    fn gaps_have_the_documented_members() {
        let report = GapReport {
            table: "events".into(),
            column: "id".into(),
            first: Some(1),
            last: Some(9),
            present: 6,
            missing: 3,
            runs: vec![(2, 3), (7, 7)],
            recoverable: 2,
            unrecoverable: 1,
            unrecoverable_runs: vec![(7, 7)],
            backups: Vec::new(),
        };
        insta::assert_snapshot!(
            text(|out| gaps(out, &report).unwrap()),
            @r#"{"format_version":"1","table":"events","column":"id","first":1,"last":9,"present":6,"missing":3,"runs":[[2,3],[7,7]],"recoverable":2,"unrecoverable":1,"unrecoverable_runs":[[7,7]]}"#
        );
    }
}
