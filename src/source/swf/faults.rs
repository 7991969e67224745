//! The meanings of the faults that only SWF has.

use crate::source::aws::{Meaning, Meanings};

const NOT_PERMITTED: (&str, Meaning) = ("OperationNotPermittedFault", Meaning::Refused(None));

const LIMIT_EXCEEDED: (&str, Meaning) = ("LimitExceededFault", Meaning::TooMany);

/// The faults of calls about a domain, a task list or an activity type.
pub(super) const OF_PLACES: &Meanings = &[
    ("UnknownResourceFault", Meaning::Refused(None)),
    NOT_PERMITTED,
    LIMIT_EXCEEDED,
];

/// The faults of calls with a token. An unknown resource is a task that is settled or timed out, or whose workflow is closed.
pub(super) const OF_TOKENS: &Meanings = &[
    ("UnknownResourceFault", Meaning::Gone),
    NOT_PERMITTED,
    LIMIT_EXCEEDED,
];
