//! Whether the broker can be used.

/// Whether the broker can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// No connection, and why.
    Away(String),
    /// Connected.
    Up,
    /// Connected, but the broker takes no messages for now, and why.
    Blocked(String),
}

impl Link {
    /// Whether there is a connection at all.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match self {
            Self::Up | Self::Blocked(_) => true,
            Self::Away(_) => false,
        }
    }
}
