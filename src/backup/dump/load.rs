//! The `LOAD DATA` statement that says what the rows of a file are.
//!
//! Source: MySQL "LOAD DATA Statement". Statements that compute values are refused.

use crate::backup::dump::lex::{Token, Tokens};
use crate::backup::dump::literal::{Marked, unescape};
use crate::backup::dump::outfile::{Layout, Packed};
use crate::backup::text::window::Stop;

/// A `LOAD DATA` statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// The file as it is named.
    pub(super) file: Vec<u8>,
    /// The table.
    pub(super) path: Vec<Vec<u8>>,
    /// The character set that it names.
    pub(super) charset: Option<String>,
    /// What its rows are.
    pub(super) layout: Layout,
}

/// Reads what stands behind the word LOAD.
///
/// ```text
/// DATA [LOCAL] INFILE 'f' [REPLACE|IGNORE] INTO TABLE t [CHARACTER SET c]
///   [FIELDS [TERMINATED BY s] [[OPTIONALLY] ENCLOSED BY s] [ESCAPED BY s]]
///   [LINES [STARTING BY ''] [TERMINATED BY s]] [(a,@b,..)] [SET b = UNHEX(@b), ..]
/// ```
pub(super) fn load(mut tokens: Tokens<'_>) -> Result<Load, Stop> {
    let mut load = Load::default();
    let strange =
        |tokens: &Tokens<'_>| Stop::Bad(tokens.at(), "a LOAD DATA of another kind".into());
    let need = |tokens: &mut Tokens<'_>, word: &str| match tokens.take(word) {
        Ok(true) => Ok(()),
        Ok(false) => Err(strange(tokens)),
        Err(stop) => Err(stop),
    };
    need(&mut tokens, "DATA")?;
    tokens.take("LOCAL")?;
    need(&mut tokens, "INFILE")?;
    load.file = string(&mut tokens)?;
    if !tokens.take("REPLACE")? {
        tokens.take("IGNORE")?;
    }
    need(&mut tokens, "INTO")?;
    need(&mut tokens, "TABLE")?;
    load.path = tokens.path()?;
    if tokens.take("CHARACTER")? {
        need(&mut tokens, "SET")?;
        let name = tokens.next()?.and_then(Token::name).ok_or_else(|| strange(&tokens))?;
        load.charset = Some(String::from_utf8_lossy(&name).into_owned());
    }
    let format = &mut load.layout.format;
    let one = |text: &[u8], tokens: &Tokens<'_>| match text {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(strange(tokens)),
    };
    if tokens.take("FIELDS")? || tokens.take("COLUMNS")? {
        loop {
            if tokens.take("TERMINATED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.field = one(&text, &tokens)?.ok_or_else(|| strange(&tokens))?;
            } else if tokens.take("ENCLOSED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.quote = one(&text, &tokens)?;
            } else if tokens.take("ESCAPED")? {
                need(&mut tokens, "BY")?;
                let text = string(&mut tokens)?;
                format.escape = one(&text, &tokens)?;
            } else if !tokens.take("OPTIONALLY")? {
                break;
            }
        }
    }
    if tokens.take("LINES")? {
        loop {
            if tokens.take("STARTING")? {
                need(&mut tokens, "BY")?;
                if !string(&mut tokens)?.is_empty() {
                    return Err(strange(&tokens));
                }
            } else if tokens.take("TERMINATED")? {
                need(&mut tokens, "BY")?;
                format.line = string(&mut tokens)?;
            } else {
                break;
            }
        }
    }
    if !format.is_known() {
        return Err(strange(&tokens));
    }
    if tokens.mark(b'(')? {
        let mut columns = Vec::new();
        loop {
            columns.push(variable(&mut tokens)?);
            if !tokens.mark(b',')? {
                break;
            }
        }
        if !tokens.mark(b')')? {
            return Err(strange(&tokens));
        }
        load.layout.packed = vec![Packed::No; columns.len()];
        load.layout.columns = Some(columns);
    }
    if tokens.take("SET")? {
        loop {
            let (column, packed) = assignment(&mut tokens)?;
            let columns = load.layout.columns.as_deref().unwrap_or_default();
            let place = columns.iter().position(|name| *name == column);
            load.layout.packed[place.ok_or_else(|| strange(&tokens))?] = packed;
            if !tokens.mark(b',')? {
                break;
            }
        }
    }
    if tokens.next()?.is_some() { Err(strange(&tokens)) } else { Ok(load) }
}

