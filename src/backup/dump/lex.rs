//! The words of SQL as dumps write it, and where a statement ends.
//!
//! Dumps are read, never run, so this knows no grammar: only what quotes, comments and
//! brackets hide. Sources: SQLite "SQL As Understood By SQLite" (keywords, comments) and
//! `sqlite3_complete`; PostgreSQL "Lexical Structure", section 4.1, and psql's counting of
//! `BEGIN ATOMIC` bodies; MySQL "Lexical Structure", "Comments" and "mysql Client Commands".

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use crate::backup::text::window::Stop;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's. `escapes`: a backslash means something in every string
    /// (`standard_conforming_strings = off`).
    Postgres {
        /// A backslash escapes in plain strings too.
        escapes: bool,
    },
    /// MySQL's and MariaDB's.
    Mysql {
        /// A backslash escapes (NO_BACKSLASH_ESCAPES is off).
        escapes: bool,
        /// `"` encloses names (ANSI_QUOTES is on).
        ansi_quotes: bool,
    },
    /// DuckDB's: PostgreSQL's words, without its modes.
    Duckdb,
}

impl Dialect {
    /// True where a backslash escapes in a string without a prefix.
    pub(super) fn escapes(self) -> bool {
        match self {
            Dialect::Sqlite | Dialect::Duckdb => false,
            Dialect::Postgres { escapes } | Dialect::Mysql { escapes, .. } => escapes,
        }
    }

    fn is_mysql(self) -> bool {
        matches!(self, Dialect::Mysql { .. })
    }

    /// True where comments nest, and strings are quoted with dollars and `E''` too.
    fn is_like_postgres(self) -> bool {
        matches!(self, Dialect::Postgres { .. } | Dialect::Duckdb)
    }
}

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, an unquoted name or a number.
    Word(&'a [u8]),
    /// A quoted name, without its quotes.
    Name(Cow<'a, [u8]>),
    /// A string, without its quotes; escapes are not undone, doubled quotes are.
    Text(Cow<'a, [u8]>),
    /// Any other character.
    Mark(u8),
}

impl<'a> Token<'a> {
    /// True for this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// The name that this is, quoted or not.
    pub(super) fn name(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Token::Word(word) => Some(Cow::Borrowed(word)),
            Token::Name(name) => Some(name),
            Token::Text(_) | Token::Mark(_) => None,
        }
    }
}

/// Cuts text into words.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    whole: bool,
    dialect: Dialect,
}

impl<'a> Tokens<'a> {
    /// The words of `bytes`. `whole`: nothing comes behind them.
    pub(super) fn new(bytes: &'a [u8], whole: bool, dialect: Dialect) -> Self {
        Self { bytes, at: 0, whole, dialect }
    }

