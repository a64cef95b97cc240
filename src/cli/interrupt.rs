//! Ctrl-C: reading stops at once and leaves nothing behind; writing finishes the batch
//! under way. Pressed again and again it ends the program, which is safe at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::ctrl_c;

use crate::error::Kind;

/// A plan is being applied.
static WRITING: AtomicBool = AtomicBool::new(false);

/// While this lives, Ctrl-C does not break off the command but raises a flag.
#[derive(Debug)]
pub struct Graceful {
    raised: Arc<AtomicBool>,
}

impl Graceful {
    /// From now on the batch under way is finished first.
    pub fn begin() -> Self {
        WRITING.store(true, Ordering::SeqCst);
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
        WRITING.store(false, Ordering::SeqCst);
    }
}

/// Ends when Ctrl-C is pressed while nothing is being written.
pub async fn pressed_while_reading() {
    loop {
        if ctrl_c().await.is_err() {
            // No one can interrupt: the command runs to its end.
            std::future::pending::<()>().await;
        }
        if !WRITING.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Ends the program when Ctrl-C is pressed a second time, a third while writing.
pub async fn exit_when_pressed_again() {
    let mut times = 0;
    while ctrl_c().await.is_ok() {
        times += 1;
        let enough = if WRITING.load(Ordering::SeqCst) { 3 } else { 2 };
        if times >= enough {
            std::process::exit(i32::from(Kind::Interrupted.exit_code()));
        }
    }
}
