//! A dump that is a script of statements, read from its first byte to its last.
//!
//! Statements are cut out one by one; rows of `INSERT` are cut out of theirs as they come, so
//! that a statement of any length takes the memory of a row.

use std::io::Read;

use memchr::{memchr, memchr_iter};

use crate::backup::dump::lex::{Dialect, Token, Tokens, blank, comment, is_word, statement_end};
use crate::backup::dump::literal::{self, Literal};
use crate::backup::dump::tables::{Name, Places, Plan, Session, Tables};
use crate::backup::text::stage::cells::Batch;
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
    /// Empty between two INSERTs; its room is used again.
    block: Block,
    /// The file, as errors name it.
    pub(super) file: String,
}

/// Rows of an INSERT that are gathered, until they take so many bytes.
const BLOCK: usize = 512 << 10;

/// Rows that take fewer bytes wait for more to be read.
const SOME: usize = 64 << 10;

/// Rows at the start of what is there, with all that stands between them.
#[derive(Default)]
struct Block {
    length: usize,
    literals: Vec<Literal>,
    /// Where each row begins, and the end of its literals.
    rows: Vec<(usize, usize)>,
}

/// What came of looking for a row.
enum Found {
    /// One more row, and another follows.
    Row,
    /// The block holds as much as it should.
    Full,
    /// So many bytes end the statement; the last row is in the block.
    End(usize),
}

/// What stands behind a row, and how many bytes it takes.
enum Behind {
    /// A comma.
    Row(usize),
    /// The statement's end.
    End(usize),
}

impl Block {
    /// Makes cells of its rows, which stand in `text`. `line` tells the line of a byte, for errors,
    /// which name `file`.
    fn fill(
        &self,
        text: &[u8],
        places: &Places,
        (file, line): (&str, &dyn Fn(usize) -> u64),
        batch: &mut Batch,
    ) -> Result<()> {
        let mut first = 0;
        for (at, end) in &self.rows {
            let literals = &self.literals[first..*end];
            let damaged =
                |what: String| Error::damaged(format!("{file} line {}: {what}", line(*at)));
            places.literals(batch, &text[*at..], literals, damaged)?;
            first = *end;
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.length = 0;
        self.literals.clear();
        self.rows.clear();
    }
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
        Ok(Self { window, delimiter: b";".to_vec(), last: None, block: Block::default(), file })
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

    /// How many line feeds stand here, which are passed over.
    pub(super) fn line_feeds(&mut self) -> Result<usize> {
        let feeds = self.window.find("an empty line", |bytes, whole| {
            match bytes.iter().take_while(|byte| **byte == b'\n').count() {
                feeds if feeds == bytes.len() && !whole => Err(Stop::More),
                feeds => Ok(feeds),
            }
        })?;
        self.window.consume(feeds);
        Ok(feeds)
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
        let mut block = std::mem::take(&mut self.block);
        loop {
            let found = self.row(&mut block, dialect)?;
            // The first row tells how many values there are.
            if let Some((bytes, target, list)) = head.take() {
                let width = block.literals.len();
                let plan = tables
                    .plan(&target, list.as_deref(), width, session)
                    .map_err(|what| self.window.damaged(0, what))?;
                self.last = Some((bytes, *session, plan));
            }
            match found {
                Found::Row => {}
                Found::Full => self.put(&mut block, tables)?,
                Found::End(length) => {
                    self.put(&mut block, tables)?;
                    self.window.consume(length);
                    self.block = block;
                    return Ok(());
                }
            }
        }
    }

    /// Looks for a row and what stands behind it, behind the rows of the block.
    fn row(&mut self, block: &mut Block, dialect: Dialect) -> Result<Found> {
        let delimiter = &self.delimiter;
        loop {
            let at = block.length;
            let (bytes, whole) = (&self.window.bytes()[at..], self.window.finished());
            let known = block.literals.len();
            let found = literal::row(bytes, whole, dialect, &mut block.literals)
                .map_err(|stop| (stop, "a row"))
                .and_then(|length| {
                    let behind = behind_row(&bytes[length..], whole, dialect, delimiter);
                    Ok((length, behind.map_err(|stop| (moved(stop, length), "an INSERT"))?))
                });
            let (stop, what) = match found {
                Ok((length, behind)) => {
                    block.rows.push((at, block.literals.len()));
                    return Ok(match behind {
                        Behind::Row(more) => {
                            block.length = at + length + more;
                            if block.length < BLOCK { Found::Row } else { Found::Full }
                        }
                        Behind::End(more) => {
                            block.length = at + length;
                            Found::End(more)
                        }
                    });
                }
                Err(stop) => stop,
            };
            block.literals.truncate(known);
            match stop {
                Stop::Bad(bad, found) => return Err(self.window.damaged(at + bad, found)),
                Stop::More if at >= SOME => return Ok(Found::Full),
                Stop::More if whole && at > 0 => return Ok(Found::Full),
                Stop::More if whole => return Err(self.window.cut(what)),
                Stop::More => {
                    self.window.grow()?;
                }
            }
        }
    }

    /// Hands the rows of a block on and leaves them behind.
    fn put(&mut self, block: &mut Block, tables: &mut Tables<'_>) -> Result<()> {
        let Some((.., plan)) = &self.last else { return Ok(()) };
        let (window, places) = (&self.window, plan.places());
        let text = &window.bytes()[..block.length];
        let mut rows = tables.rows(plan)?;
        rows.count(block.rows.len() as u64);
        if !rows.kept() {
            let mut first = 0;
            for (at, end) in &block.rows {
                let damaged = |what| window.damaged(*at, what);
                places.check(&block.literals[first..*end], damaged)?;
                first = *end;
            }
        } else if rows.are_few(text.len()) {
            let line = |at| window.line(at);
            rows.here(|batch| block.fill(text, places, (&self.file, &line), batch))?;
        } else {
            let (places, text, file) = (places.clone(), text.to_vec(), self.file.clone());
            let (first, block) = (window.line(0), std::mem::take(block));
            let length = text.len();
            rows.hand(&self.file, move |batch| {
                let line = |at: usize| first + memchr_iter(b'\n', &text[..at]).count() as u64;
                block.fill(&text, &places, (&file, &line), batch)
            })?;
            self.window.consume(length);
            return Ok(());
        }
        self.window.consume(block.length);
        block.clear();
        Ok(())
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

/// Looks at what stands behind a row.
fn behind_row(
    bytes: &[u8],
    whole: bool,
    dialect: Dialect,
    delimiter: &[u8],
) -> Result<Behind, Stop> {
    if bytes.first() == Some(&b',') {
        return Ok(Behind::Row(1));
    }
    let at = blank(bytes, 0, whole, dialect)?;
    if bytes.get(at) == Some(&b',') {
        return Ok(Behind::Row(at + 1));
    }
    if !whole && bytes.len() < at + delimiter.len() {
        return Err(Stop::More);
    }
    if bytes[at..].starts_with(delimiter) {
        return Ok(Behind::End(at + delimiter.len()));
    }
    // pg_dump --on-conflict-do-nothing
    let mut tokens = Tokens::new(bytes, whole, dialect);
    if tokens.take("ON")? && tokens.take("CONFLICT")? {
        return Ok(Behind::End(statement_end(bytes, whole, dialect, delimiter)?));
    }
    Stop::bad(at, "something else than a row behind a row")
}

/// What stops a look that began so many bytes further on.
fn moved(stop: Stop, by: usize) -> Stop {
    match stop {
        Stop::Bad(at, what) => Stop::Bad(at + by, what),
        Stop::More => Stop::More,
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
