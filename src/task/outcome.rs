//! How a task ends.

/// How a task ends, in the words of SWF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The worker is done.
    Completed {
        /// What it found; empty for nothing.
        result: String,
    },
    /// The worker, or the bridge on its behalf, failed.
    Failed {
        /// What the bridge gave up for; `None` where the failure is the worker's.
        own: Option<OwnFailure>,
        /// A short reason, the thing a workflow branches on.
        reason: String,
        /// The long story; may be empty.
        details: String,
    },
    /// The worker stopped because it was asked to.
    Canceled {
        /// What it wants to say about it; may be empty.
        details: String,
    },
}

impl Outcome {
    /// A failure that the bridge itself reports.
    pub fn failed(own: OwnFailure, reason: impl Into<String>) -> Self {
        Self::failed_with(own, reason, "")
    }

    /// The same, with the long story.
    pub fn failed_with(
        own: OwnFailure,
        reason: impl Into<String>,
        details: impl Into<String>,
    ) -> Self {
        Self::Failed {
            own: Some(own),
            reason: reason.into(),
            details: details.into(),
        }
    }

    /// The result or the details.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Completed { result } => result,
            Self::Failed { details, .. } | Self::Canceled { details } => details,
        }
    }

    /// The label for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
        }
    }
}

/// Why the bridge itself fails a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnFailure {
    /// It could not be brought to a queue.
    Undelivered,
    /// No worker started it in the time that the route allows.
    NotStarted,
    /// The queue gave it up: rejected, expired, delivered too often, dropped.
    DeadLetter,
    /// The reply that should have ended it can't be used.
    UnusableReply,
    /// AWS would not take the outcome that it had.
    OutcomeRefused,
    /// The bridge ended before a worker replied.
    ShutDown,
}

impl OwnFailure {
    /// The name, for workflows that tell failures apart by name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undelivered => "ActivityBridge.Undelivered",
            Self::NotStarted => "ActivityBridge.NotStarted",
            Self::DeadLetter => "ActivityBridge.DeadLetter",
            Self::UnusableReply => "ActivityBridge.UnusableReply",
            Self::OutcomeRefused => "ActivityBridge.OutcomeRefused",
            Self::ShutDown => "ActivityBridge.ShutDown",
        }
    }
}
