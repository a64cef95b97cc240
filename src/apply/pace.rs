//! Waiting for replicas between two transactions, so that what reads from them stays current.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::target::Replica;

/// How often replicas are asked, which tell whole seconds.
const ASKING: Duration = Duration::from_millis(200);

/// How long a replica may stand still, as when it is restarted, before the run is given up.
const STANDSTILL: Duration = Duration::from_secs(5);

/// Replicas, and how far they may be behind.
#[derive(Debug)]
pub struct Pace {
    replicas: Mutex<Replicas>,
    most: Duration,
}

#[derive(Debug)]
struct Replicas {
    all: Vec<Box<dyn Replica>>,
    /// When none of them was too far behind.
    current: Option<Instant>,
}

impl Pace {
    /// Lets these replicas be behind by `most`.
    pub fn new(replicas: Vec<Box<dyn Replica>>, most: Duration) -> Self {
        let replicas = Replicas { all: replicas, current: None };
        Self { replicas: Mutex::new(replicas), most }
    }

    /// Waits until no replica is too far behind; ends early once `cancel` is set.
    ///
    /// # Errors
    /// `Failed` for a replica that can't be asked, or that does not replicate.
    pub(super) async fn wait(&self, cancel: &AtomicBool, progress: &dyn Progress) -> Result<()> {
        let mut replicas = self.replicas.lock().await;
        let mut stood_still: Option<Instant> = None;
        if replicas.current.is_some_and(|then| then.elapsed() < ASKING) {
            return Ok(());
        }
        for replica in &mut replicas.all {
            let mut told = false;
            while !cancel.load(Ordering::Relaxed) {
                let shown = replica.shown().to_owned();
                match replica.lag().await? {
                    Some(lag) if lag <= self.most => break,
                    Some(lag) => {
                        stood_still = None;
                        if !std::mem::replace(&mut told, true) {
                            progress.wait(&format!("{shown} is {} s behind", lag.as_secs()));
                        }
                    }
                    None => {
                        let since = *stood_still.get_or_insert_with(Instant::now);
                        if since.elapsed() > STANDSTILL {
                            return Err(Error::failed(format!("{shown} does not replicate"))
                                .hint("start its replication again, or go on without --max-lag"));
                        }
                    }
                }
                tokio::time::sleep(ASKING).await;
            }
        }
        replicas.current = Some(Instant::now());
        Ok(())
    }
}
