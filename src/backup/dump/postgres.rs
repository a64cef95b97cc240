//! What pg_dump and pg_dumpall write as plain scripts.
//!
//! ```text
//! -- PostgreSQL database dump
//! SET client_encoding = 'UTF8';
//! SELECT pg_catalog.set_config('search_path', '', false);
//! CREATE TABLE public.t (..);
//! ALTER TABLE ONLY public.m ATTACH PARTITION public.m1 FOR VALUES ..;
//! COPY public.t (id, name) FROM stdin;
//! 1 TAB a\tb
//! 2 TAB \N
//! \.
//! INSERT INTO public.t (id, name) VALUES (3, 'c');        --inserts, --column-inserts
//! -- PostgreSQL database dump complete
//! ```
//!
//! psql's commands are never run: `\connect` tells the database, `\restrict` and
//! `\unrestrict` mean nothing here, any other ends the reading. Sources: PostgreSQL "pg_dump",
//! "COPY", "psql".

use std::io::Read;

use crate::backup::dump::charset::Charset;
use crate::backup::dump::copy;
use crate::backup::dump::ddl::{attached, create_table};
use crate::backup::dump::lex::{Dialect, Token, Tokens};
use crate::backup::dump::script::{Next, Script};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::window::Stop;
use crate::error::Result;

const TOOL: &str = "pg_dump";

/// Words that begin statements which change no row of a table.
const HARMLESS: &[&str] = &[
    "CREATE", "ALTER", "COMMENT", "GRANT", "REVOKE", "DROP", "SELECT", "BEGIN", "COMMIT",
    "REFRESH", "SECURITY", "ANALYZE", "REINDEX", "CLUSTER", "LOCK",
];

/// What is known of a dump while its statements pass.
#[derive(Debug)]
pub(super) struct Postgres {
    /// How cells are read.
    pub(super) session: Session,
    /// The schema of names without one.
    schema: Option<String>,
    database: Option<String>,
    complete: bool,
    /// It is a dump of all databases of a server.
    cluster: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        let dialect = Dialect::Postgres { escapes: false };
        Self {
            session: Session { dialect, charset: Some(Charset::Bytes), zone: None },
            schema: None,
            database: None,
            complete: false,
            cluster: false,
        }
    }
}

impl Postgres {
    /// Reads a script to its end, which must be marked.
    pub(super) fn read(
        &mut self,
        reader: impl Read,
        file: String,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let mut script = Script::new(reader, file)?;
        loop {
            match script.next(self.session.dialect)? {
                Next::End if self.complete => return Ok(()),
                Next::End => return Err(script.unfinished("-- PostgreSQL database dump complete")),
                Next::Comment => {
                    let line = script.line()?;
                    let length = line.len();
                    self.comment(line, tables);
                    script.window.consume(length);
                }
                Next::Backslash => self.command(&mut script)?,
                Next::Insert => {
                    self.complete = false;
                    self.insert(&mut script, tables)?;
                }
                Next::Statement => self.next_statement(&mut script, tables)?,
            }
        }
    }

    fn insert<R: Read>(&self, script: &mut Script<R>, tables: &mut Tables<'_>) -> Result<()> {
        script.insert(tables, &self.session, |path| Some(self.name(path)))
    }

    /// Reads the statements of a table's data in an archive: INSERTs up to the end.
    pub(super) fn inserts(
        &self,
        reader: impl Read,
        file: String,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let mut script = Script::new(reader, file)?;
        // pg_dump ends each row, or several, with a line feed and all of them with two more.
        let mut end = 2;
        loop {
            let feeds = script.line_feeds()?;
            match script.next(self.session.dialect)? {
                Next::End if feeds >= end => return Ok(()),
                Next::End => return Err(script.unfinished("two empty lines")),
                Next::Insert => {
                    self.insert(&mut script, tables)?;
                    end = 3;
                }
                _ => return Err(script.damaged("something else than an INSERT")),
            }
        }
    }

