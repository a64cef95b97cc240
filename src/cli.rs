//! The command line: arguments, configuration, one file a command.
//!
//! A command is its arguments and one function that calls the library's steps in turn.
//! This is the only place that reads the environment, asks, or writes to the terminal.

pub mod apply;
mod arenas;
pub mod args;
pub mod cache;
pub mod completions;
pub mod config;
pub mod confirm;
pub mod connect;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod failure;
pub mod gaps;
pub mod init;
pub mod inspect;
pub mod interrupt;
pub mod log;
pub mod patch;
pub mod plans;
pub mod resolve;
pub mod restore;
pub mod secret;
pub mod show;
pub mod sides;
pub mod snapshot;
pub mod snapshots;
pub mod sql;
pub mod terminal;
pub mod undo;
pub mod verify;

use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{DateTime, FixedOffset, Local};
use clap::{CommandFactory, FromArgMatches};

use crate::backup::dump::cache::Cache;
use crate::cli::args::{Cli, Command, Global};
use crate::cli::config::Config;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::model::origin::Origin;
use crate::report::sides::Screen;
use crate::state::State;

/// What is kept of dumps at most, unless the configuration says otherwise.
const CACHE_BYTES: u64 = 4 << 30;

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// The terminal.
    pub terminal: Terminal,
    /// The flags of every command.
    pub global: Global,
    /// The folder the program was started in.
    pub folder: PathBuf,
    /// The passwords that were typed.
    pub passwords: connect::Passwords,
    /// What counts beside the flags.
    pub surroundings: Surroundings,
}

/// What a command heeds beside its flags.
#[derive(Clone, Debug)]
pub enum Surroundings {
    /// The user's environment, configuration and state folder.
    Users,
    /// Nothing but this state folder, with the last diffs in it: no variable and no
    /// configuration leads to another database.
    Alone(PathBuf),
}

impl Context {
    /// The value of an environment variable that counts, is set and is readable.
    pub fn variable(&self, name: &str) -> Option<String> {
        match self.surroundings {
            Surroundings::Users => variable(name),
            Surroundings::Alone(_) => None,
        }
    }

    /// The present moment, in the zone of this machine.
    pub fn now(&self) -> DateTime<FixedOffset> {
        Local::now().fixed_offset()
    }

    /// The screen that stdout is.
    pub fn screen(&self) -> Screen {
        Screen { style: self.terminal.out, now: self.now() }
    }

    /// An origin with its path as seen from this folder, for a screen.
    pub fn seen(&self, origin: &Origin) -> Origin {
        let mut origin = origin.clone();
        origin.further = origin.further.iter().map(|further| self.seen(further)).collect();
        if let Ok(below) = Path::new(&origin.location).strip_prefix(&self.folder)
            && !below.as_os_str().is_empty()
        {
            origin.location = below.to_string_lossy().into_owned();
        }
        origin
    }

    /// Tells what failed where the rest is still done.
    pub fn tell(&self, error: &Error) {
        self.terminal.line(failure::lines(error, self.terminal.err).trim_end());
    }

    /// Where plans are kept: as the configuration says, or in the user's state folder.
    pub fn state(&self) -> Result<State> {
        use etcetera::BaseStrategy;
        if let Surroundings::Alone(folder) = &self.surroundings {
            return Ok(State::at(folder));
        }
        if let Some(folder) = self.config()?.and_then(|c| c.settings.state) {
            return Ok(State::at(folder));
        }
        let base = etcetera::choose_base_strategy().map_err(|e| {
            Error::failed("there is no home folder to keep plans in").because(e).hint("set HOME")
        })?;
        let root = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(State::at(root.join("restorekit")))
    }

    /// Where what is read of dumps is kept; `None` where nothing is to be.
    pub fn cache(&self) -> Result<Option<Cache>> {
        use etcetera::BaseStrategy;
        if let Surroundings::Alone(_) = self.surroundings {
            return Ok(None);
        }
        let most = self.config()?.and_then(|c| c.settings.cache_max_bytes);
        let most = most.unwrap_or(CACHE_BYTES);
        let base = etcetera::choose_base_strategy().ok().filter(|_| most > 0);
        Ok(base.map(|base| Cache::at(base.cache_dir().join("restorekit").join("dumps"), most)))
    }

