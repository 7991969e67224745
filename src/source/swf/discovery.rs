//! Learns the timeouts of tasks from SWF, because the answer to a poll contains none of them.
//!
//! The default timeouts of an activity type are asked for once, with DescribeActivityType. A decider can schedule a task with
//! other timeouts. These are in the ActivityTaskScheduled event of the workflow's history. Both questions have a short
//! timeout, so that no task waits for long. What can't be learnt in time is unknown.

use super::faults::OF_PLACES;
use crate::{
    source::{
        SourceError, Verdict,
        aws::AwsCredentials,
        rate_limit::{Call, RateLimiter},
    },
    task::{HeaderValue, Task, Timeout, Timeouts},
};
use aws_sdk_swf::{
    Client,
    types::{ActivityType, HistoryEvent, WorkflowExecution},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

/// Timeout for one question, the wait for other questions included. A task is not published before.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for a call of DescribeActivityType. It is shorter than [`DISCOVERY_TIMEOUT`], so that the caller still notes the
/// missing answer.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval between two questions for an activity type after a refusal.
const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Interval between two questions for an activity type after a fault that may be over soon.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum calls of DescribeActivityType in a minute. SWF allows an account 6 calls a second.
const CALLS_PER_MINUTE: usize = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// Maximum number of remembered activity types of a domain. When it is reached, those of the domain are forgotten.
const MAX_TYPES: usize = 10_000;

/// Maximum number of events on a page of a history. The wanted event is among the newest, unless very much runs in one
/// workflow.
const EVENTS_PER_PAGE: i32 = 100;

/// Maximum number of pages that are read of a history.
const MAX_PAGES: usize = 5;

/// The timeouts that were learnt so far, for all routes.
#[derive(Debug)]
pub(crate) struct Discovery {
    client: Client,
    credentials: AwsCredentials,
    rate_limiter: Arc<RateLimiter>,
    types: Mutex<Types>,
    /// The times of the calls in the last minute. The lock is held during a call, so that no type is asked for twice.
    calls: tokio::sync::Mutex<VecDeque<Instant>>,
    /// Whether a missing permission was logged, for each kind of question.
    logged: [AtomicBool; 2],
}

/// By domain, name and version. The maps are nested so that a lookup copies no text.
type Types = HashMap<String, HashMap<String, HashMap<String, Learnt>>>;

/// The key of an activity type.
#[derive(Clone, Copy)]
struct TypeKey<'t> {
    domain: &'t str,
    name: &'t str,
    version: &'t str,
}

#[derive(Clone, Copy, Debug)]
enum Learnt {
    /// SWF's answer. A registered activity type never changes.
    Known(Timeouts),
    /// The last question failed. The next one is not asked before this time.
    NotBefore(Instant),
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
            types: Mutex::default(),
            calls: tokio::sync::Mutex::default(),
            logged: [AtomicBool::new(false), AtomicBool::new(false)],
        }
    }

    /// The default timeouts of the task's activity type.
    pub(crate) async fn of_type(&self, domain: &str, task: &Task) -> Timeouts {
        let key = TypeKey {
            domain,
            name: &task.activity,
            version: text(task, "activity-version"),
        };
        if let Some(known) = self.known(key) {
            return known;
        }
        let asked = timeout(DISCOVERY_TIMEOUT, self.ask(key));
        asked.await.unwrap_or_default()
    }

    /// The timeouts that the task was scheduled with, or else the defaults of its activity type.
    pub(crate) async fn of_task(&self, domain: &str, task: &Task) -> Timeouts {
        let found = match timeout(DISCOVERY_TIMEOUT, self.scheduled(domain, task)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                self.log_failure(Read::Histories, &error);
                None
            }
            Err(_) => None,
        };
        match found {
            Some(timeouts) => timeouts,
            None => self.of_type(domain, task).await,
        }
    }

    /// The known timeouts of an activity type. They are unknown while it is too early to ask again. `None`: ask now.
    fn known(&self, key: TypeKey<'_>) -> Option<Timeouts> {
        let types = self.types.lock();
        match types.get(key.domain)?.get(key.name)?.get(key.version)? {
            Learnt::Known(timeouts) => Some(*timeouts),
            Learnt::NotBefore(at) if Instant::now() < *at => Some(Timeouts::default()),
            Learnt::NotBefore(_) => None,
        }
    }

    async fn ask(&self, key: TypeKey<'_>) -> Timeouts {
        let mut calls = self.calls.lock().await;
        // Another caller may have asked while this one waited for the lock.
        if let Some(known) = self.known(key) {
            return known;
        }
        let now = Instant::now();
        while calls.front().is_some_and(|at| *at + MINUTE <= now) {
            calls.pop_front();
        }
        if calls.len() >= CALLS_PER_MINUTE {
            return Timeouts::default();
        }
        calls.push_back(now);
        let answer = timeout(DESCRIBE_TIMEOUT, self.describe(key)).await;
        let late = |_| Err(SourceError::Unavailable("no answer in time".to_owned()));
        match answer.unwrap_or_else(late) {
            Ok(timeouts) => {
                info!(
                    domain = key.domain,
                    activity_type = key.name,
                    version = key.version,
                    ?timeouts,
                    "learnt the timeouts of an activity type"
                );
                self.note(key, Learnt::Known(timeouts));
                timeouts
            }
            Err(error) => {
                self.log_failure(Read::Types, &error);
                let wait = match error.verdict() {
                    Verdict::Retry => RETRY_INTERVAL,
                    Verdict::RetrySlowly | Verdict::Reject | Verdict::Gone => {
                        REFUSED_RETRY_INTERVAL
                    }
                };
                self.note(key, Learnt::NotBefore(now + wait));
                Timeouts::default()
            }
        }
    }

    fn note(&self, key: TypeKey<'_>, learnt: Learnt) {
        let mut types = self.types.lock();
        let domain = types.entry(key.domain.to_owned()).or_default();
        if domain.values().map(HashMap::len).sum::<usize>() >= MAX_TYPES {
            domain.clear();
        }
        let versions = domain.entry(key.name.to_owned()).or_default();
        versions.insert(key.version.to_owned(), learnt);
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
        let _never_free = discovery.calls.lock().await;
        let begun = Instant::now();
        let timeouts = discovery.of_type("shop", &task()).await;
        assert_eq!(timeouts, Timeouts::default());
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
        let known = Learnt::Known(Timeouts::default());
        let key = TypeKey {
            domain: "shop",
            name: "charge",
            version: "",
        };
        discovery.note(key, known);
        let task = task();
        let begun = Instant::now();
        tokio::select! {
            biased;
            _ = others => panic!("the calls are throttled"),
            timeouts = discovery.of_task("shop", &task) => assert_eq!(timeouts, Timeouts::default()),
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
