//! What SWF's own faults mean.

use crate::source::aws::{Meaning, Meanings};

const NOT_PERMITTED: (&str, Meaning) = ("OperationNotPermittedFault", Meaning::Refused(None));

const LIMIT_EXCEEDED: (&str, Meaning) = ("LimitExceededFault", Meaning::TooMany);

/// Of calls about a domain, a task list or a type.
pub(super) const OF_PLACES: &Meanings = &[
    ("UnknownResourceFault", Meaning::Refused(None)),
    NOT_PERMITTED,
    LIMIT_EXCEEDED,
];

/// Of calls with a token: an unknown resource is a task that is settled, timed out, or its workflow closed.
pub(super) const OF_TOKENS: &Meanings = &[
    ("UnknownResourceFault", Meaning::Gone),
    NOT_PERMITTED,
    LIMIT_EXCEEDED,
];
