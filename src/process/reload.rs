//! Who asks for a reload of the configuration, and what the answer is. The reload itself is in `app/reload.rs`.

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

/// Maximum number of callers that wait for a reload.
const MAX_WAITING: usize = 16;

/// What a reload has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The names of the routes that were added.
    pub added: Vec<String>,
    /// The names of the routes that have other settings now.
    pub changed: Vec<String>,
    /// The names of the routes that were removed. They end with their last tasks.
    pub removed: Vec<String>,
    /// The keys outside of the routes whose new values are in use.
    pub keys: Vec<String>,
    /// The keys whose new values have no effect before the process is started again.
    pub needs_restart: Vec<String>,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadRefusal {
    /// The configuration can't be used. The text lists its problems.
    #[error("{0}")]
    Invalid(String),
    /// The process can't do it now, or not without a restart.
    #[error("{0}")]
    NotNow(String),
}

/// The result of a reload.
pub type Reloaded = Result<ReloadReport, ReloadRefusal>;

/// Who waits for the result of a reload.
pub type ReloadRequest = oneshot::Sender<Reloaded>;

/// Asks for a reload. Clones ask the same process.
#[derive(Clone, Debug)]
pub struct ReloadSwitch(mpsc::Sender<ReloadRequest>);

impl ReloadSwitch {
    /// The switch, and where its requests arrive.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        (Self(sender), requests)
    }

    /// Asks for a reload, and waits for its result. One that is under way ends first.
    ///
    /// # Errors
    ///
    /// Why nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// A reload that has begun goes on.
    pub async fn reload(&self) -> Reloaded {
        let (request, answer) = oneshot::channel();
        if self.0.try_send(request).is_err() {
            let why = "too many callers wait for a reload, or the bridge is ending; try again";
            return Err(ReloadRefusal::NotNow(why.to_owned()));
        }
        answer.await.unwrap_or_else(|_| {
            let why = "the bridge ended before the reload did";
            Err(ReloadRefusal::NotNow(why.to_owned()))
        })
    }
}
