//! The faults that only Amazon SWF has.

use crate::wire::Fault;

impl Fault {
    pub(crate) fn unknown_resource(message: impl Into<String>) -> Self {
        Self::refused("UnknownResourceFault", message)
    }

    pub(crate) fn not_permitted(message: impl Into<String>) -> Self {
        Self::refused("OperationNotPermittedFault", message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::refused("LimitExceededFault", message)
    }
}
