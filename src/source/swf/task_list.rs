//! One SWF task list as a source of tasks: polls, heartbeats and responses.

use super::{
    discovery::Discovery,
    faults::{OF_PLACES, OF_TOKENS},
    pending::PendingCounts,
    settings::{Discover, MAX_RESULT},
};
use crate::{
    source::{
        CancelRequested, Discovered, PendingTasks, Source, SourceError, Unfit,
        aws::{self, AwsConfig, AwsCredentials},
        cut, is_longer,
        rate_limit::RateLimiter,
        unusable_token,
    },
    task::{HeaderValue, Outcome, SourceKind, Task, TaskId, TaskToken, Timeout, Timeouts},
};
use async_trait::async_trait;
use aws_sdk_swf::{
    Client, operation::poll_for_activity_task::PollForActivityTaskOutput, types::TaskList,
};
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Maximum length of the details of a failure or a cancel, in characters. This limit and those below are SWF's own.
const MAX_DETAILS: usize = 32_768;

/// Maximum length of the reason of a failure, in characters.
const MAX_REASON: usize = 256;

/// Maximum length of the details of a heartbeat, in characters.
const MAX_HEARTBEAT_DETAILS: usize = 2_048;

/// Maximum length of a task token, in characters.
const MAX_TOKEN: usize = 1_024;

/// Maximum length of an input, in characters.
const MAX_INPUT: usize = 32_768;

/// Maximum length of an id or a name in the answer to a poll, in characters.
const MAX_NAME: usize = 256;

/// Maximum length of the poller's identity, in characters.
const MAX_IDENTITY: usize = 256;

/// Maximum time of a poll whose task was waiting in the task list before the poll.
const BUSY_WITHIN: Duration = Duration::from_millis(500);

/// One task list of one domain.
#[derive(Debug)]
pub struct Swf {
    clients: SwfClients,
    domain: String,
    task_list: TaskList,
    identity: String,
    timeouts: Timeouts,
    discover: Discover,
}

/// The options of one [`Swf`].
#[derive(Debug)]
pub struct SwfOptions<'a> {
    /// The name of the domain, valid by SWF's rules.
    pub domain: &'a str,
    /// The name of the task list, valid by SWF's rules.
    pub task_list: &'a str,
    /// The identity of the poller in the workflow's history; cut to 256 characters.
    pub identity: String,
    /// The configured timeouts.
    pub timeouts: Timeouts,
    /// Which timeouts are asked of SWF.
    pub discover: Discover,
}

/// What all SWF routes of a process share: two clients, one rate limiter, the learnt timeouts of activity types, and the limit on
/// questions about task lists.
#[derive(Clone, Debug)]
pub struct SwfClients {
    poll: Client,
    respond: Client,
    credentials: AwsCredentials,
    rate_limiter: Arc<RateLimiter>,
    discovery: Arc<Discovery>,
    pending: Arc<PendingCounts>,
}

impl SwfClients {
    /// Builds the clients. It makes no call.
    #[must_use]
    pub fn new(config: &AwsConfig) -> Self {
        let respond = Client::new(&aws::for_responses(config.sdk()));
        let credentials = config.credentials().clone();
        let rate_limiter = Arc::<RateLimiter>::default();
        let discovery = Discovery::new(
            respond.clone(),
            credentials.clone(),
            Arc::clone(&rate_limiter),
        );
        Self {
            poll: Client::new(&aws::for_polls(config.sdk())),
            discovery: Arc::new(discovery),
            pending: Arc::new(PendingCounts::new(respond.clone(), credentials.clone())),
            credentials,
            rate_limiter,
            respond,
        }
    }
}

impl Swf {
    /// The source of one route.
    #[must_use]
    pub fn new(clients: &SwfClients, options: SwfOptions<'_>) -> Self {
        for name in [options.domain, options.task_list] {
            if name.contains("arn") {
                tracing::warn!(
                    name,
                    "contains \"arn\", which SWF's documentation advises against"
                );
            }
        }
        Self {
            clients: clients.clone(),
            domain: options.domain.to_owned(),
            task_list: task_list(options.task_list),
            identity: cut(options.identity, MAX_IDENTITY),
            timeouts: options.timeouts,
            discover: options.discover,
        }
    }

    /// The task in the answer to a poll; `None` if the answer is empty.
    fn task(&self, answer: PollForActivityTaskOutput) -> Result<Option<Task>, SourceError> {
        let Some(token) = TaskToken::new(&answer.task_token) else {
            return Ok(None);
        };
        if is_longer(&answer.task_token, MAX_TOKEN) {
            return Err(unusable_token(&answer.task_token, MAX_TOKEN));
        }
        let (activity, version) = answer
            .activity_type
            .map_or_else(Default::default, |kind| (kind.name, kind.version));
        let (workflow_id, run_id) = answer
            .workflow_execution
            .map_or_else(Default::default, |run| (run.workflow_id, run.run_id));
        let text = HeaderValue::Text;
        let headers = [
            ("workflow-id", text(workflow_id)),
            ("run-id", text(run_id)),
            ("activity-id", text(answer.activity_id)),
            ("activity-type", text(activity.clone())),
            ("activity-version", text(version)),
            (
                "started-event-id",
                HeaderValue::Integer(answer.started_event_id),
            ),
        ];
        Ok(Some(Task {
            id: TaskId::random(),
            token,
            input: answer.input.unwrap_or_default().into(),
            headers: headers.map(|(name, value)| (name.into(), value)).into(),
            activity,
            polled_at: SystemTime::now(),
            timeouts: self.timeouts,
        }))
    }
}

