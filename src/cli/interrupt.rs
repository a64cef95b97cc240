//! Ctrl-C: reading stops at once and leaves nothing behind; writing finishes the batch
//! under way; at a prompt it ends the statement. Pressed again and again while a command
//! reads or writes it ends the program, which is safe at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::signal::ctrl_c;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, Kind, Result};

/// What the program is at, one of the three below.
static AT: AtomicU8 = AtomicU8::new(READING);
/// A command reads.
const READING: u8 = 0;
/// A plan is being applied.
const WRITING: u8 = 1;
/// Statements are asked for, one after another.
const ASKING: u8 = 2;

/// While this lives, Ctrl-C does not break off the command but raises a flag.
#[derive(Debug)]
pub struct Graceful {
    raised: Arc<AtomicBool>,
}

impl Graceful {
    /// From now on the batch under way is finished first.
    pub fn begin() -> Self {
        AT.store(WRITING, Ordering::SeqCst);
        let raised = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&raised);
        tokio::spawn(async move {
            if ctrl_c().await.is_ok() {
                flag.store(true, Ordering::SeqCst);
            }
        });
        Self { raised }
    }

    /// The flag that Ctrl-C raises.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.raised)
    }
}

impl Drop for Graceful {
    fn drop(&mut self) {
        AT.store(READING, Ordering::SeqCst);
    }
}

/// While this lives, Ctrl-C ends the statement under way and not the command.
#[derive(Debug)]
pub struct Asking(());

impl Asking {
    /// From now on statements are asked for.
    pub fn begin() -> Self {
        AT.store(ASKING, Ordering::SeqCst);
        Self(())
    }

    /// Hears of each Ctrl-C from now on, also of one before the first wait.
    pub fn listen(&self) -> Result<Signal> {
        signal(SignalKind::interrupt())
            .map_err(|e| Error::failed("Ctrl-C could not be listened for").because(e))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        AT.store(READING, Ordering::SeqCst);
    }
}

/// Ends when Ctrl-C is pressed while a command reads.
pub async fn pressed_while_reading() {
    loop {
        if ctrl_c().await.is_err() {
            // No one can interrupt: the command runs to its end.
            std::future::pending::<()>().await;
        }
        if AT.load(Ordering::SeqCst) == READING {
            return;
        }
    }
}

/// Ends the program when Ctrl-C is pressed a second time, a third while writing.
pub async fn exit_when_pressed_again() {
    let mut times = 0;
    while ctrl_c().await.is_ok() {
        times += 1;
        let enough = match AT.load(Ordering::SeqCst) {
            READING => 2,
            WRITING => 3,
            _ => {
                times = 0;
                continue;
            }
        };
        if times >= enough {
            std::process::exit(i32::from(Kind::Interrupted.exit_code()));
        }
    }
}
