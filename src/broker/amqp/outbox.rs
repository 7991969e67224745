//! The outbox of a connection: the bytes that wait for its writing half.

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Maximum capacity of a buffer that is kept for the next bytes.
const KEPT_BYTES: usize = 16 << 10;

/// See the module. It is bounded by its users: a consumer gets nothing more above a limit, and a connection is not read
/// above it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// Bytes that the writing half has taken, and that the socket has not.
    writing: usize,
    /// No more bytes come. What is there is still written.
    closed: bool,
    /// Somebody found too many bytes, and waits until they are written.
    is_awaited: bool,
}

impl Outbox {
    /// Appends frames. After [`Outbox::close`] they are dropped.
    pub(crate) fn put(&self, write: impl FnOnce(&mut BytesMut)) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        write(&mut state.bytes);
        drop(state);
        self.filled.notify_one();
    }

    /// Number of bytes that wait for the socket.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.state.lock();
        state.bytes.len() + state.writing
    }

    /// Whether more than this number of bytes waits for the socket. If so, [`Outbox::drained`] resolves once all are
    /// written.
    pub(crate) fn exceeds(&self, limit: usize) -> bool {
        let mut state = self.state.lock();
        let exceeds = state.bytes.len() + state.writing > limit;
        state.is_awaited |= exceeds;
        exceeds
    }

    /// Resolves when everything is written, after [`Outbox::exceeds`] was true.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Nothing more is appended.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits for bytes, and takes all of them. `None` after the end.
    pub(crate) async fn take(&self) -> Option<BytesMut> {
        loop {
            {
                let mut state = self.state.lock();
                state.writing = 0;
                if !state.bytes.is_empty() {
                    // A large buffer goes as a whole, or a connection that once had much to write would keep its memory.
                    let bytes = match state.bytes.capacity() > KEPT_BYTES {
                        true => std::mem::take(&mut state.bytes),
                        false => state.bytes.split(),
                    };
                    state.writing = bytes.len();
                    return Some(bytes);
                }
                if std::mem::take(&mut state.is_awaited) {
                    self.drained.notify_one();
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_count_until_they_are_written() {
        let outbox = Outbox::default();
        outbox.put(|out| out.extend_from_slice(&[0; 10]));
        assert!(outbox.exceeds(9) && !outbox.exceeds(10));
        assert_eq!(outbox.take().await.map(|bytes| bytes.len()), Some(10));
        assert!(outbox.exceeds(9));
        outbox.put(|out| out.extend_from_slice(&[0; 1]));
        outbox.close();
        outbox.put(|out| out.extend_from_slice(&[0; 1]));
        assert_eq!(outbox.take().await.map(|bytes| bytes.len()), Some(1));
        assert_eq!(outbox.take().await, None);
        outbox.drained().await;
    }
}
