//! Why the broker did not do what it was asked.

/// Why a message was not taken. Each may be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection.
    #[error("the broker is away")]
    Away,
    /// No queue takes it.
    #[error("unroutable: {0}")]
    Unroutable(String),
    /// The broker can't take it now, in its own words.
    #[error("the broker refused it {0}")]
    Nacked(&'static str),
    /// The broker will not have it: no permission to write there, or no such exchange.
    #[error("the broker refuses it: {0}")]
    Refused(String),
    /// The connection ended, or the confirm did not come in time. The broker may have it all the same.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
}

impl PublishError {
    /// The label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Unroutable(_) => "unroutable",
            Self::Nacked(_) => "nacked",
            Self::Refused(_) => "refused",
            Self::Unconfirmed(_) => "unconfirmed",
        }
    }
}

/// Why a destination can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadinessError {
    /// The broker could not be asked.
    #[error("the broker could not be asked: {0}")]
    Away(String),
    /// A person must do something, which the text says.
    #[error("{0}")]
    Unusable(String),
}