/// `name = @name`, `name = UNHEX(@name)`, ..
fn assignment(tokens: &mut Tokens<'_>) -> Result<(Vec<u8>, Packed), Stop> {
    let strange =
        |tokens: &Tokens<'_>| Stop::Bad(tokens.at(), "a LOAD DATA that computes its values".into());
    let column = variable(tokens)?;
    if !tokens.mark(b'=')? {
        return Err(strange(tokens));
    }
    let packed = if tokens.take("UNHEX")? {
        Packed::Hex
    } else if tokens.take("FROM_BASE64")? {
        Packed::Base64
    } else if tokens.take("CONVERT")? {
        Packed::No
    } else {
        return if variable(tokens)? == column {
            Ok((column, Packed::No))
        } else {
            Err(strange(tokens))
        };
    };
    if !tokens.mark(b'(')? || variable(tokens)? != column {
        return Err(strange(tokens));
    }
    if tokens.take("USING")? {
        tokens.next()?;
    }
    if tokens.mark(b')')? { Ok((column, packed)) } else { Err(strange(tokens)) }
}

/// A column's name, or a variable of that name.
fn variable(tokens: &mut Tokens<'_>) -> Result<Vec<u8>, Stop> {
    let at = tokens.at();
    let name = match tokens.next()? {
        Some(Token::Word(b"@")) => tokens.next()?.and_then(Token::name).map(|n| n.into_owned()),
        Some(Token::Word(word)) => Some(word.strip_prefix(b"@").unwrap_or(word).to_vec()),
        Some(token) => token.name().map(|name| name.into_owned()),
        None => None,
    };
    name.ok_or_else(|| Stop::Bad(at, "no column name where one belongs".into()))
}

/// A string, its escapes undone.
fn string(tokens: &mut Tokens<'_>) -> Result<Vec<u8>, Stop> {
    let at = tokens.at();
    match tokens.next()? {
        Some(Token::Text(text)) => {
            let mut out = Vec::new();
            // Doubled quotes are undone already.
            unescape(&text, b'\\', Marked::Mysql, &mut out).map_err(|e| Stop::Bad(at, e))?;
            Ok(out)
        }
        _ => Stop::bad(at, "no string where one belongs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::dump::lex::Dialect;
    use crate::backup::dump::outfile::Format;

    #[test]
    fn load_data_says_what_the_rows_are() {
        let dialect = Dialect::Mysql { escapes: true, ansi_quotes: false };
        let text = br#"DATA LOCAL INFILE 'a.t.0.dat' REPLACE INTO TABLE `t` CHARACTER SET binary
            FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '\\' LINES STARTING BY ''
            TERMINATED BY '\n' (`a`,@`b`) SET `b` = UNHEX(@`b`)"#;
        let found = load(Tokens::new(text, true, dialect)).unwrap();
        assert_eq!((found.file.as_slice(), found.path), (&b"a.t.0.dat"[..], vec![b"t".to_vec()]));
        assert_eq!(found.charset.as_deref(), Some("binary"));
        let format = Format { field: b',', quote: Some(b'"'), ..Format::default() };
        assert_eq!(found.layout.format, format);
        assert_eq!(found.layout.columns.unwrap(), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(found.layout.packed, [Packed::No, Packed::Hex]);
        for computed in ["(a) SET a = now()", "(a) SET b = 1", "PARTITION (p)", "IGNORE 1 LINES"] {
            let text = format!("DATA INFILE 'f' INTO TABLE t {computed}");
            assert!(load(Tokens::new(text.as_bytes(), true, dialect)).is_err(), "{computed}");
        }
    }
}
