//! The `COPY` statements of `load.sql`: which file has the rows of a table, and how they are
//! written.
//!
//! ```text
//! COPY "s"."t" FROM 'file' (FORMAT 'csv', force_not_null ('a', 'b'), quote '"', header 1, ..);
//! ```
//!
//! The options are those that EXPORT DATABASE was given. One that is not understood is an error:
//! it may have changed how a value is written.

use crate::backup::dump::duckdb::Format;
use crate::backup::dump::lex::{Token, Tokens};
use crate::backup::text::Compression;
use crate::backup::text::window::Stop;
use crate::error::{Error, Result};

/// The most bytes of a delimiter, as DuckDB has it.
const MOST_DELIMITER: usize = 4;

/// A statement as it stands there.
#[derive(Debug, Default)]
pub(super) struct Statement {
    path: Vec<Vec<u8>>,
    columns: Option<Vec<Vec<u8>>>,
    file: Vec<u8>,
    /// The options, their names in small letters, each with its values.
    options: Vec<(String, Vec<Vec<u8>>)>,
}

/// What a statement means.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// The table.
    pub(super) path: Vec<Vec<u8>>,
    /// The columns, where it lists them.
    pub(super) columns: Option<Vec<Vec<u8>>>,
    /// The file, right in the folder.
    pub(super) file: String,
    /// What the file is.
    pub(super) format: Format,
    /// How the file is compressed; `None`: as its name says.
    pub(super) packed: Option<Compression>,
    /// CSV: how its rows are written.
    pub(super) csv: Csv,
}

/// How rows are written as CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Csv {
    /// The first row are the names.
    pub(super) header: bool,
    /// What stands between two fields.
    pub(super) delimiter: Vec<u8>,
    /// What encloses a field.
    pub(super) quote: u8,
    /// What stands, in a field with quotes, before a quote or itself.
    pub(super) escape: u8,
    /// What NULL is written as, without quotes.
    pub(super) null: Vec<u8>,
    /// What ends a row.
    pub(super) line: Vec<u8>,
    /// The columns that are never NULL.
    pub(super) not_null: Vec<Vec<u8>>,
}

/// Reads what stands behind the word COPY.
pub(super) fn statement(mut tokens: Tokens<'_>) -> Result<Statement, Stop> {
    let path = tokens.path()?;
    let mut statement = Statement { path, columns: tokens.names()?, ..Statement::default() };
    if !tokens.take("FROM")? {
        return Stop::bad(tokens.at(), "a COPY that is not FROM a file");
    }
    match tokens.next()? {
        Some(Token::Text(file)) => statement.file = file.into_owned(),
        _ => return Stop::bad(tokens.at(), "a COPY that is not FROM a file"),
    }
    if tokens.mark(b'(')? {
        loop {
            let Some(name) = tokens.next()?.and_then(Token::name) else {
                return Stop::bad(tokens.at(), "no option where one belongs");
            };
            let name = String::from_utf8_lossy(&name).to_ascii_lowercase();
            let (values, last) = values(&mut tokens)?;
            statement.options.push((name, values));
            if last {
                break;
            }
        }
    }
    if !tokens.mark(b';')? || tokens.next()?.is_some() {
        return Stop::bad(tokens.at(), "a COPY of another kind");
    }
    Ok(statement)
}

/// The words and strings of an option, and whether it was the last.
fn values(tokens: &mut Tokens<'_>) -> Result<(Vec<Vec<u8>>, bool), Stop> {
    let (mut values, mut depth) = (Vec::new(), 0_usize);
    loop {
        match tokens.next()? {
            Some(Token::Mark(b',')) if depth == 0 => return Ok((values, false)),
            Some(Token::Mark(b')')) if depth == 0 => return Ok((values, true)),
            Some(Token::Mark(b'(' | b'[' | b'{')) => depth += 1,
            Some(Token::Mark(b')' | b']' | b'}')) => depth = depth.saturating_sub(1),
            Some(Token::Mark(_)) => {}
            Some(Token::Word(word)) => values.push(word.to_vec()),
            Some(Token::Name(text) | Token::Text(text)) => values.push(text.into_owned()),
            None => return Stop::bad(tokens.at(), "options without an end"),
        }
    }
}

