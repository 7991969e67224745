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
        let lease = self.keys.owner(owner).lease;
        let answer = self.connection.run(&script.key(&lease)).await;
        // A key of another type is no lease. The process would have replaced it.
        let answer = self.unreadable.check(&lease, answer);
        let Ok(answer) = answer.map(Option::unwrap_or_default) else {
            self.missing_leases.note(owner, false);
            return Liveness::MayBeDead;
        };
        let (value, left): (Option<Vec<u8>>, i64) = answer;
        // Neither is a key that does not expire.
        let left = u64::try_from(left).ok().filter(|_| value.is_some());
        let missing = self.missing_leases.note(owner, left.is_none());
        match left {
            Some(_) if value.as_deref() == Some(LEFT.as_bytes()) => Liveness::Dead,
            Some(left) => Liveness::Alive(left),
            None if missing && self.lease.may_judge_others() => Liveness::Dead,
            None => Liveness::MayBeDead,
        }
    }
}
