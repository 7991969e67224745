//! The state of the link to the broker.

/// The state of the link to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is no connection, for this reason.
    Away(String),
    /// Connected.
    Up,
    /// Connected, but the broker takes no messages for now, for this reason.
    Blocked(String),
}

impl Link {
    /// Whether there is a connection, blocked or not.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Up | Self::Blocked(_) => true,
            Self::Away(_) => false,
        }
    }
}
