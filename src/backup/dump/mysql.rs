//! What mysqldump and mariadb-dump write, and mydumper's files of statements.
//!
//! ```text
//! -- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)
//! /*!40101 SET NAMES utf8mb4 */;           the character set of all strings
//! /*!40103 SET TIME_ZONE='+00:00' */;      the zone of TIMESTAMP columns
//! CREATE TABLE `t` (..);
//! -- Dumping data for table `t`
//! INSERT INTO `t` VALUES (1,'a\'b',_binary '..',0xFF),(..);
//! -- Dump completed on 2024-03-14  2:00:07
//! ```
//!
//! The modes under which statements would be run decide how they are read: whether a
//! backslash escapes (NO_BACKSLASH_ESCAPES), what `"` encloses (ANSI_QUOTES). Source: the
//! clients' `mysqldump.c`; MySQL "mysqldump" and "Server SQL Modes".

use std::io::Read;

use crate::backup::dump::charset::Charset;
use crate::backup::dump::ddl::create_table;
use crate::backup::dump::kind::Zone;
use crate::backup::dump::lex::{Dialect, Token, Tokens};
use crate::backup::dump::load::{Load, load};
use crate::backup::dump::script::{Next, Script};
use crate::backup::dump::tables::{Name, Session, Tables};
use crate::backup::text::window::Stop;
use crate::error::{Error, Result};

const TOOL: &str = "mysqldump";

/// What the first line of a dump begins with; another dump's may follow its last.
const HEADS: &[&str] = &["MySQL dump ", "MariaDB dump "];

/// The characters of a condition that are told.
const MOST_CONDITION: usize = 200;

/// Words that begin statements which change no row of a table.
const HARMLESS: &[&str] = &[
    "CREATE", "DROP", "ALTER", "LOCK", "UNLOCK", "START", "STOP", "BEGIN", "COMMIT", "GRANT",
    "REVOKE", "FLUSH", "CHANGE", "ANALYZE", "INSTALL",
];

/// What is known of a dump while its statements pass.
#[derive(Debug)]
pub(super) struct Mysql {
    session: Session,
    /// The modes before the last that were named, to which a variable goes back.
    before: Dialect,
    database: Option<String>,
    /// The table that was declared last.
    declared: Option<Name>,
    complete: bool,
    /// The table whose rows come next, by a comment.
    dumping: Option<Name>,
    /// Rows of the past come among those of today.
    history: bool,
    /// The `LOAD DATA` statements met, where they are looked for: else they are refused.
    loads: Option<Vec<Load>>,
    /// The last comment about the dump's end.
    completed: String,
}

impl Default for Mysql {
    fn default() -> Self {
        let dialect = Dialect::Mysql { escapes: true, ansi_quotes: false };
        Self {
            session: Session { dialect, charset: Some(Charset::Bytes), zone: None },
            before: dialect,
            database: None,
            declared: None,
            complete: false,
            dumping: None,
            history: false,
            loads: None,
            completed: String::new(),
        }
    }
}

impl Mysql {
    /// Reads the files of a dump in which this database's tables have bare names.
    pub(super) fn of(database: &str) -> Self {
        Self { database: Some(database.to_owned()), loads: Some(Vec::new()), ..Self::default() }
    }

