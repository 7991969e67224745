//! Why a call to the store failed.

/// Why a call to the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store can't be reached, or its disk can't be written. Another attempt may succeed.
    #[error("the token store is not available: {0}")]
    Unavailable(String),
    /// The store has no message of the task. Another attempt can't succeed.
    #[error("the token store has no copy of what is to be published of the task")]
    NoMessage,
    /// What the store has there can't be read: another version, or somebody else, wrote it. Another attempt can't succeed.
    #[error("what the token store has can't be read: {0}")]
    Unreadable(String),
}
