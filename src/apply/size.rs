//! How many batches go into one transaction: as many as half a second holds.
//!
//! A transaction keeps locks, and replicas follow it as a whole, so it is to be short; one of a
//! few rows is mostly waiting for the disk. The first one holds one batch; each next one is
//! sized by how long the one before took.

use std::time::Duration;

/// What a transaction aims at staying below.
const AIM: Duration = Duration::from_millis(500);

/// The most rows of a transaction, whose changes stay in memory until it commits.
const MOST: usize = 32_768;

/// How long a transaction of several batches goes on before what is done of it is taken back and
/// done batch by batch.
pub(super) const LONG: Duration = Duration::from_secs(2);

/// So many refused rows tell as much: each takes statements of its own.
pub(super) const REFUSED: usize = 64;

/// The size of the next transaction.
#[derive(Debug)]
pub(super) struct Size {
    batches: usize,
    most: usize,
    adapts: bool,
}

impl Size {
    /// One batch, which has up to `rows` rows, from then on or for ever.
    pub(super) fn new(adapts: bool, rows: usize) -> Self {
        Self { batches: 1, most: (MOST / rows.max(1)).max(1), adapts }
    }

    /// The batches of the next transaction, at least one.
    pub(super) fn batches(&self) -> usize {
        self.batches
    }

    /// Learns from a transaction of so many batches. It grows to what half of the aim would hold,
    /// fourfold at most, where that is twice as much; past the aim it shrinks to that.
    pub(super) fn took(&mut self, batches: usize, time: Duration) {
        if !self.adapts {
            return;
        }
        let each = time / u32::try_from(batches.max(1)).unwrap_or(u32::MAX);
        let room = (AIM / 2).as_nanos() / each.as_nanos().max(1);
        let room = usize::try_from(room).unwrap_or(self.most).clamp(1, self.most);
        if time > AIM {
            self.batches = room;
        } else if room >= 2 * batches {
            self.batches = self.batches.max(room.min(4 * batches));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(size: &mut Size, each: Duration) -> Vec<usize> {
        let one = |_| {
            let batches = size.batches();
            size.took(batches, each * batches as u32);
            batches
        };
        (0..8).map(one).collect()
    }

    #[test]
    fn g8_transactions_grow_while_they_are_short_and_shrink_when_they_are_not() {
        let mut size = Size::new(true, 1024);
        let ms = Duration::from_millis;
        assert_eq!(run(&mut size, ms(1)), [1, 4, 16, 32, 32, 32, 32, 32]);
        // The server slows down: the next one is short again.
        assert_eq!(run(&mut size, ms(100)), [32, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(run(&mut size, ms(900)), [2, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(run(&mut size, ms(30))[..4], [1, 4, 8, 8]);
        assert_eq!(run(&mut size, ms(0))[..3], [8, 32, 32]);
        assert_eq!(run(&mut Size::new(true, 8192), ms(1))[..4], [1, 4, 4, 4], "rows are many");
        assert_eq!(run(&mut Size::new(true, 100_000), ms(1)), [1; 8]);
        assert_eq!(run(&mut Size::new(false, 1024), ms(1)), [1; 8]);
    }
}
