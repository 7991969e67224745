//! The default timeouts of the activity types, as far as SWF has told them: who asks for a type, when, and what was learnt.
//!
//! Many tasks of one type ask at the same time, and one call answers them all. The calls for all types share a bucket. A
//! type that SWF does not tell is asked for again after a back-off.

use crate::{
    source::{SourceError, Verdict, rate_limit::Bucket},
    task::Timeouts,
    util::Backoff,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::info;

/// Timeout for a call. Together with [`MAX_TOKEN_WAIT`] it is no longer than a caller waits, so that the caller still notes
/// that the answer is missing.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum wait for a token of the bucket.
const MAX_TOKEN_WAIT: Duration = Duration::from_millis(900);

/// Interval between two calls, for all types together. SWF allows an account 6 calls of DescribeActivityType a second.
const CALL_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 6);

/// Maximum calls at once after a quiet time. SWF's own bucket is larger, but other processes use it too.
const BURST: u32 = 6;

/// First and maximum wait for the next call for a type after a fault that may be over soon. The back-off takes at least half.
const RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// First and maximum wait for the next call for a type after a refusal.
const REFUSED_RETRY: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(240));

/// Maximum number of remembered activity types of a domain. When it is reached, those of the domain are forgotten.
const MAX_TYPES: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(super) struct ActivityTypes {
    types: Mutex<Types>,
    bucket: Mutex<Bucket>,
}

/// By domain, name and version. The maps are nested so that a lookup copies no text.
type Types = HashMap<String, HashMap<String, HashMap<String, Arc<ActivityType>>>>;

/// The key of an activity type.
#[derive(Clone, Copy, Debug)]
pub(super) struct TypeKey<'t> {
    /// The domain of the type.
    pub(super) domain: &'t str,
    /// The name of the type.
    pub(super) name: &'t str,
    /// The version of the type.
    pub(super) version: &'t str,
}

#[derive(Debug)]
struct ActivityType {
    learnt: Mutex<Learnt>,
    /// Held during a call, so that no type is asked for twice.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Learnt {
    /// SWF's answer. A registered activity type never changes.
    Known(Timeouts),
    /// The next call is not made before this time.
    NotBefore(Instant, Faults),
}

/// The faults of the calls for one type, the newest of one kind.
#[derive(Debug)]
enum Faults {
    /// There was no call.
    None,
    /// Faults that may be over soon.
    Passing(Backoff),
    /// Refusals.
    Refused(Backoff),
}

impl ActivityTypes {
    pub(super) fn new() -> Self {
        Self {
            types: Mutex::default(),
            bucket: Mutex::new(Bucket::new(CALL_INTERVAL, BURST)),
        }
    }

    /// The default timeouts of a type; `None` if SWF has not told them yet. `call` makes the call to SWF, if one is due.
    /// `failed` gets the error of that call.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses the answer to its call. The next caller makes another call.
    pub(super) async fn of(
        &self,
        key: TypeKey<'_>,
        call: impl Future<Output = Result<Timeouts, SourceError>>,
        failed: impl FnOnce(&SourceError),
    ) -> Option<Timeouts> {
        let one = self.entry(key);
        if let Err(answer) = one.is_due(Instant::now()) {
            return answer;
        }
        let _asking = one.asking.lock().await;
        // Another caller may have asked while this one waited.
        if let Err(answer) = one.is_due(Instant::now()) {
            return answer;
        }
        let token = self.bucket.lock().take(MAX_TOKEN_WAIT, Instant::now())?;
        sleep_until(token).await;
        let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
        let answer = timeout(CALL_TIMEOUT, call).await.unwrap_or_else(late);
        one.note(&answer, Instant::now());
        match answer {
            Ok(timeouts) => {
                let TypeKey {
                    domain,
                    name,
                    version,
                } = key;
                info!(
                    domain,
                    activity_type = name,
                    version,
                    ?timeouts,
                    "learnt the timeouts of an activity type"
                );
                Some(timeouts)
            }
            Err(error) => {
                failed(&error);
                None
            }
        }
    }

    fn entry(&self, key: TypeKey<'_>) -> Arc<ActivityType> {
        let mut types = self.types.lock();
        if let Some(known) = find(&types, key) {
            return Arc::clone(known);
        }
        let domain = types.entry(key.domain.to_owned()).or_default();
        if domain.values().map(HashMap::len).sum::<usize>() >= MAX_TYPES {
            domain.clear();
        }
        let versions = domain.entry(key.name.to_owned()).or_default();
        let new = Arc::new(ActivityType {
            learnt: Mutex::new(Learnt::NotBefore(Instant::now(), Faults::None)),
            asking: tokio::sync::Mutex::default(),
        });
        versions.insert(key.version.to_owned(), Arc::clone(&new));
        new
    }
}

fn find<'t>(types: &'t Types, key: TypeKey<'_>) -> Option<&'t Arc<ActivityType>> {
    types.get(key.domain)?.get(key.name)?.get(key.version)
}

impl ActivityType {
    /// `Ok` if a call is due. Otherwise what is known.
    fn is_due(&self, now: Instant) -> Result<(), Option<Timeouts>> {
        match &*self.learnt.lock() {
            Learnt::Known(timeouts) => Err(Some(*timeouts)),
            Learnt::NotBefore(at, _) if now < *at => Err(None),
            Learnt::NotBefore(..) => Ok(()),
        }
    }

    fn note(&self, answer: &Result<Timeouts, SourceError>, now: Instant) {
        let mut learnt = self.learnt.lock();
        let error = match answer {
            Ok(timeouts) => {
                *learnt = Learnt::Known(*timeouts);
                return;
            }
            Err(error) => error,
        };
        if let Learnt::NotBefore(at, faults) = &mut *learnt {
            *at = now + faults.next_wait(error);
        }
    }
}

impl Faults {
    fn next_wait(&mut self, error: &SourceError) -> Duration {
        let refused = match error.verdict() {
            Verdict::Retry => false,
            Verdict::RetrySlowly | Verdict::Reject | Verdict::Gone => true,
        };
        match (&mut *self, refused) {
            (Self::Passing(backoff), false) | (Self::Refused(backoff), true) => backoff.next_wait(),
            _ => {
                let (first, most) = if refused { REFUSED_RETRY } else { RETRY };
                let mut backoff = Backoff::new(first, most);
                let wait = backoff.next_wait();
                *self = match refused {
                    true => Self::Refused(backoff),
                    false => Self::Passing(backoff),
                };
                wait
            }
        }
    }
}

#[cfg(test)]
mod tests;
