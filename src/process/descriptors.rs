//! The limit on open files. Each connection of a worker and each call to AWS needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Raises the soft limit to the hard one. Returns the limit; `None` if there is none.
pub fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            debug!(%error, "the limit on open files could not be raised");
        }
    }
    soft_limit()
}

/// The hard limit, to which the bridge raises the soft one; `None` if there is none.
#[must_use]
pub fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// The soft limit; `None` if there is none.
pub fn soft_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
