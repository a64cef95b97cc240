//! Dumps of many rows, which are read in blocks on several threads.

use super::*;
use crate::backup::dump::{Dump, DumpKind, DumpSpec, Wanted};
use crate::backup::file::BackupFile;
use crate::backup::text::Limits;
use crate::error::Kind;

/// More than a few blocks, at some 64 bytes a row.
const ROWS: usize = 60_000;

/// A row's name as it is, as COPY has it, and as mysqldump has it.
fn name(row: usize) -> (Option<String>, String, String) {
    let long = "word ".repeat(48);
    match row % 5 {
        0 => (None, "\\N".into(), "NULL".into()),
        1 => (Some(format!("{row}\t\\.")), format!("{row}\\t\\\\."), format!("'{row}\\t\\\\.'")),
        2 => {
            (Some(format!("it's \\{row}")), format!("it's \\\\{row}"), format!("'it''s \\\\{row}'"))
        }
        // mysqldump's own habit is `\n`; a line feed may stand as it is.
        3 => (Some(format!("a\n{row}),(")), format!("a\\n{row}),("), format!("'a\n{row}),('")),
        _ => (Some(format!("{long}é{row}")), format!("{long}é{row}"), format!("'{long}é{row}'")),
    }
}

/// A script of this many rows; row `bad` has a field too many.
fn script(kind: DumpKind, bad: Option<usize>) -> String {
    if kind == DumpKind::Postgres {
        let mut text = "CREATE TABLE public.t (id bigint, name text);\n\
                        COPY public.t (id, name) FROM stdin;\n"
            .to_owned();
        for row in 0..ROWS {
            let more = if bad == Some(row) { "\tmore" } else { "" };
            text += &format!("{row}\t{}{more}\n", name(row).1);
        }
        return text
            + "\\.\n\nCREATE TABLE public.u (id bigint);\n\
                       COPY public.u (id) FROM stdin;\n7\n\\.\n-- PostgreSQL database dump complete\n";
    }
    let mut text = "CREATE TABLE `t` (`id` bigint, `name` text);\n".to_owned();
    for row in 0..ROWS {
        // Statements of many rows, and some of one.
        let first = row % 20_000 == 0 || row % 20_000 > 19_995;
        text += match (row, first) {
            (0, _) => "INSERT INTO `t` VALUES ",
            (_, true) => ";\nINSERT INTO `t` VALUES ",
            _ => ",\n",
        };
        let more = if bad == Some(row) { ",5" } else { "" };
        text += &format!("({row},{}{more})", name(row).2);
    }
    text + ";\nCREATE TABLE `u` (`id` bigint);\nINSERT INTO `u` VALUES (7);\n-- Dump completed\n"
}

fn open(kind: DumpKind, text: &[u8]) -> Result<(tempfile::TempDir, Dump)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.sql");
    fs::write(&path, text).unwrap();
    let spec = DumpSpec { path, kind, limits: Limits::default(), database: None, cache: None };
    Ok((folder, Dump::open(spec, &Wanted::All)?))
}

/// The cells of a table's column, in the order of its rows.
fn cells(dump: &Dump, table: &str, column: usize) -> Vec<Option<String>> {
    let staged = dump.staged(&TableName::bare(table)).unwrap();
    let file = BackupFile::open(&staged.path, None).unwrap();
    let all = 0..staged.rows;
    let batches = staged.store.read(&file, vec![column], std::slice::from_ref(&all));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let cells = batches.flat_map(|batch| {
        let cells = batch.unwrap().columns.remove(0);
        cells.bytes().iter().map(|cell| cell.map(text)).collect::<Vec<_>>()
    });
    cells.collect()
}

#[test]
fn every_row_of_many_blocks_is_read_in_its_order() {
    for kind in [DumpKind::Postgres, DumpKind::Mysql] {
        let (_folder, dump) = open(kind, script(kind, None).as_bytes()).unwrap();
        assert_eq!(dump.tables()[0].rows, Some(ROWS as u64), "{kind:?}");
        let names: Vec<_> = (0..ROWS).map(|row| name(row).0).collect();
        let ids: Vec<_> = (0..ROWS).map(|row| Some(row.to_string())).collect();
        let (_other, again) = open(kind, script(kind, None).as_bytes()).unwrap();
        assert!(cells(&dump, "t", 1) == names, "{kind:?}");
        assert!(cells(&again, "t", 0) == ids, "{kind:?}");
        assert_eq!(cells(&dump, "u", 0), [Some("7".to_owned())], "{kind:?}");
    }
}

#[test]
fn a_bad_row_in_any_block_is_named_by_its_line() {
    for kind in [DumpKind::Postgres, DumpKind::Mysql] {
        for bad in [0, 9, 17_001, 50_003, ROWS - 2] {
            let text = script(kind, Some(bad));
            let error = open(kind, text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{kind:?} {bad}: {error}");
            // A row of INSERT begins behind the comma of the one before.
            let before = match kind {
                DumpKind::Postgres => text.find(&format!("\n{bad}\t")).unwrap() + 1,
                _ => text.find(&format!("({bad},")).unwrap() - 1,
            };
            let line = text[..before].matches('\n').count() + 1;
            let named = format!("dump.sql line {line}: a row of 3 ");
            assert!(error.to_string().contains(&named), "{kind:?} {bad}: {error}, not {named}");
        }
    }
}

#[test]
fn w8_a_dump_of_many_blocks_that_is_cut_anywhere_is_damaged() {
    for kind in [DumpKind::Postgres, DumpKind::Mysql] {
        let text = script(kind, None);
        let end = text.trim_end().len();
        let around = |at: usize| at.saturating_sub(2)..(at + 3).min(end);
        for cut in (1..=3).flat_map(|block| around(block << 20)).chain(around(end / 2)) {
            // A script may end behind any statement, but for its end mark.
            let error = open(kind, &text.as_bytes()[..cut]).unwrap_err();
            assert_eq!(error.kind(), Kind::Damaged, "{kind:?} {cut}: {error}");
        }
    }
}
