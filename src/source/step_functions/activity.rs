//! One activity of AWS Step Functions as a source of tasks: polls, heartbeats and responses.
//!
//! Step Functions does not tell the timeouts of a task; they are configured. It does not tell that an execution is being
//! stopped either; the bridge sees it as a dead token.

use super::settings::{MAX_OUTPUT, ResultAs};
use crate::{
    source::{
        CancelRequested, Discovered, PendingTasks, Source, SourceError, Unfit,
        aws::{self, AwsConfig, AwsCredentials, Meaning, Meanings},
        cut, is_longer,
        rate_limit::RateLimiter,
        unusable_token,
    },
    task::{HeaderValue, Outcome, SourceKind, Task, TaskId, TaskToken, Timeouts},
};
use async_trait::async_trait;
use aws_sdk_sfn::{Client, operation::get_activity_task::GetActivityTaskOutput};
use serde::de::IgnoredAny;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Maximum length of the error name of a failure, in characters. This limit and those below are Step Functions' own.
const MAX_ERROR: usize = 256;

/// Maximum length of the cause of a failure, in characters.
const MAX_CAUSE: usize = 32_768;

/// Maximum length of a task token, in characters.
const MAX_TOKEN: usize = 2_048;

/// Maximum length of an input, in bytes. AWS documents 262,144 and hands out up to four times as much where the account has
/// larger payloads.
const MAX_INPUT: usize = 1 << 20;

/// Maximum length of the poller's name, in characters.
const MAX_WORKER_NAME: usize = 80;

/// The error name of a task that a worker canceled. Step Functions has no canceled tasks.
const CANCELED: &str = "Canceled";

/// Maximum time of a poll that returns a task for one more open poll to be useful: any poll. AWS advises 100 open polls for
/// a busy activity, because one lost answer can delay the answers to other polls.
const BUSY_WITHIN: Duration = Duration::from_secs(60);

const KMS_STATE: (&str, Meaning) = (
    "KmsInvalidStateException",
    Meaning::Refused(Some("enable the KMS key, or restore it")),
);

const KMS_THROTTLING: (&str, Meaning) = ("KmsThrottlingException", Meaning::TooMany);

/// The faults of calls about an activity.
const OF_ACTIVITIES: &Meanings = &[
    (
        "ActivityDoesNotExist",
        Meaning::Refused(Some(
            "create the activity, or correct activity_arn or the region",
        )),
    ),
    (
        "InvalidArn",
        Meaning::Refused(Some("correct activity_arn or the region")),
    ),
    ("ActivityWorkerLimitExceeded", Meaning::TooMany),
    (
        "KmsAccessDeniedException",
        Meaning::Refused(Some(
            "allow the bridge's role kms:Decrypt with the activity's key",
        )),
    ),
    KMS_STATE,
    KMS_THROTTLING,
];

/// The faults of calls with a token. AWS answers `TaskTimedOut` for a closed task too.
const OF_TOKENS: &Meanings = &[
    ("TaskTimedOut", Meaning::Gone),
    ("TaskDoesNotExist", Meaning::Gone),
    ("InvalidToken", Meaning::Gone),
    (
        "InvalidOutput",
        Meaning::Invalid("AWS does not take the result as JSON"),
    ),
    (
        "KmsAccessDeniedException",
        Meaning::Refused(Some(
            "allow the state machine's role kms:Decrypt and kms:GenerateDataKey with the activity's key and with its own",
        )),
    ),
    KMS_STATE,
    KMS_THROTTLING,
];

/// One activity.
#[derive(Debug)]
pub struct StepFunctions {
    clients: SfnClients,
    activity_arn: String,
    worker_name: String,
    timeouts: Timeouts,
    result_as: ResultAs,
}

/// The options of one [`StepFunctions`].
#[derive(Debug)]
pub struct SfnOptions<'a> {
    /// The ARN of the activity.
    pub activity_arn: &'a str,
    /// The name of the poller in the execution's history; see [`worker_name`].
    pub worker_name: String,
    /// The configured timeouts. The service tells none.
    pub timeouts: Timeouts,
    /// Which bodies of replies are accepted as results.
    pub result_as: ResultAs,
}

