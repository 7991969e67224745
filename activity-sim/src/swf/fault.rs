//! The faults of Amazon SWF's own.

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

    pub(crate) fn domain_exists(name: &str) -> Self {
        Self::refused("DomainAlreadyExistsFault", name)
    }

    pub(crate) fn type_exists(message: impl Into<String>) -> Self {
        Self::refused("TypeAlreadyExistsFault", message)
    }
}
