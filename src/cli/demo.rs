//! `restorekit demo`: the two stories that restorekit was made for, on a small database of
//! its own. Each command line is printed and then run, in this process, as it stands. Its
//! lines name no database where a person would name none: they heed neither the user's
//! environment nor any configuration, only what the demo's own diff left in its folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use crate::cli::args::Cli;
use crate::cli::{Context, Surroundings, block_on, carry_out};
use crate::error::{Error, Result};
use crate::registry::run_script;
use crate::report::text::{Tone, shell_word};

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  restorekit demo
  restorekit demo --dir restorekit-demo")]
pub struct DemoArgs {
    /// Play in this new folder, and leave it there to go on with
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Leave the folder there when done
    #[arg(long)]
    pub keep: bool,
}

/// The application as it was when the snapshot was taken: 30,000 events, 20,000
/// subscriptions. The numbers are mixed by a fixed multiplier, so that the story is the
/// same every time.
const BEFORE: &str = "
create table venues (id integer primary key, name text not null unique);
create table events (
    id integer primary key autoincrement,
    venue_id integer not null references venues(id),
    title text not null,
    starts_at text not null,
    created_at text not null,
    updated_at text not null
);
create table subscriptions (
    id integer primary key,
    email text not null unique,
    active boolean not null,
    cancelled_at text,
    updated_at text not null
);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 120)
insert into venues select i, 'Venue ' || i from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
insert into events select i, 1 + i * 7919 % 120, 'Evening ' || i,
    datetime('2024-01-02 19:00:00', '+' || (i * 104729 % 700) || ' days'),
    datetime('2023-02-01', '+' || (i * 13) || ' minutes'),
    datetime('2023-02-01', '+' || (i * 17) || ' minutes') from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into subscriptions select i, 'user' || i || '@example.com', i * 7919 % 10 < 7, null,
    datetime('2023-09-01', '+' || (i * 104729 % 262800) || ' minutes') from n;
update subscriptions set cancelled_at = updated_at where not active and id % 53 = 0";

/// The day after: the application goes on, then an importer deletes 2,526 events, 17 of
/// them newer than the snapshot.
const IMPORTER: &str = "
with recursive n(i) as (select 1 union all select i + 1 from n where i < 105)
insert into events (venue_id, title, starts_at, created_at, updated_at)
    select 1 + i % 120, 'New ' || i, '2024-09-01 20:00:00', '2024-03-15 08:00:00',
    '2024-03-15 08:00:00' from n;
update events set title = title || ' (moved)', updated_at = '2024-03-15 09:30:00'
    where id % 700 = 5;
delete from events where id in (
    select id from events where id <= 30000 and id % 700 <> 5 order by id * 7919 % 30011 limit 2509);
delete from events where id > 30000 and id % 6 = 4";

/// The migration that went wrong: 98 % of the inactive subscriptions end on its own day.
const BACKFILL: &str = "
update subscriptions set updated_at = '2024-03-15 10:12:44' where not active and id % 97 = 3;
update subscriptions set cancelled_at = '2024-03-15 11:00:0' || (id % 10),
    updated_at = '2024-03-15 11:00:00'
    where not active and cancelled_at is null and id % 100 > 1";

/// Plays the stories.
pub fn run(context: &Context, args: &DemoArgs) -> Result<u8> {
    let temporary;
    let folder = match &args.dir {
        Some(dir) => {
            std::fs::create_dir(dir).map_err(|e| {
                Error::usage(format!("the folder {} could not be made", dir.display()))
                    .because(e)
                    .hint("name a folder that does not exist yet")
            })?;
            dir.canonicalize()?
        }
        None => {
            temporary = tempfile::Builder::new()
                .prefix("restorekit-demo-")
                .disable_cleanup(args.keep)
                .tempdir()?;
            temporary.path().canonicalize()?
        }
    };
    std::fs::create_dir(folder.join("app"))?;
    std::fs::write(folder.join("restorekit.toml"), SETTINGS)?;
    let alone = Context {
        terminal: context.terminal,
        global: context.global.clone(),
        surroundings: Surroundings::Alone(folder.join(STATE)),
        folder,
        passwords: Default::default(),
    };
    let stays = args.dir.is_some() || args.keep;
    Stage { context: alone }.play(stays)?;
    let set = ["RESTOREKIT_LIVE", "RESTOREKIT_BACKUP", "RESTOREKIT_TABLE"]
        .into_iter()
        .filter(|name| context.variable(name).is_some())
        .collect::<Vec<_>>();
    if stays && !set.is_empty() {
        context.terminal.warn(&format!(
            "the demo did not heed {0}, which leads elsewhere: unset {0}",
            set.join(" "),
        ));
    }
    // Leave the folder before it goes.
    std::env::set_current_dir(&context.folder)?;
    Ok(0)
}

/// Where the demo's plans are, below its folder.
const STATE: &str = "state";

/// Keeps the demo's plans with the demo, for who goes on by himself.
const SETTINGS: &str = "# The demo's plans stay in its folder.\nstate = \"state\"\n";

struct Stage {
    context: Context,
}

