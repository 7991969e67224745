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

/// The bytes that are held. All connections of a process share one: a reply may outlive its connection.
#[derive(Debug, Default)]
pub(crate) struct HeldBytes {
    bytes: Mutex<u64>,
    fell: Notify,
}

/// The bytes of one reply. They are free when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    held: Arc<HeldBytes>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut bytes = self.held.bytes.lock();
        *bytes -= self.bytes;
        drop(bytes);
        self.held.fell.notify_waiters();
    }
}

impl HeldBytes {
    /// Takes the memory for a reply; `None` if there is no room. A reply has room where nothing else is held, whatever its size.
    pub(super) fn take(self: &Arc<Self>, reply: u64) -> Option<Share> {
        let wanted = reply.saturating_add(OVERHEAD);
        let mut bytes = self.bytes.lock();
        let after = bytes.saturating_add(wanted);
        if *bytes > 0 && after > MAX_HELD_BYTES {
            return None;
        }
        *bytes = after;
        drop(bytes);
        Some(Share {
            held: Arc::clone(self),
            bytes: wanted,
        })
    }

    /// Waits until half of the memory is free.
    pub(super) async fn has_room(&self) {
        loop {
            let fell = self.fell.notified();
            tokio::pin!(fell);
            fell.as_mut().enable();
            if *self.bytes.lock() <= MAX_HELD_BYTES / 2 {
                return;
            }
            fell.await;
        }
    }
}

/// How many replies of this size are held at once.
pub(super) fn that_fit(reply: u64, most: u16) -> u16 {
    let fit = MAX_HELD_BYTES / reply.saturating_add(OVERHEAD);
    u16::try_from(fit).unwrap_or(u16::MAX).clamp(1, most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_reply_alone_has_room_and_others_when_half_is_free() {
        let held = Arc::<HeldBytes>::default();
        let huge = held.take(u64::MAX).expect("alone");
        assert!(held.take(0).is_none());
        drop(huge);
        let half = held.take(MAX_HELD_BYTES / 2 - OVERHEAD).expect("room");
        let more = held.take(1).expect("room");
        assert!(held.take(MAX_HELD_BYTES / 2).is_none());
        let waiting = held.has_room();
        tokio::pin!(waiting);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(more);
        waiting.await;
        drop(half);
        assert_eq!(*held.bytes.lock(), 0);
    }

    #[test]
    fn the_prefetch_follows_the_size() {
        assert_eq!(that_fit(100, 200), 200);
        assert_eq!(that_fit(1 << 20, 200), 15);
        assert_eq!(that_fit(50 << 20, 200), 1);
        assert_eq!(that_fit(u64::MAX, 0), 1);
    }
}
