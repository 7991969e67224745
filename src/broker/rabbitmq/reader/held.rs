//! The memory of the replies that were read and are not acknowledged yet. Pure.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Maximum number of bytes of all replies that are held at once, when the next reply is a small sign of life. One large reply may
/// be held beside them. A sign of life is held for a moment.
const SIGN_LIMIT: u64 = SMALL_LIMIT + (1 << 20);

/// The same when the next reply is another small one.
const SMALL_LIMIT: u64 = MEDIUM_LIMIT + (1 << 20);

/// The same when the next reply is not small. A result is held until AWS accepts it, and results that AWS refuses must not take
/// the place of heartbeats.
const MEDIUM_LIMIT: u64 = 16 << 20;

/// Maximum size of a small reply.
const SMALL: u64 = 4 << 10;

/// A reply above this size is large. One large reply is held at a time, beside the others.
const LARGE: u64 = MEDIUM_LIMIT / 2;

/// What a reply takes beside its properties and its body.
const OVERHEAD: u64 = 512;

/// The bounds of all readers of a process.
#[derive(Clone, Debug)]
pub(crate) struct ReaderBounds {
    pub(crate) held: Arc<HeldBytes>,
    /// Maximum number of unacknowledged replies, but for those that are skipped.
    pub(crate) prefetch: watch::Receiver<u16>,
}

/// The memory that a reply needs. The order: if there is room for one, then there is room for all before it. Large ones are the
/// exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    class: Class,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A small reply that says only that a worker is alive.
    Sign,
    Small,
    Medium,
    Large,
}

impl Need {
    /// The need of a reply with so many bytes of properties and body.
    pub(super) fn of(size: u64, is_sign: bool) -> Self {
        let bytes = size.saturating_add(OVERHEAD);
        let class = match bytes {
            _ if bytes > LARGE => Class::Large,
            _ if size > SMALL => Class::Medium,
            _ if is_sign => Class::Sign,
            _ => Class::Small,
        };
        Self { class, bytes }
    }
}

/// What is held. All connections of a process share one: a reply may outlive its connection.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    state: Mutex<Usage>,
    fell: Notify,
}

/// What is held at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// The bytes of the replies that are not large.
    bytes: u64,
    has_large: bool,
}

impl Usage {
    /// Adds a reply. False if there is no room for it.
    pub(super) fn add(&mut self, need: Need) -> bool {
        let limit = match need.class {
            Class::Large => return !std::mem::replace(&mut self.has_large, true),
            Class::Medium => MEDIUM_LIMIT,
            Class::Small => SMALL_LIMIT,
            Class::Sign => SIGN_LIMIT,
        };
        let bytes = self.bytes + need.bytes;
        let fits = bytes <= limit;
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    fn remove(&mut self, need: Need) {
        match need.class {
            Class::Large => self.has_large = false,
            Class::Medium | Class::Small | Class::Sign => self.bytes -= need.bytes,
        }
    }
}

/// The memory of one reply. It is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    held: Arc<HeldBytes>,
    need: Need,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.state.lock().remove(self.need);
        self.held.fell.notify_waiters();
    }
}

impl HeldBytes {
    /// Takes the memory for a reply; `None` if there is no room.
    pub(super) fn take(self: &Arc<Self>, need: Need) -> Option<Share> {
        self.state.lock().add(need).then(|| Share {
            held: Arc::clone(self),
            need,
        })
    }

    /// What is held now.
    pub(super) fn now(&self) -> Usage {
        *self.state.lock()
    }

    /// Waits until there is room for one of these replies.
    pub(super) async fn fits_one(&self, needs: impl Iterator<Item = Need> + Clone) {
        loop {
            let fell = self.fell.notified();
            tokio::pin!(fell);
            fell.as_mut().enable();
            let now = self.now();
            if needs.clone().any(|need| { now }.add(need)) {
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

    const MIB: u64 = 1 << 20;

    fn reply(size: u64) -> Need {
        Need::of(size, false)
    }

    #[tokio::test]
    async fn one_large_reply_is_held_beside_small_ones_and_another_when_it_is_gone() {
        let held = Arc::<HeldBytes>::default();
        let small = held.take(reply(MIB)).expect("room");
        let large = held.take(reply(u64::MAX)).expect("whatever its size");
        assert!(held.take(reply(LARGE)).is_none());
        let others = held.take(reply(MIB)).expect("others are read");
        let waiting = held.fits_one([reply(LARGE)].into_iter());
        tokio::pin!(waiting);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(small);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(large);
        waiting.await;
        drop(others);
        assert_eq!(held.now(), Usage::default());
    }

    /// All replies of this kind for which there is room.
    fn fill(held: &Arc<HeldBytes>, need: Need) -> Vec<Share> {
        std::iter::from_fn(|| held.take(need)).collect()
    }

    #[test]
    fn results_that_are_held_leave_room_for_small_ones_and_those_for_signs_of_life() {
        let held = Arc::<HeldBytes>::default();
        let results = fill(&held, reply(256_000));
        assert_eq!(results.len(), 65);
        let _more = fill(&held, reply(SMALL + 1));
        assert!(held.now().bytes <= MEDIUM_LIMIT);
        let small = fill(&held, reply(300));
        assert!(small.len() > 1_000, "{}", small.len());
        assert!(
            held.take(Need::of(SMALL + 1, true)).is_none(),
            "no small one"
        );
        let signs = fill(&held, Need::of(300, true));
        assert!(signs.len() > 1_000, "{}", signs.len());
        assert!(held.now().bytes <= SIGN_LIMIT);
        assert!(held.take(reply(0)).is_none());
        // A sign of life that has been handled makes room for the next, and for no result.
        drop(signs);
        assert!(held.take(reply(300)).is_none());
        assert!(held.take(Need::of(SMALL, true)).is_some());
    }
}
