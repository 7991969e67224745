//! The memory of the replies that were read and are not acknowledged yet. Pure.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Maximum number of bytes of all replies that are held at once. One reply alone may be larger.
pub(crate) const MAX_HELD_BYTES: u64 = 16 << 20;

/// What a reply takes beside its properties and its body.
const OVERHEAD: u64 = 512;

/// The bounds of all readers of a process.
#[derive(Clone, Debug)]
pub(crate) struct ReaderBounds {
    pub(crate) held: Arc<HeldBytes>,
    /// Maximum number of unacknowledged replies.
    pub(crate) prefetch: watch::Receiver<u16>,
}

/// A reply above this size is large. One large reply is held at a time, beside the others.
const LARGE: u64 = MAX_HELD_BYTES / 2;

/// What is held. All connections of a process share one: a reply may outlive its connection.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    state: Mutex<State>,
    fell: Notify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// The bytes of the replies that are not large.
    bytes: u64,
    has_large: bool,
}

impl State {
    /// Adds a reply. False if there is no room for it.
    fn add(&mut self, reply: u64) -> bool {
        let bytes = taken_by(reply);
        let fits = match bytes > LARGE {
            true => !self.has_large,
            false => self.bytes + bytes <= MAX_HELD_BYTES,
        };
        if fits && bytes > LARGE {
            self.has_large = true;
        } else if fits {
            self.bytes += bytes;
        }
        fits
    }
}

fn taken_by(reply: u64) -> u64 {
    reply.saturating_add(OVERHEAD)
}

/// The memory of one reply. It is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    held: Arc<HeldBytes>,
    reply: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let bytes = taken_by(self.reply);
        let mut state = self.held.state.lock();
        match bytes > LARGE {
            true => state.has_large = false,
            false => state.bytes -= bytes,
        }
        drop(state);
        self.held.fell.notify_waiters();
    }
}

impl HeldBytes {
    /// Takes the memory for a reply; `None` if there is no room.
    pub(super) fn take(self: &Arc<Self>, reply: u64) -> Option<Share> {
        self.state.lock().add(reply).then(|| Share {
            held: Arc::clone(self),
            reply,
        })
    }

    /// Which of these replies there is room for, in their order. Nothing is taken.
    pub(super) fn that_fit(&self, replies: impl Iterator<Item = u64>) -> Vec<bool> {
        let mut state = *self.state.lock();
        replies.map(|reply| state.add(reply)).collect()
    }

    /// Waits until there is room for one of these replies.
    pub(super) async fn fits_one(&self, replies: impl Iterator<Item = u64> + Clone) {
        loop {
            let fell = self.fell.notified();
            tokio::pin!(fell);
            fell.as_mut().enable();
            let state = *self.state.lock();
            if replies.clone().any(|reply| { state }.add(reply)) {
                return;
            }
            fell.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn one_large_reply_is_held_beside_small_ones_and_another_when_it_is_gone() {
        let held = Arc::<HeldBytes>::default();
        let small = held.take(1 << 20).expect("room");
        let large = held.take(u64::MAX).expect("whatever its size");
        assert!(held.take(LARGE).is_none());
        let others = held.take(1 << 20).expect("others are read");
        let waiting = held.fits_one([LARGE].into_iter());
        tokio::pin!(waiting);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(small);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(large);
        waiting.await;
        drop(others);
        assert_eq!(*held.state.lock(), State::default());
    }

    #[test]
    fn the_small_ones_stay_within_the_maximum() {
        let held = Arc::<HeldBytes>::default();
        let all: Vec<_> = std::iter::from_fn(|| held.take(1 << 20)).collect();
        assert_eq!(all.len(), 15);
        assert!(held.take(100).is_some());
        let fit = held.that_fit([1 << 20, u64::MAX, u64::MAX, 100].into_iter());
        assert_eq!(fit, [false, true, false, true]);
    }
}