impl Stage {
    fn play(&self, stays: bool) -> Result<()> {
        std::env::set_current_dir(&self.context.folder)?;
        let db = Path::new("app/prod.db");
        self.title("A small application, and its snapshot")?;
        block_on(run_script(db, BEFORE))?;
        self.say("30,000 events and 20,000 subscriptions in app/prod.db. First, a backup:")?;
        self.command("snapshot --live app/prod.db --out backups", 0)?;

        self.title("Story A: an importer deletes 2,526 events")?;
        block_on(run_script(db, IMPORTER))?;
        self.say(
            "A day later: 105 new events, 43 edited ones, and then an importer that deleted\n\
             rows at random. What is gone? This only reads:",
        )?;
        self.command("diff --live app/prod.db --backup backups@latest --table events", 1)?;
        self.say("Which ids are missing, and can the backup fill them?")?;
        self.command("gaps --table events", 1)?;
        self.say("The exact plan, with nothing written. The sides are remembered from the diff:")?;
        self.command("restore --table events --dry-run", 0)?;
        self.say("It looks right. Carry out that very plan:")?;
        let plan = self.newest_plan()?;
        self.command(&format!("apply {plan} --yes"), 0)?;
        self.say("Did it work? Every restored row is read again:")?;
        self.command("verify", 0)?;
        self.say("What is newer than the backup is still there, edits and all:")?;
        self.command("diff --table events", 1)?;

        self.title("Story B: a backfill stamps one day on 98 % of the cancellations")?;
        block_on(run_script(db, BACKFILL))?;
        self.say("A migration stamped cancelled_at while it ran. How does the column look?")?;
        self.command(
            "sql \"select substr(cancelled_at, 1, 10) as day, count(*) \\\n    \
             from live.subscriptions where cancelled_at is not null \\\n    \
             group by 1 order by 2 desc limit 4\"",
            0,
        )?;
        self.say(
            "The truth is the backup's updated_at. Only cancelled_at is to change, of\n\
             inactive subscriptions; what was not touched since the backup stays:",
        )?;
        let patch = "patch --table subscriptions --column cancelled_at \\\n    \
                     --from updated_at --where \"active = false\"";
        self.command(&format!("{patch} --dry-run"), 0)?;
        let plan = self.newest_plan()?;
        self.command(&format!("apply {plan} --yes"), 0)?;
        self.say("Ask anything of both sides, read-only:")?;
        self.command(
            "sql \"select substr(cancelled_at, 1, 7) as month, count(*) \\\n    \
             from live.subscriptions where cancelled_at is not null \\\n    \
             group by 1 order by 1\"",
            0,
        )?;
        self.say("Second thoughts? Every operation can be taken back, row by row and guarded:")?;
        self.command("undo --yes", 0)?;
        self.say("What was done here, newest first:")?;
        self.command("log", 0)?;
        self.title("That is all")?;
        if stays {
            self.say(&format!(
                "Go on by yourself: cd {}; then any of the commands above.",
                shell_word(&self.context.folder.to_string_lossy())
            ))?;
        } else {
            self.say("Play it in a folder of your own: restorekit demo --dir restorekit-demo")?;
        }
        self.say("For your own database: restorekit snapshot --live YOUR.db --out FOLDER")
    }

    /// Runs one command line as it is printed; any other code than the expected is an error.
    fn command(&self, line: &str, expected: u8) -> Result<()> {
        let mut out = self.context.terminal.output(None)?;
        let prompt = self.context.terminal.out.paint(Tone::Strong, format!("$ restorekit {line}"));
        writeln!(out, "\n{prompt}")?;
        out.flush()?;
        let words = std::iter::once("restorekit".to_owned()).chain(words(line));
        let cli = Cli::try_parse_from(words).map_err(|e| {
            Error::failed(format!("the demo's own line does not parse: {line}")).because(e)
        })?;
        match carry_out(&self.context, &cli.command)? {
            code if code == expected => Ok(()),
            code => {
                Err(Error::failed(format!("restorekit {line} ended with {code}, not {expected}")))
            }
        }
    }

    fn newest_plan(&self) -> Result<String> {
        block_on(async {
            let (entries, _) = self.context.state()?.list().await?;
            let newest = entries
                .iter()
                .filter(|e| e.operation.is_none())
                .max_by_key(|e| std::fs::metadata(&e.path).and_then(|m| m.modified()).ok());
            newest
                .map(|e| e.header.id.clone())
                .ok_or_else(|| Error::failed("the demo's plan was not saved"))
        })
    }

    fn title(&self, text: &str) -> Result<()> {
        let mut out = self.context.terminal.output(None)?;
        let rule = "─".repeat(text.chars().count());
        let style = self.context.terminal.out;
        writeln!(out, "\n{}\n{}", style.paint(Tone::Strong, text), style.paint(Tone::Dim, rule))?;
        Ok(out.flush()?)
    }

    fn say(&self, text: &str) -> Result<()> {
        let mut out = self.context.terminal.output(None)?;
        writeln!(out, "\n{text}")?;
        Ok(out.flush()?)
    }
}

/// The words of a line; only double quotes and escaped line ends are known.
fn words(line: &str) -> Vec<String> {
    let line = line.replace("\\\n", "");
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
            }
            c => word.push(c),
        }
    }
    words.extend(Some(word).filter(|w| !w.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_stay_together() {
        assert_eq!(words("a --b \"c d = 'e'\" \\\n  f"), ["a", "--b", "c d = 'e'", "f"]);
    }
}