    /// Names without a schema are of this one from here on.
    pub(super) fn in_schema(&mut self, schema: Option<&str>) {
        self.schema = schema.filter(|schema| *schema != "public").map(str::to_owned);
    }

    fn comment(&mut self, line: &[u8], tables: &mut Tables<'_>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('-').trim();
        match text {
            "PostgreSQL database cluster dump" => self.cluster = true,
            "PostgreSQL database dump" => self.complete = false,
            "PostgreSQL database dump complete" => self.complete = !self.cluster,
            "PostgreSQL database cluster dump complete" => self.complete = true,
            _ => {
                let data = text.strip_prefix("Data for Name: ");
                if let Some((table, rest)) =
                    data.and_then(|d| d.split_once("; Type: TABLE DATA; Schema: "))
                    && let Some((schema, _)) = rest.split_once("; Owner: ")
                {
                    let path = [schema.as_bytes().to_vec(), table.as_bytes().to_vec()];
                    tables.data_of(&self.name(&path));
                }
            }
        }
    }

    /// Takes a command of psql.
    fn command<R: Read>(&mut self, script: &mut Script<R>) -> Result<()> {
        let line = script.line()?;
        let length = line.len();
        let text = String::from_utf8_lossy(line).trim().to_owned();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        match word {
            "\\restrict" | "\\unrestrict" => {}
            "\\connect" => {
                let last = rest.rsplit("dbname=").next().unwrap_or(rest);
                let last =
                    last.trim_matches(|c: char| matches!(c, '"' | '\'') || c.is_whitespace());
                self.database = Some(last.to_owned());
                self.schema = None;
            }
            _ => {
                let shown: String = word.chars().take(20).collect();
                return Err(script.strange(&format!("the psql command {shown}"), TOOL));
            }
        }
        script.window.consume(length);
        Ok(())
    }

    fn next_statement<R: Read>(
        &mut self,
        script: &mut Script<R>,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let dialect = self.session.dialect;
        let length = script.statement(dialect)?;
        let known = self.statement(script.bytes(length), tables);
        match known {
            Ok(Ok(Known::Harmless)) => script.window.consume(length),
            Ok(Ok(Known::Copy(path, list))) => {
                self.complete = false;
                script.window.consume(length);
                let name = self.name(&path);
                // What is left of the statement's line.
                let (skip, carriage) = script.window.find("a COPY", |bytes, _| match bytes {
                    [b'\n', ..] => Ok((1, false)),
                    [b'\r', b'\n', ..] => Ok((2, true)),
                    [] | [b'\r'] => Err(Stop::More),
                    _ => Stop::bad(0, "a COPY whose line goes on"),
                })?;
                script.window.consume(skip);
                let window = &mut script.window;
                copy::rows(window, tables, &self.session, &name, &list, carriage)?;
            }
            Ok(Ok(Known::Strange)) => return Err(script.strange("a statement", TOOL)),
            Ok(Err(e)) => return Err(e),
            Err(Stop::Bad(at, what)) => return Err(script.window.damaged(at, what)),
            Err(Stop::More) => return Err(script.damaged("a torn statement")),
        }
        Ok(())
    }

