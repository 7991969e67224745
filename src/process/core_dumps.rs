//! Core dumps. A dump of the process holds passwords, tokens and the data of tasks, on a disk that others may read.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Sets the limit on the size of core dumps to 0, for this process and all that it starts.
///
/// # Errors
///
/// If the system refuses that.
pub fn forbid() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}
