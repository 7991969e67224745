//! The settings of the process and of its shutdown.

use crate::settings::Reader;
use std::time::Duration;

/// The settings of the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// Maximum time from the first signal to the end of the process.
    pub grace: Duration,
    /// Whether a shutdown fails tasks without a reply back to AWS, instead of leaving them in the store.
    pub give_back: bool,
}

/// Reads the table `[shutdown]`. Without a store that outlives the process, tasks are failed back by default.
pub(crate) fn read(mut shutdown: Reader<'_>, store_outlives_the_process: bool) -> ShutdownConfig {
    let help = "Maximum duration of a shutdown, in seconds.";
    let grace = shutdown.integer("grace_secs", help, 1..=86_400).or(90);
    let help = "What happens at the end of the grace period to a task that no worker has replied to. true: the bridge fails it back to \
                AWS. false: the task stays in the store, for the next start or for the other replicas.";
    let give_back = shutdown.flag("give_back", help);
    let give_back = give_back.or_computed(!store_outlives_the_process);
    shutdown.finish();
    ShutdownConfig {
        grace: Duration::from_secs(grace),
        give_back,
    }
}

/// Reads the table `[process]`. True if the system may write core dumps.
pub(crate) fn read_process(mut process: Reader<'_>) -> bool {
    let help = "Whether the system may write a core dump when the process crashes.";
    let core_dumps = process.flag("core_dumps", help).or(false);
    process.finish();
    core_dumps
}
