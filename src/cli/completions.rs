//! `restorekit completions`: scripts for shells, and the man page.

use std::io::Write;

use clap::{Args, CommandFactory, ValueEnum};

use crate::cli::Context;
use crate::cli::args::Cli;
use crate::error::Result;

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit completions bash > ~/.local/share/bash-completion/completions/restorekit
  restorekit completions man > restorekit.1")]
pub struct CompletionsArgs {
    /// Write for this shell, or the man page
    #[arg(value_name = "SHELL")]
    pub what: What,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum What {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
    /// The man page
    Man,
}

/// Writes the script or the page to stdout.
pub fn run(context: &Context, args: &CompletionsArgs) -> Result<u8> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    let shell = match args.what {
        What::Bash => clap_complete::Shell::Bash,
        What::Elvish => clap_complete::Shell::Elvish,
        What::Fish => clap_complete::Shell::Fish,
        What::Powershell => clap_complete::Shell::PowerShell,
        What::Zsh => clap_complete::Shell::Zsh,
        What::Man => {
            manual(command, &mut page)?;
            context.terminal.output(None)?.write_all(&page)?;
            return Ok(0);
        }
    };
    clap_complete::generate(shell, &mut command, "restorekit", &mut page);
    context.terminal.output(None)?.write_all(&page)?;
    Ok(0)
}

/// One page with the program and a section a command.
fn manual(command: clap::Command, page: &mut Vec<u8>) -> Result<()> {
    let mut command = command;
    command.build();
    clap_mangen::Man::new(command.clone()).render(page)?;
    for sub in command.get_subcommands() {
        let title = sub.get_name().to_uppercase();
        writeln!(page, ".SH \"RESTOREKIT {title}\"")?;
        let man = clap_mangen::Man::new(sub.clone());
        man.render_description_section(page)?;
        man.render_options_section(page)?;
    }
    Ok(())
}