fn task_list(name: &str) -> TaskList {
    TaskList::builder()
        .name(name)
        .build()
        .expect("the one required field is set")
}

/// `None` for an empty text. SWF distinguishes missing details from empty ones; the bridge does not.
fn unless_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[async_trait]
impl Source for Swf {
    fn kind(&self) -> SourceKind {
        SourceKind::Swf
    }

    fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        let text = |text: &String| HeaderValue::Text(text.clone());
        vec![
            ("domain", text(&self.domain)),
            ("task-list", text(&self.task_list.name)),
        ]
    }

    fn rate_limiter(&self) -> &RateLimiter {
        &self.clients.rate_limiter
    }

    async fn timeouts(&self, task: &Task) -> Discovered {
        let found = match self.discover {
            Discover::Off => return Discovered::all(self.timeouts),
            Discover::Types => self.clients.discovery.of_type(&self.domain, task).await,
            Discover::Overrides => self.clients.discovery.of_task(&self.domain, task).await,
        };
        let (configured, learnt) = (self.timeouts, found.timeouts);
        let timeouts = Timeouts {
            heartbeat: learnt.heartbeat.or(configured.heartbeat),
            // A configured timeout is certain; the default of an activity type is not.
            start_to_close: match learnt.start_to_close {
                Timeout::After(_) | Timeout::Never => learnt.start_to_close,
                Timeout::Usually(_) | Timeout::Unknown => {
                    configured.start_to_close.or(learnt.start_to_close)
                }
            },
        };
        Discovered { timeouts, ..found }
    }

    async fn poll(&self) -> Result<Option<Task>, SourceError> {
        let answer = self
            .clients
            .poll
            .poll_for_activity_task()
            .domain(&self.domain)
            .task_list(self.task_list.clone())
            .identity(&self.identity)
            .send()
            .await
            .map_err(self.clients.credentials.to_source_error(OF_PLACES))?;
        self.task(answer)
    }

    fn oversize(&self, task: &Task) -> Option<String> {
        let input = task.input.text();
        if is_longer(input, MAX_INPUT) {
            let bytes = input.len();
            return Some(format!(
                "its input has {bytes} bytes, and SWF's inputs have at most {MAX_INPUT} characters"
            ));
        }
        let is_long = |(_, value): &(_, HeaderValue)| match value {
            HeaderValue::Text(text) => is_longer(text, MAX_NAME),
            HeaderValue::Integer(_) => false,
        };
        let (name, _) = task.headers.iter().find(|header| is_long(header))?;
        Some(format!(
            "its {name} is longer than the {MAX_NAME} characters that SWF allows"
        ))
    }

    fn busy_within(&self) -> Duration {
        BUSY_WITHIN
    }

    async fn heartbeat(
        &self,
        token: &TaskToken,
        details: &str,
    ) -> Result<CancelRequested, SourceError> {
        self.clients
            .respond
            .record_activity_task_heartbeat()
            .task_token(token.reveal())
            .set_details(unless_empty(details))
            .send()
            .await
            .map(|answer| CancelRequested(answer.cancel_requested))
            .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
    }

    async fn settle(&self, token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError> {
        let token = token.reveal();
        match outcome {
            Outcome::Completed { result } => {
                let call = self.clients.respond.respond_activity_task_completed();
                let call = call.task_token(token).set_result(unless_empty(result));
                call.send()
                    .await
                    .map(drop)
                    .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
            }
            Outcome::Failed {
                reason, details, ..
            } => {
                let call = self.clients.respond.respond_activity_task_failed();
                let call = call.task_token(token).set_reason(unless_empty(reason));
                call.set_details(unless_empty(details))
                    .send()
                    .await
                    .map(drop)
                    .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
            }
            Outcome::Canceled { details } => {
                let call = self.clients.respond.respond_activity_task_canceled();
                let call = call.task_token(token).set_details(unless_empty(details));
                call.send()
                    .await
                    .map(drop)
                    .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
            }
        }
    }

    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit> {
        // A text never has more characters than bytes, so most results need not be counted.
        let length = match body.len() {
            bytes if bytes <= MAX_RESULT => bytes,
            _ => body.chars().count(),
        };
        if length > MAX_RESULT {
            let words = format!("the result has {length} characters, and SWF takes {MAX_RESULT}");
            return Err(Unfit::TooLong(words));
        }
        Ok(Cow::Borrowed(body))
    }

    fn fit(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Completed { .. } => outcome,
            Outcome::Failed {
                own,
                reason,
                details,
            } => Outcome::Failed {
                own,
                reason: cut(reason, MAX_REASON),
                details: cut(details, MAX_DETAILS),
            },
            Outcome::Canceled { details } => Outcome::Canceled {
                details: cut(details, MAX_DETAILS),
            },
        }
    }

    fn fit_details(&self, details: &str) -> String {
        cut(details.to_owned(), MAX_HEARTBEAT_DETAILS)
    }

    async fn pending(&self) -> Result<Option<PendingTasks>, SourceError> {
        let pending = &self.clients.pending;
        pending.of(&self.domain, &self.task_list).await.map(Some)
    }

    fn place(&self) -> &'static str {
        "task list"
    }

    async fn probe(&self) -> Result<String, SourceError> {
        let call = self.clients.respond.count_pending_activity_tasks();
        let call = call.domain(&self.domain).task_list(self.task_list.clone());
        let answer = call.send().await;
        answer
            .map(|answer| format!("reached, tasks waiting: {}", answer.count))
            .map_err(self.clients.credentials.to_source_error(OF_PLACES))
    }

    fn probe_action(&self) -> &'static str {
        "CountPendingActivityTasks"
    }
}
