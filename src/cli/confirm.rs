//! The question before a write: the name of the database, typed by the person who means it.

use inquire::InquireError;

use crate::cli::args::Writing;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::model::origin::Identity;
use crate::report::text::escape;

/// Refuses a database whose name is not the expected one.
pub fn expect_target(target: &Identity, expected: Option<&str>) -> Result<()> {
    match expected {
        Some(name) if name != target.database() => Err(Error::refused(format!(
            "the target is {}, not {name} as --expect-target says",
            target.database()
        ))),
        _ => Ok(()),
    }
}

/// Asks before `what` (`write 14 rows to`) is done to `target`, unless `--yes` was given.
/// True when the target was named: typed, or with `--expect-target`.
///
/// # Errors
/// `Usage` where no one can be asked, `Interrupted` when the question was left, `Failed`
/// when the name was another.
pub fn confirm(
    terminal: &Terminal,
    writing: &Writing,
    target: &Identity,
    what: &str,
    otherwise: &str,
) -> Result<bool> {
    expect_target(target, writing.expect_target.as_deref())?;
    if writing.yes {
        return Ok(writing.expect_target.is_some());
    }
    if !terminal.interactive {
        return Err(Error::usage(
            "writing wants a confirmation, and there is no terminal to ask on",
        )
        .hint(format!("{otherwise} --yes")));
    }
    if !terminal.err.color {
        inquire::set_global_render_config(inquire::ui::RenderConfig::empty());
    }
    let name = target.database();
    let question = format!("Type {} to {what} {}:", escape(name), escape(&target.to_string()));
    match inquire::Text::new(&question).prompt() {
        Ok(typed) if typed.trim() == name => Ok(true),
        Ok(_) => Err(Error::failed("that is another name: nothing was written").hint(otherwise)),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => {
            Err(Error::new(Kind::Interrupted, "interrupted: nothing was written").hint(otherwise))
        }
        Err(e) => Err(Error::failed("the question could not be asked").because(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w1_another_database_is_refused() {
        let target =
            Identity::Sqlite { host: "h".into(), dev: 1, ino: 2, path: "/srv/prod.db".into() };
        assert!(expect_target(&target, Some("prod.db")).is_ok());
        let refused = expect_target(&target, Some("stage.db")).unwrap_err();
        assert_eq!(refused.kind().exit_code(), 5);
    }
}
