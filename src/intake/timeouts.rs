//! Learns the timeouts of a task, because the answer to a poll contains none of them: before the publication, and again later
//! if AWS has not told them by then.

use crate::{
    broker::Durability,
    context::Bridge,
    route::Route,
    source::Discovered,
    store::Note,
    task::{HeaderValue, Input, Task, Timeouts, unix_millis},
    util::Backoff,
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::debug;

/// First wait before AWS is asked again for the timeouts of a task.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Maximum wait before AWS is asked again. With 10,000 tasks in flight, this is a question in 20 ms.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Asks for the timeouts of a task that is about to be published, and puts the known ones into its headers. If AWS has not
/// told everything, it is asked again later, beside the publication.
pub(super) async fn discover(bridge: &Arc<Bridge>, route: &Arc<Route>, task: &mut Task) {
    let Discovered {
        timeouts,
        ask_again,
    } = ask(route, task).await;
    // A durable broker's confirm stores the timeouts too.
    let noted = bridge.broker.durability() == Durability::Process;
    learn(bridge, task, timeouts, noted);
    if ask_again {
        let asking = ask_again_later(Arc::clone(bridge), Arc::clone(route), without_input(task));
        bridge.supervisor.spawn("a question for timeouts", asking);
    }
    tell(task);
}

/// Puts the known timeouts into a task's headers.
pub(super) fn tell(task: &mut Task) {
    if let Some(limit) = task.timeouts.heartbeat.limit() {
        let secs = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let header = HeaderValue::Integer(secs);
        task.headers.push(("heartbeat-timeout-secs".into(), header));
    }
    if let Some(deadline) = task.likely_deadline() {
        let header = HeaderValue::Integer(unix_millis(deadline));
        task.headers.push(("deadline-ms".into(), header));
    }
}

/// Asks for the timeouts of a task. What is known of it stays known, where AWS does not tell it this time.
async fn ask(route: &Route, task: &Task) -> Discovered {
    let mut found = route.source.timeouts(task).await;
    if found.ask_again {
        let (new, known) = (found.timeouts, task.timeouts);
        found.timeouts = Timeouts {
            heartbeat: new.heartbeat.or(known.heartbeat),
            start_to_close: new.start_to_close.or(known.start_to_close),
        };
    }
    found
}

/// Takes over what was learnt: the heartbeats and the deadline of the task follow it.
fn learn(bridge: &Bridge, task: &mut Task, timeouts: Timeouts, noted: bool) {
    if timeouts == task.timeouts {
        return;
    }
    task.timeouts = timeouts;
    bridge.inflight.set_timeouts(task);
    if noted {
        bridge.store.note(task.id, Note::Learnt(timeouts));
    }
}

/// Asks until AWS has told everything or the task has ended. Each task has at most one such question.
async fn ask_again_later(bridge: Arc<Bridge>, route: Arc<Route>, mut task: Task) {
    let id = task.id;
    let ended = bridge.inflight.left(id);
    let asking = async {
        let mut backoff = Backoff::new(FIRST_WAIT, MAX_WAIT);
        let mut found = Discovered::incomplete(task.timeouts);
        while found.ask_again {
            sleep(backoff.next_wait()).await;
            found = ask(&route, &task).await;
            learn(&bridge, &mut task, found.timeouts, true);
        }
        debug!(route = route.name(), task = %id, timeouts = ?task.timeouts, "learnt the timeouts of a task");
    };
    tokio::select! {
        () = ended => {}
        () = asking => {}
    }
}

/// The task without what no question needs, because it may be large.
fn without_input(task: &Task) -> Task {
    Task {
        id: task.id,
        token: task.token.clone(),
        activity: task.activity.clone(),
        input: Input::from(String::new()),
        headers: task.headers.clone(),
        polled_at: task.polled_at,
        timeouts: task.timeouts,
    }
}