impl Copy {
    /// What a statement means; errors say where it `stands`.
    pub(super) fn of(statement: Statement, stands: &str) -> Result<Self> {
        let Statement { path, columns, file, options } = statement;
        let file = String::from_utf8_lossy(&file).into_owned();
        // Exports of old versions on Windows have backslashes.
        let name = file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        if matches!(name.as_str(), "" | "." | "..") {
            return Err(Error::refused(format!("{stands}: {file:?} names no file")));
        }
        let mut copy = Self {
            path,
            columns,
            file: name,
            format: Format::Csv,
            packed: None,
            csv: Csv::default(),
        };
        let format = options.iter().find(|(name, _)| name == "format").map(|(_, v)| v.as_slice());
        let text = |values: &[Vec<u8>]| match values {
            [one] => String::from_utf8_lossy(one).to_ascii_lowercase(),
            _ => String::new(),
        };
        copy.format = match format.map(text).as_deref() {
            // Parquet files say themselves what they are.
            Some("parquet") => return Ok(Self { format: Format::Parquet, ..copy }),
            Some("csv") => Format::Csv,
            Some("json") => Format::Json,
            format => return Err(unread(stands, format!("the format {format:?}"))),
        };
        let mut header = None;
        let mut escape = None;
        for (name, values) in &options {
            let refused = || {
                let shown: Vec<_> = values.iter().map(|v| String::from_utf8_lossy(v)).collect();
                unread(stands, format!("the option {name} {}", shown.join(", ")).trim_end())
            };
            let known = match (copy.format, name.as_str()) {
                (_, "format") => true,
                (_, "compression") => {
                    copy.packed = match text(values).as_str() {
                        "gzip" => Some(Compression::Gzip),
                        "zstd" => Some(Compression::Zstd),
                        "none" | "uncompressed" => Some(Compression::None),
                        "auto" | "auto_detect" => None,
                        _ => return Err(refused()),
                    };
                    true
                }
                (Format::Json, "array") => true,
                (Format::Csv, _) => copy.csv.option(name, values, &mut header, &mut escape),
                _ => false,
            };
            if !known {
                return Err(refused());
            }
        }
        if copy.format == Format::Csv {
            copy.csv.header = header.ok_or_else(|| unread(stands, "no option header"))?;
            copy.csv.escape = escape.unwrap_or(copy.csv.quote);
            if !copy.csv.is_known() {
                return Err(unread(
                    stands,
                    "a delimiter, a quote and an escape that can't be told apart",
                ));
            }
        }
        Ok(copy)
    }
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: b",".to_vec(),
            quote: b'"',
            escape: b'"',
            null: Vec::new(),
            line: b"\n".to_vec(),
            not_null: Vec::new(),
        }
    }
}

impl Csv {
    /// Takes an option; false when it is not understood.
    fn option(
        &mut self,
        name: &str,
        values: &[Vec<u8>],
        header: &mut Option<bool>,
        escape: &mut Option<u8>,
    ) -> bool {
        match (name, values) {
            ("header", [value]) => {
                *header = truth(value);
                header.is_some()
            }
            ("delimiter" | "delim" | "sep", [value]) => {
                self.delimiter.clone_from(value);
                true
            }
            // Without a quote no text is told from NULL, nor one with a delimiter from two.
            ("quote", [value]) => one(value).map(|quote| self.quote = quote).is_some(),
            ("escape", [value]) => {
                *escape = one(value);
                escape.is_some()
            }
            ("null" | "nullstr", [value]) => {
                self.null.clone_from(value);
                true
            }
            ("new_line", [value]) => {
                self.line = match value.as_slice() {
                    b"\\n" | b"\n" => b"\n".to_vec(),
                    b"\\r\\n" | b"\r\n" => b"\r\n".to_vec(),
                    _ => return false,
                };
                true
            }
            ("force_not_null", names) => {
                self.not_null.extend_from_slice(names);
                true
            }
            // What is read of a field with quotes; a text like NULL is written so.
            ("allow_quoted_nulls", [_]) => true,
            ("encoding", [value]) => {
                value.eq_ignore_ascii_case(b"utf-8") || value.eq_ignore_ascii_case(b"utf8")
            }
            _ => false,
        }
    }

