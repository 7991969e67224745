//! Learns the timeouts of tasks from SWF, because the answer to a poll contains none of them.
//!
//! The default timeouts of an activity type are asked for once, with DescribeActivityType ([`ActivityTypes`]). A decider can
//! schedule a task with other timeouts. These are in the ActivityTaskScheduled event of the workflow's history. Both questions
//! have a short timeout, so that no task waits for long. What can't be learnt in time is unknown, and can be asked for again.

use super::{
    activity_types::{ActivityTypes, TypeKey},
    faults::OF_PLACES,
};
use crate::{
    source::{
        Discovered, SourceError,
        aws::AwsCredentials,
        rate_limit::{Call, RateLimiter},
    },
    task::{HeaderValue, Task, Timeout, Timeouts},
    util::jittered,
};
use aws_sdk_swf::{
    Client,
    types::{ActivityType, HistoryEvent, WorkflowExecution},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

/// Timeout for one question, the wait for other questions included. A task is not published before.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Interval between two reads of a history after a refusal.
const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(120);

/// Maximum number of events on a page of a history. The wanted event is among the newest, unless very much runs in one
/// workflow. An event has up to 65,536 characters, and a page must fit into the bound on answers.
const EVENTS_PER_PAGE: i32 = 50;

/// Maximum number of pages that are read of a history.
const MAX_PAGES: usize = 10;

/// The timeouts that were learnt so far, for all routes.
#[derive(Debug)]
pub(crate) struct Discovery {
    client: Client,
    credentials: AwsCredentials,
    rate_limiter: Arc<RateLimiter>,
    types: ActivityTypes,
    /// After a refusal, no history is read before this time.
    no_history_before: Mutex<Option<Instant>>,
    /// Whether a missing permission was logged, for each kind of question.
    logged: [AtomicBool; 2],
}

/// A kind of question. Each needs its own permission.
#[derive(Clone, Copy)]
enum Read {
    Types,
    Histories,
}

impl Read {
    fn permission(self) -> &'static str {
        match self {
            Self::Types => "swf:DescribeActivityType",
            Self::Histories => "swf:GetWorkflowExecutionHistory",
        }
    }
}

impl Discovery {
    pub(crate) fn new(
        client: Client,
        credentials: AwsCredentials,
        rate_limiter: Arc<RateLimiter>,
    ) -> Self {
        Self {
            client,
            credentials,
            rate_limiter,
            types: ActivityTypes::new(),
            no_history_before: Mutex::default(),
            logged: [AtomicBool::new(false), AtomicBool::new(false)],
        }
    }

    /// The default timeouts of the task's activity type.
    pub(crate) async fn of_type(&self, domain: &str, task: &Task) -> Discovered {
        let key = TypeKey {
            domain,
            name: &task.activity,
            version: text(task, "activity-version"),
        };
        let failed = |error: &SourceError| self.log_failure(Read::Types, error);
        let asking = self.types.of(key, self.describe(key), failed);
        match timeout(DISCOVERY_TIMEOUT, asking).await {
            Ok(Some(timeouts)) => Discovered::all(timeouts),
            Ok(None) | Err(_) => Discovered::incomplete(Timeouts::default()),
        }
    }

    /// The timeouts that the task was scheduled with, or else the defaults of its activity type.
    pub(crate) async fn of_task(&self, domain: &str, task: &Task) -> Discovered {
        let asking = self.scheduled(domain, task);
        match timeout(DISCOVERY_TIMEOUT, asking).await {
            Ok(Ok(Some(timeouts))) => return Discovered::all(timeouts),
            // The history has no such event near its end. Later there are only more events after it.
            Ok(Ok(None)) => return self.of_type(domain, task).await,
            Ok(Err(error)) => self.note_failed_history(&error),
            Err(_) => debug!(
                permission = Read::Histories.permission(),
                "could not learn a timeout from AWS in time"
            ),
        }
        let of_type = self.of_type(domain, task).await;
        Discovered::incomplete(of_type.timeouts)
    }

    fn note_failed_history(&self, error: &SourceError) {
        if matches!(error, SourceError::Refused(_)) {
            let at = Instant::now() + jittered(REFUSED_RETRY_INTERVAL);
            *self.no_history_before.lock() = Some(at);
        }
        self.log_failure(Read::Histories, error);
    }

    /// Logs a failed question: a missing permission once as a warning, everything else at `debug`.
    fn log_failure(&self, what: Read, error: &SourceError) {
        let permission = what.permission();
        let refused = matches!(error, SourceError::Refused(_));
        if refused && !self.logged[what as usize].swap(true, Ordering::Relaxed) {
            warn!(
                %error,
                permission,
                "can't learn timeouts from AWS, and goes by the route's settings; grant the permission, or set \
                 heartbeat.timeout_secs and heartbeat.discover = false"
            );
        } else {
            debug!(%error, permission, "could not learn a timeout from AWS");
        }
    }

    async fn describe(&self, key: TypeKey<'_>) -> Result<Timeouts, SourceError> {
        let activity_type = ActivityType::builder().name(key.name).version(key.version);
        let call = self.client.describe_activity_type().domain(key.domain);
        let call = call.activity_type(activity_type.build().expect("both fields are set"));
        let answer = call.send().await;
        let answer = answer.map_err(self.credentials.to_source_error(OF_PLACES))?;
        let defaults = answer.configuration;
        Ok(
            defaults.map_or_else(Timeouts::default, |defaults| Timeouts {
                heartbeat: read(defaults.default_task_heartbeat_timeout()).usual(),
                start_to_close: read(defaults.default_task_start_to_close_timeout()).usual(),
            }),
        )
    }