    /// Whose SQL it is.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The byte behind the last word.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next word; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, Stop> {
        self.at = blank(self.bytes, self.at, self.whole, self.dialect)?;
        let Some(&byte) = self.bytes.get(self.at) else {
            return if self.whole { Ok(None) } else { Err(Stop::More) };
        };
        let start = self.at;
        if let Some(close) = opens_name(byte, self.dialect) {
            let end = quote_end(self.bytes, start + 1, close, false, self.whole)?;
            self.at = end;
            return Ok(Some(Token::Name(undoubled(&self.bytes[start + 1..end - 1], close))));
        }
        if byte == b'\'' || byte == b'"' {
            let end = quote_end(self.bytes, start + 1, byte, self.dialect.escapes(), self.whole)?;
            self.at = end;
            return Ok(Some(Token::Text(undoubled(&self.bytes[start + 1..end - 1], byte))));
        }
        if is_word(byte) {
            let len = self.bytes[start..].iter().position(|b| !is_word(*b));
            let end = match len {
                Some(len) => start + len,
                None if self.whole => self.bytes.len(),
                None => return Err(Stop::More),
            };
            self.at = end;
            return Ok(Some(Token::Word(&self.bytes[start..end])));
        }
        self.at += 1;
        Ok(Some(Token::Mark(byte)))
    }

    /// Looks at the next word without taking it.
    pub(super) fn peek(&self) -> Result<Option<Token<'a>>, Stop> {
        self.clone().next()
    }

    /// Takes the next word if it is this keyword.
    pub(super) fn take(&mut self, keyword: &str) -> Result<bool, Stop> {
        let mut ahead = self.clone();
        let hit = ahead.next()?.is_some_and(|token| token.is(keyword));
        if hit {
            *self = ahead;
        }
        Ok(hit)
    }

    /// Takes the next word if it is this mark.
    pub(super) fn mark(&mut self, mark: u8) -> Result<bool, Stop> {
        let mut ahead = self.clone();
        let hit = ahead.next()? == Some(Token::Mark(mark));
        if hit {
            *self = ahead;
        }
        Ok(hit)
    }

    /// Takes a name with its qualifiers: `a`, `a.b` or `a.b.c`, the last part last.
    pub(super) fn path(&mut self) -> Result<Vec<Vec<u8>>, Stop> {
        let mut parts = Vec::new();
        loop {
            let name = match self.next()? {
                // As SQLite's own FTS5 names its tables.
                Some(Token::Text(name)) if self.dialect == Dialect::Sqlite => Some(name),
                token => token.and_then(Token::name),
            };
            let Some(name) = name else {
                return Stop::bad(self.at, "no name where one belongs");
            };
            parts.push(name.into_owned());
            if parts.len() == 3 || !self.mark(b'.')? {
                return Ok(parts);
            }
        }
    }

    /// Takes a list of names in brackets, if there is one.
    pub(super) fn names(&mut self) -> Result<Option<Vec<Vec<u8>>>, Stop> {
        if !self.mark(b'(')? {
            return Ok(None);
        }
        let mut names = Vec::new();
        if self.mark(b')')? {
            return Ok(Some(names));
        }
        loop {
            match self.next()?.and_then(Token::name) {
                Some(name) => names.push(name.into_owned()),
                None => return Stop::bad(self.at, "no column name where one belongs"),
            }
            match self.next()? {
                Some(Token::Mark(b',')) => {}
                Some(Token::Mark(b')')) => return Ok(Some(names)),
                _ => return Stop::bad(self.at, "a list of columns that is none"),
            }
        }
    }
}

/// True for a byte of a keyword, a number or an unquoted name.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | 0x80..)
}

/// The byte that closes a name that `byte` opens.
fn opens_name(byte: u8, dialect: Dialect) -> Option<u8> {
    match (byte, dialect) {
        (b'"', Dialect::Postgres { .. } | Dialect::Sqlite | Dialect::Duckdb)
        | (b'"', Dialect::Mysql { ansi_quotes: true, .. }) => Some(b'"'),
        (b'`', Dialect::Mysql { .. } | Dialect::Sqlite) => Some(b'`'),
        (b'[', Dialect::Sqlite) => Some(b']'),
        _ => None,
    }
}

/// The byte behind the quote that closes what begins at `at`. A doubled quote closes nothing, nor,
/// where it `escapes`, one behind a backslash.
pub(super) fn quote_end(
    bytes: &[u8],
    at: usize,
    close: u8,
    escapes: bool,
    whole: bool,
) -> Result<usize, Stop> {
    quoted(bytes, at, close, escapes, whole).map(|(end, _)| end)
}

/// The same, and whether there are doubled quotes or escapes to undo.
pub(super) fn quoted(
    bytes: &[u8],
    mut at: usize,
    close: u8,
    escapes: bool,
    whole: bool,
) -> Result<(usize, bool), Stop> {
    let mut marked = false;
    loop {
        let rest = &bytes[at..];
        let hit = if escapes { memchr2(close, b'\\', rest) } else { memchr(close, rest) };
        let Some(len) = hit else { return Err(Stop::More) };
        at += len;
        if bytes[at] != close {
            marked = true;
            at += 2;
            if at > bytes.len() {
                return Err(Stop::More);
            }
            continue;
        }
        match bytes.get(at + 1) {
            Some(b) if *b == close && close != b']' => (at, marked) = (at + 2, true),
            None if !whole => return Err(Stop::More),
            _ => return Ok((at + 1, marked)),
        }
    }
}

