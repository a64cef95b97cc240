//! The prompt of `sql`: statements and a few commands, asked for until Ctrl-D.

use std::collections::BTreeSet;
use std::io::Write;

use crate::cli::interrupt::Asking;
use crate::cli::sql::editor::{Editor, Typed};
use crate::cli::sql::{SqlArgs, statements};
use crate::cli::{Context, failure};
use crate::diff::sql::Sql;
use crate::error::{Error, Kind, Result};
use crate::model::side::Which;
use crate::model::table::TableName;
use crate::mount::{Mount, no_table};
use crate::report::describe;

/// What `\?` shows.
const HELP: &str = "\
select .. ;    a query over live.TABLE, backup.TABLE and diff('TABLE')
\\dt            the tables of both sides
\\d TABLE       a table's columns, keys and references
\\?             this help
\\q             leave, as Ctrl-D does
Ctrl-C drops what stands on the line, or ends the query that runs.";

/// What a line at the prompt means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input<'a> {
    /// Nothing.
    Blank,
    /// A statement that has no end yet.
    Unfinished,
    /// Statements up to a semicolon.
    Statements(&'a str),
    /// List the tables.
    Tables,
    /// Describe a table.
    Table(&'a str),
    /// Tell what can be typed.
    Help,
    /// Leave.
    Quit,
    /// A command that there is not.
    Unknown(&'a str),
}

impl<'a> Input<'a> {
    /// Reads what was typed. A command takes one line; a semicolon after it is forgiven.
    pub(super) fn read(text: &'a str) -> Self {
        let text = text.trim();
        let bare = text.trim_end_matches(';').trim_end();
        match bare {
            "" if text.is_empty() => Self::Blank,
            "exit" | "quit" | ".exit" | ".quit" | "\\q" => Self::Quit,
            "help" | "?" | "\\?" | "\\h" => Self::Help,
            "\\dt" | "\\d" | ".tables" => Self::Tables,
            _ if bare.starts_with('\\') => match bare.split_once(char::is_whitespace) {
                Some(("\\d" | "\\dt", table)) => Self::Table(table.trim()),
                _ => Self::Unknown(bare),
            },
            _ if Sql::is_complete(text) => Self::Statements(text),
            _ => Self::Unfinished,
        }
    }
}

/// Reads statements and runs them; an error is told and the next one is asked for.
pub(super) async fn prompt(
    context: &Context,
    args: &SqlArgs,
    mount: &Mount,
    session: &Sql,
    out: &mut Box<dyn Write + Send>,
) -> Result<()> {
    let asking = Asking::begin();
    let history = context.state().and_then(|state| state.history());
    if let Err(e) = &history {
        context.terminal.warn(&format!("what is typed is not kept: {e}"));
    }
    let mut editor = Editor::open(names(mount).await?, history.ok())?;
    context.terminal.say(
        "live.<table>, backup.<table> and diff('<table>') are there to be read.\n\
         End a statement with a semicolon; \\? for help; leave with Ctrl-D.",
    );
    loop {
        // On a thread of its own, as it waits.
        let reading = tokio::task::spawn_blocking(move || {
            let typed = editor.read();
            (editor, typed)
        });
        let (back, typed) =
            reading.await.map_err(|e| Error::failed("no line could be read").because(e))?;
        editor = back;
        let text = match typed? {
            Typed::Text(text) => text,
            Typed::Dropped => continue,
            Typed::End => return Ok(()),
        };
        let input = Input::read(&text);
        if input == Input::Quit {
            return Ok(());
        }
        let mut interrupt = asking.listen()?;
        let done = tokio::select! {
            biased;
            done = answer(context, args, mount, session, out, input) => done,
            _ = interrupt.recv() => Err(Error::new(Kind::Interrupted, "the query was ended")),
        };
        if let Err(e) = done.and_then(|()| Ok(out.flush()?)) {
            if failure::is_broken_pipe(&e) {
                return Err(e);
            }
            context.terminal.line(failure::lines(&e, context.terminal.err).trim_end());
        }
    }
}

async fn answer(
    context: &Context,
    args: &SqlArgs,
    mount: &Mount,
    session: &Sql,
    out: &mut Box<dyn Write + Send>,
    input: Input<'_>,
) -> Result<()> {
    match input {
        Input::Blank | Input::Quit => Ok(()),
        // Without its semicolon only when the editor could not wait for it.
        Input::Unfinished => {
            Err(Error::usage("the statement has no end").hint("end it with a semicolon"))
        }
        Input::Statements(text) => statements(context, args, session, text, out).await,
        Input::Tables => {
            let backup = mount.tables(Which::Backup);
            describe::tables(out, context.terminal.out, mount.tables(Which::Live), backup)
        }
        Input::Table(name) => {
            let mut found = false;
            for which in [Which::Live, Which::Backup] {
                let Some(table) = mount.find(which, name.trim_matches('"')) else { continue };
                let schema = mount.schema(which, table).await?;
                describe::table(out, context.terminal.out, which, &schema)?;
                found = true;
            }
            match found {
                true => Ok(()),
                false => Err(no_table(Which::Live, mount.tables(Which::Live), name)),
            }
        }
        Input::Help => Ok(writeln!(out, "{HELP}")?),
        Input::Unknown(command) => {
            Err(Error::usage(format!("there is no command {command}")).hint("\\? lists them"))
        }
    }
}

/// What the editor completes: tables by their side, columns, commands.
async fn names(mount: &Mount) -> Result<Vec<String>> {
    let mut names: BTreeSet<String> = ["\\d", "\\dt", "\\?", "\\q"].map(str::to_owned).into();
    for which in [Which::Live, Which::Backup] {
        for table in mount.tables(which) {
            names.insert(format!("{which}.{}", quoted(table)));
            let columns = &mount.schema(which, table).await?.columns;
            names.extend(columns.iter().map(|c| c.name.clone()));
        }
    }
    Ok(names.into_iter().collect())
}

fn quoted(table: &TableName) -> String {
    let plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    match plain(&table.name) {
        true => table.name.clone(),
        false => format!("\"{}\"", table.name.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_statement_up_to_its_semicolon_or_a_command() {
        use Input::*;
        let cases = [
            ("  \n", Blank),
            ("select 1", Unfinished),
            ("select ';", Unfinished),
            ("select 1 -- not here;", Unfinished),
            ("select 1 /* ; */", Unfinished),
            ("select ';'\n;", Statements("select ';'\n;")),
            ("select 1; -- done", Statements("select 1; -- done")),
            ("select 1; select 2", Unfinished),
            ("\\dt", Tables),
            ("\\d;", Tables),
            ("\\d  My Table ;", Table("My Table")),
            ("\\?", Help),
            ("help", Help),
            ("quit;", Quit),
            ("\\q", Quit),
            ("\\copy x", Unknown("\\copy x")),
            (";", Statements(";")),
        ];
        for (text, expected) in cases {
            assert_eq!(Input::read(text), expected, "{text:?}");
        }
    }
}
