//! Why a store did not do what it was asked.

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or its disk can't be written. Worth another try.
    #[error("the token store is not available: {0}")]
    Unavailable(String),
    /// Another try changes nothing.
    #[error("the token store has lost what is to be published of the task")]
    NoMessage,
}