    /// Takes a statement.
    pub(super) fn statement(
        &mut self,
        bytes: &[u8],
        tables: &mut Tables<'_>,
    ) -> Result<Result<Known>, Stop> {
        let dialect = self.session.dialect;
        if let Some(table) = create_table(bytes, dialect)? {
            tables.declare(table, |path| self.name(path));
            return Ok(Ok(Known::Harmless));
        }
        if let Some((parent, child)) = attached(bytes, dialect)? {
            // An index is attached to its parent by another statement.
            tables.attach(&self.name(&parent), &self.name(&child));
            return Ok(Ok(Known::Harmless));
        }
        if let Some((path, list)) = copy_head(bytes, dialect)? {
            return Ok(Ok(Known::Copy(path, list)));
        }
        let mut tokens = Tokens::new(bytes, true, dialect);
        if tokens.take("SET")? {
            return Ok(self.set(tokens, tables)?.map(|()| Known::Harmless));
        }
        if bytes.windows(11).any(|w| w == b"set_config(")
            && tokens.peek()?.is_some_and(|t| t.is("SELECT"))
        {
            self.schema = None;
        }
        let Some(first) = tokens.peek()? else { return Ok(Ok(Known::Harmless)) };
        let harmless = HARMLESS.iter().any(|word| first.is(word)) || first == Token::Mark(b';');
        Ok(Ok(if harmless { Known::Harmless } else { Known::Strange }))
    }

    fn set(&mut self, mut tokens: Tokens<'_>, tables: &mut Tables<'_>) -> Result<Result<()>, Stop> {
        let Some(variable) = tokens.next()? else { return Ok(Ok(())) };
        let to = tokens.mark(b'=')? || tokens.take("TO")?;
        let value = match tokens.next()? {
            Some(Token::Text(text) | Token::Name(text)) if to => text.into_owned(),
            Some(Token::Word(text)) if to => text.to_vec(),
            _ => return Ok(Ok(())),
        };
        let value = String::from_utf8_lossy(&value).into_owned();
        if variable.is("client_encoding") {
            match Charset::postgres(&value) {
                Ok(charset) => self.session.charset = Some(charset),
                Err(e) => return Ok(Err(e)),
            }
        } else if variable.is("standard_conforming_strings") {
            self.session.dialect = Dialect::Postgres { escapes: value.eq_ignore_ascii_case("off") };
        } else if variable.is("search_path") {
            self.schema = Some(value).filter(|schema| !schema.is_empty() && schema != "public");
        } else if variable.is("row_security") && value.eq_ignore_ascii_case("on") {
            let note = "the dump was made under row-level security: rows that its user may not see \
                        are not in it";
            tables.note(note.into());
        }
        Ok(Ok(()))
    }

    /// The table that a path means.
    pub(super) fn name(&self, path: &[Vec<u8>]) -> Name {
        let charset = self.session.charset.unwrap_or(Charset::Bytes);
        let text = |part: &Vec<u8>| {
            let mut part = part.clone();
            // A name that can't be decoded is as good as any: it is nobody's table.
            let _ = charset.decode(0, &mut part);
            String::from_utf8_lossy(&part).into_owned()
        };
        let (schema, table) = match path {
            [.., schema, table] => (Some(text(schema)), text(table)),
            _ => (self.schema.clone(), path.last().map(text).unwrap_or_default()),
        };
        let schema = schema.filter(|schema| schema != "public");
        Name { database: self.database.clone(), schema, table }
    }
}

/// What a statement is.
#[derive(Debug)]
pub(super) enum Known {
    /// It changes no row.
    Harmless,
    /// It might.
    Strange,
    /// Rows of this table follow, their fields in the order of these columns.
    Copy(Vec<Vec<u8>>, Option<Vec<Vec<u8>>>),
}

/// A path of names, and a list of columns.
type CopyHead = (Vec<Vec<u8>>, Option<Vec<Vec<u8>>>);

/// Reads `COPY t (a, b) FROM stdin;`.
pub(super) fn copy_head(bytes: &[u8], dialect: Dialect) -> Result<Option<CopyHead>, Stop> {
    let mut tokens = Tokens::new(bytes, true, dialect);
    if !tokens.take("COPY")? {
        return Ok(None);
    }
    let path = tokens.path()?;
    let list = tokens.names()?;
    if !tokens.take("FROM")? || !tokens.take("stdin")? || !tokens.mark(b';')? {
        return Stop::bad(tokens.at(), "a COPY of another kind than pg_dump's");
    }
    Ok(Some((path, list)))
}