/// Text between quotes, with its doubled quotes single.
fn undoubled(text: &[u8], quote: u8) -> Cow<'_, [u8]> {
    if memmem::find(text, &[quote, quote]).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(quote, rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The first byte from `at` on that is neither white space nor in a comment. MySQL's
/// conditional comments are looked into: only their marks are passed over.
pub(super) fn blank(
    bytes: &[u8],
    mut at: usize,
    whole: bool,
    dialect: Dialect,
) -> Result<usize, Stop> {
    loop {
        let len = bytes[at..].iter().position(|b| !b.is_ascii_whitespace() && *b != 0x0b);
        let Some(len) = len else {
            return if whole { Ok(bytes.len()) } else { Err(Stop::More) };
        };
        at += len;
        let rest = &bytes[at..];
        let line = match rest {
            [b'-', b'-', after @ ..] => match after.first() {
                _ if !dialect.is_mysql() => true,
                Some(byte) => byte.is_ascii_whitespace(),
                None if whole => true,
                None => return Err(Stop::More),
            },
            [b'#', ..] => dialect.is_mysql(),
            [b'-' | b'/' | b'*'] if !whole => return Err(Stop::More),
            _ => false,
        };
        if line {
            match memchr(b'\n', rest) {
                Some(len) => at += len + 1,
                None if whole => return Ok(bytes.len()),
                None => return Err(Stop::More),
            }
            continue;
        }
        match rest {
            [b'/', b'*', ..] => at = comment(bytes, at, whole, dialect)?,
            [b'*', b'/', ..] if dialect.is_mysql() => at += 2,
            _ => return Ok(at),
        }
    }
}

/// The byte behind the comment at `at`, or behind the mark of a conditional one.
pub(super) fn comment(
    bytes: &[u8],
    at: usize,
    whole: bool,
    dialect: Dialect,
) -> Result<usize, Stop> {
    let more = || if whole { Stop::Bad(at, "a comment without an end".into()) } else { Stop::More };
    let inner = &bytes[at + 2..];
    if dialect.is_mysql() {
        let mark = match inner {
            [] | [b'M'] => return Err(more()),
            [b'!', ..] => 1,
            [b'M', b'!', ..] => 2,
            _ => 0,
        };
        if mark > 0 {
            let version = &inner[mark..];
            let digits = version.iter().position(|b| !b.is_ascii_digit()).ok_or_else(more)?;
            // No server is of version 99.99.99: what stands there is for the client.
            if digits < 6 || &version[..6] != b"999999" {
                return Ok(at + 2 + mark + digits);
            }
        }
    }
    if !dialect.is_like_postgres() {
        return memmem::find(inner, b"*/").map(|len| at + 2 + len + 2).ok_or_else(more);
    }
    // PostgreSQL's comments nest.
    let (mut depth, mut place) = (1, at + 2);
    while depth > 0 {
        let len = memchr2(b'*', b'/', &bytes[place..]).ok_or_else(more)?;
        place += len;
        match bytes.get(place..place + 2) {
            None => return Err(more()),
            Some(b"*/") => (depth, place) = (depth - 1, place + 2),
            Some(b"/*") => (depth, place) = (depth + 1, place + 2),
            Some(_) => place += 1,
        }
    }
    Ok(place)
}

/// The length of the statement at the start of `bytes`, its delimiter included.
pub(super) fn statement_end(
    bytes: &[u8],
    whole: bool,
    dialect: Dialect,
    delimiter: &[u8],
) -> Result<usize, Stop> {
    let mut tokens = Tokens::new(bytes, whole, dialect);
    let mut body = Body::default();
    loop {
        let at = blank(bytes, tokens.at, whole, dialect)?;
        if !whole && bytes.len() < at + delimiter.len() {
            return Err(Stop::More);
        }
        let ends = bytes[at..].starts_with(delimiter);
        if ends && body.may_end() {
            return Ok(at + delimiter.len());
        }
        let dollar = match bytes.get(at) {
            Some(b'$') if dialect.is_like_postgres() => dollar_end(bytes, at, whole)?,
            _ => None,
        };
        if let Some(end) = dollar {
            tokens.at = end;
            continue;
        }
        let escape_string =
            dialect.is_like_postgres() && matches!(bytes.get(at..at + 2), Some(b"E'" | b"e'"));
        if escape_string {
            tokens.at = quote_end(bytes, at + 2, b'\'', true, whole)?;
            continue;
        }
        match tokens.next()? {
            Some(token) => body.saw(&token, dialect),
            None => return Err(Stop::More),
        }
    }
}

/// The byte behind the dollar-quoted string at `at`; `None` when there is none.
fn dollar_end(bytes: &[u8], at: usize, whole: bool) -> Result<Option<usize>, Stop> {
    let tag = bytes[at + 1..].iter().position(|b| !is_word(*b) || *b == b'$');
    let Some(tag) = tag else { return if whole { Ok(None) } else { Err(Stop::More) } };
    let open = at + 1 + tag;
    if bytes[open] != b'$' || bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
        return Ok(None);
    }
    let quote = &bytes[at..=open];
    let end = memmem::find(&bytes[open + 1..], quote).ok_or(Stop::More)?;
    Ok(Some(open + 1 + end + quote.len()))
}

