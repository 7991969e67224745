//! The settings of the shutdown.

use crate::settings::Reader;
use std::time::Duration;

/// How the process shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownConfig {
    /// How long a shutdown may take from the first signal to the end of the process.
    pub grace: Duration,
    /// Whether a shutdown fails what no worker has replied to back to AWS, instead of leaving it in the store.
    pub give_back: bool,
}

/// Reads the table. A store that forgets with the process leaves tasks to nobody, so it gives them back by default.
pub(crate) fn read(mut shutdown: Reader<'_>, store_outlives_the_process: bool) -> ShutdownConfig {
    let grace = shutdown.integer("grace_secs", 1..=86_400).unwrap_or(90);
    let give_back = shutdown.flag("give_back");
    shutdown.finish();
    ShutdownConfig {
        grace: Duration::from_secs(grace),
        give_back: give_back.unwrap_or(!store_outlives_the_process),
    }
}
