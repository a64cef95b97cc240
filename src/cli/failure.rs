//! How a failure is told: what failed, why, and the next command to type.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error as StdError;
use std::io;
use std::panic::{self, Location};

use crate::backup::guard::is_guarded;
use crate::cli::secret::redact_words;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind};
use crate::report::text::{Style, Tone, escape_lines};

/// The exit code of a program that wrote to a closed pipe (128 + SIGPIPE).
pub const BROKEN_PIPE: u8 = 141;

/// True when the reader of our output went away, which is no one's fault.
pub fn is_broken_pipe(error: &Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        cause = e.source();
    }
    false
}

/// The error with a command to type next: its own, else the one that its kind of failure
/// of `command` is looked into with.
pub fn with_next(error: Error, command: Option<&str>) -> Error {
    let names_one = error.hints().iter().any(|hint| hint.contains("restorekit "));
    let next = match (error.kind(), command) {
        _ if names_one => return error,
        (Kind::Interrupted, _) => return error,
        (Kind::Usage, Some(command)) => format!("restorekit {command} --help"),
        (Kind::Usage, None) => "restorekit --help".to_owned(),
        (Kind::Damaged, _) => {
            "name another with --backup; restorekit snapshots DIR lists what there is".to_owned()
        }
        _ => "restorekit doctor checks both sides".to_owned(),
    };
    error.hint(next)
}

/// The exit code of a run in which these failed and the rest was done: the worst one's, 0
/// without any.
pub fn worst<'e>(failed: impl IntoIterator<Item = &'e Error>) -> u8 {
    failed.into_iter().map(|e| e.kind().exit_code()).max().unwrap_or(0)
}

/// The error as lines for stderr: `error:`, `caused by:`, `help:`.
pub fn lines(error: &Error, style: Style) -> String {
    let mut out = String::new();
    let mut add = |tone: Tone, title: &str, text: &str| {
        let text = escape_lines(text).replace('\n', "\n  ");
        out.push_str(&format!("{} {}\n", style.paint(tone, title), redact_words(&text)));
    };
    let message = error.to_string();
    add(Tone::Missing, "error:", &message);
    let mut told = message;
    let mut cause = error.source();
    while let Some(e) = cause {
        let text = e.to_string();
        // Wrappers often repeat their cause.
        if !told.contains(&text) {
            add(Tone::Dim, "  caused by:", &text);
            told = text;
        }
        cause = e.source();
    }
    for hint in error.hints() {
        add(Tone::Extra, "  help:", hint);
    }
    out
}

/// From now on a panic is told as a fault of the program, without the passwords that its words
/// may carry; one of a backup's decoder is not, since it becomes an error of that backup.
pub fn tell_panics(terminal: Terminal) {
    panic::set_hook(Box::new(move |info| {
        if is_guarded() {
            return;
        }
        let words = info.payload_as_str().unwrap_or("without a word");
        let fault = fault(words, info.location());
        terminal.line(lines(&fault, terminal.err).trim_end());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            terminal.line(&trace.to_string());
        }
    }));
}

fn fault(words: &str, place: Option<&Location<'_>>) -> Error {
    let place = place.map(|at| format!(", at {at}")).unwrap_or_default();
    Error::failed(format!("a fault in restorekit itself: {words}{place}"))
        .hint("RUST_BACKTRACE=1 before the command shows where; please report it")
        .hint("batches are written wholly or not at all: restorekit log says which were")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let cause = Error::failed("live mysql://u:hunter2@h/d: gone").because("no route");
        let error = Error::refused("row 7\x1b of backup/events.csv has 3 fields, not 4")
            .hint("restorekit inspect backup/")
            .because(cause);
        insta::assert_snapshot!(lines(&error, Style::plain()), @r"
        error: row 7\u{1b} of backup/events.csv has 3 fields, not 4
          caused by: live mysql://u:***@h/d: gone
          caused by: no route
          help: restorekit inspect backup/
        ");
    }

    #[test]
    fn w2_a_fault_of_ours_shows_no_password() {
        let told = lines(&fault("at mysql://u:hunter2@h/d\x1b[2J", None), Style::plain());
        assert!(
            told.starts_with("error: a fault in restorekit itself: at mysql://u:***@h/d"),
            "{told}"
        );
        assert!(!told.contains("hunter2") && !told.contains('\x1b'), "{told}");
        assert!(told.contains("restorekit log"), "{told}");
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        use crate::error::Kind;
        let codes = [
            (Kind::Usage, 2),
            (Kind::Failed, 2),
            (Kind::Stopped, 4),
            (Kind::Refused, 5),
            (Kind::Unknown, 6),
            (Kind::Damaged, 7),
            (Kind::Interrupted, 130),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn every_failure_names_a_command_to_type() {
        let next = |error: Error| with_next(error, Some("diff")).hints().join("; ");
        assert_eq!(next(Error::usage("x")), "restorekit diff --help");
        assert!(next(Error::failed("x").hint("why")).contains("why; restorekit doctor"));
        assert!(next(Error::damaged("x")).contains("restorekit snapshots"));
        assert_eq!(next(Error::refused("x").hint("restorekit log")), "restorekit log");
        assert_eq!(next(Error::new(Kind::Interrupted, "x")), "");
    }

    #[test]
    fn a_closed_pipe_is_seen_through_its_wrapping() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&Error::failed("x").because(Error::from(pipe))));
        assert!(!is_broken_pipe(&Error::failed("x")));
    }
}