/// What of a statement has been seen that keeps a delimiter from ending it.
#[derive(Default)]
struct Body {
    words: usize,
    creates: bool,
    /// The last word was TEMP.
    temporary: bool,
    kind: Kind,
    brackets: usize,
    /// Open BEGIN and CASE of a body.
    depth: usize,
    trigger: Trigger,
}

/// What a statement creates that may hold statements.
#[derive(Default, PartialEq)]
enum Kind {
    #[default]
    Plain,
    /// PostgreSQL: a function, whose body may be SQL itself.
    Function,
    /// SQLite: a trigger.
    Trigger,
}

/// How far a SQLite trigger is from its end: `; END ;` ends it.
#[derive(Default, PartialEq)]
enum Trigger {
    #[default]
    Inside,
    Semicolon,
    End,
}

impl Body {
    fn may_end(&self) -> bool {
        self.brackets == 0
            && self.depth == 0
            && (self.kind != Kind::Trigger || self.trigger == Trigger::End)
    }

    fn saw(&mut self, token: &Token<'_>, dialect: Dialect) {
        self.words += 1;
        let Token::Word(_) = token else {
            match (token, dialect) {
                (Token::Mark(b'('), Dialect::Postgres { .. }) => self.brackets += 1,
                (Token::Mark(b')'), Dialect::Postgres { .. }) => {
                    self.brackets = self.brackets.saturating_sub(1);
                }
                _ => {}
            }
            self.trigger = match token {
                Token::Mark(b';') => Trigger::Semicolon,
                _ => Trigger::Inside,
            };
            return;
        };
        match self.words {
            1 => self.creates = token.is("CREATE"),
            2..=4 if self.creates => match dialect {
                Dialect::Postgres { .. } if token.is("FUNCTION") || token.is("PROCEDURE") => {
                    self.kind = Kind::Function;
                }
                Dialect::Sqlite if token.is("TRIGGER") && (self.words == 2 || self.temporary) => {
                    self.kind = Kind::Trigger;
                }
                _ => self.temporary = token.is("TEMP") || token.is("TEMPORARY"),
            },
            _ => {}
        }
        if self.kind == Kind::Function {
            if token.is("BEGIN") || (token.is("CASE") && self.depth > 0) {
                self.depth += 1;
            } else if token.is("END") {
                self.depth = self.depth.saturating_sub(1);
            }
        }
        let ends = self.trigger == Trigger::Semicolon && token.is("END");
        self.trigger = if ends { Trigger::End } else { Trigger::Inside };
    }
}
