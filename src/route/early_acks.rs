//! What is known of workers that acknowledge before they have finished.

use std::fmt;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyAcks {
    /// The number of tasks that were completed too early.
    pub tasks: u64,
    /// Whether acknowledgements settle nothing any more.
    pub releases: bool,
}

impl fmt::Display for EarlyAcks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follows = match self.releases {
            true => "acknowledgements settle nothing until the process ends",
            false => {
                "acknowledgements still complete tasks, because ack = \"completes\" is written"
            }
        };
        let tasks = self.tasks;
        write!(
            f,
            "workers acknowledge before they have finished, tasks completed too early: {tasks}; {follows}. Set ack = \"releases\", or \
             let the workers acknowledge at the end"
        )
    }
}