/// What all Step Functions routes of a process share: two clients and one rate limiter.
#[derive(Clone, Debug)]
pub struct SfnClients {
    poll: Client,
    respond: Client,
    credentials: AwsCredentials,
    rate_limiter: Arc<RateLimiter>,
}

impl SfnClients {
    /// Builds the clients. It makes no call.
    #[must_use]
    pub fn new(config: &AwsConfig) -> Self {
        Self {
            poll: Client::new(&aws::for_polls(config.sdk())),
            respond: Client::new(&aws::for_responses(config.sdk())),
            credentials: config.credentials().clone(),
            rate_limiter: Arc::default(),
        }
    }
}

/// The name of the poller: route, host and process id. It has at most 80 characters, and none that AWS forbids in names.
#[must_use]
pub fn worker_name(route: &str, host: &str, pid: u32) -> String {
    let pid = pid.to_string();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let room = MAX_WORKER_NAME.saturating_sub(route.chars().count() + pid.len() + 2);
    let host: String = host.chars().filter(plain).take(room).collect();
    format!("{route}@{host}.{pid}")
}

impl StepFunctions {
    /// The source of one route.
    #[must_use]
    pub fn new(clients: &SfnClients, options: SfnOptions<'_>) -> Self {
        Self {
            clients: clients.clone(),
            activity_arn: options.activity_arn.to_owned(),
            worker_name: options.worker_name,
            timeouts: options.timeouts,
            result_as: options.result_as,
        }
    }

    /// The name of the activity: the last part of its ARN.
    fn name(&self) -> &str {
        let (_, name) = self.activity_arn.rsplit_once(':').unwrap_or_default();
        name
    }

    /// The task in the answer to a poll; `None` if the answer is empty.
    fn task(&self, answer: GetActivityTaskOutput) -> Result<Option<Task>, SourceError> {
        let token = answer.task_token.unwrap_or_default();
        if is_longer(&token, MAX_TOKEN) {
            return Err(unusable_token(&token, MAX_TOKEN));
        }
        Ok(TaskToken::new(&token).map(|token| Task {
            id: TaskId::random(),
            token,
            activity: self.name().to_owned(),
            input: answer.input.unwrap_or_default().into(),
            headers: Vec::new(),
            polled_at: SystemTime::now(),
            timeouts: self.timeouts,
        }))
    }

    async fn fail(&self, token: &str, error: &str, cause: &str) -> Result<(), SourceError> {
        let call = self.clients.respond.send_task_failure().task_token(token);
        let call = call
            .set_error(unless_empty(error))
            .set_cause(unless_empty(cause));
        call.send()
            .await
            .map(drop)
            .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
    }
}

/// `None` for an empty text. Step Functions distinguishes a missing text from an empty one; the bridge does not.
fn unless_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[async_trait]
impl Source for StepFunctions {
    fn kind(&self) -> SourceKind {
        SourceKind::StepFunctions
    }

    fn headers(&self) -> Vec<(&'static str, HeaderValue)> {
        vec![("activity-arn", HeaderValue::Text(self.activity_arn.clone()))]
    }

    fn rate_limiter(&self) -> &RateLimiter {
        &self.clients.rate_limiter
    }

    async fn timeouts(&self, _task: &Task) -> Discovered {
        Discovered::all(self.timeouts)
    }

    async fn poll(&self) -> Result<Option<Task>, SourceError> {
        let call = self.clients.poll.get_activity_task();
        let call = call
            .activity_arn(&self.activity_arn)
            .worker_name(&self.worker_name);
        let answer = call.send().await;
        let answer = answer.map_err(self.clients.credentials.to_source_error(OF_ACTIVITIES))?;
        self.task(answer)
    }

