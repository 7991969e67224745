//! The replies that the bridge has not finished with: their number and their bytes, of each connection and of all.

use super::limits::Limits;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// Bytes of the open replies of all connections.
pub(crate) type AllReplyBytes = Arc<AtomicUsize>;

/// Counts the replies of one connection.
#[derive(Debug)]
pub(crate) struct OpenReplies {
    count: AtomicUsize,
    bytes: AtomicUsize,
    all_bytes: AllReplyBytes,
    /// Notified when there is one less.
    readable: Arc<Notify>,
}

/// One open reply. It counts until it is dropped, so a reply that is lost by a bug does not stop its connection for ever.
#[derive(Debug)]
pub(crate) struct OpenReply {
    all: Arc<OpenReplies>,
    bytes: usize,
}

impl OpenReplies {
    /// No replies. `readable` is notified when there is one less.
    pub(crate) fn new(readable: Arc<Notify>, all_bytes: AllReplyBytes) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            all_bytes,
            readable,
        })
    }

    /// Counts one more, of this size.
    pub(super) fn begin(self: &Arc<Self>, bytes: usize) -> OpenReply {
        self.count.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.all_bytes.fetch_add(bytes, Relaxed);
        OpenReply {
            all: Arc::clone(self),
            bytes,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Whether the connection must not be read for now. While those of all connections are at their bound, a connection
    /// without open replies is read, so that no other stops it. At twice the bound none is read: connections that begin
    /// again and again have no open replies each time.
    pub(super) fn are_too_many(&self, limits: &Limits) -> bool {
        let (bytes, all) = (self.bytes(), self.all_bytes.load(Relaxed));
        let most = limits.all_open_reply_bytes;
        self.count() >= limits.open_replies
            || bytes >= limits.open_reply_bytes
            || (all >= most && bytes > 0)
            || all >= 2 * most
    }
}

/// Takes no lock, because a receipt may be dropped while the state is locked.
impl Drop for OpenReply {
    fn drop(&mut self) {
        let all = &self.all;
        all.count.fetch_sub(1, Relaxed);
        all.bytes.fetch_sub(self.bytes, Relaxed);
        all.all_bytes.fetch_sub(self.bytes, Relaxed);
        all.readable.notify_one();
    }
}