    /// True for rows that can be cut.
    fn is_known(&self) -> bool {
        let line = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let delimiter = &self.delimiter;
        (1..=MOST_DELIMITER).contains(&delimiter.len())
            && !delimiter
                .iter()
                .any(|byte| line(byte) || *byte == self.quote || *byte == self.escape)
            && !line(&self.quote)
            && !line(&self.escape)
            && !self.null.iter().any(|byte| line(byte) || *byte == self.quote)
            && memchr::memmem::find(&self.null, delimiter).is_none()
    }
}

fn one(value: &[u8]) -> Option<u8> {
    match value {
        [byte] => Some(*byte),
        _ => None,
    }
}

fn truth(value: &[u8]) -> Option<bool> {
    match value.to_ascii_lowercase().as_slice() {
        b"1" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

/// The error for rows that are not read.
fn unread(stands: &str, what: impl AsRef<str>) -> Error {
    let what = what.as_ref();
    Error::failed(format!("{stands}: rows are written with {what}, which is not understood"))
        .hint("export again as Parquet: EXPORT DATABASE '..' (FORMAT parquet)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::dump::lex::Dialect;
    use crate::error::Kind;

    fn copy(text: &str) -> Result<Copy> {
        let statement = statement(Tokens::new(text.as_bytes(), true, Dialect::Duckdb)).unwrap();
        Copy::of(statement, "load.sql line 1")
    }

    #[test]
    fn load_sql_says_how_rows_are_written() {
        let found = copy(
            r#""od d"."we""ird" FROM '/mnt/c d/we_ird.csv' (FORMAT 'csv', allow_quoted_nulls false,
            force_not_null ('id', 'a'), nullstr '\N', compression 'gzip', quote '''', escape '\',
            HEADER 'false', delim '||', new_line '\r\n');"#,
        )
        .unwrap();
        assert_eq!(found.path, [b"od d".to_vec(), b"we\"ird".to_vec()]);
        assert_eq!((found.file.as_str(), found.packed), ("we_ird.csv", Some(Compression::Gzip)));
        let csv = Csv {
            header: false,
            delimiter: b"||".to_vec(),
            quote: b'\'',
            escape: b'\\',
            null: b"\\N".to_vec(),
            line: b"\r\n".to_vec(),
            not_null: vec![b"id".to_vec(), b"a".to_vec()],
        };
        assert_eq!(found.csv, csv);
        let plain = copy("t FROM 't.csv' (FORMAT 'csv', quote '\"', delimiter ',', header 1);");
        assert_eq!(plain.unwrap().csv, Csv::default());
        let parquet =
            copy("t FROM 't' (FORMAT 'parquet', kv_metadata {'a': 'b,)'}, codec 'zstd');");
        assert_eq!(parquet.unwrap().format, Format::Parquet);
    }

    #[test]
    fn w10_the_last_part_of_a_path_is_the_file() {
        for (path, file) in
            [("/etc/passwd", "passwd"), ("../../x.csv", "x.csv"), ("C:\\out\\x.csv", "x.csv")]
        {
            let text = format!("t FROM '{path}' (FORMAT 'csv', header 1);");
            assert_eq!(copy(&text).unwrap().file, file);
        }
        for path in ["", "..", "a/..", "a/"] {
            let text = format!("t FROM '{path}' (FORMAT 'csv', header 1);");
            assert_eq!(copy(&text).unwrap_err().kind(), Kind::Refused, "{path}");
        }
    }

    #[test]
    fn options_that_are_not_understood_are_named() {
        for (options, named) in [
            ("FORMAT 'csv', header 1, dateformat '%d'", "dateformat %d"),
            ("FORMAT 'csv', header 1, timestampformat '%d'", "timestampformat"),
            ("FORMAT 'csv', header 1, quote ''", "quote"),
            ("FORMAT 'csv', header 1, PREFIX '['", "prefix"),
            ("FORMAT 'csv', header 1, compression 'lz4'", "compression lz4"),
            ("FORMAT 'csv', header 1, delimiter '\"'", "told apart"),
            ("FORMAT 'csv'", "no option header"),
            ("FORMAT 'json', dateformat '%d'", "dateformat"),
            ("FORMAT 'xlsx'", "xlsx"),
        ] {
            let error = copy(&format!("t FROM 't.csv' ({options});")).unwrap_err();
            assert_eq!(error.kind(), Kind::Failed);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
