//! Reads the leases of other processes.

use super::{
    owners::{LEFT, Liveness},
    redis_store::RedisStore,
    scripts,
};

impl RedisStore {
    /// Reads the lease of a process. An error for one process says nothing of the others, which may be on other shards of a
    /// Cluster.
    pub(crate) async fn liveness(&self, owner: &str) -> Liveness {
        let script = &scripts::LEASE_OF;
        let script = script.key(self.keys.owner(owner).lease);
        let answer: Result<(Option<String>, i64), _> = self.connection.run(&script).await;
        let Ok((value, left)) = answer else {
            self.missing_leases.note(owner, false);
            return Liveness::MayBeDead;
        };
        let missing = self.missing_leases.note(owner, value.is_none());
        match value.as_deref() {
            Some(LEFT) => Liveness::Dead,
            Some(_) => Liveness::Alive(u64::try_from(left).unwrap_or(0)),
            None if missing && self.lease.may_judge_others() => Liveness::Dead,
            None => Liveness::MayBeDead,
        }
    }
}
