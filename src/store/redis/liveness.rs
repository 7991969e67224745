//! Looks for the leases of other processes.

use super::{
    owners::{Known, LEFT},
    redis_store::RedisStore,
    scripts,
};

impl RedisStore {
    /// Looks for the lease of a process. That of another may be to be had where this one is not: on a shard of a Cluster.
    pub(crate) async fn known(&self, owner: &str) -> Known {
        let script = &scripts::LEASE_OF;
        let script = script.key(self.keys.owner(owner).lease);
        let verify: Result<(Option<String>, i64), _> = self.connection.run(&script).await;
        let Ok((what, left)) = verify else {
            self.gone.saw(owner, false);
            return Known::MayBeDead;
        };
        let gone = self.gone.saw(owner, what.is_none());
        match what.as_deref() {
            Some(LEFT) => Known::Dead,
            Some(_) => Known::Alive(u64::try_from(left).unwrap_or(0)),
            None if gone && self.lease.may_judge_others() => Known::Dead,
            None => Known::MayBeDead,
        }
    }
}