    /// The `LOAD DATA` statements met since it was asked last.
    pub(super) fn loads(&mut self) -> Vec<Load> {
        self.loads.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The table that a path means.
    pub(super) fn name(&self, path: &[Vec<u8>]) -> Name {
        name(path, &self.database)
    }

    /// How rows are read whose file is in this character set.
    pub(super) fn session_in(&self, charset: Option<&str>) -> Result<Session> {
        let Some(name) = charset else { return Ok(self.session) };
        Ok(Session { charset: client_charset(name)?, ..self.session })
    }

    /// What the files that are read next begin with.
    pub(super) fn session(&self) -> Session {
        self.session
    }

    /// The table that was declared last.
    pub(super) fn declared(&self) -> Option<&Name> {
        self.declared.as_ref()
    }

    /// When the dump was completed, by its own words, in its host's local time.
    pub(super) fn completed(&self) -> Option<&str> {
        self.completed.strip_prefix("Dump completed on ").map(str::trim)
    }

    /// Reads a dump to its end, which must be marked.
    pub(super) fn read(
        &mut self,
        reader: impl Read,
        file: String,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let script = self.statements(reader, file, tables)?;
        if !self.complete {
            return Err(script.unfinished("-- Dump completed"));
        }
        Ok(())
    }

    /// Reads a script to its end, marked or not.
    pub(super) fn statements<R: Read>(
        &mut self,
        reader: R,
        file: String,
        tables: &mut Tables<'_>,
    ) -> Result<Script<R>> {
        let mut script = Script::new(reader, file)?;
        loop {
            match script.next(self.session.dialect)? {
                Next::End => return Ok(script),
                Next::Comment => {
                    let line = script.line()?;
                    let length = line.len();
                    self.comment(line, tables);
                    script.window.consume(length);
                }
                Next::Backslash => return Err(script.strange("a command of the client", TOOL)),
                Next::Insert => {
                    self.complete = false;
                    self.refuse_history(&script, tables)?;
                    let database = &self.database;
                    script.insert(tables, &self.session, |path| Some(name(path, database)))?;
                }
                Next::Statement => self.next_statement(&mut script, tables)?,
            }
        }
    }

    /// Refuses rows among which are those of the past, unless nobody wants them.
    fn refuse_history<R: Read>(&self, script: &Script<R>, tables: &mut Tables<'_>) -> Result<()> {
        if !self.history {
            return Ok(());
        }
        let table = self.dumping.as_ref().map_or("a table", |name| &name.table);
        if self.dumping.as_ref().is_none_or(|name| tables.wants(name)) {
            return Err(Error::refused(format!(
                "{}: {table} stands there with its history (--dump-history): rows of the past can't \
                 be told from those that were current",
                script.file
            ))
            .hint("dump again without --dump-history, or name the tables that are needed: --table"));
        }
        tables.note(format!("{table} stands there with its history: it can't be read"));
        Ok(())
    }

    fn comment(&mut self, line: &[u8], tables: &mut Tables<'_>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches(['-', '#']).trim();
        if HEADS.iter().any(|head| text.starts_with(head)) {
            self.complete = false;
        } else if text.starts_with("Dump completed") {
            self.complete = true;
            self.completed = text.to_owned();
        } else if let Some(quoted) = text.strip_prefix("Dumping data for table `") {
            self.complete = false;
            let table = quoted.trim_end_matches('`').replace("``", "`");
            let name = name(&[table.into_bytes()], &self.database);
            tables.data_of(&name);
            self.dumping = Some(name);
        } else if let (Some(condition), Some(name)) = (text.strip_prefix("WHERE:"), &self.dumping) {
            let condition: String = condition.trim().chars().take(MOST_CONDITION).collect();
            tables.leave_out(name, format!("rows other than WHERE {condition}"));
        }
    }

    fn next_statement<R: Read>(
        &mut self,
        script: &mut Script<R>,
        tables: &mut Tables<'_>,
    ) -> Result<()> {
        let dialect = self.session.dialect;
        let line = script.line()?;
        if line.get(..9).is_some_and(|word| word.eq_ignore_ascii_case(b"DELIMITER")) {
            let delimiter = line[9..].trim_ascii().to_vec();
            let length = line.len();
            if delimiter.is_empty() || delimiter.len() > 16 {
                return Err(script.damaged("a DELIMITER that is none"));
            }
            script.window.consume(length);
            script.delimiter = delimiter;
            return Ok(());
        }
        let length = script.statement(dialect)?;
        let bytes = script.bytes(length);
        let known = self.statement(&bytes[..length - script.delimiter.len()], tables);
        match known {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(script.strange("a statement", TOOL)),
            Ok(Err(e)) => return Err(e),
            Err(Stop::Bad(at, what)) => return Err(script.window.damaged(at, what)),
            Err(Stop::More) => return Err(script.damaged("a torn statement")),
        }
        script.window.consume(length);
        Ok(())
    }

    /// Takes a statement; false for one that might change rows.
    fn statement(&mut self, bytes: &[u8], tables: &mut Tables<'_>) -> Result<Result<bool>, Stop> {
        let dialect = self.session.dialect;
        if let Some(table) = create_table(bytes, dialect)? {
            self.complete = false;
            let database = self.database.clone();
            self.declared = Some(name(&table.path, &database));
            tables.declare(table, |path| name(path, &database));
            return Ok(Ok(true));
        }
        let mut tokens = Tokens::new(bytes, true, dialect);
        if let Some(view) = view(&tokens)? {
            tables.view(&name(&view, &self.database));
            return Ok(Ok(true));
        }
        if tokens.take("SET")? {
            return Ok(self.set(tokens)?.map(|()| true));
        }
        if let Some(loads) = &mut self.loads
            && tokens.take("LOAD")?
        {
            loads.push(load(tokens)?);
            return Ok(Ok(true));
        }
        if tokens.take("USE")? {
            let path = tokens.path()?;
            self.database = path.last().map(|name| String::from_utf8_lossy(name).into_owned());
            return Ok(Ok(true));
        }
        // The next value of a sequence.
        if tokens.take("DO")? {
            return Ok(Ok(tokens.take("SETVAL")?));
        }
        let Some(first) = tokens.peek()? else { return Ok(Ok(true)) };
        Ok(Ok(HARMLESS.iter().any(|word| first.is(word))))
    }

    /// Takes the assignments of a SET.
    fn set(&mut self, mut tokens: Tokens<'_>) -> Result<Result<()>, Stop> {
        loop {
            let mut variable: Vec<u8> = Vec::new();
            // `SESSION x`, `@@SESSION.x` and `x` are one variable.
            while let Some(token) = tokens.next()? {
                match token {
                    Token::Mark(b'=') => break,
                    Token::Mark(_) => {}
                    token => match token.name() {
                        Some(name) => variable = name.into_owned(),
                        None => break,
                    },
                }
                let names = variable.eq_ignore_ascii_case(b"NAMES")
                    || variable.eq_ignore_ascii_case(b"SET") && tokens.peek()?.is_some();
                if names {
                    break;
                }
            }
            let value = tokens.next()?;
            if let Err(e) = self.assign(&variable, value.as_ref()) {
                return Ok(Err(e));
            }
            let mut depth = 0_usize;
            loop {
                match tokens.next()? {
                    None => return Ok(Ok(())),
                    Some(Token::Mark(b'(')) => depth += 1,
                    Some(Token::Mark(b')')) => depth = depth.saturating_sub(1),
                    Some(Token::Mark(b',')) if depth == 0 => break,
                    Some(_) => {}
                }
            }
        }
    }

    fn assign(&mut self, variable: &[u8], value: Option<&Token<'_>>) -> Result<()> {
        let text = match value {
            Some(Token::Text(text) | Token::Name(text)) => Some(String::from_utf8_lossy(text)),
            Some(Token::Word(word)) if !word.starts_with(b"@") => {
                Some(String::from_utf8_lossy(word))
            }
            _ => None,
        };
        let variable = variable.strip_prefix(b"@@").unwrap_or(variable).to_ascii_lowercase();
        match (variable.as_slice(), text) {
            (b"names" | b"set", Some(charset)) => {
                self.session.charset = client_charset(&charset)?;
            }
            (variable, value) if variable.ends_with(b"system_versioning_insert_history") => {
                self.history = value.is_some_and(|on| on != "0" && !on.eq_ignore_ascii_case("off"));
            }
            (b"time_zone", Some(zone)) => self.session.zone = zone_of(&zone)?,
            (b"sql_mode", Some(modes)) => {
                let modes = modes.to_ascii_uppercase();
                let has = |mode: &str| modes.split(',').any(|m| m.trim() == mode);
                self.before = self.session.dialect;
                self.session.dialect = Dialect::Mysql {
                    escapes: !has("NO_BACKSLASH_ESCAPES"),
                    ansi_quotes: has("ANSI_QUOTES") || has("ANSI"),
                };
            }
            // A variable that holds the modes of before.
            (b"sql_mode", None) => self.session.dialect = self.before,
            _ => {}
        }
        Ok(())
    }
}

/// The character set of a client; `None` for `binary`: each column's own.
pub(super) fn client_charset(name: &str) -> Result<Option<Charset>> {
    if name.eq_ignore_ascii_case("binary") { Ok(None) } else { Charset::mysql(name).map(Some) }
}

/// The offset that a `time_zone` names; `None` for the server's own.
fn zone_of(zone: &str) -> Result<Option<Zone>> {
    let bytes: Option<Zone> = zone.as_bytes().try_into().ok();
    match bytes {
        Some(offset @ [b'+' | b'-', h1, h2, b':', m1, m2])
            if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) =>
        {
            Ok(Some(offset))
        }
        _ if zone.eq_ignore_ascii_case("UTC") => Ok(Some(*b"+00:00")),
        _ if zone.eq_ignore_ascii_case("SYSTEM") => Ok(None),
        _ => Err(Error::failed(format!(
            "the dump is written in the time zone {zone}, whose offsets are not known here"
        ))
        .hint("dump again in UTC, which is mysqldump's habit: mysqldump --tz-utc")),
    }
}

/// The view that a statement creates.
fn view(tokens: &Tokens<'_>) -> Result<Option<Vec<Vec<u8>>>, Stop> {
    let mut tokens = tokens.clone();
    if !tokens.take("CREATE")? {
        return Ok(None);
    }
    // OR REPLACE ALGORITHM = UNDEFINED DEFINER = `a`@`b` SQL SECURITY DEFINER VIEW
    for _ in 0..16 {
        match tokens.next()? {
            Some(token) if token.is("VIEW") => return tokens.path().map(Some),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// The table that a path means.
fn name(path: &[Vec<u8>], database: &Option<String>) -> Name {
    let text = |part: &Vec<u8>| String::from_utf8_lossy(part).into_owned();
    match path {
        [database, table] => {
            Name { database: Some(text(database)), table: text(table), schema: None }
        }
        _ => Name {
            database: database.clone(),
            table: path.last().map(text).unwrap_or_default(),
            schema: None,
        },
    }
}
