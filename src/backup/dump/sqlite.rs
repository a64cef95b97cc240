//! What the sqlite3 shell's `.dump` writes.
//!
//! ```text
//! PRAGMA foreign_keys=OFF;
//! BEGIN TRANSACTION;
//! CREATE TABLE t(..);
//! INSERT INTO t VALUES(1,'a',X'00',replace('a\nb','\n',char(10)),unistr('\u0007'));
//! CREATE INDEX ..; CREATE TRIGGER ..;
//! COMMIT;                      the end; ROLLBACK where the database was damaged
//! ```
//!
//! Each literal says its storage class, so values come out as they were stored. Text with a NUL is
//! cut there by shells before 3.50. Source: SQLite `shell.c`, `dump_callback`.

use std::io::Read;

use crate::backup::dump::ddl::create_table;
use crate::backup::dump::lex::{Dialect, Tokens};
use crate::backup::dump::script::{Next, Script};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::window::Stop;
use crate::error::{Error, Result};

const DIALECT: Dialect = Dialect::Sqlite;
const TOOL: &str = "sqlite3's .dump";

/// Reads a dump to its end.
pub(super) fn read(reader: impl Read, file: String, tables: &mut Tables<'_>) -> Result<()> {
    let mut script = Script::new(reader, file)?;
    let session = Session { dialect: DIALECT, charset: None, zone: None };
    let mut committed = false;
    loop {
        match script.next(DIALECT)? {
            Next::End if committed => return Ok(()),
            Next::End => return Err(script.unfinished("COMMIT")),
            Next::Comment => {
                let length = script.line()?.len();
                script.window.consume(length);
                continue;
            }
            Next::Backslash => return Err(script.strange("a backslash", TOOL)),
            Next::Insert => script.insert(tables, &session, |path| name(path).filter(kept))?,
            Next::Statement => {
                let length = script.statement(DIALECT)?;
                committed |= statement(&script, length, tables)?;
                script.window.consume(length);
                continue;
            }
        }
        if committed {
            return Err(script.damaged("rows behind the COMMIT"));
        }
    }
}

/// Takes a statement; true when it is the end.
fn statement<R: Read>(script: &Script<R>, length: usize, tables: &mut Tables<'_>) -> Result<bool> {
    let bytes = script.bytes(length);
    let torn = |stop| match stop {
        Stop::Bad(at, what) => script.window.damaged(at, what),
        Stop::More => script.damaged("a torn statement"),
    };
    if let Some(table) = create_table(bytes, DIALECT).map_err(torn)? {
        if name(&table.path).is_some_and(|name| kept(&name)) {
            tables.declare(table, |path| name(path).unwrap_or_default());
        }
        return Ok(false);
    }
    let mut tokens = Tokens::new(bytes, true, DIALECT);
    for word in ["PRAGMA", "BEGIN", "CREATE", "SAVEPOINT", "RELEASE", "ANALYZE"] {
        if tokens.take(word).map_err(torn)? {
            return Ok(false);
        }
    }
    if tokens.take("COMMIT").map_err(torn)? || tokens.take("END").map_err(torn)? {
        return Ok(true);
    }
    if tokens.take("ROLLBACK").map_err(torn)? {
        return Err(Error::damaged(format!(
            "{} ends in ROLLBACK: the shell met errors while it dumped, so rows may be missing",
            script.file
        ))
        .hint("take an older dump"));
    }
    if tokens.take("DELETE").map_err(torn)? && tokens.take("FROM").map_err(torn)? {
        let path = tokens.path().map_err(torn)?;
        if name(&path).is_some_and(|name| !kept(&name)) {
            return Ok(false);
        }
    }
    Err(script.strange("a statement", TOOL))
}

/// The table that a path means.
fn name(path: &[Vec<u8>]) -> Option<Name> {
    let table = String::from_utf8_lossy(path.last()?).into_owned();
    Some(Name { table, ..Name::default() })
}

/// False for SQLite's own tables.
fn kept(name: &Name) -> bool {
    !name.table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}
