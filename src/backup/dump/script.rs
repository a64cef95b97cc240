//! A dump that is a script of statements, read from its first byte to its last.
//!
//! Statements are cut out one by one; rows of `INSERT` are cut out of theirs as they come, so
//! that a statement of any length takes the memory of a row.

use std::io::Read;

use memchr::memchr;

use crate::backup::dump::lex::{Dialect, Token, Tokens, blank, comment, is_word, statement_end};
use crate::backup::dump::literal::{self, Literal};
use crate::backup::dump::tables::{Name, Plan, Session, Tables};
use crate::backup::text::window::{Stop, Window};
use crate::error::{Error, Result};

/// What stands next in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    End,
    /// A comment to the end of its line.
    Comment,
    /// A command of the client rather than a statement.
    Backslash,
    /// `INSERT` or `REPLACE`.
    Insert,
    /// Any other statement.
    Statement,
}

/// A script and how far it was read.
pub(super) struct Script<R> {
    /// The bytes.
    pub(super) window: Window<R>,
    /// What ends a statement.
    pub(super) delimiter: Vec<u8>,
    /// The head of the last INSERT, byte by byte, and how its rows are taken.
    last: Option<(Vec<u8>, Session, Plan)>,
    literals: Vec<Literal>,
    /// The file, as errors name it.
    pub(super) file: String,
}

/// The head of an INSERT: everything before its first row.
struct Head {
    path: Vec<Vec<u8>>,
    list: Option<Vec<Vec<u8>>>,
    length: usize,
    /// `DEFAULT VALUES`: there is no row behind it.
    empty: bool,
}

impl<R: Read> Script<R> {
    /// A script; errors name `file`.
    pub(super) fn new(reader: R, file: String) -> Result<Self> {
        let mut window = Window::new(reader, file.clone());
        window.begin()?;
        Ok(Self { window, delimiter: b";".to_vec(), last: None, literals: Vec::new(), file })
    }

