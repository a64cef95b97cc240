//! `restorekit cache`: what is kept of dumps that were read, and forgetting it.

use std::io::Write;

use clap::Args;

use crate::cli::Context;
use crate::cli::args::Format;
use crate::error::{Error, Result};
use crate::report::cache;
use crate::report::text::{bytes, plural};

/// Arguments of `cache`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit cache
  restorekit cache --clear")]
pub struct CacheArgs {
    /// Forget all of it
    #[arg(long)]
    pub clear: bool,
    /// Write the list like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

/// Lists, or clears.
pub fn run(context: &Context, args: &CacheArgs) -> Result<u8> {
    let cache = context.cache()?.ok_or_else(|| {
        Error::failed("nothing is kept of dumps: it is turned off, or there is no home folder")
            .hint("set HOME, or cache_max_bytes in restorekit.toml")
    })?;
    let dumps = cache.list()?;
    if args.clear {
        cache.clear()?;
        let held: u64 = dumps.iter().map(|dump| dump.bytes).sum();
        let dumps = plural(dumps.len() as u64, "dump");
        context.terminal.say(&format!("{} of {dumps} forgotten", bytes(held)));
        return Ok(0);
    }
    let mut out = context.terminal.output(None)?;
    match args.format {
        Format::Table => cache::screen(&mut out, context.screen(), &cache, &dumps)?,
        Format::Json => cache::json(&mut out, &cache, &dumps)?,
    }
    out.flush()?;
    Ok(0)
}
