//! Tells when no poll and no task has a route any more.

use std::sync::Arc;
use tokio::sync::watch;

/// One of those that have a route of one name with one queue, or with one destination. Clones are the others.
#[derive(Clone)]
pub(super) struct Users {
    gone: Arc<watch::Sender<()>>,
    _one: watch::Receiver<()>,
}

impl Default for Users {
    fn default() -> Self {
        let (gone, _one) = watch::channel(());
        let gone = Arc::new(gone);
        Self { gone, _one }
    }
}

impl Users {
    /// Waits until there is none any more.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let gone = Arc::clone(&self.gone);
        async move { gone.closed().await }
    }
}
