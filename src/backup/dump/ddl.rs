//! The columns of a `CREATE TABLE`, as the dumping tools print it.
//!
//! Only names, types, character sets and what is generated are read; the rest of the
//! statement is passed over by its brackets and quotes. A full parser is no help here: a clause that
//! it does not know yet would make a good dump unreadable.

use crate::backup::dump::lex::{Dialect, Token, Tokens};
use crate::backup::text::stage::MAX_COLUMNS;
use crate::backup::text::window::Stop;

/// A table as its statement declares it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Declared {
    /// The name with its qualifiers, the last part last.
    pub(super) path: Vec<Vec<u8>>,
    /// Its own columns.
    pub(super) columns: Vec<DeclaredColumn>,
    /// The tables that it has columns of too (PostgreSQL's INHERITS and LIKE-less PARTITION OF).
    pub(super) parents: Vec<Vec<Vec<u8>>>,
    /// It is a partition of its parent: its rows are its parent's.
    pub(super) partition: bool,
    /// The character set of text columns that name none.
    pub(super) charset: Option<String>,
}

/// A column of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DeclaredColumn {
    /// Its name.
    pub(super) name: Vec<u8>,
    /// Its type as it is written; empty when there is none.
    pub(super) declared: String,
    /// Its values are computed, so they are not in the dump.
    pub(super) generated: bool,
    /// The character set of its text.
    pub(super) charset: Option<String>,
}

/// Reads a statement; `None` when it creates no table.
pub(super) fn create_table(statement: &[u8], dialect: Dialect) -> Result<Option<Declared>, Stop> {
    let mut tokens = Tokens::new(statement, true, dialect);
    if !tokens.take("CREATE")? {
        return Ok(None);
    }
    for word in ["GLOBAL", "LOCAL", "TEMPORARY", "TEMP", "UNLOGGED", "FOREIGN"] {
        tokens.take(word)?;
    }
    if !tokens.take("TABLE")? {
        return Ok(None);
    }
    if tokens.take("IF")? {
        tokens.take("NOT")?;
        tokens.take("EXISTS")?;
    }
    let mut table = Declared { path: tokens.path()?, ..Declared::default() };
    if tokens.take("PARTITION")? && tokens.take("OF")? {
        table.partition = true;
        table.parents.push(tokens.path()?);
        return Ok(Some(table));
    }
    if !tokens.mark(b'(')? {
        return Ok(Some(table));
    }
    if tokens.mark(b')')? {
        return options(tokens, table).map(Some);
    }
    loop {
        let closed = item(statement, &mut tokens, dialect, &mut table)?;
        if closed {
            return options(tokens, table).map(Some);
        }
    }
}

/// Reads one item of the list; true when it was the last.
fn item(
    statement: &[u8],
    tokens: &mut Tokens<'_>,
    dialect: Dialect,
    table: &mut Declared,
) -> Result<bool, Stop> {
    let Some(first) = tokens.next()? else {
        return Stop::bad(tokens.at(), "a list of columns without an end");
    };
    let column = match &first {
        Token::Word(word) if is_constraint(word, dialect) => None,
        Token::Text(name) if dialect == Dialect::Sqlite => Some(name.to_vec()),
        _ => Some(match first.name() {
            Some(name) => name.into_owned(),
            None => return Stop::bad(tokens.at(), "no column where one belongs"),
        }),
    };
    let mut column = column.map(|name| DeclaredColumn {
        name,
        declared: String::new(),
        generated: false,
        charset: None,
    });
    let begin = tokens.at();
    let (mut end, mut in_type, mut depth) = (begin, true, 0_usize);
    let mut last_as = false;
    loop {
        let before = tokens.at();
        let Some(token) = tokens.next()? else {
            return Stop::bad(tokens.at(), "a list of columns without an end");
        };
        let closes = match &token {
            Token::Mark(b'[') => {
                depth += 1;
                None
            }
            Token::Mark(b'(') => {
                if last_as && let Some(column) = &mut column {
                    column.generated = true;
                }
                depth += 1;
                None
            }
            Token::Mark(b')') if depth == 0 => Some(true),
            Token::Mark(b',') if depth == 0 => Some(false),
            Token::Mark(b')' | b']') => {
                depth = depth.saturating_sub(1);
                None
            }
            _ => None,
        };
        last_as = depth == 0 && token.is("AS");
        let stops = depth == 0 && stops_type(&token, tokens, dialect)?;
        if in_type && (closes.is_some() || stops) {
            in_type = false;
            end = before;
        }
        if depth == 0
            && let Some(column) = &mut column
        {
            charset(&token, tokens, dialect, &mut column.charset)?;
        }
        if let Some(last) = closes {
            if let Some(mut column) = column {
                let text = String::from_utf8_lossy(&statement[begin..end]);
                column.declared = text.split_whitespace().collect::<Vec<_>>().join(" ");
                if table.columns.len() == MAX_COLUMNS {
                    let what = format!("a table of more than {MAX_COLUMNS} columns");
                    return Stop::bad(begin, what);
                }
                table.columns.push(column);
            }
            return Ok(last);
        }
    }
}

