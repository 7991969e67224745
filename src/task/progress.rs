//! How far a task in flight is.

use crate::util::{Label, labels};
use serde::{Deserialize, Serialize};
use std::fmt;

labels! {
    /// The progress of a task, in words for people who read the list, and for metrics.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Progress {
        /// The broker has not confirmed the message.
        Publishing = "publishing",
        /// The broker has the message, and no worker has begun.
        Waiting = "waiting",
        /// A worker has said that it works on the task, or the broker tells that a worker has it.
        Working = "working",
        /// The outcome is being sent to AWS.
        Settling = "settling",
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