    /// What stands next, white space and block comments passed over.
    pub(super) fn next(&mut self, dialect: Dialect) -> Result<Next> {
        let (skip, next) = self.window.find("a comment", |bytes, whole| {
            let mut at = 0;
            loop {
                at += bytes[at..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                let rest = &bytes[at..];
                let mysql = matches!(dialect, Dialect::Mysql { .. });
                match rest {
                    [] if whole => return Ok((at, Next::End)),
                    [b'#', ..] if mysql => return Ok((at, Next::Comment)),
                    [b'-', b'-', ..] => return Ok((at, Next::Comment)),
                    [b'\\', ..] => return Ok((at, Next::Backslash)),
                    [b'/', b'*', ..] => {
                        let end = comment(bytes, at, whole, dialect)?;
                        if !mysql || bytes[..end].ends_with(b"*/") {
                            at = end;
                            continue;
                        }
                    }
                    _ if !whole && rest.len() < 16 => return Err(Stop::More),
                    _ => {}
                }
                let word = rest.iter().take_while(|b| is_word(**b)).count();
                let insert = [&b"INSERT"[..], b"REPLACE"];
                let is_insert = insert.iter().any(|w| rest[..word].eq_ignore_ascii_case(w));
                return Ok((at, if is_insert { Next::Insert } else { Next::Statement }));
            }
        })?;
        self.window.consume(skip);
        Ok(next)
    }

    /// The line at hand, its line feed included.
    pub(super) fn line(&mut self) -> Result<&[u8]> {
        let length = self.window.find("a line", |bytes, whole| match memchr(b'\n', bytes) {
            Some(at) => Ok(at + 1),
            None if whole => Ok(bytes.len()),
            None => Err(Stop::More),
        })?;
        Ok(&self.window.bytes()[..length])
    }

    /// The length of the statement at hand, its delimiter included.
    pub(super) fn statement(&mut self, dialect: Dialect) -> Result<usize> {
        // It may change what a table's name means.
        self.last = None;
        let delimiter = &self.delimiter;
        self.window
            .find("a statement", |bytes, whole| statement_end(bytes, whole, dialect, delimiter))
    }

    /// The bytes of the statement of this length.
    pub(super) fn bytes(&self, length: usize) -> &[u8] {
        &self.window.bytes()[..length]
    }

    /// Reads the INSERT at hand. `name` tells which table a path means; `None`: its rows are
    /// not looked at.
    pub(super) fn insert(
        &mut self,
        tables: &mut Tables<'_>,
        session: &Session,
        name: impl Fn(&[Vec<u8>]) -> Option<Name>,
    ) -> Result<()> {
        let dialect = session.dialect;
        let same = self.last.as_ref().is_some_and(|(head, then, _)| {
            *then == *session && self.window.bytes().starts_with(head)
        });
        let mut head = None;
        if same && let Some((bytes, ..)) = &self.last {
            self.window.consume(bytes.len());
        } else {
            let found =
                self.window.find("an INSERT", |bytes, whole| insert_head(bytes, whole, dialect))?;
            let Some(target) = name(&found.path) else {
                return self.pass(dialect);
            };
            if found.empty {
                return self.pass(dialect);
            }
            let bytes = self.window.bytes()[..found.length].to_vec();
            self.window.consume(found.length);
            head = Some((bytes, target, found.list));
        }
        loop {
            let literals = &mut self.literals;
            let length = self
                .window
                .find("a row", |bytes, whole| literal::row(bytes, whole, dialect, literals))?;
            if let Some((bytes, target, list)) = head.take() {
                let plan = tables
                    .plan(&target, list.as_deref(), self.literals.len(), session)
                    .map_err(|what| self.window.damaged(0, what))?;
                self.last = Some((bytes, *session, plan));
            }
            let Some((.., plan)) = &self.last else { return Ok(()) };
            let window = &self.window;
            tables.rows(plan)?.literals(&window.bytes()[..length], &self.literals, |what| {
                window.damaged(0, what)
            })?;
            self.window.consume(length);
            if !self.row_follows(dialect)? {
                return Ok(());
            }
        }
    }

    /// Takes what stands behind a row; false when it ended the statement.
    fn row_follows(&mut self, dialect: Dialect) -> Result<bool> {
        let delimiter = &self.delimiter;
        let (length, more) = self.window.find("an INSERT", |bytes, whole| {
            if bytes.first() == Some(&b',') {
                return Ok((1, true));
            }
            let at = blank(bytes, 0, whole, dialect)?;
            if bytes.get(at) == Some(&b',') {
                return Ok((at + 1, true));
            }
            if !whole && bytes.len() < at + delimiter.len() {
                return Err(Stop::More);
            }
            if bytes[at..].starts_with(delimiter) {
                return Ok((at + delimiter.len(), false));
            }
            // pg_dump --on-conflict-do-nothing
            let mut tokens = Tokens::new(bytes, whole, dialect);
            if tokens.take("ON")? && tokens.take("CONFLICT")? {
                return Ok((statement_end(bytes, whole, dialect, delimiter)?, false));
            }
            Stop::bad(at, "something else than a row behind a row")
        })?;
        self.window.consume(length);
        Ok(more)
    }

    /// Leaves the statement at hand behind.
    pub(super) fn pass(&mut self, dialect: Dialect) -> Result<()> {
        let length = self.statement(dialect)?;
        self.window.consume(length);
        Ok(())
    }

    /// The error for a statement that no dump of this tool has.
    pub(super) fn strange(&self, what: &str, tool: &str) -> Error {
        Error::refused(format!(
            "{} line {}: {what}, which {tool} does not write: the dump is read, not run, and what \
             that would do to its rows is not known",
            self.file,
            self.window.line(0)
        ))
        .hint("load the dump into a scratch database and name that as the backup, if it is trusted")
    }

    /// The error for a dump whose end is missing.
    pub(super) fn unfinished(&self, mark: &str) -> Error {
        Error::damaged(format!(
            "{} lacks its end mark ({mark}): the dump is incomplete, so nothing of it is used",
            self.file
        ))
        .hint("fetch the file again, or take an older dump")
    }

    /// The error for what stands next.
    pub(super) fn damaged(&self, what: impl AsRef<str>) -> Error {
        self.window.damaged(0, what)
    }
}

/// Reads the head of an INSERT.
///
/// ```text
/// INSERT|REPLACE [LOW_PRIORITY|DELAYED|IGNORE] INTO [db.]t [(a,b)] [OVERRIDING x VALUE] VALUES
/// ```
fn insert_head(bytes: &[u8], whole: bool, dialect: Dialect) -> Result<Head, Stop> {
    let mut tokens = Tokens::new(bytes, whole, dialect);
    tokens.next()?;
    for word in ["LOW_PRIORITY", "DELAYED", "IGNORE"] {
        tokens.take(word)?;
    }
    if !tokens.take("INTO")? {
        return Stop::bad(tokens.at(), "an INSERT without INTO");
    }
    let path = tokens.path()?;
    let list = tokens.names()?;
    if tokens.take("OVERRIDING")? {
        tokens.next()?;
        tokens.take("VALUE")?;
    }
    let empty = tokens.take("DEFAULT")?;
    match tokens.next()? {
        Some(token @ Token::Word(_)) if token.is("VALUES") || token.is("VALUE") => {
            Ok(Head { path, list, length: tokens.at(), empty })
        }
        _ => Stop::bad(tokens.at(), "an INSERT whose rows are not written out"),
    }
}
