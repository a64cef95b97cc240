//! What the terminal can do, and what goes where: data on stdout, everything else on
//! stderr, bars and questions only on a terminal.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::cli::args::{Global, When};
use crate::error::{Error, Result};
use crate::progress::{Progress, silent};
use crate::report::text::{Style, Tone, count, escape_lines};

/// The widest a screen is drawn.
const WIDEST: usize = 160;

/// The terminal, or the pipes in its place.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// The style of stdout.
    pub out: Style,
    /// The style of stderr.
    pub err: Style,
    /// Someone reads stdout.
    pub out_is_terminal: bool,
    /// Someone can be asked: stdin and stderr are a terminal.
    pub interactive: bool,
    bars: bool,
    quiet: bool,
}

impl Terminal {
    /// Looks at the streams, NO_COLOR and the flags.
    pub fn look(global: &Global) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let color = |terminal: bool| match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !dumb && !set("NO_COLOR"),
        };
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse::<usize>().ok());
        let width = |terminal: bool| {
            let real = terminal.then(terminal_size::terminal_size).flatten();
            let width = real.map(|(w, _)| usize::from(w.0)).or(columns).unwrap_or(80);
            width.clamp(40, WIDEST)
        };
        Self {
            out: Style { color: color(out), width: width(out) },
            err: Style { color: color(err), width: width(err) },
            out_is_terminal: out,
            interactive: io::stdin().is_terminal() && err,
            bars: err && !dumb && !global.no_progress && !global.quiet && global.verbose == 0,
            quiet: global.quiet,
        }
    }

    /// Says something on stderr, unless told to be quiet.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.line(&escape_lines(text));
        }
    }

    /// Warns on stderr, unless told to be quiet.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            let warning = self.err.paint(Tone::Changed, "warning:");
            self.line(&format!("{warning} {}", escape_lines(text)));
        }
    }

    /// Writes a line to stderr; one that can't be written is lost, as there is no one to
    /// tell.
    pub fn line(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Bars on stderr, or nothing.
    pub fn progress(&self) -> Arc<dyn Progress> {
        if self.bars { Arc::new(Bars::default()) } else { silent() }
    }

    /// Where the screen of a command goes that is run for what it does: nowhere under
    /// `--quiet`. A document or a file is always written.
    pub fn report(&self, screen: bool, file: Option<&Path>) -> Result<Box<dyn Write + Send>> {
        if screen && self.quiet && file.is_none() {
            return Ok(Box::new(io::sink()));
        }
        self.output(file)
    }

    /// Where data goes: stdout, or a new file that only this user may read.
    pub fn output(&self, file: Option<&Path>) -> Result<Box<dyn Write + Send>> {
        match file {
            None => Ok(Box::new(BufWriter::new(io::stdout()))),
            Some(path) if path == Path::new("-") => Ok(Box::new(BufWriter::new(io::stdout()))),
            Some(path) => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let file = options.open(path).map_err(|e| {
                    let exists = e.kind() == io::ErrorKind::AlreadyExists;
                    let wrong = Error::usage(format!("{} could not be created", path.display()));
                    let wrong = if exists {
                        wrong.hint("name another file: none is overwritten")
                    } else {
                        wrong
                    };
                    wrong.because(e)
                })?;
                Ok(Box::new(BufWriter::new(file)))
            }
        }
    }
}

/// Progress as a bar on stderr.
#[derive(Debug, Default)]
struct Bars {
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn replace(&self, bar: Option<ProgressBar>) {
        let mut place = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut *place, bar) {
            old.finish_and_clear();
        }
    }
}

impl Progress for Bars {
    fn start(&self, task: &str, total: Option<u64>) {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let template = match total {
            Some(_) => "{msg}  {bar:24}  {rows} of {total}  {eta} left",
            None => "{msg}  {spinner}  {rows}",
        };
        let rows = |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            // A bar that can't be drawn is not worth an error.
            let _ = w.write_str(&count(state.pos()));
        };
        let all = |state: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&count(state.len().unwrap_or(0)));
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("█▉▊▋▌▍▎▏ ")
            .with_key("rows", rows)
            .with_key("total", all);
        let bar = ProgressBar::with_draw_target(total, target).with_style(style);
        let mut message = String::new();
        let _ = write!(message, "{:<24}", crate::report::text::escape(task));
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(120));
        self.replace(Some(bar));
    }

    fn advance(&self, rows: u64) {
        let place = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = &*place {
            bar.inc(rows);
        }
    }

    fn wait(&self, why: &str) {
        let place = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = &*place {
            bar.println(format!("waiting: {}", crate::report::text::escape(why)));
        }
    }

    fn finish(&self) {
        self.replace(None);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Terminal {
        Terminal::look(&Global { color: When::Never, ..Global::default() })
    }

    #[test]
    fn w10_an_output_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        terminal().output(Some(&path)).unwrap().write_all(b"a").unwrap();
        let wrong = terminal().output(Some(&path)).err().unwrap();
        assert_eq!(wrong.kind().exit_code(), 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"a");
    }

    #[cfg(unix)]
    #[test]
    fn w12_an_output_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        drop(terminal().output(Some(&path)).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