/// True for a word that begins a constraint or an index rather than a column.
fn is_constraint(word: &[u8], dialect: Dialect) -> bool {
    let words: &[&str] = match dialect {
        Dialect::Sqlite => &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"],
        Dialect::Postgres { .. } | Dialect::Duckdb => {
            &["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "LIKE"]
        }
        Dialect::Mysql { .. } => &[
            "CONSTRAINT",
            "PRIMARY",
            "UNIQUE",
            "CHECK",
            "FOREIGN",
            "KEY",
            "INDEX",
            "FULLTEXT",
            "SPATIAL",
            "PERIOD",
            "VECTOR",
        ],
    };
    words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// True for a word behind which no part of the type comes.
fn stops_type(token: &Token<'_>, tokens: &Tokens<'_>, dialect: Dialect) -> Result<bool, Stop> {
    const WORDS: &[&str] = &[
        "NOT",
        "NULL",
        "DEFAULT",
        "COLLATE",
        "GENERATED",
        "AUTO_INCREMENT",
        "AUTOINCREMENT",
        "PRIMARY",
        "UNIQUE",
        "REFERENCES",
        "CHECK",
        "COMMENT",
        "CONSTRAINT",
        "ON",
        "AS",
        "VIRTUAL",
        "STORED",
        "PERSISTENT",
        "INVISIBLE",
        "VISIBLE",
        "CHARSET",
        "STORAGE",
        "COMPRESSION",
        "COMPRESSED",
        "OPTIONS",
        "SRID",
    ];
    if WORDS.iter().any(|word| token.is(word)) {
        return Ok(true);
    }
    let mysql = matches!(dialect, Dialect::Mysql { .. });
    Ok(mysql && token.is("CHARACTER") && tokens.peek()?.is_some_and(|next| next.is("SET")))
}

/// Takes a character set from `CHARACTER SET x`, `CHARSET=x` or `COLLATE x_y`.
fn charset(
    token: &Token<'_>,
    tokens: &Tokens<'_>,
    dialect: Dialect,
    found: &mut Option<String>,
) -> Result<(), Stop> {
    if !matches!(dialect, Dialect::Mysql { .. }) {
        return Ok(());
    }
    let mut ahead = tokens.clone();
    let named = token.is("CHARSET") || (token.is("CHARACTER") && ahead.take("SET")?);
    let collated = token.is("COLLATE") && found.is_none();
    if !named && !collated {
        return Ok(());
    }
    ahead.mark(b'=')?;
    let Some(name) = ahead.next()?.and_then(Token::name) else { return Ok(()) };
    let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
    *found = Some(if named { name } else { name.split('_').next().unwrap_or("").to_owned() });
    Ok(())
}

/// Reads what follows the list.
fn options(mut tokens: Tokens<'_>, mut table: Declared) -> Result<Declared, Stop> {
    let dialect = tokens.dialect();
    while let Some(token) = tokens.next()? {
        if token.is("INHERITS") && tokens.mark(b'(')? {
            loop {
                table.parents.push(tokens.path()?);
                if !tokens.mark(b',')? {
                    break;
                }
            }
        }
        charset(&token, &tokens, dialect, &mut table.charset)?;
    }
    Ok(table)
}

/// The partition that an `ALTER TABLE .. ATTACH PARTITION ..` attaches: parent and child.
#[allow(clippy::type_complexity, reason = "two paths of names")]
pub(super) fn attached(
    statement: &[u8],
    dialect: Dialect,
) -> Result<Option<(Vec<Vec<u8>>, Vec<Vec<u8>>)>, Stop> {
    let mut tokens = Tokens::new(statement, true, dialect);
    if !tokens.take("ALTER")? || !tokens.take("TABLE")? {
        return Ok(None);
    }
    tokens.take("ONLY")?;
    let parent = tokens.path()?;
    if !tokens.take("ATTACH")? || !tokens.take("PARTITION")? {
        return Ok(None);
    }
    Ok(Some((parent, tokens.path()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Dialect = Dialect::Mysql { escapes: true, ansi_quotes: false };
    const POSTGRES: Dialect = Dialect::Postgres { escapes: false };

    fn columns(statement: &str, dialect: Dialect) -> Vec<(String, String, bool)> {
        let table = create_table(statement.as_bytes(), dialect).unwrap().unwrap();
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        table.columns.iter().map(|c| (text(&c.name), c.declared.clone(), c.generated)).collect()
    }

    fn told(columns: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
        columns.iter().map(|(a, b, c)| ((*a).into(), (*b).into(), *c)).collect()
    }

    #[test]
    fn mysqls_tables_are_read() {
        let statement = "CREATE TABLE `t` (
            `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
            `key` varchar(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'a,b)',
            `e` enum('a','b,''c') /*!80023 INVISIBLE */ COMMENT 'x',
            `g` int(11) GENERATED ALWAYS AS (`id` * 2) VIRTUAL,
            `c` character varying(3) NOT NULL DEFAULT (concat('a','b')),
            PRIMARY KEY (`id`), KEY `k` (`key`(10)), CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `p` (`id`)
            ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci
            /*!50100 PARTITION BY HASH (id) PARTITIONS 4 */;";
        assert_eq!(
            columns(statement, MYSQL),
            told(&[
                ("id", "bigint(20) unsigned", false),
                ("key", "varchar(20)", false),
                ("e", "enum('a','b,''c')", false),
                ("g", "int(11)", true),
                ("c", "character varying(3)", false),
            ])
        );
        let table = create_table(statement.as_bytes(), MYSQL).unwrap().unwrap();
        assert_eq!(table.charset.as_deref(), Some("utf8mb4"));
        assert_eq!(table.columns[1].charset.as_deref(), Some("latin1"));
    }

    #[test]
    fn pg_dumps_tables_are_read() {
        let statement = "CREATE TABLE public.\"T t\" (
            id integer DEFAULT nextval('public.s'::regclass) NOT NULL,
            key character varying(10)[] DEFAULT ARRAY['a'::text, 'b'::text],
            at timestamp(3) without time zone,
            n numeric(10,2) GENERATED ALWAYS AS ((id)::numeric) STORED,
            CONSTRAINT c CHECK ((id > 0))
            ) INHERITS (public.p, other.q);";
        assert_eq!(
            columns(statement, POSTGRES),
            told(&[
                ("id", "integer", false),
                ("key", "character varying(10)[]", false),
                ("at", "timestamp(3) without time zone", false),
                ("n", "numeric(10,2)", true),
            ])
        );
        let table = create_table(statement.as_bytes(), POSTGRES).unwrap().unwrap();
        assert_eq!(table.path, [b"public".to_vec(), b"T t".to_vec()]);
        assert_eq!(table.parents.len(), 2);
        let attach = b"ALTER TABLE ONLY public.m ATTACH PARTITION public.m1 DEFAULT;";
        let (parent, child) = attached(attach, POSTGRES).unwrap().unwrap();
        assert_eq!((parent[1].as_slice(), child[1].as_slice()), (&b"m"[..], &b"m1"[..]));
    }

    #[test]
    fn sqlites_tables_are_read() {
        assert_eq!(
            columns(
                "CREATE TABLE [a b](id INTEGER PRIMARY KEY, \"x\", 'y' TEXT, `z` as (id))",
                Dialect::Sqlite
            ),
            told(&[
                ("id", "INTEGER", false),
                ("x", "", false),
                ("y", "TEXT", false),
                ("z", "", true)
            ])
        );
        assert_eq!(create_table(b"CREATE VIEW v AS SELECT 1", Dialect::Sqlite).unwrap(), None);
        let shadow = b"CREATE TABLE IF NOT EXISTS 'ft_data'(id INTEGER PRIMARY KEY, block BLOB);";
        let shadow = create_table(shadow, Dialect::Sqlite).unwrap().unwrap();
        assert_eq!(shadow.path, [b"ft_data".to_vec()]);
    }
}
