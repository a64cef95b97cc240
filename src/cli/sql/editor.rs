//! The line editor of the prompt: whole statements, their history, names to complete.

use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::config::{Behavior, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Context};

use crate::cli::sql::prompt::Input;
use crate::error::{Error, Result};

/// Statements that the history keeps.
const KEPT: usize = 1000;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A statement, or a command of the prompt.
    Text(String),
    /// Ctrl-C: what stood there is dropped.
    Dropped,
    /// Ctrl-D.
    End,
}

/// Reads statements on the terminal.
pub(super) struct Editor {
    inner: rustyline::Editor<Names, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor that completes `names` and keeps what is typed in `history`, 0600.
    pub(super) fn open(names: Vec<String>, history: Option<PathBuf>) -> Result<Self> {
        let config = Config::builder()
            .behavior(Behavior::PreferTerm)
            .completion_type(CompletionType::List)
            .max_history_size(KEPT)
            .map_err(unreadable)?
            .build();
        let mut inner = rustyline::Editor::with_config(config).map_err(unreadable)?;
        inner.set_helper(Some(Names(names)));
        if let Some(history) = &history {
            // The first time there is none; one that can't be read is not worth an error.
            let _ = inner.load_history(history);
        }
        Ok(Self { inner, history })
    }

    /// Asks for one statement, over as many lines as it takes.
    pub(super) fn read(&mut self) -> Result<Typed> {
        match self.inner.readline("sql> ") {
            Ok(text) => {
                self.keep(text.trim());
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Dropped),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(e) => Err(unreadable(e)),
        }
    }

    /// Adds to the history, at once, as a prompt may end in many ways.
    fn keep(&mut self, text: &str) {
        let added = !text.is_empty() && self.inner.add_history_entry(text).unwrap_or(false);
        if let Some(history) = self.history.as_ref().filter(|_| added) {
            // A history that can't be kept is no reason to refuse a statement.
            let _ = self.inner.append_history(history);
        }
    }
}

fn unreadable(e: ReadlineError) -> Error {
    Error::failed("no line could be read").because(e)
}

/// The names of tables and columns, sorted.
struct Names(Vec<String>);

impl rustyline::Helper for Names {}
impl Highlighter for Names {}
impl Hinter for Names {
    type Hint = String;
}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match Input::read(context.input()) {
            Input::Unfinished => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Names {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\');
        let start = typed.trim_end_matches(in_name).len();
        let begun = &typed[start..];
        let begins = |name: &&String| {
            !begun.is_empty()
                && name.get(..begun.len()).is_some_and(|head| head.eq_ignore_ascii_case(begun))
        };
        Ok((start, self.0.iter().filter(begins).cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    #[test]
    fn names_are_completed_in_the_middle_of_a_statement() {
        let names = ["backup.events", "live.events", "live.event_kinds", "\\dt"];
        let names = Names(names.map(str::to_owned).to_vec());
        let history = DefaultHistory::new();
        let complete = |line: &str| names.complete(line, line.len(), &Context::new(&history));
        let (start, found) = complete("select * from LIVE.ev").unwrap();
        assert_eq!((start, found), (14, vec!["live.events".into(), "live.event_kinds".into()]));
        assert_eq!(complete("\\d").unwrap(), (0, vec!["\\dt".to_owned()]));
        assert_eq!(complete("select ").unwrap().1, Vec::<String>::new());
    }
}
