//! Which processes are dead: those whose lease is missing and does not come back.
//!
//! While Redis is unavailable, all leases run out together. If one shard of a Cluster is unavailable, all leases on it run out.
//! Therefore a process counts as dead only under two conditions: several reads over a while found no lease of it, and this
//! process's own lease has held for a while.

use super::limits::LEASE;
use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// The value in the lease of a process that has ended cleanly.
pub(crate) const LEFT: &str = "left";

/// Minimum time for which a lease must be missing until its process counts as dead. A living process renews its lease within
/// half of that.
const MISSING_TIME: Duration = Duration::from_millis(900);

/// Maximum time between two reads of a missing lease. A lease that was renewed in between would still be there.
const MAX_READ_INTERVAL: Duration = LEASE;

/// Whether a process is alive.
pub(crate) enum Liveness {
    /// Its lease is there, and lasts for this number of milliseconds.
    Alive(u64),
    /// Its lease is missing and may come back, or the lease can't be read.
    MayBeDead,
    /// Its lease is missing for good, or the process has ended cleanly.
    Dead,
}

/// The owners whose leases are missing: when the first and the last read found none.
#[derive(Default)]
pub(crate) struct MissingLeases(Mutex<HashMap<String, (Instant, Instant)>>);

impl MissingLeases {
    /// Notes a read of an owner's lease. True if the lease is missing for good.
    pub(super) fn note(&self, owner: &str, missing: bool) -> bool {
        let mut all = self.0.lock();
        let now = Instant::now();
        all.retain(|_, (_, last)| last.elapsed() < MAX_READ_INTERVAL);
        if !missing {
            all.remove(owner);
            return false;
        }
        let (first, last) = all.entry(owner.to_owned()).or_insert((now, now));
        *last = now;
        first.elapsed() >= MISSING_TIME
    }
}

/// The dead owners that are skipped for a while.
#[derive(Default)]
pub(super) struct SkippedOwners {
    /// Since when each is skipped.
    pub(super) since: HashMap<String, Instant>,
    /// How often the routes of this process have changed. What was found before such a change is out of date.
    pub(super) by_routes: u64,
}
