//! Who is dead: whose lease is gone, and does not come back.
//!
//! When Redis was away all leases ran out together, and with one shard of a Cluster all that were on it. So nobody counts as
//! dead before its lease was looked for again and again, nor before this process's own has held for a while.

use super::limits::LEASE;
use parking_lot::Mutex;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// What is in the lease of a process that has ended cleanly.
pub(crate) const LEFT: &str = "left";

/// For so long a lease must be seen to be gone. The living take it again within half of that.
const CERTAIN: Duration = Duration::from_millis(900);

/// A lease that was taken again since it was last looked for would still be there.
const STALE: Duration = LEASE;

/// What is known of a process.
pub(crate) enum Known {
    /// Its lease has so long left, in milliseconds.
    Alive(u64),
    /// Its lease is gone and may come back, or it can't be read.
    MayBeDead,
    /// Or it has left.
    Dead,
}

/// The owners whose leases were lately seen to be gone: since when, and when last.
#[derive(Default)]
pub(crate) struct Gone(Mutex<HashMap<String, (Instant, Instant)>>);

impl Gone {
    /// An owner's lease was looked for. Whether it is gone for good.
    pub(super) fn saw(&self, owner: &str, gone: bool) -> bool {
        let mut all = self.0.lock();
        let now = Instant::now();
        all.retain(|_, (_, last)| last.elapsed() < STALE);
        if !gone {
            all.remove(owner);
            return false;
        }
        let (first, last) = all.entry(owner.to_owned()).or_insert((now, now));
        *last = now;
        first.elapsed() >= CERTAIN
    }
}