    /// The configuration, where there is one that counts.
    pub fn config(&self) -> Result<Option<Config>> {
        if let Surroundings::Alone(_) = self.surroundings {
            return Ok(None);
        }
        let path = match &self.global.config {
            Some(path) => Some(path.clone()),
            None => config::find(&self.folder, user_folder().as_deref()),
        };
        let profile = self.global.profile.as_deref();
        match path {
            Some(path) => config::read(&path, profile, &variable).map(Some),
            None if profile.is_some() => {
                Err(Error::usage("there is no restorekit.toml to take a profile from")
                    .hint("restorekit init"))
            }
            None => Ok(None),
        }
    }
}

/// The arguments as text.
fn arguments() -> impl Iterator<Item = String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned())
}

/// The value of an environment variable that is set and readable.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The environment variables whose names and values are text.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn user_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("restorekit"))
}

/// Parses the command line, runs the command, tells what failed.
pub fn main() -> ExitCode {
    arenas::bound();
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        Ok((Cli::from_arg_matches(&matches)?, matches.subcommand_name().map(str::to_owned)))
    });
    let (cli, command) = match parsed {
        Ok(parsed) => parsed,
        Err(wrong) => {
            // Help and version are no errors; a closed pipe is not worth one.
            let _ = match arguments().any(|argument| secret::has_password(&argument)) {
                true => {
                    let text = secret::redact_arguments(&wrong.render().to_string(), arguments());
                    write!(std::io::stderr(), "{text}")
                }
                false => wrong.print(),
            };
            let code = if wrong.use_stderr() { Kind::Usage.exit_code() } else { 0 };
            return ExitCode::from(code);
        }
    };
    let terminal = Terminal::look(&cli.global);
    failure::tell_panics(terminal);
    trace(&cli.global);
    warn_of_passwords(&terminal);
    match run(terminal, cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::from(failure::BROKEN_PIPE),
        Err(error) => {
            let error = failure::with_next(error, command.as_deref());
            terminal.line(failure::lines(&error, terminal.err).trim_end());
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run(terminal: Terminal, cli: Cli) -> Result<u8> {
    let folder = std::env::current_dir()
        .map_err(|e| Error::failed("the folder this runs in could not be found").because(e))?;
    let context = Context {
        terminal,
        global: cli.global,
        folder,
        passwords: Default::default(),
        surroundings: Surroundings::Users,
    };
    carry_out(&context, &cli.command)
}

fn carry_out(context: &Context, command: &Command) -> Result<u8> {
    match command {
        Command::Restore(args) => restore::run(context, args),
        Command::Patch(args) => patch::run(context, args),
        Command::Apply(args) => apply::run(context, args),
        Command::Undo(args) => undo::run(context, args),
        Command::Log(args) => log::run(context, args),
        Command::Show(args) => show::run(context, args),
        Command::Verify(args) => verify::run(context, args),
        Command::Cache(args) => cache::run(context, args),
        Command::Completions(args) => completions::run(context, args),
        Command::Diff(args) => diff::run(context, args),
        Command::Gaps(args) => gaps::run(context, args),
        Command::Sql(args) => sql::run(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Demo(args) => demo::run(context, args),
        Command::Inspect(args) => inspect::run(context, args),
        Command::Init(args) => init::run(context, args),
        Command::Snapshot(args) => snapshot::run(context, args),
        Command::Snapshots(args) => snapshots::run(context, args),
    }
}

/// Runs a command's future. The runtime is made here, so that what needs none (help,
/// version, completions) starts at once.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed("no threads could be started").because(e))?;
    runtime.spawn(interrupt::exit_when_pressed_again());
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = command => done,
            () = interrupt::pressed_while_reading() => {
                Err(Error::new(Kind::Interrupted, "interrupted: nothing was written"))
            }
        }
    });
    // A thread may wait for a line that no one will type.
    runtime.shutdown_background();
    done
}

/// `-v` shows what the library traces, `-vv` what the engines do; RUST_LOG decides where
/// it is set.
fn trace(global: &Global) {
    let level = match global.verbose {
        0 => return,
        1 => "restorekit=info",
        2 => "restorekit=debug,info",
        _ => "restorekit=trace,debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    // A second subscriber can't be set, and the first is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}

/// A password in an argument stands in the list of processes for everyone to read (W2).
fn warn_of_passwords(terminal: &Terminal) {
    if arguments().any(|argument| secret::has_password(&argument)) {
        terminal.warn(
            "a password on the command line can be read by every user of this machine: \
             set RESTOREKIT_LIVE, or write ${NAME} in restorekit.toml",
        );
    }
}