    /// The timeouts in the task's ActivityTaskScheduled event. The answer to the poll has the id of the ActivityTaskStarted
    /// event, which has the id of the scheduled event.
    async fn scheduled(&self, domain: &str, task: &Task) -> Result<Option<Timeouts>, SourceError> {
        let Some(HeaderValue::Integer(started_id)) = task.header("started-event-id") else {
            return Ok(None);
        };
        if let Some(at) = *self.no_history_before.lock()
            && Instant::now() < at
        {
            return Err(SourceError::Unavailable("refused lately".to_owned()));
        }
        let run = WorkflowExecution::builder()
            .workflow_id(text(task, "workflow-id"))
            .run_id(text(task, "run-id"));
        let call = self.client.get_workflow_execution_history().domain(domain);
        let call = call.execution(run.build().expect("both fields are set"));
        let mut pages = call
            .maximum_page_size(EVENTS_PER_PAGE)
            .reverse_order(true)
            .into_paginator()
            .send();
        let mut scheduled_id = None;
        for _ in 0..MAX_PAGES {
            let permit = self.rate_limiter.acquire(Call::History).await;
            let Some(page) = pages.next().await else {
                break;
            };
            let page = page.map_err(self.credentials.to_source_error(OF_PLACES));
            permit.done((&page).into());
            let page = page?;
            for event in &page.events {
                if event.event_id == *started_id {
                    let started = event.activity_task_started_event_attributes();
                    scheduled_id = started.map(|started| started.scheduled_event_id);
                } else if Some(event.event_id) == scheduled_id {
                    return Ok(timeouts_of(event));
                }
            }
        }
        Ok(None)
    }
}

fn timeouts_of(event: &HistoryEvent) -> Option<Timeouts> {
    let scheduled = event.activity_task_scheduled_event_attributes()?;
    Some(Timeouts {
        heartbeat: read(scheduled.heartbeat_timeout()),
        start_to_close: read(scheduled.start_to_close_timeout()),
    })
}

fn text<'t>(task: &'t Task, name: &str) -> &'t str {
    match task.header(name) {
        Some(HeaderValue::Text(text)) => text,
        Some(HeaderValue::Integer(_)) | None => "",
    }
}

/// Reads a timeout as SWF writes it: a number of seconds, or `NONE`.
fn read(timeout: Option<&str>) -> Timeout {
    match timeout {
        None => Timeout::Unknown,
        Some("NONE") => Timeout::Never,
        Some(text) => {
            let secs = text.parse().ok();
            let limit = secs.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            // SWF's longest timeout is a year. With a longer one a point in time might not be representable.
            limit
                .filter(|limit| !limit.is_zero() && *limit <= YEAR)
                .into()
        }
    }
}

/// A leap year.
const YEAR: Duration = Duration::from_secs(31_622_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Input, TaskId, TaskToken};
    use std::time::SystemTime;

    fn unasked() -> Discovery {
        let config = aws_sdk_swf::Config::builder()
            .behavior_version_latest()
            .build();
        let (client, none) = (Client::from_conf(config), AwsCredentials::none());
        Discovery::new(client, none, Arc::new(RateLimiter::new()))
    }

    fn task() -> Task {
        Task {
            id: TaskId::random(),
            token: TaskToken::new("token").expect("a token"),
            activity: "charge".to_owned(),
            input: Input::from(String::new()),
            headers: vec![("started-event-id".into(), HeaderValue::Integer(7))],
            polled_at: SystemTime::now(),
            timeouts: Timeouts::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_about_a_type_holds_a_task_for_three_seconds_at_most() {
        let discovery = unasked();
        let key = TypeKey {
            domain: "shop",
            name: "charge",
            version: "",
        };
        // A caller that asks, and that nobody polls again.
        let stuck = discovery.types.of(key, std::future::pending(), |_| {});
        let mut stuck = std::pin::pin!(stuck);
        assert!(futures_util::poll!(&mut stuck).is_pending());
        let begun = Instant::now();
        let found = discovery.of_type("shop", &task()).await;
        assert_eq!(found, Discovered::incomplete(Timeouts::default()));
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_about_a_history_holds_a_task_for_three_seconds_at_most() {
        let discovery = unasked();
        let limiter = Arc::clone(&discovery.rate_limiter);
        let throttled = limiter.acquire(Call::History).await;
        throttled.done(crate::source::rate_limit::Answer::Throttled);
        // One call in a second, and others come first.
        let others = (0..10).map(|_| limiter.acquire(Call::History));
        let others = futures_util::future::join_all(others);
        let key = TypeKey {
            domain: "shop",
            name: "charge",
            version: "",
        };
        let known = async { Ok(Timeouts::default()) };
        assert!(discovery.types.of(key, known, |_| {}).await.is_some());
        let task = task();
        let begun = Instant::now();
        tokio::select! {
            biased;
            _ = others => panic!("the calls are throttled"),
            found = discovery.of_task("shop", &task) => {
                assert_eq!(found, Discovered::incomplete(Timeouts::default()));
            }
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }

    #[test]
    fn timeouts_are_read_as_swf_writes_them() {
        let after = |secs| Timeout::After(Duration::from_secs_f64(secs));
        for (text, expected) in [
            (None, Timeout::Unknown),
            (Some("NONE"), Timeout::Never),
            (Some("30"), after(30.0)),
            (Some("0.5"), after(0.5)),
            (Some("0"), Timeout::Unknown),
            (Some("-1"), Timeout::Unknown),
            (Some("soon"), Timeout::Unknown),
            (Some("99999999999"), Timeout::Unknown),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
