//! The replies of a connection that the bridge has not finished with.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::Notify;

/// Counts the replies of one connection.
#[derive(Debug)]
pub(crate) struct OpenReplies {
    count: AtomicUsize,
    /// Notified when there is one less.
    readable: Arc<Notify>,
}

/// One open reply. It counts until it is dropped, so a reply that is lost by a bug does not stop its connection for ever.
#[derive(Debug)]
pub(crate) struct OpenReply(Arc<OpenReplies>);

impl OpenReplies {
    /// No replies. `readable` is notified when there is one less.
    pub(crate) fn new(readable: Arc<Notify>) -> Arc<Self> {
        let count = AtomicUsize::new(0);
        Arc::new(Self { count, readable })
    }

    /// Counts one more.
    pub(super) fn begin(self: &Arc<Self>) -> OpenReply {
        self.count.fetch_add(1, Relaxed);
        OpenReply(Arc::clone(self))
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }
}

/// Takes no lock, because a receipt may be dropped while the state is locked.
impl Drop for OpenReply {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Relaxed);
        self.0.readable.notify_one();
    }
}
