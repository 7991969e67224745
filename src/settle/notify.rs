//! What workers are told: cancels, and answers to signs of life. This module repeats what failed, within a timeout. The
//! callers decide what is told, and when.

use crate::{
    broker::{Announcement, Delivery, PublishError},
    context::Bridge,
    task::{Status, TaskId},
    util::Backoff,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Timeout for an announcement, all attempts together.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(600);
/// Timeout for the answer to a sign of life. The worker's next heartbeat asks again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells the worker of a task to stop, with the reason. Gives up after `ANNOUNCE_TIMEOUT`. A worker that was not told
/// learns the end of its task when its reply is late.
pub async fn announce(bridge: &Bridge, id: TaskId, what: Announcement) {
    let announced = timeout(ANNOUNCE_TIMEOUT, try_to_announce(bridge, id, what));
    if announced.await.is_err() {
        let reason = what.label();
        warn!(task = %id, reason, "could not announce a cancel; the worker will not hear of it");
    }
}

async fn try_to_announce(bridge: &Bridge, id: TaskId, what: Announcement) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    while let Err(error) = bridge.broker.announce(id, what).await {
        if let PublishError::Refused(_) = error {
            // The broker's words may have the routing key, which is the whole id.
            let error = error.to_string().replace(&id.reveal(), &id.to_string());
            warn!(task = %id, error, "could not announce a cancel; the worker will not hear of it");
            return;
        }
        let error = error.to_string().replace(&id.reveal(), &id.to_string());
        debug!(task = %id, error, "a cancel is not announced yet");
        sleep(backoff.next_wait()).await;
    }
}

/// Tells a worker the status of its task. A sign of life without a `reply_to` gets no answer.
pub async fn answer(bridge: &Bridge, sign: &Delivery, status: Status) {
    match timeout(ANSWER_TIMEOUT, bridge.broker.answer(sign, status)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a heartbeat could not be answered"),
        Err(_) => debug!("a heartbeat could not be answered in time"),
    }
}
