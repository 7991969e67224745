//! Asks SWF how many tasks wait in a task list.
//!
//! SWF allows an account 6 of these calls a second, so all routes of the process share a bucket with half of that. The calls are
//! apart from those of the [`RateLimiter`](crate::source::rate_limit::RateLimiter): no task waits for them.

use super::faults::OF_PLACES;
use crate::source::{PendingTasks, SourceError, aws::AwsCredentials, rate_limit::Bucket};
use aws_sdk_swf::{Client, types::TaskList};
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

/// Interval between two calls, for all task lists together.
const CALL_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 3);

/// Maximum calls at once after a quiet time. SWF's own bucket has 200, but other processes use it too.
const BURST: u32 = 50;

/// Maximum wait for a token of the bucket.
const MAX_TOKEN_WAIT: Duration = Duration::from_millis(900);

/// See the module.
#[derive(Debug)]
pub(super) struct PendingCounts {
    client: Client,
    credentials: AwsCredentials,
    bucket: Mutex<Bucket>,
    /// Whether a missing permission was logged.
    logged: AtomicBool,
}

impl PendingCounts {
    pub(super) fn new(client: Client, credentials: AwsCredentials) -> Self {
        Self {
            client,
            credentials,
            bucket: Mutex::new(Bucket::new(CALL_INTERVAL, BURST)),
            logged: AtomicBool::new(false),
        }
    }

    /// The number of tasks that wait in the task list.
    pub(super) async fn of(
        &self,
        domain: &str,
        task_list: &TaskList,
    ) -> Result<PendingTasks, SourceError> {
        let token = self.bucket.lock().take(MAX_TOKEN_WAIT, Instant::now());
        let Some(token) = token else {
            let why = "by the bridge itself, because it counts the tasks of many routes";
            return Err(SourceError::Throttled(why.to_owned()));
        };
        sleep_until(token).await;
        let call = self.client.count_pending_activity_tasks().domain(domain);
        let answer = call.task_list(task_list.clone()).send().await;
        let answer = answer.map_err(self.credentials.to_source_error(OF_PLACES));
        let answer = answer.inspect_err(|error| self.log_failure(error))?;
        Ok(PendingTasks {
            count: u64::try_from(answer.count).unwrap_or_default(),
            truncated: answer.truncated,
        })
    }

    /// Logs a refusal once as a warning, everything else at `debug`.
    fn log_failure(&self, error: &SourceError) {
        let permission = "swf:CountPendingActivityTasks";
        let refused = matches!(error, SourceError::Refused(_));
        if refused && !self.logged.swap(true, Ordering::Relaxed) {
            warn!(
                %error,
                permission,
                "can't ask AWS how many tasks wait, so /scale and the metrics don't tell it; grant the permission"
            );
        } else {
            debug!(%error, permission, "AWS did not tell how many tasks wait");
        }
    }
}
