//! `restorekit sql`: read-only SQL over both sides; one statement, a file, or a prompt.

mod editor;
mod prompt;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use futures::TryStreamExt;

use crate::backup::place::STREAM;
use crate::cli::args::{RowsFormat, Sides};
use crate::cli::sides::open_sides;
use crate::cli::sql::prompt::prompt;
use crate::cli::{Context, block_on};
use crate::diff::sql::Sql;
use crate::error::{Error, Result};
use crate::report::csv::Csv;
use crate::report::{json, result};

/// Rows that a screen shows of a result when nobody says.
const SHOWN: u64 = 40;

/// Arguments of `sql`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit sql \"select change, count(*) from diff('events') group by 1\"
  restorekit sql \"select * from backup.events b where not exists (select 1 from live.events l where l.id = b.id)\"
  restorekit sql -f report.sql --format csv")]
pub struct SqlArgs {
    /// Run this statement; without one, ask for them
    #[arg(value_name = "STATEMENT", conflicts_with = "file")]
    pub statement: Option<String>,
    /// Run the statements of this file; - for stdin
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The sides
    #[command(flatten)]
    pub sides: Sides,
    /// Show at most so many rows of a screen's table
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    pub limit: u64,
    /// Write the rows like this
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: RowsFormat,
    /// Write to this new file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Runs the statements.
pub fn run(context: &Context, args: &SqlArgs) -> Result<u8> {
    block_on(query(context, args))
}

async fn query(context: &Context, args: &SqlArgs) -> Result<u8> {
    let streamed = args.sides.backup.iter().any(|backup| backup == STREAM);
    if streamed
        && args.statement.is_none()
        && args.file.as_ref().is_none_or(|f| f.as_os_str() == "-")
    {
        return Err(Error::usage("stdin is the backup here, so it can't be the statement too")
            .hint("give the statement as an argument, or in a file: --file QUERY.sql"));
    }
    let text = match (&args.statement, &args.file) {
        (Some(statement), _) => Some(statement.clone()),
        (None, Some(file)) if file.as_os_str() == "-" => Some(io::read_to_string(io::stdin())?),
        (None, Some(file)) => Some(std::fs::read_to_string(file).map_err(|e| {
            Error::usage(format!("{} could not be read", file.display())).because(e)
        })?),
        (None, None) if context.terminal.interactive => None,
        (None, None) => Some(io::read_to_string(io::stdin())?),
    };
    let sides = open_sides(context, &args.sides, true).await?;
    let session = Sql::open(sides.mount.clone()).await?;
    let mut out = context.terminal.output(args.output.as_deref())?;
    match text {
        Some(text) => statements(context, args, &session, &text, &mut out).await?,
        None => prompt(context, args, &sides.mount, &session, &mut out).await?,
    }
    out.flush()?;
    sides.release().await?;
    Ok(0)
}

async fn statements(
    context: &Context,
    args: &SqlArgs,
    session: &Sql,
    text: &str,
    out: &mut Box<dyn Write + Send>,
) -> Result<()> {
    let statements = session.parse(text)?;
    if statements.is_empty() {
        return Err(Error::usage("there is no statement to run"));
    }
    for statement in statements {
        let mut rows = session.run(statement).await?;
        let schema = rows.schema();
        match args.format {
            RowsFormat::Table => {
                let mut ends = result::Ends::new(usize::try_from(args.limit).unwrap_or(usize::MAX));
                while let Some(batch) = rows.try_next().await? {
                    ends.push(&batch)?;
                }
                ends.write(out, context.terminal.out, &schema)?;
            }
            RowsFormat::Ndjson => {
                while let Some(batch) = rows.try_next().await? {
                    result::ndjson(out, &batch)?;
                }
            }
            RowsFormat::Json => {
                let mut array = json::Array::default();
                while let Some(batch) = rows.try_next().await? {
                    result::json(out, &mut array, &batch)?;
                }
                array.end(out)?;
            }
            RowsFormat::Csv => {
                let shown = context.terminal.out_is_terminal && args.output.is_none();
                let mut csv = Csv::new(shown);
                let names: Vec<&String> = schema.fields().iter().map(|f| f.name()).collect();
                csv.header(out, &names)?;
                while let Some(batch) = rows.try_next().await? {
                    result::csv(out, &mut csv, &batch)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}