    fn oversize(&self, task: &Task) -> Option<String> {
        let bytes = task.input.text().len();
        (bytes > MAX_INPUT).then(|| {
            format!(
                "its input has {bytes} bytes, and Step Functions' inputs have at most {MAX_INPUT}"
            )
        })
    }

    fn busy_within(&self) -> Duration {
        BUSY_WITHIN
    }

    async fn heartbeat(
        &self,
        token: &TaskToken,
        _details: &str,
    ) -> Result<CancelRequested, SourceError> {
        let call = self.clients.respond.send_task_heartbeat();
        let answer = call.task_token(token.reveal()).send().await;
        answer
            .map(|_| CancelRequested(false))
            .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
    }

    async fn settle(&self, token: &TaskToken, outcome: &Outcome) -> Result<(), SourceError> {
        let token = token.reveal();
        match outcome {
            Outcome::Completed { result } => {
                let call = self.clients.respond.send_task_success();
                call.task_token(token)
                    .output(result)
                    .send()
                    .await
                    .map(drop)
                    .map_err(self.clients.credentials.to_source_error(OF_TOKENS))
            }
            Outcome::Failed {
                reason, details, ..
            } => self.fail(token, reason, details).await,
            // `fit` turns a cancel into a failure, so none comes here.
            Outcome::Canceled { details } => self.fail(token, CANCELED, details).await,
        }
    }

    fn result<'b>(&self, body: &'b str) -> Result<Cow<'b, str>, Unfit> {
        // Neither form of the result is shorter than the body.
        let too_long = |length: usize| {
            Unfit::TooLong(format!(
                "the result has {length} bytes as JSON, and Step Functions takes {MAX_OUTPUT}"
            ))
        };
        if body.len() > MAX_OUTPUT {
            return Err(too_long(body.len()));
        }
        let output = match (serde_json::from_str::<IgnoredAny>(body), self.result_as) {
            (Ok(IgnoredAny), _) => Cow::Borrowed(body),
            (Err(_), ResultAs::JsonOrString) => {
                Cow::Owned(serde_json::Value::from(body).to_string())
            }
            (Err(error), ResultAs::Json) => {
                let words = format!("the result is not JSON, which result_as demands: {error}");
                return Err(Unfit::WrongForm(words));
            }
        };
        match output.len() {
            length if length > MAX_OUTPUT => Err(too_long(length)),
            _ => Ok(output),
        }
    }

    fn fit(&self, outcome: Outcome) -> Outcome {
        let (error, cause) = match outcome {
            Outcome::Completed { .. } => return outcome,
            Outcome::Canceled { details } => (CANCELED.to_owned(), details),
            Outcome::Failed {
                own: None,
                reason,
                details,
            } => (reason, details),
            // Retry and Catch match the name of the error, so the name must be the same for all tasks.
            Outcome::Failed {
                own: Some(own),
                reason,
                details,
            } => {
                let separator = if details.is_empty() { "" } else { ": " };
                (
                    own.name().to_owned(),
                    format!("{reason}{separator}{details}"),
                )
            }
        };
        Outcome::Failed {
            own: None,
            reason: cut(error, MAX_ERROR),
            details: cut(cause, MAX_CAUSE),
        }
    }

    /// Step Functions takes no details with a heartbeat.
    fn fit_details(&self, _details: &str) -> String {
        String::new()
    }

    /// Step Functions has no such call.
    async fn pending(&self) -> Result<Option<PendingTasks>, SourceError> {
        Ok(None)
    }

    fn place(&self) -> &'static str {
        "activity"
    }

    async fn probe(&self) -> Result<String, SourceError> {
        let call = self.clients.respond.describe_activity();
        let answer = call.activity_arn(&self.activity_arn).send().await;
        answer
            .map(|_| "reached".to_owned())
            .map_err(self.clients.credentials.to_source_error(OF_ACTIVITIES))
    }

    fn probe_action(&self) -> &'static str {
        "DescribeActivity"
    }
}

#[cfg(test)]
mod tests;
