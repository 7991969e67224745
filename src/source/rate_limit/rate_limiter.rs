//! The rate limiter of the API calls that an AWS account makes in a region. All routes of one service share it.
//!
//! AWS limits the calls of an account with token buckets. As documented there is one for each operation (API call). Other
//! processes of the account, which the bridge can't see, use the same buckets. Therefore no rate is configured. An operation
//! is not limited until AWS throttles it. Then it is limited to a rate that is learnt from AWS's answers (`pace`). Apart from
//! the rate, the number of concurrent calls has a maximum, because each call has a connection of its own. Polls do not count:
//! `pollers.max` bounds them.
//!
//! Callers that can't begin at once wait in the queue of their operation (`queue`). The queues depend on each other, because
//! AWS may throttle the whole account (`grants`):
//!
//! 1. Results go first, and among them the one with the earliest deadline.
//! 2. Heartbeats wait for results for as long as no task can time out by it.
//! 3. Polls wait for results that AWS throttles, because a poll only adds more of them. While other results or urgent
//!    heartbeats wait, each route still polls every few seconds.
//!
//! No task runs in the background. The first caller in each queue sleeps until its time. A caller that leaves a queue, and a
//! call that ends, wake the first caller of every queue, which then computes its time again.

use super::{
    call::Call,
    grants::{Grants, Moment},
    pace::Answer,
    queue::Key,
};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// See the module. The queues contain only the futures of callers, so the callers bound their length.
#[derive(Debug)]
pub struct RateLimiter {
    grants: Mutex<Grants>,
}

/// The right to make one call now. The caller holds it until AWS has answered, even if AWS holds a poll for a minute.
#[derive(Debug)]
#[must_use = "make the call, and report its answer with `done`"]
pub struct Permit<'a> {
    rate_limiter: &'a RateLimiter,
    call: Call,
    begun: Instant,
    waited: bool,
}

impl Permit<'_> {
    /// Reports the answer. A permit that is dropped counts as [`Answer::Other`].
    pub fn done(self, answer: Answer) {
        let mut grants = self.rate_limiter.grants();
        let pace = grants.pace(self.call);
        pace.observe(answer, self.begun, self.waited, Instant::now());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.rate_limiter.grants().end(self.call);
    }
}

impl RateLimiter {
    /// A rate limiter without limits on the rate. AWS's answers set them.
    #[must_use]
    pub fn new() -> Self {
        Self {
            grants: Mutex::new(Grants::new(Instant::now())),
        }
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock()
    }

    /// Waits until the call may be made. There is no wait if AWS does not throttle and few calls are under way.
    ///
    /// # Cancel safety
    ///
    /// A dropped future gives up its place in the queue. A future that is kept and not polled delays the callers behind it.
    pub async fn acquire(&self, call: Call) -> Permit<'_> {
        let deadline = call.due().and_then(|due| due.deadline);
        self.acquire_by(call, deadline).await
    }

    /// The same for a result that AWS accepts until `deadline`; `None` if that is not known. Results with an earlier deadline
    /// get their permits earlier.
    ///
    /// # Cancel safety
    ///
    /// As for [`RateLimiter::acquire`].
    pub async fn acquire_by(&self, call: Call, deadline: Option<Instant>) -> Permit<'_> {
        let permit = |begun, waited| Permit {
            rate_limiter: self,
            call,
            begun,
            waited,
        };
        let now = Instant::now();
        let Some(place) = self.begin_or_wait(call, deadline, now) else {
            return permit(now, false);
        };
        loop {
            let now = Instant::now();
            let moment = self.grants().begin_first(call, &place.key, now);
            match moment {
                Moment::Now => return permit(now, true),
                Moment::At(moment) => tokio::select! {
                    () = sleep_until(moment) => {}
                    () = place.wake.notified() => {}
                },
                Moment::WhenWoken => place.wake.notified().await,
            }
        }
    }

    /// Begins the call if no limit and no other caller is in its way. Otherwise joins the queue of its operation.
    fn begin_or_wait(
        &self,
        call: Call,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Option<Place<'_>> {
        let mut grants = self.grants();
        if grants.begin_at_once(call, deadline, now) {
            return None;
        }
        let wake = Arc::new(Notify::new());
        let key = grants.join(call, deadline, Arc::clone(&wake));
        Some(Place {
            rate_limiter: self,
            call,
            key,
            wake,
        })
    }
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// A place in a queue. Its drop gives the place up.
struct Place<'a> {
    rate_limiter: &'a RateLimiter,
    call: Call,
    key: Key,
    wake: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.rate_limiter.grants().leave(self.call, &self.key);
    }
}

#[cfg(test)]
mod tests;
