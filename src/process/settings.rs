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
    let grace = shutdown.integer("grace_secs", 1..=86_400).unwrap_or(90);
    let give_back = shutdown.flag("give_back");
    shutdown.finish();
    ShutdownConfig {
        grace: Duration::from_secs(grace),
        give_back: give_back.unwrap_or(!store_outlives_the_process),
    }
}

/// Reads the table `[process]`. True if the system may write core dumps.
pub(crate) fn read_process(mut process: Reader<'_>) -> bool {
    let core_dumps = process.flag("core_dumps");
    process.finish();
    core_dumps.unwrap_or(false)
}
