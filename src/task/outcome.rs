//! How a task ends.

use crate::util::labels;

/// How a task ends, in the words of SWF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The worker completed the task.
    Completed {
        /// The result; empty if there is none.
        result: String,
    },
    /// The worker reported a failure, or the bridge failed the task itself.
    Failed {
        /// Why the bridge failed the task; `None` if the worker did.
        own: Option<OwnFailure>,
        /// A short reason. A workflow can branch on it.
        reason: String,
        /// The details; may be empty.
        details: String,
    },
    /// The worker stopped because a cancel was requested.
    Canceled {
        /// The worker's details; may be empty.
        details: String,
    },
}

impl Outcome {
    /// A failure that the bridge itself reports, without details.
    pub fn failed(own: OwnFailure, reason: impl Into<String>) -> Self {
        Self::failed_with(own, reason, "")
    }

    /// A failure that the bridge itself reports, with details.
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

    /// The kind of the outcome.
    #[must_use]
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Completed { .. } => OutcomeKind::Completed,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::Canceled { .. } => OutcomeKind::Canceled,
        }
    }
}

labels! {
    /// The kind of an [`Outcome`], for metrics and logs.
    pub enum OutcomeKind {
        /// The worker completed the task.
        Completed = "completed",
        /// The worker reported a failure, or the bridge failed the task itself.
        Failed = "failed",
        /// The worker stopped because a cancel was requested.
        Canceled = "canceled",
    }
}

labels! {
    /// How a settlement ended.
    pub enum SettleEnd {
        /// AWS accepted the outcome.
        Accepted = "accepted",
        /// The token was dead: the task had timed out, its workflow was closed, or an earlier attempt had settled the task and
        /// its answer was lost.
        Gone = "gone",
        /// The deadline of the task passed before AWS accepted the outcome.
        Expired = "expired",
        /// AWS refused the outcome as not valid, and the failure in its place too.
        Rejected = "rejected",
    }
}

/// Why the bridge itself fails a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnFailure {
    /// The task could not be published to a queue.
    Undelivered,
    /// No worker started the task within the route's `max_wait_secs`.
    NotStarted,
    /// The message was dead-lettered: rejected, expired, at the delivery limit, or dropped.
    DeadLetter,
    /// The reply that should have ended the task can't be used.
    UnusableReply,
    /// AWS refused the worker's outcome as not valid.
    OutcomeRefused,
    /// The bridge was shut down before a worker replied.
    ShutDown,
    /// A person failed it, because no worker had begun.
    FailedByOperator,
}

impl OwnFailure {
    /// All failures.
    const ALL: [Self; 7] = [
        Self::Undelivered,
        Self::NotStarted,
        Self::DeadLetter,
        Self::UnusableReply,
        Self::OutcomeRefused,
        Self::ShutDown,
        Self::FailedByOperator,
    ];

    /// The failure with this name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// The name of the failure, for workflows that match failures by name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Undelivered => "ActivityBridge.Undelivered",
            Self::NotStarted => "ActivityBridge.NotStarted",
            Self::DeadLetter => "ActivityBridge.DeadLetter",
            Self::UnusableReply => "ActivityBridge.UnusableReply",
            Self::OutcomeRefused => "ActivityBridge.OutcomeRefused",
            Self::ShutDown => "ActivityBridge.ShutDown",
            Self::FailedByOperator => "ActivityBridge.FailedByOperator",
        }
    }
}
